//! Engines, which execute packs: libtorch (`torch`), made-up numbers (`mock`), or only an error
//! message (`absent`, in a build without libtorch).

#[cfg(not(feature = "torch"))]
mod absent;
pub mod benchmark;
mod mock;
pub mod proof;
#[cfg(feature = "torch")]
mod torch;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;

use crate::data::{Dataset, Roots};
use crate::plan::{Plan, Stage};
use crate::store::{Array, Checkpoint, Status};

#[cfg(not(feature = "torch"))]
use absent as torch;
pub use mock::Mock;
#[cfg(feature = "torch")]
pub use torch::golden_optimisers;
pub use torch::{auto_device, bench, bf16_speed, describe, prove};

/// One pack to train.
#[derive(Debug)]
pub struct Job {
    /// The pack's key, computed from its stages' keys.
    pub key: String,
    pub stages: Vec<Stage>,
    /// Key of the source stage that each stage starts from; none for all stages except targets.
    pub sources: Vec<Option<String>>,
    /// Return the models of all stages, not of sources alone.
    pub keeps_models: bool,
}

/// The results of one epoch of one stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Epoch {
    /// Counted from 1.
    pub epoch: usize,
    /// In nats, or the squared error. Mean over the images of the epoch; each image's loss is
    /// computed before its step.
    pub train_loss: f64,
    pub val_loss: f64,
    /// Of tasks with classes: a fraction from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_acc: Option<f64>,
    /// Of tasks that predict a number: the explained share of its variance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_r2: Option<f64>,
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
    /// The trained model of a source stage, or of any if the job asks for it.
    pub model: Option<Vec<Array>>,
}

/// The outputs of a model on examples that it was not trained on.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions {
    /// Rows of the test file; of another place, of its training examples and then its test
    /// examples.
    pub rows: Vec<usize>,
    /// The right output of each example, if it is of a class of the task; where a number is
    /// predicted, the number.
    pub truth: Vec<Option<f64>>,
    /// One list for each example: the logit of each class, or the predicted number.
    pub outputs: Vec<Vec<f32>>,
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
    /// The outputs of a stage's model on the test examples of its task, or on all examples of
    /// another place.
    fn predict(&self, stage: &Stage, model: &[Array], on: Option<&Dataset>) -> Result<Predictions>;
}

/// Whether an error says that the device's memory is full.
pub fn out_of_memory(error: &anyhow::Error) -> bool {
    // libtorch's messages, for CUDA and for the CPU: its errors have no type.
    says(error, &["out of memory", "_STATUS_ALLOC_FAILED", "DEVICE_ALLOCATION_FAILED", "can't allocate memory"])
}

/// Whether full memory may be the cause of an error. Then a smaller pack may succeed; if it does
/// not, it fails with the same message.
pub fn perhaps_out_of_memory(error: &anyhow::Error) -> bool {
    // cuBLAS or cuDNN had no memory to initialise; or the engine found the memory nearly full.
    let words = ["CUBLAS_STATUS_NOT_INITIALIZED", "CUDNN_STATUS_NOT_INITIALIZED", MEMORY_NEARLY_FULL];
    out_of_memory(error) || says(error, &words)
}

/// Added by an engine to an error that does not name its cause while little memory was free.
pub const MEMORY_NEARLY_FULL: &str = "the device's memory was nearly full";

/// Whether cuDNN has no kernel for a convolution: none exists for its shape and the GPU, or its
/// run-time compiler does not work, or none fits into what memory is free.
pub fn has_no_kernel(error: &anyhow::Error) -> bool {
    let words = ["nable to find an engine to execute this computation", "CUDNN_STATUS_NOT_SUPPORTED", "No valid execution plans"];
    says(error, &words)
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

/// How many times as fast as float32 bf16 is on one core of this processor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bf16Speed {
    pub linear: f64,
    pub convolution: f64,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What a message leads to.
    #[derive(Debug, PartialEq)]
    enum Course {
        /// Smaller packs.
        Memory,
        /// The worker exits, its pack goes to another.
        Lost,
        /// The same pack again, without cuDNN.
        NoKernel,
        /// The pack fails.
        Fails,
    }

    fn course(text: &str) -> Course {
        let error = anyhow::anyhow!(text.to_string());
        match () {
            () if device_lost(&error) => Course::Lost,
            () if perhaps_out_of_memory(&error) => Course::Memory,
            () if has_no_kernel(&error) => Course::NoKernel,
            () => Course::Fails,
        }
    }

    /// Texts of libtorch 2.11, cuDNN 9 and CUDA 13.
    #[test]
    fn messages_are_told_apart() {
        let advice = "\nCUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1";
        let cuda = |text: &str| format!("CUDA error: {text}{advice}");
        let cases = [
            ("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB of which 1.19 GiB is free. Including non-PyTorch memory, this process has 77.90 GiB memory in use.".to_string(), Course::Memory),
            (cuda("out of memory"), Course::Memory),
            ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`".into(), Course::Memory),
            ("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`".into(), Course::Memory),
            ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED".into(), Course::Memory),
            ("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes. Error code 12 (Cannot allocate memory)".into(), Course::Memory),
            (cuda("an illegal memory access was encountered"), Course::Lost),
            (cuda("unspecified launch failure"), Course::Lost),
            (cuda("CUDA-capable device(s) is/are busy or unavailable"), Course::Lost),
            (cuda("uncorrectable ECC error encountered"), Course::Lost),
            ("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED".into(), Course::Lost),
            ("GET was unable to find an engine to execute this computation".into(), Course::NoKernel),
            ("FIND was unable to find an engine to execute this computation".into(), Course::NoKernel),
            ("cuDNN Frontend error: [cudnn_frontend] Error: No valid execution plans built.".into(), Course::NoKernel),
            ("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed in a non-contiguous input.".into(), Course::NoKernel),
            (format!("{MEMORY_NEARLY_FULL}: 0.2 of 80.0 GB were free: GET was unable to find an engine to execute this computation"), Course::Memory),
            (cuda("no kernel image is available for execution on the device"), Course::Fails),
            ("mat1 and mat2 shapes cannot be multiplied (1x2 and 3x4)".into(), Course::Fails),
        ];
        for (text, expected) in cases {
            assert_eq!(course(&text), expected, "{text}");
        }
    }
}
