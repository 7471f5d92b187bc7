//! Writes checkpoints beside training, in the order in which they come: source models, snapshots of unfinished packs.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender};

use anyhow::Result;

use super::worker::{Finished, Message};
use crate::store::{Checkpoint, Folder, Lease};

/// Something to write, or to remove.
pub enum Task {
    /// The models of a finished pack; the sweep hears when they are on disk.
    Models(Finished),
    Snapshot(PathBuf, Checkpoint),
    /// A snapshot that is no longer needed. Here, so that one still waiting to be written cannot outlive it.
    Forget(PathBuf),
}

/// Works until nobody can send tasks any more.
pub fn keep(keys: &dyn Fn(usize) -> String, folder: &Folder, lease: &Lease, tasks: &Receiver<Task>, out: &Sender<Message>) {
    let _guard = PanicGuard(out);
    for task in tasks {
        let done = lease.check().and_then(|()| match task {
            Task::Models(mut finished) => write_models(keys, folder, &mut finished).map(|()| Some(Message::Kept(finished))),
            Task::Snapshot(path, checkpoint) => checkpoint.write_next(&path).map(|()| None),
            Task::Forget(path) => Checkpoint::forget(&path).map(|()| None),
        });
        // A send fails only when the sweep has given up listening; then there is nobody left to tell.
        match done {
            Ok(None) => {}
            Ok(Some(message)) => _ = out.send(message),
            Err(error) => _ = out.send(Message::Trouble(error)),
        }
    }
}

fn write_models(keys: &dyn Fn(usize) -> String, folder: &Folder, finished: &mut Finished) -> Result<()> {
    for (&index, end) in finished.pack.iter().zip(&mut finished.ends) {
        if let Some(arrays) = end.model.take() {
            Checkpoint { arrays, text: String::new() }.write(&folder.model(&keys(index)))?;
        }
    }
    Ok(())
}

/// A keeper that panics (a mistake of ours) ends the sweep; else it would wait for models that nobody writes.
struct PanicGuard<'a>(&'a Sender<Message>);

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.0.send(Message::Trouble(anyhow::anyhow!("the keeper of checkpoints panicked")));
        }
    }
}
