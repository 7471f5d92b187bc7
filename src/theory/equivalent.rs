//! Deterministic equivalents, including the second order, for any Σ₀ and Σ₁.
//!
//! For a design with covariance Σ (eigenvalues dᵢ), n rows and penalty λ, τ > 0 solves
//! `n = λ/τ + tr[Σ(Σ+τI)⁻¹]`. With the shrinkage `sᵢ = τ/(dᵢ+τ)` and `df₂ = Σᵢ(1−sᵢ)²`, every risk
//! here has one form ([`RiskCurve`]):
//!
//! ```text
//! R(τ; g) = (n·Σᵢ dᵢsᵢ²gᵢ + σ²·df₂) / (n − df₂)
//! ```
//!
//! Here gᵢ is the second moment, along Σ's i-th eigenvector, of the vector that ridge has to learn:
//! `w₀` for the source, `w₁` for the from-scratch estimate, `w₁ − β̂₀` for L2-SP (which is ridge on
//! the residual). Only the last is random:
//!
//! ```text
//! E β̂₀ = (I − S₀)w₀,   Cov β̂₀ = κ·Q₀Σ₀Q₀,   Q = (Σ+τI)⁻¹
//! κ = (σ₀² + τ₀²w₀ᵀQ₀Σ₀Q₀w₀)/(n₀ − df₂,₀)
//! gᵢ = (E β̂₀ − w₁)ᵢ² + (Cov β̂₀)ᵢᵢ
//! ```
//!
//! Derivatives in τ are computed together with the values, so optima are roots and exact to
//! rounding.

use ndarray::{Array1, Array2};

use super::covariance::Covariance;
use super::linalg::{apply, dot, product, sums};
use super::TheoryError;

/// A design: covariance, rows and noise variance.
#[derive(Debug, Clone)]
pub struct Design {
    pub covariance: std::sync::Arc<Covariance>,
    /// n ≥ 1.
    pub n: usize,
    /// σ² ≥ 0.
    pub noise: f64,
}

impl Design {
    /// # Errors
    /// No rows, or a noise variance that is not a finite number ≥ 0.
    pub fn new(covariance: std::sync::Arc<Covariance>, n: usize, noise: f64) -> Result<Design, TheoryError> {
        if n == 0 {
            return Err(TheoryError::new("n", "a design needs at least one row"));
        }
        if !(noise >= 0.0 && noise.is_finite()) {
            return Err(TheoryError::new("noise", format!("a noise variance is a finite number ≥ 0, not {noise}")));
        }
        Ok(Design { covariance, n, noise })
    }

    pub fn spectrum(&self) -> Spectrum<'_> {
        Spectrum { d: self.covariance.spectrum(), n: self.n as f64 }
    }
}

/// The quantities that τ depends on: eigenvalues and the number of rows.
#[derive(Debug, Clone, Copy)]
pub struct Spectrum<'a> {
    pub d: &'a [f64],
    pub n: f64,
}

impl Spectrum<'_> {
    fn sum(&self, f: impl Fn(f64) -> f64) -> f64 {
        sums(self.d, self.d, |d, _| [f(d)])[0]
    }

    /// tr[Σ(Σ+τI)⁻¹].
    pub fn df1(&self, tau: f64) -> f64 {
        self.sum(|d| d / (d + tau))
    }

    /// tr[Σ²(Σ+τI)⁻²].
    pub fn df2(&self, tau: f64) -> f64 {
        self.sum(|d| (d / (d + tau)).powi(2))
    }

    /// n − df₁, n − df₂ and Σq²(1−q) with q = d/(d+τ). They are computed from the shrinkages
    /// s = 1 − q, so that nothing cancels where p = n.
    fn left(&self, tau: f64) -> [f64; 3] {
        let [s1, s2, third] = sums(self.d, self.d, |d, _| {
            let q = 1.0 / (d + tau);
            let (s, keep) = (tau * q, d * q);
            [s, s * s, keep * keep * s]
        });
        let gap = self.n - self.d.len() as f64;
        [gap + s1, gap + 2.0 * s1 - s2, third]
    }

    /// λ(τ) = τ·(n − df₁(τ)). It is increasing, and valid, where df₂ < n.
    pub fn lambda(&self, tau: f64) -> f64 {
        if tau.is_infinite() {
            return f64::INFINITY;
        }
        tau * self.left(tau)[0]
    }

    /// The smallest valid τ. There df₂ = n and every risk is infinite. It is negative where p < n.
    pub fn edge(&self) -> f64 {
        let least = self.d.iter().copied().fold(f64::INFINITY, f64::min);
        let p = self.d.len() as f64;
        if p == self.n {
            return 0.0;
        }
        // df₂ falls to 0, from +∞ (at −d_min) or from p (at 0).
        let (mut low, mut high) = if p < self.n { (-least, 0.0) } else { (0.0, self.sum(|d| d) / self.n) };
        for _ in 0..200 {
            let middle = 0.5 * (low + high);
            if self.df2(middle) < self.n {
                high = middle;
            } else {
                low = middle;
            }
        }
        high
    }

    /// τ(λ) for λ ≥ 0, or for λ < 0 down to the edge of validity. λ = ∞ gives ∞; λ = 0 with p ≤ n
    /// gives 0.
    ///
    /// λ(τ) is increasing and convex to the right of the edge, so Newton's method from the right
    /// never overshoots. It starts at the root for a covariance whose eigenvalues all equal the
    /// mean. By Jensen's inequality, that root lies to the right.
    pub fn tau(&self, lambda: f64) -> Result<f64, TheoryError> {
        let p = self.d.len() as f64;
        if lambda == f64::INFINITY {
            return Ok(lambda);
        }
        if lambda == 0.0 && p <= self.n {
            return Ok(0.0);
        }
        let mut tau = if lambda >= 0.0 {
            let mean = self.sum(|d| d) / p;
            let b = (self.n - p) * mean - lambda;
            let root = b.hypot(2.0 * (self.n * mean).sqrt() * lambda.sqrt());
            // The quadratic's root has two forms. This is the one without cancellation.
            if b > 0.0 {
                2.0 * lambda * mean / (b + root)
            } else {
                (root - b) / (2.0 * self.n)
            }
        } else {
            let edge = self.edge();
            if lambda.is_nan() || lambda <= self.lambda(edge) {
                let limit = self.lambda(edge);
                return Err(TheoryError::new("lambda", format!("λ = {lambda} is below the edge of validity, {limit:.6}")));
            }
            self.tau(0.0)?.max(edge)
        };
        for _ in 0..200 {
            let [first, slope, third] = self.left(tau);
            let newton = (tau * first - lambda) / slope;
            // Halley's correction, which converges cubically near the root: λ″(τ) = 2Σq²(1−q)/τ.
            let correction = 1.0 - newton * third / (tau * slope);
            let halley = correction > 0.5 && tau > 0.0;
            let step = if halley { newton / correction } else { newton };
            if !step.is_finite() {
                break;
            }
            tau -= step;
            // After a cubic step this small, the remaining error is far below rounding.
            if step.abs() <= if halley { 1e-6 } else { 4.0 * f64::EPSILON } * tau.abs() {
                break;
            }
        }
        if lambda < 0.0 || tau > 0.0 && tau.is_finite() && (self.lambda(tau) - lambda).abs() <= 1e-9 * lambda.max(tau * self.n) {
            return Ok(tau);
        }
        // The eigenvalues differ so much that the rounding of the start is larger than the root.
        self.tau_by_bisection(lambda)
    }

    /// τ(λ) for λ ≥ 0 by bisection in ln τ, where λ(τ) increases.
    fn tau_by_bisection(&self, lambda: f64) -> Result<f64, TheoryError> {
        let (mut low, mut high) = (-745.0, 709.0); // ln of the smallest and the largest f64
        for _ in 0..200 {
            let middle: f64 = 0.5 * (low + high);
            if self.lambda(middle.exp()) < lambda || self.left(middle.exp())[0] < 0.0 {
                low = middle;
            } else {
                high = middle;
            }
        }
        match low > -745.0 && high < 709.0 {
            true => Ok((0.5 * (low + high)).exp()),
            false => Err(TheoryError::new(
                "lambda",
                format!("τ(λ = {lambda:e}) is outside the range of floating-point numbers: choose other units"),
            )),
        }
    }
}

/// A risk and its derivative in τ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RiskAndSlope {
    pub risk: f64,
    pub slope: f64,
}

/// The risk of ridge as a function of τ, for a signal with second moments `g` along Σ's
/// eigenvectors.
#[derive(Debug, Clone, Copy)]
pub struct RiskCurve<'a> {
    pub spectrum: Spectrum<'a>,
    pub noise: f64,
    pub g: &'a [f64],
}

impl RiskCurve<'_> {
    /// R(τ; g) and ∂R/∂τ.
    pub fn at(&self, tau: f64) -> RiskAndSlope {
        let Spectrum { d, n } = self.spectrum;
        if tau.is_infinite() {
            return RiskAndSlope { risk: d.iter().zip(self.g).map(|(d, g)| d * g).sum(), slope: 0.0 };
        }
        let [bias, dbias, df2, ddf2, shrunk] = sums(d, self.g, |d, g| {
            let q = 1.0 / (d + tau);
            let (s, keep) = (tau * q, d * q);
            let ds = keep * q;
            [d * s * s * g, 2.0 * d * s * ds * g, keep * keep, -2.0 * keep * ds, s * (2.0 - s)]
        });
        let (top, left) = (n * bias + self.noise * df2, (n - d.len() as f64) + shrunk); // n − df₂
        let risk = top / left;
        RiskAndSlope { risk, slope: (n * dbias + self.noise * ddf2 + risk * ddf2) / left }
    }

    /// R(τ; g) alone.
    pub fn risk(&self, tau: f64) -> f64 {
        let Spectrum { d, n } = self.spectrum;
        if tau.is_infinite() {
            return self.at(tau).risk;
        }
        let [bias, df2, shrunk] = sums(d, self.g, |d, g| {
            let q = 1.0 / (d + tau);
            let (s, keep) = (tau * q, d * q);
            [d * s * s * g, keep * keep, s * (2.0 - s)]
        });
        (n * bias + self.noise * df2) / ((n - d.len() as f64) + shrunk)
    }

    /// The weights of g in the risk: ∂R/∂gᵢ, which is the diagonal of B₁ in Σ's eigenbasis.
    pub fn weights(&self, tau: f64) -> Vec<f64> {
        let Spectrum { d, n } = self.spectrum;
        if tau.is_infinite() {
            return d.to_vec();
        }
        let scale = n / self.spectrum.left(tau)[1];
        d.iter().map(|d| scale * d * (tau / (d + tau)).powi(2)).collect()
    }
}

/// How the eigenbases of Σ₀ and Σ₁ are related.
#[derive(Debug, Clone)]
enum EigenbasisOverlap {
    Same,
    /// M = U₁ᵀU₀ and its squared entries.
    Turned {
        m: Array2<f64>,
        squared: Array2<f64>,
    },
}

/// A source and a target.
#[derive(Debug, Clone)]
pub struct Problem {
    pub source: Design,
    pub target: Design,
    /// w₀ and w₁ in the coordinates of the problem.
    pub w0: Vec<f64>,
    pub w1: Vec<f64>,
    /// w₀ in Σ₀'s eigenbasis and w₁ in Σ₁'s; then the squared entries of both.
    w0_own: Vec<f64>,
    w1_own: Vec<f64>,
    w0_squared: Vec<f64>,
    w1_squared: Vec<f64>,
    overlap: EigenbasisOverlap,
}

/// β̂₀ at one λ₀ as the target's prior: everything that depends on λ₀.
#[derive(Debug, Clone)]
pub struct Prior {
    pub tau0: f64,
    /// E(β̂₀ − w₁)ᵢ² along Σ₁'s eigenvectors, and its derivative in τ₀.
    pub g: Vec<f64>,
    pub dg: Vec<f64>,
    /// E β̂₀ along Σ₁'s eigenvectors.
    pub mean: Vec<f64>,
    /// (Cov β̂₀)ᵢᵢ along Σ₁'s eigenvectors, and its part from the noise alone (σ₀²), which would
    /// remain if the bias did not fluctuate.
    pub variance: Vec<f64>,
    pub noise_variance: Vec<f64>,
}

impl Problem {
    /// # Errors
    /// Dimensions that differ, vectors that are not finite, or w₀ = 0, which has no alignment.
    pub fn new(source: Design, target: Design, w0: Vec<f64>, w1: Vec<f64>) -> Result<Problem, TheoryError> {
        let p = source.covariance.p();
        for (about, len) in [("target covariance", target.covariance.p()), ("w0", w0.len()), ("w1", w1.len())] {
            if len != p {
                return Err(TheoryError::new("p", format!("{about} has {len} dimensions, the source covariance {p}")));
            }
        }
        if w0.iter().chain(&w1).any(|v| !v.is_finite()) || w0.iter().all(|v| *v == 0.0) {
            return Err(TheoryError::new("w0", "w₀ and w₁ must be finite, and w₀ not 0"));
        }
        let (u0, u1) = (source.covariance.vectors(), target.covariance.vectors());
        // The identity is diagonal in every basis, so it takes the other covariance's.
        let u0 = if source.covariance.is_identity() { u1 } else { u0 };
        let u1 = if target.covariance.is_identity() { u0 } else { u1 };
        let own = |u: Option<&Array2<f64>>, w: &[f64]| match u {
            Some(u) => apply(u.t(), Array1::from_vec(w.to_vec()).view()).to_vec(),
            None => w.to_vec(),
        };
        let same = match (u0, u1) {
            (None, None) => true,
            (Some(a), Some(b)) => a == b,
            _ => false,
        };
        let overlap = if same {
            EigenbasisOverlap::Same
        } else {
            let identity = Array2::eye(p);
            let m = product(u1.unwrap_or(&identity).t(), u0.unwrap_or(&identity).view());
            let squared = &m * &m;
            EigenbasisOverlap::Turned { m, squared }
        };
        let (w0_own, w1_own) = (own(u0, &w0), own(u1, &w1));
        let square = |w: &[f64]| w.iter().map(|v| v * v).collect();
        let (w0_squared, w1_squared) = (square(&w0_own), square(&w1_own));
        Ok(Problem { source, target, w0, w1, w0_own, w1_own, w0_squared, w1_squared, overlap })
    }

    pub fn p(&self) -> usize {
        self.w0.len()
    }

    /// ρ = ⟨w₀, w₁⟩/‖w₀‖².
    pub fn alignment(&self) -> f64 {
        dot(&self.w0, &self.w1) / dot(&self.w0, &self.w0)
    }

    /// The source risk E‖β̂₀ − w₀‖²_Σ₀ as a function of τ₀.
    pub fn source_risk(&self) -> RiskCurve<'_> {
        RiskCurve { spectrum: self.source.spectrum(), noise: self.source.noise, g: &self.w0_squared }
    }

    /// The from-scratch risk E‖β̂₁ˢ − w₁‖²_Σ₁ as a function of τ₁.
    pub fn scratch_risk(&self) -> RiskCurve<'_> {
        RiskCurve { spectrum: self.target.spectrum(), noise: self.target.noise, g: &self.w1_squared }
    }

    /// The transfer risk E‖β̂₁ᵀᴸ − w₁‖²_Σ₁ as a function of τ₁.
    pub fn transfer_risk<'a>(&'a self, prior: &'a Prior) -> RiskCurve<'a> {
        RiskCurve { spectrum: self.target.spectrum(), noise: self.target.noise, g: &prior.g }
    }

    /// β̂₀ at τ₀ as the target's prior. Costs O(p) where Σ₀ and Σ₁ share eigenvectors, and O(p²)
    /// where they do not.
    pub fn prior(&self, tau0: f64) -> Prior {
        let p = self.p();
        if tau0.is_infinite() {
            let zero = vec![0.0; p];
            return Prior {
                tau0,
                g: self.w1_squared.clone(),
                dg: zero.clone(),
                mean: zero.clone(),
                variance: zero.clone(),
                noise_variance: zero,
            };
        }
        let Spectrum { d, n } = self.source.spectrum();
        let noise = self.source.noise;
        let mut mean = vec![0.0; p];
        let mut dmean = vec![0.0; p];
        let mut spread = vec![0.0; p]; // the diagonal of QΣQ
        let mut dspread = vec![0.0; p];
        let (mut bias, mut dbias, mut left, mut ddf2) = (0.0, 0.0, n - p as f64, 0.0);
        for i in 0..p {
            let (d, w) = (d[i], self.w0_own[i]);
            let q = 1.0 / (d + tau0);
            let keep = d * q;
            let ds = keep * q;
            let s = tau0 * q;
            mean[i] = keep * w;
            dmean[i] = -ds * w;
            spread[i] = ds;
            dspread[i] = -2.0 * ds * q;
            bias += d * s * s * w * w;
            dbias += 2.0 * d * s * ds * w * w;
            left += s * (2.0 - s); // n − df₂
            ddf2 -= 2.0 * keep * ds;
        }
        let kappa = (noise + bias) / left;
        let dkappa = (dbias + kappa * ddf2) / left;
        let (mean, dmean, spread, dspread) = match &self.overlap {
            EigenbasisOverlap::Same => (mean, dmean, spread, dspread),
            EigenbasisOverlap::Turned { m, squared } => {
                let turn = |by: &Array2<f64>, v: Vec<f64>| by.dot(&Array1::from_vec(v)).to_vec();
                (turn(m, mean), turn(m, dmean), turn(squared, spread), turn(squared, dspread))
            }
        };
        let mut g = vec![0.0; p];
        let mut dg = vec![0.0; p];
        for i in 0..p {
            let e = mean[i] - self.w1_own[i];
            g[i] = e * e + kappa * spread[i];
            dg[i] = 2.0 * e * dmean[i] + dkappa * spread[i] + kappa * dspread[i];
        }
        let scaled = |by: f64| spread.iter().map(|v| by * v).collect();
        Prior { tau0, g, dg, mean, variance: scaled(kappa), noise_variance: scaled(noise / left) }
    }

    /// [`Prior::g`] at τ₀ without its derivative: E(β̂₀ − w₁)ᵢ² along Σ₁'s eigenvectors.
    fn second_moments(&self, tau0: f64) -> Vec<f64> {
        if matches!(self.overlap, EigenbasisOverlap::Turned { .. }) || tau0.is_infinite() {
            return self.prior(tau0).g;
        }
        let Spectrum { d, n } = self.source.spectrum();
        let [bias, shrunk] = sums(d, &self.w0_squared, |d, w2| {
            let q = 1.0 / (d + tau0);
            let s = tau0 * q;
            [d * s * s * w2, s * (2.0 - s)]
        });
        let kappa = (self.source.noise + bias) / ((n - d.len() as f64) + shrunk);
        let parts = d.iter().zip(&self.w0_own).zip(&self.w1_own);
        parts
            .map(|((&d, &w0), &w1)| {
                let q = 1.0 / (d + tau0);
                let keep = d * q;
                let e = keep * w0 - w1;
                e * e + kappa * keep * q
            })
            .collect()
    }

    /// ∂R_TL/∂τ₀ at this prior and τ₁.
    pub fn slope_in_tau0(&self, prior: &Prior, tau1: f64) -> f64 {
        dot(&self.transfer_risk(prior).weights(tau1), &prior.dg)
    }

    /// w₁ along Σ₁'s eigenvectors.
    pub fn w1_in_own_basis(&self) -> &[f64] {
        &self.w1_own
    }

    /// All risks at one (λ₀, λ₁).
    ///
    /// # Errors
    /// λ below the edge of validity, or a risk that is infinite (|p − n| ≤ 1 without a penalty).
    pub fn risks(&self, lambda0: f64, lambda1: f64) -> Result<Risks, TheoryError> {
        let tau0 = self.source.spectrum().tau(lambda0)?;
        let tau1 = self.target.spectrum().tau(lambda1)?;
        let g = self.second_moments(tau0);
        Ok(Risks {
            tau0,
            tau1,
            source: self.source_risk().risk(tau0),
            transfer: RiskCurve { g: &g, ..self.scratch_risk() }.risk(tau1),
            scratch: self.scratch_risk().risk(tau1),
        })
    }

    /// All risks on a grid. λ₁ varies fastest.
    ///
    /// # Errors
    /// As [`Problem::risks`].
    pub fn grid(&self, lambda0: &[f64], lambda1: &[f64]) -> Result<Vec<Risks>, TheoryError> {
        let tau1: Vec<f64> = lambda1.iter().map(|&l| self.target.spectrum().tau(l)).collect::<Result<_, _>>()?;
        let scratch: Vec<f64> = tau1.iter().map(|&t| self.scratch_risk().risk(t)).collect();
        let mut out = Vec::with_capacity(lambda0.len() * lambda1.len());
        for &l0 in lambda0 {
            let tau0 = self.source.spectrum().tau(l0)?;
            let g = self.second_moments(tau0);
            let source = self.source_risk().risk(tau0);
            let transfer = RiskCurve { g: &g, ..self.scratch_risk() };
            out.extend(tau1.iter().zip(&scratch).map(|(&tau1, &scratch)| Risks {
                tau0,
                tau1,
                source,
                transfer: transfer.risk(tau1),
                scratch,
            }));
        }
        Ok(out)
    }
}

/// Predicted risks at one (λ₀, λ₁).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Risks {
    pub tau0: f64,
    pub tau1: f64,
    /// E‖β̂₀ − w₀‖²_Σ₀
    pub source: f64,
    /// R_TL = E‖β̂₁ᵀᴸ − w₁‖²_Σ₁
    pub transfer: f64,
    /// R_S = E‖β̂₁ˢ − w₁‖²_Σ₁
    pub scratch: f64,
}
