//! A study's files on disk: read, with the ones they extend, into layers.

use std::path::{Path as FilePath, PathBuf};

use serde_yaml::{Mapping, Value};

use super::axes::show;
use super::layers::{Layer, Layers, Path};
use super::{storage_failed, StudyError};

/// The files of a study, bases first, and the presets found on the way.
#[derive(Default)]
pub struct ReadFiles {
    pub layers: Layers,
    pub presets: Vec<(String, Layer)>,
    open: Vec<PathBuf>,
}

impl ReadFiles {
    /// Reads a file, and those that it extends before it.
    pub fn file(&mut self, file: &FilePath) -> Result<(), StudyError> {
        let origin = file.display().to_string();
        let real = file.canonicalize().unwrap_or_else(|_| file.to_path_buf());
        if self.open.contains(&real) {
            return Err(StudyError::new(origin, "extends", "the files extend each other in a circle"));
        }
        self.open.push(real);
        let bytes = std::fs::read(file).map_err(|error| {
            let (may_pass, error) = (storage_failed(&error), StudyError::new(&origin, "", format!("cannot read the study: {error}")));
            match (file.is_dir(), may_pass) {
                (true, _) => error.hint("this is a folder; give the study's .yaml file"),
                (_, true) => StudyError { may_pass, ..error }.hint("is its disk or file server well? then try again"),
                _ => error.hint("shipped studies are under experiments/"),
            }
        })?;
        let text =
            String::from_utf8(bytes).map_err(|_| StudyError::new(&origin, "", "the file is not UTF-8 text").hint("is it a YAML study?"))?;
        let text = text.trim_start_matches('\u{feff}').to_string(); // the mark that some editors put first
        let tree = parse(&origin, &text)?;
        let Value::Mapping(mut map) = tree else {
            return Err(StudyError::new(origin, "", "a study is a map of keys to values").hint("see docs/study.md"));
        };
        let base = map.remove("extends");
        let presets = map.remove("presets");
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
                        .error(&Path::parse("extends"), format!("there is no file {}", next.display()))
                        .hint("the path is relative to this file"));
                }
                self.file(&next)?;
            }
            Some(other) => return Err(StudyError::new(origin, "extends", format!("expected the path of a study, not {}", show(&other)))),
        }
        let layer = Layer { origin: origin.clone(), text: Some(text.clone()), at: Path::default(), tree: Value::Mapping(map) };
        self.layers.0.push(layer);
        match presets {
            None => {}
            Some(Value::Mapping(presets)) => {
                for (name, tree) in presets {
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

/// YAML as values, with the place of what is wrong.
pub fn parse(origin: &str, text: &str) -> Result<Value, StudyError> {
    serde_yaml::from_str(text).map_err(|error| {
        let place = error.location().map(|at| (at.line(), at.column()));
        let message = error.to_string();
        let what = message.split(" at line ").next().unwrap_or(&message);
        let mut error = StudyError::new(origin, "", format!("not valid YAML: {what}"));
        error.place = place;
        if text.lines().any(|line| line.trim_start_matches(' ').starts_with('\t')) {
            error.hint = Some("YAML is indented with spaces, not tabs".into());
        } else if let Some(key) = what.split("duplicate entry with key \"").nth(1).and_then(|rest| rest.split('"').next()) {
            error.hint = Some("keep one of the two".into());
            // serde_yaml points at the map; its last line with this key is the one that is too much.
            let is_key = |line: &str| line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(':'));
            let last = text.lines().enumerate().filter(|(_, line)| is_key(line)).last();
            error.place = last.map(|(i, line)| (i + 1, 1 + line.len() - line.trim_start().len())).or(error.place);
        }
        error
    })
}
