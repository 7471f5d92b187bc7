//! Optimisers of K replicas at once. Each owns its state, writes it to a snapshot and applies the
//! penalty in its step.
//!
//! A new optimiser is a file beside `sgd.rs` and a variant of [`OptimiserKind`].

mod adam;
mod clip;
mod one_pass;
mod sgd;

use std::fmt::Debug;

use tch::Tensor;

use super::penalty::Penalty;
use crate::config::network::{OptimiserKind, PenaltyRules, Phase};
use adam::Adam;
pub use clip::clip;
use sgd::Sgd;

/// One step of a phase.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Counted from 1.
    pub number: usize,
    pub lr: f64,
}

/// An optimiser's rule and its state. Every tensor of the state is [K, P].
pub trait Optimiser: Debug {
    /// One step on θ, in place. `gradients` are those of the loss, in the order of θ's columns:
    /// each [K, …], together [K, P].
    fn step(&mut self, theta: &mut Tensor, gradients: &[Tensor], penalty: &Penalty, at: Step);

    /// The state by name, for a snapshot.
    fn state(&self) -> Vec<(&'static str, &Tensor)>;

    /// Replaces the state by tensors of a snapshot, in the order of [`Optimiser::state`].
    fn set_state(&mut self, state: Vec<Tensor>);

    /// Keeps the state of these replicas (rows) only.
    fn keep_only(&mut self, rows: &Tensor);
}

/// A fresh optimiser of a phase, for weights of θ's size.
pub fn optimiser(phase: &Phase, rules: &PenaltyRules, theta: &Tensor) -> Box<dyn Optimiser> {
    match phase.optimiser {
        OptimiserKind::Sgd => Box::new(Sgd::new(phase, rules, theta)),
        OptimiserKind::Adam | OptimiserKind::Adamw => Box::new(Adam::new(phase, rules, theta)),
    }
}
