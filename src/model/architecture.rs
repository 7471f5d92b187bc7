//! The networks that a study can use, for K replicas: the plan's blocks, with parameters and a
//! forward pass.

use std::rc::Rc;

use anyhow::Result;
use tch::{Device, Kind, Tensor};

use super::fused::{linear, pool_bias_relu};
use super::layers::{batch_norm, convolution, group_norm, join_replicas, layer_norm, pool, split_replicas, subsample, Mode, Strategy};
use super::layout::{Layout, Parameter};
use super::script::Script;
use crate::config::network::{Model, Norm, WeightsFile};
use crate::plan::{blocks, tensors, Block, Convolution, Patches, Role, TransformerLayer};

/// An architecture for given inputs and a given number of classes. It holds no weights.
#[derive(Debug, Clone)]
pub struct Architecture {
    blocks: Vec<Block>,
    norm: Norm,
    groups: i64,
    pub layout: Layout,
    /// The strategy of each convolution, in order.
    pub strategies: Vec<Strategy>,
    /// A module of the user, in place of blocks.
    script: Option<Rc<Script>>,
}

/// Running mean and variance of each BatchNorm layer, one after the other, each [K·C]; of a module
/// of the user its buffers. Named by [`Architecture::buffer_names`].
#[derive(Debug)]
pub struct Buffers(pub Vec<Tensor>);

impl Buffers {
    pub fn copy(&self) -> Buffers {
        Buffers(self.0.iter().map(Tensor::copy).collect())
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
            script: None,
        }
    }

    /// The same, also for a module of the user, which is loaded onto the device. `bytes` reads its
    /// file.
    ///
    /// # Errors
    /// The module cannot be used for these inputs and classes.
    pub fn load(
        model: &Model,
        input: [usize; 3],
        classes: usize,
        device: Device,
        bytes: impl Fn(&WeightsFile) -> Result<Vec<u8>>,
    ) -> Result<Architecture> {
        let Some((file, head)) = model.module() else { return Ok(Architecture::new(model, input, classes)) };
        let [height, width, channels] = input.map(|n| n as i64);
        let example = Tensor::zeros([2, height, width, channels], (Kind::Float, device));
        let (script, layout) = Script::load(&file.0, &bytes(file)?, head, classes, &example, device)?;
        Ok(Architecture {
            blocks: vec![],
            norm: model.norm,
            groups: model.groups as i64,
            layout,
            strategies: vec![],
            script: Some(Rc::new(script)),
        })
    }

    /// Whether it is a module of the user. Its parameters have no replica dimension.
    pub fn is_module(&self) -> bool {
        self.script.is_some()
    }

    /// Puts the parameters and buffers of a module's file into θ [1, P] and `buffers`. A head of
    /// another number of classes stays as it is.
    pub fn put_stored(&self, theta: &Tensor, buffers: &Buffers) {
        if let Some(script) = &self.script {
            script.put_stored(&self.layout, theta, &buffers.0);
        }
    }

    /// The network's convolutions, in order.
    pub fn convolutions(&self) -> Vec<Convolution> {
        self.blocks.iter().flat_map(Block::convolutions).collect()
    }

    /// The sizes of a BatchNorm layer's statistics in one model, for each such layer.
    fn norms(&self) -> impl Iterator<Item = i64> + '_ {
        self.layout.parameters.iter().filter(|p| self.norm == Norm::Batch && p.name.ends_with("norm.scale")).map(Parameter::count)
    }

    /// Running statistics of K models before the first batch: mean 0, variance 1. Other buffers of
    /// a module are those of its file.
    pub fn fresh_buffers(&self, k: i64, kind: Kind, device: Device) -> Buffers {
        if let Some(script) = &self.script {
            assert_eq!(k, 1, "a module is one replica");
            return Buffers(script.fresh_buffers());
        }
        let fresh = |n: i64| [Tensor::zeros([k * n], (kind, device)), Tensor::ones([k * n], (kind, device))];
        Buffers(self.norms().flat_map(fresh).collect())
    }

    /// The names of the buffers.
    pub fn buffer_names(&self) -> Vec<String> {
        match &self.script {
            Some(script) => script.buffer_names().map(str::to_string).collect(),
            None => {
                let of = |i: usize| ["mean", "var"].map(|part| format!("norm{}.running_{part}", i + 1));
                (0..self.norms().count()).flat_map(of).collect()
            }
        }
    }

    /// θ's columns as one tensor [K, size…] for each parameter, in θ's memory.
    pub fn views(&self, theta: &Tensor) -> Vec<Tensor> {
        match &self.script {
            Some(script) => script.views(&self.layout, theta, |_| false),
            None => self.layout.views(theta),
        }
    }

    /// The same views as leaves of the graph. With `frozen`, only the head requires gradients.
    pub fn leaves(&self, theta: &Tensor, frozen: bool) -> Vec<Tensor> {
        match &self.script {
            Some(script) => script.views(&self.layout, theta, |p| !frozen || p.role == Role::Head),
            None => self.layout.leaves(theta, frozen),
        }
    }

    /// Logits [K, B, classes] for inputs [K, B, H, W, C], in the precision of the parameters (see
    /// [`Layout::views`]). Matrix products, convolutions and activations are computed in the
    /// inputs' precision. Normalisation layers are computed in the parameters' precision. With
    /// `masks`, dropout is applied.
    ///
    /// A module of the user takes its parameters from the last call of [`Architecture::views`] or
    /// [`Architecture::leaves`].
    pub fn forward(&self, parameters: &[Tensor], inputs: &Tensor, buffers: &Buffers, mode: Mode, masks: Option<Masks>) -> Tensor {
        if let Some(script) = &self.script {
            return script.forward(inputs, &buffers.0, mode == Mode::Train);
        }
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

    /// [K, B, H, W, C] → [B, K·C, H, W] in channels-last memory, or features [K, B, F]; unchanged
    /// for patches.
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
            _ if matches!(self.blocks[0], Block::Patches(_)) => inputs.shallow_clone(),
            true => inputs.permute([1, 2, 3, 0, 4]).reshape([size[1], size[2], size[3], k * size[4]]).permute([0, 3, 1, 2]),
            false => inputs.reshape([k, size[1], -1]),
        };
        let pass = ForwardPass {
            architecture: self,
            k,
            parameters: parameters.iter(),
            running: buffers.0.chunks_exact(2),
            strategies: self.strategies.iter(),
            mode,
            masks,
            layer: 0,
        };
        (x, pass)
    }
}

fn five(x: &Tensor) -> [i64; 5] {
    let size = x.size();
    [size[0], size[1], size[2], size[3], size[4]]
}

/// One forward pass: the iterators from which blocks take their parameters, in order.
struct ForwardPass<'a> {
    architecture: &'a Architecture,
    k: i64,
    parameters: std::slice::Iter<'a, Tensor>,
    /// Pairs of a mean and a variance.
    running: std::slice::ChunksExact<'a, Tensor>,
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
                batch_norm(&x, scale, shift, self.running.next().expect("fresh_buffers makes two for each norm"), self.mode)
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

    /// A weight and its bias.
    fn affine(&mut self, x: &Tensor) -> Tensor {
        let (weight, bias) = (self.parameter(), self.parameter());
        linear(x, weight, bias, false)
    }

    fn layer_norm(&mut self, x: &Tensor) -> Tensor {
        let (scale, shift) = (self.parameter(), self.parameter());
        layer_norm(x, scale, shift)
    }

    /// Images [K, B, H, W, C] → tokens [K, B, 1 + patches, width], the class token first.
    fn patches(&mut self, x: &Tensor, shape: &Patches) -> Tensor {
        let ([k, b, height, width, channels], side) = (five(x), shape.side);
        let apart = x.reshape([k, b, height / side, side, width / side, side, channels]).permute([0, 1, 2, 4, 6, 3, 5]);
        let rows = apart.reshape([k, b * shape.count, channels * side * side]);
        let (weight, bias) = (self.parameter(), self.parameter());
        let tokens = linear(&rows, &weight.reshape([k, shape.width, -1]), bias, false).reshape([k, b, shape.count, shape.width]);
        let (class, positions) = (self.parameter(), self.parameter());
        let class = class.to_kind(tokens.kind()).reshape([k, 1, 1, -1]).expand([k, b, 1, shape.width], false);
        Tensor::cat(&[class, tokens], 2) + positions.to_kind(x.kind()).unsqueeze(1)
    }

    /// One layer over tokens [K, B, T, width].
    fn transformer(&mut self, x: Tensor, shape: &TransformerLayer) -> Tensor {
        let (k, b) = (x.size()[0], x.size()[1]);
        let rows = |x: &Tensor| x.reshape([k, b * shape.tokens, -1]);
        let tokens = |x: Tensor| x.reshape([k, b, shape.tokens, -1]);
        let y = self.layer_norm(&x);
        let all = self.affine(&rows(&y)).reshape([k * b, shape.tokens, 3, shape.heads, shape.width / shape.heads]);
        let all = all.permute([2, 0, 3, 1, 4]); // [3, K·B, heads, T, width/heads]
        let [query, key, value] = [0, 1, 2].map(|i| all.get(i));
        let mixed = Tensor::scaled_dot_product_attention(&query, &key, &value, None::<Tensor>, 0.0, false, None, false);
        let mixed = mixed.transpose(1, 2).reshape([k, b * shape.tokens, shape.width]);
        let x = x + tokens(self.affine(&mixed));
        let y = self.layer_norm(&x);
        let inner = self.affine(&rows(&y)).gelu("none");
        x + tokens(self.affine(&inner))
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
            Block::Patches(shape) => self.patches(&x, shape),
            Block::Transformer(shape) => self.transformer(x, shape),
            Block::ClassToken { .. } => self.layer_norm(&x.select(2, 0)),
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
