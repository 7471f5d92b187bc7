//! Whether a model is better than guessing.

use super::stats::{beats_guessing, mean_interval};
use crate::config::network::{DatasetInfo, Phase};

/// The performance of a model that has learned nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guess {
    /// Accuracy of always predicting the most frequent class.
    pub accuracy: f64,
    /// Number of test images.
    pub images: usize,
    /// Loss of always predicting the frequencies of the classes, their entropy in nats.
    pub loss: f64,
    /// The task predicts a number. Guessing is then its mean, with an R² of 0, which takes the
    /// place of the accuracy; the loss is not known.
    pub is_regression: bool,
}

impl Guess {
    pub fn of(phase: &Phase, data: &DatasetInfo) -> Guess {
        let counts = phase.test_images(data);
        let images: usize = counts.iter().sum();
        if data.is_regression {
            return Guess { accuracy: 0.0, images, loss: f64::INFINITY, is_regression: true };
        }
        let shares = counts.iter().map(|count| *count as f64 / images as f64).filter(|share| *share > 0.0);
        let loss = shares.map(|share| -share * share.ln()).sum();
        Guess { accuracy: counts.iter().max().map_or(1.0, |most| *most as f64 / images as f64), images, loss, is_regression: false }
    }

    /// Whether the mean of test losses, one for each seed, is below that of guessing: its 95%
    /// interval, or the loss itself of a single seed.
    pub fn is_beaten_by_loss(&self, losses: &[f64]) -> bool {
        let mean = mean_interval(losses);
        mean.range.map_or(mean.estimate, |(_, high)| high) < self.loss
    }

    /// Whether test accuracies, one for each seed, are significantly better than guessing, over all
    /// seeds and their test images.
    pub fn is_beaten(&self, accuracies: &[f64]) -> bool {
        if self.is_regression {
            let r2 = mean_interval(accuracies);
            return r2.range.map_or(r2.estimate, |(low, _)| low) > 0.0;
        }
        let right: f64 = accuracies.iter().map(|accuracy| (accuracy * self.images as f64).round()).sum();
        beats_guessing(right as u64, (self.images * accuracies.len()) as u64, self.accuracy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_above_that_of_guessing_is_no_better_whatever_the_accuracy() {
        let four_classes = Guess { accuracy: 0.25, images: 400, loss: 4f64.ln(), is_regression: false };
        assert!(four_classes.is_beaten(&[0.55, 0.56, 0.54]));
        assert!(!four_classes.is_beaten_by_loss(&[1.50, 1.52, 1.49]), "overconfident");
        assert!(!four_classes.is_beaten_by_loss(&[1.38, 1.40, 1.36]), "not told from guessing by three seeds");
        assert!(four_classes.is_beaten_by_loss(&[1.10, 1.12, 1.08]) && four_classes.is_beaten_by_loss(&[1.1]));
    }

    #[test]
    fn a_number_is_learned_where_its_r2_is_above_0() {
        let number = Guess { accuracy: 0.0, images: 100, loss: f64::INFINITY, is_regression: true };
        assert!(number.is_beaten(&[0.3, 0.31, 0.28]) && number.is_beaten(&[0.1]));
        assert!(!number.is_beaten(&[0.01, -0.3, 0.2]) && !number.is_beaten(&[-0.1]));
    }
}
