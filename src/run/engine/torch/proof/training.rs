//! Trainings on the device: packs, snapshots, and whether the host waits for the device.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use tch::{Device, Kind, Tensor};

use super::super::devices::wait_for;
use super::setting::{difference, models, phase, Setting, StopsAt, Unwatched, Watching};
use super::{Bench, Finding};
use crate::config::network::{Augment, Model, ModelKind, Norm, Phase};
use crate::model::{no_grad, profile};
use crate::train::TrainingHistory;

fn convnet() -> Model {
    Model { channels: Some(vec![4, 8]), norm: Norm::Batch, ..Model::default() }
}

/// Eight models in a pack on the device, each against itself alone on the CPU: with augmentation,
/// dropout, label noise and BatchNorm, and with replicas that stop early and leave the pack.
pub fn pack_is_its_models(bench: Bench) -> Result<Finding> {
    let (mut worst, mut stopped) = (0f64, 0);
    for (name, model) in models().into_iter().filter(|(name, _)| ["convnet batch", "mlp batch", "resnet20 batch"].contains(name)) {
        let pack = Setting::new(&model, phase(), bench.device, bench.kind)?;
        let alone = Setting::new(&model, phase(), Device::Cpu, bench.kind)?;
        let seeds = [0, 1, 2, 3, 0, 1, 2, 3];
        let lambdas = [0.0, 0.0, 0.01, 0.01, 0.3, 0.3, 3.0, 3.0];
        let mut given = seeds;
        if bench.planted {
            given.swap(0, 1);
        }
        let fused = pack.train(&given, &lambdas, None, &mut Unwatched).context("a training ends")?;
        for i in 0..seeds.len() {
            let single = alone.train(&seeds[i..=i], &lambdas[i..=i], None, &mut Unwatched).context("a training ends")?;
            ensure!(
                bench.planted || fused.histories[i].chosen == single.histories[0].chosen,
                "{name}: model {i} takes epoch {} in the pack and {} alone",
                fused.histories[i].chosen,
                single.histories[0].chosen
            );
            worst = worst.max(difference(&fused.theta.narrow(0, i as i64, 1), &single.theta));
        }
        let lengths: Vec<usize> = fused.histories.iter().map(|history| history.history.len()).collect();
        stopped += lengths.iter().filter(|&&n| n < phase().epochs).count();
    }
    Ok(Finding { measured: format!("{stopped} of 24 models left early"), holds: stopped > 0 }.and(Finding::at_most(
        "weights differ by",
        worst,
        1e-8,
    )))
}

/// Trained on images that stay in main memory, models are the same as on images on the device, and
/// so are their results.
pub fn images_in_main_memory(bench: Bench) -> Result<Finding> {
    let (mut worst, seeds, lambdas) = (0f64, [0, 1, 0, 1], [0.0, 0.0, 0.1, 0.1]);
    // CUDA adds some sums in an order of its own, which shows in float32.
    let kinds = if bench.device.is_cuda() { vec![bench.kind] } else { vec![bench.kind, Kind::Float] };
    for kind in kinds {
        let near = Setting::new(&convnet(), phase(), bench.device, kind)?;
        let far = Setting::new(&convnet(), phase(), bench.device, kind)?.with_images_in_main_memory();
        let given = if bench.planted { [1, 0, 0, 1] } else { seeds };
        let one = near.train(&seeds, &lambdas, None, &mut Unwatched).context("a training ends")?;
        let other = far.train(&given, &lambdas, None, &mut Unwatched).context("a training ends")?;
        worst = worst.max(difference(&one.theta, &other.theta));
        for (one, other) in one.histories.iter().zip(&other.histories) {
            let loss = |of: &TrainingHistory| of.result().map_or(f64::NAN, |report| report.validation_loss);
            worst = worst.max((loss(one) - loss(other)).abs());
        }
    }
    let bound = if bench.device.is_cuda() { 1e-9 } else { 0.0 };
    Ok(Finding::at_most("weights and losses differ by", worst, bound))
}

/// Stopped in the middle of an epoch and resumed, a training ends with the same weights.
pub fn stop_and_resume(bench: Bench) -> Result<Finding> {
    let phase = Phase { batch_size: 8, ..phase() };
    let setting = Setting::new(&convnet(), phase, bench.device, bench.kind)?;
    let (seeds, lambdas) = ([0, 1, 2, 3], [0.0, 0.01, 0.1, 1.0]);
    let whole = setting.train(&seeds, &lambdas, None, &mut Unwatched).context("a training ends")?;
    let (mut worst, mut stops) = (0f64, 0);
    for step in [3, 12, 21] {
        let mut stops_at = StopsAt { step, ..StopsAt::default() };
        ensure!(setting.train(&seeds, &lambdas, None, &mut stops_at).is_none(), "it stops when asked to");
        let snapshot = stops_at.snapshot.into_inner().context("a stopped training leaves a snapshot")?;
        if bench.planted {
            let theta = snapshot.tensors.iter().find(|(name, _)| name == "theta").context("a snapshot has the weights")?;
            let _ = no_grad(|| theta.1.get(0).narrow(0, 0, 1).f_add_scalar_(1e-3))?;
        }
        let resumed = setting.train(&seeds, &lambdas, Some(snapshot), &mut Unwatched).context("a training ends")?;
        worst = worst.max(difference(&resumed.theta, &whole.theta));
        stops += 1;
    }
    // CUDA adds some sums in an order of its own.
    let bound = if bench.device.is_cuda() { 1e-9 } else { 0.0 };
    Ok(Finding { measured: format!("{stops} stops"), holds: true }.and(Finding::at_most("weights differ by", worst, bound)))
}

/// Reads a number after every step, as the planted fault.
struct Reads {
    number: Tensor,
}

impl Watching for Reads {
    fn step(&self) {
        self.number.double_value(&[]);
    }
}

/// Gives the device a second of work before the first step of the second epoch, and notes when the
/// host has asked for the last step of that epoch.
struct Queue {
    device: Device,
    planted: bool,
    steps: usize,
    seen: Cell<usize>,
    started: Cell<Option<Instant>>,
    returned: Cell<Option<Duration>>,
    kept: RefCell<Vec<Tensor>>,
}

impl Queue {
    /// A second of work in a few products of large matrices: the driver holds about a thousand
    /// calls, and the steps that follow need room there. How long one takes is measured first,
    /// after the clocks have risen.
    fn fill(&self) {
        let a = Tensor::ones([8192, 8192], (Kind::Float, self.device)) * 1e-4;
        let timed = |n: usize| {
            let started = Instant::now();
            (0..n).for_each(|_| drop(a.matmul(&a)));
            wait_for(self.device);
            started.elapsed().as_secs_f64() / n as f64
        };
        timed(8);
        let n = (1.0 / timed(8)).clamp(1.0, 200.0).ceil() as usize;
        (0..n).for_each(|_| drop(a.matmul(&a)));
        self.kept.borrow_mut().push(a);
    }
}

impl Watching for Queue {
    fn stop(&self) -> bool {
        // The second epoch: kernels have been chosen in the first.
        if self.seen.get() == self.steps && self.started.get().is_none() {
            self.fill();
            self.started.set(Some(Instant::now()));
        }
        false
    }

    fn step(&self) {
        self.seen.set(self.seen.get() + 1);
        if self.planted {
            for a in self.kept.borrow().iter() {
                a.get(0).get(0).double_value(&[]);
            }
        }
        if self.seen.get() == 2 * self.steps {
            self.returned.set(self.started.get().map(|started| started.elapsed()));
        }
    }
}

/// Within an epoch the host reads nothing from the device and sends nothing to it, so it never
/// waits for it. Counted, also in libtorch's profile; on CUDA measured too: with a second of work
/// queued, the host has asked for all of an epoch's steps long before.
pub fn no_waiting(bench: Bench) -> Result<Finding> {
    let steady = |batch_size: usize| Phase { batch_size, patience: None, augment: Augment::default(), ..phase() };
    let transfers = |batch_size: usize| -> Result<(usize, usize)> {
        let setting = Setting::new(&convnet(), steady(batch_size), bench.device, bench.kind)?;
        let mut reader = Reads { number: Tensor::ones([], (Kind::Float, bench.device)) };
        crate::model::forget_transfers();
        let (_, operations) = profile(|| match bench.planted {
            true => setting.train(&[0, 1], &[0.0, 0.1], None, &mut reader),
            false => setting.train(&[0, 1], &[0.0, 0.1], None, &mut Unwatched),
        });
        let calls = |name: &str| operations.iter().filter(|p| p.name == name).map(|p| p.calls).sum::<usize>();
        ensure!(calls("aten::convolution") > 0, "the profile saw no convolution");
        let (read, uploaded) = crate::model::times_transferred();
        Ok((calls("aten::_local_scalar_dense") + read, uploaded))
    };
    let (few, many) = (transfers(30)?, transfers(5)?);
    let measured = format!("{} reads and {} uploads in 12 steps, {} and {} in 72", few.0, few.1, many.0, many.1);
    let counted = Finding { measured, holds: few == many };
    if !bench.device.is_cuda() {
        return Ok(counted);
    }
    // Few steps and a network of few operations: all of an epoch fits into the driver's queue.
    let mlp = Model { kind: ModelKind::Mlp, hidden: Some(vec![16]), ..Model::default() };
    let setting = Setting::new(&mlp, steady(12), bench.device, Kind::Float)?;
    let mut queue = Queue {
        device: bench.device,
        planted: bench.planted,
        steps: 5,
        seen: Cell::new(0),
        started: Cell::new(None),
        returned: Cell::new(None),
        kept: RefCell::default(),
    };
    setting.train(&[0, 1], &[0.0, 0.1], None, &mut queue).context("a training ends")?;
    let returned = queue.returned.get().context("the second epoch was trained")?.as_secs_f64();
    Ok(counted.and(Finding {
        measured: format!("host returns {returned:.3} s into a second of queued work (at most 0.5)"),
        holds: returned <= 0.5,
    }))
}

/// Models trained for a while by a pack of 64 and by one model alone.
pub fn packs_pay(bench: Bench) -> Result<Finding> {
    let model = Model { kind: ModelKind::Mlp, hidden: Some(vec![256]), ..Model::default() };
    let phase =
        Phase { epochs: 1_000_000, batch_size: 6, patience: None, dropout: 0.0, label_noise: 0.0, augment: Augment::default(), ..phase() };
    let steps_per_second = |k: usize| -> Result<f64> {
        let setting = Setting::new(&model, phase.clone(), bench.device, Kind::Float)?;
        let seeds: Vec<u64> = (0..k as u64).collect();
        let mut timed = Timed { device: bench.device, steps: Cell::new(0), started: Cell::new(None) };
        ensure!(setting.train(&seeds, &vec![0.01; k], None, &mut timed).is_none(), "it stops after its time");
        wait_for(bench.device);
        let seconds = clock(bench.device) - timed.started.get().context("it trained")?;
        Ok(timed.steps.get() as f64 * k as f64 / seconds)
    };
    let pack = if bench.planted { 1 } else { 64 };
    // The median over turns in which both are measured, since other programs slow single ones.
    let mut turns = vec![];
    for _ in 0..9 {
        turns.push((steps_per_second(1)?, steps_per_second(pack)?));
    }
    turns.sort_by(|a, b| (a.1 / a.0).total_cmp(&(b.1 / b.0)));
    let (one, many) = turns[turns.len() / 2];
    // On the CPU packs are not used, because there they do not pay: any gain shows the measurement.
    let wanted = if bench.device.is_cuda() { 5.0 } else { 1.2 };
    Ok(Finding {
        measured: format!("{one:.0} steps of one model a second, {many:.0} of {pack}: {:.1} times (at least {wanted})", many / one),
        holds: many / one >= wanted,
    })
}

/// Seconds: on the CPU those that this thread has computed, which other programs do not change.
fn clock(device: Device) -> f64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    if device.is_cuda() {
        return START.get_or_init(Instant::now).elapsed().as_secs_f64();
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists since Linux 2.6.12, and `time` is written before it is read.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + 1e-9 * time.tv_nsec as f64
}

struct Timed {
    device: Device,
    steps: Cell<usize>,
    started: Cell<Option<f64>>,
}

impl Watching for Timed {
    fn stop(&self) -> bool {
        if self.steps.get() == 20 && self.started.get().is_none() {
            wait_for(self.device);
            self.started.set(Some(clock(self.device)));
            self.steps.set(0);
        }
        self.started.get().is_some_and(|started| clock(self.device) - started >= 0.15)
    }

    fn step(&self) {
        self.steps.set(self.steps.get() + 1);
    }
}
