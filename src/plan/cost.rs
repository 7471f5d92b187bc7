//! The cost of a stage, counted rather than measured: parameters, images, floating-point
//! operations, bytes on disk.

use crate::config::network::{ClassImages, Model, OptimiserKind, Precision};

use super::blocks::{blocks, Block, TransformerLayer};
use super::tensors::tensors;
use super::{Plan, Stage, StageKind};

/// Number of parameters of a network. `input` is height, width and channels.
pub fn parameters(model: &Model, input: [usize; 3], classes: usize) -> usize {
    tensors(model, input, classes).iter().filter(|tensor| tensor.is_parameter()).map(|tensor| tensor.count() as usize).sum()
}

/// Floating-point operations of one forward pass over one image. Only linear maps are counted, with
/// two operations for each multiply-add.
pub fn forward_flops(model: &Model, input: [usize; 3], classes: usize) -> f64 {
    maps(model, input, classes).iter().map(LinearMap::flops).sum()
}

struct LinearMap {
    /// Number of inputs of one output.
    inputs: usize,
    outputs: usize,
    positions: usize,
    /// Number of input floats per image.
    floats: usize,
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
            all.push(LinearMap { inputs, outputs, positions, floats });
        };
        for c in block.convolutions() {
            let [height, width] = c.output();
            add([c.inputs * c.kernel * c.kernel, c.outputs, height * width, c.inputs * c.height * c.width]);
        }
        if let Block::Embedding(l) | Block::Hidden(l) | Block::Head(l) = block {
            add([l.inputs, l.outputs, 1, l.inputs]);
        }
        if let Block::Patches(p) = block {
            let inputs = p.channels * p.side * p.side;
            add([inputs, p.width, p.count, inputs * p.count]);
        }
        if let Block::Transformer(TransformerLayer { tokens, width, .. }) = block {
            let floats = tokens * width;
            add([width, 3 * width, tokens, floats]);
            // Queries with keys, and the weights with values.
            add([width, tokens, tokens, floats]);
            add([tokens, width, tokens, floats]);
            add([width, width, tokens, floats]);
            add([width, 4 * width, tokens, floats]);
            add([4 * width, width, tokens, 4 * floats]);
        }
    }
    all
}

/// The cost of one stage.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Cost {
    /// Number of training images times number of epochs.
    pub images: f64,
    /// Operations of the forward and backward passes of training, and of the forward passes of
    /// validation and test.
    pub flops: f64,
    /// Number of optimiser steps and validations. Each has a fixed cost in time, even for a small
    /// network.
    pub steps: f64,
}

impl Cost {
    /// The cost of a stage. An alignment stage counts as zero: it is one forward pass over a few
    /// hundred images.
    pub fn of(stage: &Stage) -> Cost {
        if stage.kind == StageKind::Alignment {
            return Cost::default();
        }
        let (data, phase, classes) = (stage.data(), stage.phase(), stage.images());
        let sum = |of: fn(&ClassImages) -> usize| classes.iter().map(of).sum::<usize>() as f64;
        let (n, monitor, validation) = (sum(|class| class.train), sum(|class| class.monitor), sum(|class| class.validation));
        let forward = forward_flops(&stage.settings.model, stage.settings.input(), classes.len());
        let epochs = phase.epochs as f64;
        let test = phase.test_images(data).iter().sum::<usize>() as f64;
        // All validation images are evaluated after training, unless every epoch has done so.
        let after = if monitor < validation { validation + test } else { test };
        let steps = epochs * ((n / phase.batch_size as f64).ceil() + 1.0);
        // A backward pass costs as much as two forward passes.
        Cost { images: n * epochs, flops: forward * (epochs * (3.0 * n + monitor) + after), steps }
    }

    /// Approximate seconds on one CPU core.
    pub fn cpu_seconds(&self) -> f64 {
        self.flops / CPU_FLOPS_PER_CORE + self.steps * CPU_SECONDS_PER_STEP
    }
}

/// The least cost of one image in a training step. `bench` compares measurements with it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepCost {
    /// Operations of the matrix products: the forward pass, the gradients of the weights, and the
    /// gradients of the inputs. The first layer needs no gradient of its input.
    pub flops_per_image: f64,
    /// Bytes that are read and written. Activations have the study's precision. Counted are:
    ///
    /// - forward pass: each layer's input and output once
    /// - backward pass: each layer's input, the gradient of its output and the gradient of its
    ///   input (not for the first layer)
    /// - the image as it is stored
    /// - the image's share of the batch's work on weights: reading the weights twice, writing and
    ///   reading their gradient, and updating weights and velocity (or both moments)
    pub bytes_per_image: f64,
}

impl StepCost {
    pub fn of(stage: &Stage) -> StepCost {
        let (settings, phase) = (&stage.settings, stage.phase());
        let (input, classes) = (settings.input(), phase.labels(stage.data()).len());
        let element = if settings.precision == Precision::Bf16 { 2.0 } else { 4.0 };
        let batch = phase.batch_size.min(stage.images().iter().map(|class| class.train).sum()).max(1);
        // A pixel is stored as a byte, a feature of a text as a float.
        let stored = if stage.data().is_text() || stage.data().is_features { 4.0 } else { 1.0 };
        let (mut flops, mut bytes, mut first) = (0.0, stored * input.iter().product::<usize>() as f64, true);
        for layer in maps(&settings.model, input, classes) {
            let product = layer.flops();
            let (input, output) = (layer.floats as f64, (layer.outputs * layer.positions) as f64);
            flops += if first { 2.0 * product } else { 3.0 * product };
            bytes += element * (2.0 * input + 2.0 * output + if first { 0.0 } else { input });
            first = false;
        }
        let weights = parameters(&settings.model, input, classes) as f64;
        let accesses = if phase.optimiser == OptimiserKind::Sgd { 8.0 } else { 10.0 };
        StepCost { flops_per_image: flops, bytes_per_image: bytes + 4.0 * accesses * weights / batch as f64 }
    }
}

/// The total cost of a plan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CostEstimate {
    pub images: f64,
    pub flops: f64,
    pub steps: f64,
    /// Bytes of the source models, plus about one kilobyte for each record and each event file,
    /// plus 150 bytes for each epoch.
    pub disk_bytes: f64,
}

impl CostEstimate {
    pub fn of(plan: &Plan) -> CostEstimate {
        CostEstimate::over(&plan.stages)
    }

    /// The cost of some of a plan's stages.
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
                sum.disk_bytes +=
                    4.0 * parameters(&settings.model, settings.input(), settings.source.labels(settings.source_info()).len()) as f64;
            }
        }
        sum
    }

    /// Seconds on `cores` CPU cores that each sustain [`CPU_FLOPS_PER_CORE`].
    pub fn cpu_seconds(&self, cores: usize) -> f64 {
        Cost { images: self.images, flops: self.flops, steps: self.steps }.cpu_seconds() / cores as f64
    }
}

/// Operations per second that the included ConvNet sustains on one core of a 2025 server CPU
/// (benches/results). A laptop's value is of the same order.
pub const CPU_FLOPS_PER_CORE: f64 = 80e9;

/// Seconds per step of a very small network on the same core. This is the overhead of the
/// operators.
const CPU_SECONDS_PER_STEP: f64 = 4e-4;
