//! The theory of L2-SP ridge regression, and its simulation. Stands alone: imports nothing else of
//! the crate but `threads`, does no I/O.
//!
//! Source: `y₀ = X₀w₀ + ε₀`, X₀ is n₀ × p with rows N(0, Σ₀), ε₀ ~ N(0, σ₀²I). Target: the same with index 1, independent of the
//! source. Alignment: ρ = ⟨w₀, w₁⟩/‖w₀‖². λ is not divided by n. docs/theory.md derives what stands here.
//!
//! | module | holds |
//! |---|---|
//! | [`covariance`] | Σ: identity, diagonal or full, checked |
//! | [`ridge`] | the estimators: source ridge, L2-SP, from scratch, ridgeless |
//! | [`equivalent`] | deterministic equivalents: τ(λ), mean and covariance of β̂₀, every risk with its derivative |
//! | [`isotropic`] | the closed forms for Σ₀ = Σ₁ = I |
//! | [`optimum`] | λ_S*, λ₀* at given λ₁, and (λ₀*, λ₁*) |
//! | [`boundary`] | whether transfer helps: the full condition, the paper's, the exact ridgeless one |
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

/// An input out of range, or a question without an answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{about}: {what}")]
pub struct TheoryError {
    /// What is wrong: `gamma`, `n0`, `covariance`, `design`…
    pub about: &'static str,
    pub what: String,
}

impl TheoryError {
    pub(crate) fn new(about: &'static str, what: impl Into<String>) -> TheoryError {
        TheoryError { about, what: what.into() }
    }
}
