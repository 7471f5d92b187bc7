//! What another number type would gain on this processor.

use std::time::Instant;

use tch::{Device, Kind, Tensor};

use crate::base::catch_panic::catch_panic;
use crate::model::{linear, no_grad};
use crate::run::engine::Bf16Speed;

/// Times a linear layer and a convolution on one core, for a fraction of a second. None if
/// libtorch cannot compute them.
pub fn bf16_speed() -> Option<Bf16Speed> {
    let measured = catch_panic(|| {
        tch::set_num_threads(1);
        let ones = |size: &[i64], kind: Kind| Tensor::ones(size, (kind, Device::Cpu));
        let of_linear = ratio(|kind| {
            let (x, weight, bias) = (ones(&[1, 128, 784], kind), ones(&[1, 256, 784], Kind::Float), ones(&[1, 256], Kind::Float));
            move || drop(linear(&x, &weight, &bias, true))
        });
        let of_convolution = ratio(|kind| {
            let x = ones(&[128, 16, 16, 32], kind).permute([0, 3, 1, 2]);
            let weight = ones(&[64, 3, 3, 32], kind).permute([0, 3, 1, 2]);
            move || drop(x.conv2d(&weight, None::<Tensor>, [1, 1], [1, 1], [1, 1], 1))
        });
        Bf16Speed { linear: of_linear, convolution: of_convolution }
    });
    measured.ok()
}

/// Time in float32 over time in bf16: the best of several turns, since other programs only slow it.
fn ratio<F: Fn()>(of: impl Fn(Kind) -> F) -> f64 {
    const CALLS: usize = 8;
    const TURNS: usize = 8;
    let both = [Kind::Float, Kind::BFloat16].map(&of);
    let mut best = [f64::INFINITY; 2];
    no_grad(|| {
        // In the first turn libtorch chooses its kernels.
        for turn in 0..=TURNS {
            for (call, best) in both.iter().zip(&mut best) {
                let started = Instant::now();
                (0..CALLS).for_each(|_| call());
                let seconds = started.elapsed().as_secs_f64();
                *best = if turn == 0 { f64::INFINITY } else { best.min(seconds) };
            }
        }
    });
    best[0] / best[1]
}

#[cfg(test)]
mod tests {
    #[test]
    fn both_are_measured() {
        let speed = super::bf16_speed().unwrap();
        assert!(speed.linear > 0.0 && speed.linear.is_finite() && speed.convolution > 0.0 && speed.convolution.is_finite());
    }
}
