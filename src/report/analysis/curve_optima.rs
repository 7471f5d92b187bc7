//! The optima as the maxima of smooth curves over ln λ₀: of the source, and of the target with the
//! best λ₁ at each λ₀.

use super::drawn_optima::DrawnOptima;
use super::grid_end::GridEnd;
use super::layout::Setting;
use super::profile::Profile;
use super::scores::Scores;
use super::spline::{Peak, Spline};
use super::stats::{bootstrap_with, even_weights, weighted_mean};
use crate::base::stream::Stream;

/// With fewer λ > 0, a curve says nothing about what lies between them.
pub const FEWEST: usize = 6;

/// The curves of one setting by one metric.
pub struct Curves<'a> {
    scores: &'a Scores,
    /// The target at each λ₀.
    profiles: Vec<Profile<'a>>,
    /// Indices of the eligible λ₀ > 0, ascending, and the index of λ₀ = 0.
    positive: Vec<usize>,
    zero: Option<usize>,
    source: Spline,
    target: Spline,
}

/// The maximum of one curve.
#[derive(Debug, Clone, Copy)]
struct Located {
    /// λ₀; 0 where λ₀ = 0 is better than the curve anywhere.
    lambda0: f64,
    /// ln λ₀, or ln of the smallest λ₀ > 0.
    x: f64,
    end: Option<GridEnd>,
    step: f64,
}

impl<'a> Curves<'a> {
    /// None if there are too few λ₀ or seeds, or all results are equal.
    pub fn new(setting: &Setting, eligible: &[usize], scores: &'a Scores) -> Option<Curves<'a>> {
        let lambda0 = &setting.lambda0;
        let positive: Vec<usize> = eligible.iter().copied().filter(|&i| lambda0[i] > 0.0).collect();
        let zero = eligible.iter().copied().find(|&i| lambda0[i] == 0.0);
        let n = scores.source.iter().flatten().next()?.len();
        if positive.len() < FEWEST || n < 2 {
            return None;
        }
        let x: Vec<f64> = positive.iter().map(|&i| lambda0[i].ln()).collect();
        let profiles: Vec<Profile> = scores.target.iter().map(|row| Profile::new(&setting.lambda1, row)).collect();
        let source: Vec<Vec<f64>> = positive.iter().map(|&i| scores.source[i].clone()).collect::<Option<_>>()?;
        let target: Vec<Vec<f64>> = positive.iter().map(|&i| profiles[i].by_seed()).collect::<Option<_>>()?;
        let differ = |values: &[Vec<f64>]| values.iter().any(|own| own != &values[0]);
        if !differ(&source) || !differ(&target) {
            return None;
        }
        let (source, target) = (Spline::fit(&x, &source)?, Spline::fit(&x, &target)?);
        Some(Curves { scores, profiles, positive, zero, source, target })
    }

    /// The maxima of the mean curves.
    pub fn optima(&self) -> Option<DrawnOptima> {
        let n = self.scores.source.iter().flatten().next()?.len();
        let even = even_weights(n);
        self.of(&even, (&[], &[]))
    }

    /// The maxima of each draw's curves, without the curves that the splines cannot see.
    pub fn draws_of_noise(&self) -> Vec<DrawnOptima> {
        let n = self.scores.source.iter().flatten().next().map_or(0, Vec::len);
        bootstrap_with(n, |weights, _| self.of(weights, (&[], &[]))).into_iter().flatten().collect()
    }

    /// The maxima of each draw's curves.
    pub fn draws(&self) -> Vec<DrawnOptima> {
        let n = self.scores.source.iter().flatten().next().map_or(0, Vec::len);
        let draw = |weights: &[f64], stream: &mut Stream| {
            let (source, target) = (self.source.unseen(stream), self.target.unseen(stream));
            self.of(weights, (&source, &target))
        };
        bootstrap_with(n, draw).into_iter().flatten().collect()
    }

    /// The maxima of the curves with these weights of the seeds, and with these unseen curves.
    fn of(&self, weights: &[f64], unseen: (&[f64], &[f64])) -> Option<DrawnOptima> {
        let source = located(&self.source, self.source.peak(&self.sources(weights)?, unseen.0), self.zero_of_source(weights));
        let target = located(&self.target, self.target.peak(&self.targets(weights)?, unseen.1), self.zero_of_target(weights));
        Some(compare(source, target))
    }

    fn sources(&self, weights: &[f64]) -> Option<Vec<f64>> {
        self.positive.iter().map(|&i| Some(weighted_mean(self.scores.source[i].as_ref()?, weights))).collect()
    }

    fn targets(&self, weights: &[f64]) -> Option<Vec<f64>> {
        self.positive.iter().map(|&i| self.profiles[i].highest(weights)).collect()
    }

    fn zero_of_source(&self, weights: &[f64]) -> Option<f64> {
        Some(weighted_mean(self.scores.source[self.zero?].as_ref()?, weights))
    }

    fn zero_of_target(&self, weights: &[f64]) -> Option<f64> {
        self.profiles[self.zero?].highest(weights)
    }
}

fn located(spline: &Spline, Peak { x, value, end, step }: Peak, at_zero: Option<f64>) -> Located {
    match at_zero.is_some_and(|zero| zero > value) {
        true => Located { lambda0: 0.0, x: spline.smallest(), end: None, step },
        false => Located { lambda0: x.exp(), x, end, step },
    }
}

fn compare(source: Located, transfer: Located) -> DrawnOptima {
    // An optimum at 0 may be any λ₀ below the smallest that was trained.
    let is_low = |at: Located| at.lambda0 == 0.0 || at.end == Some(GridEnd::Low);
    let is_high = |at: Located| at.end == Some(GridEnd::High);
    let ratio = transfer.x - source.x;
    let low = if is_low(transfer) || is_high(source) { f64::NEG_INFINITY } else { ratio };
    let high = if is_high(transfer) || is_low(source) { f64::INFINITY } else { ratio };
    DrawnOptima {
        source: (source.lambda0, source.lambda0),
        transfer: (transfer.lambda0, transfer.lambda0),
        log_ratio: (low, high),
        hidden: (source.step + transfer.step) / 2.0,
        source_end: source.end,
        transfer_end: transfer.end,
    }
}
