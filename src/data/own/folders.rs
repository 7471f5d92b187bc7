//! Folders with a folder for each class.

use std::fs;
use std::path::{Path, PathBuf};

use crate::config::network::first_star;
use crate::data::DataError;

/// Files of each class of one part, in the order of their paths.
pub type ClassFiles = Vec<(String, Vec<PathBuf>)>;

/// The groups of files, by a pattern for their paths below the folder of their class (see
/// `DataPlace::group`), which is `depth` folders below the root. Without a pattern there are none.
///
/// # Errors
/// The pattern has no `*`, or does not fit every path.
pub fn groups(root: &Path, depth: usize, files: &[&PathBuf], pattern: Option<&str>) -> Result<Vec<String>, DataError> {
    let Some(pattern) = pattern else { return Ok(vec![]) };
    let (mut all, mut others) = (vec![], vec![]);
    for path in files {
        let own = path.strip_prefix(root).unwrap_or(path);
        let below = own.iter().skip(depth).map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/");
        match first_star(pattern, &below) {
            Some(group) => all.push(group.to_string()),
            None => others.push(below),
        }
    }
    match others.first() {
        None => Ok(all),
        Some(first) => Err(DataError::new(
            format!("`group: {pattern}` does not fit {} of {} files, such as `{first}`", others.len(), files.len()),
            "it is a pattern for the path below the class's folder, and its first `*` stands for the group: `*_*`",
        )),
    }
}

/// Files by their paths below the root.
pub fn below(root: &Path, files: &[&PathBuf]) -> Vec<String> {
    files.iter().map(|path| path.strip_prefix(root).unwrap_or(path).display().to_string()).collect()
}

/// The parts of a folder.
pub struct Parts {
    pub train: ClassFiles,
    pub test: Option<ClassFiles>,
    /// Folders from the root to the files of a class: the class's own, below that of a part if
    /// there are parts.
    pub depth: usize,
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
    let mut walk = Walk { inside, is_wanted, others: 0, outside: 0, empty: vec![] };
    let folders = walk.folders(root)?;
    let mut notes = vec![];
    let [train, test, validation] = walk.part_folders(root, &folders)?;
    let depth = if train.is_some() { 2 } else { 1 };
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
    if !walk.empty.is_empty() {
        let names: Vec<&str> = walk.empty.iter().take(5).map(String::as_str).collect();
        notes.push(format!("folders without files, which are no classes ({}): {}", walk.empty.len(), names.join(", ")));
    }
    if walk.others > 0 {
        notes.push(format!("files of other kinds that are left out: {}", walk.others));
    }
    if walk.outside > 0 {
        notes.push(format!("links out of the folder that are left out: {}", walk.outside));
    }
    Ok(Parts { train: parts.0, test: parts.1, depth, notes })
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Folder,
    File,
    /// A pipe, a device, …
    Other,
}

struct Walk {
    inside: PathBuf,
    is_wanted: fn(&str) -> bool,
    others: usize,
    outside: usize,
    empty: Vec<String>,
}

impl Walk {
    /// Entries that are not hidden, by name, each with whether it is a folder or a file.
    fn entries(&mut self, folder: &Path) -> Result<Vec<(String, PathBuf, Kind)>, DataError> {
        let broken = |error: std::io::Error| DataError::read(folder, &error);
        let mut all = vec![];
        for entry in fs::read_dir(folder).map_err(broken)? {
            let entry = entry.map_err(broken)?;
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if name.starts_with('.') || name == "__MACOSX" || name == "Thumbs.db" || name == "desktop.ini" {
                continue;
            }
            // The folder knows the kind: a large set is listed without a look at every file.
            let mut of = entry.file_type().map_err(broken)?;
            if of.is_symlink() {
                if !fs::canonicalize(&path).is_ok_and(|to| to.starts_with(&self.inside)) {
                    self.outside += 1;
                    continue;
                }
                of = fs::metadata(&path).map_err(|error| DataError::read(&path, &error))?.file_type();
            }
            let kind = if of.is_dir() {
                Kind::Folder
            } else if of.is_file() {
                Kind::File
            } else {
                Kind::Other
            };
            all.push((name, path, kind));
        }
        all.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(all)
    }

    fn folders(&mut self, folder: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
        Ok(self.entries(folder)?.into_iter().filter(|(.., kind)| *kind == Kind::Folder).map(|(name, path, _)| (name, path)).collect())
    }

    /// The folders of the training, test and validation parts. A folder is a part if it is called
    /// so and has folders itself. All folders may also have longer names, such as `train_images`.
    fn part_folders(&mut self, root: &Path, folders: &[(String, PathBuf)]) -> Result<[Option<PathBuf>; 3], DataError> {
        let mut with_folders = vec![];
        for (name, path) in folders {
            if !self.folders(path)?.is_empty() {
                with_folders.push((name.to_lowercase(), path.clone()));
            }
        }
        let exactly = |names: &[&str]| with_folders.iter().find(|(name, _)| names.contains(&name.as_str())).map(|(_, path)| path.clone());
        let mut parts = [exactly(&TRAIN), exactly(&TEST), exactly(&VALIDATION)];
        if parts.iter().all(Option::is_none) && with_folders.len() == folders.len() {
            let is = |name: &str, names: &[&str]| name.split(['-', '_', '.', ' ']).any(|word| names.contains(&word));
            let of =
                |names: &[&str]| with_folders.iter().filter(|(name, _)| is(name, names)).map(|(_, path)| path.clone()).collect::<Vec<_>>();
            let found = [of(&TRAIN), of(&TEST), of(&VALIDATION)];
            if found[0].len() == 1 && found.iter().map(Vec::len).sum::<usize>() == folders.len() {
                parts = found.map(|paths| paths.into_iter().next());
            }
        }
        let others: Vec<&str> =
            folders.iter().filter(|(_, path)| !parts.iter().flatten().any(|part| part == path)).map(|(name, _)| name.as_str()).collect();
        let is_parted = parts.iter().any(Option::is_some);
        if is_parted && (parts[0].is_none() || !others.is_empty()) {
            let what = match parts[0] {
                None => "a test or validation part, but no `train`".to_string(),
                Some(_) => format!("`train` beside {}: are these parts or classes?", others.join(", ")),
            };
            return Err(DataError::new(
                format!("{}: {what}", root.display()),
                "a set has folders of classes, or `train` with `test` or `val`, each with folders of classes, and nothing else",
            ));
        }
        Ok(parts)
    }

    fn classes(&mut self, folder: &Path) -> Result<ClassFiles, DataError> {
        let mut classes = vec![];
        for (name, path, kind) in self.entries(folder)? {
            if kind == Kind::Folder {
                let mut files = vec![];
                self.files(&path, 0, &mut files)?;
                match files.is_empty() {
                    true => self.empty.push(name),
                    false => classes.push((name, files)),
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
        for (name, path, kind) in self.entries(folder)? {
            if kind == Kind::Folder {
                self.files(&path, depth + 1, files)?;
            } else if kind == Kind::File && (self.is_wanted)(&name.to_lowercase()) {
                files.push(path);
            } else {
                self.others += 1;
            }
        }
        Ok(())
    }
}
