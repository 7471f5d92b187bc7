//! Tables of features with a column of classes.

use std::path::Path;

use super::{label_by_name, Found, Part, Values};
use crate::config::network::{DataPlace, Impute};
use crate::data::table::TableOptions;
use crate::data::{table, DataError};

const HINT: &str = "`one_hot: true` makes columns of words, `drop: [COLUMN]` leaves one out, `impute: mean` fills gaps";

pub fn read(path: &Path, place: &DataPlace) -> Result<Found, DataError> {
    let Some(label) = place.label.as_deref() else {
        return Err(DataError::new(format!("{}: which column has the classes?", path.display()), "name it: {table: FILE, label: COLUMN}"));
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
    let rows = table::read_labelled(path, label, place.group.as_deref(), &place.drop, &options).map_err(told)?;
    let (classes, labels) = label_by_name(&[&rows.labels]).map_err(|what| DataError::file(path, format!("`{label}`: {what}")))?;
    let width = rows.values.ncols();
    let values: Vec<f64> = rows.values.iter().copied().collect();
    let values = super::single(&values, width, |column| format!("column `{}`", rows.columns[column]))
        .map_err(|what| DataError::new(format!("{}: {what}", path.display()), "subtract an offset, or choose other units"))?;
    let values = Values::Features { width, values };
    let train = Part { labels: labels.into_iter().flatten().collect(), values, groups: rows.groups };
    Ok(Found { classes, train, test: None, notes: rows.notes })
}
