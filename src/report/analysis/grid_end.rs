//! Optima at an end of a grid, and ties: what they leave undecided, and what can be done about
//! them.

/// An end of the grid beyond which the best value may be. λ = 0 does not count as an end, because
/// no value is below it. λ = ∞ does not count either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GridEnd {
    Low,
    High,
}

impl GridEnd {
    /// The end of an ascending list at which the equally good values `first` to `last` are.
    pub fn of(list: &[f64], first: f64, last: f64) -> Option<GridEnd> {
        match list {
            [] | [_] => None,
            [.., end] if last == *end && end.is_finite() => Some(GridEnd::High),
            [start, ..] if first == *start && *start > 0.0 => Some(GridEnd::Low),
            _ => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            GridEnd::Low => "low",
            GridEnd::High => "high",
        }
    }
}

/// A quantity that is chosen from a grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptimumKind {
    SourceLambda0,
    TransferLambda0,
    TransferLambda1,
    ScratchLambda,
}

/// An optimum at an end of its grid.
#[derive(Debug, Clone, PartialEq)]
pub struct OptimumAtEnd {
    pub optimum: OptimumKind,
    /// The grid's key in the study.
    pub axis: String,
    pub end: GridEnd,
    /// The value at this end of the grid.
    pub value: f64,
    /// The reported optimum is another, equally good value.
    pub is_tie: bool,
    /// The grid holds 0.
    pub has_zero: bool,
    pub advice: Advice,
}

/// What can be done about an optimum at an end of its grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Advice {
    /// Wait: values beyond it lack results.
    WaitForResults,
    /// Do nothing: at this λ₀ the source is not shown to have learned anything.
    SourceLearnedNothing,
    /// Widen the grid. `limit` is the largest value that the explicit step allows, or ∞ without a
    /// limit. `stages` is the number of new stages for each further value.
    Widen { limit: f64, stages: usize },
    /// The explicit step allows no value above `limit`.
    AtStepLimit { limit: f64 },
}

/// Whether a grid that ends at `value` can still be widened upwards.
pub fn has_room_above(value: f64, limit: f64) -> bool {
    value < limit * (1.0 - 1e-3)
}

/// An optimal λ₀ that ties with other λ₀.
#[derive(Debug, Clone, PartialEq)]
pub struct Tie {
    pub optimum: OptimumKind,
    pub lambda0: f64,
    pub others: Vec<f64>,
}
