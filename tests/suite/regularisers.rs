//! Every regulariser is compared with its definition: gradients with finite differences in float64,
//! and proximal maps with the objective that they minimise.
#![cfg(feature = "torch")]

use tch::{Device, Kind, Tensor};
use transfergrid::config::network::{Class, Model, ModelKind, Norm, PenaltyRules, PenaltyStep, Phase};
use transfergrid::model::{cross_entropy, Architecture, Mode};
use transfergrid::train::{optimiser, Dropout, Penalty, Step};

fn wave(n: i64, seed: f64) -> Tensor {
    let values: Vec<f64> = (0..n).map(|j| 0.4 * (1.7 * j as f64 + seed).sin() + 0.07 * (5.3 * j as f64).cos()).collect();
    Tensor::from_slice(&values).reshape([1, n])
}

fn phase(l1_ratio: f64) -> Phase {
    Phase { momentum: 0.0, l1_ratio, ..Phase::new(vec![Class::Label(0), Class::Label(1)], 1, 0.1) }
}

#[test]
fn losses_with_label_smoothing_and_dropout() {
    let model = Model { kind: ModelKind::Mlp, hidden: Some(vec![7, 6]), norm: Norm::None, ..Model::default() };
    let architecture = Architecture::new(&model, [3, 3, 1], 4);
    let theta = wave(architecture.layout.total(), 1.0);
    let x = wave(5 * 9, 2.0).reshape([1, 5, 3, 3, 1]);
    let y = Tensor::from_slice(&[0i64, 3, 1, 2, 3]).reshape([1, 5]);
    let buffers = architecture.fresh_buffers(1, Kind::Double, Device::Cpu);
    let drawn = Dropout::new(0.4, &[3], "test", Device::Cpu);
    let mask = |layer: usize, size: &[i64]| drawn.mask(layer, 0, size);
    for (smoothing, dropout) in [(0.0, false), (0.3, false), (0.0, true), (0.2, true)] {
        let loss = |theta: &Tensor| {
            let masks: Option<transfergrid::model::Masks> = dropout.then_some(&mask);
            let logits = architecture.forward(&architecture.layout.views(theta), &x, &buffers, Mode::Train, masks);
            cross_entropy(&logits, &y, smoothing).mean(Kind::Double)
        };
        let leaf = theta.copy().set_requires_grad(true);
        let gradient = Tensor::run_backward(&[loss(&leaf)], &[&leaf], false, false).remove(0);
        let mut nonzero = 0;
        for at in (0..architecture.layout.total()).step_by(3) {
            let h = 1e-6;
            let moved = |by: f64| {
                let other = theta.copy();
                let _ = other.narrow(1, at, 1).g_add_scalar_(by);
                loss(&other).double_value(&[])
            };
            let (numeric, exact) = ((moved(h) - moved(-h)) / (2.0 * h), gradient.double_value(&[0, at]));
            assert!((numeric - exact).abs() < 1e-7, "smoothing {smoothing}, dropout {dropout}, parameter {at}: {numeric} and {exact}");
            nonzero += usize::from(exact != 0.0);
        }
        assert!(nonzero > 20);
    }
}

/// Σ d(α|θ − a| + (1 − α)/2·(θ − a)²), as in the documentation.
fn penalty(theta: f64, decay: f64, point: f64, l1_ratio: f64) -> f64 {
    let u = theta - point;
    decay * (l1_ratio * u.abs() + 0.5 * (1.0 - l1_ratio) * u * u)
}

fn step(theta: &Tensor, decay: f64, point: Option<&Tensor>, l1_ratio: f64, step: PenaltyStep, lr: f64) -> Vec<f64> {
    let penalty = Penalty::new(theta.ones_like() * decay, point.map(Tensor::copy));
    let mut optimiser = optimiser(&phase(l1_ratio), &PenaltyRules { step, ..PenaltyRules::default() }, theta);
    let mut moved = theta.copy();
    optimiser.step(&mut moved, &[theta.zeros_like()], &penalty, Step { number: 1, lr });
    Vec::try_from(moved.reshape([-1])).unwrap()
}

#[test]
fn steps_go_down_the_penaltys_gradient() {
    let theta = wave(40, 3.0);
    let values: Vec<f64> = Vec::try_from(theta.reshape([-1])).unwrap();
    for (l1_ratio, anchored) in [(0.0, false), (0.0, true), (1.0, false), (1.0, true), (0.4, true)] {
        for rule in [PenaltyStep::Explicit, PenaltyStep::Proximal] {
            let point = anchored.then(|| wave(40, 9.0));
            let points: Vec<f64> = point.as_ref().map_or(vec![0.0; 40], |p| Vec::try_from(p.reshape([-1])).unwrap());
            let (decay, lr, h) = (0.7, 1e-6, 1e-6);
            let moved = step(&theta, decay, point.as_ref(), l1_ratio, rule, lr);
            for i in 0..40 {
                if (values[i] - points[i]).abs() < 1e-4 {
                    continue; // |u| has no gradient there
                }
                let at = |x: f64| penalty(x, decay, points[i], l1_ratio);
                let numeric = (at(values[i] + h) - at(values[i] - h)) / (2.0 * h);
                let ours = (values[i] - moved[i]) / lr;
                assert!((numeric - ours).abs() < 1e-5, "α = {l1_ratio}, {rule:?}: {numeric} and {ours}");
            }
        }
    }
}

#[test]
fn the_proximal_step_minimises_its_objective_at_any_step_size() {
    let theta = wave(40, 4.0);
    let values: Vec<f64> = Vec::try_from(theta.reshape([-1])).unwrap();
    let point = wave(40, 8.0);
    let points: Vec<f64> = Vec::try_from(point.reshape([-1])).unwrap();
    for l1_ratio in [0.0, 0.4, 1.0] {
        for (decay, lr) in [(0.1, 0.1), (3.0, 0.05), (50.0, 0.2)] {
            let moved = step(&theta, decay, Some(&point), l1_ratio, PenaltyStep::Proximal, lr);
            for i in 0..40 {
                let of = |x: f64| (x - values[i]).powi(2) / (2.0 * lr) + penalty(x, decay, points[i], l1_ratio);
                let least = of(moved[i]);
                assert!([-1e-4, 1e-4].iter().all(|by| of(moved[i] + by) >= least - 1e-12), "α = {l1_ratio}, λ = {decay}, lr = {lr}");
            }
            let exact = moved.iter().zip(&points).filter(|(a, b)| a == b).count();
            assert_eq!(
                exact > 0,
                l1_ratio > 0.0 && decay * lr * l1_ratio > 0.05,
                "the absolute value sets some to the anchor exactly: {exact}"
            );
        }
    }
}
