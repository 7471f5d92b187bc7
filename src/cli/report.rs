//! `report`: the answer from a study's folder, or from several side by side.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use clap::{Args, ValueEnum};
use percent_encoding::{utf8_percent_encode, NON_ALPHANUMERIC};

use super::{complain, print, status};
use crate::config::{Kind, Study};
use crate::plan::{cases, Plan, Stage};
use crate::report::{first_sentence, latex, ridge, statement, write, write_comparison, Entry, Report};
use crate::run::{stop_flag, usage};
use crate::store::{ridge_record, Folder, Records, RidgeRecord, Status};

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
    /// Results it is made of, and the bytes of their records.
    results: usize,
    bytes: u64,
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
        if folders.len() > 1 && folders.iter().any(|folder| same(&folder.0, &self.comparison_folder())) {
            return Err(usage(
                format!("the comparison would go into {}, a study's folder", self.comparison_folder().display()),
                "say where with --out",
            ));
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
        let files = write_comparison(&entries, &out)?;
        if self.format == Format::Text {
            print(&format!("{}\n{}", first_sentence(&entries), paths(&files)));
        }
        Ok(())
    }

    fn comparison_folder(&self) -> PathBuf {
        let beside = || real(&self.folders[0]).parent().unwrap_or(Path::new("/")).join("comparison");
        self.out.clone().unwrap_or_else(beside)
    }

    /// Writes one folder's report. `refresh`: for a page that is watched.
    fn one(&self, folder: &Folder, refresh: Option<u64>) -> Result<Made> {
        let bytes = folder.record_bytes();
        let link = link(&self.comparison_folder(), &folder.report().join("index.html"));
        match open(folder)? {
            Opened::Network(opened) => {
                let (study, plan, records) = *opened;
                records.warnings.iter().for_each(|warning| complain(&format!("warning: {warning}")));
                let report = Report::new(&study, &plan, &records);
                // A target whose source failed is never run; what failed is tried by the next sweep.
                let failed = |stage: &Stage| records.by_key.get(&stage.key).is_some_and(|record| record.status == Status::Failed);
                let settled = |stage: &Stage| {
                    records.by_key.contains_key(&stage.key) || stage.source.is_some_and(|source| failed(&plan.stages[source]))
                };
                let complete = plan.stages.iter().all(settled);
                let files = write(&report, &study, &plan, &records, folder, refresh.filter(|_| !complete))?;
                let text = match self.format {
                    Format::Text => statement(&report) + "\n",
                    Format::Json => std::fs::read_to_string(folder.report().join("summary.json"))?,
                    Format::Latex => latex(&study, &report),
                };
                Ok(Made { text, files, entry: Entry::network(&study, &report, link), complete, results: records.by_key.len(), bytes })
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
                Ok(Made { text, files: outcome.files, entry, complete, results, bytes })
            }
        }
    }

    /// Until every study is complete or a signal comes: looks for new results, writes the reports that have some.
    fn follow(&self, folders: &[Folder]) -> Result<u8> {
        let stop = stop_flag()?;
        let mut made: Vec<(Mark, Made)> = vec![];
        loop {
            for (i, folder) in folders.iter().enumerate() {
                if made.get(i).is_some_and(|(mark, _)| *mark == Mark::of(folder)) {
                    continue;
                }
                let one = match self.one(folder, Some(self.every)) {
                    Ok(one) => one,
                    // A folder that was readable once is so again, e.g. after `sweep --fresh`.
                    Err(error) if made.len() > i => {
                        complain(&format!("warning: {error:#}; looking again in {} s", self.every));
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                let page = one.files.last().map_or(String::new(), |file| file.display().to_string());
                complain(&format!("{}: {} results; {}\n  {page}", one.entry.name, one.results, one.entry.headline));
                // After writing: what comes meanwhile is seen in the next round at the latest.
                let mark = Mark { records: one.bytes, ..Mark::of(folder) };
                match made.get_mut(i) {
                    Some(known) => *known = (mark, one),
                    None => made.push((mark, one)),
                }
            }
            if made.iter().all(|(_, one)| one.complete) {
                let made: Vec<Made> = made.into_iter().map(|(_, one)| one).collect();
                made.iter().for_each(|one| print(&one.text));
                self.compare(made)?;
                return Ok(0);
            }
            if !wait(&stop, Duration::from_secs(self.every)) {
                // Pages that nobody writes any more need not be loaded again.
                folders.iter().try_for_each(|folder| self.one(folder, None).map(|_| ()))?;
                return Ok(0);
            }
        }
    }
}

/// What tells that a report is out of date: more records, another study, or a page that someone else has written.
#[derive(PartialEq)]
struct Mark {
    records: u64,
    study: Option<SystemTime>,
    page: Option<SystemTime>,
}

impl Mark {
    fn of(folder: &Folder) -> Mark {
        let time = |path: PathBuf| std::fs::metadata(path).ok()?.modified().ok();
        Mark { records: folder.record_bytes(), study: time(folder.study()), page: time(folder.report().join("index.html")) }
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
    real(a) == real(b)
}

/// Absolute, without links and `..`, also where the last parts do not exist yet.
fn real(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    match (std::fs::canonicalize(&absolute), absolute.parent(), absolute.file_name()) {
        (Ok(real), _, _) => real,
        (Err(_), Some(parent), Some(name)) => real(parent).join(name),
        (Err(_), ..) => absolute,
    }
}

fn paths(files: &[PathBuf]) -> String {
    files.iter().map(|file| format!("{}\n", file.display())).collect()
}

/// The way from a folder to a file, as a page's link has it.
fn link(from: &Path, to: &Path) -> String {
    let (from, to) = (real(from), real(to));
    let common = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..".to_string(), from.components().count() - common);
    let down =
        to.components().skip(common).map(|part| utf8_percent_encode(&part.as_os_str().to_string_lossy(), NON_ALPHANUMERIC).to_string());
    up.chain(down).collect::<Vec<_>>().join("/").replace("%2D", "-").replace("%2E", ".").replace("%5F", "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_from_one_folder_to_another() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        std::fs::create_dir_all(at("logs/my study")).unwrap();
        assert_eq!(link(&at("logs/comparison"), &at("logs/a-b_1.2/report/index.html")), "../a-b_1.2/report/index.html");
        assert_eq!(link(&at("logs/../other"), &at("logs/my study/#1.html")), "../logs/my%20study/%231.html");
    }
}
