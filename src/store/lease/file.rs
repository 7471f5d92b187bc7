//! Lease files: created whole and once, numbered, their second line overwritten in place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::holder::Holder;
use crate::store::{this_process, Folder};

/// What a lease's second line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseLine {
    Beat(u64),
    Released,
}

impl LeaseLine {
    /// Of one width, so that it is overwritten in place.
    pub fn line(self) -> String {
        match self {
            LeaseLine::Beat(count) => format!("beat {count:012}\n"),
            LeaseLine::Released => format!("{:<17}\n", "released"),
        }
    }

    fn parse(line: &str) -> Option<LeaseLine> {
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["released"] => Some(LeaseLine::Released),
            ["beat", count] => Some(LeaseLine::Beat(count.parse().ok()?)),
            _ => None,
        }
    }
}

/// A lease file as it was read. One that is damaged, or was just created and not yet written, has no holder and no state.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub bytes: Vec<u8>,
    pub holder: Option<Holder>,
    pub state: Option<LeaseLine>,
}

impl Seen {
    /// None where it is no more: it was taken over. Opening asks the server anew on network file systems (close-to-open consistency).
    pub fn read(path: &Path) -> io::Result<Option<Seen>> {
        let mut bytes = vec![];
        let read = File::open(path).and_then(|file| {
            let links = file.metadata()?.nlink();
            file.take(1 << 16).read_to_end(&mut bytes)?;
            Ok(links)
        });
        match read {
            Ok(0) => return Ok(None), // a name that a network file system has not forgotten yet
            Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESTALE) => return Ok(None),
            read => _ = read?,
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let mut lines = text.lines();
        let holder = lines.next().and_then(|line| serde_json::from_str(line).ok());
        let state = lines.next().and_then(LeaseLine::parse);
        Ok(Some(Seen { bytes, holder, state }))
    }

    /// Its holder has let go, or is known to be dead: its records file can be continued.
    pub fn is_free(&self) -> bool {
        self.state == Some(LeaseLine::Released) || self.holder.as_ref().and_then(Holder::lives) == Some(false)
    }

    pub fn is_of(&self, study: &str) -> bool {
        self.holder.as_ref().is_none_or(|holder| holder.is_of(study))
    }

    pub fn who(&self) -> String {
        self.holder.as_ref().map_or("a process that left no name".into(), Holder::to_string)
    }
}

/// Creates a file with its content, both at once; fails where it exists.
pub fn create(path: &Path, content: &[u8]) -> io::Result<File> {
    // Another name is given to a file that is whole: a process that is killed here leaves no lease without a holder.
    let own = path.with_file_name(format!("new-{}", this_process()));
    let write = |file: File| file.write_all_at(content, 0).and_then(|()| file.sync_all()).map(|()| file);
    let named = OpenOptions::new().write(true).create_new(true).open(&own).and_then(write).and_then(|file| {
        // A server that is asked twice, as the first answer was lost, says that it exists; two names tell that it is ours.
        fs::hard_link(&own, path).or_else(|error| if file.metadata()?.nlink() == 2 { Ok(()) } else { Err(error) })?;
        Ok(file)
    });
    let _ = fs::remove_file(&own); // left over, it would be in nobody's way
    match named {
        Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::StorageFull) => Err(error),
        // File systems without hard links; after a kill in here the empty lease is waited out.
        Err(_) => {
            let file = OpenOptions::new().write(true).create_new(true).open(path)?;
            write(file).inspect_err(|_| _ = fs::remove_file(path))
        }
        named => named,
    }
}

/// Whoever ever held a lease here.
pub fn writers(folder: &Folder) -> Vec<String> {
    let entries = fs::read_dir(folder.leases()).into_iter().flatten();
    let mut all: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    all.sort();
    all
}

/// A name that is a larger number is no lease: nobody has taken one so often.
const MOST_LEASES: u64 = 1 << 48;

pub fn numbers(place: &Path) -> Vec<(u64, PathBuf)> {
    let entries = fs::read_dir(place).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let numbered = entries.filter_map(|path| Some((path.file_name()?.to_str()?.parse().ok()?, path)));
    numbered.filter(|(number, _)| *number < MOST_LEASES).collect()
}

/// The lease that counts: the one of the highest number.
pub fn latest(place: &Path) -> Option<(u64, PathBuf)> {
    numbers(place).into_iter().max()
}
