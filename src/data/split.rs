//! A task's images: which rows of the training file train and validate, which rows of the test file test.

use crate::config::network::{DataName, Phase};
use crate::plan::Stream;

use super::Examples;

/// Rows of the training file.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// Sorted; the order of training is drawn per epoch.
    pub train: Vec<usize>,
    pub validation: Vec<usize>,
}

impl Split {
    /// Draws a task's images with the seed, the same number from each class.
    ///
    /// Each class is shuffled by itself; validation takes its first images and training the next ones, so that a larger
    /// `per_class` or `total` keeps the smaller one's training images and the validation images stay the same.
    /// The configuration has been checked: every class has enough.
    pub fn draw(examples: &Examples, data: DataName, phase: &Phase, seed: u64) -> Split {
        let labels: Vec<usize> = phase.classes.iter().filter_map(|class| class.label(data)).collect();
        let mut split = Split { train: vec![], validation: vec![] };
        for (position, &label) in labels.iter().enumerate() {
            let mut rows: Vec<usize> = (0..examples.len()).filter(|&row| usize::from(examples.labels[row]) == label).collect();
            // By label, not by position: a class's images do not depend on the task's other classes.
            Stream::new("split", seed, label as u64).shuffle(&mut rows);
            let (validation, pool) = rows.split_at(phase.validation_per_class.min(rows.len()));
            let even = |total: usize| total / labels.len() + usize::from(position < total % labels.len());
            let n = phase.per_class.or(phase.total.map(even)).unwrap_or(pool.len());
            split.validation.extend_from_slice(validation);
            split.train.extend_from_slice(&pool[..n.min(pool.len())]);
        }
        split.train.sort_unstable();
        split.validation.sort_unstable();
        split
    }
}

/// Rows of the test file that belong to the task.
pub fn test_rows(test: &Examples, data: DataName, phase: &Phase) -> Vec<usize> {
    let labels = task_labels(data, phase);
    (0..test.len()).filter(|&row| labels[usize::from(test.labels[row])] >= 0).collect()
}

/// The task's output for each label of the data set; −1 for labels outside the task.
pub fn task_labels(data: DataName, phase: &Phase) -> [i64; 256] {
    let mut outputs = [-1; 256];
    for (output, class) in phase.classes.iter().enumerate() {
        if let Some(label) = class.label(data) {
            outputs[label] = output as i64;
        }
    }
    outputs
}

/// Mean and standard deviation of each channel, in units of pixel/255.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalisation {
    pub mean: Vec<f64>,
    pub sd: Vec<f64>,
}

/// Statistics over all pixels of these rows; exact, in integers. A constant channel gets sd 1.
pub fn normalisation(examples: &Examples, rows: &[usize], channels: usize) -> Normalisation {
    let mut sums = vec![(0u64, 0u64); channels];
    for &row in rows {
        for pixel in examples.pixels.row(row).as_slice().unwrap_or_default().chunks_exact(channels) {
            for (sum, &value) in sums.iter_mut().zip(pixel) {
                sum.0 += u64::from(value);
                sum.1 += u64::from(value) * u64::from(value);
            }
        }
    }
    let n = (rows.len() * examples.pixels.ncols() / channels).max(1) as f64;
    let mean: Vec<f64> = sums.iter().map(|(sum, _)| *sum as f64 / n / 255.0).collect();
    let variance = sums.iter().zip(&mean).map(|((_, squares), mean)| (*squares as f64 / n / (255.0 * 255.0) - mean * mean).max(0.0));
    let sd = variance.map(f64::sqrt).map(|sd| if sd > 1e-6 { sd } else { 1.0 }).collect();
    Normalisation { mean, sd }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::network::{Augment, Class, Schedule};
    use crate::data::digits;

    fn phase(per_class: Option<usize>, total: Option<usize>) -> Phase {
        Phase {
            classes: [3, 1, 4].map(Class::Label).to_vec(),
            per_class,
            total,
            validation_per_class: 20,
            epochs: 1,
            batch_size: 8,
            lr: 0.1,
            schedule: Schedule::default(),
            momentum: 0.0,
            nesterov: false,
            patience: None,
            augment: Augment::default(),
        }
    }

    #[test]
    fn stratified_disjoint_nested_and_by_seed() {
        let (train, _) = digits::read();
        let draw = |phase: &Phase, seed| Split::draw(&train, DataName::Digits, phase, seed);
        let small = draw(&phase(Some(10), None), 0);
        let large = draw(&phase(Some(40), None), 0);
        assert_eq!((small.train.len(), small.validation.len(), large.train.len()), (30, 60, 120));
        assert!(small.train.iter().all(|row| large.train.contains(row)), "a larger task keeps the smaller one's images");
        assert_eq!(small.validation, large.validation);
        assert!(large.train.iter().all(|row| !large.validation.contains(row)));
        for label in [1, 3, 4] {
            assert_eq!(small.train.iter().filter(|&&row| train.labels[row] == label).count(), 10);
        }
        assert_ne!(small, draw(&phase(Some(10), None), 1));
        assert_eq!(draw(&phase(None, Some(31)), 0).train.len(), 31);
        assert_eq!(draw(&phase(None, None), 0).train.len(), 122 + 123 + 121 - 60);
    }

    #[test]
    fn labels_follow_the_order_of_the_classes() {
        let labels = task_labels(DataName::Digits, &phase(None, None));
        assert_eq!((labels[3], labels[1], labels[4], labels[0]), (0, 1, 2, -1));
    }

    #[test]
    fn normalisation_is_the_plain_formula() {
        let examples = Examples::new(vec![0, 255, 255, 51, 0, 0], vec![0], 6);
        let stats = normalisation(&examples, &[0], 2);
        let values = [[0.0, 1.0, 0.0], [1.0, 0.2, 0.0]];
        for (c, channel) in values.iter().enumerate() {
            let mean = channel.iter().sum::<f64>() / 3.0;
            let var = channel.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 3.0;
            assert!((stats.mean[c] - mean).abs() < 1e-12 && (stats.sd[c] - var.sqrt()).abs() < 1e-9);
        }
    }
}
