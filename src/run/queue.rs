//! Which packs can start now, and in which order: so that a sweep does not end on one long stage.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::plan::{Cost, Plan, StageKind};

/// Sources and twins before targets (sources open the way for them, twins are what they are compared with), then the most costly
/// (in operations), then the first in the plan.
type Rank = (bool, u64, Reverse<usize>);

/// Stages that still have to run.
#[derive(Debug)]
pub struct Queue {
    pack_size: usize,
    /// Packs that can start; the last goes first.
    ready: BTreeMap<Rank, Vec<usize>>,
    /// Targets that wait, by their source.
    waiting: BTreeMap<usize, BTreeSet<usize>>,
    /// Packs in work.
    working: usize,
}

impl Queue {
    /// `finished` says which stages need not run.
    pub fn new(plan: &Plan, pack_size: usize, finished: impl Fn(usize) -> bool) -> Queue {
        let mut queue = Queue { pack_size, ready: BTreeMap::new(), waiting: BTreeMap::new(), working: 0 };
        let mut now = vec![];
        for index in (0..plan.stages.len()).filter(|&index| !finished(index)) {
            match plan.stages[index].source {
                Some(source) if !finished(source) => {
                    queue.waiting.entry(source).or_default().insert(index);
                }
                _ => now.push(index),
            }
        }
        queue.add(plan, &now);
        queue
    }

    fn add(&mut self, plan: &Plan, stages: &[usize]) {
        for pack in plan.packs(stages, self.pack_size) {
            let first = &plan.stages[pack[0]];
            let cost = Cost::of(first).flops * pack.len() as f64;
            self.ready.insert((first.kind != StageKind::Target, cost as u64, Reverse(pack[0])), pack);
        }
    }

    /// Ready stages whose source `reason` speaks against, with its words.
    pub fn blocked(&self, plan: &Plan, reason: impl Fn(usize) -> Option<String>) -> Vec<(usize, String)> {
        let ready = self.ready.values().flatten();
        ready.filter_map(|&index| plan.stages[index].source.and_then(&reason).map(|why| (index, why))).collect()
    }

    /// Takes a ready stage out.
    pub fn drop_stage(&mut self, index: usize) {
        self.ready.values_mut().for_each(|pack| pack.retain(|&other| other != index));
        self.ready.retain(|_, pack| !pack.is_empty());
    }

    /// The next pack.
    pub fn take(&mut self) -> Option<Vec<usize>> {
        let (_, pack) = self.ready.pop_last()?;
        self.working += 1;
        Some(pack)
    }

    /// A pack has left its worker.
    pub fn put_down(&mut self) {
        self.working -= 1;
    }

    /// Nothing is ready, and nothing that could make something ready is in work.
    pub fn is_over(&self) -> bool {
        self.ready.is_empty() && self.working == 0
    }

    /// A stage has ended. Its targets become ready if it is done; else they are lost, and returned.
    pub fn finish(&mut self, plan: &Plan, index: usize, done: bool) -> Vec<usize> {
        let targets: Vec<usize> = self.waiting.remove(&index).into_iter().flatten().collect();
        if done {
            self.add(plan, &targets);
            return vec![];
        }
        targets
    }
}
