//! Writes tables as CSV and as Parquet.

use std::sync::Arc;

use anyhow::{Context, Result};
use parquet::basic::{Compression, ConvertedType, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use super::RenderedFile;
use crate::report::analysis::{ColumnType, Field, Table, SCHEMA_VERSION};

/// `<name>.csv` and `<name>.parquet`.
pub fn files(name: &str, table: &Table) -> Result<[RenderedFile; 2]> {
    Ok([RenderedFile::new(format!("{name}.csv"), csv(table)?), RenderedFile::new(format!("{name}.parquet"), parquet(table)?)])
}

/// A table as CSV. Numbers have the fewest digits that reproduce them. Infinity is `inf`; an empty
/// cell is an empty field.
pub fn csv(table: &Table) -> Result<Vec<u8>> {
    let mut out = csv::Writer::from_writer(vec![]);
    let written = out
        .write_record(table.columns.iter().map(|(name, _)| name.as_str()))
        .and_then(|()| table.rows.iter().try_for_each(|row| out.write_record(row.iter().map(Field::text))));
    written.context("the table could not be written as CSV")?;
    out.into_inner().context("the table could not be written as CSV")
}

/// A table as Parquet, with one row group, optional columns and Snappy compression.
pub fn parquet(table: &Table) -> Result<Vec<u8>> {
    parquet_bytes(table).context("the table could not be written as Parquet")
}

fn parquet_bytes(table: &Table) -> parquet::errors::Result<Vec<u8>> {
    let fields = table.columns.iter().map(|(name, kind)| {
        let physical = match kind {
            ColumnType::Text => Physical::BYTE_ARRAY,
            ColumnType::Number => Physical::DOUBLE,
            ColumnType::Whole => Physical::INT64,
        };
        let field = Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
        let field = match kind {
            ColumnType::Text => field.with_logical_type(Some(LogicalType::String)).with_converted_type(ConvertedType::UTF8),
            ColumnType::Whole => {
                let unsigned = LogicalType::Integer { bit_width: 64, is_signed: false };
                field.with_logical_type(Some(unsigned)).with_converted_type(ConvertedType::UINT_64)
            }
            ColumnType::Number => field,
        };
        Ok(Arc::new(field.build()?))
    });
    let schema = Type::group_type_builder("results").with_fields(fields.collect::<parquet::errors::Result<_>>()?).build()?;
    let version = KeyValue::new("transfergrid.schema_version".into(), SCHEMA_VERSION.to_string());
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by("transfergrid".into()) // without a version, so that equal results give equal bytes
        .set_key_value_metadata(Some(vec![version]))
        .build();
    let mut bytes = vec![];
    let mut file = SerializedFileWriter::new(&mut bytes, Arc::new(schema), Arc::new(properties))?;
    let mut group = file.next_row_group()?;
    for (at, (_, kind)) in table.columns.iter().enumerate() {
        let cells = || table.rows.iter().map(|row| &row[at]);
        let defined: Vec<i16> = cells().map(|cell| i16::from(*cell != Field::None)).collect();
        let Some(mut column) = group.next_column()? else { break };
        match kind {
            ColumnType::Text => {
                let values: Vec<ByteArray> =
                    cells().filter(|cell| **cell != Field::None).map(|cell| ByteArray::from(cell.text().as_str())).collect();
                column.typed::<ByteArrayType>().write_batch(&values, Some(&defined), None)?;
            }
            ColumnType::Number => {
                let number = |cell: &Field| match cell {
                    Field::Number(v) => Some(*v),
                    Field::Whole(v) => Some(*v as f64),
                    _ => None,
                };
                column.typed::<DoubleType>().write_batch(&cells().filter_map(number).collect::<Vec<_>>(), Some(&defined), None)?;
            }
            ColumnType::Whole => {
                let whole = |cell: &Field| if let Field::Whole(v) = cell { Some(*v as i64) } else { None };
                column.typed::<Int64Type>().write_batch(&cells().filter_map(whole).collect::<Vec<_>>(), Some(&defined), None)?;
            }
        }
        column.close()?;
    }
    group.close()?;
    file.close()?;
    Ok(bytes)
}
#[cfg(test)]
mod tests {
    use super::csv;
    use crate::report::analysis::{ColumnType, Field, Table};

    #[test]
    fn csv_quotes_and_keeps_every_digit() {
        let mut table =
            Table::new(vec![("a,b".into(), ColumnType::Text), ("x".into(), ColumnType::Number), ("n".into(), ColumnType::Whole)]);
        table.push(vec!["say \"no\",\nplease".into(), (0.1 + 0.2).into(), Field::Whole(3)]);
        table.push(vec![Field::None, f64::INFINITY.into(), Field::None]);
        let text = String::from_utf8(csv(&table).unwrap()).unwrap();
        assert_eq!(text, "\"a,b\",x,n\n\"say \"\"no\"\", please\",0.30000000000000004,3\n,inf,\n");
    }
}
