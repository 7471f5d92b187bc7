//! Packs through libtorch. On CPU: one replica per worker, one intra-op thread each. On CUDA: packs of replicas in one graph.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use anyhow::{ensure, Context, Result};
use tch::{Cuda, Device, Kind, Tensor};

use super::{Choice, Description, Ended, Engine, Epoch, Job, Link, PackEnd};
use crate::config::network::{BatchNormRule, DataName, Head, Method};
use crate::data::{normalisation, task_labels, Dataset, Normalisation, Roots, Split};
use crate::model::{Architecture, Role};
use crate::plan::{Plan, Stage, StageKind};
use crate::store::{Array, Checkpoint, Status};
use crate::train::{assemble, disassemble, Anchor, EpochReport, Observer, Outcome, Pack, Pool, Replica, Snapshot, Start, Trained};

/// PyTorch's version that tch's bindings were generated for.
const LIBTORCH_VERSION: &str = "2.11.0";
const CUDA_PACK: usize = 16;

/// The data sets of a plan on one device.
pub struct Torch {
    device: Device,
    workers: usize,
    pack: usize,
    data: HashMap<DataName, (Dataset, Mutex<Pool>)>,
    /// A source task's statistics are wanted again by each of its targets.
    normalisations: Mutex<HashMap<String, Normalisation>>,
}

pub fn open(choice: &Choice, plan: &Plan, roots: &Roots) -> Result<Box<dyn Engine>> {
    let device = device(&choice.device)?;
    // Replicas run in parallel, so operators need no threads between them. Fails the second time in one process: harmless.
    static INTEROP: std::sync::Once = std::sync::Once::new();
    INTEROP.call_once(|| tch::set_num_interop_threads(1));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (workers, pack) = match device {
        Device::Cpu => (choice.workers.unwrap_or(cores), choice.pack.unwrap_or(1)),
        _ => (choice.workers.unwrap_or(1), choice.pack.unwrap_or(CUDA_PACK)),
    };
    let mut data = HashMap::new();
    for name in DataName::ALL.into_iter().filter(|name| plan.stages.iter().any(|stage| stage.settings.data == *name)) {
        let dataset = Dataset::load(name, roots)?;
        let pool = Pool::new(&dataset.train, dataset.shape, device);
        data.insert(name, (dataset, Mutex::new(pool)));
    }
    Ok(Box::new(Torch { device, workers, pack, data, normalisations: Mutex::default() }))
}

/// `cuda:0` where there is one, else `cpu`.
pub fn auto_device() -> String {
    if load_cuda().is_ok() && Cuda::is_available() {
        "cuda:0".into()
    } else {
        "cpu".into()
    }
}

fn device(wanted: &str) -> Result<Device> {
    let name = if wanted == "auto" { auto_device() } else { wanted.to_string() };
    if name == "cpu" {
        return Ok(Device::Cpu);
    }
    let index = match name.as_str() {
        "cuda" => Some(0),
        other => other.strip_prefix("cuda:").and_then(|n| n.parse::<usize>().ok()),
    };
    let Some(index) = index else {
        return Err(crate::run::usage(format!("--device {wanted}: no such device"), "give auto, cpu or cuda:N"));
    };
    let found = describe();
    if index >= found.cuda_devices {
        return Err(crate::run::usage(
            format!("--device {wanted}: {}", found.cuda),
            "`transfergrid doctor` says what is here; --device cpu always works",
        ));
    }
    Ok(Device::Cuda(index))
}

pub fn describe() -> Description {
    let lib = option_env!("TRANSFERGRID_LIBTORCH_LIB");
    let version_file = lib.map(|lib| std::path::Path::new(lib).join("../version.py"));
    let version = version_file.and_then(|file| std::fs::read_to_string(file).ok()).and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("__version__"))?;
        Some(line.split(['\'', '"']).nth(1)?.to_string())
    });
    let loaded = load_cuda();
    let cuda_devices = if loaded.is_ok() { Cuda::device_count().max(0) as usize } else { 0 };
    let has_file = lib.is_some_and(|lib| std::path::Path::new(lib).join("libtorch_cuda.so").exists());
    let cuda = match (loaded, cuda_devices) {
        (Err(why), _) if has_file => format!("not installed whole ({why}); for CUDA: make clean-venv && make build TORCH=cuda"),
        (Err(_), _) => "this libtorch has no CUDA part; install the full wheel: make clean-venv && make build TORCH=cuda".to_string(),
        (Ok(()), 0) => "libtorch's CUDA part is here, but it sees no NVIDIA driver or device".to_string(),
        (Ok(()), n) => format!("{n} device{}", if n == 1 { "" } else { "s" }),
    };
    let libtorch = match version {
        Some(version) if version.starts_with(LIBTORCH_VERSION) => version,
        Some(version) => format!("{version} (built for {LIBTORCH_VERSION}!)"),
        None => format!("unknown version (built for {LIBTORCH_VERSION})"),
    };
    Description { libtorch, folder: lib.map(str::to_string), cuda_devices, cuda }
}

/// Loads libtorch's CUDA part if it is installed. The program itself links the CPU part only, so that one binary runs on
/// machines with and without CUDA; this has to happen before anything asks for CUDA, since libtorch remembers the answer.
fn load_cuda() -> Result<(), String> {
    static LOADED: std::sync::OnceLock<Result<(), String>> = std::sync::OnceLock::new();
    let load = || {
        // SAFETY: a NUL-terminated name; libtorch's libraries register themselves when loaded and are never unloaded. dlerror's text
        // is copied before anything else can replace it.
        unsafe {
            if !libc::dlopen(c"libtorch_cuda.so".as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL).is_null() {
                return Ok(());
            }
            let why = libc::dlerror();
            Err(if why.is_null() { "no reason given".into() } else { std::ffi::CStr::from_ptr(why).to_string_lossy().into_owned() })
        }
    };
    LOADED.get_or_init(load).clone()
}

impl Engine for Torch {
    fn name(&self) -> &'static str {
        "torch"
    }

    fn device(&self) -> String {
        match self.device {
            Device::Cuda(index) => format!("cuda:{index}"),
            _ => "cpu".into(),
        }
    }

    fn workers(&self) -> usize {
        self.workers
    }

    fn pack_size(&self) -> usize {
        self.pack
    }

    fn run(&self, job: &Job, link: &dyn Link) -> Result<PackEnd> {
        // Per thread, so here and not in `open`.
        tch::set_num_threads(1);
        // A panic inside tch's `no_grad` leaves gradients off on this thread; the next pack must not suffer for it.
        tch::with_grad(|| self.train(job, link))
    }
}

impl Torch {
    fn train(&self, job: &Job, link: &dyn Link) -> Result<PackEnd> {
        let first = &job.stages[0];
        let (settings, phase) = (first.settings.clone(), first.phase());
        let (dataset, pool) = self.data.get(&settings.data).context("the engine was opened for another plan")?;
        let pool = pool.lock().map_or_else(|poisoned| poisoned.into_inner().share(), |pool| pool.share());
        let architecture = Architecture::new(&settings.model, dataset.shape, phase.classes.len());
        let replicas: Vec<Replica> = job.stages.iter().map(|stage| self.replica(stage, dataset)).collect();
        ensure!(replicas.iter().all(|r| r.train.len() == replicas[0].train.len()), "the replicas of a pack have equally many images");
        let transfers = first.kind == StageKind::Target;
        let pack = Pack {
            architecture: &architecture,
            phase: &phase,
            rules: &settings.penalty,
            task: if first.kind == StageKind::Source { "source" } else { "target" },
            outputs: task_labels(settings.data, &phase),
            replicas: &replicas,
            pool: &pool,
            freeze_batchnorm: transfers && settings.transfer.batchnorm == BatchNormRule::Frozen,
        };
        let start = self.start(job, &architecture, dataset)?;
        let mut relay = Relay { link };
        match pack.train(start, link.resume().map(to_snapshot), &mut relay) {
            Outcome::Stopped => Ok(PackEnd::Stopped),
            Outcome::Trained(trained) => Ok(PackEnd::Finished(ends(job, &pack, &trained, dataset))),
        }
    }

    fn replica(&self, stage: &Stage, dataset: &Dataset) -> Replica {
        let split = Split::draw(&dataset.train, dataset.name, &stage.phase(), stage.seed);
        let source = &stage.settings.source;
        let id = format!(
            "{:?} {:?} {:?} {:?} {} {}",
            dataset.name, source.classes, source.per_class, source.total, source.validation_per_class, stage.seed
        );
        let known = self.normalisations.lock().ok().and_then(|known| known.get(&id).cloned());
        let normalisation = known.unwrap_or_else(|| {
            let rows = Split::draw(&dataset.train, dataset.name, source, stage.seed).train;
            let fresh = normalisation(&dataset.train, &rows, dataset.shape[2]);
            if let Ok(mut known) = self.normalisations.lock() {
                known.insert(id, fresh.clone());
            }
            fresh
        });
        Replica { seed: stage.seed, train: split.train, validation: split.validation, normalisation }
    }

    /// Where the pack's replicas start, and what λ pulls them to.
    fn start(&self, job: &Job, architecture: &Architecture, dataset: &Dataset) -> Result<Start> {
        let first = &job.stages[0];
        let (settings, layout) = (&first.settings, &architecture.layout);
        let seeds: Vec<u64> = job.stages.iter().map(|stage| stage.seed).collect();
        let lambdas: Vec<f64> = job.stages.iter().map(|stage| stage.lambda).collect();
        let task = if first.kind == StageKind::Source { "source" } else { "target" };
        let fresh = layout.initial(&seeds, task, Kind::Float, self.device);
        let buffers = architecture.fresh_buffers(seeds.len() as i64, Kind::Float, self.device);
        if first.kind != StageKind::Target {
            let anchor = Anchor::to_zero(layout, &settings.penalty, &lambdas, &fresh);
            return Ok(Start { theta: fresh, buffers, anchor });
        }
        let models: Vec<Vec<(String, Tensor)>> = job
            .starts
            .iter()
            .map(|start| start.as_ref().map(|arrays| arrays.iter().map(|array| (array.name.clone(), to_tensor(array))).collect()))
            .collect::<Option<_>>()
            .context("a target stage starts from a source model")?;
        let keep = settings.transfer.head == Head::Keep;
        let source = Architecture::new(&settings.model, dataset.shape, settings.source.classes.len());
        let (theta, buffers) = assemble(&source, &models).context("the source model on disk is of another architecture")?;
        let (mut theta, buffers) = (
            theta.to_device(self.device),
            crate::model::Buffers(buffers.0.iter().map(|(m, v)| (m.to_device(self.device), v.to_device(self.device))).collect()),
        );
        let head = layout.mask(Kind::Float, self.device, |p| p.role == Role::Head);
        if !keep {
            // The head is the last parameter of both architectures: the source's backbone, then the target's own head.
            let backbone: i64 = layout.parameters.iter().filter(|p| p.role == Role::Backbone).map(|p| p.count()).sum();
            theta = Tensor::cat(&[theta.narrow(1, 0, backbone), fresh.narrow(1, backbone, layout.total() - backbone)], 1);
        }
        let point = match settings.transfer.method {
            Method::Finetune => None,
            Method::L2sp if keep => Some(theta.copy()),
            Method::L2sp => Some(&theta * (-head + 1.0)),
        };
        let beta = (!keep).then_some(settings.transfer.beta);
        let anchor = Anchor::to_source(layout, &settings.penalty, &lambdas, beta, point, &theta);
        Ok(Start { theta, buffers, anchor })
    }
}

/// Results of a trained pack; the test set is opened here, once.
fn ends(job: &Job, pack: &Pack, trained: &Trained, dataset: &Dataset) -> Vec<Ended> {
    let test = trained.test(pack, dataset);
    let each = job.stages.iter().enumerate().map(|(k, stage)| {
        let course = &trained.courses[k];
        let history: Vec<Epoch> = course.history.iter().map(to_epoch).collect();
        if let Some((epoch, step)) = course.diverged {
            let error = Some(format!("the loss stopped being finite at epoch {epoch}, step {step}"));
            return Ended { status: Status::Diverged, metrics: BTreeMap::new(), history, error, model: None };
        }
        let mut metrics = BTreeMap::from([
            ("test_loss".to_string(), test.loss[k]),
            ("test_acc".into(), test.accuracy[k]),
            ("weight_norm".into(), trained.norms[k]),
            ("epochs".into(), course.chosen as f64),
        ]);
        if let Some(chosen) = course.result() {
            metrics.extend([
                ("train_loss".to_string(), chosen.train_loss),
                ("val_loss".into(), chosen.validation_loss),
                ("val_acc".into(), chosen.validation_accuracy),
                ("distance".into(), chosen.distance),
            ]);
        }
        let named = (stage.kind == StageKind::Source).then(|| disassemble(&pack.architecture.layout, &trained.theta, &trained.buffers, k));
        let model = named.map(|tensors| tensors.iter().map(|(name, tensor)| to_array(name, tensor)).collect());
        Ended { status: Status::Done, metrics, history, error: None, model }
    });
    each.collect()
}

/// Passes what happens in a pack on to the sweep, in words without tensors.
struct Relay<'a> {
    link: &'a dyn Link,
}

impl Observer for Relay<'_> {
    fn epoch(&mut self, reports: &[(usize, EpochReport)]) {
        reports.iter().for_each(|(k, report)| self.link.epoch(*k, &to_epoch(report)));
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

fn to_epoch(report: &EpochReport) -> Epoch {
    Epoch {
        epoch: report.epoch,
        train_loss: report.train_loss,
        val_loss: report.validation_loss,
        val_acc: report.validation_accuracy,
        distance: report.distance,
    }
}

fn to_array(name: &str, tensor: &Tensor) -> Array {
    let flat = tensor.to_device(Device::Cpu).to_kind(Kind::Float).contiguous().reshape([-1]);
    // A float tensor on the CPU converts; were it ever not so, the checkpoint's shape check would refuse the empty values.
    Array {
        name: name.into(),
        shape: tensor.size().iter().map(|&n| n as usize).collect(),
        values: Vec::<f32>::try_from(flat).unwrap_or_default(),
    }
}

fn to_tensor(array: &Array) -> Tensor {
    let shape: Vec<i64> = array.shape.iter().map(|&n| n as i64).collect();
    Tensor::from_slice(&array.values).reshape(shape)
}

fn to_snapshot(checkpoint: Checkpoint) -> Snapshot {
    Snapshot { tensors: checkpoint.arrays.iter().map(|array| (array.name.clone(), to_tensor(array))).collect(), progress: checkpoint.text }
}
