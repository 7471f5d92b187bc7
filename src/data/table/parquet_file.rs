//! Parquet files with columns of plain values.

use std::fs::File;
use std::path::Path;

use parquet::data_type::Decimal;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::Value as Json;

use super::cell::TableCell;
use super::{unreadable, wrong, DataError, Raw};

pub fn read(path: &Path) -> Result<Raw, DataError> {
    let broken = |error: parquet::errors::ParquetError| wrong(path, error, "is it a complete Parquet file without nested columns?");
    let file = File::open(path).map_err(|error| unreadable(path, error))?;
    let reader = SerializedFileReader::new(file).map_err(broken)?;
    let about = reader.metadata().file_metadata();
    let columns: Vec<String> = about.schema().get_fields().iter().map(|field| field.name().to_string()).collect();
    let pandas =
        about.key_value_metadata().into_iter().flatten().find(|entry| entry.key == "pandas").and_then(|entry| entry.value.as_deref());
    let named = pandas.map(index_columns).unwrap_or_default();
    let is_index = |name: &String| name.starts_with("__index_level_") || named.contains(name);
    let index = columns.iter().enumerate().filter(|(_, name)| is_index(name)).map(|(at, _)| at).collect();
    let mut rows = vec![];
    for row in reader.get_row_iter(None).map_err(broken)? {
        rows.push(row.map_err(broken)?.get_column_iter().map(|(_, field)| cell(field)).collect());
    }
    Ok(Raw { columns, rows, lines: None, index })
}

/// The index columns according to the metadata that pandas wrote.
fn index_columns(pandas: &str) -> Vec<String> {
    let json: Json = serde_json::from_str(pandas).unwrap_or(Json::Null);
    json["index_columns"].as_array().into_iter().flatten().filter_map(|name| Some(name.as_str()?.to_string())).collect()
}

fn cell(field: &Field) -> TableCell {
    match field {
        Field::Null => TableCell::Missing("".into()),
        Field::Bool(v) => TableCell::truth(*v),
        Field::Byte(v) => TableCell::Number(f64::from(*v)),
        Field::Short(v) => TableCell::Number(f64::from(*v)),
        Field::Int(v) => TableCell::Number(f64::from(*v)),
        Field::Long(v) => TableCell::Number(*v as f64),
        Field::UByte(v) => TableCell::Number(f64::from(*v)),
        Field::UShort(v) => TableCell::Number(f64::from(*v)),
        Field::UInt(v) => TableCell::Number(f64::from(*v)),
        Field::ULong(v) => TableCell::Number(*v as f64),
        Field::Float16(v) => TableCell::Number(v.to_f64()),
        Field::Float(v) => TableCell::Number(f64::from(*v)),
        Field::Double(v) => TableCell::Number(*v),
        Field::Decimal(v) => TableCell::Number(decimal(v)),
        Field::Str(text) => TableCell::other(text, "text"),
        Field::Bytes(_) => TableCell::other("", "bytes"),
        Field::Date(_) | Field::TimestampMillis(_) | Field::TimestampMicros(_) => TableCell::other(field.to_string(), "a date"),
        Field::TimeMillis(_) | Field::TimeMicros(_) => TableCell::other(field.to_string(), "a time"),
        Field::Group(_) | Field::ListInternal(_) | Field::MapInternal(_) => TableCell::other("", "a list or map"),
    }
}

/// Returns unscaled/10^scale. The unscaled number is in two's complement, with the highest byte
/// first.
fn decimal(value: &Decimal) -> f64 {
    let bytes = value.data();
    let start = if bytes.first().is_some_and(|b| *b >= 0x80) { -1.0 } else { 0.0 };
    let unscaled = bytes.iter().fold(start, |sum, byte| sum * 256.0 + f64::from(*byte));
    unscaled / 10f64.powi(value.scale())
}
