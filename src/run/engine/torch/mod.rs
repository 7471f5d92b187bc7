//! Trains packs with libtorch. On CPU each worker trains one replica, with one intra-op thread and
//! one core. On CUDA a pack of replicas is one graph; its size and its strategies are those
//! measured as fastest on the device.

mod alignment;
mod bench;
mod calibration;
mod devices;
mod driver;
mod libraries;
mod measure;
mod memory;
mod networks;
mod number_types;
mod predict;
mod prepared;
mod pretrained;
mod proof;
mod smoke;
mod sources;
mod start;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{ensure, Context, Result};
use tch::{Device, Kind, Tensor};

use super::{
    has_no_kernel, perhaps_out_of_memory, Engine, EngineOptions, Epoch, Job, PackContext, PackOutcome, Predictions, StageOutcome,
    MEMORY_NEARLY_FULL,
};
use crate::base::catch_panic::catch_panic;
use crate::base::usage::usage;
use crate::config::network::{BatchNormRule, DataChoice, Phase, Precision, TransferMethod};
use crate::config::Network;
use crate::data::{task_labels, training_labels, Dataset, Preparation, Roots, Split};
use crate::model::{allow_tf32, read_back, release_memory};
use crate::plan::{Plan, Stage, StageKind};
use crate::store::{Array, Checkpoint, Status};
use crate::train::{
    disassemble, DeviceDataset, EpochReport, EvaluationLoss, Observer, Pack, Penalty, Replica, Snapshot, Trained, TrainingOutcome,
};
use calibration::Calibration;
use networks::check_modules;
use prepared::{check_splits, files_of, files_of_both, place_of, warn_of_common_images, DatasetFiles, PreparedData};
use sources::Sources;

pub use bench::bench;
pub use devices::{auto_device, describe};
pub use number_types::bf16_speed;
pub use proof::{golden_optimisers, prove};

/// The data sets of a plan, each on every device in use, and the source models that targets still
/// need.
pub struct TorchEngine {
    devices: Vec<Device>,
    workers: usize,
    /// Replicas in a pack; none: measured.
    pack: Option<usize>,
    data: HashMap<DatasetFiles, PreparedData>,
    /// Cached, since each target of a source task needs the source's statistics again.
    preparations: Mutex<HashMap<String, Preparation>>,
    sources: Sources,
    calibration: Calibration,
    /// Shapes of stages whose convolutions are computed without cuDNN, because it has no kernel for
    /// one of them.
    without_cudnn: Mutex<HashSet<Arc<str>>>,
}

pub fn open(choice: &EngineOptions, plan: &Plan, roots: &Roots, measured: PathBuf) -> Result<Box<dyn Engine>> {
    // If a GPU is full or in use by another process, tch panics.
    let opened = catch_panic(|| TorchEngine::new(choice, plan, roots, measured)).and_then(|opened| opened);
    Ok(Box::new(opened?))
}

impl TorchEngine {
    fn new(choice: &EngineOptions, plan: &Plan, roots: &Roots, measured: PathBuf) -> Result<TorchEngine> {
        let devices = devices::devices(&choice.device)?;
        // Set before the first tensor is created. If the system refuses a thread, libtorch's own
        // pool ends the process; workers need no such threads.
        tch::set_num_threads(1);
        // Replicas run in parallel, so no operators need to run concurrently. A second call in one
        // process would fail, so it is called once.
        static INTEROP: std::sync::Once = std::sync::Once::new();
        INTEROP.call_once(|| tch::set_num_interop_threads(1));
        let (workers, pack) = match devices[0] {
            Device::Cpu => (
                choice.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
                Some(choice.pack.unwrap_or(1)),
            ),
            _ => (choice.workers.unwrap_or(devices.len()).max(devices.len()), choice.pack),
        };
        set_tf32(plan, devices[0], workers)?;
        call_once(devices[0]);
        let in_bf16 = plan.stages.iter().any(|stage| stage.settings.precision == Precision::Bf16);
        devices.iter().filter(|device| device.is_cuda()).try_for_each(|&device| smoke::smoke(device, in_bf16))?;
        let mut data = HashMap::new();
        let files: BTreeSet<DatasetFiles> = plan.stages.iter().flat_map(files_of_both).collect();
        for files in files {
            let (choice, strip, shape) = &files;
            let set = Dataset::load(choice, *strip, *shape, roots)?;
            let pool = |device: &Device| {
                let place = place_of(choice, DeviceDataset::bytes(&set.train), *device);
                Mutex::new(DeviceDataset::new(&set.train, *shape, *device, place))
            };
            let pools = if set.info.is_text() { vec![] } else { devices.iter().map(pool).collect() };
            data.insert(files, PreparedData { set, pools });
        }
        check_modules(plan, devices[0])?;
        check_splits(plan, &data)?;
        warn_of_common_images(plan, &data);
        let calibration = Calibration::new(measured, &devices);
        Ok(TorchEngine {
            devices,
            workers,
            pack,
            data,
            preparations: Mutex::default(),
            sources: Sources::new(plan),
            calibration,
            without_cudnn: Mutex::default(),
        })
    }

    fn device_of(&self, worker: usize) -> usize {
        worker % self.devices.len()
    }
}

/// Calls the operations of a distance once, on one thread: libtorch chooses a kernel at its first
/// call. Where two workers made the first calls of a process together, the distance of a first
/// epoch was seen to differ in its last bits (in one of about thirty processes).
fn call_once(device: Device) {
    let theta = Tensor::ones([1, 1024], (Kind::Float, device));
    Penalty::new(theta.ones_like(), Some(theta.zeros_like())).distance_norm(&theta, &theta);
}

/// Sets the TF32 switch, which applies to the whole process.
fn set_tf32(plan: &Plan, device: Device, workers: usize) -> Result<()> {
    let is_tf32 = |stage: &Stage| stage.settings.precision == Precision::Tf32;
    let some = plan.stages.iter().any(is_tf32);
    if some && !plan.stages.iter().all(is_tf32) && device != Device::Cpu && workers > 1 {
        return Err(usage(
            "`precision` has tf32 and other values, which cannot be trained at the same time",
            "use one device and --workers 1 for this study",
        ));
    }
    allow_tf32(some);
    Ok(())
}

/// Pins the calling thread to the worker's own core, which keeps its caches warm. Only done if the
/// sweep has one worker for each core that the process may use: other programs, such as another
/// sweep, would be given the same cores. A failure is ignored.
fn pin(worker: usize, workers: usize) {
    static CORES: std::sync::OnceLock<Vec<usize>> = std::sync::OnceLock::new();
    // SAFETY: both sets are zeroed and have the right size. The first is filled on success; the
    // second contains one core of those that the process may use.
    unsafe {
        let size = std::mem::size_of::<libc::cpu_set_t>();
        let cores = CORES.get_or_init(|| {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            // The affinity of the whole process: no thread has been pinned yet.
            let known = libc::sched_getaffinity(libc::getpid(), size, &mut set) == 0;
            (0..libc::CPU_SETSIZE as usize).filter(|&core| known && libc::CPU_ISSET(core, &set)).collect()
        });
        if workers == cores.len() {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(cores[worker], &mut set);
            libc::sched_setaffinity(0, size, &set);
        }
    }
}

impl Engine for TorchEngine {
    fn name(&self) -> &'static str {
        "torch"
    }

    fn device(&self) -> String {
        let name = |device: &Device| match device {
            Device::Cuda(index) => format!("cuda:{index}"),
            _ => "cpu".into(),
        };
        self.devices.iter().map(name).collect::<Vec<_>>().join(",")
    }

    fn workers(&self) -> usize {
        self.workers
    }

    fn pack_size(&self, stage: &Stage, stages: usize) -> usize {
        match stage.kind {
            StageKind::Alignment => 1, // nothing is trained
            _ if stage.settings.model.module().is_some() => 1,
            _ => self.pack.unwrap_or_else(|| self.measured_pack_size(stage, stages)),
        }
    }

    fn holds(&self, source: &str) -> bool {
        self.sources.holds(source)
    }

    fn run(&self, worker: usize, job: &Job, link: &dyn PackContext) -> Result<PackOutcome> {
        self.prepare_thread(worker);
        // A panic inside tch's `no_grad` leaves gradients off on this thread; `with_grad` turns
        // them on for the next pack. The panic is caught here and not by the worker, because memory
        // is free only after unwinding.
        let device = self.device_of(worker);
        let train = || {
            let ended = catch_panic(|| tch::with_grad(|| self.train(device, job, link))).flatten();
            ended.map_err(|error| self.named(error, self.devices[device]))
        };
        let mut ended = train();
        if ended.as_ref().is_err_and(|error| has_no_kernel(error) && !perhaps_out_of_memory(error)) {
            let is_new = self.without_cudnn.lock().unwrap_or_else(PoisonError::into_inner).insert(job.stages[0].shape.clone());
            if is_new {
                ended = train();
            }
        }
        if ended.as_ref().is_err_and(perhaps_out_of_memory) {
            release_memory(); // its tensors have been dropped
        }
        ended
    }

    fn predict(&self, stage: &Stage, model: &[Array], on: Option<&Dataset>) -> Result<Predictions> {
        self.prepare_thread(0);
        catch_panic(|| self.outputs(stage, model, on)).flatten()
    }
}

impl TorchEngine {
    /// Applies the settings that libtorch and the system keep for each thread.
    fn prepare_thread(&self, worker: usize) {
        tch::set_num_threads(1);
        if self.devices[0] == Device::Cpu {
            pin(worker, self.workers);
        }
    }

    /// Adds to an error that cuDNN has no kernel how much memory was free: a lack of it can be the
    /// cause. Called before libtorch's cache is released.
    fn named(&self, error: anyhow::Error, device: Device) -> anyhow::Error {
        match memory::memory(device).filter(|memory| has_no_kernel(&error) && memory.is_short()) {
            Some(memory) => error.context(format!(
                "{MEMORY_NEARLY_FULL}: {:.1} of {:.1} GB were free",
                memory.free as f64 / 1e9,
                memory.total as f64 / 1e9
            )),
            None => error,
        }
    }

    /// Sets the process's TF32 switch to the stage's precision.
    fn switch_tf32(&self, stage: &Stage) {
        if self.devices[0] != Device::Cpu {
            allow_tf32(stage.settings.precision == Precision::Tf32);
        }
    }

    fn dataset(&self, settings: &Network, choice: &DataChoice) -> Result<&Dataset> {
        let data = self.data.get(&files_of(settings, choice)).context("the engine was opened for another plan")?;
        Ok(&data.set)
    }

    /// All training images on a device.
    fn pool(&self, settings: &Network, choice: &DataChoice, device: usize) -> Result<DeviceDataset> {
        let pools = &self.data.get(&files_of(settings, choice)).context("the engine was opened for another plan")?.pools;
        let pool = pools.get(device).context("documents have no features before their vocabulary is known")?;
        Ok(pool.lock().map_or_else(|poisoned| poisoned.into_inner().share(), |pool| pool.share()))
    }

    /// The training data of a pack's stages on a device: the pool, and each replica's rows of it.
    fn prepare(&self, stages: &[Stage], device: usize) -> Result<(DeviceDataset, Vec<Replica>)> {
        let (settings, choice) = (&stages[0].settings, stages[0].choice());
        let data = self.dataset(settings, choice)?;
        let mut replicas: Vec<Replica> = stages.iter().map(|stage| self.replica(stage, data)).collect::<Result<_>>()?;
        ensure!(replicas.iter().all(|r| r.train.len() == replicas[0].train.len()), "the replicas of a pack have equally many images");
        if !data.info.is_text() {
            return Ok((self.pool(settings, choice, device)?, replicas));
        }
        let wanted: Vec<_> = replicas
            .iter()
            .filter_map(|replica| match &replica.preparation {
                Preparation::Words(words) => Some((words.clone(), [replica.train.as_slice(), &replica.validation].concat())),
                Preparation::Pixels(_) => None,
            })
            .collect();
        let empty = replicas.iter().any(|r| matches!(&r.preparation, Preparation::Words(words) if words.vocabulary == 0));
        ensure!(!empty, "no word is in text.min_df = {} of the documents that the vocabulary is fitted on", settings.text.min_df);
        let (pool, places) = DeviceDataset::of_words(&data.train, &wanted, self.devices[device]);
        for (replica, mut places) in replicas.iter_mut().zip(places) {
            let validation = places.split_off(replica.train.len());
            // Both lists are sorted, and one is part of the other.
            let watched: BTreeSet<usize> = replica.monitor.iter().copied().collect();
            let rows = replica.validation.iter().zip(&validation).filter(|(row, _)| watched.contains(row));
            replica.monitor = rows.map(|(_, place)| *place).collect();
            (replica.validation, replica.train) = (validation, places);
        }
        Ok((pool, replicas))
    }

    fn train(&self, device: usize, job: &Job, link: &dyn PackContext) -> Result<PackOutcome> {
        let first = &job.stages[0];
        self.switch_tf32(first);
        if first.kind == StageKind::Alignment {
            let ends = job.stages.iter().map(|stage| self.align(stage, device));
            return Ok(PackOutcome::Finished(ends.collect::<Result<_>>()?));
        }
        let (settings, phase) = (first.settings.clone(), first.phase());
        let dataset = self.dataset(&settings, first.choice())?;
        let architecture = self.architecture(first, self.devices[device], job.stages.len())?;
        let (pool, replicas) = self.prepare(&job.stages, device)?;
        let transfers = first.kind == StageKind::Target;
        let pack = Pack {
            architecture: &architecture,
            phase: &phase,
            rules: &settings.penalty,
            precision: settings.precision,
            task: task_name(first.kind),
            outputs: task_labels(dataset.info, &phase),
            replicas: &replicas,
            pool: &pool,
            freeze_batchnorm: transfers && (settings.transfer.batchnorm == BatchNormRule::Frozen || settings.transfer.method.is_frozen()),
            frozen: transfers && settings.transfer.method.is_frozen(),
            objective: objective(first, &phase),
        };
        let start = self.start(self.devices[device], job, link, &architecture)?;
        let mut relay = ProgressRelay { link, is_regression: dataset.info.is_regression };
        let outcome = match solves(first) {
            true => {
                let lambdas: Vec<f64> = job.stages.iter().map(|stage| stage.lambda).collect();
                let solved = pack.solve(start, &lambdas).context("ridge on the source's features")?;
                relay.epoch(&solved.histories.iter().enumerate().filter_map(|(k, c)| Some((k, c.result()?.clone()))).collect::<Vec<_>>());
                TrainingOutcome::Trained(solved)
            }
            false => pack.train(start, link.resume()?.map(to_snapshot), &mut relay),
        };
        match outcome {
            TrainingOutcome::Stopped => Ok(PackOutcome::Stopped),
            TrainingOutcome::Trained(trained) => {
                let ends = self.ends(job, &pack, &trained, dataset);
                job.sources.iter().flatten().for_each(|source| self.sources.used(source)); // last, because a failed pack is tried again
                Ok(PackOutcome::Finished(ends))
            }
        }
    }

    fn replica(&self, stage: &Stage, dataset: &Dataset) -> Result<Replica> {
        let (phase, seed) = (stage.phase(), stage.stream_seed());
        let split = Split::draw(&dataset.train, &stage.images(), &stage.images_of_source(), stage.seed, stage.draw);
        let preparation = self.preparation(stage)?;
        let task = task_name(stage.kind);
        let training_labels =
            (phase.label_noise > 0.0).then(|| training_labels(&dataset.train, dataset.info, &phase, task, &split.train, seed));
        Ok(Replica { seed, train: split.train, validation: split.validation, monitor: split.monitor, training_labels, preparation })
    }

    /// Fitted on the source's data, also for a target of another set.
    fn preparation(&self, stage: &Stage) -> Result<Preparation> {
        let id = stage.preparation();
        if let Some(known) = self.preparations.lock().ok().and_then(|known| known.get(&id).cloned()) {
            return Ok(known);
        }
        // Not locked, so that other workers need not wait. If two compute the same, the first
        // result is stored.
        let source = self.dataset(&stage.settings, stage.settings.source_choice())?;
        let fresh = Preparation::of(&source.train, &stage.settings, stage.seed);
        Ok(match self.preparations.lock() {
            Ok(mut known) => known.entry(id).or_insert(fresh).clone(),
            Err(_) => fresh,
        })
    }

    /// Results of a trained pack. The test set is opened here, and only once.
    fn ends(&self, job: &Job, pack: &Pack, trained: &Trained, dataset: &Dataset) -> Vec<StageOutcome> {
        let validation = trained.validation(pack);
        let test = trained.test(pack, dataset);
        let each = job.stages.iter().enumerate().map(|(k, stage)| {
            let course = &trained.histories[k];
            let is_regression = stage.data().is_regression;
            let score = if is_regression { "r2" } else { "acc" };
            let history: Vec<Epoch> = course.history.iter().map(|report| to_epoch(report, is_regression)).collect();
            if let Some((epoch, step)) = course.diverged {
                let error = Some(format!("the loss stopped being finite at epoch {epoch}, step {step}"));
                return StageOutcome { status: Status::Diverged, metrics: BTreeMap::new(), history, error, model: None };
            }
            let of_what = [(validation.loss[k], "validation"), (test.loss[k], "test")];
            if let Some((_, part)) = of_what.into_iter().find(|(loss, _)| !loss.is_finite()) {
                let error = Some(format!("the loss on the {part} images is not finite"));
                return StageOutcome { status: Status::Diverged, metrics: BTreeMap::new(), history, error, model: None };
            }
            let mut metrics = BTreeMap::from([
                ("test_loss".to_string(), test.loss[k]),
                (format!("test_{score}"), test.score[k]),
                ("weight_norm".into(), trained.norms()[k]),
                ("epochs".into(), course.chosen as f64),
                ("val_loss".into(), validation.loss[k]),
                (format!("val_{score}"), validation.score[k]),
            ]);
            if let Some(chosen) = course.result() {
                metrics.extend([("train_loss".to_string(), chosen.train_loss), ("distance".into(), chosen.distance)]);
            }
            let model = (stage.kind == StageKind::Source || job.keeps_models).then(|| {
                let named = disassemble(pack.architecture, &trained.theta, &trained.buffers, k);
                let arrays = named.iter().map(|(name, tensor)| to_array(name, tensor)).collect();
                // One of several devices may be lost, with everything in its memory. So the model
                // is kept on the CPU.
                let host = |(name, tensor): (String, Tensor)| (name, tensor.to_device(Device::Cpu));
                self.sources.keep(&stage.key, if self.devices.len() > 1 { named.into_iter().map(host).collect() } else { named });
                arrays
            });
            StageOutcome { status: Status::Done, metrics, history, error: None, model }
        });
        each.collect()
    }
}

/// The name of a stage's random streams. Training from scratch uses the target's streams, so it
/// gets the same data as the target.
fn task_name(kind: StageKind) -> &'static str {
    match kind {
        StageKind::Source | StageKind::Alignment => "source",
        StageKind::Target | StageKind::Scratch => "target",
    }
}

/// The loss of a stage's validation and test.
fn objective(stage: &Stage, phase: &Phase) -> EvaluationLoss {
    match solves(stage) {
        _ if stage.data().is_regression => EvaluationLoss::Response,
        true => EvaluationLoss::SquaredError,
        false => EvaluationLoss::CrossEntropy { smoothing: phase.expected_smoothing(stage.data()) },
    }
}

/// Whether a stage is solved in closed form.
fn solves(stage: &Stage) -> bool {
    stage.kind == StageKind::Target && stage.settings.transfer.method == TransferMethod::Ridge
}

/// Passes a pack's events on to the sweep, converted to types without tensors.
struct ProgressRelay<'a> {
    link: &'a dyn PackContext,
    is_regression: bool,
}

impl Observer for ProgressRelay<'_> {
    fn epoch(&mut self, reports: &[(usize, EpochReport)]) {
        reports.iter().for_each(|(k, report)| self.link.epoch(*k, &to_epoch(report, self.is_regression), true));
    }

    fn restored(&mut self, reports: &[(usize, EpochReport)]) {
        reports.iter().for_each(|(k, report)| self.link.epoch(*k, &to_epoch(report, self.is_regression), false));
    }

    fn stop(&self) -> bool {
        self.link.stop()
    }

    fn wants_snapshot(&self) -> bool {
        self.link.wants_snapshot()
    }

    fn snapshot(&mut self, snapshot: Snapshot) {
        let arrays = snapshot.tensors.iter().map(|(name, tensor)| to_array(name, tensor)).collect();
        self.link.snapshot(Checkpoint { arrays, text: snapshot.progress });
    }
}

fn to_epoch(report: &EpochReport, is_regression: bool) -> Epoch {
    let score = Some(report.validation_score);
    Epoch {
        epoch: report.epoch,
        train_loss: report.train_loss,
        val_loss: report.validation_loss,
        val_acc: score.filter(|_| !is_regression),
        val_r2: score.filter(|_| is_regression),
        distance: report.distance,
    }
}

fn to_array(name: &str, tensor: &Tensor) -> Array {
    let flat = tensor.to_device(Device::Cpu).to_kind(Kind::Float).contiguous().reshape([-1]);
    // A float tensor on the CPU always converts. If it did not, the checkpoint's shape check would
    // reject the empty values.
    Array { name: name.into(), shape: tensor.size().iter().map(|&n| n as usize).collect(), values: read_back(&flat) }
}

fn to_tensor(array: &Array) -> Tensor {
    let shape: Vec<i64> = array.shape.iter().map(|&n| n as i64).collect();
    Tensor::from_slice(&array.values).reshape(shape)
}

fn to_snapshot(checkpoint: Checkpoint) -> Snapshot {
    Snapshot { tensors: checkpoint.arrays.iter().map(|array| (array.name.clone(), to_tensor(array))).collect(), progress: checkpoint.text }
}
