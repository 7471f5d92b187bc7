//! Every cell of a setting: its results, the number of seeds, and its comparison with training from
//! scratch.

use super::answer::Answer;
use super::layout::{CellResults, Setting};
use super::metric::Basis;
use super::stats::{holm, mean, p_value};
use crate::base::interval::Interval;

/// Significance level, after Holm's correction, at which a cell counts as better or worse than
/// training from scratch.
const LEVEL: f64 = 0.05;

/// One cell (λ₀, λ₁), averaged over the basis's seeds. Metrics are in their own units: fractions
/// for accuracy, nats for the loss.
#[derive(Debug, Clone)]
pub struct CellRow {
    /// Indices into the setting's grids.
    pub at: (usize, usize),
    pub lambda0: f64,
    pub lambda1: f64,
    /// Number of seeds with a result. It includes seeds outside the basis.
    pub seeds: usize,
    /// Mean validation metric of the target.
    pub validation: Option<f64>,
    pub test: Option<Interval>,
    /// Test metric of the source.
    pub source: Option<Interval>,
    /// Target test metric minus that of the chosen training from scratch, paired by seed. Higher is
    /// better.
    pub gain: Option<Interval>,
    /// p-value of the paired t test of "the gain is 0". None if the gains have no spread over
    /// seeds.
    pub p: Option<f64>,
    /// p-value after Holm's correction over all cells that have a p-value.
    pub p_holm: Option<f64>,
    /// Seeds for which the cell diverged.
    pub diverged: Vec<u64>,
    /// Seeds without a result for any other reason.
    pub missing: Vec<u64>,
}

/// Number of cells compared with training from scratch, and the outcomes after Holm's correction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScratchComparison {
    pub cells: usize,
    pub better: usize,
    pub worse: usize,
}

/// One row per planned cell, in ascending order of λ₀, then λ₁.
pub fn rows(setting: &Setting, basis: &Basis, answer: &Answer) -> Vec<CellRow> {
    let scratch = answer.answered().and_then(|answered| basis.test_scores(&setting.scratch[answered.scratch?]));
    let mut rows: Vec<CellRow> = vec![];
    for (i, row) in setting.target.iter().enumerate() {
        for (j, cell) in row.iter().enumerate().filter(|(_, cell)| cell.planned) {
            let gains: Option<Vec<f64>> =
                basis.test_scores(cell).zip(scratch.as_ref()).map(|(own, scratch)| own.iter().zip(scratch).map(|(a, b)| a - b).collect());
            let (diverged, missing) = seeds_without_result(setting, cell);
            rows.push(CellRow {
                at: (i, j),
                lambda0: setting.lambda0[i],
                lambda1: setting.lambda1[j],
                seeds: cell.by_seed.iter().flatten().count(),
                validation: basis.validation_values(cell).map(|values| mean(&values)),
                test: basis.test_level(cell),
                source: basis.test_level(&setting.source[i]),
                gain: gains.as_ref().map(|gains| basis.metric.paired(gains)),
                p: gains.as_ref().and_then(|gains| p_value(gains)),
                p_holm: None,
                diverged,
                missing,
            });
        }
    }
    let adjusted = holm(&rows.iter().filter_map(|row| row.p).collect::<Vec<_>>());
    rows.iter_mut().filter(|row| row.p.is_some()).zip(adjusted).for_each(|(row, p)| row.p_holm = Some(p));
    rows
}

pub fn compare_with_scratch(rows: &[CellRow]) -> ScratchComparison {
    let mut all = ScratchComparison::default();
    for (p, gain) in rows.iter().filter_map(|row| Some((row.p_holm?, row.gain?.estimate))) {
        all.cells += 1;
        all.better += usize::from(p < LEVEL && gain > 0.0);
        all.worse += usize::from(p < LEVEL && gain < 0.0);
    }
    all
}

/// Returns the seeds for which a cell diverged, and the seeds without a result for any other
/// reason.
fn seeds_without_result(setting: &Setting, cell: &CellResults) -> (Vec<u64>, Vec<u64>) {
    let names = |seeds: &[usize]| seeds.iter().map(|&seed| setting.seeds[seed]).collect();
    let missing: Vec<usize> =
        (0..setting.seeds.len()).filter(|&seed| cell.by_seed[seed].is_none() && !cell.diverged.contains(&seed)).collect();
    (names(&cell.diverged), names(&missing))
}
