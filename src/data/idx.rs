//! MNIST in its IDX format, plain or gzipped.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::{DataError, Examples};
use crate::config::storage_failed;

/// Reads the four files of MNIST from a folder.
pub fn read_mnist(folder: &Path) -> Result<(Examples, Examples), DataError> {
    let half = |stem: &str, n: usize| {
        let images = read_idx(&file(folder, &format!("{stem}-images-idx3-ubyte"))?, &[n, 28, 28])?;
        let labels_file = file(folder, &format!("{stem}-labels-idx1-ubyte"))?;
        let labels = read_idx(&labels_file, &[n])?;
        match labels.iter().position(|&label| label > 9) {
            Some(i) => Err(DataError::file(&labels_file, format!("label {} of image {i} is not a digit", labels[i]))),
            None => Ok(Examples::images(images, labels.into_iter().map(u16::from).collect(), 28 * 28)),
        }
    };
    Ok((half("train", 60_000)?, half("t10k", 10_000)?))
}

/// Possible paths of a file: plain or gzipped, and in the spelling with a dot that some mirrors
/// use.
pub fn spellings(folder: &Path, name: &str) -> Vec<PathBuf> {
    let dotted = name.replacen("-idx", ".idx", 1);
    [name.to_string(), format!("{name}.gz"), dotted.clone(), format!("{dotted}.gz")].map(|candidate| folder.join(candidate)).to_vec()
}

fn file(folder: &Path, name: &str) -> Result<PathBuf, DataError> {
    let found =
        spellings(folder, name).into_iter().find(|path| path.metadata().map_or_else(|error| storage_failed(&error), |file| file.is_file()));
    found.ok_or_else(|| DataError::file(&folder.join(name), "this file is missing (plain or .gz)"))
}

/// The content of an IDX file of unsigned bytes, which must have exactly this shape.
pub fn read_idx(path: &Path, shape: &[usize]) -> Result<Vec<u8>, DataError> {
    let file = File::open(path).map_err(|error| DataError::read(path, &error))?;
    let wanted: usize = shape.iter().product();
    let header = 4 + 4 * shape.len();
    // With a limit of one byte more than expected, an oversized file is detected without reading
    // all of it.
    let limit = (header + wanted + 1) as u64;
    let mut bytes = Vec::with_capacity(header + wanted + 1);
    let read = match path.extension().is_some_and(|e| e == "gz") {
        true => flate2::read::MultiGzDecoder::new(file).take(limit).read_to_end(&mut bytes),
        false => file.take(limit).read_to_end(&mut bytes),
    };
    read.map_err(|error| DataError::read(path, &error))?;
    let magic = [0, 0, 8, shape.len() as u8];
    if bytes.len() < 4 || bytes[..4] != magic {
        let start: Vec<String> = bytes.iter().take(4).map(|b| format!("{b:02x}")).collect();
        return Err(DataError::file(
            path,
            format!("not an IDX file of {} dimensions of bytes (it starts with {})", shape.len(), start.join(" ")),
        ));
    }
    if bytes.len() < header {
        return Err(DataError::file(path, "truncated in its header"));
    }
    let found: Vec<usize> = bytes[4..header].chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize).collect();
    if found != shape {
        return Err(DataError::file(path, format!("holds an array of {found:?}, expected {shape:?}")));
    }
    match bytes.len() - header {
        n if n < wanted => Err(DataError::file(path, format!("truncated: {n} of {wanted} bytes"))),
        n if n > wanted => Err(DataError::file(path, format!("longer than its {wanted} bytes"))),
        _ => Ok(bytes.split_off(header)),
    }
}
