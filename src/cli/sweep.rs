//! `sweep`: runs a study, goes on where it stopped, ends with the answer.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use super::watch::Watch;
use super::{complain, duration, print, refuse_other_kind, StudyArgs};
use crate::config::{Kind, Study};
use crate::data::search_path;
use crate::plan::{Estimate, Plan};
use crate::report::{statement, write, Place, Report};
use crate::run::engine::{self, Choice, Mock};
use crate::run::{stop_flag, sweep, usage, Tally};
use crate::store::{free_bytes, write_atomic, Folder, Lock, Manifest, Records};

const EXAMPLES: &str = "\
Examples:
  transfergrid sweep experiments/demo.yaml
  transfergrid sweep experiments/cifar10.yaml --preset small --device cpu
  transfergrid sweep experiments/mnist.yaml --seeds 3 --set source.epochs=5 --out /scratch/logs

The same command again goes on where it stopped: finished stages are kept, whatever else changed in the study.
Ctrl-C (or SIGTERM, SIGUSR1, SIGUSR2) finishes the current step, saves and exits with 75; a second Ctrl-C quits at once.";

/// Run a study: train what is not done yet, and print the answer
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SweepArgs {
    #[command(flatten)]
    study: StudyArgs,
    /// auto (CUDA where there is any), cpu, cuda:N, or several: cuda:0,cuda:1
    #[arg(long, default_value = "auto")]
    device: String,
    /// Packs trained at a time [default: one per core on CPU, one per device on CUDA]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    workers: Option<usize>,
    /// Models trained in one graph, at most [default: 1 on CPU; on CUDA as many as is fastest, measured]
    #[arg(long, value_name = "K", value_parser = at_least_one)]
    pack: Option<usize>,
    /// Results go to a folder of the study's name in this one
    #[arg(long, default_value = "logs", value_name = "FOLDER")]
    out: PathBuf,
    /// Look for data sets here first
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Discard this study's earlier results (asks first)
    #[arg(long)]
    fresh: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// No progress; only the answer and problems
    #[arg(long, short)]
    quiet: bool,
    /// torch trains; mock makes numbers up, to try a study's orchestration
    #[arg(long, value_enum, default_value_t = EngineName::Torch)]
    engine: EngineName,
    /// Milliseconds of a mock epoch
    #[arg(long, default_value_t = 0, hide = true)]
    mock_ms: u64,
    /// Share of mock stages that fail
    #[arg(long, default_value_t = 0.0, hide = true)]
    mock_fail: f64,
    /// Share of mock stages that diverge
    #[arg(long, default_value_t = 0.0, hide = true)]
    mock_diverge: f64,
    /// Models that fit into the mock device's memory
    #[arg(long, default_value_t = 4096, hide = true)]
    mock_memory: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EngineName {
    Torch,
    Mock,
}

pub fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if (1..=4096).contains(&n) => Ok(n),
        _ => Err("a whole number from 1 to 4096".into()),
    }
}

/// Below this much free space a sweep does not start.
const LEAST_FREE: f64 = 64e6;

impl SweepArgs {
    pub fn run(self) -> Result<u8> {
        let stop = stop_flag()?; // first, so that a signal never finds the default of dying on the spot
        let study = self.study.load()?;
        let plan = Plan::new(&study)?;
        let folder = Folder(self.out.join(&study.name));
        // Everything that can be refused is refused before anything is discarded.
        let engine = engine::open(&self.choice(), &plan, &search_path(self.data.as_deref()), folder.calibration())?;
        if self.out.exists() && !self.out.is_dir() {
            return Err(usage(
                format!("--out {} is not a folder", self.out.display()),
                "give a folder; results go to one of the study's name in it",
            ));
        }
        self.check_disk(&plan, &if self.fresh { Records::default() } else { Records::read(&folder)? })?;
        refuse_other_kind(&folder, Kind::Network)?;
        folder.create()?;
        let lock = Lock::take(&folder)?;
        if self.fresh {
            self.discard(&folder)?;
        }
        let records = Records::read(&folder)?;
        refuse_mixed_engines(&folder, &records, engine.name())?;
        write_atomic(&folder.study(), study.to_yaml().as_bytes())?;
        Manifest::add(&folder, engine.name(), &engine.device())?;

        let reused = plan.stages.iter().filter(|stage| records.is_final(&stage.key)).count();
        let mut watch = Watch::new(&study, &plan, &folder, &records, self.quiet);
        if !self.quiet {
            let pack = self.pack.or((!engine.device().starts_with("cuda")).then_some(1));
            watch.say(&opening(&study, &plan, &folder, reused, engine.as_ref(), pack));
        }
        let tally = sweep(&plan, &folder, engine.as_ref(), &stop, &mut watch)?;
        watch.finish()?;
        close(&study, &plan, &folder, tally, lock)
    }

    fn choice(&self) -> Choice {
        let mock = (self.engine == EngineName::Mock).then(|| Mock::new(self.mock_ms, self.mock_fail, self.mock_diverge, self.mock_memory));
        Choice { mock, device: self.device.clone(), workers: self.workers, pack: self.pack }
    }

    fn check_disk(&self, plan: &Plan, records: &Records) -> Result<()> {
        let left = plan.stages.iter().filter(|stage| !records.is_final(&stage.key));
        let need = Estimate::over(left).disk_bytes + LEAST_FREE;
        match free_bytes(&self.out) {
            Some(free) if (free as f64) < need => Err(usage(
                format!(
                    "{} has {} free; what is left of this study needs about {}",
                    self.out.display(),
                    super::bytes(free as f64),
                    super::bytes(need)
                ),
                "free some space, or choose another disk with --out",
            )),
            _ => Ok(()),
        }
    }

    fn discard(&self, folder: &Folder) -> Result<()> {
        let n = Records::read(folder).map_or(0, |records| records.by_key.len());
        if n > 0 && !self.yes {
            if !std::io::stdin().is_terminal() {
                return Err(usage(
                    format!("--fresh would discard {n} finished stages in {}", folder.0.display()),
                    "add --yes to do so without a question",
                ));
            }
            eprint!("Discard {n} finished stages in {}? [y/N] ", folder.0.display());
            let mut answer = String::new();
            std::io::stdin().read_line(&mut answer).context("no answer could be read")?;
            if !["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
                return Err(usage("nothing was discarded, nothing was run", "leave --fresh out to go on with what is there"));
            }
        }
        folder.clear()?;
        folder.create()
    }
}

/// Made-up and real numbers never share a folder.
fn refuse_mixed_engines(folder: &Folder, records: &Records, engine: &str) -> Result<()> {
    match records.by_key.values().find(|record| record.engine != engine) {
        Some(record) => Err(usage(
            format!("{} holds results of the engine `{}`, this sweep uses `{engine}`", folder.0.display(), record.engine),
            "use another --out, or --fresh to discard them",
        )),
        None => Ok(()),
    }
}

fn opening(study: &Study, plan: &Plan, folder: &Folder, reused: usize, engine: &dyn engine::Engine, pack: Option<usize>) -> String {
    let workers = engine.workers();
    let mut text = format!(
        "{}: {} cells, {} stages on {} ({} worker{}, {}) → {}",
        study.name,
        plan.cells.len(),
        plan.stages.len(),
        engine.device(),
        workers,
        if workers == 1 { "" } else { "s" },
        pack.map_or("packs as large as is fastest here, measured first".into(), |pack| format!("packs of {pack}")),
        folder.0.display()
    );
    if reused > 0 {
        text.push_str(&format!("\n{reused} stages are done already and kept; {} to go", plan.stages.len() - reused));
    }
    let left = Estimate::of(plan).cpu_seconds(workers);
    if engine.device() == "cpu" && reused == 0 && left > 3600.0 {
        text.push_str(&format!("\nthis will take roughly {} here; a smaller version may do: --preset small", duration(left)));
    }
    text
}

fn close(study: &Study, plan: &Plan, folder: &Folder, tally: Tally, lock: Lock) -> Result<u8> {
    let records = Records::read(folder)?;
    let report = Report::new(study, plan, &records);
    let files = write(&report, study, plan, &records, &Place::of(folder));
    drop(lock);
    if tally.interrupted {
        complain(&format!(
            "interrupted: {} of {} stages are done and saved; the same command goes on from here",
            tally.reused + tally.done + tally.diverged,
            plan.stages.len()
        ));
        return Ok(75);
    }
    print(&format!("{}\n\n", statement(&report)));
    // The answer stands even where its files cannot be written.
    files?.iter().for_each(|file| print(&format!("{}\n", file.display())));
    for record in plan.stages.iter().filter_map(|stage| records.by_key.get(&stage.key)).filter(|record| record.error.is_some()).take(5) {
        complain(&format!("{} {}: {}", record.kind.as_str(), record.key, record.error.as_deref().unwrap_or_default()));
    }
    Ok(if report.lacking.is_empty() { 0 } else { 3 })
}
