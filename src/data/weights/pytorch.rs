//! The zip files of `torch.save`: a pickle that describes tensors, and a file for each storage.

use std::collections::HashMap;
use std::io::{Cursor, Read};

use zip::{CompressionMethod, ZipArchive};

use super::pickle::{parse, Tensor, Value};
use super::{NumberKind, WeightTensor};

/// Keys under which training scripts put the state dict of a model.
const NESTED: [&str; 4] = ["state_dict", "model", "model_state_dict", "state_dict_ema"];

/// Whether a file is a TorchScript module: it has code.
pub fn is_module(bytes: &[u8]) -> bool {
    let names = ZipArchive::new(Cursor::new(bytes)).map(|archive| archive.file_names().map(str::to_string).collect::<Vec<_>>());
    names.is_ok_and(|names| names.iter().any(|name| name.contains("/code/")) && names.iter().any(|name| name.ends_with("/data.pkl")))
}

/// The tensors of a state dict.
pub fn read(bytes: &[u8]) -> Result<Vec<WeightTensor>, String> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|_| "is a damaged zip file".to_string())?;
    let names: Vec<String> = archive.file_names().map(str::to_string).collect();
    let Some(pickle) = names.iter().find(|name| name.ends_with("/data.pkl") || *name == "data.pkl") else {
        return Err("is a zip file, but not one of `torch.save`".into());
    };
    let root = pickle.trim_end_matches("data.pkl").to_string();
    if entry(&mut archive, &format!("{root}byteorder")).is_ok_and(|order| order != b"little") {
        return Err("has big-endian numbers, which are not read".into());
    }
    let text = entry(&mut archive, pickle)?;
    let value = parse(&text)?;
    let Some(dict) = state_dict(&value, 2) else { return Err("holds no state dict".into()) };
    let mut storages: HashMap<String, Vec<u8>> = HashMap::new();
    let mut tensors = vec![];
    // Storages are stored as they are, so all of them together are no longer than the file. Views
    // may overlap, but not without end.
    let (mut stored, mut viewed) = (0, 0);
    for (name, tensor) in dict {
        let Some(kind) = number_kind(&tensor.storage)? else {
            tensors.push(WeightTensor { name, size: tensor.size.clone(), values: vec![] });
            continue;
        };
        if !storages.contains_key(&tensor.key) {
            let bytes_of_it = entry(&mut archive, &format!("{root}data/{}", tensor.key))?;
            stored += bytes_of_it.len();
            storages.insert(tensor.key.clone(), bytes_of_it);
        }
        viewed +=
            tensor.size.iter().fold(1usize, |product, &n| product.saturating_mul(usize::try_from(n).unwrap_or(0))).min(bytes.len() * 5);
        if stored > bytes.len() || viewed > bytes.len() * 4 {
            return Err("has tensors of more numbers than the file holds".into());
        }
        let values = strided(&tensor, kind, &storages[&tensor.key]).ok_or_else(|| format!("has `{name}` beyond its storage"))?;
        tensors.push(WeightTensor { name, size: tensor.size, values });
    }
    Ok(tensors)
}

fn entry(archive: &mut ZipArchive<Cursor<&[u8]>>, name: &str) -> Result<Vec<u8>, String> {
    let mut file = archive.by_name(name).map_err(|_| format!("has no {name}"))?;
    if file.compression() != CompressionMethod::Stored {
        return Err(format!("has a compressed {name}, which `torch.save` does not write"));
    }
    let mut out = vec![];
    file.read_to_end(&mut out).map_err(|_| format!("has a damaged {name}"))?;
    Ok(out)
}

/// The tensors of the dict under one of [`NESTED`], to a depth, or else of the dict itself.
fn state_dict(value: &Value, depth: usize) -> Option<Vec<(String, Tensor)>> {
    let Value::Dict(entries) = value else { return None };
    let entries = entries.borrow();
    let nested = NESTED.iter().filter(|_| depth > 0).find_map(|key| {
        let (_, inner) = entries.iter().find(|(name, _)| matches!(name, Value::Text(name) if name == key))?;
        state_dict(inner, depth - 1)
    });
    if nested.is_some() {
        return nested;
    }
    let own: Vec<(String, Tensor)> = entries
        .iter()
        .filter_map(|(key, value)| match (key, value) {
            (Value::Text(name), Value::Tensor(tensor)) => Some((name.clone(), tensor.clone())),
            _ => None,
        })
        .collect();
    (!own.is_empty()).then_some(own)
}

/// The number format of a storage's class; none for whole numbers.
fn number_kind(storage: &str) -> Result<Option<NumberKind>, String> {
    Ok(match storage {
        "FloatStorage" => Some(NumberKind::F32),
        "DoubleStorage" => Some(NumberKind::F64),
        "HalfStorage" => Some(NumberKind::F16),
        "BFloat16Storage" => Some(NumberKind::Bf16),
        "LongStorage" | "IntStorage" | "ShortStorage" | "CharStorage" | "ByteStorage" | "BoolStorage" => None,
        other => return Err(format!("has tensors in a {other}, which is not read")),
    })
}

/// The tensor's numbers in row-major order. None if they are not all in the storage.
fn strided(tensor: &Tensor, kind: NumberKind, bytes: &[u8]) -> Option<Vec<f32>> {
    let width = kind.bytes();
    let (n, value) = (bytes.len() / width, |i: usize| kind.values(&bytes[i * width..(i + 1) * width])[0]);
    let count = tensor.size.iter().try_fold(1usize, |product, &n| product.checked_mul(usize::try_from(n).ok()?))?;
    let mut plain = 1i64;
    let contiguous = tensor.size.iter().zip(&tensor.stride).rev().all(|(&n, &stride)| {
        let fits = n == 1 || stride == plain;
        plain = plain.saturating_mul(n);
        fits
    });
    let first = usize::try_from(tensor.offset).ok()?;
    if contiguous {
        return Some(kind.values(bytes.get(first.checked_mul(width)?..first.checked_add(count)?.checked_mul(width)?)?));
    }
    // Views, such as tied or transposed weights. A stride of 0 may repeat a number without limit.
    if count > n {
        return None;
    }
    let mut out = Vec::with_capacity(count);
    let mut index = vec![0i64; tensor.size.len()];
    for _ in 0..count {
        let shift =
            index.iter().zip(&tensor.stride).try_fold(tensor.offset, |sum, (i, stride)| sum.checked_add(i.checked_mul(*stride)?))?;
        out.push(value(usize::try_from(shift).ok().filter(|&at| at < n)?));
        for (i, &n) in index.iter_mut().zip(&tensor.size).rev() {
            *i += 1;
            if *i < n {
                break;
            }
            *i = 0;
        }
    }
    Some(out)
}
