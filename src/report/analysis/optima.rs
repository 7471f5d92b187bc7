//! Computes a setting's answer: optima on validation images, what they cost on test images, and
//! intervals over seeds.

use super::answer::{Answer, Answered, Learned, Method, Unanswered, VANISHED};
use super::at_ends::{optima_at_ends, ties};
use super::compare_optima::compare_optima;
use super::eligible::EligibleCells;
use super::guess::Guess;
use super::layout::{CellResults, Setting};
use super::metric::{Basis, Metric};
use super::scores::best;
use super::stats::{even_weights, mean, ratio_interval};
use crate::base::interval::Interval;

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
        answered.mismatch_cost = mismatch_cost(setting, &answered.basis, &cells);
        answered.comparison = (answered.eligible_lambda0.len() > 1).then(|| compare_optima(&answered, setting, scores));
        if answered.comparison.as_ref().is_some_and(|comparison| comparison.method == Method::Curves) {
            answered.ties.clear(); // the optima are maxima of curves, not one of several equal points
        }
        answered.optima_at_ends = optima_at_ends(setting, &answered, &cells, &all);
        Answer::Answered(Box::new(answered))
    }
}

fn learned(setting: &Setting, basis: &Basis, source: usize, transfer: (usize, usize)) -> Learned {
    let score = if basis.metric.is_score() { basis.metric } else { basis.metric.other() };
    let accuracies = |cell: &CellResults| cell.values(&basis.seeds, score.test_key());
    let beats = |guess: &Guess, cell: &CellResults| accuracies(cell).is_none_or(|all| guess.is_beaten(&all));
    // A model can be right more often than guessing and have a higher loss, if it is overconfident.
    // Chosen by loss, it is then no better than a model that learned nothing.
    let losses = |cell: &CellResults| cell.values(&basis.seeds, Metric::Loss.test_key());
    let chosen = |guess: &Guess, cell: &CellResults| {
        let by_loss = basis.metric.is_score() || losses(cell).is_none_or(|all| guess.is_beaten_by_loss(&all));
        beats(guess, cell) && by_loss
    };
    Learned {
        source: chosen(&setting.source_guess, &setting.source[source]),
        source_at_transfer: beats(&setting.source_guess, &setting.source[transfer.0]),
        backbone_at_transfer: !has_vanished(&setting.source[transfer.0], &setting.source[source], basis),
        target: chosen(&setting.target_guess, &setting.target[transfer.0][transfer.1]),
    }
}

/// Whether the backbone of a source model is not told from zero, beside that of another. Without a
/// backbone (softmax regression) there is nothing to vanish.
fn has_vanished(cell: &CellResults, beside: &CellResults, basis: &Basis) -> bool {
    // A source's backbone is penalised towards 0, so this is its norm.
    let norm = |cell: &CellResults| cell.values(&basis.seeds, "distance").map_or(0.0, |norms| mean(&norms));
    norm(beside) > 0.0 && norm(cell) < VANISHED * norm(beside)
}

/// The weights of all seeds but one, which is measured at what the others choose. With a single
/// seed there are no others, and it chooses for itself.
fn others(seed: usize, n: usize) -> Vec<f64> {
    let mut weights = vec![1.0 / (n.max(2) - 1) as f64; n];
    if n > 1 {
        weights[seed] = 0.0;
    }
    weights
}

/// See [`Answered::mismatch_cost`].
fn mismatch_cost(setting: &Setting, basis: &Basis, cells: &EligibleCells) -> Option<Interval> {
    let of_seed = |seed: usize| -> Option<f64> {
        let others = others(seed, basis.seeds.len());
        let (i, j) = cells.scores.pair(&others)?;
        let source = cells.scores.source(&others)?.first;
        let lambda1 = best(&cells.scores.target[source], &others)?.first;
        let score = |i: usize, j: usize| Some(basis.test_scores(&setting.target[i][j])?[seed]);
        Some(round(score(i, j)? - score(source, lambda1)?))
    };
    let costs: Vec<f64> = (0..basis.seeds.len()).map(of_seed).collect::<Option<_>>()?;
    Some(basis.metric.paired(&costs))
}

/// Rounded, so that equal fractions give exactly 0 despite rounding errors.
fn round(difference: f64) -> f64 {
    (difference * 1e12).round() / 1e12
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
            let others = others(seed, n);
            let (i, j) = cells.scores.pair(&others)?;
            let k = best(&cells.scratch, &others)?.first;
            let scratch = basis.test_scores(&setting.scratch[k])?[seed];
            let gain = basis.test_scores(&setting.target[i][j])?[seed] - scratch;
            let left = if basis.metric.is_score() { 1.0 - scratch } else { -scratch };
            Some((round(gain), left))
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
