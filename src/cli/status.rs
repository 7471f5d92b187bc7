//! `status`: how far a study's folder is.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::print;
use crate::config::{Overrides, Study};
use crate::plan::Plan;
use crate::run::{progress, usage};
use crate::store::Folder;

/// Show how many stages of a study are done, running, failed and missing; also while it runs
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  transfergrid status logs/cifar10")]
pub struct StatusArgs {
    /// The study's folder, e.g. logs/cifar10
    folder: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The study of a folder that `sweep` or `theory run` made.
pub fn study(folder: &Folder) -> Result<Study> {
    if !folder.study().is_file() {
        return Err(usage(
            format!("{} is not a study's folder (it has no study.yaml)", folder.0.display()),
            "give the folder that `sweep` made, e.g. logs/demo",
        ));
    }
    Ok(Study::load(&folder.study(), &Overrides::default())?)
}

impl StatusArgs {
    pub fn run(self) -> Result<u8> {
        let folder = Folder(self.folder);
        let study = study(&folder)?;
        let plan = Plan::new(&study)?;
        let progress = progress(&plan, &folder)?;
        if self.json {
            let mut json = json!(progress);
            json["shards"] = json!([progress]);
            print(&format!("{json:#}\n"));
        } else {
            let total = plan.stages.len();
            let diverged = if progress.diverged > 0 { format!(" ({} diverged)", progress.diverged) } else { String::new() };
            let counts = format!("{} running, {} failed, {} missing", progress.running, progress.failed, progress.missing);
            print(&format!("{}: {} of {total} stages done{diverged}, {counts}\n", study.name, progress.done));
        }
        Ok(0)
    }
}
