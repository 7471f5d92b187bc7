//! How often the pod of a Kubernetes index was killed without saving anything.
//!
//! Kubernetes counts all failed pods of an index. So kills (137) are ignored by the Job's policy
//! and counted here, by the next pod, as long as nothing has been saved since the last one. An
//! error of a pod that has saved something ends as an interruption (75).

use std::path::PathBuf;

use anyhow::{bail, Result};
use sha2::{Digest, Sha256};

use crate::base::hex::hex;
use crate::base::stderr::print_error;
use crate::store::{remove, write_atomic, Folder, Records};

/// Kills without progress after which an index is given up.
const MOST: usize = 3;

/// One attempt at a shard; ends when it is dropped.
pub struct Attempt {
    folder: Folder,
    writer: String,
    /// A file that exists while the shard runs. The next attempt finds it where this one was
    /// killed.
    alive: PathBuf,
    at_start: String,
}

impl Attempt {
    /// None where this is no pod of an Indexed Job.
    ///
    /// # Errors
    /// It has died too often without saving anything, or the folder cannot be written.
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
                remove(&deaths)?; // a start by hand counts from 0
                bail!("{writer} was killed {idle} times since it last saved a result, a model or a snapshot\n  hint: does it need more memory? see `kubectl describe pod`");
            }
            print_error(&format!("{writer} was killed before; going on from what it saved"));
        }
        write_atomic(&alive, b"")?;
        Ok(Some(Attempt { folder: folder.clone(), writer: writer.into(), alive, at_start: now }))
    }

    /// Whether something was saved in this attempt.
    pub fn has_progressed(&self) -> bool {
        kept(&self.folder, &self.writer).is_ok_and(|now| now != self.at_start)
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let _ = remove(&self.alive); // if it stays, this end counts as a kill
    }
}

/// The final results of a shard, and a digest of its models and snapshots.
fn kept(folder: &Folder, writer: &str) -> Result<String> {
    let mut saved = Sha256::new();
    for path in folder.all_saved(writer) {
        saved.update(std::fs::read(path).unwrap_or_default());
    }
    Ok(format!("{}/{}", Records::count_final(folder, writer)?, hex(&saved.finalize()[..6])))
}
