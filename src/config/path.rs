//! Paths of keys, such as `source.classes[2]`.

use serde_yaml::{Mapping, Value};

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
