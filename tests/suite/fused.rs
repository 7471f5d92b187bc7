//! K fused replicas give the same results as K single models: losses, gradients and complete
//! training runs.
#![cfg(feature = "torch")]

use tch::{Kind, Tensor};
use transfergrid::config::network::{
    Augment, Class, DataChoice, DataName, Model, ModelKind, Norm, OptimiserKind, PenaltyRules, PenaltyStep, Phase, Precision, Schedule,
};
use transfergrid::data::{normalisation, search_path, task_labels, training_labels, Dataset, Preparation, Split};
use transfergrid::model::cross_entropy;
use transfergrid::model::{profile, Architecture, Mode, Strategy};
use transfergrid::plan::parameters;
use transfergrid::train::{
    DeviceDataset, EpochReport, EvaluationLoss, Observer, Pack, Penalty, Place, Replica, Snapshot, Start, Trained, TrainingHistory,
    TrainingOutcome,
};

use crate::common::device;

fn models() -> Vec<(&'static str, Model)> {
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
        ("convnet with hidden", Model { hidden: Some(vec![8]), ..conv(Norm::Batch) }),
        ("mlp", mlp(Norm::None)),
        ("mlp batch", mlp(Norm::Batch)),
        ("mlp group", mlp(Norm::Group)),
        ("bag", Model { kind: ModelKind::Bag, embedding: Some(6), hidden: Some(vec![8]), ..Model::default() }),
        ("vit", Model { kind: ModelKind::Vit, width: Some(8), depth: Some(2), heads: Some(2), ..Model::default() }),
        ("resnet20 batch", resnet(ModelKind::Resnet20, Norm::Batch)),
        ("resnet20 group", resnet(ModelKind::Resnet20, Norm::Group)),
        ("resnet18 batch", resnet(ModelKind::Resnet18, Norm::Batch)),
    ]
}

#[test]
fn losses_and_gradients() {
    for (name, model) in models() {
        let kinds = [(Kind::Double, 1e-10), (Kind::Float, 1e-5)];
        for ((kind, tolerance), strategy) in kinds.into_iter().flat_map(|kind| Strategy::ALL.map(|strategy| (kind, strategy))) {
            let mut architecture = Architecture::new(&model, [16, 16, 3], 5);
            architecture.strategies.fill(strategy);
            let seeds = [3, 1, 4, 1];
            let k = seeds.len() as i64;
            let theta = architecture.layout.initial(&seeds, "source", kind, device()).set_requires_grad(true);
            let values: Vec<f64> = (0..k * 6 * 16 * 16 * 3).map(|i| ((i * i * 31 + i * 17) % 101) as f64 / 50.0 - 1.0).collect();
            let x = Tensor::from_slice(&values).reshape([k, 6, 16, 16, 3]).to_kind(kind);
            let y = Tensor::arange(k * 6, (Kind::Int64, device())).remainder(5).reshape([k, 6]);
            let buffers = architecture.fresh_buffers(k, kind, device());
            let loss = cross_entropy(&architecture.forward(&architecture.layout.views(&theta), &x, &buffers, Mode::Train, None), &y, 0.0)
                .mean_dim([1i64].as_slice(), false, None::<Kind>);
            let gradient = Tensor::run_backward(&[loss.sum(None::<Kind>)], &[&theta], false, false).remove(0);
            for i in 0..k {
                let single = theta.detach().narrow(0, i, 1).copy().set_requires_grad(true);
                let own = architecture.fresh_buffers(1, kind, device());
                let single_loss = cross_entropy(
                    &architecture.forward(&architecture.layout.views(&single), &x.narrow(0, i, 1), &own, Mode::Train, None),
                    &y.narrow(0, i, 1),
                    0.0,
                )
                .mean(None::<Kind>);
                let single_gradient = Tensor::run_backward(&[&single_loss], &[&single], false, false).remove(0);
                let scale = single_gradient.abs().max().double_value(&[]);
                let difference = (gradient.narrow(0, i, 1) - single_gradient).abs().max().double_value(&[]);
                let (fused, alone) = (loss.double_value(&[i]), single_loss.double_value(&[]));
                assert!((fused - alone).abs() <= tolerance * alone, "{name} {kind:?}: loss {fused} against {alone}");
                assert!(difference <= tolerance * scale, "{name} {kind:?}: gradients differ by {difference} of {scale}");
                for (statistics, own) in buffers.0.iter().zip(&own.0) {
                    let c = own.size()[0];
                    assert!((statistics.narrow(0, i * c, c) - own).abs().max().double_value(&[]) <= 10.0 * tolerance);
                }
            }
        }
    }
}

#[test]
fn bfloat16_computes_inside_and_answers_in_float32() {
    for (name, model) in models() {
        let architecture = Architecture::new(&model, [16, 16, 3], 5);
        let theta = architecture.layout.initial(&[3, 1], "source", Kind::Float, device());
        let values: Vec<f64> = (0..2 * 6 * 16 * 16 * 3).map(|i: i64| ((i * i * 31 + i * 17) % 1009) as f64 / 504.5 - 1.0).collect();
        let x = Tensor::from_slice(&values).reshape([2, 6, 16, 16, 3]);
        let buffers = || architecture.fresh_buffers(2, Kind::Float, device());
        let of = |kind| architecture.forward(&architecture.layout.leaves(&theta, false), &x.to_kind(kind), &buffers(), Mode::Train, None);
        let (exact, rounded) = (of(Kind::Float), of(Kind::BFloat16));
        assert_eq!(rounded.kind(), Kind::Float, "{name}: logits, and with them losses");
        let off = (&exact - &rounded).abs().max().double_value(&[]) / exact.abs().max().double_value(&[]);
        assert!(off > 0.0 && off < 0.05, "{name}: {off}");
        let loss = cross_entropy(&rounded, &Tensor::zeros([2, 6], (Kind::Int64, device())), 0.0).sum(None::<Kind>);
        let leaves = architecture.layout.leaves(&theta, false);
        let again = cross_entropy(
            &architecture.forward(&leaves, &x.to_kind(Kind::BFloat16), &buffers(), Mode::Train, None),
            &Tensor::zeros([2, 6], (Kind::Int64, device())),
            0.0,
        )
        .sum(None::<Kind>);
        let gradients = Tensor::run_backward(&[&again], &leaves, false, false);
        assert!(gradients.iter().all(|g| g.kind() == Kind::Float), "{name}: gradients of float32 weights");
        assert_eq!(loss.double_value(&[]), again.double_value(&[]));
    }
}

#[test]
fn the_planner_counts_the_parameters_that_the_model_has() {
    for (name, model) in models() {
        for input in DataName::ALL.into_iter().filter_map(|name| name.info().image_shape) {
            let architecture = Architecture::new(&model, input, 7);
            assert_eq!(architecture.layout.total() as usize, parameters(&model, input, 7), "{name} on {input:?}");
        }
    }
}

/// An observer that ignores reports. It stops before a given step if asked, and keeps snapshots.
#[derive(Default)]
struct Quiet {
    stop_at: Option<usize>,
    steps: std::cell::Cell<usize>,
    every_epoch: bool,
    snapshots: Vec<Snapshot>,
}

impl Observer for Quiet {
    fn epoch(&mut self, _: &[(usize, EpochReport)]) {}
    fn stop(&self) -> bool {
        self.steps.set(self.steps.get() + 1);
        self.stop_at.is_some_and(|at| self.steps.get() > at)
    }
    fn wants_snapshot(&self) -> bool {
        self.every_epoch
    }
    fn snapshot(&mut self, snapshot: Snapshot) {
        self.snapshots.push(snapshot);
    }
}

fn phase() -> Phase {
    Phase {
        per_class: Some(12),
        validation_per_class: Some(10),
        batch_size: 16,
        nesterov: true,
        augment: Augment { flip: true, shift: 1, ..Augment::default() },
        ..Phase::new((0..5).map(Class::Label).collect(), 4, 0.1)
    }
}

/// Everything that changes images.
fn changed() -> Phase {
    let augment = Augment { brightness: 0.4, contrast: 0.3, cutout: 3, mixup: 0.4, ..phase().augment };
    Phase { augment, ..phase() }
}

fn adamw() -> Phase {
    Phase { optimiser: OptimiserKind::Adamw, lr: 0.01, nesterov: false, clip_norm: Some(0.5), ..phase() }
}

struct Setting {
    data: Dataset,
    phase: Phase,
    rules: PenaltyRules,
    architecture: Architecture,
    pool: DeviceDataset,
    kind: Kind,
}

impl Setting {
    fn new(model: &Model, phase: Phase, rules: PenaltyRules, kind: Kind) -> Setting {
        let data = Dataset::load(&DataChoice::Named(DataName::Digits), false, [8, 8, 1], &search_path(None)).unwrap();
        let architecture = Architecture::new(model, [8, 8, 1], phase.classes.len());
        let pool = DeviceDataset::new(&data.train, [8, 8, 1], device(), Place::Device);
        Setting { data, phase, rules, architecture, pool, kind }
    }

    fn replicas(&self, seeds: &[u64]) -> Vec<Replica> {
        let each = |&seed: &u64| {
            let split = Split::draw(&self.data.train, &self.phase.images(self.data.info), &[], seed, 0);
            let noisy = self.phase.label_noise > 0.0;
            Replica {
                seed,
                training_labels: noisy
                    .then(|| training_labels(&self.data.train, self.data.info, &self.phase, "source", &split.train, seed)),
                preparation: Preparation::Pixels(normalisation(&self.data.train, &split.train, 1)),
                train: split.train,
                validation: split.validation,
                monitor: split.monitor,
            }
        };
        seeds.iter().map(each).collect()
    }

    fn train(&self, seeds: &[u64], lambdas: &[f64], resume: Option<Snapshot>, observer: &mut Quiet) -> Option<Trained> {
        let replicas = self.replicas(seeds);
        let pack = self.pack(&replicas);
        let theta = self.architecture.layout.initial(seeds, "source", self.kind, device());
        let buffers = self.architecture.fresh_buffers(seeds.len() as i64, self.kind, device());
        let penalty = Penalty::to_zero(&self.architecture.layout, &self.rules, lambdas, &theta);
        match pack.train(Start { theta, buffers, penalty }, resume, observer) {
            TrainingOutcome::Trained(trained) => Some(trained),
            TrainingOutcome::Stopped => None,
        }
    }

    fn pack<'a>(&'a self, replicas: &'a [Replica]) -> Pack<'a> {
        Pack {
            architecture: &self.architecture,
            phase: &self.phase,
            rules: &self.rules,
            precision: Precision::Float32,
            task: "source",
            outputs: task_labels(self.data.info, &self.phase),
            replicas,
            pool: &self.pool,
            freeze_batchnorm: false,
            frozen: false,
            objective: EvaluationLoss::CrossEntropy { smoothing: self.phase.expected_smoothing(self.data.info) },
        }
    }
}

fn last(course: &TrainingHistory) -> &EpochReport {
    course.history.last().unwrap()
}

#[test]
fn whole_trainings() {
    // Each optional setting of a phase is used in turn.
    let phases = [
        phase(),
        Phase { dropout: 0.3, label_smoothing: 0.1, ..phase() },
        Phase { l1_ratio: 0.7, label_noise: 0.2, ..phase() },
        adamw(),
        changed(),
    ];
    let chosen = models().into_iter().filter(|(name, _)| !name.contains("convnet") || name.len() < 14);
    for ((name, model), phase) in chosen.zip(phases.iter().cycle()) {
        let channels = model.channels.clone().map(|own| if model.kind == ModelKind::Convnet { vec![4] } else { own });
        let setting = Setting::new(&Model { channels, ..model }, phase.clone(), PenaltyRules::default(), Kind::Double);
        let (seeds, lambdas) = ([0, 0, 7], [0.0, 0.05, 0.001]);
        let fused = setting.train(&seeds, &lambdas, None, &mut Quiet::default()).unwrap();
        for i in 0..seeds.len() {
            let single = setting.train(&seeds[i..=i], &lambdas[i..=i], None, &mut Quiet::default()).unwrap();
            let difference = (fused.theta.narrow(0, i as i64, 1) - &single.theta).abs().max().double_value(&[]);
            assert!(difference < 1e-9, "{name}: replica {i} differs by {difference} after training");
            assert_eq!(fused.histories[i].history.len(), 4);
            assert!((last(&fused.histories[i]).validation_loss - last(&single.histories[0]).validation_loss).abs() < 1e-9);
        }
        let (first, last) = (fused.histories[0].history[0].train_loss, last(&fused.histories[0]).train_loss);
        assert!(last < first, "{name} learns: {first} to {last}");
    }
}

#[test]
fn nothing_is_read_back_from_the_device_within_an_epoch() {
    // Float64 uses the same operations as CUDA. In libtorch's profile, each read of a number by the
    // host is a local scalar.
    for model in [models()[0].1.clone(), models()[5].1.clone()] {
        let reads = |batch_size: usize| {
            let setting = Setting::new(&model, Phase { batch_size, ..phase() }, PenaltyRules::default(), Kind::Double);
            let (_, operations) = profile(|| setting.train(&[0, 1], &[0.0, 0.1], None, &mut Quiet::default()));
            let calls = |name: &str| operations.iter().filter(|p| p.name == name).map(|p| p.calls).sum::<usize>();
            assert!(calls("aten::max_pool2d") > 0 || calls("aten::baddbmm") > 0, "the profile saw the training: {operations:?}");
            (calls("aten::_local_scalar_dense"), calls("aten::baddbmm"))
        };
        let (few, many) = (reads(30), reads(4));
        assert!(many.1 > few.1, "more steps");
        assert_eq!(many.0, few.0, "and not one more read");
    }
}

#[test]
fn one_replica_diverges_and_its_mates_do_not_notice() {
    let model = Model { kind: ModelKind::Mlp, hidden: Some(vec![12]), ..Model::default() };
    let rules = PenaltyRules { step: PenaltyStep::Explicit, ..PenaltyRules::default() };
    let setting = Setting::new(&model, phase(), rules, Kind::Double);
    // lr·λ = 10³⁹: this model diverges. The study's checks would refuse such a value.
    let fused = setting.train(&[0, 0], &[0.01, 1e40], None, &mut Quiet::default()).unwrap();
    let single = setting.train(&[0], &[0.01], None, &mut Quiet::default()).unwrap();
    assert!((fused.theta.narrow(0, 0, 1) - &single.theta).abs().max().double_value(&[]) < 1e-12);
    assert!(fused.histories[1].diverged.is_some() && fused.histories[0].diverged.is_none());
}

#[test]
fn when_half_of_a_pack_has_diverged_the_others_go_on_without_it() {
    let model = Model { kind: ModelKind::Mlp, hidden: Some(vec![12]), norm: Norm::Batch, ..Model::default() };
    let rules = PenaltyRules { step: PenaltyStep::Explicit, ..PenaltyRules::default() };
    let setting = Setting::new(&model, Phase { batch_size: 8, ..phase() }, rules, Kind::Float);
    let (seeds, lambdas) = ([0, 0, 1, 2], [1e40, 0.01, 1e40, 1e40]);
    let mut observer = Quiet { every_epoch: true, ..Quiet::default() };
    let fused = setting.train(&seeds, &lambdas, None, &mut observer).unwrap();
    let single = setting.train(&[0], &[0.01], None, &mut Quiet::default()).unwrap();
    assert!((fused.theta.get(1) - single.theta.get(0)).abs().max().double_value(&[]) < 1e-5);
    let (mean, alone) = (fused.buffers.0[0].narrow(0, 12, 12), &single.buffers.0[0]);
    assert!((mean - alone).abs().max().double_value(&[]) < 1e-5, "running statistics of the one that learns");
    assert!([0, 2, 3].iter().all(|&k| fused.histories[k].diverged.is_some()) && fused.histories[1].history.len() == 4);
    let rows: Vec<i64> =
        observer.snapshots.iter().map(|s| s.tensors.iter().find(|(name, _)| name == "theta").unwrap().1.size()[0]).collect();
    assert_eq!(rows, [1, 1, 1], "three of four diverged in the first epoch and are no longer computed");
    // The smaller pack also resumes as one pack, with identical bits.
    for snapshot in observer.snapshots {
        let resumed = setting.train(&seeds, &lambdas, Some(snapshot), &mut Quiet::default()).unwrap();
        assert!(resumed.theta.get(1).equal(&fused.theta.get(1)) && resumed.histories[0].diverged == fused.histories[0].diverged);
    }
}

#[test]
fn early_stopped_replicas_are_left_behind_with_their_best_weights() {
    let model = Model { kind: ModelKind::Mlp, hidden: Some(vec![24]), ..Model::default() };
    let phase = Phase { patience: Some(2), epochs: 200, lr: 0.05, augment: Augment::default(), ..phase() };
    let setting = Setting::new(&model, phase, PenaltyRules::default(), Kind::Double);
    let (seeds, lambdas) = ([1, 2, 3, 4, 5], [0.0, 1.0, 0.0, 0.1, 0.01]);
    let fused = setting.train(&seeds, &lambdas, None, &mut Quiet::default()).unwrap();
    let lengths: Vec<usize> = fused.histories.iter().map(|course| course.history.len()).collect();
    assert!(lengths.iter().max() > lengths.iter().min(), "they stop at different epochs: {lengths:?}");
    for i in 0..seeds.len() {
        let single = setting.train(&seeds[i..=i], &lambdas[i..=i], None, &mut Quiet::default()).unwrap();
        assert_eq!(fused.histories[i].chosen, single.histories[0].chosen);
        assert!((fused.theta.get(i as i64) - single.theta.get(0)).abs().max().double_value(&[]) < 1e-9);
    }
}

#[test]
fn stopped_anywhere_and_resumed_gives_the_same_bits() {
    let model = Model { kind: ModelKind::Mlp, hidden: Some(vec![12]), norm: Norm::Batch, ..Model::default() };
    // Eight steps per epoch: the stops are between epochs and within an epoch.
    for phase in [phase(), adamw(), changed()] {
        let phase = Phase { patience: Some(2), batch_size: 8, ..phase };
        stopped_anywhere(&Setting::new(&model, phase, PenaltyRules::default(), Kind::Float));
    }
}

fn stopped_anywhere(setting: &Setting) {
    let (seeds, lambdas) = ([2, 5], [0.001, 0.02]);
    let whole = setting.train(&seeds, &lambdas, None, &mut Quiet::default()).unwrap();
    for stop_at in [0, 1, 7, 8, 9, 13, 16, 22, 31] {
        let mut observer = Quiet { stop_at: Some(stop_at), every_epoch: true, ..Quiet::default() };
        if setting.train(&seeds, &lambdas, None, &mut observer).is_some() {
            continue; // early stopping ended training before that step
        }
        let snapshot = observer.snapshots.pop().unwrap();
        let resumed = setting.train(&seeds, &lambdas, Some(snapshot), &mut Quiet::default()).unwrap();
        assert!(whole.theta.equal(&resumed.theta), "stopped before step {stop_at}");
        assert_eq!(whole.histories[1].history, resumed.histories[1].history);
    }
}

#[test]
fn early_stopping_keeps_the_best_epoch_of_each_replica() {
    let model = Model { kind: ModelKind::Mlp, hidden: Some(vec![32]), ..Model::default() };
    let setting = Setting::new(
        &model,
        Phase { patience: Some(3), epochs: 400, lr: 0.05, augment: Augment::default(), ..phase() },
        PenaltyRules::default(),
        Kind::Double,
    );
    let trained = setting.train(&[1, 2], &[0.0, 0.0], None, &mut Quiet::default()).unwrap();
    let replicas = setting.replicas(&[1, 2]);
    for (k, course) in trained.histories.iter().enumerate() {
        let best = course.history.iter().map(|report| report.validation_loss).fold(f64::INFINITY, f64::min);
        assert_eq!(course.result().unwrap().validation_loss, best);
        assert!(course.history.len() < 400 && course.history.len() == course.chosen + 3, "{} {}", course.history.len(), course.chosen);
        let test = trained.test(&setting.pack(&replicas), &setting.data);
        assert!(test.score[k] > 0.5 && test.loss[k].is_finite());
    }
}

#[test]
fn an_infinite_penalty_keeps_the_anchor_exactly_and_zero_is_the_plain_optimiser() {
    for phase in [phase(), adamw()] {
        infinite_and_zero_penalties(phase);
    }
}

fn infinite_and_zero_penalties(phase: Phase) {
    let model = Model { kind: ModelKind::Mlp, hidden: Some(vec![12]), ..Model::default() };
    let rules = PenaltyRules { step: PenaltyStep::Proximal, ..PenaltyRules::default() };
    let setting = Setting::new(&model, phase.clone(), rules.clone(), Kind::Float);
    let replicas = setting.replicas(&[0, 0]);
    let pack = setting.pack(&replicas);
    let layout = &setting.architecture.layout;
    let theta = layout.initial(&[0, 0], "target", Kind::Float, device());
    let head = layout.mask(Kind::Float, device(), |p| p.role == transfergrid::model::Role::Head);
    let point = &theta * (-&head + 1.0);
    let start = |lambdas: &[f64]| {
        let penalty = Penalty::to_source(layout, &rules, lambdas, Some(0.01), Some(point.copy()), &theta);
        Start { theta: theta.copy(), buffers: setting.architecture.fresh_buffers(2, Kind::Float, device()), penalty }
    };
    let TrainingOutcome::Trained(trained) = pack.train(start(&[f64::INFINITY, 0.0]), None, &mut Quiet::default()) else {
        panic!("not stopped")
    };
    let backbone = |k: i64| (trained.theta.get(k) * (-&head + 1.0).get(0)).equal(&point.get(k));
    assert!(backbone(0), "λ₁ = ∞ keeps the source weights bit for bit");
    assert!(!backbone(1));
    assert_eq!(last(&trained.histories[0]).distance, 0.0);
    assert!(!trained.theta.get(0).equal(&theta.get(0)), "the head learns");

    // λ = 0 and β = 0: the proximal and the explicit step are the same.
    let plain = |step| {
        let setting = Setting::new(&model, phase.clone(), PenaltyRules { step, ..PenaltyRules::default() }, Kind::Float);
        setting.train(&[3], &[0.0], None, &mut Quiet::default()).unwrap().theta
    };
    assert!(plain(PenaltyStep::Proximal).equal(&plain(PenaltyStep::Explicit)));
}

#[test]
fn both_steps_reach_the_minimum_of_the_stated_objective() {
    // Softmax regression is convex, so the minimum is unique. Momentum must not change the meaning
    // of λ.
    let model = Model { kind: ModelKind::Mlp, hidden: Some(vec![]), ..Model::default() };
    let schedule = Schedule { kind: transfergrid::config::network::ScheduleKind::Constant, ..Schedule::default() };
    let phase = |momentum, nesterov| Phase {
        momentum,
        nesterov,
        schedule: schedule.clone(),
        epochs: 1500,
        batch_size: 1000,
        lr: 0.05,
        augment: Augment::default(),
        ..phase()
    };
    let lambda = 1.0;
    let mut minima = vec![];
    for (step, momentum, nesterov) in [
        (PenaltyStep::Explicit, 0.0, false),
        (PenaltyStep::Explicit, 0.9, true),
        (PenaltyStep::Proximal, 0.0, false),
        (PenaltyStep::Proximal, 0.9, false),
        (PenaltyStep::Proximal, 0.9, true),
    ] {
        let setting = Setting::new(&model, phase(momentum, nesterov), PenaltyRules { step, ..PenaltyRules::default() }, Kind::Double);
        minima.push(setting.train(&[4], &[lambda], None, &mut Quiet::default()).unwrap().theta);
    }
    for theta in &minima[1..] {
        let difference = (theta - &minima[0]).abs().max().double_value(&[]);
        assert!(difference < 1e-6, "{difference}");
    }
}
