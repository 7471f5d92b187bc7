//! Images that were decoded once are kept in files, which are mapped into memory. A large set is
//! then decoded once for all runs, and need not fit into memory.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{OwnSet, Part, Picture, Values};
use crate::base::hex::hex;
use crate::base::stderr::print_error;
use crate::base::threads;
use crate::config::network::{DataPlace, DatasetInfo};
use crate::data::bytes::Bytes;
use crate::data::DataError;

/// Bytes that are kept by default.
const LIMIT: u64 = 50_000_000_000;

/// Files that this process has found or written.
static IN_USE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// A file that has been written for so long belongs to a process that was killed.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// What a changed format or decoder changes.
const VERSION: &str = "transfergrid images 2";

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
    names: Vec<String>,
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
        // A folder of its own: what else is there is not touched.
        let folder = folder.join("decoded-images");
        let limit = std::env::var("TRANSFERGRID_CACHE_GB").ok().filter(|text| !text.trim().is_empty());
        let limit = limit.and_then(|text| {
            let gigabytes = text.trim().parse::<f64>().ok().filter(|gigabytes| *gigabytes >= 0.0);
            if gigabytes.is_none() {
                print_error(&format!("warning: TRANSFERGRID_CACHE_GB={text} is no number of gigabytes, such as 50"));
            }
            gigabytes
        });
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
    pub fn stamp(place: &DataPlace, files: &[&PathBuf]) -> Result<String, DataError> {
        // A million files are looked at: on all cores.
        let looks = threads::map(files.len(), |i| -> Result<String, DataError> {
            let of = fs::metadata(files[i]).map_err(|error| DataError::read(files[i], &error))?;
            let times = (of.mtime(), of.mtime_nsec(), of.ctime(), of.ctime_nsec());
            Ok(format!("\n{} {} {times:?}\n", of.ino(), of.len()))
        });
        let mut hasher = Sha256::new();
        hasher.update(format!("{VERSION}\n{place}\n"));
        for (path, look) in files.iter().zip(looks) {
            hasher.update(path.as_os_str().as_encoded_bytes());
            hasher.update(look?);
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
            (pictures.len() == of.labels.len()).then(|| Part {
                groups: of.groups,
                names: of.names,
                ..Part::new(of.labels, Values::Pictures(pictures))
            })
        };
        let (train, test) = (part(entry.train)?, part(entry.test)?);
        entry.files.iter().for_each(|name| self.used(&self.folder.join(name)));
        self.used(&path);
        Some(OwnSet { info: entry.info, train, test, notes: entry.notes })
    }

    /// Keeps a set whose images are of spools, but for a few in memory. Returns false if none is of
    /// a spool, because they could not be written: nothing is kept then.
    pub fn keep(&self, stamp: &str, set: &OwnSet) -> Result<bool, DataError> {
        let is_mapped = |part: &Part| matches!(&part.values, Values::Pictures(all) if all.iter().any(|one| one.pixels.place().is_some()));
        if !is_mapped(&set.train) {
            return Ok(false);
        }
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
            Ok(PartEntry { labels: of.labels.clone(), groups: of.groups.clone(), names: of.names.clone(), pictures })
        };
        let (train, test) = (part(&set.train)?, part(&set.test)?);
        in_memory.map(Spool::finish).transpose()?;
        let entry = Entry { info: set.info.clone(), notes: set.notes.clone(), files, train, test };
        let mut spool = self.spool(&format!("{stamp}.json"))?;
        spool.write(&serde_json::to_vec(&entry).unwrap_or_default())?;
        spool.finish()?;
        self.shrink();
        Ok(true)
    }

    /// A file that is written once, under its own name when it is complete.
    pub fn spool(&self, name: &str) -> Result<Spool, DataError> {
        let path = self.folder.join(name);
        // Other containers and hosts may have a process of the same number.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let part = self.folder.join(format!("{name}.{}-{now}.part", std::process::id()));
        let open = || -> io::Result<File> {
            fs::create_dir_all(&self.folder)?;
            File::create_new(&part)
        };
        let file = open().map_err(|error| unwritable(&part, &error))?;
        Ok(Spool { file: BufWriter::with_capacity(1 << 20, file), path, part, length: 0, limit: self.limit })
    }

    /// The same. Where it cannot be written, a warning says so, and images stay in memory.
    pub fn spool_or_warn(&self, name: &str) -> Option<Spool> {
        self.spool(name).map_err(|error| print_error(&format!("warning: {error}"))).ok()
    }

    /// An array that was kept, if it has this many bytes.
    pub fn array(&self, name: &str, bytes: usize) -> Option<Bytes> {
        let path = self.folder.join(name);
        let array = Bytes::map(&path).ok().filter(|array| array.len() == bytes)?;
        self.used(&path);
        Some(array)
    }

    /// What is used last is removed last, and what this process uses is not removed by it.
    fn used(&self, path: &Path) {
        let _ = File::open(path).and_then(|file| file.set_modified(SystemTime::now()));
        IN_USE.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_path_buf());
    }

    /// Its files with their sizes, those that were used last at the end. Files that are being
    /// written are not among them.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut all: Vec<(SystemTime, PathBuf, u64)> = entries
            .filter_map(|entry| {
                let about = entry.metadata().ok().filter(|about| about.is_file())?;
                let (name, age) = (entry.file_name(), about.modified().ok()?);
                let is_written = name.to_string_lossy().ends_with(".part") && age.elapsed().is_ok_and(|age| age < ABANDONED);
                (!is_written).then(|| (age, entry.path(), about.len()))
            })
            .collect();
        all.sort();
        all.into_iter().map(|(_, path, size)| (path, size)).collect()
    }

    /// Removes the files that were used longest ago until the rest is within the limit. Those that
    /// this process uses stay.
    pub fn shrink(&self) {
        let files = self.files();
        let mut total: u64 = files.iter().map(|(_, size)| size).sum();
        for (path, size) in files {
            let stays = IN_USE.lock().unwrap_or_else(PoisonError::into_inner).contains(&path);
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
    limit: u64,
}

impl Spool {
    /// Appends bytes and returns their position.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, DataError> {
        let at = self.length;
        self.length += bytes.len();
        if self.length as u64 > self.limit {
            let what = format!("the decoded images are larger than the {:.1} GB of the cache", self.limit as f64 / 1e9);
            return Err(DataError::new(
                what,
                "set TRANSFERGRID_CACHE_GB to a larger number, or TRANSFERGRID_CACHE=off to hold them in memory",
            ));
        }
        self.file.write_all(bytes).map_err(|error| unwritable(&self.part, &error))?;
        Ok(at)
    }

    /// The complete file, mapped into memory.
    ///
    /// Another process may have written the same file in the meantime, and use it: it is replaced
    /// only if it is damaged.
    pub fn finish(mut self) -> Result<Bytes, DataError> {
        let mut publish = || -> io::Result<Bytes> {
            self.file.flush()?;
            let is_there = fs::metadata(&self.path).is_ok_and(|other| other.len() == self.length as u64);
            if !is_there {
                fs::rename(&self.part, &self.path)?;
            }
            Bytes::map(&self.path)
        };
        let published = publish().map_err(|error| unwritable(&self.part, &error))?;
        IN_USE.lock().unwrap_or_else(PoisonError::into_inner).insert(self.path.clone());
        Ok(published)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.part); // not there if it was renamed
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_is_removed_first_and_what_is_in_use_stays() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache { folder: folder.path().to_path_buf(), limit: 250 };
        let other = |name: &str, age: u64| {
            let path = folder.path().join(name);
            fs::write(&path, [0; 100]).unwrap();
            File::open(&path).unwrap().set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        };
        // Of other processes; one is being written, and one was left by a process that was killed.
        other("old", 300);
        other("new", 200);
        other("now.1-1.part", 100);
        other("killed.1-1.part", 3 * 24 * 3600);
        let mut spool = cache.spool("own").unwrap();
        spool.write(&[7; 100]).unwrap();
        assert_eq!(*spool.finish().unwrap(), [7; 100]);
        File::open(folder.path().join("own")).unwrap().set_modified(SystemTime::now() - Duration::from_secs(400)).unwrap();
        cache.shrink();
        let left = |name: &str| folder.path().join(name).exists();
        assert_eq!((left("old"), left("new"), left("own")), (false, true, true));
        assert_eq!((left("now.1-1.part"), left("killed.1-1.part")), (true, false));
        // A damaged file is replaced, a sound one is used.
        let again = |bytes: &[u8]| {
            let mut spool = cache.spool("own").unwrap();
            spool.write(bytes).unwrap();
            spool.finish().unwrap().to_vec()
        };
        assert_eq!(again(&[8; 100]), [7; 100]);
        assert_eq!(again(&[8; 60]), [8; 60]);
        assert!(cache.spool("more").unwrap().write(&[0; 251]).is_err() && !left("more"));
    }
}
