//! Optimisers of K replicas at once. Each owns its state, writes it to a snapshot and applies the
//! penalty in its step.
//!
//! A new optimiser is a file beside `sgd.rs` and a variant of [`OptimiserKind`].

mod sgd;

use std::fmt::Debug;

use tch::Tensor;

use super::penalty::Penalty;
use crate::config::network::{PenaltyRules, Phase};
pub use sgd::Sgd;

/// An optimiser's rule and its state. Every tensor of the state is [K, P].
pub trait Optimiser: Debug {
    /// One step on θ, in place. `gradients` are those of the loss, in the order of θ's columns:
    /// each [K, …], together [K, P].
    fn step(&mut self, theta: &mut Tensor, gradients: &[Tensor], penalty: &Penalty, lr: f64);

    /// The state by name, for a snapshot.
    fn state(&self) -> Vec<(&'static str, &Tensor)>;

    /// Replaces the state by tensors of a snapshot, in the order of [`Optimiser::state`].
    fn set_state(&mut self, state: Vec<Tensor>);

    /// Keeps the state of these replicas (rows) only.
    fn keep_only(&mut self, rows: &Tensor);
}

/// The optimisers that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptimiserKind {
    Sgd,
}

impl OptimiserKind {
    /// The one that a phase asks for.
    pub fn of(_: &Phase) -> OptimiserKind {
        OptimiserKind::Sgd
    }

    /// A fresh optimiser for weights of θ's size.
    pub fn build(self, phase: &Phase, rules: &PenaltyRules, theta: &Tensor) -> Box<dyn Optimiser> {
        match self {
            OptimiserKind::Sgd => Box::new(Sgd::new(phase, rules, theta)),
        }
    }
}
