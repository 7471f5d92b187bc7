//! Verifies data sets against the checksums that their authors published.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use md5::{Digest, Md5};
use sha2::Sha256;

use super::idx;
use super::locate::{find, require, Roots};
use super::newsgroups::{read_files, SplitDocuments, HALVES};
use super::DataError;
use crate::base::hex::hex;
use crate::config::network::DataName;

/// The result of a check.
#[derive(Debug, PartialEq)]
pub enum Verification {
    /// Every byte is as published.
    Right,
    /// Embedded in the program.
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
    /// Compares the checksum of a reader's content. The inner error describes the difference.
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
/// MD5 of the packed files, which are the published ones.
pub const FASHION_MNIST: [(&str, &str); 4] = [
    ("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
    ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
    ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
    ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
];
pub const KMNIST: [(&str, &str); 4] = [
    ("train-images-idx3-ubyte.gz", "bdb82020997e1d708af4cf47b453dcf7"),
    ("train-labels-idx1-ubyte.gz", "e144d726b3acfaa3e44228e80efcd344"),
    ("t10k-images-idx3-ubyte.gz", "5c965bf0a639b31b8f53240b1b52f4d7"),
    ("t10k-labels-idx1-ubyte.gz", "7320c461ea6c1c855c0b718fb2a4b134"),
];
/// Of the archive that holds all sets of EMNIST.
pub const EMNIST_ARCHIVE: Checksum = Checksum::Md5("58c8d27c78d21e728a6bc7b3cc06412e");
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
/// Value from scikit-learn.
pub const NEWSGROUPS_ARCHIVE: Checksum = Checksum::Sha256("8f1b2514ca22a5ade8fbb9cfa5727df95fa587f4c87b786e15c759fa66d95610");
pub const CIFAR10_ARCHIVE: Checksum = Checksum::Md5("c32a1d4ab5d03f1284b67883e8d87530");

/// Checks a data set at the path where it was found.
///
/// # Errors
/// A file could not be read.
pub fn verify(name: DataName, roots: &Roots) -> Result<Verification, DataError> {
    if name.info().built_in {
        return Ok(Verification::BuiltIn);
    }
    let Some(place) = find(name, roots) else { return Ok(Verification::NotFound) };
    let files: Vec<(Vec<PathBuf>, Checksum)> = match name {
        DataName::Digits | DataName::SyntheticGrey | DataName::SyntheticColour => return Ok(Verification::BuiltIn),
        DataName::Mnist => MNIST.iter().map(|(file, of)| (idx::spellings(&place, file), Checksum::Md5(of))).collect(),
        DataName::FashionMnist => in_folder(&place, &FASHION_MNIST),
        DataName::Kmnist => in_folder(&place, &KMNIST),
        DataName::EmnistLetters | DataName::EmnistBalanced | DataName::EmnistDigits => vec![(vec![place], EMNIST_ARCHIVE)],
        DataName::Cifar10 if place.is_file() => return verify_archive(&place, CIFAR10_ARCHIVE, &CIFAR10),
        DataName::Cifar10 => in_folder(&place, &CIFAR10),
        DataName::Cifar100 | DataName::Cifar100Coarse if place.is_file() => return verify_archive(&place, CIFAR100_ARCHIVE, &CIFAR100),
        DataName::Cifar100 | DataName::Cifar100Coarse => in_folder(&place, &CIFAR100),
        DataName::Newsgroups => return verify_newsgroups(&place),
    };
    for (candidates, published) in files {
        let Some(path) = candidates.iter().find(|path| path.is_file()) else {
            return Ok(Verification::Wrong(format!("{} is missing", candidates[0].display())));
        };
        if let Err(what) = compare(path, published).map_err(|error| DataError::read(path, &error))? {
            return Ok(Verification::Wrong(format!("{}: {what}", path.display())));
        }
    }
    Ok(Verification::Right)
}

/// An archive is correct if it is the published one, or if all its files are the published ones.
fn verify_archive(path: &Path, published: Checksum, files: &[(&str, &'static str)]) -> Result<Verification, DataError> {
    let read = |error: io::Error| DataError::archive(path, &error);
    if compare(path, published).map_err(read)?.is_ok() {
        return Ok(Verification::Right);
    }
    let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(File::open(path).map_err(read)?));
    let mut right = 0;
    for entry in archive.entries().map_err(read)? {
        let entry = entry.map_err(read)?;
        let name = entry.path().ok().and_then(|p| p.file_name().map(|n| n.to_string_lossy().into_owned())).unwrap_or_default();
        let Some((_, md5)) = files.iter().find(|(file, _)| *file == name) else { continue };
        if let Err(what) = Checksum::Md5(md5).compare(entry).map_err(read)? {
            return Ok(Verification::Wrong(format!("{}, {name} in it: {what}", path.display())));
        }
        right += 1;
    }
    Ok(match right == files.len() {
        true => Verification::Right,
        false => Verification::Wrong(format!("{}: {right} of {} files are in it", path.display(), files.len())),
    })
}

fn in_folder(folder: &Path, files: &[(&'static str, &'static str)]) -> Vec<(Vec<PathBuf>, Checksum)> {
    files.iter().map(|(file, of)| (vec![folder.join(file)], Checksum::Md5(of))).collect()
}

/// Fails if a data set's content is not the published one, because its digest is part of every
/// stage's key.
///
/// # Errors
/// The content differs, or the data set was not found.
pub fn check(name: DataName, roots: &Roots) -> Result<(), DataError> {
    match verify(name, roots)? {
        Verification::Right | Verification::BuiltIn => Ok(()),
        Verification::NotFound => require(name, roots).map(|_| ()),
        Verification::Wrong(what) => Err(DataError::new(
            format!("the data set {0} is not the published one: {what}", name.as_str()),
            format!("move it away and run `transfergrid data fetch {}`, or name a folder with a sound copy by --data", name.as_str()),
        )),
    }
}

/// The archive and the folders contain the same documents, so both are checked by the digest of the
/// documents.
fn verify_newsgroups(place: &Path) -> Result<Verification, DataError> {
    let found = newsgroups_digest(&read_files(place)?);
    Ok(match found == DataName::Newsgroups.info().digest {
        true => Verification::Right,
        false => {
            let expected = &DataName::Newsgroups.info().digest;
            Verification::Wrong(format!("{}: sha256 of all documents {found}, expected {expected}", place.display()))
        }
    })
}

/// SHA-256 over all documents, training before test, ordered by group and number. For each
/// document, `half/group/number length`, a line break and the bytes are hashed.
///
/// No checksum of the documents has been published. The expected value is from a copy that was
/// compared with other copies.
fn newsgroups_digest(halves: &[SplitDocuments; 2]) -> String {
    let mut hasher = Sha256::new();
    for (half, name) in halves.iter().zip(HALVES) {
        for ((group, number), document) in half {
            hasher.update(format!("{name}/{group}/{number} {}\n", document.len()));
            hasher.update(document);
        }
    }
    hex(hasher.finalize())
}

/// Compares the checksum of a file's content. A gzipped file of MNIST is unpacked first, since only
/// the checksum of its content is published reliably.
fn compare(path: &Path, published: Checksum) -> io::Result<Result<(), String>> {
    let file = File::open(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match matches!(published, Checksum::Md5(of) if MNIST.iter().any(|(_, md5)| *md5 == of)) && name.ends_with("ubyte.gz") {
        true => published.compare(flate2::read::MultiGzDecoder::new(file)),
        false => published.compare(file),
    }
}

/// The digest in hex.
fn digest<D: Digest>(mut reader: impl Read) -> io::Result<String> {
    let mut hasher = D::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(hex(hasher.finalize())),
            n => hasher.update(&buffer[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digests_in_keys_are_those_of_the_published_files() {
        let of = |files: &[(&str, &str)]| {
            let lines: String = files.iter().map(|(file, md5)| format!("{file} {md5}\n")).collect();
            hex(Sha256::digest(lines))
        };
        assert_eq!(of(&MNIST), DataName::Mnist.info().digest);
        assert_eq!(of(&FASHION_MNIST), DataName::FashionMnist.info().digest);
        assert_eq!(of(&KMNIST), DataName::Kmnist.info().digest);
        for name in [DataName::EmnistLetters, DataName::EmnistBalanced, DataName::EmnistDigits] {
            let Checksum::Md5(md5) = EMNIST_ARCHIVE else { panic!() };
            assert_eq!(of(&[(&format!("{} in gzip.zip", name.as_str()), md5)]), name.info().digest);
        }
        assert_eq!(of(&CIFAR10), DataName::Cifar10.info().digest);
        assert_eq!(of(&CIFAR100), DataName::Cifar100.info().digest);
        assert_eq!(hex(Sha256::digest(super::super::digits::unpacked())), DataName::Digits.info().digest);
    }

    #[test]
    fn documents_that_change_places_have_another_digest() {
        let half = |documents: &[(&str, u32, &str)]| -> SplitDocuments {
            documents.iter().map(|(group, number, text)| ((group.to_string(), *number), text.as_bytes().to_vec())).collect()
        };
        let of = |train: &[(&str, u32, &str)], test: &[(&str, u32, &str)]| newsgroups_digest(&[half(train), half(test)]);
        let all = [
            of(&[("a", 1, "xy"), ("b", 1, "z")], &[]),
            of(&[("a", 1, "x"), ("b", 1, "yz")], &[]),
            of(&[("a", 1, "xy"), ("a", 2, "z")], &[]),
            of(&[("a", 1, "xy")], &[("b", 1, "z")]),
        ];
        assert!((0..all.len()).all(|i| (0..i).all(|j| all[i] != all[j])));
    }
}
