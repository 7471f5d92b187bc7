//! `report`: the answer from a study's folder, or from several side by side.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Args, ValueEnum};

use super::{complain, print, status};
use crate::config::{Kind, Study};
use crate::plan::{cases, Plan};
use crate::report::comparison::{self, first_sentence, Entry};
use crate::report::{latex, ridge, statement, Report};
use crate::run::{stop_flag, usage};
use crate::store::{ridge_record, Folder, Records, RidgeRecord};

const EXAMPLES: &str = "\
Examples:
  transfergrid report logs/cifar10                    print the answer; write tables, figures and index.html to logs/cifar10/report
  transfergrid report logs/cifar10 --watch            refresh them while the sweep runs
  transfergrid report logs/cifar10 --format latex     print the table for a paper
  transfergrid report logs/mnist logs/cifar10         each, and side by side in logs/comparison";

/// Print the answer of a study, and write its tables, figures and page; also while it runs
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ReportArgs {
    /// Folders of studies, e.g. logs/cifar10; several are compared
    #[arg(required = true, value_name = "FOLDER")]
    folders: Vec<PathBuf>,
    /// What is printed: words, summary.json, or the table for a paper
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    format: Format,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Write again whenever there are new results, until the study is complete; the page in a browser follows
    #[arg(long)]
    watch: bool,
    /// Seconds between two looks for new results
    #[arg(long, value_name = "SECONDS", default_value_t = 10, requires = "watch", value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,
    /// Where a comparison goes [default: `comparison` beside the first folder]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Latex,
}

/// A study's folder, read.
enum Opened {
    Network(Box<(Study, Plan, Records)>),
    Ridge(Box<(Study, Vec<RidgeRecord>)>),
}

/// What one report came to.
struct Made {
    /// In the format that was asked for.
    text: String,
    files: Vec<PathBuf>,
    entry: Entry,
    complete: bool,
    /// Results it is made of.
    results: usize,
}

impl ReportArgs {
    pub fn run(mut self) -> Result<u8> {
        if self.json {
            self.format = Format::Json;
        }
        let folders: Vec<Folder> = self.folders.iter().cloned().map(Folder).collect();
        if let Some(twice) = (1..folders.len()).find(|&i| folders[..i].iter().any(|f| same(&f.0, &folders[i].0))) {
            return Err(usage(format!("{} is given twice", folders[twice].0.display()), "name each folder once"));
        }
        if self.out.is_some() && folders.len() < 2 {
            return Err(usage("--out is for a comparison of several folders", "a study's own report goes to its folder's report/"));
        }
        if self.watch {
            return self.follow(&folders);
        }
        let made = folders.iter().map(|folder| self.one(folder, None)).collect::<Result<Vec<Made>>>()?;
        for one in &made {
            print(&one.text);
            if self.format == Format::Text {
                print(&format!("\n{}\n", paths(&one.files)));
            }
        }
        self.compare(made)?;
        Ok(0)
    }

    /// The comparison, where there is more than one folder.
    fn compare(&self, made: Vec<Made>) -> Result<()> {
        if made.len() < 2 {
            return Ok(());
        }
        let out = self.comparison_folder();
        let entries: Vec<Entry> = made.into_iter().map(|one| one.entry).collect();
        let files = comparison::write(&entries, &out)?;
        if self.format == Format::Text {
            print(&format!("{}\n{}", first_sentence(&entries), paths(&files)));
        }
        Ok(())
    }

    fn comparison_folder(&self) -> PathBuf {
        self.out.clone().unwrap_or_else(|| self.folders[0].parent().unwrap_or(Path::new("")).join("comparison"))
    }

    /// Writes one folder's report. `refresh`: for a page that is watched.
    fn one(&self, folder: &Folder, refresh: Option<u64>) -> Result<Made> {
        let link = link(&self.comparison_folder(), &folder.report().join("index.html"));
        match open(folder)? {
            Opened::Network(opened) => {
                let (study, plan, records) = *opened;
                records.warnings.iter().for_each(|warning| complain(&format!("warning: {warning}")));
                let report = Report::new(&study, &plan, &records);
                let complete = report.counts.missing == 0;
                let files = report.write(&study, &plan, &records, folder, refresh.filter(|_| !complete))?;
                let text = match self.format {
                    Format::Text => statement(&report) + "\n",
                    Format::Json => std::fs::read_to_string(folder.report().join("summary.json"))?,
                    Format::Latex => latex(&study, &report),
                };
                Ok(Made { text, files, entry: Entry::network(&study, &report, link), complete, results: records.by_key.len() })
            }
            Opened::Ridge(opened) => {
                let (study, records) = *opened;
                let cases = cases(&study)?;
                let complete = cases.iter().all(|case| records.iter().any(|record| record.key == case.key));
                let results = records.len();
                let all: Vec<&RidgeRecord> = records.iter().collect();
                let outcome = ridge::write(&study, &cases, &all, folder, refresh.filter(|_| !complete))?;
                let text = match self.format {
                    Format::Text => ridge::statement(&outcome),
                    Format::Json => std::fs::read_to_string(folder.report().join("summary.json"))?,
                    Format::Latex => ridge::latex(&outcome),
                };
                let entry = Entry { name: study.name.clone(), link, headline: outcome.headline.clone(), settings: vec![] };
                Ok(Made { text, files: outcome.files, entry, complete, results })
            }
        }
    }

    /// Until every study is complete or a signal comes: looks for new results, writes the reports that have some.
    fn follow(&self, folders: &[Folder]) -> Result<u8> {
        let stop = stop_flag()?;
        let mut made: Vec<(u64, Made)> = vec![];
        loop {
            for (i, folder) in folders.iter().enumerate() {
                let bytes = folder.record_bytes();
                if made.get(i).is_some_and(|(known, _)| *known == bytes) {
                    continue;
                }
                let one = self.one(folder, Some(self.every))?;
                let page = one.files.last().map_or(String::new(), |file| file.display().to_string());
                complain(&format!("{}: {} results; {}\n  {page}", one.entry.name, one.results, one.entry.headline));
                match made.get_mut(i) {
                    Some(known) => *known = (bytes, one),
                    None => made.push((bytes, one)),
                }
            }
            if made.iter().all(|(_, one)| one.complete) {
                let made: Vec<Made> = made.into_iter().map(|(_, one)| one).collect();
                made.iter().for_each(|one| print(&one.text));
                self.compare(made)?;
                return Ok(0);
            }
            if !wait(&stop, Duration::from_secs(self.every)) {
                return Ok(0);
            }
        }
    }
}

/// False where the wait was ended by a signal.
fn wait(stop: &AtomicBool, time: Duration) -> bool {
    let end = Instant::now() + time;
    while Instant::now() < end {
        if stop.load(Ordering::Relaxed) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    true
}

fn open(folder: &Folder) -> Result<Opened> {
    let study = status::study(folder)?;
    Ok(match study.kind {
        Kind::Network => {
            let plan = Plan::new(&study)?;
            let records = Records::read(folder)?;
            Opened::Network(Box::new((study, plan, records)))
        }
        Kind::Ridge => {
            let (known, warnings) = ridge_record::read(folder)?;
            warnings.iter().for_each(|warning| complain(&format!("warning: {warning}")));
            Opened::Ridge(Box::new((study, known.into_values().collect())))
        }
    })
}

fn same(a: &Path, b: &Path) -> bool {
    let real = |p: &Path| std::fs::canonicalize(p).unwrap_or_else(|_| p.to_path_buf());
    real(a) == real(b)
}

fn paths(files: &[PathBuf]) -> String {
    files.iter().map(|file| format!("{}\n", file.display())).collect()
}

/// The way from a folder to a file, for a page's links.
fn link(from: &Path, to: &Path) -> String {
    let absolute = |p: &Path| {
        let p = std::path::absolute(p).unwrap_or_else(|_| p.to_path_buf());
        p.components().filter(|c| !matches!(c, std::path::Component::CurDir)).collect::<Vec<_>>().iter().collect::<PathBuf>()
    };
    let (from, to) = (absolute(from), absolute(to));
    let common = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().count() - common;
    let parts =
        std::iter::repeat_n("..".to_string(), up).chain(to.components().skip(common).map(|c| c.as_os_str().to_string_lossy().into_owned()));
    parts.collect::<Vec<_>>().join("/")
}
