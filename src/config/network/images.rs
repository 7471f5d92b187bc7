//! How a task uses the images of each of its classes.

use serde::Serialize;

use super::{DatasetInfo, Network, Phase};

/// How one task uses the images of one class. In the order that the seed shuffles them to, the
/// images that it validates on come first. `skip` images that only the source trains on follow, and
/// then the pool from which it draws its training images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct ClassImages {
    /// The data set's label of the class.
    pub label: usize,
    pub validation: usize,
    /// The first of the validation images, on which every epoch is watched.
    pub monitor: usize,
    pub skip: usize,
    pub pool: usize,
    /// Images of one draw.
    pub train: usize,
}

/// A task that trains on all images of a class and names no number of validation images validates
/// on one image in this many.
const SHARE: usize = 10;

impl Network {
    /// The classes of the source task, in the order of its outputs.
    pub fn source_images(&self) -> Vec<ClassImages> {
        self.source.images_with(self.source_info(), |label| self.validation(label))
    }

    /// The classes of the target task, in the order of its outputs. If both tasks have a class, all
    /// draws are images that the source trains on, or with `disjoint_from_source` all are images
    /// that it does not train on.
    pub fn target_images(&self) -> Vec<ClassImages> {
        // A class of another set has nothing to do with the source's.
        let source = if self.has_one_set() { self.source_images() } else { vec![] };
        let of = |(position, label): (usize, usize)| {
            let n = self.target_info().classes[label].training;
            let validation = match self.has_one_set() {
                true => self.validation(label),
                false => self.target.validation_of(label, self.target_info(), true),
            };
            let left = n.saturating_sub(validation);
            let shared = source.iter().find(|class| class.label == label).map_or(0, |class| class.train);
            let skip = if self.target.disjoint_from_source { shared.min(left) } else { 0 };
            let wanted = self.target.wanted(position, self.target.labels(self.target_info()).len());
            let pool = match wanted {
                Some(train) if skip == 0 && shared > 0 => shared.max(train).min(left),
                _ => left - skip,
            };
            let train = wanted.unwrap_or(pool);
            ClassImages { label, validation, monitor: self.target.monitor_per_class.min(validation), skip, pool, train }
        };
        self.target.labels(self.target_info()).into_iter().enumerate().map(of).collect()
    }

    /// Validation images of a class. If both tasks have it, they validate on the same images: one
    /// would else validate on images that the other trains on.
    fn validation(&self, label: usize) -> usize {
        let data = self.source_info();
        if !self.has_one_set() {
            return self.source.validation_of(label, data, false);
        }
        let classes = |phase: &Phase| phase.labels(data).len();
        let position = |phase: &Phase| phase.labels(data).iter().position(|own| *own == label);
        let (source, target) = (position(&self.source), position(&self.target));
        let given = [(source, &self.source), (target, &self.target)];
        if let Some(given) = given.iter().filter(|(has, _)| has.is_some()).find_map(|(_, phase)| phase.validation_per_class) {
            return given;
        }
        let n = data.classes[label].training;
        let all = n - n.div_ceil(SHARE);
        let of_source = source.map_or(0, |at| self.source.wanted(at, classes(&self.source)).unwrap_or(all));
        // Half of what the source leaves is kept for the target's draws.
        let taken = if self.target.disjoint_from_source { of_source } else { 0 };
        let of_target = target.map_or(0, |at| match self.target.wanted(at, classes(&self.target)) {
            Some(train) => taken + train.max(n.saturating_sub(taken).div_ceil(2)),
            None => all,
        });
        n.saturating_sub(of_source.max(of_target))
    }
}

impl Phase {
    /// The classes of a task that stands alone.
    pub fn images(&self, data: &DatasetInfo) -> Vec<ClassImages> {
        let labels = self.labels(data);
        let rest = |label: usize| {
            let (n, position) = (data.classes[label].training, labels.iter().position(|own| *own == label));
            n - position.and_then(|at| self.wanted(at, labels.len())).unwrap_or(n - n.div_ceil(SHARE)).min(n)
        };
        self.images_with(data, |label| self.validation_per_class.unwrap_or_else(|| rest(label)))
    }

    /// Validation images of a class of a task that shares no set with the other one. Half of a
    /// target's images are kept for its draws.
    fn validation_of(&self, label: usize, data: &DatasetInfo, is_target: bool) -> usize {
        let (n, labels) = (data.classes[label].training, self.labels(data));
        let wanted = labels.iter().position(|own| *own == label).and_then(|at| self.wanted(at, labels.len()));
        let trained = match wanted {
            Some(train) if is_target => train.max(n.div_ceil(2)),
            Some(train) => train,
            None => n - n.div_ceil(SHARE),
        };
        self.validation_per_class.unwrap_or(n.saturating_sub(trained))
    }

    fn images_with(&self, data: &DatasetInfo, validation: impl Fn(usize) -> usize) -> Vec<ClassImages> {
        let labels = self.labels(data);
        let of = |(position, &label): (usize, &usize)| {
            let validation = validation(label);
            let pool = data.classes[label].training.saturating_sub(validation);
            let train = self.wanted(position, labels.len()).unwrap_or(pool);
            ClassImages { label, validation, monitor: self.monitor_per_class.min(validation), skip: 0, pool, train }
        };
        labels.iter().enumerate().map(of).collect()
    }

    /// Training images of the class at this position that the study asks for; None for all.
    fn wanted(&self, position: usize, classes: usize) -> Option<usize> {
        let even = |total: usize| total / classes + usize::from(position < total % classes);
        self.per_class.or(self.total.map(even))
    }
}

#[cfg(test)]
mod tests {
    use crate::config::network::{Class, ClassImages, DataName};
    use crate::config::Network;

    /// CIFAR-10 has 5,000 training images of each class.
    fn network(source: &str, target: &str) -> Network {
        let text = format!(
            "data: cifar10\nlambda0: 0\nlambda1: 0\nsource: {{classes: [0, 1], epochs: 1, lr: 0.1{source}}}\n\
             target: {{classes: [CLASSES], epochs: 1, lr: 0.1{target}}}\n"
        );
        let text = text.replace("CLASSES", if target.contains("shared") { "1, 2" } else { "2, 3" }).replace(", shared", "");
        serde_yaml::from_str(&text).unwrap()
    }

    fn of(classes: &[ClassImages], label: usize) -> (usize, usize, usize, usize) {
        let class = classes.iter().find(|class| class.label == label).unwrap();
        (class.validation, class.skip, class.pool, class.train)
    }

    #[test]
    fn what_training_leaves_is_for_validation() {
        let given = network(", per_class: 1000, validation_per_class: 200", ", per_class: 25, validation_per_class: 100");
        assert_eq!(of(&given.source_images(), 0), (200, 0, 4800, 1000));
        assert_eq!(of(&given.target_images(), 2), (100, 0, 4900, 25));
        let rest = network(", per_class: 1000", ", per_class: 25");
        assert_eq!(of(&rest.source_images(), 0), (4000, 0, 1000, 1000));
        assert_eq!(of(&rest.target_images(), 2), (2500, 0, 2500, 25));
        assert_eq!(rest.target_images()[0].monitor, 100);
        // More than half, and all of them.
        assert_eq!(of(&network("", ", per_class: 4000").target_images(), 2), (1000, 0, 4000, 4000));
        assert_eq!(of(&network("", "").source_images(), 0), (500, 0, 4500, 4500));
        assert_eq!(of(&network("", "").target_images(), 2), (500, 0, 4500, 4500));
        assert_eq!(of(&network(", total: 7", "").source_images(), 0).3, 4);
    }

    #[test]
    fn a_class_of_both_tasks_has_one_set_of_validation_images() {
        let both = network(", per_class: 1000", ", per_class: 25, shared");
        assert_eq!(of(&both.source_images(), 1), (2500, 0, 2500, 1000));
        assert_eq!(of(&both.target_images(), 1), (2500, 0, 1000, 25), "every draw is of the source's images");
        assert_eq!(of(&both.target_images(), 2), (2500, 0, 2500, 25));
        let apart = network(", per_class: 1000", ", per_class: 25, disjoint_from_source: true, shared");
        assert_eq!(of(&apart.source_images(), 1), (2000, 0, 3000, 1000));
        assert_eq!(of(&apart.target_images(), 1), (2000, 1000, 2000, 25));
        let one = network(", per_class: 1000, validation_per_class: 300", ", per_class: 25, shared");
        assert_eq!(of(&one.source_images(), 1).0, 300);
        assert_eq!(of(&one.target_images(), 1).0, 300);
    }

    #[test]
    fn labels_are_those_of_the_classes() {
        let network = Network { source: crate::config::network::Phase::new(vec![Class::Label(7)], 1, 0.1), ..network("", "") };
        assert_eq!(network.source_images()[0].label, 7);
        assert_eq!(DataName::Cifar10.info().classes[7].training, 5000);
    }
}
