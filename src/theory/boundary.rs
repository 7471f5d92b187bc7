//! Does transfer help (R_TL < R_S)? Three conditions, each a margin: positive where transfer helps.
//!
//! ```text
//! full        2⟨Eβ̂₀, w₁⟩_B₁ − ‖Eβ̂₀‖²_B₁ − tr[B₁ Cov β̂₀]                            = R_S − R_TL
//! paper       2⟨Q₁(I−τ₀Q₀)w₀, Q₁w₁⟩_Σ₁ − ‖Q₁(I−τ₀Q₀)w₀‖²_Σ₁ − σ₀²γ₀t(τ₀,τ₁)        on the same scale, τ₁²/(1−df₂,₁/n₁)
//! ridgeless   2⟨w₀,w₁⟩ − ‖w₀‖² − σ₀²p/(|p−n₀|−1)                                     exact, Σ₀ = Σ₁ = I and λ₀ = 0 only
//! ```
//!
//! The paper's noise term is read as `γ₀t = tr[Q₁Σ₁Q₁·Q₀Σ₀Q₀]/(n₀ − df₂,₀)`: the variance of β̂₀ due to ε₀, to leading order. It leaves
//! out that the bias of β̂₀ fluctuates with X₀ (the term τ₀²w₀ᵀQ₀Σ₀Q₀w₀ of κ), so it is always at least as favourable to transfer
//! as the full condition.

use super::equivalent::Problem;
use super::linalg::dot;
use super::TheoryError;

/// What a condition says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferEffect {
    Helps,
    Hurts,
    /// Within rounding of R_S: the prior is not used (λ₁ = 0 with n₁ ≥ p), or β̂₀ = 0.
    Neither,
}

impl TransferEffect {
    /// Of a margin; `scale` is the size of the terms that it is a difference of.
    fn of(margin: f64, scale: f64) -> TransferEffect {
        if margin.abs() <= 1e-12 * scale {
            TransferEffect::Neither
        } else if margin > 0.0 {
            TransferEffect::Helps
        } else {
            TransferEffect::Hurts
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            TransferEffect::Helps => "helps",
            TransferEffect::Hurts => "hurts",
            TransferEffect::Neither => "neither",
        }
    }
}

/// A verdict with the margin that it stands on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Condition {
    pub margin: f64,
    pub verdict: TransferEffect,
}

/// The three conditions at one (λ₀, λ₁).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Boundary {
    pub full: Condition,
    pub paper: Condition,
    /// Only where Σ₀ = Σ₁ = I, λ₀ = 0, |p − n₀| > 1 and the prior is used.
    pub ridgeless: Option<Condition>,
}

impl Boundary {
    /// # Errors
    /// As [`Problem::risks`].
    pub fn of(problem: &Problem, lambda0: f64, lambda1: f64) -> Result<Boundary, TheoryError> {
        let tau0 = problem.source.spectrum().tau(lambda0)?;
        let tau1 = problem.target.spectrum().tau(lambda1)?;
        let prior = problem.prior(tau0);
        let weights = problem.transfer_risk(&prior).weights(tau1);
        let weigh = |a: &[f64], b: &[f64]| weights.iter().zip(a).zip(b).map(|((w, a), b)| w * a * b).sum::<f64>();
        let gain = 2.0 * weigh(&prior.mean, problem.w1_in_own_basis());
        let size = weigh(&prior.mean, &prior.mean);
        let condition = |variance: &[f64]| {
            let cost = dot(&weights, variance);
            let margin = gain - size - cost;
            Condition { margin, verdict: TransferEffect::of(margin, gain.abs() + size + cost) }
        };
        let full = condition(&prior.variance);
        let isotropic = problem.source.covariance.is_identity() && problem.target.covariance.is_identity();
        let used = weights.iter().any(|w| *w > 0.0);
        let ridgeless = (isotropic && lambda0 == 0.0 && used).then(|| ridgeless(problem)).flatten();
        Ok(Boundary { full, paper: condition(&prior.noise_variance), ridgeless })
    }

    /// Whether all conditions that apply say the same.
    pub fn agree(&self) -> bool {
        self.paper.verdict == self.full.verdict && self.ridgeless.is_none_or(|exact| exact.verdict == self.full.verdict)
    }
}

fn ridgeless(problem: &Problem) -> Option<Condition> {
    let (p, n0) = (problem.p(), problem.source.n);
    let gap = p.abs_diff(n0);
    if gap <= 1 {
        return None;
    }
    let (gain, size) = (2.0 * dot(&problem.w0, &problem.w1), dot(&problem.w0, &problem.w0));
    let cost = problem.source.noise * p as f64 / (gap - 1) as f64;
    let margin = gain - size - cost;
    Some(Condition { margin, verdict: TransferEffect::of(margin, gain.abs() + size + cost) })
}
