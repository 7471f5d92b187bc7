//! Builds batches on the device: gathers, augments and normalises images there, in an order that
//! each replica's seed determines.

use tch::{Device, Kind, Tensor};

use super::pool::DeviceDataset;
use crate::base::stream::Stream;
use crate::config::network::Augment;
use crate::data::{Normalisation, Preparation};
use crate::model::kernels::{gather, gather_augmented, Bf16, Element, Images, Normalise};
use crate::model::{scope, slice, slice_mut, upload, Plain};

/// What K replicas are trained on: the normalisation of each replica's images and the output of
/// each label. The images are rows of a pool, equally many for each replica.
#[derive(Debug)]
pub struct BatchSource {
    /// `scale` and `shift`, [K, 1, 1, 1, C]: 1/(255·sd) and −mean/sd; of features 1/sd. Not for
    /// texts.
    scale: Tensor,
    shift: Tensor,
    /// Output for each label of the data set, `[classes]`.
    outputs: Tensor,
    /// Mean and standard deviation of the responses of each replica's source, [K, 1], where a
    /// number is predicted.
    response: Option<[Tensor; 2]>,
    /// Number type of the images that the model gets.
    kind: Kind,
    /// The same as `scale` and `shift`, for the CPU kernels.
    normalise: Vec<Normalise>,
}

impl BatchSource {
    /// `kind` is the number type of the images. Normalisation is computed in float64 for float64
    /// images and in float32 for all others.
    pub fn new(preparations: &[&Preparation], outputs: &[i64], kind: Kind, pool: &DeviceDataset) -> BatchSource {
        let pixels = |p: &&Preparation| match p {
            Preparation::Pixels(normalisation) => Some(normalisation.clone()),
            Preparation::Words(_) => None,
        };
        let normalisations: Vec<Normalisation> = preparations.iter().filter_map(pixels).collect();
        let (k, device) = (normalisations.len() as i64, pool.device());
        let channels = if k == 0 { 1 } else { pool.shape[2] };
        let precise = if kind == Kind::Double { Kind::Double } else { Kind::Float };
        let tensor = |values: Vec<f64>| upload(&values, device).reshape([k, 1, 1, 1, channels]).to_kind(precise);
        let each = |f: fn(f64, f64) -> f64| -> Vec<f64> {
            normalisations.iter().flat_map(|n| n.mean.iter().zip(&n.sd).map(move |(&mean, &sd)| f(mean, sd))).collect()
        };
        let (scales, shifts) = match pool.pixels.kind() {
            Kind::Float => (each(|_, sd| 1.0 / sd), each(|mean, sd| -mean / sd)),
            _ => (each(|_, sd| 1.0 / (255.0 * sd)), each(|mean, sd| -mean / sd)),
        };
        let (channels, width) = (channels as usize, pool.shape[1] as usize);
        let f32s = |values: &[f64]| values.iter().map(|&value| value as f32).collect::<Vec<f32>>();
        let pairs = scales.chunks(channels).zip(shifts.chunks(channels));
        let normalise = pairs.map(|(scale, shift)| Normalise::new(&f32s(scale), &f32s(shift), width)).collect();
        let of_response = |at: usize| {
            let values: Option<Vec<f64>> = normalisations.iter().map(|n| Some(n.response?[at])).collect();
            values.map(|values| upload(&values, device).reshape([k, 1]).to_kind(precise))
        };
        let response = of_response(0).zip(of_response(1)).filter(|_| pool.responses.is_some()).map(|(mean, sd)| [mean, sd]);
        BatchSource { scale: tensor(scales), shift: tensor(shifts), outputs: upload(outputs, device), response, kind, normalise }
    }

    /// Normalised images [K, B, H, W, C] and their outputs [K, B], for rows [K, B] of the pool.
    pub fn gather(&self, pool: &DeviceDataset, rows: &Tensor) -> (Tensor, Tensor) {
        let [height, width, channels] = pool.shape;
        let size = rows.size();
        let flat = rows.reshape([-1]);
        if pool.pixels.kind() == Kind::Float {
            let features = pool.pixels.index_select(0, &flat).reshape([size[0], size[1], height, width, channels]);
            // The features of a text are scaled already.
            let features = if self.normalise.is_empty() { features.to_kind(self.kind) } else { self.normalise(&features) };
            return (features, self.outputs_of(pool, &flat, &size));
        }
        if let Some(images) = self.gather_on_cpu(pool, rows, None) {
            return (images, self.outputs_of(pool, &flat, &size));
        }
        let pixels = pool.pixels.index_select(0, &flat).reshape([size[0], size[1], height, width, channels]);
        (self.normalise(&pixels), self.outputs_of(pool, &flat, &size))
    }

    /// The same with augmentation. `draws` [K, B, 3] holds flip (0 or 1) and the shifts of the
    /// visible window, down and right.
    pub fn gather_augmented(&self, pool: &DeviceDataset, rows: &Tensor, draws: &Tensor) -> (Tensor, Tensor) {
        if let Some(images) = self.gather_on_cpu(pool, rows, Some(draws)) {
            return (images, self.outputs_of(pool, &rows.reshape([-1]), &rows.size()));
        }
        let [height, width, channels] = pool.shape;
        let size = rows.size();
        let options = (Kind::Int64, pool.device());
        let part = |i: i64| draws.select(2, i).unsqueeze(-1); // [K, B, 1]
        let ys = Tensor::arange(height, options) + part(1);
        let columns = Tensor::arange(width, options) + part(2);
        let mirrored = -&columns + (width - 1);
        let xs = mirrored.where_self(&part(0).eq(1), &columns);
        let inside = |v: &Tensor, end: i64| v.ge(0).logical_and(&v.lt(end));
        let visible = inside(&ys, height).unsqueeze(3).logical_and(&inside(&xs, width).unsqueeze(2)); // [K, B, H, W]
        let position = ys.clamp(0, height - 1).unsqueeze(3) * width + xs.clamp(0, width - 1).unsqueeze(2);
        let all = position + (rows * (height * width)).unsqueeze(-1).unsqueeze(-1);
        let pixels =
            pool.pixels.reshape([-1, channels]).index_select(0, &all.reshape([-1])).reshape([size[0], size[1], height, width, channels]);
        let images = self.normalise(&pixels) * visible.unsqueeze(-1).to_kind(self.kind);
        (images, self.outputs_of(pool, &rows.reshape([-1]), &size))
    }

    /// Changes normalised images as pixels from 0 to 1.
    pub fn on_pixels(&self, images: &Tensor, change: impl FnOnce(Tensor) -> Tensor) -> Tensor {
        let sd = (&self.scale * 255.0).reciprocal();
        let mean = -&self.shift * &sd;
        let pixels = images.to_kind(self.scale.kind()) * &sd + &mean;
        ((change(pixels) - mean) / sd).to_kind(images.kind())
    }

    fn normalise(&self, pixels: &Tensor) -> Tensor {
        (pixels.to_kind(self.scale.kind()) * &self.scale + &self.shift).to_kind(self.kind)
    }

    /// Gathers in one pass over memory, if there is a kernel for the device and number type.
    fn gather_on_cpu(&self, pool: &DeviceDataset, rows: &Tensor, draws: Option<&Tensor>) -> Option<Tensor> {
        scope(c"gather", || match (pool.device(), self.kind) {
            (Device::Cpu, Kind::Float) => Some(self.gather_with::<f32>(pool, rows, draws)),
            (Device::Cpu, Kind::BFloat16) => Some(self.gather_with::<Bf16>(pool, rows, draws)),
            _ => None,
        })
    }

    fn gather_with<T: Element + Plain>(&self, pool: &DeviceDataset, rows: &Tensor, draws: Option<&Tensor>) -> Tensor {
        let ([height, width, channels], [k, b]) = (pool.shape, [rows.size()[0], rows.size()[1]]);
        let mut images = Tensor::empty([k, b, height, width, channels], (self.kind, Device::Cpu));
        let image = Images { count: 1, height: height as usize, width: width as usize, channels: channels as usize };
        let (rows, draws) = (rows.contiguous(), draws.map(|draws| draws.contiguous()));
        let (n, size) = (b as usize, b as usize * image.floats());
        assert_eq!(self.normalise.len() as i64, k, "a normalisation for each replica");
        let (pixels, rows, out) = (slice::<u8>(&pool.pixels), slice::<i64>(&rows), slice_mut::<T>(&mut images));
        for (r, normalise) in self.normalise.iter().enumerate() {
            let (rows, out) = (&rows[r * n..(r + 1) * n], &mut out[r * size..(r + 1) * size]);
            match &draws {
                None => gather(pixels, rows, image, normalise, out),
                Some(draws) => {
                    let draws = &slice::<i64>(draws)[3 * r * n..3 * (r + 1) * n];
                    gather_augmented(pixels, rows, draws, image, normalise, out);
                }
            }
        }
        images
    }

    fn outputs_of(&self, pool: &DeviceDataset, flat: &Tensor, size: &[i64]) -> Tensor {
        if let Some(([mean, sd], responses)) = self.response.as_ref().zip(pool.responses.as_ref()) {
            let own = responses.index_select(0, flat).reshape(size).to_kind(mean.kind());
            return (own - mean) / sd;
        }
        self.outputs.index_select(0, &pool.labels.index_select(0, flat)).reshape(size)
    }
}

/// One value for each training row of each replica (for example the rows themselves), in the order
/// of one epoch, [K, N]. The order is drawn from the replica's seed.
pub fn epoch_order(of_rows: &[Vec<i64>], seeds: &[u64], task: &str, epoch: usize, device: Device) -> Tensor {
    let mut order = Vec::with_capacity(of_rows.iter().map(Vec::len).sum());
    for (own, &seed) in of_rows.iter().zip(seeds) {
        let first = order.len();
        order.extend_from_slice(own);
        Stream::new(&format!("order/{task}"), seed, epoch as u64).shuffle(&mut order[first..]);
    }
    upload(&order, device).reshape([of_rows.len() as i64, -1])
}

/// The augmentation of one epoch, [K, N, 3], in the order of training. None without augmentation.
pub fn epoch_draws(augment: &Augment, n: usize, seeds: &[u64], task: &str, epoch: usize, device: Device) -> Option<Tensor> {
    if !augment.flip && augment.shift == 0 {
        return None;
    }
    let most = augment.shift as i64;
    let mut draws: Vec<i64> = Vec::with_capacity(seeds.len() * n * 3);
    for &seed in seeds {
        let mut stream = Stream::new(&format!("augment/{task}"), seed, epoch as u64);
        for _ in 0..n {
            draws.push(i64::from(augment.flip) * stream.below(2) as i64);
            draws.push(stream.below(2 * augment.shift as u64 + 1) as i64 - most);
            draws.push(stream.below(2 * augment.shift as u64 + 1) as i64 - most);
        }
    }
    Some(upload(&draws, device).reshape([seeds.len() as i64, n as i64, 3]))
}
