//! summary.json: the answer for programs. docs/report.md lists its keys.

use serde_json::{json, Map, Value as Json};

use super::answer::{Answer, Smooth};
use super::cells::against_scratch;
use super::collect::Group;
use super::compromise::{Choice, Compromise};
use super::edges::Edge;
use super::section::{Report, Section};
use super::statement;
use super::stats::Interval;
use super::table::SCHEMA_VERSION;
use crate::config::Study;

/// Keys may be added within a version, never renamed.
const VERSION: u32 = 1;

/// The keys of a study's only group stand at the top; with several groups those are null, and each group has its own.
pub fn summary(study: &Study, report: &Report) -> String {
    let groups: Vec<Map<String, Json>> = report.sections.iter().map(|section| object(section_json(Some(section)))).collect();
    let counts = &report.counts;
    let mut top = vec![
        ("version", json!(VERSION)),
        ("kind", json!("network")),
        ("study", json!(study.name)),
        ("headline", json!(statement::headline(report))),
        ("made_up", json!(report.made_up)),
    ];
    top.extend(section_json(match report.sections.as_slice() {
        [only] => Some(only),
        _ => None,
    }));
    top.push(("stages", json!({"done": counts.done, "diverged": counts.diverged, "failed": counts.failed, "missing": counts.missing})));
    top.push(("results_no_longer_in_the_study", json!(report.withdrawn)));
    top.push(("results_schema", json!(SCHEMA_VERSION)));
    if let Some(compromise) = &report.compromise {
        top.push(("compromise", compromise_json(compromise)));
    }
    if groups.len() != 1 {
        top.push(("groups", json!(groups)));
    }
    format!("{:#}\n", Json::Object(object(top)))
}

fn object(pairs: Vec<(&str, Json)>) -> Map<String, Json> {
    pairs.into_iter().map(|(key, value)| (key.to_string(), value)).collect()
}

/// The answer of a section; all null without one.
fn section_json(section: Option<&Section>) -> Vec<(&'static str, Json)> {
    let of = |value: &dyn Fn(&Group, &Answer) -> Json| section.map_or(Json::Null, |s| value(&s.group, &s.answer));
    let mut pairs = vec![];
    if let Some(group) = section.map(|s| &s.group).filter(|group| !group.axes.is_empty()) {
        let axes = group.axes.iter().map(|(path, value)| (path.clone(), serde_json::to_value(value).unwrap_or(Json::Null)));
        pairs.push(("axes", Json::Object(axes.collect())));
    }
    pairs.extend([
        ("metric", of(&|_, a| json!(a.metric.name()))),
        ("strength", of(&|g, _| json!(g.strength))),
        ("verdict", of(&|_, a| a.log_ratio.map_or(Json::Null, |_| json!(a.verdict().key())))),
        ("lambda0_source_optimal", of(&|g, a| lambda(a.source.map(|i| g.lambda0[i])))),
        ("lambda0_source_interval", of(&|_, a| range(a.source_range))),
        ("lambda0_transfer_optimal", of(&|g, a| lambda(a.transfer.map(|(i, _)| g.lambda0[i])))),
        ("lambda0_transfer_interval", of(&|_, a| range(a.transfer_range))),
        ("lambda1_transfer_optimal", of(&|g, a| lambda(a.transfer.map(|(_, j)| g.lambda1[j])))),
        ("lambda1_at_source_optimal", of(&|g, a| lambda(a.companion.map(|j| g.lambda1[j])))),
        ("scratch_lambda", of(&|g, a| lambda(a.scratch.map(|k| g.scratch_lambda[k])))),
        ("log_ratio", of(&|_, a| interval(a.log_ratio))),
        ("probability_transfer_stronger", of(&|_, a| json!(a.probability_stronger))),
        ("smoothed", of(&|_, a| smoothed(a.smooth))),
        ("mismatch_cost", of(&|_, a| a.mismatch_cost.map_or(Json::Null, |cost| number(cost.estimate)))),
        ("mismatch_cost_interval", of(&|_, a| interval(a.mismatch_cost))),
        ("transfer_gain", of(&|_, a| interval(a.gain))),
        ("negative_transfer", of(&|_, a| a.gain.filter(|_| a.seeds.len() > 1).map_or(Json::Null, |gain| json!(gain.estimate < 0.0)))),
        ("alignment", of(&|g, _| interval(g.aligned("rho")))),
        ("alignment_cosine", of(&|g, _| interval(g.aligned("cosine")))),
        ("by_other_metric", section.map_or(Json::Null, |s| other_metric(&s.group, &s.second))),
        ("cells", section.map_or(Json::Null, cells)),
        ("at_edge", of(&|_, a| json!({"source": edge(a.source_edge), "transfer": edge(a.transfer_edge)}))),
        ("edge", of(&|_, a| json!(a.edges))),
        ("ties", of(&|_, a| json!(a.ties))),
        ("seeds", of(&|_, a| json!(a.seeds.len()))),
    ]);
    pairs
}

/// The order of the optima by the metric that the study does not select by.
fn other_metric(group: &Group, answer: &Answer) -> Json {
    json!({
        "metric": answer.metric.name(),
        "verdict": answer.log_ratio.map(|_| answer.verdict().key()),
        "lambda0_source_optimal": lambda(answer.source.map(|i| group.lambda0[i])),
        "lambda0_transfer_optimal": lambda(answer.transfer.map(|(i, _)| group.lambda0[i])),
        "log_ratio": interval(answer.log_ratio)
    })
}

fn compromise_json(compromise: &Compromise) -> Json {
    let choice = |choice: &Choice| {
        let costs: Vec<Json> = choice.costs.iter().map(|cost| interval(Some(*cost))).collect();
        json!({"lambda0": lambda(Some(compromise.lambda0[choice.at])), "lambda0_interval": range(choice.range), "costs": costs})
    };
    json!({
        "mean_regret": choice(&compromise.mean),
        "worst_regret": choice(&compromise.worst),
        "source_optimal": compromise.source.as_ref().map_or(Json::Null, choice)
    })
}

fn cells(section: &Section) -> Json {
    let all = against_scratch(&section.rows);
    json!({"compared_with_scratch": all.cells, "better": all.better, "worse": all.worse})
}

fn smoothed(smooth: Option<Smooth>) -> Json {
    smooth.map_or(Json::Null, |Smooth { source, transfer, log_ratio }| {
        json!({
            "lambda0_source_optimal": interval(Some(source)),
            "lambda0_transfer_optimal": interval(Some(transfer)),
            "log_ratio": interval(Some(log_ratio))
        })
    })
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
