//! The IDX format of MNIST, plain or gzipped.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::{DataError, Examples};
use crate::config::storage_failed;

/// Reads four files as MNIST has them from a folder; with `packed`, the gzipped ones alone.
pub fn read_mnist(folder: &Path, packed: bool) -> Result<(Examples, Examples), DataError> {
    let half = |stem: &str, n: usize| {
        let images = read_idx(&file(folder, &format!("{stem}-images-idx3-ubyte"), packed)?, &[n, 28, 28])?;
        let labels_file = file(folder, &format!("{stem}-labels-idx1-ubyte"), packed)?;
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

fn file(folder: &Path, name: &str, packed: bool) -> Result<PathBuf, DataError> {
    let is_wanted = |path: &PathBuf| !packed || path.file_name().is_some_and(|own| *own == *format!("{name}.gz"));
    let found = spellings(folder, name)
        .into_iter()
        .filter(is_wanted)
        .find(|path| path.metadata().map_or_else(|error| storage_failed(&error), |file| file.is_file()));
    let kinds = if packed { ".gz, whose checksum is published" } else { "plain or .gz" };
    found.ok_or_else(|| DataError::file(&folder.join(name), format!("this file is missing ({kinds})")))
}

/// The content of an IDX file of unsigned bytes, which must have exactly this shape.
pub fn read_idx(path: &Path, shape: &[usize]) -> Result<Vec<u8>, DataError> {
    Ok(read_array(path, Some(shape))?.1)
}

/// A packed array may have this many bytes for each of its file, and a few more (gzip: 1,032).
const MOST_EXPANSION: u64 = 2_000;

/// The shape and the content of an IDX file of unsigned bytes; with `wanted` it must have exactly
/// this shape. The header is not trusted: no more is read than it says and the file can hold.
pub fn read_array(path: &Path, wanted: Option<&[usize]>) -> Result<(Vec<usize>, Vec<u8>), DataError> {
    let broken = |error: std::io::Error| DataError::read(path, &error);
    let file = File::open(path).map_err(broken)?;
    let length = file.metadata().map_err(broken)?.len();
    read_from(file, length, path, wanted)
}

/// The same of a file inside an archive, which has `length` bytes there. Its name tells whether it
/// is packed.
pub fn read_from(file: impl Read, length: u64, path: &Path, wanted: Option<&[usize]>) -> Result<(Vec<usize>, Vec<u8>), DataError> {
    let broken = |error: std::io::Error| DataError::read(path, &error);
    let is_packed = path.extension().is_some_and(|e| e == "gz");
    let mut reader: Box<dyn Read + '_> = match is_packed {
        true => Box::new(flate2::read::MultiGzDecoder::new(file)),
        false => Box::new(file),
    };
    let mut part = |n: usize| -> Result<Vec<u8>, DataError> {
        let mut bytes = vec![];
        (&mut reader).take(n as u64).read_to_end(&mut bytes).map_err(broken)?;
        Ok(bytes)
    };
    let magic = part(4)?;
    let dimensions = match magic.as_slice() {
        [0, 0, 8, dimensions @ 1..=8] if wanted.is_none_or(|shape| shape.len() == usize::from(*dimensions)) => usize::from(*dimensions),
        other => {
            let start: Vec<String> = other.iter().map(|b| format!("{b:02x}")).collect();
            let of = wanted.map_or(String::new(), |shape| format!(" of {} dimensions", shape.len()));
            return Err(DataError::file(path, format!("not an IDX file{of} of bytes (it starts with {})", start.join(" "))));
        }
    };
    let sizes = part(4 * dimensions)?;
    if sizes.len() < 4 * dimensions {
        return Err(DataError::file(path, "truncated in its header"));
    }
    let found: Vec<usize> = sizes.chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize).collect();
    if let Some(shape) = wanted.filter(|shape| *shape != found) {
        return Err(DataError::file(path, format!("holds an array of {found:?}, expected {shape:?}")));
    }
    let most = if is_packed { MOST_EXPANSION * length + (1 << 20) } else { u64::MAX >> 1 };
    let size = found.iter().try_fold(1u64, |n, size| n.checked_mul(*size as u64)).filter(|n| *n <= most);
    let Some(size) = size else { return Err(DataError::file(path, format!("an array of {found:?} cannot be in {length} bytes"))) };
    // One byte more, so that a longer file is noticed without reading all of it.
    let bytes = part(size as usize + 1)?;
    match bytes.len() as u64 {
        n if n < size => Err(DataError::file(path, format!("truncated: {n} of {size} bytes"))),
        n if n > size => Err(DataError::file(path, format!("longer than its {size} bytes"))),
        _ => Ok((found, bytes)),
    }
}
