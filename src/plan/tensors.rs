//! The tensors of a model, by their names here and in PyTorch: parameters in the order of θ's
//! columns, then the running statistics of BatchNorm layers.

use super::blocks::{blocks, Block, Convolution};
use crate::config::network::{Model, Norm};

/// Backbone or head. A target with `head: fresh` initialises the head anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Backbone,
    Head,
}

/// What a tensor is. `fan_in` is the number of inputs of one output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TensorKind {
    Weight {
        fan_in: usize,
    },
    Bias {
        fan_in: usize,
    },
    /// Of a normalisation layer.
    Scale,
    /// Of a normalisation layer.
    Shift,
    /// A class token or positions, initially with this standard deviation.
    Token {
        sd: f64,
    },
    RunningMean,
    RunningVar,
}

/// One tensor of one model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelTensor {
    /// The name in source models on disk.
    pub name: String,
    /// The name in the same module in PyTorch: torchvision's for ResNets, else that of the layers
    /// here.
    pub pytorch: String,
    pub size: Vec<i64>,
    pub role: Role,
    pub kind: TensorKind,
    /// Height, width and channels of the image whose flattened pixels are the inputs of this
    /// weight. PyTorch flattens channels first, this program last.
    pub pixels: Option<[i64; 3]>,
}

impl ModelTensor {
    pub fn count(&self) -> i64 {
        self.size.iter().product()
    }

    pub fn is_parameter(&self) -> bool {
        !matches!(self.kind, TensorKind::RunningMean | TensorKind::RunningVar)
    }

    /// Values in PyTorch's order in the order used here, or the reverse.
    pub fn reordered(&self, values: &[f32], to_pytorch: bool) -> Vec<f32> {
        let Some([height, width, channels]) = self.pixels.map(|shape| shape.map(|n| n as usize)) else { return values.to_vec() };
        let mut out = vec![0.0; values.len()];
        for (from, to) in values.chunks_exact(height * width * channels).zip(out.chunks_exact_mut(height * width * channels)) {
            for pixel in 0..height * width {
                for channel in 0..channels {
                    let (here, there) = (pixel * channels + channel, channel * height * width + pixel);
                    match to_pytorch {
                        true => to[there] = from[here],
                        false => to[here] = from[there],
                    }
                }
            }
        }
        out
    }
}

/// The tensors of a model. `input` is height, width and channels.
pub fn tensors(model: &Model, input: [usize; 3], classes: usize) -> Vec<ModelTensor> {
    let mut list = TensorList { model, parameters: vec![], running: vec![], norms: 0 };
    let depth = model.kind.residual_blocks();
    let (mut convolutions, mut residuals, mut hidden, mut layers) = (0, 0, 0, 0);
    for (at, block) in blocks(model, input, classes).into_iter().enumerate() {
        let kernel = |c: &Convolution| vec![c.outputs, c.inputs, c.kernel, c.kernel];
        let mut add = |name: &str, pytorch: &str, norm: &str, size: Vec<i64>| list.add(&block, [name, pytorch, norm], size);
        match &block {
            Block::Pooled(c) => {
                convolutions += 1;
                let name = format!("conv{convolutions}");
                add(&name, &name, &format!("norm{convolutions}"), kernel(c));
            }
            Block::Stem(c) => add("stem", "conv1", "bn1", kernel(c)),
            Block::Residual { first, second, shortcut } => {
                let depth = depth.unwrap_or(1);
                let place = format!("layer{}.{}", residuals / depth + 1, residuals % depth);
                residuals += 1;
                let name = |part: &str| format!("block{residuals}.{part}");
                add(&name("conv1"), &format!("{place}.conv1"), &format!("{place}.bn1"), kernel(first));
                add(&name("conv2"), &format!("{place}.conv2"), &format!("{place}.bn2"), kernel(second));
                if let Some(c) = shortcut {
                    add(&name("shortcut"), &format!("{place}.downsample.0"), &format!("{place}.downsample.1"), kernel(c));
                }
            }
            Block::GlobalPool | Block::MaxPool => {}
            Block::Patches(p) => {
                add("patches", "patches", "", vec![p.width, p.channels, p.side, p.side]);
                list.token("class_token", vec![p.width]);
                list.token("positions", vec![p.count + 1, p.width]);
            }
            Block::Transformer(l) => {
                let name = format!("layers.{layers}");
                layers += 1;
                list.layer_norm(&format!("{name}.norm1"), l.width);
                list.linear(&format!("{name}.self_attn.in_proj_"), [3 * l.width, l.width]);
                list.linear(&format!("{name}.self_attn.out_proj."), [l.width, l.width]);
                list.layer_norm(&format!("{name}.norm2"), l.width);
                list.linear(&format!("{name}.linear1."), [l.inner(), l.width]);
                list.linear(&format!("{name}.linear2."), [l.width, l.inner()]);
            }
            Block::ClassToken { width } => list.layer_norm("norm", *width),
            Block::Embedding(l) => add("embedding", "embedding", "", vec![l.outputs, l.inputs]),
            Block::Hidden(l) => {
                hidden += 1;
                let name = format!("hidden{hidden}");
                add(&name, &name, &format!("hidden_norm{hidden}"), vec![l.outputs, l.inputs]);
            }
            Block::Head(l) => add("head", if depth.is_some() { "fc" } else { "head" }, "", vec![l.outputs, l.inputs]),
        }
        let flattens = at == 0 && input[2] > 1 && input[0] * input[1] > 1 && !model.kind.convolves();
        if let Some(first) = list.parameters.first_mut().filter(|_| flattens) {
            first.pixels = Some(input.map(|n| n as i64));
        }
    }
    list.parameters.extend(list.running);
    list.parameters
}

struct TensorList<'a> {
    model: &'a Model,
    parameters: Vec<ModelTensor>,
    running: Vec<ModelTensor>,
    norms: usize,
}

impl TensorList<'_> {
    /// Adds a parameter of the backbone that has one name here and in PyTorch.
    fn push(&mut self, name: String, size: Vec<i64>, kind: TensorKind) {
        self.parameters.push(ModelTensor { pytorch: name.clone(), name, size, role: Role::Backbone, kind, pixels: None });
    }

    /// A weight and its bias, whose names begin with `name`.
    fn linear(&mut self, name: &str, [outputs, inputs]: [i64; 2]) {
        let fan_in = inputs as usize;
        self.push(format!("{name}weight"), vec![outputs, inputs], TensorKind::Weight { fan_in });
        self.push(format!("{name}bias"), vec![outputs], TensorKind::Bias { fan_in });
    }

    fn layer_norm(&mut self, name: &str, width: i64) {
        self.push(format!("{name}.weight"), vec![width], TensorKind::Scale);
        self.push(format!("{name}.bias"), vec![width], TensorKind::Shift);
    }

    fn token(&mut self, name: &str, size: Vec<i64>) {
        self.push(name.into(), size, TensorKind::Token { sd: 0.02 });
    }

    /// Adds the tensors of one linear map of a block: its names here, in PyTorch, and of its norm
    /// in PyTorch.
    fn add(&mut self, block: &Block, [name, pytorch, norm]: [&str; 3], size: Vec<i64>) {
        let (outputs, fan_in) = (size[0], size[1..].iter().product::<i64>() as usize);
        let role = if matches!(block, Block::Head(_)) { Role::Head } else { Role::Backbone };
        let of = |name: String, pytorch: String, size: Vec<i64>, kind| ModelTensor { name, pytorch, size, role, kind, pixels: None };
        let own = |suffix: &str, size, kind| of(format!("{name}.{suffix}"), format!("{pytorch}.{suffix}"), size, kind);
        self.parameters.push(own("weight", size, TensorKind::Weight { fan_in }));
        if block.has_bias() {
            self.parameters.push(own("bias", vec![outputs], TensorKind::Bias { fan_in }));
        }
        if block.has_norm() && self.model.norm != Norm::None {
            let of_norm =
                |suffix: &str, theirs: &str, kind| of(format!("{name}.norm.{suffix}"), format!("{norm}.{theirs}"), vec![outputs], kind);
            self.parameters.push(of_norm("scale", "weight", TensorKind::Scale));
            self.parameters.push(of_norm("shift", "bias", TensorKind::Shift));
            self.norms += 1;
            if self.model.norm == Norm::Batch {
                let number = self.norms;
                let running = |part: &str, kind| of(format!("norm{number}.{part}"), format!("{norm}.{part}"), vec![outputs], kind);
                self.running.push(running("running_mean", TensorKind::RunningMean));
                self.running.push(running("running_var", TensorKind::RunningVar));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::network::ModelKind;

    fn names(kind: ModelKind, norm: Norm) -> Vec<String> {
        let model = Model { kind, norm, ..Model::default() };
        tensors(&model, [8, 8, 3], 5).into_iter().map(|tensor| format!("{} {} {:?}", tensor.name, tensor.pytorch, tensor.size)).collect()
    }

    #[test]
    fn names_are_those_of_pytorch() {
        let resnet = names(ModelKind::Resnet18, Norm::Batch);
        for expected in [
            "stem.weight conv1.weight [64, 3, 3, 3]",
            "stem.norm.scale bn1.weight [64]",
            "block3.conv1.weight layer2.0.conv1.weight [128, 64, 3, 3]",
            "block3.shortcut.weight layer2.0.downsample.0.weight [128, 64, 1, 1]",
            "block3.shortcut.norm.shift layer2.0.downsample.1.bias [128]",
            "norm1.running_mean bn1.running_mean [64]",
            "head.bias fc.bias [5]",
        ] {
            assert!(resnet.iter().any(|name| name == expected), "{expected} is not in {resnet:?}");
        }
        assert_eq!(names(ModelKind::Mlp, Norm::None)[0], "hidden1.weight hidden1.weight [256, 192]");
        assert_eq!(names(ModelKind::Convnet, Norm::Group)[2], "conv1.norm.scale norm1.weight [32]");
    }

    #[test]
    fn pixels_are_reordered_and_back() {
        let model = Model { kind: ModelKind::Mlp, hidden: Some(vec![2]), ..Model::default() };
        let first = &tensors(&model, [2, 1, 3], 4)[0];
        assert_eq!(first.pixels, Some([2, 1, 3]));
        let ours: Vec<f32> = (0..12).map(|n| n as f32).collect();
        let theirs = first.reordered(&ours, true);
        assert_eq!(theirs[..6], [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(first.reordered(&theirs, false), ours);
        assert_eq!(tensors(&model, [4, 4, 1], 4)[0].pixels, None);
    }
}
