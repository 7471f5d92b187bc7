//! Writes checkpoints in the background while training continues: source models, and snapshots of
//! unfinished packs. They are written in the order in which they are sent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender};

use anyhow::Result;

use super::message::{FinishedPack, Message};
use crate::store::{write_hint, Checkpoint, Folder, Lease};

/// A file to write or to remove.
pub enum WriteJob {
    /// The models of a finished pack. [`Message::ModelsSaved`] is sent when they are on disk.
    Models(FinishedPack),
    Snapshot(PathBuf, Checkpoint),
    /// Removes a snapshot that is no longer needed. The removal goes through this queue, so that a
    /// snapshot queued before it is not written after it.
    Forget(PathBuf),
}

/// The key of the number of models in the list of saved files. No snapshot has this name.
const MODELS: &str = "models";

/// Runs until all senders of jobs are dropped.
pub fn keep(keys: &dyn Fn(usize) -> String, folder: &Folder, lease: &Lease, jobs: &Receiver<WriteJob>, out: &Sender<Message>) {
    let _guard = PanicGuard(out);
    let mut saved = SavedList::read(folder.saved(lease.records()));
    for task in jobs {
        let held = lease.check();
        let is_ours = held.is_ok();
        let done = held.and_then(|()| match task {
            WriteJob::Models(mut finished) => {
                write_models(keys, folder, &mut finished, &mut saved).map(|()| Some(Message::ModelsSaved(finished)))
            }
            WriteJob::Snapshot(path, checkpoint) => checkpoint.write_next(&path).map(|()| {
                saved.add(&path, checkpoint.digest());
                None
            }),
            WriteJob::Forget(path) => Checkpoint::forget(&path).map(|()| {
                saved.remove(&path);
                None
            }),
        });
        if is_ours {
            saved.write();
        }
        // Sending fails only when the coordinator no longer receives; then the result is not
        // needed.
        match done {
            Ok(None) => {}
            Ok(Some(message)) => _ = out.send(message),
            Err(error) => _ = out.send(Message::StoreFailed(error)),
        }
    }
}

fn write_models(keys: &dyn Fn(usize) -> String, folder: &Folder, finished: &mut FinishedPack, saved: &mut SavedList) -> Result<()> {
    for (&index, end) in finished.pack.iter().zip(&mut finished.ends) {
        if let Some(arrays) = end.model.take() {
            let (model, path) = (Checkpoint { arrays, text: String::new() }, folder.model(&keys(index)));
            model.write(&path)?;
            saved.models += 1;
        }
    }
    Ok(())
}

/// What this writer has saved: the number of models, and the snapshots of packs in training with
/// the digests of their content. Saving the same state again does not count as progress.
struct SavedList {
    path: PathBuf,
    models: usize,
    snapshots: BTreeMap<String, String>,
}

impl SavedList {
    fn read(path: PathBuf) -> SavedList {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let line = |line: &str| line.split_once(' ').map(|(name, digest)| (name.to_string(), digest.to_string()));
        let mut snapshots: BTreeMap<String, String> = text.lines().filter_map(line).collect();
        let models = snapshots.remove(MODELS).and_then(|count| count.parse().ok()).unwrap_or(0);
        SavedList { path, models, snapshots }
    }

    fn name(path: &Path) -> String {
        path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn add(&mut self, path: &Path, digest: String) {
        self.snapshots.insert(SavedList::name(path), digest);
    }

    fn remove(&mut self, path: &Path) {
        self.snapshots.remove(&SavedList::name(path));
    }

    fn write(&self) {
        let snapshots: String = self.snapshots.iter().map(|(name, digest)| format!("{name} {digest}\n")).collect();
        write_hint(&self.path, format!("{MODELS} {}\n{snapshots}", self.models).as_bytes());
    }
}

/// Ends the sweep if the writer panics, which would be a bug. Otherwise the sweep would wait for
/// models that are never written.
struct PanicGuard<'a>(&'a Sender<Message>);

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.0.send(Message::StoreFailed(anyhow::anyhow!("the checkpoint writer panicked")));
        }
    }
}
