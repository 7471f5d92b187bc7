//! Which data a task uses: a published data set by its name, or the user's own by its place.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use schemars::JsonSchema;
use serde::de::{value::MapAccessDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::dataset::DatasetInfo;
use super::published::DataName;

/// A data set by name, or by place.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum DataChoice {
    Named(DataName),
    Place(Box<DataPlace>),
}

/// Where the user's own data are. Exactly one of the first six keys is given.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DataPlace {
    /// A folder of images with a folder for each class, or with `train/` and `test/` (or `val/`)
    /// that have one for each class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<String>,
    /// A NumPy archive with x_train, y_train, x_test and y_test, or with x and y.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub npz: Option<String>,
    /// A Parquet file, or a folder of them, with a column of images and one of labels, as Hugging
    /// Face writes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parquet: Option<String>,
    /// A folder with four files in MNIST's IDX format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idx: Option<String>,
    /// A table of features: CSV, TSV or Parquet. `label` names the column with the classes, or
    /// `response` one with a number to predict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// A folder of text files with a folder for each class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub documents: Option<String>,
    /// The column of `table` or `parquet` with the classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Of `table`, in place of `label`: the column with a number to predict. The network has one
    /// output, and is trained by its squared error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<String>,
    /// Columns of `table` that are left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<String>,
    /// Of `table`: a column of words becomes a column of 0 and 1 for each word.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub one_hot: bool,
    /// Of `table`: `mean` puts the mean of its column in place of a missing number, with a column
    /// that says where. null: missing values are an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impute: Option<Impute>,
    /// Of `table`: `","` for decimal commas; columns are then separated by semicolons or tabs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decimal: Option<String>,
    /// Examples of one group, such as a patient's, are never on two sides of a split. Of `table`
    /// and `parquet`: a column. Of `images` and `documents`: a pattern for the file's path below
    /// the folder of its class. What its first `*` stands for is the group: `*_*` gives `patient7`
    /// for `patient7_left.png`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Leave out test examples whose content is also among the training examples.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub drop_duplicates: bool,
}

/// What is done about missing values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Impute {
    Mean,
}

impl DataPlace {
    /// The places that are given, each with its key.
    pub fn given(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("images", &self.images),
            ("npz", &self.npz),
            ("parquet", &self.parquet),
            ("idx", &self.idx),
            ("table", &self.table),
            ("documents", &self.documents),
        ];
        all.into_iter().filter_map(|(key, path)| Some((key, path.as_deref()?))).collect()
    }
}

impl std::fmt::Display for DataPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // As in a study, so that it can be copied into one.
        let plain = |text: &str| text.chars().all(|c| c.is_alphanumeric() || "/._-~".contains(c)) && !text.is_empty();
        let shown = |value: &serde_json::Value| match value.as_str() {
            Some(text) if plain(text) => text.to_string(),
            _ => value.to_string(),
        };
        let fields = serde_json::to_value(self).unwrap_or_default();
        let given = fields.as_object().into_iter().flatten().map(|(key, value)| format!("{key}: {}", shown(value)));
        write!(f, "{{{}}}", given.collect::<Vec<_>>().join(", "))
    }
}

impl std::fmt::Display for DataChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DataChoice::Named(name) => f.write_str(name.as_str()),
            DataChoice::Place(place) => place.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for DataChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<DataChoice, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = DataChoice;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the name of a data set, or a place such as {images: FOLDER}")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<DataChoice, E> {
                let names = DataName::ALL.map(DataName::as_str);
                let plain = |name: &str| name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
                let found = DataName::ALL.into_iter().find(|name| plain(name.as_str()) == plain(text));
                found.map(DataChoice::Named).ok_or_else(|| {
                    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
                    E::custom(format!("unknown variant `{text}`, expected one of {}", quoted.join(", ")))
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<DataChoice, A::Error> {
                let place = DataPlace::deserialize(MapAccessDeserializer::new(map))?;
                if let Some(other) = place.decimal.as_deref().filter(|decimal| ![",", "."].contains(decimal)) {
                    return Err(serde::de::Error::custom(format!("`decimal` is \",\" or \".\", not `{other}`")));
                }
                match place.given().len() {
                    1 => Ok(DataChoice::Place(Box::new(place))),
                    0 => Err(serde::de::Error::custom("no place is given: one of images, npz, parquet, idx, table and documents")),
                    _ => Err(serde::de::Error::custom(format!("{place} has several places; give one"))),
                }
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// Reads a place and says what is there, or what is wrong with it and what to do.
pub type PlaceReader = fn(&DataPlace) -> Result<DatasetInfo, (String, String)>;

/// The reader of places. This module is below the one that reads data, so the program hands the
/// reader over when it starts.
static READER: OnceLock<PlaceReader> = OnceLock::new();

/// What is known of the places so far, for the whole process. A study has few, so entries are kept.
static KNOWN: Mutex<Option<HashMap<DataPlace, &'static DatasetInfo>>> = Mutex::new(None);

/// Sets the reader of places. Later calls change nothing.
pub fn read_places_with(reader: PlaceReader) {
    let _ = READER.set(reader);
}

fn known<T>(use_it: impl FnOnce(&mut HashMap<DataPlace, &'static DatasetInfo>) -> T) -> T {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    use_it(known.get_or_insert_with(HashMap::new))
}

/// Makes known what an earlier run found at a place, so that results can be shown without the data.
/// What this process has read itself is kept. Returns the digest that is known now.
pub fn remember(place: &DataPlace, info: DatasetInfo) -> String {
    known(|all| all.entry(place.clone()).or_insert_with(|| Box::leak(Box::new(info))).digest.clone())
}

impl DataChoice {
    /// In place of a missing choice, which the check of a study refuses.
    pub(super) const NONE: DataChoice = DataChoice::Named(DataName::Digits);

    /// Reads the place, if this has not been done yet.
    ///
    /// # Errors
    /// What is wrong with the data, and a hint.
    pub fn find_out(&self) -> Result<&'static DatasetInfo, (String, String)> {
        let place = match self {
            DataChoice::Named(name) => return Ok(name.info()),
            DataChoice::Place(place) => place,
        };
        if let Some(info) = known(|all| all.get(&**place).copied()) {
            return Ok(info);
        }
        let read = READER.get().ok_or_else(|| (format!("{place} cannot be read here"), "name a data set".to_string()))?;
        let info: &'static DatasetInfo = Box::leak(Box::new(read(place)?));
        Ok(known(|all| *all.entry(DataPlace::clone(place)).or_insert(info)))
    }

    /// What is known of the data. A study's places are read when the study is loaded.
    pub fn info(&self) -> &'static DatasetInfo {
        static UNREAD: OnceLock<DatasetInfo> = OnceLock::new();
        self.find_out().unwrap_or_else(|_| UNREAD.get_or_init(DatasetInfo::default))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_as_people_type_them() {
        let of = |text: &str| serde_yaml::from_str::<DataChoice>(text).map_err(|error| error.to_string());
        for text in ["cifar10", "CIFAR10", "CIFAR-10", "cifar_10"] {
            assert_eq!(of(text).unwrap(), DataChoice::Named(DataName::Cifar10));
        }
        assert!(of("cifar11").unwrap_err().contains("unknown variant `cifar11`"));
        assert_eq!(of("{npz: a.npz}").unwrap().to_string(), "{npz: a.npz}");
        assert!(of("{npz: a, images: b}").unwrap_err().contains("several places"));
        assert!(of("{label: y}").unwrap_err().contains("no place is given"));
        assert!(of("{nope: a}").unwrap_err().contains("unknown field `nope`"));
    }
}
