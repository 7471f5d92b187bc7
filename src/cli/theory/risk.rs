//! `theory risk`: shows predicted risks on a study's grid.

use anyhow::Result;
use clap::Args;
use serde_json::Value as Json;

use super::{axes_json, axis_cells, axis_names, finite, table, RidgeStudyArgs};
use crate::base::numbers::{number, rounded};
use crate::cli::print;
use crate::run::ridge::ProblemBuilder;

/// Predicted source, transfer and from-scratch risks on a study's grid; nothing is simulated
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  transfergrid theory risk experiments/figure1.yaml --set rho=0.8 --json")]
pub struct RiskArgs {
    #[command(flatten)]
    study: RidgeStudyArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl RiskArgs {
    pub fn run(self) -> Result<u8> {
        let (study, cases) = self.study.load()?;
        let mut problems = ProblemBuilder::new(&study);
        let (mut rows, mut lines) = (vec![], vec![]);
        for case in &cases {
            for task in problems.tasks(case)? {
                let grid = task.problem.grid(&case.lambda0, &task.lambda1)?;
                for &(i, j) in &case.cells {
                    let j = if task.lambda1.len() == case.lambda1.len() { j } else { 0 };
                    let risks = &grid[i * task.lambda1.len() + j];
                    let (lambda0, lambda1) = (case.lambda0[i], task.lambda1[j]);
                    let mut row = axes_json(case);
                    if let Some(name) = &task.name {
                        row.insert("target".into(), name.as_str().into());
                    }
                    for (key, value) in [
                        ("lambda0", lambda0),
                        ("lambda1", lambda1),
                        ("source_risk", risks.source),
                        ("transfer_risk", risks.transfer),
                        ("scratch_risk", risks.scratch),
                        ("tau0", risks.tau0),
                        ("tau1", risks.tau1),
                    ] {
                        row.insert(key.into(), finite(value));
                    }
                    rows.push(Json::Object(row));
                    let mut line = axis_cells(case);
                    line.push(task.name.clone().unwrap_or_default());
                    line.extend([lambda0, lambda1].map(number));
                    line.extend([risks.source, risks.transfer, risks.scratch, risks.tau0, risks.tau1].map(rounded));
                    lines.push(line);
                }
            }
        }
        if self.json {
            print(&format!("{:#}\n", Json::Array(rows)));
        } else {
            let mut head = cases.first().map(axis_names).unwrap_or_default();
            head.extend(["target", "λ₀", "λ₁", "source risk", "R_TL", "R_S", "τ₀", "τ₁"].map(String::from));
            print(&table(&head, &lines));
        }
        Ok(0)
    }
}
