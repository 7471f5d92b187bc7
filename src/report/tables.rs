//! results.csv and summary.json.

use serde_json::{json, Map, Value as Json};

use super::answer::{Answer, Interval};
use super::collect::{Group, Metric};
use super::Report;
use crate::config::{show, Study};
use crate::plan::{Plan, StageKind};
use crate::store::Records;

const METRICS: [&str; 8] = ["train_loss", "val_loss", "val_acc", "test_loss", "test_acc", "weight_norm", "distance", "epochs"];

/// A row for each stage that has a record, in plan order, sources first: kind, the axes by their key, seed, stage key, status,
/// metrics. No times, hosts or versions: two runs of one study compare byte for byte.
pub fn results_csv(study: &Study, plan: &Plan, records: &Records) -> String {
    let mut columns: Vec<&str> = vec!["lambda0", "lambda1"];
    columns.extend(study.axes.iter().map(|axis| axis.path.as_str()).filter(|path| !["lambda0", "lambda1"].contains(path)));
    let mut out = format!("kind,{},seed,stage,status,{},error\n", columns.join(","), METRICS.join(","));
    for kind in [StageKind::Source, StageKind::Target, StageKind::Scratch] {
        for stage in plan.stages.iter().filter(|stage| stage.kind == kind) {
            let Some(record) = records.by_key.get(&stage.key) else { continue };
            let value = |path: &str| match (path, kind) {
                ("lambda0", StageKind::Source | StageKind::Target) => plain(stage.settings.lambda0),
                ("lambda1", StageKind::Target | StageKind::Scratch) => plain(stage.lambda),
                _ => stage
                    .axes
                    .iter()
                    .find(|(axis, _)| axis == path && !path.starts_with("lambda"))
                    .map(|(_, value)| field(&show(value)))
                    .unwrap_or_default(),
            };
            let axes: Vec<String> = columns.iter().map(|path| value(path)).collect();
            let metrics: Vec<String> =
                METRICS.iter().map(|name| record.metrics.get(*name).map(|v| plain(*v)).unwrap_or_default()).collect();
            let error = field(record.error.as_deref().unwrap_or_default());
            out.push_str(&format!(
                "{},{},{},{},{},{},{error}\n",
                kind.as_str(),
                axes.join(","),
                stage.seed,
                stage.key,
                record.status.as_str(),
                metrics.join(",")
            ));
        }
    }
    out
}

/// The shortest digits that give the same number again.
fn plain(value: f64) -> String {
    format!("{value}")
}

/// Quoted where CSV needs it.
pub fn field(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"").replace(['\n', '\r'], " ")),
        false => text.to_string(),
    }
}

/// The answer for programs. The keys of a study's only group stand at the top; with several groups those are null, and each
/// group has its own.
pub fn summary_json(study: &Study, report: &Report) -> String {
    let groups: Vec<Map<String, Json>> = report.groups.iter().map(|(group, answer)| group_json(group, answer)).collect();
    let mut top = Map::new();
    top.insert("version".into(), json!(1));
    top.insert("study".into(), json!(study.name));
    let only = if groups.len() == 1 { groups.first().cloned() } else { None };
    let empty = || group_keys().into_iter().map(|key| (key, Json::Null)).collect();
    top.extend(only.unwrap_or_else(empty));
    top.insert("stages".into(), json!({"done": report.counts.done, "diverged": report.counts.diverged, "failed": report.counts.failed, "missing": report.counts.missing}));
    if groups.len() != 1 {
        top.insert("groups".into(), json!(groups));
    }
    serde_json::to_string_pretty(&top).unwrap_or_default() + "\n"
}

fn group_keys() -> Vec<String> {
    let names = "metric lambda0_source_optimal lambda0_transfer_optimal lambda1_transfer_optimal lambda1_at_source_optimal scratch_lambda log_ratio \
                 probability_transfer_stronger mismatch_cost mismatch_cost_interval transfer_gain negative_transfer edge ties seeds";
    names.split_whitespace().map(str::to_string).collect()
}

fn group_json(group: &Group, answer: &Answer) -> Map<String, Json> {
    let finite = |value: f64| if value.is_finite() { json!(value) } else { Json::Null };
    let interval = |interval: Option<Interval>| match interval {
        None => json!({"estimate": null, "low": null, "high": null}),
        Some(Interval { estimate, range }) => json!({
            "estimate": finite(estimate),
            "low": range.map_or(Json::Null, |(low, _)| finite(low)),
            "high": range.map_or(Json::Null, |(_, high)| finite(high)),
        }),
    };
    let lambda = |value: Option<f64>| match value {
        Some(value) if value.is_infinite() => json!("inf"),
        Some(value) => json!(value),
        None => Json::Null,
    };
    let mut map = Map::new();
    if !group.axes.is_empty() {
        map.insert(
            "axes".into(),
            group
                .axes
                .iter()
                .map(|(path, value)| (path.clone(), serde_json::to_value(value).unwrap_or(Json::Null)))
                .collect::<Map<_, _>>()
                .into(),
        );
    }
    let values = [
        json!(if answer.metric == Metric::Accuracy { "accuracy" } else { "loss" }),
        lambda(answer.source.map(|i| group.lambda0[i])),
        lambda(answer.transfer.map(|(i, _)| group.lambda0[i])),
        lambda(answer.transfer.map(|(_, j)| group.lambda1[j])),
        lambda(answer.companion.map(|j| group.lambda1[j])),
        lambda(answer.scratch.map(|k| group.scratch_lambda[k])),
        interval(answer.log_ratio),
        json!(answer.probability_stronger),
        answer.mismatch_cost.map_or(Json::Null, |cost| finite(cost.estimate)),
        interval(answer.mismatch_cost),
        interval(answer.gain),
        answer.gain.map_or(Json::Null, |gain| json!(gain.estimate < 0.0)),
        json!(answer.edges),
        json!(answer.ties),
        json!(answer.seeds.len()),
    ];
    map.extend(group_keys().into_iter().zip(values));
    map
}
