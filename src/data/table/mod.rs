//! Tables of numbers from `.npy`, `.npz`, CSV (also with `;` or tabs) and Parquet. They are used
//! for covariances and for `theory fit`.
//!
//! The rules are the same for every format. A cell is a number, a truth value (0 or 1), or missing.
//! Any other cell is an error that names its position and content. Rows are counted from 1; in CSV,
//! the position is the line in the file. An index that pandas wrote is skipped unless it is
//! requested.

mod cell;
mod delimited;
mod encode;
mod numpy;
mod parquet_file;

use std::io::ErrorKind;
use std::path::Path;

use ndarray::{Array2, Axis};

use super::DataError;
use cell::TableCell;
pub use encode::TableOptions;

/// Named columns of finite numbers.
#[derive(Debug, Clone)]
pub struct InputTable {
    /// The file's path, for messages.
    pub file: String,
    pub columns: Vec<String>,
    /// Shape: rows × columns.
    pub values: Array2<f64>,
    /// Columns of the file that were not requested.
    pub left_out: Vec<String>,
    /// The line number of each row, for formats that have lines.
    lines: Option<Vec<u64>>,
    /// Notes for readers of the results: an index was skipped, or a column looks like an index.
    pub notes: Vec<String>,
}

/// The content of a table before it is checked.
struct Raw {
    columns: Vec<String>,
    /// The rows, each with one cell for each column.
    rows: Vec<Vec<TableCell>>,
    /// The line number of each row, for formats that have lines.
    lines: Option<Vec<u64>>,
    /// Positions of the columns that hold an index.
    index: Vec<usize>,
}

impl Raw {
    /// A table of numbers without an index.
    fn of_numbers(columns: Vec<String>, values: &Array2<f64>) -> Raw {
        let rows = values.rows().into_iter().map(|row| row.iter().map(|v| TableCell::Number(*v)).collect()).collect();
        Raw { columns, rows, lines: None, index: vec![] }
    }
}

impl InputTable {
    /// The position of a row (counted from 0) as it is written in messages.
    pub fn place(&self, row: usize) -> String {
        place(&self.lines, row)
    }
}

/// `line 7` for a text file, `row 6` (counted from 1) for other formats.
fn place(lines: &Option<Vec<u64>>, row: usize) -> String {
    match lines {
        Some(lines) => format!("line {}", lines[row]),
        None => format!("row {}", row + 1),
    }
}

fn wrong(path: &Path, what: impl std::fmt::Display, hint: impl Into<String>) -> DataError {
    DataError::new(format!("{}: {what}", path.display()), hint)
}

const KINDS: &str = "a table is .npy (2-D, columns are numbered from 0), .npz (arrays X and the response), .csv with a header, or .parquet";

/// Squares of larger numbers could overflow.
const LARGEST: f64 = 1e100;

/// What a caller wants of a table.
pub struct Wanted<'a> {
    /// Names of the arrays in an `.npz` that are used together with `X`.
    pub responses: &'a [String],
    /// Columns that were requested by name, so that an index among them is kept.
    pub named: &'a dyn Fn(&str) -> bool,
    /// Columns that are read; the others need not be numbers.
    pub columns: &'a dyn Fn(&str) -> bool,
    /// Of these, the ones in which words and gaps may be encoded.
    pub features: &'a dyn Fn(&str) -> bool,
}

/// Reads tables that belong together, such as a source and a target.
pub fn read_all(paths: &[&Path], wanted: &Wanted, options: &TableOptions) -> Result<Vec<InputTable>, DataError> {
    let tables = paths.iter().map(|path| raw(path, wanted.responses, options)).collect::<Result<Vec<_>, _>>()?;
    let tables = encode::encode(paths, tables, options, &|name| (wanted.columns)(name) && (wanted.features)(name))?;
    // A column that was encoded is wanted where the one that it is of is.
    let of = |name: &str| name.split_once('=').map_or(name.trim_end_matches(" is missing"), |(of, _)| of).to_string();
    let is_wanted = |name: &str| (wanted.columns)(name) || (options.one_hot || options.impute_mean) && (wanted.columns)(&of(name));
    paths.iter().zip(tables).map(|(path, table)| selected(path, table, wanted.named, is_wanted)).collect()
}

/// Reads the columns of a table that are `wanted`, without any encoding.
pub fn read(
    path: &Path,
    responses: &[String],
    named: impl Fn(&str) -> bool,
    wanted: impl Fn(&str) -> bool,
) -> Result<InputTable, DataError> {
    selected(path, raw(path, responses, &TableOptions::default())?, named, wanted)
}

fn selected(path: &Path, raw: Raw, named: impl Fn(&str) -> bool, wanted: impl Fn(&str) -> bool) -> Result<InputTable, DataError> {
    let index: Vec<String> = raw.index.iter().map(|&i| raw.columns[i].clone()).filter(|name| !named(name)).collect();
    let is_index = |at: &usize| raw.index.contains(at) && !named(&raw.columns[*at]);
    let kept: Vec<usize> = (0..raw.columns.len()).filter(|at| !is_index(at) && wanted(&raw.columns[*at])).collect();
    let columns: Vec<String> = kept.iter().map(|&at| raw.columns[at].clone()).collect();
    let mut sorted: Vec<&String> = columns.iter().collect();
    sorted.sort();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        let what =
            if pair[0].is_empty() { "two columns have no name".into() } else { format!("two columns are called `{}`", cut(pair[0])) };
        return Err(wrong(path, what, "give each column a name of its own"));
    }
    let values = numbers(path, &raw, &kept)?;
    if values.is_empty() {
        return Err(wrong(path, format!("{} rows and {} columns of numbers: the table is empty", values.nrows(), values.ncols()), KINDS));
    }
    let mut notes: Vec<String> = vec![];
    if !index.is_empty() {
        let names =
            index.iter().map(|name| if name.is_empty() { "the first column (it has no name)".into() } else { format!("`{}`", cut(name)) });
        notes.push(format!("{}: {} is the index of the rows and is left out", path.display(), names.collect::<Vec<_>>().join(", ")));
    }
    let counts = |at: &usize| !named(&columns[*at]) && counts_rows(&values, *at);
    notes.extend((0..columns.len()).filter(counts).map(|at| {
        format!("{}: `{}` changes by 1 from row to row; if it is a row number, leave it out with --drop", path.display(), cut(&columns[at]))
    }));
    let left_out = (0..raw.columns.len()).filter(|at| !kept.contains(at)).map(|at| raw.columns[at].clone()).collect();
    Ok(InputTable { file: path.display().to_string(), columns, values, left_out, lines: raw.lines, notes })
}

/// Cells of every format.
fn raw(path: &Path, responses: &[String], options: &TableOptions) -> Result<Raw, DataError> {
    raw_with(path, responses, options, &[])
}

/// The same. The cells of the columns `words` of a text file are kept as they are written.
fn raw_with(path: &Path, responses: &[String], options: &TableOptions, words: &[&str]) -> Result<Raw, DataError> {
    Ok(match extension(path)?.as_str() {
        "npy" => {
            let values = numpy::two_dimensional(path)?;
            Raw::of_numbers((0..values.ncols()).map(|i| i.to_string()).collect(), &values)
        }
        "npz" => {
            let (columns, values) = numpy::arrays(path, responses)?;
            Raw::of_numbers(columns, &values)
        }
        "csv" | "tsv" | "txt" => delimited::read(path, true, options.decimal_comma, words)?,
        "parquet" | "pq" => parquet_file::read(path)?,
        "" => return Err(wrong(path, "its name has no extension that tells its format", KINDS)),
        other => return Err(wrong(path, format!("`.{other}` files are not supported"), unpack_hint(other))),
    })
}

/// Rows of numbers, each with the name of its class.
#[derive(Debug)]
pub struct LabelledRows {
    pub labels: Vec<String>,
    /// The group of each row, where a column names groups; else empty.
    pub groups: Vec<String>,
    /// Names of the features.
    pub columns: Vec<String>,
    /// Rows × columns, without the label's.
    pub values: Array2<f64>,
    /// The line number of each row, for formats that have lines.
    lines: Option<Vec<u64>>,
    pub notes: Vec<String>,
}

impl LabelledRows {
    /// The position of a row (counted from 0) as it is written in messages.
    pub fn place(&self, row: usize) -> String {
        place(&self.lines, row)
    }
}

/// Reads a table for a network: the column `label` holds what is predicted (a class, or a number as
/// it is written), `group` the groups, and all others are features. An index that pandas wrote and
/// the columns of `drop` are left out.
pub fn read_labelled(
    path: &Path,
    label: &str,
    group: Option<&str>,
    drop: &[String],
    options: &TableOptions,
) -> Result<LabelledRows, DataError> {
    // A class is the text of its cell: `007` and `7` are two.
    let named: Vec<&str> = [Some(label), group].into_iter().flatten().collect();
    let whole = raw_with(path, &[], options, &named)?;
    let used: Vec<&String> = (0..whole.columns.len()).filter(|at| !whole.index.contains(at)).map(|at| &whole.columns[at]).collect();
    if let Some(twice) = used.iter().enumerate().find(|(i, name)| used[..*i].contains(name)).map(|(_, name)| name) {
        return Err(wrong(path, format!("two columns are called `{}`", cut(twice)), "give each column a name of its own"));
    }
    if let Some(name) = drop.iter().find(|name| !whole.columns.contains(name)) {
        return Err(wrong(path, format!("no column `{}` to drop; it has {}", cut(name), whole.columns.join(", ")), "check its name"));
    }
    let is_feature = |name: &str| !named.contains(&name) && !drop.iter().any(|own| own == name);
    let mut encoded = encode::encode(&[path], vec![whole], options, &is_feature)?;
    let raw = encoded.remove(0);
    let find = |name: &str, hint: &str| {
        let found: Vec<usize> = (0..raw.columns.len()).filter(|&at| raw.columns[at] == name).collect();
        match found.as_slice() {
            [at] => Ok(*at),
            _ => {
                let columns: Vec<String> = raw.columns.iter().map(|name| cut(name)).collect();
                let what = format!("{} columns are called `{}`; it has {}", found.len(), cut(name), columns.join(", "));
                Err(wrong(path, what, hint))
            }
        }
    };
    let of_label = find(label, "`label` names the column with the classes, `response` one of numbers")?;
    let of_group = group.map(|name| find(name, "`group` names the column with the groups")).transpose()?;
    let kept: Vec<usize> = (0..raw.columns.len())
        .filter(|at| *at != of_label && Some(*at) != of_group && !raw.index.contains(at) && !drop.contains(&raw.columns[*at]))
        .collect();
    if kept.is_empty() {
        return Err(wrong(path, "it has no column beside the label's", "features are needed"));
    }
    let text = |at: usize, what: &str, (row, cells): (usize, &Vec<TableCell>)| match &cells[at] {
        TableCell::Number(value) if value.fract() == 0.0 && value.abs() < 1e15 => Ok((*value as i64).to_string()),
        TableCell::Number(value) if value.is_finite() => Ok(value.to_string()),
        TableCell::Other(other) if !other.text.is_empty() => Ok(other.text.clone()),
        _ => Err(wrong(
            path,
            format!("{}, column `{}` has no {what}", place(&raw.lines, row), cut(&raw.columns[at])),
            "fill it in, or leave out the row",
        )),
    };
    let texts = |at: usize, what: &str| raw.rows.iter().enumerate().map(|row| text(at, what, row)).collect::<Result<Vec<_>, _>>();
    let labels = texts(of_label, "value")?;
    let groups = of_group.map_or(Ok(vec![]), |at| texts(at, "group"))?;
    let values = numbers(path, &raw, &kept)?;
    let counting = (0..kept.len()).filter(|&at| counts_rows(&values, at));
    let notes = counting
        .map(|at| format!("`{}` changes by 1 from row to row: if it is a row number, remove the column", cut(&raw.columns[kept[at]])))
        .collect();
    let columns = kept.iter().map(|&at| raw.columns[at].clone()).collect();
    Ok(LabelledRows { labels, groups, columns, values, lines: raw.lines, notes })
}

/// The wanted cells, which must be finite numbers.
fn numbers(path: &Path, raw: &Raw, kept: &[usize]) -> Result<Array2<f64>, DataError> {
    let mut values = Array2::zeros((raw.rows.len(), kept.len()));
    for (row, cells) in raw.rows.iter().enumerate() {
        for (to, &at) in kept.iter().enumerate() {
            let name = cut(&raw.columns[at]);
            let place = || format!("{}, column `{name}`", place(&raw.lines, row));
            values[[row, to]] = match &cells[at] {
                TableCell::Number(v) if v.is_finite() && v.abs() <= LARGEST => *v,
                TableCell::Number(v) if v.is_finite() => {
                    let what = format!("{} is {v:e}", place());
                    return Err(wrong(path, what, "numbers beyond 1e100 overflow when they are squared: choose other units"));
                }
                TableCell::Number(v) => {
                    return Err(wrong(path, format!("{} is {v}", place()), "fill in or leave out rows with missing values"));
                }
                TableCell::Missing(word) => {
                    let what = if word.is_empty() { "is missing".into() } else { format!("is missing (`{word}`)") };
                    return Err(wrong(path, format!("{} {what}", place()), "fill in or leave out rows with missing values"));
                }
                TableCell::Other(other) => {
                    let shown = if other.text.is_empty() { String::new() } else { format!("`{}`, ", cut(&other.text)) };
                    return Err(wrong(path, format!("{}: {shown}{}, where a number is needed", place(), other.what), other.hint));
                }
            };
        }
    }
    Ok(values)
}

/// Whether a column counts the rows: k, k + 1, k + 2, …
fn counts_rows(values: &Array2<f64>, at: usize) -> bool {
    let column = values.index_axis(Axis(1), at);
    column.len() >= 3 && column[0].fract() == 0.0 && column.windows(2).into_iter().all(|pair| pair[1] - pair[0] == 1.0)
}

/// A matrix from `.npy` or from a CSV without a header. The caller checks that it is square.
pub fn matrix(path: &Path) -> Result<Array2<f64>, DataError> {
    match extension(path)?.as_str() {
        "npy" => numpy::two_dimensional(path),
        "csv" | "tsv" | "txt" => {
            let raw = delimited::read(path, false, false, &[])?;
            numbers(path, &raw, &(0..raw.columns.len()).collect::<Vec<_>>())
        }
        _ => Err(wrong(path, "a covariance is read from .npy or .csv", "save the matrix in one of these formats")),
    }
}

/// The file name's extension in lower case. Fails if the path is a folder or cannot be accessed.
fn extension(path: &Path) -> Result<String, DataError> {
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => return Err(wrong(path, "is a folder", KINDS)),
        Ok(meta) if !meta.is_file() => return Err(wrong(path, "is no file", KINDS)),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(wrong(path, "there is no such file", "paths are relative to the working directory"))
        }
        Err(error) => return Err(unreadable(path, error)),
    }
    // A packed text file: `.csv.gz`.
    let packed = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz") || e.eq_ignore_ascii_case("zst"));
    let stem = path.file_stem().map(Path::new).filter(|stem| packed && stem.extension().is_some()).unwrap_or(path);
    Ok(stem.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default())
}

fn unreadable(path: &Path, error: std::io::Error) -> DataError {
    let hint = match error.kind() {
        ErrorKind::PermissionDenied => "check that you may read the file",
        _ => "check that the file is complete and its disk works",
    };
    wrong(path, format!("cannot be read: {error}"), hint)
}

fn unpack_hint(extension: &str) -> &'static str {
    match extension {
        "zip" | "xz" | "bz2" => "unpack it first; .csv.gz and .csv.zst are read as they are",
        _ => KINDS,
    }
}

/// Shortens a name or value for a message.
fn cut(text: &str) -> String {
    crate::config::cut(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Result<InputTable, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        std::fs::write(&path, text).unwrap();
        read(&path, &[], |_| false, |_| true)
    }

    #[test]
    fn an_index_of_pandas_is_left_out_and_a_row_number_is_pointed_at() {
        for first in ["", "Unnamed: 0"] {
            let read = table(&format!("{first},a,y\n0,0.5,1\n1,0.25,2\n2,0.5,4\n")).unwrap();
            assert_eq!(
                (read.columns.as_slice(), read.left_out.as_slice()),
                (["a".into(), "y".into()].as_slice(), [first.into()].as_slice())
            );
            assert!(read.notes[0].contains("is the index of the rows and is left out"), "{:?}", read.notes);
        }
        let named = table("id,a\n7,0.5\n8,0.25\n9,0.125\n").unwrap();
        assert!(named.columns.len() == 2 && named.notes[0].contains("`id` changes by 1 from row to row"), "{:?}", named.notes);
    }

    #[test]
    fn truth_values_and_missing_words_mean_the_same_everywhere() {
        let read = table("a,b\nTrue,0\nfalse,1\n").unwrap();
        assert_eq!(read.values, ndarray::array![[1.0, 0.0], [0.0, 1.0]]);
        for word in ["", "NA", "#N/A", "<NA>", "null", "None", "nan", "-nan", "n/a"] {
            let error = table(&format!("a,b\n1,2\n1,{word}\n")).unwrap_err();
            assert!(error.what.contains("line 3, column `b` is missing"), "{word}: {error}");
        }
    }

    #[test]
    fn messages_say_what_is_there() {
        let cases = [
            ("a;b\n1;0,5\n", "a decimal comma"),
            ("a,b\n1,\"1,257.3\"\n", "commas between thousands"),
            ("a,b\n1,3%\n", "a percentage"),
            ("a,b\n1,2024-05-01\n", "a date"),
            ("a,b\n1,x\n", "text"),
            ("a b\n1 2\n", "no comma, semicolon or tab"),
            ("a,b\n1,2,3\n", "3 fields"),
        ];
        for (text, words) in cases {
            let error = table(text).unwrap_err();
            assert!(error.to_string().contains(words), "{text:?}: {error}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latin.csv");
        std::fs::write(&path, b"a,b\n1,\xe4\n").unwrap();
        let error = read(&path, &[], |_| false, |_| true).unwrap_err();
        assert!(error.what.contains("line 2 is not UTF-8"), "{error}");
    }
}
