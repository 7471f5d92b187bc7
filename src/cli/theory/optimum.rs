//! `theory optimum`: the optimal penalties λ_S*, λ₀*, and (λ₀*, λ₁*).

use anyhow::Result;
use clap::Args;
use serde_json::{json, Value as Json};

use super::{axes_json, axis_cells, axis_names, finite, load, table};
use crate::base::numbers::{number, rounded, significant};
use crate::cli::print;
use crate::plan::Case;
use crate::run::ridge::{objective, ProblemBuilder, TargetProblem};
use crate::theory::isotropic::Isotropic;
use crate::theory::optimum::{joint, source, transfer, Extreme, Optimum};
use crate::theory::targets::{compromise, Target};

const EXAMPLES: &str = "\
Examples:
  transfergrid theory optimum --gamma 2 --noise 0.5 --rho 0.8
  transfergrid theory optimum --gamma 2 --noise 0.1 --rho 1.5 --allow-negative --json
  transfergrid theory optimum experiments/covariance.yaml --joint

Without a study everything is isotropic (Σ₀ = Σ₁ = I), where λ₀* depends on neither the target's size, its noise nor λ₁.
With --rho between 0 and 1, the best source penalty for transfer is stronger than the source's own optimum; above 1 it is weaker.";

/// Optimal penalties: for the source's own task (λ_S*) and for transfer (λ₀*)
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct OptimumArgs {
    /// A ridge study: the optima of each case, for any covariance
    #[arg(conflicts_with_all = ["gamma", "noise", "rho", "p"])]
    study: Option<std::path::PathBuf>,
    /// γ = p/n₀
    #[arg(long, allow_negative_numbers = true, required_unless_present = "study")]
    gamma: Option<f64>,
    /// σ₀²/‖w₀‖²
    #[arg(long, allow_negative_numbers = true, required_unless_present = "study")]
    noise: Option<f64>,
    /// Alignment ⟨w₀,w₁⟩/‖w₀‖²
    #[arg(long, allow_negative_numbers = true, required_unless_present = "study")]
    rho: Option<f64>,
    /// Dimension p: λ is proportional to it
    #[arg(long, default_value_t = 1000.0, allow_negative_numbers = true)]
    p: f64,
    /// Allow λ₀ below 0, down to where risks become infinite
    #[arg(long)]
    allow_negative: bool,
    /// With a study: also (λ₀*, λ₁*), chosen jointly
    #[arg(long, requires = "study")]
    joint: bool,
    /// Apply one of the study's presets
    #[arg(long, value_name = "NAME", requires = "study")]
    preset: Option<String>,
    /// Override any key of the study; may be repeated
    #[arg(long, value_name = "KEY=VALUE", requires = "study")]
    set: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// λ₀*/λ_S*. None if λ_S* is 0, or if one of them is not finite or not determined.
fn ratio_of(transfer: f64, source: f64) -> Option<f64> {
    let ratio = transfer / source;
    (source > 0.0 && source.is_finite() && ratio.is_finite()).then_some(ratio)
}

/// A penalty in a table: six digits, ∞, or – if it is not determined.
fn shown(lambda: f64) -> String {
    match lambda {
        l if l.is_nan() => "–".into(),
        l if l.is_infinite() => "∞".into(),
        l => rounded(l),
    }
}

fn edge_json(edge: Option<Extreme>) -> Json {
    edge.map_or(Json::Null, |edge| edge.as_str().into())
}

impl OptimumArgs {
    pub fn run(self) -> Result<u8> {
        match (&self.study, self.gamma, self.noise, self.rho) {
            (None, ..) if self.joint || self.preset.is_some() || !self.set.is_empty() => {
                Err(crate::base::usage::usage("--joint, --preset and --set are for a study", "give one, e.g. experiments/covariance.yaml"))
            }
            (None, Some(gamma), Some(noise), Some(rho)) => self.isotropic(gamma, noise, rho),
            (Some(file), ..) => self.study(file),
            _ => Err(crate::base::usage::usage("give a study, or --gamma, --noise and --rho", "see `transfergrid theory optimum --help`")),
        }
    }

    fn isotropic(&self, gamma: f64, noise: f64, rho: f64) -> Result<u8> {
        let problem = Isotropic::new(self.p, gamma, noise)?;
        let (source, transfer) = (problem.optimum(1.0, self.allow_negative)?, problem.optimum(rho, self.allow_negative)?);
        let ratio = ratio_of(transfer.lambda, source.lambda);
        // E‖β̂₀ − w₁‖² with w₁ = ρw₀. The part of w₁ that is orthogonal to w₀ adds the same amount
        // to both.
        let distance = |x: f64| problem.distance2(x, rho) + rho * rho;
        if self.json {
            let json = json!({
                "lambda_source": finite(source.lambda),
                "lambda_transfer": finite(transfer.lambda),
                "ratio": ratio,
                "at_boundary": transfer.edge.is_some(),
                "boundary": edge_json(transfer.edge),
                "source_at_boundary": source.edge.is_some(),
                "x_source": source.x,
                "x_transfer": transfer.x,
                "tau_source": finite(source.tau),
                "tau_transfer": finite(transfer.tau),
                "prior_error_source": finite(distance(source.x)),
                "prior_error_transfer": finite(distance(transfer.x)),
                "gamma": gamma,
                "noise": noise,
                "rho": rho,
                "p": self.p,
                "n0": self.p / gamma,
            });
            print(&format!("{json:#}\n"));
            return Ok(0);
        }
        let line = |name: &str, c: &crate::theory::isotropic::IsotropicOptimum| {
            let edge = c.edge.map_or(String::new(), |edge| format!("  {}", edge.words()));
            let (mean, error) = (significant(c.x, 4), significant(distance(c.x), 4));
            format!("{name} = {:<12} E β̂₀ = {}·w₀, E‖β̂₀ − w₁‖² = {}{edge}\n", shown(c.lambda), number(mean), number(error))
        };
        let mut out = format!(
            "isotropic: γ = {}, σ₀²/‖w₀‖² = {}, ρ = {}, p = {} (n₀ = {})\n\n",
            number(gamma),
            number(noise),
            number(rho),
            number(self.p),
            rounded(self.p / gamma)
        );
        out.push_str(&line("source-optimal    λ_S*", &source));
        out.push_str(&line("transfer-optimal  λ₀* ", &transfer));
        let advice = match transfer.lambda.total_cmp(&source.lambda) {
            std::cmp::Ordering::Greater => "stronger than is best for the source's own task",
            std::cmp::Ordering::Less => "weaker than is best for the source's own task",
            std::cmp::Ordering::Equal => "the same as is best for the source's own task",
        };
        out.push_str(&match ratio {
            Some(ratio) => format!("\nλ₀*/λ_S* = {}: {advice}\n", rounded(ratio)),
            None if transfer.lambda.is_infinite() => format!("\nλ₀* is {advice}; there is no ratio, since λ₀* = ∞\n"),
            None => format!("\nλ₀* is {advice}; there is no ratio, since λ_S* = {}\n", shown(source.lambda)),
        });
        print(&out);
        Ok(0)
    }

    fn study(&self, file: &std::path::Path) -> Result<u8> {
        let (study, cases) = load(file, &self.preset, &self.set)?;
        let mut problems = ProblemBuilder::new(&study);
        let (mut rows, mut lines, mut notes) = (vec![], vec![], vec![]);
        let mut head = cases.first().map(axis_names).unwrap_or_default();
        head.extend(["target", "λ₁", "λ_S*", "λ₀*", "λ₀*/λ_S*", "R_TL(λ₀*)", "R_TL(λ_S*)"].map(String::from));
        if self.joint {
            head.extend(["joint λ₀*", "joint λ₁*", "R_TL"].map(String::from));
        }
        for case in &cases {
            let tasks = problems.tasks(case)?;
            let best_source = source(&tasks[0].problem, self.allow_negative);
            for task in &tasks {
                for &lambda1 in &task.lambda1 {
                    self.row(case, task, lambda1, &best_source, &mut rows, &mut lines, &mut notes)?;
                }
            }
            if tasks.len() > 1 {
                let targets: Vec<Target> =
                    tasks.iter().map(|t| Target { problem: t.problem.clone(), lambda1: t.lambda1[0], weight: t.weight }).collect();
                let found = compromise(&targets, objective(case.settings.objective), self.allow_negative)?;
                let mut row = axes_json(case);
                row.insert("compromise".into(), json!(case.settings.objective));
                row.insert("lambda_transfer".into(), finite(found.lambda0.best.lambda));
                row.insert("boundary".into(), edge_json(found.lambda0.best.edge));
                row.insert("risk".into(), json!(found.risk));
                row.insert("regret".into(), json!(found.regret));
                rows.push(Json::Object(row));
                let regret: Vec<String> = found.regret.iter().map(|r| rounded(*r)).collect();
                notes.push(format!("one λ₀ for all targets: {}, regrets {}", shown(found.lambda0.best.lambda), regret.join(", ")));
            }
        }
        if self.json {
            print(&format!("{:#}\n", Json::Array(rows)));
        } else {
            notes.dedup();
            print(&table(&head, &lines));
            if !notes.is_empty() {
                print(&format!("\n{}\n", notes.join("\n")));
            }
        }
        Ok(0)
    }

    #[allow(clippy::too_many_arguments)] // they are three outputs of one row
    fn row(
        &self,
        case: &Case,
        task: &TargetProblem,
        lambda1: f64,
        best_source: &Optimum,
        rows: &mut Vec<Json>,
        lines: &mut Vec<Vec<String>>,
        notes: &mut Vec<String>,
    ) -> Result<()> {
        let best = transfer(&task.problem, lambda1, self.allow_negative)?;
        let tau1 = task.problem.target.spectrum().tau(lambda1)?;
        let at_source = crate::theory::optimum::transfer_value(&task.problem, best_source.best.tau, tau1).risk;
        let ratio = ratio_of(best.best.lambda, best_source.best.lambda);
        let mut row = axes_json(case);
        if let Some(name) = &task.name {
            row.insert("target".into(), name.as_str().into());
        }
        let others: Vec<f64> = best.others.iter().map(|m| m.lambda).filter(|l| l.is_finite()).collect();
        for (key, value) in [
            ("lambda1", finite(lambda1)),
            ("lambda_source", finite(best_source.best.lambda)),
            ("lambda_transfer", finite(best.best.lambda)),
            ("ratio", json!(ratio)),
            ("at_boundary", best.best.edge.is_some().into()),
            ("boundary", edge_json(best.best.edge)),
            ("source_boundary", edge_json(best_source.best.edge)),
            ("other_minima", json!(others)),
            ("source_risk", finite(best_source.best.risk)),
            ("transfer_risk", finite(best.best.risk)),
            ("transfer_risk_at_lambda_source", finite(at_source)),
        ] {
            row.insert(key.into(), value);
        }
        let mut line = axis_cells(case);
        line.extend([
            task.name.clone().unwrap_or_default(),
            number(lambda1),
            shown(best_source.best.lambda),
            shown(best.best.lambda),
            ratio.map_or("–".into(), rounded),
            rounded(best.best.risk),
            rounded(at_source),
        ]);
        let what = |name: &str, optimum: &Optimum| -> Vec<String> {
            let edge = optimum.best.edge.map(|edge| format!("some {name} are {}", edge.words()));
            let several = (!optimum.others.is_empty()).then(|| format!("some {name} have other local minima (--json lists them)"));
            edge.into_iter().chain(several).collect()
        };
        notes.extend(what("λ_S*", best_source));
        notes.extend(what("λ₀*", &best));
        if self.joint {
            let both = joint(&task.problem, self.allow_negative);
            let (l0, l1) = (both.lambda0.best, both.lambda1);
            row.insert(
                "joint".into(),
                json!({"lambda0": finite(l0.lambda), "lambda1": finite(l1.lambda), "transfer_risk": finite(l1.risk),
                    "boundary0": edge_json(l0.edge), "boundary1": edge_json(l1.edge)}),
            );
            line.extend([shown(l0.lambda), shown(l1.lambda), rounded(l1.risk)]);
        }
        notes.sort();
        notes.dedup();
        rows.push(Json::Object(row));
        lines.push(line);
        Ok(())
    }
}
