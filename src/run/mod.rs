//! Runs a plan. Finished stages are skipped, the others are trained pack by pack, and every result
//! is written as a record.
//!
//! Workers train. Only the calling thread writes records and reports to the observer.

mod again;
mod checkpoint_writer;
mod coordinator;
pub mod engine;
mod message;
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

pub use again::{stage_model, StageModel};
pub use shard_status::{shard_statuses, ShardStatus, StageProgress};
pub use signals::stop_flag;

/// Receives the events of a sweep while it runs.
pub trait Watcher {
    /// A stage was given to a worker.
    fn started(&mut self, stage: &Stage);
    /// A stage finished an epoch. `trained` is false if an earlier sweep trained the epoch and this
    /// one resumes from its snapshot.
    fn epoch(&mut self, stage: &Stage, epoch: &Epoch, trained: bool);
    /// A stage ended, and its record is on disk.
    fn ended(&mut self, stage: &Stage, record: &Record, records: &Records);
    /// Called at least a few times a second. `busy` is the share of workers that have been training
    /// since the last call.
    fn tick(&mut self, records: &Records, busy: f64);
    /// The sweep was asked to stop: running packs finish their step and are saved.
    fn stopping(&mut self);
    /// Finished stages that are trained again because their models are missing.
    fn retry(&mut self, stages: &[&Stage]);
    /// A warning, to be printed once.
    fn warn(&mut self, message: &str);
}

/// What to run, and how.
pub struct SweepOptions<'a> {
    pub plan: &'a Plan,
    /// The stages that this process runs. If one of its targets needs a source that has no result,
    /// that source must be included.
    pub part: &'a StageSelection,
    pub folder: &'a Folder,
    pub lease: &'a Lease,
    pub engine: &'a dyn Engine,
    /// How often a failed stage is tried again. A larger pack is halved first, which does not
    /// count.
    pub retries: usize,
    /// Whether the first failure ends the sweep.
    pub fail_fast: bool,
    /// Time between two snapshots of a running pack.
    pub snapshot_every: Duration,
}

impl SweepOptions<'_> {
    fn stages(&self) -> impl Iterator<Item = (usize, &Stage)> {
        self.part.stages(self.plan)
    }

    /// The file that lists the running stages.
    fn running(&self) -> PathBuf {
        self.folder.running(self.lease.records())
    }
}

/// How a sweep ended; counts of the selected stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SweepSummary {
    /// Stages that already had a record.
    pub reused: usize,
    pub done: usize,
    pub diverged: usize,
    pub failed: usize,
    /// Stages that were not run: the sweep stopped before, or their source failed.
    pub missing: usize,
    /// A signal ended the sweep.
    pub interrupted: bool,
    /// Whether a failure ended the sweep because of [`SweepOptions::fail_fast`].
    pub gave_up: bool,
}

/// Checkpoints that may wait to be written. If there are more, training waits.
const WRITES_WAITING: usize = 64;

/// Runs the selected stages of a plan and their sources. `records` has the results that exist
/// already. When `stop` is set, running packs finish their step, snapshots are written, and the
/// function returns.
///
/// # Errors
/// The store fails, another process has taken over the lease, or every worker has crashed.
pub fn sweep(options: &SweepOptions, mut records: Records, stop: &Arc<AtomicBool>, watcher: &mut dyn Watcher) -> Result<SweepSummary> {
    let SweepOptions { plan, folder, engine, .. } = *options;
    records.warnings.iter().for_each(|warning| watcher.warn(warning));
    let mut writer = Writer::open(folder, options.lease, &mut |warning| watcher.warn(warning))?;
    let mut summary =
        SweepSummary { reused: options.stages().filter(|(_, stage)| records.is_final(&stage.key)).count(), ..SweepSummary::default() };

    // A finished source whose targets are not all done must still have its model. If the model is
    // missing, the source is trained again.
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

    // Targets of diverged sources count as diverged. Stages outside the selection are ignored.
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
        // If this thread returns an error or panics, the workers stop. What they still send is not
        // needed.
        let leaving = StopOnDrop(stop);
        // The checkpoint writer starts first: without it no worker could hand over its models.
        let out = sender.clone();
        let keep = move || checkpoint_writer::keep(&key, folder, options.lease, &to_write, &out);
        let keep = move || _ = catch_unwind(AssertUnwindSafe(keep));
        std::thread::Builder::new().spawn_scoped(scope, keep).context("could not start a thread to write checkpoints")?;
        let wanted = engine.workers().max(1);
        let mut workers = 0;
        for number in 0..wanted {
            let (out, checkpoint_writer, shared) = (sender.clone(), jobs.clone(), &shared);
            let work = move || {
                // Created on the new thread and not before: a worker sends a message when it is
                // dropped. A worker whose thread could not be started must not send it.
                let worker = Worker { number, plan, engine, shared, out, checkpoint_writer, pack: Cell::default() };
                // A worker that panics sends a message when it is dropped, so the panic needs no
                // further handling.
                _ = catch_unwind(AssertUnwindSafe(move || worker.work()));
            };
            match std::thread::Builder::new().spawn_scoped(scope, work) {
                Ok(_) => workers += 1,
                Err(error) if number == 0 => return Err(error).context("could not start a thread to train on"),
                Err(error) => {
                    let text = format!("could not start more threads ({error}): training with {workers} of {wanted} workers");
                    sink.watcher.warn(&text);
                    break;
                }
            }
        }
        drop(sender); // the workers and the checkpoint writer have their own senders
        let mut coordinator = Coordinator::new(options, &shared, &mut sink, jobs, workers, crash_log);
        let result = coordinator.run_until_done(&messages).and_then(|()| coordinator.sink.writer.sync());
        if result.is_ok() {
            std::mem::forget(leaving);
        } else {
            let _ = coordinator.sink.writer.sync(); // keep the records written so far; the earlier error is returned
        }
        result.map(|()| (coordinator.last_crash.take(), coordinator.gave_up))
    });
    let _ = store::remove(&options.running()); // a failure is ignored: `status` also checks the file's age
    let (last_crash, gave_up) = result?;
    summary.missing = options.stages().filter(|(_, stage)| !records.is_final(&stage.key)).count().saturating_sub(summary.failed);
    summary.gave_up = gave_up && summary.missing > 0;
    summary.interrupted = stop.load(Ordering::SeqCst) && summary.missing > 0 && !gave_up;
    match last_crash {
        Some(why) if shared.has_work(MAX_CRASHES) && !summary.interrupted && !gave_up => {
            bail!("every worker has crashed, the last one because of: {why}\n  hint: run the same command to resume")
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

/// The largest number of replicas in a pack, for each shape that is still to be trained.
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
