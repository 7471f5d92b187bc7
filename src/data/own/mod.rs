//! The user's own data: what the readers find is split, described and made into examples.

mod arrays;
mod cache;
mod contact_sheet;
mod documents;
mod fit;
mod folders;
mod idx_folder;
mod images;
mod look;
mod npz;
mod parquet_images;
mod part;
mod split;
mod table_rows;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::{DataError, Examples};
use crate::config::network::{DataPlace, DatasetInfo};

use arrays::examples;
pub use cache::Cache;
pub use contact_sheet::contact_sheet;
pub use fit::fit;
pub use look::look;
use part::single;
pub use part::{Part, Picture, Values};
pub use split::split;

/// The most classes of a set, and the most examples of a part.
const MOST_CLASSES: usize = 10_000;

/// What a reader found, in its own order.
#[derive(Debug)]
pub struct Found {
    pub classes: Vec<String>,
    pub train: Part,
    /// None: a share of `train` is held out.
    pub test: Option<Part>,
    /// What a reader of the description should know, such as files that were left out.
    pub notes: Vec<String>,
}

/// A set that has been read, split and described.
#[derive(Debug)]
pub struct OwnSet {
    pub info: DatasetInfo,
    pub train: Part,
    pub test: Part,
    pub notes: Vec<String>,
}

/// Sets that were read to be described, until they are loaded.
static READ: Mutex<Option<HashMap<DataPlace, Arc<OwnSet>>>> = Mutex::new(None);

fn kept<T>(use_it: impl FnOnce(&mut HashMap<DataPlace, Arc<OwnSet>>) -> T) -> T {
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    use_it(read.get_or_insert_with(HashMap::new))
}

/// Reads a place and describes it.
///
/// # Errors
/// What is wrong with the data, and a hint.
pub fn describe(place: &DataPlace) -> Result<Arc<OwnSet>, DataError> {
    if let Some(known) = kept(|all| all.get(place).cloned()) {
        return Ok(known);
    }
    let set = Arc::new(read_now(place)?);
    kept(|all| all.insert(place.clone(), set.clone()));
    Ok(set)
}

/// Reads, splits and describes a place, and keeps nothing.
pub fn read_now(place: &DataPlace) -> Result<OwnSet, DataError> {
    check_keys(place)?;
    match &place.images {
        Some(path) => images::read(place, &find("images", path)?),
        None => split(place, found(place)?),
    }
}

/// Where the training and the test examples of a place were found, in the order in which [`load`]
/// has them; empty for arrays.
pub fn names(place: &DataPlace) -> Result<[Vec<String>; 2], DataError> {
    let set = describe(place)?;
    Ok([set.train.names.clone(), set.test.names.clone()])
}

/// For [`crate::config::network::read_places_with`].
pub fn info(place: &DataPlace) -> Result<DatasetInfo, (String, String)> {
    describe(place).map(|set| set.info.clone()).map_err(|error| (error.what, error.hint))
}

/// Training and test examples for inputs of a shape.
pub fn load(place: &DataPlace, info: &DatasetInfo, shape: [usize; 3]) -> Result<(Examples, Examples), DataError> {
    let set = describe(place)?;
    kept(|all| all.remove(place));
    if set.info.digest != info.digest {
        return Err(DataError::new(
            format!("the data at {place} have changed: {} now, {} before", set.info.in_short(), info.in_short()),
            "run the sweep from the study's own file: stages of the changed data are trained anew",
        ));
    }
    let parts = match Arc::try_unwrap(set) {
        Ok(set) => [set.train, set.test],
        Err(shared) => [shared.train.clone(), shared.test.clone()],
    };
    examples(parts, shape, &info.digest)
}

/// Fails if a key of the place belongs to another kind.
fn check_keys(place: &DataPlace) -> Result<(), DataError> {
    let key = place.given().first().map_or("images", |(key, _)| key);
    let of_tables = place.one_hot || place.impute.is_some() || place.decimal.is_some() || !place.drop.is_empty();
    if of_tables && key != "table" {
        return Err(DataError::new(format!("{place}: `drop`, `one_hot`, `impute` and `decimal` belong to `table`"), "leave them out"));
    }
    if place.label.is_some() && !["table", "parquet"].contains(&key) {
        return Err(DataError::new(format!("{place}: `label` names a column"), "it belongs to `table` and `parquet`; leave it out"));
    }
    if place.response.is_some() && key != "table" {
        return Err(DataError::new(format!("{place}: `response` names a column of numbers"), "it belongs to `table`; leave it out"));
    }
    if place.group.is_some() && ["npz", "idx"].contains(&key) {
        return Err(DataError::new(
            format!("{place}: `group` needs names: a column, or the names of files"),
            "it belongs to `images`, `documents`, `table` and `parquet`; leave it out",
        ));
    }
    Ok(())
}

/// What is at a place that has no images in files of their own.
fn found(place: &DataPlace) -> Result<Found, DataError> {
    let (key, path) = place.given().first().copied().unwrap_or(("table", ""));
    let (root, group) = (find(key, path)?, place.group.as_deref());
    match key {
        "documents" => documents::read(&root, group),
        "npz" => npz::read(&root),
        "parquet" => parquet_images::read(&root, place.label.as_deref(), group),
        "idx" => idx_folder::read(&root),
        _ => table_rows::read(&root, place),
    }
}

/// A place as it is written, or below one of the folders that are searched for data.
pub(super) fn find(key: &str, path: &str) -> Result<PathBuf, DataError> {
    if path.trim().is_empty() {
        return Err(DataError::new(format!("{key}: no path is given"), "name the file or folder"));
    }
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let written = match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    };
    let roots = super::search_path(None).0;
    let candidates = [written.clone()].into_iter().chain(roots.iter().map(|root| root.join(&written)));
    candidates.into_iter().find(|path| path.exists()).ok_or_else(|| {
        let places: Vec<String> = roots.iter().map(|root| root.display().to_string()).collect();
        DataError::new(
            format!("{key}: {} is not there, neither from here nor in {}", written.display(), places.join(", ")),
            "a path is relative to the folder in which you run the command",
        )
    })
}

/// Classes in the order of their names; of their numbers if all are numbers in their usual form.
/// (`1` and `01` are two names of one number.)
fn sorted_classes(mut names: Vec<String>) -> Vec<String> {
    let number = |name: &String| name.parse::<i64>().ok().filter(|n| n.to_string() == *name);
    match names.iter().all(|name| number(name).is_some()) {
        true => names.sort_by_key(number),
        false => names.sort(),
    }
    names.dedup();
    names
}

/// Labels of examples that are given by the names of their classes, and all classes.
fn label_by_name(parts: &[&[String]]) -> Result<(Vec<String>, Vec<Vec<u16>>), String> {
    let distinct: HashSet<&String> = parts.iter().copied().flatten().collect();
    if distinct.len() > MOST_CLASSES {
        return Err(format!("{} different labels are more than the {MOST_CLASSES} allowed: is it a column of numbers?", distinct.len()));
    }
    let classes = sorted_classes(distinct.into_iter().cloned().collect());
    let index: HashMap<&String, u16> = classes.iter().zip(0..).collect();
    let labels = parts.iter().map(|names| names.iter().map(|name| index[name]).collect()).collect();
    Ok((classes.clone(), labels))
}

/// Several files that cannot be read, in one message.
fn broken(root: &Path, all: &[(PathBuf, String)]) -> DataError {
    const SHOWN: usize = 10;
    let lines: Vec<String> = all.iter().take(SHOWN).map(|(path, what)| format!("  {}: {what}", path.display())).collect();
    let more = if all.len() > SHOWN { format!("\n  … and {} more", all.len() - SHOWN) } else { String::new() };
    let files = if all.len() == 1 { "1 file cannot".to_string() } else { format!("{} files cannot", all.len()) };
    DataError::new(
        format!("{}: {files} be read as images\n{}{more}", root.display(), lines.join("\n")),
        "replace them, or move them out of the folder",
    )
}
