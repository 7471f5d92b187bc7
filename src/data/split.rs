//! The examples of a task: rows of the training file for training and validation, and rows of the
//! test file for testing.

use std::collections::HashSet;
use std::sync::Arc;

use crate::base::stream::Stream;
use crate::config::network::{ClassImages, DatasetInfo, FitOn, Phase};
use crate::config::Network;

use super::words::Vectoriser;
use super::Examples;

/// Rows of the training file for training and for validation.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// Sorted. The order of training is drawn again for each epoch.
    pub train: Vec<usize>,
    pub validation: Vec<usize>,
    /// Those of the validation rows that are watched in every epoch.
    pub monitor: Vec<usize>,
}

impl Split {
    /// Draws a task's images at random from the seed, with the same number from each class.
    ///
    /// Each class is shuffled separately. Validation takes the first images, training takes them
    /// from the pool that follows. So a larger `per_class` or `total` keeps the training images of
    /// a smaller one (in the first draw), and all draws have the same validation images. Draws do
    /// not overlap while the pool lasts; a later one is a random part of the pool.
    ///
    /// Where examples have groups, a class is shuffled by group, in the same order for all classes,
    /// and validation leaves out what is of a group that this task may train on, or the `source`.
    /// (A class may then have fewer validation images than planned.)
    ///
    /// The configuration has already been checked: every class has enough images.
    pub fn draw(examples: &Examples, classes: &[ClassImages], source: &[ClassImages], seed: u64, draw: usize) -> Split {
        let mut split = Split { train: vec![], validation: vec![], monitor: vec![] };
        let trained: HashSet<u32> = match examples.groups.as_slice() {
            [] => HashSet::new(),
            groups => {
                classes.iter().chain(source).flat_map(|class| ClassRows::of(examples, class, seed).pool).map(|row| groups[row]).collect()
            }
        };
        for class in classes {
            let ClassRows { mut validation, pool } = ClassRows::of(examples, class, seed);
            validation.retain(|&row| examples.groups.get(row).is_none_or(|group| !trained.contains(group)));
            let (first, train) = (draw * class.train, class.train.min(pool.len()));
            split.validation.extend_from_slice(&validation);
            split.monitor.extend_from_slice(&validation[..class.monitor.min(validation.len())]);
            if first + train <= pool.len() {
                split.train.extend_from_slice(&pool[first..first + train]);
            } else {
                let mut again = pool;
                Stream::new(&format!("draw/{draw}"), seed, class.label as u64).shuffle(&mut again);
                split.train.extend_from_slice(&again[..train]);
            }
        }
        split.train.sort_unstable();
        split.validation.sort_unstable();
        split.monitor.sort_unstable();
        split
    }

    /// The images of the source task.
    pub fn of_source(examples: &Examples, settings: &Network, seed: u64) -> Split {
        Split::draw(examples, &settings.source_images(), &[], seed, 0)
    }

    /// The label of a class for which no validation image is left, because each is of a group that
    /// trains.
    pub fn without_validation(&self, examples: &Examples, classes: &[ClassImages]) -> Option<usize> {
        let has_some = |label: usize| self.validation.iter().any(|&row| usize::from(examples.labels[row]) == label);
        classes.iter().map(|class| class.label).find(|&label| !has_some(label))
    }
}

/// The rows of a class in the order of a seed.
struct ClassRows {
    validation: Vec<usize>,
    /// From which all draws take their training images.
    pool: Vec<usize>,
}

impl ClassRows {
    fn of(examples: &Examples, class: &ClassImages, seed: u64) -> ClassRows {
        let mut rows: Vec<usize> = (0..examples.len()).filter(|&row| usize::from(examples.labels[row]) == class.label).collect();
        // The stream depends on the label, not on its position. So a class's images do not depend
        // on the other classes of the task.
        let stream = |name| Stream::new(name, seed, class.label as u64);
        stream("split").shuffle(&mut rows);
        if !examples.groups.is_empty() {
            rows.sort_by_cached_key(|&row| Stream::new("split/group", seed, u64::from(examples.groups[row])).below(u64::MAX));
        }
        let first = class.validation.min(rows.len());
        let (validation, rest) = rows.split_at_mut(first);
        if !examples.groups.is_empty() {
            // A few training images are of many groups. Both tasks of one class have one order.
            stream("split/pool").shuffle(rest);
        }
        let pool = rest[class.skip.min(rest.len())..(class.skip + class.pool).min(rest.len())].to_vec();
        ClassRows { validation: validation.to_vec(), pool }
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
pub fn task_labels(data: &DatasetInfo, phase: &Phase) -> Vec<i64> {
    let mut outputs = vec![-1; data.classes.len()];
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
            None => Preparation::Pixels(match examples.features() {
                Some(features) => {
                    let response = (!examples.responses.is_empty()).then(|| {
                        let of_response = of_features(&examples.responses, &rows, 1);
                        [of_response.mean[0], of_response.sd[0]]
                    });
                    Normalisation { response, ..of_features(features, &rows, settings.input()[2]) }
                }
                None => {
                    let Normalisation { mean, sd, response } = normalisation(examples, &rows, settings.input()[2]);
                    let given = &settings.input;
                    Normalisation { mean: given.mean.clone().unwrap_or(mean), sd: given.sd.clone().unwrap_or(sd), response }
                }
            }),
            Some(corpus) => {
                if settings.text.fit == FitOn::Union {
                    rows.extend(Split::draw(examples, &settings.target_images(), &[], seed, 0).train);
                    rows.sort_unstable();
                    rows.dedup();
                }
                Preparation::Words(Arc::new(Vectoriser::fit(corpus, &rows, &settings.text)))
            }
        }
    }
}

/// Mean and standard deviation of each channel, in units of pixel/255; of features, in their own.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalisation {
    pub mean: Vec<f64>,
    pub sd: Vec<f64>,
    /// Mean and standard deviation of the responses, where a number is predicted.
    pub response: Option<[f64; 2]>,
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
    Normalisation { mean, sd, response: None }
}

/// Mean and standard deviation of each feature over these rows, in the features' own units. A
/// constant feature gets a standard deviation of 1.
pub fn of_features(features: &[f32], rows: &[usize], width: usize) -> Normalisation {
    let n = rows.len().max(1) as f64;
    let column = |f: usize| rows.iter().map(move |&row| f64::from(features[row * width + f]));
    let mean: Vec<f64> = (0..width).map(|f| column(f).sum::<f64>() / n).collect();
    let sd = |f: usize| (column(f).map(|v| (v - mean[f]).powi(2)).sum::<f64>() / n).sqrt();
    let sd = (0..width).map(sd).map(|sd| if sd > 1e-12 { sd } else { 1.0 }).collect();
    Normalisation { mean, sd, response: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::network::{Class, DataName};
    use crate::data::digits;

    fn phase() -> Phase {
        Phase::new([3, 1, 4].map(Class::Label).to_vec(), 1, 0.1)
    }

    /// Three classes of the digits, which have 122, 123 and 121 images.
    fn classes(train: usize, skip: usize) -> Vec<ClassImages> {
        let of = |(label, n): (usize, usize)| ClassImages { label, validation: 20, monitor: 8, skip, pool: n - 20 - skip, train };
        [(3, 123), (1, 122), (4, 121)].map(of).to_vec()
    }

    #[test]
    fn stratified_disjoint_nested_and_by_seed() {
        let (train, _) = digits::read();
        let draw = |n: usize, seed| Split::draw(&train, &classes(n, 0), &[], seed, 0);
        let (small, large) = (draw(10, 0), draw(40, 0));
        assert_eq!((small.train.len(), small.validation.len(), large.train.len()), (30, 60, 120));
        assert!(small.train.iter().all(|row| large.train.contains(row)), "a larger task keeps the smaller one's images");
        assert_eq!((&small.validation, &small.monitor), (&large.validation, &large.monitor));
        assert!(small.monitor.len() == 24 && small.monitor.iter().all(|row| small.validation.contains(row)));
        assert!(large.train.iter().all(|row| !large.validation.contains(row)));
        for label in [1, 3, 4] {
            assert_eq!(small.train.iter().filter(|&&row| train.labels[row] == label).count(), 10);
        }
        assert_ne!(small, draw(10, 1));
    }

    #[test]
    fn draws_are_apart_while_the_images_last() {
        let (train, _) = digits::read();
        let draws: Vec<Split> = (0..15).map(|draw| Split::draw(&train, &classes(10, 0), &[], 0, draw)).collect();
        let apart = |a: &Split, b: &Split| a.train.iter().all(|row| !b.train.contains(row));
        for (i, draw) in draws.iter().enumerate() {
            assert_eq!((draw.train.len(), &draw.validation), (30, &draws[0].validation));
            assert!(apart(draw, &Split { train: draw.validation.clone(), ..draw.clone() }));
            assert!(draws[..i.min(10)].iter().all(|other| i >= 10 || apart(draw, other)), "101 images are left: ten draws of ten");
        }
        assert!(draws[10] != draws[11] && draws[10] == Split::draw(&train, &classes(10, 0), &[], 0, 10));
    }

    #[test]
    fn apart_takes_the_images_that_the_other_task_leaves() {
        let (train, _) = digits::read();
        let source = Split::draw(&train, &classes(10, 0), &[], 0, 0);
        let apart = Split::draw(&train, &classes(30, 10), &[], 0, 0);
        assert_eq!(apart.validation, source.validation);
        assert!(apart.train.iter().all(|row| !source.train.contains(row)));
        assert_eq!(apart.train.len(), 90);
    }

    #[test]
    fn groups_never_straddle_training_and_validation() {
        let (digits, _) = digits::read();
        // Groups of about ten, across classes.
        let groups: Vec<u32> = (0..digits.len() as u32).map(|row| row * 7 % 120).collect();
        let train = Examples { groups, ..digits };
        let group = |rows: &[usize]| rows.iter().map(|&row| train.groups[row]).collect::<HashSet<u32>>();
        let source = [ClassImages { label: 7, validation: 20, monitor: 8, skip: 0, pool: 40, train: 40 }];
        for seed in 0..5 {
            for draw in 0..12 {
                let split = Split::draw(&train, &classes(10, 0), &source, seed, draw);
                assert_eq!(split.train.len(), 30);
                assert!(split.monitor.iter().all(|row| split.validation.contains(row)));
                assert!(group(&split.train).is_disjoint(&group(&split.validation)), "{seed} {draw}");
                assert!(split.validation.len() > 15, "{}", split.validation.len());
                let of_source = Split::draw(&train, &source, &[], seed, 0);
                assert!(group(&of_source.train).is_disjoint(&group(&split.validation)));
                assert!(draw > 0 || group(&split.train).len() > 20, "thirty images are of many groups");
            }
        }
        // What the source trains on is what the target skips.
        let whole = Split::draw(&train, &classes(10, 0), &[], 0, 0);
        let apart = Split::draw(&train, &classes(30, 10), &[], 0, 0);
        assert_eq!(whole.without_validation(&train, &classes(10, 0)), None);
        assert!(apart.train.len() == 90 && apart.train.iter().all(|row| !whole.train.contains(row)));
        let one = Examples { groups: vec![0; train.len()], ..train.clone() };
        let none = Split::draw(&one, &classes(10, 0), &[], 0, 0);
        assert_eq!(none.without_validation(&one, &classes(10, 0)), Some(3));
    }

    #[test]
    fn label_noise_changes_its_share_and_nothing_else() {
        let (train, _) = digits::read();
        let noisy = |share: f64| Phase { label_noise: share, ..phase() };
        let rows = Split::draw(&train, &classes(40, 0), &[], 5, 0).train;
        let of = |share: f64, seed: u64| training_labels(&train, DataName::Digits.info(), &noisy(share), "source", &rows, seed);
        let (clean, quarter) = (of(0.0, 5), of(0.25, 5));
        assert_eq!(quarter.iter().zip(&clean).filter(|(a, b)| a != b).count(), 30);
        assert!(quarter.iter().all(|output| (0..3).contains(output)));
        assert_ne!(quarter, of(0.25, 6));
        assert!(of(1.0, 5).iter().zip(&clean).all(|(a, b)| a != b));
    }

    #[test]
    fn labels_follow_the_order_of_the_classes() {
        let labels = task_labels(DataName::Digits.info(), &phase());
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
