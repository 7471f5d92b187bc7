//! Architectures that a study can name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::WeightsFile;

/// A network, always ending in a linear head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Model {
    /// `convnet`: one block per entry of `channels` (3×3 convolution, norm, ReLU, 2×2 max-pooling),
    /// then the `hidden` layers. `mlp`: the `hidden` layers alone. `bag`: the sum of word
    /// embeddings, each weighted by its TF-IDF, then the `hidden` layers. This sum is a linear map
    /// without bias to `embedding` numbers. `resnet20`, `resnet32`, `resnet56`: the CIFAR family of
    /// He et al. (2016), with shortcuts without parameters. `resnet18`: four stages of two blocks,
    /// with 1×1 convolutions as shortcuts, and a stem as `stem` says. `vit`: a small vision
    /// transformer (Dosovitskiy et al., 2021): square patches, a class token, learned positions,
    /// and `depth` layers with LayerNorm before attention and before an MLP of four times the
    /// width. `torchscript`: a module of PyTorch that `torch.jit.script` or `torch.jit.trace` made,
    /// in `file`; it runs code of its author (docs/networks.md).
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
    /// Side of the patches of a `vit`, in pixels; divides the height and the width. Null: 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<usize>,
    /// Numbers for each patch of a `vit`; null: 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<usize>,
    /// Layers of a `vit`; null: 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<usize>,
    /// Attention heads of a `vit`; divides the width. Null: 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heads: Option<usize>,
    /// Of `resnet18`. `small`: a 3×3 convolution, as is usual for small images. `imagenet`: a 7×7
    /// convolution with stride 2, then 3×3 max-pooling with stride 2; with `norm: batch` the
    /// network is then torchvision's.
    #[serde(skip_serializing_if = "Stem::is_small")]
    #[schemars(extend("default" = "small"))]
    pub stem: Stem,
    /// Of `torchscript`: the file of the module. It takes float32 [B, C, H, W] (or rows of
    /// features) and returns logits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<WeightsFile>,
    /// Of `torchscript`: the name of its last layer, e.g. `fc`. Its weight and bias get as many
    /// outputs as the task has classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// Of `torchscript`. `fresh`: weights of two or more dimensions and their biases are drawn with
    /// the seed, as PyTorch initialises layers. `file`: the source starts from the weights in the
    /// file, with a fresh head where the number of classes differs. All other parameters and the
    /// buffers are those of the file.
    #[serde(skip_serializing_if = "ModuleStart::is_fresh")]
    #[schemars(extend("default" = "fresh"))]
    pub start: ModuleStart,
    /// Normalisation after each convolution or hidden layer. It makes the weights before it
    /// scale-invariant, so λ₀ acts differently. A ResNet needs normalisation.
    pub norm: Norm,
    /// Groups of `norm: group`; must divide every channel count and width.
    pub groups: usize,
}

impl Default for Model {
    fn default() -> Self {
        Model {
            kind: ModelKind::Convnet,
            channels: None,
            hidden: None,
            embedding: None,
            patch: None,
            width: None,
            depth: None,
            heads: None,
            stem: Stem::Small,
            file: None,
            head: None,
            start: ModuleStart::Fresh,
            norm: Norm::None,
            groups: 8,
        }
    }
}

impl Model {
    /// Channels of the convolution blocks or of the stages, with the default filled in.
    pub fn channels(&self) -> Vec<usize> {
        let usual: &[usize] = match self.kind {
            ModelKind::Mlp | ModelKind::Bag | ModelKind::Vit | ModelKind::Torchscript => return vec![],
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

    /// The sizes of a vision transformer, with the defaults filled in; none for other models.
    pub fn transformer(&self) -> Option<Transformer> {
        (self.kind == ModelKind::Vit).then(|| Transformer {
            patch: self.patch.unwrap_or(4),
            width: self.width.unwrap_or(64),
            depth: self.depth.unwrap_or(4),
            heads: self.heads.unwrap_or(4),
        })
    }

    /// The file and the head of a module of the user; none for other models.
    pub fn module(&self) -> Option<(&WeightsFile, &str)> {
        (self.kind == ModelKind::Torchscript).then_some(())?;
        Some((self.file.as_ref()?, self.head.as_deref()?))
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
    Vit,
    Torchscript,
}

impl ModelKind {
    /// Blocks in each stage of a ResNet.
    pub fn residual_blocks(self) -> Option<usize> {
        match self {
            ModelKind::Resnet18 => Some(2),
            ModelKind::Resnet20 => Some(3),
            ModelKind::Resnet32 => Some(5),
            ModelKind::Resnet56 => Some(9),
            ModelKind::Mlp | ModelKind::Convnet | ModelKind::Bag | ModelKind::Vit | ModelKind::Torchscript => None,
        }
    }

    /// Whether the model needs images.
    pub fn convolves(self) -> bool {
        !matches!(self, ModelKind::Mlp | ModelKind::Bag | ModelKind::Torchscript)
    }
}

/// The sizes of a vision transformer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Transformer {
    pub patch: usize,
    pub width: usize,
    pub depth: usize,
    pub heads: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ModuleStart {
    Fresh,
    File,
}

impl ModuleStart {
    fn is_fresh(&self) -> bool {
        *self == ModuleStart::Fresh
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
