//! Made-up images of CIFAR-10's and MNIST's shapes, for measuring speed on a machine without data.
//! Each class is a pattern of 4×4 blocks under noise: results on them mean nothing.

use super::Examples;
use crate::base::stream::Stream;

pub const TRAINING_PER_CLASS: usize = 1000;
pub const TEST_PER_CLASS: usize = 200;
const CLASSES: usize = 10;
const BLOCK: usize = 4;

/// Training and test images of a height, width and number of channels; the same on every machine.
pub fn read(shape: [usize; 3]) -> (Examples, Examples) {
    let [height, width, channels] = shape;
    let blocks = width.div_ceil(BLOCK);
    let pattern = |class: usize| -> Vec<i64> {
        let mut stream = Stream::new("synthetic/pattern", class as u64, channels as u64);
        (0..height.div_ceil(BLOCK) * blocks * channels).map(|_| stream.below(128) as i64 + 64).collect()
    };
    let patterns: Vec<Vec<i64>> = (0..CLASSES).map(pattern).collect();
    let half = |name: &str, per_class: usize| {
        let mut stream = Stream::new(&format!("synthetic/{name}"), 0, channels as u64);
        let mut pixels = Vec::with_capacity(CLASSES * per_class * height * width * channels);
        let labels: Vec<u16> = (0..CLASSES * per_class).map(|i| (i % CLASSES) as u16).collect();
        for &label in &labels {
            for at in 0..height * width * channels {
                let (row, column, channel) = (at / (width * channels), at / channels % width, at % channels);
                let mean = patterns[usize::from(label)][(row / BLOCK * blocks + column / BLOCK) * channels + channel];
                pixels.push((mean + stream.below(128) as i64 - 64).clamp(0, 255) as u8);
            }
        }
        Examples::images(pixels, labels, height * width * channels)
    };
    (half("training", TRAINING_PER_CLASS), half("test", TEST_PER_CLASS))
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::base::hex::hex;
    use crate::config::network::DataName;

    #[test]
    fn they_are_those_of_the_digest_and_the_classes_differ() {
        for name in [DataName::SyntheticGrey, DataName::SyntheticColour] {
            let info = name.info();
            let (train, test) = read(info.image_shape.unwrap());
            assert_eq!((train.len(), test.len()), (10 * TRAINING_PER_CLASS, 10 * TEST_PER_CLASS));
            let digest = Sha256::new().chain_update(train.pixels()).chain_update(test.pixels()).finalize();
            assert_eq!(hex(&digest[..]), info.digest, "{}", info.name);
            let width = train.pixels().len() / train.len();
            let image = |i: usize| &train.pixels()[i * width..][..width];
            let apart = |a: usize, b: usize| image(a).iter().zip(image(b)).map(|(a, b)| a.abs_diff(*b) as usize).sum::<usize>();
            assert!(apart(0, 10) < apart(0, 1), "two images of a class are nearer than those of two classes");
        }
    }
}
