//! Tables of numbers from `.npy`, `.npz`, CSV (also `;` and tabs) and Parquet: for covariances and for `theory fit`.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use ndarray::{Array2, ArrayD, Axis, Ix2, IxDyn, OwnedRepr};
use ndarray_npy::{NpzReader, ReadNpyError, ReadNpyExt, ReadNpzError, ReadableElement};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

use super::DataError;

/// Named columns of finite numbers.
#[derive(Debug, Clone)]
pub struct Table {
    /// The file, for messages.
    pub file: String,
    pub columns: Vec<String>,
    /// n × columns.
    pub values: Array2<f64>,
    /// Columns that the file has and that were not wanted.
    pub left_out: Vec<String>,
}

/// Names and values of the columns that were wanted, and the names of the others.
type Columns = (Vec<String>, Array2<f64>, Vec<String>);

fn wrong(path: &Path, what: impl std::fmt::Display, hint: &str) -> DataError {
    DataError::new(format!("{}: {what}", path.display()), hint)
}

const KINDS: &str = "a table is .npy (2-D, columns are numbered from 0), .npz (arrays X and the response), .csv with a header, or .parquet";

/// Beyond it squares overflow.
const LARGEST: f64 = 1e100;

/// Reads the columns of a table that are `wanted`; the others need not be numbers. `responses` names the arrays of an `.npz` that
/// stand beside `X`.
pub fn read(path: &Path, responses: &[String], wanted: impl Fn(&str) -> bool) -> Result<Table, DataError> {
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    if path.is_dir() || !path.exists() {
        let what = if path.is_dir() { "is a folder" } else { "there is no such file" };
        return Err(wrong(path, what, KINDS));
    }
    let (columns, values, left_out) = match extension.as_str() {
        "npy" => {
            let values = two_dimensional(path, "the array", npy(path)?)?;
            choose((0..values.ncols()).map(|i| i.to_string()).collect(), values, wanted)
        }
        "npz" => {
            let (columns, values) = npz(path, responses)?;
            choose(columns, values, wanted)
        }
        "csv" | "tsv" | "txt" => csv_file(path, wanted)?,
        "parquet" | "pq" => parquet_file(path, wanted)?,
        other => return Err(wrong(path, format!("`.{other}` is no kind of table that is read here"), KINDS)),
    };
    if values.is_empty() {
        return Err(wrong(path, format!("{} rows and {} columns: the table is empty", values.nrows(), values.ncols()), KINDS));
    }
    if let Some(((row, column), value)) = values.indexed_iter().find(|(_, v)| !v.is_finite() || v.abs() > LARGEST) {
        let what = format!("row {}, column `{}` is {value:e}", row + 1, columns[column]);
        return Err(match value.is_finite() {
            true => wrong(path, what, "numbers beyond 1e100 overflow when they are squared: choose other units"),
            false => wrong(path, what, "fill in or leave out rows with missing values"),
        });
    }
    let mut sorted: Vec<&String> = columns.iter().collect();
    sorted.sort();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(wrong(path, format!("two columns are called `{}`", pair[0]), "give each column a name of its own"));
    }
    Ok(Table { file: path.display().to_string(), columns, values, left_out })
}

fn choose(columns: Vec<String>, values: Array2<f64>, wanted: impl Fn(&str) -> bool) -> Columns {
    let kept: Vec<usize> = (0..columns.len()).filter(|&i| wanted(&columns[i])).collect();
    let (names, others) = columns.into_iter().partition(|name| wanted(name));
    (names, values.select(Axis(1), &kept), others)
}

/// A square matrix from `.npy` or a CSV without a header.
pub fn matrix(path: &Path) -> Result<Array2<f64>, String> {
    let is = |ext: &str| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(ext));
    if !path.is_file() {
        return Err(format!("there is no file {}", path.display()));
    }
    if is("npy") {
        return npy(path).and_then(|a| two_dimensional(path, "the array", a)).map_err(|error| error.what);
    }
    if is("csv") {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).trim(csv::Trim::All).from_path(path).map_err(|e| e.to_string())?;
        let rows: Vec<Vec<f64>> = reader
            .records()
            .map(|record| {
                let record = record.map_err(|e| e.to_string())?;
                record.iter().map(|f| f.parse().map_err(|_| format!("{}: `{f}` is not a number", path.display()))).collect()
            })
            .collect::<Result<_, String>>()?;
        let columns = rows.first().map_or(0, Vec::len);
        return Array2::from_shape_vec((rows.len(), columns), rows.concat()).map_err(|e| e.to_string());
    }
    Err(format!("{}: a covariance is read from .npy or .csv", path.display()))
}

fn two_dimensional(path: &Path, name: &str, array: ArrayD<f64>) -> Result<Array2<f64>, DataError> {
    match array.ndim() {
        2 => array.into_dimensionality::<Ix2>().map_err(|e| wrong(path, e, KINDS)),
        1 => {
            let n = array.len();
            Array2::from_shape_vec((n, 1), array.into_raw_vec_and_offset().0).map_err(|e| wrong(path, e, KINDS))
        }
        d => Err(wrong(path, format!("{name} has {d} dimensions; a table has 2"), KINDS)),
    }
}

/// An array of any of NumPy's real types as f64: tried one after another, since the type stands in the file.
macro_rules! real_numbers {
    ($read:ident $arguments:tt, $other_type:pat, $($t:ident)*) => {{
        $(
            match $read::<$t> $arguments {
                Ok(array) => return Ok(array.mapv(|v| v as f64)),
                Err($other_type) => {}
                Err(error) => return Err(error.to_string()),
            }
        )*
        Err("its elements are not real numbers".to_string())
    }};
}

fn npy(path: &Path) -> Result<ArrayD<f64>, DataError> {
    fn of<T: ReadableElement>(path: &Path) -> Result<ArrayD<T>, ReadNpyError> {
        ArrayD::<T>::read_npy(BufReader::new(File::open(path)?))
    }
    fn any(path: &Path) -> Result<ArrayD<f64>, String> {
        real_numbers!(of(path), ReadNpyError::WrongDescriptor(_), f64 f32 i64 i32 i16 i8 u64 u32 u16 u8)
    }
    whole_header(path).and_then(|()| any(path)).map_err(|what| wrong(path, what, KINDS))
}

/// The reader takes memory for as long a header as the file says that it has, up to 4 GB: a damaged length must not get that far.
fn whole_header(path: &Path) -> Result<(), String> {
    let (mut start, mut file) = (vec![], File::open(path).map_err(|error| error.to_string())?);
    (&mut file).take(12).read_to_end(&mut start).map_err(|error| error.to_string())?;
    let length = match start.get(6) {
        Some(1) => start.get(8..10).map(|b| 10 + u64::from(u16::from_le_bytes([b[0], b[1]]))),
        _ => start.get(8..12).map(|b| 12 + u64::from(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))),
    };
    let size = file.metadata().map_err(|error| error.to_string())?.len();
    match length {
        Some(length) if length > size => Err(format!("its header would end at byte {length}, the file has {size}: truncated or damaged")),
        _ => Ok(()), // what is shorter, the reader refuses
    }
}

fn npz(path: &Path, responses: &[String]) -> Result<(Vec<String>, Array2<f64>), DataError> {
    fn open(path: &Path) -> Result<NpzReader<File>, ReadNpzError> {
        NpzReader::new(File::open(path).map_err(ReadNpyError::from)?)
    }
    fn of<T: ReadableElement>(path: &Path, name: &str) -> Result<ArrayD<T>, ReadNpzError> {
        open(path)?.by_name::<OwnedRepr<T>, IxDyn>(name)
    }
    fn any(path: &Path, name: &str) -> Result<ArrayD<f64>, String> {
        use ReadNpzError::Npy;
        real_numbers!(of(path, name), Npy(ReadNpyError::WrongDescriptor(_)), f64 f32 i64 i32 i16 i8 u64 u32 u16 u8)
    }
    let names = open(path).and_then(|mut npz| npz.names()).map_err(|e| wrong(path, e, KINDS))?;
    let array = |name: &str| -> Result<Array2<f64>, DataError> {
        if !names.iter().any(|known| known.trim_end_matches(".npy") == name) {
            let what = format!("there is no array `{name}`; it has {}", names.join(", "));
            return Err(wrong(path, what, "an .npz needs an array X and one for each response"));
        }
        let found = any(path, name).map_err(|what| wrong(path, format!("`{name}`: {what}"), KINDS))?;
        two_dimensional(path, &format!("`{name}`"), found)
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

fn csv_file(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<Columns, DataError> {
    let bytes = std::fs::read(path).map_err(|e| wrong(path, e, KINDS))?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes); // the mark that some editors put first
    let header = bytes.split(|&b| b == b'\n').next().unwrap_or_default();
    let count = |delimiter: u8| header.iter().filter(|&&b| b == delimiter).count();
    let delimiter = [b',', b';', b'\t'].into_iter().max_by_key(|&d| (count(d), d == b',')).unwrap_or(b',');
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).trim(csv::Trim::All).from_reader(bytes);
    let columns: Vec<String> = reader.headers().map_err(|e| wrong(path, e, KINDS))?.iter().map(str::to_string).collect();
    if !columns.is_empty() && columns.iter().all(|name| name.parse::<f64>().is_ok()) {
        return Err(wrong(path, "the first line has numbers where the columns' names should be", "put a header line first"));
    }
    let mut values = vec![];
    let mut rows = 0;
    for record in reader.records() {
        let record = record.map_err(|e| wrong(path, e, "every line needs as many fields as the header"))?;
        rows += 1;
        for (name, field) in columns.iter().zip(record.iter()).filter(|(name, _)| wanted(name)) {
            let number = match field.to_lowercase().as_str() {
                "" | "na" | "n/a" | "null" | "none" => Some(f64::NAN),
                text => text.parse().ok(),
            };
            let line = record.position().map_or(rows + 1, |p| p.line() as usize);
            values.push(number.ok_or_else(|| {
                wrong(
                    path,
                    format!("line {line}, column `{name}`: `{field}` is not a number"),
                    "leave such columns out with --drop, or encode them as numbers",
                )
            })?);
        }
    }
    let (columns, others): (Vec<String>, Vec<String>) = columns.into_iter().partition(|name| wanted(name));
    let shape = (rows, columns.len());
    Array2::from_shape_vec(shape, values).map(|values| (columns, values, others)).map_err(|e| wrong(path, e, KINDS))
}

fn parquet_file(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<Columns, DataError> {
    let file = File::open(path).map_err(|e| wrong(path, e, KINDS))?;
    let reader = SerializedFileReader::new(file).map_err(|e| wrong(path, e, KINDS))?;
    let schema = reader.metadata().file_metadata().schema();
    // pandas writes its index as such a column.
    let is_index = |name: &str| name.starts_with("__index_level_");
    let all = schema.get_fields().iter().map(|f| f.name().to_string()).filter(|name| !is_index(name));
    let (columns, others): (Vec<String>, Vec<String>) = all.partition(|name| wanted(name));
    let mut values = vec![];
    let mut rows = 0;
    for row in reader.get_row_iter(None).map_err(|e| wrong(path, e, KINDS))? {
        let row = row.map_err(|e| wrong(path, e, KINDS))?;
        rows += 1;
        for (name, field) in row.get_column_iter().filter(|(name, _)| !is_index(name) && wanted(name)) {
            values.push(match field {
                Field::Null => f64::NAN,
                Field::Bool(v) => f64::from(u8::from(*v)),
                Field::Byte(v) => f64::from(*v),
                Field::Short(v) => f64::from(*v),
                Field::Int(v) => f64::from(*v),
                Field::Long(v) => *v as f64,
                Field::UByte(v) => f64::from(*v),
                Field::UShort(v) => f64::from(*v),
                Field::UInt(v) => f64::from(*v),
                Field::ULong(v) => *v as f64,
                Field::Float(v) => f64::from(*v),
                Field::Double(v) => *v,
                other => {
                    let what = format!("column `{name}`: `{other}` is not a number");
                    return Err(wrong(path, what, "leave such columns out with --drop, or encode them as numbers"));
                }
            });
        }
    }
    Array2::from_shape_vec((rows, columns.len()), values).map(|values| (columns, values, others)).map_err(|e| wrong(path, e, KINDS))
}
