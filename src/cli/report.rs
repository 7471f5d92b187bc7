//! `report`: the answer from a study's folder.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::{complain, print, status};
use crate::report::{statement, Report};
use crate::store::Records;

const EXAMPLES: &str = "\
Examples:
  transfergrid report logs/cifar10           print the answer; write results.csv, summary.json and figures to logs/cifar10/report
  transfergrid report logs/cifar10 --json    print summary.json";

/// Print the answer of a study again, and write its tables and figures; also while it runs
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ReportArgs {
    /// The study's folder, e.g. logs/cifar10
    folder: PathBuf,
    /// Print the summary as JSON instead of words
    #[arg(long)]
    json: bool,
}

impl ReportArgs {
    pub fn run(self) -> Result<u8> {
        let (folder, study, plan) = status::open(self.folder)?;
        let records = Records::read(&folder)?;
        records.warnings.iter().for_each(|warning| complain(&format!("warning: {warning}")));
        let report = Report::new(&study, &plan, &records);
        let files = report.write(&study, &plan, &records, &folder)?;
        if self.json {
            print(&std::fs::read_to_string(folder.report().join("summary.json"))?);
        } else {
            print(&format!("{}\n\n", statement(&report)));
            files.iter().for_each(|file| print(&format!("{}\n", file.display())));
        }
        Ok(0)
    }
}
