//! The metric that is compared, and the seeds it is averaged over.

use super::layout::CellResults;
use super::scores::{best, Best};
use super::stats::{even_weights, mean_interval};
use crate::base::interval::Interval;
use crate::config::Selection;

/// The metric that is compared: accuracy or loss of classes; R² or squared error of a numeric
/// response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    Accuracy,
    /// Cross-entropy, in nats.
    Loss,
    /// The share of the response's variance that is explained.
    R2,
    /// Mean squared error, in units of the variance of the source's training responses.
    SquaredError,
}

impl Metric {
    /// The metric of a study whose `selection` is this.
    pub fn of(selection: Selection, is_regression: bool) -> Metric {
        match (selection, is_regression) {
            (Selection::Accuracy, false) => Metric::Accuracy,
            (Selection::Loss, false) => Metric::Loss,
            (Selection::Accuracy, true) => Metric::R2,
            (Selection::Loss, true) => Metric::SquaredError,
        }
    }

    /// Whether higher is better: accuracy or R².
    pub fn is_score(self) -> bool {
        matches!(self, Metric::Accuracy | Metric::R2)
    }

    /// Record key of this metric on validation images.
    pub fn validation_key(self) -> &'static str {
        match self {
            Metric::Accuracy => "val_acc",
            Metric::R2 => "val_r2",
            Metric::Loss | Metric::SquaredError => "val_loss",
        }
    }

    /// Record key of this metric on test images.
    pub fn test_key(self) -> &'static str {
        match self {
            Metric::Accuracy => "test_acc",
            Metric::R2 => "test_r2",
            Metric::Loss | Metric::SquaredError => "test_loss",
        }
    }

    pub fn other(self) -> Metric {
        match self {
            Metric::Accuracy => Metric::Loss,
            Metric::Loss => Metric::Accuracy,
            Metric::R2 => Metric::SquaredError,
            Metric::SquaredError => Metric::R2,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Metric::Accuracy => "accuracy",
            Metric::Loss => "loss",
            Metric::R2 => "R²",
            Metric::SquaredError => "squared error",
        }
    }

    /// What is tested.
    pub fn examples(self) -> &'static str {
        match self {
            Metric::Accuracy | Metric::Loss => "images",
            Metric::R2 | Metric::SquaredError => "rows",
        }
    }

    /// The name with the unit, for axes.
    pub fn axis_label(self) -> &'static str {
        match self {
            Metric::Accuracy => "accuracy (%)",
            Metric::Loss => "loss (nats)",
            Metric::R2 | Metric::SquaredError => self.name(),
        }
    }

    /// The mean over the seeds. An accuracy interval more than 100 percentage points wide is
    /// uninformative and is left out. An interval that only extends beyond 100%, as ± does near it,
    /// is kept.
    pub fn level(self, values: &[f64]) -> Interval {
        let mean = mean_interval(values);
        match self {
            Metric::Accuracy => mean.within(mean.estimate - 0.5, mean.estimate + 0.5),
            Metric::Loss | Metric::R2 | Metric::SquaredError => mean,
        }
    }

    /// The mean of differences, paired by seed. An interval is left out if it contains differences
    /// that no two accuracies can have.
    pub fn paired(self, differences: &[f64]) -> Interval {
        let mean = mean_interval(differences);
        match self {
            Metric::Accuracy => mean.within(-1.0, 1.0),
            Metric::Loss | Metric::R2 | Metric::SquaredError => mean,
        }
    }

    /// The value with its sign chosen so that higher is better.
    pub fn score(self, value: f64) -> f64 {
        match self.is_score() {
            true => value,
            false => -value,
        }
    }
}

/// The basis of every number of a setting: a metric, and the seeds it is averaged over.
#[derive(Debug, Clone, PartialEq)]
pub struct Basis {
    pub metric: Metric,
    /// Positions in the setting's list of seeds.
    pub seeds: Vec<usize>,
}

impl Basis {
    /// A cell's test metric by seed. None unless every seed has it.
    pub fn test_values(&self, cell: &CellResults) -> Option<Vec<f64>> {
        cell.values(&self.seeds, self.metric.test_key())
    }

    /// A cell's validation metric by seed. None unless every seed has it.
    pub fn validation_values(&self, cell: &CellResults) -> Option<Vec<f64>> {
        cell.values(&self.seeds, self.metric.validation_key())
    }

    /// The test metric by seed, with higher as better. None unless every seed has it.
    pub fn test_scores(&self, cell: &CellResults) -> Option<Vec<f64>> {
        self.scores(self.test_values(cell))
    }

    /// The validation metric by seed, with higher as better. None unless every seed has it.
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

    /// The mean of `better` − `worse`, paired by seed, with its interval.
    pub fn difference(&self, better: &[f64], worse: &[f64]) -> Interval {
        self.metric.paired(&better.iter().zip(worse).map(|(a, b)| a - b).collect::<Vec<_>>())
    }

    /// The best of some cells by the validation metric.
    pub fn best_of(&self, cells: &[CellResults]) -> Option<Best> {
        let scores: Vec<Option<Vec<f64>>> = cells.iter().map(|cell| self.validation_scores(cell)).collect();
        best(&scores, &even_weights(self.seeds.len()))
    }

    /// The best λ₁ for one λ₀ by the validation metric. `row` holds the cells of that λ₀.
    pub fn best_lambda1(&self, row: &[CellResults]) -> Option<usize> {
        Some(self.best_of(row)?.first)
    }
}
