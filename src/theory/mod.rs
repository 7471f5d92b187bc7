//! The theory of L2-SP ridge regression, and its simulation: a package of its own, which needs
//! nothing of transfergrid but `base::threads` and `base::interval`. It does no I/O.
//!
//! Source: `y₀ = X₀w₀ + ε₀`, where X₀ is n₀ × p with rows N(0, Σ₀) and ε₀ ~ N(0, σ₀²I). Target: the
//! same with index 1, independent of the source. Alignment: ρ = ⟨w₀, w₁⟩/‖w₀‖². λ is not divided by
//! n. docs/theory.md derives the formulas.
//!
//! | module | holds |
//! |---|---|
//! | [`covariance`] | Σ: identity, diagonal or full, checked |
//! | [`ridge`] | the estimators: source ridge, L2-SP, from scratch, ridgeless |
//! | [`equivalent`] | deterministic equivalents: τ(λ), moments of β̂₀, risks with derivatives |
//! | [`isotropic`] | the closed forms for Σ₀ = Σ₁ = I |
//! | [`optimum`] | λ_S*, λ₀* at given λ₁, and (λ₀*, λ₁*) |
//! | [`boundary`] | whether transfer helps: full, paper and exact ridgeless condition |
//! | [`targets`] | one source, several targets: weighted and min–max compromises |
//! | [`sampler`] | Monte Carlo: direct, averaged over the noise, and the bidiagonal chi model |
//! | [`estimate`] | from draws to risks and optima with intervals |
//! | [`overlap`] | the alignment of tasks with several outputs |
//! | [`loo`] | exact leave-one-out of ridge regression, and the search for λ |
//! | [`alignment`] | ρ estimated from data, with its interval |
//! | [`fit`] | the choice of λ for given data, and whether transfer helps |

pub mod alignment;
pub mod boundary;
pub mod covariance;
pub mod equivalent;
pub mod estimate;
pub mod fit;
pub mod isotropic;
pub mod linalg;
pub mod loo;
pub mod optimum;
pub mod overlap;
pub mod ridge;
pub mod sampler;
pub mod targets;

/// An input is out of range, or the result does not exist.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{about}: {what}")]
pub struct TheoryError {
    /// The input at fault: `gamma`, `n0`, `covariance`, `design`…
    pub about: &'static str,
    pub what: String,
}

impl TheoryError {
    pub(crate) fn new(about: &'static str, what: impl Into<String>) -> TheoryError {
        TheoryError { about, what: what.into() }
    }
}
