//! The networks that a study can use, for K replicas: the plan's blocks, with parameters and a
//! forward pass.

use tch::{Device, Kind, Tensor};

use super::fused::{linear, pool_bias_relu};
use super::layers::{batch_norm, convolution, group_norm, join_replicas, pool, split_replicas, subsample, Mode, Strategy};
use super::layout::{Layout, Parameter};
use crate::config::network::{Model, Norm};
use crate::plan::{blocks, tensors, Block, Convolution};

/// An architecture for given inputs and a given number of classes. It holds no weights.
#[derive(Debug, Clone)]
pub struct Architecture {
    blocks: Vec<Block>,
    norm: Norm,
    groups: i64,
    pub layout: Layout,
    /// The strategy of each convolution, in order.
    pub strategies: Vec<Strategy>,
}

/// Running mean and variance of each BatchNorm layer, each [K·C]. Empty without BatchNorm.
#[derive(Debug)]
pub struct Buffers(pub Vec<(Tensor, Tensor)>);

impl Buffers {
    pub fn copy(&self) -> Buffers {
        Buffers(self.0.iter().map(|(mean, var)| (mean.copy(), var.copy())).collect())
    }
}

/// Dropout masks. For a layer's number and a size, returns a tensor of that size: 0 where an input
/// is dropped, 1/(1 − p) elsewhere.
pub type Masks<'a> = &'a dyn Fn(usize, &[i64]) -> Tensor;

/// The parameters of one linear or convolution layer, with its bias and normalisation if it has
/// them.
struct MapParameters<'a> {
    weight: &'a Tensor,
    bias: Option<&'a Tensor>,
    scale_shift: Option<(&'a Tensor, &'a Tensor)>,
}

impl Architecture {
    /// `input` is height, width, channels.
    pub fn new(model: &Model, input: [usize; 3], classes: usize) -> Architecture {
        let blocks = blocks(model, input, classes);
        let parameters = tensors(model, input, classes).into_iter().filter_map(Parameter::of).collect();
        let convolutions = blocks.iter().map(|block| block.convolutions().len()).sum();
        Architecture {
            blocks,
            norm: model.norm,
            groups: model.groups as i64,
            layout: Layout { parameters },
            strategies: vec![Strategy::Alone; convolutions],
        }
    }

    /// The network's convolutions, in order.
    pub fn convolutions(&self) -> Vec<Convolution> {
        self.blocks.iter().flat_map(Block::convolutions).collect()
    }

    /// Running statistics of K models before the first batch: mean 0, variance 1.
    pub fn fresh_buffers(&self, k: i64, kind: Kind, device: Device) -> Buffers {
        let scales = self.layout.parameters.iter().filter(|p| self.norm == Norm::Batch && p.name.ends_with("norm.scale"));
        let fresh = |n: i64| (Tensor::zeros([k * n], (kind, device)), Tensor::ones([k * n], (kind, device)));
        Buffers(scales.map(|p| fresh(p.count())).collect())
    }

    /// Logits [K, B, classes] for inputs [K, B, H, W, C], in the precision of the parameters (see
    /// [`Layout::views`]). Matrix products, convolutions and activations are computed in the
    /// inputs' precision. Normalisation layers are computed in the parameters' precision. With
    /// `masks`, dropout is applied.
    pub fn forward(&self, parameters: &[Tensor], inputs: &Tensor, buffers: &Buffers, mode: Mode, masks: Option<Masks>) -> Tensor {
        let (x, mut pass) = self.start(parameters, inputs, buffers, mode, masks);
        let y = self.blocks.iter().fold(x, |x, block| pass.block(block, x));
        y.to_kind(parameters[0].kind())
    }

    /// The head's inputs in evaluation mode, [K, B, features].
    pub fn features(&self, parameters: &[Tensor], inputs: &Tensor, buffers: &Buffers) -> Tensor {
        let (x, mut pass) = self.start(parameters, inputs, buffers, Mode::Evaluate, None);
        let backbone = &self.blocks[..self.blocks.len() - 1];
        let x = backbone.iter().fold(x, |x, block| pass.block(block, x));
        pass.flat(x).to_kind(parameters[0].kind())
    }

    /// [K, B, H, W, C] → [B, K·C, H, W] in channels-last memory, or features [K, B, F].
    fn start<'a>(
        &'a self,
        parameters: &'a [Tensor],
        inputs: &Tensor,
        buffers: &'a Buffers,
        mode: Mode,
        masks: Option<Masks<'a>>,
    ) -> (Tensor, ForwardPass<'a>) {
        let size = inputs.size();
        let k = size[0];
        let convolves = !self.blocks[0].convolutions().is_empty();
        let x = match convolves {
            true => inputs.permute([1, 2, 3, 0, 4]).reshape([size[1], size[2], size[3], k * size[4]]).permute([0, 3, 1, 2]),
            false => inputs.reshape([k, size[1], -1]),
        };
        let pass = ForwardPass {
            architecture: self,
            k,
            parameters: parameters.iter(),
            running: buffers.0.iter(),
            strategies: self.strategies.iter(),
            mode,
            masks,
            layer: 0,
        };
        (x, pass)
    }
}

/// One forward pass: the iterators from which blocks take their parameters, in order.
struct ForwardPass<'a> {
    architecture: &'a Architecture,
    k: i64,
    parameters: std::slice::Iter<'a, Tensor>,
    running: std::slice::Iter<'a, (Tensor, Tensor)>,
    strategies: std::slice::Iter<'a, Strategy>,
    mode: Mode,
    masks: Option<Masks<'a>>,
    /// Number of fully connected layers so far.
    layer: usize,
}

impl<'a> ForwardPass<'a> {
    fn parameter(&mut self) -> &'a Tensor {
        self.parameters.next().expect("the layout was built from these blocks, in this order")
    }

    fn map(&mut self, block: &Block) -> MapParameters<'a> {
        let weight = self.parameter();
        let bias = block.has_bias().then(|| self.parameter());
        let has_norm = block.has_norm() && self.architecture.norm != Norm::None;
        MapParameters { weight, bias, scale_shift: has_norm.then(|| (self.parameter(), self.parameter())) }
    }

    fn norm(&mut self, x: Tensor, map: &MapParameters) -> Tensor {
        match (self.architecture.norm, map.scale_shift) {
            (Norm::Batch, Some((scale, shift))) => {
                batch_norm(&x, scale, shift, self.running.next().expect("fresh_buffers makes one for each norm"), self.mode)
            }
            (Norm::Group, Some((scale, shift))) => group_norm(&x, scale, shift, self.architecture.groups),
            _ => x,
        }
    }

    fn convolve(&mut self, x: &Tensor, map: &MapParameters, shape: &Convolution) -> Tensor {
        let strategy = self.strategies.next().copied().unwrap_or(Strategy::Alone);
        convolution(x, map.weight, shape.stride, strategy)
    }

    fn linear(&self, x: &Tensor, map: &MapParameters, relu: bool) -> Tensor {
        let none = || Tensor::zeros([self.k, map.weight.size()[1]], (map.weight.kind(), map.weight.device()));
        linear(x, map.weight, &map.bias.map_or_else(none, Tensor::shallow_clone), relu)
    }

    /// Flattens images to features.
    fn flat(&self, x: Tensor) -> Tensor {
        match x.dim() {
            4 => split_replicas(&x.flatten(1, -1), self.k),
            _ => x,
        }
    }

    /// The input of a fully connected layer: flattened, and with dropout unless it is the network's
    /// first layer.
    fn input(&mut self, x: Tensor, is_first: bool) -> Tensor {
        let x = self.flat(x);
        self.layer += 1;
        match self.masks.filter(|_| !is_first) {
            Some(mask) => &x * mask(self.layer, &x.size()).to_kind(x.kind()),
            None => x,
        }
    }

    fn block(&mut self, block: &Block, x: Tensor) -> Tensor {
        let is_first = std::ptr::eq(block, &self.architecture.blocks[0]);
        match block {
            Block::Pooled(shape) => {
                let map = self.map(block);
                let y = self.convolve(&x, &map, shape);
                // Max-pooling commutes with monotonically increasing functions. So bias and ReLU
                // are applied after it, to a quarter of the pixels.
                match (map.bias, map.scale_shift) {
                    (Some(bias), None) => pool_bias_relu(&y, &bias.reshape([-1])),
                    (bias, _) => {
                        let y = match bias {
                            Some(bias) => &y + bias.to_kind(y.kind()).reshape([1, -1, 1, 1]),
                            None => y,
                        };
                        pool(&self.norm(y, &map)).relu()
                    }
                }
            }
            Block::Stem(shape) => {
                let map = self.map(block);
                let y = self.convolve(&x, &map, shape);
                self.norm(y, &map).relu()
            }
            Block::Residual { first, second, shortcut } => {
                let map = self.map(block);
                let y = self.convolve(&x, &map, first);
                let y = self.norm(y, &map).relu();
                let map = self.map(block);
                let y = self.convolve(&y, &map, second);
                let y = self.norm(y, &map);
                let other = match shortcut {
                    Some(shape) => {
                        let map = self.map(block);
                        let other = self.convolve(&x, &map, shape);
                        self.norm(other, &map)
                    }
                    None => subsample(&x, self.k, first.stride, first.outputs),
                };
                (y + other).relu()
            }
            Block::MaxPool => x.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false),
            Block::GlobalPool => x.mean_dim([2i64, 3].as_slice(), true, x.kind()),
            Block::Embedding(_) | Block::Hidden(_) | Block::Head(_) => {
                let x = self.input(x, is_first);
                let map = self.map(block);
                let hidden = matches!(block, Block::Hidden(_));
                let y = self.linear(&x, &map, hidden && map.scale_shift.is_none());
                match map.scale_shift {
                    Some(_) => split_replicas(&self.norm(join_replicas(&y), &map), self.k).relu(),
                    None => y,
                }
            }
        }
    }
}
