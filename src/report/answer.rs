//! The answer: optima on validation images, what they cost on test images, and intervals over seeds.

use super::collect::{Cell, Group, Metric};
use super::stats::{bootstrap, even, mean_interval, range, vertex, weighted, Interval};
use crate::config::{number, Selection};

/// The answer for one group under one metric.
#[derive(Debug, Clone)]
pub struct Answer {
    pub metric: Metric,
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
    /// Share of bootstrap draws with λ₀* > λ_S*.
    pub probability_stronger: Option<f64>,
    /// The optima between the grid's points; none where one of them is at the edge of the positive λ₀.
    pub smooth: Option<Smooth>,
    /// Test metric at λ₀* against λ_S*, each with its best λ₁: what choosing by the source costs. Above 0: it costs. Its interval, like
    /// that of `gain`, is at these optima: the choice is not made anew.
    pub mismatch_cost: Option<Interval>,
    /// Test metric of the best transfer against the best twin. Below 0: negative transfer.
    pub gain: Option<Interval>,
    /// Which optimum is at an edge of the grid: the best value may lie beyond it.
    pub source_edge: Option<Edge>,
    pub transfer_edge: Option<Edge>,
    /// Optima at an edge, in words.
    pub edges: Vec<String>,
    /// Optima that another value equals, in words.
    pub ties: Vec<String>,
}

/// An end of the grid beyond which the best value may lie. λ = 0 is no edge, nothing is below it; nor is λ = ∞.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    Low,
    High,
}

impl Edge {
    fn of(list: &[f64], at: usize) -> Option<Edge> {
        match list.len() {
            0 | 1 => None,
            n if at == n - 1 && list[at].is_finite() => Some(Edge::High),
            _ if at == 0 && list[0] > 0.0 => Some(Edge::Low),
            _ => None,
        }
    }
}

/// What the intervals make of the order of the two optima.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// λ₀* > λ_S*: the ratio's interval lies above 1.
    Stronger,
    Weaker,
    /// The ratio's interval is 1 itself.
    Same,
    Open,
}

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

/// Scores on validation images by seed, of the cells that have a result for every seed.
struct Scores {
    source: Vec<Option<Vec<f64>>>,
    target: Vec<Vec<Option<Vec<f64>>>>,
}

/// Weighted mean over seeds, rounded so that equal fractions are equal however they were summed: a tie is a tie.
fn level(values: &[f64], weights: &[f64]) -> f64 {
    (weighted(values, weights) * 1e12).round()
}

/// The first index with the highest mean.
fn best<'a>(cells: impl Iterator<Item = &'a Option<Vec<f64>>>, weights: &[f64]) -> Option<(usize, f64)> {
    let means = cells.enumerate().filter_map(|(i, values)| Some((i, level(values.as_ref()?, weights))));
    means.fold(None, |best, (i, score)| match best {
        Some((_, top)) if score <= top => best,
        _ => Some((i, score)),
    })
}

impl Scores {
    fn source(&self, weights: &[f64]) -> Option<usize> {
        Some(best(self.source.iter(), weights)?.0)
    }

    fn transfer(&self, weights: &[f64]) -> Option<(usize, usize)> {
        let rows = self.target.iter().enumerate().filter_map(|(i, row)| best(row.iter(), weights).map(|(j, score)| (i, j, score)));
        let top = rows.fold(None, |top: Option<(usize, usize, f64)>, row| match top {
            Some((_, _, score)) if row.2 <= score => top,
            _ => Some(row),
        });
        top.map(|(i, j, _)| (i, j))
    }

    /// ln of the smoothed optima over the positive λ₀: of the source, and of the target with the best λ₁ for each.
    fn vertices(&self, lambda0: &[f64], weights: &[f64]) -> Option<(f64, f64)> {
        let positive = || (0..lambda0.len()).filter(|&i| lambda0[i] > 0.0);
        let curve = |score: &dyn Fn(usize) -> Option<f64>| {
            let (x, y): (Vec<f64>, Vec<f64>) = positive().filter_map(|i| Some((lambda0[i].ln(), score(i)?))).unzip();
            vertex(&x, &y)
        };
        let source = curve(&|i| self.source[i].as_ref().map(|v| weighted(v, weights)))?;
        let target = curve(&|i| best(self.target[i].iter(), weights).map(|(_, score)| score))?;
        Some((source, target))
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
        let all = even(seeds.len());
        let scores_of =
            |cell: &Cell| Some(cell.values(&seeds, metric.key(false))?.into_iter().map(|v| metric.score(v)).collect::<Vec<_>>());
        let scores = Scores {
            source: group.source.iter().map(scores_of).collect(),
            target: group.target.iter().map(|row| row.iter().map(scores_of).collect()).collect(),
        };
        let scratch_scores: Vec<Option<Vec<f64>>> = group.scratch.iter().map(scores_of).collect();
        let mut answer = Answer {
            metric,
            seeds: seeds.clone(),
            source: None,
            source_range: None,
            transfer: None,
            transfer_range: None,
            companion: None,
            scratch: None,
            log_ratio: None,
            probability_stronger: None,
            smooth: None,
            mismatch_cost: None,
            gain: None,
            source_edge: None,
            transfer_edge: None,
            edges: vec![],
            ties: vec![],
        };
        if seeds.is_empty() {
            return answer;
        }
        answer.source = scores.source(&all);
        answer.transfer = scores.transfer(&all);
        answer.scratch = best(scratch_scores.iter(), &all).map(|(k, _)| k);
        answer.companion = answer.source.and_then(|s| best(scores.target[s].iter(), &all)).map(|(j, _)| j);
        answer.optima(group, &scores);

        let difference = |a: Option<Vec<f64>>, b: Option<Vec<f64>>| -> Option<Interval> {
            let paired: Vec<f64> = a?.iter().zip(b?).map(|(a, b)| a - b).collect();
            Some(mean_interval(&paired))
        };
        let at_best = || answer.transfer.and_then(|(i, j)| answer.test_scores(&group.target[i][j]));
        let at_source = answer.source.zip(answer.companion).and_then(|(i, j)| answer.test_scores(&group.target[i][j]));
        let at_scratch = answer.scratch.and_then(|k| answer.test_scores(&group.scratch[k]));
        (answer.mismatch_cost, answer.gain) = (difference(at_best(), at_source), difference(at_best(), at_scratch));
        answer.look_at_edges(group);
        answer.look_at_ties(group, &scores, &all);
        answer
    }

    /// Whether λ₀* lies above λ_S*, as far as these seeds and this grid say.
    pub fn verdict(&self) -> Verdict {
        match self.log_ratio.and_then(|r| r.range) {
            _ if self.ratio_bound() == Bound::Unknown => Verdict::Open,
            Some((low, _)) if low > 0.0 => Verdict::Stronger,
            Some((_, high)) if high < 0.0 => Verdict::Weaker,
            Some((low, high)) if low == 0.0 && high == 0.0 => Verdict::Same,
            _ => Verdict::Open,
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

    /// A cell's test metric by seed, higher is better; none unless every seed has it.
    pub fn test_scores(&self, cell: &Cell) -> Option<Vec<f64>> {
        Some(cell.values(&self.seeds, self.metric.key(true))?.into_iter().map(|v| self.metric.score(v)).collect())
    }

    /// The λ₁ that validation prefers for a λ₀.
    pub fn best_lambda1(&self, row: &[Cell]) -> Option<usize> {
        let scores: Vec<Option<Vec<f64>>> = row
            .iter()
            .map(|cell| Some(cell.values(&self.seeds, self.metric.key(false))?.into_iter().map(|v| self.metric.score(v)).collect()))
            .collect();
        best(scores.iter(), &even(self.seeds.len())).map(|(j, _)| j)
    }

    /// Intervals of the optima and of their ratio, on the grid and smoothed, all from the same draws.
    fn optima(&mut self, group: &Group, scores: &Scores) {
        let lambda0 = &group.lambda0;
        let (Some(source), Some((transfer, _))) = (self.source, self.transfer) else { return };
        let log_ratio = |s: usize, t: usize| if s == t { 0.0 } else { (lambda0[t] / lambda0[s]).ln() };
        // A draw weighs the seeds; every cell in the running has all of them, so it always has optima.
        let draws: Vec<(usize, usize)> = bootstrap(self.seeds.len(), |w| (scores.source(w), scores.transfer(w)))
            .into_iter()
            .filter_map(|(s, t)| Some((s?, t?.0)))
            .collect();
        let over = |f: &dyn Fn(usize, usize) -> f64| range(draws.iter().map(|&(s, t)| f(s, t)).collect());
        self.source_range = over(&|s, _| lambda0[s]);
        self.transfer_range = over(&|_, t| lambda0[t]);
        self.log_ratio = Some(Interval { estimate: log_ratio(source, transfer), range: over(&log_ratio) });
        if !draws.is_empty() {
            let stronger = draws.iter().filter(|(s, t)| lambda0[*t] > lambda0[*s]).count();
            self.probability_stronger = Some(stronger as f64 / draws.len() as f64);
        }

        // Beyond the smallest and largest positive λ₀ a parabola says nothing.
        let inside = |at: usize| at > 0 && at < lambda0.len() - 1 && lambda0[at - 1] > 0.0 && lambda0[at + 1].is_finite();
        let all = even(self.seeds.len());
        if let (true, true, Some((s, t))) = (inside(source), inside(transfer), scores.vertices(lambda0, &all)) {
            let draws: Vec<(f64, f64)> = bootstrap(self.seeds.len(), |w| scores.vertices(lambda0, w)).into_iter().flatten().collect();
            let over = |estimate: f64, f: &dyn Fn(f64, f64) -> f64| Interval {
                estimate,
                range: range(draws.iter().map(|&(s, t)| f(s, t)).collect()),
            };
            self.smooth = Some(Smooth {
                source: over(s.exp(), &|s, _| s.exp()),
                transfer: over(t.exp(), &|_, t| t.exp()),
                log_ratio: over(t - s, &|s, t| t - s),
            });
        }
    }

    fn look_at_edges(&mut self, group: &Group) {
        let mut edges = vec![];
        let mut look = |name: &str, key: &str, list: &[f64], at: Option<usize>| {
            let edge = Edge::of(list, at?);
            match edge {
                Some(Edge::High) => {
                    edges.push(format!("{name} is the largest {key} of the grid ({}): widen it upwards", number(list[at?])))
                }
                Some(Edge::Low) => {
                    edges.push(format!("{name} is the smallest {key} of the grid ({}): widen it downwards, or add 0", number(list[0])))
                }
                None => {}
            }
            edge
        };
        self.source_edge = look("the source-optimal λ₀", "lambda0", &group.lambda0, self.source);
        self.transfer_edge = look("the transfer-optimal λ₀", "lambda0", &group.lambda0, self.transfer.map(|(i, _)| i));
        look("the transfer-optimal λ₁", "lambda1", &group.lambda1, self.transfer.map(|(_, j)| j));
        self.edges = edges;
    }

    fn look_at_ties(&mut self, group: &Group, scores: &Scores, all: &[f64]) {
        let top = |cells: &mut dyn Iterator<Item = &Option<Vec<f64>>>| best(cells, all).map(|(_, score)| score);
        let sources: Vec<Option<f64>> = scores.source.iter().map(|cell| top(&mut std::iter::once(cell))).collect();
        let targets: Vec<Option<f64>> = scores.target.iter().map(|row| top(&mut row.iter())).collect();
        let optima = [("source", sources, self.source), ("transfer", targets, self.transfer.map(|(i, _)| i))];
        for (name, levels, at) in optima {
            let Some(at) = at else { continue };
            let tied = |i: &usize| *i != at && levels[*i].is_some() && levels[*i] == levels[at];
            let others: Vec<String> = (0..levels.len()).filter(tied).map(|i| number(group.lambda0[i])).collect();
            if !others.is_empty() {
                self.ties.push(format!("the {name}-optimal λ₀ {} ties with {}", number(group.lambda0[at]), others.join(", ")));
            }
        }
    }
}
