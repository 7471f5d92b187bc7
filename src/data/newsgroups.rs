//! 20 Newsgroups, version bydate, from its two folders or from the downloaded archive.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use super::words::count;
use super::{Content, DataError, Examples};
use crate::config::network::DataName;

pub const HALVES: [&str; 2] = ["20news-bydate-train", "20news-bydate-test"];
const DOCUMENTS: [usize; 2] = [11_314, 7_532];

/// The bytes of each document, by group and document number.
pub type SplitDocuments = BTreeMap<(String, u32), Vec<u8>>;

/// The unchanged documents of the training half and the test half.
pub fn read_files(path: &Path) -> Result<[SplitDocuments; 2], DataError> {
    let halves = match path.is_dir() {
        true => from_folder(path)?,
        false => from_archive(path)?,
    };
    for ((half, name), wanted) in halves.iter().zip(HALVES).zip(DOCUMENTS) {
        if half.len() != wanted {
            return Err(DataError::file(path, format!("{name} has {} documents, the bydate version has {wanted}", half.len())));
        }
    }
    Ok(halves)
}

/// Training and test documents. With `strip`, headers, footers and quoted lines are removed.
pub fn read_newsgroups(path: &Path, strip: bool) -> Result<(Examples, Examples), DataError> {
    let halves = read_files(path)?;
    let names = DataName::Newsgroups.info().class_names();
    let label = |group: &str| names.iter().position(|name| *name == group).unwrap_or_default() as u16; // `place` accepts only known groups
    let labels = halves.each_ref().map(|half| half.keys().map(|(group, _)| label(group)).collect::<Vec<u16>>());
    // In Latin-1, each byte is the code of its character.
    let texts = halves.map(|half| half.into_values().map(|bytes| bytes.iter().map(|&b| char::from(b)).collect()).collect());
    let [train, test] = count(texts, strip);
    let [of_train, of_test] = labels;
    Ok((
        Examples { content: Content::Documents(train), labels: of_train, groups: vec![], responses: vec![] },
        Examples { content: Content::Documents(test), labels: of_test, groups: vec![], responses: vec![] },
    ))
}

/// Half, group and number of a document, from its path. None if the path is not a document of a
/// known group.
fn place(path: &Path) -> Option<(usize, (String, u32))> {
    let mut parts = path.components().rev().map(|part| part.as_os_str().to_string_lossy().into_owned());
    let (number, group, half) = (parts.next()?, parts.next()?, parts.next()?);
    let half = HALVES.iter().position(|name| *name == half)?;
    let known = DataName::Newsgroups.info().class_names().contains(&group.as_str());
    Some((half, (group, number.parse().ok().filter(|_| known)?)))
}

fn from_folder(folder: &Path) -> Result<[SplitDocuments; 2], DataError> {
    let mut halves = [SplitDocuments::new(), SplitDocuments::new()];
    let list = |path: &Path| -> Result<Vec<std::path::PathBuf>, DataError> {
        let entries = fs::read_dir(path).map_err(|error| DataError::read(path, &error))?;
        Ok(entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
    };
    for name in HALVES {
        for group in list(&folder.join(name))?.into_iter().filter(|path| path.is_dir()) {
            for path in list(&group)? {
                let Some((half, key)) = place(&path) else { continue };
                let bytes = fs::read(&path).map_err(|error| DataError::read(&path, &error))?;
                halves[half].insert(key, bytes);
            }
        }
    }
    Ok(halves)
}

fn from_archive(path: &Path) -> Result<[SplitDocuments; 2], DataError> {
    let broken = |error: std::io::Error| DataError::archive(path, &error);
    let file = File::open(path).map_err(broken)?;
    let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(file));
    let mut halves = [SplitDocuments::new(), SplitDocuments::new()];
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let Some((half, key)) = entry.path().ok().as_deref().and_then(place) else { continue };
        let mut bytes = vec![];
        entry.read_to_end(&mut bytes).map_err(broken)?;
        halves[half].insert(key, bytes);
    }
    Ok(halves)
}
