//! Checksums against the ones that the data sets' authors published.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use md5::{Digest, Md5};
use sha2::Sha256;

use super::idx;
use super::locate::{find, Roots};
use super::newsgroups::read_files;
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

/// A published checksum, in hex.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    Md5(&'static str),
    Sha256(&'static str),
}

impl Checksum {
    /// Whether a reader's content has it; else the words that say so.
    pub fn compare(self, reader: impl Read) -> io::Result<Result<(), String>> {
        let (name, found, published) = match self {
            Checksum::Md5(published) => ("md5", digest::<Md5>(reader)?, published),
            Checksum::Sha256(published) => ("sha256", digest::<Sha256>(reader)?, published),
        };
        Ok(if found == published { Ok(()) } else { Err(format!("{name} {found}, published {published}")) })
    }
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
const CIFAR100: [(&str, &str); 2] = [("train.bin", "6172c7755cfe09b2fe270c85cebc1b15"), ("test.bin", "4499cfba6c016c1be1438163640a0898")];
pub const CIFAR100_ARCHIVE: Checksum = Checksum::Md5("03b5dce01913d631647c71ecec9e9cb8");
/// As scikit-learn has it.
pub const NEWSGROUPS_ARCHIVE: Checksum = Checksum::Sha256("8f1b2514ca22a5ade8fbb9cfa5727df95fa587f4c87b786e15c759fa66d95610");
/// MD5 of all documents one after another, training before test, by group and number. Nobody published one; this is of a copy that was
/// cross-checked with others.
const NEWSGROUPS: &str = "82c2ba1b2aa864dfa79d4be1560b6a5d";
pub const CIFAR10_ARCHIVE: Checksum = Checksum::Md5("c32a1d4ab5d03f1284b67883e8d87530");

/// Checks a data set, wherever it was found.
pub fn verify(name: DataName, roots: &Roots) -> Verdict {
    let Some(place) = find(name, roots) else {
        return if name == DataName::Digits { Verdict::BuiltIn } else { Verdict::NotFound };
    };
    let md5 = |md5: &'static str| Checksum::Md5(md5);
    let files: Vec<(Vec<PathBuf>, Checksum)> = match name {
        DataName::Digits => return Verdict::BuiltIn,
        DataName::Mnist => MNIST.iter().map(|(file, of)| (idx::spellings(&place, file), md5(of))).collect(),
        DataName::Cifar10 if place.is_file() => vec![(vec![place], CIFAR10_ARCHIVE)],
        DataName::Cifar10 => CIFAR10.iter().map(|(file, of)| (vec![place.join(file)], md5(of))).collect(),
        DataName::Cifar100 | DataName::Cifar100Coarse if place.is_file() => vec![(vec![place], CIFAR100_ARCHIVE)],
        DataName::Cifar100 | DataName::Cifar100Coarse => CIFAR100.iter().map(|(file, of)| (vec![place.join(file)], md5(of))).collect(),
        DataName::Newsgroups => return verify_newsgroups(&place),
    };
    for (candidates, published) in files {
        let Some(path) = candidates.iter().find(|path| path.is_file()) else {
            return Verdict::Wrong(format!("{} is missing", candidates[0].display()));
        };
        match compare(path, published) {
            Ok(Ok(())) => {}
            Ok(Err(what)) => return Verdict::Wrong(format!("{}: {what}", path.display())),
            Err(error) => return Verdict::Wrong(format!("{}: {error}", path.display())),
        }
    }
    Verdict::Right
}

/// The archive and the folders have the same documents, and are checked by them.
fn verify_newsgroups(place: &Path) -> Verdict {
    let halves = match read_files(place) {
        Ok(halves) => halves,
        Err(error) => return Verdict::Wrong(error.what),
    };
    let mut hasher = Md5::new();
    halves.iter().flat_map(|half| half.values()).for_each(|document| hasher.update(document));
    match hex(hasher) {
        found if found == NEWSGROUPS => Verdict::Right,
        found => Verdict::Wrong(format!("{}: md5 of all documents {found}, expected {NEWSGROUPS}", place.display())),
    }
}

/// A file's content; an IDX file in .gz is unpacked first, since only its content is published reliably.
fn compare(path: &Path, published: Checksum) -> io::Result<Result<(), String>> {
    let file = File::open(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match name.ends_with("ubyte.gz") {
        true => published.compare(flate2::read::MultiGzDecoder::new(file)),
        false => published.compare(file),
    }
}

/// In hex.
fn digest<D: Digest>(mut reader: impl Read) -> io::Result<String> {
    let mut hasher = D::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(hex(hasher)),
            n => hasher.update(&buffer[..n]),
        }
    }
}

fn hex(hasher: impl Digest) -> String {
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
