//! Divides a plan among n processes.
//!
//! A source stage and all its target stages are in the same shard. So no source is trained twice,
//! and no shard waits for another. From-scratch stages and alignment stages can be in any shard.
//!
//! The division depends only on the plan, not on which stages are done or which process did them.
//! So every process computes the same division by itself.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fmt;
use std::str::FromStr;

use super::{Cost, Plan, Stage};

/// Part `index` (from 0) of `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shard {
    pub index: usize,
    pub count: usize,
}

/// More processes than this for one study are a mistake.
pub const MOST_SHARDS: usize = 100_000;

impl Shard {
    pub fn new(index: usize, count: usize) -> Result<Shard, String> {
        match count {
            0 => Err("a study has at least one shard".into()),
            n if n > MOST_SHARDS => Err(format!("at most {MOST_SHARDS} shards are allowed")),
            n if index >= n => Err(format!("shards are counted from 0: with {n} of them, 0/{n} is the first and {}/{n} the last", n - 1)),
            _ => Ok(Shard { index, count }),
        }
    }
}

impl Shard {
    /// Name of the shard's records and lease.
    pub fn writer(&self) -> String {
        format!("shard-{}-of-{}", self.index, self.count)
    }

    /// The shard with this writer name.
    pub fn of_writer(name: &str) -> Option<Shard> {
        let (index, count) = name.strip_prefix("shard-")?.split_once("-of-")?;
        Shard::new(index.parse().ok()?, count.parse().ok()?).ok()
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        let numbers = text.split_once('/').and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        let (index, count) = numbers.ok_or("a shard and the number of shards, e.g. 0/4 for the first of four")?;
        Shard::new(index, count)
    }
}

/// The stages of a plan that one process runs.
#[derive(Debug, Clone)]
pub struct StageSelection {
    /// For each stage of the plan, whether it is selected.
    pub chosen: Vec<bool>,
    /// None if the selection is not a shard: the whole plan, or the stages that failed.
    pub shard: Option<Shard>,
}

impl StageSelection {
    pub fn of(plan: &Plan, shard: Option<Shard>) -> StageSelection {
        let chosen = match shard {
            Some(Shard { index, count }) => plan.shards(count).into_iter().map(|shard| shard == index).collect(),
            None => vec![true; plan.stages.len()],
        };
        StageSelection { chosen, shard }
    }

    pub fn stages<'p>(&self, plan: &'p Plan) -> impl Iterator<Item = (usize, &'p Stage)> + use<'_, 'p> {
        plan.stages.iter().enumerate().filter(|(index, _)| self.chosen[*index])
    }

    pub fn is_whole(&self) -> bool {
        self.chosen.iter().all(|&chosen| chosen)
    }
}

/// Stages that must run in the same process.
struct Family {
    stages: Vec<usize>,
    /// Microseconds on one CPU core, counted rather than measured.
    cost: u64,
    /// Hash from the content key of the family's first stage.
    hash: u64,
}

/// Minimum cost of a stage: its record, its data and its share of the start-up time.
const LEAST_MICROSECONDS: u64 = 2000;

impl Plan {
    /// The shard of each stage, if the plan is divided into `count` shards.
    ///
    /// Families are assigned in the order of decreasing cost. The largest load that greedy
    /// balancing would reach is the limit. Among the shards where the family fits under this limit,
    /// rendezvous hashing selects one, by a hash of the family's key and the shard's number.
    ///
    /// So the shards are about as balanced as with greedy balancing. If seeds or values are added
    /// to a study, most families stay in their shards.
    pub fn shards(&self, count: usize) -> Vec<usize> {
        let mut families = self.families();
        families.sort_by_key(|family| (Reverse(family.cost), family.hash));
        let limit = greedy_limit(&families, count);
        let mut load = vec![0u64; count];
        let mut shard_of = vec![0; self.stages.len()];
        for family in &families {
            let fits = (0..count).filter(|&shard| load[shard] + family.cost <= limit);
            let liked = fits.max_by_key(|&shard| mix(family.hash ^ mix(shard as u64 + 1)));
            let least = || (0..count).min_by_key(|&shard| load[shard]).unwrap_or(0);
            let shard = liked.unwrap_or_else(least);
            load[shard] += family.cost;
            family.stages.iter().for_each(|&stage| shard_of[stage] = shard);
        }
        shard_of
    }

    fn families(&self) -> Vec<Family> {
        let mut families: Vec<Family> = vec![];
        let mut of_source: HashMap<usize, usize> = HashMap::new();
        for (index, stage) in self.stages.iter().enumerate() {
            let head = stage.source.unwrap_or(index);
            let at = *of_source.entry(head).or_insert_with(|| {
                let hash = u64::from_str_radix(stage.key.get(..16).unwrap_or_default(), 16).unwrap_or(0);
                families.push(Family { stages: vec![], cost: 0, hash });
                families.len() - 1
            });
            families[at].stages.push(index);
            families[at].cost += LEAST_MICROSECONDS + (Cost::of(stage).cpu_seconds() * 1e6) as u64;
        }
        families
    }
}

/// The largest load if every family goes to the shard with the smallest load.
fn greedy_limit(families: &[Family], count: usize) -> u64 {
    let mut loads: BinaryHeap<Reverse<u64>> = (0..count).map(|_| Reverse(0)).collect();
    let mut largest = 0;
    for family in families {
        if let Some(Reverse(least)) = loads.pop() {
            largest = largest.max(least + family.cost);
            loads.push(Reverse(least + family.cost));
        }
    }
    largest
}

/// The finaliser of SplitMix64.
fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::config::{Overrides, Study};
    use crate::plan::StageKind;

    fn plan(set: &[&str], seeds: u64) -> Plan {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/demo.yaml");
        let set = set.iter().map(|s| s.to_string()).collect();
        Plan::new(&Study::load(&file, &Overrides { preset: None, seeds: Some(seeds), set }).unwrap()).unwrap()
    }

    fn loads(plan: &Plan, count: usize) -> Vec<u64> {
        let mut load = vec![0; count];
        for (stage, shard) in plan.stages.iter().zip(plan.shards(count)) {
            load[shard] += LEAST_MICROSECONDS + (Cost::of(stage).cpu_seconds() * 1e6) as u64;
        }
        load
    }

    #[test]
    fn a_source_and_its_targets_stay_together_and_the_load_is_even() {
        for (set, seeds) in [(&[][..], 5), (&["source.epochs=[3, 40, 200]", "target.per_class=[2, 10]"][..], 3)] {
            let plan = plan(set, seeds);
            for count in [1, 2, 3, 7, 16] {
                let shards = plan.shards(count);
                for (index, stage) in plan.stages.iter().enumerate() {
                    assert!(shards[index] < count);
                    assert!(stage.source.is_none_or(|source| shards[source] == shards[index]));
                }
                let loads = loads(&plan, count);
                let largest = plan.families().iter().map(|family| family.cost).max().unwrap();
                let bound = largest.max(loads.iter().sum::<u64>() / count as u64) as f64;
                let worst = *loads.iter().max().unwrap() as f64 / bound;
                assert!(worst < 1.34, "{count} shards of {} stages: {worst} × the least possible", plan.stages.len());
            }
        }
    }

    #[test]
    fn the_split_does_not_depend_on_order_and_survives_additions() {
        let by_key =
            |plan: &Plan| -> HashMap<String, usize> { plan.stages.iter().map(|stage| stage.key.clone()).zip(plan.shards(8)).collect() };
        let sources = |plan: &Plan| -> Vec<String> {
            plan.stages.iter().filter(|stage| stage.kind == StageKind::Source).map(|stage| stage.key.clone()).collect()
        };
        let small = plan(&[], 8);
        let before = by_key(&small);
        assert_eq!(before, by_key(&plan(&["seeds=[7, 3, 1, 0, 2, 4, 6, 5]"], 8)), "order of seeds");
        let moved = |after: &HashMap<String, usize>| sources(&small).iter().filter(|key| before[*key] != after[*key]).count();
        let n = sources(&small).len();
        let lambda1 = by_key(&plan(&["lambda1=[0, 0.01, 0.03, 0.1, 0.3, 1]"], 8));
        assert!(moved(&lambda1) * 10 <= n, "more λ₁: {} of {n} sources moved", moved(&lambda1));
        let seeds = by_key(&plan(&[], 10));
        assert!(moved(&seeds) * 2 <= n, "more seeds: {} of {n} sources moved", moved(&seeds));
    }

    #[test]
    fn shards_are_counted_from_zero() {
        assert_eq!("3/16".parse(), Ok(Shard { index: 3, count: 16 }));
        for wrong in ["16/16", "1", "a/b", "0/0", "-1/4", "1/1000000"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
