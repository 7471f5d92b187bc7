//! Folders in MNIST's IDX format, with any shape and number of classes.

use std::path::{Path, PathBuf};

use super::{label_by_name, Found, Part, Picture, Values};
use crate::data::idx::read_array;
use crate::data::{Bytes, DataError};

pub fn read(folder: &Path) -> Result<Found, DataError> {
    let entries = std::fs::read_dir(folder).map_err(|error| DataError::read(folder, &error))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    let find = |half: &[&str], what: &str| -> Result<PathBuf, DataError> {
        let is_it = |path: &&PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
            half.iter().any(|half| name.contains(half)) && name.contains(what) && name.contains("idx")
        };
        let found: Vec<&PathBuf> = files.iter().filter(is_it).collect();
        match found.as_slice() {
            [one] => Ok((*one).clone()),
            // The same file, plain and packed.
            [one, other] if other.to_string_lossy() == format!("{}.gz", one.display()) => Ok((*one).clone()),
            [] => Err(DataError::new(
                format!("{}: no file of {} {what}", folder.display(), half[0]),
                "it needs four files, such as train-images-idx3-ubyte and t10k-labels-idx1-ubyte, plain or .gz",
            )),
            several => {
                let names: Vec<String> =
                    several.iter().map(|path| path.file_name().unwrap_or_default().to_string_lossy().into_owned()).collect();
                Err(DataError::new(
                    format!("{}: several files of {} {what}: {}", folder.display(), half[0], names.join(", ")),
                    "put each set into a folder of its own",
                ))
            }
        }
    };
    let half = |names: &[&str]| -> Result<(Vec<String>, Values), DataError> {
        let (images_path, labels_path) = (find(names, "images")?, find(names, "labels")?);
        let (shape, bytes) = read_array(&images_path, None)?;
        let (of_labels, labels) = read_array(&labels_path, None)?;
        let (height, width, channels) = match shape.as_slice() {
            [_, height, width] => (*height, *width, 1),
            [_, height, width, channels @ (1 | 3)] => (*height, *width, *channels),
            other => return Err(DataError::file(&images_path, format!("holds an array of {other:?}, not images"))),
        };
        if of_labels != [shape[0]] {
            return Err(DataError::file(&labels_path, format!("holds an array of {of_labels:?}, for {} images", shape[0])));
        }
        let size = height * width * channels;
        if size == 0 || shape[0] == 0 {
            return Err(DataError::file(&images_path, format!("holds an array of {shape:?}: no pixels")));
        }
        let bytes = Bytes::from(bytes);
        let of = |at: usize| Some(Picture { height, width, channels, pixels: bytes.part(at * size..(at + 1) * size)? });
        let pictures = (0..bytes.len() / size).filter_map(of).collect();
        Ok((labels.iter().map(u8::to_string).collect(), Values::Pictures(pictures)))
    };
    let ((train_names, train), (test_names, test)) = (half(&["train"])?, half(&["t10k", "test"])?);
    let (classes, labels) = label_by_name(&[&train_names, &test_names]).map_err(|what| DataError::file(folder, what))?;
    let [of_train, of_test] = <[Vec<u16>; 2]>::try_from(labels).unwrap_or_default();
    Ok(Found { classes, train: Part::new(of_train, train), test: Some(Part::new(of_test, test)), notes: vec![] })
}
