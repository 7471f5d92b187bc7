//! The schema of a study file, derived from the settings' types. It is used to find unknown keys
//! and axes, by editors and for the reference.

use std::collections::BTreeMap;

use schemars::{generate::SchemaSettings, JsonSchema};
use serde::{Deserialize, Serialize};
use serde_json::{json, Map, Value as Json};
use serde_yaml::Value;

use super::error::{nearest, words};
use super::layers::{is_grid, Layer};
use super::network::Network;
use super::path::{Path, Seg};
use super::regularizer::Regularizer;
use super::ridge::Ridge;
use super::settle::{Grid, Settle};
use super::StudyError;

/// The keys of a study that are not settings of a cell.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The study's name, which is also the folder of its results under `--out`. Letters, digits,
    /// `-`, `_` and `.`.
    pub name: String,
    /// What the study shows, in a sentence or two.
    #[serde(default)]
    pub description: Option<String>,
    /// `network`: source and target networks, run by `sweep`. `ridge`: linear tasks with exact
    /// theory, run by `theory run`.
    #[serde(default)]
    pub kind: StudyKind,
    /// Base study file that supplies defaults (path relative to this file).
    #[serde(default)]
    pub extends: Option<String>,
    /// Named sets of keys; `--preset NAME` applies one of them on top of the study.
    #[serde(default)]
    pub presets: BTreeMap<String, SchemaDefinitions>,
    /// A number n for the seeds 0 … n−1, or a list of seeds. Results are averaged over seeds, and
    /// compared within seeds.
    #[serde(default)]
    pub seeds: Seeds,
    /// Groups of axes that advance together instead of being crossed, e.g.
    /// `[[source.lr, source.epochs]]`.
    #[serde(default)]
    pub zip: Vec<Vec<String>>,
    /// Names each combination of the axes other than λ₀ and λ₁ in the answer, the page and the
    /// figures: a text with the axes' key paths in braces, e.g.
    /// `"{target.label_noise} wrong labels"`. Axes that it does not name follow it. null: the axes
    /// with their values.
    #[serde(default)]
    pub label: Option<String>,
    /// Metric that selects optima on validation images: `accuracy` or `loss`. Both are reported.
    /// Where a number is predicted, they are R² and the squared error.
    #[serde(default)]
    pub selection: Selection,
    /// The axis that regularises the source, if not λ₀. It is reported in place of λ₀ in the
    /// answer, the figures and the tables.
    #[serde(default)]
    pub regularizer: Regularizer,
    /// Estimate how aligned source and target are, once for each pair of tasks, network and seed:
    /// ρ̂ of ridge solutions on the features of an untrained network.
    #[serde(default)]
    pub alignment: bool,
    /// What must be known for the study to be settled.
    #[serde(default)]
    pub settle: Settle,
    /// What `sweep --until settled` chose in place of the λ₀, λ₁, seeds and draws above, for each
    /// combination of the other axes. It writes them to the study.yaml of its folder.
    #[serde(default)]
    pub grids: Vec<Grid>,
    /// What the study asks, for its figures and its claims. `reversal`: λ₀*/λ_S* against ρ.
    /// `source-noise`: R_S − R_TL against σ₀². `target-size`: R_S − R_TL against n₁. `scaling`:
    /// simulation against prediction as p grows. `cost`: the cost of λ_S* in place of λ₀*, against
    /// ρ. `targets`: one λ₀ for several targets. null: predicted and simulated risks alone.
    #[serde(default)]
    pub question: Option<Question>,
}

/// A tree that is checked elsewhere.
pub type SchemaDefinitions = BTreeMap<String, Json>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StudyKind {
    #[default]
    Network,
    Ridge,
}

impl StudyKind {
    pub fn as_str(self) -> &'static str {
        match self {
            StudyKind::Network => "network",
            StudyKind::Ridge => "ridge",
        }
    }

    /// Keys of the header that studies of this kind do not have.
    fn foreign(self) -> &'static [&'static str] {
        match self {
            StudyKind::Network => &["question"],
            StudyKind::Ridge => &["seeds", "label", "selection", "regularizer", "alignment", "settle", "grids"],
        }
    }
}

/// What a ridge study asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// λ₀*/λ_S* against ρ: stronger regularisation for ρ < 1, weaker for ρ > 1, and where the ratio
    /// crosses 1.
    Reversal,
    /// R_S − R_TL against σ₀²: more source noise, less benefit.
    SourceNoise,
    /// R_S − R_TL against n₁: whether the decision to transfer depends on the target's size.
    TargetSize,
    /// Simulation against its deterministic equivalent as p grows.
    Scaling,
    /// The cost of λ_S* in place of λ₀*, against ρ.
    Cost,
    /// One λ₀ for several targets.
    Targets,
}

/// The metric that selects optima.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Selection {
    #[default]
    Accuracy,
    Loss,
}

/// The number of seeds, or a list of seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Seeds {
    Count(u64),
    List(Vec<u64>),
}

impl Default for Seeds {
    fn default() -> Self {
        Seeds::Count(5)
    }
}

impl Seeds {
    /// The number of seeds, without building the list.
    pub fn len(&self) -> u64 {
        match self {
            Seeds::Count(n) => *n,
            Seeds::List(seeds) => seeds.len() as u64,
        }
    }

    pub fn list(&self) -> Vec<u64> {
        match self {
            Seeds::Count(n) => (0..*n).collect(),
            Seeds::List(seeds) => seeds.clone(),
        }
    }
}

/// The schema of the header or of the settings, with subschemas inlined.
fn schema_of<T: JsonSchema>() -> Json {
    SchemaSettings::default().with(|s| s.inline_subschemas = true).into_generator().into_root_schema_for::<T>().to_value()
}

/// What is allowed under a key.
#[derive(Debug, Clone)]
pub struct SchemaNode {
    pub doc: String,
    pub default: Option<Json>,
    pub required: bool,
    pub what: NodeContent,
}

#[derive(Debug, Clone)]
pub enum NodeContent {
    Section(BTreeMap<String, SchemaNode>, Vec<String>),
    /// `is_list`: the setting itself is a list, so an axis of it is a list of lists.
    Setting {
        is_list: bool,
        schema: Json,
    },
}

/// The header's keys and the settings' keys, side by side.
pub struct StudySchema {
    pub kind: StudyKind,
    pub header: SchemaNode,
    pub settings: SchemaNode,
}

impl StudySchema {
    pub fn new(kind: StudyKind) -> StudySchema {
        let mut header = node(&schema_of::<Header>(), true);
        if let NodeContent::Section(children, order) = &mut header.what {
            children.retain(|key, _| !kind.foreign().contains(&key.as_str()));
            order.retain(|key| !kind.foreign().contains(&key.as_str()));
        }
        let settings = match kind {
            StudyKind::Network => schema_of::<Network>(),
            StudyKind::Ridge => schema_of::<Ridge>(),
        };
        StudySchema { kind, header, settings: node(&settings, true) }
    }

    /// Whether a path is that of a map of keys, and not of one setting.
    pub fn is_section(&self, path: &Path) -> bool {
        [&self.header, &self.settings].into_iter().any(|root| {
            let found = path.0.iter().try_fold(root, |node, seg| match (&node.what, seg) {
                (NodeContent::Section(children, _), Seg::Key(key)) => children.get(key),
                _ => None,
            });
            found.is_some_and(|node| matches!(node.what, NodeContent::Section(..)))
        })
    }
}

fn node(schema: &Json, required: bool) -> SchemaNode {
    let doc = schema.get("description").and_then(Json::as_str).unwrap_or_default().to_string();
    let default = schema.get("default").cloned();
    let what = match schema.get("properties").and_then(Json::as_object) {
        Some(properties) => {
            let needed: Vec<&str> =
                schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect();
            let order = properties.keys().cloned().collect();
            let children = properties.iter().map(|(k, v)| (k.clone(), node(v, needed.contains(&k.as_str())))).collect();
            NodeContent::Section(children, order)
        }
        None => {
            let kind = schema.get("type");
            let is_list = kind.is_some_and(|t| t == "array" || t.as_array().is_some_and(|all| all.iter().any(|t| t == "array")));
            NodeContent::Setting { is_list, schema: schema.clone() }
        }
    };
    SchemaNode { doc, default, required, what }
}

impl SchemaNode {
    /// The settings below this node, in the order of their declaration.
    pub fn leaves(&self) -> Vec<(Path, &SchemaNode)> {
        fn walk<'a>(node: &'a SchemaNode, path: Path, out: &mut Vec<(Path, &'a SchemaNode)>) {
            match &node.what {
                NodeContent::Section(children, order) => order.iter().for_each(|key| walk(&children[key], path.key(key), out)),
                NodeContent::Setting { .. } => out.push((path, node)),
            }
        }
        let mut out = vec![];
        walk(self, Path::default(), &mut out);
        out
    }
}

/// The key path of every setting of a network study's cell.
#[cfg(test)]
pub fn setting_paths() -> Vec<String> {
    StudySchema::new(StudyKind::Network).settings.leaves().into_iter().map(|(path, _)| path.to_string()).collect()
}

/// Rejects unknown keys, and suggests the nearest known key.
pub fn check_keys(shape: &StudySchema, layer: &Layer) -> Result<(), StudyError> {
    let Value::Mapping(map) = &layer.tree else {
        return Err(error_in(layer, &Path::default(), "a study is a map of keys to values"));
    };
    let (NodeContent::Section(header, _), NodeContent::Section(settings, _)) = (&shape.header.what, &shape.settings.what) else {
        return Ok(());
    };
    let known: BTreeMap<&String, &SchemaNode> = header.iter().chain(settings).collect();
    check_map(layer, map, &known, &Path::default(), shape)
}

fn check_map(
    layer: &Layer,
    map: &serde_yaml::Mapping,
    known: &BTreeMap<&String, &SchemaNode>,
    path: &Path,
    shape: &StudySchema,
) -> Result<(), StudyError> {
    for (key, value) in map {
        let Some(key) = key.as_str() else {
            return Err(error_in(layer, path, "keys are plain words here, not numbers or lists"));
        };
        let here = path.key(key);
        let Some(child) = known.get(&key.to_string()) else {
            let names = known.keys().map(|k| k.as_str());
            let error = error_in(layer, &here, format!("unknown key; expected one of {}", words(names.clone())));
            if let Some(hint) = known_elsewhere(key, path, shape) {
                return Err(error.hint(hint));
            }
            return Err(match (nearest(key, names), elsewhere(key, shape)) {
                (Some(near), _) => error.hint(format!("did you mean `{}`?", path.key(near))),
                (None, Some(full)) => error.hint(format!("it belongs at `{full}`")),
                (None, None) if path.0.is_empty() && value.is_mapping() => {
                    error.hint(format!("if it only holds an anchor, name it `x-{key}`"))
                }
                (None, None) => error,
            });
        };
        if let (NodeContent::Section(children, _), Value::Mapping(inner)) = (&child.what, value) {
            if !is_grid(inner) {
                check_map(layer, inner, &children.iter().collect(), &here, shape)?;
            }
        }
    }
    Ok(())
}

/// A hint for keys that other programs, or studies of the other kind, use for the same thing.
fn known_elsewhere(key: &str, path: &Path, shape: &StudySchema) -> Option<String> {
    let plain = key.to_lowercase().replace(['-', '_'], "");
    let section =
        |name: &str| if path.0.is_empty() { format!("`source.{name}` and `target.{name}`") } else { format!("`{}`", path.key(name)) };
    let hint = match plain.as_str() {
        "weightdecay" | "wd" | "l2" | "l2reg" | "alpha" | "lambda" | "reg" | "penaltystrength" => {
            "the penalties are `lambda0` (source) and `lambda1` (target), at the top of the study".into()
        }
        "learningrate" | "eta" | "stepsize" => format!("the learning rate is {}", section("lr")),
        "batch" | "bs" | "minibatch" => format!("the batch size is {}", section("batch_size")),
        "nepochs" | "numepochs" | "maxepochs" => format!("it is {}", section("epochs")),
        "optimizer" | "optim" | "optimiser" => format!("it is {}", section("optimiser")),
        "gradclip" | "clipgradnorm" | "maxgradnorm" | "gradientclipval" | "clip" => format!("it is {}", section("clip_norm")),
        "eps" => format!("it is {}", section("epsilon")),
        "beta1" | "beta2" => format!("they are {}", section("betas")),
        "dataset" => "it is `data`".into(),
        "architecture" | "arch" | "network" => "it is `model: {kind: …}`".into(),
        "start" | "stop" | "num" => "a grid has `from`, `to` and `points`".into(),
        _ if path.0.is_empty() && shape.kind.foreign().contains(&key) => match shape.kind {
            StudyKind::Ridge => "it is a key of studies of networks; a ridge study has `draws` and `seed`".into(),
            StudyKind::Network => "it is a key of ridge studies (`kind: ridge`)".into(),
        },
        _ => return None,
    };
    Some(hint)
}

/// The path at which a study has a key of this name.
fn elsewhere(key: &str, shape: &StudySchema) -> Option<String> {
    shape.settings.leaves().into_iter().map(|(path, _)| path.to_string()).find(|path| path.rsplit('.').next() == Some(key))
}

fn error_in(layer: &Layer, path: &Path, what: impl Into<String>) -> StudyError {
    super::layers::Layers(vec![layer.clone()]).error(path, what)
}

/// The JSON schema of a study file, for editors. Every setting may also be a list of values or a
/// grid.
pub fn json_schema() -> Json {
    let [network, ridge] = [StudyKind::Network, StudyKind::Ridge].map(schema_of_kind);
    let is_ridge = json!({"properties": {"kind": {"const": "ridge"}}, "required": ["kind"]});
    json!({
        "$schema": network["$schema"],
        "title": "transfergrid study",
        "description": "A study of transfergrid; see docs/study.md.",
        "if": is_ridge,
        "then": ridge,
        "else": network,
    })
}

fn schema_of_kind(kind: StudyKind) -> Json {
    let mut schema = schema_of::<Header>();
    let mut settings = match kind {
        StudyKind::Network => schema_of::<Network>(),
        StudyKind::Ridge => schema_of::<Ridge>(),
    };
    with_axes(&mut settings);
    let required = ["name"]; // the rest may come from the base file named in `extends`
    if let (Some(Json::Object(into)), Some(Json::Object(from))) = (schema.get_mut("properties"), settings.get_mut("properties")) {
        into.retain(|key, _| !kind.foreign().contains(&key.as_str()));
        into.append(from);
        into.insert(
            "presets".into(),
            json!({"type": "object", "description": "Named sets of keys that `--preset NAME` lays over the study."}),
        );
    }
    // Keys that only hold anchors.
    schema["patternProperties"] = json!({"^(x-|\\.)": {}});
    schema["required"] = json!(required);
    schema["title"] = json!(format!("{} study", kind.as_str()));
    schema["description"] = json!("A study of transfergrid; see docs/study.md.");
    schema
}

fn with_axes(schema: &mut Json) {
    let Some(Json::Object(properties)) = schema.get_mut("properties") else { return };
    for child in properties.values_mut() {
        if child.get("properties").is_some() {
            with_axes(child);
            if let Json::Object(map) = child {
                map.remove("required"); // a preset or an extending file gives only what it changes
            }
            continue;
        }
        let plain = child.clone();
        let mut out = Map::new();
        for key in ["description", "default"] {
            if let Some(kept) = child.get(key) {
                out.insert(key.into(), kept.clone());
            }
        }
        let range = json!({"type": "object", "properties": {"from": {"type": "number"}, "to": {"type": "number"}, "points": {"type": "integer", "minimum": 1}},
            "required": ["from", "to", "points"], "additionalProperties": false});
        let grid = |name: &str| json!({"type": "object", "properties": {name: range}, "required": [name], "additionalProperties": false});
        out.insert(
            "anyOf".into(),
            json!([plain, {"type": "array", "items": {"anyOf": [plain, grid("log"), grid("linear")]}}, grid("log"), grid("linear")]),
        );
        *child = Json::Object(out);
    }
}
