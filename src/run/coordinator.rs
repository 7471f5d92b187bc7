//! The sweep's main thread: receives messages from the workers and the checkpoint writer, writes
//! the records of finished packs, and reports to the observer.

use std::collections::HashMap;
use std::sync::mpsc::{self, SyncSender};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;

use super::checkpoint_writer::WriteJob;
use super::engine::StageOutcome;
use super::message::{Crash, FinishedPack, Message};
use super::record_sink::{after_divergence, RecordSink};
use super::worker;
use super::SweepOptions;
use crate::store::{self, Checkpoint, CrashLog, Status};

/// A pack that has crashed this many workers is marked failed.
pub const MAX_CRASHES: usize = 2;

/// Receives messages from the workers and the checkpoint writer, and handles finished packs.
pub struct Coordinator<'a, 'b> {
    options: &'a SweepOptions<'a>,
    shared: &'a worker::Shared<'a>,
    pub sink: &'a mut RecordSink<'b>,
    /// Dropped when nothing is left to write; the checkpoint writer then exits.
    checkpoint_writer: Option<SyncSender<WriteJob>>,
    workers: usize,
    /// Workers that have not exited.
    active_workers: usize,
    /// Packs whose models are being written.
    unsaved_packs: usize,
    /// Finished packs of targets whose sources have no record yet.
    waiting_for_sources: Vec<FinishedPack>,
    running: Vec<Vec<usize>>,
    /// Failed attempts of each stage.
    attempts: HashMap<usize, usize>,
    crash_log: CrashLog,
    /// The reason of the last worker crash.
    pub last_crash: Option<String>,
    /// Whether a failure ended the sweep because of [`SweepOptions::fail_fast`].
    pub gave_up: bool,
    /// Seconds that workers have trained since `ticked`.
    busy: f64,
    since: Instant,
    ticked: Instant,
    last_status: Option<Instant>,
    stopping: bool,
}

impl<'a, 'b> Coordinator<'a, 'b> {
    pub fn new(
        options: &'a SweepOptions<'a>,
        shared: &'a worker::Shared<'a>,
        sink: &'a mut RecordSink<'b>,
        checkpoint_writer: SyncSender<WriteJob>,
        workers: usize,
        crash_log: CrashLog,
    ) -> Self {
        let now = Instant::now();
        Coordinator {
            options,
            shared,
            sink,
            checkpoint_writer: Some(checkpoint_writer),
            workers,
            active_workers: workers,
            unsaved_packs: 0,
            waiting_for_sources: vec![],
            running: vec![],
            attempts: HashMap::new(),
            crash_log,
            last_crash: None,
            gave_up: false,
            busy: 0.0,
            since: now,
            ticked: now,
            last_status: None,
            stopping: false,
        }
    }

    /// Runs until all workers and the checkpoint writer have exited.
    pub fn run_until_done(&mut self, messages: &mpsc::Receiver<Message>) -> Result<()> {
        loop {
            // Records are synced to disk once for all messages that are already waiting.
            let message = match messages.try_recv() {
                Ok(message) => Ok(message),
                Err(_) => {
                    self.sink.writer.sync()?;
                    messages.recv_timeout(Duration::from_millis(100))
                }
            };
            self.busy += self.since.elapsed().as_secs_f64() * self.running.len() as f64;
            self.since = Instant::now();
            match message {
                Ok(message) => self.handle(message)?,
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
            }
            if self.active_workers == 0 && self.unsaved_packs == 0 {
                self.checkpoint_writer = None;
            }
            self.tick();
        }
    }

    fn handle(&mut self, message: Message) -> Result<()> {
        match message {
            Message::Started(pack) => {
                pack.iter().for_each(|&index| self.sink.watcher.started(&self.sink.plan.stages[index]));
                self.running.push(pack);
            }
            Message::Epoch { stage, epoch, trained } => self.sink.watcher.epoch(&self.sink.plan.stages[stage], &epoch, trained),
            Message::PackFinished(finished) => {
                self.running.retain(|pack| *pack != finished.pack);
                self.ended(finished)?;
            }
            Message::ModelsSaved(finished) => {
                self.unsaved_packs -= 1;
                self.record_outcomes(finished)?;
                // Targets that finished before their source's models were on disk.
                let (known, waiting_for_sources) =
                    std::mem::take(&mut self.waiting_for_sources).into_iter().partition(|pack| self.sources_recorded(pack));
                self.waiting_for_sources = waiting_for_sources;
                let known: Vec<FinishedPack> = known;
                known.into_iter().try_for_each(|pack| self.record_outcomes(pack))?;
            }
            Message::Stopped(pack) => {
                self.running.retain(|running| *running != pack);
                self.shared.pack_done();
            }
            Message::TooLarge(pack) => {
                self.running.retain(|running| *running != pack);
                self.remove_snapshot(&pack, f64::INFINITY)?;
                let size = self.shared.split(&pack);
                let text =
                    format!("{} models in one pack are too many for the device's memory; continuing with packs of {size}", pack.len());
                self.sink.watcher.warn(&text);
            }
            Message::WorkerCrashed(crash) => self.worker_crashed(crash)?,
            Message::StoreFailed(error) => return Err(error),
            Message::Warning(text) => self.sink.watcher.warn(&text),
            Message::WorkerExited => self.active_workers -= 1,
        }
        Ok(())
    }

    /// Handles a worker's crash. Its pack is requeued at the end of the queue, or marked failed if
    /// it has now crashed [`MAX_CRASHES`] workers.
    fn worker_crashed(&mut self, Crash { worker, pack, why }: Crash) -> Result<()> {
        self.running.retain(|running| *running != pack);
        let mut crashes = 0;
        for &index in &pack {
            let key = &self.sink.plan.stages[index].key;
            self.crash_log.add(key, &why)?;
            crashes = crashes.max(self.crash_log.of(key));
        }
        let what = match (pack.len(), crashes) {
            (0, _) => "it was not training a pack",
            (_, n) if n < MAX_CRASHES => "its pack is requeued at the end of the queue",
            _ => "its pack is marked failed, because it has crashed other workers too",
        };
        // The crashed worker is still counted: its message that it exits comes next.
        let others = match self.active_workers - 1 {
            0 => "no worker is left".into(),
            1 => "1 other worker continues".into(),
            left => format!("{left} other workers continue"),
        };
        self.sink.watcher.warn(&format!("worker {worker} crashed ({why}); {what}; {others}"));
        if crashes >= MAX_CRASHES {
            let ends = vec![worker::failed(&why); pack.len()];
            self.record_outcomes(FinishedPack { pack, ends, seconds: 0.0, released: false, lost: vec![] })?;
        } else if !pack.is_empty() {
            self.shared.quarantine(&pack);
        }
        self.last_crash = Some(why);
        Ok(())
    }

    /// A pack's name in messages.
    fn name(&self, pack: &[usize]) -> String {
        let stage = |index: usize| &self.sink.plan.stages[index];
        match pack {
            [] => "nothing".into(),
            [one] => format!("{} {}", stage(*one).kind.as_str(), stage(*one).label()),
            [first, .., last] => {
                format!("a pack of {} ({} {} to {})", pack.len(), stage(*first).kind.as_str(), stage(*first).label(), stage(*last).label())
            }
        }
    }

    /// Requeues a failed pack if it may be retried; returns whether it was handled here.
    fn put_back_for_retry(&mut self, finished: &FinishedPack) -> Result<bool> {
        let Some(error) = finished.ends.iter().filter(|end| end.status == Status::Failed).find_map(|end| end.error.as_deref()) else {
            return Ok(false);
        };
        // Packs are halved until the failing stage is alone. Attempts are counted only then.
        let several = finished.pack.len() > 1;
        let attempts =
            finished.pack.iter().map(|index| self.attempts.get(index).copied().unwrap_or(0)).max().unwrap_or(0) + usize::from(!several);
        if self.options.retries == 0 || attempts > self.options.retries {
            return Ok(false);
        }
        if self.shared.is_stopped() {
            self.shared.pack_done(); // left for the next sweep
            return Ok(true);
        }
        let first = error.lines().next().unwrap_or_default();
        let text = match several {
            true => format!("{} failed ({first}); retrying in halves", self.name(&finished.pack)),
            false => {
                format!("{}: attempt {attempts} of {} failed ({first}); retrying", self.name(&finished.pack), self.options.retries + 1)
            }
        };
        self.sink.watcher.warn(&text);
        if several {
            self.remove_snapshot(&finished.pack, f64::INFINITY)?;
        } else {
            finished.pack.iter().for_each(|&index| _ = count(&mut self.attempts, index));
        }
        self.shared.retry(&finished.pack);
        Ok(true)
    }

    /// Handles a trained pack. Its models are sent to the checkpoint writer. If the engine still
    /// holds them, the pack's targets may start before they are on disk.
    fn ended(&mut self, mut finished: FinishedPack) -> Result<()> {
        self.keep_targets_of_retrained(&mut finished)?;
        if self.put_back_for_retry(&finished)? {
            return Ok(());
        }
        let mut models = finished.pack.iter().zip(&finished.ends).filter(|(_, end)| end.model.is_some()).peekable();
        if models.peek().is_none() {
            if !self.sources_recorded(&finished) {
                self.waiting_for_sources.push(finished);
                return Ok(());
            }
            return self.record_outcomes(finished);
        }
        if models.all(|(&index, _)| self.sink.engine.holds(&self.sink.plan.stages[index].key)) {
            self.release_targets(&mut finished);
        }
        self.unsaved_packs += 1;
        self.send(WriteJob::Models(finished))
    }

    /// Marks a retrained source as failed if it diverges this time, for example on another device.
    /// Its record still says done, and its targets can be trained later.
    fn keep_targets_of_retrained(&mut self, finished: &mut FinishedPack) -> Result<()> {
        let (plan, records) = (self.sink.plan, &self.sink.records.by_key);
        let is_done = |index: usize| records.get(&plan.stages[index].key).is_some_and(|record| record.status == Status::Done);
        let diverged = |(index, end): &(&usize, &mut StageOutcome)| end.status == Status::Diverged && is_done(**index);
        let spared: Vec<&mut StageOutcome> = finished.pack.iter().zip(&mut finished.ends).filter(diverged).map(|(_, end)| end).collect();
        if spared.is_empty() {
            return Ok(());
        }
        spared.into_iter().for_each(|end| end.status = Status::Failed);
        self.remove_snapshot(&finished.pack, f64::INFINITY) // the snapshot has diverged too, so the next attempt starts from epoch 1
    }

    /// Whether all sources of a pack have a final record. A target's record is never written before
    /// its source's.
    fn sources_recorded(&self, finished: &FinishedPack) -> bool {
        let plan = self.sink.plan;
        let mut sources = finished.pack.iter().filter_map(|&index| plan.stages[index].source);
        sources.all(|source| self.sink.records.is_final(&plan.stages[source].key))
    }

    /// Writes a pack's records. Its models, if any, are already on disk.
    fn record_outcomes(&mut self, mut finished: FinishedPack) -> Result<()> {
        let size = finished.pack.len();
        for (&index, end) in finished.pack.iter().zip(&finished.ends) {
            self.sink.write(index, end, finished.seconds, size)?;
        }
        if !finished.released {
            self.release_targets(&mut finished);
        }
        for (target, why) in &finished.lost {
            self.sink.write(*target, &after_divergence(why), 0.0, 1)?;
        }
        if finished.ends.iter().all(|end| end.status != Status::Failed) {
            finished.pack.iter().try_for_each(|&index| self.crash_log.forget(&self.sink.plan.stages[index].key))?;
            self.remove_snapshot(&finished.pack, finished.seconds)?;
        } else if self.options.fail_fast {
            // A failed pack keeps its snapshot, and the next sweep resumes from it.
            self.gave_up = true;
            self.shared.stop();
        }
        self.shared.pack_done();
        Ok(())
    }

    /// Lets the targets of done sources start. The targets of diverged sources are collected in
    /// `lost`.
    fn release_targets(&mut self, finished: &mut FinishedPack) {
        let ended: Vec<(usize, bool)> =
            finished.pack.iter().zip(&finished.ends).map(|(&index, end)| (index, end.status == Status::Done)).collect();
        let diverged = self.shared.finish(&ended).into_iter().zip(&finished.ends).filter(|(_, end)| end.status == Status::Diverged);
        let why = |end: &StageOutcome| end.error.clone().unwrap_or_default();
        finished.lost = diverged.flat_map(|(lost, end)| lost.into_iter().map(move |target| (target, why(end)))).collect();
        finished.released = true;
    }

    /// Removes a pack's snapshot. A snapshot may exist if the pack was trained for long enough to
    /// have one, or if an earlier sweep left one.
    fn remove_snapshot(&mut self, pack: &[usize], seconds: f64) -> Result<()> {
        let path = self.sink.folder.unfinished(&worker::pack_key(self.sink.plan, pack));
        if seconds >= self.options.snapshot_every.as_secs_f64() || Checkpoint::exists(&path) {
            self.sink.writer.sync()?; // the records must be on disk first
            self.send(WriteJob::Forget(path))?;
        }
        Ok(())
    }

    fn send(&self, task: WriteJob) -> Result<()> {
        // Fails only if the checkpoint writer has panicked; otherwise it exits last.
        self.checkpoint_writer
            .as_ref()
            .and_then(|checkpoint_writer| checkpoint_writer.send(task).ok())
            .context("checkpoints can no longer be written")
    }

    fn tick(&mut self) {
        if self.shared.is_stopped() && !self.stopping {
            self.stopping = true;
            if self.active_workers > 0 && !self.gave_up && self.options.lease.check().is_ok() {
                self.sink.watcher.stopping();
            }
        }
        let elapsed = self.ticked.elapsed().as_secs_f64();
        if elapsed > 0.0 {
            self.sink.watcher.tick(self.sink.records, self.busy / (elapsed * self.workers as f64));
        }
        (self.busy, self.ticked) = (0.0, Instant::now());
        if self.last_status.is_none_or(|last_status| last_status.elapsed() > Duration::from_millis(500)) {
            self.last_status = Some(Instant::now());
            let keys: Vec<&str> = self.running.iter().flatten().map(|&index| self.sink.plan.stages[index].key.as_str()).collect();
            let text = json!({ "host": store::host(), "process": std::process::id(), "stages": keys }).to_string();
            store::write_hint(&self.options.running(), text.as_bytes());
        }
    }
}

/// Adds one to a stage's count and returns the new count.
fn count(counts: &mut HashMap<usize, usize>, index: usize) -> usize {
    let count = counts.entry(index).or_default();
    *count += 1;
    *count
}
