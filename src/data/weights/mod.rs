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

/// The tensors of a file, in the order of their names.
pub type Weights = Arc<Vec<WeightTensor>>;

/// Files that this process has read.
static READ: Mutex<Option<HashMap<WeightsFile, Weights>>> = Mutex::new(None);

/// Reads a file. Another call for the same file returns the same tensors.
///
/// # Errors
/// What is wrong with the file.
pub fn read_weights(file: &WeightsFile) -> Result<Weights, DataError> {
    let kept = || READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(weights) = kept().get_or_insert_default().get(file) {
        return Ok(weights.clone());
    }
    let weights = Arc::new(read_now(&weights_path(file)?)?);
    Ok(kept().get_or_insert_default().entry(file.clone()).or_insert(weights).clone())
}

/// The path of a file, which may be below a folder with data.
pub fn weights_path(file: &WeightsFile) -> Result<PathBuf, DataError> {
    find("the file of weights", &file.0)
}

/// For [`crate::config::network::read_weights_with`].
pub fn weights_info(file: &WeightsFile) -> Result<WeightsInfo, (String, String)> {
    let path = weights_path(file).map_err(|error| (error.what, error.hint))?;
    if let Some(digest) = module_digest(&path) {
        return Ok(WeightsInfo { digest, is_module: true, tensors: vec![] });
    }
    let weights = read_weights(file).map_err(|error| (error.what, error.hint))?;
    let mut hasher = Sha256::new();
    for tensor in weights.iter() {
        hasher.update(format!("{} {:?} ", tensor.name, tensor.size));
        tensor.values.iter().for_each(|value| hasher.update(value.to_le_bytes()));
    }
    let info = |tensor: &WeightTensor| TensorInfo { name: tensor.name.clone(), size: tensor.size.clone() };
    Ok(WeightsInfo { digest: hex(hasher.finalize()), tensors: weights.iter().map(info).collect(), is_module: false })
}

/// SHA-256 of a file, in hex, if it is a TorchScript module.
fn module_digest(path: &Path) -> Option<String> {
    let bytes = std::fs::read(path).ok()?;
    pytorch::is_module(&bytes).then(|| hex(Sha256::digest(&bytes)))
}

/// Reads a file of either format.
pub fn read_now(path: &Path) -> Result<Vec<WeightTensor>, DataError> {
    if path.is_dir() {
        return Err(of_file(path, "is a folder", "name the file of weights in it"));
    }
    let bytes = std::fs::read(path).map_err(|error| DataError::new(format!("{}: {error}", path.display()), "is it readable?"))?;
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
    let is_broken = |tensor: &&WeightTensor| tensor.values.iter().any(|value| !value.is_finite());
    match tensors.iter().find(is_broken) {
        Some(tensor) => {
            let what = format!("`{}` has values that are not finite in float32", tensor.name);
            Err(of_file(path, &what, "a training that diverged cannot be started from"))
        }
        None => Ok(tensors),
    }
}

fn of_file(path: &Path, what: &str, hint: &str) -> DataError {
    let path: PathBuf = path.into();
    DataError::new(format!("{} {what}", path.display()), hint)
}

fn read_safetensors(bytes: &[u8]) -> Result<Vec<WeightTensor>, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|_| "is neither safetensors nor a file of `torch.save`".to_string())?;
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
