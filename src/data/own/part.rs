//! Examples as they were read, with their labels.

use sha2::{Digest, Sha256};

use crate::base::threads;
use crate::data::Bytes;

/// An image as it was read: height, width, and 1 or 3 channels, which are the last dimension.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub pixels: Bytes,
}

/// Examples of one kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    Pictures(Vec<Picture>),
    /// Rows of equally many features.
    Features {
        width: usize,
        values: Vec<f32>,
    },
    Texts(Vec<String>),
}

/// Examples with their labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    pub labels: Vec<u16>,
    pub values: Values,
    /// The group of each example, where the place names groups; else empty.
    pub groups: Vec<String>,
    /// The number to predict for each example; empty where classes are predicted.
    pub responses: Vec<f32>,
    /// The names of the features, where they have some; else empty.
    pub columns: Vec<String>,
    /// Where each example was found: its file below the root, or its line; empty where arrays have
    /// no such names.
    pub names: Vec<String>,
}

impl Part {
    /// Examples without groups.
    pub fn new(labels: Vec<u16>, values: Values) -> Part {
        Part { labels, values, groups: vec![], responses: vec![], columns: vec![], names: vec![] }
    }

    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }

    /// Number of examples of each class.
    pub(super) fn counts(&self, classes: usize) -> Vec<usize> {
        let mut counts = vec![0; classes];
        self.labels.iter().for_each(|label| counts[usize::from(*label)] += 1);
        counts
    }

    /// SHA-256 of each example's content, without its label, but with its response.
    pub(super) fn contents(&self) -> Vec<[u8; 32]> {
        threads::map(self.len(), |i| {
            let mut hasher = Sha256::new();
            match &self.values {
                Values::Pictures(all) => {
                    let Picture { height, width, channels, pixels } = &all[i];
                    hasher.update(format!("{height} {width} {channels}\n"));
                    hasher.update(&**pixels);
                }
                Values::Features { width, values } => {
                    hasher.update(format!("{width}\n"));
                    values[i * width..(i + 1) * width].iter().for_each(|value| hasher.update(value.to_le_bytes()));
                }
                Values::Texts(all) => hasher.update(all[i].as_bytes()),
            }
            // Rows of few different features differ in what is predicted.
            if let Some(response) = self.responses.get(i) {
                hasher.update(response.to_le_bytes());
            }
            hasher.finalize().into()
        })
    }

    /// The examples for which `is_second` is false, and the others, each in their order.
    pub(super) fn parted(self, is_second: &[bool]) -> [Part; 2] {
        let values = match self.values {
            Values::Pictures(all) => parted(all, is_second).map(Values::Pictures),
            Values::Texts(all) => parted(all, is_second).map(Values::Texts),
            Values::Features { width, values } => {
                let of = |wanted: bool| {
                    let rows = values.chunks_exact(width.max(1)).zip(is_second).filter(|(_, second)| **second == wanted);
                    Values::Features { width, values: rows.flat_map(|(row, _)| row.iter().copied()).collect() }
                };
                [of(false), of(true)]
            }
        };
        let [first, second] = values;
        let [of_first, of_second] = parted(self.labels, is_second);
        let [groups, other_groups] = parted(self.groups, is_second);
        let [responses, other_responses] = parted(self.responses, is_second);
        let [names, other_names] = parted(self.names, is_second);
        let columns = self.columns;
        [
            Part { labels: of_first, values: first, groups, responses, columns: columns.clone(), names },
            Part { labels: of_second, values: second, groups: other_groups, responses: other_responses, columns, names: other_names },
        ]
    }

    /// Appends the examples of another part.
    ///
    /// # Errors
    /// They are of another kind.
    pub(super) fn join(&mut self, other: Part) -> Result<(), String> {
        let kinds = (self.kind(), other.kind());
        match (&mut self.values, other.values) {
            (Values::Pictures(all), Values::Pictures(more)) => all.extend(more),
            (Values::Texts(all), Values::Texts(more)) => all.extend(more),
            (Values::Features { width, values }, Values::Features { width: other, values: more }) if *width == other => values.extend(more),
            _ => return Err(format!("{} and {}", kinds.0, kinds.1)),
        }
        self.labels.extend(other.labels);
        self.groups.extend(other.groups);
        self.responses.extend(other.responses);
        self.names.extend(other.names);
        Ok(())
    }

    /// What the examples are, for a message: images, or the number of features.
    pub(super) fn kind(&self) -> String {
        match &self.values {
            Values::Pictures(_) => "images".into(),
            Values::Features { width, .. } => format!("rows of {width} features"),
            Values::Texts(_) => "documents".into(),
        }
    }

    /// Channels of the images; 1 for other examples.
    pub(super) fn channels(&self) -> usize {
        match &self.values {
            Values::Pictures(all) => all.iter().map(|picture| picture.channels).max().unwrap_or(1),
            _ => 1,
        }
    }

    /// Gives grey images three equal channels, where the set has colours.
    pub(super) fn give_channels(&mut self, channels: usize) {
        if let Values::Pictures(all) = &mut self.values {
            for picture in all.iter_mut().filter(|picture| picture.channels < channels) {
                picture.pixels = picture.pixels.iter().flat_map(|&value| [value; 3]).collect::<Vec<u8>>().into();
                picture.channels = 3;
            }
        }
    }
}

pub fn parted<T>(all: Vec<T>, is_second: &[bool]) -> [Vec<T>; 2] {
    let mut parts = [vec![], vec![]];
    all.into_iter().zip(is_second).for_each(|(one, second)| parts[usize::from(*second)].push(one));
    parts
}

/// Features in single precision, as a network gets them.
///
/// # Errors
/// A column that single precision cannot hold. `name` is that of a column.
pub fn single(values: &[f64], width: usize, name: impl Fn(usize) -> String) -> Result<Vec<f32>, String> {
    for column in 0..width {
        let own = values.iter().skip(column).step_by(width.max(1));
        let (low, high) = own.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)));
        let largest = low.abs().max(high.abs());
        if low <= high && largest > f64::from(f32::MAX) {
            return Err(format!("{} reaches {largest:e}, beyond single precision", name(column)));
        }
        if high > low && (high - low) < 1e-4 * largest {
            return Err(format!("{} lies between {low} and {high}: single precision cannot tell its values apart", name(column)));
        }
    }
    Ok(values.iter().map(|value| *value as f32).collect())
}
