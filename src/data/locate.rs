//! Searches for data sets in `--data`, then in `TRANSFERGRID_DATA`, then in `data/`.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::DataError;
use crate::config::network::DataName;
use crate::config::storage_failed;

/// Folders to search, in the order of priority.
#[derive(Debug, Clone)]
pub struct Roots(pub Vec<PathBuf>);

/// The folder of `--data`, for the user's own data: places are read when a study is loaded,
/// wherever that happens.
static FIRST: OnceLock<PathBuf> = OnceLock::new();

/// Sets the folder in which places are searched first. Later calls change nothing.
pub fn search_first(folder: &Path) {
    let _ = FIRST.set(folder.to_path_buf());
}

/// The folders that may contain data, in the order in which they are searched.
pub fn search_path(flag: Option<&Path>) -> Roots {
    let flag = flag.or(FIRST.get().map(PathBuf::as_path));
    let from_env = std::env::var_os("TRANSFERGRID_DATA").filter(|value| !value.is_empty()).map(PathBuf::from);
    Roots(flag.map(Path::to_path_buf).into_iter().chain(from_env).chain([PathBuf::from("data")]).collect())
}

/// Possible names of a data set's folder or archive inside a root folder.
fn names(name: DataName) -> &'static [&'static str] {
    match name {
        DataName::Digits | DataName::SyntheticGrey | DataName::SyntheticColour => &[],
        DataName::Mnist => &["mnist", "MNIST/raw"],
        DataName::FashionMnist => &["fashion-mnist", "FashionMNIST/raw"],
        DataName::Kmnist => &["kmnist", "KMNIST/raw"],
        DataName::EmnistLetters | DataName::EmnistBalanced | DataName::EmnistDigits => &["emnist/gzip.zip", "EMNIST/raw/gzip.zip"],
        DataName::Cifar10 => &["cifar-10-batches-bin", "cifar-10-binary.tar.gz"],
        DataName::Cifar100 | DataName::Cifar100Coarse => &["cifar-100-binary", "cifar-100-binary.tar.gz"],
        DataName::Newsgroups => &["20news-bydate", "20news-bydate.tar.gz"],
    }
}

/// Layouts that other programs have on disk and that are not read, by the set that they hold.
const OTHER_LAYOUTS: [(DataName, &str); 4] = [
    (DataName::Cifar10, "cifar-10-batches-py"),
    (DataName::Cifar10, "cifar-10-python.tar.gz"),
    (DataName::Cifar100, "cifar-100-python"),
    (DataName::Newsgroups, "20news_home"),
];

/// The first existing folder or archive with one of the data set's names, in a root or as the root
/// itself. A path that the storage cannot check is also returned, so that reading it reports the
/// error.
pub fn find(name: DataName, roots: &Roots) -> Option<PathBuf> {
    let is_there = |path: &PathBuf| path.try_exists().unwrap_or_else(|error| storage_failed(&error));
    let own = |root: &PathBuf| names(name).iter().any(|own| root.ends_with(own)).then(|| root.clone());
    let below = |root: &PathBuf| names(name).iter().map(|own| root.join(own)).collect::<Vec<_>>();
    roots.0.iter().flat_map(|root| below(root).into_iter().chain(own(root))).find(is_there)
}

pub fn require(name: DataName, roots: &Roots) -> Result<PathBuf, DataError> {
    find(name, roots).ok_or_else(|| {
        let looked: Vec<String> = roots.0.iter().map(|root| format!("{}/{}", root.display(), names(name)[0])).collect();
        let is_of = |of: DataName| of == name || (of == DataName::Cifar100 && name == DataName::Cifar100Coarse);
        let others = OTHER_LAYOUTS.iter().filter(|(of, _)| is_of(*of));
        let other = others.flat_map(|(_, layout)| roots.0.iter().map(move |root| root.join(layout))).find(|path| path.exists());
        if let Some(other) = other {
            return DataError::new(
                format!("{} is another layout of {}, whose files are Python objects and are not read", other.display(), name.as_str()),
                format!("`transfergrid data fetch {}` brings the binary files; the same images as arrays: {{npz: FILE}}", name.as_str()),
            );
        }
        DataError::new(
            format!("the data set {} is not here; looked for {}", name.as_str(), looked.join(", ")),
            format!("`transfergrid data fetch {}` downloads it; use --data or TRANSFERGRID_DATA for another folder", name.as_str()),
        )
    })
}
