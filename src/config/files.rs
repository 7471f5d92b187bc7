//! Reads a study's file, and the files that it extends, into layers.

use std::path::{Path as FilePath, PathBuf};

use serde_yaml::{Mapping, Value};

use super::axes::show;
use super::error::cut;
use super::layers::{Layer, Layers};
use super::path::Path;
use super::{old_names, storage_failed, StudyError};

/// The files of a study, bases first, and the presets in them.
#[derive(Default)]
pub struct ReadFiles {
    pub layers: Layers,
    pub presets: Vec<(String, Layer)>,
    open: Vec<PathBuf>,
}

/// The text of a file beside a study. None if there is none that can be read.
pub fn text_if_there(path: &FilePath) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

impl ReadFiles {
    /// Reads a file, after the files that it extends.
    pub fn file(&mut self, file: &FilePath) -> Result<(), StudyError> {
        let origin = file.display().to_string();
        let real = file.canonicalize().unwrap_or_else(|_| file.to_path_buf());
        if self.open.contains(&real) {
            return Err(StudyError::new(origin, "extends", "the `extends` keys of these files form a cycle"));
        }
        self.open.push(real);
        let bytes = std::fs::read(file).map_err(|error| {
            let missing = error.kind() == std::io::ErrorKind::NotFound;
            let (may_pass, error) = (storage_failed(&error), StudyError::new(&origin, "", format!("cannot read the study: {error}")));
            match (file.is_dir(), may_pass) {
                (true, _) => error.hint("this is a folder; give the study's .yaml file"),
                (_, true) => StudyError { may_pass, ..error }.hint("check its disk or file server, then try again"),
                _ if missing => error.hint("`transfergrid studies --write experiments` writes the shipped ones"),
                _ => error,
            }
        })?;
        let text =
            String::from_utf8(bytes).map_err(|_| StudyError::new(&origin, "", "the file is not UTF-8 text").hint("is it a YAML study?"))?;
        let text = text.trim_start_matches('\u{feff}').to_string(); // the byte-order mark that some editors write first
        let tree = parse(&origin, &text)?;
        let Value::Mapping(mut map) = tree else {
            return Err(StudyError::new(origin, "", "a study is a map of keys to values").hint("see docs/study.md"));
        };
        map.retain(|key, _| !holds_anchors(key));
        let base = map.remove("extends");
        let presets = map.remove("presets");
        let mut own = Value::Mapping(map);
        old_names::rename(&mut own);
        match base {
            None => {}
            Some(Value::String(base)) => {
                let next = file.parent().unwrap_or(FilePath::new(".")).join(&base);
                if !next.exists() {
                    let whole = Layer {
                        origin,
                        text: Some(text),
                        at: Path::default(),
                        tree: Value::Mapping(Mapping::from_iter([("extends".into(), base.into())])),
                    };
                    return Err(Layers(vec![whole])
                        .error(&Path::parse("extends"), format!("there is no file {}", cut(&next.display().to_string())))
                        .hint("the path is relative to this file"));
                }
                self.file(&next)?;
            }
            Some(other) => {
                return Err(StudyError::new(origin, "extends", format!("expected the path of a study, not {}", cut(&show(&other)))))
            }
        }
        let layer = Layer { origin: origin.clone(), text: Some(text.clone()), at: Path::default(), tree: own };
        self.layers.0.push(layer);
        match presets {
            None => {}
            Some(Value::Mapping(presets)) => {
                for (name, mut tree) in presets {
                    old_names::rename(&mut tree);
                    let name = name.as_str().map_or_else(|| show(&name), str::to_owned);
                    let layer = Layer { origin: origin.clone(), text: Some(text.clone()), at: Path::parse("presets").key(&name), tree };
                    self.presets.push((name, layer));
                }
            }
            Some(_) => return Err(StudyError::new(origin, "presets", "expected a map of preset names to settings")),
        }
        Ok(())
    }
}

/// Whether a key at the top of a file only holds anchors: `.defaults`, `x-common`.
fn holds_anchors(key: &Value) -> bool {
    key.as_str().is_some_and(|key| key.starts_with('.') || key.starts_with("x-"))
}

/// Parses YAML and applies merge keys (`<<`). Errors have the place of the fault.
pub fn parse(origin: &str, text: &str) -> Result<Value, StudyError> {
    let mut value: Value = serde_yaml::from_str(text).map_err(|error| explained(origin, text, &error))?;
    value.apply_merge().map_err(|error| {
        StudyError::new(origin, "", format!("a merge key cannot be read: {error}")).hint("`<<` takes an anchor of a map, or a list of them")
    })?;
    Ok(value)
}

fn explained(origin: &str, text: &str, error: &serde_yaml::Error) -> StudyError {
    let place = error.location().map(|at| (at.line(), at.column()));
    let message = error.to_string();
    let what = message.split(" at line ").next().unwrap_or(&message);
    let of = |what: String| StudyError { place, ..StudyError::new(origin, "", what) };
    if what.contains("more than one document") {
        return of("the file holds more than one YAML document".into()).hint("keep what stands before or after the `---`");
    }
    if what.contains("expected any YAML value") {
        return of(format!("a number is too large: {}", cut(what))).hint("the largest whole number is 18446744073709551615");
    }
    let own_line = place.and_then(|(line, _)| text.lines().nth(line - 1)).unwrap_or_default();
    let invalid = of(format!("not valid YAML: {}", cut(what)));
    if own_line.trim_start_matches(' ').starts_with('\t') {
        return invalid.hint("YAML is indented with spaces, not tabs");
    }
    let Some(key) = what.split("duplicate entry with key \"").nth(1).and_then(|rest| rest.split('"').next()) else { return invalid };
    StudyError { place: second(text, key, place).or(place), ..invalid }.hint("keep one of the two")
}

/// The place of the second occurrence of a key in the map that begins at `from`.
fn second(text: &str, key: &str, from: Option<(usize, usize)>) -> Option<(usize, usize)> {
    let start = from.map_or(0, |(line, _)| line - 1);
    let indent = |line: &str| line.len() - line.trim_start().len();
    let is_key = |line: &str| line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(':'));
    let mut lines = text.lines().enumerate().skip(start).filter(|(_, line)| is_key(line));
    let (_, first) = lines.next()?;
    let (at, line) = lines.find(|(_, line)| indent(line) == indent(first))?;
    Some((at + 1, indent(line) + 1))
}
