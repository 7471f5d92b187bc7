//! What a stage costs, counted and not measured: parameters, images, floating-point operations, bytes on disk.

use crate::config::network::{DataName, Model, Norm, Phase, Precision};

use super::{Plan, Stage, StageKind};

/// Parameters of a network for this data set and number of classes.
pub fn parameters(model: &Model, data: DataName, classes: usize) -> usize {
    let per_norm = if model.norm == Norm::None { 0 } else { 2 };
    let mut total = 0;
    walk(model, data, classes, |layer| {
        total += layer.inputs * layer.outputs + layer.outputs;
        if !layer.is_head {
            total += per_norm * layer.outputs;
        }
    });
    total
}

/// Floating-point operations of one forward pass over one image (a multiply-add counts two; only linear maps are counted).
pub fn forward_flops(model: &Model, data: DataName, classes: usize) -> f64 {
    let mut total = 0.0;
    walk(model, data, classes, |layer| total += 2.0 * (layer.inputs * layer.outputs * layer.positions) as f64);
    total
}

struct LinearMap {
    /// That go into one output.
    inputs: usize,
    outputs: usize,
    positions: usize,
    /// Floats of one image that go in.
    floats: usize,
    is_head: bool,
}

fn walk(model: &Model, data: DataName, classes: usize, mut see: impl FnMut(LinearMap)) {
    let [mut height, mut width, mut features] = data.image_shape();
    for outputs in model.channels() {
        let positions = height * width;
        see(LinearMap { inputs: features * 9, outputs, positions, floats: features * positions, is_head: false });
        (height, width, features) = (height / 2, width / 2, outputs);
    }
    features *= height * width;
    for outputs in model.hidden() {
        see(LinearMap { inputs: features, outputs, positions: 1, floats: features, is_head: false });
        features = outputs;
    }
    see(LinearMap { inputs: features, outputs: classes, positions: 1, floats: features, is_head: true });
}

/// Images of the training file that each of a phase's classes has.
pub fn available(data: DataName, phase: &Phase) -> Vec<usize> {
    phase.classes.iter().filter_map(|class| class.label(data)).map(|label| data.training_images()[label]).collect()
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
    pub fn of(stage: &Stage) -> Cost {
        let (data, phase) = (stage.settings.data, stage.phase());
        let n = phase.training_images(&available(data, &phase)) as f64;
        let validation = (phase.validation_per_class * phase.classes.len()) as f64;
        let forward = forward_flops(&stage.settings.model, data, phase.classes.len());
        let epochs = phase.epochs as f64;
        // Backward costs two forwards.
        let test = (data.test_images_per_class() * phase.classes.len()) as f64;
        let steps = epochs * ((n / phase.batch_size as f64).ceil() + 1.0);
        Cost { images: n * epochs, flops: forward * (epochs * (3.0 * n + validation) + test), steps }
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
        let (data, classes) = (settings.data, phase.classes.len());
        let element = if settings.precision == Precision::Bf16 { 2.0 } else { 4.0 };
        let batch = phase.batch_size.min(phase.training_images(&available(data, &phase))).max(1);
        let (mut flops, mut bytes, mut first) = (0.0, data.image_shape().iter().product::<usize>() as f64, true);
        walk(&settings.model, data, classes, |layer| {
            let product = 2.0 * (layer.inputs * layer.outputs * layer.positions) as f64;
            let (input, output) = (layer.floats as f64, (layer.outputs * layer.positions) as f64);
            flops += if first { 2.0 * product } else { 3.0 * product };
            bytes += element * (2.0 * input + 2.0 * output + if first { 0.0 } else { input });
            first = false;
        });
        let weights = parameters(&settings.model, data, classes) as f64;
        StepCost { flops_per_image: flops, bytes_per_image: bytes + 4.0 * 8.0 * weights / batch as f64 }
    }
}

/// What a plan costs in all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    pub images: f64,
    pub flops: f64,
    pub steps: f64,
    /// Source models kept, and about a kilobyte for each record and event file.
    pub disk_bytes: f64,
}

impl Estimate {
    pub fn of(plan: &Plan) -> Estimate {
        Estimate::over(&plan.stages)
    }

    /// The same for some of a plan's stages.
    pub fn over<'a>(stages: impl IntoIterator<Item = &'a Stage>) -> Estimate {
        let mut sum = Estimate { images: 0.0, flops: 0.0, steps: 0.0, disk_bytes: 0.0 };
        for stage in stages {
            let cost = Cost::of(stage);
            sum.images += cost.images;
            sum.flops += cost.flops;
            sum.steps += cost.steps;
            sum.disk_bytes += 2048.0 + 150.0 * stage.phase().epochs as f64;
            if stage.kind == StageKind::Source {
                let settings = &stage.settings;
                sum.disk_bytes += 4.0 * parameters(&settings.model, settings.data, settings.source.classes.len()) as f64;
            }
        }
        sum
    }

    /// Seconds on CPU cores that sustain `flops_per_core`.
    pub fn cpu_seconds(&self, cores: usize) -> f64 {
        (self.flops / CPU_FLOPS_PER_CORE + self.steps * CPU_SECONDS_PER_STEP) / cores as f64
    }
}

/// Sustained by the shipped ConvNet on one core of a 2025 server CPU (benches/results); a laptop's is of this order.
pub const CPU_FLOPS_PER_CORE: f64 = 80e9;

/// What a step of a tiny network costs on the same core: the operators' own overhead.
const CPU_SECONDS_PER_STEP: f64 = 4e-4;
