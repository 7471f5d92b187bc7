//! What a stage costs, counted and not measured: parameters, images, floating-point operations, bytes on disk.

use crate::config::network::{Model, Norm, Precision};

use super::blocks::{blocks, Block};
use super::{Plan, Stage, StageKind};

/// Parameters of a network for an input of this height, width and channels and a number of classes.
pub fn parameters(model: &Model, input: [usize; 3], classes: usize) -> usize {
    let per_norm = if model.norm == Norm::None { 0 } else { 2 };
    let of = |map: &LinearMap| map.outputs * (map.inputs + usize::from(map.has_bias) + if map.has_norm { per_norm } else { 0 });
    maps(model, input, classes).iter().map(of).sum()
}

/// Floating-point operations of one forward pass over one image (a multiply-add counts two; only linear maps are counted).
pub fn forward_flops(model: &Model, input: [usize; 3], classes: usize) -> f64 {
    maps(model, input, classes).iter().map(LinearMap::flops).sum()
}

struct LinearMap {
    /// That go into one output.
    inputs: usize,
    outputs: usize,
    positions: usize,
    /// Floats of one image that go in.
    floats: usize,
    has_bias: bool,
    has_norm: bool,
}

impl LinearMap {
    fn flops(&self) -> f64 {
        2.0 * (self.inputs * self.outputs * self.positions) as f64
    }
}

fn maps(model: &Model, input: [usize; 3], classes: usize) -> Vec<LinearMap> {
    let mut all = vec![];
    for block in blocks(model, input, classes) {
        let mut add = |[inputs, outputs, positions, floats]: [i64; 4]| {
            let [inputs, outputs, positions, floats] = [inputs, outputs, positions, floats].map(|n| n as usize);
            all.push(LinearMap { inputs, outputs, positions, floats, has_bias: block.has_bias(), has_norm: block.has_norm() });
        };
        for c in block.convolutions() {
            let [height, width] = c.output();
            add([c.inputs * c.kernel * c.kernel, c.outputs, height * width, c.inputs * c.height * c.width]);
        }
        if let Block::Embedding(l) | Block::Hidden(l) | Block::Head(l) = block {
            add([l.inputs, l.outputs, 1, l.inputs]);
        }
    }
    all
}

/// What one stage costs.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Cost {
    /// Training images times epochs.
    pub images: f64,
    /// Forward and backward passes of training, and the forward passes of validation and test.
    pub flops: f64,
    /// Optimiser steps and validations: each costs time of its own, however small the network.
    pub steps: f64,
}

impl Cost {
    /// An alignment counts as nothing: one forward pass over a few hundred images.
    pub fn of(stage: &Stage) -> Cost {
        if stage.kind == StageKind::Alignment {
            return Cost::default();
        }
        let (data, phase) = (stage.settings.data, stage.phase());
        let n = phase.training_images(data).iter().sum::<usize>() as f64;
        let classes = phase.labels(data).len();
        let validation = (phase.validation_per_class * classes) as f64;
        let forward = forward_flops(&stage.settings.model, stage.settings.input(), classes);
        let epochs = phase.epochs as f64;
        // Backward costs two forwards.
        let test = phase.test_images(data).iter().sum::<usize>() as f64;
        let steps = epochs * ((n / phase.batch_size as f64).ceil() + 1.0);
        Cost { images: n * epochs, flops: forward * (epochs * (3.0 * n + validation) + test), steps }
    }

    /// Seconds on one CPU core, roughly.
    pub fn cpu_seconds(&self) -> f64 {
        self.flops / CPU_FLOPS_PER_CORE + self.steps * CPU_SECONDS_PER_STEP
    }
}

/// What one image costs in a training step at the least: what `bench` compares with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepCost {
    /// Matrix products of the forward pass, and of the gradients of weights and of inputs (of all layers but the first).
    pub flops_per_image: f64,
    /// Each layer's input and output once in the forward pass; in the backward pass input, gradient of the output and (but for the
    /// first) gradient of the input; the image as bytes; the image's share of reading the weights twice, writing and reading their gradient
    /// and updating weights and velocity. Activations in the study's precision.
    pub bytes_per_image: f64,
}

impl StepCost {
    pub fn of(stage: &Stage) -> StepCost {
        let (settings, phase) = (&stage.settings, stage.phase());
        let (input, classes) = (settings.input(), phase.labels(settings.data).len());
        let element = if settings.precision == Precision::Bf16 { 2.0 } else { 4.0 };
        let batch = phase.batch_size.min(phase.training_images(settings.data).iter().sum()).max(1);
        // A pixel is a byte, a text's feature a float.
        let stored = if settings.data.is_text() { 4.0 } else { 1.0 };
        let (mut flops, mut bytes, mut first) = (0.0, stored * input.iter().product::<usize>() as f64, true);
        for layer in maps(&settings.model, input, classes) {
            let product = layer.flops();
            let (input, output) = (layer.floats as f64, (layer.outputs * layer.positions) as f64);
            flops += if first { 2.0 * product } else { 3.0 * product };
            bytes += element * (2.0 * input + 2.0 * output + if first { 0.0 } else { input });
            first = false;
        }
        let weights = parameters(&settings.model, input, classes) as f64;
        StepCost { flops_per_image: flops, bytes_per_image: bytes + 4.0 * 8.0 * weights / batch as f64 }
    }
}

/// What a plan costs in all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CostEstimate {
    pub images: f64,
    pub flops: f64,
    pub steps: f64,
    /// Source models kept, and about a kilobyte for each record and event file.
    pub disk_bytes: f64,
}

impl CostEstimate {
    pub fn of(plan: &Plan) -> CostEstimate {
        CostEstimate::over(&plan.stages)
    }

    /// The same for some of a plan's stages.
    pub fn over<'a>(stages: impl IntoIterator<Item = &'a Stage>) -> CostEstimate {
        let mut sum = CostEstimate { images: 0.0, flops: 0.0, steps: 0.0, disk_bytes: 0.0 };
        for stage in stages {
            let cost = Cost::of(stage);
            sum.images += cost.images;
            sum.flops += cost.flops;
            sum.steps += cost.steps;
            sum.disk_bytes += 2048.0 + 150.0 * stage.phase().epochs as f64;
            if stage.kind == StageKind::Source {
                let settings = &stage.settings;
                sum.disk_bytes += 4.0 * parameters(&settings.model, settings.input(), settings.source.labels(settings.data).len()) as f64;
            }
        }
        sum
    }

    /// Seconds on CPU cores that sustain `flops_per_core`.
    pub fn cpu_seconds(&self, cores: usize) -> f64 {
        Cost { images: self.images, flops: self.flops, steps: self.steps }.cpu_seconds() / cores as f64
    }
}

/// Sustained by the shipped ConvNet on one core of a 2025 server CPU (benches/results); a laptop's is of this order.
pub const CPU_FLOPS_PER_CORE: f64 = 80e9;

/// What a step of a tiny network costs on the same core: the operators' own overhead.
const CPU_SECONDS_PER_STEP: f64 = 4e-4;
