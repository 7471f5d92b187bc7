//! Architectures that a study can name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A network, always ending in a linear head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Model {
    /// `convnet`: one block per entry of `channels` (3×3 convolution, norm, ReLU, 2×2 max-pooling),
    /// then the `hidden` layers. `mlp`: the `hidden` layers alone. `bag`: the sum of word
    /// embeddings, each weighted by its TF-IDF, then the `hidden` layers. This sum is a linear map
    /// without bias to `embedding` numbers. `resnet20`, `resnet32`, `resnet56`: the CIFAR family of
    /// He et al. (2016), with shortcuts without parameters. `resnet18`: four stages of two blocks,
    /// with 1×1 convolutions as shortcuts, and a stem as `stem` says.
    pub kind: ModelKind,
    /// Channels of each convolution block of a `convnet`, or of each stage of a ResNet. Null:
    /// [32, 64] for `convnet`, [64, 128, 256, 512] for `resnet18`, and [16, 32, 64] for the other
    /// ResNets.
    pub channels: Option<Vec<usize>>,
    /// Widths of the fully connected hidden layers (linear, norm, ReLU); null: [256, 256] for
    /// `mlp`, none for the others.
    pub hidden: Option<Vec<usize>>,
    /// Width of the embeddings of a `bag`; null: 128.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding: Option<usize>,
    /// Of `resnet18`. `small`: a 3×3 convolution, as is usual for small images. `imagenet`: a 7×7
    /// convolution with stride 2, then 3×3 max-pooling with stride 2; with `norm: batch` the
    /// network is then torchvision's.
    #[serde(skip_serializing_if = "Stem::is_small")]
    pub stem: Stem,
    /// Normalisation after each convolution or hidden layer. It makes the weights before it
    /// scale-invariant, so λ₀ acts differently. A ResNet needs normalisation.
    pub norm: Norm,
    /// Groups of `norm: group`; must divide every channel count and width.
    pub groups: usize,
}

impl Default for Model {
    fn default() -> Self {
        Model { kind: ModelKind::Convnet, channels: None, hidden: None, embedding: None, stem: Stem::Small, norm: Norm::None, groups: 8 }
    }
}

impl Model {
    /// Channels of the convolution blocks or of the stages, with the default filled in.
    pub fn channels(&self) -> Vec<usize> {
        let usual: &[usize] = match self.kind {
            ModelKind::Mlp | ModelKind::Bag => return vec![],
            ModelKind::Convnet => &[32, 64],
            ModelKind::Resnet20 | ModelKind::Resnet32 | ModelKind::Resnet56 => &[16, 32, 64],
            ModelKind::Resnet18 => &[64, 128, 256, 512],
        };
        self.channels.clone().unwrap_or_else(|| usual.to_vec())
    }

    /// Widths of the hidden layers, with the default filled in.
    pub fn hidden(&self) -> Vec<usize> {
        self.hidden.clone().unwrap_or_else(|| if self.kind == ModelKind::Mlp { vec![256, 256] } else { vec![] })
    }

    /// Width of the embeddings, with the default filled in; none without embeddings.
    pub fn embedding(&self) -> Option<usize> {
        (self.kind == ModelKind::Bag).then(|| self.embedding.unwrap_or(128))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    Mlp,
    Convnet,
    Bag,
    Resnet20,
    Resnet32,
    Resnet56,
    Resnet18,
}

impl ModelKind {
    /// Blocks in each stage of a ResNet.
    pub fn residual_blocks(self) -> Option<usize> {
        match self {
            ModelKind::Resnet18 => Some(2),
            ModelKind::Resnet20 => Some(3),
            ModelKind::Resnet32 => Some(5),
            ModelKind::Resnet56 => Some(9),
            ModelKind::Mlp | ModelKind::Convnet | ModelKind::Bag => None,
        }
    }

    /// Whether the model needs images.
    pub fn convolves(self) -> bool {
        !matches!(self, ModelKind::Mlp | ModelKind::Bag)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Stem {
    Small,
    Imagenet,
}

impl Stem {
    fn is_small(&self) -> bool {
        *self == Stem::Small
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    None,
    Batch,
    Group,
}
