//! Trains a pack: K replicas of one shape, each with its own seed, λ, start and penalty, through one epoch loop that source,
//! target and from-scratch stages share. Knows no store, no logger and no plan: what happens goes to an [`Observer`].

mod batches;
mod closed_form;
mod evaluate;
mod named;
mod optimiser;
mod pack;
mod penalty;
mod schedule;

pub use batches::{BatchSource, DeviceDataset};
pub use evaluate::{evaluate, features, Evaluation, EvaluationLoss};
pub use named::{assemble, disassemble};
pub use optimiser::{Optimiser, OptimiserKind, Sgd};
pub use pack::{EpochReport, Observer, Pack, Replica, Snapshot, Start, Trained, TrainingHistory, TrainingOutcome};
pub use penalty::Penalty;
pub use schedule::learning_rate;
