//! The answer: optima on validation images, what they cost on test images, and intervals over seeds.

use super::collect::{Cell, Group, Metric};
use super::stats::{bootstrap, interval, mean, mean_of, percentile};
use crate::config::{number, Selection};

/// An estimate with its 95% bootstrap interval over seeds; no interval for a single seed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    pub estimate: f64,
    pub range: Option<(f64, f64)>,
}

/// The answer for one group under one metric.
#[derive(Debug, Clone)]
pub struct Answer {
    pub metric: Metric,
    /// Seeds averaged over (positions in the group's seeds).
    pub seeds: Vec<usize>,
    /// Index into λ₀ of the source-optimal one.
    pub source: Option<usize>,
    /// Indices into λ₀ and λ₁ of the transfer-optimal pair.
    pub transfer: Option<(usize, usize)>,
    /// Index into λ₁ of the best companion of the source-optimal λ₀.
    pub companion: Option<usize>,
    /// Index into the twin's λ.
    pub scratch: Option<usize>,
    /// ln(λ₀*/λ_S*); infinite where one of them is 0, 0 where they are equal.
    pub log_ratio: Option<Interval>,
    /// Share of bootstrap resamples with λ₀* > λ_S*.
    pub probability_stronger: Option<f64>,
    /// Test metric at λ₀* against λ_S*, each with its best λ₁: what choosing by the source costs. Above 0: it costs. Its interval, like
    /// that of `gain`, is at these optima: seeds are resampled, the choice is not made anew.
    pub mismatch_cost: Option<Interval>,
    /// Test metric of the best transfer against the best twin. Below 0: negative transfer.
    pub gain: Option<Interval>,
    /// Optima at an edge of the grid, in words.
    pub edges: Vec<String>,
    /// Optima that another value equals.
    pub ties: Vec<String>,
}

/// Scores on validation images by seed, of the cells that have a result for every seed.
struct Scores {
    source: Vec<Option<Vec<f64>>>,
    target: Vec<Vec<Option<Vec<f64>>>>,
}

/// Mean over the draw, rounded so that equal fractions are equal however they were summed: a tie is a tie.
fn level(values: &[f64], draw: &[usize]) -> f64 {
    (mean_of(values, draw) * 1e12).round()
}

/// The first index with the highest mean over the draw.
fn best<'a>(cells: impl Iterator<Item = &'a Option<Vec<f64>>>, draw: &[usize]) -> Option<(usize, f64)> {
    let means = cells.enumerate().filter_map(|(i, values)| Some((i, level(values.as_ref()?, draw))));
    means.fold(None, |best, (i, score)| match best {
        Some((_, top)) if score <= top => best,
        _ => Some((i, score)),
    })
}

impl Scores {
    fn source(&self, draw: &[usize]) -> Option<usize> {
        Some(best(self.source.iter(), draw)?.0)
    }

    fn transfer(&self, draw: &[usize]) -> Option<(usize, usize)> {
        let rows = self.target.iter().enumerate().filter_map(|(i, row)| best(row.iter(), draw).map(|(j, score)| (i, j, score)));
        let top = rows.fold(None, |top: Option<(usize, usize, f64)>, row| match top {
            Some((_, _, score)) if row.2 <= score => top,
            _ => Some(row),
        });
        top.map(|(i, j, _)| (i, j))
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
        let seeds = group.complete_seeds();
        let n = seeds.len();
        let scores_of =
            |cell: &Cell| Some(cell.values(&seeds, metric.key(false))?.into_iter().map(|v| metric.score(v)).collect::<Vec<_>>());
        let scores = Scores {
            source: group.source.iter().map(scores_of).collect(),
            target: group.target.iter().map(|row| row.iter().map(scores_of).collect()).collect(),
        };
        let scratch_scores: Vec<Option<Vec<f64>>> = group.scratch.iter().map(scores_of).collect();
        let all: Vec<usize> = (0..n).collect();
        let mut answer = Answer {
            metric,
            source: None,
            transfer: None,
            companion: None,
            scratch: None,
            log_ratio: None,
            probability_stronger: None,
            mismatch_cost: None,
            gain: None,
            edges: vec![],
            ties: vec![],
            seeds: seeds.clone(),
        };
        if n == 0 {
            return answer;
        }
        answer.source = scores.source(&all);
        answer.transfer = scores.transfer(&all);
        answer.scratch = best(scratch_scores.iter(), &all).map(|(k, _)| k);
        answer.companion = answer.source.and_then(|s| best(scores.target[s].iter(), &all)).map(|(j, _)| j);
        answer.ratio(group, &scores);

        let test = |cell: &Cell| Some(cell.values(&seeds, metric.key(true))?.into_iter().map(|v| metric.score(v)).collect::<Vec<_>>());
        let paired = |a: Option<Vec<f64>>, b: Option<Vec<f64>>| -> Option<Interval> {
            let difference: Vec<f64> = a?.iter().zip(b?).map(|(a, b)| a - b).collect();
            Some(Interval { estimate: mean(&difference), range: interval(n, |draw| mean_of(&difference, draw)) })
        };
        let at_best = answer.transfer.and_then(|(i, j)| test(&group.target[i][j]));
        let at_source = answer.source.zip(answer.companion).and_then(|(i, j)| test(&group.target[i][j]));
        let at_scratch = answer.scratch.and_then(|k| test(&group.scratch[k]));
        answer.mismatch_cost = paired(at_best.clone(), at_source);
        answer.gain = paired(at_best, at_scratch);
        answer.look_at_edges(group, &scores, &all);
        answer
    }

    fn ratio(&mut self, group: &Group, scores: &Scores) {
        let log_ratio = |draw: &[usize]| -> f64 {
            match (scores.source(draw), scores.transfer(draw)) {
                (Some(s), Some((t, _))) if s == t => 0.0,
                (Some(s), Some((t, _))) => (group.lambda0[t] / group.lambda0[s]).ln(),
                _ => f64::NAN,
            }
        };
        let n = self.seeds.len();
        let all: Vec<usize> = (0..n).collect();
        let estimate = log_ratio(&all);
        if estimate.is_nan() {
            return;
        }
        let range = if n < 2 {
            None
        } else {
            let mut values = bootstrap(n, log_ratio);
            self.probability_stronger = Some(values.iter().filter(|v| **v > 0.0).count() as f64 / values.len() as f64);
            values.sort_by(f64::total_cmp);
            Some((percentile(&values, 0.025), percentile(&values, 0.975)))
        };
        self.log_ratio = Some(Interval { estimate, range });
    }

    fn look_at_edges(&mut self, group: &Group, scores: &Scores, all: &[usize]) {
        let mut edges = vec![];
        let mut look = |name: &str, key: &str, list: &[f64], at: Option<usize>| {
            let Some(at) = at.filter(|_| list.len() > 1) else { return };
            if at == list.len() - 1 && list[at].is_finite() {
                edges.push(format!("{name} is the largest {key} of the grid ({}): widen it upwards", number(list[at])));
            } else if at == 0 && list[0] > 0.0 {
                edges.push(format!("{name} is the smallest {key} of the grid ({}): widen it downwards, or add 0", number(list[0])));
            }
        };
        look("the source-optimal λ₀", "lambda0", &group.lambda0, self.source);
        look("the transfer-optimal λ₀", "lambda0", &group.lambda0, self.transfer.map(|(i, _)| i));
        look("the transfer-optimal λ₁", "lambda1", &group.lambda1, self.transfer.map(|(_, j)| j));
        self.edges = edges;

        let tied = |i: usize, j: &Option<Vec<f64>>, top: f64, at: usize| i != at && j.as_ref().is_some_and(|v| level(v, all) == top);
        if let Some((at, top)) = best(scores.source.iter(), all) {
            let others: Vec<String> =
                scores.source.iter().enumerate().filter(|(i, v)| tied(*i, v, top, at)).map(|(i, _)| number(group.lambda0[i])).collect();
            if !others.is_empty() {
                self.ties.push(format!("the source-optimal λ₀ {} ties with {}", number(group.lambda0[at]), others.join(", ")));
            }
        }
        if let Some((ti, tj)) = self.transfer {
            let top = scores.target[ti][tj].as_ref().map_or(f64::NAN, |v| level(v, all));
            let mut others: Vec<String> = vec![];
            for (i, row) in scores.target.iter().enumerate().filter(|(i, _)| *i != ti) {
                if row.iter().any(|v| v.as_ref().is_some_and(|v| level(v, all) == top)) {
                    others.push(number(group.lambda0[i]));
                }
            }
            if !others.is_empty() {
                self.ties.push(format!("the transfer-optimal λ₀ {} ties with {}", number(group.lambda0[ti]), others.join(", ")));
            }
        }
    }
}
