//! Packs that an earlier sweep left unfinished.

use std::collections::{BTreeSet, HashMap};

use anyhow::Result;
use serde_json::Value as Json;

use super::queue::Queue;
use super::Order;
use crate::store::Checkpoint;

/// Puts packs that were interrupted together again as they were, since their snapshot holds them together. Where the whole study is swept,
/// snapshots that no longer fit it are removed; shards leave each other's alone.
pub fn resume_packs(order: &Order, queue: &mut Queue) -> Result<Vec<String>> {
    let (plan, whole) = (order.plan, order.part.is_whole());
    let mut warnings = vec![];
    let index_of: HashMap<&str, usize> = order.stages().map(|(index, stage)| (stage.key.as_str(), index)).collect();
    let Ok(entries) = std::fs::read_dir(order.folder.checkpoints()) else { return Ok(warnings) };
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.ok()?.file_name().into_string().ok();
    let keys: BTreeSet<String> =
        entries.filter_map(|entry| Some(name(entry)?.strip_prefix("pack-")?.split('.').next()?.to_string())).collect();
    let stages = |text: &str| -> Option<Vec<usize>> {
        let json: Json = serde_json::from_str(text).ok()?;
        json["stages"].as_array()?.iter().map(|key| index_of.get(key.as_str()?).copied()).collect()
    };
    for file in keys.iter().map(|key| order.folder.unfinished(key)) {
        let mut pack = Checkpoint::text(&file).and_then(|text| stages(&text));
        if pack.is_none() && whole {
            // It may be damaged, and the one before it sound. A shard leaves to its neighbours what may be theirs.
            let sound = Checkpoint::newest(&file, &mut |warning| warnings.push(warning.into()))?;
            pack = sound.and_then(|snapshot| stages(&snapshot.text));
        }
        if !pack.is_some_and(|pack| queue.resume(plan, pack)) && whole {
            Checkpoint::forget(&file)?;
        }
    }
    Ok(warnings)
}
