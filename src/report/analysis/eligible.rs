//! Which λ₀ compete for the optima.

use super::layout::{CellResults, Setting};
use super::metric::Basis;
use super::scores::Scores;

/// Validation scores of a setting. Only eligible λ₀ have scores, so that both optima are chosen
/// among the same λ₀.
pub struct EligibleCells {
    pub scores: Scores,
    pub scratch: Vec<Option<Vec<f64>>>,
    pub eligible: Vec<usize>,
    pub partial: bool,
}

impl EligibleCells {
    pub fn new(setting: &Setting, basis: &Basis) -> EligibleCells {
        let score = |cell: &CellResults| basis.validation_scores(cell);
        let mut scores = Scores {
            source: setting.source.iter().map(score).collect(),
            target: setting.target.iter().map(|row| row.iter().map(score).collect()).collect(),
        };
        let waits = |(cell, scores): (&CellResults, &Option<Vec<f64>>)| cell.planned && cell.diverged.is_empty() && scores.is_none();
        let partial = setting.source.iter().zip(&scores.source).any(waits)
            || setting.target.iter().flatten().zip(scores.target.iter().flatten()).any(waits);
        let mut eligible = vec![];
        for i in 0..setting.lambda0.len() {
            if scores.source[i].is_some() && scores.target[i].iter().any(Option::is_some) {
                eligible.push(i);
            } else {
                scores.source[i] = None;
                scores.target[i].iter_mut().for_each(|cell| *cell = None);
            }
        }
        EligibleCells { scores, scratch: setting.scratch.iter().map(score).collect(), eligible, partial }
    }
}
