//! A study as layers (base files, the file itself, a preset, flags), and their merge. For every
//! key, the layer that set it can be found.

use saphyr::{LoadableYamlNode, MarkedYaml, YamlData};
use serde_yaml::{Mapping, Value};

use super::error::StudyError;
use super::old_names::old_spelling;

/// One step of a key path.
#[derive(Debug, Clone, PartialEq)]
pub enum Seg {
    Key(String),
    Index(usize),
}

/// A key path such as `source.classes[2]`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Path(pub Vec<Seg>);

impl Path {
    /// Parses the dotted form, e.g. `source.lr`.
    pub fn parse(dotted: &str) -> Path {
        Path(dotted.split('.').filter(|part| !part.is_empty()).map(|part| Seg::Key(part.into())).collect())
    }

    pub fn key(&self, key: &str) -> Path {
        let mut longer = self.clone();
        longer.0.push(Seg::Key(key.into()));
        longer
    }

    pub fn index(&self, index: usize) -> Path {
        let mut longer = self.clone();
        longer.0.push(Seg::Index(index));
        longer
    }

    pub fn join(&self, rest: &Path) -> Path {
        Path(self.0.iter().chain(&rest.0).cloned().collect())
    }

    pub fn parent(&self) -> Path {
        Path(self.0[..self.0.len().saturating_sub(1)].to_vec())
    }

    /// The node of `tree` at this path.
    pub fn get<'a>(&self, tree: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(tree, |node, seg| match seg {
            Seg::Key(key) => node.get(key.as_str()),
            Seg::Index(index) => node.get(*index),
        })
    }

    /// Sets `value` at this path of keys. Missing maps are created.
    pub fn set(&self, tree: &mut Value, value: Value) {
        let mut node = tree;
        for seg in &self.0 {
            let Seg::Key(key) = seg else { return };
            if !node.is_mapping() {
                *node = Value::Mapping(Mapping::new());
            }
            let Value::Mapping(map) = node else { return };
            node = map.entry(Value::String(key.clone())).or_insert(Value::Null);
        }
        *node = value;
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, seg) in self.0.iter().enumerate() {
            match seg {
                Seg::Key(key) if i == 0 => write!(f, "{key}")?,
                Seg::Key(key) => write!(f, ".{key}")?,
                Seg::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// A tree of settings and its origin.
#[derive(Debug, Clone)]
pub struct Layer {
    /// File path, or the flag as typed.
    pub origin: String,
    /// The file's text; none for flags.
    pub text: Option<String>,
    /// Path of the tree in the file, e.g. `presets.small`.
    pub at: Path,
    pub tree: Value,
}

/// Layers from the deepest base to the last flag. Later layers override earlier ones.
#[derive(Debug, Clone, Default)]
pub struct Layers(pub Vec<Layer>);

impl Layers {
    /// Merges all layers into one tree. Maps are merged key by key; everything else is replaced.
    pub fn merged(&self) -> Value {
        let mut all = Value::Mapping(Mapping::new());
        for layer in &self.0 {
            merge(&mut all, &layer.tree);
        }
        all
    }

    /// An error about `path`, located where the last layer that sets it does so. A missing key is
    /// located at its nearest parent that is set.
    pub fn error(&self, path: &Path, what: impl Into<String>) -> StudyError {
        let mut at = path.clone();
        loop {
            let giver = self.0.iter().rev().find(|layer| !at.0.is_empty() && at.get(&layer.tree).is_some());
            if let Some(layer) = giver {
                let mut error = StudyError::new(&layer.origin, path.to_string(), what);
                let inside = layer.at.join(&at);
                let old = || old_spelling(&at).map(|old| layer.at.join(&old));
                error.place = layer.text.as_deref().and_then(|text| locate(text, &inside).or_else(|| locate(text, &old()?)));
                return error;
            }
            if at.0.is_empty() {
                let origin = self.0.iter().rev().find(|layer| layer.text.is_some()).map_or("study", |layer| &layer.origin);
                return StudyError::new(origin, path.to_string(), what);
            }
            at = at.parent();
        }
    }
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Mapping(into), Value::Mapping(from)) if !is_value(from) => {
            for (key, value) in from {
                match into.get_mut(key) {
                    Some(known) => merge(known, value),
                    None => {
                        into.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        (into, from) => *into = from.clone(),
    }
}

/// Whether a map is a grid, `{log: …}` or `{linear: …}`: one value, not a section.
pub fn is_grid(map: &Mapping) -> bool {
    map.contains_key("log") || map.contains_key("linear")
}

/// Whether a map is one value, that is, a grid or a covariance of a ridge study. Such a map is
/// replaced as a whole and not merged key by key.
pub fn is_value(map: &Mapping) -> bool {
    is_grid(map) || ["power", "ar1", "spiked", "file"].iter().any(|key| map.contains_key(key))
}

/// Line and column (from 1) of the node at `path`. For a value in a map, this is the place of its
/// key.
fn locate(text: &str, path: &Path) -> Option<(usize, usize)> {
    let documents = MarkedYaml::load_from_str(text).ok()?;
    let mut node = documents.first()?;
    let mut marker = node.span.start;
    for seg in &path.0 {
        match (seg, &node.data) {
            (Seg::Key(key), YamlData::Mapping(map)) => {
                let (written, value) = map.iter().find(|(k, _)| k.data.as_str() == Some(key) || is_number(k, key))?;
                (marker, node) = (written.span.start, value);
            }
            (Seg::Index(index), YamlData::Sequence(items)) => {
                node = items.get(*index)?;
                marker = node.span.start;
            }
            _ => return None,
        }
    }
    Some((marker.line(), marker.col() + 1))
}

fn is_number(node: &MarkedYaml, key: &str) -> bool {
    node.data.as_integer().is_some_and(|n| n.to_string() == key)
}
