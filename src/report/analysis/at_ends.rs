//! Finds the optima that lie at an end of their grid, and those that others equal.

use super::answer::{Answered, Method, Verdict};
use super::eligible::EligibleCells;
use super::grid_end::{has_room_above, Advice, GridEnd, OptimumAtEnd, OptimumKind, Tie};
use super::layout::Setting;
use super::scores::{best, Best, Scores};

/// Returns the optima at an end of their grids.
pub(super) fn optima_at_ends(setting: &Setting, answered: &Answered, cells: &EligibleCells, all: &[f64]) -> Vec<OptimumAtEnd> {
    let axis = setting.regularizer.axis.as_str();
    let is_whole = answered.is_whole_grid(setting);
    let seeds = setting.seeds.len();
    let widen = |end: GridEnd, value: f64, limit: f64, stages: usize| match end {
        GridEnd::High if !has_room_above(value, limit) => Advice::AtStepLimit { limit },
        _ => Advice::Widen { limit, stages },
    };
    let mut found = vec![];
    // Each further λ₀ adds one source and all its targets for every seed.
    let stages_per_lambda0 = seeds * (1 + setting.lambda1.len());
    let limit = if axis == "lambda0" { setting.limits.lambda0 } else { f64::INFINITY };
    let collapsed = answered.comparison.as_ref().is_some_and(|comparison| comparison.verdict == Verdict::Collapsed);
    let of_curves = answered.comparison.as_ref().filter(|comparison| comparison.method == Method::Curves);
    let searched = answered.searched(setting);
    let at = |best: Option<Best>, of_curve: Option<Option<GridEnd>>| -> Option<(GridEnd, f64, bool)> {
        if let Some(end) = of_curve {
            return end.map(|end| (end, if end == GridEnd::High { searched[searched.len() - 1] } else { searched[0] }, false));
        }
        let best = best?;
        let end = answered.grid_end(setting, best)?;
        let value = setting.lambda0[if end == GridEnd::High { best.last } else { best.first }];
        Some((end, value, setting.lambda0[best.first] != value))
    };
    let optima = [
        (OptimumKind::SourceLambda0, at(cells.scores.source(all), of_curves.map(|c| c.source_end))),
        (OptimumKind::TransferLambda0, at(cells.scores.transfer(all), of_curves.map(|c| c.transfer_end))),
    ];
    for (optimum, at) in optima {
        let Some((end, value, is_tie)) = at else { continue };
        let advice = match optimum {
            _ if !is_whole => Advice::WaitForResults,
            // The source has learned nothing here; an even larger penalty would not help.
            OptimumKind::TransferLambda0 if collapsed => Advice::SourceLearnedNothing,
            _ => widen(end, value, limit, stages_per_lambda0),
        };
        found.push(OptimumAtEnd { optimum, axis: axis.into(), end, value, is_tie, has_zero: setting.lambda0.contains(&0.0), advice });
    }
    let mut add = |optimum, axis: &str, grid: &[f64], value: f64, limit: f64, stages: usize| {
        let end = GridEnd::of(grid, value, value);
        found.extend(end.map(|end| OptimumAtEnd {
            optimum,
            axis: axis.into(),
            end,
            value,
            is_tie: false,
            has_zero: grid.contains(&0.0),
            advice: widen(end, value, limit, stages),
        }));
    };
    let lambda1 = setting.lambda1[answered.transfer.1];
    add(OptimumKind::TransferLambda1, "lambda1", &setting.lambda1, lambda1, setting.limits.lambda1, seeds * setting.lambda0.len());
    if let Some(best) = best(&cells.scratch, all) {
        let value = setting.scratch_lambda[best.first];
        add(OptimumKind::ScratchLambda, "scratch.lambdas", &setting.scratch_lambda, value, setting.limits.scratch, seeds);
    }
    found
}

/// Returns the optimal λ₀ that tie with other λ₀. `source` and `transfer` are the indices of the
/// optima.
pub(super) fn ties(setting: &Setting, scores: &Scores, all: &[f64], source: usize, transfer: usize) -> Vec<Tie> {
    let level = |cells: &[Option<Vec<f64>>]| best(cells, all).map(|best| best.score);
    let sources: Vec<Option<f64>> = scores.source.iter().map(|cell| level(std::slice::from_ref(cell))).collect();
    let targets: Vec<Option<f64>> = scores.target.iter().map(|row| level(row)).collect();
    let optima = [(OptimumKind::SourceLambda0, sources, source), (OptimumKind::TransferLambda0, targets, transfer)];
    let tie = |(optimum, levels, at): (OptimumKind, Vec<Option<f64>>, usize)| {
        let is_tied = |i: &usize| *i != at && levels[*i].is_some() && levels[*i] == levels[at];
        let others: Vec<f64> = (0..levels.len()).filter(is_tied).map(|i| setting.lambda0[i]).collect();
        (!others.is_empty()).then(|| Tie { optimum, lambda0: setting.lambda0[at], others })
    };
    optima.into_iter().filter_map(tie).collect()
}
