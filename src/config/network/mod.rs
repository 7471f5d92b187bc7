//! The settings of one cell of a network study. Their doc comments become the reference
//! (docs/study.md).

mod choice;
mod dataset;
mod images;
mod input;
mod model;
mod phase;
mod published;
mod text;
mod transfer;
mod weights;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use choice::{read_places_with, remember, DataChoice, DataPlace, Impute};
pub use dataset::{first_star, ClassInfo, DatasetInfo};
pub use images::ClassImages;
pub use input::Input;
pub use model::{Model, ModelKind, ModuleStart, Norm, Stem, Transformer};
pub use phase::{Augment, Class, OptimiserKind, Phase, Schedule, ScheduleKind};
pub use published::DataName;
pub use text::{FitOn, Text};
pub use transfer::{BatchNormRule, HeadRule, Scratch, Transfer, TransferMethod};
pub use weights::{read_weights_with, TensorInfo, WeightsFile, WeightsInfo};

/// One cell: everything except the seed that determines one source model and the target model
/// trained from it.
///
/// Source objective: mean cross-entropy over the batch + (λ₀/2)·‖θ‖². Target objective: mean
/// cross-entropy + (λ₁/2)·‖θ_b − θ_b⁰‖² + (β/2)·‖θ_h‖², with θ_b the backbone, θ_b⁰ its value in
/// the source model and θ_h the head. λ is not divided by the number of examples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// The data set: `digits` (8×8 grey, embedded in the program), `mnist`, `fashion-mnist`,
    /// `kmnist`, `emnist-letters`, `emnist-balanced` (digits and letters, 47 classes) and
    /// `emnist-digits` (28×28 grey), `cifar10` (32×32 colour), `cifar100` (its 100 classes),
    /// `cifar100-coarse` (the same images with their 20 superclasses), `newsgroups` (20 Newsgroups,
    /// bydate, as TF-IDF features), or, to measure speed without data, `synthetic-grey` and
    /// `synthetic-colour` (made-up images, 28×28 grey and 32×32 colour). Or the place of your own
    /// data: `{images: FOLDER}` (a folder for each class), `{npz: FILE}`, `{parquet: FILE}`,
    /// `{idx: FOLDER}`, `{table: FILE, label: COLUMN}`, `{table: FILE, response: COLUMN}` (a number
    /// to predict) or `{documents: FOLDER}`; docs/data.md. Needed unless both tasks have data of
    /// their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DataChoice>,
    /// The shape of the network's inputs, for images. Images of other shapes are made to fit.
    #[serde(default, skip_serializing_if = "Input::is_default")]
    pub input: Input,
    /// How documents are turned into features (`newsgroups` only): TF-IDF as scikit-learn's
    /// TfidfVectorizer computes it. Words have two or more letters, digits or underscores, in lower
    /// case. Of the words in enough documents, the most frequent ones are kept;
    /// idf = ln((1 + n)/(1 + df)) + 1; rows have length 1. Never fitted on validation or test
    /// documents.
    #[serde(default, skip_serializing_if = "Text::is_default")]
    pub text: Text,
    /// λ₀, the source penalty; ≥ 0.
    pub lambda0: f64,
    /// λ₁, the target penalty; ≥ 0. `.inf` keeps the backbone at the source weights; it needs
    /// `penalty.step: proximal`, `transfer.method: l2sp` and no `target.l1_ratio`.
    pub lambda1: f64,
    /// The network.
    #[serde(default)]
    pub model: Model,
    /// What λ₀ and λ₁ act on, and how.
    #[serde(default)]
    pub penalty: PenaltyRules,
    /// Number format of matrix products and convolutions. Weights, velocity, losses, penalties and
    /// normalisation layers are always float32. `float32`: exact. `tf32`: on CUDA, inputs are
    /// rounded to 10 bits of mantissa; on CPU, the same as float32. `bf16`: inputs and activations
    /// have 8 bits; fast on CUDA and on CPUs with avx512_bf16, slow on others. docs/performance.md
    /// shows the effect on results.
    #[serde(default)]
    pub precision: Precision,
    /// The source task and its training.
    pub source: Phase,
    /// The target task and its training.
    pub target: Phase,
    /// How the target model is trained from the source model.
    #[serde(default)]
    pub transfer: Transfer,
    /// Training from scratch: the target task trained from a fresh initialisation with the same
    /// seed and data.
    #[serde(default)]
    pub scratch: Scratch,
}

impl Network {
    /// The data of the source task.
    pub fn source_choice(&self) -> &DataChoice {
        self.source.data.as_ref().or(self.data.as_ref()).unwrap_or(&DataChoice::NONE)
    }

    /// The data of the target task.
    pub fn target_choice(&self) -> &DataChoice {
        self.target.data.as_ref().or(self.data.as_ref()).unwrap_or(&DataChoice::NONE)
    }

    /// What is known about the source's data set.
    pub fn source_info(&self) -> &'static DatasetInfo {
        self.source_choice().info()
    }

    /// What is known about the target's data set.
    pub fn target_info(&self) -> &'static DatasetInfo {
        self.target_choice().info()
    }

    /// Whether both tasks are of one data set, so that a class can be in both.
    pub fn has_one_set(&self) -> bool {
        self.source_info().is_same(self.target_info())
    }

    /// Height, width and channels of the model's input. Features and the words of a text are the
    /// channels of one pixel.
    pub fn input(&self) -> [usize; 3] {
        let source = self.source_info();
        match source.image_shape {
            None if source.sizes.is_none() => [1, 1, self.text.features],
            shape => {
                let [height, width, channels] = shape.unwrap_or([0, 0, source.channels]);
                let [height, width] = self.input.size.map_or([height, width], |size| [size, size]);
                [height, width, self.input.channels.unwrap_or(channels)]
            }
        }
    }
}

/// What the penalties act on, and how the optimiser step applies them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PenaltyRules {
    /// Penalise biases too (as PyTorch's weight decay does).
    pub biases: bool,
    /// Penalise the scale and shift of normalisation layers too (as PyTorch's weight decay does).
    pub norm: bool,
    /// `explicit`: λ(θ − θ⁰) is added to the gradient before momentum, as in PyTorch's SGD. It is
    /// unstable once lr·λ > 2 (with Nesterov momentum μ: 2(1 + μ)/(1 + 2μ)), so such a cell is
    /// rejected. `proximal`: θ ← θ⁰ + (θ′ − θ⁰)/(1 + lr·λ/(1 − μ)) after the step on the loss
    /// alone, with μ the momentum. The factor 1/(1 − μ) gives both steps the same minimum.
    /// `proximal` is stable for every λ. With `adamw`, `explicit` is
    /// θ ← θ − lr·λ(θ − θ⁰) before the step, as in PyTorch, and `proximal` is
    /// θ ← θ⁰ + (θ′ − θ⁰)/(1 + lr·λ) after it. `adam` has `explicit` alone.
    pub step: PenaltyStep,
    /// What λ₀ pulls a source with `source.init` to: `zero`, or its initial weights (`init`). A
    /// fresh head is pulled to zero.
    #[serde(skip_serializing_if = "SourceCenter::is_zero")]
    #[schemars(extend("default" = "zero"))]
    pub source_center: SourceCenter,
}

impl Default for PenaltyRules {
    fn default() -> Self {
        PenaltyRules { biases: true, norm: true, step: PenaltyStep::Explicit, source_center: SourceCenter::Zero }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SourceCenter {
    Zero,
    Init,
}

impl SourceCenter {
    fn is_zero(&self) -> bool {
        *self == SourceCenter::Zero
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PenaltyStep {
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
