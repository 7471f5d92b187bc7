//! What `bench` measures of a study on a device, as plain numbers.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::plan::StageKind;

/// What to measure.
#[derive(Debug, Clone)]
pub struct BenchOptions {
    /// Seconds of training for each measurement.
    pub seconds: f64,
    /// Replicas in a pack to try in addition to the sweep's own choice.
    pub packs: Vec<usize>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Benchmark {
    pub device: String,
    pub hardware: String,
    pub libtorch: String,
    pub workers: usize,
    /// Memory bandwidth: bytes read and written a second, by all workers at once. Each copies more
    /// memory than caches can hold.
    pub copy_bytes: f64,
    /// One entry for each shape of stage in the plan.
    pub tasks: Vec<BatchingBenchmark>,
}

/// Training speed of one shape of stage. Rates are of all workers together, without validation.
#[derive(Debug, Clone, Serialize)]
pub struct BatchingBenchmark {
    pub kind: StageKind,
    /// Number of stages of this shape in the plan.
    pub stages: usize,
    pub batch: usize,
    pub precision: String,
    /// Replicas in a pack, as a sweep would choose them; the rates below are measured with it.
    pub pack: usize,
    pub images_per_second: f64,
    /// Optimiser steps of one model per second.
    pub model_steps_per_second: f64,
    /// Images per second with other pack sizes. None: the pack does not fit into memory.
    pub other_packs: Vec<(usize, Option<f64>)>,
    /// Share of the workers' time in which they computed. None on CUDA, where the host cannot
    /// measure it.
    pub busy: Option<f64>,
    /// For each convolution: the chosen strategy, and the milliseconds of a forward and backward
    /// pass with each strategy. Empty for a pack of one replica.
    pub convolutions: Vec<ConvolutionTiming>,
    /// Operations per second when all workers multiply large matrices at once, in the stage's
    /// precision.
    pub matmul_flops: f64,
    /// Counted for each image: operations of the forward and backward pass, and bytes that must
    /// pass through memory.
    pub flops_per_image: f64,
    pub bytes_per_image: f64,
    /// Images per second if only the operations limited the speed, or only the memory bandwidth.
    pub floor_by_flops: f64,
    pub floor_by_bytes: f64,
    /// The measured rate divided by the lower of the two limits.
    pub share_of_floor: f64,
    /// Own time of each operation in microseconds per step of a pack, on one worker; the longest
    /// first.
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
