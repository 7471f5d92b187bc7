//! Walks a plan: what is done is skipped, the rest goes to the engine pack by pack, and every result becomes a record.
//!
//! Workers train; the calling thread alone writes records and talks to whoever watches.

mod checkpoint_writer;
mod coordinator;
pub mod engine;
mod queue;
mod record_sink;
mod resume;
pub mod ridge;
mod shard_status;
mod signals;
mod worker;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{mpsc, Arc};
use std::time::Duration;

use anyhow::{bail, Context, Result};
use serde_json::{json, Value as Json};

use crate::base::numbers::number;
use crate::plan::{Plan, Stage, StageSelection};
use crate::store::{self, Checkpoint, CrashLog, Folder, Lease, Record, Records, Status, Writer};
use coordinator::{Coordinator, MAX_CRASHES};
use engine::{Engine, Epoch};
use queue::Queue;
use record_sink::{after_divergence, RecordSink};
use worker::Worker;

pub use shard_status::{shard_statuses, ShardStatus, StageCounts};
pub use signals::stop_flag;

/// Who hears of a sweep while it runs.
pub trait Watcher {
    /// A stage was handed to a worker.
    fn started(&mut self, stage: &Stage);
    /// A stage finished an epoch: trained just now, or by an earlier sweep from whose snapshot it goes on.
    fn epoch(&mut self, stage: &Stage, epoch: &Epoch, trained: bool);
    /// A stage ended, and its record is on disk.
    fn ended(&mut self, stage: &Stage, record: &Record, records: &Records);
    /// Called at least a few times a second, with the share of workers that were training since the last call.
    fn tick(&mut self, records: &Records, busy: f64);
    /// The sweep was asked to stop: what is at hand finishes its step and is saved.
    fn stopping(&mut self);
    /// Finished stages that are trained again, since their models are gone.
    fn retry(&mut self, stages: &[&Stage]);
    /// Something to tell, once.
    fn warn(&mut self, message: &str);
}

/// What is to be run, and how.
pub struct SweepOptions<'a> {
    pub plan: &'a Plan,
    /// The stages that are this process's. A source stage that is wanted by one of its targets and has no result must be one of them.
    pub part: &'a StageSelection,
    pub folder: &'a Folder,
    pub lease: &'a Lease,
    pub engine: &'a dyn Engine,
    /// How often a pack that failed is tried again.
    pub retries: usize,
    /// Whether the first failure ends the sweep.
    pub fail_fast: bool,
    /// Between two snapshots of a running pack.
    pub snapshot_every: Duration,
}

impl SweepOptions<'_> {
    fn stages(&self) -> impl Iterator<Item = (usize, &Stage)> {
        self.part.stages(self.plan)
    }

    /// The file that tells which stages are in work.
    fn running(&self) -> PathBuf {
        self.folder.running(self.lease.records())
    }
}

/// How a sweep went; numbers of the chosen stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SweepSummary {
    /// Stages whose record was there already.
    pub reused: usize,
    pub done: usize,
    pub diverged: usize,
    pub failed: usize,
    /// Stages that were not run: stopped before, or their source failed.
    pub missing: usize,
    /// A signal ended the sweep.
    pub interrupted: bool,
    /// A failure ended the sweep, as [`SweepOptions::fail_fast`] wants it.
    pub gave_up: bool,
}

/// Checkpoints that may wait for the disk; with more, training waits.
const WRITES_WAITING: usize = 64;

/// Sweeps the chosen stages of a plan, of which `records` has what is there, and of their sources. `stop` set means: finish the current step, write snapshots, return.
///
/// # Errors
/// The store fails, another process has taken over the lease, or every worker has died.
pub fn sweep(options: &SweepOptions, mut records: Records, stop: &Arc<AtomicBool>, watcher: &mut dyn Watcher) -> Result<SweepSummary> {
    let SweepOptions { plan, folder, engine, .. } = *options;
    records.warnings.iter().for_each(|warning| watcher.warn(warning));
    let mut writer = Writer::open(folder, options.lease, &mut |warning| watcher.warn(warning))?;
    let mut summary =
        SweepSummary { reused: options.stages().filter(|(_, stage)| records.is_final(&stage.key)).count(), ..SweepSummary::default() };

    // A finished source whose targets are not all done must still have its model; else it is trained once more.
    let mut retry = HashSet::new();
    let wanted: BTreeSet<usize> =
        options.stages().filter(|(_, stage)| !records.is_final(&stage.key)).filter_map(|(_, stage)| stage.source).collect();
    for source in wanted {
        let record = records.by_key.get(&plan.stages[source].key);
        if record.is_some_and(|record| record.status == Status::Done) {
            let path = folder.model(&plan.stages[source].key);
            if Checkpoint::read_sound(&path, "this source is trained again", &mut |warning| watcher.warn(warning))?.is_none() {
                retry.insert(source);
            }
        }
    }

    if !retry.is_empty() {
        let waits = |stage: &Stage| stage.source.is_some_and(|source| retry.contains(&source)) && !records.is_final(&stage.key);
        let (sources, targets) = (retry.len(), options.stages().filter(|(_, stage)| waits(stage)).count());
        watcher.warn(&format!(
            "{sources} finished source{} trained again, as {} no longer in {}, for {targets} target{}",
            if sources == 1 { " is" } else { "s are" },
            if sources == 1 { "its model is" } else { "their models are" },
            folder.checkpoints().display(),
            if targets == 1 { "" } else { "s" }
        ));
        watcher.retry(&retry.iter().map(|&index| &plan.stages[index]).collect::<Vec<_>>());
    }

    // Sources that diverged take their targets with them. What is not chosen is nobody's business here.
    let finished = |index: usize| (!options.part.chosen[index] || records.is_final(&plan.stages[index].key)) && !retry.contains(&index);
    let crash_log = CrashLog::read(folder)?;
    let suspects =
        options.stages().map(|(index, stage)| (index, crash_log.of(&stage.key))).filter(|&(_, crash_log)| crash_log > 0).collect();
    let mut queue = Queue::new(plan, engine.workers(), pack_sizes(plan, engine, finished), suspects, finished);
    let already: Vec<(usize, String)> = queue.blocked(plan, |source| {
        records.by_key.get(&plan.stages[source].key).filter(|r| r.status == Status::Diverged).and_then(|r| r.error.clone())
    });
    let mut sink = RecordSink { plan, folder, engine, writer: &mut writer, records: &mut records, summary: &mut summary, watcher };
    for (target, error) in already {
        queue.drop_stage(plan, target);
        sink.write(target, &after_divergence(&error), 0.0, 1)?;
    }
    for warning in resume::resume_packs(options, &mut queue)? {
        sink.watcher.warn(&warning);
    }

    let (sender, messages) = mpsc::channel();
    let (jobs, to_write) = mpsc::sync_channel(WRITES_WAITING);
    let shared = worker::Shared::new(plan, queue, stop.clone(), folder.clone(), options.snapshot_every);
    let key = |index: usize| plan.stages[index].key.clone();
    let result = std::thread::scope(|scope| {
        // However this thread leaves, by an error or a panic: the workers stop, and what they still
        // send is not needed.
        let leaving = StopOnDrop(stop);
        // First: without it no worker could hand anything over.
        let out = sender.clone();
        let keep = move || checkpoint_writer::keep(&key, folder, options.lease, &to_write, &out);
        let keep = move || _ = catch_unwind(AssertUnwindSafe(keep));
        std::thread::Builder::new().spawn_scoped(scope, keep).context("the system gives no thread to write checkpoints")?;
        let wanted = engine.workers().max(1);
        let mut workers = 0;
        for number in 0..wanted {
            let (out, checkpoint_writer, shared) = (sender.clone(), jobs.clone(), &shared);
            let work = move || {
                // Made here and not before: it reports its end when it is dropped, and a thread
                // that was refused has none.
                let worker = Worker { number, plan, engine, shared, out, checkpoint_writer, pack: Cell::default() };
                // A worker that panics says so when it is dropped; that is enough.
                _ = catch_unwind(AssertUnwindSafe(move || worker.work()));
            };
            match std::thread::Builder::new().spawn_scoped(scope, work) {
                Ok(_) => workers += 1,
                Err(error) if number == 0 => return Err(error).context("the system gives no thread to train on"),
                Err(error) => {
                    let text = format!("the system gives no more threads ({error}): training with {workers} of {wanted} workers");
                    sink.watcher.warn(&text);
                    break;
                }
            }
        }
        drop(sender); // the workers and the keeper have theirs
        let mut coordinator = Coordinator::new(options, &shared, &mut sink, jobs, workers, crash_log);
        let result = coordinator.run_until_done(&messages).and_then(|()| coordinator.sink.writer.sync());
        if result.is_ok() {
            std::mem::forget(leaving);
        } else {
            let _ = coordinator.sink.writer.sync(); // records before the error are worth keeping; the error itself is told
        }
        result.map(|()| (coordinator.last_crash.take(), coordinator.gave_up))
    });
    let _ = store::remove(&options.running()); // `status` looks at its age as well
    let (last_crash, gave_up) = result?;
    summary.missing = options.stages().filter(|(_, stage)| !records.is_final(&stage.key)).count().saturating_sub(summary.failed);
    summary.gave_up = gave_up && summary.missing > 0;
    summary.interrupted = stop.load(Ordering::SeqCst) && summary.missing > 0 && !gave_up;
    match last_crash {
        Some(why) if shared.has_work(MAX_CRASHES) && !summary.interrupted && !gave_up => {
            bail!("every worker has died, the last one of: {why}\n  hint: the same command goes on from here")
        }
        _ => Ok(summary),
    }
}

/// Sets the flag when dropped.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// How many replicas a pack of each shape that is still to be trained may have.
fn pack_sizes(plan: &Plan, engine: &dyn Engine, finished: impl Fn(usize) -> bool) -> HashMap<Arc<str>, usize> {
    let mut shapes: BTreeMap<&Arc<str>, (usize, usize)> = BTreeMap::new();
    for (index, stage) in plan.stages.iter().enumerate().filter(|(index, _)| !finished(*index)) {
        shapes.entry(&stage.shape).or_insert((index, 0)).1 += 1;
    }
    shapes.into_iter().map(|(shape, (first, count))| (shape.clone(), engine.pack_size(&plan.stages[first], count))).collect()
}

/// An axis value as JSON; infinity as "inf".
pub fn axis_json(value: &serde_yaml::Value) -> Json {
    match value.as_f64() {
        Some(x) if !x.is_finite() => json!(number(x)),
        _ => serde_json::to_value(value).unwrap_or(Json::Null),
    }
}
