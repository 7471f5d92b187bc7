//! The one epoch loop: K replicas from their start to their chosen weights.

use serde::{Deserialize, Serialize};
use tch::{no_grad, Kind, Tensor};

use super::batches::{epoch_draws, epoch_order, Pool, Task};
use super::evaluate::{cross_entropy, evaluate};
use super::optimiser::{Anchor, Optimiser};
use super::schedule::learning_rate;
use crate::config::network::{Penalty, Phase};
use crate::data::{task_labels, test_rows, Dataset, NoLongerLearns, Normalisation};
use crate::model::{Architecture, Buffers, Layout, Mode, Role};

/// What is one replica's own in a pack.
#[derive(Debug, Clone)]
pub struct Replica {
    pub seed: u64,
    /// Rows of the pool; equally many for every replica of a pack.
    pub train: Vec<usize>,
    pub validation: Vec<usize>,
    pub normalisation: Normalisation,
}

/// What a pack trains on, and how.
#[derive(Debug)]
pub struct Pack<'a> {
    pub architecture: &'a Architecture,
    pub phase: &'a Phase,
    pub rules: &'a Penalty,
    /// Names the streams of data order and augmentation: `source` or `target`.
    pub task: &'a str,
    /// Output for each label of the data set.
    pub outputs: [i64; 256],
    pub replicas: &'a [Replica],
    pub pool: &'a Pool,
    /// Leave BatchNorm's running statistics, and use them, while training.
    pub freeze_batchnorm: bool,
}

/// Where a pack starts and what pulls it.
#[derive(Debug)]
pub struct Start {
    /// [K, P]
    pub theta: Tensor,
    pub buffers: Buffers,
    pub anchor: Anchor,
}

/// What one replica did in one epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// From 1.
    pub epoch: usize,
    /// Mean over the epoch's images, each before its step.
    pub train_loss: f64,
    pub validation_loss: f64,
    pub validation_accuracy: f64,
    /// ‖θ_b − a_b‖ after the epoch: the distance of the backbone to what λ pulls it to.
    pub distance: f64,
}

/// Who watches a pack, keeps its snapshots and may ask it to stop.
pub trait Observer {
    /// An epoch is over; a report for each replica that still learns.
    fn epoch(&mut self, reports: &[(usize, EpochReport)]);
    /// Asked at every step.
    fn stop(&self) -> bool;
    /// Asked after every epoch.
    fn wants_snapshot(&self) -> bool;
    fn snapshot(&mut self, snapshot: Snapshot);
}

/// All that is needed to go on: with it and the study, training continues bit for bit. Random streams need no state, they are
/// functions of (name, seed, epoch).
#[derive(Debug)]
pub struct Snapshot {
    pub tensors: Vec<(String, Tensor)>,
    /// JSON of the replicas' courses.
    pub progress: String,
}

/// How one replica has fared.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Course {
    pub history: Vec<EpochReport>,
    /// Epoch (from 1) whose weights count.
    pub chosen: usize,
    stopped: bool,
    /// Epoch and step (from 1) of the first loss that was not finite.
    pub diverged: Option<(usize, usize)>,
}

impl Course {
    fn learns(&self) -> bool {
        !self.stopped && self.diverged.is_none()
    }

    /// What was measured in the chosen epoch.
    pub fn result(&self) -> Option<&EpochReport> {
        self.history.iter().find(|report| report.epoch == self.chosen)
    }
}

/// How training ended.
#[derive(Debug)]
pub enum Outcome {
    Trained(Trained),
    /// Asked to stop; the observer has the snapshot.
    Stopped,
}

/// Replicas that no longer learn.
#[derive(Debug)]
pub struct Trained {
    /// [K, P], each replica's chosen weights.
    pub theta: Tensor,
    pub buffers: Buffers,
    pub courses: Vec<Course>,
    /// ‖θ‖ of each replica.
    pub norms: Vec<f64>,
}

impl NoLongerLearns for Trained {}

impl Trained {
    /// Test loss and accuracy of each replica, on the task's images of the held-out set.
    pub fn test(&self, pack: &Pack, data: &Dataset) -> super::Evaluation {
        let examples = data.test.open(self);
        let rows: Vec<i64> = test_rows(examples, data.name, pack.phase).into_iter().map(|row| row as i64).collect();
        let pool = Pool::new(examples, data.shape, pack.pool.device());
        let k = pack.replicas.len() as i64;
        let rows = Tensor::from_slice(&rows).to_device(pool.device()).unsqueeze(0).expand([k, -1], false);
        let task = task_of(pack, &task_labels(data.name, pack.phase), self.theta.kind());
        evaluate(pack.architecture, &self.theta, &self.buffers, &task, &pool, &rows)
    }
}

fn task_of(pack: &Pack, outputs: &[i64; 256], kind: Kind) -> Task {
    let normalisations: Vec<Normalisation> = pack.replicas.iter().map(|replica| replica.normalisation.clone()).collect();
    Task::new(&normalisations, outputs, kind, pack.pool.device())
}

/// What changes while a pack trains.
struct State {
    theta: Tensor,
    buffers: Buffers,
    optimiser: Optimiser,
    /// Best weights so far, with early stopping.
    best: Option<(Tensor, Buffers)>,
    courses: Vec<Course>,
    epoch: usize,
}

impl Pack<'_> {
    /// Trains to the end, or until the observer wants it to stop.
    pub fn train(&self, start: Start, resume: Option<Snapshot>, observer: &mut dyn Observer) -> Outcome {
        let optimiser = Optimiser::new(self.phase, self.rules, start.anchor, &start.theta);
        let best = self.phase.patience.map(|_| (start.theta.copy(), start.buffers.copy()));
        let courses = vec![Course::default(); self.replicas.len()];
        let mut state = State { theta: start.theta, buffers: start.buffers, optimiser, best, courses, epoch: 0 };
        if let Some(snapshot) = resume {
            state.restore(snapshot);
            // Whoever watches begins anew and hears the whole course.
            for epoch in 1..=state.epoch {
                let of = |course: &Course| course.history.iter().find(|report| report.epoch == epoch).cloned();
                let reports: Vec<(usize, EpochReport)> = state.courses.iter().enumerate().filter_map(|(k, c)| Some((k, of(c)?))).collect();
                observer.epoch(&reports);
            }
        }
        let task = task_of(self, &self.outputs, state.theta.kind());
        let backbone = self.architecture.layout.mask(state.theta.kind(), state.theta.device(), |p| p.role == Role::Backbone);
        while state.epoch < self.phase.epochs && state.courses.iter().any(Course::learns) {
            let before = state.snapshot();
            let Some((train_loss, bad_step)) = self.epoch(&mut state, &task, observer) else {
                observer.snapshot(before);
                return Outcome::Stopped;
            };
            self.look_back(&mut state, &task, &backbone, &train_loss, &bad_step, observer);
            if observer.wants_snapshot() && state.epoch < self.phase.epochs {
                observer.snapshot(state.snapshot());
            }
        }
        let (theta, buffers) = state.best.unwrap_or((state.theta, state.buffers));
        let theta = theta.detach();
        let norms = Vec::<f64>::try_from(theta.square().sum_dim_intlist([1i64].as_slice(), false, Kind::Double).sqrt()).unwrap_or_default();
        Outcome::Trained(Trained { theta, buffers, courses: state.courses, norms })
    }

    /// One pass over the training images. Mean loss of each replica and the step (from 1) of its first loss that was not
    /// finite, 0 for none; nothing when asked to stop. Nothing is read back from the device before the end.
    fn epoch(&self, state: &mut State, task: &Task, observer: &dyn Observer) -> Option<(Vec<f64>, Vec<f64>)> {
        let rows: Vec<Vec<usize>> = self.replicas.iter().map(|replica| replica.train.clone()).collect();
        let seeds: Vec<u64> = self.replicas.iter().map(|replica| replica.seed).collect();
        let (n, k, device) = (rows[0].len(), rows.len() as i64, self.pool.device());
        let order = epoch_order(&rows, &seeds, self.task, state.epoch, device);
        let draws = epoch_draws(&self.phase.augment, n, &seeds, self.task, state.epoch, device);
        let steps = n.div_ceil(self.phase.batch_size);
        let mode = if self.freeze_batchnorm { Mode::Evaluate } else { Mode::Train };
        let mut loss_sum = Tensor::zeros([k], (Kind::Double, device));
        let mut good_steps = Tensor::zeros([k], (Kind::Double, device));
        let mut good = Tensor::ones([k], (Kind::Double, device));
        let mut theta = state.theta.set_requires_grad(true);
        for step in 0..steps {
            if observer.stop() {
                return None;
            }
            let first = step * self.phase.batch_size;
            let size = self.phase.batch_size.min(n - first) as i64;
            let batch = order.narrow(1, first as i64, size);
            let (images, outputs) = match &draws {
                Some(draws) => task.gather_augmented(self.pool, &batch, &draws.narrow(1, first as i64, size)),
                None => task.gather(self.pool, &batch),
            };
            let logits = self.architecture.forward(&theta, &images, &state.buffers, mode);
            let loss = cross_entropy(&logits, &outputs).mean_dim([1i64].as_slice(), false, None::<Kind>);
            // The sum over replicas, not the mean: each keeps the gradient it would have alone.
            let total = loss.sum(None::<Kind>);
            let gradient = Tensor::run_backward(&[&total], &[&theta], false, false).remove(0);
            let loss = loss.detach().to_kind(Kind::Double);
            good *= loss.isfinite().to_kind(Kind::Double);
            good_steps += &good;
            loss_sum += loss * (size as f64 / n as f64);
            let lr = learning_rate(self.phase, state.epoch * steps + step, steps);
            state.optimiser.step(&mut theta, gradient, lr);
        }
        state.theta = theta;
        let read = |tensor: &Tensor| Vec::<f64>::try_from(tensor).unwrap_or_else(|_| vec![f64::NAN; k as usize]);
        let bad_step = read(&good_steps).into_iter().map(|good| if good < steps as f64 { good + 1.0 } else { 0.0 }).collect();
        Some((read(&loss_sum), bad_step))
    }

    /// After an epoch: validation, divergence, early stopping, the report.
    fn look_back(
        &self,
        state: &mut State,
        task: &Task,
        backbone: &Tensor,
        train_loss: &[f64],
        bad_step: &[f64],
        observer: &mut dyn Observer,
    ) {
        state.epoch += 1;
        let rows: Vec<i64> = self.replicas.iter().flat_map(|replica| replica.validation.iter().map(|&row| row as i64)).collect();
        let rows = Tensor::from_slice(&rows).reshape([self.replicas.len() as i64, -1]).to_device(self.pool.device());
        let validation = evaluate(self.architecture, &state.theta, &state.buffers, task, self.pool, &rows);
        let distance = state.optimiser.distance(&state.theta, backbone);
        let mut reports = vec![];
        for (k, course) in state.courses.iter_mut().enumerate().filter(|(_, course)| course.learns()) {
            let steps = self.replicas[k].train.len().div_ceil(self.phase.batch_size);
            if bad_step[k] > 0.0 || !validation.loss[k].is_finite() {
                course.diverged = Some((state.epoch, if bad_step[k] > 0.0 { bad_step[k] as usize } else { steps }));
                continue;
            }
            let best = course.result().map_or(f64::INFINITY, |report| report.validation_loss);
            let report = EpochReport {
                epoch: state.epoch,
                train_loss: train_loss[k],
                validation_loss: validation.loss[k],
                validation_accuracy: validation.accuracy[k],
                distance: distance[k],
            };
            let is_best = self.phase.patience.is_none() || report.validation_loss < best;
            if is_best {
                course.chosen = state.epoch;
                if let Some((theta, buffers)) = &mut state.best {
                    keep_replica(theta, &state.theta, k as i64);
                    for ((mean, var), (new_mean, new_var)) in buffers.0.iter().zip(&state.buffers.0) {
                        keep_channels(mean, new_mean, k, self.replicas.len());
                        keep_channels(var, new_var, k, self.replicas.len());
                    }
                }
            }
            course.stopped = self.phase.patience.is_some_and(|patience| state.epoch - course.chosen >= patience);
            course.history.push(report.clone());
            reports.push((k, report));
        }
        observer.epoch(&reports);
    }
}

/// Copies replica k's row.
fn keep_replica(into: &Tensor, from: &Tensor, k: i64) {
    no_grad(|| into.get(k).copy_(&from.get(k)));
}

/// Copies replica k's share of [K·C] channels.
fn keep_channels(into: &Tensor, from: &Tensor, k: usize, replicas: usize) {
    let c = into.size()[0] / replicas as i64;
    no_grad(|| into.narrow(0, k as i64 * c, c).copy_(&from.narrow(0, k as i64 * c, c)));
}

impl State {
    fn snapshot(&self) -> Snapshot {
        let mut tensors = vec![("theta".to_string(), self.theta.detach().copy()), ("velocity".to_string(), self.optimiser.velocity.copy())];
        let mut add = |prefix: &str, buffers: &Buffers| {
            for (i, (mean, var)) in buffers.0.iter().enumerate() {
                tensors.push((format!("{prefix}mean{i}"), mean.copy()));
                tensors.push((format!("{prefix}var{i}"), var.copy()));
            }
        };
        add("", &self.buffers);
        if let Some((theta, buffers)) = &self.best {
            add("best.", buffers);
            tensors.push(("best.theta".into(), theta.copy()));
        }
        let progress = serde_json::to_string(&(self.epoch, &self.courses)).unwrap_or_default();
        Snapshot { tensors, progress }
    }

    /// Takes over a snapshot of the same pack; one that does not fit is left alone, and training starts over.
    fn restore(&mut self, snapshot: Snapshot) {
        let Ok((epoch, courses)) = serde_json::from_str::<(usize, Vec<Course>)>(&snapshot.progress) else { return };
        let find = |name: &str, like: &Tensor| {
            snapshot.tensors.iter().find(|(n, t)| n == name && t.size() == like.size()).map(|(_, t)| t.to_device(like.device()))
        };
        let load = |prefix: &str, buffers: &Buffers| -> Option<Buffers> {
            let pairs = buffers
                .0
                .iter()
                .enumerate()
                .map(|(i, (mean, var))| Some((find(&format!("{prefix}mean{i}"), mean)?, find(&format!("{prefix}var{i}"), var)?)));
            pairs.collect::<Option<Vec<_>>>().map(Buffers)
        };
        let (Some(theta), Some(velocity), Some(buffers)) =
            (find("theta", &self.theta), find("velocity", &self.theta), load("", &self.buffers))
        else {
            return;
        };
        let best = match &self.best {
            None => None,
            Some((theta, buffers)) => match (find("best.theta", theta), load("best.", buffers)) {
                (Some(theta), Some(buffers)) => Some((theta, buffers)),
                _ => return,
            },
        };
        if courses.len() != self.courses.len() {
            return;
        }
        (self.theta, self.buffers, self.best, self.courses, self.epoch) = (theta, buffers, best, courses, epoch);
        self.optimiser.velocity = velocity;
    }
}

/// Puts named parameters and running statistics of K models together: θ [K, P] and buffers. None where a name or size is missing.
pub fn assemble(architecture: &Architecture, models: &[Vec<(String, Tensor)>]) -> Option<(Tensor, Buffers)> {
    let find = |model: &[(String, Tensor)], name: &str, count: i64| {
        model.iter().find(|(n, t)| n == name && t.numel() as i64 == count).map(|(_, t)| t.reshape([-1]))
    };
    let mut rows = vec![];
    for model in models {
        let parts: Option<Vec<Tensor>> = architecture.layout.parameters.iter().map(|p| find(model, &p.name, p.count())).collect();
        rows.push(Tensor::cat(&parts?, 0));
    }
    let theta = Tensor::stack(&rows, 0);
    let like = architecture.fresh_buffers(1, theta.kind(), theta.device());
    let mut buffers = vec![];
    for (i, (mean, _)) in like.0.iter().enumerate() {
        let join = |part: &str| {
            let parts: Option<Vec<Tensor>> =
                models.iter().map(|model| find(model, &format!("norm{}.running_{part}", i + 1), mean.numel() as i64)).collect();
            Some(Tensor::cat(&parts?, 0))
        };
        buffers.push((join("mean")?, join("var")?));
    }
    Some((theta, Buffers(buffers)))
}

/// The reverse of [`assemble`]: replica k's parameters and running statistics by name.
pub fn disassemble(layout: &Layout, theta: &Tensor, buffers: &Buffers, k: usize) -> Vec<(String, Tensor)> {
    let row = theta.detach().narrow(0, k as i64, 1);
    let named = layout.views(&row).into_iter().zip(&layout.parameters).map(|(view, p)| (p.name.clone(), view.get(0).copy()));
    let mut all: Vec<(String, Tensor)> = named.collect();
    let replicas = theta.size()[0];
    for (i, (mean, var)) in buffers.0.iter().enumerate() {
        let c = mean.size()[0] / replicas;
        let own = |t: &Tensor| t.narrow(0, k as i64 * c, c).copy();
        all.push((format!("norm{}.running_mean", i + 1), own(mean)));
        all.push((format!("norm{}.running_var", i + 1), own(var)));
    }
    all
}
