//! Whether simulated numbers agree with their prediction.

use super::ClaimVerdict;

/// Relative error that still counts as agreement where the simulation is more precise than the
/// equivalents' own error, O(1/p).
const CLOSE: f64 = 0.02;

/// The quantity that was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// λ₀*/λ_S*.
    Ratios,
    /// R_S − R_TL.
    Gains,
    Risks,
}

/// Number of 95% intervals, out of `n` comparisons, that contain the prediction, and the largest
/// relative error of an estimate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    pub hits: usize,
    pub n: usize,
    pub furthest: f64,
    pub outcome: AgreementOutcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgreementOutcome {
    NothingToCompare,
    /// The number of misses is consistent with chance.
    WithinChance,
    /// There are more misses, but all estimates are within 2%: the simulation is more precise than
    /// the prediction.
    WithinPredictionError,
    Disagrees,
}

impl Agreement {
    pub fn new(hits: usize, n: usize, furthest: f64) -> Agreement {
        // Expected number of misses, plus 2.33 standard deviations (99%).
        let chance = 0.05 * n as f64 + 2.33 * (0.05 * 0.95 * n as f64).sqrt() + 0.5;
        let outcome = match () {
            _ if n == 0 => AgreementOutcome::NothingToCompare,
            _ if (n - hits) as f64 <= chance => AgreementOutcome::WithinChance,
            _ if furthest <= CLOSE => AgreementOutcome::WithinPredictionError,
            _ => AgreementOutcome::Disagrees,
        };
        Agreement { hits, n, furthest, outcome }
    }

    pub fn verdict(&self) -> ClaimVerdict {
        match self.outcome {
            AgreementOutcome::NothingToCompare => ClaimVerdict::Undecided,
            AgreementOutcome::WithinChance | AgreementOutcome::WithinPredictionError => ClaimVerdict::Holds,
            AgreementOutcome::Disagrees => ClaimVerdict::DoesNotHold,
        }
    }
}
