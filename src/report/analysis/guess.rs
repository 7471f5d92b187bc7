//! Whether a model is better than guessing.

use super::layout::CellResults;
use super::stats::beats_guessing;
use crate::config::network::{DataName, Phase};

/// The performance of a model that has learned nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guess {
    /// Accuracy of always predicting the most frequent class.
    pub accuracy: f64,
    /// Number of test images.
    pub images: usize,
}

impl Guess {
    pub fn of(phase: &Phase, data: DataName) -> Guess {
        let counts = phase.test_images(data);
        let images: usize = counts.iter().sum();
        Guess { accuracy: counts.iter().max().map_or(1.0, |most| *most as f64 / images as f64), images }
    }

    /// Whether a cell's test accuracy, over all its seeds and their test images, is significantly
    /// better than guessing. None without results.
    pub fn is_beaten(&self, cell: &CellResults, seeds: &[usize]) -> Option<bool> {
        let accuracies = cell.values(seeds, "test_acc")?;
        let right: f64 = accuracies.iter().map(|accuracy| (accuracy * self.images as f64).round()).sum();
        Some(beats_guessing(right as u64, (self.images * seeds.len()) as u64, self.accuracy))
    }
}
