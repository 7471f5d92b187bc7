//! What kind of data a file or folder has, by a look at a few names in it.

use std::fs;
use std::path::{Path, PathBuf};

use super::images::is_image;
use crate::config::network::DataPlace;

/// Entries of a folder that are looked at.
const FEW: usize = 200;

/// The place of the data at a path, and what kind they are. None if nothing is recognised.
pub fn look(path: &Path) -> Option<(DataPlace, &'static str)> {
    let text = || Some(path.display().to_string());
    let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    let none = DataPlace::default();
    if path.is_dir() {
        let all = below(path);
        let has = |part: &str| all.iter().any(|own| own.file_name().is_some_and(|name| name.to_string_lossy().contains(part)));
        if has("-ubyte") {
            return Some((DataPlace { idx: text(), ..none }, "IDX files"));
        }
        if has(".parquet") {
            return Some((DataPlace { parquet: text(), ..none }, "Parquet files"));
        }
        let folders = || all.iter().filter(|own| own.is_dir());
        let has_images = |folder: &PathBuf| {
            below(folder).iter().any(|own| own.file_name().is_some_and(|name| is_image(&name.to_string_lossy().to_lowercase())))
        };
        if folders().any(has_images) {
            return Some((DataPlace { images: text(), ..none }, "folders of images"));
        }
        return folders()
            .flat_map(|folder| below(folder))
            .any(|own| has_images(&own))
            .then(|| (DataPlace { images: text(), ..none }, "folders of images, in parts"));
    }
    match ending.as_str() {
        _ if !path.is_file() => None,
        "npz" => Some((DataPlace { npz: text(), ..none }, "a NumPy archive")),
        "parquet" => Some((DataPlace { parquet: text(), ..none }, "a Parquet file")),
        "csv" | "tsv" => Some((DataPlace { table: text(), ..none }, "a table; `label` names the column with the classes")),
        _ => None,
    }
}

/// The first entries of a folder.
fn below(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).map(|entries| entries.take(FEW).flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
}
