//! A worker: takes packs from the queue, runs them on the engine, and sends the results to the
//! coordinator.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, SyncSender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::checkpoint_writer::WriteJob;
use super::engine::{device_lost, out_of_memory, perhaps_out_of_memory, Engine, Epoch, Job, PackContext, PackOutcome, StageOutcome};
use super::message::{Crash, FinishedPack, Message};
use super::queue::Queue;
use crate::base::catch_panic::{catch_panic, plain};
use crate::base::hex::hex;
use crate::plan::{Plan, Stage};
use crate::store::{Array, Checkpoint, Folder, Status};

/// What came of running a pack.
enum PackRun {
    Ended(PackOutcome),
    EngineFailed(anyhow::Error),
    /// The pack is not the cause, and the sweep cannot continue.
    StoreFailed(anyhow::Error),
}

/// State that all workers share.
pub struct Shared<'a> {
    plan: &'a Plan,
    queue: Mutex<Queue>,
    changed: Condvar,
    stop: Arc<AtomicBool>,
    folder: Folder,
    snapshot_every: Duration,
}

impl<'a> Shared<'a> {
    pub fn new(plan: &'a Plan, queue: Queue, stop: Arc<AtomicBool>, folder: Folder, snapshot_every: Duration) -> Shared<'a> {
        Shared { plan, queue: Mutex::new(queue), changed: Condvar::new(), stop, folder, snapshot_every }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the targets of done sources start, since the models are available. They become ready
    /// all at once, so that they can share packs. Returns the lost targets of each stage.
    pub fn finish(&self, ended: &[(usize, bool)]) -> Vec<Vec<usize>> {
        let mut queue = self.queue();
        let lost = ended.iter().map(|&(index, done)| queue.finish(self.plan, index, done)).collect();
        drop(queue);
        self.changed.notify_all();
        lost
    }

    /// Requeues a pack that was too large for memory, to be taken in smaller packs. Returns their
    /// size.
    pub fn split(&self, pack: &[usize]) -> usize {
        self.give_back(|queue| queue.split(self.plan, pack))
    }

    /// Requeues a failed pack in halves, so that one failing replica does not fail all others
    /// again.
    pub fn retry(&self, pack: &[usize]) {
        self.give_back(|queue| queue.retry(pack));
    }

    /// Requeues a pack whose worker crashed.
    pub fn quarantine(&self, pack: &[usize]) {
        self.give_back(|queue| queue.quarantine(pack));
    }

    fn give_back<T>(&self, change: impl FnOnce(&mut Queue) -> T) -> T {
        let mut queue = self.queue();
        let result = change(&mut queue);
        queue.pack_done();
        drop(queue);
        self.changed.notify_all();
        result
    }

    /// Asks all workers to stop, as a signal does.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Whether stages are left that can run. Packs that have crashed at least `crashes` workers
    /// do not count.
    pub fn has_work(&self, crashes: usize) -> bool {
        !self.queue().only_crashing_left(crashes)
    }

    /// A pack is completely handled.
    pub fn pack_done(&self) {
        self.queue().pack_done();
        self.changed.notify_all();
    }

    /// Waits for a pack. Returns none when nothing is left to run or a stop was requested.
    fn next(&self) -> Option<Vec<usize>> {
        let mut queue = self.queue();
        loop {
            if self.stop.load(Ordering::SeqCst) || queue.is_over() {
                return None;
            }
            if let Some(pack) = queue.take(self.plan) {
                return Some(pack);
            }
            // The timeout is needed because a stop by signal does not notify the condition
            // variable.
            queue = self
                .changed
                .wait_timeout(queue, Duration::from_millis(100))
                .map_or_else(|poisoned| poisoned.into_inner().0, |(queue, _)| queue);
        }
    }
}

/// One of the engine's workers, with its channels to the coordinator and the checkpoint writer.
pub struct Worker<'a> {
    pub number: usize,
    pub plan: &'a Plan,
    pub engine: &'a dyn Engine,
    pub shared: &'a Shared<'a>,
    pub out: Sender<Message>,
    pub checkpoint_writer: SyncSender<WriteJob>,
    /// The pack that the worker is running.
    pub pack: Cell<Option<Vec<usize>>>,
}

/// Reports that the worker exits, also after a panic. A worker that panicked returns its pack. This
/// would be a bug, since panics inside packs are caught.
impl Drop for Worker<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let pack = self.pack.take().unwrap_or_default();
            self.send(Message::WorkerCrashed(Crash { worker: self.number, pack, why: "it panicked".into() }));
        }
        self.send(Message::WorkerExited);
    }
}

impl Worker<'_> {
    fn send(&self, message: Message) {
        let _ = self.out.send(message); // fails only when the coordinator no longer receives
    }

    /// Runs packs until nothing is left to do, or until the device is lost.
    pub fn work(self) {
        while let Some(pack) = self.shared.next() {
            self.send(Message::Started(pack.clone()));
            self.pack.set(Some(pack.clone()));
            let (outcome, seconds) = self.run(&pack);
            let finished = |pack, ends| Message::PackFinished(FinishedPack { pack, ends, seconds, released: false, lost: vec![] });
            let message = match outcome {
                PackRun::Ended(PackOutcome::Finished(ends)) => finished(pack, ends),
                PackRun::Ended(PackOutcome::Stopped) => Message::Stopped(pack),
                PackRun::EngineFailed(error) if device_lost(&error) => {
                    Message::WorkerCrashed(Crash { worker: self.number, pack, why: plain(&format!("{error:#}")) })
                }
                PackRun::EngineFailed(error) if pack.len() > 1 && perhaps_out_of_memory(&error) => Message::TooLarge(pack),
                PackRun::EngineFailed(error) => {
                    let full = out_of_memory(&error);
                    let error = if full { error.context("one model alone is too large for the device's memory") } else { error };
                    let ends = vec![failed(&plain(&format!("{error:#}"))); pack.len()];
                    finished(pack, ends)
                }
                PackRun::StoreFailed(error) => Message::StoreFailed(error),
            };
            let leaves = matches!(message, Message::WorkerCrashed(..));
            self.send(message);
            self.pack.set(None);
            if leaves {
                return;
            }
        }
    }

    /// Runs a pack. Returns what came of it and the seconds of training, including those of earlier
    /// sweeps.
    fn run(&self, pack: &[usize]) -> (PackRun, f64) {
        let key = pack_key(self.plan, pack);
        let now = Instant::now();
        let link = WorkerContext {
            worker: self,
            pack,
            key: &key,
            started: now,
            before: Cell::new(0.0),
            last: Cell::new(now),
            store_error: Cell::new(None),
        };
        let stages: Vec<Stage> = pack.iter().map(|&index| self.plan.stages[index].clone()).collect();
        let sources = stages.iter().map(|stage| stage.source.map(|source| self.plan.stages[source].key.clone())).collect();
        let job = Job { key: key.clone(), stages, sources, keeps_models: false };
        // libtorch's errors arrive as panics from tch's plain methods. Like any other panic, they
        // fail only this pack.
        let outcome = catch_panic(|| self.engine.run(self.number, &job, &link)).flatten();
        let outcome = match (link.store_error.take(), outcome) {
            (Some(error), _) => PackRun::StoreFailed(error),
            (None, Ok(outcome)) => PackRun::Ended(outcome),
            (None, Err(error)) => PackRun::EngineFailed(error),
        };
        (outcome, link.seconds())
    }
}

pub fn failed(error: &str) -> StageOutcome {
    StageOutcome { status: Status::Failed, metrics: Default::default(), history: vec![], error: Some(error.into()), model: None }
}

/// A pack's key, computed from its stages, so that a later sweep finds its snapshot.
pub fn pack_key(plan: &Plan, pack: &[usize]) -> String {
    let mut hasher = Sha256::new();
    pack.iter().for_each(|&index| hasher.update(plan.stages[index].key.as_bytes()));
    hex(&hasher.finalize()[..10])
}

/// Connects a pack with the coordinator and with its own snapshot.
struct WorkerContext<'a> {
    worker: &'a Worker<'a>,
    pack: &'a [usize],
    key: &'a str,
    started: Instant,
    /// Seconds that earlier sweeps trained it, from its snapshot.
    before: Cell<f64>,
    /// When it was last saved.
    last: Cell<Instant>,
    store_error: Cell<Option<anyhow::Error>>,
}

impl PackContext for WorkerContext<'_> {
    fn epoch(&self, index: usize, epoch: &Epoch, trained: bool) {
        self.worker.send(Message::Epoch { stage: self.pack[index], epoch: epoch.clone(), trained });
    }

    fn stop(&self) -> bool {
        self.worker.shared.stop.load(Ordering::Relaxed)
    }

    fn wants_snapshot(&self) -> bool {
        self.last.get().elapsed() >= self.worker.shared.snapshot_every
    }

    fn snapshot(&self, snapshot: Checkpoint) {
        self.last.set(Instant::now());
        let keys: Vec<&str> = self.pack.iter().map(|&index| self.worker.plan.stages[index].key.as_str()).collect();
        let text = serde_json::json!({ "stages": keys, "seconds": self.seconds(), "state": snapshot.text }).to_string();
        let snapshot = Checkpoint { text, ..snapshot };
        let _ = self.worker.checkpoint_writer.send(WriteJob::Snapshot(self.worker.shared.folder.unfinished(self.key), snapshot));
        // A failed send is ignored, as in `send`.
    }

    fn model(&self, source: &str) -> Result<Vec<Array>> {
        let path = self.worker.shared.folder.model(source);
        let read = Checkpoint::read(&path).and_then(|model| model.with_context(|| format!("{} no longer exists", path.display())));
        Ok(self.or_store_error(read)?.arrays)
    }

    fn resume(&self) -> Result<Option<Checkpoint>> {
        let path = self.worker.shared.folder.unfinished(self.key);
        let read = Checkpoint::newest(&path, &mut |warning| self.worker.send(Message::Warning(warning.into())));
        Ok(self.or_store_error(read)?.and_then(|snapshot| {
            let outer: serde_json::Value = serde_json::from_str(&snapshot.text).ok()?;
            let text = outer["state"].as_str()?.to_string();
            self.before.set(outer["seconds"].as_f64().unwrap_or(0.0));
            Some(Checkpoint { text, ..snapshot })
        }))
    }
}

impl WorkerContext<'_> {
    fn seconds(&self) -> f64 {
        self.before.get() + self.started.elapsed().as_secs_f64()
    }

    /// Stores an error of the store, which ends the sweep: the pack is not the cause.
    fn or_store_error<T>(&self, read: Result<T>) -> Result<T> {
        read.map_err(|error| {
            let text = format!("{error:#}");
            self.store_error.set(Some(error));
            anyhow::anyhow!(text)
        })
    }
}
