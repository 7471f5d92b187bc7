//! The CPU kernels agree with libtorch's own operations. Values and gradients in float32 and
//! bfloat16 are compared with the same functions composed of libtorch's operations in float64.
#![cfg(feature = "torch")]

use tch::{Device, Kind, Tensor};
use transfergrid::config::network::{OptimiserKind, PenaltyRules, PenaltyStep, Phase};
use transfergrid::data::{Content, Examples, Normalisation, Preparation};
use transfergrid::model::{cross_entropy, linear, pool_bias_relu};
use transfergrid::train::{optimiser, BatchSource, DeviceDataset, Penalty, Place, Step};

/// Values from −1 to 1 without an obvious pattern.
fn wave(size: &[i64], salt: i64) -> Tensor {
    let n: i64 = size.iter().product();
    let values: Vec<f64> = (0..n).map(|i| ((i * i * 31 + i * 17 + salt * 7919) % 1009) as f64 / 504.5 - 1.0).collect();
    Tensor::from_slice(&values).reshape(size)
}

fn channels_last(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

fn difference(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a.to_kind(Kind::Double) - b.to_kind(Kind::Double)).abs().max().double_value(&[])
}

/// Compares the value and the gradients of Σ f·w: from the kernels with float32 (or `low`) inputs,
/// and in float64 with the same numbers.
fn compare(name: &str, inputs: &[Tensor], low: &[Kind], tolerance: f64, f: impl Fn(&[Tensor]) -> Tensor) {
    let of = |kinds: &[Kind]| {
        let inputs: Vec<Tensor> = inputs
            .iter()
            .zip(low)
            .zip(kinds)
            .map(|((x, low), kind)| x.to_kind(*low).to_kind(*kind).detach().set_requires_grad(true))
            .collect();
        let y = f(&inputs);
        let total = (y.to_kind(Kind::Double) * wave(&y.size(), 5)).sum(None::<Kind>);
        let gradients = Tensor::run_backward(&[&total], &inputs, false, false);
        (y.detach(), gradients)
    };
    let (fast, exact) = (of(low), of(&vec![Kind::Double; low.len()]));
    assert_eq!(fast.0.kind(), low[0], "{name}: of the input's kind");
    assert!(difference(&fast.0, &exact.0) < tolerance, "{name}: values differ by {}", difference(&fast.0, &exact.0));
    for (i, (a, b)) in fast.1.iter().zip(&exact.1).enumerate() {
        let scale = b.abs().max().double_value(&[]).max(1.0);
        assert!(difference(a, b) < tolerance * scale, "{name}: gradient {i} differs by {} of {scale}", difference(a, b));
    }
}

#[test]
fn pooling_bias_and_relu() {
    // Odd sizes leave out one row and one column. 17 channels are not a multiple of the vector
    // size.
    for size in [[3, 32, 8, 8], [2, 17, 7, 5], [1, 1, 2, 2], [2, 3, 28, 28]] {
        let inputs = [channels_last(&wave(&size, 1)), wave(&[size[1]], 2) * 0.3];
        let name = format!("{size:?}");
        compare(&name, &inputs, &[Kind::Float, Kind::Float], 1e-5, |x| pool_bias_relu(&x[0], &x[1]));
        // bfloat16 has 8 bits of precision; sums of bias gradients stay in float32.
        compare(&name, &inputs, &[Kind::BFloat16, Kind::Float], 1e-2, |x| pool_bias_relu(&x[0], &x[1]));
    }
}

#[test]
fn of_equal_pixels_the_first_gets_the_gradient_and_nan_passes() {
    let bias = Tensor::zeros([1], (Kind::Float, Device::Cpu));
    let x = Tensor::from_slice(&[2f32, 2.0, 1.0, 2.0]).reshape([1, 1, 2, 2]).set_requires_grad(true);
    let gradient = Tensor::run_backward(&[pool_bias_relu(&x, &bias).sum(None::<Kind>)], &[&x], false, false).remove(0);
    assert_eq!(Vec::<f32>::try_from(gradient.reshape([-1])).unwrap(), [1.0, 0.0, 0.0, 0.0]);
    for place in 0..4 {
        let mut values = [1f32, 5.0, -3.0, 2.0];
        values[place] = f32::NAN;
        let y = pool_bias_relu(&Tensor::from_slice(&values).reshape([1, 1, 2, 2]), &bias);
        assert!(y.double_value(&[0, 0, 0, 0]).is_nan(), "a NaN at {place} was lost");
        let y = pool_bias_relu(&Tensor::from_slice(&values).reshape([1, 1, 2, 2]).to_kind(Kind::BFloat16), &bias);
        assert!(y.to_kind(Kind::Double).double_value(&[0, 0, 0, 0]).is_nan(), "a bfloat16 NaN at {place} was lost");
    }
    let bad = Tensor::from_slice(&[1f32, f32::NAN, 0.0, 2.0]).reshape([1, 1, 4]);
    assert!(cross_entropy(&bad, &Tensor::zeros([1, 1], (Kind::Int64, Device::Cpu)), 0.0).double_value(&[0, 0]).is_nan());
    let weight = Tensor::ones([1, 2, 4], (Kind::Float, Device::Cpu));
    let y = linear(&bad, &weight, &Tensor::zeros([1, 2], (Kind::Float, Device::Cpu)), true);
    assert!(y.double_value(&[0, 0, 1]).is_nan(), "ReLU lost a NaN");
}

#[test]
fn affine_maps() {
    for (k, b, i, o) in [(1, 128, 64, 32), (3, 5, 17, 9), (2, 1, 1, 1), (1, 50, 300, 10)] {
        for relu in [false, true] {
            let inputs = [wave(&[k, b, i], 1), wave(&[k, o, i], 2) / (i as f64).sqrt(), wave(&[k, o], 3)];
            compare(&format!("{k} {b} {i} {o} {relu}"), &inputs, &[Kind::Float; 3], 1e-5, |x| linear(&x[0], &x[1], &x[2], relu));
            // Weights are rounded to bfloat16's 8 bits, and so are results and gradients. A ReLU
            // near 0 may open on one side only.
            let (kinds, tolerance) = ([Kind::BFloat16, Kind::Float, Kind::Float], if relu { 6e-2 } else { 2e-2 });
            compare(&format!("{k} {b} {i} {o} {relu} bf16"), &inputs, &kinds, tolerance, |x| linear(&x[0], &x[1], &x[2], relu));
        }
    }
    // A batch of images needs no gradient, and a weight may be a view with strides.
    let theta = wave(&[2, 40], 4).to_kind(Kind::Float);
    let weight = theta.narrow(1, 3, 12).reshape([2, 3, 4]);
    let (x, bias) = (wave(&[2, 6, 4], 5).to_kind(Kind::Float), Tensor::zeros([2, 3], (Kind::Float, Device::Cpu)));
    assert!(difference(&linear(&x, &weight, &bias, false), &x.bmm(&weight.transpose(1, 2))) < 1e-6);
}

#[test]
fn cross_entropies() {
    let outputs = Tensor::arange(3 * 7, (Kind::Int64, Device::Cpu)).remainder(5).reshape([3, 7]);
    for smoothing in [0.0, 0.1, 0.9] {
        compare("cross-entropy", &[wave(&[3, 7, 5], 1) * 20.0], &[Kind::Float], 2e-5, |x| cross_entropy(&x[0], &outputs, smoothing));
    }
}

/// Every optimiser with every rule of its own.
fn phases() -> Vec<Phase> {
    let of = |optimiser: OptimiserKind| Phase { optimiser, ..Phase::new(vec![], 1, 0.1) };
    let sgd = |momentum, nesterov, l1_ratio| Phase { momentum, nesterov, l1_ratio, ..of(OptimiserKind::Sgd) };
    let mut all = vec![sgd(0.0, false, 0.0), sgd(0.9, false, 0.0), sgd(0.9, true, 0.0), sgd(0.9, true, 1.0), sgd(0.0, false, 0.4)];
    all.extend([of(OptimiserKind::Adam), of(OptimiserKind::Adamw)]);
    all.push(Phase { betas: [0.5, 0.9], epsilon: 1e-3, ..of(OptimiserKind::Adamw) });
    all
}

#[test]
fn optimiser_steps() {
    for phase in phases() {
        for step in [PenaltyStep::Explicit, PenaltyStep::Proximal] {
            for (decays, anchored) in [([0.0, 0.0], false), ([0.3, 0.01], false), ([0.3, f64::INFINITY], true)] {
                let has_explicit_alone = phase.l1_ratio > 0.0 || phase.optimiser == OptimiserKind::Adam;
                if (step == PenaltyStep::Explicit || has_explicit_alone) && decays[1].is_infinite() {
                    continue; // refused by the study's checks
                }
                let run = |kind: Kind| {
                    let mut theta = wave(&[2, 37], 1).to_kind(kind);
                    let decay = Tensor::from_slice(&decays).to_kind(kind).unsqueeze(1).expand([2, 37], false);
                    let penalty = Penalty::new(decay, anchored.then(|| wave(&[2, 37], 2).to_kind(kind)));
                    let rules = PenaltyRules { step, ..PenaltyRules::default() };
                    let mut optimiser = optimiser(&phase, &rules, &theta);
                    for i in 0..5 {
                        let gradient = wave(&[2, 37], 10 + i).to_kind(kind);
                        let parts = [gradient.narrow(1, 0, 30).reshape([2, 5, 6]), gradient.narrow(1, 30, 7)];
                        optimiser.step(&mut theta, &parts, &penalty, Step { number: i as usize + 1, lr: 0.1 / (i + 1) as f64 });
                    }
                    theta
                };
                let off = difference(&run(Kind::Float), &run(Kind::Double));
                assert!(off < 2e-6, "{phase:?} {step:?} {decays:?}: {off}");
            }
        }
    }
}

#[test]
fn images() {
    for shape in [[6, 5, 3], [4, 4, 1]] {
        let [h, w, c] = shape;
        let n = 9;
        let pixels: Vec<u8> = (0..n * h * w * c).map(|i| ((i * i * 13 + 7 * i) % 256) as u8).collect();
        let examples = Examples {
            content: Content::Images { pixels: pixels.into(), width: h * w * c },
            labels: (0..n as u16).collect(),
            groups: vec![],
            responses: vec![],
        };
        let pool = DeviceDataset::new(&examples, shape, Device::Cpu, Place::Device);
        let preparations: Vec<Preparation> = (0..2)
            .map(|k| Normalisation {
                response: None,
                mean: (0..c).map(|i| 0.3 + 0.1 * (i + k) as f64).collect(),
                sd: (0..c).map(|i| 0.2 + 0.05 * i as f64).collect(),
            })
            .map(Preparation::Pixels)
            .collect();
        let preparations: Vec<&Preparation> = preparations.iter().collect();
        let outputs: [i64; 256] = std::array::from_fn(|i| i as i64 % 3);
        let rows = Tensor::from_slice(&[3i64, 8, 0, 5, 5, 1]).reshape([2, 3]);
        // Flips and shifts, some of them completely outside the image.
        let draws: [i64; 18] = [0, 0, 0, 1, 2, -1, 1, -2, 3, 0, 6, 0, 1, 0, -7, 0, -3, 2];
        let draws = Tensor::from_slice(&draws).reshape([2, 3, 3]);
        let of = |kind| BatchSource::new(&preparations, &outputs, kind, &pool);
        for (kind, tolerance) in [(Kind::Float, 1e-6), (Kind::BFloat16, 2e-2)] {
            let (fast, exact) = (of(kind).gather(&pool, &rows), of(Kind::Double).gather(&pool, &rows));
            assert_eq!((fast.0.kind(), fast.0.size()), (kind, vec![2, 3, h as i64, w as i64, c as i64]));
            assert!(difference(&fast.0, &exact.0) < tolerance * 4.0);
            assert_eq!(difference(&fast.1, &exact.1), 0.0);
            let (fast, exact) = (of(kind).gather_augmented(&pool, &rows, &draws), of(Kind::Double).gather_augmented(&pool, &rows, &draws));
            assert!(difference(&fast.0, &exact.0) < tolerance * 4.0, "{shape:?} {kind:?}: {}", difference(&fast.0, &exact.0));
        }
    }
}
