//! `theory boundary`: whether transfer helps, by three conditions.

use anyhow::Result;
use clap::Args;
use serde_json::{json, Value as Json};

use super::{axes_json, axis_cells, axis_names, finite, table, RidgeStudyArgs};
use crate::base::numbers::number;
use crate::cli::print;
use crate::run::ridge::ProblemBuilder;
use crate::theory::boundary::{Boundary, Condition};

const ABOUT: &str = "\
full       R_TL < R_S with every second-order term (its margin is R_S − R_TL)
paper      the paper's printed condition: the fluctuation of the bias of β̂₀ left out
ridgeless  exact at finite size; only for Σ₀ = Σ₁ = I, λ₀ = 0 and |p − n₀| > 1 (margin: 2⟨w₀,w₁⟩ − ‖w₀‖² − σ₀²p/(|p−n₀|−1))

Example:
  transfergrid theory boundary experiments/noise-ablation.yaml";

/// Whether transfer helps or hurts, by the full condition, the paper's condition and the exact
/// ridgeless condition
#[derive(Debug, Args)]
#[command(after_help = ABOUT)]
pub struct BoundaryArgs {
    #[command(flatten)]
    study: RidgeStudyArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn condition_json(c: Option<Condition>) -> Json {
    c.map_or(Json::Null, |c| json!({"verdict": c.verdict.as_str(), "margin": finite(c.margin)}))
}

impl BoundaryArgs {
    pub fn run(self) -> Result<u8> {
        let (study, cases) = self.study.load()?;
        let mut problems = ProblemBuilder::new(&study);
        let (mut rows, mut lines, mut disagree) = (vec![], vec![], 0);
        for case in &cases {
            for task in problems.tasks(case)? {
                for &(i, j) in &case.cells {
                    let (lambda0, lambda1) = (case.lambda0[i], task.lambda1[if task.lambda1.len() == case.lambda1.len() { j } else { 0 }]);
                    let found = Boundary::of(&task.problem, lambda0, lambda1)?;
                    disagree += usize::from(!found.agree());
                    let mut row = axes_json(case);
                    if let Some(name) = &task.name {
                        row.insert("target".into(), name.as_str().into());
                    }
                    row.insert("lambda0".into(), finite(lambda0));
                    row.insert("lambda1".into(), finite(lambda1));
                    row.insert("full".into(), condition_json(Some(found.full)));
                    row.insert("paper".into(), condition_json(Some(found.paper)));
                    row.insert("ridgeless".into(), condition_json(found.ridgeless));
                    row.insert("agree".into(), found.agree().into());
                    rows.push(Json::Object(row));
                    let mut line = axis_cells(case);
                    line.push(task.name.clone().unwrap_or_default());
                    line.extend([number(lambda0), number(lambda1)]);
                    for c in [Some(found.full), Some(found.paper), found.ridgeless] {
                        line.push(c.map_or("–".into(), |c| format!("{} ({:+.4})", c.verdict.as_str(), c.margin)));
                    }
                    line.push(if found.agree() { String::new() } else { "← they disagree".into() });
                    lines.push(line);
                }
            }
        }
        if self.json {
            print(&format!("{:#}\n", Json::Array(rows)));
            return Ok(0);
        }
        let mut head = cases.first().map(axis_names).unwrap_or_default();
        head.extend(["target", "λ₀", "λ₁", "full", "paper", "ridgeless", ""].map(String::from));
        print(&table(&head, &lines));
        let words = match disagree {
            0 => "the conditions agree everywhere".to_string(),
            n => format!(
                "the conditions disagree in {n} of {} rows. Where `ridgeless` applies, it is exact; `full` is its limit for large p;\n`paper` omits a cost.",
                lines.len()
            ),
        };
        print(&format!("\n{words}\n"));
        Ok(0)
    }
}
