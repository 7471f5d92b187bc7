//! Trains a pack: K replicas of one shape, each with its own seed, λ, start and anchor, through one epoch loop that source,
//! target and from-scratch stages share. Knows no store, no logger and no plan: what happens goes to an [`Observer`].

mod batches;
mod closed_form;
mod evaluate;
mod named;
mod optimiser;
mod pack;
mod schedule;

pub use batches::{Pool, Task};
pub use evaluate::{evaluate, features, Evaluation, Objective};
pub use named::{assemble, disassemble};
pub use optimiser::{Anchor, Optimiser};
pub use pack::{Course, EpochReport, Observer, Outcome, Pack, Replica, Snapshot, Start, Trained};
pub use schedule::learning_rate;
