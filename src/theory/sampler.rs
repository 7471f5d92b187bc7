//! Monte Carlo. Three samplers of the same risks, from the simplest to the fastest:
//!
//! - *direct*: draws X₀, ε₀, X₁, ε₁ and computes the estimators and their errors;
//! - *Rao–Blackwell*: draws X₀ and X₁ and averages over ε₀ and ε₁ exactly;
//! - *chi* (Σ₀ = Σ₁ = I): draws the bidiagonal form of X₀ and X₁ (Dumitriu & Edelman 2002), with w₀
//!   as the first basis vector. Its entries are independent chi variates. It averages exactly over
//!   the noise and over rotations of the target. It forms no matrix and no spectrum: a draw costs
//!   O(p) for each λ.
//!
//! Draw i of a seed does not depend on the number of draws or threads.

use std::sync::Arc;

use ndarray::{Array1, Array2, Axis};
use rand_chacha::rand_core::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{ChiSquared, Distribution, StandardNormal};

use super::covariance::Covariance;
use super::equivalent::Design;
use super::linalg::{apply, dot, eigen, gram_matrix, product, Eigen};
use super::ridge::Reduction;
use super::TheoryError;
use transfergrid_base::threads;

/// The sampler; the module's documentation describes each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampler {
    Direct,
    RaoBlackwell,
    Chi,
}

/// What to draw: one source, one target design and several true target vectors, which share the
/// draws.
#[derive(Debug, Clone)]
pub struct Setup {
    pub source: Design,
    pub target: Design,
    pub w0: Vec<f64>,
    pub w1: Vec<Vec<f64>>,
    /// λ₀ ≥ 0 and λ₁ ≥ 0; λ₁ may be ∞.
    pub lambda0: Vec<f64>,
    pub lambda1: Vec<f64>,
}

/// One draw's risks.
#[derive(Debug, Clone, PartialEq)]
pub struct Draw {
    /// `‖β̂₀ − w₀‖²_Σ₀` for each λ₀.
    pub source: Vec<f64>,
    /// `‖β̂₁ᵀᴸ − w₁‖²_Σ₁` for each w₁, λ₀ and λ₁; λ₁ varies fastest.
    pub transfer: Vec<f64>,
    /// `‖β̂₁ˢ − w₁‖²_Σ₁` for each w₁ and λ₁.
    pub scratch: Vec<f64>,
}

/// A random number generator. `draw` selects one of 2⁶⁴ independent streams of ChaCha8.
pub fn random(seed: u64, draw: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(draw);
    rng
}

fn normal(rng: &mut ChaCha8Rng, shape: (usize, usize)) -> Array2<f64> {
    Array2::from_shape_simple_fn(shape, || StandardNormal.sample(rng))
}

/// A unit vector, uniform on the sphere, and orthogonal to `to` if given. The two cases use
/// different streams.
pub fn random_direction(seed: u64, p: usize, to: Option<&[f64]>) -> Vec<f64> {
    let mut rng = random(seed, u64::MAX - u64::from(to.is_some())); // far from the streams of the draws
    let mut v: Vec<f64> = (0..p).map(|_| StandardNormal.sample(&mut rng)).collect();
    if let Some(to) = to {
        orthogonalise(&mut v, to);
    }
    let norm = dot(&v, &v).sqrt();
    v.iter_mut().for_each(|x| *x /= norm);
    v
}

/// Subtracts from `v` its component along `to`. It does so twice, because of rounding.
pub fn orthogonalise(v: &mut [f64], to: &[f64]) {
    for _ in 0..2 {
        let share = dot(v, to) / dot(to, to);
        v.iter_mut().zip(to).for_each(|(v, t)| *v -= share * t);
    }
}

/// Draws `count` times on several threads. Calls `after` when a draw is done.
///
/// # Errors
/// The chi model with a covariance that is not the identity, an empty grid of penalties, penalties
/// out of range, or a design with infinite expected risk.
pub fn draw(setup: &Setup, sampler: Sampler, seed: u64, count: usize, after: impl Fn() + Sync) -> Result<Vec<Draw>, TheoryError> {
    draw_from(setup, sampler, seed, 0, count, after)
}

/// The draws `first` … `first + count − 1` of a seed.
///
/// # Errors
/// As [`draw`].
pub fn draw_from(
    setup: &Setup,
    sampler: Sampler,
    seed: u64,
    first: u64,
    count: usize,
    after: impl Fn() + Sync,
) -> Result<Vec<Draw>, TheoryError> {
    setup.check(sampler)?;
    let draw = |i: usize| {
        let mut rng = random(seed, first + i as u64);
        let draw = match sampler {
            Sampler::Direct => direct(setup, &mut rng),
            Sampler::RaoBlackwell => rao_blackwell(setup, &mut rng),
            Sampler::Chi => Ok(chi(setup, &mut rng)),
        };
        after();
        draw
    };
    threads::map(count, draw).into_iter().collect()
}

impl Setup {
    fn check(&self, sampler: Sampler) -> Result<(), TheoryError> {
        let isotropic = self.source.covariance.is_identity() && self.target.covariance.is_identity();
        if sampler == Sampler::Chi && !isotropic {
            return Err(TheoryError::new("sampler", "the chi model is for identity covariances; use rao-blackwell or direct"));
        }
        for (about, design, lambdas) in [("lambda0", &self.source, &self.lambda0), ("lambda1", &self.target, &self.lambda1)] {
            if lambdas.is_empty() {
                return Err(TheoryError::new(about, "the grid is empty"));
            }
            if let Some(l) = lambdas.iter().find(|l| l.is_nan() || **l < 0.0 || (l.is_infinite() && about == "lambda0")) {
                return Err(TheoryError::new(about, format!("a simulated penalty is a number ≥ 0, not {l}")));
            }
            if lambdas.contains(&0.0) && self.w0.len().abs_diff(design.n) <= 1 {
                return Err(TheoryError::new(about, ridgeless_infinite(self.w0.len(), design.n)));
            }
        }
        Ok(())
    }
}

/// The error message for |p − n| ≤ 1 without a penalty.
pub fn ridgeless_infinite(p: usize, n: usize) -> String {
    format!("λ = 0 with p = {p} and n = {n} has infinite expected risk (|p − n| ≤ 1)")
}

fn direct(setup: &Setup, rng: &mut ChaCha8Rng) -> Result<Draw, TheoryError> {
    let p = setup.w0.len();
    let data = |design: &Design, rng: &mut ChaCha8Rng| {
        let x = design.covariance.colour(normal(rng, (design.n, p)));
        let noise: Array1<f64> = normal(rng, (design.n, 1)).remove_axis(Axis(1)) * design.noise.sqrt();
        (x, noise)
    };
    let (x0, e0) = data(&setup.source, rng);
    let (x1, e1) = data(&setup.target, rng);
    let w0 = Array1::from_vec(setup.w0.clone());
    let source = Reduction::new(x0.view())?;
    let y0 = apply(x0.view(), w0.view()) + e0;
    let priors = source.path(y0.view(), &setup.lambda0).reversed_axes();
    let errors = &priors - &w0.view().insert_axis(Axis(1));
    let source_risk = setup.source.covariance.norms2(&errors);
    // The smaller Gram matrix has full rank with probability one, so this reduction also solves
    // λ₁ = 0.
    let target = Reduction::new(x1.view())?;
    let (mut transfer, mut scratch) = (vec![], vec![]);
    for w1 in &setup.w1 {
        let w1 = Array1::from_vec(w1.clone());
        let y1 = apply(x1.view(), w1.view()) + &e1;
        let zero = Array2::zeros((p, 1));
        if setup.target.covariance.is_identity() {
            transfer.extend(target.grid_errors(y1.view(), priors.view(), w1.view(), &setup.lambda1));
            scratch.extend(target.grid_errors(y1.view(), zero.view(), w1.view(), &setup.lambda1));
        } else {
            let errors = |prior: ndarray::ArrayView1<f64>| -> Vec<f64> {
                let residual = &y1 - &apply(x1.view(), prior);
                let path = target.path(residual.view(), &setup.lambda1).reversed_axes();
                setup.target.covariance.norms2(&(path + &(&prior - &w1).insert_axis(Axis(1))))
            };
            priors.columns().into_iter().for_each(|prior| transfer.extend(errors(prior)));
            scratch.extend(errors(zero.column(0)));
        }
    }
    Ok(Draw { source: source_risk, transfer, scratch })
}

/// `XᵀX = V diag(s) Vᵀ` of a random design, with p values s ≥ 0, ascending.
fn spectrum_of(design: &Design, rng: &mut ChaCha8Rng, p: usize) -> Result<Eigen, TheoryError> {
    let x = design.covariance.colour(normal(rng, (design.n, p)));
    let mut found = eigen(gram_matrix(x.view()).view()).ok_or_else(|| TheoryError::new("design", "no eigenvalues were found"))?;
    // The p − n smallest values are zero up to rounding.
    found.values.iter_mut().take(p.saturating_sub(design.n)).for_each(|s| *s = 0.0);
    Ok(found)
}

/// λ/(s+λ), with 0/0 = 1: along a direction without data, nothing is learnt.
fn shrink(s: f64, lambda: f64) -> f64 {
    if lambda.is_infinite() || s == 0.0 {
        1.0
    } else {
        lambda / (s + lambda)
    }
}

/// s/(s+λ)², the variance along an eigenvector for σ² = 1.
fn variance(s: f64, lambda: f64) -> f64 {
    if lambda.is_infinite() || s == 0.0 {
        0.0
    } else {
        s / (s + lambda).powi(2)
    }
}

fn rao_blackwell(setup: &Setup, rng: &mut ChaCha8Rng) -> Result<Draw, TheoryError> {
    let p = setup.w0.len();
    let e0 = spectrum_of(&setup.source, rng, p)?;
    let e1 = spectrum_of(&setup.target, rng, p)?;
    let w0 = Array1::from_vec(setup.w0.clone());
    let (s0, s1) = (&setup.source.covariance, &setup.target.covariance);
    let a = apply(e0.vectors.t(), w0.view()); // w₀ in X₀'s eigenbasis
    let l0 = setup.lambda0.len();
    // E β̂₀ for each λ₀, in X₀'s eigenbasis (columns), and the variance along each eigenvector.
    let means = Array2::from_shape_fn((p, l0), |(i, l)| (1.0 - shrink(e0.values[i], setup.lambda0[l])) * a[i]);
    let spread = Array2::from_shape_fn((p, l0), |(i, l)| setup.source.noise * variance(e0.values[i], setup.lambda0[l]));
    // Source risk: bias and variance weighted by V₀ᵀΣ₀V₀.
    let c0 = (!s0.is_identity()).then(|| s0.conjugate(&e0.vectors));
    let source = (0..l0)
        .map(|l| {
            let bias = &means.column(l) - &a;
            match &c0 {
                None => bias.dot(&bias) + spread.column(l).sum(),
                Some(c) => apply(c.view(), bias.view()).dot(&bias) + c.diag().dot(&spread.column(l)),
            }
        })
        .collect();
    // The prior in X₁'s eigenbasis.
    let turn = product(e1.vectors.t(), e0.vectors.view());
    let priors = product(turn.view(), means.view());
    let c1 = (!s1.is_identity()).then(|| s1.conjugate(&e1.vectors));
    let squared = c1.is_none().then(|| &turn * &turn);
    let w1: Vec<Array1<f64>> = setup.w1.iter().map(|w| apply(e1.vectors.t(), Array1::from_vec(w.clone()).view())).collect();
    let mut transfer = vec![0.0; w1.len() * l0 * setup.lambda1.len()];
    let mut scratch = vec![0.0; w1.len() * setup.lambda1.len()];
    let l1 = setup.lambda1.len();
    for (j, &lambda1) in setup.lambda1.iter().enumerate() {
        let h = Array1::from_iter(e1.values.iter().map(|&s| shrink(s, lambda1)));
        let v = Array1::from_iter(e1.values.iter().map(|&s| setup.target.noise * variance(s, lambda1)));
        // ‖H z‖²_Σ₁ for z in X₁'s eigenbasis, tr[H Σ₁ H Cov β̂₀], and the target's own variance.
        let (weights, own) = match &c1 {
            None => (None, v.sum()),
            Some(c) => (Some(&(c * &h.view().insert_axis(Axis(0))) * &h.view().insert_axis(Axis(1))), c.diag().dot(&v)),
        };
        let norm2 = |z: Array1<f64>| match &weights {
            None => z.iter().zip(&h).map(|(z, h)| (z * h).powi(2)).sum(),
            Some(w) => apply(w.view(), z.view()).dot(&z),
        };
        let along: Array1<f64> = match (&weights, &squared) {
            (Some(w), _) => {
                let image = product(w.view(), turn.view());
                (&image * &turn).sum_axis(Axis(0))
            }
            (None, Some(squared)) => apply(squared.t(), h.mapv(|h| h * h).view()),
            (None, None) => Array1::zeros(p),
        };
        for (k, w1) in w1.iter().enumerate() {
            scratch[k * l1 + j] = norm2(w1.clone()) + own;
            for l in 0..l0 {
                let cost = along.dot(&spread.column(l));
                transfer[(k * l0 + l) * l1 + j] = norm2(&priors.column(l) - w1) + cost + own;
            }
        }
    }
    Ok(Draw { source, transfer, scratch })
}

/// The squared entries of an upper bidiagonal B with BᵀB ~ XᵀX, in a basis whose first vector is
/// fixed: qᵢ on the diagonal, eᵢ beside it. B has m rows, and one more column than rows where
/// n < p.
struct Bidiagonal {
    q: Vec<f64>,
    e: Vec<f64>,
}

impl Bidiagonal {
    /// Draws the squared entries. Golub–Kahan bidiagonalisation of an n × p matrix of standard
    /// normal variates gives χ²ₙ, χ²ₙ₋₁ … on the diagonal and χ²ₚ₋₁, χ²ₚ₋₂ … beside it, all
    /// independent. It leaves the first basis vector unchanged.
    fn draw(n: usize, p: usize, rng: &mut ChaCha8Rng) -> Bidiagonal {
        let m = n.min(p);
        let mut chi2 = |k: usize| match ChiSquared::new(k as f64) {
            Ok(law) if k > 0 => law.sample(rng),
            _ => 0.0,
        };
        let mut b = Bidiagonal { q: vec![], e: vec![] };
        for i in 0..m {
            b.q.push(chi2(n - i));
            b.e.push(chi2(p - 1 - i)); // the last is 0 where n ≥ p
        }
        b
    }

    /// At each λ: h = e₁ᵀλ(BᵀB+λ)⁻¹e₁, dh/dλ, tr(BBᵀ+λ)⁻¹ and tr(BBᵀ+λ)⁻². λ > 0 (or tiny for 0).
    ///
    /// They come from the UDUᵀ factors of BᵀB+λ and BBᵀ+λ by the recurrences of differential qd,
    /// from the last row to the first. Every term is positive, so nothing cancels, whatever the
    /// condition number of B. The inner loop is over λ, so that the compiler can vectorise it.
    fn resolvents(&self, lambdas: &[f64]) -> Vec<Resolvent> {
        #[derive(Clone, Copy)]
        struct Recursion {
            t: f64,
            dt: f64,
            r: f64,
            dr: f64,
            ddr: f64,
            delta: f64,
            trace: f64,
            trace2: f64,
        }
        let m = self.q.len();
        let mut recursions: Vec<Recursion> =
            lambdas.iter().map(|&l| Recursion { t: l, dt: 1.0, r: 0.0, dr: 0.0, ddr: 0.0, delta: 1.0, trace: 0.0, trace2: 0.0 }).collect();
        for i in (0..m).rev() {
            let (q, e) = (self.q[i], self.e[i]);
            let last = i + 1 == m;
            for (s, &lambda) in recursions.iter_mut().zip(lambdas) {
                // BᵀB: with δ̃ᵢ₊₁ = eᵢ + tᵢ₊₁, tᵢ = λ + qᵢ·tᵢ₊₁/δ̃ᵢ₊₁. t starts at λ (or, where
                // eₘ = 0, at the ratio 1).
                let inverse = 1.0 / (e + s.t);
                let ratio = s.t * inverse;
                s.dt = 1.0 + q * e * s.dt * inverse * inverse;
                s.t = lambda + q * ratio;
                // BBᵀ: pivots δᵢ = qᵢ + rᵢ, rᵢ = λ + eᵢ·rᵢ₊₁/δᵢ₊₁; r starts at λ + eₘ.
                if last {
                    s.r = lambda + e;
                    s.dr = 1.0;
                    s.ddr = 0.0;
                } else {
                    let inverse = 1.0 / s.delta;
                    let slope = e * self.q[i + 1] * inverse * inverse;
                    s.ddr = slope * (s.ddr - 2.0 * s.dr * s.dr * inverse);
                    s.r = lambda + e * s.r * inverse;
                    s.dr = 1.0 + slope * s.dr;
                }
                s.delta = q + s.r;
                let inverse = 1.0 / s.delta;
                let share = s.dr * inverse;
                s.trace += share;
                s.trace2 += share * share - s.ddr * inverse;
            }
        }
        recursions
            .iter()
            .zip(lambdas)
            .map(|(s, &lambda)| {
                let h = lambda / s.t;
                Resolvent { h, dh: (1.0 - h * s.dt) / s.t, trace: s.trace, trace2: s.trace2 }
            })
            .collect()
    }
}

struct Resolvent {
    h: f64,
    dh: f64,
    trace: f64,
    trace2: f64,
}

/// Replaces λ = 0 by a tiny number, to avoid division by 0. It is far below every eigenvalue and
/// far above underflow.
fn positive(lambdas: &[f64]) -> Vec<f64> {
    lambdas.iter().map(|l| l.max(1e-200)).collect()
}

fn chi(setup: &Setup, rng: &mut ChaCha8Rng) -> Draw {
    let p = setup.w0.len();
    let w0_norm = dot(&setup.w0, &setup.w0);
    let lambdas = positive(&setup.lambda0);
    let source = Bidiagonal::draw(setup.source.n, p, rng).resolvents(&lambdas);
    // Given B, E β̂₀ = (1 − h)w₀ plus an orthogonal vector of uniformly random direction.
    let bias = |r: &Resolvent, l: f64| w0_norm * (r.h - l * r.dh);
    let variance = |r: &Resolvent, l: f64, noise: f64| noise * (r.trace - l * r.trace2).max(0.0);
    let risk: Vec<f64> = source.iter().zip(&lambdas).map(|(r, &l)| bias(r, l) + variance(r, l, setup.source.noise)).collect();
    // ‖E β̂₀‖² = (1 − 2h)‖w₀‖² + bias. Adding the variance gives N = E‖β̂₀‖².
    let norm2: Vec<f64> = source.iter().zip(&risk).map(|(r, risk)| (1.0 - 2.0 * r.h) * w0_norm + risk).collect();
    let finite: Vec<f64> = positive(&setup.lambda1).iter().map(|l| if l.is_finite() { *l } else { 1.0 }).collect();
    let target = Bidiagonal::draw(setup.target.n, p, rng).resolvents(&finite);
    // tr[λ²(X₁ᵀX₁+λ)⁻²]/p, including the p − m directions without data, and the target's own
    // variance.
    let unseen = p.saturating_sub(setup.target.n) as f64;
    let shrunk: Vec<(f64, f64)> = target
        .iter()
        .zip(&finite)
        .zip(&setup.lambda1)
        .map(|((r, &l), asked)| match asked.is_finite() {
            true => ((l * l * r.trace2 + unseen) / p as f64, variance(r, l, setup.target.noise)),
            false => (1.0, 0.0),
        })
        .collect();
    let (mut transfer, mut scratch) = (vec![], vec![]);
    for w1 in &setup.w1 {
        let (w1_norm, inner) = (dot(w1, w1), dot(&setup.w0, w1));
        scratch.extend(shrunk.iter().map(|(a, v)| a * w1_norm + v));
        for (n, r) in norm2.iter().zip(&source) {
            let distance = n - 2.0 * (1.0 - r.h) * inner + w1_norm;
            transfer.extend(shrunk.iter().map(|(a, v)| a * distance + v));
        }
    }
    Draw { source: risk, transfer, scratch }
}

/// A setup with Σ₀ = Σ₁ = I and w₁ = ρ·w₀, without penalties.
pub fn isotropic_setup(p: usize, n0: usize, n1: usize, noise0: f64, noise1: f64, rho: f64) -> Result<Setup, TheoryError> {
    let identity = Arc::new(Covariance::identity(p));
    let w0: Vec<f64> = vec![1.0 / (p as f64).sqrt(); p];
    Ok(Setup {
        source: Design::new(identity.clone(), n0, noise0)?,
        target: Design::new(identity, n1, noise1)?,
        w1: vec![w0.iter().map(|v| rho * v).collect()],
        w0,
        lambda0: vec![],
        lambda1: vec![],
    })
}
