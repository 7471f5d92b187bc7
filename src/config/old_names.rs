//! Keys of earlier releases. They are still read, but never written.

use serde_yaml::{Mapping, Value};

use super::path::{Path, Seg};

/// (old, new) names of keys, as paths.
const NAMES: [(&str, &str); 3] =
    [("strength", "regularizer"), ("source.apart", "source.disjoint_from_source"), ("target.apart", "target.disjoint_from_source")];

/// Moves values from an old name to the new one. If a key is given under both names, the old one
/// stays, and the check of unknown keys reports it.
pub fn rename(tree: &mut Value) {
    for (old, new) in NAMES.map(|(old, new)| (Path::parse(old), Path::parse(new))) {
        if new.get(tree).is_none() {
            if let Some(value) = take(tree, &old) {
                new.set(tree, value);
            }
        }
    }
    // `zip` has names of axes as values.
    for group in tree.get_mut("zip").and_then(Value::as_sequence_mut).into_iter().flatten() {
        for name in group.as_sequence_mut().into_iter().flatten() {
            if let Some((_, new)) = NAMES.iter().find(|(old, _)| name.as_str() == Some(old)) {
                *name = Value::from(*new);
            }
        }
    }
}

/// Removes the value at a path of keys from a tree and returns it.
fn take(tree: &mut Value, path: &Path) -> Option<Value> {
    let (Seg::Key(last), parents) = path.0.split_last()? else { return None };
    let parent = parents.iter().try_fold(tree, |node, seg| match seg {
        Seg::Key(key) => node.get_mut(key.as_str()),
        Seg::Index(_) => None,
    })?;
    parent.as_mapping_mut().and_then(|map: &mut Mapping| map.shift_remove(last.as_str()))
}

/// A path as an earlier release spelt it, for locating it in the text of a file.
pub fn old_spelling(path: &Path) -> Option<Path> {
    let rest_of = |prefix: &Path| path.0.strip_prefix(prefix.0.as_slice()).map(<[Seg]>::to_vec);
    NAMES.iter().find_map(|(old, new)| Some(Path::parse(old).join(&Path(rest_of(&Path::parse(new))?))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_names_are_read_and_found_again() {
        let mut tree: Value =
            serde_yaml::from_str("{strength: {axis: source.epochs}, target: {apart: [true, false]}, zip: [[target.apart, seeds]]}")
                .unwrap();
        rename(&mut tree);
        let wanted = "{target: {disjoint_from_source: [true, false]}, zip: [[target.disjoint_from_source, seeds]], regularizer: {axis: source.epochs}}";
        assert_eq!(tree, serde_yaml::from_str::<Value>(wanted).unwrap());
        assert_eq!(old_spelling(&Path::parse("target.disjoint_from_source").index(1)), Some(Path::parse("target.apart").index(1)));
        assert_eq!(old_spelling(&Path::parse("target.lr")), None);
    }

    #[test]
    fn a_key_under_both_names_is_left_to_the_check_of_keys() {
        let both = "{strength: {axis: a}, regularizer: {axis: b}}";
        let mut tree: Value = serde_yaml::from_str(both).unwrap();
        rename(&mut tree);
        assert_eq!(tree, serde_yaml::from_str::<Value>(both).unwrap());
    }
}
