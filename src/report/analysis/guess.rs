//! Whether a model is better than guessing.

use super::stats::beats_guessing;
use crate::config::network::{DatasetInfo, Phase};

/// The performance of a model that has learned nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guess {
    /// Accuracy of always predicting the most frequent class.
    pub accuracy: f64,
    /// Number of test images.
    pub images: usize,
}

impl Guess {
    pub fn of(phase: &Phase, data: &DatasetInfo) -> Guess {
        let counts = phase.test_images(data);
        let images: usize = counts.iter().sum();
        Guess { accuracy: counts.iter().max().map_or(1.0, |most| *most as f64 / images as f64), images }
    }

    /// Whether test accuracies, one for each seed, are significantly better than guessing, over all
    /// seeds and their test images.
    pub fn is_beaten(&self, accuracies: &[f64]) -> bool {
        let right: f64 = accuracies.iter().map(|accuracy| (accuracy * self.images as f64).round()).sum();
        beats_guessing(right as u64, (self.images * accuracies.len()) as u64, self.accuracy)
    }
}
