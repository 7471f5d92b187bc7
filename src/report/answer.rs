//! The answer: optima on validation images, what they cost on test images, and intervals over seeds.

use super::collect::{Cell, Group, Metric};
use super::edges::Edge;
use super::scores::{best, Best, Scores};
use super::stats::{bootstrap, even, quantile, Interval};
use crate::config::{Selection, Stronger};

/// The answer for one group under one metric.
#[derive(Debug, Clone)]
pub struct Answer {
    pub metric: Metric,
    /// Which end of λ₀ regularises more.
    pub stronger: Stronger,
    /// Seeds averaged over (positions in the group's seeds).
    pub seeds: Vec<usize>,
    /// Index into λ₀ of the source-optimal one.
    pub source: Option<usize>,
    /// 95% interval of the source-optimal λ₀.
    pub source_range: Option<(f64, f64)>,
    /// Indices into λ₀ and λ₁ of the transfer-optimal pair.
    pub transfer: Option<(usize, usize)>,
    /// 95% interval of the transfer-optimal λ₀.
    pub transfer_range: Option<(f64, f64)>,
    /// Index into λ₁ of the best companion of the source-optimal λ₀.
    pub companion: Option<usize>,
    /// Index into the twin's λ.
    pub scratch: Option<usize>,
    /// ln(λ₀*/λ_S*); infinite where one of them is 0, 0 where they are equal.
    pub log_ratio: Option<Interval>,
    /// Share of bootstrap draws in which λ₀* regularises more than λ_S*, ties not counted.
    pub probability_stronger: Option<f64>,
    /// The same of less.
    pub probability_weaker: Option<f64>,
    /// The smallest and the largest ratio of equally good optima.
    pub tied_ratio: Option<(f64, f64)>,
    /// Which models are better than guessing.
    pub learned: Learned,
    /// The optima between the grid's points; none where the interval of one of them reaches 0 or an end of the positive λ₀.
    pub smooth: Option<Smooth>,
    /// Test metric at λ₀* against λ_S*, each with its best λ₁: what choosing by the source costs. Above 0: it costs. Its interval is at
    /// these optima: the choice is not made anew.
    pub mismatch_cost: Option<Interval>,
    /// Test metric of the best transfer against the best twin, each seed measured at the optima that the *other* seeds choose: the best of
    /// many cells on the very seeds that chose it would look better than it is. Below 0: negative transfer.
    pub gain: Option<Interval>,
    /// λ₀ (indices) with a source and a target in the running; the others diverged or have no results yet.
    pub running: Vec<usize>,
    /// Some planned cell has no result yet (what diverged has one).
    pub partial: bool,
    /// Which optimum is at an edge of the λ₀ in the running: the best value may lie beyond it.
    pub source_edge: Option<Edge>,
    pub transfer_edge: Option<Edge>,
    /// Optima at an edge, in words.
    pub edges: Vec<String>,
    /// Optima that another value equals, in words.
    pub ties: Vec<String>,
}

/// Whether models are shown to be better than guessing on test images. True where there is no
/// result to say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Learned {
    /// The source at λ_S* and at λ₀*.
    pub source: bool,
    pub source_at_transfer: bool,
    /// The target at (λ₀*, λ₁*).
    pub target: bool,
}

/// What the intervals make of the order of the two optima.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// λ₀* regularises more than λ_S*: the ratio's interval lies on that side of 1.
    Stronger,
    Weaker,
    /// Both optima are one point of the grid, in all draws.
    Same,
    /// The target prefers a source that has learned nothing.
    Collapsed,
    /// These seeds and this grid do not settle it.
    Open,
}

impl Verdict {
    /// In tables and JSON.
    pub fn key(self) -> &'static str {
        match self {
            Verdict::Stronger => "stronger",
            Verdict::Weaker => "weaker",
            Verdict::Same => "same",
            Verdict::Collapsed => "collapsed",
            Verdict::Open => "undecided",
        }
    }

    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Verdict::Same => "the same",
            Verdict::Collapsed => "that of a source which learned nothing",
            Verdict::Open => "not settled",
            other => other.key(),
        }
    }
}

/// Seeds below which no order of the optima is called settled.
pub const LEAST_SEEDS: usize = 3;

/// What an optimum at the edge of the grid makes of the ratio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    None,
    AtLeast,
    AtMost,
    /// Both optima at the same edge.
    Unknown,
}

/// Optima by a parabola in ln λ₀ through the neighbourhood of each best grid point: a second reading, finer than the grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Smooth {
    /// λ.
    pub source: Interval,
    pub transfer: Interval,
    /// ln of their ratio.
    pub log_ratio: Interval,
}

/// ln(t/s), 0 where they are equal.
fn log_ratio(s: f64, t: f64) -> f64 {
    if s == t {
        0.0
    } else {
        (t / s).ln()
    }
}

impl Answer {
    /// The answer under the study's own selection.
    pub fn of(group: &Group, selection: Selection) -> Answer {
        let metric = match selection {
            Selection::Accuracy => Metric::Accuracy,
            Selection::Loss => Metric::Loss,
        };
        Answer::under(group, metric)
    }

    pub fn under(group: &Group, metric: Metric) -> Answer {
        let mut answer = Answer {
            metric,
            stronger: group.strength.stronger,
            seeds: group.complete_seeds(),
            source: None,
            source_range: None,
            transfer: None,
            transfer_range: None,
            companion: None,
            scratch: None,
            log_ratio: None,
            probability_stronger: None,
            probability_weaker: None,
            tied_ratio: None,
            learned: Learned { source: true, source_at_transfer: true, target: true },
            smooth: None,
            mismatch_cost: None,
            gain: None,
            running: vec![],
            partial: false,
            source_edge: None,
            transfer_edge: None,
            edges: vec![],
            ties: vec![],
        };
        let mut scores = Scores {
            source: group.source.iter().map(|cell| answer.validation_scores(cell)).collect(),
            target: group.target.iter().map(|row| row.iter().map(|cell| answer.validation_scores(cell)).collect()).collect(),
        };
        let scratch: Vec<Option<Vec<f64>>> = group.scratch.iter().map(|cell| answer.validation_scores(cell)).collect();
        let waits = |cell: &Cell, scores: &Option<Vec<f64>>| cell.planned && cell.diverged.is_empty() && scores.is_none();
        answer.partial = group.source.iter().zip(&scores.source).any(|(cell, s)| waits(cell, s))
            || group.target.iter().flatten().zip(scores.target.iter().flatten()).any(|(cell, s)| waits(cell, s));
        // A λ₀ competes for both optima or for none: else the one would be chosen among others than the other.
        for i in 0..group.lambda0.len() {
            match scores.source[i].is_some() && scores.target[i].iter().any(Option::is_some) {
                true => answer.running.push(i),
                false => {
                    scores.source[i] = None;
                    scores.target[i].iter_mut().for_each(|cell| *cell = None);
                }
            }
        }
        if answer.running.is_empty() {
            return answer;
        }
        let all = even(answer.seeds.len());
        answer.source = scores.source(&all).map(|best| best.first);
        answer.transfer = scores.pair(&all);
        answer.scratch = best(&scratch, &all).map(|best| best.first);
        answer.companion = answer.source.and_then(|s| best(&scores.target[s], &all)).map(|best| best.first);
        answer.learned = answer.what_learned(group);
        answer.optima(group, &scores);
        answer.mismatch_cost = answer.cost(group);
        answer.gain = answer.gain_over_scratch(group, &scores, &scratch);
        answer.look_at_edges(group, &scores, &scratch, &all);
        answer.look_at_ties(group, &scores, &all);
        answer
    }

    /// Every λ₀ is in the running.
    pub fn is_whole(&self, group: &Group) -> bool {
        self.running.len() == group.lambda0.len()
    }

    /// Whether λ₀* regularises more than λ_S*, as far as these seeds and this grid say.
    pub fn verdict(&self) -> Verdict {
        match self.order() {
            Verdict::Open => Verdict::Open,
            _ if !self.learned.source || !self.learned.target => Verdict::Open,
            _ if !self.learned.source_at_transfer => Verdict::Collapsed,
            order => order,
        }
    }

    /// The order of the optima, whatever the models at them have learned.
    fn order(&self) -> Verdict {
        match self.log_ratio.and_then(|r| r.range) {
            _ if self.seeds.len() < LEAST_SEEDS || self.partial || self.running.len() < 2 => Verdict::Open,
            Some((low, _)) if low > 0.0 && self.stronger == Stronger::Larger => Verdict::Stronger,
            Some((low, _)) if low > 0.0 => Verdict::Weaker,
            Some((_, high)) if high < 0.0 && self.stronger == Stronger::Larger => Verdict::Weaker,
            Some((_, high)) if high < 0.0 => Verdict::Stronger,
            Some((low, high)) if low == 0.0 && high == 0.0 => Verdict::Same,
            _ => Verdict::Open,
        }
    }

    fn what_learned(&self, group: &Group) -> Learned {
        let beats =
            |guess: &super::collect::Guess, cell: Option<&Cell>| cell.and_then(|cell| guess.is_beaten(cell, &self.seeds)).unwrap_or(true);
        let source = |at: Option<usize>| beats(&group.source_guess, at.map(|i| &group.source[i]));
        Learned {
            source: source(self.source),
            source_at_transfer: source(self.transfer.map(|(i, _)| i)),
            target: beats(&group.target_guess, self.transfer.map(|(i, j)| &group.target[i][j])),
        }
    }

    /// How the true ratio lies to the estimate where an optimum is at an edge.
    pub fn ratio_bound(&self) -> Bound {
        match (self.source_edge, self.transfer_edge) {
            (None, None) => Bound::None,
            (Some(Edge::Low) | None, Some(Edge::High)) | (Some(Edge::Low), None) => Bound::AtLeast,
            (Some(Edge::High) | None, Some(Edge::Low)) | (Some(Edge::High), None) => Bound::AtMost,
            (Some(Edge::High), Some(Edge::High)) | (Some(Edge::Low), Some(Edge::Low)) => Bound::Unknown,
        }
    }

    fn scores(&self, cell: &Cell, test: bool) -> Option<Vec<f64>> {
        Some(cell.values(&self.seeds, self.metric.key(test))?.into_iter().map(|v| self.metric.score(v)).collect())
    }

    /// A cell's validation metric by seed, higher is better.
    pub fn validation_scores(&self, cell: &Cell) -> Option<Vec<f64>> {
        self.scores(cell, false)
    }

    /// A cell's test metric by seed, higher is better; none unless every seed has it.
    pub fn test_scores(&self, cell: &Cell) -> Option<Vec<f64>> {
        self.scores(cell, true)
    }

    /// The λ₁ that validation prefers for a λ₀.
    pub fn best_lambda1(&self, row: &[Cell]) -> Option<usize> {
        let scores: Vec<Option<Vec<f64>>> = row.iter().map(|cell| self.validation_scores(cell)).collect();
        Some(best(&scores, &even(self.seeds.len()))?.first)
    }

    /// Intervals of the optima and of their ratio, on the grid and smoothed, all from the same draws. Of equally good values the lower
    /// ends of the intervals take the smallest and the upper ends the largest; an optimum at an end of the grid leaves the ratio open to that
    /// side.
    fn optima(&mut self, group: &Group, scores: &Scores) {
        let lambda0 = &group.lambda0;
        let (Some(source), Some((transfer, _))) = (self.source, self.transfer) else { return };
        if self.running.len() < 2 {
            return; // nothing to compare
        }
        let n = self.seeds.len();
        let draws: Vec<(Best, Best)> =
            bootstrap(n, |w| (scores.source(w), scores.transfer(w))).into_iter().filter_map(|(s, t)| Some((s?, t?))).collect();
        let between = |low: &dyn Fn(Best, Best) -> f64, high: &dyn Fn(Best, Best) -> f64| {
            let values = |f: &dyn Fn(Best, Best) -> f64| draws.iter().map(|&(s, t)| f(s, t)).collect::<Vec<_>>();
            Some((quantile(values(low), 0.025)?, quantile(values(high), 0.975)?))
        };
        self.source_range = between(&|s, _| lambda0[s.first], &|s, _| lambda0[s.last]);
        self.transfer_range = between(&|_, t| lambda0[t.first], &|_, t| lambda0[t.last]);
        let low = |s: Best, t: Best| match (self.edge(lambda0, s), self.edge(lambda0, t)) {
            (Some(Edge::High), _) | (_, Some(Edge::Low)) => f64::NEG_INFINITY,
            _ => log_ratio(lambda0[s.last], lambda0[t.first]),
        };
        let high = |s: Best, t: Best| match (self.edge(lambda0, s), self.edge(lambda0, t)) {
            (Some(Edge::Low), _) | (_, Some(Edge::High)) => f64::INFINITY,
            _ => log_ratio(lambda0[s.first], lambda0[t.last]),
        };
        let range = between(&low, &high);
        self.log_ratio = Some(Interval { estimate: log_ratio(lambda0[source], lambda0[transfer]), range });
        if !draws.is_empty() {
            let above = draws.iter().filter(|(s, t)| lambda0[t.first] > lambda0[s.last]).count() as f64 / draws.len() as f64;
            let below = draws.iter().filter(|(s, t)| lambda0[t.last] < lambda0[s.first]).count() as f64 / draws.len() as f64;
            let (stronger, weaker) = if self.stronger == Stronger::Larger { (above, below) } else { (below, above) };
            (self.probability_stronger, self.probability_weaker) = (Some(stronger), Some(weaker));
        }
        let even = even(n);
        if let (Some(s), Some(t)) = (scores.source(&even), scores.transfer(&even)) {
            let ratios = (log_ratio(lambda0[s.last], lambda0[t.first]).exp(), log_ratio(lambda0[s.first], lambda0[t.last]).exp());
            self.tied_ratio = (s.first != s.last || t.first != t.last).then_some(ratios);
        }
        self.smooth = self.smoothed(lambda0, scores);
    }

    /// Where draws reach 0 or an end of the positive λ₀, or where the grid's steps are wider than a decade, a parabola says nothing.
    fn smoothed(&self, lambda0: &[f64], scores: &Scores) -> Option<Smooth> {
        let positive: Vec<f64> = self.running.iter().map(|&i| lambda0[i]).filter(|l| *l > 0.0).collect();
        let (first, last) = (positive.first()?, positive.last()?);
        let inside = |range: Option<(f64, f64)>| range.is_some_and(|(low, high)| low > *first && high < *last);
        // Nor where the grid is so coarse that it does not see the curve.
        let fine = positive.windows(2).all(|pair| pair[1] / pair[0] < 10.01);
        if !fine || !inside(self.source_range) || !inside(self.transfer_range) {
            return None;
        }
        let (s, t) = scores.vertices(lambda0, &even(self.seeds.len()))?;
        let draws: Vec<(f64, f64)> = bootstrap(self.seeds.len(), |w| scores.vertices(lambda0, w)).into_iter().flatten().collect();
        let over = |estimate: f64, f: &dyn Fn(f64, f64) -> f64| {
            let values = || draws.iter().map(|&(s, t)| f(s, t)).collect::<Vec<_>>();
            Interval { estimate, range: quantile(values(), 0.025).zip(quantile(values(), 0.975)) }
        };
        Some(Smooth {
            source: over(s.exp(), &|s, _| s.exp()),
            transfer: over(t.exp(), &|_, t| t.exp()),
            log_ratio: over(t - s, &|s, t| t - s),
        })
    }

    fn cost(&self, group: &Group) -> Option<Interval> {
        let (i, j) = self.transfer?;
        let best = self.test_scores(&group.target[i][j])?;
        let other = self.test_scores(&group.target[self.source?][self.companion?])?;
        Some(self.metric.paired(&best.iter().zip(other).map(|(a, b)| a - b).collect::<Vec<_>>()))
    }

    /// One seed alone has no others to choose for it: its difference, without an interval.
    fn gain_over_scratch(&self, group: &Group, scores: &Scores, scratch: &[Option<Vec<f64>>]) -> Option<Interval> {
        let n = self.seeds.len();
        let of_seed = |seed: usize| -> Option<f64> {
            let mut others = vec![1.0 / (n.max(2) - 1) as f64; n];
            if n > 1 {
                others[seed] = 0.0;
            }
            let (i, j) = scores.pair(&others)?;
            let k = best(scratch, &others)?.first;
            // Rounded: equal fractions give 0, not the last bit of a sum.
            let gain = self.test_scores(&group.target[i][j])?[seed] - self.test_scores(&group.scratch[k])?[seed];
            Some((gain * 1e12).round() / 1e12)
        };
        let gain = self.metric.paired(&(0..n).map(of_seed).collect::<Option<Vec<f64>>>()?);
        let estimate = if gain.estimate.abs() < 1e-12 { 0.0 } else { gain.estimate };
        Some(Interval { estimate, ..gain })
    }
}
