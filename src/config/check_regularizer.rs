//! Checks the axis that is used in place of λ₀.

use super::axes::{show, Axis};
use super::error::{cut, nearest, words};
use super::layers::Layers;
use super::path::Path;
use super::regularizer::{Regularizer, StrongerEnd};
use super::StudyError;

/// Checks that the axis in place of λ₀ is an axis of the source with numeric values.
pub fn check_regularizer(regularizer: &Regularizer, axes: &[Axis], zip: &[Vec<String>], layers: &Layers) -> Result<(), StudyError> {
    let error = |what: String| layers.error(&Path::parse("regularizer.axis"), what);
    let Some(path) = regularizer.stands_for() else {
        return match regularizer.stronger {
            StrongerEnd::Larger => Ok(()),
            StrongerEnd::Smaller => {
                Err(error("a larger λ₀ is stronger".into()).hint("set `regularizer.axis` to the axis that is used in place of λ₀"))
            }
        };
    };
    let Some(axis) = axes.iter().find(|axis| axis.path == path) else {
        let known: Vec<&str> = axes.iter().map(|axis| axis.path.as_str()).filter(|path| path.starts_with("source.")).collect();
        let error = error(format!("`{}` is not an axis of this study", cut(path)));
        return Err(match (nearest(path, known.iter().copied()), known.as_slice()) {
            (Some(near), _) => error.hint(format!("did you mean `{near}`?")),
            (None, []) => error.hint("give a setting of the source a list of values, e.g. source: {epochs: [5, 10, 20]}"),
            (None, known) => error.hint(format!("the source's axes are {}", words(known.iter().copied()))),
        });
    };
    if !path.starts_with("source.") {
        return Err(error(format!("`{path}` does not regularise the source alone"))
            .hint("choose a setting below `source`, or leave `regularizer` out"));
    }
    if zip.iter().any(|group| group.iter().any(|name| name == path)) {
        return Err(error(format!("`{path}` is zipped with another axis, so that each of its values would be a setting by itself"))
            .hint("leave it out of `zip`"));
    }
    match axis.values.iter().find(|value| value.as_f64().is_none_or(|v| v < 0.0)) {
        Some(value) => Err(error(format!("`{path}` has the value {}, which is not a number ≥ 0", show(value)))),
        None => Ok(()),
    }
}
