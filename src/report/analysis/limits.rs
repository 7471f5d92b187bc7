//! How far a grid of penalties may be widened.

use crate::config::network::{Network, PenaltyStep, TransferMethod};

/// The largest penalties that the explicit step allows; infinite without a limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PenaltyLimits {
    pub lambda0: f64,
    pub lambda1: f64,
    pub scratch: f64,
}

impl PenaltyLimits {
    pub const UNBOUNDED: PenaltyLimits = PenaltyLimits { lambda0: f64::INFINITY, lambda1: f64::INFINITY, scratch: f64::INFINITY };

    pub fn of(settings: &Network) -> PenaltyLimits {
        if settings.penalty.step == PenaltyStep::Proximal {
            return PenaltyLimits::UNBOUNDED;
        }
        let (source, target) = (&settings.source, &settings.target);
        let lambda1 = if settings.transfer.method == TransferMethod::Ridge { f64::INFINITY } else { target.largest_explicit(None) };
        PenaltyLimits { lambda0: source.largest_explicit(None), lambda1, scratch: target.largest_explicit(settings.scratch.lr) }
    }
}
