//! CIFAR-10 and CIFAR-100 in their binary versions, from a folder of batches or from the downloaded
//! archive.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use super::{DataError, Examples};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;

/// The file format of one of the data sets. Each record has some label bytes, then the red, green
/// and blue planes.
struct FileFormat {
    name: &'static str,
    train: &'static [&'static str],
    test: &'static str,
    /// Number of records in a training batch and in the test batch.
    records: [usize; 2],
    /// Number of bytes before the pixels, and the index of the label among them.
    label_bytes: usize,
    label: usize,
    classes: u8,
}

const CIFAR10: FileFormat = FileFormat {
    name: "CIFAR-10",
    train: &["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"],
    test: "test_batch.bin",
    records: [10_000; 2],
    label_bytes: 1,
    label: 0,
    classes: 10,
};
const CIFAR100: FileFormat = FileFormat {
    name: "CIFAR-100",
    train: &["train.bin"],
    test: "test.bin",
    records: [50_000, 10_000],
    label_bytes: 2,
    label: 1,
    classes: 100,
};
const CIFAR100_COARSE: FileFormat = FileFormat { label: 0, classes: 20, ..CIFAR100 };

/// Reads the six batches from `cifar-10-batches-bin/` or `cifar-10-binary.tar.gz`.
pub fn read_cifar10(path: &Path) -> Result<(Examples, Examples), DataError> {
    CIFAR10.read(path)
}

/// Reads both batches from `cifar-100-binary/` or `cifar-100-binary.tar.gz`, with the 20 coarse or
/// the 100 fine labels.
pub fn read_cifar100(path: &Path, coarse: bool) -> Result<(Examples, Examples), DataError> {
    if coarse { CIFAR100_COARSE } else { CIFAR100 }.read(path)
}

impl FileFormat {
    fn record(&self) -> usize {
        self.label_bytes + 3 * PLANE
    }

    fn read(&self, path: &Path) -> Result<(Examples, Examples), DataError> {
        let mut batches = match path.is_dir() {
            true => self.read_folder(path)?,
            false => self.read_archive(path)?,
        };
        let mut half = |names: &[&str], records: usize| {
            // All files are checked before memory for the images is allocated.
            let mut files = vec![];
            for name in names {
                let file = path.join(name);
                let bytes = batches.remove(*name).ok_or_else(|| DataError::file(&file, "this file is missing"))?;
                self.check_length(&file, bytes.len(), records)?;
                self.check_labels(&file, &bytes)?;
                files.push(bytes);
            }
            let mut pixels = Vec::with_capacity(names.len() * records * 3 * PLANE);
            let mut labels = Vec::with_capacity(names.len() * records);
            files.iter().for_each(|bytes| self.decode(bytes, &mut pixels, &mut labels));
            Ok(Examples::images(pixels, labels, 3 * PLANE))
        };
        Ok((half(self.train, self.records[0])?, half(&[self.test], self.records[1])?))
    }

    fn files(&self) -> Vec<&'static str> {
        self.train.iter().copied().chain([self.test]).collect()
    }

    /// The size of the largest batch plus one byte, so that an oversized file is detected.
    fn limit(&self) -> u64 {
        (self.records[0].max(self.records[1]) * self.record() + 1) as u64
    }

    fn read_folder(&self, folder: &Path) -> Result<BTreeMap<String, Vec<u8>>, DataError> {
        let mut batches = BTreeMap::new();
        for name in self.files() {
            let path = folder.join(name);
            let file = match File::open(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue, // missing files are reported later
                opened => opened.map_err(|error| DataError::read(&path, &error))?,
            };
            let mut bytes = vec![];
            file.take(self.limit()).read_to_end(&mut bytes).map_err(|error| DataError::read(&path, &error))?;
            batches.insert(name.to_string(), bytes);
        }
        Ok(batches)
    }

    fn read_archive(&self, path: &Path) -> Result<BTreeMap<String, Vec<u8>>, DataError> {
        let broken = |error: std::io::Error| DataError::archive(path, &error);
        let file = File::open(path).map_err(broken)?;
        let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(file));
        let mut batches = BTreeMap::new();
        for entry in archive.entries().map_err(broken)? {
            let entry = entry.map_err(broken)?;
            let name = entry.path().ok().and_then(|p| p.file_name().map(|n| n.to_string_lossy().into_owned())).unwrap_or_default();
            if self.files().contains(&name.as_str()) {
                let mut bytes = vec![];
                entry.take(self.limit()).read_to_end(&mut bytes).map_err(broken)?;
                batches.insert(name, bytes);
            }
        }
        Ok(batches)
    }

    fn check_length(&self, path: &Path, found: usize, records: usize) -> Result<(), DataError> {
        let wanted = records * self.record();
        let (what, least) = match found {
            n if n < wanted => ("truncated", ""),
            n if n > wanted => ("too long", "at least "),
            _ => return Ok(()),
        };
        Err(DataError::file(path, format!("{what}: a batch has {wanted} bytes, this one {least}{found}")))
    }

    fn check_labels(&self, path: &Path, bytes: &[u8]) -> Result<(), DataError> {
        let mut labels = bytes.chunks_exact(self.record()).map(|record| record[self.label]).enumerate();
        match labels.find(|(_, label)| *label >= self.classes) {
            None => Ok(()),
            Some((i, label)) => Err(DataError::file(
                path,
                format!("label {label} of image {i} is not a class of {} (is this another data set's file?)", self.name),
            )),
        }
    }

    /// Appends the pixels of the planes, with the channels as the last dimension, and the labels.
    fn decode(&self, bytes: &[u8], pixels: &mut Vec<u8>, labels: &mut Vec<u16>) {
        for record in bytes.chunks_exact(self.record()) {
            labels.push(u16::from(record[self.label]));
            let planes = &record[self.label_bytes..];
            pixels.extend((0..PLANE).flat_map(|p| [planes[p], planes[PLANE + p], planes[2 * PLANE + p]]));
        }
    }
}
