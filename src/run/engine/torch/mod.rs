//! Packs through libtorch. On CPU: one replica per worker, one intra-op thread and one core each. On CUDA: packs of replicas in one
//! graph, as many and computed as is fastest on the device at hand.

mod bench;
mod calibration;
mod devices;
mod measure;
mod sources;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::{ensure, Context, Result};
use tch::{Device, Kind, Tensor};

use super::{Choice, Ended, Engine, Epoch, Job, Link, PackEnd};
use crate::config::network::{BatchNormRule, DataName, Head, Method, Precision};
use crate::data::{normalisation, task_labels, Dataset, Normalisation, Roots, Split};
use crate::model::{allow_tf32, Architecture, Role};
use crate::plan::{Plan, Stage, StageKind};
use crate::store::{Array, Checkpoint, Status};
use crate::train::{assemble, disassemble, Anchor, EpochReport, Observer, Outcome, Pack, Pool, Replica, Snapshot, Start, Trained};
use calibration::Calibration;
use sources::{Named, Sources};

pub use bench::bench;
pub use devices::{auto_device, describe};

/// The data sets of a plan, each on every device in use, and the source models that targets still want.
pub struct Torch {
    devices: Vec<Device>,
    workers: usize,
    /// Replicas in a pack; none: as measured.
    pack: Option<usize>,
    data: HashMap<DataName, Data>,
    /// A source task's statistics are wanted again by each of its targets.
    normalisations: Mutex<HashMap<String, Normalisation>>,
    sources: Sources,
    calibration: Calibration,
}

struct Data {
    set: Dataset,
    /// Of each device.
    pools: Vec<Mutex<Pool>>,
}

pub fn open(choice: &Choice, plan: &Plan, roots: &Roots, measured: PathBuf) -> Result<Box<dyn Engine>> {
    Ok(Box::new(Torch::new(choice, plan, roots, measured)?))
}

impl Torch {
    fn new(choice: &Choice, plan: &Plan, roots: &Roots, measured: PathBuf) -> Result<Torch> {
        let devices = devices::devices(&choice.device)?;
        // Replicas run in parallel, so operators need no threads between them. Fails the second time in one process: harmless.
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
        let mut data = HashMap::new();
        for name in DataName::ALL.into_iter().filter(|name| plan.stages.iter().any(|stage| stage.settings.data == *name)) {
            let set = Dataset::load(name, roots)?;
            let pools = devices.iter().map(|&device| Mutex::new(Pool::new(&set.train, set.shape, device))).collect();
            data.insert(name, Data { set, pools });
        }
        let calibration = Calibration::new(measured, devices[0]);
        Ok(Torch { devices, workers, pack, data, normalisations: Mutex::default(), sources: Sources::new(plan), calibration })
    }

    fn device_of(&self, worker: usize) -> usize {
        worker % self.devices.len()
    }
}

/// TF32 is a switch of the whole process.
fn set_tf32(plan: &Plan, device: Device, workers: usize) -> Result<()> {
    let is_tf32 = |stage: &Stage| stage.settings.precision == Precision::Tf32;
    let some = plan.stages.iter().any(is_tf32);
    if some && !plan.stages.iter().all(is_tf32) && device != Device::Cpu && workers > 1 {
        return Err(crate::run::usage(
            "`precision` has tf32 and others, which cannot be trained at one time",
            "use one device and --workers 1 for this study",
        ));
    }
    allow_tf32(some);
    Ok(())
}

/// Keeps the calling thread on the worker's own core: its caches stay warm. Only where the sweep has a worker for each core that the process may
/// use, since other programs (another sweep, say) would be given the same cores. A refusal is no matter.
fn pin(worker: usize, workers: usize) {
    static CORES: std::sync::OnceLock<Vec<usize>> = std::sync::OnceLock::new();
    // SAFETY: zeroed sets of the right size; the first is filled on success, the second has one core of those that we may use.
    unsafe {
        let size = std::mem::size_of::<libc::cpu_set_t>();
        let cores = CORES.get_or_init(|| {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            // Of the whole process: no thread has been pinned yet.
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

impl Engine for Torch {
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
        self.pack.unwrap_or_else(|| self.measured_pack_size(stage, stages))
    }

    fn holds(&self, source: &str) -> bool {
        self.sources.holds(source)
    }

    fn run(&self, worker: usize, job: &Job, link: &dyn Link) -> Result<PackEnd> {
        self.prepare_thread(worker);
        // A panic inside tch's `no_grad` leaves gradients off on this thread; the next pack must not suffer for it.
        tch::with_grad(|| self.train(self.device_of(worker), job, link))
    }
}

impl Torch {
    /// What libtorch and the system keep for each thread.
    fn prepare_thread(&self, worker: usize) {
        tch::set_num_threads(1);
        if self.devices[0] == Device::Cpu {
            pin(worker, self.workers);
        }
    }

    /// Sets the process's switch as a stage wants it.
    fn switch_tf32(&self, stage: &Stage) {
        if self.devices[0] != Device::Cpu {
            allow_tf32(stage.settings.precision == Precision::Tf32);
        }
    }

    /// The data set and its images on a device.
    fn data(&self, name: DataName, device: usize) -> Result<(&Dataset, Pool)> {
        let data = self.data.get(&name).context("the engine was opened for another plan")?;
        let pool = data.pools[device].lock().map_or_else(|poisoned| poisoned.into_inner().share(), |pool| pool.share());
        Ok((&data.set, pool))
    }

    /// A network with the strategies that are fastest for `k` replicas.
    fn architecture(&self, stage: &Stage, dataset: &Dataset, device: Device, k: usize) -> Architecture {
        let phase = stage.phase();
        let mut architecture = Architecture::new(&stage.settings.model, dataset.shape, phase.classes.len());
        // On CPU separate convolutions are as fast as any, and give each replica the bits that it gets alone.
        if device != Device::Cpu && k > 1 {
            let precision = stage.settings.precision;
            architecture.strategies = self.calibration.strategies(&architecture.convolutions(), k, phase.batch_size, precision, device);
        }
        architecture
    }

    fn train(&self, device: usize, job: &Job, link: &dyn Link) -> Result<PackEnd> {
        let first = &job.stages[0];
        let (settings, phase) = (first.settings.clone(), first.phase());
        self.switch_tf32(first);
        let (dataset, pool) = self.data(settings.data, device)?;
        let architecture = self.architecture(first, dataset, self.devices[device], job.stages.len());
        let replicas: Vec<Replica> = job.stages.iter().map(|stage| self.replica(stage, dataset)).collect();
        ensure!(replicas.iter().all(|r| r.train.len() == replicas[0].train.len()), "the replicas of a pack have equally many images");
        let transfers = first.kind == StageKind::Target;
        let pack = Pack {
            architecture: &architecture,
            phase: &phase,
            rules: &settings.penalty,
            precision: settings.precision,
            task: if first.kind == StageKind::Source { "source" } else { "target" },
            outputs: task_labels(settings.data, &phase),
            replicas: &replicas,
            pool: &pool,
            freeze_batchnorm: transfers && settings.transfer.batchnorm == BatchNormRule::Frozen,
        };
        let start = self.start(self.devices[device], job, link, &architecture, dataset)?;
        let mut relay = Relay { link };
        match pack.train(start, link.resume().map(to_snapshot), &mut relay) {
            Outcome::Stopped => Ok(PackEnd::Stopped),
            Outcome::Trained(trained) => {
                let ends = self.ends(job, &pack, &trained, dataset);
                job.sources.iter().flatten().for_each(|source| self.sources.used(source)); // last: a pack that fails is tried again
                Ok(PackEnd::Finished(ends))
            }
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
    fn start(&self, device: Device, job: &Job, link: &dyn Link, architecture: &Architecture, dataset: &Dataset) -> Result<Start> {
        let first = &job.stages[0];
        let (settings, layout) = (&first.settings, &architecture.layout);
        let seeds: Vec<u64> = job.stages.iter().map(|stage| stage.seed).collect();
        let lambdas: Vec<f64> = job.stages.iter().map(|stage| stage.lambda).collect();
        let task = if first.kind == StageKind::Source { "source" } else { "target" };
        let fresh = layout.initial(&seeds, task, Kind::Float, device);
        let buffers = architecture.fresh_buffers(seeds.len() as i64, Kind::Float, device);
        if first.kind != StageKind::Target {
            let anchor = Anchor::to_zero(layout, &settings.penalty, &lambdas, &fresh);
            return Ok(Start { theta: fresh, buffers, anchor });
        }
        let models: Vec<Named> = job
            .sources
            .iter()
            .map(|source| self.source(source.as_deref().context("a target stage starts from a source model")?, device, link))
            .collect::<Result<_>>()?;
        let keep = settings.transfer.head == Head::Keep;
        let source = Architecture::new(&settings.model, dataset.shape, settings.source.classes.len());
        let (mut theta, buffers) = assemble(&source, &models).context("the source model on disk is of another architecture")?;
        let head = layout.mask(Kind::Float, device, |p| p.role == Role::Head);
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

    /// A finished source's model: from memory, else from disk.
    fn source(&self, key: &str, device: Device, link: &dyn Link) -> Result<Named> {
        if let Some(model) = self.sources.get(key, device) {
            return Ok(model);
        }
        Ok(link.model(key)?.iter().map(|array| (array.name.clone(), to_tensor(array).to_device(device))).collect())
    }

    /// Results of a trained pack; the test set is opened here, once.
    fn ends(&self, job: &Job, pack: &Pack, trained: &Trained, dataset: &Dataset) -> Vec<Ended> {
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
            let model = (stage.kind == StageKind::Source).then(|| {
                let named = disassemble(&pack.architecture.layout, &trained.theta, &trained.buffers, k);
                let arrays = named.iter().map(|(name, tensor)| to_array(name, tensor)).collect();
                self.sources.keep(&stage.key, named);
                arrays
            });
            Ended { status: Status::Done, metrics, history, error: None, model }
        });
        each.collect()
    }
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
