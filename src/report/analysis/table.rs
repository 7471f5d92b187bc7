//! A table with typed columns, written as CSV and Parquet.

/// Version of the tables, written into every Parquet file and summary.json. Within a version,
/// columns keep their names, types and order; new columns may be added.
pub const SCHEMA_VERSION: u32 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    Text,
    Number,
    Whole,
}

/// A cell of a table; `None` is an empty cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Field {
    Text(String),
    Number(f64),
    Whole(u64),
    None,
}

impl From<&str> for Field {
    fn from(text: &str) -> Field {
        Field::Text(text.into())
    }
}

impl From<String> for Field {
    fn from(text: String) -> Field {
        Field::Text(text)
    }
}

impl From<f64> for Field {
    fn from(number: f64) -> Field {
        Field::Number(number)
    }
}

impl<T: Into<Field>> From<Option<T>> for Field {
    fn from(value: Option<T>) -> Field {
        value.map_or(Field::None, Into::into)
    }
}

/// Rows whose values have the types of the columns.
#[derive(Debug, Clone, Default)]
pub struct Table {
    pub columns: Vec<(String, ColumnType)>,
    pub rows: Vec<Vec<Field>>,
}

impl Table {
    pub fn new(columns: Vec<(String, ColumnType)>) -> Table {
        Table { columns, rows: vec![] }
    }

    pub fn push(&mut self, row: Vec<Field>) {
        assert_eq!(row.len(), self.columns.len(), "a row has a value for each column");
        self.rows.push(row);
    }
}

impl Field {
    /// The value as text. Numbers have the fewest digits that reproduce them.
    pub fn text(&self) -> String {
        match self {
            Field::Text(text) => text.replace(['\n', '\r'], " "),
            Field::Number(number) => crate::base::numbers::number(*number),
            Field::Whole(number) => format!("{number}"),
            Field::None => String::new(),
        }
    }
}

/// The type of a column that contains axis values.
pub fn column_type(values: &[serde_yaml::Value]) -> ColumnType {
    match values.iter().all(|value| value.as_f64().is_some()) {
        true => ColumnType::Number,
        false => ColumnType::Text,
    }
}

/// Converts an axis value to a field of a column's type.
pub fn axis_field(value: &serde_yaml::Value, kind: ColumnType) -> Field {
    match value.as_f64().filter(|_| kind == ColumnType::Number) {
        Some(number) => Field::Number(number),
        None if kind == ColumnType::Number => Field::None,
        None => Field::Text(crate::config::table_word(value)),
    }
}
