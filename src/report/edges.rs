//! Optima at an end of a grid, and ties: what they leave open, and what to do about it.

use super::answer::{Answer, Verdict};
use super::collect::Group;
use super::scores::{best, Best, Scores};
use crate::config::{floor, number};

/// An end of the grid beyond which the best value may lie. λ = 0 is no edge, nothing is below it; nor is λ = ∞.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    Low,
    High,
}

impl Edge {
    /// Where in an ascending list the values `first` to `last` lie, which are equally good.
    pub fn of(list: &[f64], first: f64, last: f64) -> Option<Edge> {
        match list {
            [] | [_] => None,
            [.., end] if last == *end && end.is_finite() => Some(Edge::High),
            [start, ..] if first == *start && *start > 0.0 => Some(Edge::Low),
            _ => None,
        }
    }
}

/// What to do about an optimum at the largest value of a grid.
fn upwards(value: f64, most: f64, stages: usize) -> String {
    match room_above(value, most) {
        false => format!("the explicit step allows no more than {}; `penalty.step: proximal` does", number(floor(most))),
        true if most.is_finite() => {
            format!("widen it upwards, to {} at most with the explicit step (each further value: {stages} new stages)", number(floor(most)))
        }
        true => format!("widen it upwards (each further value: {stages} new stages)"),
    }
}

/// Whether a grid that ends at `value` can still be widened.
pub fn room_above(value: f64, most: f64) -> bool {
    value < most * (1.0 - 1e-3)
}

impl Answer {
    /// The ends of the λ₀ in the running.
    pub(super) fn edge(&self, lambda0: &[f64], best: Best) -> Option<Edge> {
        let grid: Vec<f64> = self.running.iter().map(|&i| lambda0[i]).collect();
        Edge::of(&grid, lambda0[best.first], lambda0[best.last])
    }

    pub(super) fn look_at_edges(&mut self, group: &Group, scores: &Scores, scratch: &[Option<Vec<f64>>], all: &[f64]) {
        let mut edges = vec![];
        let strength = group.strength.axis.as_str();
        let whole = self.is_whole(group);
        let seeds = group.seeds.len();
        // `most`: up to where the grid can be widened; none where that would be of no use.
        let mut note = |name: &str, key: &str, edge: Option<Edge>, value: f64, most: Option<f64>, stages: usize| {
            let (which, widen) = match edge? {
                Edge::High => ("largest", most.map(|most| upwards(value, most, stages))),
                Edge::Low => {
                    let zero = if key == strength && key != "lambda0" { "" } else { ", or add 0" };
                    ("smallest", most.map(|_| format!("widen it downwards{zero} (each further value: {stages} new stages)")))
                }
            };
            let value = number(value);
            edges.push(match widen {
                _ if key == strength && !whole => {
                    format!("{name} the {which} {key} that has results ({value}): the best may be one that has none")
                }
                Some(widen) => format!("{name} the {which} {key} of the grid ({value}): {widen}"),
                None => format!("{name} the {which} {key} of the grid ({value}), where the source is not shown to have learned anything"),
            });
            edge
        };
        let most = if strength == "lambda0" { group.most.lambda0 } else { f64::INFINITY };
        // A further λ₀ is a source for each seed with all its targets.
        let of_lambda0 = seeds * (1 + group.lambda1.len());
        let of = |best: Option<Best>| best.and_then(|best| Some((self.edge(&group.lambda0, best)?, best)));
        let at = |found: Option<(Edge, Best)>, name: &str| {
            let value = found.map_or(f64::NAN, |(edge, best)| group.lambda0[if edge == Edge::High { best.last } else { best.first }]);
            let tied = found.is_some_and(|(_, best)| group.lambda0[best.first] != value);
            (format!("the {name}-optimal λ₀ {}", if tied { "ties with" } else { "is" }), found.map(|(edge, _)| edge), value)
        };
        let (source, transfer) = (at(of(scores.source(all)), "source"), at(of(scores.transfer(all)), "transfer"));
        // More of what leaves a source with nothing learned would not help.
        let of_transfer = Some(most).filter(|_| self.verdict() != Verdict::Collapsed);
        self.source_edge = note(&source.0, strength, source.1, source.2, Some(most), of_lambda0);
        self.transfer_edge = note(&transfer.0, strength, transfer.1, transfer.2, of_transfer, of_lambda0);
        if let Some((_, j)) = self.transfer {
            let value = group.lambda1[j];
            let stages = seeds * group.lambda0.len();
            note("the transfer-optimal λ₁ is", "lambda1", Edge::of(&group.lambda1, value, value), value, Some(group.most.lambda1), stages);
        }
        if let Some(best) = best(scratch, all) {
            let value = group.scratch_lambda[best.first];
            note(
                "the from-scratch twin's best λ is",
                "scratch.lambdas",
                Edge::of(&group.scratch_lambda, value, value),
                value,
                Some(group.most.scratch),
                seeds,
            );
        }
        self.edges = edges;
    }

    pub(super) fn look_at_ties(&mut self, group: &Group, scores: &Scores, all: &[f64]) {
        let levels = |cells: &[Option<Vec<f64>>]| best(cells, all).map(|best| best.score);
        let sources: Vec<Option<f64>> = scores.source.iter().map(|cell| levels(std::slice::from_ref(cell))).collect();
        let targets: Vec<Option<f64>> = scores.target.iter().map(|row| levels(row)).collect();
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
