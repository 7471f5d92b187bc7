//! `theory run`: compares predictions with Monte Carlo simulation, for one or more studies.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::Result;
use clap::Args;

use super::load;
use crate::base::stderr::print_error;
use crate::base::usage::usage;
use crate::cli::{print, refuse_other_kind, refuse_other_study};
use crate::config::{Study, StudyKind};
use crate::plan::{hash, Case};
use crate::report::render::ridge::{page, statement, RidgeReport};
use crate::report::render::Screen;
use crate::report::{write_ridge, ReportTarget};
use crate::run::ridge::{memory, run, sampler, RidgeObserver};
use crate::run::stop_flag;
use crate::store::{ridge_record, write_atomic, Folder, Lease, Manifest, OnConflict, RidgeRecord};
use crate::track::{ProgressDisplay, RidgeBoard};

const EXAMPLES: &str = "\
Examples:
  transfergrid theory run experiments/figure1.yaml
  transfergrid theory run experiments/figure1.yaml --set draws=10000 --set seed=1 --out /scratch/logs
  transfergrid theory run experiments/figure1.yaml experiments/covariance.yaml     one page for both: logs/theory.html

Results go to logs/<study>/: records, TensorBoard scalars, report/ with figures, tables and index.html. The same command
resumes an interrupted run. Draws are the same for any number of threads.";

/// Simulate a ridge study, compare it with its prediction, and show which claims hold
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct RunArgs {
    /// Studies of `kind: ridge`
    #[arg(required = true, value_name = "STUDY")]
    studies: Vec<PathBuf>,
    /// Apply one of the study's presets
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Override any key, e.g. `draws=1000`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Number of threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    threads: Option<usize>,
    /// Results are written to a subfolder of this folder with the study's name
    #[arg(long, default_value = "logs", value_name = "FOLDER")]
    out: PathBuf,
    /// Discard these studies' earlier results
    #[arg(long)]
    fresh: bool,
    /// Show no progress; print only the answer and problems
    #[arg(long, short)]
    quiet: bool,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if (1..=1024).contains(&n) => Ok(n),
        _ => Err("a whole number from 1 to 1024".into()),
    }
}

impl RunArgs {
    pub fn run(self) -> Result<u8> {
        let stop = stop_flag()?;
        let mut studies: Vec<(Study, Vec<Case>)> = vec![];
        for file in &self.studies {
            let loaded = load(file, &self.preset, &self.set)?;
            if studies.iter().any(|(study, _)| study.name == loaded.0.name) {
                return Err(usage(format!("two of these studies are called `{}`", loaded.0.name), "give each a name of its own"));
            }
            studies.push(loaded);
        }
        if self.out.exists() && !self.out.is_dir() {
            return Err(usage(format!("--out {} is not a folder", self.out.display()), "give a folder"));
        }
        if let Some(threads) = self.threads {
            crate::base::threads::limit(threads);
        }
        let mut reports: Vec<RidgeReport> = vec![];
        for (study, cases) in &studies {
            match self.one(study, cases, &stop)? {
                Some(report) => reports.push(report),
                None => {
                    print_error("interrupted: finished cases are saved; run the same command to resume");
                    return Ok(75);
                }
            }
        }
        if reports.len() > 1 {
            let path = self.out.join("theory.html");
            write_atomic(&path, page(&reports.iter().collect::<Vec<_>>(), None).as_bytes())?;
            print(&format!("{}\n", path.display()));
        }
        Ok(0)
    }

    /// Runs one study. None if a signal stopped it.
    fn one(&self, study: &Study, cases: &[Case], stop: &Arc<AtomicBool>) -> Result<Option<RidgeReport>> {
        let folder = Folder(self.out.join(&study.name));
        // A covariance that cannot be read is an error before anything is written.
        let mut problems = crate::run::ridge::ProblemBuilder::new(study);
        for case in cases {
            let tasks = problems.tasks(case)?;
            let need = memory(case, &tasks, sampler(case, &tasks));
            if available_memory().is_some_and(|available| need > available) {
                return Err(usage(
                    format!("{}: a case with p = {} needs about {} of memory", study.name, case.settings.p, crate::cli::bytes(need)),
                    "reduce p, the numbers of rows, draws or penalties, or --threads; identity covariances do not need this memory",
                ));
            }
        }
        refuse_other_kind(&folder, StudyKind::Ridge)?;
        if !self.fresh {
            refuse_other_study(&folder, study, || Ok(ridge_record::read(&folder)?.0.into_keys().collect()))?;
        }
        folder.create()?;
        let version = hash(&study.to_yaml());
        let Some(lease) = Lease::take(&folder, "ridge", &version, OnConflict::Refuse, stop, &|text| print_error(text))? else {
            return Ok(None);
        };
        if self.fresh {
            folder.clear()?;
            folder.create()?;
        }
        write_atomic(&folder.study(), study.to_yaml().as_bytes())?;
        Manifest::add(&folder, None, "theory", "cpu", crate::run::ridge::digests(cases))?;
        let (known, warnings) = ridge_record::read(&folder)?;
        warnings.iter().for_each(|warning| print_error(&format!("warning: {warning}")));
        let left: Vec<&Case> = cases.iter().filter(|case| !known.contains_key(&case.key)).collect();
        if !self.quiet {
            let kept = match cases.len() - left.len() {
                0 => String::new(),
                n => format!(", {n} done already"),
            };
            print_error(&format!("{}: {} cases{kept} → {}", study.name, cases.len(), folder.0.display()));
        }
        let (mut board, warning) = RidgeBoard::open(&folder.tensorboard(), study, cases);
        warning.iter().for_each(|warning| print_error(&format!("warning: {warning}")));
        known.values().for_each(|record| {
            if let Some(case) = cases.iter().find(|case| case.key == record.key) {
                board.add(case, record);
            }
        });
        let draws = draws_of(&left);
        let watch = RidgeProgress {
            progress: Mutex::new(ProgressDisplay::new("cases", "draws", left.len(), draws as f64, self.quiet)),
            board: Mutex::new(board),
        };
        let interrupted = run(study, cases, &folder, &lease, stop, &watch)?;
        if let Ok(progress) = watch.progress.lock() {
            progress.finish();
        }
        if interrupted || stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let (known, _) = ridge_record::read(&folder)?;
        let records: Vec<&RidgeRecord> = cases.iter().filter_map(|case| known.get(&case.key)).collect();
        if records.len() < cases.len() {
            anyhow::bail!("{} of {} cases have no record in {}", cases.len() - records.len(), cases.len(), folder.0.display());
        }
        let (report, files) = write_ridge(study, cases, &records, &ReportTarget::of(&folder))?;
        drop(lease);
        print(&format!("{}\n", statement(&report.analysis, Screen::stdout())));
        // Errors of writing are reported after the answer.
        files?.iter().for_each(|file| print(&format!("{}\n", file.display())));
        print("\n");
        Ok(Some(report))
    }
}

/// Available memory of this machine in bytes. None if the system does not report it.
fn available_memory() -> Option<f64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(1024.0 * line.trim().trim_end_matches("kB").trim().parse::<f64>().ok()?)
}

/// Number of draws to make. Cases with the same design share their draws.
fn draws_of(left: &[&Case]) -> usize {
    let mut seen: Vec<&str> = vec![];
    let mut sum = 0;
    for case in left {
        let targets = case.settings.targets.as_ref().map_or(1, Vec::len);
        if case.settings.targets.is_some() || !seen.contains(&case.design.as_str()) {
            seen.push(&case.design);
            sum += case.settings.draws * targets;
        }
    }
    sum
}

struct RidgeProgress {
    progress: Mutex<ProgressDisplay>,
    board: Mutex<RidgeBoard>,
}

impl RidgeObserver for RidgeProgress {
    fn drawn(&self) {
        if let Ok(mut progress) = self.progress.lock() {
            progress.epoch(1.0, 1.0);
        }
    }

    fn done(&self, case: &Case, record: &RidgeRecord) {
        if let Ok(mut progress) = self.progress.lock() {
            progress.stage_ended();
            if let Ok(mut board) = self.board.lock() {
                if let Some(warning) = board.add(case, record) {
                    progress.say(&format!("warning: {warning}"));
                }
            }
        }
    }

    fn warn(&self, message: &str) {
        if let Ok(progress) = self.progress.lock() {
            progress.say(&format!("warning: {message}"));
        }
    }
}
