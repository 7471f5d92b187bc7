//! The structure of a study's model: its blocks with their sizes, without libtorch. The planner
//! counts their operations; `model::Architecture` computes them.

use serde::{Deserialize, Serialize};

use crate::config::network::{Model, ModelKind, Stem};

/// A convolution with a square kernel over images of `height` × `width`. The zero padding is half
/// the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Convolution {
    pub inputs: i64,
    pub outputs: i64,
    pub height: i64,
    pub width: i64,
    pub kernel: i64,
    pub stride: i64,
}

impl Convolution {
    /// Height and width of the output.
    pub fn output(&self) -> [i64; 2] {
        [self.height, self.width].map(|side| (side - 1) / self.stride + 1)
    }
}

/// A fully connected layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Linear {
    pub inputs: i64,
    pub outputs: i64,
}

/// One block of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// 3×3 convolution, norm, ReLU, 2×2 max-pooling.
    Pooled(Convolution),
    /// Convolution without bias, norm, ReLU: the first block of a ResNet.
    Stem(Convolution),
    /// Two 3×3 convolutions without bias, each followed by norm. ReLU follows the first norm and
    /// the sum with the shortcut.
    ///
    /// The shortcut is a 1×1 convolution with norm if there is one. Otherwise, where the sizes
    /// differ, it takes every other pixel and adds channels of zeros (option A of He et al.).
    Residual {
        first: Convolution,
        second: Convolution,
        shortcut: Option<Convolution>,
    },
    /// 3×3 max-pooling with stride 2 and padding 1.
    MaxPool,
    /// The mean over all pixels.
    GlobalPool,
    /// A linear map without bias and without ReLU. On TF-IDF weights, it is a weighted sum of
    /// embeddings.
    Embedding(Linear),
    /// Linear map, norm, ReLU.
    Hidden(Linear),
    Head(Linear),
    /// Each patch by a linear map, a class token before them, and learned positions.
    Patches(Patches),
    /// x + attention(norm(x)), then x + MLP(norm(x)), with GELU.
    Transformer(TransformerLayer),
    /// The class token after LayerNorm.
    ClassToken {
        width: i64,
    },
}

/// Square patches of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patches {
    pub channels: i64,
    pub side: i64,
    /// Number of patches.
    pub count: i64,
    pub width: i64,
}

/// A layer of a transformer, over `tokens` tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransformerLayer {
    pub tokens: i64,
    pub width: i64,
    pub heads: i64,
}

impl TransformerLayer {
    /// Width of the MLP.
    pub fn inner(&self) -> i64 {
        4 * self.width
    }
}

impl Block {
    pub fn convolutions(&self) -> Vec<Convolution> {
        match self {
            Block::Pooled(convolution) | Block::Stem(convolution) => vec![*convolution],
            Block::Residual { first, second, shortcut } => [Some(*first), Some(*second), *shortcut].into_iter().flatten().collect(),
            Block::MaxPool | Block::GlobalPool | Block::Embedding(_) | Block::Hidden(_) | Block::Head(_) => vec![],
            Block::Patches(_) | Block::Transformer(_) | Block::ClassToken { .. } => vec![],
        }
    }

    /// Whether the block's linear maps have a bias.
    pub fn has_bias(&self) -> bool {
        !matches!(self, Block::Stem(_) | Block::Residual { .. } | Block::Embedding(_))
    }

    /// Whether the block's linear maps are followed by the model's norm.
    pub fn has_norm(&self) -> bool {
        matches!(self, Block::Pooled(_) | Block::Stem(_) | Block::Residual { .. } | Block::Hidden(_))
    }
}

/// The blocks of a model for an input of height, width and channels. The last block is the head. A
/// module of the user has none.
pub fn blocks(model: &Model, input: [usize; 3], classes: usize) -> Vec<Block> {
    let [mut height, mut width, mut features] = input.map(|n| n as i64);
    let mut blocks = vec![];
    if model.kind == ModelKind::Torchscript {
        return blocks; // only libtorch knows what is in it
    }
    if let Some(sizes) = model.transformer() {
        let [side, width, heads] = [sizes.patch, sizes.width, sizes.heads].map(|n| n as i64);
        let count = (input[0] as i64 / side) * (input[1] as i64 / side);
        blocks.push(Block::Patches(Patches { channels: features, side, count, width }));
        let layer = TransformerLayer { tokens: count + 1, width, heads };
        blocks.extend((0..sizes.depth).map(|_| Block::Transformer(layer)));
        blocks.push(Block::ClassToken { width });
        blocks.push(Block::Head(Linear { inputs: width, outputs: classes as i64 }));
        return blocks;
    }
    let channels: Vec<i64> = model.channels().into_iter().map(|n| n as i64).collect();
    match model.kind.residual_blocks() {
        None => {
            for outputs in channels {
                blocks.push(Block::Pooled(Convolution { inputs: features, outputs, height, width, kernel: 3, stride: 1 }));
                (height, width, features) = (height / 2, width / 2, outputs);
            }
        }
        Some(depth) => {
            let [kernel, stride] = if model.stem == Stem::Imagenet { [7, 2] } else { [3, 1] };
            let stem = Convolution { inputs: features, outputs: channels[0], height, width, kernel, stride };
            blocks.push(Block::Stem(stem));
            [height, width] = stem.output();
            if model.stem == Stem::Imagenet {
                blocks.push(Block::MaxPool);
                [height, width] = [height, width].map(|side| (side - 1) / 2 + 1);
            }
            features = stem.outputs;
            for (stage, &outputs) in channels.iter().enumerate() {
                for block in 0..depth {
                    let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                    let first = Convolution { inputs: features, outputs, height, width, kernel: 3, stride };
                    let project = model.kind == ModelKind::Resnet18 && (stride > 1 || features != outputs);
                    let shortcut = project.then_some(Convolution { kernel: 1, ..first });
                    [height, width] = first.output();
                    let second = Convolution { inputs: outputs, outputs, height, width, kernel: 3, stride: 1 };
                    blocks.push(Block::Residual { first, second, shortcut });
                    features = outputs;
                }
            }
            blocks.push(Block::GlobalPool);
            (height, width) = (1, 1);
        }
    }
    features *= height * width;
    if let Some(embedding) = model.embedding() {
        blocks.push(Block::Embedding(Linear { inputs: features, outputs: embedding as i64 }));
        features = embedding as i64;
    }
    for hidden in model.hidden() {
        blocks.push(Block::Hidden(Linear { inputs: features, outputs: hidden as i64 }));
        features = hidden as i64;
    }
    blocks.push(Block::Head(Linear { inputs: features, outputs: classes as i64 }));
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::network::Norm;

    #[test]
    fn resnets_have_the_depth_of_their_name_and_the_published_size() {
        // He et al. (2016), table 6: 0.27 M, 0.46 M and 0.85 M parameters on CIFAR-10.
        let kinds = [
            (ModelKind::Resnet20, 20, 0.27),
            (ModelKind::Resnet32, 32, 0.46),
            (ModelKind::Resnet56, 56, 0.85),
            (ModelKind::Resnet18, 18, 11.17),
        ];
        for (kind, depth, millions) in kinds {
            let model = Model { kind, norm: Norm::Batch, ..Model::default() };
            let all = blocks(&model, [32, 32, 3], 10);
            let layers: usize = all.iter().map(|block| block.convolutions().iter().filter(|c| c.kernel == 3).count()).sum();
            assert_eq!(layers + 1, depth, "{kind:?}");
            let parameters = crate::plan::parameters(&model, [32, 32, 3], 10) as f64 / 1e6;
            assert!((parameters - millions).abs() < 0.01, "{kind:?}: {parameters} million parameters");
        }
    }
}
