//! Small models and trainings on the embedded digits.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use tch::{Device, Kind, Tensor};

use crate::config::network::{Augment, Class, DataChoice, DataName, Model, ModelKind, Norm, PenaltyRules, Phase, Precision};
use crate::data::{normalisation, search_path, task_labels, training_labels, Dataset, Preparation, Split};
use crate::model::{no_grad, Architecture};
use crate::train::{
    DeviceDataset, EpochReport, EvaluationLoss, Observer, Pack, Penalty, Place, Replica, Snapshot, Start, Trained, TrainingOutcome,
};

/// Every architecture, small.
pub fn models() -> Vec<(&'static str, Model)> {
    let conv = |norm| Model { channels: Some(vec![4, 8]), norm, groups: 2, ..Model::default() };
    let mlp = |norm| Model { kind: ModelKind::Mlp, hidden: Some(vec![12, 8]), norm, groups: 2, ..Model::default() };
    let resnet = |kind, norm| {
        let channels = Some(if kind == ModelKind::Resnet18 { vec![2, 4, 4, 6] } else { vec![4, 4, 8] });
        Model { kind, channels, norm, groups: 2, ..Model::default() }
    };
    vec![
        ("convnet", conv(Norm::None)),
        ("convnet batch", conv(Norm::Batch)),
        ("convnet group", conv(Norm::Group)),
        ("mlp", mlp(Norm::None)),
        ("mlp batch", mlp(Norm::Batch)),
        ("bag", Model { kind: ModelKind::Bag, embedding: Some(6), hidden: Some(vec![8]), ..Model::default() }),
        ("vit", Model { kind: ModelKind::Vit, width: Some(8), depth: Some(2), heads: Some(2), ..Model::default() }),
        ("resnet20 batch", resnet(ModelKind::Resnet20, Norm::Batch)),
        ("resnet20 group", resnet(ModelKind::Resnet20, Norm::Group)),
        ("resnet18 batch", resnet(ModelKind::Resnet18, Norm::Batch)),
    ]
}

/// A training with everything that draws random numbers or leaves replicas behind.
pub fn phase() -> Phase {
    Phase {
        per_class: Some(12),
        validation_per_class: Some(10),
        batch_size: 16,
        nesterov: true,
        augment: Augment { flip: true, shift: 1, ..Augment::default() },
        dropout: 0.2,
        label_noise: 0.1,
        patience: Some(3),
        ..Phase::new((0..5).map(Class::Label).collect(), 6, 0.1)
    }
}

pub struct Setting {
    data: Dataset,
    phase: Phase,
    rules: PenaltyRules,
    architecture: Architecture,
    pool: DeviceDataset,
    device: Device,
    kind: Kind,
}

impl Setting {
    pub fn new(model: &Model, phase: Phase, device: Device, kind: Kind) -> Result<Setting> {
        let data = Dataset::load(&DataChoice::Named(DataName::Digits), false, [8, 8, 1], &search_path(None))?;
        let shape = data.info.image_shape.context("digits are images")?;
        let architecture = Architecture::new(model, shape, phase.classes.len());
        let pool = DeviceDataset::new(&data.train, shape, device, Place::Device);
        Ok(Setting { data, phase, rules: PenaltyRules::default(), architecture, pool, device, kind })
    }

    /// The same with the images in main memory.
    pub fn with_images_in_main_memory(self) -> Setting {
        let shape = self.data.shape;
        Setting { pool: DeviceDataset::new(&self.data.train, shape, self.device, Place::Host), ..self }
    }

    fn replica(&self, seed: u64) -> Replica {
        let split = Split::draw(&self.data.train, &self.phase.images(self.data.info), &[], seed, 0);
        let noisy = self.phase.label_noise > 0.0;
        Replica {
            seed,
            training_labels: noisy.then(|| training_labels(&self.data.train, self.data.info, &self.phase, "source", &split.train, seed)),
            preparation: Preparation::Pixels(normalisation(&self.data.train, &split.train, 1)),
            train: split.train,
            validation: split.validation,
            monitor: split.monitor,
        }
    }

    /// The trained models; none if the observer stopped the training.
    pub fn train(&self, seeds: &[u64], lambdas: &[f64], resume: Option<Snapshot>, observer: &mut dyn Watching) -> Option<Trained> {
        let replicas: Vec<Replica> = seeds.iter().map(|&seed| self.replica(seed)).collect();
        let pack = Pack {
            architecture: &self.architecture,
            phase: &self.phase,
            rules: &self.rules,
            precision: Precision::Float32,
            task: "source",
            outputs: task_labels(self.data.info, &self.phase),
            replicas: &replicas,
            pool: &self.pool,
            freeze_batchnorm: false,
            frozen: false,
            objective: EvaluationLoss::CrossEntropy { smoothing: self.phase.expected_smoothing(self.data.info) },
        };
        let theta = self.architecture.layout.initial(seeds, "source", self.kind, self.device);
        let buffers = self.architecture.fresh_buffers(seeds.len() as i64, self.kind, self.device);
        let penalty = Penalty::to_zero(&self.architecture.layout, &self.rules, lambdas, &theta);
        match pack.train(Start { theta, buffers, penalty }, resume, &mut Relay(observer)) {
            TrainingOutcome::Trained(trained) => Some(trained),
            TrainingOutcome::Stopped => None,
        }
    }
}

/// What a check wants to know of a training.
pub trait Watching {
    /// A step has ended.
    fn step(&self) {}
    /// Whether to stop; called before every step.
    fn stop(&self) -> bool {
        false
    }
    fn snapshot(&self, _: Snapshot) {}
}

/// Nothing.
pub struct Unwatched;

impl Watching for Unwatched {}

/// Stops before a step, and keeps the snapshot.
#[derive(Default)]
pub struct StopsAt {
    pub step: usize,
    pub seen: Cell<usize>,
    pub snapshot: RefCell<Option<Snapshot>>,
}

impl Watching for StopsAt {
    fn stop(&self) -> bool {
        self.seen.set(self.seen.get() + 1);
        self.seen.get() > self.step
    }
    fn snapshot(&self, snapshot: Snapshot) {
        self.snapshot.replace(Some(snapshot));
    }
}

struct Relay<'a>(&'a mut dyn Watching);

impl Observer for Relay<'_> {
    fn epoch(&mut self, _: &[(usize, EpochReport)]) {}
    fn step(&self) {
        self.0.step();
    }
    fn stop(&self) -> bool {
        self.0.stop()
    }
    fn wants_snapshot(&self) -> bool {
        false
    }
    fn snapshot(&mut self, snapshot: Snapshot) {
        self.0.snapshot(snapshot);
    }
}

/// A folder that is removed at the end.
pub struct TemporaryFolder(pub PathBuf);

impl TemporaryFolder {
    pub fn new() -> Result<TemporaryFolder> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("transfergrid-proof-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        Ok(TemporaryFolder(path))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Largest absolute difference.
pub fn difference(a: &Tensor, b: &Tensor) -> f64 {
    no_grad(|| {
        (a.to_kind(Kind::Double).to_device(Device::Cpu) - b.to_kind(Kind::Double).to_device(Device::Cpu)).abs().max().double_value(&[])
    })
}
