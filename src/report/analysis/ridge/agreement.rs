//! Whether simulated numbers agree with their prediction.

use super::ClaimVerdict;

/// What counts as agreement where the simulation is sharper than the equivalents' own error, O(1/p).
const CLOSE: f64 = 0.02;

/// What was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// λ₀*/λ_S*.
    Ratios,
    /// R_S − R_TL.
    Gains,
    Risks,
}

/// Of `n` comparisons, how many 95% intervals hold the prediction, and how far (relatively) the
/// furthest estimate is from it.
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
    /// As many intervals miss as chance lets miss.
    WithinChance,
    /// More miss, but all are within 2%: the simulation is sharper than the prediction.
    WithinPredictionError,
    Disagrees,
}

impl Agreement {
    pub fn new(hits: usize, n: usize, furthest: f64) -> Agreement {
        // Expected misses and 99% of their spread.
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
