//! The optimiser step equals PyTorch's SGD: 50 steps in float64 against golden numbers from
//! tests/golden/sgd.py.
#![cfg(feature = "torch")]

use serde_json::Value as Json;
use tch::{Device, Kind, Tensor};
use transfergrid::config::network::{Class, Model, ModelKind, Norm, PenaltyRules, PenaltyStep, Phase};
use transfergrid::model::cross_entropy;
use transfergrid::model::{Architecture, Mode};
use transfergrid::train::{Optimiser, Penalty, Sgd};

const BATCH: i64 = 12;
const CLASSES: i64 = 4;

fn wave(n: i64, rate: f64, shift: f64) -> Tensor {
    let values: Vec<f64> = (0..n).map(|j| 0.3 * (rate * j as f64 + shift).sin()).collect();
    Tensor::from_slice(&values).reshape([1, n])
}

fn images(channels: i64) -> Tensor {
    let n = BATCH * 8 * 8 * channels;
    let values: Vec<f64> = (0..n).map(|i| ((7919 * i) % 256) as f64 / 127.5 - 1.0).collect();
    Tensor::from_slice(&values).reshape([1, BATCH, 8, 8, channels])
}

fn phase(case: &Json) -> Phase {
    Phase {
        batch_size: 12,
        momentum: case["momentum"].as_f64().unwrap(),
        nesterov: case["nesterov"].as_bool().unwrap(),
        ..Phase::new((0..4).map(Class::Label).collect(), 1, case["lr"].as_f64().unwrap())
    }
}

#[test]
fn fifty_steps_equal_pytorchs() {
    let golden: Json = serde_json::from_str(include_str!("../golden/sgd.json")).unwrap();
    assert!(golden["torch"].as_str().unwrap().starts_with("2.11"));
    let cases = golden["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 20);
    for case in cases {
        let name = case["model"].as_str().unwrap();
        let model = match name {
            "mlp" => Model { kind: ModelKind::Mlp, hidden: Some(vec![10]), ..Model::default() },
            norm => Model {
                channels: Some(vec![4, 6]),
                norm: match norm {
                    "batch" => Norm::Batch,
                    "group" => Norm::Group,
                    _ => Norm::None,
                },
                groups: 2,
                ..Model::default()
            },
        };
        let channels = if name == "mlp" { 1 } else { 3 };
        let architecture = Architecture::new(&model, [8, 8, channels], CLASSES as usize);
        let n = architecture.layout.total();
        let mut theta = wave(n, 0.7, 1.0).set_requires_grad(true);
        let lambda = [case["lambda"].as_f64().unwrap()];
        let rules = PenaltyRules { step: PenaltyStep::Explicit, ..PenaltyRules::default() };
        let penalty = match case["anchored"].as_bool().unwrap() {
            true => Penalty::to_source(&architecture.layout, &rules, &lambda, None, Some(wave(n, 1.3, 2.0)), &theta),
            false => Penalty::to_zero(&architecture.layout, &rules, &lambda, &theta),
        };
        let phase = phase(case);
        let mut optimiser = Sgd::new(&phase, &rules, &theta);
        let buffers = architecture.fresh_buffers(1, Kind::Double, Device::Cpu);
        let (x, y) = (images(channels as i64), Tensor::arange(BATCH, (Kind::Int64, Device::Cpu)).remainder(CLASSES).unsqueeze(0));
        for (step, golden) in case["losses"].as_array().unwrap().iter().enumerate() {
            let logits = architecture.forward(&architecture.layout.views(&theta), &x, &buffers, Mode::Train, None);
            let loss = cross_entropy(&logits, &y, 0.0).mean(None::<Kind>);
            let (ours, golden) = (loss.double_value(&[]), golden.as_f64().unwrap());
            assert!((ours - golden).abs() <= 1e-6 * golden.abs(), "{case:?} step {step}: {ours} against {golden}");
            let gradient = Tensor::run_backward(&[&loss], &[&theta], false, false).remove(0);
            optimiser.step(&mut theta, &[gradient], &penalty, phase.lr);
        }
        let ours: Vec<f64> = Vec::try_from(theta.detach().reshape([-1])).unwrap();
        let stride = (n as usize / 40).max(1);
        for (ours, golden) in ours.iter().step_by(stride).zip(case["theta"].as_array().unwrap()) {
            let golden = golden.as_f64().unwrap();
            assert!((ours - golden).abs() <= 1e-6 * golden.abs().max(0.1), "{name}: {ours} against {golden}");
        }
    }
}
