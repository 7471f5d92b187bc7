//! Tables of features with a column of classes.

use std::path::Path;

use super::{label_by_name, single, Found, Part, Values};
use crate::config::cut;
use crate::config::network::{DataPlace, Impute};
use crate::data::table::{LabelledRows, TableOptions};
use crate::data::{table, DataError};

const HINT: &str = "`one_hot: true` makes columns of words, `drop: [COLUMN]` leaves one out, `impute: mean` fills gaps";

/// What a table with a response has in place of classes.
const ALL: &str = "all";

pub fn read(path: &Path, place: &DataPlace) -> Result<Found, DataError> {
    let (column, is_regression) = match (place.label.as_deref(), place.response.as_deref()) {
        (Some(label), None) => (label, false),
        (None, Some(response)) => (response, true),
        (None, None) => {
            return Err(DataError::new(
                format!("{}: what is predicted?", path.display()),
                "name the column with the classes, {table: FILE, label: COLUMN}, or with a number: {table: FILE, response: COLUMN}",
            ))
        }
        (Some(_), Some(_)) => {
            return Err(DataError::new(format!("{place}: `label` and `response`"), "a column of classes, or one of numbers: give one"))
        }
    };
    let options = TableOptions {
        decimal_comma: place.decimal.as_deref() == Some(","),
        one_hot: place.one_hot,
        impute_mean: place.impute == Some(Impute::Mean),
    };
    // Columns are left out, filled and encoded by keys of the place, not by flags.
    let told = |error: DataError| {
        let hint = match error.hint.contains("--drop") {
            true => HINT.into(),
            false => format!("{}; docs/data.md has `impute`, `one_hot`, `decimal` and `drop`", error.hint),
        };
        DataError { hint, ..error }
    };
    let rows = table::read_labelled(path, column, place.group.as_deref(), &place.drop, &options).map_err(told)?;
    let responses = if is_regression { responses(path, column, place, &rows)? } else { vec![] };
    let places = (0..rows.labels.len()).map(|row| rows.place(row)).collect();
    let names: Vec<String> = if is_regression { vec![ALL.into(); rows.labels.len()] } else { rows.labels };
    let (classes, labels) = label_by_name(&[&names]).map_err(|what| DataError::file(path, format!("`{column}`: {what}")))?;
    let width = rows.values.ncols();
    let values: Vec<f64> = rows.values.iter().copied().collect();
    let values = single(&values, width, |column| format!("column `{}`", rows.columns[column]))
        .map_err(|what| DataError::new(format!("{}: {what}", path.display()), "subtract an offset, or choose other units"))?;
    let values = Values::Features { width, values };
    let train = Part {
        groups: rows.groups,
        responses,
        columns: rows.columns,
        names: places,
        ..Part::new(labels.into_iter().flatten().collect(), values)
    };
    Ok(Found { classes, train, test: None, notes: rows.notes })
}

/// The numbers of the column, as they are written.
fn responses(path: &Path, column: &str, place: &DataPlace, rows: &LabelledRows) -> Result<Vec<f32>, DataError> {
    let is_comma = place.decimal.as_deref() == Some(",");
    let wrong = |what: String, hint: &str| DataError::new(format!("{}: `{column}`{what}", path.display()), hint);
    let mut values = vec![];
    for (row, text) in rows.labels.iter().enumerate() {
        let plain = if is_comma { text.replace(',', ".") } else { text.clone() };
        match plain.trim().parse::<f64>() {
            Ok(value) if value.is_finite() => values.push(value),
            _ => {
                let what = format!(", {}: `{}`, where a number is needed", rows.place(row), cut(text));
                return Err(wrong(what, "`response` is a column of numbers; one of classes is named by `label`"));
            }
        }
    }
    let Some(first) = values.first() else { return Err(wrong(" has no rows".into(), "rows of numbers are needed below the header")) };
    if values.iter().all(|value| value == first) {
        return Err(wrong(format!(" is {first} in every row"), "there is nothing to predict; is it the right column?"));
    }
    single(&values, 1, |_| format!("`{column}`"))
        .map_err(|what| DataError::new(format!("{}: {what}", path.display()), "subtract an offset, or choose other units"))
}
