//! A study's folder. The only module that writes records, checkpoints and the files around them.
//!
//! ```text
//! logs/<study>/
//!   study.yaml  manifest.json           the resolved study; versions, commit, device, host, command of each run
//!   manifests/<shard>.json              the same of shards
//!   leases/<writer>/<n>                 who works as `<writer>`: `main`, or a shard
//!   running/<writer>.json               the stages in work
//!   records/<writer>.jsonl              one line per finished stage
//!   checkpoints/<stage-key>.safetensors source models; pack-<key>.safetensors: unfinished packs; <stage-key>.deaths: of workers
//!   tb/…  report/…                      written by track/ and report/ through [`write_atomic`]
//! ```

mod checkpoint;
mod crash_log;
mod lease;
mod manifest;
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

    /// What a writer has in work: a hint for people.
    pub fn running(&self, writer: &str) -> PathBuf {
        self.0.join("running").join(format!("{writer}.json"))
    }

    /// How many models a writer has saved, and a line for each snapshot of an unfinished pack: the
    /// next attempt compares it with what was there before.
    pub fn saved(&self, writer: &str) -> PathBuf {
        self.0.join("running").join(format!("{writer}.saved"))
    }

    /// The same, of all processes that have been this writer.
    pub fn all_saved(&self, writer: &str) -> Vec<PathBuf> {
        let own = |path: &PathBuf| path.extension().is_some_and(|end| end == "saved") && is_of_writer(path, writer);
        let files = fs::read_dir(self.0.join("running")).into_iter().flatten();
        let mut all: Vec<PathBuf> = files.filter_map(|file| Some(file.ok()?.path())).filter(own).collect();
        all.sort();
        all
    }

    /// Bytes of all records: more of them are news.
    pub fn record_bytes(&self) -> u64 {
        let entries = fs::read_dir(self.records()).into_iter().flatten();
        entries.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len())).sum()
    }

    pub fn checkpoints(&self) -> PathBuf {
        self.0.join("checkpoints")
    }

    /// What was measured of the devices that this study was trained on.
    pub fn calibration(&self) -> PathBuf {
        self.0.join("calibration.json")
    }

    pub fn tensorboard(&self) -> PathBuf {
        self.0.join("tb")
    }

    pub fn report(&self) -> PathBuf {
        self.0.join("report")
    }

    /// The model of a finished source stage.
    pub fn model(&self, key: &str) -> PathBuf {
        self.checkpoints().join(format!("{key}.safetensors"))
    }

    /// Where an unfinished pack left off.
    pub fn unfinished(&self, key: &str) -> PathBuf {
        self.checkpoints().join(format!("pack-{key}.safetensors"))
    }

    /// Makes the folders.
    pub fn create(&self) -> Result<()> {
        for folder in [self.records(), self.checkpoints(), self.0.join("running")] {
            fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        Ok(())
    }

    /// Removes what processes that died in mid-write have left, if it is at least so old.
    pub fn remove_parts(&self, age: Duration) {
        for folder in [self.0.clone(), self.checkpoints()] {
            let entries = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
            let is_old = |path: &Path| {
                let written = fs::metadata(path).and_then(|meta| meta.modified());
                written.is_ok_and(|written| written.elapsed().unwrap_or_default() >= age)
            };
            for path in entries.filter(|path| path.extension().is_some_and(|e| e == "part") && is_old(path)) {
                let _ = fs::remove_file(path); // they are in nobody's way
            }
        }
    }

    /// Removes what a sweep of this study has written; nothing else.
    pub fn clear(&self) -> Result<()> {
        remove(&self.0.join("manifest.json"))?;
        for folder in [self.records(), self.checkpoints(), self.tensorboard(), self.report(), self.manifests()] {
            match fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot remove {}", folder.display()))
                }
                _ => {}
            }
        }
        // Lists of what was saved, and counts of kills: of results that are gone.
        for path in fs::read_dir(self.0.join("running")).into_iter().flatten().filter_map(|file| Some(file.ok()?.path())) {
            if path.extension().is_some_and(|end| end == "saved" || end == "deaths") {
                remove(&path)?;
            }
        }
        Ok(())
    }
}

/// Whether a file is a writer's. A process that takes a lease over from one that may still be
/// running writes to `WRITER-2`, the next to `WRITER-3`.
fn is_of_writer(path: &Path, writer: &str) -> bool {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let rest = name.strip_prefix(writer);
    rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('-').is_some_and(|n| n.parse::<usize>().is_ok()))
}

/// A name that no other process has, on whatever machine. Host and process number would not do: all pods of one index have the same.
fn this_process() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let random = RandomState::new().build_hasher().finish(); // keys from the system's entropy
        format!("{}-{}-{random:016x}", manifest::host(), std::process::id())
    })
}

/// Writes a file whole or not at all: a neighbour, synced, then renamed over it.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomic_after(path, bytes, || Ok(()))
}

/// The same, with something to do between the writing and the renaming.
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
            let _ = fs::remove_file(&part); // the write's own error is the one to tell
        })?;
        // The new name is on disk only when the folder is; file systems that cannot sync a folder need no telling.
        if let Some(folder) = path.parent().and_then(|folder| File::open(folder).ok()) {
            let _ = folder.sync_all();
        }
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Writes a file that only helps people along: whole or not at all, but not waited for, and a failure is no matter.
pub fn write_hint(path: &Path, bytes: &[u8]) {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.part", this_process()));
    let part = path.with_file_name(name);
    let _ = fs::write(&part, bytes).and_then(|()| fs::rename(&part, path));
}

/// Removes a file if it is there.
pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).with_context(|| format!("cannot remove {}", path.display())),
        _ => Ok(()),
    }
}

/// Removes the figures of an earlier report that are not among those `written` now: a study that has changed may have fewer. Only files called
/// as a report calls them: `figure2.svg`, `figure2-3.png`.
pub fn remove_other_figures(folder: &Path, names: &[&str], written: &[PathBuf]) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let numbered = |rest: &str| rest.strip_prefix('-').is_some_and(|n| n.parse::<usize>().is_ok());
        let own = names.iter().any(|name| stem.strip_prefix(name).is_some_and(|rest| rest.is_empty() || numbered(rest)));
        let figure = path.extension().is_some_and(|e| e == "svg" || e == "png");
        if own && figure && path.is_file() && !written.contains(&path) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Bytes free for this user where `path` is or will be.
pub fn free_bytes(path: &Path) -> Option<u64> {
    use std::os::unix::ffi::OsStrExt;
    let absolute = std::path::absolute(path).ok()?;
    let existing = absolute.ancestors().find(|p| p.exists())?;
    let name = std::ffi::CString::new(existing.as_os_str().as_bytes()).ok()?;
    // SAFETY: `name` is a NUL-terminated path and `stat` a struct of the right type that statvfs fills on success.
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
