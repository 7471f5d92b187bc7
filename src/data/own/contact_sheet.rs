//! A picture of a data set: a row of examples for each class.

use std::io::Cursor;

use image::{ImageFormat, RgbImage};

use super::{fit, OwnSet, Part, Values};

/// Side of an example in pixels, and the gap between two.
const SIDE: usize = 64;
const GAP: usize = 4;
/// Examples of a class, and the most classes.
const COLUMNS: usize = 12;
const ROWS: usize = 40;

/// A PNG with the first training examples of each class, in the order of the labels. None for
/// features and documents.
pub fn contact_sheet(set: &OwnSet) -> Option<Vec<u8>> {
    let Part { labels, values: Values::Pictures(pictures), .. } = &set.train else { return None };
    let rows = set.info.classes.len().min(ROWS);
    let (width, height) = (COLUMNS * (SIDE + GAP) + GAP, rows * (SIDE + GAP) + GAP);
    let mut sheet = vec![255u8; width * height * 3];
    for row in 0..rows {
        let own = (0..labels.len()).filter(|&i| usize::from(labels[i]) == row).take(COLUMNS);
        for (column, i) in own.enumerate() {
            let pixels = fit::picture(&pictures[i], [SIDE, SIDE, 3]);
            for (line, from) in pixels.chunks_exact(3 * SIDE).enumerate() {
                let at = ((GAP + row * (SIDE + GAP) + line) * width + GAP + column * (SIDE + GAP)) * 3;
                sheet[at..at + 3 * SIDE].copy_from_slice(from);
            }
        }
    }
    let mut file = Cursor::new(vec![]);
    RgbImage::from_raw(width as u32, height as u32, sheet)?.write_to(&mut file, ImageFormat::Png).ok()?;
    Some(file.into_inner())
}
