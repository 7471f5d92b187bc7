//! Every cell of a group by itself: what was measured, over how many seeds, and how it compares with training from scratch.

use super::answer::Answer;
use super::collect::{Cell, Group};
use super::stats::{holm, mean, p_value, Interval};

/// The level at which a cell counts as better or worse than training from scratch, after Holm's correction.
const LEVEL: f64 = 0.05;

/// One (λ₀, λ₁), averaged over the answer's seeds. Metrics in their own units: fractions, or nats.
#[derive(Debug, Clone)]
pub struct CellRow {
    /// Indices into the group's grids.
    pub at: (usize, usize),
    pub lambda0: f64,
    pub lambda1: f64,
    /// Seeds with a result, whatever the others.
    pub seeds: usize,
    /// Mean validation metric of the target.
    pub validation: Option<f64>,
    pub test: Option<Interval>,
    /// Test metric of the source.
    pub source: Option<Interval>,
    /// Target test metric above the chosen from-scratch twin's, paired by seed; higher is better.
    pub gain: Option<Interval>,
    /// Of "the gain is 0" by the paired t test; none where the seeds do not differ.
    pub p: Option<f64>,
    /// The same after Holm's correction over all cells that have one.
    pub p_holm: Option<f64>,
    /// Why it is not averaged.
    pub lacks: Option<String>,
}

/// How many cells were compared with training from scratch, and how that came out after Holm's correction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AgainstScratch {
    pub cells: usize,
    pub better: usize,
    pub worse: usize,
}

/// A row for each planned cell, λ₀ ascending, then λ₁.
pub fn rows(group: &Group, answer: &Answer) -> Vec<CellRow> {
    let measured = |cell: &Cell| cell.values(&answer.seeds, answer.metric.key(true));
    let twin = answer.scratch.and_then(|k| answer.test_scores(&group.scratch[k]));
    let mut rows: Vec<CellRow> = vec![];
    for (i, row) in group.target.iter().enumerate() {
        for (j, cell) in row.iter().enumerate().filter(|(_, cell)| cell.planned) {
            let gains: Option<Vec<f64>> =
                answer.test_scores(cell).zip(twin.as_ref()).map(|(own, twin)| own.iter().zip(twin).map(|(a, b)| a - b).collect());
            rows.push(CellRow {
                at: (i, j),
                lambda0: group.lambda0[i],
                lambda1: group.lambda1[j],
                seeds: cell.by_seed.iter().flatten().count(),
                validation: cell.values(&answer.seeds, answer.metric.key(false)).map(|v| mean(&v)),
                test: measured(cell).map(|v| answer.metric.level(&v)),
                source: measured(&group.source[i]).map(|v| answer.metric.level(&v)),
                gain: gains.as_ref().map(|gains| answer.metric.paired(gains)),
                p: gains.as_ref().and_then(|gains| p_value(gains)),
                p_holm: None,
                lacks: lacks(group, cell),
            });
        }
    }
    let adjusted = holm(&rows.iter().filter_map(|row| row.p).collect::<Vec<_>>());
    rows.iter_mut().filter(|row| row.p.is_some()).zip(adjusted).for_each(|(row, p)| row.p_holm = Some(p));
    rows
}

pub fn against_scratch(rows: &[CellRow]) -> AgainstScratch {
    let mut all = AgainstScratch::default();
    for (p, gain) in rows.iter().filter_map(|row| Some((row.p_holm?, row.gain?.estimate))) {
        all.cells += 1;
        all.better += usize::from(p < LEVEL && gain > 0.0);
        all.worse += usize::from(p < LEVEL && gain < 0.0);
    }
    all
}

/// `diverged for seeds 1, 2; no result for seed 3`.
fn lacks(group: &Group, cell: &Cell) -> Option<String> {
    let named = |what: &str, of: Vec<usize>| {
        let seeds: Vec<String> = of.iter().map(|&seed| group.seeds[seed].to_string()).collect();
        (!of.is_empty()).then(|| format!("{what} for seed{} {}", if of.len() == 1 { "" } else { "s" }, seeds.join(", ")))
    };
    let without: Vec<usize> = (0..group.seeds.len()).filter(|&s| cell.by_seed[s].is_none() && !cell.diverged.contains(&s)).collect();
    let parts: Vec<String> = [named("diverged", cell.diverged.clone()), named("no result", without)].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}
