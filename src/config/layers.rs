//! A study as layers (base files, the file itself, a preset, flags), and their merge. For every
//! key, the layer that set it can be found.

use saphyr::{LoadableYamlNode, MarkedYaml, YamlData};
use serde_yaml::{Mapping, Value};

use super::error::StudyError;
use super::old_names::old_spelling;
use super::path::{Path, Seg};

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
    /// Merges all layers into one tree. Sections are merged key by key; everything else, a grid or
    /// a setting that is written as a map, is replaced as a whole.
    pub fn merged(&self, is_section: &dyn Fn(&Path) -> bool) -> Value {
        let mut all = Value::Mapping(Mapping::new());
        for layer in &self.0 {
            merge(&mut all, &layer.tree, &Path::default(), is_section);
        }
        all
    }

    /// What the last layer that sets a path sets it to.
    pub fn last(&self, path: &Path) -> Option<&Value> {
        self.0.iter().rev().find_map(|layer| path.get(&layer.tree))
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

fn merge(into: &mut Value, from: &Value, path: &Path, is_section: &dyn Fn(&Path) -> bool) {
    match (into, from) {
        (Value::Mapping(into), Value::Mapping(from)) if is_section(path) && !is_grid(from) => {
            for (key, value) in from {
                match into.get_mut(key) {
                    Some(known) => merge(known, value, &path.key(key.as_str().unwrap_or_default()), is_section),
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
