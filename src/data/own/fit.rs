//! Makes images of the shape that the network gets.

use image::imageops::{crop_imm, resize, FilterType};
use image::{GrayImage, RgbImage};

use super::Picture;
use crate::base::threads;
use crate::data::{Content, Examples};

/// Examples of a shape. Other than images they stay as they are.
pub fn fit(examples: Examples, from: Option<[usize; 3]>, to: [usize; 3]) -> Examples {
    let Some([height, width, channels]) = from.filter(|from| *from != to) else { return examples };
    let Content::Images { pixels, width: size } = &examples.content else { return examples };
    let one = |i: usize| match pixels.part(i * size..(i + 1) * size) {
        Some(pixels) => picture(&Picture { height, width, channels, pixels }, to),
        None => vec![], // there are as many images as labels
    };
    let fitted = threads::map(examples.len(), one).concat();
    let content = Content::Images { pixels: fitted.into(), width: to.iter().product() };
    Examples { content, ..examples }
}

/// The pixels of an image of the shape: the largest part of that shape around its middle, scaled
/// with antialiasing (triangle filter).
pub fn picture(of: &Picture, [height, width, channels]: [usize; 3]) -> Vec<u8> {
    let Picture { pixels, .. } = of;
    let pixels = match (of.channels, channels) {
        (3, 1) => pixels.chunks_exact(3).map(luminance).collect(),
        (1, 3) => pixels.iter().flat_map(|&value| [value; 3]).collect(),
        _ => pixels.to_vec(),
    };
    if (of.height, of.width) == (height, width) {
        return pixels;
    }
    let scale = (height as f64 / of.height as f64).max(width as f64 / of.width as f64);
    // The middle is cut out first: a very long image would be enormous when scaled.
    let part = |n: usize, to: usize| ((to as f64 / scale).round() as usize).clamp(1, n) as u32;
    let (h, w) = (part(of.height, height), part(of.width, width));
    let (from_w, from_h, to_w, to_h) = (of.width as u32, of.height as u32, width as u32, height as u32);
    let (y, x) = ((from_h - h) / 2, (from_w - w) / 2);
    // The sizes agree with the number of pixels, so an image is always made.
    match channels {
        3 => RgbImage::from_raw(from_w, from_h, pixels)
            .map_or(vec![], |image| resize(&crop_imm(&image, x, y, w, h).to_image(), to_w, to_h, FilterType::Triangle).into_raw()),
        _ => GrayImage::from_raw(from_w, from_h, pixels)
            .map_or(vec![], |image| resize(&crop_imm(&image, x, y, w, h).to_image(), to_w, to_h, FilterType::Triangle).into_raw()),
    }
}

/// ITU-R 601, as Pillow computes it.
fn luminance(pixel: &[u8]) -> u8 {
    let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
    ((19_595 * r + 38_470 * g + 7_471 * b + 0x8000) >> 16) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_cover_the_shape_and_keep_their_middle() {
        // Left half black, right half white, twice as wide as high.
        let (height, width) = (8, 16);
        let pixels: Vec<u8> = (0..height * width).map(|i| if i % width < 8 { 0 } else { 255 }).collect();
        let wide = Picture { height, width, channels: 1, pixels: pixels.into() };
        let small = picture(&wide, [4, 4, 1]);
        assert_eq!(small.len(), 16);
        for row in small.chunks(4) {
            assert!(row[0] < 40 && row[3] > 215 && row[1] < row[2], "the edge stays in the middle: {row:?}");
        }
        assert_eq!(picture(&wide, [8, 16, 3]).len(), 8 * 16 * 3);
        // A very long image is as quick as any other.
        let long = Picture { height: 1, width: 3_000_000, channels: 1, pixels: vec![9; 3_000_000].into() };
        assert_eq!(picture(&long, [32, 32, 1]), vec![9; 32 * 32]);
        let white = Picture { height: 1, width: 1, channels: 3, pixels: vec![255, 255, 255].into() };
        assert_eq!(picture(&white, [2, 3, 1]), vec![255; 6]);
        assert_eq!(luminance(&[255, 0, 0]), 76);
    }
}
