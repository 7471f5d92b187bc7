//! The closed forms for Σ₀ = Σ₁ = I, in the shrinkage x = 1/(1+τ₀). γ = p/n₀ and r = σ₀²/‖w₀‖²;
//! ‖w₀‖ = 1 without loss of generality.
//!
//! ```text
//! λ₀ = (1/x − 1)(n₀ − p·x),   0 < x ≤ min(1, 1/γ)   (λ₀ ≥ 0; x up to 1/√γ if λ₀ < 0 is allowed)
//! N(x) = E‖β̂₀‖² = x² + γx²(r + (1−x)²)/(1 − γx²)
//! G(x) = N′(x)/2 = x(1 + γ(1+r) − 3γx + γ²x³)/(1 − γx²)²:   G(x_S*) = 1,   G(x₀*) = ρ
//! 1 − G = ((1−x)(1−γx) − γrx)/(1 − γx²)²,
//! so   λ₀* = p·r + n₀(1−ρ)(1 − γx²)²/x   and   λ_S* = p·r exactly
//! ```
//!
//! Roots with λ₀ ≥ 0 are found in ln t, where τ₀ = t for γ ≤ 1 and τ₀ = γ − 1 + t for γ > 1. t = 0
//! is λ₀ = 0. Nothing cancels there, nor at γ = 1, where 1 − γx² vanishes with t. Limits: without
//! noise and at γ = 1, G = 1 − 1/(1+x)², so λ₀* = 0 for ρ ≥ ¾.

use super::optimum::Extreme;
use super::TheoryError;

/// An isotropic source of dimension p.
#[derive(Debug, Clone, Copy)]
pub struct Isotropic {
    p: f64,
    gamma: f64,
    noise: f64,
}

/// The optimal λ₀, for the source or for the target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IsotropicOptimum {
    /// The shrinkage x: E β̂₀ = x·w₀.
    pub x: f64,
    pub lambda: f64,
    pub tau: f64,
    /// Set where the optimum is at λ₀ = 0, or at ∞ (for ρ ≤ 0), and not inside.
    pub edge: Option<Extreme>,
}

impl Isotropic {
    /// # Errors
    /// p outside 1 to 1e100, γ that is not a finite number > 0, n₀ = p/γ outside 0.5 to 1e100, or a
    /// noise outside 0 to 1e30.
    pub fn new(p: f64, gamma: f64, noise: f64) -> Result<Isotropic, TheoryError> {
        if !(1.0..=MOST).contains(&p) {
            return Err(TheoryError::new("p", format!("a dimension is a number from 1 to 1e100, not {p:?}")));
        }
        if !(gamma > 0.0 && gamma.is_finite()) {
            return Err(TheoryError::new("gamma", format!("γ = p/n₀ is a finite number > 0, not {gamma}")));
        }
        if !(0.5..=MOST).contains(&(p / gamma)) {
            return Err(TheoryError::new("gamma", format!("n₀ = p/γ is a number of rows from 1 to 1e100, not {:?}", p / gamma)));
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
        let (gamma, left) = (self.gamma, 1.0 - self.gamma * x * x);
        // At γ = 1 the bias term has a limit at x = 1, where 1 − γx² vanishes.
        let bias = if gamma == 1.0 { (1.0 - x) / (1.0 + x) } else { (1.0 - x).powi(2) / left };
        let noise = if self.noise == 0.0 { 0.0 } else { self.noise / left };
        x * x + gamma * x * x * (noise + bias)
    }

    /// G(x) = N′(x)/2.
    pub fn g(&self, x: f64) -> f64 {
        let gamma = self.gamma;
        if gamma == 1.0 && self.noise == 0.0 {
            return 1.0 - 1.0 / (1.0 + x).powi(2);
        }
        let rest = 1.0 - gamma * x * x;
        x * (1.0 + gamma * (1.0 + self.noise) - 3.0 * gamma * x + gamma * gamma * x.powi(3)) / (rest * rest)
    }

    /// E‖β̂₀ − w₁‖² − ‖w₁‖² = N(x) − 2ρx. λ₀ should minimise this; ‖w₁‖² does not depend on λ₀.
    pub fn distance2(&self, x: f64, rho: f64) -> f64 {
        self.norm2(x) - 2.0 * rho * x
    }

    /// The x with G(x) = ρ, which gives the transfer-optimal λ₀; ρ = 1 gives the source-optimal λ₀.
    /// G is increasing, so there is one root, or the optimum is at an edge.
    ///
    /// With `allow_negative`, λ₀ may go below 0, down to 1 − γx² = 0, where every risk is infinite.
    ///
    /// # Errors
    /// An alignment that is not a number from −1e100 to 1e100.
    pub fn optimum(&self, rho: f64, allow_negative: bool) -> Result<IsotropicOptimum, TheoryError> {
        if !(-MOST..=MOST).contains(&rho) {
            return Err(TheoryError::new("rho", format!("an alignment is a number from -1e100 to 1e100, not {rho:?}")));
        }
        if rho <= 0.0 {
            return Ok(IsotropicOptimum { x: 0.0, lambda: f64::INFINITY, tau: f64::INFINITY, edge: Some(Extreme::Infinite) });
        }
        let (gamma, noise) = (self.gamma, self.noise);
        // Whether G at λ₀ = 0 is at most ρ. If so, the optimum lies at or below λ₀ = 0.
        let (gap, weight) = if gamma <= 1.0 { (1.0 - gamma, gamma) } else { ((gamma - 1.0) / gamma, 1.0) };
        let at_zero = match gamma == 1.0 {
            true => noise == 0.0 && rho >= 0.75,
            false => (rho - 1.0) * gap * gap >= weight * noise && !(rho == 1.0 && noise > 0.0),
        };
        if at_zero && !(allow_negative && gamma != 1.0 && rho > 1.0) {
            let x = (1.0f64).min(1.0 / gamma);
            return Ok(IsotropicOptimum { x, lambda: 0.0, tau: 1.0 / x - 1.0, edge: Some(Extreme::Zero) });
        }
        if at_zero {
            return Ok(self.negative(rho));
        }
        // Whether G > ρ, from the form that loses fewer digits.
        let below = |t: f64| {
            let at = self.at(t);
            match rho < 0.5 {
                true => at.x * (1.0 + gamma * (1.0 + noise) - 3.0 * gamma * at.x + gamma * gamma * at.x.powi(3)) > rho * at.rest * at.rest,
                false => at.product - gamma * noise * at.x - (1.0 - rho) * at.rest * at.rest < 0.0,
            }
        };
        let (mut low, mut high) = (-745.0f64, 709.0f64); // ln of the smallest and the largest f64
        for _ in 0..200 {
            let middle = 0.5 * (low + high);
            if below(middle.exp()) {
                low = middle;
            } else {
                high = middle;
            }
        }
        let t = (0.5 * (low + high)).exp();
        let at = self.at(t);
        let n0 = self.p / gamma;
        let lambda = match rho == 1.0 {
            true => self.p * noise,
            false if gamma <= 1.0 => n0 * at.tau * at.x * ((1.0 - gamma) + t),
            false => n0 * at.tau * at.x * t,
        };
        Ok(IsotropicOptimum { x: at.x, lambda, tau: at.tau, edge: None })
    }

    /// The optimum with λ₀ < 0, between x = min(1, 1/γ) and x = 1/√γ.
    fn negative(&self, rho: f64) -> IsotropicOptimum {
        let (mut low, mut high) = ((1.0f64).min(1.0 / self.gamma), 1.0 / self.gamma.sqrt());
        for _ in 0..200 {
            let middle = 0.5 * (low + high);
            if self.g(middle) < rho {
                low = middle;
            } else {
                high = middle;
            }
        }
        let x = 0.5 * (low + high);
        IsotropicOptimum { x, lambda: self.lambda(x), tau: 1.0 / x - 1.0, edge: None }
    }

    /// The quantities that the root search needs, at τ₀ = t or τ₀ = γ − 1 + t.
    fn at(&self, t: f64) -> ShrinkagePoint {
        let gamma = self.gamma;
        let tau = if gamma <= 1.0 { t } else { gamma - 1.0 + t };
        let q = 1.0 + tau;
        let x = 1.0 / q;
        let product = (tau / q) * (if gamma <= 1.0 { (1.0 - gamma + t) / q } else { t / q });
        let rest = match gamma <= 1.0 {
            _ if t > 1e150 => 1.0,
            true => ((1.0 - gamma) + 2.0 * t + t * t) / (q * q),
            false => (gamma * (gamma - 1.0) + 2.0 * gamma * t + t * t) / (q * q),
        };
        ShrinkagePoint { x, tau, product, rest }
    }
}

/// x, τ₀, (1−x)(1−γx) and 1 − γx².
struct ShrinkagePoint {
    x: f64,
    tau: f64,
    product: f64,
    rest: f64,
}

/// Beyond this, squares overflow.
const MOST: f64 = 1e100;

#[cfg(test)]
mod tests {
    use super::*;

    fn optimum(gamma: f64, noise: f64, rho: f64) -> IsotropicOptimum {
        Isotropic::new(1000.0, gamma, noise).unwrap().optimum(rho, false).unwrap()
    }

    fn close(found: f64, exact: f64) {
        assert!((found - exact).abs() <= 1e-9 * exact.abs(), "{found} and {exact}");
    }

    #[test]
    fn singular_points_have_their_limits() {
        // γ = 1 without noise: x = 1/√(1−ρ) − 1, λ₀* = p(1−x)²/x below ρ = ¾, and 0 from there on.
        let half = optimum(1.0, 0.0, 0.5);
        let x = 2f64.sqrt() - 1.0;
        close(half.lambda, 1000.0 * (1.0 - x).powi(2) / x);
        for rho in [0.75, 0.8, 1.0, 1.5] {
            let at = optimum(1.0, 0.0, rho);
            assert_eq!((at.lambda, at.x, at.edge), (0.0, 1.0, Some(Extreme::Zero)));
            close(Isotropic::new(1000.0, 1.0, 0.0).unwrap().distance2(at.x, rho), 1.0 - 2.0 * rho);
        }
        // Without noise elsewhere: λ_S* = 0.
        for gamma in [0.5, 2.0, 3.0] {
            assert_eq!(optimum(gamma, 0.0, 1.0).lambda, 0.0);
            assert!(optimum(gamma, 0.0, 0.8).lambda > 0.0 && optimum(gamma, 0.0, 1.2).lambda == 0.0);
        }
        assert_eq!(optimum(0.5, 1.0, 0.0).edge, Some(Extreme::Infinite));
        assert_eq!(optimum(0.5, 1.0, -1.0).lambda, f64::INFINITY);
    }

    #[test]
    fn tiny_and_huge_values_lose_no_digits() {
        for (gamma, noise) in [(0.5, 1e-16), (0.5, 1e-20), (1.0, 1e-25), (2.0, 1e-300), (1e-3, 1e30)] {
            assert_eq!(optimum(gamma, noise, 1.0).lambda, 1000.0 * noise, "λ_S* = σ₀²p/‖w₀‖² exactly");
            // The root search gives the same, just beside ρ = 1.
            if noise > 1e-10 {
                close(optimum(gamma, noise, 1.0 - 1e-15).lambda, 1000.0 * noise);
            }
        }
        // λ₀* → n₀(1 + γ + γr)/ρ as ρ → 0.
        close(optimum(2.0, 0.5, 1e-90).lambda, 500.0 * (1.0 + 2.0 + 1.0) / 1e-90);
        // The interior root is where G = ρ.
        for (gamma, noise, rho) in [(0.5, 1.0, 0.5), (1.0, 0.5, 1.2), (2.0, 0.1, 1.2), (3.0, 2.0, 0.01), (1.0000001, 0.1, 0.9)] {
            let isotropic = Isotropic::new(1000.0, gamma, noise).unwrap();
            let found = isotropic.optimum(rho, false).unwrap();
            assert!((isotropic.g(found.x) - rho).abs() < 1e-6 * rho, "{gamma} {noise} {rho}: {}", isotropic.g(found.x));
            close(found.lambda, isotropic.lambda(found.x));
        }
    }

    #[test]
    fn what_has_no_rows_or_no_size_is_refused() {
        assert!(Isotropic::new(1000.0, 1e6, 0.1).is_err(), "n₀ = 0.001");
        assert!(Isotropic::new(1e101, 1.0, 0.1).is_err() && Isotropic::new(1.0, 1e-300, 0.1).is_err());
        assert!(Isotropic::new(10.0, 1.0, 0.1).unwrap().optimum(f64::NAN, false).is_err());
        assert!(Isotropic::new(10.0, 1.0, 0.1).unwrap().optimum(1e200, true).is_err());
    }
}
