//! The device computes what the CPU computes, and what PyTorch computes.

use anyhow::{ensure, Context, Result};
use serde_json::Value as Json;
use tch::{Device, Kind, Tensor};

use super::setting::{difference, models};
use super::{Bench, Finding};
use crate::config::network::{Class, Model, ModelKind, Norm, PenaltyRules, PenaltyStep, Phase};
use crate::model::{allow_tf32, cross_entropy, no_grad, Architecture, Mode, Strategy};
use crate::train::{clip, optimiser, Penalty, Step};

/// ‖a − b‖/‖b‖
fn relative(a: &Tensor, b: &Tensor) -> f64 {
    let [a, b] = [a, b].map(|t| t.to_device(Device::Cpu).to_kind(Kind::Double));
    (a - &b).norm().double_value(&[]) / b.norm().double_value(&[])
}

/// Numbers in (−1, 1) that do not repeat soon.
fn numbers(size: &[i64], kind: Kind) -> Tensor {
    let n: i64 = size.iter().product();
    let values: Vec<f64> = (0..n).map(|i| (0.7 * i as f64 + 0.001 * (i * i % 1009) as f64).sin()).collect();
    Tensor::from_slice(&values).reshape(size).to_kind(kind)
}

/// Errors of float32 against float64: a product and a convolution, with TF32 off and on.
pub fn precision(bench: Bench) -> Result<Finding> {
    let (a, b) = (numbers(&[1024, 1024], Kind::Double), numbers(&[1024, 1024], Kind::Double).transpose(0, 1).contiguous());
    let (x, w) = (numbers(&[16, 32, 16, 16], Kind::Double), numbers(&[32, 32, 3, 3], Kind::Double));
    let conv = |x: &Tensor, w: &Tensor| x.conv2d(w, None::<Tensor>, [1, 1], [1, 1], [1, 1], 1);
    let exact = (a.matmul(&b), conv(&x, &w));
    let on_device = |t: &Tensor| {
        let t = t.to_kind(Kind::Float).to_device(bench.device);
        if bench.planted {
            // Eleven bits of significand: rounded by adding and removing 2¹³ times the number.
            let large = &t * 8193.0;
            &large - (&large - &t)
        } else {
            t
        }
    };
    let errors = || [relative(&on_device(&a).matmul(&on_device(&b)), &exact.0), relative(&conv(&on_device(&x), &on_device(&w)), &exact.1)];
    allow_tf32(false);
    let off = errors();
    let finding = Finding::at_most("TF32 off: errors of a product", off[0], 2e-6).and(Finding::at_most("a convolution", off[1], 2e-6));
    if !bench.device.is_cuda() {
        return Ok(finding);
    }
    allow_tf32(true);
    let on = errors();
    allow_tf32(false);
    let capable = super::super::devices::capability(bench.device).is_some_and(|capability| capability >= (8, 0));
    Ok(finding.and(Finding {
        measured: format!("TF32 on: {:.1e} and {:.1e}{}", on[0], on[1], if capable { " (at least 5e-6)" } else { " (this GPU has none)" }),
        holds: !capable || on[0] >= 5e-6,
    }))
}

/// Losses and gradients of every architecture with every strategy, four replicas at once on the
/// device against one at a time on the CPU.
pub fn architectures(bench: Bench) -> Result<Finding> {
    let (mut all, mut half) = ([vec![], vec![]], 0f64);
    for (name, model) in models() {
        for strategy in Strategy::ALL {
            for (at, kind) in [Kind::Double, Kind::Float].into_iter().enumerate() {
                all[at].extend(against_singles(&model, strategy, kind, bench).with_context(|| name.to_string())?);
            }
            half = half.max(bf16_error(&model, strategy, bench.device));
        }
    }
    let worst = |all: &[f64]| all.iter().copied().fold(0.0, f64::max);
    let near = all[1].iter().filter(|&&error| error <= 1e-5).count() as f64 / all[1].len() as f64;
    Ok(Finding::at_most(&format!("{} models; float64", all[0].len()), worst(&all[0]), 1e-10)
        .and(Finding { measured: format!("float32: {:.1}% below 1e-5 (at least 95%)", 100.0 * near), holds: near >= 0.95 })
        .and(Finding::at_most("the rest", worst(&all[1]), KINK))
        .and(Finding::at_most("bf16 logits", half, 5e-2)))
}

/// A ReLU whose input is nearly 0 may open on one device and stay shut on the other: of the few
/// hundred units here, one such unit changes a gradient by about a thousandth of its norm.
const KINK: f64 = 2e-3;
const BATCH: i64 = 6;

fn loss(architecture: &Architecture, theta: &Tensor, x: &Tensor, y: &Tensor) -> Tensor {
    let buffers = architecture.fresh_buffers(theta.size()[0], theta.kind(), theta.device());
    let logits = architecture.forward(&architecture.layout.views(theta), x, &buffers, Mode::Train, None);
    cross_entropy(&logits, y, 0.0).mean_dim([1i64].as_slice(), false, None::<Kind>)
}

fn gradient(architecture: &Architecture, theta: &Tensor, x: &Tensor, y: &Tensor) -> (Tensor, Tensor) {
    let theta = theta.detach().copy().set_requires_grad(true);
    let loss = loss(architecture, &theta, x, y);
    let gradient = Tensor::run_backward(&[loss.sum(None::<Kind>)], &[&theta], false, false).remove(0);
    (loss.detach(), gradient)
}

/// For each replica the larger of the relative differences of its loss and, in the norm, of its
/// gradient.
fn against_singles(model: &Model, strategy: Strategy, kind: Kind, bench: Bench) -> Result<Vec<f64>> {
    let mut architecture = Architecture::new(model, [16, 16, 3], 5);
    let alone = Architecture::new(model, [16, 16, 3], 5);
    architecture.strategies.fill(strategy);
    let seeds = [3, 1, 4, 1];
    let k = seeds.len() as i64;
    let theta = architecture.layout.initial(&seeds, "source", kind, Device::Cpu);
    let x = numbers(&[k, BATCH, 16, 16, 3], kind);
    let y = Tensor::arange(k * BATCH, (Kind::Int64, Device::Cpu)).remainder(5).reshape([k, BATCH]);
    let there = theta.to_device(bench.device).copy();
    if bench.planted {
        let _ = no_grad(|| there.get(0).narrow(0, 0, 1).f_add_scalar_(1e-4))?;
    }
    let (losses, gradients) = gradient(&architecture, &there, &x.to_device(bench.device), &y.to_device(bench.device));
    let (losses, gradients) = (losses.to_device(Device::Cpu), gradients.to_device(Device::Cpu));
    let mut all = vec![];
    for i in 0..k {
        let (own_loss, own_gradient) = gradient(&alone, &theta.narrow(0, i, 1), &x.narrow(0, i, 1), &y.narrow(0, i, 1));
        ensure!(own_gradient.abs().max().double_value(&[]) > 0.0, "the gradient is 0");
        let of_loss = difference(&losses.narrow(0, i, 1), &own_loss) / own_loss.double_value(&[0]);
        all.push(of_loss.max(relative(&gradients.narrow(0, i, 1), &own_gradient)));
    }
    Ok(all)
}

/// The largest difference of logits in bf16 from those in float32 on the CPU, relative to the
/// largest logit.
fn bf16_error(model: &Model, strategy: Strategy, device: Device) -> f64 {
    let mut architecture = Architecture::new(model, [16, 16, 3], 5);
    architecture.strategies.fill(strategy);
    let theta = architecture.layout.initial(&[3, 1], "source", Kind::Float, Device::Cpu);
    let x = numbers(&[2, BATCH, 16, 16, 3], Kind::Float);
    let logits = |device: Device, kind: Kind| {
        let theta = theta.to_device(device);
        let buffers = architecture.fresh_buffers(2, Kind::Float, device);
        let leaves = architecture.layout.leaves(&theta, false);
        no_grad(|| architecture.forward(&leaves, &x.to_kind(kind).to_device(device), &buffers, Mode::Train, None))
    };
    let exact = logits(Device::Cpu, Kind::Float);
    difference(&logits(device, Kind::BFloat16), &exact) / exact.abs().max().double_value(&[])
}

/// Fifty steps of each optimiser against PyTorch's.
pub fn golden(bench: Bench) -> Result<Finding> {
    let (cases, worst) = golden_optimisers(bench.device, if bench.planted { 1.001 } else { 1.0 })?;
    Ok(Finding { measured: format!("{cases} cases of 50 steps"), holds: cases == 56 }.and(Finding::at_most("error", worst, 1e-6)))
}

/// Runs fifty steps in float64 for each case of `optimisers.json` (by tests/golden/optimisers.py)
/// with the learning rate multiplied by `factor`. Returns the number of cases and the largest
/// error, of losses relative, of weights relative to at least 0.1.
pub fn golden_optimisers(device: Device, factor: f64) -> Result<(usize, f64)> {
    let golden: Json = serde_json::from_str(include_str!("optimisers.json"))?;
    let cases = golden["cases"].as_array().context("optimisers.json has cases")?;
    let mut worst = 0f64;
    for case in cases {
        worst = worst.max(fifty_steps(case, device, factor)?);
    }
    Ok((cases.len(), worst))
}

fn fifty_steps(case: &Json, device: Device, factor: f64) -> Result<f64> {
    const SAMPLES: i64 = 12;
    const CLASSES: i64 = 4;
    let number = |key: &str| case[key].as_f64().with_context(|| format!("optimisers.json has {key}"));
    let name = case["model"].as_str().context("a model")?;
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
    let wave = |n: i64, rate: f64, shift: f64| {
        let values: Vec<f64> = (0..n).map(|j| 0.3 * (rate * j as f64 + shift).sin()).collect();
        Tensor::from_slice(&values).reshape([1, n]).to_device(device)
    };
    let channels = if name == "mlp" { 1 } else { 3 };
    let architecture = Architecture::new(&model, [8, 8, channels], CLASSES as usize);
    let n = architecture.layout.total();
    let mut theta = wave(n, 0.7, 1.0).set_requires_grad(true);
    let lambda = [number("lambda")?];
    let rules = PenaltyRules { step: PenaltyStep::Explicit, ..PenaltyRules::default() };
    let penalty = match case["anchored"].as_bool() == Some(true) {
        true => Penalty::to_source(&architecture.layout, &rules, &lambda, None, Some(wave(n, 1.3, 2.0)), &theta),
        false => Penalty::to_zero(&architecture.layout, &rules, &lambda, &theta),
    };
    let phase = Phase {
        batch_size: SAMPLES as usize,
        optimiser: serde_json::from_value(case["optimiser"].clone()).context("an optimiser")?,
        momentum: case["momentum"].as_f64().unwrap_or_default(),
        nesterov: case["nesterov"].as_bool() == Some(true),
        betas: serde_json::from_value(case["betas"].clone()).unwrap_or_default(),
        epsilon: case["epsilon"].as_f64().unwrap_or_default(),
        clip_norm: case["clip_norm"].as_f64(),
        ..Phase::new((0..CLASSES as usize).map(Class::Label).collect(), 1, number("lr")? * factor)
    };
    let mut optimiser = optimiser(&phase, &rules, &theta);
    let buffers = architecture.fresh_buffers(1, Kind::Double, device);
    let pixels: Vec<f64> = (0..SAMPLES * 64 * channels as i64).map(|i| ((7919 * i) % 256) as f64 / 127.5 - 1.0).collect();
    let x = Tensor::from_slice(&pixels).reshape([1, SAMPLES, 8, 8, channels as i64]).to_device(device);
    let y = Tensor::arange(SAMPLES, (Kind::Int64, device)).remainder(CLASSES).unsqueeze(0);
    let mut worst = 0f64;
    for (step, golden) in case["losses"].as_array().context("losses")?.iter().enumerate() {
        let logits = architecture.forward(&architecture.layout.views(&theta), &x, &buffers, Mode::Train, None);
        let loss = cross_entropy(&logits, &y, 0.0).mean(None::<Kind>);
        let golden = golden.as_f64().context("a loss")?;
        worst = worst.max((loss.double_value(&[]) - golden).abs() / golden.abs());
        let mut gradient = Tensor::run_backward(&[&loss], &[&theta], false, false);
        if let Some(most) = phase.clip_norm {
            gradient = clip(gradient, most);
        }
        optimiser.step(&mut theta, &gradient, &penalty, Step { number: step + 1, lr: phase.lr });
    }
    let ours: Vec<f64> = crate::model::read_back(&theta.detach().reshape([-1]));
    let stride = (n as usize / 40).max(1);
    for (ours, golden) in ours.iter().step_by(stride).zip(case["theta"].as_array().context("theta")?) {
        let golden = golden.as_f64().context("a weight")?;
        worst = worst.max((ours - golden).abs() / golden.abs().max(0.1));
    }
    Ok(worst)
}
