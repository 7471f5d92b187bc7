//! summary.json: the answer in machine-readable form. docs/report.md lists its keys.

use serde_json::{json, Map, Value as Json};

use super::setting_text::{optimum_at_end, tie};
use super::verdict_text::headline;
use super::words::axes_label;
use crate::base::interval::Interval;
use crate::report::analysis::{
    compare_with_scratch, Answered, Calibration, GridEnd, History, Method, OptimaComparison, PredictionAnalysis, RoundRow, Setting,
    SettingAnalysis, SharedChoice, SharedLambda0, StudyAnalysis, SCHEMA_VERSION,
};

/// Version of the keys. Within a version keys may be added, but are never renamed.
const VERSION: u32 = 1;

/// The keys of a single setting are at the top level. With several settings these are null, and
/// each entry of `groups` has its own.
pub fn summary_json(analysis: &StudyAnalysis) -> String {
    let groups: Vec<Map<String, Json>> = analysis.settings.iter().map(|setting| object(setting_json(Some(setting)))).collect();
    let counts = &analysis.counts;
    let mut top = vec![
        ("version", json!(VERSION)),
        ("kind", json!("network")),
        ("study", json!(analysis.name)),
        ("headline", json!(headline(analysis))),
        ("made_up", json!(analysis.made_up)),
    ];
    top.extend(setting_json(match analysis.settings.as_slice() {
        [only] => Some(only),
        _ => None,
    }));
    top.push(("stages", json!({"done": counts.done, "diverged": counts.diverged, "failed": counts.failed, "missing": counts.missing})));
    top.push(("results_no_longer_in_the_study", json!(analysis.withdrawn)));
    top.push(("results_schema", json!(SCHEMA_VERSION)));
    if let Some(shared) = &analysis.shared_lambda0 {
        top.push(("compromise", shared_json(shared)));
    }
    if let Some(history) = &analysis.history {
        top.extend([
            ("settled", json!(history.settled)),
            ("rounds", rounds(analysis, history)),
            ("spent_s", number(history.spent)),
            ("left", json!({
                "seconds": history.left.map(f64::round),
                "given_up": history.given_up.iter().map(|(setting, why)| json!({"setting": label_of(analysis, *setting), "why": why})).collect::<Vec<_>>()
            })),
        ]);
    }
    if groups.len() != 1 {
        top.push(("groups", json!(groups)));
    }
    format!("{:#}\n", Json::Object(object(top)))
}

fn object(pairs: Vec<(&str, Json)>) -> Map<String, Json> {
    pairs.into_iter().map(|(key, value)| (key.to_string(), value)).collect()
}

/// The answer for a setting. All values are null without an answer.
fn setting_json(analysis: Option<&SettingAnalysis>) -> Vec<(&'static str, Json)> {
    let answered = analysis.and_then(|a| a.answer.answered());
    let of_setting = |value: &dyn Fn(&SettingAnalysis) -> Json| analysis.map_or(Json::Null, value);
    let of_answer = |value: &dyn Fn(&Setting, &Answered) -> Json| {
        analysis.zip(answered).map_or(Json::Null, |(analysis, answered)| value(&analysis.setting, answered))
    };
    let comparison = answered.and_then(|answered| answered.comparison.as_ref());
    let mut pairs = vec![];
    if let Some(setting) = analysis.map(|a| &a.setting).filter(|setting| !setting.axes.is_empty()) {
        let axes = setting.axes.iter().map(|(path, value)| (path.clone(), serde_json::to_value(value).unwrap_or(Json::Null)));
        pairs.push(("axes", Json::Object(axes.collect())));
    }
    let has_analysis = |value: Json| if analysis.is_some() { value } else { Json::Null };
    pairs.extend([
        ("metric", of_setting(&|a| json!(a.basis.metric.name()))),
        ("regularizer", of_setting(&|a| json!(a.setting.regularizer))),
        // This key has its name from the first release.
        ("strength", of_setting(&|a| json!(a.setting.regularizer))),
        ("verdict", comparison.map_or(Json::Null, |c| json!(c.verdict.as_str()))),
        ("lambda0_source_optimal", has_analysis(lambda(source_optimum(analysis, answered)))),
        ("lambda0_source_interval", has_analysis(range(comparison.and_then(|c| c.source_range)))),
        ("lambda0_transfer_optimal", of_answer(&|s, a| json_lambda(a.transfer_lambda0(s)))),
        ("lambda0_transfer_interval", has_analysis(range(comparison.and_then(|c| c.transfer_range)))),
        ("lambda1_transfer_optimal", of_answer(&|s, a| json_lambda(s.lambda1[a.transfer.1]))),
        ("lambda1_at_source_optimal", of_answer(&|s, a| json_lambda(s.lambda1[a.lambda1_at_source_optimum]))),
        ("scratch_lambda", of_answer(&|s, a| lambda(a.scratch.map(|k| s.scratch_lambda[k])))),
        ("log_ratio", has_analysis(interval(comparison.map(|c| c.log_ratio)))),
        ("log_ratio_level", of_setting(&|a| json!(1.0 - a.setting.rules.error))),
        ("margin", of_setting(&|a| json!(a.setting.rules.margin))),
        ("estimated_by", json!(comparison.map(|c| if c.method == Method::Curves { "curves" } else { "grid points" }))),
        ("lambda0_source_best_trained", of_answer(&|s, a| json_lambda(s.lambda0[a.source]))),
        ("lambda0_transfer_best_trained", of_answer(&|s, a| json_lambda(s.lambda0[a.transfer.0]))),
        ("probability_transfer_stronger", json!(comparison.and_then(|c| c.probabilities).map(|p| p.stronger))),
        ("smoothed", smoothed(comparison)),
        ("mismatch_cost", of_answer(&|_, a| a.mismatch_cost.map_or(Json::Null, |cost| number(cost.estimate)))),
        ("mismatch_cost_interval", has_analysis(interval(answered.and_then(|a| a.mismatch_cost)))),
        ("transfer_gain", has_analysis(interval(answered.and_then(|a| a.gain)))),
        ("error_reduction", has_analysis(interval(answered.and_then(|a| a.error_reduction)))),
        ("negative_transfer", negative_transfer(answered)),
        ("alignment", of_setting(&|a| interval(a.setting.aligned("rho")))),
        ("alignment_cosine", of_setting(&|a| interval(a.setting.aligned("cosine")))),
        ("by_other_metric", of_setting(&other_metric)),
        (
            "source_init",
            of_setting(&|a| json!(a.setting.source_init.as_ref().map(|(file, center)| json!({"file": file, "center": center})))),
        ),
        ("predictions", of_setting(&|a| a.predictions.as_ref().map_or(Json::Null, predictions))),
        ("optimisers", of_setting(&|a| json!({"source": a.setting.optimisers[0], "target": a.setting.optimisers[1]}))),
        ("cells", of_setting(&cells)),
        ("at_edge", has_analysis(ends(comparison))),
        ("edge", has_analysis(json!(answered.map_or(vec![], |a| a.optima_at_ends.iter().map(optimum_at_end).collect())))),
        ("ties", has_analysis(json!(answered.map_or(vec![], |a| a.ties.iter().map(tie).collect())))),
        ("seeds", of_setting(&|a| json!(a.basis.seeds.len()))),
    ]);
    pairs
}

fn source_optimum(analysis: Option<&SettingAnalysis>, answered: Option<&Answered>) -> Option<f64> {
    Some(answered?.source_lambda0(&analysis?.setting))
}

fn negative_transfer(answered: Option<&Answered>) -> Json {
    // With a single seed the optima were chosen on that same seed, so its gain is not used.
    let gain = answered.filter(|answered| answered.basis.seeds.len() > 1).and_then(|answered| answered.gain);
    gain.map_or(Json::Null, |gain| json!(gain.estimate < 0.0))
}

fn ends(comparison: Option<&OptimaComparison>) -> Json {
    let end = |end: Option<GridEnd>| json!(end.map(GridEnd::as_str));
    json!({"source": end(comparison.and_then(|c| c.source_end)), "transfer": end(comparison.and_then(|c| c.transfer_end))})
}

/// The order of the optima by the metric that the study does not use for selection.
fn other_metric(analysis: &SettingAnalysis) -> Json {
    let (setting, answered) = (&analysis.setting, analysis.other_metric.answered());
    let comparison = analysis.other_metric.comparison();
    json!({
        "metric": analysis.basis.metric.other().name(),
        "verdict": comparison.map(|c| c.verdict.as_str()),
        "lambda0_source_optimal": lambda(answered.map(|a| a.source_lambda0(setting))),
        "lambda0_transfer_optimal": lambda(answered.map(|a| a.transfer_lambda0(setting))),
        "log_ratio": interval(comparison.map(|c| c.log_ratio))
    })
}

fn predictions(of: &PredictionAnalysis) -> Json {
    let model = |calibration: &Calibration| {
        json!({
            "model": calibration.model,
            "accuracy": interval(Some(calibration.accuracy)),
            "confidence": interval(Some(calibration.confidence)),
            "calibration_error": interval(Some(calibration.error)),
            "bins": calibration.bins,
            "classes": calibration.classes,
            "confusion": calibration.confusion,
        })
    };
    json!({
        "models": of.models.iter().map(model).collect::<Vec<_>>(),
        "mcnemar_against_scratch": of.against_scratch,
        "mcnemar_against_source_optimum": of.against_source_optimum,
    })
}

fn shared_json(shared: &SharedLambda0) -> Json {
    let choice = |choice: &SharedChoice| {
        let costs: Vec<Json> = choice.costs.iter().map(|cost| interval(Some(*cost))).collect();
        json!({"lambda0": lambda(Some(shared.lambda0[choice.at])), "lambda0_interval": range(choice.range), "costs": costs})
    };
    json!({
        "mean_regret": choice(&shared.mean_regret),
        "worst_regret": choice(&shared.worst_regret),
        "source_optimal": shared.source_optimum.as_ref().map_or(Json::Null, choice)
    })
}

fn cells(analysis: &SettingAnalysis) -> Json {
    let all = compare_with_scratch(&analysis.rows);
    json!({"compared_with_scratch": all.cells, "better": all.better, "worse": all.worse})
}

/// The estimates, where they are maxima of curves. Before version 0.2 these were a second estimate.
fn smoothed(comparison: Option<&OptimaComparison>) -> Json {
    let Some(comparison) = comparison.filter(|comparison| comparison.method == Method::Curves) else { return Json::Null };
    let optimum = |estimate, range| interval(Some(Interval { estimate, range }));
    json!({
        "lambda0_source_optimal": optimum(comparison.source, comparison.source_range),
        "lambda0_transfer_optimal": optimum(comparison.transfer, comparison.transfer_range),
        "log_ratio": interval(Some(comparison.log_ratio))
    })
}

fn label_of(analysis: &StudyAnalysis, setting: usize) -> String {
    analysis.settings.get(setting).map_or(String::new(), |of| axes_label(&of.setting.axes))
}

fn rounds(analysis: &StudyAnalysis, history: &History) -> Json {
    let row = |round: &RoundRow| {
        let what = round.what.iter().map(|(setting, what)| json!({"setting": label_of(analysis, *setting), "what": what}));
        let known = round.known.iter().map(|known| {
            json!({
                "setting": label_of(analysis, known.setting),
                "metric": known.metric.name(),
                "of": known.aim,
                "log_ratio": interval(known.log_ratio),
                "gain": interval(known.gain),
                "verdict": known.verdict.map(|verdict| verdict.as_str()),
                "settled": known.settled
            })
        });
        json!({
            "what": what.collect::<Vec<_>>(),
            "stages": round.stages,
            "seconds": number(round.seconds),
            "known": known.collect::<Vec<_>>()
        })
    };
    json!(history.rounds.iter().map(row).collect::<Vec<_>>())
}

/// JSON has no infinity. Infinite values become null, and the key `infinite` names the infinite
/// bound.
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

/// A λ: a finite number, or `"inf"` for λ₁.
fn json_lambda(value: f64) -> Json {
    if value.is_infinite() {
        json!("inf")
    } else {
        json!(value)
    }
}

fn lambda(value: Option<f64>) -> Json {
    value.map_or(Json::Null, json_lambda)
}

fn range(range: Option<(f64, f64)>) -> Json {
    json!({"low": lambda(range.map(|r| r.0)), "high": lambda(range.map(|r| r.1))})
}
