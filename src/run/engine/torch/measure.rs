//! Trains made-up packs for a moment, to see how fast they go.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::Result;
use tch::{Cuda, Device, Kind};

use super::{task_name, TorchEngine};
use crate::base::catch_panic::catch_panic;
use crate::data::task_labels;
use crate::model::release_memory;
use crate::plan::{Stage, StageKind};
use crate::run::engine::perhaps_out_of_memory;
use crate::train::{EpochReport, EvaluationLoss, Observer, Pack, Penalty, Snapshot, Start};

/// Replicas tried in one pack, at most.
const LARGEST: usize = 256;

/// How much faster a pack twice as large has to be, to be worth its memory and the wait for its slowest replica.
const WORTH: f64 = 1.1;

/// Steps before the clock starts: libtorch chooses kernels and fills its caches.
pub const WARM_UP: usize = 5;

/// What a moment of training gave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Steps of the whole pack.
    pub steps: usize,
    /// Images a step takes from each replica's epoch, on average.
    pub images_per_step: f64,
    pub seconds: f64,
}

impl Rate {
    /// Training images of all replicas a second.
    pub fn images_per_second(&self, replicas: usize) -> f64 {
        self.steps as f64 * self.images_per_step * replicas as f64 / self.seconds
    }
}

/// Lets a pack train until its time is up.
struct Clock {
    device: Device,
    time: Duration,
    steps: Cell<usize>,
    started: Cell<Option<Instant>>,
}

pub fn wait_for(device: Device) {
    if let Device::Cuda(index) = device {
        Cuda::synchronize(index as i64);
    }
}

impl Observer for Clock {
    fn epoch(&mut self, _: &[(usize, EpochReport)]) {}

    fn step(&self) {
        self.steps.set(self.steps.get() + 1);
    }

    fn stop(&self) -> bool {
        match self.started.get() {
            None if self.steps.get() >= WARM_UP => {
                wait_for(self.device);
                self.started.set(Some(Instant::now()));
                self.steps.set(0);
                false
            }
            None => false,
            Some(started) => started.elapsed() >= self.time && self.steps.get() > 0,
        }
    }

    fn wants_snapshot(&self) -> bool {
        false
    }

    fn snapshot(&mut self, _: Snapshot) {}
}

impl TorchEngine {
    /// Trains `k` replicas of a stage, each from a fresh start. `whole`: with the validation after each epoch.
    pub(super) fn rate(&self, worker: usize, stage: &Stage, k: usize, time: Duration, whole: bool) -> Result<Rate> {
        let device = self.device_of(worker);
        let (pool, mut prepared) = self.prepare(std::slice::from_ref(stage), device)?;
        let device = self.devices[device];
        self.switch_tf32(stage);
        let mut phase = stage.phase();
        (phase.epochs, phase.patience) = (1_000_000, None);
        let architecture = self.architecture(stage, device, k);
        let mut replica = prepared.remove(0);
        if !whole {
            replica.validation.truncate(1);
        }
        let replicas = vec![replica; k];
        let pack = Pack {
            architecture: &architecture,
            phase: &phase,
            rules: &stage.settings.penalty,
            precision: stage.settings.precision,
            task: task_name(stage.kind),
            outputs: task_labels(stage.settings.data, &phase),
            replicas: &replicas,
            pool: &pool,
            freeze_batchnorm: false,
            frozen: stage.kind == StageKind::Target && stage.settings.transfer.method.is_frozen(),
            objective: EvaluationLoss::CrossEntropy { smoothing: 0.0 },
        };
        let theta = architecture.layout.initial(&vec![stage.seed; k], pack.task, Kind::Float, device);
        let buffers = architecture.fresh_buffers(k as i64, Kind::Float, device);
        let penalty = Penalty::to_zero(&architecture.layout, &stage.settings.penalty, &vec![stage.settings.lambda0; k], &theta);
        let mut clock = Clock { device, time, steps: Cell::new(0), started: Cell::new(None) };
        pack.train(Start { theta, buffers, penalty }, None, &mut clock);
        wait_for(device);
        let n = replicas[0].train.len();
        let images_per_step = n as f64 / n.div_ceil(phase.batch_size) as f64;
        // A pack whose replicas have all diverged ends by itself; its time counts as far as it went.
        let seconds = clock.started.get().map_or(f64::INFINITY, |started| started.elapsed().as_secs_f64());
        Ok(Rate { steps: clock.steps.get(), images_per_step, seconds })
    }

    /// The same, where the device's memory may not suffice: none then.
    pub(super) fn rate_if_it_fits(&self, stage: &Stage, k: usize, time: Duration, whole: bool) -> Result<Option<Rate>> {
        match catch_panic(|| tch::with_grad(|| self.rate(0, stage, k, time, whole))).and_then(|rate| rate) {
            Ok(rate) => Ok(Some(rate)),
            Err(error) if perhaps_out_of_memory(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How many replicas of this stage a pack should have: doubled for as long as that brings more images a second.
    pub(super) fn measured_pack_size(&self, stage: &Stage, stages: usize) -> usize {
        let key = format!("{} of {}", stage.shape, stages.min(LARGEST).next_power_of_two());
        self.calibration.pack_size(&key, || {
            let (mut best, mut fastest, mut k) = (1, 0.0, 1);
            let mut tried = vec![];
            while k <= LARGEST && k < 2 * stages {
                // A failure other than of memory will be met again in the sweep, and told there.
                let Ok(Some(rate)) = self.rate_if_it_fits(stage, k, Duration::from_millis(400), true) else { break };
                let speed = rate.images_per_second(k);
                tried.push((k, speed));
                if speed <= WORTH * fastest {
                    break;
                }
                (best, fastest, k) = (k, speed, 2 * k);
            }
            release_memory(); // each worker's cuBLAS and cuDNN will want some
            (best, tried)
        })
    }
}
