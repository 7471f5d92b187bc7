//! Dropout's masks, from a counter-based generator: an element's bit is a function of (seed, task,
//! layer, step, place). So masks need no state, are made on the device without a copy from the
//! host, and have the same bits on every device.

use tch::{Device, Kind, Tensor};

use crate::base::stream::Stream;
use crate::model::upload;

/// The keys of a pack's replicas for one task.
#[derive(Debug)]
pub struct Dropout {
    p: f64,
    /// Two keys of 32 bits for each replica.
    keys: Vec<[u32; 2]>,
    /// The same on the device, [2, K, 1], where the masks are made there.
    on_device: Option<Tensor>,
}

/// 32 bits of each input bit spread over all output bits (C. Wellons' hash prospector, bias 0.107).
fn mix(mut x: u32) -> u32 {
    x = (x ^ (x >> 16)).wrapping_mul(0x21f0_aaad);
    x = (x ^ (x >> 15)).wrapping_mul(0xd35a_2d97);
    x ^ (x >> 15)
}

/// [`mix`] for 32-bit numbers in a tensor of 64-bit ones. Products wrap, and only their low 32 bits
/// are kept.
fn mix_tensor(x: Tensor) -> Tensor {
    let low = |x: Tensor| x.bitwise_and(0xffff_ffff_i64);
    let shifted = |x: &Tensor, by: i64| x.bitwise_right_shift_tensor_scalar(by);
    let x = low(x.bitwise_xor_tensor(&shifted(&x, 16)) * 0x21f0_aaad_i64);
    let x = low(x.bitwise_xor_tensor(&shifted(&x, 15)) * 0xd35a_2d97_i64);
    x.bitwise_xor_tensor(&shifted(&x, 15))
}

impl Dropout {
    /// Masks that are 0 with probability `p`, to 32 bits, else 1/(1 − p).
    pub fn new(p: f64, seeds: &[u64], task: &str, device: Device) -> Dropout {
        let key = |&seed: &u64| {
            let mut stream = Stream::new(&format!("dropout/{task}"), seed, 0);
            [0; 2].map(|_| stream.below(1 << 32) as u32)
        };
        let keys: Vec<[u32; 2]> = seeds.iter().map(key).collect();
        let on_device = (device != Device::Cpu).then(|| key_tensor(&keys, device));
        Dropout { p, keys, on_device }
    }

    /// The mask for a layer at a step, of the size [K, …]. Steps are counted over the whole phase.
    pub fn mask(&self, layer: usize, step: usize, size: &[i64]) -> Tensor {
        // The two words of a layer and a step.
        let first = mix(step as u32 ^ mix(layer as u32 + 1));
        let words = [first, mix(first ^ 0x9e37_79b9)];
        match &self.on_device {
            Some(keys) => self.made_there(keys, words, size),
            None => self.made_here(words, size),
        }
    }

    fn limit(&self) -> u64 {
        (self.p * 2f64.powi(32)) as u64
    }

    fn kept(&self) -> f32 {
        (1.0 / (1.0 - self.p)) as f32
    }

    fn made_here(&self, words: [u32; 2], size: &[i64]) -> Tensor {
        let each = size[1..].iter().product::<i64>() as u32;
        let (limit, kept) = (self.limit(), self.kept());
        let mut values = Vec::with_capacity(self.keys.len() * each as usize);
        for [a, b] in &self.keys {
            let (a, b) = (a ^ words[0], b ^ words[1]);
            values.extend((0..each).map(|place| if u64::from(mix(mix(place ^ a) ^ b)) < limit { 0.0 } else { kept }));
        }
        Tensor::from_slice(&values).reshape(size)
    }

    fn made_there(&self, keys: &Tensor, words: [u32; 2], size: &[i64]) -> Tensor {
        let each = size[1..].iter().product::<i64>();
        let [a, b] = [0, 1].map(|i| keys.get(i).bitwise_xor(i64::from(words[i as usize])));
        let places = Tensor::arange(each, (Kind::Int64, keys.device())).unsqueeze(0);
        let bits = mix_tensor(mix_tensor(places.bitwise_xor_tensor(&a)).bitwise_xor_tensor(&b));
        (bits.ge(self.limit() as i64).to_kind(Kind::Float) * f64::from(self.kept())).reshape(size)
    }
}

fn key_tensor(keys: &[[u32; 2]], device: Device) -> Tensor {
    let flat: Vec<i64> = [0, 1].into_iter().flat_map(|i| keys.iter().map(move |key| i64::from(key[i]))).collect();
    upload(&flat, device).reshape([2, -1, 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tensor operations give the host's bits; a GPU has integers of the same width.
    #[test]
    fn the_same_bits_on_host_and_device() {
        for p in [0.1, 0.5, 0.9] {
            let here = Dropout::new(p, &[0, 1, 7], "source", Device::Cpu);
            let there =
                Dropout { on_device: Some(key_tensor(&here.keys, Device::Cpu)), ..Dropout::new(p, &[0, 1, 7], "source", Device::Cpu) };
            for (layer, step) in [(0, 0), (1, 0), (0, 1), (2, 123_456)] {
                let size = [3, 17, 29];
                assert_eq!(here.mask(layer, step, &size), there.mask(layer, step, &size));
            }
        }
    }

    #[test]
    fn masks_are_independent_and_have_their_probability() {
        let dropout = Dropout::new(0.3, &[0, 1], "source", Device::Cpu);
        let bits = |layer, step, seed: i64| -> Vec<bool> {
            let mask = dropout.mask(layer, step, &[2, 100, 100]).get(seed).reshape([-1]);
            Vec::<f32>::try_from(&mask).unwrap().iter().map(|&value| value == 0.0).collect()
        };
        let masks = [bits(0, 0, 0), bits(0, 0, 1), bits(1, 0, 0), bits(0, 1, 0), bits(0, 2, 0)];
        for (i, a) in masks.iter().enumerate() {
            let share = a.iter().filter(|&&dropped| dropped).count() as f64 / 1e4;
            assert!((share - 0.3).abs() < 0.02, "{share}"); // four standard deviations
            let neighbours = a.windows(2).filter(|pair| pair[0] && pair[1]).count() as f64 / 1e4;
            assert!((neighbours - 0.09).abs() < 0.015, "{neighbours}");
            for b in &masks[..i] {
                let both = a.iter().zip(b).filter(|(a, b)| **a && **b).count() as f64 / 1e4;
                assert!((both - 0.09).abs() < 0.015, "{both}");
            }
        }
        let mask = dropout.mask(0, 0, &[2, 10, 10]);
        assert!((mask.max().double_value(&[]) - 1.0 / 0.7).abs() < 1e-6 && mask.min().double_value(&[]) == 0.0);
        let again = Dropout::new(0.3, &[1], "source", Device::Cpu);
        assert_eq!(again.mask(0, 5, &[1, 10, 10]), dropout.mask(0, 5, &[2, 10, 10]).narrow(0, 1, 1), "whatever the pack");
        assert_ne!(Dropout::new(0.3, &[1], "target", Device::Cpu).mask(0, 5, &[1, 10, 10]), again.mask(0, 5, &[1, 10, 10]));
    }
}
