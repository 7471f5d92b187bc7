//! Finds the best λ by weighted means over seeds.

use super::stats::weighted_mean;

/// Validation scores by seed, for the eligible cells.
pub struct Scores {
    pub source: Vec<Option<Vec<f64>>>,
    pub target: Vec<Vec<Option<Vec<f64>>>>,
}

/// The first and the last of the equally good best values.
#[derive(Debug, Clone, Copy)]
pub struct Best {
    pub first: usize,
    pub last: usize,
    pub score: f64,
}

/// Weighted mean over seeds, in units of 10⁻¹² and rounded, so that equal means compare as equal
/// whatever the order of summation.
pub fn level(values: &[f64], weights: &[f64]) -> f64 {
    (weighted_mean(values, weights) * 1e12).round()
}

pub fn highest(levels: impl Iterator<Item = Option<f64>>) -> Option<Best> {
    levels.enumerate().filter_map(|(i, level)| Some((i, level?))).fold(None, |best, (i, score)| match best {
        Some(best) if score < best.score => Some(best),
        Some(best) if score == best.score => Some(Best { last: i, ..best }),
        _ => Some(Best { first: i, last: i, score }),
    })
}

pub fn best(cells: &[Option<Vec<f64>>], weights: &[f64]) -> Option<Best> {
    highest(cells.iter().map(|values| values.as_ref().map(|values| level(values, weights))))
}

impl Scores {
    pub fn source(&self, weights: &[f64]) -> Option<Best> {
        best(&self.source, weights)
    }

    /// The best λ₀, each with its best λ₁.
    pub fn transfer(&self, weights: &[f64]) -> Option<Best> {
        highest(self.target.iter().map(|row| best(row, weights).map(|best| best.score)))
    }

    /// The first of the best (λ₀, λ₁) pairs.
    pub fn pair(&self, weights: &[f64]) -> Option<(usize, usize)> {
        let i = self.transfer(weights)?.first;
        Some((i, best(&self.target[i], weights)?.first))
    }
}
