//! A task and how it is trained.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DataChoice, DatasetInfo, WeightsFile};

/// A task (some classes, some images) and how it is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Data of this task alone, in place of `data`: source and target may be of different sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DataChoice>,
    /// The task's classes, by name or label; their order is the order of the head's outputs. A
    /// pattern such as `comp.*` stands for all classes that it matches, `*` for all. A superclass
    /// of CIFAR-100 stands for its five classes.
    #[serde(default = "Phase::all_classes")]
    pub classes: Vec<Class>,
    /// Training images per class; null: all images that are not used for validation. Drawn with the
    /// seed; a larger number includes the images of a smaller one.
    #[serde(default)]
    pub per_class: Option<usize>,
    /// Training images in total, spread over the classes as evenly as possible; use this instead of
    /// `per_class`.
    #[serde(default)]
    pub total: Option<usize>,
    /// Validation images per class, drawn from the training file with the seed and never trained
    /// on; ≥ 1. null: all that training leaves. Those are, of the source, all images that it does
    /// not train on. Of the target it is at most half of them: its draws come from the other half,
    /// however many they are. A task that trains on all images leaves a tenth.
    #[serde(default)]
    pub validation_per_class: Option<usize>,
    /// How many of the validation images of each class are watched in every epoch, for the curves
    /// and for `patience`; ≥ 1. All of them are evaluated once, after training.
    #[serde(default = "Phase::default_monitor_per_class", skip_serializing_if = "is_default_monitor")]
    pub monitor_per_class: usize,
    /// For the target only: how many independent draws of its training images are trained for each
    /// source model and λ₁, with a fresh head and data order for each. They do not overlap while
    /// there are enough images. The answer takes their mean in each seed. null: 1, and with
    /// `sweep --until settled` a number chosen by cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draws: Option<usize>,
    /// For the source only: a file of trained weights to start from, as safetensors or a state dict
    /// of PyTorch (`.pt`, `.pth`; no code in it is run). Names are those of PyTorch's modules:
    /// torchvision's for ResNets; docs/networks.md. A head of another size is fresh. λ₀ pulls to
    /// zero, or to these weights (`penalty.source_center`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<WeightsFile>,
    /// Passes over the training images; ≥ 1. A source with `init` may have 0: it is then the
    /// weights of the file.
    pub epochs: usize,
    /// Images per step; the last, shorter batch of an epoch is a step of its own.
    #[serde(default = "Phase::default_batch_size")]
    pub batch_size: usize,
    /// Highest learning rate; > 0.
    pub lr: f64,
    /// How the learning rate changes over the steps.
    #[serde(default)]
    pub schedule: Schedule,
    /// `sgd`: with momentum. `adamw`: the penalty is decoupled from the gradient: each step moves θ
    /// by −lr·λ·(θ − θ⁰) besides Adam's own step. `adam`: the penalty is a part of the gradient
    /// that Adam rescales. λ then is no weight of a term of an objective, and λ of different
    /// optimisers are not comparable; docs/study.md, "What the numbers mean".
    #[serde(default, skip_serializing_if = "OptimiserKind::is_default")]
    #[schemars(extend("default" = "sgd"))]
    pub optimiser: OptimiserKind,
    /// β₁ and β₂ of Adam and AdamW, the decay of the means of gradients and of their squares;
    /// 0 ≤ β < 1.
    #[serde(default = "Phase::default_betas", skip_serializing_if = "are_default_betas")]
    #[schemars(extend("default" = [0.9, 0.999]))]
    pub betas: [f64; 2],
    /// ε of Adam and AdamW, added to the root of the mean square; ≥ 1e-30.
    #[serde(default = "Phase::default_epsilon", skip_serializing_if = "is_default_epsilon")]
    #[schemars(extend("default" = 1e-8))]
    pub epsilon: f64,
    /// Scale each model's gradient down to this norm where it is larger, before the penalty; > 0.
    /// null: no clipping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// Momentum of SGD; 0 ≤ momentum < 1.
    #[serde(default = "Phase::default_momentum")]
    pub momentum: f64,
    /// Use Nesterov momentum.
    #[serde(default)]
    pub nesterov: bool,
    /// Stop after this many epochs without a better validation loss, and keep the weights of the
    /// best epoch; null: train all epochs and keep the last weights.
    #[serde(default)]
    pub patience: Option<usize>,
    /// Random changes to the training images.
    #[serde(default)]
    pub augment: Augment,
    /// α, the share of the L1 term in this phase's penalty: λ(α‖u‖₁ + (1 − α)/2·‖u‖²) with
    /// u = θ − θ⁰. 0 is L2, 1 is L1, and values between them are the elastic net. The L1 term is
    /// applied by its proximal map after each step, whatever `penalty.step` is.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(extend("default" = 0))]
    pub l1_ratio: f64,
    /// Probability with which dropout sets an input to 0 in a training step; 0 ≤ dropout < 1. It
    /// applies to the inputs of the head, and of hidden layers that follow another layer. Drawn per
    /// seed and step, the same for every λ.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(extend("default" = 0))]
    pub dropout: f64,
    /// ε: training targets are 1 − ε on the right class plus ε spread evenly over all classes;
    /// 0 ≤ ε < 1. Validation and test use no smoothing.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(extend("default" = 0))]
    pub label_smoothing: f64,
    /// ν, the probability that a label is wrong; 0 ≤ ν ≤ 1. All other classes of the task are
    /// equally likely. The noisy labels of training images are drawn with the seed. Validation and
    /// test losses are the expected ones under the same noise. Accuracies use the true labels.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(extend("default" = 0))]
    pub label_noise: f64,
    /// For the target only: where both tasks have a class, the target trains on other images of it
    /// than the source does. Needs `per_class` or `total`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub disjoint_from_source: bool,
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

fn are_default_betas(betas: &[f64; 2]) -> bool {
    *betas == Phase::default_betas()
}

fn is_default_epsilon(epsilon: &f64) -> bool {
    *epsilon == Phase::default_epsilon()
}

fn is_none(count: &usize) -> bool {
    *count == 0
}

fn is_default_monitor(images: &usize) -> bool {
    *images == Phase::default_monitor_per_class()
}

impl Phase {
    /// A task with all other settings at their defaults.
    pub fn new(classes: Vec<Class>, epochs: usize, lr: f64) -> Phase {
        Phase {
            data: None,
            classes,
            per_class: None,
            total: None,
            validation_per_class: None,
            monitor_per_class: Phase::default_monitor_per_class(),
            draws: None,
            init: None,
            epochs,
            batch_size: Phase::default_batch_size(),
            lr,
            schedule: Schedule::default(),
            optimiser: OptimiserKind::default(),
            betas: Phase::default_betas(),
            epsilon: Phase::default_epsilon(),
            clip_norm: None,
            momentum: Phase::default_momentum(),
            nesterov: false,
            patience: None,
            augment: Augment::default(),
            l1_ratio: 0.0,
            dropout: 0.0,
            label_smoothing: 0.0,
            label_noise: 0.0,
            disjoint_from_source: false,
        }
    }

    fn all_classes() -> Vec<Class> {
        vec![Class::Name("*".into())]
    }
    fn default_monitor_per_class() -> usize {
        100
    }
    fn default_batch_size() -> usize {
        128
    }
    pub(crate) fn default_momentum() -> f64 {
        0.9
    }
    pub(crate) fn default_betas() -> [f64; 2] {
        [0.9, 0.999]
    }
    pub(crate) fn default_epsilon() -> f64 {
        1e-8
    }

    /// The label smoothing ε = ν·C/(C − 1) that equals label noise ν on average, with C classes.
    pub fn expected_smoothing(&self, data: &DatasetInfo) -> f64 {
        let classes = self.labels(data).len() as f64;
        self.label_noise * classes / (classes - 1.0).max(1.0)
    }

    /// The data set's labels of the task's classes, in the order of the head's outputs.
    pub fn labels(&self, data: &DatasetInfo) -> Vec<usize> {
        self.classes.iter().flat_map(|class| class.labels(data)).collect()
    }
}

impl Phase {
    /// Test images of each class, in the order of [`Phase::labels`].
    pub fn test_images(&self, data: &DatasetInfo) -> Vec<usize> {
        self.labels(data).into_iter().map(|label| data.classes[label].test).collect()
    }

    /// The largest λ of a penalty for which the explicit step is stable; infinite where there is no
    /// limit. `own_lr` is used in place of the phase's learning rate.
    pub fn largest_explicit(&self, own_lr: Option<f64>) -> f64 {
        let lr = own_lr.unwrap_or(self.lr);
        match self.optimiser {
            OptimiserKind::Sgd => {}
            OptimiserKind::Adamw => return 2.0 / lr, // the distance is multiplied by 1 − lr·λ
            OptimiserKind::Adam => return 1e15,      // no step is longer than about lr; λ² is a float32
        }
        // The step multiplies the distance to the anchor by 1 − lr·λ. Without momentum, the
        // distance grows once lr·λ > 2. With Nesterov momentum it grows earlier, by the
        // characteristic polynomial of the penalty alone. With plain momentum it grows later, but
        // beyond 2 it would only oscillate.
        let limit = match self.nesterov {
            true => 2.0 * (1.0 + self.momentum) / (1.0 + 2.0 * self.momentum),
            false => 2.0,
        };
        limit / lr / (1.0 - self.l1_ratio) // only the L2 term acts through the gradient
    }
}

/// The optimisers that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OptimiserKind {
    #[default]
    Sgd,
    Adam,
    Adamw,
}

impl OptimiserKind {
    fn is_default(&self) -> bool {
        *self == OptimiserKind::default()
    }

    /// The name as people write it.
    pub fn name(self) -> &'static str {
        match self {
            OptimiserKind::Sgd => "SGD",
            OptimiserKind::Adam => "Adam",
            OptimiserKind::Adamw => "AdamW",
        }
    }
}

/// A class by its label or by its name. A number is the class of that name, if there is one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Class {
    Label(usize),
    Name(String),
}

impl std::fmt::Display for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Class::Label(label) => write!(f, "{label}"),
            Class::Name(name) => write!(f, "{name}"),
        }
    }
}

impl Class {
    /// The labels that the class stands for in a data set; empty if the data set has no such class.
    pub fn labels(&self, data: &DatasetInfo) -> Vec<usize> {
        match self {
            Class::Label(label) => {
                let named = data.classes.iter().position(|class| class.name == label.to_string());
                Vec::from_iter(named.or((*label < data.classes.len()).then_some(*label)))
            }
            Class::Name(name) => data.labels(name),
        }
    }
}

/// Learning rate over the steps of a phase: a linear warm-up, then the schedule of the kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// `constant`; `cosine` from lr to 0 over the phase; `step`: multiplied by `factor` every
    /// `every` epochs.
    pub kind: ScheduleKind,
    /// Epochs of linear warm-up from 0 to lr (may be a fraction).
    pub warmup: f64,
    /// Epochs between two steps of `kind: step`.
    pub every: usize,
    /// Factor by which each step of `kind: step` multiplies the learning rate.
    pub factor: f64,
}

impl Default for Schedule {
    fn default() -> Self {
        Schedule { kind: ScheduleKind::Cosine, warmup: 0.0, every: 10, factor: 0.1 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleKind {
    Constant,
    Cosine,
    Step,
}

/// Random changes to training images, drawn per seed and epoch, the same for every λ.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Augment {
    /// Mirror left-right with probability ½.
    pub flip: bool,
    /// Shift by up to this many pixels each way; the gap is filled with the training mean. The same
    /// as padding by so many pixels and cropping at random.
    pub shift: usize,
    /// Multiply brightness by a factor from 1 − this to 1 + this (as torchvision's ColorJitter,
    /// before normalisation); from 0 to 1.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(extend("default" = 0))]
    pub brightness: f64,
    /// The same for contrast, the distance from the image's mean grey.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(extend("default" = 0))]
    pub contrast: f64,
    /// The same for saturation, the distance from grey; for colour images.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(extend("default" = 0))]
    pub saturation: f64,
    /// Side of a square that is set to the training mean (DeVries & Taylor, 2017); 0 for none. Its
    /// centre is anywhere in the image.
    #[serde(skip_serializing_if = "is_none")]
    #[schemars(extend("default" = 0))]
    pub cutout: usize,
    /// α of mixup (Zhang et al., 2018): each image is mixed with another of its batch, in the
    /// proportion λ : 1 − λ with λ from Beta(α, α) for each step, and so is the loss; 0 for none.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(extend("default" = 0))]
    pub mixup: f64,
}

impl Augment {
    /// Whether something beside mirroring and shifting is asked for.
    pub fn has_more(&self) -> bool {
        *self != Augment { flip: self.flip, shift: self.shift, ..Augment::default() }
    }
}
