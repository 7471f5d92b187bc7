//! One source for several targets: the λ₀ that serves them best on average, and the one that leaves the worst served best off.

use super::collect::Group;
use super::edges::Edge;
use super::section::Section;
use super::stats::{bootstrap, even, quantile, weighted, Interval};

/// A λ₀ for all targets, chosen on validation images.
#[derive(Debug, Clone)]
pub struct Choice {
    /// Index into λ₀.
    pub at: usize,
    /// Others that are as good.
    pub ties: Vec<usize>,
    /// It is, or ties with, an end of the grid.
    pub edge: Option<Edge>,
    /// 95% interval of the choice over seeds.
    pub range: Option<(f64, f64)>,
    /// For each target what it costs: test metric at the target's own optimum above that at this λ₀, each with its best λ₁.
    pub costs: Vec<Interval>,
}

/// All targets weigh the same. Regret: what a target's validation metric loses against its own best λ₀.
#[derive(Debug, Clone)]
pub struct Compromise {
    pub lambda0: Vec<f64>,
    /// Of the least mean regret.
    pub mean: Choice,
    /// Of the least worst regret.
    pub worst: Choice,
    /// The source's own optimum.
    pub source: Option<Choice>,
}

/// Validation scores of each λ₀ by seed, with the λ₁ that is best on average; none where a seed has no result.
type Curve = Vec<Option<Vec<f64>>>;

/// None unless the settings differ in the target's classes alone, and have the source models, λ₀ and seeds in common.
pub fn compromise(sections: &[Section]) -> Option<Compromise> {
    let first = sections.first().filter(|_| sections.len() > 1)?;
    let targets_alone = |group: &Group| group.axes.len() == 1 && group.axes[0].0 == "target.classes";
    // Where the targets' words are in the source's vocabulary, each has a source of its own.
    let one_source = |group: &Group| group.source.iter().zip(&first.group.source).all(|(a, b)| a.by_seed == b.by_seed);
    let alike = |s: &Section| {
        let (group, answer) = (&s.group, &s.answer);
        targets_alone(group) && one_source(group) && group.lambda0 == first.group.lambda0 && answer.seeds == first.answer.seeds
    };
    if !sections.iter().all(alike) || first.answer.seeds.is_empty() {
        return None;
    }
    let curves: Vec<Curve> = sections.iter().map(curve).collect();
    let n = first.answer.seeds.len();
    let lambda0 = &first.group.lambda0;
    // All that are equally good, rounded so that a tie is a tie.
    let choose = |weights: &[f64], worst: bool| -> Vec<usize> {
        let regrets: Vec<Vec<Option<f64>>> = curves.iter().map(|curve| regret(curve, weights)).collect();
        let of = |i: usize| -> Option<f64> {
            let all: Vec<f64> = regrets.iter().map(|regret| regret[i]).collect::<Option<_>>()?;
            Some(if worst { all.iter().copied().fold(0.0, f64::max) } else { all.iter().sum::<f64>() / all.len() as f64 })
        };
        let all: Vec<(usize, f64)> = (0..lambda0.len()).filter_map(|i| Some((i, (of(i)? * 1e12).round()))).collect();
        let least = all.iter().map(|(_, regret)| *regret).fold(f64::INFINITY, f64::min);
        all.into_iter().filter(|(_, regret)| *regret == least).map(|(i, _)| i).collect()
    };
    let choice = |worst: bool| -> Option<Choice> {
        let best = choose(&even(n), worst);
        let (at, last) = (*best.first()?, *best.last()?);
        let draws = bootstrap(n, |w| choose(w, worst));
        let ends = |of: fn(&[usize]) -> Option<&usize>| draws.iter().filter_map(|best| Some(lambda0[*of(best)?])).collect::<Vec<f64>>();
        let range = quantile(ends(|best| best.first()), 0.025).zip(quantile(ends(|best| best.last()), 0.975)).filter(|_| n > 1);
        let edge = Edge::of(lambda0, lambda0[at], lambda0[last]);
        Some(Choice { at, ties: best[1..].to_vec(), edge, range, costs: costs(sections, at)? })
    };
    let own = |at: usize| {
        let (edge, range) = (first.answer.source_edge, first.answer.source_range);
        Some(Choice { at, ties: vec![], edge, range, costs: costs(sections, at)? })
    };
    Some(Compromise { lambda0: lambda0.clone(), mean: choice(false)?, worst: choice(true)?, source: first.answer.source.and_then(own) })
}

fn curve(section: &Section) -> Curve {
    let answer = &section.answer;
    let of = |i: usize| {
        let row = &section.group.target[i];
        answer.validation_scores(&row[answer.best_lambda1(row)?])
    };
    (0..section.group.lambda0.len()).map(of).collect()
}

fn regret(curve: &Curve, weights: &[f64]) -> Vec<Option<f64>> {
    let means: Vec<Option<f64>> = curve.iter().map(|scores| scores.as_ref().map(|scores| weighted(scores, weights))).collect();
    let best = means.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
    means.into_iter().map(|mean| mean.map(|mean| best - mean)).collect()
}

fn costs(sections: &[Section], at: usize) -> Option<Vec<Interval>> {
    let cost = |section: &Section| {
        let (answer, rows) = (&section.answer, &section.group.target);
        let (i, j) = answer.transfer?;
        let own = answer.test_scores(&rows[i][j])?;
        let here = answer.test_scores(&rows[at][answer.best_lambda1(&rows[at])?])?;
        Some(answer.metric.paired(&own.iter().zip(here).map(|(a, b)| a - b).collect::<Vec<_>>()))
    };
    sections.iter().map(cost).collect()
}
