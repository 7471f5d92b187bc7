//! Checkpoints: named float arrays and a text, stored as safetensors with a checksum. Each file is
//! written atomically.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{bail, ensure, Context, Result};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::SafeTensors;
use sha2::{Digest, Sha256};

use super::{remove, write_atomic, write_atomic_after};
use crate::base::hex::hex;

/// A named array in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// A checkpoint file whose content differs from what was written.
#[derive(Debug, thiserror::Error)]
#[error("{0} is damaged")]
pub struct Damaged(String);

/// The content of a checkpoint file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Checkpoint {
    pub arrays: Vec<Array>,
    /// JSON, or empty.
    pub text: String,
}

impl Checkpoint {
    /// Writes the file atomically: either completely or not at all.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_atomic(path, &self.pack()?)
    }

    fn pack(&self) -> Result<Vec<u8>> {
        let bytes: Vec<Vec<u8>> = self.arrays.iter().map(|array| array.values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
        let views: Vec<(String, TensorView)> = self
            .arrays
            .iter()
            .zip(&bytes)
            .map(|(array, bytes)| Ok((array.name.clone(), TensorView::new(Dtype::F32, array.shape.clone(), bytes)?)))
            .collect::<Result<_, safetensors::SafeTensorError>>()
            .context("a checkpoint's arrays do not fit their shapes")?;
        let meta = HashMap::from([("text".to_string(), self.text.clone()), ("sha256".to_string(), self.checksum())]);
        safetensors::serialize(views, Some(meta)).context("a checkpoint could not be packed")
    }

    /// Writes a new file and keeps the old one as `<name>.previous.safetensors`. The old file is
    /// the fallback if the new one is damaged.
    pub fn write_next(&self, path: &Path) -> Result<()> {
        let renamed = || match std::fs::rename(path, previous(path)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        // The new file is on disk before the old one is renamed.
        write_atomic_after(path, &self.pack()?, renamed)
    }

    /// Whether the file or its previous version exists.
    pub fn exists(path: &Path) -> bool {
        path.exists() || previous(path).exists()
    }

    /// The newest intact one of the two files that [`Checkpoint::write_next`] keeps. A damaged file
    /// is renamed, with a warning.
    ///
    /// # Errors
    /// An existing file cannot be read.
    pub fn newest(path: &Path, warn: &mut dyn FnMut(&str)) -> Result<Option<Checkpoint>> {
        let then = [(path.to_path_buf(), "the one before it is used, if there is one"), (previous(path), "its pack starts over")];
        for (path, then) in then {
            if let Some(checkpoint) = Checkpoint::read_sound(&path, then, warn)? {
                return Ok(Some(checkpoint));
            }
        }
        Ok(None)
    }

    /// Reads a file. None if it does not exist or is damaged.
    ///
    /// A damaged file is renamed, with a warning that says what happens next (`then`). An
    /// unreadable file may be intact, so it is an error.
    pub fn read_sound(path: &Path, then: &str, warn: &mut dyn FnMut(&str)) -> Result<Option<Checkpoint>> {
        match Checkpoint::read(path) {
            Err(error) if error.is::<Damaged>() => {
                warn(&format!("{error:#}; {}; {then}", set_aside(path)));
                Ok(None)
            }
            read => read,
        }
    }

    /// Removes the file and its previous version.
    pub fn forget(path: &Path) -> Result<()> {
        remove(path)?;
        remove(&previous(path))
    }

    /// Only the text of the newest of the two files. It is read from the file's header, so the call
    /// is cheap and the checksum is not verified. None if the header cannot be read.
    pub fn text(path: &Path) -> Option<String> {
        Checkpoint::text_of(path).or_else(|| Checkpoint::text_of(&previous(path)))
    }

    fn text_of(path: &Path) -> Option<String> {
        let mut file = File::open(path).ok()?;
        let mut length = [0; 8];
        file.read_exact(&mut length).ok()?;
        let length = u64::from_le_bytes(length).checked_add(8)?;
        (length <= file.metadata().ok()?.len()).then_some(())?;
        let mut head = vec![0; usize::try_from(length).ok()?];
        file.seek(SeekFrom::Start(0)).ok()?;
        file.read_exact(&mut head).ok()?;
        let (_, header) = SafeTensors::read_metadata(&head).ok()?;
        header.metadata().clone()?.remove("text")
    }

    /// Reads a file. None if it does not exist.
    ///
    /// # Errors
    /// The file is damaged or cannot be read.
    pub fn read(path: &Path) -> Result<Option<Checkpoint>> {
        let bytes = match std::fs::read(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.with_context(|| format!("cannot read {}", path.display()))?,
        };
        Self::parse(&bytes).map(Some).with_context(|| Damaged(path.display().to_string()))
    }

    fn parse(bytes: &[u8]) -> Result<Checkpoint> {
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let file = SafeTensors::deserialize(bytes)?;
        let meta = header.metadata().clone().unwrap_or_default();
        let mut arrays = vec![];
        for (name, view) in file.iter() {
            ensure!(view.dtype() == Dtype::F32, "`{name}` is not float32");
            let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            arrays.push(Array { name: name.to_string(), shape: view.shape().to_vec(), values });
        }
        let checkpoint = Checkpoint { arrays, text: meta.get("text").cloned().unwrap_or_default() };
        match meta.get("sha256") {
            Some(sum) if *sum == checkpoint.checksum() => Ok(checkpoint),
            _ => bail!("its checksum does not match"),
        }
    }

    /// Digest of the arrays alone, because only they show training progress. The text contains
    /// times, which always change.
    pub fn digest(&self) -> String {
        self.checksum_with("")[..16].to_string()
    }

    /// Checksum over names, shapes, values and text. It does not depend on the order of arrays in
    /// the file.
    fn checksum(&self) -> String {
        self.checksum_with(&self.text)
    }

    fn checksum_with(&self, text: &str) -> String {
        let mut order: Vec<&Array> = self.arrays.iter().collect();
        order.sort_by(|a, b| a.name.cmp(&b.name));
        let mut hasher = Sha256::new().chain_update(text.as_bytes());
        for array in order {
            hasher.update(array.name.as_bytes());
            array.shape.iter().for_each(|n| hasher.update((*n as u64).to_le_bytes()));
            array.values.iter().for_each(|v| hasher.update(v.to_le_bytes()));
        }
        hex(hasher.finalize())
    }
}

fn previous(path: &Path) -> PathBuf {
    path.with_extension("previous.safetensors")
}

/// Renames a damaged file, so that it can be examined later. Returns a phrase for the warning.
fn set_aside(path: &Path) -> String {
    let aside = path.with_extension("damaged");
    match std::fs::rename(path, &aside) {
        Ok(()) => format!("it is set aside as {}", aside.file_name().unwrap_or_default().to_string_lossy()),
        Err(error) => format!("it could not be set aside ({error})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_every_damage_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        assert_eq!(Checkpoint::read(&path).unwrap(), None);
        let array = |name: &str, values: Vec<f32>| Array { name: name.into(), shape: vec![values.len()], values };
        let mut checkpoint =
            Checkpoint { arrays: vec![array("b", vec![1.0, f32::MIN_POSITIVE]), array("a", vec![-0.0])], text: "{}".into() };
        checkpoint.write(&path).unwrap();
        let mut read = Checkpoint::read(&path).unwrap().unwrap();
        read.arrays.sort_by(|a, b| a.name.cmp(&b.name));
        checkpoint.arrays.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(read, checkpoint);

        let bytes = std::fs::read(&path).unwrap();
        for i in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[i] ^= 0x10;
            std::fs::write(&path, &damaged).unwrap();
            match Checkpoint::read(&path) {
                Err(_) => {}
                Ok(read) => {
                    let mut read = read.unwrap();
                    read.arrays.sort_by(|a, b| a.name.cmp(&b.name));
                    assert_eq!(read, checkpoint, "a flip of byte {i} changed the content unnoticed");
                }
            }
            std::fs::write(&path, &bytes[..i]).unwrap();
            assert!(Checkpoint::read(&path).is_err(), "cut at {i}");
        }
    }

    #[test]
    fn a_damaged_one_is_set_aside_and_the_one_before_it_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pack-a.safetensors");
        let of = |text: &str| Checkpoint { arrays: vec![], text: text.into() };
        of("first").write_next(&path).unwrap();
        of("second").write_next(&path).unwrap();
        let mut warnings = vec![];
        let mut newest = || Checkpoint::newest(&path, &mut |warning| warnings.push(warning.to_string())).unwrap().map(|c| c.text);
        assert_eq!(newest().as_deref(), Some("second"));
        assert_eq!(Checkpoint::text(&path).as_deref(), Some("second"));
        assert!(Checkpoint::exists(&path));
        std::fs::write(&path, "damage").unwrap();
        assert_eq!(newest().as_deref(), Some("first"));
        assert!(folder.path().join("pack-a.damaged").exists() && !path.exists());
        std::fs::write(previous(&path), "damage").unwrap();
        assert_eq!((newest(), Checkpoint::text(&previous(&path))), (None, None));
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        // A folder at the file's path cannot be read. That does not mean that the checkpoint is
        // damaged.
        std::fs::create_dir(&path).unwrap();
        let unread = Checkpoint::newest(&path, &mut |warning| panic!("{warning}")).unwrap_err();
        assert!(format!("{unread:#}").contains("cannot read") && path.exists(), "{unread:#}");
        assert!(warnings[0].contains("is damaged") && warnings[0].contains("set aside as pack-a.damaged"), "{warnings:?}");
    }
}
