//! Which columns of θ belong to which parameter, how each parameter is initialised, and which are
//! penalised.

use std::sync::Arc;

use tch::{Device, Kind, Tensor};

use super::native::upload;
use crate::base::stream::Stream;
use crate::config::network::PenaltyRules;
use crate::plan::{ModelTensor, Role, TensorKind};

/// How a parameter is initialised.
#[derive(Debug, Clone, PartialEq)]
pub enum Init {
    /// Uniform in ±1/√fan_in, for weights and biases alike, as PyTorch's Conv2d and Linear do.
    FanIn(usize),
    Constant(f64),
    /// Uniform with this standard deviation around 0.
    Spread(f64),
    Values(Arc<[f32]>),
}

/// The kind of a parameter, for the penalty's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterKind {
    Weight,
    Bias,
    /// Scale or shift of a normalisation layer.
    Norm,
}

/// One parameter of one model.
#[derive(Debug, Clone)]
pub struct Parameter {
    pub name: String,
    /// Without the replica dimension.
    pub size: Vec<i64>,
    pub role: Role,
    pub shape: ParameterKind,
    pub init: Init,
}

impl Parameter {
    /// None for running statistics.
    pub fn of(tensor: ModelTensor) -> Option<Parameter> {
        let (shape, init) = match tensor.kind {
            TensorKind::Weight { fan_in } => (ParameterKind::Weight, Init::FanIn(fan_in)),
            TensorKind::Bias { fan_in } => (ParameterKind::Bias, Init::FanIn(fan_in)),
            TensorKind::Scale => (ParameterKind::Norm, Init::Constant(1.0)),
            TensorKind::Shift => (ParameterKind::Norm, Init::Constant(0.0)),
            TensorKind::Token { sd } => (ParameterKind::Weight, Init::Spread(sd)),
            TensorKind::RunningMean | TensorKind::RunningVar => return None,
        };
        Some(Parameter { name: tensor.name, size: tensor.size, role: tensor.role, shape, init })
    }

    pub fn count(&self) -> i64 {
        self.size.iter().product()
    }
}

/// The parameters of a model in the order of θ's columns.
#[derive(Debug, Clone, Default)]
pub struct Layout {
    pub parameters: Vec<Parameter>,
}

impl Layout {
    /// P, the number of columns of θ.
    pub fn total(&self) -> i64 {
        self.parameters.iter().map(Parameter::count).sum()
    }

    /// Initial θ [K, P]; each replica's row is drawn from its own seed. `task` names the random
    /// stream of the head, so source and target heads differ.
    pub fn initial(&self, seeds: &[u64], task: &str, kind: Kind, device: Device) -> Tensor {
        let mut values: Vec<f64> = Vec::with_capacity(seeds.len() * self.total() as usize);
        for &seed in seeds {
            for parameter in &self.parameters {
                let owner = if parameter.role == Role::Head { task } else { "backbone" };
                let n = parameter.count() as usize;
                match &parameter.init {
                    Init::Values(own) => values.extend(own.iter().map(|&value| f64::from(value))),
                    &Init::Constant(value) => values.extend(std::iter::repeat_n(value, n)),
                    &(Init::FanIn(_) | Init::Spread(_)) => {
                        let bound = match parameter.init {
                            Init::Spread(sd) => sd * 3f64.sqrt(),
                            Init::FanIn(fan_in) => 1.0 / (fan_in as f64).sqrt(),
                            _ => 0.0,
                        };
                        let mut stream = Stream::new(&format!("init/{owner}/{}", parameter.name), seed, 0);
                        values.extend((0..n).map(|_| bound * (2.0 * stream.uniform() - 1.0)));
                    }
                }
            }
        }
        upload(&values, device).reshape([seeds.len() as i64, self.total()]).to_kind(kind)
    }

    /// A row [1, P] that is 1 where `selected` is true and 0 elsewhere.
    pub fn mask(&self, kind: Kind, device: Device, selected: impl Fn(&Parameter) -> bool) -> Tensor {
        let values: Vec<f32> =
            self.parameters.iter().flat_map(|p| std::iter::repeat_n(if selected(p) { 1.0 } else { 0.0 }, p.count() as usize)).collect();
        upload(&values, device).reshape([1, self.total()]).to_kind(kind)
    }

    /// Whether the study's rules penalise this parameter.
    pub fn penalised(rules: &PenaltyRules, parameter: &Parameter) -> bool {
        match parameter.shape {
            ParameterKind::Weight => true,
            ParameterKind::Bias => rules.biases,
            ParameterKind::Norm => rules.norm,
        }
    }

    /// θ's columns as one tensor [K, size…] for each parameter, in θ's memory.
    pub fn views(&self, theta: &Tensor) -> Vec<Tensor> {
        let counts: Vec<i64> = self.parameters.iter().map(Parameter::count).collect();
        let k = theta.size()[0];
        let parts = theta.split_with_sizes(counts, 1);
        parts.iter().zip(&self.parameters).map(|(part, p)| part.reshape([&[k], p.size.as_slice()].concat())).collect()
    }

    /// The same views as leaves of the graph, so that each parameter gets its own gradient and no
    /// gradients are concatenated. With `frozen`, only the head requires gradients.
    pub fn leaves(&self, theta: &Tensor, frozen: bool) -> Vec<Tensor> {
        let wanted = self.parameters.iter().map(|p| !frozen || p.role == Role::Head);
        self.views(&theta.detach()).into_iter().zip(wanted).map(|(view, wanted)| view.set_requires_grad(wanted)).collect()
    }
}
