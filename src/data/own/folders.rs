//! Folders with a folder for each class.

use std::fs;
use std::path::{Path, PathBuf};

use crate::data::DataError;

/// Files of each class of one part, in the order of their paths.
pub type ClassFiles = Vec<(String, Vec<PathBuf>)>;

/// The parts of a folder.
pub struct Parts {
    pub train: ClassFiles,
    pub test: Option<ClassFiles>,
    pub notes: Vec<String>,
}

const TRAIN: [&str; 3] = ["train", "training", "trainset"];
const TEST: [&str; 3] = ["test", "testing", "testset"];
const VALIDATION: [&str; 4] = ["val", "valid", "validation", "dev"];

/// Lists the files that `is_wanted` by their ending. Hidden files and folders are skipped; links
/// are followed only if they lead to a place inside the folder.
pub fn list(root: &Path, is_wanted: fn(&str) -> bool) -> Result<Parts, DataError> {
    let inside = fs::canonicalize(root).map_err(|error| DataError::read(root, &error))?;
    if !inside.is_dir() {
        return Err(DataError::new(
            format!("{} is a file, where a folder is needed", root.display()),
            "name the folder that has a folder for each class",
        ));
    }
    let mut walk = Walk { inside, is_wanted, others: 0, outside: 0 };
    let folders = walk.folders(root)?;
    let named =
        |names: &[&str]| folders.iter().find(|(name, _)| names.contains(&name.to_lowercase().as_str())).map(|(_, path)| path.clone());
    let (train, test, validation) = (named(&TRAIN), named(&TEST), named(&VALIDATION));
    let mut notes = vec![];
    let parts = match (train, test, validation) {
        (Some(train), test, validation) => {
            let mut files = walk.classes(&train)?;
            let test = match (test, validation) {
                (Some(test), Some(validation)) => {
                    let more = walk.classes(&validation)?;
                    notes.push("the validation part joins the training part: validation examples are drawn from it".into());
                    for (class, own) in more {
                        match files.iter_mut().find(|(name, _)| *name == class) {
                            Some((_, all)) => all.extend(own),
                            None => files.push((class, own)),
                        }
                    }
                    Some(test)
                }
                (None, Some(validation)) => {
                    notes.push(format!("`{}` is the test part: there is no `test`", name_of(&validation)));
                    Some(validation)
                }
                (test, None) => test,
            };
            (files, test.map(|test| walk.classes(&test)).transpose()?)
        }
        _ => (walk.classes(root)?, None),
    };
    if walk.others > 0 {
        notes.push(format!("{} files of other kinds are left out", walk.others));
    }
    if walk.outside > 0 {
        notes.push(format!("{} links that lead out of the folder are left out", walk.outside));
    }
    Ok(Parts { train: parts.0, test: parts.1, notes })
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

struct Walk {
    inside: PathBuf,
    is_wanted: fn(&str) -> bool,
    others: usize,
    outside: usize,
}

impl Walk {
    /// Entries that are not hidden, by name.
    fn entries(&mut self, folder: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
        let broken = |error: std::io::Error| DataError::read(folder, &error);
        let mut all = vec![];
        for entry in fs::read_dir(folder).map_err(broken)? {
            let path = entry.map_err(broken)?.path();
            let name = name_of(&path);
            if name.starts_with('.') || name == "__MACOSX" || name == "Thumbs.db" || name == "desktop.ini" {
                continue;
            }
            if path.is_symlink() && !fs::canonicalize(&path).is_ok_and(|to| to.starts_with(&self.inside)) {
                self.outside += 1;
                continue;
            }
            all.push((name, path));
        }
        all.sort();
        Ok(all)
    }

    fn folders(&mut self, folder: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
        Ok(self.entries(folder)?.into_iter().filter(|(_, path)| path.is_dir()).collect())
    }

    fn classes(&mut self, folder: &Path) -> Result<ClassFiles, DataError> {
        let mut classes = vec![];
        for (name, path) in self.entries(folder)? {
            if path.is_dir() {
                let mut files = vec![];
                self.files(&path, 0, &mut files)?;
                if !files.is_empty() {
                    classes.push((name, files));
                }
            } else {
                self.others += 1;
            }
        }
        Ok(classes)
    }

    fn files(&mut self, folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), DataError> {
        if depth > 16 {
            return Err(DataError::new(format!("{} is more than 16 folders deep", folder.display()), "is there a link that leads back?"));
        }
        for (name, path) in self.entries(folder)? {
            if path.is_dir() {
                self.files(&path, depth + 1, files)?;
            } else if (self.is_wanted)(&name.to_lowercase()) {
                files.push(path);
            } else {
                self.others += 1;
            }
        }
        Ok(())
    }
}
