//! Generates docs/study.md from the settings' doc comments. A test fails if the file is out of
//! date.

use serde_json::Value as Json;

use super::schema::{NodeContent, SchemaNode, StudyKind, StudySchema};

const HEAD: &str = r#"# The study file

<!-- Made by `transfergrid schema --markdown > docs/study.md` from the doc comments in src/config/. Do not edit. -->

A study is one YAML file. Three of them that work as they are:

```yaml
# 1. The least: two tasks of one data set, and what to try.
name: least
data: digits
lambda0: [0, 1e-3, 1e-2, 1e-1]
lambda1: [0, 1e-1]
model: {kind: mlp, hidden: [64]}
source: {classes: [0, 1, 2, 3, 4], epochs: 20, lr: 0.1}
target: {classes: [5, 6, 7, 8, 9], per_class: 10, epochs: 20, lr: 0.1}
```

```yaml
# 2. The same question for several numbers of target images, each with an answer of its own, chosen
#    by loss, with a small preset to try it first: `sweep sizes.yaml --preset small`.
name: sizes
data: mnist
selection: loss
label: "{target.per_class} images a class"
lambda0: [0, {log: {from: 1e-4, to: 1e-1, points: 10}}]
lambda1: [0, 1e-2, 1e-1, 1]
model: {kind: mlp, hidden: [256, 256]}
source: {classes: [0, 1, 2, 3, 4], per_class: 1000, epochs: 30, lr: 0.05}
target: {classes: [5, 6, 7, 8, 9], per_class: [5, 20, 100], epochs: 60, lr: 0.02}
scratch: {lambdas: [0, 1e-2]}
presets:
  small: {seeds: 3, source: {per_class: 200, epochs: 10}, target: {epochs: 20}}
```

```yaml
# 3. A ConvNet with augmentation that goes on until the order is known, or two hours are used:
#    `sweep settled.yaml --until settled`.
name: settled
data: cifar10
lambda0: [0, {log: {from: 1e-4, to: 3e-2, points: 6}}]
lambda1: [0, 1e-2, 1e-1, 1]
model: {kind: convnet, channels: [32, 64], norm: group}
source:
  classes: [bird, cat, deer, dog, frog, horse]
  epochs: 30
  lr: 0.05
  schedule: {kind: cosine}
  augment: {flip: true, shift: 4}
target: {classes: [airplane, automobile, ship, truck], per_class: 25, epochs: 40, lr: 0.02}
settle: {by: accuracy, budget: 2h}
```

Any setting below may be a list: it is then an *axis*, and the study has a cell for every
combination of axis values and every seed. `{log: {from: 1e-5, to: 1e-1, points: 9}}` and `{linear: {from: 0, to: 1, points: 5}}`
stand for lists, and may stand inside one: `[0, {log: {from: 1e-5, to: 1e-1, points: 9}}]`. A setting that is a list by nature
(such as `source.classes`) becomes an axis as a list of lists. Unknown keys are errors. At the top level, keys
that begin with `x-` or `.` may hold YAML anchors (`x-common: &common {…}`), and `<<: *common` merges it.

`--set key=value` (any key path, e.g. `--set source.lr=0.1`), `--preset NAME` and `--seeds N` override the file;
`transfergrid plan STUDY` shows the result. `transfergrid schema > study.schema.json` gives editors completion and checks.

"#;

const OBJECTIVES: &str = "\
## What the numbers mean

| quantity | definition |
|---|---|
| source objective | mean cross-entropy over the batch + (λ₀/2)·‖θ‖² |
| target objective | mean cross-entropy + (λ₁/2)·‖θ_b − θ_b⁰‖² + (β/2)·‖θ_h‖²; θ_b the backbone, θ_b⁰ the source's, θ_h the head |
| from-scratch objective | mean cross-entropy + (λ/2)·‖θ‖², λ from `scratch.lambdas` |
| with `l1_ratio` α | λ/2·‖u‖² becomes λ(α‖u‖₁ + (1 − α)/2·‖u‖²) in that phase (the target's also in training from scratch) |
| `transfer.method: probe`, `ridge` | θ_b = θ_b⁰; mean cross-entropy + (λ₁/2)·‖θ_h‖², or ½·mean‖y − ŷ‖² + (λ₁/2)·‖W_h‖² in closed form with an intercept that is not penalised |
| θ | all parameters; biases and normalisation parameters as `penalty.biases` and `penalty.norm` say |
| explicit step | g ← ∇loss + λ(θ − θ⁰); v ← μv + g; θ ← θ − lr·v (Nesterov: θ − lr·(g + μv)): PyTorch's SGD with coupled weight decay |
| proximal step | g ← ∇loss; v ← μv + g; θ′ ← θ − lr·v (or Nesterov); θ ← θ⁰ + (θ′ − θ⁰)/(1 + lr·λ/(1 − μ)): the same minimum as the explicit step |
| `optimiser: adamw` | θ ← θ − lr·λ(θ − θ⁰), then Adam's step on ∇loss alone; with the proximal step θ ← θ⁰ + (θ′ − θ⁰)/(1 + lr·λ) after it: PyTorch's AdamW, decoupled weight decay |
| `optimiser: adam` | Adam's step on ∇loss + λ(θ − θ⁰): PyTorch's Adam with weight decay |
| λ of Adam and AdamW | no weight of an objective: where the steps end, λ(θ − θ⁰) balances the *rescaled* gradient m̂/(√v̂ + ε), not ∇loss. A λ of theirs is not comparable with one of SGD, nor with the theory |
| `clip_norm` c | ∇loss ← ∇loss·min(1, c/(‖∇loss‖ + 10⁻⁶)) of each model, before the penalty |
| input | (pixel/255 − mean)/sd per channel, mean and sd over the *source's* training images of the same seed, for source, target and training from scratch |
| input of documents | TF-IDF rows of length 1; vocabulary and idf from the source's training documents of the same seed, or from those of both tasks |
| initial weights | uniform in ±1/√fan_in (weights and biases), drawn from the seed |

Replicas that differ only in λ share initialisation, data order and augmentation of their seed. Choices are made on validation images.
Test images are evaluated once, after training, and only reported.

";

/// The reference as Markdown.
pub fn markdown() -> String {
    let mut out = String::from(HEAD);
    for (kind, title) in [(StudyKind::Network, "Network studies"), (StudyKind::Ridge, "Ridge studies (`kind: ridge`)")] {
        let shape = StudySchema::new(kind);
        out.push_str(&format!("## {title}\n\n"));
        out.push_str(&table(&shape.header, ""));
        out.push('\n');
        out.push_str(&sections(&shape.header, ""));
        out.push_str("### Settings\n\n");
        let paragraphs = if kind == StudyKind::Ridge { 2 } else { 1 };
        for doc in shape.settings.doc.split("\n\n").take(paragraphs) {
            out.push_str(&format!("{}\n\n", doc.replace('\n', " ")));
        }
        out.push_str(&table(&shape.settings, ""));
        out.push('\n');
        out.push_str(&sections(&shape.settings, ""));
        if kind == StudyKind::Network {
            out.push_str(OBJECTIVES);
        }
    }
    out
}

fn sections(node: &SchemaNode, prefix: &str) -> String {
    let NodeContent::Section(children, order) = &node.what else { return String::new() };
    let mut out = String::new();
    for key in order {
        let child = &children[key];
        if matches!(child.what, NodeContent::Section(..)) {
            let path = format!("{prefix}{key}");
            if path == "target" && !child_is_short(child) {
                out.push_str("### `target`\n\nThe target task and its training: the same keys as `source`.\n\n");
                continue;
            }
            out.push_str(&format!("### `{path}`\n\n{}\n\n{}\n", child.doc.replace('\n', " "), table(child, &format!("{path}."))));
            out.push_str(&sections(child, &format!("{path}.")));
        }
    }
    out
}

/// Whether a section has few keys. A ridge study's tasks have two, so both tables are printed.
fn child_is_short(node: &SchemaNode) -> bool {
    matches!(&node.what, NodeContent::Section(children, _) if children.len() < 4)
}

fn table(node: &SchemaNode, prefix: &str) -> String {
    let NodeContent::Section(children, order) = &node.what else { return String::new() };
    let mut out = String::from("| key | type | default | meaning |\n|---|---|---|---|\n");
    for key in order {
        let child = &children[key];
        let (kind, default) = match &child.what {
            NodeContent::Section(..) => ("section".to_string(), String::new()),
            NodeContent::Setting { schema, .. } => (type_name(schema), default(child)),
        };
        out.push_str(&format!("| `{prefix}{key}` | {kind} | {default} | {} |\n", child.doc.replace('\n', " ").replace('|', "\\|")));
    }
    out
}

fn default(node: &SchemaNode) -> String {
    match &node.default {
        _ if node.required => "required".into(),
        None | Some(Json::Null) => "null".into(),
        Some(value) => format!("`{value}`").replace('"', ""),
    }
}

fn type_name(schema: &Json) -> String {
    if let Some(values) = schema.get("enum").and_then(Json::as_array) {
        return values.iter().filter_map(Json::as_str).map(|v| format!("`{v}`")).collect::<Vec<_>>().join(", ");
    }
    if let Some(word) = schema.get("const").and_then(Json::as_str) {
        return format!("`{word}`");
    }
    if let Some(options) = schema.get("anyOf").or(schema.get("oneOf")).and_then(Json::as_array) {
        let mut names: Vec<String> = options.iter().map(type_name).collect();
        names.dedup();
        return names.join(" or ");
    }
    let one = |name: &str| match name {
        "integer" => "whole number".to_string(),
        "array" => format!("list of {}", schema.get("items").map(type_name).unwrap_or_default()),
        "object" => "map".to_string(),
        "boolean" => "true or false".to_string(),
        "string" => "text".to_string(),
        other => other.to_string(),
    };
    match schema.get("type") {
        Some(Json::String(name)) => one(name),
        Some(Json::Array(names)) => names.iter().filter_map(Json::as_str).map(one).collect::<Vec<_>>().join(" or "),
        _ => "value".into(),
    }
}
