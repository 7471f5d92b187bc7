//! Lease files. Each has a number and is created once, with its full content. Only its second line
//! is overwritten later, in place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::holder::Holder;
use crate::store::{this_process, Folder};

/// The second line of a lease file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseLine {
    Beat(u64),
    Released,
}

impl LeaseLine {
    /// The line's text. It always has the same width, so that it can be overwritten in place.
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

/// The content of a lease file when it was read. A file that is damaged or was created but not yet
/// written has no holder and no state.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub bytes: Vec<u8>,
    pub holder: Option<Holder>,
    pub state: Option<LeaseLine>,
}

impl Seen {
    /// None if the file no longer exists, because another process took the lease over. On network
    /// file systems, opening a file asks the server again (close-to-open consistency).
    pub fn read(path: &Path) -> io::Result<Option<Seen>> {
        let mut bytes = vec![];
        let read = File::open(path).and_then(|file| {
            let links = file.metadata()?.nlink();
            file.take(1 << 16).read_to_end(&mut bytes)?;
            Ok(links)
        });
        match read {
            Ok(0) => return Ok(None), // removed, but a network file system still lists the name
            Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESTALE) => return Ok(None),
            read => _ = read?,
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let mut lines = text.lines();
        let holder = lines.next().and_then(|line| serde_json::from_str(line).ok());
        let state = lines.next().and_then(LeaseLine::parse);
        Ok(Some(Seen { bytes, holder, state }))
    }

    /// Whether the lease was released or its holder is known to have exited. Its records file can
    /// then be continued.
    pub fn is_free(&self) -> bool {
        self.state == Some(LeaseLine::Released) || self.holder.as_ref().and_then(Holder::lives) == Some(false)
    }

    pub fn is_of(&self, study: &str) -> bool {
        self.holder.as_ref().is_none_or(|holder| holder.is_of(study))
    }

    pub fn who(&self) -> String {
        self.holder.as_ref().map_or("an unknown process".into(), Holder::to_string)
    }
}

/// Creates a file together with its content. Fails if the file exists.
pub fn create(path: &Path, content: &[u8]) -> io::Result<File> {
    // The file is written completely under a temporary name and then hard-linked to its final name.
    // A process killed in between leaves no lease without a holder.
    let own = path.with_file_name(format!("new-{}", this_process()));
    let write = |file: File| file.write_all_at(content, 0).and_then(|()| file.sync_all()).map(|()| file);
    let named = OpenOptions::new().write(true).create_new(true).open(&own).and_then(write).and_then(|file| {
        // If the server's first answer is lost, the request is repeated and fails with "exists".
        // Two links to the file show that our first request succeeded.
        fs::hard_link(&own, path).or_else(|error| if file.metadata()?.nlink() == 2 { Ok(()) } else { Err(error) })?;
        Ok(file)
    });
    let _ = fs::remove_file(&own); // a leftover file does no harm
    match named {
        Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::StorageFull) => Err(error),
        // For file systems without hard links. If the process is killed here, other processes wait
        // until the empty lease is stale.
        Err(_) => {
            let file = OpenOptions::new().write(true).create_new(true).open(path)?;
            write(file).inspect_err(|_| _ = fs::remove_file(path))
        }
        named => named,
    }
}

/// All writers that have ever held a lease in this folder.
pub fn writers(folder: &Folder) -> Vec<String> {
    let entries = fs::read_dir(folder.leases()).into_iter().flatten();
    let mut all: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    all.sort();
    all
}

/// Larger numbers are not leases: no lease is taken that often.
const MOST_LEASES: u64 = 1 << 48;

pub fn numbers(place: &Path) -> Vec<(u64, PathBuf)> {
    let entries = fs::read_dir(place).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let numbered = entries.filter_map(|path| Some((path.file_name()?.to_str()?.parse().ok()?, path)));
    numbered.filter(|(number, _)| *number < MOST_LEASES).collect()
}

/// The current lease: the one with the highest number.
pub fn latest(place: &Path) -> Option<(u64, PathBuf)> {
    numbers(place).into_iter().max()
}
