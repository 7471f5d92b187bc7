//! Writes checkpoints beside training, in the order in which they come: source models, snapshots of unfinished packs.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender};

use anyhow::Result;

use super::worker::{self, Finished, Message};
use crate::store::{self, Checkpoint, Folder};

/// Something to write, or to remove.
pub enum Task {
    /// The models of a finished pack; the sweep hears when they are on disk.
    Models(Finished),
    Snapshot(PathBuf, Checkpoint),
    /// A snapshot that is no longer needed. Here, so that one still waiting to be written cannot outlive it.
    Forget(PathBuf),
}

/// Works until nobody can send tasks any more.
pub fn keep(keys: &dyn Fn(usize) -> String, folder: &Folder, tasks: &Receiver<Task>, out: &Sender<Message>) {
    let _guard = worker::PanicGuard { who: "the keeper of checkpoints", out };
    for task in tasks {
        let done = match task {
            Task::Models(mut finished) => write_models(keys, folder, &mut finished).map(|()| Some(Message::Kept(finished))),
            Task::Snapshot(path, checkpoint) => checkpoint.write(&path).map(|()| None),
            Task::Forget(path) => store::remove(&path).map(|()| None),
        };
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
