//! `report`: shows the answer from a study's folder, or from several folders side by side.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use clap::{Args, ValueEnum};

use super::commands::commands;
use super::{print, status};
use crate::base::stderr::print_error;
use crate::base::usage::usage;
use crate::config::{Study, StudyKind};
use crate::plan::{cases, Plan, Stage};
use crate::report::analysis::{
    analyse, distinguish_names, named_stages, NamedModel, Predicted, PredictionAnalysis, SettingAnalysis, StudyAnalysis, StudyEntry,
};
use crate::report::render::{
    self, first_sentence, glance, headline, latex, link, real, statement, summary_json, Commands, FigureOptions, Screen,
};
use crate::report::{write_comparison, write_network, write_ridge, ReportTarget};
use crate::run::stop_flag;
use crate::settle::{history, replay, Rounds};
use crate::store::{full_records, occupants, ridge_record, Folder, FullRecord, KeptPredictions, Records, RidgeRecord, Status};

const EXAMPLES: &str = "\
Examples:
  transfergrid report logs/cifar10                    print the answer; write tables, figures and index.html to logs/cifar10/report
  transfergrid report logs/cifar10 --watch            refresh them while the sweep runs
  transfergrid report logs/cifar10 --format latex     print the table for a paper
  transfergrid report logs/cifar10 --format pdf --figure-width 84mm
                                                      figures for a paper: PDF, and their numbers as CSV
  transfergrid report logs/mnist logs/cifar10         report each study, and compare them in logs/comparison
  transfergrid report logs/*                          report all studies there; other folders are skipped";

/// Print the answer of a study and write its tables, figures and page; also works while the study
/// runs
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ReportArgs {
    /// Folders of studies, e.g. logs/cifar10; several folders are compared
    #[arg(required = true, value_name = "FOLDER")]
    folders: Vec<PathBuf>,
    /// What to print: text, summary.json, or the table for a paper. `pdf` makes the figures as PDF
    /// as well, and prints their paths
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    format: Format,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Also print everything else that is known, and the names of all files
    #[arg(long, short)]
    verbose: bool,
    /// Update the report whenever there are new results, until the study is complete; the page
    /// reloads in the browser
    #[arg(long)]
    watch: bool,
    /// Seconds between two checks for new results
    #[arg(long, value_name = "SECONDS", default_value_t = 10, requires = "watch", value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,
    /// Also write results of values that are no longer in the study to results.csv and
    /// results.parquet
    #[arg(long)]
    all: bool,
    /// Width of the figures on paper, e.g. 84mm or 6.5in. Text stays 7 points high, 6.5 at 84mm
    /// [default: 4.5in]
    #[arg(long, value_name = "WIDTH", value_parser = paper_width)]
    figure_width: Option<f64>,
    /// Folder for the report [default: the study's report/] or for the comparison [default:
    /// `comparison` beside the first folder]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Latex,
    Pdf,
}

/// The contents of a study's folder.
enum Opened {
    Network(Box<(Study, Plan, Records)>),
    Ridge(Box<(Study, Vec<RidgeRecord>)>),
}

/// The result of making one report.
struct Made {
    /// In the requested format.
    text: String,
    /// Paths of the files, or the error that prevented writing them.
    files: Result<Vec<PathBuf>>,
    entry: StudyEntry,
    complete: bool,
    /// Number of results in the report.
    results: usize,
}

impl ReportArgs {
    pub fn run(mut self) -> Result<u8> {
        if self.json {
            self.format = Format::Json;
        }
        self.leave_out_what_is_no_study()?;
        let folders: Vec<Folder> = self.folders.iter().cloned().map(Folder).collect();
        if let Some(twice) = (1..folders.len()).find(|&i| folders[..i].iter().any(|f| same(&f.0, &folders[i].0))) {
            return Err(usage(format!("{} is given twice", folders[twice].0.display()), "name each folder once"));
        }
        self.refuse_taken(&folders)?;
        if self.watch {
            return self.follow(&folders);
        }
        self.all(&folders)
    }

    /// If there are several paths, such as `logs/*`, skips those that are not folders of a study,
    /// for example a comparison or a file.
    fn leave_out_what_is_no_study(&mut self) -> Result<()> {
        let is_study = |path: &PathBuf| Folder(path.clone()).study().is_file();
        if self.folders.len() < 2 || !self.folders.iter().any(is_study) {
            return Ok(());
        }
        if let Some(missing) = self.folders.iter().find(|path| !path.exists()) {
            return Err(usage(format!("{} does not exist", missing.display()), "name folders of results, logs/STUDY"));
        }
        let (studies, others): (Vec<PathBuf>, Vec<PathBuf>) = std::mem::take(&mut self.folders).into_iter().partition(is_study);
        self.folders = studies;
        if !others.is_empty() {
            let names: Vec<String> = others.iter().map(|path| path.display().to_string()).collect();
            print_error(&format!("skipped, not a study's folder: {}", names.join(", ")));
        }
        Ok(())
    }

    /// Makes and prints every report and the comparison. If a folder cannot be read, the others are
    /// still reported; the error is returned at the end.
    fn all(&self, folders: &[Folder]) -> Result<u8> {
        let (mut made, mut failed) = (vec![], None);
        for folder in folders {
            match self.one(folder, None) {
                Ok(one) => made.push(one),
                Err(error) => failed.replace(error).into_iter().for_each(|earlier| print_error(&format!("error: {earlier:#}"))),
            }
        }
        self.show(&made);
        // Errors of writing are reported after the text that could be printed.
        let mut problem = made.iter_mut().find_map(|one| std::mem::replace(&mut one.files, Ok(vec![])).err());
        if made.len() > 1 {
            match self.compare(made.into_iter().map(|one| one.entry).collect()) {
                Ok(words) if self.format == Format::Text => print(&words),
                Ok(_) => {}
                Err(error) => {
                    problem.get_or_insert(error);
                }
            }
        }
        failed.or(problem).map_or(Ok(0), Err)
    }

    /// Returns an error if the comparison would overwrite a study or its report.
    fn refuse_taken(&self, folders: &[Folder]) -> Result<()> {
        let out = self.out();
        let taken = folders.len() > 1 && folders.iter().any(|folder| same(&folder.report(), &out)) || Folder(out.clone()).study().exists();
        match taken {
            true => Err(usage(format!("{} is a study's folder", out.display()), "choose another folder with --out")),
            false => Ok(()),
        }
    }

    /// The folder of the comparison, or of a single folder's report.
    fn out(&self) -> PathBuf {
        let usual = || match self.folders.as_slice() {
            [one] => Folder(one.clone()).report(),
            several => real(&several[0]).parent().unwrap_or(Path::new("/")).join("comparison"),
        };
        self.out.clone().unwrap_or_else(usual)
    }

    fn figures(&self) -> FigureOptions {
        FigureOptions::on_paper(self.figure_width, self.format == Format::Pdf)
    }

    fn show(&self, made: &[Made]) {
        if self.format == Format::Json && made.len() > 1 {
            let all: Vec<&str> = made.iter().map(|one| one.text.trim_end()).collect();
            return print(&format!("[\n{}\n]\n", all.join(",\n")));
        }
        for one in made {
            if self.format == Format::Pdf {
                let files = one.files.iter().flatten().filter(|file| file.extension().is_some_and(|e| e == "pdf"));
                files.for_each(|file| print(&format!("{}\n", file.display())));
                continue;
            }
            print(&one.text);
            // The page of a network study is named by its answer.
            let is_listed = self.verbose || one.entry.settings.is_empty();
            if let (Format::Text, Ok(files), true) = (self.format, &one.files, is_listed) {
                print(&format!("\n{}\n", paths(files)));
            }
        }
    }

    /// Writes the comparison and returns its first sentence and its files.
    fn compare(&self, mut entries: Vec<StudyEntry>) -> Result<String> {
        distinguish_names(&mut entries);
        let files = write_comparison(&entries, &self.out(), &self.figures())?;
        Ok(format!("{}\n{}", first_sentence(&entries), paths(&files)))
    }

    /// Makes one folder's report and writes it. `refresh` is the reload interval of the page with
    /// --watch.
    fn one(&self, folder: &Folder, refresh: Option<u64>) -> Result<Made> {
        let several = self.folders.len() > 1;
        let out = self.out();
        let link = link(&out, &folder.report().join("index.html"));
        let target = |complete: bool| ReportTarget {
            folder,
            out: if several { folder.report() } else { out.clone() },
            refresh: refresh.filter(|_| !complete),
            figures: self.figures(),
        };
        let busy = is_busy(folder);
        let name = folder.0.display().to_string();
        match open(folder)? {
            Opened::Network(opened) => {
                let Analysed { study, plan, whole, records, analysis } = analysed(folder, *opened)?;
                // The next sweep retries failed stages. `busy` is true while a sweep runs.
                let complete = !busy && is_settled(&whole, &records);
                let text = match self.format {
                    Format::Text => {
                        let page = target(complete).out.join("index.html").display().to_string();
                        let short = glance(&analysis, &Commands { page, ..commands(folder, &study) }, Screen::stdout());
                        let more = if self.verbose { format!("\n{}\n", statement(&analysis)) } else { String::new() };
                        short + &more
                    }
                    Format::Json => summary_json(&analysis),
                    Format::Latex => latex(&analysis),
                    Format::Pdf => String::new(),
                };
                let others = if self.all { withdrawn(folder, &plan)? } else { vec![] };
                let files = write_network(&analysis, &study, &plan, &records, &others, &target(complete));
                let entry = StudyEntry::network(&analysis, name, link, headline(&analysis));
                Ok(Made { text, files, entry, complete, results: records.by_key.len() })
            }
            Opened::Ridge(opened) => {
                let (study, records) = *opened;
                let cases = cases(&study)?;
                let complete = !busy && cases.iter().all(|case| records.iter().any(|record| record.key == case.key));
                let results = records.len();
                let all: Vec<&RidgeRecord> = records.iter().collect();
                let (report, files) = write_ridge(&study, &cases, &all, &target(complete))?;
                let analysis = &report.analysis;
                let text = match self.format {
                    Format::Text => render::ridge::statement(analysis, Screen::stdout()),
                    Format::Json => render::ridge::summary_json(analysis),
                    Format::Latex => render::ridge::latex(analysis),
                    Format::Pdf => String::new(),
                };
                let headline = render::ridge::headline(analysis);
                let entry = StudyEntry { name: study.name.clone(), folder: name, link, headline, settings: vec![] };
                Ok(Made { text, files, entry, complete, results })
            }
        }
    }

    /// Checks for new results and updates the reports, until every study is complete or a signal
    /// arrives.
    fn follow(&self, folders: &[Folder]) -> Result<u8> {
        let stop = stop_flag()?;
        let mut marks: Vec<Mark> = vec![];
        let mut made: Vec<Made> = vec![];
        loop {
            let mut news = false;
            for (i, folder) in folders.iter().enumerate() {
                let before = Mark::of(folder);
                if marks.get(i) == Some(&before) {
                    continue;
                }
                let one = match self.one(folder, Some(self.every)) {
                    Ok(one) => one,
                    // A folder that was readable before may become readable again, for example
                    // after `sweep --fresh`.
                    Err(error) if made.len() > i => {
                        print_error(&format!("warning: {error:#}; looking again in {} s", self.every));
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                let page = match &one.files {
                    Ok(files) => files.last().map_or(String::new(), |file| file.display().to_string()),
                    Err(error) => format!("warning: {error:#}"),
                };
                print_error(&format!("{}: {} results; {}\n  {page}", one.entry.name, one.results, one.entry.headline));
                // The mark is from before reading. A change during the reading, such as the end of
                // a sweep, is thus noticed in the next round. Only the page's time is from after
                // it, because this round has written the page.
                let mark = Mark { page: Mark::of(folder).page, ..before };
                news = true;
                if i < made.len() {
                    (marks[i], made[i]) = (mark, one);
                } else {
                    marks.push(mark);
                    made.push(one);
                }
            }
            let complete = made.iter().all(|one| one.complete);
            if news && folders.len() > 1 && !complete {
                self.compare(made.iter().map(|one| one.entry.clone()).collect())?;
            }
            if complete || !wait(&stop, Duration::from_secs(self.every)) {
                // Writes all pages once more without automatic reload, because they are no longer
                // updated.
                return self.all(folders);
            }
        }
    }
}

/// A width such as `84mm`, `8.4cm`, `3.3in` or `240pt`, in inches.
fn paper_width(text: &str) -> Result<f64, String> {
    let units = [("mm", 25.4), ("cm", 2.54), ("in", 1.0), ("pt", 72.0)];
    let known = units.iter().find_map(|(unit, per_inch)| Some((text.strip_suffix(unit)?, per_inch)));
    let (number, per_inch) = known.ok_or("expected a number with mm, cm, in or pt, e.g. 84mm")?;
    let inches = number.trim().parse::<f64>().map_err(|_| format!("`{number}` is not a number"))? / per_inch;
    match (1.0..=40.0).contains(&inches) {
        true => Ok(inches),
        false => Err("a figure is 1 to 40 inches wide".into()),
    }
}

/// The state that shows whether a report is out of date: more records, another study, or a page
/// written by another process.
#[derive(PartialEq)]
struct Mark {
    records: u64,
    /// Whether a sweep is running in the folder.
    busy: bool,
    study: Option<SystemTime>,
    page: Option<SystemTime>,
}

impl Mark {
    fn of(folder: &Folder) -> Mark {
        let time = |path: PathBuf| std::fs::metadata(path).ok()?.modified().ok();
        Mark {
            records: folder.record_bytes(),
            busy: is_busy(folder),
            study: time(folder.study()),
            page: time(folder.report().join("index.html")),
        }
    }
}

/// Whether every stage has ended in some way. A target whose source failed never runs.
pub fn is_settled(plan: &Plan, records: &Records) -> bool {
    let failed = |stage: &Stage| records.by_key.get(&stage.key).is_some_and(|record| record.status == Status::Failed);
    let settled =
        |stage: &Stage| records.by_key.contains_key(&stage.key) || stage.source.is_some_and(|source| failed(&plan.stages[source]));
    plan.stages.iter().all(settled)
}

/// Whether a process is working in a folder.
fn is_busy(folder: &Folder) -> bool {
    occupants(folder).iter().any(|occupant| occupant.works)
}

/// Waits for `time`. False if a signal ended the wait.
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
    if !folder.records().is_dir() {
        return Err(usage(format!("{} has no records", folder.0.display()), "has its records/ been moved? `sweep` makes it"));
    }
    Ok(match study.kind {
        StudyKind::Network => {
            let records = Records::read(folder)?;
            let plan = status::plan(&study, folder)?;
            Opened::Network(Box::new((study, plan, records)))
        }
        StudyKind::Ridge => {
            let (known, warnings) = ridge_record::read(folder)?;
            warnings.iter().for_each(|warning| print_error(&format!("warning: {warning}")));
            Opened::Ridge(Box::new((study, known.into_values().collect())))
        }
    })
}

/// A study of networks with its answer.
pub struct Analysed {
    /// The study and the plan that the answer is of: while a round is trained, those of the last
    /// complete one.
    pub study: Study,
    pub plan: Plan,
    /// The plan with all rounds.
    pub whole: Plan,
    pub records: Records,
    pub analysis: StudyAnalysis,
}

/// Analyses the study of a folder.
///
/// # Errors
/// The folder is not one of a study of networks.
pub fn analysed_folder(folder: &Folder) -> Result<Analysed> {
    match open(folder)? {
        Opened::Network(opened) => analysed(folder, *opened),
        Opened::Ridge(_) => Err(usage(format!("{} is a ridge study, which has no models", folder.0.display()), "name a study of networks")),
    }
}

fn analysed(folder: &Folder, (study, plan, records): (Study, Plan, Records)) -> Result<Analysed> {
    records.warnings.iter().for_each(|warning| print_error(&format!("warning: {warning}")));
    let rounds = if study.grids.is_empty() { None } else { Some(replay(&study.with_grids(vec![]), &records)?) };
    let complete = rounds.as_ref().and_then(Rounds::last_complete);
    let (study, plan, whole) = match complete {
        Some(round) => (round.study.clone(), round.plan.clone(), plan),
        None => (study, plan.clone(), plan),
    };
    let mut analysis = StudyAnalysis { history: rounds.as_ref().map(history), ..analyse(&study, &plan, &records) };
    for setting in &mut analysis.settings {
        setting.predictions = kept_predictions(folder, &study, &plan, setting);
    }
    Ok(Analysed { study, plan, whole, records, analysis })
}

/// What the kept predictions of a setting's models show. A file that cannot be read is left out,
/// with a warning.
fn kept_predictions(folder: &Folder, study: &Study, plan: &Plan, setting: &SettingAnalysis) -> Option<PredictionAnalysis> {
    let read = |(model, seed, stage): (NamedModel, u64, &Stage)| {
        let kept = KeptPredictions::read(&folder.predictions(&stage.key));
        let kept = kept.unwrap_or_else(|error| {
            print_error(&format!("warning: {error:#}; it is left out"));
            None
        })?;
        let (labels, logits) = kept.labels.into_iter().zip(kept.logits).filter_map(|(label, logits)| Some((label?, logits))).unzip();
        Some((model, seed, stage.key.clone(), Predicted { classes: kept.classes, labels, logits }))
    };
    PredictionAnalysis::of(&named_stages(study, plan, setting).into_iter().filter_map(read).collect::<Vec<_>>())
}

/// Adds how the answer was reached, if the study was run in rounds.
pub fn with_history(analysis: StudyAnalysis, study: &Study, records: &Records) -> Result<StudyAnalysis> {
    if study.grids.is_empty() {
        return Ok(analysis);
    }
    let rounds = replay(&study.with_grids(vec![]), records)?;
    Ok(StudyAnalysis { history: Some(history(&rounds)), ..analysis })
}

/// Results in the folder of stages that are not in the plan.
fn withdrawn(folder: &Folder, plan: &Plan) -> Result<Vec<FullRecord>> {
    let keys: HashSet<&str> = plan.stages.iter().map(|stage| stage.key.as_str()).collect();
    full_records(folder, |key| !keys.contains(key))
}

fn same(a: &Path, b: &Path) -> bool {
    real(a) == real(b)
}

fn paths(files: &[PathBuf]) -> String {
    files.iter().map(|file| format!("{}\n", file.display())).collect()
}
