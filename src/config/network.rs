//! The settings of one cell of a network study. Their doc comments are the reference (docs/study.md).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One cell: everything that determines one source model and the target model grown from it, apart from the seed.
///
/// Source objective: mean cross-entropy over the batch + (λ₀/2)·‖θ‖².
/// Target objective: mean cross-entropy + (λ₁/2)·‖θ_b − θ_b⁰‖² + (β/2)·‖θ_h‖², with θ_b the backbone, θ_b⁰ its value in
/// the source model and θ_h the head. λ is not divided by the number of examples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// The data set: `digits` (8×8 grey, embedded), `mnist` (28×28 grey) or `cifar10` (32×32 colour).
    pub data: DataName,
    /// λ₀, the source penalty; ≥ 0.
    pub lambda0: f64,
    /// λ₁, the target penalty; ≥ 0, and `.inf` with `penalty.step: proximal` (the backbone stays at the source weights).
    pub lambda1: f64,
    /// The network.
    #[serde(default)]
    pub model: Model,
    /// What λ₀ and λ₁ act on, and how.
    #[serde(default)]
    pub penalty: Penalty,
    /// What matrix products and convolutions compute with. Weights, velocity, losses, penalties and normalisation layers are float32 in any
    /// case. `float32`: exact. `tf32`: on CUDA their inputs are rounded to 10 bits of mantissa; on CPU the same as
    /// float32. `bf16`: inputs and activations have 8 bits; fast on CUDA and on CPUs with avx512_bf16, slow on others.
    /// docs/performance.md has the effect on the answer.
    #[serde(default)]
    pub precision: Precision,
    /// The source task and its training.
    pub source: Phase,
    /// The target task and its training.
    pub target: Phase,
    /// How the target model grows from the source model.
    #[serde(default)]
    pub transfer: Transfer,
    /// The from-scratch twin: the target task trained from a fresh initialisation with the same seed and data.
    #[serde(default)]
    pub scratch: Scratch,
}

/// The data sets that a study may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DataName {
    Digits,
    Mnist,
    Cifar10,
}

impl DataName {
    pub const ALL: [DataName; 3] = [DataName::Digits, DataName::Mnist, DataName::Cifar10];

    /// The name as written in a study.
    pub fn as_str(self) -> &'static str {
        match self {
            DataName::Digits => "digits",
            DataName::Mnist => "mnist",
            DataName::Cifar10 => "cifar10",
        }
    }

    /// Height, width and channels of an image.
    pub fn image_shape(self) -> [usize; 3] {
        match self {
            DataName::Digits => [8, 8, 1],
            DataName::Mnist => [28, 28, 1],
            DataName::Cifar10 => [32, 32, 3],
        }
    }

    /// Images of each class in the training file, in the order of their labels.
    pub fn training_images(self) -> [usize; 10] {
        match self {
            DataName::Digits => [118, 122, 117, 123, 121, 122, 121, 119, 114, 120],
            DataName::Mnist => [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
            DataName::Cifar10 => [5000; 10],
        }
    }

    /// About as many images of each class as the test file has.
    pub fn test_images_per_class(self) -> usize {
        match self {
            DataName::Digits => 60,
            DataName::Mnist | DataName::Cifar10 => 1000,
        }
    }

    /// The classes' names, in the order of their labels.
    pub fn class_names(self) -> [&'static str; 10] {
        match self {
            DataName::Digits | DataName::Mnist => ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
            DataName::Cifar10 => ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
        }
    }
}

/// A network: `convnet` or `mlp`, always ending in a linear head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Model {
    /// `convnet`: a block per entry of `channels` (3×3 convolution, norm, ReLU, 2×2 max-pooling), then the `hidden` layers.
    /// `mlp`: the `hidden` layers alone.
    pub kind: ModelKind,
    /// Channels of each convolution block (`convnet` only); null: [32, 64].
    pub channels: Option<Vec<usize>>,
    /// Widths of the fully connected hidden layers (linear, norm, ReLU); null: [256, 256] for `mlp`, none for `convnet`.
    pub hidden: Option<Vec<usize>>,
    /// Normalisation after each convolution or hidden layer. It makes the weights before it scale-invariant, so λ₀ acts differently.
    pub norm: Norm,
    /// Groups of `norm: group`; must divide every channel count and width.
    pub groups: usize,
}

impl Default for Model {
    fn default() -> Self {
        Model { kind: ModelKind::Convnet, channels: None, hidden: None, norm: Norm::None, groups: 8 }
    }
}

impl Model {
    /// Channels of the convolution blocks, the default filled in.
    pub fn channels(&self) -> Vec<usize> {
        match self.kind {
            ModelKind::Mlp => vec![],
            ModelKind::Convnet => self.channels.clone().unwrap_or_else(|| vec![32, 64]),
        }
    }

    /// Widths of the hidden layers, the default filled in.
    pub fn hidden(&self) -> Vec<usize> {
        self.hidden.clone().unwrap_or_else(|| match self.kind {
            ModelKind::Mlp => vec![256, 256],
            ModelKind::Convnet => vec![],
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    Mlp,
    Convnet,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    None,
    Batch,
    Group,
}

/// What the penalties act on, and how the optimiser step takes them in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Penalty {
    /// Penalise biases too (as PyTorch's weight decay does).
    pub biases: bool,
    /// Penalise the scale and shift of normalisation layers too (as PyTorch's weight decay does).
    pub norm: bool,
    /// `explicit`: λ(θ − θ⁰) is added to the gradient before momentum, as in PyTorch's SGD; unstable once lr·λ > 2 (with
    /// Nesterov momentum μ: 2(1 + μ)/(1 + 2μ)), so such a cell is refused. `proximal`: θ ← θ⁰ + (θ′ − θ⁰)/(1 + lr·λ/(1 − μ)) after the step on the loss alone (μ the momentum, so that
    /// both steps have the same minimum); stable for every λ.
    pub step: Step,
}

impl Default for Penalty {
    fn default() -> Self {
        Penalty { biases: true, norm: true, step: Step::Explicit }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    Explicit,
    Proximal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    #[default]
    Float32,
    Tf32,
    Bf16,
}

/// A task (some classes, some images) and how it is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// The task's classes, by name or label; their order gives the head's outputs.
    pub classes: Vec<Class>,
    /// Training images per class; null: all that validation leaves. Drawn with the seed; a larger number keeps the smaller one's images.
    #[serde(default)]
    pub per_class: Option<usize>,
    /// Training images in total, spread over the classes as evenly as they go; instead of `per_class`.
    #[serde(default)]
    pub total: Option<usize>,
    /// Validation images per class, drawn from the training file with the seed and never trained on; ≥ 1.
    #[serde(default = "Phase::default_validation_per_class")]
    pub validation_per_class: usize,
    /// Passes over the training images; ≥ 1.
    pub epochs: usize,
    /// Images per step; the last, shorter batch of an epoch counts as a step of its own.
    #[serde(default = "Phase::default_batch_size")]
    pub batch_size: usize,
    /// Learning rate at its highest; > 0.
    pub lr: f64,
    /// How the learning rate runs over the steps.
    #[serde(default)]
    pub schedule: Schedule,
    /// Momentum of SGD; 0 ≤ momentum < 1.
    #[serde(default = "Phase::default_momentum")]
    pub momentum: f64,
    /// Nesterov's form of momentum.
    #[serde(default)]
    pub nesterov: bool,
    /// Stop after this many epochs without a better validation loss, and keep the best epoch's weights; null: train all epochs, keep the last.
    #[serde(default)]
    pub patience: Option<usize>,
    /// Random changes to the training images.
    #[serde(default)]
    pub augment: Augment,
}

impl Phase {
    fn default_validation_per_class() -> usize {
        100
    }
    fn default_batch_size() -> usize {
        128
    }
    fn default_momentum() -> f64 {
        0.9
    }

    /// Training images, given the images that each class has in the training file.
    pub fn training_images(&self, available: &[usize]) -> usize {
        let pool: Vec<usize> = available.iter().map(|&n| n.saturating_sub(self.validation_per_class)).collect();
        match (self.per_class, self.total) {
            (Some(n), _) => n * pool.len(),
            (None, Some(n)) => n,
            (None, None) => pool.iter().sum(),
        }
    }
}

/// A class by its label or by its name.
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
    /// The class's label in a data set, if it has such a class.
    pub fn label(&self, data: DataName) -> Option<usize> {
        let names = data.class_names();
        match self {
            Class::Label(label) => (*label < names.len()).then_some(*label),
            Class::Name(name) => names.iter().position(|known| known == name),
        }
    }
}

/// Learning rate over the steps of a phase: a linear warm-up, then the kind's own course.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// `constant`; `cosine` from lr to 0 over the phase; `step`: times `factor` every `every` epochs.
    pub kind: ScheduleKind,
    /// Epochs of linear warm-up from 0 to lr (may be a fraction).
    pub warmup: f64,
    /// Epochs between two steps of `kind: step`.
    pub every: usize,
    /// What each step of `kind: step` multiplies the learning rate by.
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
    /// Shift by up to this many pixels each way; what comes in is the training mean.
    pub shift: usize,
}

/// How the target model grows from the source model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Transfer {
    /// `l2sp`: λ₁ pulls the backbone to the source weights. `finetune`: it starts there, and λ₁ pulls it to zero (weight decay).
    pub method: Method,
    /// `fresh`: a new head, drawn with the seed and penalised by β. `keep`: the source's head, under λ₁ like the backbone
    /// (needs as many target classes as source classes).
    pub head: Head,
    /// β, the penalty on a fresh head; ≥ 0.
    pub beta: f64,
    /// Running statistics of BatchNorm while fine-tuning: `update` them on target batches, or leave them `frozen` as the source had them.
    pub batchnorm: BatchNormRule,
}

impl Default for Transfer {
    fn default() -> Self {
        Transfer { method: Method::L2sp, head: Head::Fresh, beta: 0.0, batchnorm: BatchNormRule::Update }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    L2sp,
    Finetune,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Head {
    Fresh,
    Keep,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BatchNormRule {
    Update,
    Frozen,
}

/// The from-scratch twin of the target models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Scratch {
    /// Penalties (λ/2)·‖θ‖² to try; the report compares with the one that validation prefers. An empty list: no twin.
    pub lambdas: Vec<f64>,
    /// Learning rate; null: the target's.
    pub lr: Option<f64>,
    /// Epochs; null: the target's.
    pub epochs: Option<usize>,
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch { lambdas: vec![0.0], lr: None, epochs: None }
    }
}
