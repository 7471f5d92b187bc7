//! A worker: takes packs from the queue, gives them to the engine, sends what comes of them.

use std::cell::Cell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::engine::{Ended, Engine, Epoch, Job, Link, PackEnd};
use super::queue::Queue;
use crate::plan::Plan;
use crate::store::{Array, Checkpoint, Folder, Status};

/// From a worker to the sweep.
pub enum Message {
    Started(Vec<usize>),
    Epoch(usize, Epoch),
    Ended {
        pack: Vec<usize>,
        ends: Vec<Ended>,
        seconds: f64,
    },
    /// Asked to stop, and did.
    Stopped(Vec<usize>),
    Warning(String),
    /// The store failed: nothing can go on.
    Trouble(anyhow::Error),
}

/// What workers share.
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

    /// The records of a pack are on disk: the targets of what is done may start, all at once so that they share packs. Gives, for
    /// each stage, the targets that are lost with it.
    pub fn finish(&self, ended: &[(usize, bool)]) -> Vec<Vec<usize>> {
        let mut queue = self.queue();
        let lost = ended.iter().map(|&(index, done)| queue.finish(self.plan, index, done)).collect();
        drop(queue);
        self.changed.notify_all();
        lost
    }

    /// A pack is wholly dealt with.
    pub fn put_down(&self) {
        self.queue().put_down();
        self.changed.notify_all();
    }

    /// Waits for a pack; none when all is over or a stop was asked for.
    fn next(&self) -> Option<Vec<usize>> {
        let mut queue = self.queue();
        loop {
            if self.stop.load(Ordering::SeqCst) || queue.is_over() {
                return None;
            }
            if let Some(pack) = queue.take(self.plan) {
                return Some(pack);
            }
            // The time-out is for a stop by signal, which notifies nobody.
            queue = self
                .changed
                .wait_timeout(queue, Duration::from_millis(100))
                .map_or_else(|poisoned| poisoned.into_inner().0, |(queue, _)| queue);
        }
    }
}

/// Works until there is nothing left to do.
pub fn work(plan: &Plan, engine: &dyn Engine, shared: &Shared, out: &Sender<Message>) {
    while let Some(pack) = shared.next() {
        // A send fails only when the sweep has given up listening; then there is nobody left to tell.
        let _ = out.send(Message::Started(pack.clone()));
        let started = Instant::now();
        let message = match run(plan, engine, shared, &pack, out) {
            Ok(Ok(PackEnd::Finished(ends))) => Message::Ended { pack, ends, seconds: started.elapsed().as_secs_f64() },
            Ok(Ok(PackEnd::Stopped)) => Message::Stopped(pack),
            Ok(Err(error)) => {
                let memory = format!("{error:#}").contains("out of memory");
                let error = if memory { error.context("too many models for the device's memory; try a smaller --pack") } else { error };
                let ended = Ended {
                    status: Status::Failed,
                    metrics: Default::default(),
                    history: vec![],
                    error: Some(format!("{error:#}")),
                    model: None,
                };
                Message::Ended { ends: vec![ended; pack.len()], pack, seconds: started.elapsed().as_secs_f64() }
            }
            Err(error) => Message::Trouble(error),
        };
        let _ = out.send(message);
    }
}

/// The outer error is the store's, the inner one the engine's.
fn run(plan: &Plan, engine: &dyn Engine, shared: &Shared, pack: &[usize], out: &Sender<Message>) -> Result<Result<PackEnd>> {
    let key = pack_key(plan, pack);
    let mut starts: Vec<Option<Vec<Array>>> = vec![];
    for &index in pack {
        starts.push(match plan.stages[index].source {
            None => None,
            Some(source) => {
                let path = shared.folder.model(&plan.stages[source].key);
                Some(Checkpoint::read(&path)?.with_context(|| format!("{} has gone", path.display()))?.arrays)
            }
        });
    }
    let link = Wire { shared, pack, key: &key, out, last: Cell::new(Instant::now()), trouble: Cell::new(None) };
    let job = Job { key: key.clone(), stages: pack.iter().map(|&index| plan.stages[index].clone()).collect(), starts };
    // libtorch's errors arrive as panics from tch's plain methods. They, like any other panic, fail this pack only.
    let outcome = catch_unwind(AssertUnwindSafe(|| engine.run(&job, &link)));
    if let Some(trouble) = link.trouble.take() {
        return Err(trouble);
    }
    Ok(outcome.unwrap_or_else(|panic| Err(anyhow::anyhow!(panic_text(&*panic)))))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
    let text = text.unwrap_or_else(|| "a panic without words".into());
    // libtorch appends a C++ stack trace to its message.
    text.split("\nException raised from").next().unwrap_or(&text).chars().take(2000).collect()
}

/// Names a pack by its stages, so that its snapshot is found again.
pub fn pack_key(plan: &Plan, pack: &[usize]) -> String {
    let mut hasher = Sha256::new();
    pack.iter().for_each(|&index| hasher.update(plan.stages[index].key.as_bytes()));
    hasher.finalize()[..10].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A pack's line to the sweep and to its own snapshot.
struct Wire<'a> {
    shared: &'a Shared<'a>,
    pack: &'a [usize],
    key: &'a str,
    out: &'a Sender<Message>,
    last: Cell<Instant>,
    trouble: Cell<Option<anyhow::Error>>,
}

impl Link for Wire<'_> {
    fn epoch(&self, index: usize, epoch: &Epoch) {
        let _ = self.out.send(Message::Epoch(self.pack[index], epoch.clone())); // see `work`
    }

    fn stop(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed)
    }

    fn wants_snapshot(&self) -> bool {
        self.last.get().elapsed() >= self.shared.snapshot_every
    }

    fn snapshot(&self, snapshot: Checkpoint) {
        self.last.set(Instant::now());
        let keys: Vec<&str> = self.pack.iter().map(|&index| self.shared.plan.stages[index].key.as_str()).collect();
        let snapshot = Checkpoint { text: serde_json::json!({ "stages": keys, "state": snapshot.text }).to_string(), ..snapshot };
        if let Err(error) = snapshot.write(&self.shared.folder.unfinished(self.key)) {
            self.trouble.set(Some(error));
            self.shared.stop.store(true, Ordering::SeqCst);
        }
    }

    fn resume(&self) -> Option<Checkpoint> {
        let path = self.shared.folder.unfinished(self.key);
        let snapshot = Checkpoint::read(&path).unwrap_or_else(|error| {
            let _ = self.out.send(Message::Warning(format!("{error:#}; its pack starts over")));
            None
        })?;
        let text = serde_json::from_str::<serde_json::Value>(&snapshot.text).ok()?["state"].as_str()?.to_string();
        Some(Checkpoint { text, ..snapshot })
    }
}
