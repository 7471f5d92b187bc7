//! The closed forms for Σ₀ = Σ₁ = I, in the shrinkage x = 1/(1+τ₀). γ = p/n₀, r = σ₀²/‖w₀‖²; ‖w₀‖ = 1 without loss of generality.
//!
//! ```text
//! λ₀ = (1/x − 1)(n₀ − p·x),   0 < x ≤ min(1, 1/γ)            (λ₀ ≥ 0; up to 1/√γ where λ₀ < 0 is allowed)
//! N(x) = E‖β̂₀‖² = x² + γx²(r + (1−x)²)/(1 − γx²)
//! G(x) = N′(x)/2:   G(x_S*) = 1,   G(x₀*) = ρ
//! ```

use super::optimum::Edge;
use super::TheoryError;

/// An isotropic source of dimension p.
#[derive(Debug, Clone, Copy)]
pub struct Isotropic {
    p: f64,
    gamma: f64,
    noise: f64,
}

/// Where λ₀ should be, for the source's own sake or for the target's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// The shrinkage E β̂₀ = x·w₀.
    pub x: f64,
    pub lambda: f64,
    pub tau: f64,
    /// At λ₀ = 0, or at ∞ (for ρ ≤ 0), rather than inside.
    pub edge: Option<Edge>,
}

impl Isotropic {
    /// # Errors
    /// p < 1, γ ≤ 0, or a noise that is not a finite number ≥ 0.
    pub fn new(p: f64, gamma: f64, noise: f64) -> Result<Isotropic, TheoryError> {
        if !(p >= 1.0 && p.is_finite()) {
            return Err(TheoryError::new("p", format!("a dimension is a number ≥ 1, not {p}")));
        }
        if !(gamma > 0.0 && gamma.is_finite()) {
            return Err(TheoryError::new("gamma", format!("γ = p/n₀ is a finite number > 0, not {gamma}")));
        }
        if !(0.0..=1e30).contains(&noise) {
            return Err(TheoryError::new("noise", format!("σ₀²/‖w₀‖² is a number from 0 to 1e30, not {noise:?}")));
        }
        Ok(Isotropic { p, gamma, noise })
    }

    /// λ₀ at shrinkage x.
    pub fn lambda(&self, x: f64) -> f64 {
        if x == 0.0 {
            return f64::INFINITY;
        }
        (1.0 / x - 1.0) * (self.p / self.gamma - self.p * x)
    }

    /// E‖β̂₀‖².
    pub fn norm2(&self, x: f64) -> f64 {
        x * x + self.gamma * x * x * (self.noise + (1.0 - x).powi(2)) / (1.0 - self.gamma * x * x)
    }

    /// G(x) = N′(x)/2.
    pub fn g(&self, x: f64) -> f64 {
        let gamma = self.gamma;
        let (c, rest) = (self.noise + (1.0 - x).powi(2), 1.0 - gamma * x * x);
        // (γx²c/rest)′/2 = γ[(x·c − x²(1−x))·rest + γx³c]/rest²
        x + gamma * ((x * c - x * x * (1.0 - x)) * rest + gamma * x.powi(3) * c) / (rest * rest)
    }

    /// E‖β̂₀ − w₁‖² − ‖w₁‖² + … = N(x) − 2ρx: what λ₀ should minimise, without the part that does not depend on it.
    pub fn distance2(&self, x: f64, rho: f64) -> f64 {
        self.norm2(x) - 2.0 * rho * x
    }

    /// x with G(x) = ρ: the transfer-optimal λ₀; with ρ = 1 the source-optimal. G is increasing, so there is one, or an edge.
    ///
    /// With `allow_negative`, λ₀ may go below 0 down to 1 − γx² = 0, where every risk is infinite.
    pub fn optimum(&self, rho: f64, allow_negative: bool) -> Choice {
        let choice =
            |x: f64, edge| Choice { x, lambda: if edge == Some(Edge::Zero) { 0.0 } else { self.lambda(x) }, tau: 1.0 / x - 1.0, edge };
        if rho <= 0.0 {
            return choice(0.0, Some(Edge::Infinite));
        }
        let top = if allow_negative { 1.0 / self.gamma.sqrt() } else { (1.0f64).min(1.0 / self.gamma) };
        // At γ = 1 the formula of G has no value at x = 1, only a limit.
        let end = if self.gamma == 1.0 { top * (1.0 - 1e-9) } else { top };
        if !allow_negative && self.g(end) <= rho {
            return choice(top, Some(Edge::Zero));
        }
        let (mut low, mut high) = (0.0, top);
        for _ in 0..200 {
            let middle = 0.5 * (low + high);
            if middle == low || middle == high {
                break;
            }
            if self.g(middle) < rho {
                low = middle;
            } else {
                high = middle;
            }
        }
        choice(0.5 * (low + high), None)
    }
}
