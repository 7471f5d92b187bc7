//! Folders of image files.

use std::io::{BufRead, Seek};
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageDecoder, ImageReader};

use super::folders::{groups, list, ClassFiles};
use super::{broken, sorted_classes, Found, Part, Picture, Values};
use crate::base::stderr::print_error;
use crate::base::threads;
use crate::data::DataError;

/// An image with more pixels is refused before it is unpacked.
const MOST_PIXELS: u64 = 100_000_000;

/// A file that claims to unpack to more bytes than this for each of its own is refused: deflate
/// reaches 1,032.
const MOST_EXPANSION: u64 = 5_000;

/// More files than this are announced before they are read.
const MANY: usize = 5_000;

pub fn is_image(name: &str) -> bool {
    [".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"].iter().any(|ending| name.ends_with(ending))
}

pub fn read(root: &Path, group: Option<&str>) -> Result<Found, DataError> {
    let parts = list(root, is_image)?;
    let files = |part: &ClassFiles| part.iter().map(|(_, files)| files.len()).sum::<usize>();
    let n = files(&parts.train) + parts.test.as_ref().map_or(0, files);
    if n == 0 {
        return Err(DataError::new(
            format!("{}: no images in the folders below it", root.display()),
            "it needs a folder for each class, with PNG, JPEG, WebP, BMP, GIF or TIFF files",
        ));
    }
    if n > MANY {
        print_error(&format!("reading {n} images in {}", root.display()));
    }
    let all = parts.train.iter().chain(parts.test.iter().flatten()).map(|(name, _)| name.clone()).collect();
    let classes = sorted_classes(all);
    let part = |of: &ClassFiles| -> Result<Part, DataError> {
        let mut ordered: Vec<(u16, &PathBuf)> = vec![];
        for (label, class) in classes.iter().enumerate() {
            let own = of.iter().filter(|(name, _)| name == class).flat_map(|(_, files)| files);
            ordered.extend(own.map(|path| (label as u16, path)));
        }
        let read = threads::map(ordered.len(), |i| picture_of_file(ordered[i].1));
        let failed: Vec<(PathBuf, String)> =
            read.iter().zip(&ordered).filter_map(|(read, (_, path))| Some(((*path).clone(), read.as_ref().err()?.clone()))).collect();
        if !failed.is_empty() {
            return Err(broken(root, &failed));
        }
        let named: Vec<(&str, &PathBuf)> = ordered.iter().map(|(label, path)| (classes[usize::from(*label)].as_str(), *path)).collect();
        Ok(Part {
            groups: groups(&named, group)?,
            labels: ordered.iter().map(|(label, _)| *label).collect(),
            values: Values::Pictures(read.into_iter().flatten().collect()),
        })
    };
    Ok(Found { train: part(&parts.train)?, test: parts.test.as_ref().map(part).transpose()?, notes: parts.notes, classes })
}

fn picture_of_file(path: &Path) -> Result<Picture, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let length = file.metadata().map_err(|error| error.to_string())?.len();
    let reader = ImageReader::new(std::io::BufReader::new(file)).with_guessed_format().map_err(|error| error.to_string())?;
    picture(reader, length)
}

/// An image in memory, for example in a cell of a table.
pub fn picture_of_bytes(bytes: &[u8]) -> Result<Picture, String> {
    let reader = ImageReader::new(std::io::Cursor::new(bytes)).with_guessed_format().map_err(|error| error.to_string())?;
    picture(reader, bytes.len() as u64)
}

/// Decodes an image: the first frame, turned as its EXIF data say, without transparency, with 8
/// bits a channel, grey or colour as it is stored.
fn picture<R: BufRead + Seek>(reader: ImageReader<R>, length: u64) -> Result<Picture, String> {
    let mut decoder = reader.into_decoder().map_err(|error| error.to_string())?;
    let (width, height) = decoder.dimensions();
    if decoder.total_bytes() > MOST_EXPANSION * length + (1 << 20) {
        return Err(format!("{width}×{height} pixels cannot be in {length} bytes"));
    }
    if u64::from(width) * u64::from(height) > MOST_PIXELS {
        return Err(format!("{width}×{height} are more than the {MOST_PIXELS} pixels allowed"));
    }
    let turn = decoder.orientation().map_err(|error| error.to_string())?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(|error| error.to_string())?;
    image.apply_orientation(turn);
    let (height, width) = (image.height() as usize, image.width() as usize);
    if height == 0 || width == 0 {
        return Err("it has no pixels".into());
    }
    Ok(match image.color().has_color() {
        true => Picture { height, width, channels: 3, pixels: image.into_rgb8().into_raw() },
        false => Picture { height, width, channels: 1, pixels: image.into_luma8().into_raw() },
    })
}
