//! The counted cost of the stages of one combination of the axes.

use crate::config::network::Network;
use crate::plan::{Cell, Cost, Plan};

/// Seconds on one CPU core, counted (`plan::Cost`) and not measured: decisions must be the same on
/// every machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Costs {
    pub source: f64,
    /// Of one draw.
    pub target: f64,
    /// Of one draw, with all λ of training from scratch.
    pub scratch: f64,
}

impl Costs {
    /// The mean costs of the stages of these cells of a plan.
    pub fn of(plan: &Plan, cells: impl Fn(&Cell) -> bool) -> Costs {
        let mut sums = [(0.0, 0usize); 3];
        let mut add = |i: usize, index: usize| {
            sums[i].0 += Cost::of(&plan.stages[index]).cpu_seconds();
            sums[i].1 += 1;
        };
        let mut lambdas = 0;
        for cell in plan.cells.iter().filter(|cell| cells(cell)) {
            add(0, cell.source);
            cell.targets.iter().for_each(|&index| add(1, index));
            cell.scratch.iter().flatten().for_each(|&index| add(2, index));
            lambdas = cell.scratch.len();
        }
        let [source, target, scratch] = sums.map(|(sum, n)| if n == 0 { 0.0 } else { sum / n as f64 });
        Costs { source, target, scratch: scratch * lambdas as f64 }
    }

    /// One seed of a grid of this many λ₀ and λ₁.
    pub fn of_seed(&self, lambda0: usize, lambda1: usize, draws: usize) -> f64 {
        lambda0 as f64 * (self.source + (lambda1 * draws) as f64 * self.target) + draws as f64 * self.scratch
    }
}

/// Counted seconds of all stages of a plan that `wanted` selects.
pub fn counted(plan: &Plan, wanted: impl Fn(usize) -> bool) -> f64 {
    let stages = plan.stages.iter().enumerate().filter(|(index, _)| wanted(*index));
    stages.map(|(_, stage)| Cost::of(stage).cpu_seconds()).sum()
}

/// The most draws that do not share images.
pub fn most_draws(settings: &Network) -> usize {
    settings.target_images().iter().map(|class| class.pool / class.train.max(1)).min().unwrap_or(1).max(1)
}
