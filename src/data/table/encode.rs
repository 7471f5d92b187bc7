//! Words and gaps as numbers: a column for each word, and means beside an indicator.

use std::collections::BTreeSet;
use std::path::Path;

use super::cell::TableCell;
use super::{cut, wrong, DataError, Raw};
use crate::base::numbers::number;

/// How cells that are not numbers are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TableOptions {
    /// Text files have decimal commas; their columns are separated by semicolons or tabs.
    pub decimal_comma: bool,
    /// A column with words becomes a column of 0 and 1 for each of its words.
    pub one_hot: bool,
    /// A missing number becomes the mean of its column, and a column of 0 and 1 says where.
    pub impute_mean: bool,
}

/// More words of one column are taken for a mistake, such as a name or a text.
const MOST_WORDS: usize = 1000;

/// How a column is encoded.
enum Plan {
    Keep,
    /// A column for each word, and whether one says where the word is missing.
    Words(Vec<String>, bool),
    Mean(f64),
}

/// Encodes the feature columns of tables that belong together, such as a source and a target. Words
/// are those of all tables, means are of the first one.
pub fn encode(paths: &[&Path], tables: Vec<Raw>, options: &TableOptions, is_feature: &dyn Fn(&str) -> bool) -> Result<Vec<Raw>, DataError> {
    if !options.one_hot && !options.impute_mean {
        return Ok(tables);
    }
    let mut names: Vec<String> = tables.iter().flat_map(|table| table.columns.iter().cloned()).collect();
    names.sort();
    names.dedup();
    // An index is left out later, as it is.
    let is_index = |name: &String| tables.iter().any(|table| table.index.iter().any(|at| table.columns[*at] == *name));
    names.retain(|name| is_feature(name) && !is_index(name));
    let mut plans = std::collections::HashMap::new();
    for name in names {
        let plan = plan(&tables, &name, options);
        if let Plan::Words(words, _) = &plan {
            if words.len() > MOST_WORDS {
                let what = format!("column `{}` has {} different words, which would be as many columns", cut(&name), words.len());
                return Err(wrong(paths[0], what, "leave the column out"));
            }
        }
        plans.insert(name, plan);
    }
    Ok(tables.into_iter().map(|table| encoded(table, &plans)).collect())
}

fn is_gap(cell: &TableCell) -> bool {
    match cell {
        TableCell::Missing(_) => true,
        TableCell::Number(value) => value.is_nan(),
        TableCell::Other(_) => false,
    }
}

/// A word of a cell. A number in a column of words is a word too.
fn word(cell: &TableCell) -> Option<String> {
    match cell {
        TableCell::Other(other) => Some(other.text.clone()),
        TableCell::Number(value) => (!value.is_nan()).then(|| number(*value)),
        TableCell::Missing(_) => None,
    }
}

fn column<'a>(table: &'a Raw, name: &str) -> Vec<&'a TableCell> {
    let at = table.columns.iter().position(|column| column == name);
    at.map_or(vec![], |at| table.rows.iter().map(|row| &row[at]).collect())
}

fn plan(tables: &[Raw], name: &str, options: &TableOptions) -> Plan {
    let all: Vec<Vec<&TableCell>> = tables.iter().map(|table| column(table, name)).collect();
    let has_words = all.iter().flatten().any(|cell| matches!(cell, TableCell::Other(other) if other.what == "text"));
    let has_gaps = all.iter().flatten().any(|cell| is_gap(cell));
    if has_words && options.one_hot {
        let words: BTreeSet<String> = all.iter().flatten().filter_map(|cell| word(cell)).collect();
        return Plan::Words(words.into_iter().collect(), has_gaps && options.impute_mean);
    }
    let numbers = |cells: &[&TableCell]| -> Vec<f64> {
        cells
            .iter()
            .filter_map(|cell| if let TableCell::Number(value) = cell { Some(*value).filter(|v| v.is_finite()) } else { None })
            .collect()
    };
    let known = all.iter().map(|cells| numbers(cells)).find(|own| !own.is_empty());
    match known.filter(|_| has_gaps && !has_words && options.impute_mean) {
        Some(own) => Plan::Mean(own.iter().sum::<f64>() / own.len() as f64),
        None => Plan::Keep,
    }
}

fn encoded(table: Raw, plans: &std::collections::HashMap<String, Plan>) -> Raw {
    let Raw { columns, rows, lines, index } = table;
    let plan = |name: &String| plans.get(name).unwrap_or(&Plan::Keep);
    let (mut new_columns, mut new_index) = (vec![], vec![]);
    for (at, name) in columns.iter().enumerate() {
        if index.contains(&at) {
            new_index.push(new_columns.len());
        }
        match plan(name) {
            Plan::Keep => new_columns.push(name.clone()),
            Plan::Words(words, has_gaps) => {
                new_columns.extend(words.iter().map(|word| format!("{name}={word}")));
                new_columns.extend(has_gaps.then(|| format!("{name} is missing")));
            }
            Plan::Mean(_) => new_columns.extend([name.clone(), format!("{name} is missing")]),
        }
    }
    let truth = |value: bool| TableCell::truth(value);
    let row = |cells: Vec<TableCell>| -> Vec<TableCell> {
        let mut out = vec![];
        for (cell, name) in cells.into_iter().zip(&columns) {
            match plan(name) {
                Plan::Keep => out.push(cell),
                Plan::Words(words, has_gaps) => match (word(&cell), has_gaps) {
                    // Without imputation a gap stays one, and is an error.
                    (None, false) => out.extend(words.iter().map(|_| TableCell::Missing("".into()))),
                    (own, has_gaps) => {
                        out.extend(words.iter().map(|word| truth(own.as_ref() == Some(word))));
                        out.extend(has_gaps.then(|| truth(own.is_none())));
                    }
                },
                Plan::Mean(mean) => {
                    let is_missing = is_gap(&cell);
                    out.extend([if is_missing { TableCell::Number(*mean) } else { cell }, truth(is_missing)]);
                }
            }
        }
        out
    };
    Raw { rows: rows.into_iter().map(row).collect(), columns: new_columns, lines, index: new_index }
}
