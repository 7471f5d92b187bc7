//! Random changes to training batches beyond mirroring and shifting: colours, cutout and mixup. All
//! are drawn before an epoch, each from its own stream, by seed and epoch: the same for every λ.

use rand_distr::Beta;
use tch::{Device, Kind, Tensor};

use super::batches::BatchSource;
use crate::base::stream::Stream;
use crate::config::network::Augment;
use crate::model::upload;

/// The draws of one epoch for K replicas of N images, in the order of training.
#[derive(Debug)]
pub struct EpochAugment {
    /// Factors of brightness, contrast and saturation, [K, N, 3].
    jitter: Option<Tensor>,
    /// Row and column of the centre of the square that is removed, [K, N, 2], and its side.
    cutout: Option<(Tensor, i64)>,
    mixup: Option<Mixup>,
}

#[derive(Debug)]
struct Mixup {
    /// The share of the image itself, for each step, [K, steps].
    share: Tensor,
    /// The image that it is mixed with, by position in its batch, [K, N].
    partner: Tensor,
}

/// A mixed batch: the loss is `share` times that on the own outputs, plus the rest on the
/// partners'.
pub struct Mixed {
    /// [K, 1]
    pub share: Tensor,
    /// [K, B]
    pub partner: Tensor,
}

/// The images of an epoch: their number, height and width, and how many make a batch.
#[derive(Debug, Clone, Copy)]
pub struct EpochShape {
    pub n: usize,
    pub height: usize,
    pub width: usize,
    pub batch: usize,
}

impl EpochAugment {
    pub fn new(augment: &Augment, shape: EpochShape, seeds: &[u64], task: &str, epoch: usize, device: Device) -> EpochAugment {
        let EpochShape { n, height, width, batch } = shape;
        let (k, rows) = (seeds.len() as i64, n as i64);
        let stream = |what: &str, seed: u64| Stream::new(&format!("{what}/{task}"), seed, epoch as u64);
        let strengths = [augment.brightness, augment.contrast, augment.saturation];
        let jitter = strengths.iter().any(|&strength| strength > 0.0).then(|| {
            let mut factors: Vec<f32> = Vec::with_capacity(seeds.len() * n * 3);
            for &seed in seeds {
                let mut stream = stream("jitter", seed);
                for _ in 0..n {
                    factors.extend(strengths.map(|strength| {
                        let (low, high) = ((1.0 - strength).max(0.0), 1.0 + strength);
                        (low + (high - low) * stream.uniform()) as f32
                    }));
                }
            }
            upload(&factors, device).reshape([k, rows, 3])
        });
        let cutout = (augment.cutout > 0).then(|| {
            let mut centres: Vec<i64> = Vec::with_capacity(seeds.len() * n * 2);
            for &seed in seeds {
                let mut stream = stream("cutout", seed);
                for _ in 0..n {
                    centres.extend([stream.below(height as u64) as i64, stream.below(width as u64) as i64]);
                }
            }
            (upload(&centres, device).reshape([k, rows, 2]), augment.cutout as i64)
        });
        // The parameters are checked: Beta's are above 0.
        let mixup = Beta::new(augment.mixup, augment.mixup).ok().filter(|_| augment.mixup > 0.0).map(|law| {
            let steps = n.div_ceil(batch);
            let (mut shares, mut partners) = (Vec::with_capacity(seeds.len() * steps), Vec::with_capacity(seeds.len() * n));
            for &seed in seeds {
                let mut stream = stream("mixup", seed);
                for step in 0..steps {
                    shares.push(stream.sample(&law));
                    let first = partners.len();
                    partners.extend(0..batch.min(n - step * batch) as i64);
                    stream.shuffle(&mut partners[first..]);
                }
            }
            Mixup { share: upload(&shares, device).reshape([k, -1]), partner: upload(&partners, device).reshape([k, rows]) }
        });
        EpochAugment { jitter, cutout, mixup }
    }

    /// Changes normalised images [K, B, H, W, C], of which the first is the epoch's image `first`.
    pub fn apply(&self, images: Tensor, task: &BatchSource, first: usize) -> Tensor {
        let size = images.size().get(1).copied().unwrap_or(0);
        let part = |draws: &Tensor| draws.narrow(1, first as i64, size);
        let images = match &self.jitter {
            Some(factors) => task.on_pixels(&images, |pixels| jitter(&pixels, &part(factors))),
            None => images,
        };
        match &self.cutout {
            Some((centres, side)) => cut_out(&images, &part(centres), *side),
            None => images,
        }
    }

    /// Mixes each image of a batch with its partner. None without mixup.
    pub fn mix(&self, images: &Tensor, step: usize, first: usize) -> Option<(Tensor, Mixed)> {
        let Mixup { share, partner } = self.mixup.as_ref()?;
        let size = images.size();
        let (k, b) = (size[0], size[1]);
        let (share, partner) = (share.narrow(1, step as i64, 1), partner.narrow(1, first as i64, b));
        let rows = (&partner + Tensor::arange(k, (Kind::Int64, images.device())).unsqueeze(1) * b).reshape([-1]);
        let others = images.reshape([&[k * b], &size[2..]].concat()).index_select(0, &rows).reshape(&size);
        let share = share.to_kind(images.kind());
        let own = share.reshape([k, 1, 1, 1, 1]);
        let mixed = images * &own + others * (1.0f64 - own);
        Some((mixed, Mixed { share, partner }))
    }
}

/// Brightness, contrast and saturation in this order, as torchvision's `adjust_brightness`,
/// `adjust_contrast` and `adjust_saturation`: `pixels` [K, B, H, W, C] from 0 to 1, `factors` [K,
/// B, 3].
pub fn jitter(pixels: &Tensor, factors: &Tensor) -> Tensor {
    let factor = |i: i64| factors.select(2, i).to_kind(pixels.kind()).unsqueeze(-1).unsqueeze(-1).unsqueeze(-1);
    let blend = |x: &Tensor, other: &Tensor, f: &Tensor| (x * f + other * (1.0f64 - f)).clamp(0.0, 1.0);
    let grey = |x: &Tensor| match x.size().last() {
        // No tensor of weights: it would be sent to the device in every step.
        Some(3) => (x.select(-1, 0) * 0.2989 + x.select(-1, 1) * 0.587 + x.select(-1, 2) * 0.114).unsqueeze(-1),
        _ => x.shallow_clone(),
    };
    let x = (pixels * factor(0)).clamp(0.0, 1.0);
    let mean = grey(&x).mean_dim([2i64, 3, 4].as_slice(), true, None::<Kind>);
    let x = blend(&x, &mean, &factor(1));
    blend(&x, &grey(&x), &factor(2))
}

/// Sets a square of `side` pixels around each centre to 0, the training mean; what lies outside of
/// the image is left out.
pub fn cut_out(images: &Tensor, centres: &Tensor, side: i64) -> Tensor {
    let (size, options) = (images.size(), (Kind::Int64, images.device()));
    // For an even side, one pixel more before the centre than after it.
    let inside = |n: i64, i: i64| {
        let distance = Tensor::arange(n, options) - centres.select(2, i).unsqueeze(-1); // [K, B, n]
        distance.ge(-(side / 2)).logical_and(&distance.lt(side - side / 2))
    };
    let hole = inside(size[2], 0).unsqueeze(3).logical_and(&inside(size[3], 1).unsqueeze(2));
    images * hole.logical_not().unsqueeze(-1).to_kind(images.kind())
}
