//! Reads trained weights: safetensors, and the zip files that PyTorch's `torch.save` writes. No
//! code of a file is run.

mod pickle;
mod pytorch;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};

use super::own::find;
use super::DataError;
use crate::base::hex::hex;
use crate::config::network::{TensorInfo, WeightsFile, WeightsInfo};

/// A tensor of a file, in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightTensor {
    pub name: String,
    pub size: Vec<i64>,
    pub values: Vec<f32>,
}

/// What is in a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// In the order of their names.
    Weights(Vec<WeightTensor>),
    /// The bytes of a TorchScript module.
    Module(Vec<u8>),
}

/// The content of a file and its digest.
type Known = (Arc<Content>, String);

/// Files that this process has read.
static READ: Mutex<Option<HashMap<WeightsFile, Known>>> = Mutex::new(None);

fn known(file: &WeightsFile) -> Result<Known, DataError> {
    let kept = || READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = kept().get_or_insert_default().get(file) {
        return Ok(known.clone());
    }
    let content = read_file(&find("the file of weights", &file.0)?)?;
    let digest = content.digest();
    Ok(kept().get_or_insert_default().entry(file.clone()).or_insert((Arc::new(content), digest)).clone())
}

/// The content of a file that a study names.
///
/// # Errors
/// It cannot be read, or is another than when the study was read or its results were made.
pub fn content(file: &WeightsFile) -> Result<Arc<Content>, DataError> {
    let (content, digest) = known(file)?;
    match digest == file.info().digest {
        true => Ok(content),
        false => Err(DataError::new(
            format!("{} has other content than when the study's results were made", file.0),
            "put the file back, or run the sweep from the study's own file: its stages are then trained anew",
        )),
    }
}

/// For [`crate::config::network::read_weights_with`].
pub fn weights_info(file: &WeightsFile) -> Result<WeightsInfo, (String, String)> {
    let (content, digest) = known(file).map_err(|error| (error.what, error.hint))?;
    let info = |tensor: &WeightTensor| TensorInfo {
        name: tensor.name.clone(),
        size: tensor.size.clone(),
        is_finite: tensor.values.iter().all(|value| value.is_finite()),
    };
    Ok(match &*content {
        Content::Module(_) => WeightsInfo { digest, is_module: true, tensors: vec![] },
        Content::Weights(tensors) => WeightsInfo { digest, is_module: false, tensors: tensors.iter().map(info).collect() },
    })
}

impl Content {
    /// SHA-256, in hex: of names, sizes and values, or of a module's bytes.
    fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        match self {
            Content::Module(bytes) => hasher.update(bytes),
            Content::Weights(tensors) => {
                for tensor in tensors {
                    hasher.update(format!("{} {:?} ", tensor.name, tensor.size));
                    tensor.values.iter().for_each(|value| hasher.update(value.to_le_bytes()));
                }
            }
        }
        hex(hasher.finalize())
    }
}

/// Reads a file of any format.
pub fn read_file(path: &Path) -> Result<Content, DataError> {
    if path.is_dir() {
        return Err(of_file(path, "is a folder", "name the file of weights in it"));
    }
    let bytes = std::fs::read(path).map_err(|error| DataError::new(format!("{}: {error}", path.display()), "is it readable?"))?;
    if pytorch::is_module(&bytes) {
        return Ok(Content::Module(bytes));
    }
    let mut tensors = match bytes.get(..4) {
        Some(b"PK\x03\x04") => pytorch::read(&bytes),
        // The first bytes of a pickle: protocol 2 to 5.
        Some([0x80, 2..=5, ..]) => Err("is a pickle of PyTorch before 1.6, or of something else".into()),
        _ => read_safetensors(&bytes),
    }
    .map_err(|what| of_file(path, &what, "save the weights alone: `torch.save(model.state_dict(), FILE)`, or as safetensors"))?;
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    tensors.retain(|tensor| !tensor.values.is_empty()); // counters are no weights
    if tensors.is_empty() {
        return Err(of_file(path, "has no weights", "save a state dict: `torch.save(model.state_dict(), FILE)`"));
    }
    Ok(Content::Weights(tensors))
}

fn of_file(path: &Path, what: &str, hint: &str) -> DataError {
    let path: PathBuf = path.into();
    DataError::new(format!("{} {what}", path.display()), hint)
}

fn read_safetensors(bytes: &[u8]) -> Result<Vec<WeightTensor>, String> {
    let foreign = |_| "is neither safetensors nor a file of `torch.save`".to_string();
    let file = SafeTensors::deserialize(bytes).map_err(foreign)?;
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(foreign)?;
    // A checkpoint of this program has a checksum; what `export` writes has a text too.
    let metadata = header.metadata().clone().unwrap_or_default();
    if metadata.contains_key("sha256") && metadata.get("text").is_none_or(|text| !text.contains("\"architecture\"")) {
        return Err("is a checkpoint of transfergrid, with names and an order of its own; `transfergrid export` writes the model".into());
    }
    let tensor = |(name, view): (&str, safetensors::tensor::TensorView)| {
        let kind = match view.dtype() {
            Dtype::F32 => Some(NumberKind::F32),
            Dtype::F64 => Some(NumberKind::F64),
            Dtype::F16 => Some(NumberKind::F16),
            Dtype::BF16 => Some(NumberKind::Bf16),
            Dtype::BOOL | Dtype::U8 | Dtype::I8 | Dtype::I16 | Dtype::U16 | Dtype::I32 | Dtype::U32 | Dtype::I64 | Dtype::U64 => None,
            other => return Err(format!("has `{name}` in {other:?}, which is not read")),
        };
        let values = kind.map_or(vec![], |kind| kind.values(view.data()));
        Ok(WeightTensor { name: name.to_string(), size: view.shape().iter().map(|&n| n as i64).collect(), values })
    };
    file.iter().map(tensor).collect()
}

/// The number formats of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberKind {
    F32,
    F64,
    F16,
    Bf16,
}

impl NumberKind {
    pub(super) fn bytes(self) -> usize {
        match self {
            NumberKind::F64 => 8,
            NumberKind::F32 => 4,
            NumberKind::F16 | NumberKind::Bf16 => 2,
        }
    }

    /// Little-endian numbers as float32.
    pub(super) fn values(self, bytes: &[u8]) -> Vec<f32> {
        let each = bytes.chunks_exact(self.bytes());
        match self {
            NumberKind::F32 => each.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            NumberKind::F64 => each.map(|b| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32).collect(),
            NumberKind::F16 => each.map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            NumberKind::Bf16 => each.map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        }
    }
}
