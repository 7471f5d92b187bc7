//! `bench`: how fast this device trains a study's stages, where the time is spent, and how far that
//! is from the device's limits.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};
use tch::{Device, Kind, Tensor};

use super::calibration::Timing;
use super::devices::{describe, hardware, wait_for};
use super::measure::WARM_UP;
use super::TorchEngine;
use crate::base::catch_panic::catch_panic;
use crate::config::network::Precision;
use crate::data::Roots;
use crate::model::{linear, profile, Architecture, Profiled, Strategy};
use crate::plan::{Plan, Stage, StageKind, StepCost};
use crate::run::engine::benchmark::{BatchingBenchmark, BenchOptions, Benchmark, ConvolutionTiming, Operation};
use crate::run::engine::{Engine, EngineOptions};

/// Measures every shape of stage in a plan.
pub fn bench(choice: &EngineOptions, plan: &Plan, roots: &Roots, measured: PathBuf, settings: &BenchOptions) -> Result<Benchmark> {
    // If a GPU is full or in use by another process, tch panics.
    catch_panic(|| measure(choice, plan, roots, measured, settings)).and_then(|outcome| outcome)
}

fn measure(choice: &EngineOptions, plan: &Plan, roots: &Roots, measured: PathBuf, settings: &BenchOptions) -> Result<Benchmark> {
    let engine = TorchEngine::new(choice, plan, roots, measured)?;
    let copy_bytes = engine.together(|worker| Ok(engine.copy_rate(worker)))?.iter().sum();
    let mut shapes: BTreeMap<(StageKind, &str), Vec<&Stage>> = BTreeMap::new();
    // An alignment stage trains nothing.
    let trained = plan.stages.iter().filter(|stage| stage.kind != StageKind::Alignment);
    trained.for_each(|stage| shapes.entry((stage.kind, &stage.shape)).or_default().push(stage));
    let mut tasks = vec![];
    for stages in shapes.into_values() {
        tasks.push(engine.bench_task(stages[0], stages.len(), settings, copy_bytes)?);
    }
    Ok(Benchmark {
        device: engine.device(),
        hardware: hardware(engine.devices[0]),
        libtorch: describe().libtorch,
        workers: engine.workers,
        copy_bytes,
        tasks,
    })
}

impl TorchEngine {
    /// Runs `work` on the threads of all workers at once.
    fn together<T: Send>(&self, work: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
        std::thread::scope(|scope| {
            let run = |worker: usize| {
                self.prepare_thread(worker);
                tch::with_grad(|| work(worker))
            };
            let start = |worker: usize| {
                let work = move || catch_panic(|| run(worker)).and_then(|outcome| outcome);
                std::thread::Builder::new().spawn_scoped(scope, work).with_context(|| {
                    format!("the system could start only {worker} of {} threads\n  hint: use --workers {}", self.workers, worker.max(1))
                })
            };
            let threads: Vec<_> = (0..self.workers).map(start).collect::<Result<_>>()?;
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| bail!("a measuring thread panicked"))).collect()
        })
    }

    /// Images per second of all workers together, and (on CPU) the share of their time in which
    /// they computed.
    fn throughput(&self, stage: &Stage, k: usize, seconds: f64) -> Result<Option<(f64, Option<f64>)>> {
        let time = Duration::from_secs_f64(seconds);
        if k > 1 && self.rate_if_it_fits(0, stage, k, Duration::ZERO, true)?.is_none() {
            return Ok(None);
        }
        let rates = self.together(|worker| {
            let (clock, computing) = (Instant::now(), thread_seconds());
            let rate = self.rate(worker, stage, k, time, false)?;
            Ok((rate, (thread_seconds() - computing) / clock.elapsed().as_secs_f64()))
        })?;
        let images = rates.iter().map(|(rate, _)| rate.images_per_second(k)).sum();
        let busy = rates.iter().map(|(_, busy)| busy).sum::<f64>() / rates.len() as f64;
        Ok(Some((images, (self.devices[0] == Device::Cpu).then_some(busy.min(1.0)))))
    }

    fn bench_task(&self, stage: &Stage, stages: usize, settings: &BenchOptions, copy_bytes: f64) -> Result<BatchingBenchmark> {
        self.switch_tf32(stage);
        let matmul_flops = self.together(|worker| Ok(self.matmul_rate(worker, stage.settings.precision)))?.iter().sum();
        let pack = self.pack_size(stage, stages);
        let phase = stage.phase();
        let (images_per_second, busy) =
            self.throughput(stage, pack, settings.seconds)?.context("a pack of one model does not fit into the device's memory")?;
        ensure!(images_per_second > 0.0, "no training step was completed in time; use a larger --seconds");
        let mut other_packs = vec![];
        for &k in settings.packs.iter().filter(|&&k| k != pack) {
            other_packs.push((k, self.throughput(stage, k, settings.seconds)?.map(|(images, _)| images)));
        }
        let cost = StepCost::of(stage);
        let (floor_by_flops, floor_by_bytes) = (matmul_flops / cost.flops_per_image, copy_bytes / cost.bytes_per_image);
        let n = stage.images().iter().map(|class| class.train).sum::<usize>();
        let per_step = n as f64 / n.div_ceil(phase.batch_size) as f64;
        Ok(BatchingBenchmark {
            kind: stage.kind,
            stages,
            batch: phase.batch_size,
            precision: format!("{:?}", stage.settings.precision).to_lowercase(),
            pack,
            images_per_second,
            model_steps_per_second: images_per_second / per_step,
            other_packs,
            busy,
            convolutions: self.layers(stage, pack)?,
            matmul_flops,
            flops_per_image: cost.flops_per_image,
            bytes_per_image: cost.bytes_per_image,
            floor_by_flops,
            floor_by_bytes,
            share_of_floor: images_per_second / floor_by_flops.min(floor_by_bytes),
            profile: self.profile(stage, pack)?,
        })
    }

    fn layers(&self, stage: &Stage, pack: usize) -> Result<Vec<ConvolutionTiming>> {
        if pack == 1 {
            return Ok(vec![]);
        }
        let (settings, phase) = (&stage.settings, stage.phase());
        let layers = Architecture::new(&settings.model, settings.input(), phase.labels(stage.data()).len()).convolutions();
        let device = self.devices[0];
        let describe = |timing: Timing| {
            let c = timing.convolution;
            ConvolutionTiming {
                shape: format!("{}×{}, {} → {} channels at {} × {}", c.kernel, c.kernel, c.inputs, c.outputs, c.height, c.width),
                // On CPU only this strategy is used: see `architecture`.
                chosen: if device == Device::Cpu { Strategy::Alone } else { timing.chosen }.as_str(),
                milliseconds: timing.milliseconds.iter().map(|(strategy, ms)| (strategy.as_str(), *ms)).collect(),
            }
        };
        let timings = self.calibration.timings(&layers, pack, phase.batch_size, stage.settings.precision, device);
        Ok(timings.into_iter().map(describe).collect())
    }

    /// The time of each operation in a step, on one worker.
    fn profile(&self, stage: &Stage, pack: usize) -> Result<Vec<Operation>> {
        self.prepare_thread(0);
        let (rate, all) = profile(|| tch::with_grad(|| self.rate(0, stage, pack, Duration::from_millis(500), false)));
        // The profile includes the warm-up steps.
        let steps = (rate?.steps + WARM_UP) as f64;
        let operation = |p: Profiled| Operation {
            name: p.name,
            calls_per_step: p.calls as f64 / steps,
            microseconds_per_step: 1e6 * p.seconds / steps,
        };
        Ok(all.into_iter().map(operation).filter(|operation| operation.calls_per_step >= 0.5).collect())
    }

    /// Operations per second of the faster matrix product: our own or libtorch's.
    fn matmul_rate(&self, worker: usize, precision: Precision) -> f64 {
        let device = self.devices[self.device_of(worker)];
        let n = if device == Device::Cpu { 1024 } else { 8192 }; // large enough to fill the device
        let kind = if precision == Precision::Bf16 { Kind::BFloat16 } else { Kind::Float };
        let (a, b) = (Tensor::ones([1, n, n], (kind, device)), Tensor::ones([1, n, n], (kind, device)));
        let bias = Tensor::zeros([1, n], (kind, device));
        let seconds = |work: &dyn Fn() -> Tensor| tch::no_grad(|| repeat(device, || drop(work())));
        let best = seconds(&|| a.bmm(&b)).min(seconds(&|| linear(&a, &b, &bias, false)));
        2.0 * (n * n * n) as f64 / best
    }

    fn copy_rate(&self, worker: usize) -> f64 {
        const FLOATS: i64 = 16 << 20;
        let options = (Kind::Float, self.devices[self.device_of(worker)]);
        let (from, mut to) = (Tensor::zeros([FLOATS], options), Tensor::zeros([FLOATS], options));
        8.0 * FLOATS as f64 / repeat(options.1, || to.copy_(&from))
    }
}

/// Mean seconds of one call, from half a second of calls.
fn repeat(device: Device, mut work: impl FnMut()) -> f64 {
    work();
    wait_for(device);
    let (started, mut calls) = (Instant::now(), 0);
    while started.elapsed() < Duration::from_millis(500) {
        work();
        wait_for(device);
        calls += 1;
    }
    started.elapsed().as_secs_f64() / f64::from(calls)
}

/// CPU time of the calling thread.
fn thread_seconds() -> f64 {
    // SAFETY: `clock_gettime` only writes to the struct that it is given.
    let time = unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time);
        time
    };
    time.tv_sec as f64 + 1e-9 * time.tv_nsec as f64
}
