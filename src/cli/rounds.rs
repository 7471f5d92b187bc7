//! `sweep --until settled`: trains round after round until the question is settled, the budget is
//! used, or nothing that can be added would settle it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::report::with_history;
use super::sweep::{Ending, SweepArgs};
use super::{duration, print};
use crate::base::numbers::{number, seconds};
use crate::base::stderr::print_error;
use crate::base::usage::usage;
use crate::config::Study;
use crate::plan::StageSelection;
use crate::report::analysis::{analyse, StudyAnalysis};
use crate::report::render::{rounds_text, statement};
use crate::report::{write_network, ReportTarget};
use crate::settle::{history, replay, Outlook, Rounds};
use crate::store::{write_atomic, Folder, Records};

/// A round whose expected cost exceeds what is left of the budget by more than this share is not
/// begun.
const OVER: f64 = 0.1;
/// How often a shard looks whether the others have finished a round.
const LOOK: Duration = Duration::from_secs(1);

/// Runs the rounds. Returns the exit code: 0 whether the question was settled or the budget ended,
/// 3 if stages failed, 75 if a signal stopped it.
pub fn run(args: &mut SweepArgs, study: &Study, stop: &Arc<AtomicBool>) -> Result<u8> {
    if args.only_failed {
        return Err(usage("--only-failed runs no rounds", "leave --until out, or leave --only-failed out: failed stages are tried again"));
    }
    let folder = Folder(args.out.join(&study.name));
    let budget = study.settle.budget.as_deref().map(seconds).transpose().map_err(anyhow::Error::msg)?;
    let (shard, _) = args.own_shard()?;
    let mut workers = std::thread::available_parallelism().map_or(1, usize::from);
    let mut told = 0;
    let end = loop {
        let records = if args.fresh || !folder.records().is_dir() { Records::default() } else { Records::read(&folder)? };
        let rounds = replay(study, &records)?;
        if !args.quiet {
            told = tell(&rounds, &records, told);
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
            if stop.load(Ordering::SeqCst) {
                break End::Done(75);
            }
            std::thread::sleep(LOOK);
            continue;
        }
        let over = Arc::new(AtomicBool::new(false));
        let alarm = left.map(|left| Alarm::set(Duration::from_secs_f64(left * (1.0 + OVER)), stop.clone(), over.clone()));
        let trained = args.train(study, &round.study, Ending::Round, stop)?;
        args.fresh = false;
        workers = trained.workers;
        drop(alarm);
        if over.load(Ordering::SeqCst) {
            stop.store(false, Ordering::SeqCst);
            break End::Budget(0.0);
        }
        if trained.interrupted || !matches!(trained.code, 0 | 3) {
            break End::Done(trained.code);
        }
        let after = replay(study, &Records::read(&folder)?)?;
        if trained.code == 3 && after.outlook == Outlook::Train && after.rounds.len() == rounds.rounds.len() && shard.is_none() {
            break End::Done(3); // failed stages: the round cannot be completed
        }
    };
    close(args, study, &folder, end, workers)
}

/// Why the rounds ended.
enum End {
    /// Nothing is left to train, or training stopped with this exit code.
    Done(u8),
    /// The budget is used; the seconds that the next round would take, if known.
    Budget(f64),
}

/// Reports the last complete round.
fn close(args: &SweepArgs, study: &Study, folder: &Folder, end: End, workers: usize) -> Result<u8> {
    let records = Records::read(folder)?;
    let rounds = replay(study, &records)?;
    let round = rounds.last_complete().unwrap_or(rounds.last());
    let (shard, _) = args.own_shard()?;
    if let End::Done(75) = end {
        let n = rounds.rounds.len();
        print_error(&format!("interrupted in round {n}: what is done is saved; run the same command to resume"));
        return Ok(75);
    }
    write_atomic(&folder.study(), round.study.to_yaml().as_bytes())?;
    let analysis = with_history(analyse(&round.study, &round.plan, &records), &round.study, &records)?;
    let files = write_network(&analysis, &round.study, &round.plan, &records, &[], &ReportTarget::of(folder));
    print(&format!("{}\n", statement(&analysis)));
    if let End::Budget(expected) = end {
        let next = if expected > 0.0 { format!("; the next round needs about {} here", duration(expected)) } else { String::new() };
        let left = analysis.history.as_ref().and_then(|history| history.left).map(|left| left / workers as f64);
        let left = left.map_or(String::new(), |left| format!(", and settling it about {} in all", duration(left)));
        print(&format!(
            "The budget of {} is used{next}{left}. The same command with a larger --budget goes on.\n",
            study.settle.budget.as_deref().unwrap_or("")
        ));
    }
    if shard.is_none() {
        print("\n");
        files?.iter().for_each(|file| print(&format!("{}\n", file.display())));
    }
    Ok(match end {
        End::Done(code) => code,
        End::Budget(_) => 0,
    })
}

/// Prints what each new round adds and what was known after each. Returns the number of rounds
/// told.
fn tell(rounds: &Rounds, records: &Records, told: usize) -> usize {
    let round = rounds.last_complete().unwrap_or(rounds.last());
    let analysis = StudyAnalysis { history: Some(history(rounds)), ..analyse(&round.study, &round.plan, records) };
    rounds_text(&analysis, told).iter().for_each(|line| print_error(line));
    let complete = rounds.rounds.iter().filter(|round| round.missing == 0).count();
    if complete < rounds.rounds.len() && (told == complete || complete > told) {
        print_error(&opening(rounds));
    }
    complete.max(told)
}

fn opening(rounds: &Rounds) -> String {
    let round = rounds.last();
    let what: BTreeSet<&str> = round.what.iter().flatten().map(String::as_str).collect();
    let what: Vec<&str> = what.into_iter().collect();
    format!("round {}: {} ({} new stages, {} to train)", rounds.rounds.len(), what.join(" · "), round.stages, round.missing)
}

/// What the next round would add, for --dry-run and `plan --next`.
pub fn next_round(study: &Study, rounds: &Rounds, records: &Records, workers: usize) -> String {
    match &rounds.outlook {
        Outlook::Settled => format!("{}: settled after {} rounds; there is no next round", study.name, rounds.rounds.len()),
        Outlook::GivenUp(why) => {
            let why: Vec<&str> = why.iter().map(|(_, why)| why.as_str()).collect();
            format!("{}: not settled after {} rounds, and no next round: {}", study.name, rounds.rounds.len(), why.join("; "))
        }
        Outlook::Train => {
            let round = rounds.last();
            let expected = rounds.counted_missing(records) * rounds.scale() / workers as f64;
            let grids = round.study.grids.iter().map(|grid| {
                let numbers = |all: &[f64]| all.iter().map(|v| number(*v)).collect::<Vec<_>>().join(" ");
                let at = if grid.at.is_empty() { String::new() } else { format!("{} ", serde_json::json!(grid.at)) };
                format!(
                    "  {at}λ₀ {} · λ₁ {} · {} seeds · {} draws",
                    numbers(&grid.lambda0),
                    numbers(&grid.lambda1),
                    grid.seeds.len(),
                    grid.draws
                )
            });
            let grids: Vec<String> = grids.collect();
            format!("{}\n{}\n  roughly {} here", opening(rounds), grids.join("\n"), duration(expected))
        }
    }
}

/// Sets flags when its time is over, unless it is dropped before.
struct Alarm(Arc<AtomicBool>);

impl Alarm {
    fn set(time: Duration, stop: Arc<AtomicBool>, over: Arc<AtomicBool>) -> Alarm {
        let cancelled = Arc::new(AtomicBool::new(false));
        let flag = cancelled.clone();
        std::thread::spawn(move || {
            let started = Instant::now();
            while started.elapsed() < time {
                if flag.load(Ordering::SeqCst) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            // A signal that came first counts as a signal.
            if !stop.swap(true, Ordering::SeqCst) {
                over.store(true, Ordering::SeqCst);
            }
        });
        Alarm(cancelled)
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
