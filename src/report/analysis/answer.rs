//! The answer for one setting: optima chosen on validation images, their cost on test images, and
//! intervals over seeds.

use super::grid_end::{optima_at_ends, ties, GridEnd, OptimumAtEnd, Tie};
use super::guess::Guess;
use super::layout::{CellResults, Setting};
use super::metric::{Basis, Metric};
use super::scores::{best, Best, Scores};
use super::stats::{bootstrap, even_weights, quantile, ratio_interval};
use crate::base::interval::Interval;
use crate::config::StrongerEnd;

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
    /// Index of the source-optimal λ₀.
    pub source: usize,
    /// Indices of the transfer-optimal pair in λ₀ and λ₁.
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
    /// on the source. The interval is conditional on these optima; the choice is not repeated in
    /// each draw.
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
    /// ln(λ₀*/λ_S*); infinite if one of them is 0, and 0 if they are equal.
    pub log_ratio: Interval,
    /// How the true ratio compares with the estimate if an optimum is at an end of the grid.
    pub bound: Bound,
    /// 95% intervals of the two optimal λ₀.
    pub source_range: Option<(f64, f64)>,
    pub transfer_range: Option<(f64, f64)>,
    /// None with a single seed.
    pub probabilities: Option<OrderProbabilities>,
    /// Smallest and largest ratio among equally good optima, if they differ.
    pub tied_ratio: Option<(f64, f64)>,
    /// None if the interval of an optimum reaches 0 or an end of the positive λ₀, or if grid steps
    /// are wider than a decade.
    pub smoothed: Option<SmoothedOptima>,
    /// The ends of the eligible λ₀ at which the optima are, if any.
    pub source_end: Option<GridEnd>,
    pub transfer_end: Option<GridEnd>,
}

/// Fractions of bootstrap draws in which λ₀* regularises more, or less, than λ_S*. Ties count for
/// neither.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OrderProbabilities {
    pub stronger: f64,
    pub weaker: f64,
}

/// Whether models are significantly better than guessing on test images. True if there is no result
/// that could show the opposite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Learned {
    /// The source at λ_S*.
    pub source: bool,
    /// The source at λ₀*.
    pub source_at_transfer: bool,
    /// The target at (λ₀*, λ₁*).
    pub target: bool,
}

/// The order of the two optima that the intervals support.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// λ₀* regularises more than λ_S*: the whole interval of the ratio is on that side of 1.
    Stronger,
    Weaker,
    /// Both optima are the same grid point in all draws.
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

/// Optima from a parabola in ln λ₀, fitted around each best grid point: a second estimate, finer
/// than the grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SmoothedOptima {
    /// Optimal λ₀, not its logarithm.
    pub source: Interval,
    pub transfer: Interval,
    /// ln(λ₀*/λ_S*).
    pub log_ratio: Interval,
}

/// ln(t/s); 0 if both are equal.
fn log_ratio(s: f64, t: f64) -> f64 {
    if s == t {
        0.0
    } else {
        (t / s).ln()
    }
}

impl Answer {
    pub fn of(setting: &Setting, metric: Metric) -> Answer {
        let basis = Basis { metric, seeds: setting.complete_seeds() };
        let cells = EligibleCells::new(setting, &basis);
        let all = even_weights(basis.seeds.len());
        let scores = &cells.scores;
        let optima = scores.source(&all).zip(scores.pair(&all));
        let Some((source, transfer)) = optima else {
            return Answer::Unanswered(match cells.partial || basis.seeds.is_empty() {
                true => Unanswered::Incomplete,
                false => Unanswered::Diverged,
            });
        };
        let source = source.first;
        // Every eligible λ₀ has a target result.
        let Some(lambda1_at_source_optimum) = best(&scores.target[source], &all).map(|best| best.first) else {
            return Answer::Unanswered(Unanswered::Incomplete);
        };
        let learned = learned(setting, &basis, source, transfer);
        let gains = SeedGains::new(setting, &basis, &cells);
        let mut answered = Answered {
            eligible_lambda0: cells.eligible.clone(),
            partial: cells.partial,
            source,
            transfer,
            lambda1_at_source_optimum,
            scratch: best(&cells.scratch, &all).map(|best| best.first),
            comparison: None,
            learned,
            mismatch_cost: None,
            gain: gains.as_ref().map(|gains| gains.mean(&basis)),
            error_reduction: gains.as_ref().and_then(SeedGains::error_reduction),
            optima_at_ends: vec![],
            ties: ties(setting, scores, &all, source, transfer.0),
            basis,
        };
        answered.mismatch_cost = answered.mismatch_cost(setting);
        answered.comparison = (answered.eligible_lambda0.len() > 1).then(|| answered.compare_optima(setting, scores));
        answered.optima_at_ends = optima_at_ends(setting, &answered, &cells, &all);
        Answer::Answered(Box::new(answered))
    }

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

/// Validation scores of a setting. Only eligible λ₀ have scores, so that both optima are chosen
/// among the same λ₀.
pub struct EligibleCells {
    pub scores: Scores,
    pub scratch: Vec<Option<Vec<f64>>>,
    eligible: Vec<usize>,
    partial: bool,
}

impl EligibleCells {
    fn new(setting: &Setting, basis: &Basis) -> EligibleCells {
        let score = |cell: &CellResults| basis.validation_scores(cell);
        let mut scores = Scores {
            source: setting.source.iter().map(score).collect(),
            target: setting.target.iter().map(|row| row.iter().map(score).collect()).collect(),
        };
        let waits = |(cell, scores): (&CellResults, &Option<Vec<f64>>)| cell.planned && cell.diverged.is_empty() && scores.is_none();
        let partial = setting.source.iter().zip(&scores.source).any(waits)
            || setting.target.iter().flatten().zip(scores.target.iter().flatten()).any(waits);
        let mut eligible = vec![];
        for i in 0..setting.lambda0.len() {
            if scores.source[i].is_some() && scores.target[i].iter().any(Option::is_some) {
                eligible.push(i);
            } else {
                scores.source[i] = None;
                scores.target[i].iter_mut().for_each(|cell| *cell = None);
            }
        }
        EligibleCells { scores, scratch: setting.scratch.iter().map(score).collect(), eligible, partial }
    }
}

fn learned(setting: &Setting, basis: &Basis, source: usize, transfer: (usize, usize)) -> Learned {
    let beats = |guess: &Guess, cell: &CellResults| guess.is_beaten(cell, &basis.seeds).unwrap_or(true);
    Learned {
        source: beats(&setting.source_guess, &setting.source[source]),
        source_at_transfer: beats(&setting.source_guess, &setting.source[transfer.0]),
        target: beats(&setting.target_guess, &setting.target[transfer.0][transfer.1]),
    }
}

/// The gain over training from scratch by seed, and what training from scratch leaves to be gained:
/// its error rate, or its loss.
struct SeedGains {
    gain: Vec<f64>,
    left: Vec<f64>,
}

impl SeedGains {
    /// See [`Answered::gain`]. With a single seed no other seeds can choose its optima: the result
    /// is its difference.
    fn new(setting: &Setting, basis: &Basis, cells: &EligibleCells) -> Option<SeedGains> {
        let n = basis.seeds.len();
        let of_seed = |seed: usize| -> Option<(f64, f64)> {
            let mut others = vec![1.0 / (n.max(2) - 1) as f64; n];
            if n > 1 {
                others[seed] = 0.0;
            }
            let (i, j) = cells.scores.pair(&others)?;
            let k = best(&cells.scratch, &others)?.first;
            let scratch = basis.test_scores(&setting.scratch[k])?[seed];
            // Rounded, so that equal fractions give exactly 0 despite rounding errors.
            let gain = basis.test_scores(&setting.target[i][j])?[seed] - scratch;
            let left = match basis.metric {
                Metric::Accuracy => 1.0 - scratch,
                Metric::Loss => -scratch,
            };
            Some(((gain * 1e12).round() / 1e12, left))
        };
        let (gain, left) = (0..n).map(of_seed).collect::<Option<Vec<_>>>()?.into_iter().unzip();
        Some(SeedGains { gain, left })
    }

    fn mean(&self, basis: &Basis) -> Interval {
        let gain = basis.metric.paired(&self.gain);
        let estimate = if gain.estimate.abs() < 1e-12 { 0.0 } else { gain.estimate };
        Interval { estimate, ..gain }
    }

    /// The ratio of the means, with Fieller's interval: it holds 0 exactly where that of the gain
    /// does.
    fn error_reduction(&self) -> Option<Interval> {
        let ratio = ratio_interval(&self.gain, &self.left);
        ratio.estimate.is_finite().then_some(ratio)
    }
}

impl Answered {
    /// Every λ₀ of the grid is eligible.
    pub fn is_whole_grid(&self, setting: &Setting) -> bool {
        self.eligible_lambda0.len() == setting.lambda0.len()
    }

    /// The eligible λ₀ in ascending order.
    pub fn eligible_grid(&self, setting: &Setting) -> Vec<f64> {
        self.eligible_lambda0.iter().map(|&i| setting.lambda0[i]).collect()
    }

    /// The end of the eligible λ₀ at which the best values are.
    pub fn grid_end(&self, setting: &Setting, best: Best) -> Option<GridEnd> {
        GridEnd::of(&self.eligible_grid(setting), setting.lambda0[best.first], setting.lambda0[best.last])
    }

    /// Intervals of the optima and of their ratio, on the grid and smoothed, all from the same
    /// draws. Among equally good values, lower interval ends use the smallest and upper ends the
    /// largest. If an optimum is at an end of the grid, the interval of the ratio is unbounded on
    /// that side.
    fn compare_optima(&self, setting: &Setting, scores: &Scores) -> OptimaComparison {
        let lambda0 = &setting.lambda0;
        let n = self.basis.seeds.len();
        let draws: Vec<(Best, Best)> =
            bootstrap(n, |w| (scores.source(w), scores.transfer(w))).into_iter().filter_map(|(s, t)| Some((s?, t?))).collect();
        let between = |low: &dyn Fn(Best, Best) -> f64, high: &dyn Fn(Best, Best) -> f64| {
            let values = |f: &dyn Fn(Best, Best) -> f64| draws.iter().map(|&(s, t)| f(s, t)).collect::<Vec<_>>();
            Some((quantile(values(low), 0.025)?, quantile(values(high), 0.975)?))
        };
        let grid = self.eligible_grid(setting);
        let end = |best: Best| GridEnd::of(&grid, lambda0[best.first], lambda0[best.last]);
        let low = |s: Best, t: Best| match (end(s), end(t)) {
            (Some(GridEnd::High), _) | (_, Some(GridEnd::Low)) => f64::NEG_INFINITY,
            _ => log_ratio(lambda0[s.last], lambda0[t.first]),
        };
        let high = |s: Best, t: Best| match (end(s), end(t)) {
            (Some(GridEnd::Low), _) | (_, Some(GridEnd::High)) => f64::INFINITY,
            _ => log_ratio(lambda0[s.first], lambda0[t.last]),
        };
        let log_ratio_interval =
            Interval { estimate: log_ratio(lambda0[self.source], lambda0[self.transfer.0]), range: between(&low, &high) };
        let share = |holds: &dyn Fn(Best, Best) -> bool| draws.iter().filter(|(s, t)| holds(*s, *t)).count() as f64 / draws.len() as f64;
        let above = || share(&|s, t| lambda0[t.first] > lambda0[s.last]);
        let below = || share(&|s, t| lambda0[t.last] < lambda0[s.first]);
        let probabilities = (!draws.is_empty()).then(|| match setting.regularizer.stronger {
            StrongerEnd::Larger => OrderProbabilities { stronger: above(), weaker: below() },
            StrongerEnd::Smaller => OrderProbabilities { stronger: below(), weaker: above() },
        });
        let even = even_weights(n);
        let at_optimum = scores.source(&even).zip(scores.transfer(&even));
        let ratios =
            |(s, t): (Best, Best)| (log_ratio(lambda0[s.last], lambda0[t.first]).exp(), log_ratio(lambda0[s.first], lambda0[t.last]).exp());
        let tied_ratio = at_optimum.map(ratios).filter(|(low, high)| low != high);
        let (source_end, transfer_end) = at_optimum.map_or((None, None), |(s, t)| (end(s), end(t)));
        let source_range = between(&|s, _| lambda0[s.first], &|s, _| lambda0[s.last]);
        let transfer_range = between(&|_, t| lambda0[t.first], &|_, t| lambda0[t.last]);
        OptimaComparison {
            verdict: self.verdict(log_ratio_interval, setting.regularizer.stronger),
            log_ratio: log_ratio_interval,
            bound: Bound::of(source_end, transfer_end),
            source_range,
            transfer_range,
            probabilities,
            tied_ratio,
            smoothed: self.smooth(lambda0, scores, source_range, transfer_range),
            source_end,
            transfer_end,
        }
    }

    /// Whether λ₀* regularises more than λ_S*, as far as these seeds and this grid can decide.
    fn verdict(&self, log_ratio: Interval, stronger: StrongerEnd) -> Verdict {
        let order = match log_ratio.range {
            _ if self.basis.seeds.len() < MIN_SEEDS || self.partial => Verdict::Undecided,
            Some((low, _)) if low > 0.0 && stronger == StrongerEnd::Larger => Verdict::Stronger,
            Some((low, _)) if low > 0.0 => Verdict::Weaker,
            Some((_, high)) if high < 0.0 && stronger == StrongerEnd::Larger => Verdict::Weaker,
            Some((_, high)) if high < 0.0 => Verdict::Stronger,
            Some((low, high)) if low == 0.0 && high == 0.0 => Verdict::Same,
            _ => Verdict::Undecided,
        };
        match order {
            Verdict::Undecided => Verdict::Undecided,
            _ if !self.learned.source || !self.learned.target => Verdict::Undecided,
            _ if !self.learned.source_at_transfer => Verdict::Collapsed,
            order => order,
        }
    }

    /// Smoothed optima. None if an interval reaches 0 or an end of the positive λ₀, or if grid
    /// steps are wider than a decade: there a parabola is not informative.
    fn smooth(
        &self,
        lambda0: &[f64],
        scores: &Scores,
        source_range: Option<(f64, f64)>,
        transfer_range: Option<(f64, f64)>,
    ) -> Option<SmoothedOptima> {
        let positive: Vec<f64> = self.eligible_lambda0.iter().map(|&i| lambda0[i]).filter(|l| *l > 0.0).collect();
        let (first, last) = (positive.first()?, positive.last()?);
        let is_inside = |range: Option<(f64, f64)>| range.is_some_and(|(low, high)| low > *first && high < *last);
        let is_fine = positive.windows(2).all(|pair| pair[1] / pair[0] < 10.01);
        if !is_fine || !is_inside(source_range) || !is_inside(transfer_range) {
            return None;
        }
        let n = self.basis.seeds.len();
        let (s, t) = scores.vertices(lambda0, &even_weights(n))?;
        let draws: Vec<(f64, f64)> = bootstrap(n, |w| scores.vertices(lambda0, w)).into_iter().flatten().collect();
        let over = |estimate: f64, f: &dyn Fn(f64, f64) -> f64| {
            let values = || draws.iter().map(|&(s, t)| f(s, t)).collect::<Vec<_>>();
            Interval { estimate, range: quantile(values(), 0.025).zip(quantile(values(), 0.975)) }
        };
        Some(SmoothedOptima {
            source: over(s.exp(), &|s, _| s.exp()),
            transfer: over(t.exp(), &|_, t| t.exp()),
            log_ratio: over(t - s, &|s, t| t - s),
        })
    }

    fn mismatch_cost(&self, setting: &Setting) -> Option<Interval> {
        let (i, j) = self.transfer;
        let best = self.basis.test_scores(&setting.target[i][j])?;
        let other = self.basis.test_scores(&setting.target[self.source][self.lambda1_at_source_optimum])?;
        Some(self.basis.difference(&best, &other))
    }
}

impl Bound {
    fn of(source: Option<GridEnd>, transfer: Option<GridEnd>) -> Bound {
        match (source, transfer) {
            (None, None) => Bound::None,
            (Some(GridEnd::Low) | None, Some(GridEnd::High)) | (Some(GridEnd::Low), None) => Bound::AtLeast,
            (Some(GridEnd::High) | None, Some(GridEnd::Low)) | (Some(GridEnd::High), None) => Bound::AtMost,
            (Some(GridEnd::High), Some(GridEnd::High)) | (Some(GridEnd::Low), Some(GridEnd::Low)) => Bound::Unknown,
        }
    }
}
