//! Data sets as arrays in memory. Images are bytes and documents are word counts. Training and
//! validation data come from the training file. The test set is only accessible with a model whose
//! training has ended.

mod bytes;
mod cifar;
mod digits;
mod emnist;
mod fetch;
mod idx;
mod locate;
mod newsgroups;
pub mod own;
mod split;
mod synthetic;
pub mod table;
mod verify;
pub mod weights;
mod words;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use ndarray::Array2;
use sha2::{Digest, Sha256};

use crate::base::threads;
use crate::config::network::{DataChoice, DataName, DatasetInfo};
use crate::config::storage_failed;

pub use bytes::Bytes;
pub use cifar::{read_cifar10, read_cifar100};
pub use fetch::{fetch, Download};
pub use idx::read_idx;
pub use locate::{search_first, search_path, Roots};
pub use split::{normalisation, task_labels, test_rows, training_labels, Normalisation, Preparation, Split};
pub use verify::{check, verify, Checksum, Verification};
pub use words::{Corpus, Vectoriser};

/// An error in the data on disk, with a hint about what to do. Exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{what}\n  hint: {hint}")]
pub struct DataError {
    pub what: String,
    pub hint: String,
    /// Whether the reason for a failed read may be temporary: [`storage_failed`].
    pub may_pass: bool,
}

impl DataError {
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> DataError {
        DataError { what: what.into(), hint: hint.into(), may_pass: false }
    }

    /// A file or folder could not be read.
    fn read(path: &Path, error: &io::Error) -> DataError {
        DataError::unreadable(path, "cannot be read", error)
    }

    /// An archive could not be read.
    fn archive(path: &Path, error: &io::Error) -> DataError {
        DataError::unreadable(path, "not a readable .tar.gz", error)
    }

    fn unreadable(path: &Path, what: &str, error: &io::Error) -> DataError {
        let of_the_file = DataError::file(path, format!("{what}: {error}"));
        match storage_failed(error) {
            true => DataError { hint: "check its disk or file server, then try again".into(), may_pass: true, ..of_the_file },
            false => of_the_file,
        }
    }

    /// The content of a file is wrong.
    fn file(path: &Path, what: impl std::fmt::Display) -> DataError {
        DataError::new(
            format!("{}: {what}", path.display()),
            "`transfergrid data verify` checks every file; move wrong files away, then `transfergrid data fetch` downloads them again",
        )
    }
}

/// Images or documents with labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Examples {
    pub content: Content,
    pub labels: Vec<u16>,
    /// The group of each training example, as a number; empty where the data have none. Examples of
    /// one group are never on two sides of a split.
    pub groups: Vec<u32>,
    /// The number to predict for each example; empty where classes are predicted.
    pub responses: Vec<f32>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// One image after another, each of `width` bytes: height × width × channels, with the channels
    /// as the last dimension.
    Images {
        pixels: Bytes,
        width: usize,
    },
    /// Row i is example i.
    Features(Array2<f32>),
    Documents(Corpus),
}

impl Examples {
    /// Images without groups. The readers have already checked that there are as many labels.
    pub fn images(pixels: impl Into<Bytes>, labels: Vec<u16>, width: usize) -> Examples {
        Examples { content: Content::Images { pixels: pixels.into(), width }, labels, groups: vec![], responses: vec![] }
    }

    /// The pixels of all images, one image after another. Empty for documents.
    pub fn pixels(&self) -> &[u8] {
        match &self.content {
            Content::Images { pixels, .. } => pixels,
            Content::Features(_) | Content::Documents(_) => &[],
        }
    }

    /// The pixels of all images, to be kept without a copy. None for features and documents.
    pub fn shared_pixels(&self) -> Option<Bytes> {
        match &self.content {
            Content::Images { pixels, .. } => Some(pixels.clone()),
            Content::Features(_) | Content::Documents(_) => None,
        }
    }

    /// The features of all examples, one example after another. None for images and documents.
    pub fn features(&self) -> Option<&[f32]> {
        match &self.content {
            Content::Features(values) => values.as_slice(),
            Content::Images { .. } | Content::Documents(_) => None,
        }
    }

    /// The words of the documents. None for images and features.
    pub fn corpus(&self) -> Option<&Corpus> {
        match &self.content {
            Content::Images { .. } | Content::Features(_) => None,
            Content::Documents(corpus) => Some(corpus),
        }
    }

    /// SHA-256 of each image, or of each row of features. None for documents.
    fn contents(&self) -> Vec<[u8; 32]> {
        match &self.content {
            Content::Images { pixels, width } => threads::map(self.len(), |i| Sha256::digest(&pixels[i * width..(i + 1) * width]).into()),
            Content::Features(values) => threads::map(self.len(), |i| {
                let bytes: Vec<u8> = values.row(i).iter().flat_map(|value| value.to_le_bytes()).collect();
                Sha256::digest(bytes).into()
            }),
            Content::Documents(_) => vec![],
        }
    }

    pub fn len(&self) -> usize {
        self.labels.len()
    }

    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// A model whose training has ended, so that it may be evaluated on test data. The only
/// implementation is `train::Trained` (`tests/suite/walls.rs`), and only this crate can add one.
pub trait NoLongerLearns: sealed::Sealed {}

pub(crate) mod sealed {
    pub trait Sealed {}
}

/// Test examples. They are not accessible during training.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldOut(Examples);

impl HeldOut {
    /// The test examples, for the final evaluation.
    pub fn open(&self, _proof: &impl NoLongerLearns) -> &Examples {
        &self.0
    }
}

/// A data set in memory.
#[derive(Debug, Clone)]
pub struct Dataset {
    pub info: &'static DatasetInfo,
    /// Height, width and channels of an input.
    pub shape: [usize; 3],
    /// The training file, from which training and validation images are drawn.
    pub train: Examples,
    pub test: HeldOut,
}

impl Dataset {
    /// Reads a data set for inputs of a shape: a published one from the first of `roots` that
    /// contains it, which is checked against its published checksums, or the user's own, which is
    /// compared with what was found there when the study was loaded. With `strip`, headers, footers
    /// and quoted lines of documents are removed. Images of another shape are made to fit.
    pub fn load(choice: &DataChoice, strip: bool, shape: [usize; 3], roots: &Roots) -> Result<Dataset, DataError> {
        let info = choice.info();
        let (train, test) = match choice {
            DataChoice::Named(name) => {
                let (train, test) = Dataset::read(*name, strip, roots)?;
                let fit = |examples| own::fit(examples, info.image_shape, shape);
                (fit(train), fit(test))
            }
            DataChoice::Place(place) => own::load(place, info, shape)?,
        };
        Ok(Dataset { info, shape, train, test: HeldOut(test) })
    }

    pub fn test_count(&self) -> usize {
        self.test.0.len()
    }

    /// How many of the test examples are among the training examples of another set, as networks
    /// see them. Documents are not compared.
    pub fn tested_in(&self, other: &Dataset) -> usize {
        let known: HashSet<[u8; 32]> = other.train.contents().into_iter().collect();
        self.test.0.contents().iter().filter(|content| known.contains(*content)).count()
    }

    /// The training and the test file of [`Dataset::load`], both open: for tests of the readers.
    pub fn read(name: DataName, strip: bool, roots: &Roots) -> Result<(Examples, Examples), DataError> {
        let files = match name {
            DataName::Digits => digits::read(),
            DataName::SyntheticGrey | DataName::SyntheticColour => synthetic::read(name.info().image_shape.unwrap_or_default()),
            DataName::Mnist => idx::read_mnist(&locate::require(name, roots)?, false)?,
            DataName::FashionMnist | DataName::Kmnist => idx::read_mnist(&locate::require(name, roots)?, true)?,
            DataName::EmnistLetters | DataName::EmnistBalanced | DataName::EmnistDigits => {
                emnist::read(&locate::require(name, roots)?, name.info())?
            }
            DataName::Cifar10 => cifar::read_cifar10(&locate::require(name, roots)?)?,
            DataName::Cifar100 => cifar::read_cifar100(&locate::require(name, roots)?, false)?,
            DataName::Cifar100Coarse => cifar::read_cifar100(&locate::require(name, roots)?, true)?,
            DataName::Newsgroups => newsgroups::read_newsgroups(&locate::require(name, roots)?, strip)?,
        };
        check(name, roots)?; // follows the readers, whose errors for damaged files are more precise
        Ok(files)
    }
}

/// The path of a data set. None if it was not found.
pub fn find(name: DataName, roots: &Roots) -> Option<PathBuf> {
    locate::find(name, roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_examples_that_another_set_trains_on_are_counted() {
        let set = |train: &[u8], test: &[u8]| {
            let of = |all: &[u8]| {
                let pixels: Vec<u8> = all.iter().flat_map(|value| [*value; 4]).collect();
                Examples::images(pixels, vec![0; all.len()], 4)
            };
            Dataset { info: DataName::Digits.info(), shape: [2, 2, 1], train: of(train), test: HeldOut(of(test)) }
        };
        let (one, other) = (set(&[1, 2, 3, 3], &[4, 5]), set(&[6], &[3, 3, 1, 7, 4]));
        assert_eq!((other.tested_in(&one), one.tested_in(&other)), (3, 0));
    }

    #[test]
    fn a_storage_that_fails_is_told_from_a_file_that_is_wrong() {
        is_told_in("cifar-10-binary.tar.gz", |path| read_cifar10(path).unwrap_err());
        is_told_in("20news-bydate.tar.gz", |path| newsgroups::read_newsgroups(path, true).unwrap_err());
    }

    fn is_told_in(name: &str, read: impl Fn(&Path) -> DataError) {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join(name);
        // Reading the start of this file gives an input/output error, as a failing disk does.
        std::os::unix::fs::symlink("/proc/self/mem", &archive).unwrap();
        let failed = read(&archive);
        assert!(failed.may_pass && failed.what.contains("Input/output error"), "{failed}");
        std::fs::remove_file(&archive).unwrap();
        std::fs::write(&archive, "no archive").unwrap();
        let wrong = read(&archive);
        assert!(!wrong.may_pass && wrong.what.contains("not a readable .tar.gz"), "{wrong}");
    }
}
