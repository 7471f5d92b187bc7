//! Data sets as arrays in memory: images as bytes, a training file to learn and validate on, and a held-out test set
//! that only a model that no longer learns can open.

mod cifar;
mod digits;
mod fetch;
mod idx;
mod locate;
mod split;
pub mod table;
mod verify;

use std::path::{Path, PathBuf};

use ndarray::Array2;

use crate::config::network::DataName;

pub use fetch::{fetch, Source};
pub use locate::{search_path, Roots};
pub use split::{normalisation, task_labels, test_rows, Normalisation, Split};
pub use verify::{verify, Verdict};

/// What is wrong with data on disk, and what to do. Exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{what}\n  hint: {hint}")]
pub struct DataError {
    pub what: String,
    pub hint: String,
}

impl DataError {
    fn new(what: impl Into<String>, hint: impl Into<String>) -> DataError {
        DataError { what: what.into(), hint: hint.into() }
    }

    /// A file that is not what it should be.
    fn file(path: &Path, what: impl std::fmt::Display) -> DataError {
        DataError::new(
            format!("{}: {what}", path.display()),
            "`transfergrid data verify` checks every file; `transfergrid data fetch` brings a fresh one",
        )
    }
}

/// Images with labels. Row i of `pixels` is image i, height × width × channels, channels innermost.
#[derive(Debug, Clone, PartialEq)]
pub struct Examples {
    pub pixels: Array2<u8>,
    pub labels: Vec<u8>,
}

impl Examples {
    fn new(pixels: Vec<u8>, labels: Vec<u8>, width: usize) -> Examples {
        let n = labels.len();
        // Readers check their sizes before they come here.
        let pixels = Array2::from_shape_vec((n, width), pixels).expect("readers hand over n × width bytes");
        Examples { pixels, labels }
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
    /// Height, width, channels.
    pub shape: [usize; 3],
    /// The training file: training and validation images are drawn from it.
    pub train: Examples,
    pub test: HeldOut,
}

impl Dataset {
    /// Reads a data set from the first of `roots` that has it.
    pub fn load(name: DataName, roots: &Roots) -> Result<Dataset, DataError> {
        let (train, test) = match name {
            DataName::Digits => digits::read(),
            DataName::Mnist => idx::read_mnist(&locate::require(name, roots)?)?,
            DataName::Cifar10 => cifar::read_cifar10(&locate::require(name, roots)?)?,
        };
        Ok(Dataset { name, shape: name.image_shape(), train, test: HeldOut(test) })
    }
}

/// Where a data set was found, if it was.
pub fn find(name: DataName, roots: &Roots) -> Option<PathBuf> {
    locate::find(name, roots)
}
