//! The names of a study's settings: its combinations of axes other than λ₀ and λ₁.

use serde_yaml::Value;

use super::axes::show;
use super::{Layers, Path, Regularizer, Study, StudyError};

impl Study {
    /// The name of a setting, if the study has a `label`.
    pub fn setting_label(&self, axes: &[(String, Value)]) -> Option<String> {
        let fill = |text: String, (path, value): (&str, &Value)| {
            let shown = value.as_str().map_or_else(|| show(value), str::to_string);
            text.replace(&place(path), &shown)
        };
        let label = self.label.as_ref()?;
        let named = axes.iter().fold(label.clone(), |text, (path, value)| fill(text, (path, value)));
        // What is left are settings with one value.
        let single = |text: String, path: &str| match Path::parse(path).get(&self.settings) {
            Some(value) => fill(text, (path, value)),
            None => text,
        };
        let named = places(&named.clone()).into_iter().fold(named, single);
        // Axes that it does not name, for example of `--set`: no two settings have one name.
        let others = axes.iter().filter(|(path, _)| !label.contains(&place(path)));
        Some(others.fold(named, |text, (path, value)| format!("{text}, {path}={}", show(value))))
    }
}

fn place(path: &str) -> String {
    format!("{{{path}}}")
}

/// The key paths in braces.
fn places(label: &str) -> Vec<&str> {
    label.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(path, _)| path).collect()
}

/// Checks that a label names settings only.
pub(super) fn check_label(label: Option<&str>, regularizer: &Regularizer, settings: &Value, layers: &Layers) -> Result<(), StudyError> {
    let Some(label) = label else { return Ok(()) };
    let error = |what: String| Err(layers.error(&Path::parse("label"), what));
    if label.is_empty() || label.chars().any(char::is_control) {
        return error("it must be a line of text".into());
    }
    let is_lambda = |path: &str| path == regularizer.axis || path == "lambda1";
    if label.matches('{').count() != label.matches('}').count() {
        return error("a brace is not closed".into());
    }
    let is_known = |path: &str| !is_lambda(path) && Path::parse(path).get(settings).is_some();
    if let Some(unknown) = places(label).into_iter().find(|path| !is_known(path)) {
        return error(format!("`{unknown}` is not a setting of this study"));
    }
    Ok(())
}
