//! One source for several targets (the paper's open question 2): the λ₀ that is best for them
//! together, and what it costs each target.

use super::equivalent::{Problem, RiskAndSlope};
use super::optimum::{minimise, transfer_value, Minimum, Optimum};
use super::TheoryError;

/// What a compromise minimises over λ₀.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objective {
    /// Σ_k weight_k·R_k
    Weighted,
    /// max_k R_k
    MaxRisk,
    /// max_k (R_k − min R_k)
    MaxRegret,
}

/// One of several targets; all share the source.
#[derive(Debug, Clone)]
pub struct Target {
    pub problem: Problem,
    /// Its own λ₁.
    pub lambda1: f64,
    /// > 0; only their ratios matter.
    pub weight: f64,
}

/// The λ₀ for all targets, each target's own optimum, and each target's regret: its risk at the
/// compromise minus its smallest risk.
#[derive(Debug, Clone)]
pub struct Compromise {
    pub lambda0: Optimum,
    pub own: Vec<Minimum>,
    pub risk: Vec<f64>,
    pub regret: Vec<f64>,
}

/// Finds the compromise for at least one target.
///
/// # Errors
/// A λ₁ below the edge of validity.
pub fn compromise(targets: &[Target], objective: Objective, allow_negative: bool) -> Result<Compromise, TheoryError> {
    let tau1: Vec<f64> = targets.iter().map(|t| t.problem.target.spectrum().tau(t.lambda1)).collect::<Result<_, _>>()?;
    let spectrum = targets[0].problem.source.spectrum();
    let value = |k: usize, tau0: f64| transfer_value(&targets[k].problem, tau0, tau1[k]);
    let own: Vec<Minimum> = (0..targets.len()).map(|k| minimise(spectrum, allow_negative, |tau0| value(k, tau0)).best).collect();
    let total: f64 = targets.iter().map(|t| t.weight).sum();
    let together = |tau0: f64| {
        let values = (0..targets.len()).map(|k| value(k, tau0));
        match objective {
            Objective::Weighted => values.zip(targets).fold(RiskAndSlope { risk: 0.0, slope: 0.0 }, |sum, (v, t)| RiskAndSlope {
                risk: sum.risk + t.weight / total * v.risk,
                slope: sum.slope + t.weight / total * v.slope,
            }),
            // The slope of a maximum is that of the target that attains it. Minima lie where this
            // slope changes sign, kinks included.
            Objective::MaxRisk => largest(values),
            Objective::MaxRegret => largest(values.zip(&own).map(|(v, own)| RiskAndSlope { risk: v.risk - own.risk, ..v })),
        }
    };
    let lambda0 = minimise(spectrum, allow_negative, together);
    let risk: Vec<f64> = (0..targets.len()).map(|k| value(k, lambda0.best.tau).risk).collect();
    let regret = risk.iter().zip(&own).map(|(risk, own)| risk - own.risk).collect();
    Ok(Compromise { lambda0, own, risk, regret })
}

fn largest(values: impl Iterator<Item = RiskAndSlope>) -> RiskAndSlope {
    values.fold(RiskAndSlope { risk: f64::NEG_INFINITY, slope: 0.0 }, |a, b| if b.risk > a.risk { b } else { a })
}
