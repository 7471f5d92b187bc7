//! The optima as the best of the trained λ₀, where there are too few for a curve.

use super::answer::Answered;
use super::drawn_optima::{log_ratio, DrawnOptima};
use super::grid_end::GridEnd;
use super::layout::Setting;
use super::scores::{Best, Scores};
use super::stats::bootstrap;

/// The optima of the results with these weights of the seeds.
pub fn optima(setting: &Setting, answered: &Answered, scores: &Scores, weights: &[f64]) -> Option<DrawnOptima> {
    let lambda0 = &setting.lambda0;
    let (s, t) = (scores.source(weights)?, scores.transfer(weights)?);
    let grid = answered.eligible_grid(setting);
    let end = |best: Best| GridEnd::of(&grid, lambda0[best.first], lambda0[best.last]);
    let (source_end, transfer_end) = (end(s), end(t));
    let low = match (source_end, transfer_end) {
        (Some(GridEnd::High), _) | (_, Some(GridEnd::Low)) => f64::NEG_INFINITY,
        _ => log_ratio(lambda0[s.last], lambda0[t.first]),
    };
    let high = match (source_end, transfer_end) {
        (Some(GridEnd::Low), _) | (_, Some(GridEnd::High)) => f64::INFINITY,
        _ => log_ratio(lambda0[s.first], lambda0[t.last]),
    };
    Some(DrawnOptima {
        hidden: 0.0,
        source: (lambda0[s.first], lambda0[s.last]),
        transfer: (lambda0[t.first], lambda0[t.last]),
        log_ratio: (low, high),
        source_end,
        transfer_end,
    })
}

pub fn draws(setting: &Setting, answered: &Answered, scores: &Scores) -> Vec<DrawnOptima> {
    let n = answered.basis.seeds.len();
    bootstrap(n, |weights| optima(setting, answered, scores, weights)).into_iter().flatten().collect()
}
