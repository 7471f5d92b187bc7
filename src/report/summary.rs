//! summary.json: the answer for programs. docs/report.md lists its keys.

use serde_json::{json, Map, Value as Json};

use super::answer::{Answer, Edge, Smooth, Verdict};
use super::cells::comparisons;
use super::collect::Group;
use super::stats::Interval;
use super::table::SCHEMA_VERSION;
use super::{statement, Report, Section};
use crate::config::Study;

/// Keys may be added within a version, never renamed.
const VERSION: u32 = 1;

/// The keys of a study's only group stand at the top; with several groups those are null, and each group has its own.
pub fn summary(study: &Study, report: &Report) -> String {
    let groups: Vec<Map<String, Json>> = report.sections.iter().map(section_json).collect();
    let mut top = Map::new();
    top.insert("version".into(), json!(VERSION));
    top.insert("kind".into(), json!("network"));
    top.insert("study".into(), json!(study.name));
    top.insert("headline".into(), json!(statement::headline(report)));
    let only = if groups.len() == 1 { groups.first().cloned() } else { None };
    top.extend(only.unwrap_or_else(|| KEYS.split_whitespace().map(|key| (key.to_string(), Json::Null)).collect()));
    let counts = &report.counts;
    top.insert(
        "stages".into(),
        json!({"done": counts.done, "diverged": counts.diverged, "failed": counts.failed, "missing": counts.missing}),
    );
    top.insert("results_schema".into(), json!(SCHEMA_VERSION));
    if groups.len() != 1 {
        top.insert("groups".into(), json!(groups));
    }
    format!("{:#}\n", Json::Object(top))
}

const KEYS: &str = "metric verdict lambda0_source_optimal lambda0_source_interval lambda0_transfer_optimal lambda0_transfer_interval \
    lambda1_transfer_optimal lambda1_at_source_optimal scratch_lambda log_ratio probability_transfer_stronger smoothed mismatch_cost \
    mismatch_cost_interval transfer_gain negative_transfer cells at_edge edge ties seeds";

fn section_json(section: &Section) -> Map<String, Json> {
    let (group, answer): (&Group, &Answer) = (&section.group, &section.answer);
    let mut map = Map::new();
    if !group.axes.is_empty() {
        let axes = group.axes.iter().map(|(path, value)| (path.clone(), serde_json::to_value(value).unwrap_or(Json::Null)));
        map.insert("axes".into(), Json::Object(axes.collect()));
    }
    let cells = comparisons(&section.rows);
    let values = [
        json!(answer.metric.name()),
        match answer.verdict() {
            _ if answer.log_ratio.is_none() => Json::Null,
            Verdict::Stronger => json!("stronger"),
            Verdict::Weaker => json!("weaker"),
            Verdict::Same => json!("same"),
            Verdict::Open => json!("open"),
        },
        lambda(answer.source.map(|i| group.lambda0[i])),
        range(answer.source_range),
        lambda(answer.transfer.map(|(i, _)| group.lambda0[i])),
        range(answer.transfer_range),
        lambda(answer.transfer.map(|(_, j)| group.lambda1[j])),
        lambda(answer.companion.map(|j| group.lambda1[j])),
        lambda(answer.scratch.map(|k| group.scratch_lambda[k])),
        interval(answer.log_ratio),
        json!(answer.probability_stronger),
        answer.smooth.map_or(Json::Null, |Smooth { source, transfer, log_ratio }| {
            json!({"lambda0_source_optimal": interval(Some(source)), "lambda0_transfer_optimal": interval(Some(transfer)), "log_ratio": interval(Some(log_ratio))})
        }),
        answer.mismatch_cost.map_or(Json::Null, |cost| number(cost.estimate)),
        interval(answer.mismatch_cost),
        interval(answer.gain),
        answer.gain.map_or(Json::Null, |gain| json!(gain.estimate < 0.0)),
        json!({"compared_with_scratch": cells.cells, "better": cells.better, "worse": cells.worse}),
        json!({"source": edge(answer.source_edge), "transfer": edge(answer.transfer_edge)}),
        json!(answer.edges),
        json!(answer.ties),
        json!(answer.seeds.len()),
    ];
    map.extend(KEYS.split_whitespace().map(str::to_string).zip(values));
    map
}

fn edge(edge: Option<Edge>) -> Json {
    edge.map_or(Json::Null, |edge| json!(if edge == Edge::Low { "low" } else { "high" }))
}

/// JSON has no infinity: null, and `infinite` says which bound is.
fn number(value: f64) -> Json {
    if value.is_finite() {
        json!(value)
    } else {
        Json::Null
    }
}

fn interval(value: Option<Interval>) -> Json {
    let Some(Interval { estimate, range }) = value else { return json!({"estimate": null, "low": null, "high": null}) };
    let bound = |pick: fn((f64, f64)) -> f64| range.map(pick);
    let parts = [("estimate", Some(estimate)), ("low", bound(|r| r.0)), ("high", bound(|r| r.1))];
    let mut map: Map<String, Json> = parts.iter().map(|(key, value)| (key.to_string(), value.map_or(Json::Null, number))).collect();
    let infinite: Map<String, Json> = parts
        .iter()
        .filter_map(|(key, value)| {
            value.filter(|v| v.is_infinite()).map(|v| (key.to_string(), json!(if v > 0.0 { "inf" } else { "-inf" })))
        })
        .collect();
    if !infinite.is_empty() {
        map.insert("infinite".into(), Json::Object(infinite));
    }
    Json::Object(map)
}

/// Of λ: finite or, for λ₁, `"inf"`.
fn lambda(value: Option<f64>) -> Json {
    match value {
        Some(value) if value.is_infinite() => json!("inf"),
        Some(value) => json!(value),
        None => Json::Null,
    }
}

fn range(range: Option<(f64, f64)>) -> Json {
    json!({"low": lambda(range.map(|r| r.0)), "high": lambda(range.map(|r| r.1))})
}
