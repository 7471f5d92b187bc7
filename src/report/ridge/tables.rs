//! results.csv (a row for each λ₀, λ₁ and target), optima.csv (a row for each case, λ₁ and target) and summary.json.

use serde_json::{json, Value as Json};

use super::view::View;
use super::Claim;
use crate::config::{number, show};
use crate::report::tables::field;
use crate::store::ridge_record::{Interval, Risk};

fn plain(value: f64) -> String {
    match value.is_finite() {
        true => format!("{value}"),
        false => number(value),
    }
}

fn optional(value: Option<f64>) -> String {
    value.map(plain).unwrap_or_default()
}

fn three(risk: &Risk) -> [String; 3] {
    [plain(risk.predicted), plain(risk.simulated), plain(risk.error)]
}

fn interval(i: Option<&Interval>) -> [String; 3] {
    let pick = |f: fn(&Interval) -> Option<f64>| optional(i.and_then(f));
    [pick(|i| i.estimate), pick(|i| i.low), pick(|i| i.high)]
}

/// The axes other than λ₀ and λ₁.
fn axes(view: &View) -> Vec<String> {
    view.study.axes.iter().map(|a| a.path.clone()).filter(|p| p != "lambda0" && p != "lambda1").collect()
}

fn values(case: &crate::plan::Case) -> Vec<String> {
    case.axes.iter().map(|(_, value)| field(&show(value))).collect()
}

/// Predicted and simulated risks. No times, hosts or versions: two runs of one study compare byte for byte.
pub fn results_csv(view: &View) -> String {
    let mut head: Vec<String> = vec!["kind".into()];
    head.extend(axes(view));
    head.extend(["target", "lambda0", "lambda1", "case", "tau0", "tau1"].map(String::from));
    for name in ["source_risk", "transfer_risk", "scratch_risk", "gain"] {
        head.extend([format!("{name}_predicted"), format!("{name}_simulated"), format!("{name}_error")]);
    }
    let mut out = head.join(",") + "\n";
    for (case, record) in &view.cases {
        for target in &record.targets {
            for (l, j) in cells(case, target.at.len()) {
                let at = &target.at[j];
                let mut row = vec!["ridge".to_string()];
                row.extend(values(case));
                row.push(field(target.name.as_deref().unwrap_or_default()));
                row.extend([plain(record.lambda0[l]), plain(at.lambda1), record.key.clone(), plain(record.tau0[l]), plain(at.tau1)]);
                for risk in [&record.source[l], &at.transfer[l], &at.scratch, &at.gain[l]] {
                    row.extend(three(risk));
                }
                out.push_str(&(row.join(",") + "\n"));
            }
        }
    }
    out
}

/// The cells that the study asks for; a target with a λ₁ of its own has one λ₁.
fn cells(case: &crate::plan::Case, lambda1: usize) -> Vec<(usize, usize)> {
    if lambda1 == case.lambda1.len() {
        return case.cells.clone();
    }
    let mut rows: Vec<(usize, usize)> = case.cells.iter().map(|c| (c.0, 0)).collect();
    rows.dedup();
    rows
}

/// Optimal penalties, predicted and simulated, with what the wrong one costs.
pub fn optima_csv(view: &View) -> String {
    let mut head = axes(view);
    let with = |name: &str| [format!("{name}_simulated"), format!("{name}_low"), format!("{name}_high")];
    head.extend(["target", "lambda1"].map(String::from));
    for name in ["lambda_source", "lambda_transfer"] {
        head.extend([format!("{name}_predicted"), format!("{name}_edge")]);
        head.extend(with(name));
    }
    for name in ["ratio", "cost"] {
        head.push(format!("{name}_predicted"));
        head.extend(with(name));
    }
    head.extend(["crossing_rho", "gain_at_lambda_source", "gain_at_lambda_transfer", "other_minima"].map(String::from));
    let mut out = head.join(",") + "\n";
    for (case, record) in &view.cases {
        for target in &record.targets {
            for at in &target.at {
                let mut row = values(case);
                row.extend([field(target.name.as_deref().unwrap_or_default()), plain(at.lambda1)]);
                for o in [&record.source_optimum, &at.optimum] {
                    row.extend([optional(o.predicted), o.edge.clone().unwrap_or_default()]);
                    row.extend(interval(o.simulated.as_ref()));
                }
                for (predicted, simulated) in [(at.ratio, &at.simulated_ratio), (at.cost, &at.simulated_cost)] {
                    row.push(optional(predicted));
                    row.extend(interval(simulated.as_ref()));
                }
                let others: Vec<String> = at.optimum.others.iter().map(|l| plain(*l)).collect();
                row.extend([
                    optional(at.crossing),
                    plain(at.gain_at_source_optimal),
                    plain(at.gain_at_transfer_optimal),
                    field(&others.join(" ")),
                ]);
                out.push_str(&(row.join(",") + "\n"));
            }
        }
    }
    out
}

/// The claims for programs.
pub fn summary_json(view: &View, claims: &[Claim]) -> String {
    let claims: Vec<Json> = claims
        .iter()
        .map(|c| json!({"claim": c.claim, "beyond_assumptions": c.beyond, "predicted": c.predicted, "simulated": c.simulated, "verdict": c.verdict.words()}))
        .collect();
    let summary = json!({"version": 1, "kind": "ridge", "study": view.study.name, "cases": view.cases.len(), "claims": claims});
    format!("{summary:#}\n")
}
