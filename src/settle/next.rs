//! What the next round of one setting adds.

use super::costs::{most_draws, Costs};
use super::first::more_seeds;
use super::noise::share_of_draws;
use super::question::{answer, Question};
use crate::base::numbers::{number, round_down, significant};
use crate::config::network::Network;
use crate::config::{Aim, Grid, Study};
use crate::plan::Plan;
use crate::report::analysis::stats::student_quantile;
use crate::report::analysis::{has_room_above, Answered, GridEnd, Method, Metric, OptimaComparison, Setting, SettingAnalysis};
use crate::store::Records;

/// Neighbouring λ₀ closer than this factor are not refined further.
const FINEST: f64 = 1.2;
/// Between steps wider than this factor a curve can hide its optimum: they are refined first.
const WIDEST: f64 = 2.0;
/// A grid keeps at least this many λ₀ > 0, so that curves can be fitted.
const FEWEST: usize = 7;
/// λ₀ this many grid points outside both optima's intervals are no longer trained.
const BESIDE: usize = 2;
/// λ₀ below this are not added: the penalty has no effect there.
const SMALLEST: f64 = 1e-8;
/// Values that widen a grid by one round.
const WIDENING: usize = 2;
/// With this many seeds, what cannot be told from λ₀ = 0 is called flat.
const MANY_SEEDS: usize = 10;
/// A question that would need more seeds than this is given up.
const MOST_SEEDS: usize = 60;

/// What the next round does for one setting.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Nothing: all its questions are settled.
    Settled,
    Go {
        grid: Grid,
        /// What is added, and why.
        what: String,
    },
    /// Nothing that can be added would settle it, or only at an unreasonable cost.
    GiveUp { why: String },
}

/// The state of one setting after a round.
pub struct State<'a> {
    pub study: &'a Study,
    pub plan: &'a Plan,
    pub records: &'a Records,
    pub grid: &'a Grid,
    pub of: &'a SettingAnalysis,
    pub costs: Costs,
    /// By which the study asks.
    pub metrics: Vec<Metric>,
    /// Of one of its cells.
    pub network: &'a Network,
}

/// Decides what the next round adds to a setting: what the first of its open questions needs that
/// anything can be added for.
///
/// 1. An optimum at an end of the grid: two further λ₀ beyond it, or one further λ₁.
/// 2. Steps around an optimum wider than a factor 2: the points between.
/// 3. Else the one of seeds (half as many again), draws (twice as many) and points between that is
///    expected to reduce the squared width of the ratio's interval most for each second.
///
/// λ₀ and λ₁ that are out of the question are no longer trained.
pub fn next(state: &State, questions: &[Question]) -> Step {
    let mut reasons: Vec<String> = vec![];
    for open in questions.iter().filter(|question| !question.settled) {
        match next_of(state, open) {
            Step::GiveUp { why } if state.metrics.len() > 1 => reasons.push(format!("by {}, {why}", open.metric.name())),
            Step::GiveUp { why } => reasons.push(why),
            step => return step,
        }
    }
    reasons.dedup();
    if reasons.is_empty() {
        Step::Settled
    } else {
        Step::GiveUp { why: reasons.join("; ") }
    }
}

fn next_of(state: &State, open: &Question) -> Step {
    let Some(answered) = answer(state.of, open.metric).answered() else {
        return Step::GiveUp { why: "no λ₀ has a result for every seed".into() };
    };
    let setting = &state.of.setting;
    let Some(comparison) = &answered.comparison else { return Step::GiveUp { why: "only one λ₀ has results".into() } };
    if !answered.learned.source || !answered.learned.target {
        let which = if answered.learned.source { "target" } else { "source" };
        return match grow_seeds(state) {
            Some(step) if setting.seeds.len() < 6 => step,
            _ => Step::GiveUp { why: format!("the {which} is not better than guessing: train it longer, or on more images") },
        };
    }
    if open.aim == Aim::Gain {
        return best(state, more_samples(state, open, answered, 1.0));
    }
    let is_axis_of_lambda = setting.regularizer.stands_for().is_none();
    if is_axis_of_lambda {
        if let Some(step) = widen(state, setting, answered, comparison) {
            return step;
        }
        if let Some(step) = widen_lambda1(state, answered) {
            return step;
        }
        if let Some(step) = refine(state, comparison, WIDEST) {
            return step;
        }
    }
    let are_equal = comparison.method == Method::GridPoints && comparison.log_ratio.range == Some((0.0, 0.0));
    if are_equal && !is_axis_of_lambda {
        let axis = &setting.regularizer.axis;
        let why = format!("source and target want the same {axis}, and its steps are wider than the margin: add values around it");
        return Step::GiveUp { why };
    }
    if let Some(why) = flat(state, open, comparison).filter(|_| setting.seeds.len() >= MANY_SEEDS) {
        return Step::GiveUp { why };
    }
    cheapest(state, open, answered, comparison, is_axis_of_lambda)
}

/// Why the question cannot be answered, if the curves are flat down to λ₀ = 0. An optimum whose
/// interval reaches down there cannot be located. The order can still be settled, as long as the
/// other optimum's interval does not.
fn flat(state: &State, open: &Question, comparison: &OptimaComparison) -> Option<String> {
    let first = *positive(state.grid).first()?;
    let reaches = |range: Option<(f64, f64)>| range.is_some_and(|(low, _)| low <= first * (1.0 + 1e-9));
    let (source, target) = (reaches(comparison.source_range), reaches(comparison.transfer_range));
    if !is_flat_at_zero(state) {
        return None;
    }
    match (source, target) {
        (true, true) => Some("both curves are flat down to λ₀ = 0, so the optima cannot be told apart".into()),
        (true, false) if open.aim == Aim::Ratio => {
            Some("the source's curve is flat down to λ₀ = 0, so its optimum cannot be located".into())
        }
        (false, true) if open.aim == Aim::Ratio => {
            Some("the target's curve is flat down to λ₀ = 0, so its optimum cannot be located".into())
        }
        _ => None,
    }
}

/// The λ₀ > 0 of a grid, ascending.
fn positive(grid: &Grid) -> Vec<f64> {
    let mut all: Vec<f64> = grid.lambda0.iter().copied().filter(|lambda0| *lambda0 > 0.0).collect();
    all.sort_by(f64::total_cmp);
    all
}

/// A value for a grid: three digits say enough.
fn rounded(value: f64) -> f64 {
    significant(value, 3)
}

/// Two λ₀ beyond an end of the grid at which an optimum is, or which its interval reaches although
/// there are five seeds or more.
fn widen(state: &State, setting: &Setting, answered: &Answered, comparison: &OptimaComparison) -> Option<Step> {
    let grid = positive(state.grid);
    let (first, last) = (*grid.first()?, *grid.last()?);
    // What diverged at the end of the grid diverges beyond it too.
    let eligible = answered.eligible_grid(setting);
    let may_grow = eligible.last().is_some_and(|l| *l == last);
    let many = setting.seeds.len() >= 5;
    let reaches = |end: GridEnd, range: Option<(f64, f64)>| {
        many && range.is_some_and(|(low, high)| match end {
            GridEnd::Low => low <= first * (1.0 + 1e-9),
            GridEnd::High => high >= last * (1.0 - 1e-9),
        })
    };
    let sides = [
        ("the source's optimum", comparison.source, comparison.source_end, comparison.source_range),
        ("the target's optimum", comparison.transfer, comparison.transfer_end, comparison.transfer_range),
    ];
    // A verdict needs only one optimum away from the end: "at least" or "at most" settles the
    // order.
    let wants = |end: GridEnd| {
        let at = |side: &(&str, f64, Option<GridEnd>, Option<(f64, f64)>)| {
            side.2 == Some(end) || (end == GridEnd::Low && side.1 == 0.0) || reaches(end, side.3)
        };
        sides.iter().find(|side| at(side)).map(|side| side.0)
    };
    let step = |a: f64, b: f64| (b / a).clamp(std::f64::consts::SQRT_2, 10f64.sqrt());
    if let Some(which) = wants(GridEnd::High) {
        let factor = step(grid[grid.len().saturating_sub(2)], last);
        let limit = if setting.limits.lambda0.is_finite() { round_down(setting.limits.lambda0) } else { f64::INFINITY };
        if has_room_above(last, limit) && !answered.learned.is_collapsed() && may_grow {
            let beyond = |k: usize| rounded(last * factor.powi(k as i32)).min(limit);
            let new = trained_before(state, |l| l > last).unwrap_or_else(|| (1..=WIDENING).map(beyond).collect());
            let what = format!("widens λ₀ to {}: {which} is at the largest ({})", number(new[new.len() - 1]), number(last));
            return Some(go(state, Change { lambda0: new, ..Change::default() }, what));
        }
    }
    if let Some(which) = wants(GridEnd::Low).filter(|_| first > SMALLEST) {
        let factor = step(first, grid[1.min(grid.len() - 1)]);
        // Where λ₀ = 0 is as good as the smallest λ₀, the curve is flat down to 0: there is no
        // optimum to be found by smaller ones.
        if !is_flat_at_zero(state) {
            let below = |k: usize| rounded(first / factor.powi(k as i32));
            let new = trained_before(state, |l| l < first).unwrap_or_else(|| (1..=WIDENING).map(below).collect());
            let what = format!("widens λ₀ to {}: {which} is at the smallest ({})", number(new[new.len() - 1]), number(first));
            return Some(go(state, Change { lambda0: new, ..Change::default() }, what));
        }
    }
    None
}

/// One further λ₁, if the best one is the largest and clearly better than its neighbour.
fn widen_lambda1(state: &State, answered: &Answered) -> Option<Step> {
    let (setting, grid) = (&state.of.setting, &state.of.setting.lambda1);
    let (best, last) = (answered.transfer.1, *grid.last()?);
    let before = *grid.get(grid.len().checked_sub(2)?)?;
    let limit = if setting.limits.lambda1.is_finite() { round_down(setting.limits.lambda1) } else { f64::INFINITY };
    let is_clear = best + 1 == grid.len() && is_worse(state, answered, best - 1, 0.05);
    if !is_clear || before <= 0.0 || !has_room_above(last, limit) {
        return None;
    }
    let new = rounded(last * (last / before).clamp(2.0, 10.0)).min(limit);
    let what = format!("adds λ₁ = {}: the best one is the largest ({})", number(new), number(last));
    Some(go(state, Change { lambda1: Some(new), ..Change::default() }, what))
}

/// The study's own λ₀ > 0 beyond an end of the grid, nearest first: they were left out by an
/// earlier round, and their seeds are trained already.
fn trained_before(state: &State, is_beyond: impl Fn(f64) -> bool) -> Option<Vec<f64>> {
    let end = positive(state.grid);
    let distance = |l: f64| (l / end[0]).ln().abs().min((l / end[end.len() - 1]).ln().abs());
    let mut own: Vec<f64> = state.study.numbers("lambda0").into_iter().filter(|l| *l > 0.0 && is_beyond(*l)).collect();
    own.sort_by(|a, b| distance(*a).total_cmp(&distance(*b)));
    own.truncate(WIDENING);
    (!own.is_empty()).then_some(own)
}

/// λ₀ = 0 is trained, and the smallest λ₀ > 0 has been widened downwards already.
fn is_flat_at_zero(state: &State) -> bool {
    let first = positive(state.grid)[0];
    state.grid.lambda0.contains(&0.0) && state.study.numbers("lambda0").iter().filter(|l| **l > 0.0).all(|l| *l > first * 1.001)
}

/// The points between neighbours around both optima, where a step is wider than `factor`.
fn refine(state: &State, comparison: &OptimaComparison, factor: f64) -> Option<Step> {
    let new = between(state.grid, comparison, factor);
    let shown: Vec<String> = new.iter().map(|l| number(*l)).collect();
    let what = format!("adds λ₀ = {} between the points around the optima", shown.join(", "));
    (!new.is_empty()).then(|| go(state, Change { lambda0: new, ..Change::default() }, what))
}

fn between(grid: &Grid, comparison: &OptimaComparison, factor: f64) -> Vec<f64> {
    let grid = positive(grid);
    let near = |at: f64, a: f64, b: f64, beside: usize| {
        let i = grid.iter().position(|l| *l >= at * (1.0 - 1e-9)).unwrap_or(grid.len() - 1);
        let (low, high) = (grid[i.saturating_sub(1 + beside)], grid[(i + beside).min(grid.len() - 1)]);
        a >= low * (1.0 - 1e-9) && b <= high * (1.0 + 1e-9)
    };
    let pairs = grid.windows(2).filter(|pair| pair[1] / pair[0] > factor * 1.001);
    let wanted = pairs.filter(|pair| [comparison.source, comparison.transfer].iter().any(|at| near(*at, pair[0], pair[1], 1)));
    wanted.map(|pair| rounded((pair[0] * pair[1]).sqrt())).collect()
}

fn cheapest(state: &State, open: &Question, answered: &Answered, comparison: &OptimaComparison, can_refine: bool) -> Step {
    let (grid, costs) = (state.grid, state.costs);
    let (n, draws, lambda1) = (state.of.setting.seeds.len(), grid.draws, grid.lambda1.len());
    // Shares of the variance of ln(λ₀*/λ_S*).
    let width = |range: Option<(f64, f64)>| {
        let smallest = positive(grid)[0];
        range.map_or(1.0, |(low, high)| (high / low.max(0.5 * smallest)).ln().max(1e-3))
    };
    let (of_source, of_target) = (width(comparison.source_range).powi(2), width(comparison.transfer_range).powi(2));
    let share_of_target = of_target / (of_source + of_target);

    let noise = comparison.noise_share;
    let mut choices = more_samples(state, open, answered, share_of_target);
    choices.iter_mut().for_each(|choice| choice.0 *= noise);
    let new = if can_refine { between(grid, comparison, FINEST) } else { vec![] };
    if !new.is_empty() {
        // Half the step leaves an eighth of what is not known between the points (a cubic spline's
        // squared error falls with the third power of the step or faster). Against noise, new
        // points count like more seeds, around the optima alone.
        let around = 5.0f64.min(keep_lambda0(state).len() as f64);
        let share = (1.0 - noise) * 7.0 / 8.0 + noise * 0.5 * new.len() as f64 / (around + new.len() as f64);
        let cost = n as f64 * new.len() as f64 * (costs.source + (lambda1 * draws) as f64 * costs.target);
        if let Some(step) = refine(state, comparison, FINEST) {
            choices.push((share / cost, step));
        }
    }
    best(state, choices)
}

/// A step, and the share by which it is expected to reduce the interval's squared width for each
/// second of training.
type Choice = (f64, Step);

fn best(state: &State, choices: Vec<Choice>) -> Step {
    let (n, draws) = (state.of.setting.seeds.len(), state.grid.draws);
    let best = choices.into_iter().reduce(|best, other| if other.0 > best.0 { other } else { best });
    let nothing = || Step::GiveUp { why: format!("{n} seeds with {draws} draws did not settle it, and there is nothing left to add") };
    best.map_or_else(nothing, |(_, step)| step)
}

/// More seeds, and more draws. The squared width is t²·variance, of which the target's part is
/// `share_of_target`.
fn more_samples(state: &State, open: &Question, answered: &Answered, share_of_target: f64) -> Vec<Choice> {
    let (setting, grid, costs) = (&state.of.setting, state.grid, state.costs);
    let (n, draws, lambda1) = (setting.seeds.len(), grid.draws, grid.lambda1.len());
    let m = keep_lambda0(state).len();
    let mut choices: Vec<Choice> = vec![];
    let t2 = |n: usize| student_quantile(n, setting.rules.error).powi(2);
    let more = n.div_ceil(2).max(1).min(MOST_SEEDS.saturating_sub(n));
    if more > 0 {
        let share = 1.0 - (n as f64 / (n + more) as f64) * t2(n + more) / t2(n);
        let what = format!("adds {more} seeds, to {}", n + more);
        choices
            .push((share / (more as f64 * costs.of_seed(m, lambda1, draws)), go(state, Change { seeds: more, ..Change::default() }, what)));
    }
    let is_given = state.network.target.draws.is_some();
    if !is_given && 2 * draws <= most_draws(state.network) {
        let (low, high) = (answered.transfer.0.saturating_sub(2), (answered.transfer.0 + 2).min(setting.lambda0.len() - 1));
        let of_draws = share_of_target * share_of_draws(state.plan, state.records, setting, open.metric, low, high, answered.transfer.1);
        let cost = (n * draws) as f64 * ((m * lambda1) as f64 * costs.target + costs.scratch);
        let what = format!("doubles the draws, to {}", 2 * draws);
        choices.push((0.5 * of_draws / cost, go(state, Change { draws, ..Change::default() }, what)));
    }
    choices
}

fn grow_seeds(state: &State) -> Option<Step> {
    let n = state.of.setting.seeds.len();
    let more = n.div_ceil(2).max(1).min(MOST_SEEDS.saturating_sub(n));
    (more > 0).then(|| Step::Go {
        grid: Grid { seeds: more_seeds(state.study, &state.grid.seeds, more), ..state.grid.clone() },
        what: format!("adds {more} seeds, to {}", n + more),
    })
}

/// What a step adds to a grid.
#[derive(Debug, Clone, Default)]
struct Change {
    lambda0: Vec<f64>,
    lambda1: Option<f64>,
    seeds: usize,
    draws: usize,
}

fn go(state: &State, change: Change, what: String) -> Step {
    let mut lambda0: Vec<f64> = if change.lambda0.is_empty() { keep_lambda0(state) } else { state.grid.lambda0.clone() };
    let before = state.grid.lambda0.len().saturating_sub(lambda0.len());
    lambda0.extend(&change.lambda0);
    lambda0.sort_by(f64::total_cmp);
    lambda0.dedup();
    let mut lambda1 = keep_lambda1(state);
    let dropped = [("λ₀", before), ("λ₁", state.grid.lambda1.len() - lambda1.len())];
    let dropped: Vec<String> = dropped.iter().filter(|(_, n)| *n > 0).map(|(name, n)| format!("{n} {name}")).collect();
    let what = if dropped.is_empty() { what } else { format!("{what}; leaves out {} that are out of the question", dropped.join(" and ")) };
    lambda1.extend(change.lambda1);
    let seeds = more_seeds(state.study, &state.grid.seeds, change.seeds);
    Step::Go { grid: Grid { lambda0, lambda1, seeds, draws: state.grid.draws + change.draws, ..state.grid.clone() }, what }
}

/// The λ₀ that are not far outside the intervals of both optima, by every metric that is asked.
fn keep_lambda0(state: &State) -> Vec<f64> {
    let grid = state.grid;
    let positive = positive(grid);
    let mut ends: Vec<(f64, f64)> = vec![];
    for metric in &state.metrics {
        let comparison = answer(state.of, *metric).comparison();
        let Some((source, transfer)) = comparison.and_then(|c| Some((c.source_range?, c.transfer_range?))) else {
            return grid.lambda0.clone();
        };
        ends.extend([source, transfer]);
    }
    let low = ends.iter().map(|end| end.0).fold(f64::INFINITY, f64::min);
    let high = ends.iter().map(|end| end.1).fold(0.0, f64::max);
    let first = positive.iter().position(|l| *l >= low).unwrap_or(0).saturating_sub(BESIDE);
    let last = positive.iter().rposition(|l| *l <= high).map_or(0, |i| i + BESIDE).min(positive.len() - 1);
    if last + 1 < first + FEWEST {
        return grid.lambda0.clone();
    }
    let keeps_zero = first == 0 && grid.lambda0.contains(&0.0);
    keeps_zero.then_some(0.0).into_iter().chain(positive[first..=last].iter().copied()).collect()
}

/// The λ₁ that are not clearly worse than the best one, by accuracy or by loss. The best one's
/// neighbours are kept.
fn keep_lambda1(state: &State) -> Vec<f64> {
    let lambda1 = &state.of.setting.lambda1;
    let mut keep = vec![false; lambda1.len()];
    for answer in [&state.of.answer, &state.of.other_metric] {
        let Some(answered) = answer.answered() else { return state.grid.lambda1.clone() };
        let best = answered.transfer.1;
        for (j, keep) in keep.iter_mut().enumerate() {
            *keep |= j.abs_diff(best) <= 1 || !is_worse(state, answered, j, 0.001);
        }
    }
    lambda1.iter().zip(keep).filter(|(_, keep)| *keep).map(|(value, _)| *value).collect()
}

/// Whether the λ₁ at `j` is worse than the best one: paired by seed, on average over the λ₀ that
/// are kept, where the two-sided test is wrong with probability `error`.
fn is_worse(state: &State, answered: &Answered, j: usize, error: f64) -> bool {
    let (setting, kept, n) = (&state.of.setting, keep_lambda0(state), answered.basis.seeds.len());
    let mean_of = |j: usize| -> Option<Vec<f64>> {
        let near = answered.eligible_lambda0.iter().filter(|&&i| kept.contains(&setting.lambda0[i]));
        let rows: Option<Vec<Vec<f64>>> = near.map(|&i| answered.basis.validation_scores(&setting.target[i][j])).collect();
        let rows = rows.filter(|rows| !rows.is_empty())?;
        Some((0..n).map(|seed| rows.iter().map(|row| row[seed]).sum::<f64>() / rows.len() as f64).collect())
    };
    mean_of(answered.transfer.1).zip(mean_of(j)).is_some_and(|(best, own)| {
        let differences: Vec<f64> = best.iter().zip(&own).map(|(a, b)| a - b).collect();
        let mean = differences.iter().sum::<f64>() / n as f64;
        let variance = differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (n.max(2) - 1) as f64;
        n > 1 && mean > student_quantile(n, error) * (variance / n as f64).sqrt() && mean > 0.0
    })
}
