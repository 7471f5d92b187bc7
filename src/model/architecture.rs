//! The networks a study can name: an MLP and a ConvNet, each with a choice of normalisation.

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::fused::{linear, pool_bias_relu};
use super::layers::{batch_norm, convolution, group_norm, join_replicas, pool, split_replicas, Mode, Strategy};
use super::layout::{Init, Layout, Parameter, Role, Shape};
use crate::config::network::{Model, Norm};

/// One linear map and what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    Convolution { channels: i64 },
    Hidden { width: i64 },
    Head,
}

/// An architecture for given images and a given number of classes; it holds no weights.
#[derive(Debug, Clone)]
pub struct Architecture {
    blocks: Vec<Block>,
    norm: Norm,
    groups: i64,
    pub layout: Layout,
    /// Of each convolution, in order.
    pub strategies: Vec<Strategy>,
    image: [i64; 3],
}

/// One convolution of a network: 3×3, stride 1, padding 1, over images of `height` × `width`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Convolution {
    pub inputs: i64,
    pub outputs: i64,
    pub height: i64,
    pub width: i64,
}

/// Running mean and variance of each BatchNorm layer, [K·C] each; empty without BatchNorm.
#[derive(Debug)]
pub struct Buffers(pub Vec<(Tensor, Tensor)>);

impl Buffers {
    pub fn copy(&self) -> Buffers {
        Buffers(self.0.iter().map(|(mean, var)| (mean.copy(), var.copy())).collect())
    }
}

impl Architecture {
    /// `image` is height, width, channels.
    pub fn new(model: &Model, image: [usize; 3], classes: usize) -> Architecture {
        let [mut height, mut width, mut features] = image;
        let mut parameters = vec![];
        let mut blocks = vec![];
        let mut add = |name: String, size: Vec<i64>, fan_in: usize, role: Role| {
            let outputs = size[0];
            parameters.push(Parameter { name: format!("{name}.weight"), size, role, shape: Shape::Weight, init: Init::FanIn(fan_in) });
            parameters.push(Parameter {
                name: format!("{name}.bias"),
                size: vec![outputs],
                role,
                shape: Shape::Bias,
                init: Init::FanIn(fan_in),
            });
            if role == Role::Backbone && model.norm != Norm::None {
                let affine = |part: &str, value| Parameter {
                    name: format!("{name}.norm.{part}"),
                    size: vec![outputs],
                    role,
                    shape: Shape::Norm,
                    init: Init::Constant(value),
                };
                parameters.extend([affine("scale", 1.0), affine("shift", 0.0)]);
            }
        };
        for (i, channels) in model.channels().into_iter().enumerate() {
            add(format!("conv{}", i + 1), vec![channels as i64, features as i64, 3, 3], features * 9, Role::Backbone);
            blocks.push(Block::Convolution { channels: channels as i64 });
            (height, width, features) = (height / 2, width / 2, channels);
        }
        features *= height * width;
        for (i, hidden) in model.hidden().into_iter().enumerate() {
            add(format!("hidden{}", i + 1), vec![hidden as i64, features as i64], features, Role::Backbone);
            blocks.push(Block::Hidden { width: hidden as i64 });
            features = hidden;
        }
        add("head".into(), vec![classes as i64, features as i64], features, Role::Head);
        blocks.push(Block::Head);
        let strategies = vec![Strategy::Alone; model.channels().len()];
        Architecture {
            blocks,
            norm: model.norm,
            groups: model.groups as i64,
            layout: Layout { parameters },
            strategies,
            image: image.map(|n| n as i64),
        }
    }

    /// The network's convolutions, in order.
    pub fn convolutions(&self) -> Vec<Convolution> {
        let [mut height, mut width, mut inputs] = self.image;
        let channels = self.blocks.iter().filter_map(|block| match block {
            Block::Convolution { channels } => Some(*channels),
            _ => None,
        });
        let each = channels.map(|outputs| {
            let found = Convolution { inputs, outputs, height, width };
            (height, width, inputs) = (height / 2, width / 2, outputs);
            found
        });
        each.collect()
    }

    /// Running statistics of K models before any batch: mean 0, variance 1.
    pub fn fresh_buffers(&self, k: i64, kind: Kind, device: Device) -> Buffers {
        let widths = self.blocks.iter().filter_map(|block| match block {
            _ if self.norm != Norm::Batch => None,
            Block::Convolution { channels: n } | Block::Hidden { width: n } => Some(*n),
            Block::Head => None,
        });
        Buffers(widths.map(|n| (Tensor::zeros([k * n], (kind, device)), Tensor::ones([k * n], (kind, device)))).collect())
    }

    /// Logits [K, B, classes] of images [K, B, H, W, C] under the parameters (see [`Layout::views`]), in their precision. The images' precision is that of the
    /// matrix products, convolutions and activations; normalisation layers and biases are computed in the parameters'.
    pub fn forward(&self, parameters: &[Tensor], images: &Tensor, buffers: &Buffers, mode: Mode) -> Tensor {
        let (k, precise) = (images.size()[0], parameters[0].kind());
        let mut parameters = parameters.iter();
        let mut next = || parameters.next().expect("the layout was built from these blocks, in this order");
        let mut running = buffers.0.iter();
        let mut norm = |x: Tensor, scale_shift: Option<(&Tensor, &Tensor)>| match (&self.norm, scale_shift) {
            (Norm::Batch, Some((scale, shift))) => {
                batch_norm(&x, scale, shift, running.next().expect("fresh_buffers makes one for each block"), mode)
            }
            (Norm::Group, Some((scale, shift))) => group_norm(&x, scale, shift, self.groups),
            _ => x,
        };
        let has_norm = self.norm != Norm::None;

        // [K, B, H, W, C] → [B, K·C, H, W] in channels-last memory, or features [K, B, F].
        let size = images.size();
        let mut x = match self.blocks[0] {
            Block::Convolution { .. } => {
                images.permute([1, 2, 3, 0, 4]).reshape([size[1], size[2], size[3], k * size[4]]).permute([0, 3, 1, 2])
            }
            _ => images.reshape([k, size[1], -1]),
        };
        let mut strategies = self.strategies.iter();
        for (i, block) in self.blocks.iter().enumerate() {
            let was_image = i > 0 && matches!(self.blocks[i - 1], Block::Convolution { .. });
            if was_image && !matches!(block, Block::Convolution { .. }) {
                x = split_replicas(&x.flatten(1, -1), k);
            }
            let (weight, bias) = (next(), next());
            match block {
                Block::Convolution { .. } => {
                    let affine = has_norm.then(|| (next(), next()));
                    let strategy = strategies.next().copied().unwrap_or(Strategy::Alone);
                    // Pooling commutes with what grows monotonically: bias and ReLU act on a quarter of the pixels.
                    x = match has_norm {
                        true => pool(&norm(convolution(&x, weight, Some(bias), strategy), affine)).relu(),
                        false => pool_bias_relu(&convolution(&x, weight, None, strategy), &bias.reshape([-1])),
                    };
                }
                Block::Hidden { .. } => {
                    let affine = has_norm.then(|| (next(), next()));
                    x = linear(&x, weight, bias, !has_norm);
                    if has_norm {
                        x = split_replicas(&norm(join_replicas(&x), affine), k).relu();
                    }
                }
                Block::Head => x = linear(&x, weight, bias, false),
            }
        }
        x.to_kind(precise)
    }
}
