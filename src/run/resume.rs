//! Restores packs that an earlier sweep left unfinished.

use std::collections::{BTreeSet, HashMap};

use anyhow::Result;
use serde_json::Value as Json;

use super::queue::Queue;
use super::SweepOptions;
use crate::store::Checkpoint;

/// The pack that a snapshot was taken of.
enum SnapshotStages {
    /// Stages of the plan, by index.
    Known(Vec<usize>),
    OfAnotherStudy,
}

/// Puts interrupted packs together again unchanged, because their snapshot holds all their stages.
/// A sweep of the whole study removes snapshots of finished packs and unreadable snapshots. Shards
/// do not touch each other's snapshots.
pub fn resume_packs(options: &SweepOptions, queue: &mut Queue) -> Result<Vec<String>> {
    let (plan, whole) = (options.plan, options.part.is_whole());
    let mut warnings = vec![];
    let index_of: HashMap<&str, usize> = options.stages().map(|(index, stage)| (stage.key.as_str(), index)).collect();
    let Ok(entries) = std::fs::read_dir(options.folder.checkpoints()) else { return Ok(warnings) };
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.ok()?.file_name().into_string().ok();
    let keys: BTreeSet<String> =
        entries.filter_map(|entry| Some(name(entry)?.strip_prefix("pack-")?.split('.').next()?.to_string())).collect();
    let stages = |text: &str| -> Option<SnapshotStages> {
        let json: Json = serde_json::from_str(text).ok()?;
        let keys = json["stages"].as_array()?.iter().map(Json::as_str).collect::<Option<Vec<&str>>>()?;
        Some(
            keys.iter()
                .map(|key| index_of.get(key).copied())
                .collect::<Option<Vec<usize>>>()
                .map_or(SnapshotStages::OfAnotherStudy, SnapshotStages::Known),
        )
    };
    let mut others = 0;
    for file in keys.iter().map(|key| options.folder.unfinished(key)) {
        let mut pack = Checkpoint::text(&file).and_then(|text| stages(&text));
        if pack.is_none() && whole {
            // The newest snapshot may be damaged while the previous one is intact. A shard does not
            // check this, because the snapshot may be another shard's.
            let sound = Checkpoint::newest(&file, &mut |warning| warnings.push(warning.into()))?;
            pack = sound.and_then(|snapshot| stages(&snapshot.text));
        }
        let goes_on = match pack {
            Some(SnapshotStages::Known(pack)) => queue.resume(plan, pack),
            Some(SnapshotStages::OfAnotherStudy) => {
                others += 1; // for example if a subset of the study is swept
                true
            }
            None => false,
        };
        if !goes_on && whole {
            Checkpoint::forget(&file)?;
        }
    }
    if whole && others > 0 {
        warnings.push(format!(
            "{others} unfinished packs in {} are of stages that are no longer in the study; they are kept",
            options.folder.checkpoints().display()
        ));
    }
    Ok(warnings)
}
