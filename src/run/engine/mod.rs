//! Engines, which execute packs: libtorch (`torch`), made-up numbers (`mock`), or only an error
//! message (`absent`, in a build without libtorch).

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
    /// The pack's key, computed from its stages' keys.
    pub key: String,
    pub stages: Vec<Stage>,
    /// Key of the source stage that each stage starts from; none for all stages except targets.
    pub sources: Vec<Option<String>>,
}

/// The results of one epoch of one stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Epoch {
    /// Counted from 1.
    pub epoch: usize,
    /// In nats. Mean over the images of the epoch; each image's loss is computed before its step.
    pub train_loss: f64,
    pub val_loss: f64,
    /// A fraction from 0 to 1.
    pub val_acc: f64,
    /// Distance of the backbone from the point that λ pulls it to.
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
    /// Stopped on request. Its state has been passed to [`PackContext::snapshot`].
    Stopped,
}

/// An engine's connection to the sweep while it runs a pack.
pub trait PackContext {
    /// Stage `index` of the job finished an epoch. `trained` is false if an earlier sweep trained
    /// the epoch and it comes from the snapshot.
    fn epoch(&self, index: usize, epoch: &Epoch, trained: bool);
    /// Whether to stop at the next step.
    fn stop(&self) -> bool;
    fn wants_snapshot(&self) -> bool;
    fn snapshot(&self, snapshot: Checkpoint);
    /// The model of a finished source stage, from disk.
    fn model(&self, source: &str) -> Result<Vec<Array>>;
    /// The snapshot of an earlier run of the same pack.
    fn resume(&self) -> Result<Option<Checkpoint>>;
}

/// Executes packs, several at once, each on its own thread.
pub trait Engine: Send + Sync {
    fn name(&self) -> &'static str;
    /// The device's name for people and records, e.g. `cpu` or `cuda:0`.
    fn device(&self) -> String;
    /// Number of packs that run at the same time.
    fn workers(&self) -> usize;
    /// Maximal number of replicas in a pack of stages like this one, when the plan has `stages` of
    /// them. May run measurements.
    fn pack_size(&self, stage: &Stage, stages: usize) -> usize;
    /// Whether targets can start from this finished source stage before its model is on disk.
    fn holds(&self, source: &str) -> bool;
    /// Trains one pack on the calling thread, for worker `worker` of [`Engine::workers`]. An error
    /// or a panic fails the pack's stages and nothing else, with two exceptions. After an
    /// [`out_of_memory`] error packs become smaller. After a [`device_lost`] error the worker exits
    /// and its pack is requeued.
    fn run(&self, worker: usize, job: &Job, link: &dyn PackContext) -> Result<PackOutcome>;
}

/// Whether an error says that the device's memory is full.
pub fn out_of_memory(error: &anyhow::Error) -> bool {
    // libtorch's messages, for CUDA and for the CPU: its errors have no type.
    says(error, &["out of memory", "_STATUS_ALLOC_FAILED", "DEVICE_ALLOCATION_FAILED", "can't allocate memory"])
}

/// Whether full memory may be the cause of an error. Then a smaller pack may succeed; if it does
/// not, it fails with the same message.
pub fn perhaps_out_of_memory(error: &anyhow::Error) -> bool {
    // cuDNN tries only algorithms that fit into memory and found none for a convolution; or cuBLAS
    // or cuDNN had no memory to initialise.
    let words = ["unable to find an engine to execute this computation", "CUBLAS_STATUS_NOT_INITIALIZED", "CUDNN_STATUS_NOT_INITIALIZED"];
    out_of_memory(error) || says(error, &words)
}

fn says(error: &anyhow::Error, words: &[&str]) -> bool {
    let text = format!("{error:#}");
    words.iter().any(|words| text.contains(words))
}

/// Whether an error says that the device is lost, at least for this process. Everything that is
/// tried on it afterwards fails too.
pub fn device_lost(error: &anyhow::Error) -> bool {
    // CUDA's messages for its sticky errors.
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

/// Which engine to use, and on which devices.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    pub mock: Option<Mock>,
    /// `auto`, `cpu`, `cuda:N`, or several CUDA devices separated by commas.
    pub device: String,
    /// Number of packs that run at the same time. None: one per core on CPU, one per device on
    /// CUDA.
    pub workers: Option<usize>,
    /// Replicas in a pack. None: 1 on CPU, measured on CUDA.
    pub pack: Option<usize>,
}

/// Prepares the engine for a plan: finds the device and loads the data. Measurements of the device
/// are stored in the file `measured`.
pub fn open(choice: &EngineOptions, plan: &Plan, roots: &Roots, measured: PathBuf) -> Result<Box<dyn Engine>> {
    match &choice.mock {
        Some(mock) => Ok(Box::new(mock.clone())),
        None => torch::open(choice, plan, roots, measured),
    }
}

/// What `doctor` reports about libtorch.
#[derive(Debug, Clone, Serialize)]
pub struct Description {
    /// PyTorch's version from its own version file, with a note if it is unknown or not the
    /// expected version.
    pub libtorch: String,
    pub folder: Option<String>,
    pub cuda_devices: usize,
    /// What CUDA can do here, or why it is not available.
    pub cuda: String,
}
