//! What produced a study's folder: versions, commit, device, host and command of each run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{write_atomic, Folder};

/// The content of `manifest.json`, or of `manifests/<shard>.json` for a shard. It has one entry for
/// each start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    pub runs: Vec<Run>,
}

/// One start of `sweep`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    pub program: String,
    pub commit: String,
    pub engine: String,
    pub device: String,
    pub host: String,
    pub command: Vec<String>,
    /// Seconds since 1970.
    pub started: f64,
    /// The digest of each data set's content, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, String>,
}

impl Manifest {
    /// The runs of all writers, ordered by start time. None if there are none. Damaged files are
    /// skipped, because manifests only inform people.
    pub fn read(folder: &Folder) -> Option<Manifest> {
        let shards = fs::read_dir(folder.manifests()).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
        let files = [folder.0.join("manifest.json")].into_iter().chain(shards);
        let mut runs: Vec<Run> = files.filter_map(|path| Manifest::of(&path)).flat_map(|manifest| manifest.runs).collect();
        runs.sort_by(|a, b| a.started.total_cmp(&b.started));
        (!runs.is_empty()).then_some(Manifest { runs })
    }

    fn of(path: &Path) -> Option<Manifest> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// Adds this run. Each shard has its own file.
    pub fn add(folder: &Folder, shard: Option<&str>, engine: &str, device: &str, data: BTreeMap<String, String>) -> Result<()> {
        let path = shard.map_or(folder.0.join("manifest.json"), |shard| folder.manifests().join(format!("{shard}.json")));
        let mut manifest = Manifest::of(&path).unwrap_or(Manifest { runs: vec![] });
        manifest.runs.push(Run {
            program: program().into(),
            commit: commit().into(),
            engine: engine.into(),
            device: device.into(),
            host: host(),
            command: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
            started: now(),
            data,
        });
        write_atomic(&path, serde_json::to_string_pretty(&manifest).context("the manifest could not be written as JSON")?.as_bytes())
    }
}

/// `transfergrid 0.1.0`.
pub fn program() -> &'static str {
    concat!("transfergrid ", env!("CARGO_PKG_VERSION"))
}

/// The commit this program was built from.
pub fn commit() -> &'static str {
    env!("TRANSFERGRID_COMMIT")
}

/// This machine's name.
pub fn host() -> String {
    let mut buffer = [0u8; 256];
    // SAFETY: the buffer is a local array, and the length passed leaves room for the final NUL.
    let ok = unsafe { libc::gethostname(buffer.as_mut_ptr().cast(), buffer.len() - 1) } == 0;
    let end = buffer.iter().position(|&b| b == 0).unwrap_or(0);
    if ok {
        String::from_utf8_lossy(&buffer[..end]).into_owned()
    } else {
        "unknown".into()
    }
}

/// Seconds since 1970.
pub fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0.0, |t| t.as_secs_f64())
}
