//! What executes packs: libtorch (`torch`), nothing (`absent`, a build without libtorch), or made-up numbers (`mock`).

#[cfg(not(feature = "torch"))]
mod absent;
pub mod benchmark;
mod mock;
#[cfg(feature = "torch")]
mod torch;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;

use crate::data::Roots;
use crate::plan::{Plan, Stage};
use crate::store::{Array, Checkpoint, Status};

#[cfg(not(feature = "torch"))]
use absent as torch;
pub use mock::Mock;
pub use torch::{auto_device, bench, describe};

/// One pack to train.
#[derive(Debug)]
pub struct Job {
    /// Of the pack: a function of its stages' keys.
    pub key: String,
    pub stages: Vec<Stage>,
    /// Key of the source stage that each stage starts from; none for source and scratch stages.
    pub sources: Vec<Option<String>>,
}

/// What one epoch of one stage gave.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Epoch {
    /// From 1.
    pub epoch: usize,
    /// Nats; mean over the images of the epoch, each before its step.
    pub train_loss: f64,
    pub val_loss: f64,
    /// Fraction, 0 to 1.
    pub val_acc: f64,
    /// Distance of the backbone to what λ pulls it to.
    pub distance: f64,
}

/// How one stage of a pack ended.
#[derive(Debug, Clone)]
pub struct StageOutcome {
    pub status: Status,
    pub metrics: BTreeMap<String, f64>,
    pub history: Vec<Epoch>,
    pub error: Option<String>,
    /// The trained model of a source stage.
    pub model: Option<Vec<Array>>,
}

/// How a pack ended.
#[derive(Debug)]
pub enum PackOutcome {
    /// In the order of the job's stages.
    Finished(Vec<StageOutcome>),
    /// Asked to stop; where it left off has been handed to the link.
    Stopped,
}

/// An engine's line to the sweep.
pub trait PackContext {
    /// Stage `index` of the job finished an epoch: trained just now, or (with the snapshot that it goes on from) by an earlier run.
    fn epoch(&self, index: usize, epoch: &Epoch, trained: bool);
    /// Whether to stop at the next step.
    fn stop(&self) -> bool;
    fn wants_snapshot(&self) -> bool;
    fn snapshot(&self, snapshot: Checkpoint);
    /// The model of a finished source stage, from disk.
    fn model(&self, source: &str) -> Result<Vec<Array>>;
    /// Where an earlier run of the same pack left off.
    fn resume(&self) -> Result<Option<Checkpoint>>;
}

/// Executes packs, several at a time from different threads.
pub trait Engine: Send + Sync {
    fn name(&self) -> &'static str;
    /// For people and records, e.g. `cpu` or `cuda:0`.
    fn device(&self) -> String;
    /// Packs at a time.
    fn workers(&self) -> usize;
    /// Replicas in a pack of stages like this one, at most, when the plan has `stages` of them. May measure.
    fn pack_size(&self, stage: &Stage, stages: usize) -> usize;
    /// Whether targets can start from this finished source stage before its model is on disk.
    fn holds(&self, source: &str) -> bool;
    /// Trains one pack, on the calling thread, for worker `worker` of [`Engine::workers`]. An error (or a panic) fails its stages and
    /// nothing else; one that is [`out_of_memory`] makes the packs smaller, one that is [`device_lost`] sends the worker home and the pack back to the others.
    fn run(&self, worker: usize, job: &Job, link: &dyn PackContext) -> Result<PackOutcome>;
}

/// Whether an error says that the device's memory is full.
pub fn out_of_memory(error: &anyhow::Error) -> bool {
    // libtorch's words, for CUDA and for the CPU; its errors have no type.
    says(error, &["out of memory", "_STATUS_ALLOC_FAILED", "DEVICE_ALLOCATION_FAILED", "can't allocate memory"])
}

/// Whether an error is what a full device may give too: a smaller pack may do, and if not, it fails with these words.
pub fn perhaps_out_of_memory(error: &anyhow::Error) -> bool {
    // cuDNN found no way to compute a convolution, as it tried those that fit only; cuBLAS or cuDNN had no memory to start with.
    let words = ["unable to find an engine to execute this computation", "CUBLAS_STATUS_NOT_INITIALIZED", "CUDNN_STATUS_NOT_INITIALIZED"];
    out_of_memory(error) || says(error, &words)
}

fn says(error: &anyhow::Error, words: &[&str]) -> bool {
    let text = format!("{error:#}");
    words.iter().any(|words| text.contains(words))
}

/// Whether an error says that the device, or this process's use of it, is lost: whatever is tried on it next fails too.
pub fn device_lost(error: &anyhow::Error) -> bool {
    // CUDA's words for its sticky errors.
    let words = [
        "an illegal memory access was encountered",
        "unspecified launch failure",
        "device-side assert triggered",
        "uncorrectable ECC error",
        "misaligned address",
        "an illegal instruction was encountered",
        "invalid program counter",
        "hardware stack error",
        "the launch timed out and was terminated",
        "CUDA error: unknown error",
        "busy or unavailable",
        "CUDNN_STATUS_EXECUTION_FAILED",
        "CUBLAS_STATUS_EXECUTION_FAILED",
        "Invalid access of peer GPU memory over nvlink or a hardware error",
        "operation not supported on global/shared address space",
        "uncorrectable NVLink error",
        "tensor memory not completely freed",
        "the MPS client has been terminated by the server",
        "no CUDA-capable device is detected",
        "GPU is lost",
        "has fallen off the bus",
    ];
    says(error, &words)
}

/// Which engine, and on what.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    pub mock: Option<Mock>,
    /// `auto`, `cpu`, `cuda:N`, or several of the last with commas.
    pub device: String,
    /// Packs at a time; none: one per core on CPU, one per device on CUDA.
    pub workers: Option<usize>,
    /// Replicas in a pack; none: 1 on CPU, as measured on CUDA.
    pub pack: Option<usize>,
}

/// Makes the engine ready for a plan: finds the device, loads the data. What it measures of the device it keeps in `measured`.
pub fn open(choice: &EngineOptions, plan: &Plan, roots: &Roots, measured: PathBuf) -> Result<Box<dyn Engine>> {
    match &choice.mock {
        Some(mock) => Ok(Box::new(mock.clone())),
        None => torch::open(choice, plan, roots, measured),
    }
}

/// What `doctor` says of libtorch.
#[derive(Debug, Clone, Serialize)]
pub struct Description {
    /// PyTorch's version, as its own version file has it.
    pub libtorch: String,
    pub folder: Option<String>,
    pub cuda_devices: usize,
    /// What CUDA can do here, or why it cannot.
    pub cuda: String,
}
