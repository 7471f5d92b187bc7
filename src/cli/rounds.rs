//! `sweep --until settled`: trains round after round until the question is settled, the budget is
//! used, or nothing that can be added would settle it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::commands::commands;
use super::sweep::{Ending, SweepArgs};
use super::{duration, exit_code, print};
use crate::base::numbers::{number, seconds};
use crate::base::stderr::print_error;
use crate::base::usage::usage;
use crate::config::{Study, StudyKind};
use crate::plan::{Plan, Stage, StageSelection};
use crate::report::analysis::{analyse, StudyAnalysis, MIN_SEEDS};
use crate::report::render::{glance, round_values, rounds_text, Commands, Screen};
use crate::report::{write_network, ReportTarget};
use crate::settle::{history, replay, Outlook, Rounds};
use crate::store::{occupants, write_atomic, Folder, Records, Status};
use crate::track::write_rounds;

/// A round whose expected cost exceeds what is left of the budget by more than this share is not
/// begun.
const OVER: f64 = 0.1;
/// How often a shard looks whether the others have finished a round.
const LOOK: Duration = Duration::from_secs(1);
/// How long it waits for shards that are not running.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the rounds. Returns the exit code: 0 whether the question was settled or the budget ended,
/// 3 if stages failed, 75 if a signal stopped it.
pub fn run(args: &mut SweepArgs, study: &Study, stop: &Arc<AtomicBool>) -> Result<u8> {
    if args.only_failed {
        return Err(usage("--only-failed runs no rounds", "leave --until out, or leave --only-failed out: failed stages are tried again"));
    }
    if study.kind == StudyKind::Ridge {
        Plan::new(study)?; // says what such a study is run with
    }
    if study.kind == StudyKind::Network && study.seeds.len() < MIN_SEEDS && !args.quiet {
        print_error(&format!("note: rounds begin with {MIN_SEEDS} seeds, fewer settle nothing; the study has {}", study.seeds.len()));
    }
    let folder = Folder(args.out.join(&study.name));
    let budget = study.settle.budget.as_deref().map(seconds).transpose().map_err(anyhow::Error::msg)?;
    let (shard, _) = args.own_shard()?;
    let shards = shard.map_or(1, |shard| shard.count);
    let mut workers = shards * args.likely_workers();
    let (mut told, mut announced, mut seen) = (0, 0, Instant::now());
    let mut lease = None;
    let end = loop {
        let read = folder.record_bytes();
        let records = if args.fresh || !folder.records().is_dir() { Records::default() } else { Records::read(&folder)? };
        let rounds = replay(study, &records)?;
        let complete = rounds.complete();
        if complete > told {
            let analysis = known(&rounds, &records);
            if !args.quiet {
                rounds_text(&analysis, told).iter().for_each(|line| print_error(line));
            }
            if !args.dry_run && shard.is_none_or(|shard| shard.index == 0) {
                if let Err(error) = write_rounds(&folder.tensorboard(), &round_values(&analysis)) {
                    print_error(&format!("warning: TensorBoard does not show the rounds: {error}"));
                }
            }
            told = complete;
        }
        if complete < rounds.rounds.len() && rounds.rounds.len() > announced {
            if !args.quiet && !args.dry_run {
                print_error(&opening(&rounds));
            }
            (announced, seen) = (rounds.rounds.len(), Instant::now());
        }
        if args.dry_run {
            print(&format!("{}\n", next_round(study, &rounds, &records, workers)));
            return Ok(0);
        }
        if rounds.outlook != Outlook::Train {
            break End::Done(0);
        }
        let spent = rounds.seconds / workers as f64;
        let expected = rounds.counted_missing(&records) * rounds.scale() / workers as f64;
        let left = budget.map(|budget| budget - spent);
        let is_known = rounds.rounds.len() > 1;
        if left.is_some_and(|left| left <= 0.0 || (is_known && expected > left * (1.0 + OVER))) {
            break End::Budget(expected);
        }
        let round = rounds.last();
        let part = StageSelection::of(&round.plan, shard);
        if shard.is_some() && part.stages(&round.plan).all(|(_, stage)| records.is_final(&stage.key)) {
            // Another shard trains the rest of this round, and its results decide the next one.
            match wait_for_others(&folder, read, stop) {
                Waited::NewResults => continue,
                Waited::Stopped => break End::Done(75),
                Waited::Alone if round.plan.stages.iter().any(|stage| has_failed(&records, &stage.key)) => break End::Done(3),
                // The others have ended because their time was over, and so is this one's.
                Waited::Alone if left.is_some_and(|left| seen.elapsed().as_secs_f64() >= left) => break End::Budget(expected),
                Waited::Alone => {
                    print_error(
                        "this round needs the results of other shards, and none of them is running: start them, then this one again",
                    );
                    return Ok(75);
                }
            }
        }
        let alarm = left.and_then(|left| Alarm::set(left * (1.0 + OVER), stop.clone()));
        let trained = args.train(study, &round.study, Ending::Round, lease.take(), stop).inspect_err(|error| {
            // For example a full disk: what the rounds before have shown is not lost.
            if exit_code(error) == 1 && complete > 0 {
                print(&glance(&known(&rounds, &records), &commands(&folder, study), Screen::stdout()));
            }
        })?;
        lease = trained.lease;
        args.fresh = false;
        workers = shards * trained.workers;
        if alarm.is_some_and(Alarm::has_rung) {
            stop.store(false, Ordering::SeqCst);
            break End::Budget(0.0);
        }
        if trained.interrupted || !matches!(trained.code, 0 | 3) {
            break End::Done(trained.code);
        }
        let after = Records::read(&folder)?;
        let fails = |(_, stage): (usize, &Stage)| {
            let source = stage.source.map(|source| round.plan.stages[source].key.as_str());
            has_failed(&after, &stage.key) || source.is_some_and(|source| has_failed(&after, source))
        };
        if trained.code == 3 && part.stages(&round.plan).any(fails) {
            break End::Done(3); // the round cannot be completed
        }
    };
    drop(lease);
    close(study, &folder, end, workers)
}

fn has_failed(records: &Records, key: &str) -> bool {
    records.by_key.get(key).is_some_and(|record| record.status == Status::Failed)
}

/// What a shard waited for.
enum Waited {
    NewResults,
    Stopped,
    /// For a while no other shard was running.
    Alone,
}

/// Waits until the folder's records have grown beyond `read` bytes.
fn wait_for_others(folder: &Folder, read: u64, stop: &AtomicBool) -> Waited {
    let mut alone_since = Instant::now();
    loop {
        if stop.load(Ordering::SeqCst) {
            return Waited::Stopped;
        }
        if folder.record_bytes() != read {
            return Waited::NewResults;
        }
        if occupants(folder).iter().any(|occupant| occupant.works) {
            alone_since = Instant::now();
        }
        if alone_since.elapsed() > PATIENCE {
            return Waited::Alone;
        }
        std::thread::sleep(LOOK);
    }
}

/// Why the rounds ended.
enum End {
    /// Nothing is left to train, or training stopped with this exit code.
    Done(u8),
    /// The budget is used; the seconds that the next round would take, if known.
    Budget(f64),
}

/// Reports the last complete round.
fn close(study: &Study, folder: &Folder, end: End, workers: usize) -> Result<u8> {
    let records = Records::read(folder)?;
    let rounds = replay(study, &records)?;
    let round = rounds.last_complete().unwrap_or(rounds.last());
    if let End::Done(75) = end {
        let n = rounds.rounds.len();
        print_error(&format!("interrupted in round {n}: what is done is saved; run the same command to resume"));
        return Ok(75);
    }
    // Of several shards, the last one to end reports.
    if occupants(folder).iter().any(|occupant| occupant.works) {
        return Ok(end.code());
    }
    let analysis = known(&rounds, &records);
    let files = write_network(&analysis, &round.study, &round.plan, &records, &[], &ReportTarget::of(folder));
    // The last stage may have ended the rounds and the budget together.
    let budget = match (&end, &rounds.outlook) {
        (End::Budget(expected), Outlook::Train) => Some(budget_used(study, &analysis, *expected, workers)),
        _ => None,
    };
    let known = commands(folder, study);
    // The same command again would find its budget used.
    let again = known.settle.clone().filter(|_| budget.is_some()).unwrap_or_else(|| known.again.clone());
    print(&glance(&analysis, &Commands { budget, again, ..known }, Screen::stdout()));
    write_atomic(&folder.study(), round.study.to_yaml().as_bytes())?;
    files?;
    Ok(end.code())
}

/// `The budget of 30m is used; the next round needs about 4 min here.`
fn budget_used(study: &Study, analysis: &StudyAnalysis, expected: f64, workers: usize) -> String {
    let next = if expected > 0.0 { format!("; the next round needs about {} here", duration(expected)) } else { String::new() };
    let left = analysis.history.as_ref().and_then(|history| history.left).map(|left| left / workers as f64);
    let left = left.map_or(String::new(), |left| format!(", and settling it about {} in all", duration(left)));
    format!("The budget of {} is used{next}{left}.", study.settle.budget.as_deref().unwrap_or(""))
}

impl End {
    fn code(&self) -> u8 {
        match self {
            End::Done(code) => *code,
            End::Budget(_) => 0,
        }
    }
}

/// The answer so far, with the rounds that led to it.
fn known(rounds: &Rounds, records: &Records) -> StudyAnalysis {
    let round = rounds.last_complete().unwrap_or(rounds.last());
    StudyAnalysis { history: Some(history(rounds)), ..analyse(&round.study, &round.plan, records) }
}

/// What the last round adds, each step once; with several settings, to which of them it adds that.
fn opening(rounds: &Rounds) -> String {
    let round = rounds.last();
    let mut steps: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (setting, what) in round.what.iter().enumerate() {
        steps.entry(what.as_deref().unwrap_or_default()).or_default().push(setting + 1);
    }
    let goes_on = steps.iter().filter(|(what, _)| !what.is_empty());
    let told: Vec<String> = match steps.len() {
        1 => goes_on.map(|(what, _)| what.to_string()).collect(),
        _ => goes_on.map(|(what, of)| format!("[{}] {what}", of.iter().map(usize::to_string).collect::<Vec<_>>().join(", "))).collect(),
    };
    format!("round {}: {} ({} new stages, {} to train)", rounds.rounds.len(), told.join(" · "), round.stages, round.missing)
}

/// What the next round would add, for --dry-run and `plan --next`.
pub fn next_round(study: &Study, rounds: &Rounds, records: &Records, workers: usize) -> String {
    match &rounds.outlook {
        Outlook::Settled => format!("{}: settled after {}; there is no next round", study.name, count(rounds.rounds.len(), "round")),
        Outlook::GivenUp(why) => {
            let why: Vec<&str> = why.iter().map(|(_, why)| why.as_str()).collect();
            format!("{}: not settled after {}, and no next round: {}", study.name, count(rounds.rounds.len(), "round"), why.join("; "))
        }
        Outlook::Train => {
            let round = rounds.last();
            let expected = rounds.counted_missing(records) * rounds.scale() / workers as f64;
            let name = study.regularizer.stands_for().unwrap_or("λ₀");
            let grids = round.study.grids.iter().map(|grid| {
                let numbers = |all: &[f64]| all.iter().map(|v| number(*v)).collect::<Vec<_>>().join(" ");
                let at = if grid.at.is_empty() { String::new() } else { format!("{} ", serde_json::json!(grid.at)) };
                let (lambda0, lambda1) = (numbers(&grid.lambda0), numbers(&grid.lambda1));
                format!("  {at}{name} {lambda0} · λ₁ {lambda1} · {} · {}", count(grid.seeds.len(), "seed"), count(grid.draws, "draw"))
            });
            let grids: Vec<String> = grids.collect();
            format!("{}\n{}\n  roughly {} here", opening(rounds), grids.join("\n"), duration(expected))
        }
    }
}

/// `1 round`, `2 rounds`.
fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// Stops training when its time is over, unless it is dropped before.
struct Alarm(Arc<AtomicU8>);

const WAITING: u8 = 0;
const CANCELLED: u8 = 1;
const OVER_NOW: u8 = 2;

impl Alarm {
    /// None for a time that is longer than anything runs.
    fn set(seconds: f64, stop: Arc<AtomicBool>) -> Option<Alarm> {
        let time = Duration::try_from_secs_f64(seconds).ok()?;
        let state = Arc::new(AtomicU8::new(WAITING));
        let own = state.clone();
        std::thread::spawn(move || {
            let started = Instant::now();
            while started.elapsed() < time {
                if own.load(Ordering::SeqCst) != WAITING || stop.load(Ordering::SeqCst) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            if own.compare_exchange(WAITING, OVER_NOW, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                stop.store(true, Ordering::SeqCst);
            }
        });
        Some(Alarm(state))
    }

    fn has_rung(self) -> bool {
        self.0.load(Ordering::SeqCst) == OVER_NOW
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let _ = self.0.compare_exchange(WAITING, CANCELLED, Ordering::SeqCst, Ordering::SeqCst);
        // over already
    }
}
