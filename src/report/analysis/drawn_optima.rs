//! Where the optima of source and target are, in one draw of the bootstrap or in the results
//! themselves.

use super::grid_end::GridEnd;

/// The optima of one draw. Each is a pair where equally good λ₀ leave it open: its smallest and its
/// largest value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DrawnOptima {
    pub source: (f64, f64),
    pub transfer: (f64, f64),
    /// The smallest and the largest ln(λ₀*/λ_S*) that this draw allows. It is unbounded where an
    /// optimum is at an end of the grid, and where it is λ₀ = 0.
    pub log_ratio: (f64, f64),
    /// What the grid hides of `log_ratio`. A kink between two points may be anywhere between them,
    /// and no smooth curve shows it: half the step at each optimum is unknown, however small the
    /// noise is.
    pub hidden: f64,
    pub source_end: Option<GridEnd>,
    pub transfer_end: Option<GridEnd>,
}

impl DrawnOptima {
    /// λ₀* > λ_S*, whichever of equally good values are taken.
    pub fn is_larger(&self) -> bool {
        self.transfer.0 > self.source.1
    }

    /// λ₀* < λ_S*, whichever of equally good values are taken.
    pub fn is_smaller(&self) -> bool {
        self.transfer.1 < self.source.0
    }

    /// ln(λ₀*/λ_S*) of the smallest optimal values.
    pub fn estimate(&self) -> f64 {
        log_ratio(self.source.0, self.transfer.0)
    }
}

/// ln(t/s); 0 if both are equal.
pub fn log_ratio(s: f64, t: f64) -> f64 {
    if s == t {
        0.0
    } else {
        (t / s).ln()
    }
}
