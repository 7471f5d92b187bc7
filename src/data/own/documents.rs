//! Folders of text files.

use std::path::{Path, PathBuf};

use super::folders::{below, groups, list, ClassFiles};
use super::{sorted_classes, Found, Part, Values};
use crate::data::DataError;

/// A longer file is taken for something else than a document.
const LONGEST: u64 = 100_000_000;

pub fn read(root: &Path, group: Option<&str>) -> Result<Found, DataError> {
    // Documents often have no ending.
    let parts = list(root, |_| true)?;
    let all: Vec<String> = parts.train.iter().chain(parts.test.iter().flatten()).map(|(name, _)| name.clone()).collect();
    if all.is_empty() {
        return Err(DataError::new(
            format!("{}: no files in the folders below it", root.display()),
            "it needs a folder of texts for each class",
        ));
    }
    let classes = sorted_classes(all);
    let part = |of: &ClassFiles| -> Result<Part, DataError> {
        let (mut labels, mut texts, mut named) = (vec![], vec![], vec![]);
        for (label, class) in classes.iter().enumerate() {
            for path in of.iter().filter(|(name, _)| name == class).flat_map(|(_, files)| files) {
                texts.push(text(path)?);
                labels.push(label as u16);
                named.push(path);
            }
        }
        Ok(Part {
            groups: groups(root, parts.depth, &named, group)?,
            names: below(root, &named),
            ..Part::new(labels, Values::Texts(texts))
        })
    };
    Ok(Found { train: part(&parts.train)?, test: parts.test.as_ref().map(part).transpose()?, notes: parts.notes, classes })
}

/// A text in UTF-8, or else in Latin-1.
fn text(path: &PathBuf) -> Result<String, DataError> {
    let broken = |error: std::io::Error| DataError::read(path, &error);
    if std::fs::metadata(path).map_err(broken)?.len() > LONGEST {
        return Err(DataError::new(
            format!("{} is longer than {LONGEST} bytes", path.display()),
            "is it a document? move it out of the folder",
        ));
    }
    let bytes = std::fs::read(path).map_err(broken)?;
    if bytes.contains(&0) {
        return Err(DataError::new(format!("{} is no text: it has bytes that are 0", path.display()), "move it out of the folder"));
    }
    Ok(String::from_utf8(bytes).unwrap_or_else(|error| error.into_bytes().into_iter().map(char::from).collect()))
}
