//! What produced a study's folder: versions, commit, device, host, command.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{write_atomic, Folder};

/// `manifest.json`: one entry for each time the study was swept.
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
}

impl Manifest {
    fn path(folder: &Folder) -> std::path::PathBuf {
        folder.0.join("manifest.json")
    }

    /// What is there; none where it is missing or damaged.
    pub fn read(folder: &Folder) -> Option<Manifest> {
        serde_json::from_slice(&std::fs::read(Manifest::path(folder)).ok()?).ok()
    }

    /// Adds this run to the folder's manifest. A damaged manifest is replaced: it is for people, nothing depends on it.
    pub fn add(folder: &Folder, engine: &str, device: &str) -> Result<()> {
        let mut manifest = Manifest::read(folder).unwrap_or(Manifest { runs: vec![] });
        manifest.runs.push(Run {
            program: program().into(),
            commit: commit().into(),
            engine: engine.into(),
            device: device.into(),
            host: host(),
            command: std::env::args().collect(),
            started: now(),
        });
        write_atomic(
            &Manifest::path(folder),
            serde_json::to_string_pretty(&manifest).context("the manifest could not be written as JSON")?.as_bytes(),
        )
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
    // SAFETY: the buffer is ours, and its length leaves room for the final NUL.
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
