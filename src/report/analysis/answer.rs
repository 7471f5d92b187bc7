//! The answer of one setting: what is said of its optima. `optima.rs` computes it.

use super::grid_end::{GridEnd, OptimumAtEnd, Tie};
use super::layout::Setting;
use super::metric::Basis;
use super::scores::Best;
use super::stats::student_quantile;
use crate::base::interval::Interval;

/// Which λ₀ transfers best, compared with the λ₀ that is best for the source.
#[derive(Debug, Clone)]
pub enum Answer {
    Unanswered(Unanswered),
    Answered(Box<Answered>),
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// No λ₀ has a source result and a target result for every seed yet.
    Incomplete,
    /// Every λ₀ diverged for at least one seed.
    Diverged,
}

/// The optima of a setting and the quantities derived from them.
#[derive(Debug, Clone)]
pub struct Answered {
    pub basis: Basis,
    /// Indices of the λ₀ that have source and target results for every seed. The others diverged or
    /// lack results; they are excluded from the choice of both optima.
    pub eligible_lambda0: Vec<usize>,
    /// At least one planned cell has no result yet. A cell that diverged has a result.
    pub partial: bool,
    /// Index of the trained λ₀ that is best for the source.
    pub source: usize,
    /// Indices of the trained pair of λ₀ and λ₁ that is best for the target.
    pub transfer: (usize, usize),
    /// Index of the best λ₁ at the source-optimal λ₀.
    pub lambda1_at_source_optimum: usize,
    /// Index of the best λ of training from scratch.
    pub scratch: Option<usize>,
    /// None if fewer than two λ₀ are eligible.
    pub comparison: Option<OptimaComparison>,
    /// Which models are better than guessing.
    pub learned: Learned,
    /// Test metric at λ₀* minus test metric at λ_S*, each with its best λ₁: the cost of choosing λ₀
    /// on the source. Each seed is evaluated at the grid points that the *other* seeds choose, as
    /// for the gain.
    pub mismatch_cost: Option<Interval>,
    /// Test metric of the best transfer minus that of training from scratch. Each seed is evaluated
    /// at the optima that the *other* seeds choose. Choosing the best of many cells on the same
    /// seeds would overestimate it. A value below 0 is negative transfer.
    pub gain: Option<Interval>,
    /// The gain as a share of what training from scratch leaves to be gained: its error rate, or
    /// its loss. 1 means that no error is left.
    pub error_reduction: Option<Interval>,
    pub optima_at_ends: Vec<OptimumAtEnd>,
    pub ties: Vec<Tie>,
}

/// How the two optimal λ₀ compare.
#[derive(Debug, Clone)]
pub struct OptimaComparison {
    pub verdict: Verdict,
    pub method: Method,
    /// λ_S* and λ₀*.
    pub source: f64,
    pub transfer: f64,
    /// ln(λ₀*/λ_S*), with the interval that gives the verdict; infinite if one of them is 0, and 0
    /// if they are equal.
    pub log_ratio: Interval,
    /// How the true ratio compares with the estimate if an optimum is at an end of the grid.
    pub bound: Bound,
    /// 95% intervals of the two optimal λ₀.
    pub source_range: Option<(f64, f64)>,
    pub transfer_range: Option<(f64, f64)>,
    /// The share of the squared widths of the optima's intervals that is the seeds' noise; the rest
    /// is what is not known of the curves between the trained λ₀. 1 for grid points.
    pub noise_share: f64,
    /// None with a single seed.
    pub probabilities: Option<OrderProbabilities>,
    /// Smallest and largest ratio among equally good optima, if they differ.
    pub tied_ratio: Option<(f64, f64)>,
    /// The ends of the eligible λ₀ at which the optima are, if any.
    pub source_end: Option<GridEnd>,
    pub transfer_end: Option<GridEnd>,
}

/// How the optima are estimated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// As the maxima of smooth curves over ln λ₀ (`spline`).
    Curves,
    /// As the best of the trained λ₀: there are too few for a curve.
    GridPoints,
}

/// What a verdict needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// Optima within this factor of each other are the same; above 1.
    pub margin: f64,
    /// The probability with which a verdict may be wrong: intervals of the ratio have the level
    /// 1 − error. It is smaller where the results are looked at after every round.
    pub error: f64,
}

impl Rules {
    /// The error of each look where the results are looked at after every round, so that all looks
    /// together are wrong at most 5% of the time (docs/report.md).
    pub const ERROR_OF_A_LOOK: f64 = 0.02;
}

impl Default for Rules {
    fn default() -> Rules {
        Rules { margin: 1.5, error: 0.05 }
    }
}

/// Fractions of bootstrap draws in which λ₀* regularises more, or less, than λ_S*. Ties count for
/// neither.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OrderProbabilities {
    pub stronger: f64,
    pub weaker: f64,
}

/// Whether models have learned something: whether they are significantly better than guessing on
/// test images. True if there is no result that could show the opposite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Learned {
    /// The source at λ_S*.
    pub source: bool,
    /// The source at λ₀*.
    pub source_at_transfer: bool,
    /// The backbone of the source at λ₀* is told from zero ([`VANISHED`]).
    pub backbone_at_transfer: bool,
    /// The target at (λ₀*, λ₁*).
    pub target: bool,
}

/// A backbone whose norm is below this share of that at λ_S* is not told from zero.
pub const VANISHED: f64 = 0.01;

impl Learned {
    /// Whether the source that transfers best has learned nothing.
    pub fn is_collapsed(&self) -> bool {
        !self.source_at_transfer || !self.backbone_at_transfer
    }
}

/// The order of the two optima that the intervals support.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// λ₀* regularises more than λ_S*: the whole interval of the ratio is on that side of 1.
    Stronger,
    Weaker,
    /// The whole interval of the ratio is within the margin of 1, and holds 1.
    Same,
    /// The target prefers a source that has learned nothing.
    Collapsed,
    /// These seeds and this grid are not enough to decide.
    Undecided,
}

impl Verdict {
    pub const ALL: [Verdict; 5] = [Verdict::Stronger, Verdict::Weaker, Verdict::Same, Verdict::Collapsed, Verdict::Undecided];

    /// The name in tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Stronger => "stronger",
            Verdict::Weaker => "weaker",
            Verdict::Same => "same",
            Verdict::Collapsed => "collapsed",
            Verdict::Undecided => "undecided",
        }
    }
}

/// With fewer seeds the order of the optima is always undecided.
pub const MIN_SEEDS: usize = 3;

/// How the true ratio compares with its estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// No optimum is at an end of the grid.
    None,
    AtLeast,
    AtMost,
    /// Both optima are at the same end of the grid.
    Unknown,
}

impl Answer {
    pub fn answered(&self) -> Option<&Answered> {
        match self {
            Answer::Answered(answered) => Some(answered),
            Answer::Unanswered(_) => None,
        }
    }

    pub fn comparison(&self) -> Option<&OptimaComparison> {
        self.answered()?.comparison.as_ref()
    }
}

impl Bound {
    pub(super) fn of(source: Option<GridEnd>, transfer: Option<GridEnd>) -> Bound {
        match (source, transfer) {
            (None, None) => Bound::None,
            (Some(GridEnd::Low) | None, Some(GridEnd::High)) | (Some(GridEnd::Low), None) => Bound::AtLeast,
            (Some(GridEnd::High) | None, Some(GridEnd::Low)) | (Some(GridEnd::High), None) => Bound::AtMost,
            (Some(GridEnd::High), Some(GridEnd::High)) | (Some(GridEnd::Low), Some(GridEnd::Low)) => Bound::Unknown,
        }
    }
}

impl Answered {
    /// Whether transfer is better than training from scratch, if the gain's interval at the level
    /// of one look, 1 − `error`, excludes 0. (The report's own interval is one of 95%, by
    /// Student's t over seeds.)
    pub fn gain_is_positive(&self, error: f64) -> Option<bool> {
        let n = self.basis.seeds.len();
        let stretch = student_quantile(n, error) / student_quantile(n, 0.05);
        let gain = self.gain?;
        let (low, high) = gain.range?;
        let side = if gain.estimate > 0.0 { gain.estimate - low } else { high - gain.estimate };
        (gain.estimate.abs() > stretch * side).then_some(gain.estimate > 0.0)
    }

    /// λ_S*, the estimate if there is one.
    pub fn source_lambda0(&self, setting: &Setting) -> f64 {
        self.comparison.as_ref().map_or(setting.lambda0[self.source], |comparison| comparison.source)
    }

    /// λ₀*, the estimate if there is one.
    pub fn transfer_lambda0(&self, setting: &Setting) -> f64 {
        self.comparison.as_ref().map_or(setting.lambda0[self.transfer.0], |comparison| comparison.transfer)
    }

    /// Every λ₀ of the grid is eligible.
    pub fn is_whole_grid(&self, setting: &Setting) -> bool {
        self.eligible_lambda0.len() == setting.lambda0.len()
    }

    /// The λ₀ between which the optima were looked for: without 0 where they are maxima of curves.
    pub fn searched(&self, setting: &Setting) -> Vec<f64> {
        let is_curve = self.comparison.as_ref().is_some_and(|comparison| comparison.method == Method::Curves);
        self.eligible_grid(setting).into_iter().filter(|lambda0| *lambda0 > 0.0 || !is_curve).collect()
    }

    /// The eligible λ₀ in ascending order.
    pub fn eligible_grid(&self, setting: &Setting) -> Vec<f64> {
        self.eligible_lambda0.iter().map(|&i| setting.lambda0[i]).collect()
    }

    /// The end of the eligible λ₀ at which the best values are.
    pub fn grid_end(&self, setting: &Setting, best: Best) -> Option<GridEnd> {
        GridEnd::of(&self.eligible_grid(setting), setting.lambda0[best.first], setting.lambda0[best.last])
    }
}
