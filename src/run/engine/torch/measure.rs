//! Trains made-up packs for a short time to measure their speed.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::Result;
use tch::{Device, Kind};

use super::calibration::PackSize;
use super::devices::{model, wait_for};
use super::memory::memory;
use super::{task_name, TorchEngine};
use crate::base::catch_panic::catch_panic;
use crate::data::task_labels;
use crate::model::release_memory;
use crate::plan::{Stage, StageKind};
use crate::run::engine::perhaps_out_of_memory;
use crate::train::{EpochReport, EvaluationLoss, Observer, Pack, Penalty, Snapshot, Start};

/// Maximal number of replicas that are tried in one pack.
const LARGEST: usize = 256;

/// Numbers of replicas that are tried, below the number that a study has.
const TRIED: [usize; 5] = [1, 4, 16, 64, 256];

/// A smaller pack may be this much slower: a larger one also uses more memory, and all its replicas
/// wait for the slowest.
const WORTH: f64 = 1.1;

/// Steps before timing starts, in which libtorch chooses kernels and fills its caches.
pub const WARM_UP: usize = 5;

/// The result of a timed training run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Steps of the whole pack.
    pub steps: usize,
    /// Images of one replica in a step, averaged over its epoch.
    pub images_per_step: f64,
    pub seconds: f64,
}

impl Rate {
    /// Training images per second, of all replicas together.
    pub fn images_per_second(&self, replicas: usize) -> f64 {
        self.steps as f64 * self.images_per_step * replicas as f64 / self.seconds
    }
}

/// Stops a pack's training after a given time.
struct Clock {
    device: Device,
    time: Duration,
    steps: Cell<usize>,
    started: Cell<Option<Instant>>,
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
    /// Trains `k` replicas of a stage from newly initialised weights. With `whole`, each epoch
    /// includes the full validation.
    pub(super) fn rate(&self, worker: usize, stage: &Stage, k: usize, time: Duration, whole: bool) -> Result<Rate> {
        let device = self.device_of(worker);
        let (pool, mut prepared) = self.prepare(std::slice::from_ref(stage), device)?;
        let device = self.devices[device];
        self.switch_tf32(stage);
        let mut phase = stage.phase();
        (phase.epochs, phase.patience) = (1_000_000, None);
        let architecture = self.architecture(stage, device, k)?;
        let mut replica = prepared.remove(0);
        if !whole {
            replica.monitor.truncate(1);
        }
        let replicas = vec![replica; k];
        let pack = Pack {
            architecture: &architecture,
            phase: &phase,
            rules: &stage.settings.penalty,
            precision: stage.settings.precision,
            task: task_name(stage.kind),
            outputs: task_labels(stage.data(), &phase),
            replicas: &replicas,
            pool: &pool,
            freeze_batchnorm: false,
            frozen: stage.kind == StageKind::Target && stage.settings.transfer.method.is_frozen(),
            objective: match stage.data().is_regression {
                true => EvaluationLoss::Response,
                false => EvaluationLoss::CrossEntropy { smoothing: 0.0 },
            },
        };
        let theta = architecture.layout.initial(&vec![stage.stream_seed(); k], pack.task, Kind::Float, device);
        let buffers = architecture.fresh_buffers(k as i64, Kind::Float, device);
        let penalty = Penalty::to_zero(&architecture.layout, &stage.settings.penalty, &vec![stage.settings.lambda0; k], &theta);
        let mut clock = Clock { device, time, steps: Cell::new(0), started: Cell::new(None) };
        pack.train(Start { theta, buffers, penalty }, None, &mut clock);
        wait_for(device);
        let n = replicas[0].train.len();
        let images_per_step = n as f64 / n.div_ceil(phase.batch_size) as f64;
        // If all replicas diverge, the pack ends early. The rate then covers the steps up to that
        // point.
        let seconds = clock.started.get().map_or(f64::INFINITY, |started| started.elapsed().as_secs_f64());
        Ok(Rate { steps: clock.steps.get(), images_per_step, seconds })
    }

    /// The same, but returns none if the device's memory does not suffice.
    pub(super) fn rate_if_it_fits(&self, worker: usize, stage: &Stage, k: usize, time: Duration, whole: bool) -> Result<Option<Rate>> {
        match catch_panic(|| tch::with_grad(|| self.rate(worker, stage, k, time, whole))).and_then(|rate| rate) {
            Ok(rate) => Ok(Some(rate)),
            Err(error) if perhaps_out_of_memory(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How many replicas of this stage a pack should have: on several devices, what suits all of
    /// them.
    pub(super) fn measured_pack_size(&self, stage: &Stage, stages: usize) -> usize {
        let most = stages.min(LARGEST);
        let models: Vec<String> = self.devices.iter().map(|&device| model(device)).collect();
        let sharing = self.workers.div_ceil(self.devices.len()) as u64;
        let sizes = (0..models.len()).map(|device| {
            let key = format!("{} of {most}", stage.shape);
            // GPUs of one model are equally fast, but may have different amounts of memory free.
            let like = models.iter().position(|model| *model == models[device]).unwrap_or(device);
            let measured = self.calibration.pack_size(self.devices[like], &key, || self.measure_pack_size(like, stage, most));
            measured.within(memory(self.devices[device]).map(|memory| memory.free / sharing))
        });
        sizes.min().unwrap_or(1)
    }

    /// The smallest pack that is nearly as fast as the fastest, of all sizes that fit. It does not
    /// stop at the first size that gains nothing: speed can rise again.
    fn measure_pack_size(&self, device: usize, stage: &Stage, most: usize) -> PackSize {
        let (mut tried, mut taken) = (vec![], vec![]);
        for k in TRIED.into_iter().filter(|&k| k < most).chain([most]) {
            release_memory();
            let before = memory(self.devices[device]);
            // An error other than lack of memory will occur again in the sweep and is reported
            // there.
            let Ok(Some(rate)) = self.rate_if_it_fits(device, stage, k, Duration::from_millis(400), true) else { break };
            tried.push((k, rate.images_per_second(k)));
            let after = memory(self.devices[device]);
            taken.push(before.zip(after).map(|(before, after)| before.free.saturating_sub(after.free)));
        }
        release_memory(); // each worker's cuBLAS and cuDNN need some of it
        let fastest = tried.iter().map(|(_, speed)| *speed).fold(0.0, f64::max);
        let chosen = tried.iter().position(|(_, speed)| *speed * WORTH >= fastest);
        PackSize { chosen: chosen.map_or(1, |i| tried[i].0), bytes: chosen.and_then(|i| taken[i]), images_per_second: tried }
    }
}
