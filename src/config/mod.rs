//! A study: from YAML to typed, checked settings. The input (layers of files, presets and flags) is
//! kept apart from the resolved [`Study`], so that every error can point at the line that caused
//! it.

mod axes;
mod check;
mod check_data;
mod check_module;
mod check_regularizer;
mod check_ridge;
mod check_training;
mod error;
mod files;
mod label;
mod layers;
pub mod network;
mod old_names;
mod path;
mod points;
mod reference;
mod regularizer;
mod remembered;
pub mod ridge;
mod schema;
mod settle;

use std::path::Path as FilePath;

use serde::Deserialize;
use serde_yaml::{Mapping, Value};

pub use axes::{show, table_word, Axis};
use check_regularizer::check_regularizer;
pub use error::{cut, nearest, storage_failed, StudyError};
use files::{parse, ReadFiles};
use layers::{Layer, Layers};
pub use network::Network;
use network::TransferMethod;
pub use path::Path;
pub use points::Point;
pub use reference::markdown as reference_markdown;
pub use regularizer::{Regularizer, StrongerEnd};
pub use remembered::{found_data, found_weights, FoundData, FoundWeights, FILE_NAME as FOUND_DATA, WEIGHTS_NAME as FOUND_WEIGHTS};
pub use ridge::Ridge;
#[cfg(test)]
pub use schema::setting_paths;
pub use schema::{json_schema, Question, Selection, StudyKind};
use schema::{Header, StudySchema};
pub use settle::{Aim, Grid, Settle, SettleBy};

/// A study with more cells than this is taken for a typing mistake.
const MOST_CELLS: f64 = 1e6;

/// Overrides of a study file from the command line. Later fields override earlier ones.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--preset NAME`
    pub preset: Option<String>,
    /// `--seeds N`
    pub seeds: Option<u64>,
    /// `--set key=value`, in order.
    pub set: Vec<String>,
}

/// A resolved study: settings with their axes, seeds, and the metric that selects optima.
#[derive(Debug, Clone)]
pub struct Study {
    pub name: String,
    pub description: Option<String>,
    /// Names the settings, with the axes' key paths in braces.
    pub label: Option<String>,
    pub kind: StudyKind,
    pub selection: Selection,
    pub regularizer: Regularizer,
    /// Whether to estimate the alignment of the tasks.
    pub alignment: bool,
    pub question: Option<Question>,
    /// What must be known for the study to be settled.
    pub settle: Settle,
    /// In place of the study's λ₀, λ₁, seeds and draws, if not empty.
    pub grids: Vec<Grid>,
    /// Distinct, in the order given. Empty for a ridge study, whose seed is a setting.
    pub seeds: Vec<u64>,
    pub axes: Vec<Axis>,
    /// Axes that advance together, as indices into `axes`; every axis is in exactly one group.
    groups: Vec<Vec<usize>>,
    /// The settings, with axes as plain lists.
    settings: Value,
    layers: Layers,
}

impl Study {
    /// Reads, merges and checks a study file.
    pub fn load(file: &FilePath, overrides: &Overrides) -> Result<Study, StudyError> {
        remembered::read(file)?;
        let mut read = ReadFiles::default();
        read.file(file)?;
        let kind = kind(&read.layers)?;
        let shape = StudySchema::new(kind);
        for layer in read.layers.0.iter().chain(read.presets.iter().map(|(_, layer)| layer)) {
            schema::check_keys(&shape, layer)?;
        }
        let mut layers = read.layers;
        if let Some(name) = &overrides.preset {
            let found: Vec<Layer> = read.presets.iter().filter(|(preset, _)| preset == name).map(|(_, layer)| layer.clone()).collect();
            if found.is_empty() {
                let known: Vec<&str> = read.presets.iter().map(|(preset, _)| preset.as_str()).collect();
                let error = StudyError::new("--preset", "", format!("{} has no preset `{name}`", file.display()));
                return Err(match known.is_empty() {
                    true => error.hint("it has none; leave --preset out"),
                    false => error.hint(format!("it has {}", error::words(known.into_iter()))),
                });
            }
            layers.0.extend(found);
        }
        if let Some(n) = overrides.seeds {
            if kind == StudyKind::Ridge {
                return Err(StudyError::new("--seeds", "", "a ridge study has no seeds")
                    .hint("its draws: --set draws=1000; its seed: --set seed=1"));
            }
            let tree = Value::Mapping(Mapping::from_iter([("seeds".into(), n.into())]));
            layers.0.push(Layer { origin: format!("--seeds {n}"), text: None, at: Path::default(), tree });
        }
        for set in &overrides.set {
            layers.0.push(set_layer(set, &shape)?);
        }
        let study = Study::resolve(layers, &shape)?;
        study.check_overrides_of_grids()?;
        Ok(study)
    }

    fn resolve(layers: Layers, shape: &StudySchema) -> Result<Study, StudyError> {
        let mut header_tree = Mapping::new();
        let mut settings = layers.merged(&|path| shape.is_section(path));
        let schema::NodeContent::Section(header_keys, _) = &shape.header.what else {
            return Err(layers.error(&Path::default(), "a study is a map of keys to values"));
        };
        if let Value::Mapping(map) = &mut settings {
            for key in header_keys.keys() {
                if let Some(value) = map.remove(key.as_str()) {
                    header_tree.insert(key.as_str().into(), value);
                }
            }
        }
        let header: Header = typed(&Value::Mapping(header_tree), &layers)?;
        let named = (1..=100).contains(&header.name.len()) && header.name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if !named || header.name.starts_with(['.', '-']) {
            return Err(layers
                .error(&Path::parse("name"), format!("`{}` cannot name a folder", cut(&header.name)))
                .hint("use at most 100 letters, digits, `-`, `_` and `.`, and begin with a letter or digit"));
        }
        let seeds_path = Path::parse("seeds");
        if header.seeds.len() > 10_000 {
            return Err(layers.error(&seeds_path, format!("{} seeds are more than the 10000 allowed", header.seeds.len())));
        }
        let seeds = header.seeds.list();
        if seeds.is_empty() {
            return Err(layers.error(&seeds_path, "no seeds").hint("give a number of at least 1, or a list"));
        }
        if let Some((i, seed)) = seeds.iter().enumerate().find(|(i, s)| seeds[..*i].contains(s)) {
            return Err(layers.error(&seeds_path.index(i), format!("seed {seed} is listed twice")));
        }

        let zipped: Vec<&String> = header.zip.iter().flatten().collect();
        let axes = axes::find(&shape.settings, &settings, &layers, &zipped)?;
        for axis in &axes {
            Path::parse(&axis.path).set(&mut settings, Value::Sequence(axis.values.clone()));
        }
        let groups = groups(&axes, &header.zip, &layers)?;
        check_regularizer(&header.regularizer, &axes, &header.zip, &layers)?;
        let seeds = if header.kind == StudyKind::Ridge { vec![] } else { seeds };
        let cells = groups.iter().fold(seeds.len().max(1) as f64, |product, group| product * axes[group[0]].values.len() as f64);
        if cells > MOST_CELLS {
            return Err(StudyError::new(&header.name, "", format!("{cells:.3e} cells are more than the {MOST_CELLS:.0e} allowed"))
                .hint("give some axes fewer values, or split the study"));
        }
        check_settle(&header.settle, &layers)?;
        label::check_label(header.label.as_deref(), &header.regularizer, &settings, &layers)?;
        let study = Study {
            settle: header.settle,
            grids: header.grids,
            name: header.name,
            description: header.description,
            label: header.label,
            kind: header.kind,
            selection: header.selection,
            regularizer: header.regularizer,
            alignment: header.alignment,
            question: header.question,
            seeds,
            axes,
            groups,
            settings,
            layers,
        };
        study.check()?;
        Ok(study)
    }

    /// Checks every value of every axis by itself (so that an error names the value), then every
    /// combination.
    fn check(&self) -> Result<(), StudyError> {
        self.check_grids()?;
        for group in &self.groups {
            for v in 0..self.axes[group[0]].values.len() {
                let mut at = vec![0; self.axes.len()];
                group.iter().for_each(|&axis| at[axis] = v);
                // With zipped axes it is unknown which one is at fault.
                let value = (group.len() == 1).then_some((group[0], v));
                self.check_at(&at).map_err(|setting_error| self.blame(setting_error, value))?;
            }
        }
        for at in self.combinations() {
            self.check_at(&at).map_err(|setting_error| self.blame(setting_error, None))?;
        }
        Ok(())
    }

    fn check_at(&self, at: &[usize]) -> Result<(), check::SettingError> {
        match self.kind {
            StudyKind::Network => self.network_at(at).map(|_| ()),
            StudyKind::Ridge => self.ridge_at(at).map(|_| ()),
        }
    }

    /// All combinations of axis values, as an index into each axis's values. The last group varies
    /// fastest.
    pub fn combinations(&self) -> Vec<Vec<usize>> {
        let mut all = vec![vec![0; self.axes.len()]];
        for group in &self.groups {
            let points = self.axes[group[0]].values.len();
            all = all
                .into_iter()
                .flat_map(|at| {
                    (0..points).map(move |i| {
                        let mut next = at.clone();
                        group.iter().for_each(|&axis| next[axis] = i);
                        next
                    })
                })
                .collect();
        }
        all
    }

    /// The settings of one combination of a network study.
    pub fn cell(&self, at: &[usize]) -> Result<Network, StudyError> {
        self.network_at(at).map_err(|setting_error| self.blame(setting_error, None))
    }

    /// The settings of one combination of a ridge study.
    pub fn ridge(&self, at: &[usize]) -> Result<Ridge, StudyError> {
        self.ridge_at(at).map_err(|setting_error| self.blame(setting_error, None))
    }

    /// Whether two axes advance together.
    pub fn zipped(&self, a: &str, b: &str) -> bool {
        let at = |path: &str| self.axes.iter().position(|axis| axis.path == path);
        let (Some(a), Some(b)) = (at(a), at(b)) else { return false };
        self.groups.iter().any(|group| group.contains(&a) && group.contains(&b))
    }

    /// An error found after loading, located at the line of the setting.
    pub fn error_at(&self, path: &str, what: impl Into<String>) -> StudyError {
        self.layers.error(&Path::parse(path), what)
    }

    fn tree_at(&self, at: &[usize]) -> Value {
        let mut tree = self.settings.clone();
        for (axis, &i) in self.axes.iter().zip(at) {
            Path::parse(&axis.path).set(&mut tree, axis.values[i].clone());
        }
        tree
    }

    /// The metric of the report's verdicts: that by which the study is to be settled, if it is one,
    /// else that which selects.
    pub fn led_by(&self) -> Selection {
        match self.settle.by {
            Some(SettleBy::Accuracy) => Selection::Accuracy,
            Some(SettleBy::Loss) => Selection::Loss,
            Some(SettleBy::Both) | None => self.selection,
        }
    }

    fn network_at(&self, at: &[usize]) -> Result<Network, check::SettingError> {
        let cell: Network = from_tree(&self.tree_at(at))?;
        check::cell(&cell)?;
        if self.alignment && cell.source_info().is_regression {
            let what = "it is estimated for classes, and here a number is predicted";
            return Err(
                check::setting_error("alignment", what).hint("leave it out; `transfergrid theory fit` estimates ρ from the two tables")
            );
        }
        if self.led_by() == Selection::Loss && cell.transfer.method == TransferMethod::Ridge && !cell.scratch.lambdas.is_empty() {
            let what = "`ridge` has squared errors and training from scratch has cross-entropies, which cannot be compared by loss";
            let key = if self.settle.by == Some(SettleBy::Loss) { "settle: {by: accuracy}" } else { "selection: accuracy" };
            return Err(check::setting_error("transfer.method", what).hint(format!("set `{key}`, or `scratch: {{lambdas: []}}`")));
        }
        Ok(cell)
    }

    fn ridge_at(&self, at: &[usize]) -> Result<Ridge, check::SettingError> {
        let cell: Ridge = from_tree(&self.tree_at(at))?;
        check_ridge::cell(&cell)?;
        Ok(cell)
    }

    /// Locates a problem at the line that caused it, and at the exact value if that is known.
    fn blame(&self, setting_error: check::SettingError, value: Option<(usize, usize)>) -> StudyError {
        let mut path = setting_error.path.clone();
        if let Some((a, v)) = value {
            let axis = Path::parse(&self.axes[a].path);
            let from_list = self.layers.0.iter().rev().find_map(|layer| axis.get(&layer.tree)).and_then(|written| written.get(v));
            if path.0.starts_with(&axis.0) && from_list == Some(&self.axes[a].values[v]) {
                path = axis.index(v);
                path.0.extend_from_slice(&setting_error.path.0[axis.0.len()..]);
            }
        }
        let mut error = self.layers.error(&path, setting_error.what);
        error.hint = setting_error.hint;
        error
    }

    /// The resolved study as YAML: one file without presets, bases or grids that reproduces this
    /// study.
    pub fn to_yaml(&self) -> String {
        let mut map = Mapping::new();
        map.insert("name".into(), self.name.clone().into());
        if let Some(text) = &self.description {
            map.insert("description".into(), text.clone().into());
        }
        map.insert("kind".into(), serde_yaml::to_value(self.kind).unwrap_or(Value::Null));
        match self.kind {
            StudyKind::Network => {
                if let Some(label) = &self.label {
                    map.insert("label".into(), label.clone().into());
                }
                map.insert("seeds".into(), Value::Sequence(self.seeds.iter().map(|&s| s.into()).collect()));
                map.insert("selection".into(), serde_yaml::to_value(self.selection).unwrap_or(Value::Null));
                if self.regularizer.stands_for().is_some() {
                    map.insert("regularizer".into(), serde_yaml::to_value(&self.regularizer).unwrap_or(Value::Null));
                }
                if self.alignment {
                    map.insert("alignment".into(), true.into());
                }
                if !self.settle.is_default() {
                    map.insert("settle".into(), serde_yaml::to_value(&self.settle).unwrap_or(Value::Null));
                }
                if !self.grids.is_empty() {
                    map.insert("grids".into(), serde_yaml::to_value(&self.grids).unwrap_or(Value::Null));
                }
            }
            StudyKind::Ridge => {
                map.insert("question".into(), serde_yaml::to_value(self.question).unwrap_or(Value::Null));
            }
        }
        let zipped: Vec<Value> = self
            .groups
            .iter()
            .filter(|g| g.len() > 1)
            .map(|g| g.iter().map(|&a| Value::from(self.axes[a].path.as_str())).collect())
            .collect();
        if !zipped.is_empty() {
            map.insert("zip".into(), Value::Sequence(zipped));
        }
        if let Value::Mapping(settings) = &self.settings {
            map.extend(settings.iter().map(|(k, v)| (k.clone(), v.clone())));
        }
        serde_yaml::to_string(&map).unwrap_or_default()
    }
}

fn check_settle(settle: &Settle, layers: &Layers) -> Result<(), StudyError> {
    for (key, factor) in [("margin", settle.margin), ("within", settle.within)] {
        if !(factor > 1.0 && factor.is_finite()) {
            return Err(layers.error(&Path::parse("settle").key(key), format!("must be a factor above 1, not {factor}")));
        }
    }
    if settle.of.is_empty() {
        return Err(layers.error(&Path::parse("settle.of"), "no question").hint("give some of order, ratio, gain"));
    }
    let budget = settle.budget.as_deref().map(crate::base::numbers::seconds);
    if let Some(Err(what)) = budget {
        return Err(layers.error(&Path::parse("settle.budget"), what));
    }
    Ok(())
}

/// Deserialises a tree of settings. An error has the key path of the value that does not fit.
fn from_tree<T: for<'de> Deserialize<'de>>(tree: &Value) -> Result<T, check::SettingError> {
    serde_path_to_error::deserialize(tree).map_err(|error| {
        let mut path = Path::default();
        for segment in error.path().iter() {
            match segment {
                serde_path_to_error::Segment::Map { key } => path = path.key(key),
                serde_path_to_error::Segment::Seq { index } => path = path.index(*index),
                _ => {}
            }
        }
        check::of_type(path, &error.inner().to_string())
    })
}

fn typed<T: for<'de> Deserialize<'de>>(tree: &Value, layers: &Layers) -> Result<T, StudyError> {
    from_tree(tree).map_err(|setting_error| {
        let mut error = layers.error(&setting_error.path, setting_error.what);
        error.hint = setting_error.hint;
        error
    })
}

/// The kind of study, which determines the keys that it may have. The rest of the header is read
/// after its keys have been checked.
fn kind(layers: &Layers) -> Result<StudyKind, StudyError> {
    let path = Path::parse("kind");
    match layers.last(&path) {
        None => Ok(StudyKind::default()),
        Some(value) => from_tree(value).map_err(|setting_error| {
            let mut error = layers.error(&path, setting_error.what);
            error.hint = setting_error.hint;
            error
        }),
    }
}

fn set_layer(set: &str, shape: &StudySchema) -> Result<Layer, StudyError> {
    let origin = format!("--set {set}");
    let Some((key, value)) = set.split_once('=').filter(|(key, _)| !key.trim().is_empty()) else {
        return Err(StudyError::new(origin, "", "expected key=value").hint("e.g. --set source.lr=0.1 or --set 'lambda0=[0, 1e-3]'"));
    };
    let value = parse(&origin, value)?;
    let path = Path::parse(key.trim());
    if ["extends", "presets"].contains(&key.trim()) {
        return Err(StudyError::new(origin, key.trim(), "this key is only allowed in a file"));
    }
    let mut tree = Value::Mapping(Mapping::new());
    path.set(&mut tree, value);
    old_names::rename(&mut tree);
    let layer = Layer { origin, text: None, at: Path::default(), tree };
    schema::check_keys(shape, &layer)?;
    Ok(layer)
}

/// Groups of axes that advance together, in the order of their first axis.
fn groups(axes: &[Axis], zip: &[Vec<String>], layers: &Layers) -> Result<Vec<Vec<usize>>, StudyError> {
    let mut group_of: Vec<Option<usize>> = vec![None; axes.len()];
    for (g, paths) in zip.iter().enumerate() {
        let at = Path::parse("zip").index(g);
        if paths.len() < 2 {
            return Err(layers.error(&at, "a zipped group names at least two axes"));
        }
        let mut points = None;
        for (i, path) in paths.iter().enumerate() {
            let here = at.index(i);
            let Some(a) = axes.iter().position(|axis| &axis.path == path) else {
                let names = axes.iter().map(|axis| axis.path.as_str());
                return Err(layers
                    .error(&here, format!("`{}` is not an axis of this study (a setting with several values)", cut(path)))
                    .hint(format!("the axes are {}", error::words(names))));
            };
            if group_of[a].is_some() {
                return Err(layers.error(&here, format!("`{path}` is zipped twice")));
            }
            group_of[a] = Some(g);
            let n = axes[a].values.len();
            if *points.get_or_insert(n) != n {
                return Err(layers
                    .error(&here, format!("`{path}` has {n} values, but `{}` has {}", paths[0], points.unwrap_or(n)))
                    .hint("zipped axes need equally many values"));
            }
        }
    }
    for (g, _) in zip.iter().enumerate() {
        let members: Vec<&Axis> = axes.iter().zip(&group_of).filter(|(_, of)| **of == Some(g)).map(|(axis, _)| axis).collect();
        let points = members.first().map_or(0, |axis| axis.values.len());
        let equal = |i: usize, j: usize| members.iter().all(|axis| axes::same(&axis.values[i], &axis.values[j]));
        if let Some(i) = (0..points).find(|&i| (0..i).any(|j| equal(i, j))) {
            let values: Vec<String> = members.iter().map(|axis| format!("{} {}", axis.path, show(&axis.values[i]))).collect();
            return Err(layers.error(&Path::parse("zip").index(g), format!("the combination {} occurs twice", values.join(", "))));
        }
    }
    let mut groups: Vec<Vec<usize>> = vec![];
    for a in 0..axes.len() {
        match group_of[a] {
            None => groups.push(vec![a]),
            Some(g) if !groups.iter().any(|known| known.contains(&a)) => {
                groups.push((0..axes.len()).filter(|&b| group_of[b] == Some(g)).collect())
            }
            Some(_) => {}
        }
    }
    Ok(groups)
}
