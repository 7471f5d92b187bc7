//! Checksums against the ones that the data sets' authors published.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use md5::{Digest, Md5};

use super::idx;
use super::locate::{find, Roots};
use crate::config::network::DataName;

/// What a check found.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    /// Every byte is as published.
    Right,
    /// Built into the program.
    BuiltIn,
    NotFound,
    Wrong(String),
}

/// MD5 of the uncompressed content, by file name.
const MNIST: [(&str, &str); 4] = [
    ("train-images-idx3-ubyte", "6bbc9ace898e44ae57da46a324031adb"),
    ("train-labels-idx1-ubyte", "a25bea736e30d166cdddb491f175f624"),
    ("t10k-images-idx3-ubyte", "2646ac647ad5339dbf082846283269ea"),
    ("t10k-labels-idx1-ubyte", "27ae3e4e09519cfbb04c329615203637"),
];
const CIFAR10: [(&str, &str); 6] = [
    ("data_batch_1.bin", "5dd7e06a14cb22eb9f671a540d1b7c25"),
    ("data_batch_2.bin", "5ea93a67294ea407fff1d09f752e9692"),
    ("data_batch_3.bin", "942cd6a4bcdd0dd3c604fbe906cb4421"),
    ("data_batch_4.bin", "ae636b3ba5c66a11e91e8cb52e771fcb"),
    ("data_batch_5.bin", "53f37980c15c3d472c316c40844f3f0d"),
    ("test_batch.bin", "803d5f7f4d78ea53de84dbe85f74fb6d"),
];
pub const CIFAR10_ARCHIVE: &str = "c32a1d4ab5d03f1284b67883e8d87530";

/// Checks a data set, wherever it was found.
pub fn verify(name: DataName, roots: &Roots) -> Verdict {
    let Some(place) = find(name, roots) else {
        return if name == DataName::Digits { Verdict::BuiltIn } else { Verdict::NotFound };
    };
    let files: Vec<(Vec<PathBuf>, &str)> = match name {
        DataName::Digits => return Verdict::BuiltIn,
        DataName::Mnist => MNIST.iter().map(|(file, md5)| (idx::spellings(&place, file), *md5)).collect(),
        DataName::Cifar10 if place.is_file() => vec![(vec![place], CIFAR10_ARCHIVE)],
        DataName::Cifar10 => CIFAR10.iter().map(|(file, md5)| (vec![place.join(file)], *md5)).collect(),
    };
    for (candidates, published) in files {
        let Some(path) = candidates.iter().find(|path| path.is_file()) else {
            return Verdict::Wrong(format!("{} is missing", candidates[0].display()));
        };
        match md5_of(path) {
            Ok(found) if found == published => {}
            Ok(found) => return Verdict::Wrong(format!("{}: md5 {found}, published {published}", path.display())),
            Err(error) => return Verdict::Wrong(format!("{}: {error}", path.display())),
        }
    }
    Verdict::Right
}

/// MD5 of a file's content; an IDX file in .gz is unpacked first, since only its content is published reliably.
fn md5_of(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match name.ends_with("ubyte.gz") {
        true => md5_read(flate2::read::MultiGzDecoder::new(file)),
        false => md5_read(file),
    }
}

/// MD5 in hex of all that a reader gives.
pub fn md5_read(mut reader: impl Read) -> io::Result<String> {
    let mut hasher = Md5::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            n => hasher.update(&buffer[..n]),
        }
    }
}
