//! Bytes in memory, or of a file that is mapped into memory: shared, and never copied.

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;

/// A part of a block of bytes.
#[derive(Clone)]
pub struct Bytes {
    block: Block,
    range: Range<usize>,
}

#[derive(Clone)]
enum Block {
    Memory(Arc<Vec<u8>>),
    File(Arc<MappedFile>),
}

struct MappedFile {
    path: PathBuf,
    map: Mmap,
}

impl Bytes {
    /// A whole file. The system reads the parts that are used, and may drop them again.
    ///
    /// # Errors
    /// The file cannot be opened or mapped.
    pub fn map(path: &Path) -> io::Result<Bytes> {
        let file = File::open(path)?;
        if file.metadata()?.len() == 0 {
            return Ok(Bytes::from(vec![])); // cannot be mapped
        }
        // SAFETY: the files of the cache are written under another name and renamed when they are
        // complete, and are never written again. Removing or replacing one does not end the
        // mapping.
        let map = unsafe { Mmap::map(&file)? };
        let range = 0..map.len();
        Ok(Bytes { block: Block::File(Arc::new(MappedFile { path: path.to_path_buf(), map })), range })
    }

    /// A part of these bytes; None if it is beyond their end.
    pub fn part(&self, range: Range<usize>) -> Option<Bytes> {
        let (start, end) = (self.range.start.checked_add(range.start)?, self.range.start.checked_add(range.end)?);
        (start <= end && end <= self.range.end).then(|| Bytes { block: self.block.clone(), range: start..end })
    }

    /// The mapped file that the bytes are of, and their position in it.
    pub fn place(&self) -> Option<(&Path, usize)> {
        match &self.block {
            Block::Memory(_) => None,
            Block::File(file) => Some((&file.path, self.range.start)),
        }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.block {
            Block::Memory(all) => &all[self.range.clone()],
            Block::File(file) => &file.map[self.range.clone()],
        }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(all: Vec<u8>) -> Bytes {
        let range = 0..all.len();
        Bytes { block: Block::Memory(Arc::new(all)), range }
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Bytes) -> bool {
        **self == **other
    }
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_file_outlives_its_removal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, b"0123456789").unwrap();
        let whole = Bytes::map(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let part = whole.part(2..6).unwrap();
        assert_eq!((&*part, part.place()), (b"2345".as_slice(), Some((path.as_path(), 2))));
        assert_eq!(part.part(1..4).unwrap(), Bytes::from(b"345".to_vec()));
        assert!(part.part(1..5).is_none() && part.part(usize::MAX..usize::MAX).is_none());
        std::fs::write(&path, b"").unwrap();
        assert!(Bytes::map(&path).unwrap().is_empty());
    }
}
