//! In whose hands workers died. A device that is lost may have been lost by what it computed, so that comes last from then on, and counts as failed
//! when it happens again: also where each death ends its process, and the next one goes on (one GPU, and a scheduler that tries again).

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{remove, Folder};

/// How many workers died with each stage in hand: `checkpoints/<stage-key>.crash_log` has a line for each, with its reason.
#[derive(Debug)]
pub struct CrashLog {
    place: PathBuf,
    counts: HashMap<String, usize>,
}

impl CrashLog {
    /// # Errors
    /// The folder of checkpoints cannot be read.
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

    /// One more.
    ///
    /// # Errors
    /// A full disk.
    pub fn add(&mut self, key: &str, why: &str) -> Result<()> {
        let path = self.file(key);
        let line = format!("{}\n", why.lines().next().unwrap_or_default());
        let file = OpenOptions::new().create(true).append(true).open(&path);
        file.and_then(|mut file| file.write_all(line.as_bytes())).with_context(|| format!("cannot write {}", path.display()))?;
        *self.counts.entry(key.into()).or_default() += 1;
        Ok(())
    }

    /// It has ended well: it was not to blame.
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
