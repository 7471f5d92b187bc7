//! CIFAR-10 in its binary version: a folder of batches, or the archive as downloaded.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::{DataError, Examples};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
const RECORD: usize = 1 + 3 * PLANE;
const RECORDS: usize = 10_000;
const TRAIN: [&str; 5] = ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];
const TEST: [&str; 1] = ["test_batch.bin"];

/// Reads the six batches from `cifar-10-batches-bin/` or `cifar-10-binary.tar.gz`.
pub fn read_cifar10(path: &Path) -> Result<(Examples, Examples), DataError> {
    let mut batches = match path.is_dir() {
        true => from_folder(path)?,
        false => from_archive(path)?,
    };
    let mut half = |names: &[&str]| {
        let mut pixels = Vec::with_capacity(names.len() * RECORDS * 3 * PLANE);
        let mut labels = Vec::with_capacity(names.len() * RECORDS);
        for name in names {
            let file = path.join(name);
            let bytes = batches.remove(*name).ok_or_else(|| DataError::file(&file, "this file is missing"))?;
            decode(&file, &bytes, &mut pixels, &mut labels)?;
        }
        Ok(Examples::new(pixels, labels, 3 * PLANE))
    };
    Ok((half(&TRAIN)?, half(&TEST)?))
}

/// One more byte than a batch has, so that an oversized file shows.
const LIMIT: u64 = (RECORDS * RECORD + 1) as u64;

fn from_folder(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>, DataError> {
    let mut batches = BTreeMap::new();
    for name in TRAIN.iter().chain(&TEST) {
        let path = folder.join(name);
        let Ok(file) = File::open(&path) else { continue };
        let mut bytes = Vec::with_capacity(RECORDS * RECORD + 1);
        file.take(LIMIT).read_to_end(&mut bytes).map_err(|error| DataError::file(&path, format!("cannot be read: {error}")))?;
        batches.insert(name.to_string(), bytes);
    }
    Ok(batches)
}

fn from_archive(path: &Path) -> Result<BTreeMap<String, Vec<u8>>, DataError> {
    let broken = |error: std::io::Error| DataError::file(path, format!("not a readable .tar.gz: {error}"));
    let file = File::open(path).map_err(broken)?;
    let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(file));
    let mut batches = BTreeMap::new();
    for entry in archive.entries().map_err(broken)? {
        let entry = entry.map_err(broken)?;
        let name = entry.path().ok().and_then(|p| p.file_name().map(|n| n.to_string_lossy().into_owned())).unwrap_or_default();
        if TRAIN.contains(&name.as_str()) || TEST.contains(&name.as_str()) {
            let mut bytes = Vec::with_capacity(RECORDS * RECORD + 1);
            entry.take(LIMIT).read_to_end(&mut bytes).map_err(broken)?;
            batches.insert(name, bytes);
        }
    }
    Ok(batches)
}

/// Records are a label, then the red, green and blue planes; here channels become innermost.
fn decode(path: &Path, bytes: &[u8], pixels: &mut Vec<u8>, labels: &mut Vec<u8>) -> Result<(), DataError> {
    if bytes.len() != RECORDS * RECORD {
        let what = if bytes.len() < RECORDS * RECORD { "truncated" } else { "too long" };
        return Err(DataError::file(
            path,
            format!(
                "{what}: a batch has {} bytes, this one {}{}",
                RECORDS * RECORD,
                if what == "too long" { "at least " } else { "" },
                bytes.len()
            ),
        ));
    }
    for (i, record) in bytes.chunks_exact(RECORD).enumerate() {
        if record[0] > 9 {
            return Err(DataError::file(
                path,
                format!("label {} of image {i} is not a class of CIFAR-10 (is this another data set's file?)", record[0]),
            ));
        }
        labels.push(record[0]);
        let planes = &record[1..];
        pixels.extend((0..PLANE).flat_map(|p| [planes[p], planes[PLANE + p], planes[2 * PLANE + p]]));
    }
    Ok(())
}
