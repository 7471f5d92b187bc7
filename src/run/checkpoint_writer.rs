//! Writes checkpoints beside training, in the order in which they come: source models, snapshots of unfinished packs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender};

use anyhow::Result;

use super::worker::{FinishedPack, Message};
use crate::store::{write_hint, Checkpoint, Folder, Lease};

/// Something to write, or to remove.
pub enum WriteJob {
    /// The models of a finished pack; the sweep hears when they are on disk.
    Models(FinishedPack),
    Snapshot(PathBuf, Checkpoint),
    /// A snapshot that is no longer needed. Here, so that one still waiting to be written cannot outlive it.
    Forget(PathBuf),
}

/// Stands before the number of models in a list of what was saved; no snapshot is called so.
const MODELS: &str = "models";

/// Works until nobody can send tasks any more.
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
        // A send fails only when the sweep has given up listening; then there is nobody left to tell.
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

/// What this writer has saved: how many models, and the snapshots of packs in training, with the
/// digests of their content. The same state saved again is no progress.
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

/// A keeper that panics (a mistake of ours) ends the sweep; else it would wait for models that nobody writes.
struct PanicGuard<'a>(&'a Sender<Message>);

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.0.send(Message::StoreFailed(anyhow::anyhow!("the keeper of checkpoints panicked")));
        }
    }
}
