//! Trains a pack: K replicas of one shape, each with its own seed, λ, start and penalty. Source,
//! target and from-scratch stages share one epoch loop. This module does not depend on the store,
//! loggers or the plan: events are passed to an [`Observer`].

mod augment;
mod batches;
mod closed_form;
mod dropout;
mod evaluate;
mod named;
mod optimiser;
mod pack;
mod penalty;
mod pool;
mod schedule;

pub use augment::{cut_out, jitter};
pub use batches::BatchSource;
pub use dropout::Dropout;
pub use evaluate::{evaluate, features, outputs, Evaluation, EvaluationLoss};
pub use named::{assemble, disassemble};
pub use optimiser::{clip, optimiser, Optimiser, Step};
pub use pack::{EpochReport, Observer, Pack, Replica, Snapshot, Start, Trained, TrainingHistory, TrainingOutcome};
pub use penalty::Penalty;
pub use pool::{DeviceDataset, Place};
pub use schedule::learning_rate;
