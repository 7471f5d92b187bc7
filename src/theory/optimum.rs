//! Optimal penalties. They are roots of the risk's derivative in τ, so they are exact to rounding.
//!
//! Isotropic risks have one minimum. Risks with general covariances may have several. The
//! derivative's sign is scanned over 24 decades of τ, and every minimum is refined by bisection.
//! The lowest minimum is the optimum, and the others are reported with it.

use super::equivalent::{Problem, RiskAndSlope, RiskCurve, Spectrum};
use super::TheoryError;

/// The end of the range of λ where a risk is smallest, if it is not smallest inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extreme {
    /// λ = 0.
    Zero,
    /// λ = ∞: the estimate is not used at all.
    Infinite,
    /// The risk does not depend on λ: no λ is best.
    Flat,
}

impl Extreme {
    /// The name in records and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Extreme::Zero => "zero",
            Extreme::Infinite => "infinite",
            Extreme::Flat => "flat",
        }
    }

    /// The description for readers.
    pub fn words(self) -> &'static str {
        match self {
            Extreme::Zero => "at the boundary λ = 0",
            Extreme::Infinite => "at the boundary λ = ∞: the source estimate is best not used",
            Extreme::Flat => "not determined: the risk is the same for every λ",
        }
    }
}

/// A local minimum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Minimum {
    pub lambda: f64,
    pub tau: f64,
    pub risk: f64,
    pub edge: Option<Extreme>,
}

/// The global minimum, and the other local minima.
#[derive(Debug, Clone, PartialEq)]
pub struct Optimum {
    pub best: Minimum,
    pub others: Vec<Minimum>,
}

/// λ₀* and λ₁*, optimised jointly.
#[derive(Debug, Clone, PartialEq)]
pub struct Joint {
    pub lambda0: Optimum,
    pub lambda1: Minimum,
}

/// Range of the scan: ln of the distance of τ from its lower limit, relative to the mean
/// eigenvalue. It goes from −28 to 28 (a factor 10¹² each way) in four points per factor e.
const SPAN: f64 = 28.0;
const POINTS: usize = 225;

/// Minimises a risk over τ ≥ τ(λ = 0), or with `allow_negative` over the whole valid range.
///
/// `risk` returns value and slope in τ, and is defined at τ = ∞.
pub fn minimise(spectrum: Spectrum, allow_negative: bool, risk: impl Fn(f64) -> RiskAndSlope) -> Optimum {
    let mean = spectrum.d.iter().sum::<f64>() / spectrum.d.len() as f64;
    let low = match (allow_negative, spectrum.tau(0.0)) {
        (false, Ok(tau)) => tau,
        _ => spectrum.edge(),
    };
    let tau = |u: f64| low + mean * u.exp();
    let at = |i: usize| -SPAN + 2.0 * SPAN * i as f64 / (POINTS - 1) as f64;
    let minimum = |tau: f64, edge: Option<Extreme>| {
        let lambda = if edge == Some(Extreme::Zero) { 0.0 } else { spectrum.lambda(tau) };
        Minimum { lambda, tau, risk: risk(tau).risk, edge }
    };
    let slopes: Vec<f64> = (0..POINTS).map(|i| risk(tau(at(i))).slope).collect();
    if slopes.iter().all(|slope| *slope == 0.0) {
        // λ₁ = 0 with n₁ ≥ p: the prior is not used at all.
        let (tau, lambda) = (f64::INFINITY, f64::NAN);
        return Optimum { best: Minimum { lambda, tau, risk: risk(tau).risk, edge: Some(Extreme::Flat) }, others: vec![] };
    }
    let mut found = vec![];
    if !allow_negative && slopes[0] >= 0.0 {
        // Without noise the risk has a limit at df₂ = n too, where its formula is undefined.
        let tau = if risk(low).risk.is_finite() { low } else { tau(at(0)) };
        found.push(minimum(tau, Some(Extreme::Zero)));
    }
    for i in 1..POINTS {
        if slopes[i - 1] < 0.0 && slopes[i] >= 0.0 {
            let (mut a, mut b) = (at(i - 1), at(i));
            for _ in 0..60 {
                let middle = 0.5 * (a + b);
                if risk(tau(middle)).slope < 0.0 {
                    a = middle;
                } else {
                    b = middle;
                }
            }
            found.push(minimum(tau(0.5 * (a + b)), None));
        }
    }
    if found.is_empty() && slopes[0] >= 0.0 {
        // Without noise, risks fall down to the edge of validity.
        found.push(minimum(tau(at(0)), None));
    }
    if slopes[POINTS - 1] < 0.0 || found.is_empty() {
        found.push(minimum(f64::INFINITY, Some(Extreme::Infinite)));
    }
    found.sort_by(|a, b| a.risk.total_cmp(&b.risk)); // stable: of equal risks, the smaller λ comes first
    let best = found.remove(0);
    Optimum { best, others: found }
}

/// The best penalty for a fixed signal: λ_S* for the source, the from-scratch λ for the target, or
/// λ₁* at a given prior.
pub fn of_curve(curve: RiskCurve, allow_negative: bool) -> Optimum {
    minimise(curve.spectrum, allow_negative, |tau| curve.at(tau))
}

/// λ_S*, best for the source's own task.
pub fn source(problem: &Problem, allow_negative: bool) -> Optimum {
    of_curve(problem.source_risk(), allow_negative)
}

/// R_TL and its derivative in τ₀ at fixed τ₁.
pub fn transfer_value(problem: &Problem, tau0: f64, tau1: f64) -> RiskAndSlope {
    let prior = problem.prior(tau0);
    RiskAndSlope { risk: problem.transfer_risk(&prior).risk(tau1), slope: problem.slope_in_tau0(&prior, tau1) }
}

/// λ₀*, best for transfer at this λ₁.
///
/// # Errors
/// λ₁ below the edge of validity.
pub fn transfer(problem: &Problem, lambda1: f64, allow_negative: bool) -> Result<Optimum, TheoryError> {
    let tau1 = problem.target.spectrum().tau(lambda1)?;
    Ok(minimise(problem.source.spectrum(), allow_negative, |tau0| transfer_value(problem, tau0, tau1)))
}

/// (λ₀*, λ₁*). λ₀ minimises the risk at the λ₁ that is best for this λ₀. By the envelope theorem,
/// the slope of that risk is the slope at fixed λ₁.
pub fn joint(problem: &Problem, allow_negative: bool) -> Joint {
    let best_lambda1 = |tau0: f64| {
        let prior = problem.prior(tau0);
        let best = of_curve(problem.transfer_risk(&prior), false).best;
        (best, prior)
    };
    let lambda0 = minimise(problem.source.spectrum(), allow_negative, |tau0| {
        let (best, prior) = best_lambda1(tau0);
        RiskAndSlope { risk: best.risk, slope: problem.slope_in_tau0(&prior, best.tau) }
    });
    let (lambda1, _) = best_lambda1(lambda0.best.tau);
    Joint { lambda0, lambda1 }
}
