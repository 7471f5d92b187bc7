//! What workers and the checkpoint writer tell the coordinator.

use super::engine::{Epoch, StageOutcome};

/// A message from a worker or the checkpoint writer to the coordinator.
pub enum Message {
    Started(Vec<usize>),
    Epoch {
        stage: usize,
        epoch: Epoch,
        /// False if it was restored from a snapshot.
        trained: bool,
    },
    PackFinished(FinishedPack),
    /// The models of a finished pack are on disk. They are no longer in its `ends`.
    ModelsSaved(FinishedPack),
    /// The pack stopped because a stop was requested.
    Stopped(Vec<usize>),
    /// The pack is too large for the device's memory.
    TooLarge(Vec<usize>),
    WorkerCrashed(Crash),
    Warning(String),
    /// A worker has exited.
    WorkerExited,
    /// The store failed, so the sweep cannot continue.
    StoreFailed(anyhow::Error),
}

/// A worker whose device is lost, or that panicked.
pub struct Crash {
    pub worker: usize,
    /// What it was training. It need not be the cause.
    pub pack: Vec<usize>,
    pub why: String,
}

/// A pack that ended.
pub struct FinishedPack {
    pub pack: Vec<usize>,
    pub ends: Vec<StageOutcome>,
    pub seconds: f64,
    /// Whether its targets were allowed to start before its models were on disk.
    pub released: bool,
    /// Targets that are lost because their source diverged, with the reason.
    pub lost: Vec<(usize, String)>,
}
