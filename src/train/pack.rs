//! The epoch loop: trains K replicas from their start to their chosen weights.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use std::sync::Arc;

use super::augment::{EpochAugment, EpochShape, Mixed};
use super::batches::{epoch_draws, epoch_order, BatchSource};
use super::dropout::Dropout;
use super::evaluate::{evaluate, Evaluation, EvaluationLoss};
use super::optimiser::{clip, optimiser, Optimiser, Step};
use super::penalty::Penalty;
use super::pool::DeviceDataset;
use super::schedule::learning_rate;
use crate::config::network::{PenaltyRules, Phase, Precision};
use crate::data::{sealed, task_labels, test_rows, Dataset, NoLongerLearns, Preparation, Vectoriser};
use crate::model::{cross_entropy, no_grad, read_back, response_error, upload, Architecture, Buffers, Masks, Mode, Role};

/// An epoch with at most this many steps is not interrupted.
const SHORT: usize = 4;

/// The properties of one replica in a pack.
#[derive(Debug, Clone)]
pub struct Replica {
    pub seed: u64,
    /// Rows of the pool; equally many for every replica of a pack.
    pub train: Vec<usize>,
    /// What the result is measured on.
    pub validation: Vec<usize>,
    /// Those of the validation rows that are evaluated in every epoch.
    pub monitor: Vec<usize>,
    /// The outputs to train on, one for each training row, if they differ from the rows' own.
    pub training_labels: Option<Vec<i64>>,
    pub preparation: Preparation,
}

/// What a pack trains on, and how.
#[derive(Debug)]
pub struct Pack<'a> {
    pub architecture: &'a Architecture,
    pub phase: &'a Phase,
    pub rules: &'a PenaltyRules,
    pub precision: Precision,
    /// Names the random streams of data order, augmentation and dropout: `source` or `target`.
    pub task: &'a str,
    /// Output for each label of the data set.
    pub outputs: Vec<i64>,
    pub replicas: &'a [Replica],
    pub pool: &'a DeviceDataset,
    /// Use BatchNorm's running statistics while training, and do not update them.
    pub freeze_batchnorm: bool,
    /// Whether only the head is trained.
    pub frozen: bool,
    /// The loss of validation and test. Training by steps uses the squared error where a number is
    /// predicted, and otherwise cross-entropy.
    pub objective: EvaluationLoss,
}

/// A pack's initial weights and its penalty.
#[derive(Debug)]
pub struct Start {
    /// [K, P]
    pub theta: Tensor,
    pub buffers: Buffers,
    pub penalty: Penalty,
}

/// The results of one replica in one epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// Counted from 1.
    pub epoch: usize,
    /// Mean over the epoch's images; each image's loss is computed before its step.
    pub train_loss: f64,
    /// On the monitored images.
    pub validation_loss: f64,
    /// Accuracy, or R².
    #[serde(alias = "validation_accuracy")]
    pub validation_score: f64,
    /// ‖θ_b − a_b‖ after the epoch: the distance of the backbone from the point that λ pulls it to.
    pub distance: f64,
}

/// Receives a pack's events, stores its snapshots and may ask it to stop.
pub trait Observer {
    /// An epoch has ended, with a report for each replica that is still training.
    fn epoch(&mut self, reports: &[(usize, EpochReport)]);
    /// The same for an epoch that an earlier run trained.
    fn restored(&mut self, reports: &[(usize, EpochReport)]) {
        self.epoch(reports);
    }
    /// A step has ended.
    fn step(&self) {}
    /// Whether to stop. Called before every step, or only before every epoch if an epoch has at
    /// most four steps.
    fn stop(&self) -> bool;
    /// Whether a snapshot is wanted. Called after every epoch.
    fn wants_snapshot(&self) -> bool;
    fn snapshot(&mut self, snapshot: Snapshot);
}

/// The state from which training resumes, given the study; bit for bit on CPU. Random streams need
/// no state because they are functions of (name, seed, epoch).
#[derive(Debug)]
pub struct Snapshot {
    pub tensors: Vec<(String, Tensor)>,
    /// JSON of the epoch, the replicas' histories and the replicas still computed.
    pub progress: String,
}

/// The course of one replica's training.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct TrainingHistory {
    pub history: Vec<EpochReport>,
    /// Epoch (from 1) whose weights are used.
    pub chosen: usize,
    stopped: bool,
    /// Epoch and step (from 1) of the first loss that was not finite.
    pub diverged: Option<(usize, usize)>,
}

impl TrainingHistory {
    fn learns(&self) -> bool {
        !self.stopped && self.diverged.is_none()
    }

    /// The history of a model that is solved in one step.
    pub fn of_one(report: EpochReport) -> TrainingHistory {
        TrainingHistory { chosen: report.epoch, history: vec![report], ..TrainingHistory::default() }
    }

    /// The report of the chosen epoch.
    pub fn result(&self) -> Option<&EpochReport> {
        self.history.iter().find(|report| report.epoch == self.chosen)
    }
}

/// How training ended.
#[derive(Debug)]
pub enum TrainingOutcome {
    Trained(Trained),
    /// Stopped on request; the observer has the snapshot.
    Stopped,
}

/// Replicas whose training has ended. Nothing outside of `train` can make one.
#[derive(Debug)]
pub struct Trained {
    /// Each replica's chosen weights, [K, P].
    pub theta: Tensor,
    pub buffers: Buffers,
    pub histories: Vec<TrainingHistory>,
    /// ‖θ‖ of each replica.
    norms: Vec<f64>,
}

impl sealed::Sealed for Trained {}
impl NoLongerLearns for Trained {}

impl Trained {
    pub(super) fn new(theta: Tensor, buffers: Buffers, histories: Vec<TrainingHistory>) -> Trained {
        let norms = theta.square().sum_dim_intlist([1i64].as_slice(), false, Kind::Double).sqrt();
        Trained { norms: read_back(&norms), theta, buffers, histories }
    }

    /// A finished model that was stored.
    pub fn finished(theta: Tensor, buffers: Buffers) -> Trained {
        Trained::new(theta, buffers, vec![])
    }

    /// ‖θ‖ of each replica.
    pub fn norms(&self) -> &[f64] {
        &self.norms
    }

    /// Loss and score of each replica on all its validation images. They are evaluated here,
    /// unless every epoch has done so; then those of the chosen epoch are returned.
    pub fn validation(&self, pack: &Pack) -> Evaluation {
        let has_more = pack.replicas.iter().any(|replica| replica.monitor.len() < replica.validation.len());
        if has_more || self.histories.iter().any(|course| course.history.is_empty()) {
            let task = pack.task(self.theta.kind());
            let rows = pack.rows(|replica| &replica.validation);
            return evaluate((pack.architecture, &self.theta, &self.buffers), pack.objective, &task, pack.pool, &rows);
        }
        let of = |value: fn(&EpochReport) -> f64| self.histories.iter().map(|course| course.result().map_or(f64::NAN, value)).collect();
        Evaluation { loss: of(|report| report.validation_loss), score: of(|report| report.validation_score) }
    }

    /// Test loss and score of each replica, on the task's images of the test set.
    pub fn test(&self, pack: &Pack, data: &Dataset) -> Evaluation {
        let examples = data.test.open(self);
        let rows = test_rows(examples, data.info, pack.phase);
        let device = pack.pool.device();
        let words: Vec<(Arc<Vectoriser>, Vec<usize>)> = pack
            .replicas
            .iter()
            .filter_map(|replica| match &replica.preparation {
                Preparation::Words(words) => Some((words.clone(), rows.clone())),
                Preparation::Pixels(_) => None,
            })
            .collect();
        let (pool, places) = match examples.corpus() {
            None => (DeviceDataset::new(examples, data.shape, device, pack.pool.place()), vec![rows; pack.replicas.len()]),
            Some(_) => DeviceDataset::of_words(examples, &words, device),
        };
        let rows: Vec<i64> = places.into_iter().flatten().map(|row| row as i64).collect();
        let rows = upload(&rows, device).reshape([pack.replicas.len() as i64, -1]);
        let task = task_of(pack, pack.replicas.iter(), &task_labels(data.info, pack.phase), self.theta.kind());
        evaluate((pack.architecture, &self.theta, &self.buffers), pack.objective, &task, &pool, &rows)
    }
}

/// The batches of these replicas. `kind` is θ's number type.
fn task_of<'a>(pack: &Pack, replicas: impl Iterator<Item = &'a Replica>, outputs: &[i64], kind: Kind) -> BatchSource {
    let kind = if pack.precision == Precision::Bf16 { Kind::BFloat16 } else { kind };
    let preparations: Vec<&Preparation> = replicas.map(|replica| &replica.preparation).collect();
    BatchSource::new(&preparations, outputs, kind, pack.pool)
}

/// The state that changes while a pack trains. M of its K replicas are still computed. At first
/// these are all; they become fewer whenever half of them have diverged or stopped early.
struct TrainingState {
    /// [M, P], as are the optimiser's state and the penalty.
    theta: Tensor,
    buffers: Buffers,
    optimiser: Box<dyn Optimiser>,
    penalty: Penalty,
    /// The replica of each row of θ.
    members: Vec<usize>,
    /// The weights to return, [K, P], if they are not θ itself. With early stopping these are the
    /// best so far. They also hold the weights of replicas that are no longer computed.
    kept: Option<(Tensor, Buffers)>,
    histories: Vec<TrainingHistory>,
    epoch: usize,
}

impl Pack<'_> {
    /// The batches of all replicas, for models of this number type.
    pub(super) fn task(&self, kind: Kind) -> BatchSource {
        task_of(self, self.replicas.iter(), &self.outputs, kind)
    }

    /// Some rows of the pool for each replica, [K, N].
    pub(super) fn rows(&self, of: impl Fn(&Replica) -> &Vec<usize>) -> Tensor {
        let rows: Vec<i64> = self.replicas.iter().flat_map(|replica| of(replica).iter().map(|&row| row as i64)).collect();
        upload(&rows, self.pool.device()).reshape([self.replicas.len() as i64, -1])
    }

    /// Trains to the end, or until the observer asks it to stop.
    pub fn train(&self, start: Start, resume: Option<Snapshot>, observer: &mut dyn Observer) -> TrainingOutcome {
        let optimiser = optimiser(self.phase, self.rules, &start.theta);
        let kept = self.phase.patience.map(|_| (start.theta.copy(), start.buffers.copy()));
        let (histories, members) = (vec![TrainingHistory::default(); self.replicas.len()], (0..self.replicas.len()).collect());
        let mut state = TrainingState {
            theta: start.theta,
            buffers: start.buffers,
            optimiser,
            penalty: start.penalty,
            members,
            kept,
            histories,
            epoch: 0,
        };
        if let Some(snapshot) = resume {
            state.restore(snapshot);
            // Replays restored epochs to the observer.
            for epoch in 1..=state.epoch {
                let of = |course: &TrainingHistory| course.history.iter().find(|report| report.epoch == epoch).cloned();
                let reports: Vec<(usize, EpochReport)> =
                    state.histories.iter().enumerate().filter_map(|(k, c)| Some((k, of(c)?))).collect();
                observer.restored(&reports);
            }
        }
        let state_kind = state.theta.kind();
        let tasks = |members: &[usize]| task_of(self, members.iter().map(|&k| &self.replicas[k]), &self.outputs, state_kind);
        let mut task = tasks(&state.members);
        let steps = self.replicas[0].train.len().div_ceil(self.phase.batch_size);
        let backbone = self.architecture.layout.mask(state_kind, state.theta.device(), |p| p.role == Role::Backbone);
        while state.epoch < self.phase.epochs && state.histories.iter().any(TrainingHistory::learns) {
            // An epoch of a few steps is not interrupted: copying the weights before it would cost
            // too much.
            let before = (steps > SHORT).then(|| state.snapshot());
            let trained = match &before {
                None if observer.stop() => None,
                None => self.epoch(&mut state, &task, observer, false),
                Some(_) => self.epoch(&mut state, &task, observer, true),
            };
            let Some((train_loss, bad_step)) = trained else {
                observer.snapshot(before.unwrap_or_else(|| state.snapshot()));
                return TrainingOutcome::Stopped;
            };
            self.finish_epoch(&mut state, &task, &backbone, &train_loss, &bad_step, observer);
            if state.drop_finished() {
                task = tasks(&state.members);
            }
            if observer.wants_snapshot() && state.epoch < self.phase.epochs {
                observer.snapshot(state.snapshot());
            }
        }
        let histories = std::mem::take(&mut state.histories);
        let (theta, buffers) = state.finish(self.phase.patience.is_some());
        TrainingOutcome::Trained(Trained::new(theta.detach(), buffers, histories))
    }

    /// One pass over the training images. Returns each replica's mean loss, and the step (from 1)
    /// of its first loss that was not finite, or 0. Returns none if it was asked to stop. Nothing
    /// is read back from the device before the end of the epoch.
    fn epoch(
        &self,
        state: &mut TrainingState,
        task: &BatchSource,
        observer: &dyn Observer,
        may_stop: bool,
    ) -> Option<(Vec<f64>, Vec<f64>)> {
        let members = || state.members.iter().map(|&k| &self.replicas[k]);
        let rows: Vec<Vec<i64>> = members().map(|replica| replica.train.iter().map(|&row| row as i64).collect()).collect();
        let training_labels: Option<Vec<Vec<i64>>> = members().map(|replica| replica.training_labels.clone()).collect();
        let seeds: Vec<u64> = members().map(|replica| replica.seed).collect();
        let (n, k, device) = (rows[0].len(), rows.len() as i64, self.pool.device());
        let order = epoch_order(&rows, &seeds, self.task, state.epoch, device);
        let training_labels = training_labels.map(|training_labels| epoch_order(&training_labels, &seeds, self.task, state.epoch, device));
        let dropout = Dropout::new(self.phase.dropout, &seeds, self.task, device);
        let draws = epoch_draws(&self.phase.augment, n, &seeds, self.task, state.epoch, device);
        let steps = n.div_ceil(self.phase.batch_size);
        let more = self.phase.augment.has_more().then(|| {
            let [height, width] = self.pool.height_and_width();
            let shape = EpochShape { n, height, width, batch: self.phase.batch_size };
            EpochAugment::new(&self.phase.augment, shape, &seeds, self.task, state.epoch, device)
        });
        let mode = if self.freeze_batchnorm { Mode::Evaluate } else { Mode::Train };
        let mut loss_sum = Tensor::zeros([k], (Kind::Double, device));
        let mut good_steps = Tensor::zeros([k], (Kind::Double, device));
        let mut good = Tensor::ones([k], (Kind::Double, device));
        let parameters = self.architecture.leaves(&state.theta, self.frozen);
        let learning: Vec<&Tensor> = parameters.iter().filter(|parameter| parameter.requires_grad()).collect();
        for (step, (pool, batch)) in self.pool.batches(&order, self.phase.batch_size as i64).enumerate() {
            if may_stop && observer.stop() {
                return None;
            }
            let (first, size) = (step * self.phase.batch_size, batch.size()[1]);
            let (images, outputs) = match &draws {
                Some(draws) => task.gather_augmented(&pool, &batch, &draws.narrow(1, first as i64, size)),
                None => task.gather(&pool, &batch),
            };
            let outputs = training_labels.as_ref().map_or(outputs, |training_labels| training_labels.narrow(1, first as i64, size));
            let (images, mixed) = match &more {
                Some(more) => {
                    let images = more.apply(images, task, first);
                    more.mix(&images, step, first).map_or((images, None), |(images, mixed)| (images, Some(mixed)))
                }
                None => (images, None),
            };
            let at = state.epoch * steps + step;
            let mask = |layer: usize, size: &[i64]| dropout.mask(layer, at, size);
            let masks: Option<Masks> = (self.phase.dropout > 0.0).then_some(&mask);
            let logits = self.architecture.forward(&parameters, &images, &state.buffers, mode, masks);
            let loss_on = |outputs: &Tensor| match self.objective {
                EvaluationLoss::Response => response_error(&logits, outputs),
                _ => cross_entropy(&logits, outputs, self.phase.label_smoothing),
            };
            let each = match mixed {
                Some(Mixed { share, partner }) => {
                    let (own, others) = (loss_on(&outputs), loss_on(&outputs.gather(1, &partner, false)));
                    let share = share.to_kind(own.kind());
                    own * &share + others * (1.0f64 - share)
                }
                None => loss_on(&outputs),
            };
            let loss = each.mean_dim([1i64].as_slice(), false, None::<Kind>);
            // The sum over replicas, not the mean: each replica keeps the gradient that it would
            // have alone.
            let total = loss.sum(None::<Kind>);
            let mut gradients = Tensor::run_backward(&[&total], &learning, false, false);
            if self.architecture.is_module() {
                // A parameter that the forward pass does not use has no gradient.
                let defined =
                    |(gradient, parameter): (Tensor, &&Tensor)| if gradient.defined() { gradient } else { parameter.zeros_like() };
                gradients = gradients.into_iter().zip(&learning).map(defined).collect();
            }
            if self.frozen {
                // The head comes last. All parameters before it are frozen and get zero gradients.
                let still = parameters.iter().filter(|parameter| !parameter.requires_grad()).map(Tensor::zeros_like);
                gradients = still.chain(gradients).collect();
            }
            if self.architecture.is_module() {
                // Theta has a first axis of models, here of one.
                gradients = gradients.iter().map(|gradient| gradient.unsqueeze(0)).collect();
            }
            if let Some(most) = self.phase.clip_norm {
                gradients = clip(gradients, most);
            }
            let loss = loss.detach().to_kind(Kind::Double);
            good *= loss.isfinite().to_kind(Kind::Double);
            good_steps += &good;
            loss_sum += loss * (size as f64 / n as f64);
            let step = Step { number: at + 1, lr: learning_rate(self.phase, at, steps) };
            state.optimiser.step(&mut state.theta, &gradients, &state.penalty, step);
            observer.step();
        }
        let bad_step = read_back::<f64>(&good_steps).into_iter().map(|good| if good < steps as f64 { good + 1.0 } else { 0.0 }).collect();
        Some((read_back(&loss_sum), bad_step))
    }

    /// Ends an epoch: validation, divergence, early stopping and reports.
    fn finish_epoch(
        &self,
        state: &mut TrainingState,
        task: &BatchSource,
        backbone: &Tensor,
        train_loss: &[f64],
        bad_step: &[f64],
        observer: &mut dyn Observer,
    ) {
        state.epoch += 1;
        let rows: Vec<i64> = state.members.iter().flat_map(|&k| self.replicas[k].monitor.iter().map(|&row| row as i64)).collect();
        let rows = upload(&rows, self.pool.device()).reshape([state.members.len() as i64, -1]);
        let validation = evaluate((self.architecture, &state.theta, &state.buffers), self.objective, task, self.pool, &rows);
        let distance = state.penalty.distance_norm(&state.theta, backbone);
        let mut reports = vec![];
        for (row, &k) in state.members.iter().enumerate() {
            let course = &mut state.histories[k];
            if !course.learns() {
                continue;
            }
            let steps = self.replicas[k].train.len().div_ceil(self.phase.batch_size);
            if bad_step[row] > 0.0 || !validation.loss[row].is_finite() {
                course.diverged = Some((state.epoch, if bad_step[row] > 0.0 { bad_step[row] as usize } else { steps }));
                continue;
            }
            let best = course.result().map_or(f64::INFINITY, |report| report.validation_loss);
            let report = EpochReport {
                epoch: state.epoch,
                train_loss: train_loss[row],
                validation_loss: validation.loss[row],
                validation_score: validation.score[row],
                distance: distance[row],
            };
            let is_best = self.phase.patience.is_none() || report.validation_loss < best;
            if is_best {
                course.chosen = state.epoch;
                if let Some((theta, buffers)) = &mut state.kept {
                    keep_replica((theta, buffers), k, (&state.theta, &state.buffers), row);
                }
            }
            course.stopped = self.phase.patience.is_some_and(|patience| state.epoch - course.chosen >= patience);
            course.history.push(report.clone());
            reports.push((k, report));
        }
        observer.epoch(&reports);
    }
}

/// Copies row `row` of one pack's weights and running statistics to replica `k` of another's.
fn keep_replica(into: (&Tensor, &Buffers), k: usize, from: (&Tensor, &Buffers), row: usize) {
    no_grad(|| {
        into.0.get(k as i64).copy_(&from.0.get(row as i64));
        let (all, some) = (into.0.size()[0], from.0.size()[0]);
        let part = |t: &Tensor, replicas: i64, at: usize| {
            let c = t.size()[0] / replicas;
            t.narrow(0, at as i64 * c, c)
        };
        for (buffer, new) in into.1 .0.iter().zip(&from.1 .0) {
            part(buffer, all, k).copy_(&part(new, some, row));
        }
    });
}

impl TrainingState {
    /// When half of the replicas have ended, continues with the others alone. Returns whether it
    /// did so now.
    fn drop_finished(&mut self) -> bool {
        let learning: Vec<usize> = self.members.iter().copied().filter(|&k| self.histories[k].learns()).collect();
        if learning.is_empty() || 2 * learning.len() > self.members.len() {
            return false;
        }
        if self.kept.is_none() {
            self.kept = Some((self.theta.copy(), self.buffers.copy()));
        }
        self.keep_only(learning);
        true
    }

    /// Reduces θ and the state that belongs to it to these replicas.
    fn keep_only(&mut self, members: Vec<usize>) {
        let rows: Vec<i64> = members.iter().filter_map(|k| self.members.iter().position(|m| m == k)).map(|row| row as i64).collect();
        let rows = upload(&rows, self.theta.device());
        let replicas = self.members.len() as i64;
        self.theta = self.theta.index_select(0, &rows);
        let select = |t: &Tensor| t.reshape([replicas, -1]).index_select(0, &rows).reshape([-1]);
        self.buffers = Buffers(self.buffers.0.iter().map(select).collect());
        self.optimiser.keep_only(&rows);
        self.penalty.keep_only(&rows);
        self.members = members;
    }

    /// The weights to return, of all replicas, [K, P].
    fn finish(self, early_stopping: bool) -> (Tensor, Buffers) {
        let Some((theta, buffers)) = self.kept else { return (self.theta, self.buffers) };
        if !early_stopping {
            for (row, &k) in self.members.iter().enumerate() {
                keep_replica((&theta, &buffers), k, (&self.theta, &self.buffers), row);
            }
        }
        (theta, buffers)
    }

    fn snapshot(&self) -> Snapshot {
        let mut tensors = vec![("theta".to_string(), self.theta.detach().copy())];
        tensors.extend(self.optimiser.state().into_iter().map(|(name, tensor)| (name.to_string(), tensor.copy())));
        let mut add = |prefix: &str, buffers: &Buffers| {
            tensors.extend(buffers.0.iter().enumerate().map(|(i, buffer)| (format!("{prefix}buffer{i}"), buffer.copy())));
        };
        add("", &self.buffers);
        if let Some((theta, buffers)) = &self.kept {
            add("kept.", buffers);
            tensors.push(("kept.theta".into(), theta.copy()));
        }
        let progress = serde_json::to_string(&(self.epoch, &self.histories, &self.members)).unwrap_or_default();
        Snapshot { tensors, progress }
    }

    /// Restores a snapshot of the same pack. A snapshot that does not fit is ignored, and training
    /// starts from the beginning.
    fn restore(&mut self, snapshot: Snapshot) {
        let Ok((epoch, histories, members)) = serde_json::from_str::<(usize, Vec<TrainingHistory>, Vec<usize>)>(&snapshot.progress) else {
            return;
        };
        let replicas = self.histories.len();
        if histories.len() != replicas || members.is_empty() || members.iter().any(|&k| k >= replicas) {
            return;
        }
        let find = |name: &str, rows: usize| {
            let (_, tensor) = snapshot.tensors.iter().find(|(n, _)| n == name)?;
            let size = [rows as i64, self.theta.size()[1]];
            (tensor.size() == size).then(|| tensor.to_device(self.theta.device()))
        };
        let load = |prefix: &str, rows: usize| -> Option<Buffers> {
            let part = |name: String, like: &Tensor| {
                let (_, tensor) = snapshot.tensors.iter().find(|(n, _)| *n == name)?;
                let fits = tensor.numel() * replicas == like.numel() * rows;
                fits.then(|| tensor.to_device(like.device()))
            };
            let all = self.buffers.0.iter().enumerate();
            all.map(|(i, like)| part(format!("{prefix}buffer{i}"), like)).collect::<Option<Vec<_>>>().map(Buffers)
        };
        let rows = members.len();
        let (Some(theta), Some(buffers)) = (find("theta", rows), load("", rows)) else { return };
        let state: Option<Vec<Tensor>> = self.optimiser.state().iter().map(|(name, _)| find(name, rows)).collect();
        let Some(state) = state else { return };
        let kept = find("kept.theta", replicas).zip(load("kept.", replicas));
        if kept.is_none() && (self.kept.is_some() || rows < replicas) {
            return;
        }
        self.keep_only(members);
        self.optimiser.set_state(state);
        (self.theta, self.buffers, self.kept, self.histories, self.epoch) = (theta, buffers, kept, histories, epoch);
    }
}
