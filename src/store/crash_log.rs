//! Counts worker crashes per stage.
//!
//! A stage's own computation may cause the loss of a device. After its first crash, a stage
//! therefore runs last, and after its second crash it is marked failed. The counts are stored on
//! disk. They persist where each crash ends the process and the scheduler starts a new one, for
//! example with a single GPU.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{remove, Folder};

/// How many workers crashed while running each stage. The file `checkpoints/<stage-key>.deaths` has
/// one line for each crash, with its reason.
#[derive(Debug)]
pub struct CrashLog {
    place: PathBuf,
    counts: HashMap<String, usize>,
}

impl CrashLog {
    /// # Errors
    /// The checkpoint folder cannot be read.
    pub fn read(folder: &Folder) -> Result<CrashLog> {
        let place = folder.checkpoints();
        let entries = fs::read_dir(&place).with_context(|| format!("cannot read {}", place.display()))?;
        let files = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.extension().is_some_and(|e| e == "deaths"));
        let count = |path: PathBuf| Some((path.file_stem()?.to_str()?.to_string(), fs::read_to_string(&path).ok()?.lines().count()));
        let counts = files.filter_map(count).collect();
        Ok(CrashLog { place, counts })
    }

    pub fn of(&self, key: &str) -> usize {
        self.counts.get(key).copied().unwrap_or(0)
    }

    /// Counts one more crash of this stage.
    ///
    /// # Errors
    /// The file cannot be written, for example because the disk is full.
    pub fn add(&mut self, key: &str, why: &str) -> Result<()> {
        let path = self.file(key);
        let line = format!("{}\n", why.lines().next().unwrap_or_default());
        let file = OpenOptions::new().create(true).append(true).open(&path);
        file.and_then(|mut file| file.write_all(line.as_bytes())).with_context(|| format!("cannot write {}", path.display()))?;
        *self.counts.entry(key.into()).or_default() += 1;
        Ok(())
    }

    /// Clears the count of a stage that has ended without failing. It did not cause its earlier
    /// crashes.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn forget(&mut self, key: &str) -> Result<()> {
        self.counts.remove(key).map_or(Ok(()), |_| remove(&self.file(key)))
    }

    fn file(&self, key: &str) -> PathBuf {
        self.place.join(format!("{key}.deaths"))
    }
}
