//! Searches for data sets in `--data`, then in `TRANSFERGRID_DATA`, then in `data/`.

use std::path::{Path, PathBuf};

use super::DataError;
use crate::config::network::DataName;
use crate::config::storage_failed;

/// Folders to search, in the order of priority.
#[derive(Debug, Clone)]
pub struct Roots(pub Vec<PathBuf>);

/// The folders that may contain data, in the order in which they are searched.
pub fn search_path(flag: Option<&Path>) -> Roots {
    let from_env = std::env::var_os("TRANSFERGRID_DATA").filter(|value| !value.is_empty()).map(PathBuf::from);
    Roots(flag.map(Path::to_path_buf).into_iter().chain(from_env).chain([PathBuf::from("data")]).collect())
}

/// Possible names of a data set's folder or archive inside a root folder.
fn names(name: DataName) -> &'static [&'static str] {
    match name {
        DataName::Digits | DataName::SyntheticGrey | DataName::SyntheticColour => &[],
        DataName::Mnist => &["mnist", "MNIST/raw"],
        DataName::Cifar10 => &["cifar-10-batches-bin", "cifar-10-binary.tar.gz"],
        DataName::Cifar100 | DataName::Cifar100Coarse => &["cifar-100-binary", "cifar-100-binary.tar.gz"],
        DataName::Newsgroups => &["20news-bydate", "20news-bydate.tar.gz"],
    }
}

/// The first existing folder or archive with one of the data set's names. A path that the storage
/// cannot check is also returned, so that reading it reports the error.
pub fn find(name: DataName, roots: &Roots) -> Option<PathBuf> {
    let is_there = |path: &PathBuf| path.try_exists().unwrap_or_else(|error| storage_failed(&error));
    roots.0.iter().flat_map(|root| names(name).iter().map(move |n| root.join(n))).find(is_there)
}

pub fn require(name: DataName, roots: &Roots) -> Result<PathBuf, DataError> {
    find(name, roots).ok_or_else(|| {
        let looked: Vec<String> = roots.0.iter().map(|root| format!("{}/{}", root.display(), names(name)[0])).collect();
        DataError::new(
            format!("the data set {} is not here; looked for {}", name.as_str(), looked.join(", ")),
            format!("`transfergrid data fetch {}` downloads it; use --data or TRANSFERGRID_DATA for another folder", name.as_str()),
        )
    })
}
