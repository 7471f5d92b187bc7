//! The folder of a study. Only this module writes records, checkpoints and the files around them.
//!
//! ```text
//! logs/<study>/
//!   study.yaml                           the resolved study
//!   manifest.json                        versions, commit, device, host, command of each run
//!   manifests/<shard>.json               the same for each shard
//!   leases/<writer>/<n>                  which process is `<writer>`: `main`, or a shard
//!   running/<writer>.json                the stages that are running
//!   records/<writer>.jsonl               one line for each finished stage
//!   checkpoints/<stage-key>.safetensors  source models
//!   checkpoints/pack-<key>.safetensors   unfinished packs
//!   checkpoints/<stage-key>.deaths       worker crashes
//!   predictions/<stage-key>.parquet      what models say of test examples, if `predict` kept it
//!   tb/…  report/…                       written by track/ and report/ through [`write_atomic`]
//! ```

mod checkpoint;
mod crash_log;
mod lease;
mod manifest;
mod predictions;
mod record;
pub mod ridge_record;

use std::collections::hash_map::RandomState;
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result};

pub use checkpoint::{Array, Checkpoint};
pub use crash_log::CrashLog;
pub use lease::{occupants, Lease, LeaseLost, Occupant, OnConflict};
pub use manifest::{commit, host, now, program, Manifest};
pub use predictions::KeptPredictions;
pub use record::{full_records, histories, FullRecord, NewerRecord, Record, Records, Status, Writer, RECORD_VERSION};
pub use ridge_record::RidgeRecord;

/// The folder of one study.
#[derive(Debug, Clone)]
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn study(&self) -> PathBuf {
        self.0.join("study.yaml")
    }

    pub fn records(&self) -> PathBuf {
        self.0.join("records")
    }

    pub fn leases(&self) -> PathBuf {
        self.0.join("leases")
    }

    pub fn manifests(&self) -> PathBuf {
        self.0.join("manifests")
    }

    /// The stages that a writer is running. This file only informs people.
    pub fn running(&self, writer: &str) -> PathBuf {
        self.0.join("running").join(format!("{writer}.json"))
    }

    /// The number of models that a writer has saved, and one line for each snapshot of an
    /// unfinished pack. The next attempt compares the file with its earlier content.
    pub fn saved(&self, writer: &str) -> PathBuf {
        self.0.join("running").join(format!("{writer}.saved"))
    }

    /// The same files, of all processes that have had this writer's name.
    pub fn all_saved(&self, writer: &str) -> Vec<PathBuf> {
        let own = |path: &PathBuf| path.extension().is_some_and(|end| end == "saved") && is_of_writer(path, writer);
        let files = fs::read_dir(self.0.join("running")).into_iter().flatten();
        let mut all: Vec<PathBuf> = files.filter_map(|file| Some(file.ok()?.path())).filter(own).collect();
        all.sort();
        all
    }

    /// Size of all records in bytes. If it grows, there are new records.
    pub fn record_bytes(&self) -> u64 {
        let entries = fs::read_dir(self.records()).into_iter().flatten();
        entries.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len())).sum()
    }

    pub fn checkpoints(&self) -> PathBuf {
        self.0.join("checkpoints")
    }

    /// Measurements of the devices on which this study was trained.
    pub fn calibration(&self) -> PathBuf {
        self.0.join("calibration.json")
    }

    pub fn tensorboard(&self) -> PathBuf {
        self.0.join("tb")
    }

    pub fn report(&self) -> PathBuf {
        self.0.join("report")
    }

    /// What a stage's model says of its test examples, if `predict` kept it.
    pub fn predictions(&self, key: &str) -> PathBuf {
        self.0.join("predictions").join(format!("{key}.parquet"))
    }

    /// The model of a finished source stage.
    pub fn model(&self, key: &str) -> PathBuf {
        self.checkpoints().join(format!("{key}.safetensors"))
    }

    /// The snapshot of an unfinished pack.
    pub fn unfinished(&self, key: &str) -> PathBuf {
        self.checkpoints().join(format!("pack-{key}.safetensors"))
    }

    /// Creates the folders.
    pub fn create(&self) -> Result<()> {
        for folder in [self.records(), self.checkpoints(), self.0.join("running")] {
            fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        Ok(())
    }

    /// Removes partial files that are at least `age` old. Processes that were killed during a write
    /// leave them.
    pub fn remove_parts(&self, age: Duration) {
        for folder in [self.0.clone(), self.checkpoints()] {
            let entries = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
            let is_old = |path: &Path| {
                let written = fs::metadata(path).and_then(|meta| meta.modified());
                written.is_ok_and(|written| written.elapsed().unwrap_or_default() >= age)
            };
            for path in entries.filter(|path| path.extension().is_some_and(|e| e == "part") && is_old(path)) {
                let _ = fs::remove_file(path); // a leftover file does no harm
            }
        }
    }

    /// Removes the results that a sweep of this study has written, and nothing else.
    pub fn clear(&self) -> Result<()> {
        remove(&self.0.join("manifest.json"))?;
        let predictions = self.0.join("predictions");
        for folder in [self.records(), self.checkpoints(), self.tensorboard(), self.report(), self.manifests(), predictions] {
            match fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot remove {}", folder.display()))
                }
                _ => {}
            }
        }
        // Lists of saved models and counts of kills. They describe results that no longer exist.
        for path in fs::read_dir(self.0.join("running")).into_iter().flatten().filter_map(|file| Some(file.ok()?.path())) {
            if path.extension().is_some_and(|end| end == "saved" || end == "deaths") {
                remove(&path)?;
            }
        }
        Ok(())
    }
}

/// Whether a file belongs to a writer. A process that takes a lease over from a holder that may
/// still be running writes to `WRITER-2`, the next one to `WRITER-3`.
fn is_of_writer(path: &Path, writer: &str) -> bool {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let rest = name.strip_prefix(writer);
    rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('-').is_some_and(|n| n.parse::<usize>().is_ok()))
}

/// A name that no other process has, on any machine. Host name and process number are not enough,
/// because all pods of one index have the same.
fn this_process() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let random = RandomState::new().build_hasher().finish(); // the keys are random
        format!("{}-{}-{random:016x}", manifest::host(), std::process::id())
    })
}

/// Writes a file atomically. The bytes go to a temporary file in the same folder, which is synced
/// and then renamed.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomic_after(path, bytes, || Ok(()))
}

/// The same, with an action between writing and renaming.
fn write_atomic_after(path: &Path, bytes: &[u8], between: impl FnOnce() -> io::Result<()>) -> Result<()> {
    let write = || -> io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".{}.part", this_process()));
        let part = path.with_file_name(name);
        let written = File::create(&part).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        written.and_then(|()| between()).and_then(|()| fs::rename(&part, path)).inspect_err(|_| {
            let _ = fs::remove_file(&part); // the error of the write itself is returned
        })?;
        // The new name is on disk only after the folder is synced. Errors are ignored, because some
        // file systems cannot sync a folder.
        if let Some(folder) = path.parent().and_then(|folder| File::open(folder).ok()) {
            let _ = folder.sync_all();
        }
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Writes a file that is useful but not essential. It is written atomically but not synced, and
/// errors are ignored.
pub fn write_hint(path: &Path, bytes: &[u8]) {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.part", this_process()));
    let part = path.with_file_name(name);
    let _ = fs::write(&part, bytes).and_then(|()| fs::rename(&part, path));
}

/// Writes one of many small files that another run of the same command makes again: with its
/// folder, and without a sync.
pub fn write_plain(path: &Path, bytes: &[u8]) -> Result<()> {
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, bytes));
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// Removes the folders in `folder` that contain the file `mark`.
pub fn remove_marked(folder: &Path, mark: &str) -> Result<()> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    for path in entries.filter(|path| path.join(mark).is_file()) {
        fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

/// Removes a file if it exists.
pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).with_context(|| format!("cannot remove {}", path.display())),
        _ => Ok(()),
    }
}

/// Removes figures of an earlier report that are not in `written`. A changed study may have fewer
/// figures. Only removes files with the names of report figures: `figure2.svg`, `figure2-3.png`.
pub fn remove_other_figures(folder: &Path, names: &[&str], written: &[PathBuf]) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let numbered = |rest: &str| rest.strip_prefix('-').is_some_and(|n| n.parse::<usize>().is_ok());
        let own = names.iter().any(|name| stem.strip_prefix(name).is_some_and(|rest| rest.is_empty() || numbered(rest)));
        let figure = path.extension().is_some_and(|e| ["svg", "png", "csv", "pdf"].iter().any(|ending| e == *ending));
        if own && figure && path.is_file() && !written.contains(&path) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Free bytes available to this user on the file system of `path`. The path need not exist.
pub fn free_bytes(path: &Path) -> Option<u64> {
    use std::os::unix::ffi::OsStrExt;
    let absolute = std::path::absolute(path).ok()?;
    let existing = absolute.ancestors().find(|p| p.exists())?;
    let name = std::ffi::CString::new(existing.as_os_str().as_bytes()).ok()?;
    // SAFETY: `name` is a NUL-terminated path, and `stat` is a struct of the right type. `statvfs`
    // fills it on success.
    let stat = unsafe {
        let mut stat: libc::statvfs = std::mem::zeroed();
        (libc::statvfs(name.as_ptr(), &mut stat) == 0).then_some(stat)?
    };
    Some(stat.f_bavail * stat.f_frsize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_being_written_are_not_taken_for_leftovers() {
        let place = tempfile::tempdir().unwrap();
        let (folder, part) = (Folder(place.path().into()), place.path().join("study.yaml.host-1-0.part"));
        fs::write(&part, "half").unwrap();
        folder.remove_parts(Duration::from_secs(60));
        assert!(part.exists());
        folder.remove_parts(Duration::ZERO);
        assert!(!part.exists());
    }
}
