//! What is compared, and over which seeds.

use super::layout::CellResults;
use super::scores::{best, Best};
use super::stats::{even_weights, mean_interval};
use crate::base::interval::Interval;
use crate::config::Selection;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    Accuracy,
    Loss,
}

impl From<Selection> for Metric {
    fn from(selection: Selection) -> Metric {
        match selection {
            Selection::Accuracy => Metric::Accuracy,
            Selection::Loss => Metric::Loss,
        }
    }
}

impl Metric {
    /// The record's key of this metric on validation images.
    pub fn validation_key(self) -> &'static str {
        match self {
            Metric::Accuracy => "val_acc",
            Metric::Loss => "val_loss",
        }
    }

    /// The record's key of this metric on test images.
    pub fn test_key(self) -> &'static str {
        match self {
            Metric::Accuracy => "test_acc",
            Metric::Loss => "test_loss",
        }
    }

    pub fn other(self) -> Metric {
        match self {
            Metric::Accuracy => Metric::Loss,
            Metric::Loss => Metric::Accuracy,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Metric::Accuracy => "accuracy",
            Metric::Loss => "loss",
        }
    }

    /// The mean over the seeds. An interval around an accuracy that is wider than 0 to 100% says
    /// nothing and is left out. One that only reaches beyond 100%, as ± does near it, is kept.
    pub fn level(self, values: &[f64]) -> Interval {
        let mean = mean_interval(values);
        match self {
            Metric::Accuracy => mean.within(mean.estimate - 0.5, mean.estimate + 0.5),
            Metric::Loss => mean,
        }
    }

    /// The mean of differences, paired by seed. An interval that holds differences that no two
    /// accuracies have is left out.
    pub fn paired(self, differences: &[f64]) -> Interval {
        let mean = mean_interval(differences);
        match self {
            Metric::Accuracy => mean.within(-1.0, 1.0),
            Metric::Loss => mean,
        }
    }

    /// Higher is better.
    pub fn score(self, value: f64) -> f64 {
        match self {
            Metric::Accuracy => value,
            Metric::Loss => -value,
        }
    }
}

/// What every number of a setting is computed over: a metric and the seeds that are averaged.
#[derive(Debug, Clone, PartialEq)]
pub struct Basis {
    pub metric: Metric,
    /// Positions in the setting's seeds.
    pub seeds: Vec<usize>,
}

impl Basis {
    /// A cell's test metric by seed; none unless every seed has it.
    pub fn test_values(&self, cell: &CellResults) -> Option<Vec<f64>> {
        cell.values(&self.seeds, self.metric.test_key())
    }

    /// A cell's validation metric by seed; none unless every seed has it.
    pub fn validation_values(&self, cell: &CellResults) -> Option<Vec<f64>> {
        cell.values(&self.seeds, self.metric.validation_key())
    }

    /// The test metric by seed, higher is better; none unless every seed has it.
    pub fn test_scores(&self, cell: &CellResults) -> Option<Vec<f64>> {
        self.scores(self.test_values(cell))
    }

    /// The validation metric by seed, higher is better; none unless every seed has it.
    pub fn validation_scores(&self, cell: &CellResults) -> Option<Vec<f64>> {
        self.scores(self.validation_values(cell))
    }

    fn scores(&self, values: Option<Vec<f64>>) -> Option<Vec<f64>> {
        Some(values?.into_iter().map(|value| self.metric.score(value)).collect())
    }

    /// The mean test metric with its interval.
    pub fn test_level(&self, cell: &CellResults) -> Option<Interval> {
        Some(self.metric.level(&self.test_values(cell)?))
    }

    /// The mean of `better` − `worse`, paired by seed.
    pub fn difference(&self, better: &[f64], worse: &[f64]) -> Interval {
        self.metric.paired(&better.iter().zip(worse).map(|(a, b)| a - b).collect::<Vec<_>>())
    }

    /// The best of some cells on validation images.
    pub fn best_of(&self, cells: &[CellResults]) -> Option<Best> {
        let scores: Vec<Option<Vec<f64>>> = cells.iter().map(|cell| self.validation_scores(cell)).collect();
        best(&scores, &even_weights(self.seeds.len()))
    }

    /// The λ₁ that validation prefers for a λ₀, given that λ₀'s cells.
    pub fn best_lambda1(&self, row: &[CellResults]) -> Option<usize> {
        Some(self.best_of(row)?.first)
    }
}
