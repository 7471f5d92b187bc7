//! The examples of a task: rows of the training file for training and validation, and rows of the
//! test file for testing.

use std::sync::Arc;

use crate::base::stream::Stream;
use crate::config::network::{DatasetInfo, FitOn, Phase};
use crate::config::Network;

use super::words::Vectoriser;
use super::Examples;

/// Rows of the training file for training and for validation.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// Sorted. The order of training is drawn again for each epoch.
    pub train: Vec<usize>,
    pub validation: Vec<usize>,
}

impl Split {
    /// Draws a task's images at random from the seed, with the same number from each class.
    ///
    /// Each class is shuffled separately. Validation takes the first images and training the next
    /// ones. So a larger `per_class` or `total` keeps the training images of a smaller one, and the
    /// validation images stay the same.
    ///
    /// `leave` returns how many of a class's training images belong to another task. These are
    /// skipped. The configuration has already been checked: every class has enough images.
    pub fn draw(examples: &Examples, data: &DatasetInfo, phase: &Phase, seed: u64, leave: &dyn Fn(usize) -> usize) -> Split {
        let takes_all = phase.per_class.is_none() && phase.total.is_none();
        let mut split = Split { train: vec![], validation: vec![] };
        for (label, n) in phase.labels(data).into_iter().zip(phase.training_images(data)) {
            let mut rows: Vec<usize> = (0..examples.len()).filter(|&row| usize::from(examples.labels[row]) == label).collect();
            // The stream depends on the label, not on its position. So a class's images do not
            // depend on the other classes of the task.
            Stream::new("split", seed, label as u64).shuffle(&mut rows);
            let (validation, pool) = rows.split_at(phase.validation_per_class.min(rows.len()));
            let pool = &pool[leave(label).min(pool.len())..];
            let n = if takes_all { pool.len() } else { n };
            split.validation.extend_from_slice(validation);
            split.train.extend_from_slice(&pool[..n.min(pool.len())]);
        }
        split.train.sort_unstable();
        split.validation.sort_unstable();
        split
    }

    /// The images of the source task.
    pub fn of_source(examples: &Examples, settings: &Network, seed: u64) -> Split {
        Split::draw(examples, settings.dataset(), &settings.source, seed, &|_| 0)
    }

    /// The images of the target task. `phase` is the phase of the target stage or of training from
    /// scratch.
    pub fn of_target(examples: &Examples, settings: &Network, phase: &Phase, seed: u64) -> Split {
        let taken: Vec<(usize, usize)> = match phase.disjoint_from_source {
            true => {
                settings.source.labels(settings.dataset()).into_iter().zip(settings.source.training_images(settings.dataset())).collect()
            }
            false => vec![],
        };
        let leave = |label: usize| taken.iter().find(|(of, _)| *of == label).map_or(0, |(_, n)| *n);
        Split::draw(examples, settings.dataset(), phase, seed, &leave)
    }
}

/// The outputs for training on these images. A share `label_noise` of them, drawn with the seed, is
/// replaced by the output of another class.
pub fn training_labels(examples: &Examples, data: &DatasetInfo, phase: &Phase, task: &str, rows: &[usize], seed: u64) -> Vec<i64> {
    let (labels, classes) = (task_labels(data, phase), phase.labels(data).len());
    let mut stream = Stream::new(&format!("label-noise/{task}"), seed, 0);
    let wrong = (phase.label_noise * rows.len() as f64).round() as usize;
    let mut order: Vec<usize> = (0..rows.len()).collect();
    stream.shuffle(&mut order);
    let mut outputs: Vec<i64> = rows.iter().map(|&row| labels[usize::from(examples.labels[row])]).collect();
    for &at in &order[..wrong] {
        outputs[at] = (outputs[at] + 1 + stream.below(classes as u64 - 1) as i64) % classes as i64;
    }
    outputs
}

/// Rows of the test file that belong to the task.
pub fn test_rows(test: &Examples, data: &DatasetInfo, phase: &Phase) -> Vec<usize> {
    let labels = task_labels(data, phase);
    (0..test.len()).filter(|&row| labels[usize::from(test.labels[row])] >= 0).collect()
}

/// The task's output for each label of the data set, or −1 for labels outside the task.
pub fn task_labels(data: &DatasetInfo, phase: &Phase) -> [i64; 256] {
    let mut outputs = [-1; 256];
    for (output, label) in phase.labels(data).into_iter().enumerate() {
        outputs[label] = output as i64;
    }
    outputs
}

/// Transforms raw examples into inputs of a model. It is fitted on the training examples of the
/// source task.
#[derive(Debug, Clone)]
pub enum Preparation {
    Pixels(Normalisation),
    Words(Arc<Vectoriser>),
}

impl Preparation {
    /// The preparation for a study's settings and a seed. With `text.fit: union`, it is also fitted
    /// on the target task's training examples.
    pub fn of(examples: &Examples, settings: &Network, seed: u64) -> Preparation {
        let mut rows = Split::of_source(examples, settings, seed).train;
        match examples.corpus() {
            None => Preparation::Pixels(normalisation(examples, &rows, settings.input()[2])),
            Some(corpus) => {
                if settings.text.fit == FitOn::Union {
                    rows.extend(Split::of_target(examples, settings, &settings.target, seed).train);
                    rows.sort_unstable();
                    rows.dedup();
                }
                Preparation::Words(Arc::new(Vectoriser::fit(corpus, &rows, &settings.text)))
            }
        }
    }
}

/// Mean and standard deviation of each channel, in units of pixel/255.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalisation {
    pub mean: Vec<f64>,
    pub sd: Vec<f64>,
}

/// Mean and standard deviation over all pixels of these rows. The sums are exact, because they are
/// integers. A constant channel gets a standard deviation of 1.
pub fn normalisation(examples: &Examples, rows: &[usize], channels: usize) -> Normalisation {
    let (pixels, width) = (examples.pixels(), examples.pixels().len() / examples.len().max(1));
    let mut sums = vec![(0u64, 0u64); channels];
    for &row in rows {
        for pixel in pixels[row * width..(row + 1) * width].chunks_exact(channels) {
            for (sum, &value) in sums.iter_mut().zip(pixel) {
                sum.0 += u64::from(value);
                sum.1 += u64::from(value) * u64::from(value);
            }
        }
    }
    let n = (rows.len() * width / channels).max(1) as f64;
    let mean: Vec<f64> = sums.iter().map(|(sum, _)| *sum as f64 / n / 255.0).collect();
    let variance = sums.iter().zip(&mean).map(|((_, squares), mean)| (*squares as f64 / n / (255.0 * 255.0) - mean * mean).max(0.0));
    let sd = variance.map(f64::sqrt).map(|sd| if sd > 1e-6 { sd } else { 1.0 }).collect();
    Normalisation { mean, sd }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::network::{Class, DataName};
    use crate::data::digits;

    fn phase(per_class: Option<usize>, total: Option<usize>) -> Phase {
        Phase { per_class, total, validation_per_class: 20, ..Phase::new([3, 1, 4].map(Class::Label).to_vec(), 1, 0.1) }
    }

    #[test]
    fn stratified_disjoint_nested_and_by_seed() {
        let (train, _) = digits::read();
        let draw = |phase: &Phase, seed| Split::draw(&train, DataName::Digits.info(), phase, seed, &|_| 0);
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
    fn apart_takes_the_images_that_the_other_task_leaves() {
        let (train, _) = digits::read();
        let source = Split::draw(&train, DataName::Digits.info(), &phase(Some(10), None), 0, &|_| 0);
        for wanted in [Some(30), None] {
            let apart = Split::draw(&train, DataName::Digits.info(), &phase(wanted, None), 0, &|_| 10);
            assert_eq!(apart.validation, source.validation);
            assert!(apart.train.iter().all(|row| !source.train.contains(row)));
            assert_eq!(apart.train.len(), wanted.map_or(122 + 123 + 121 - 90, |n| 3 * n));
        }
    }

    #[test]
    fn label_noise_changes_its_share_and_nothing_else() {
        let (train, _) = digits::read();
        let noisy = |share: f64| Phase { label_noise: share, ..phase(Some(40), None) };
        let rows = Split::draw(&train, DataName::Digits.info(), &noisy(0.0), 5, &|_| 0).train;
        let of = |share: f64, seed: u64| training_labels(&train, DataName::Digits.info(), &noisy(share), "source", &rows, seed);
        let (clean, quarter) = (of(0.0, 5), of(0.25, 5));
        assert_eq!(quarter.iter().zip(&clean).filter(|(a, b)| a != b).count(), 30);
        assert!(quarter.iter().all(|output| (0..3).contains(output)));
        assert_ne!(quarter, of(0.25, 6));
        assert!(of(1.0, 5).iter().zip(&clean).all(|(a, b)| a != b));
    }

    #[test]
    fn labels_follow_the_order_of_the_classes() {
        let labels = task_labels(DataName::Digits.info(), &phase(None, None));
        assert_eq!((labels[3], labels[1], labels[4], labels[0]), (0, 1, 2, -1));
    }

    #[test]
    fn normalisation_is_the_plain_formula() {
        let examples = Examples::images(vec![0, 255, 255, 51, 0, 0], vec![0], 6);
        let stats = normalisation(&examples, &[0], 2);
        let values = [[0.0, 1.0, 0.0], [1.0, 0.2, 0.0]];
        for (c, channel) in values.iter().enumerate() {
            let mean = channel.iter().sum::<f64>() / 3.0;
            let var = channel.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 3.0;
            assert!((stats.mean[c] - mean).abs() < 1e-12 && (stats.sd[c] - var.sqrt()).abs() < 1e-9);
        }
    }
}
