//! `sweep`: runs a study, resumes where it stopped, and prints the answer at the end.

use std::collections::HashSet;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{bail, Context, Result};
use clap::{Args, FromArgMatches, ValueEnum};

use super::attempt::Attempt;
use super::commands::{commands, typed};
use super::places::remember_places;
use super::report::{is_settled, with_history};
use super::shard::ShardArg;
use super::watch::Watch;
use super::{duration, exit_code, print, refuse_other_kind, refuse_other_study, StudyArgs};
use crate::base::numbers::seconds;
use crate::base::stderr::print_error;
use crate::base::usage::usage;
use crate::config::{Overrides, Study, StudyKind};
use crate::data::search_path;
use crate::plan::{hash, CostEstimate, KeyVersion, Plan, Shard, Stage, StageSelection};
use crate::report::analysis::analyse;
use crate::report::render::{glance, Screen};
use crate::report::{write_network, ReportTarget};
use crate::run::engine::{self, EngineOptions, Mock};
use crate::run::{stop_flag, sweep, SweepOptions, SweepSummary};
use crate::store::{free_bytes, occupants, write_atomic, Folder, Lease, Manifest, OnConflict, Records, Status};

const EXAMPLES: &str = "\
Examples:
  transfergrid sweep experiments/demo.yaml
  transfergrid sweep experiments/cifar10.yaml --preset small --device cpu
  transfergrid sweep experiments/mnist.yaml --seeds 3 --set source.epochs=5 --out /scratch/logs
  transfergrid sweep experiments/cifar10.yaml --preset small --until settled --budget 2h

The same command resumes the sweep: finished stages are kept, even if other parts of the study have changed.
Ctrl-C (or SIGTERM, SIGUSR1, SIGUSR2) finishes the current step, saves and exits with 75; a second Ctrl-C quits at once.";

/// Run a study: train the unfinished stages and print the answer
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SweepArgs {
    #[command(flatten)]
    pub(super) study: StudyArgs,
    /// auto (CUDA if available), cpu, cuda:N, or several: cuda:0,cuda:1
    #[arg(long, visible_alias = "devices", default_value = "auto")]
    device: String,
    /// Packs trained in parallel [default: one per core on CPU, one per device on CUDA]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    workers: Option<usize>,
    /// Largest number of models trained in one graph [default: 1 on CPU; on CUDA the fastest
    /// number, measured first]
    #[arg(long, value_name = "K", value_parser = at_least_one)]
    pack: Option<usize>,
    /// Run one part of the study: I/N with I starting at 0, or auto/N: I from SLURM_ARRAY_TASK_ID
    /// or JOB_COMPLETION_INDEX
    #[arg(long, value_name = "I/N")]
    shard: Option<ShardArg>,
    /// Go on in rounds, which add λ₀, seeds and draws where they help most, until the study's
    /// question is settled
    #[arg(long, value_enum, value_name = "WHAT")]
    until: Option<Until>,
    /// With --until: the time that training may use here, e.g. 45m or 2h
    #[arg(long, value_name = "TIME", requires = "until", value_parser = time)]
    budget: Option<String>,
    /// Optimal λ₀ within this factor of each other are the same [default: 1.5]
    #[arg(long, value_name = "FACTOR")]
    margin: Option<f64>,
    /// With --until: print what the next round would add, and run nothing
    #[arg(long, requires = "until")]
    pub(super) dry_run: bool,
    /// How often a failed pack is retried
    #[arg(long, default_value_t = 0, value_name = "N")]
    retries: usize,
    /// Stop at the first failure
    #[arg(long)]
    fail_fast: bool,
    /// Run only stages that failed before and stages that depend on them; the exit code refers to
    /// these
    #[arg(long, conflicts_with = "fresh")]
    pub(super) only_failed: bool,
    /// Seconds between two checkpoints of a pack during training
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    checkpoint_every: u64,
    /// Results are written to a subfolder of this folder with the study's name
    #[arg(long, default_value = "logs", value_name = "FOLDER")]
    pub(super) out: PathBuf,
    /// Search for data sets in this folder first
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Discard this study's earlier results (asks first)
    #[arg(long)]
    pub(super) fresh: bool,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
    /// Show no progress; print only the answer and problems
    #[arg(long, short)]
    pub(super) quiet: bool,
    /// torch trains; mock generates made-up numbers, to test a study's orchestration
    #[arg(long, value_enum, default_value_t = EngineName::Torch)]
    engine: EngineName,
    /// Milliseconds per mock epoch
    #[arg(long, default_value_t = 0, hide = true)]
    mock_ms: u64,
    /// Fraction of mock stages that fail
    #[arg(long, default_value_t = 0.0, hide = true)]
    mock_fail: f64,
    /// Fraction of mock stages that diverge
    #[arg(long, default_value_t = 0.0, hide = true)]
    mock_diverge: f64,
    /// Models that fit into the mock device's memory
    #[arg(long, default_value_t = 4096, hide = true)]
    mock_memory: usize,
    /// Fraction of mock packs that fail on the first attempt
    #[arg(long, default_value_t = 0.0, hide = true)]
    mock_flaky: f64,
    /// Fraction of mock stages that lose their device
    #[arg(long, default_value_t = 0.0, hide = true)]
    mock_deadly: f64,
    /// Index of a mock worker that loses its device
    #[arg(long, hide = true)]
    mock_lost: Option<usize>,
}

/// A length of time, as it is written.
pub(super) fn time(text: &str) -> Result<String, String> {
    seconds(text).map(|_| text.to_string())
}

/// What ends the rounds of a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Until {
    Settled,
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

/// Number of failed or diverged stages whose errors are printed at the end.
const ERRORS_TOLD: usize = 5;

/// Age at which a partially written file counts as abandoned. Writing a file never takes this long.
const OLD: Duration = Duration::from_secs(3600);

/// Bytes of free space that a sweep keeps in reserve beyond its own need. It does not start with
/// less.
const LEAST_FREE: f64 = 64e6;

/// What is printed when the stages of a study have been trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The answer and the report's files.
    Answer,
    /// Problems alone: another round may follow.
    Round,
}

/// How training ended.
pub(super) struct Trained {
    pub code: u8,
    pub interrupted: bool,
    pub workers: usize,
    /// Kept for the next round, so that no other process begins one in between. Shards release
    /// theirs: they wait for each other as long as one of them holds a lease.
    pub lease: Option<Lease>,
}

/// What a sweep is asked to run.
#[derive(Clone, Copy)]
struct Asked<'a> {
    study: &'a Study,
    plan: &'a Plan,
    part: &'a StageSelection,
}

impl SweepArgs {
    /// Checks whether a shard would accept these arguments. They do not include the subcommand
    /// itself.
    ///
    /// # Errors
    /// A [`crate::base::usage::UsageError`], the same as from the sweep itself.
    pub fn check_shard(words: &[String]) -> Result<()> {
        let command = SweepArgs::augment_args(clap::Command::new("sweep").no_binary_name(true));
        let args = command.try_get_matches_from(words).and_then(|matches| SweepArgs::from_arg_matches(&matches)).map_err(|error| {
            let text = error.to_string(); // for --help this is the help text
            let what = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_string();
            usage(format!("`sweep` would refuse its arguments: {what}"), "`transfergrid sweep --help` lists them")
        })?;
        if args.study.preset.is_some() || args.study.seeds.is_some() || !args.study.set.is_empty() {
            return Err(usage(
                "--preset, --seeds and --set change the study",
                "pass them to `launch` itself, so that all tasks run the same study",
            ));
        }
        args.refuse_fresh_shard()
    }

    fn refuse_fresh_shard(&self) -> Result<()> {
        match self.shard.is_some() && self.fresh {
            true => Err(usage(
                "--fresh discards the whole study, --shard is one part of it",
                "discard first, without --shard; or use another --out",
            )),
            false => Ok(()),
        }
    }

    pub fn run(mut self) -> Result<u8> {
        self.refuse_fresh_shard()?;
        if self.fresh && !self.yes {
            self.ask()?; // before signals are caught, so that Ctrl-C can also answer the question
        }
        let stop = stop_flag()?; // as early as possible: until here a signal ends the program immediately
        self.study.set.extend(self.margin.map(|margin| format!("settle.margin={margin}")));
        self.study.set.extend(self.budget.as_ref().map(|budget| format!("settle.budget={budget}")));
        let study = self.study.load()?;
        if self.out.exists() && !self.out.is_dir() {
            return Err(usage(
                format!("--out {} is not a folder", self.out.display()),
                "give a folder; results go to a subfolder with the study's name",
            ));
        }
        match self.until {
            Some(Until::Settled) => super::rounds::run(&mut self, &study, &stop),
            None => Ok(self.train(&study, &study, Ending::Answer, None, &stop)?.code),
        }
    }

    /// The shard that this process runs, and the name of its records.
    pub(super) fn own_shard(&self) -> Result<(Option<Shard>, String)> {
        let variable = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        let shard = self.shard.map(|shard| shard.resolve(variable)).transpose()?;
        Ok((shard, shard.map_or("main".into(), |shard| shard.writer())))
    }

    /// What all processes on a folder must share: the study, and whether it runs in rounds. Their
    /// budgets may differ.
    fn identity(&self, base: &Study) -> String {
        match self.until {
            None => hash(&base.to_yaml()),
            Some(until) => hash(&format!("{until:?} {}", base.without_budget().to_yaml())),
        }
    }

    /// Workers of this process, as far as its arguments tell before the engine is open.
    pub(super) fn likely_workers(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let gpus = self.device.split(',').filter(|device| device.starts_with("cuda")).count();
        self.workers.unwrap_or(if gpus > 0 { gpus } else { cores })
    }

    /// Trains the unfinished stages of a study. `base` is the study that the user gave; in rounds,
    /// `study` has other grids, and `kept` is the lease of the round before.
    pub(super) fn train(
        &self,
        base: &Study,
        study: &Study,
        ending: Ending,
        kept: Option<Lease>,
        stop: &Arc<AtomicBool>,
    ) -> Result<Trained> {
        let plan = Plan::new(study)?;
        let (shard, writer) = self.own_shard()?;
        let folder = Folder(self.out.join(&study.name));
        let held = if shard.is_some() { OnConflict::Wait } else { OnConflict::Refuse };
        // Before the data are read, because reading them may be what gets the pod killed.
        let attempt = if shard.is_some() { Attempt::begin(&folder, &writer)? } else { None };
        // All checks that can refuse the sweep run before anything is discarded.
        let engine = engine::open(&self.choice(), &plan, &search_path(self.data.as_deref()), folder.calibration())?;
        refuse_other_kind(&folder, StudyKind::Network)?;
        folder.create()?;
        let yaml = study.to_yaml();
        let lease = match kept {
            Some(lease) => Some(lease),
            None => Lease::take(&folder, &writer, &self.identity(base), held, stop, &|text| print_error(text))?,
        };
        let Some(lease) = lease else {
            print_error("interrupted while waiting; nothing was run");
            return Ok(Trained { code: 75, interrupted: true, workers: engine.workers(), lease: None });
        };
        if shard.is_none() {
            folder.remove_parts(Duration::ZERO); // no other process works in this folder
        }
        let mut part = StageSelection::of(&plan, shard);
        let keys: HashSet<&str> = part.stages(&plan).map(|(_, stage)| stage.key.as_str()).collect();
        // With --fresh, earlier results are ignored.
        let records = if self.fresh { Records::default() } else { Records::read_some(&folder, |key| keys.contains(key))? };
        if !self.fresh {
            refuse_mixed_engines(&folder, engine.name())?;
        }
        if self.only_failed {
            keep_failed(&mut part, &plan, &records);
            if part.stages(&plan).next().is_none() {
                let missing = keys.iter().filter(|key| !records.is_final(key)).count();
                print_error(&format!(
                    "no stage has failed, so nothing is rerun; {missing} stages are missing: run without --only-failed to train them"
                ));
            }
        }
        self.check_disk(&plan, &part, &records)?;
        if !self.fresh {
            refuse_other_study(&folder, study, || Ok(Records::statuses(&folder)?.0.into_keys().collect()))?;
        }
        if self.fresh {
            folder.clear()?;
            folder.create()?;
        }
        remember_places(&folder, &plan)?;
        let had_rounds = || Study::load(&folder.study(), &Overrides::default()).is_ok_and(|before| !before.grids.is_empty());
        if ending == Ending::Answer && study.grids.is_empty() && !self.fresh && had_rounds() {
            print_error(
                "note: this is the answer of the study as it is written; what the rounds of `--until settled` added is kept and left out: \
                 the same command with `--until settled` shows their answer again",
            );
        }
        write_atomic(&folder.study(), yaml.as_bytes())?;
        let digests = plan.data().into_iter().map(|name| (name.to_string(), name.info().digest.clone())).collect();
        Manifest::add(&folder, shard.map(|_| writer.as_str()), engine.name(), &engine.device(), digests)?;

        if let Some(warning) = of_older_keys(study, &plan, &records, &folder)? {
            print_error(&warning);
        }
        let mut watch = Watch::new(study, &plan, &part, &folder, &records, self.quiet);
        if !self.quiet {
            let pack = self.pack.or((!engine.device().starts_with("cuda")).then_some(1));
            watch.say(&opening(Asked { study, plan: &plan, part: &part }, &records, &folder, engine.as_ref(), pack));
        }
        let order = SweepOptions {
            plan: &plan,
            part: &part,
            folder: &folder,
            lease: &lease,
            engine: engine.as_ref(),
            retries: self.retries,
            fail_fast: self.fail_fast,
            snapshot_every: Duration::from_secs(self.checkpoint_every),
        };
        let tally = match sweep(&order, records, stop, &mut watch) {
            // A Job allows each index only a limited number of failures, regardless of the work
            // done between them.
            Err(error) if exit_code(&error) == 1 && attempt.as_ref().is_some_and(Attempt::has_progressed) => {
                print_error(&format!("error: {error:#}\nwhat was trained is saved; Kubernetes restarts this index"));
                return Ok(Trained { code: 75, interrupted: true, workers: engine.workers(), lease: None });
            }
            outcome => outcome?,
        };
        lease.check()?;
        let keeps = ending == Ending::Round && shard.is_none();
        let (released, lease) = if keeps { (None, Some(lease)) } else { (Some(lease), None) };
        let code = close(Asked { study, plan: &plan, part: &part }, &folder, tally, released, &mut watch, ending)?;
        Ok(Trained { code, interrupted: tally.interrupted, workers: engine.workers(), lease })
    }

    fn choice(&self) -> EngineOptions {
        let mock = (self.engine == EngineName::Mock).then(|| Mock {
            epoch_ms: self.mock_ms,
            fail: self.mock_fail,
            diverge: self.mock_diverge,
            memory: self.mock_memory,
            lost: self.mock_lost,
            deadly: self.mock_deadly,
            flaky: self.mock_flaky,
            failed: Arc::default(),
            workers: self.workers,
            pack: self.pack,
        });
        EngineOptions { mock, device: self.device.clone(), workers: self.workers, pack: self.pack }
    }

    fn check_disk(&self, plan: &Plan, part: &StageSelection, records: &Records) -> Result<()> {
        let left = part.stages(plan).map(|(_, stage)| stage).filter(|stage| !records.is_final(&stage.key));
        let need = CostEstimate::over(left).disk_bytes;
        match free_bytes(&self.out) {
            // Not a usage error: the same command works once there is enough space.
            Some(free) if (free as f64) < need + LEAST_FREE => bail!(
                "{} has {} free; what is left of this study needs about {}, and {} are kept free\n  hint: free some space, or choose another disk with --out",
                self.out.display(),
                super::bytes(free as f64),
                super::bytes(need),
                super::bytes(LEAST_FREE)
            ),
            _ => Ok(()),
        }
    }

    /// Asks the user to confirm what --fresh would discard.
    fn ask(&self) -> Result<()> {
        let folder = Folder(self.out.join(&self.study.load()?.name));
        let n = Records::read(&folder).map_or(0, |records| records.by_key.len());
        if n == 0 {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            return Err(usage(
                format!("--fresh would discard {n} finished stages in {}", folder.0.display()),
                "add --yes to do so without a question",
            ));
        }
        let _ = write!(std::io::stderr(), "Discard {n} finished stages in {}? [y/N] ", folder.0.display()); // errors are ignored: a user who does not see the question does not confirm it
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).context("no answer could be read")?;
        match ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
            true => Ok(()),
            false => Err(usage("nothing was discarded, nothing was run", "leave --fresh out to go on with what is there")),
        }
    }
}

/// Returns an error if the folder's results come from another engine. Made-up and real numbers must
/// never share a folder.
fn refuse_mixed_engines(folder: &Folder, engine: &str) -> Result<()> {
    match Records::engines(folder)?.into_iter().find(|other| other != engine) {
        Some(other) => Err(usage(
            format!("{} holds results of the engine `{other}`, this sweep uses `{engine}`", folder.0.display()),
            "use another --out, or --fresh to discard them",
        )),
        None => Ok(()),
    }
}

/// The warning about results in the folder from an earlier version of this program. None if there
/// are none.
fn of_older_keys(study: &Study, plan: &Plan, records: &Records, folder: &Folder) -> Result<Option<String>> {
    if !records.by_key.is_empty() || folder.record_bytes() == 0 {
        return Ok(None);
    }
    let old = Plan::with_keys(study, KeyVersion::Two)?;
    let known = Records::statuses(folder)?.0;
    // One known key is enough. Grids had other digits then, so not all old keys can be reproduced.
    if !old.stages.iter().any(|stage| known.contains_key(&stage.key)) {
        return Ok(None);
    }
    let now: HashSet<&str> = plan.stages.iter().map(|stage| stage.key.as_str()).collect();
    let known = known.keys().filter(|key| !now.contains(key.as_str())).count();
    Ok((known > 0).then(|| {
        format!(
            "{known} results in {} are of an earlier version of transfergrid, which did not verify its data sets. They stay in its \
             records/, and all {} stages are trained again.",
            folder.0.display(),
            plan.stages.len()
        )
    }))
}

/// Reduces a selection to the failed stages and the stages that depend on them.
fn keep_failed(part: &mut StageSelection, plan: &Plan, records: &Records) {
    let failed = |index: usize| records.by_key.get(&plan.stages[index].key).is_some_and(|record| record.status == Status::Failed);
    for (index, stage) in plan.stages.iter().enumerate() {
        part.chosen[index] &= failed(index) || (!records.is_final(&stage.key) && stage.source.is_some_and(failed));
    }
    // If a failed target's source has no result, for example because its record was damaged, the
    // source has to run first.
    for (index, stage) in plan.stages.iter().enumerate().filter(|(_, stage)| stage.source.is_some()) {
        let source = stage.source.filter(|&source| part.chosen[index] && !records.is_final(&plan.stages[source].key));
        source.into_iter().for_each(|source| part.chosen[source] = true);
    }
}

fn opening(
    Asked { study, plan, part }: Asked,
    records: &Records,
    folder: &Folder,
    engine: &dyn engine::Engine,
    pack: Option<usize>,
) -> String {
    let workers = engine.workers();
    let own: Vec<&Stage> = part.stages(plan).map(|(_, stage)| stage).collect();
    let what = match part.shard {
        Some(shard) => format!("shard {shard}: {} of {} stages", own.len(), plan.stages.len()),
        None if own.len() < plan.stages.len() => format!("{} of {} stages", own.len(), plan.stages.len()),
        None => format!("{} cells, {} stages", plan.cells.len(), own.len()),
    };
    let mut text = format!(
        "{}: {what} on {} ({} worker{}, {}) → {}",
        study.name,
        engine.device(),
        workers,
        if workers == 1 { "" } else { "s" },
        pack.map_or("the fastest pack size is measured first".into(), |pack| format!("packs of {pack}")),
        folder.0.display()
    );
    let left: Vec<&Stage> = own.iter().filter(|stage| !records.is_final(&stage.key)).copied().collect();
    let reused = own.len() - left.len();
    if reused > 0 {
        text.push_str(&format!("\n{reused} stages are done already and kept; {} to go", left.len()));
    }
    let seconds = CostEstimate::over(left).cpu_seconds(workers);
    if engine.device() == "cpu" && reused == 0 && seconds > 3600.0 {
        text.push_str(&format!("\nthis will take roughly {} here; a smaller version may do: --preset small", duration(seconds)));
    }
    text
}

/// Writes the report and returns the exit code. A shard reports its own part; the last shard to end
/// reports the study.
fn close(
    Asked { study, plan, part }: Asked,
    folder: &Folder,
    tally: SweepSummary,
    lease: Option<Lease>,
    watch: &mut Watch,
    ending: Ending,
) -> Result<u8> {
    // The lease is released first. Of two shards that end together, at least one then finds that
    // all others have ended.
    drop(lease);
    let alone = part.shard.is_none_or(|shard| others_ended(folder, shard));
    let keys: HashSet<&str> = part.stages(plan).map(|(_, stage)| stage.key.as_str()).collect();
    let records = Records::read_some(folder, |key| alone || keys.contains(key))?;
    let tells = part.shard.is_none() || (alone && is_settled(plan, &records));
    if part.shard.is_some() && tells {
        folder.remove_parts(OLD); // another shard may have been restarted in the meantime and be writing files
    }
    watch.finish(tells.then_some(&records));
    let analysis = tells.then(|| with_history(analyse(study, plan, &records), study, &records)).transpose()?;
    let files = analysis.as_ref().map(|analysis| write_network(analysis, study, plan, &records, &[], &ReportTarget::of(folder)));
    if tally.interrupted && ending == Ending::Round {
        return Ok(75);
    }
    if tally.interrupted {
        print_error(&format!(
            "interrupted: {} of {} stages are done and saved; run the same command to resume",
            tally.reused + tally.done + tally.diverged,
            keys.len()
        ));
        return Ok(75);
    }
    let of_part = || part.stages(plan).map(|(_, stage)| records.by_key.get(&stage.key));
    let tell_errors = || {
        let stages = part.stages(plan).filter_map(|(_, stage)| Some((stage, records.by_key.get(&stage.key)?.error.as_deref()?)));
        let errors: Vec<String> = stages.map(|(stage, error)| format!("{} {}: {error}", stage.kind.as_str(), stage.label())).collect();
        let has_failed = of_part().flatten().any(|record| record.status == Status::Failed);
        if !errors.is_empty() {
            let what = if has_failed { "failed or diverged; the same command retries the failed ones" } else { "diverged" };
            print_error(&format!("{} of {} stages {what}:", errors.len(), keys.len()));
        }
        errors.iter().take(ERRORS_TOLD).for_each(|error| print_error(error));
        if errors.len() > ERRORS_TOLD {
            print_error(&format!("… and {} more; the report lists all", errors.len() - ERRORS_TOLD));
        }
    };
    if tally.gave_up {
        tell_errors();
        print_error("stopped at the first failure because of --fail-fast; run the same command to resume");
        return Ok(3);
    }
    match &analysis {
        _ if ending == Ending::Round => {}
        Some(analysis) => print(&glance(analysis, &commands(folder, study), Screen::stdout())),
        None => print(&format!(
            "{}{} of its {} stages are done; `transfergrid report {}` merges the results of all shards\n",
            part.shard.map_or(String::new(), |shard| format!("shard {shard}: ")),
            keys.iter().filter(|key| records.is_final(key)).count(),
            keys.len(),
            typed(&folder.0)
        )),
    }
    // The answer is printed even if its files could not be written.
    files.transpose()?;
    tell_errors();
    let sound = match (&analysis, part.shard) {
        (Some(analysis), None) if part.is_whole() => analysis.counts.is_complete(),
        _ => of_part().all(|record| record.is_some_and(|record| record.status == Status::Done)),
    };
    Ok(if sound { 0 } else { 3 })
}

/// Whether all other shards have been started and none is running now. This shard may then be the
/// last.
fn others_ended(folder: &Folder, shard: Shard) -> bool {
    let others: HashSet<Shard> = occupants(folder)
        .into_iter()
        .filter(|occupant| !occupant.works)
        .filter_map(|occupant| Shard::of_writer(&occupant.writer))
        .filter(|other| other.count == shard.count && other.index != shard.index)
        .collect();
    others.len() + 1 == shard.count
}
