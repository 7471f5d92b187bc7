//! Which packs can start now, and in which order. The order avoids that a sweep ends with one long
//! stage.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::plan::{Cost, Plan, StageKind};

/// Sources and from-scratch stages come before targets: targets need sources, and from-scratch
/// stages are what targets are compared with. Then come the stages with the most operations, then
/// the first in the plan.
type Rank = (bool, u64, Reverse<usize>);

/// Stages that still have to run.
#[derive(Debug)]
pub struct Queue {
    workers: usize,
    /// Maximal number of replicas in a pack, by shape.
    sizes: HashMap<Arc<str>, usize>,
    /// Stages that can start, by shape. All stages of a pack have the same shape.
    ready: HashMap<Arc<str>, BTreeSet<usize>>,
    /// Packs that an earlier sweep left unfinished, and packs that are retried. They start first
    /// and keep their composition.
    unfinished: Vec<Vec<usize>>,
    /// How many workers each stage has crashed. Such stages start last, those with the fewest
    /// crashes first.
    crashes: HashMap<usize, usize>,
    quarantined: Vec<Vec<usize>>,
    /// Targets that wait for their source, by source.
    waiting: BTreeMap<usize, BTreeSet<usize>>,
    /// Number of waiting targets, by shape.
    coming: HashMap<Arc<str>, usize>,
    /// Number of running packs.
    working: usize,
}

impl Queue {
    /// `sizes` has the largest pack of each shape, and `crashes` the number of workers that each
    /// stage has crashed. `finished` returns whether a stage need not run.
    pub fn new(
        plan: &Plan,
        workers: usize,
        sizes: HashMap<Arc<str>, usize>,
        crashes: HashMap<usize, usize>,
        finished: impl Fn(usize) -> bool,
    ) -> Queue {
        let mut queue = Queue {
            workers,
            sizes,
            ready: HashMap::new(),
            unfinished: vec![],
            crashes,
            quarantined: vec![],
            waiting: BTreeMap::new(),
            coming: HashMap::new(),
            working: 0,
        };
        for index in (0..plan.stages.len()).filter(|&index| !finished(index)) {
            match plan.stages[index].source {
                Some(source) if !finished(source) => {
                    queue.waiting.entry(source).or_default().insert(index);
                    *queue.coming.entry(plan.stages[index].shape.clone()).or_default() += 1;
                }
                _ => queue.add(plan, index),
            }
        }
        queue
    }

    fn add(&mut self, plan: &Plan, index: usize) {
        if self.crashes.contains_key(&index) {
            return self.quarantined.push(vec![index]);
        }
        self.ready.entry(plan.stages[index].shape.clone()).or_default().insert(index);
    }

    /// Ready stages for whose source `reason` returns a text, with that text.
    pub fn blocked(&self, plan: &Plan, reason: impl Fn(usize) -> Option<String>) -> Vec<(usize, String)> {
        let ready: BTreeSet<usize> = self.ready.values().flatten().chain(self.quarantined.iter().flatten()).copied().collect();
        ready.into_iter().filter_map(|index| plan.stages[index].source.and_then(&reason).map(|why| (index, why))).collect()
    }

    /// Removes a ready stage; returns whether it was ready.
    pub fn drop_stage(&mut self, plan: &Plan, index: usize) -> bool {
        let quarantined = self.quarantined.iter().position(|pack| *pack == [index]);
        quarantined.map(|at| self.quarantined.remove(at)).is_some()
            || self.ready.get_mut(&plan.stages[index].shape).is_some_and(|stages| stages.remove(&index))
    }

    fn is_ready(&self, plan: &Plan, index: usize) -> bool {
        self.ready.get(&plan.stages[index].shape).is_some_and(|stages| stages.contains(&index))
            || self.quarantined.iter().any(|pack| *pack == [index])
    }

    /// Puts an unfinished pack together again if all its stages are ready; returns whether it did.
    pub fn resume(&mut self, plan: &Plan, pack: Vec<usize>) -> bool {
        let ready = !pack.is_empty() && pack.iter().all(|&index| self.is_ready(plan, index));
        if ready {
            pack.iter().for_each(|&index| _ = self.drop_stage(plan, index));
            match self.crash_count(&pack) {
                0 => self.unfinished.push(pack),
                _ => self.quarantined.push(pack),
            }
        }
        ready
    }

    /// The next pack to run.
    pub fn take(&mut self, plan: &Plan) -> Option<Vec<usize>> {
        let pack = self.unfinished.pop().or_else(|| self.best(plan)).or_else(|| {
            let least = (0..self.quarantined.len()).min_by_key(|&at| self.crash_count(&self.quarantined[at]))?;
            Some(self.quarantined.remove(least))
        })?;
        self.working += 1;
        Some(pack)
    }

    /// A pack of the ready stages with the highest rank.
    fn best(&mut self, plan: &Plan) -> Option<Vec<usize>> {
        let rank = |stages: &BTreeSet<usize>| -> Option<Rank> {
            let first = &plan.stages[*stages.first()?];
            Some((first.kind != StageKind::Target, Cost::of(first).flops as u64, Reverse(*stages.first()?)))
        };
        let (shape, stages) = self.ready.iter_mut().max_by_key(|(_, stages)| rank(stages))?;
        let size = self.sizes.get(shape).copied().unwrap_or(1);
        // While more targets of this shape are still waiting, a pack takes as many stages as it
        // can. The last stages are shared evenly among the workers.
        let more = self.coming.get(shape).is_some_and(|&coming| coming > 0);
        let count = if more { size } else { share(stages.len(), size, self.workers) };
        let pack: Vec<usize> = stages.iter().copied().take(count).collect();
        pack.iter().for_each(|index| _ = stages.remove(index));
        (!pack.is_empty()).then_some(pack)
    }

    /// The largest number of worker crashes among a pack's stages.
    fn crash_count(&self, pack: &[usize]) -> usize {
        pack.iter().filter_map(|index| self.crashes.get(index)).copied().max().unwrap_or(0)
    }

    /// Requeues a pack that was too large for the device's memory. Packs of its shape get at most
    /// half its size, which is returned.
    pub fn split(&mut self, plan: &Plan, pack: &[usize]) -> usize {
        let size = pack.len().div_ceil(2);
        pack.iter().for_each(|&index| self.add(plan, index));
        let known = self.sizes.entry(plan.stages[pack[0]].shape.clone()).or_insert(size);
        *known = size.min(*known);
        *known
    }

    /// Requeues a failed pack, at the front and in halves.
    pub fn retry(&mut self, pack: &[usize]) {
        self.unfinished.extend(pack.chunks(pack.len().div_ceil(2).max(1)).map(<[usize]>::to_vec));
    }

    /// Requeues a pack whose worker crashed. It is tried again unchanged, after all other ready
    /// stages.
    pub fn quarantine(&mut self, pack: &[usize]) {
        pack.iter().for_each(|&index| *self.crashes.entry(index).or_default() += 1);
        self.quarantined.push(pack.to_vec());
    }

    /// A pack is no longer running.
    pub fn pack_done(&mut self) {
        self.working -= 1;
    }

    /// Whether no pack is running and the only ready packs have crashed at least `crashes`
    /// workers.
    pub fn only_crashing_left(&self, crashes: usize) -> bool {
        self.unfinished.is_empty()
            && self.working == 0
            && self.ready.values().all(BTreeSet::is_empty)
            && self.quarantined.iter().all(|pack| self.crash_count(pack) >= crashes)
    }

    /// Whether nothing is ready, and no running pack could make other stages ready.
    pub fn is_over(&self) -> bool {
        self.quarantined.is_empty() && self.only_crashing_left(0)
    }

    /// Handles the end of a stage. If it is done, its targets become ready. Otherwise they are
    /// lost, and are returned.
    pub fn finish(&mut self, plan: &Plan, index: usize, done: bool) -> Vec<usize> {
        let targets: Vec<usize> = self.waiting.remove(&index).into_iter().flatten().collect();
        for &target in &targets {
            if let Some(coming) = self.coming.get_mut(&plan.stages[target].shape) {
                *coming -= 1;
            }
        }
        if done {
            targets.into_iter().for_each(|target| self.add(plan, target));
            return vec![];
        }
        targets
    }
}

/// How many of the `ready` stages the next pack takes. The packs are as few as their maximal size
/// allows, fill a whole number of rounds of all workers, and have about equal sizes. So no worker
/// waits for another's last pack.
fn share(ready: usize, size: usize, workers: usize) -> usize {
    let rounds = ready.div_ceil(size.max(1) * workers.max(1));
    ready.div_ceil((rounds * workers.max(1)).max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn packs_are_of_even_size() {
        assert_eq!(share(17, 16, 1), 9);
        assert_eq!(share(8, 16, 1), 8);
        assert_eq!(share(8, 16, 2), 4);
        assert_eq!(share(40, 16, 2), 10);
        assert_eq!(share(5, 1, 3), 1);
        assert_eq!(share(1, 16, 4), 1);
    }
}
