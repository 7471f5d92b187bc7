//! Walks a plan: what is done is skipped, the rest goes to the engine pack by pack, and every result becomes a record.
//!
//! Workers train; the calling thread alone writes records and talks to whoever watches.

pub mod engine;
mod keeper;
mod progress;
mod queue;
pub mod ridge;
mod signals;
mod worker;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{mpsc, Arc};
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use serde_json::{json, Value as Json};

use crate::config::number;
use crate::plan::{Part, Plan, Stage};
use crate::store::{self, Checkpoint, Folder, Lease, Record, Records, Status, Writer, RECORD_VERSION};
use engine::{Ended, Engine, Epoch};
use keeper::Task;
use queue::Queue;
use worker::{Finished, Message, Worker};

pub use progress::{progress, shares, Progress, Share};
pub use signals::stop_flag;

/// A mistake of the caller: flags, environment. Exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{what}\n  hint: {hint}")]
pub struct UsageError {
    pub what: String,
    pub hint: String,
}

/// A usage error as an [`anyhow::Error`].
pub fn usage(what: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
    UsageError { what: what.into(), hint: hint.into() }.into()
}

/// Who hears of a sweep while it runs.
pub trait Watcher {
    /// A stage was handed to a worker.
    fn started(&mut self, stage: &Stage);
    /// A stage finished an epoch.
    fn epoch(&mut self, stage: &Stage, epoch: &Epoch);
    /// A stage ended, and its record is on disk.
    fn ended(&mut self, stage: &Stage, record: &Record, records: &Records);
    /// Called at least a few times a second, with the share of workers that were training since the last call.
    fn tick(&mut self, records: &Records, busy: f64);
    /// Something to tell, once.
    fn warn(&mut self, message: &str);
}

/// What is to be run, and how.
pub struct Order<'a> {
    pub plan: &'a Plan,
    /// The stages that are this process's. A source stage that is wanted by one of its targets and has no result must be one of them.
    pub part: &'a Part,
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

impl Order<'_> {
    fn stages(&self) -> impl Iterator<Item = (usize, &Stage)> {
        self.part.stages(self.plan)
    }
}

/// How a sweep went; numbers of the chosen stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Stages whose record was there already.
    pub reused: usize,
    pub done: usize,
    pub diverged: usize,
    pub failed: usize,
    /// Stages that were not run: stopped before, or their source failed.
    pub missing: usize,
    /// A signal ended the sweep.
    pub interrupted: bool,
    /// A failure ended the sweep, as [`Order::fail_fast`] wants it.
    pub gave_up: bool,
}

/// Checkpoints that may wait for the disk; with more, training waits.
const WRITES_WAITING: usize = 64;

/// A pack in whose hands so many workers died is to blame after all.
const MOST_DEATHS: usize = 2;

/// Sweeps the chosen stages of a plan. `stop` set means: finish the current step, write snapshots, return.
///
/// # Errors
/// The store fails, another process has taken over the lease, or every worker has died.
pub fn sweep(order: &Order, stop: &Arc<AtomicBool>, watcher: &mut dyn Watcher) -> Result<Tally> {
    let Order { plan, folder, engine, .. } = *order;
    let keys: HashSet<&str> = order.stages().map(|(_, stage)| stage.key.as_str()).collect();
    let sources = order.stages().filter_map(|(_, stage)| stage.source);
    let keys: HashSet<&str> = sources.map(|source| plan.stages[source].key.as_str()).chain(keys.iter().copied()).collect();
    let mut records = Records::read_some(folder, |key| keys.contains(key))?;
    records.warnings.iter().for_each(|warning| watcher.warn(warning));
    let mut writer = Writer::open(folder, order.lease, &mut |warning| watcher.warn(warning))?;
    let mut tally = Tally { reused: order.stages().filter(|(_, stage)| records.is_final(&stage.key)).count(), ..Tally::default() };

    // A finished source whose targets are not all done must still have its model; else it is trained once more.
    let mut again = HashSet::new();
    let wanted: BTreeSet<usize> =
        order.stages().filter(|(_, stage)| !records.is_final(&stage.key)).filter_map(|(_, stage)| stage.source).collect();
    for source in wanted {
        let record = records.by_key.get(&plan.stages[source].key);
        if record.is_some_and(|record| record.status == Status::Done) {
            let path = folder.model(&plan.stages[source].key);
            match Checkpoint::read(&path) {
                Ok(Some(_)) => {}
                Ok(None) => {
                    again.insert(source);
                }
                Err(error) => {
                    watcher.warn(&format!("{error:#}; {}; this source is trained again", store::set_aside(&path)));
                    again.insert(source);
                }
            }
        }
    }

    // Sources that diverged take their targets with them. What is not chosen is nobody's business here.
    let finished = |index: usize| (!order.part.chosen[index] || records.is_final(&plan.stages[index].key)) && !again.contains(&index);
    let mut queue = Queue::new(plan, engine.workers(), pack_sizes(plan, engine, finished), finished);
    let already: Vec<(usize, String)> = queue.blocked(plan, |source| {
        records.by_key.get(&plan.stages[source].key).filter(|r| r.status == Status::Diverged).and_then(|r| r.error.clone())
    });
    let mut ending = Ending { plan, folder, engine, writer: &mut writer, records: &mut records, tally: &mut tally, watcher };
    for (target, error) in already {
        queue.drop_stage(plan, target);
        ending.write(target, &after_divergence(&error), 0.0, 1)?;
    }
    for warning in resume_packs(order, &mut queue)? {
        ending.watcher.warn(&warning);
    }

    let (sender, inbox) = mpsc::channel();
    let (tasks, to_write) = mpsc::sync_channel(WRITES_WAITING);
    let shared = worker::Shared::new(plan, queue, stop.clone(), folder.clone(), order.snapshot_every);
    let key = |index: usize| plan.stages[index].key.clone();
    let result = std::thread::scope(|scope| {
        let workers = engine.workers().max(1);
        for number in 0..workers {
            let (out, keeper) = (sender.clone(), tasks.clone());
            let worker = Worker { number, plan, engine, shared: &shared, out, keeper, pack: Cell::default() };
            // A worker that panics says so when it is dropped; that is enough.
            scope.spawn(move || _ = catch_unwind(AssertUnwindSafe(move || worker.work())));
        }
        let keep = move || keeper::keep(&key, folder, order.lease, &to_write, &sender);
        scope.spawn(move || _ = catch_unwind(AssertUnwindSafe(keep)));
        // However this thread leaves, by an error or a panic: the workers wind down, what they still send is not needed.
        let leaving = StopOnDrop(stop);
        let mut listener = Listener::new(order, &shared, &mut ending, tasks, workers);
        let result = listener.listen(&inbox).and_then(|()| listener.ending.writer.sync());
        if result.is_ok() {
            std::mem::forget(leaving);
        } else {
            let _ = listener.ending.writer.sync(); // records before the error are worth keeping; the error itself is told
        }
        result.map(|()| listener.death.take())
    });
    remove_running(order);
    let death = result?;
    tally.missing = order.stages().filter(|(_, stage)| !records.is_final(&stage.key)).count().saturating_sub(tally.failed);
    let stopped = stop.load(Ordering::SeqCst) && tally.missing > 0;
    tally.gave_up = order.fail_fast && tally.failed > 0 && tally.missing > 0;
    tally.interrupted = stopped && !tally.gave_up;
    match death {
        Some(why) if shared.has_work() && !stopped => {
            bail!("every worker has died, the last one of: {why}\n  hint: the same command goes on from here")
        }
        _ => Ok(tally),
    }
}

/// Sets the flag when dropped.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Puts packs that were interrupted together again as they were, since their snapshot holds them together. Where the whole study is swept,
/// snapshots that no longer fit it are removed; shards leave each other's alone.
fn resume_packs(order: &Order, queue: &mut Queue) -> Result<Vec<String>> {
    let (plan, whole) = (order.plan, order.part.is_whole());
    let mut warnings = vec![];
    let index_of: HashMap<&str, usize> = order.stages().map(|(index, stage)| (stage.key.as_str(), index)).collect();
    let Ok(entries) = std::fs::read_dir(order.folder.checkpoints()) else { return Ok(warnings) };
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.ok()?.file_name().into_string().ok();
    let keys: BTreeSet<String> =
        entries.filter_map(|entry| Some(name(entry)?.strip_prefix("pack-")?.split('.').next()?.to_string())).collect();
    for file in keys.iter().map(|key| order.folder.unfinished(key)) {
        let text = match Checkpoint::text(&file) {
            // A whole sweep looks closer; a shard leaves to its neighbours what may be theirs.
            None if whole => Checkpoint::newest(&file, &mut |warning| warnings.push(warning.into())).map(|snapshot| snapshot.text),
            text => text,
        };
        let json: Json = serde_json::from_str(&text.unwrap_or_default()).unwrap_or(Json::Null);
        let stages: Option<Vec<usize>> =
            json["stages"].as_array().and_then(|keys| keys.iter().map(|key| index_of.get(key.as_str()?).copied()).collect());
        if !stages.is_some_and(|stages| queue.resume(plan, stages)) && whole {
            Checkpoint::forget(&file)?;
        }
    }
    Ok(warnings)
}

/// How many replicas a pack of each shape that is still to be trained may have.
fn pack_sizes(plan: &Plan, engine: &dyn Engine, finished: impl Fn(usize) -> bool) -> HashMap<Arc<str>, usize> {
    let mut shapes: BTreeMap<&Arc<str>, (usize, usize)> = BTreeMap::new();
    for (index, stage) in plan.stages.iter().enumerate().filter(|(index, _)| !finished(*index)) {
        shapes.entry(&stage.shape).or_insert((index, 0)).1 += 1;
    }
    shapes.into_iter().map(|(shape, (first, count))| (shape.clone(), engine.pack_size(&plan.stages[first], count))).collect()
}

/// Hears the workers and the keeper, and settles what they have finished.
struct Listener<'a, 'b> {
    order: &'a Order<'a>,
    shared: &'a worker::Shared<'a>,
    ending: &'a mut Ending<'b>,
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
    /// How often each stage was tried in vain, and in how many workers' deaths it was at hand.
    tries: HashMap<usize, usize>,
    deaths: HashMap<usize, usize>,
    /// Why the last worker died.
    death: Option<String>,
    /// Seconds that workers have trained since `ticked`.
    busy: f64,
    since: Instant,
    ticked: Instant,
    told: Option<Instant>,
}

impl<'a, 'b> Listener<'a, 'b> {
    fn new(
        order: &'a Order<'a>,
        shared: &'a worker::Shared<'a>,
        ending: &'a mut Ending<'b>,
        keeper: SyncSender<Task>,
        workers: usize,
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
            deaths: HashMap::new(),
            death: None,
            busy: 0.0,
            since: now,
            ticked: now,
            told: None,
        }
    }

    /// Until all have gone home.
    fn listen(&mut self, inbox: &mpsc::Receiver<Message>) -> Result<()> {
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
            Message::Epoch(index, epoch) => self.ending.watcher.epoch(&self.ending.plan.stages[index], &epoch),
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

    /// A worker has died. Its pack goes back to the queue, unless others have died of it before.
    fn died(&mut self, worker: usize, pack: Vec<usize>, why: String) -> Result<()> {
        self.running.retain(|running| *running != pack);
        let deaths = pack.iter().map(|&index| count(&mut self.deaths, index)).max().unwrap_or(0);
        let left = self.here - 1; // it is about to say that it has left
        let what =
            if deaths < MOST_DEATHS { "its pack goes back to the queue" } else { "its pack counts as failed, as others have died of it" };
        let others = if left == 1 { "1 other worker goes on".into() } else { format!("{left} other workers go on") };
        self.ending.watcher.warn(&format!("worker {worker} has died ({why}); {what}, {others}"));
        if pack.is_empty() {
            // It had none in hand.
        } else if deaths < MOST_DEATHS {
            self.shared.again(&pack, false);
        } else {
            let ends = vec![worker::failed(&why); pack.len()];
            self.settle(Finished { pack, ends, seconds: 0.0, released: false, lost: vec![] })?;
        }
        self.death = Some(why);
        Ok(())
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
        match several {
            true => self.ending.watcher.warn(&format!("a pack of {} failed ({first}); once more, in halves", finished.pack.len())),
            false => self.ending.watcher.warn(&format!("try {tries} of {} failed ({first}); once more", self.order.retries + 1)),
        }
        if several {
            self.forget(&finished.pack, f64::INFINITY)?;
        } else {
            finished.pack.iter().for_each(|&index| _ = count(&mut self.tries, index));
        }
        self.shared.again(&finished.pack, true);
        Ok(true)
    }

    /// A pack has been trained. Its models go to the keeper; where the engine still has them, its targets need not wait for that.
    fn ended(&mut self, mut finished: Finished) -> Result<()> {
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
        if self.order.fail_fast && self.ending.tally.failed > 0 {
            self.shared.stop();
        }
        // A failed pack keeps its snapshot: the next sweep goes on from there.
        if finished.ends.iter().all(|end| end.status != Status::Failed) {
            self.forget(&finished.pack, finished.seconds)?;
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
        let elapsed = self.ticked.elapsed().as_secs_f64();
        if elapsed > 0.0 {
            self.ending.watcher.tick(self.ending.records, self.busy / (elapsed * self.workers as f64));
        }
        (self.busy, self.ticked) = (0.0, Instant::now());
        if self.told.is_none_or(|told| told.elapsed() > Duration::from_millis(500)) {
            self.told = Some(Instant::now());
            let keys: Vec<&str> = self.running.iter().flatten().map(|&index| self.ending.plan.stages[index].key.as_str()).collect();
            let text = json!({ "host": store::host(), "process": std::process::id(), "stages": keys }).to_string();
            store::write_hint(&self.order.folder.running(self.order.lease.records()), text.as_bytes());
        }
    }
}

fn remove_running(order: &Order) {
    let _ = store::remove(&order.folder.running(order.lease.records())); // `status` looks at its age as well
}

/// Counts one more; gives how many it is now.
fn count(counts: &mut HashMap<usize, usize>, index: usize) -> usize {
    let count = counts.entry(index).or_default();
    *count += 1;
    *count
}

fn after_divergence(error: &str) -> Ended {
    Ended {
        status: Status::Diverged,
        metrics: BTreeMap::new(),
        history: vec![],
        error: Some(format!("its source diverged: {error}")),
        model: None,
    }
}

/// Everything that a stage's end touches.
struct Ending<'a> {
    plan: &'a Plan,
    folder: &'a Folder,
    engine: &'a dyn Engine,
    writer: &'a mut Writer<'a>,
    records: &'a mut Records,
    tally: &'a mut Tally,
    watcher: &'a mut dyn Watcher,
}

impl Ending<'_> {
    fn write(&mut self, index: usize, end: &Ended, seconds: f64, pack: usize) -> Result<()> {
        let stage = &self.plan.stages[index];
        if self.records.is_final(&stage.key) {
            // A source trained again for its model: its record stands.
            if end.status == Status::Failed {
                self.tally.failed += 1;
                let why = end.error.as_deref().unwrap_or_default();
                self.watcher
                    .warn(&format!("source {} could not be trained again for its model, so its targets wait: {why}", stage.label()));
            }
            self.watcher.ended(stage, &self.records.by_key[&stage.key], self.records);
            return Ok(());
        }
        let record = record(self.plan, stage, end, self.engine, seconds, pack).with_context(|| format!("stage {}", stage.label()))?;
        self.writer.append(&record)?;
        match record.status {
            Status::Done => self.tally.done += 1,
            Status::Diverged => self.tally.diverged += 1,
            Status::Failed => self.tally.failed += 1,
        }
        self.records.by_key.insert(record.key.clone(), record);
        self.watcher.ended(stage, &self.records.by_key[&stage.key], self.records);
        Ok(())
    }
}

fn record(plan: &Plan, stage: &Stage, end: &Ended, engine: &dyn Engine, seconds: f64, pack: usize) -> Result<Record> {
    let mut settings = serde_json::to_value(&*stage.settings)?;
    if stage.settings.lambda1.is_infinite() {
        settings["lambda1"] = json!("inf"); // JSON has no infinity
    }
    Ok(Record {
        version: RECORD_VERSION,
        kind: stage.kind,
        key: stage.key.clone(),
        source: stage.source.map(|source| plan.stages[source].key.clone()),
        seed: stage.seed,
        axes: stage.axes.iter().map(|(path, value)| (path.clone(), axis_json(value))).collect(),
        status: end.status,
        metrics: end.metrics.iter().filter(|(_, value)| value.is_finite()).map(|(name, value)| (name.clone(), *value)).collect(),
        error: end.error.clone(),
        history: end.history.iter().map(serde_json::value::to_raw_value).collect::<Result<_, _>>()?,
        settings,
        seconds,
        pack,
        device: engine.device(),
        host: store::host(),
        engine: engine.name().into(),
        program: store::program().into(),
        commit: store::commit().into(),
        finished: store::now(),
    })
}

/// An axis value as JSON; infinity as "inf".
pub fn axis_json(value: &serde_yaml::Value) -> Json {
    match value.as_f64() {
        Some(x) if !x.is_finite() => json!(number(x)),
        _ => serde_json::to_value(value).unwrap_or(Json::Null),
    }
}
