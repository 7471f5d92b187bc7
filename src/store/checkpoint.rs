//! Checkpoints: named float arrays and a text, as safetensors, written whole, with a checksum.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{bail, ensure, Context, Result};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::SafeTensors;
use sha2::{Digest, Sha256};

use super::write_atomic;

/// A named array in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// What a checkpoint file holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Checkpoint {
    pub arrays: Vec<Array>,
    /// JSON, or empty.
    pub text: String,
}

impl Checkpoint {
    /// Writes the file whole or not at all.
    pub fn write(&self, path: &Path) -> Result<()> {
        let bytes: Vec<Vec<u8>> = self.arrays.iter().map(|array| array.values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
        let views: Vec<(String, TensorView)> = self
            .arrays
            .iter()
            .zip(&bytes)
            .map(|(array, bytes)| Ok((array.name.clone(), TensorView::new(Dtype::F32, array.shape.clone(), bytes)?)))
            .collect::<Result<_, safetensors::SafeTensorError>>()
            .context("a checkpoint's arrays do not fit their shapes")?;
        let meta = HashMap::from([("text".to_string(), self.text.clone()), ("sha256".to_string(), self.checksum())]);
        let file = safetensors::serialize(views, Some(meta)).context("a checkpoint could not be packed")?;
        write_atomic(path, &file)
    }

    /// Reads a file; none where there is none. An error says what is wrong with a file that is there.
    pub fn read(path: &Path) -> Result<Option<Checkpoint>> {
        let bytes = match std::fs::read(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.with_context(|| format!("cannot read {}", path.display()))?,
        };
        Self::parse(&bytes).map(Some).with_context(|| format!("{} is damaged", path.display()))
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

    /// Over names, shapes, values and text; independent of the order in the file.
    fn checksum(&self) -> String {
        let mut order: Vec<&Array> = self.arrays.iter().collect();
        order.sort_by(|a, b| a.name.cmp(&b.name));
        let mut hasher = Sha256::new().chain_update(self.text.as_bytes());
        for array in order {
            hasher.update(array.name.as_bytes());
            array.shape.iter().for_each(|n| hasher.update((*n as u64).to_le_bytes()));
            array.values.iter().for_each(|v| hasher.update(v.to_le_bytes()));
        }
        hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
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
}
