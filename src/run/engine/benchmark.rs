//! What `bench` measures of a study on a device, as plain numbers.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::plan::StageKind;

/// What to measure.
#[derive(Debug, Clone)]
pub struct BenchOptions {
    /// Seconds of training for each number.
    pub seconds: f64,
    /// Replicas in a pack to try beside the sweep's own choice.
    pub packs: Vec<usize>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Benchmark {
    pub device: String,
    pub hardware: String,
    pub libtorch: String,
    pub workers: usize,
    /// All workers at once, each copying memory larger than caches: bytes read and written a second.
    pub copy_bytes: f64,
    /// One for each shape of stage in the plan.
    pub tasks: Vec<BatchingBenchmark>,
}

/// Training of one shape of stage; rates are of all workers together, without validation.
#[derive(Debug, Clone, Serialize)]
pub struct BatchingBenchmark {
    pub kind: StageKind,
    /// Of this shape in the plan.
    pub stages: usize,
    pub batch: usize,
    pub precision: String,
    /// Replicas in a pack, as a sweep would have them, and what that gives.
    pub pack: usize,
    pub images_per_second: f64,
    /// Optimiser steps of one model, a second.
    pub model_steps_per_second: f64,
    /// The same for other packs. None: they do not fit into memory.
    pub other_packs: Vec<(usize, Option<f64>)>,
    /// Share of the workers' time in which they computed. None on CUDA, where the host does not know.
    pub busy: Option<f64>,
    /// For each convolution: how it is computed, and milliseconds of a forward and backward pass for each way. Empty for a pack of one.
    pub convolutions: Vec<ConvolutionTiming>,
    /// All workers at once, each multiplying large matrices in the stage's precision: operations a second.
    pub matmul_flops: f64,
    /// Counted, for each image: operations of forward and backward pass, and bytes that have to pass through memory.
    pub flops_per_image: f64,
    pub bytes_per_image: f64,
    /// Images a second if the one or the other were all there is.
    pub floor_by_flops: f64,
    pub floor_by_bytes: f64,
    /// Measured over the lower of the two.
    pub share_of_floor: f64,
    /// Of one worker: own microseconds for each step of a pack, the longest first.
    pub profile: Vec<Operation>,
}

#[derive(Debug, Clone, Serialize)]
pub struct ConvolutionTiming {
    pub shape: String,
    pub chosen: &'static str,
    pub milliseconds: BTreeMap<&'static str, f64>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Operation {
    pub name: String,
    pub calls_per_step: f64,
    pub microseconds_per_step: f64,
}
