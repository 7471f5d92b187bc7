//! The status of a plan's stages, from the files in the study's folder.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value as Json;

use crate::plan::{Plan, Shard};
use crate::store::{occupants, Folder, Occupant, Records, Status};

/// Number of stages by status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct StageProgress {
    /// Includes diverged stages: they are final.
    pub done: usize,
    /// How many of the done stages diverged.
    pub diverged: usize,
    pub running: usize,
    pub failed: usize,
    pub missing: usize,
}

/// The status of one process's part of a study.
#[derive(Debug, Clone)]
pub struct ShardStatus {
    /// None: the whole study.
    pub shard: Option<Shard>,
    pub progress: StageProgress,
    /// The process that works on this part, or worked on it last; none if no process has yet.
    pub holder: Option<String>,
    pub works: bool,
}

/// The status of each shard, for the division into shards that was used last. The second value has
/// warnings about unreadable records.
pub fn shard_statuses(plan: &Plan, folder: &Folder) -> Result<(Vec<ShardStatus>, Vec<String>)> {
    let (statuses, warnings) = Records::statuses(folder)?;
    let occupants = occupants(folder);
    let shard_of = |occupant: &Occupant| Shard::of_writer(&occupant.writer);
    let last = occupants.iter().max_by_key(|occupant| (occupant.works, occupant.seen));
    let count = last.and_then(shard_of).map(|shard| shard.count);
    let running: HashSet<String> = occupants.iter().filter(|occupant| occupant.works).flat_map(|o| running(folder, o)).collect();
    let mut shard_statuses: Vec<ShardStatus> = match count {
        Some(count) => (0..count).filter_map(|index| Shard::new(index, count).ok()).map(|shard| ShardStatus::new(Some(shard))).collect(),
        None => vec![ShardStatus::new(None)],
    };
    for share in &mut shard_statuses {
        let own = |occupant: &&Occupant| shard_of(occupant) == share.shard;
        if let Some(occupant) = occupants.iter().find(own) {
            share.holder = occupant.holder.as_ref().map(ToString::to_string);
            share.works = occupant.works;
        }
    }
    let share_of = count.map(|count| plan.shards(count));
    for (index, stage) in plan.stages.iter().enumerate() {
        let progress = &mut shard_statuses[share_of.as_ref().map_or(0, |of| of[index])].progress;
        match statuses.get(&stage.key).copied() {
            Some(status @ (Status::Done | Status::Diverged)) => {
                progress.done += 1;
                progress.diverged += usize::from(status == Status::Diverged);
            }
            _ if running.contains(&stage.key) => progress.running += 1,
            Some(Status::Failed) => progress.failed += 1,
            None => progress.missing += 1,
        }
    }
    Ok((shard_statuses, warnings))
}

impl ShardStatus {
    fn new(shard: Option<Shard>) -> ShardStatus {
        ShardStatus { shard, progress: StageProgress::default(), holder: None, works: false }
    }
}

impl std::iter::Sum for StageProgress {
    fn sum<I: Iterator<Item = StageProgress>>(all: I) -> StageProgress {
        all.fold(StageProgress::default(), |sum, other| StageProgress {
            done: sum.done + other.done,
            diverged: sum.diverged + other.diverged,
            running: sum.running + other.running,
            failed: sum.failed + other.failed,
            missing: sum.missing + other.missing,
        })
    }
}

impl StageProgress {
    pub fn total(&self) -> usize {
        self.done + self.running + self.failed + self.missing
    }
}

/// Keys of the stages that a process is training. A running process rewrites the file twice a
/// second. A file older than ten seconds is ignored: its process has ended or crashed.
fn running(folder: &Folder, occupant: &Occupant) -> Vec<String> {
    let read = || -> Option<Vec<String>> {
        let path = folder.running(&occupant.holder.as_ref()?.records);
        let age = std::fs::metadata(&path).ok()?.modified().ok()?.elapsed().unwrap_or_default();
        let json: Json = serde_json::from_slice(&std::fs::read(&path).ok()?).ok()?;
        let keys = json["stages"].as_array().into_iter().flatten().filter_map(|key| Some(key.as_str()?.to_string()));
        (age < Duration::from_secs(10)).then(|| keys.collect())
    };
    read().unwrap_or_default()
}
