//! NumPy arrays: `.npy` and `.npz`.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use half::f16;
use ndarray::{Array2, ArrayD, Axis, Ix2, IxDyn, OwnedRepr};
use ndarray_npy::{NpzReader, ReadDataError, ReadNpyError, ReadNpyExt, ReadNpzError, ReadableElement};
use py_literal::Value as PyValue;

use super::{unreadable, wrong, DataError, KINDS};

/// A table from an `.npy` file. A one-dimensional array becomes one column.
pub fn two_dimensional(path: &Path) -> Result<Array2<f64>, DataError> {
    shaped(path, "the array", array(path)?)
}

fn shaped(path: &Path, name: &str, array: ArrayD<f64>) -> Result<Array2<f64>, DataError> {
    match array.ndim() {
        2 => array.into_dimensionality::<Ix2>().map_err(|e| wrong(path, e, KINDS)),
        1 => {
            let n = array.len();
            Array2::from_shape_vec((n, 1), array.into_raw_vec_and_offset().0).map_err(|e| wrong(path, e, KINDS))
        }
        d => Err(wrong(path, format!("{name} has {d} dimensions; a table has 2"), "reshape it to rows and columns")),
    }
}

/// NumPy's 16-bit float, which ndarray-npy does not support.
#[derive(Clone, Copy)]
struct HalfFloat(f16);

impl ReadableElement for HalfFloat {
    fn read_to_end_exact_vec<R: Read>(mut reader: R, dtype: &PyValue, len: usize) -> Result<Vec<Self>, ReadDataError> {
        let of_bytes: fn([u8; 2]) -> f16 = match dtype {
            PyValue::String(s) if s == "<f2" => f16::from_le_bytes,
            PyValue::String(s) if s == ">f2" => f16::from_be_bytes,
            other => return Err(ReadDataError::WrongDescriptor(other.clone())),
        };
        let mut bytes = vec![];
        reader.read_to_end(&mut bytes)?;
        match bytes.len() {
            n if n < 2 * len => Err(ReadDataError::MissingData),
            n if n > 2 * len => Err(ReadDataError::ExtraBytes(n - 2 * len)),
            _ => Ok(bytes.chunks_exact(2).map(|b| HalfFloat(of_bytes([b[0], b[1]]))).collect()),
        }
    }
}

/// Reads an array of any of NumPy's real types as f64. The types are tried one after another,
/// because only the file says which type it has.
macro_rules! real_numbers {
    ($read:ident $arguments:tt, $other_type:pat => $dtype:expr) => {{
        let found = match $read::<f64> $arguments {
            Ok(array) => return Ok(array),
            Err($other_type) => $dtype.to_string(),
            Err(error) => return Err(error.to_string()),
        };
        real_numbers!(@each $read $arguments, $other_type, |v| v as f64; f32 i64 i32 i16 i8 u64 u32 u16 u8);
        real_numbers!(@each $read $arguments, $other_type, |v| f64::from(u8::from(v)); bool);
        real_numbers!(@each $read $arguments, $other_type, |v: HalfFloat| v.0.to_f64(); HalfFloat);
        Err(format!("its elements are of the type {found}, not real numbers"))
    }};
    (@each $read:ident $arguments:tt, $other_type:pat, $convert:expr; $($t:ident)*) => {
        $(
            #[allow(unused_variables)] // the type name is used only once
            match $read::<$t> $arguments {
                Ok(array) => return Ok(array.mapv($convert)),
                Err($other_type) => {}
                Err(error) => return Err(error.to_string()),
            }
        )*
    };
}

fn array(path: &Path) -> Result<ArrayD<f64>, DataError> {
    fn of<T: ReadableElement>(path: &Path) -> Result<ArrayD<T>, ReadNpyError> {
        ArrayD::<T>::read_npy(BufReader::new(File::open(path)?))
    }
    fn any(path: &Path) -> Result<ArrayD<f64>, String> {
        real_numbers!(of(path), ReadNpyError::WrongDescriptor(dtype) => dtype)
    }
    whole_header(path)?;
    any(path).map_err(|what| wrong(path, what, "save it from NumPy as an array of floats"))
}

/// Checks the length of the header. The reader allocates as much memory as the file gives for its
/// header, up to 4 GB. A damaged length must not reach it.
fn whole_header(path: &Path) -> Result<(), DataError> {
    let mut file = File::open(path).map_err(|error| unreadable(path, error))?;
    let mut start = vec![];
    (&mut file).take(12).read_to_end(&mut start).map_err(|error| unreadable(path, error))?;
    if !start.starts_with(b"\x93NUMPY") {
        return Err(wrong(path, "is not a NumPy file (it starts with other bytes)", KINDS));
    }
    let length = match start.get(6) {
        Some(1) => start.get(8..10).map(|b| 10 + u64::from(u16::from_le_bytes([b[0], b[1]]))),
        _ => start.get(8..12).map(|b| 12 + u64::from(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))),
    };
    let size = file.metadata().map_err(|error| unreadable(path, error))?.len();
    match length {
        Some(length) if length > size => {
            let what = format!("its header would end at byte {length}, the file has {size}: truncated or damaged");
            Err(wrong(path, what, "save it anew"))
        }
        _ => Ok(()), // the reader refuses a header that is too short
    }
}

/// `X` and the responses of an `.npz` as the columns of one array, with the columns' names.
pub fn arrays(path: &Path, responses: &[String]) -> Result<(Vec<String>, Array2<f64>), DataError> {
    fn open(path: &Path) -> Result<NpzReader<File>, ReadNpzError> {
        NpzReader::new(File::open(path).map_err(ReadNpyError::from)?)
    }
    fn of<T: ReadableElement>(path: &Path, name: &str) -> Result<ArrayD<T>, ReadNpzError> {
        open(path)?.by_name::<OwnedRepr<T>, IxDyn>(name)
    }
    fn any(path: &Path, name: &str) -> Result<ArrayD<f64>, String> {
        real_numbers!(of(path, name), ReadNpzError::Npy(ReadNpyError::WrongDescriptor(dtype)) => dtype)
    }
    let names = open(path).and_then(|mut npz| npz.names()).map_err(|e| wrong(path, e, "save it anew with numpy.savez"))?;
    let array = |name: &str| -> Result<Array2<f64>, DataError> {
        if !names.iter().any(|known| known.trim_end_matches(".npy") == name) {
            let what = format!("there is no array `{}`; it has {}", super::cut(name), names.join(", "));
            return Err(wrong(path, what, "an .npz needs an array X and one for each response"));
        }
        let found = any(path, name).map_err(|what| wrong(path, format!("`{name}`: {what}"), "save it from NumPy as an array of floats"))?;
        shaped(path, &format!("`{name}`"), found)
    };
    let mut all = array("X")?;
    let mut columns: Vec<String> = (0..all.ncols()).map(|i| format!("X[{i}]")).collect();
    for name in responses {
        let y = array(name)?;
        if y.nrows() != all.nrows() {
            let what = format!("`X` has {} rows, `{name}` has {}", all.nrows(), y.nrows());
            return Err(wrong(path, what, "both need a row for each example"));
        }
        columns.extend((0..y.ncols()).map(|i| if y.ncols() == 1 { name.clone() } else { format!("{name}[{i}]") }));
        all = ndarray::concatenate(Axis(1), &[all.view(), y.view()]).map_err(|e| wrong(path, e, KINDS))?;
    }
    Ok((columns, all))
}
