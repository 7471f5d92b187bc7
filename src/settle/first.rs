//! The first round.

use super::costs::{most_draws, Costs};
use crate::config::{Aim, Grid, Study, StudyError};
use crate::plan::Plan;

/// Seeds of the first round: the fewest that can settle anything.
const SEEDS: usize = 3;
/// Targets are trained for as much again as sources, and with no more draws than this.
const MOST_DRAWS: usize = 8;

/// The study's own λ₀ and λ₁, its first three seeds, and as many draws as make its targets cost
/// about as much as its sources, if it does not name a number.
///
/// # Errors
/// The study has no axis to settle, or combines λ₀ and λ₁ in another way than each with each, or it
/// asks for the gain without training from scratch.
pub fn first(study: &Study) -> Result<Study, StudyError> {
    let axis = study.regularizer.axis.as_str();
    let lambda0 = study.numbers(axis);
    let lambda1 = study.numbers("lambda1");
    if lambda0.iter().filter(|lambda0| **lambda0 > 0.0).count() < 2 {
        return Err(study
            .error_at(axis, "there is nothing to settle: it has fewer than two values above 0")
            .hint("give several, e.g. {log: {from: 1e-4, to: 1e-1, points: 7}}"));
    }
    if study.axes.iter().any(|other| {
        study.zipped(axis, &other.path) && other.path != axis || study.zipped("lambda1", &other.path) && other.path != "lambda1"
    }) {
        return Err(study.error_at("zip", format!("`{axis}` and `lambda1` must be crossed with every axis for `--until settled`")));
    }
    let own: Vec<u64> = study.seeds.iter().copied().take(SEEDS).collect();
    let seeds = more_seeds(study, &own, SEEDS.saturating_sub(own.len()));
    let plan = Plan::new(&study.with_grids(vec![]).with_seeds(seeds.clone()))?;
    let grids = study.other_combinations().into_iter().map(|at| {
        let values = study.other_values(&at);
        let network = study.cell(&at)?;
        if study.settle.of.contains(&Aim::Gain) && network.scratch.lambdas.is_empty() {
            return Err(study
                .error_at("settle.of", "the gain needs training from scratch")
                .hint("give `scratch.lambdas` a value, e.g. [0]"));
        }
        let costs = Costs::of(&plan, |cell| study.values_of(&cell.axes) == values);
        let affordable = (costs.source / (costs.target * lambda1.len() as f64)).round().max(1.0) as usize;
        let draws = network.target.draws.unwrap_or(affordable.min(MOST_DRAWS).min(most_draws(&network)));
        Ok(Grid { at: values, lambda0: lambda0.clone(), lambda1: lambda1.clone(), seeds: seeds.clone(), draws })
    });
    Ok(study.with_grids(grids.collect::<Result<_, StudyError>>()?))
}

/// Some seeds and `more` further ones: those of the study first, then those after its largest.
pub fn more_seeds(study: &Study, seeds: &[u64], more: usize) -> Vec<u64> {
    let largest = study.seeds.iter().copied().max().unwrap_or(0);
    let further = study.seeds.iter().copied().chain(largest + 1..).filter(|seed| !seeds.contains(seed));
    seeds.iter().copied().chain(further.take(more)).collect()
}
