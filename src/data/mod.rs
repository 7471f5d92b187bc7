//! Data sets as arrays in memory: images as bytes, documents as counted words, a training file to learn and validate on, and a held-out test set
//! that only a model that no longer learns can open.

mod cifar;
mod digits;
mod fetch;
mod idx;
mod locate;
mod newsgroups;
mod split;
pub mod table;
mod verify;
mod words;

use std::io;
use std::path::{Path, PathBuf};

use ndarray::Array2;

use crate::config::network::DataName;
use crate::config::storage_failed;

pub use cifar::{read_cifar10, read_cifar100};
pub use fetch::{fetch, Download};
pub use idx::read_idx;
pub use locate::{search_path, Roots};
pub use split::{normalisation, task_labels, test_rows, training_labels, Normalisation, Preparation, Split};
pub use verify::{check, verify, Checksum, Verification};
pub use words::{Corpus, Vectoriser};

/// What is wrong with data on disk, and what to do. Exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{what}\n  hint: {hint}")]
pub struct DataError {
    pub what: String,
    pub hint: String,
    /// It could not be read for a reason that may pass: [`storage_failed`].
    pub may_pass: bool,
}

impl DataError {
    fn new(what: impl Into<String>, hint: impl Into<String>) -> DataError {
        DataError { what: what.into(), hint: hint.into(), may_pass: false }
    }

    /// A file or folder that could not be read.
    fn read(path: &Path, error: &io::Error) -> DataError {
        DataError::unreadable(path, "cannot be read", error)
    }

    /// An archive that could not be read.
    fn archive(path: &Path, error: &io::Error) -> DataError {
        DataError::unreadable(path, "not a readable .tar.gz", error)
    }

    fn unreadable(path: &Path, what: &str, error: &io::Error) -> DataError {
        let of_the_file = DataError::file(path, format!("{what}: {error}"));
        match storage_failed(error) {
            true => DataError { hint: "is its disk or file server well? then try again".into(), may_pass: true, ..of_the_file },
            false => of_the_file,
        }
    }

    /// A file that is not what it should be.
    fn file(path: &Path, what: impl std::fmt::Display) -> DataError {
        DataError::new(
            format!("{}: {what}", path.display()),
            "`transfergrid data verify` checks every file; move what is wrong away, then `transfergrid data fetch` brings a fresh one",
        )
    }
}

/// Images or documents with labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Examples {
    pub content: Content,
    pub labels: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Row i is image i, height × width × channels, channels innermost.
    Images(Array2<u8>),
    Documents(Corpus),
}

impl Examples {
    fn images(pixels: Vec<u8>, labels: Vec<u8>, width: usize) -> Examples {
        let n = labels.len();
        // Readers check their sizes before they come here.
        let pixels = Array2::from_shape_vec((n, width), pixels).expect("readers hand over n × width bytes");
        Examples { content: Content::Images(pixels), labels }
    }

    /// All pixels, image after image; none of documents.
    pub fn pixels(&self) -> &[u8] {
        match &self.content {
            Content::Images(pixels) => pixels.as_slice().unwrap_or_default(),
            Content::Documents(_) => &[],
        }
    }

    /// The documents' words; none of images.
    pub fn corpus(&self) -> Option<&Corpus> {
        match &self.content {
            Content::Images(_) => None,
            Content::Documents(corpus) => Some(corpus),
        }
    }

    pub fn len(&self) -> usize {
        self.labels.len()
    }

    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// What no longer learns, and so may see test data. `train::Trained` is the only such thing.
pub trait NoLongerLearns {}

/// Test images, out of reach of anything that still learns.
#[derive(Debug, Clone)]
pub struct HeldOut(Examples);

impl HeldOut {
    /// The test images, for the final evaluation.
    pub fn open(&self, _proof: &impl NoLongerLearns) -> &Examples {
        &self.0
    }
}

/// A data set in memory.
#[derive(Debug, Clone)]
pub struct Dataset {
    pub name: DataName,
    /// The training file: training and validation images are drawn from it.
    pub train: Examples,
    pub test: HeldOut,
}

impl Dataset {
    /// Reads a data set from the first of `roots` that has it, and compares it with its published
    /// checksums. `strip`: documents without headers, footers and quoted lines.
    pub fn load(name: DataName, strip: bool, roots: &Roots) -> Result<Dataset, DataError> {
        let (train, test) = match name {
            DataName::Digits => digits::read(),
            DataName::Mnist => idx::read_mnist(&locate::require(name, roots)?)?,
            DataName::Cifar10 => cifar::read_cifar10(&locate::require(name, roots)?)?,
            DataName::Cifar100 => cifar::read_cifar100(&locate::require(name, roots)?, false)?,
            DataName::Cifar100Coarse => cifar::read_cifar100(&locate::require(name, roots)?, true)?,
            DataName::Newsgroups => newsgroups::read_newsgroups(&locate::require(name, roots)?, strip)?,
        };
        check(name, roots)?; // after the readers, which say more exactly what a damaged file lacks
        Ok(Dataset { name, train, test: HeldOut(test) })
    }
}

/// Where a data set was found, if it was.
pub fn find(name: DataName, roots: &Roots) -> Option<PathBuf> {
    locate::find(name, roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storage_that_fails_is_told_from_a_file_that_is_wrong() {
        is_told_in("cifar-10-binary.tar.gz", |path| read_cifar10(path).unwrap_err());
        is_told_in("20news-bydate.tar.gz", |path| newsgroups::read_newsgroups(path, true).unwrap_err());
    }

    fn is_told_in(name: &str, read: impl Fn(&Path) -> DataError) {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join(name);
        // The beginning of this file gives an input/output error, as a failing disk does.
        std::os::unix::fs::symlink("/proc/self/mem", &archive).unwrap();
        let failed = read(&archive);
        assert!(failed.may_pass && failed.what.contains("Input/output error"), "{failed}");
        std::fs::remove_file(&archive).unwrap();
        std::fs::write(&archive, "no archive").unwrap();
        let wrong = read(&archive);
        assert!(!wrong.may_pass && wrong.what.contains("not a readable .tar.gz"), "{wrong}");
    }
}
