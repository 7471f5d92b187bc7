//! Images that were decoded once are kept in files, which are mapped into memory. A large set is
//! then decoded once for all runs, and need not fit into memory.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{OwnSet, Part, Picture, Values};
use crate::base::hex::hex;
use crate::base::stderr::print_error;
use crate::config::network::{DataPlace, DatasetInfo};
use crate::data::bytes::Bytes;
use crate::data::DataError;

/// Bytes that are kept by default.
const LIMIT: u64 = 50_000_000_000;

/// What a changed format or decoder changes.
const VERSION: &str = "transfergrid images 1";

/// The folder with the files.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
    limit: u64,
}

/// What is kept of a set beside its pixels.
#[derive(Serialize, Deserialize)]
struct Entry {
    info: DatasetInfo,
    notes: Vec<String>,
    /// Files with pixels, by name.
    files: Vec<String>,
    train: PartEntry,
    test: PartEntry,
}

#[derive(Serialize, Deserialize)]
struct PartEntry {
    labels: Vec<u16>,
    groups: Vec<String>,
    /// Of each image: its file's position in `files`, its first byte there, and its shape.
    pictures: Vec<(usize, usize, [usize; 3])>,
}

impl Cache {
    /// The user's cache: `TRANSFERGRID_CACHE`, or `transfergrid` in `XDG_CACHE_HOME` or `~/.cache`.
    /// None if that variable is `off`, or without a home. `TRANSFERGRID_CACHE_GB` is its largest
    /// size.
    pub fn of_user() -> Option<Cache> {
        let path = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = match path("TRANSFERGRID_CACHE") {
            Some(off) if off == Path::new("off") => return None,
            Some(folder) => folder,
            None => path("XDG_CACHE_HOME").or_else(|| Some(path("HOME")?.join(".cache")))?.join("transfergrid"),
        };
        let limit = std::env::var("TRANSFERGRID_CACHE_GB").ok().and_then(|text| text.parse::<f64>().ok());
        Some(Cache { folder, limit: limit.map_or(LIMIT, |gigabytes| (1e9 * gigabytes) as u64) })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// The name of a set by its place and its files: changes where a file is changed, added or
    /// removed.
    ///
    /// # Errors
    /// A file cannot be looked at.
    pub fn stamp<'a>(place: &DataPlace, files: impl Iterator<Item = &'a PathBuf>) -> Result<String, DataError> {
        let mut hasher = Sha256::new();
        hasher.update(format!("{VERSION}\n{place}\n"));
        for path in files {
            let of = fs::metadata(path).map_err(|error| DataError::read(path, &error))?;
            let times = (of.mtime(), of.mtime_nsec(), of.ctime(), of.ctime_nsec());
            hasher.update(path.as_os_str().as_encoded_bytes());
            hasher.update(format!("\n{} {} {} {times:?}\n", of.dev(), of.ino(), of.len()));
        }
        Ok(hex(hasher.finalize())[..32].to_string())
    }

    /// A set that was kept under this name.
    pub fn find(&self, stamp: &str) -> Option<OwnSet> {
        let path = self.folder.join(format!("{stamp}.json"));
        let entry: Entry = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
        let files = entry.files.iter().map(|name| Bytes::map(&self.folder.join(name)).ok()).collect::<Option<Vec<_>>>()?;
        let part = |of: PartEntry| -> Option<Part> {
            let picture = |(file, at, [height, width, channels]): (usize, usize, [usize; 3])| {
                let size = height.checked_mul(width)?.checked_mul(channels)?;
                let pixels = files.get(file)?.part(at..at.checked_add(size)?)?;
                Some(Picture { height, width, channels, pixels })
            };
            let pictures = of.pictures.into_iter().map(picture).collect::<Option<Vec<_>>>()?;
            (pictures.len() == of.labels.len()).then(|| Part { groups: of.groups, ..Part::new(of.labels, Values::Pictures(pictures)) })
        };
        let (train, test) = (part(entry.train)?, part(entry.test)?);
        // What is used last is removed last.
        for name in entry.files.iter().map(String::as_str).chain([format!("{stamp}.json").as_str()]) {
            let _ = File::open(self.folder.join(name)).and_then(|file| file.set_modified(SystemTime::now()));
        }
        Some(OwnSet { info: entry.info, train, test, notes: entry.notes })
    }

    /// Keeps a set whose images are of spools, or else in memory.
    pub fn keep(&self, stamp: &str, set: &OwnSet) -> Result<(), DataError> {
        let mut files: Vec<String> = vec![];
        let more = format!("{stamp}.more");
        let mut in_memory: Option<Spool> = None;
        let mut part = |of: &Part| -> Result<PartEntry, DataError> {
            let all = if let Values::Pictures(all) = &of.values { all.as_slice() } else { &[] };
            let mut pictures = vec![];
            for Picture { height, width, channels, pixels } in all {
                let (name, at) = match pixels.place() {
                    Some((path, at)) => (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), at),
                    None => {
                        let spool = match &mut in_memory {
                            Some(spool) => spool,
                            None => in_memory.insert(self.spool(&more)?),
                        };
                        (more.clone(), spool.write(pixels)?)
                    }
                };
                let file = files.iter().position(|own| *own == name).unwrap_or_else(|| {
                    files.push(name);
                    files.len() - 1
                });
                pictures.push((file, at, [*height, *width, *channels]));
            }
            Ok(PartEntry { labels: of.labels.clone(), groups: of.groups.clone(), pictures })
        };
        let (train, test) = (part(&set.train)?, part(&set.test)?);
        in_memory.map(Spool::finish).transpose()?;
        let entry = Entry { info: set.info.clone(), notes: set.notes.clone(), files, train, test };
        let mut spool = self.spool(&format!("{stamp}.json"))?;
        spool.write(&serde_json::to_vec(&entry).unwrap_or_default())?;
        spool.finish()?;
        self.shrink(stamp);
        Ok(())
    }

    /// A file that is written once, under its own name when it is complete.
    pub fn spool(&self, name: &str) -> Result<Spool, DataError> {
        let path = self.folder.join(name);
        let part = self.folder.join(format!("{name}.{}.part", std::process::id()));
        let open = || -> io::Result<File> {
            fs::create_dir_all(&self.folder)?;
            File::create(&part)
        };
        let file = open().map_err(|error| unwritable(&part, &error))?;
        Ok(Spool { file: BufWriter::with_capacity(1 << 20, file), path, part, length: 0 })
    }

    /// An array that was kept, if it has this many bytes.
    pub fn array(&self, name: &str, bytes: usize) -> Option<Bytes> {
        let path = self.folder.join(name);
        let array = Bytes::map(&path).ok().filter(|array| array.len() == bytes)?;
        let _ = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        Some(array)
    }

    /// Its files with their sizes, those that were used last at the end.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut all: Vec<(SystemTime, PathBuf, u64)> = entries
            .filter_map(|entry| {
                let about = entry.metadata().ok().filter(|about| about.is_file())?;
                Some((about.modified().ok()?, entry.path(), about.len()))
            })
            .collect();
        all.sort();
        all.into_iter().map(|(_, path, size)| (path, size)).collect()
    }

    /// Removes the files that were used longest ago until the rest is within the limit. Those whose
    /// names begin with `kept` stay.
    pub fn shrink(&self, kept: &str) {
        let files = self.files();
        let mut total: u64 = files.iter().map(|(_, size)| size).sum();
        for (path, size) in files {
            let stays = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(kept));
            if total > self.limit && !stays && fs::remove_file(&path).is_ok() {
                total -= size;
            }
        }
        if total > self.limit {
            print_error(&format!(
                "warning: {} has {:.1} GB, more than its limit of {:.1} GB (TRANSFERGRID_CACHE_GB): one set is larger",
                self.folder.display(),
                total as f64 / 1e9,
                self.limit as f64 / 1e9
            ));
        }
    }
}

/// A file of the cache while it is written. It is removed if it is not finished.
pub struct Spool {
    file: BufWriter<File>,
    path: PathBuf,
    part: PathBuf,
    length: usize,
}

impl Spool {
    /// Appends bytes and returns their position.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, DataError> {
        let at = self.length;
        self.file.write_all(bytes).map_err(|error| unwritable(&self.part, &error))?;
        self.length += bytes.len();
        Ok(at)
    }

    /// The complete file, mapped into memory.
    pub fn finish(mut self) -> Result<Bytes, DataError> {
        let finished = self.file.flush().and_then(|()| fs::rename(&self.part, &self.path)).and_then(|()| Bytes::map(&self.path));
        finished.map_err(|error| unwritable(&self.part, &error))
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.part); // renamed if it is finished
    }
}

fn unwritable(path: &Path, error: &io::Error) -> DataError {
    DataError {
        what: format!("decoded images cannot be kept in {}: {error}", path.display()),
        hint: "free some space (`transfergrid data cache --clear` empties it), or set TRANSFERGRID_CACHE to another folder, or to `off`"
            .into(),
        may_pass: true,
    }
}
