//! A table of results with typed columns, written as CSV and as Parquet.

use std::sync::Arc;

use anyhow::{Context, Result};
use parquet::basic::{Compression, ConvertedType, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

/// Columns keep their names, kinds and order within a version; new ones may come. Written into every Parquet file and summary.json.
pub const SCHEMA_VERSION: u32 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Number,
    Whole,
}

/// A cell; `None` is an empty one.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(String),
    Number(f64),
    Whole(u64),
    None,
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        Value::Number(number)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::None, Into::into)
    }
}

/// Rows of values that fit the columns.
#[derive(Debug, Clone, Default)]
pub struct Table {
    columns: Vec<(String, Kind)>,
    rows: Vec<Vec<Value>>,
}

impl Table {
    pub fn new(columns: Vec<(String, Kind)>) -> Table {
        Table { columns, rows: vec![] }
    }

    pub fn push(&mut self, row: Vec<Value>) {
        assert_eq!(row.len(), self.columns.len(), "a row has a value for each column");
        self.rows.push(row);
    }

    /// Numbers in the shortest digits that give them again; infinity as `inf`; nothing as an empty field.
    pub fn csv(&self) -> Result<Vec<u8>> {
        let mut out = csv::Writer::from_writer(vec![]);
        let written = out
            .write_record(self.columns.iter().map(|(name, _)| name.as_str()))
            .and_then(|()| self.rows.iter().try_for_each(|row| out.write_record(row.iter().map(Value::field))));
        written.context("the table could not be written as CSV")?;
        out.into_inner().context("the table could not be written as CSV")
    }

    /// One row group, every column optional, compressed by Snappy.
    pub fn parquet(&self) -> Result<Vec<u8>> {
        self.parquet_bytes().context("the table could not be written as Parquet")
    }

    fn parquet_bytes(&self) -> parquet::errors::Result<Vec<u8>> {
        let fields = self.columns.iter().map(|(name, kind)| {
            let physical = match kind {
                Kind::Text => Physical::BYTE_ARRAY,
                Kind::Number => Physical::DOUBLE,
                Kind::Whole => Physical::INT64,
            };
            let field = Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
            let field = match kind {
                Kind::Text => field.with_logical_type(Some(LogicalType::String)).with_converted_type(ConvertedType::UTF8),
                Kind::Whole => {
                    let unsigned = LogicalType::Integer { bit_width: 64, is_signed: false };
                    field.with_logical_type(Some(unsigned)).with_converted_type(ConvertedType::UINT_64)
                }
                Kind::Number => field,
            };
            Ok(Arc::new(field.build()?))
        });
        let schema = Type::group_type_builder("results").with_fields(fields.collect::<parquet::errors::Result<_>>()?).build()?;
        let version = KeyValue::new("transfergrid.schema_version".into(), SCHEMA_VERSION.to_string());
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by("transfergrid".into()) // no version: equal results are equal bytes
            .set_key_value_metadata(Some(vec![version]))
            .build();
        let mut bytes = vec![];
        let mut file = SerializedFileWriter::new(&mut bytes, Arc::new(schema), Arc::new(properties))?;
        let mut group = file.next_row_group()?;
        for (at, (_, kind)) in self.columns.iter().enumerate() {
            let cells = || self.rows.iter().map(|row| &row[at]);
            let defined: Vec<i16> = cells().map(|cell| i16::from(*cell != Value::None)).collect();
            let Some(mut column) = group.next_column()? else { break };
            match kind {
                Kind::Text => {
                    let values: Vec<ByteArray> =
                        cells().filter(|cell| **cell != Value::None).map(|cell| ByteArray::from(cell.field().as_str())).collect();
                    column.typed::<ByteArrayType>().write_batch(&values, Some(&defined), None)?;
                }
                Kind::Number => {
                    let number = |cell: &Value| match cell {
                        Value::Number(v) => Some(*v),
                        Value::Whole(v) => Some(*v as f64),
                        _ => None,
                    };
                    column.typed::<DoubleType>().write_batch(&cells().filter_map(number).collect::<Vec<_>>(), Some(&defined), None)?;
                }
                Kind::Whole => {
                    let whole = |cell: &Value| if let Value::Whole(v) = cell { Some(*v as i64) } else { None };
                    column.typed::<Int64Type>().write_batch(&cells().filter_map(whole).collect::<Vec<_>>(), Some(&defined), None)?;
                }
            }
            column.close()?;
        }
        group.close()?;
        file.close()?;
        Ok(bytes)
    }
}

impl Value {
    fn field(&self) -> String {
        match self {
            Value::Text(text) => text.replace(['\n', '\r'], " "),
            Value::Number(number) => crate::config::number(*number),
            Value::Whole(number) => format!("{number}"),
            Value::None => String::new(),
        }
    }
}

/// The kind of a column of axis values.
pub fn kind_of(values: &[serde_yaml::Value]) -> Kind {
    match values.iter().all(|value| value.as_f64().is_some()) {
        true => Kind::Number,
        false => Kind::Text,
    }
}

/// An axis value in a column of a kind.
pub fn axis_value(value: &serde_yaml::Value, kind: Kind) -> Value {
    match value.as_f64().filter(|_| kind == Kind::Number) {
        Some(number) => Value::Number(number),
        None if kind == Kind::Number => Value::None,
        None => Value::Text(crate::config::table_word(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_quotes_and_keeps_every_digit() {
        let mut table = Table::new(vec![("a,b".into(), Kind::Text), ("x".into(), Kind::Number), ("n".into(), Kind::Whole)]);
        table.push(vec!["say \"no\",\nplease".into(), (0.1 + 0.2).into(), Value::Whole(3)]);
        table.push(vec![Value::None, f64::INFINITY.into(), Value::None]);
        let text = String::from_utf8(table.csv().unwrap()).unwrap();
        assert_eq!(text, "\"a,b\",x,n\n\"say \"\"no\"\", please\",0.30000000000000004,3\n,inf,\n");
    }
}
