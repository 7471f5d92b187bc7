//! The sweep's own thread: hears the workers and the keeper, settles what they have finished, tells who watches.

use std::collections::HashMap;
use std::sync::mpsc::{self, SyncSender};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;

use super::ending::{after_divergence, Ending};
use super::engine::Ended;
use super::keeper::Task;
use super::worker::{self, Finished, Message};
use super::Order;
use crate::store::{self, Checkpoint, Deaths, Status};

/// A pack in whose hands so many workers died is to blame after all.
pub const MOST_DEATHS: usize = 2;

/// Hears the workers and the keeper, and settles what they have finished.
pub struct Listener<'a, 'b> {
    order: &'a Order<'a>,
    shared: &'a worker::Shared<'a>,
    pub ending: &'a mut Ending<'b>,
    /// Dropped when nothing more will have to be written; the keeper then goes home too.
    keeper: Option<SyncSender<Task>>,
    workers: usize,
    /// Workers that have not gone home.
    here: usize,
    /// Packs whose models are being written.
    unwritten: usize,
    /// Packs of targets whose sources have no record yet.
    early: Vec<Finished>,
    running: Vec<Vec<usize>>,
    /// How often each stage was tried in vain.
    tries: HashMap<usize, usize>,
    deaths: Deaths,
    /// Why the last worker died.
    pub death: Option<String>,
    /// A failure ended the sweep, as [`Order::fail_fast`] wants it.
    pub gave_up: bool,
    /// Seconds that workers have trained since `ticked`.
    busy: f64,
    since: Instant,
    ticked: Instant,
    told: Option<Instant>,
    stopping: bool,
}

impl<'a, 'b> Listener<'a, 'b> {
    pub fn new(
        order: &'a Order<'a>,
        shared: &'a worker::Shared<'a>,
        ending: &'a mut Ending<'b>,
        keeper: SyncSender<Task>,
        workers: usize,
        deaths: Deaths,
    ) -> Self {
        let now = Instant::now();
        Listener {
            order,
            shared,
            ending,
            keeper: Some(keeper),
            workers,
            here: workers,
            unwritten: 0,
            early: vec![],
            running: vec![],
            tries: HashMap::new(),
            deaths,
            death: None,
            gave_up: false,
            busy: 0.0,
            since: now,
            ticked: now,
            told: None,
            stopping: false,
        }
    }

    /// Until all have gone home.
    pub fn listen(&mut self, inbox: &mpsc::Receiver<Message>) -> Result<()> {
        loop {
            // Messages that have come together share one wait for the disk.
            let message = match inbox.try_recv() {
                Ok(message) => Ok(message),
                Err(_) => {
                    self.ending.writer.sync()?;
                    inbox.recv_timeout(Duration::from_millis(100))
                }
            };
            self.busy += self.since.elapsed().as_secs_f64() * self.running.len() as f64;
            self.since = Instant::now();
            match message {
                Ok(message) => self.hear(message)?,
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
            }
            if self.here == 0 && self.unwritten == 0 {
                self.keeper = None;
            }
            self.tick();
        }
    }

    fn hear(&mut self, message: Message) -> Result<()> {
        match message {
            Message::Started(pack) => {
                pack.iter().for_each(|&index| self.ending.watcher.started(&self.ending.plan.stages[index]));
                self.running.push(pack);
            }
            Message::Epoch(index, epoch, trained) => self.ending.watcher.epoch(&self.ending.plan.stages[index], &epoch, trained),
            Message::Ended(finished) => {
                self.running.retain(|pack| *pack != finished.pack);
                self.ended(finished)?;
            }
            Message::Kept(finished) => {
                self.unwritten -= 1;
                self.settle(finished)?;
                // Targets that were faster than the disk.
                let (known, early) = std::mem::take(&mut self.early).into_iter().partition(|pack| self.sources_recorded(pack));
                self.early = early;
                let known: Vec<Finished> = known;
                known.into_iter().try_for_each(|pack| self.settle(pack))?;
            }
            Message::Stopped(pack) => {
                self.running.retain(|running| *running != pack);
                self.shared.put_down();
            }
            Message::TooLarge(pack) => {
                self.running.retain(|running| *running != pack);
                self.forget(&pack, f64::INFINITY)?;
                let size = self.shared.split(&pack);
                let text = format!("{} models in one pack are too many for the device's memory; going on with packs of {size}", pack.len());
                self.ending.watcher.warn(&text);
            }
            Message::Died(worker, pack, why) => self.died(worker, pack, why)?,
            Message::Trouble(error) => return Err(error),
            Message::Warning(text) => self.ending.watcher.warn(&text),
            Message::Left => self.here -= 1,
        }
        Ok(())
    }

    /// A worker has died. Its pack goes back to the end of the queue, unless others have died of it before.
    fn died(&mut self, worker: usize, pack: Vec<usize>, why: String) -> Result<()> {
        self.running.retain(|running| *running != pack);
        let mut deaths = 0;
        for &index in &pack {
            let key = &self.ending.plan.stages[index].key;
            self.deaths.add(key, &why)?;
            deaths = deaths.max(self.deaths.of(key));
        }
        let what = match (pack.len(), deaths) {
            (0, _) => "it had no pack in hand",
            (_, n) if n < MOST_DEATHS => "its pack goes back to the queue, to its end",
            _ => "its pack counts as failed, as others have died of it",
        };
        // It is about to say that it has left.
        let others = match self.here - 1 {
            0 => "no worker is left".into(),
            1 => "1 other worker goes on".into(),
            left => format!("{left} other workers go on"),
        };
        self.ending.watcher.warn(&format!("worker {worker} has died ({why}); {what}, {others}"));
        if deaths >= MOST_DEATHS {
            let ends = vec![worker::failed(&why); pack.len()];
            self.settle(Finished { pack, ends, seconds: 0.0, released: false, lost: vec![] })?;
        } else if !pack.is_empty() {
            self.shared.distrust(&pack);
        }
        self.death = Some(why);
        Ok(())
    }

    /// What a pack is called in messages.
    fn name(&self, pack: &[usize]) -> String {
        let stage = |index: usize| &self.ending.plan.stages[index];
        match pack {
            [] => "nothing".into(),
            [one] => format!("{} {}", stage(*one).kind.as_str(), stage(*one).label()),
            [first, .., last] => {
                format!("a pack of {} ({} {} to {})", pack.len(), stage(*first).kind.as_str(), stage(*first).label(), stage(*last).label())
            }
        }
    }

    /// Whether a pack that failed was put back, to be tried once more.
    fn tries_again(&mut self, finished: &Finished) -> Result<bool> {
        let Some(error) = finished.ends.iter().filter(|end| end.status == Status::Failed).find_map(|end| end.error.as_deref()) else {
            return Ok(false);
        };
        // Packs are halved until the guilty one is alone; only then tries are counted.
        let several = finished.pack.len() > 1;
        let tries =
            finished.pack.iter().map(|index| self.tries.get(index).copied().unwrap_or(0)).max().unwrap_or(0) + usize::from(!several);
        if self.order.retries == 0 || tries > self.order.retries {
            return Ok(false);
        }
        if self.shared.is_stopped() {
            self.shared.put_down(); // for the next sweep
            return Ok(true);
        }
        let first = error.lines().next().unwrap_or_default();
        let text = match several {
            true => format!("{} failed ({first}); once more, in halves", self.name(&finished.pack)),
            false => format!("{}: try {tries} of {} failed ({first}); once more", self.name(&finished.pack), self.order.retries + 1),
        };
        self.ending.watcher.warn(&text);
        if several {
            self.forget(&finished.pack, f64::INFINITY)?;
        } else {
            finished.pack.iter().for_each(|&index| _ = count(&mut self.tries, index));
        }
        self.shared.again(&finished.pack);
        Ok(true)
    }

    /// A pack has been trained. Its models go to the keeper; where the engine still has them, its targets need not wait for that.
    fn ended(&mut self, mut finished: Finished) -> Result<()> {
        self.spare_targets(&mut finished)?;
        if self.tries_again(&finished)? {
            return Ok(());
        }
        let mut models = finished.pack.iter().zip(&finished.ends).filter(|(_, end)| end.model.is_some()).peekable();
        if models.peek().is_none() {
            if !self.sources_recorded(&finished) {
                self.early.push(finished);
                return Ok(());
            }
            return self.settle(finished);
        }
        if models.all(|(&index, _)| self.ending.engine.holds(&self.ending.plan.stages[index].key)) {
            self.release_targets(&mut finished);
        }
        self.unwritten += 1;
        self.send(Task::Models(finished))
    }

    /// A source that is trained again for its model and diverges this time (on another device, perhaps) has failed: its record says done, so its targets
    /// are not lost for good.
    fn spare_targets(&mut self, finished: &mut Finished) -> Result<()> {
        let (plan, records) = (self.ending.plan, &self.ending.records.by_key);
        let is_done = |index: usize| records.get(&plan.stages[index].key).is_some_and(|record| record.status == Status::Done);
        let diverged = |(index, end): &(&usize, &mut Ended)| end.status == Status::Diverged && is_done(**index);
        let spared: Vec<&mut Ended> = finished.pack.iter().zip(&mut finished.ends).filter(diverged).map(|(_, end)| end).collect();
        if spared.is_empty() {
            return Ok(());
        }
        spared.into_iter().for_each(|end| end.status = Status::Failed);
        self.forget(&finished.pack, f64::INFINITY) // the snapshot has diverged too: the next time it is trained from its start
    }

    /// A target's record never stands without its source's.
    fn sources_recorded(&self, finished: &Finished) -> bool {
        let plan = self.ending.plan;
        let mut sources = finished.pack.iter().filter_map(|&index| plan.stages[index].source);
        sources.all(|source| self.ending.records.is_final(&plan.stages[source].key))
    }

    /// A pack's models, if any, are on disk: the records follow.
    fn settle(&mut self, mut finished: Finished) -> Result<()> {
        let size = finished.pack.len();
        for (&index, end) in finished.pack.iter().zip(&finished.ends) {
            self.ending.write(index, end, finished.seconds, size)?;
        }
        if !finished.released {
            self.release_targets(&mut finished);
        }
        for (target, why) in &finished.lost {
            self.ending.write(*target, &after_divergence(why), 0.0, 1)?;
        }
        if finished.ends.iter().all(|end| end.status != Status::Failed) {
            finished.pack.iter().try_for_each(|&index| self.deaths.forget(&self.ending.plan.stages[index].key))?;
            self.forget(&finished.pack, finished.seconds)?;
        } else if self.order.fail_fast {
            // A failed pack keeps its snapshot: the next sweep goes on from there.
            self.gave_up = true;
            self.shared.stop();
        }
        self.shared.put_down();
        Ok(())
    }

    /// Targets of what is done may start; those of what diverged are lost.
    fn release_targets(&mut self, finished: &mut Finished) {
        let ended: Vec<(usize, bool)> =
            finished.pack.iter().zip(&finished.ends).map(|(&index, end)| (index, end.status == Status::Done)).collect();
        let diverged = self.shared.finish(&ended).into_iter().zip(&finished.ends).filter(|(_, end)| end.status == Status::Diverged);
        let why = |end: &Ended| end.error.clone().unwrap_or_default();
        finished.lost = diverged.flat_map(|(lost, end)| lost.into_iter().map(move |target| (target, why(end)))).collect();
        finished.released = true;
    }

    /// Removes a pack's snapshot, if it was trained for long enough to have one or an earlier sweep left one.
    fn forget(&mut self, pack: &[usize], seconds: f64) -> Result<()> {
        let path = self.ending.folder.unfinished(&worker::pack_key(self.ending.plan, pack));
        if seconds >= self.order.snapshot_every.as_secs_f64() || Checkpoint::exists(&path) {
            self.ending.writer.sync()?; // the records first
            self.send(Task::Forget(path))?;
        }
        Ok(())
    }

    fn send(&self, task: Task) -> Result<()> {
        // The keeper goes home last, unless it panicked.
        self.keeper.as_ref().and_then(|keeper| keeper.send(task).ok()).context("checkpoints can no longer be written")
    }

    fn tick(&mut self) {
        if self.shared.is_stopped() && !self.stopping {
            self.stopping = true;
            if self.here > 0 && !self.gave_up && self.order.lease.check().is_ok() {
                self.ending.watcher.stopping();
            }
        }
        let elapsed = self.ticked.elapsed().as_secs_f64();
        if elapsed > 0.0 {
            self.ending.watcher.tick(self.ending.records, self.busy / (elapsed * self.workers as f64));
        }
        (self.busy, self.ticked) = (0.0, Instant::now());
        if self.told.is_none_or(|told| told.elapsed() > Duration::from_millis(500)) {
            self.told = Some(Instant::now());
            let keys: Vec<&str> = self.running.iter().flatten().map(|&index| self.ending.plan.stages[index].key.as_str()).collect();
            let text = json!({ "host": store::host(), "process": std::process::id(), "stages": keys }).to_string();
            store::write_hint(&self.order.running(), text.as_bytes());
        }
    }
}

/// Counts one more; gives how many it is now.
fn count(counts: &mut HashMap<usize, usize>, index: usize) -> usize {
    let count = counts.entry(index).or_default();
    *count += 1;
    *count
}
