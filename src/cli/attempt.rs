//! Counts how often the pod of a Kubernetes index was killed without saving anything.
//!
//! Kubernetes counts all failed pods of an index. The Job's policy therefore ignores kills (exit
//! code 137). The next pod counts them, as long as nothing has been saved since the last kill. If a
//! pod fails after it has saved something, it exits as interrupted (75).

use std::path::PathBuf;

use anyhow::{bail, Result};
use sha2::{Digest, Sha256};

use crate::base::hex::hex;
use crate::base::stderr::print_error;
use crate::store::{remove, write_atomic, Folder, Records};

/// Number of kills without progress after which the shard is not started again.
const MOST: usize = 3;

/// One attempt at a shard. It ends when this value is dropped.
pub struct Attempt {
    folder: Folder,
    writer: String,
    /// A file that exists while the shard runs. If the shard is killed, the file remains and the
    /// next attempt finds it.
    alive: PathBuf,
    at_start: String,
}

impl Attempt {
    /// None if this process is not a pod of an Indexed Job.
    ///
    /// # Errors
    /// The shard was killed too often without saving anything, or the folder cannot be written.
    pub fn begin(folder: &Folder, writer: &str) -> Result<Option<Attempt>> {
        if std::env::var_os("JOB_COMPLETION_INDEX").is_none() {
            return Ok(None);
        }
        let running = folder.0.join("running");
        let (alive, deaths) = (running.join(format!("{writer}.alive")), running.join(format!("{writer}.deaths")));
        let now = kept(folder, writer)?;
        if alive.exists() {
            let mut lines = std::fs::read_to_string(&deaths).unwrap_or_default();
            lines.push_str(&format!("{now}\n"));
            write_atomic(&deaths, lines.as_bytes())?;
            let idle = lines.lines().rev().take_while(|line| **line == *now).count();
            if idle >= MOST {
                remove(&alive)?;
                remove(&deaths)?; // a manual restart counts from 0
                bail!("{writer} was killed {idle} times since it last saved a result, a model or a snapshot\n  hint: does it need more memory? see `kubectl describe pod`");
            }
            print_error(&format!("{writer} was killed before; going on from what it saved"));
        }
        write_atomic(&alive, b"")?;
        Ok(Some(Attempt { folder: folder.clone(), writer: writer.into(), alive, at_start: now }))
    }

    /// Whether anything was saved in this attempt.
    pub fn has_progressed(&self) -> bool {
        kept(&self.folder, &self.writer).is_ok_and(|now| now != self.at_start)
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let _ = remove(&self.alive); // if the file remains, this exit counts as a kill
    }
}

/// The number of a shard's final results, and a digest of its models and snapshots.
fn kept(folder: &Folder, writer: &str) -> Result<String> {
    let mut saved = Sha256::new();
    for path in folder.all_saved(writer) {
        saved.update(std::fs::read(path).unwrap_or_default());
    }
    Ok(format!("{}/{}", Records::count_final(folder, writer)?, hex(&saved.finalize()[..6])))
}
