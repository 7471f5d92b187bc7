//! Computes a setting's answer: optima on validation images, what they cost on test images, and
//! intervals over seeds.

use super::answer::{
    Answer, Answered, Bound, Learned, OptimaComparison, OrderProbabilities, SmoothedOptima, Unanswered, Verdict, MIN_SEEDS,
};
use super::at_ends::{optima_at_ends, ties};
use super::eligible::EligibleCells;
use super::grid_end::GridEnd;
use super::guess::Guess;
use super::layout::{CellResults, Setting};
use super::metric::{Basis, Metric};
use super::scores::{best, Best, Scores};
use super::stats::{bootstrap, even_weights, quantile, ratio_interval};
use crate::base::interval::Interval;
use crate::config::StrongerEnd;

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
        let gain = gains.as_ref().map(|gains| gains.mean(&basis));
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
            gain,
            error_reduction: gains.zip(gain).and_then(|(gains, gain)| gains.error_reduction(gain)),
            optima_at_ends: vec![],
            ties: ties(setting, scores, &all, source, transfer.0),
            basis,
        };
        answered.mismatch_cost = answered.mismatch_cost(setting);
        answered.comparison = (answered.eligible_lambda0.len() > 1).then(|| answered.compare_optima(setting, scores));
        answered.optima_at_ends = optima_at_ends(setting, &answered, &cells, &all);
        Answer::Answered(Box::new(answered))
    }
}

fn learned(setting: &Setting, basis: &Basis, source: usize, transfer: (usize, usize)) -> Learned {
    let accuracies = |cell: &CellResults| cell.values(&basis.seeds, Metric::Accuracy.test_key());
    let beats = |guess: &Guess, cell: &CellResults| accuracies(cell).is_none_or(|all| guess.is_beaten(&all));
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
            let gain = basis.test_scores(&setting.target[i][j])?[seed] - scratch;
            let left = match basis.metric {
                Metric::Accuracy => 1.0 - scratch,
                Metric::Loss => -scratch,
            };
            // Rounded, so that equal fractions give exactly 0 despite rounding errors.
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
    /// does. It has none where the gain has none, or where it would be unbounded.
    fn error_reduction(&self, gain: Interval) -> Option<Interval> {
        let ratio = ratio_interval(&self.gain, &self.left);
        let range = ratio.range.filter(|(low, high)| gain.range.is_some() && low.is_finite() && high.is_finite());
        ratio.estimate.is_finite().then_some(Interval { range, ..ratio })
    }
}

impl Answered {
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
