//! The text about one setting below its first sentence: the uncertainty of the answer, the cost of
//! the wrong choice, the comparison with training from scratch, and cautions.

use super::answer_text::is_near;
use super::words::{difference, level, optimisers, optimum, point, short, source_start, unit_in_front, verdict, with_range};
use crate::base::interval::Interval;
use crate::base::numbers::{number, round_down, significant};
use crate::config::StrongerEnd;
use crate::report::analysis::stats::mean;
use crate::report::analysis::{
    compare_with_scratch, Advice, Answer, Answered, Basis, CellResults, GridEnd, Metric, OptimaComparison, OptimumAtEnd, OptimumKind,
    PredictionAnalysis, Rules, Setting, SettingAnalysis, Tie, Verdict, VANISHED,
};

/// The kind of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// A part of the answer.
    Answer,
    /// A caution about the answer.
    Caution,
}

/// The lines below the first sentence.
pub fn details(analysis: &SettingAnalysis) -> Vec<(About, String)> {
    let Answer::Answered(answered) = &analysis.answer else { return vec![] };
    let setting = &analysis.setting;
    let mut lines = vec![];
    if let Some(comparison) = &answered.comparison {
        lines.push(certainty(setting, answered, comparison));
        lines.extend(answered.mismatch_cost.map(|cost| mismatch_cost(answered, cost)));
    }
    lines.push(negative_transfer(setting, answered));
    lines.extend(many_comparisons(analysis));
    lines.push(test_metrics(setting, answered));
    lines.extend(other_metric(analysis));
    if let Some(rho) = setting.aligned("rho") {
        let cosine = setting.aligned("cosine").map_or(String::new(), |cosine| format!(", cosine {}", with_range(cosine)));
        lines.push(format!("Alignment of the tasks, by ridge on the features of an untrained network: ρ̂ = {}{cosine}.", with_range(rho)));
    }
    if let Some(predictions) = &analysis.predictions {
        lines.extend(of_predictions(predictions));
    }
    if let Some(start) = source_start(setting) {
        lines.push(format!("Pretrained: the {start}."));
    }
    if let Some(names) = optimisers(setting) {
        lines.push(format!(
            "Trained by {names}. λ of Adam and AdamW are no weights of an objective: they are not comparable with those of SGD."
        ));
    }
    let mut all: Vec<(About, String)> = lines.into_iter().map(|line| (About::Answer, line)).collect();
    all.extend(cautions(setting, answered).into_iter().map(|line| (About::Caution, line)));
    all
}

/// Calibration of each model, and paired tests over images.
fn of_predictions(predictions: &PredictionAnalysis) -> Vec<String> {
    let percent = |value: f64| format!("{:.1}%", 100.0 * value);
    let with = |value: Interval| match value.range {
        Some((low, high)) => format!("{} ({} to {})", percent(value.estimate), percent(low.max(0.0)), percent(high.min(1.0))),
        None => percent(value.estimate),
    };
    let models: Vec<String> = predictions.models.iter().map(|of| format!("{} {}", of.model.name(), with(of.error))).collect();
    let mut lines = vec![format!("Calibration error (15 bins; 0% is calibrated): {}.", models.join(", "))];
    let tests = [(&predictions.against_scratch, "training from scratch"), (&predictions.against_source_optimum, "the target at λ_S*")];
    for (tests, what) in tests {
        let better = tests.iter().filter(|test| test.p < 0.05 && test.only_first > test.only_second).count();
        let worse = tests.iter().filter(|test| test.p < 0.05 && test.only_first < test.only_second).count();
        let worst = tests.iter().map(|test| test.p).fold(0.0, f64::max);
        if !tests.is_empty() {
            lines.push(format!(
                "Image by image against {what} (McNemar's exact test in each seed, first draw): of {} seeds the target at λ₀* is better in {better} and worse in {worse} at the 5% level; largest p {}.",
                tests.len(),
                significant(worst, 2)
            ));
        }
    }
    lines
}

fn certainty(setting: &Setting, answered: &Answered, comparison: &OptimaComparison) -> String {
    let Some(probabilities) = comparison.probabilities else {
        return "How sure: one seed gives no interval; use more seeds.".into();
    };
    let optima = [("λ_S*", comparison.source_range), ("λ₀*", comparison.transfer_range)];
    let optima: Vec<String> = optima
        .iter()
        .filter_map(|(name, range)| range.map(|(low, high)| format!("{name} {} to {}", optimum(answered, low), optimum(answered, high))))
        .collect();
    let sure = match comparison.verdict {
        Verdict::Stronger | Verdict::Weaker => "the ratio's interval excludes 1",
        Verdict::Collapsed if !answered.learned.backbone_at_transfer => "the backbone of the source at λ₀* is not told from zero",
        Verdict::Collapsed => "the source at λ₀* is not shown to be better than guessing",
        Verdict::Undecided if !answered.learned.source || !answered.learned.target => "a model that learned nothing cannot order the λ₀",
        Verdict::Same => "the ratio's interval is within the margin",
        Verdict::Undecided if answered.partial => "results are still missing",
        Verdict::Undecided => "the order is not settled",
    };
    let orders = match setting.regularizer.stronger {
        StrongerEnd::Larger => ["λ₀* > λ_S*", "λ₀* < λ_S*"],
        StrongerEnd::Smaller => ["λ₀* < λ_S*", "λ₀* > λ_S*"],
    };
    let share = |p: f64| match 100.0 * p {
        100.0 => "all".to_string(),
        p if p > 99.9 => "more than 99.9%".to_string(),
        p if p > 0.0 && p < 0.1 => "less than 0.1%".to_string(),
        p => format!("{p:.1}%"),
    };
    let (stronger, weaker) = (probabilities.stronger, probabilities.weaker);
    let parts = [(orders[0], stronger), (orders[1], weaker), ("they are equal or tied", 1.0 - stronger - weaker)];
    let parts = parts.iter().filter(|(_, p)| *p > 1e-9).map(|(what, p)| format!("{what} in {}", share(*p)));
    let parts = parts.collect::<Vec<_>>().join(", ");
    format!("How sure: of the bootstrap draws over seeds, {parts}; {sure} (95% intervals: {}).", optima.join(", "))
}

fn mismatch_cost(answered: &Answered, cost: Interval) -> String {
    let metric = answered.basis.metric;
    if cost.range == Some((0.0, 0.0)) {
        return "Cost of choosing λ₀ by the source: none, the same trained λ₀ is best for both.".into();
    }
    let how = if answered.basis.seeds.len() > 1 { ", on each seed with the choice of the other seeds" } else { "" };
    format!(
        "Cost of choosing λ₀ by the source: {} of target test {}{how}.",
        difference_with_range(cost, metric, "higher by", ""),
        metric.name()
    )
}

/// `, 23% (12% to 34%) of the error of training from scratch`; nothing where there is no gain.
fn error_reduction(answered: &Answered) -> String {
    let Some(share) = answered.error_reduction.filter(|share| share.estimate > 0.0) else { return String::new() };
    let percent = |v: f64| format!("{:.0}%", 100.0 * v);
    let range = share.range.map_or(String::new(), |(low, high)| format!(" ({} to {})", percent(low), percent(high)));
    let what = match answered.basis.metric {
        Metric::Accuracy => "error",
        Metric::R2 => "unexplained variance",
        Metric::Loss | Metric::SquaredError => answered.basis.metric.name(),
    };
    format!(", {}{range} of the {what} of training from scratch", percent(share.estimate))
}

fn negative_transfer(setting: &Setting, answered: &Answered) -> String {
    let metric = answered.basis.metric;
    match (answered.gain, answered.scratch) {
        (Some(gain), Some(k)) => {
            let verdict = match (gain.estimate < 0.0, gain.range) {
                (true, Some((_, high))) if high < 0.0 => "negative transfer: yes",
                (true, Some(_)) => "negative transfer: yes on average, but the interval includes zero",
                (true, None) => "negative transfer: yes on average, without an interval",
                (false, Some((low, _))) if low > 0.0 => "negative transfer: no",
                (false, Some(_)) => "negative transfer: no on average, but the interval includes zero",
                (false, None) => "negative transfer: no on average, without an interval",
            };
            let how = if answered.basis.seeds.len() > 1 {
                "on each seed with the choice of the other seeds"
            } else {
                "chosen and measured on the same seed, so optimistic"
            };
            format!(
                "Against training from scratch (λ = {}): {} of target test {}{}, {how}; {verdict}.",
                point(setting.scratch_lambda[k]),
                difference_with_range(gain, metric, "lower by", ""),
                metric.name(),
                error_reduction(answered)
            )
        }
        _ if setting.scratch.is_empty() => "Negative transfer: not measured (scratch.lambdas is empty).".into(),
        _ if setting.scratch.iter().all(|cell| !cell.diverged.is_empty()) => {
            "Negative transfer: unknown, training from scratch diverged for some seed at every λ.".into()
        }
        _ => "Negative transfer: unknown, no from-scratch result for every seed yet.".into(),
    }
}

/// The number of cells that differ from training from scratch, corrected for the number of cells
/// compared.
fn many_comparisons(analysis: &SettingAnalysis) -> Option<String> {
    let all = compare_with_scratch(&analysis.rows);
    (all.cells > 1).then(|| {
        format!(
            "Of {} cells{}, {} are better and {} worse than training from scratch at the 5% level (paired t tests with Holm's correction for {} comparisons).",
            all.cells,
            if all.cells < analysis.rows.len() { format!(" that can be tested (of {})", analysis.rows.len()) } else { String::new() },
            all.better,
            all.worse,
            all.cells
        )
    })
}

/// The test metrics at the optima. They show whether a strong λ₀ has prevented the source from
/// learning: the target may prefer a source that has learned nothing.
fn test_metrics(setting: &Setting, answered: &Answered) -> String {
    let (source, (i, j)) = (answered.source, answered.transfer);
    let test = |cell: &CellResults| test_metric(&answered.basis, cell);
    let elsewhere = if source == i { String::new() } else { format!(" ({} at the transfer-optimal λ₀)", test(&setting.source[i])) };
    format!(
        "Test {} at the optima: source {}{elsewhere}, target {}.",
        answered.basis.metric.name(),
        test(&setting.source[source]),
        test(&setting.target[i][j])
    )
}

/// `3.16 (98% interval 1 to 10)`
fn ratio_with_range(ratio: Interval, rules: &Rules) -> String {
    let range = ratio.range.map_or(String::new(), |(low, high)| format!(" ({} interval {} to {})", level(rules), short(low), short(high)));
    format!("{}{range}", short(ratio.estimate))
}

/// The answer by the metric that the study does not use for selection.
fn other_metric(analysis: &SettingAnalysis) -> Option<String> {
    let (setting, other) = (&analysis.setting, analysis.other_metric.answered()?);
    let ratio = other
        .comparison
        .as_ref()
        .map_or(String::new(), |c| format!("; ratio {}", ratio_with_range(c.log_ratio.map(f64::exp), &setting.rules)));
    let order = other.comparison.as_ref().map_or(Verdict::Undecided, |c| c.verdict);
    Some(format!(
        "By validation {} instead: {}; source-optimal λ₀ = {}, transfer-optimal λ₀ = {} (λ₁ = {}){ratio}.",
        other.basis.metric.name(),
        verdict(order),
        optimum(other, other.source_lambda0(setting)),
        optimum(other, other.transfer_lambda0(setting)),
        point(setting.lambda1[other.transfer.1]),
    ))
}

fn cautions(setting: &Setting, answered: &Answered) -> Vec<String> {
    let mut lines: Vec<String> =
        answered.optima_at_ends.iter().map(|at_end| format!("Edge of the grid: {}.", optimum_at_end(at_end))).collect();
    if let Some(comparison) = &answered.comparison {
        lines.extend(intervals_at_ends(setting, answered, comparison));
    }
    lines.extend(answered.ties.iter().map(|found| format!("Tie: {}; the smaller is taken.", tie(found))));
    let out: Vec<String> =
        (0..setting.lambda0.len()).filter(|i| !answered.eligible_lambda0.contains(i)).map(|i| point(setting.lambda0[i])).collect();
    if !out.is_empty() {
        lines.push(format!("Excluded, without a result for every seed: λ₀ = {}.", out.join(", ")));
    }
    if !answered.learned.source_at_transfer {
        let source = &setting.source[answered.transfer.0];
        let (score, guess) = (if setting.is_regression { Metric::R2 } else { Metric::Accuracy }, &setting.source_guess);
        let reached = source.values(&answered.basis.seeds, score.test_key()).map_or(0.0, |v| mean(&v));
        let which = match setting.is_regression {
            true => format!("R² {reached:.3} on {} test rows", guess.images),
            false => format!(
                "{:.1}% of {} test images; always the most frequent class: {:.1}%",
                100.0 * reached,
                guess.images,
                100.0 * guess.accuracy
            ),
        };
        lines.push(format!("At λ₀* the source model itself is not shown to be better than guessing ({which})."));
    }
    if !answered.learned.backbone_at_transfer {
        lines.push(format!("At λ₀* the source's backbone is not told from zero: its norm is below {}% of that at λ_S*.", 100.0 * VANISHED));
    }
    match setting.seeds.len() - answered.basis.seeds.len() {
        0 => {}
        1 => lines.push(format!("Seeds: 1 of {} is left out, since it lacks results.", setting.seeds.len())),
        n => lines.push(format!("Seeds: {n} of {} are left out, since they lack results.", setting.seeds.len())),
    }
    lines
}

/// Warns about intervals that reach an end of the grid although their optimum is inside it.
fn intervals_at_ends(setting: &Setting, answered: &Answered, comparison: &OptimaComparison) -> Vec<String> {
    let grid = answered.searched(setting);
    let optima = [("λ_S*", comparison.source_range, comparison.source_end), ("λ₀*", comparison.transfer_range, comparison.transfer_end)];
    let mut lines = vec![];
    for (name, range, end) in optima {
        let Some((low, high)) = range.filter(|_| end.is_none() && grid.len() > 1) else { continue };
        if is_near(high, grid[grid.len() - 1]) && high.is_finite() {
            lines.push(format!(
                "Edge of the grid: the interval of {name} reaches its largest λ₀ ({}) and may go beyond.",
                point(grid[grid.len() - 1])
            ));
        }
        if is_near(low, grid[0]) && low > 0.0 {
            lines.push(format!("Edge of the grid: the interval of {name} reaches its smallest λ₀ ({}) and may go beyond.", point(grid[0])));
        }
    }
    lines
}

/// An optimum at an end of its grid, with the advice for it.
pub fn optimum_at_end(at_end: &OptimumAtEnd) -> String {
    let name = match at_end.optimum {
        OptimumKind::SourceLambda0 => "the source-optimal λ₀",
        OptimumKind::TransferLambda0 => "the transfer-optimal λ₀",
        OptimumKind::TransferLambda1 => "the transfer-optimal λ₁",
        OptimumKind::ScratchLambda => "the best λ of training from scratch",
    };
    let is = if at_end.is_tie { "ties with" } else { "is" };
    let which = if at_end.end == GridEnd::High { "largest" } else { "smallest" };
    let (axis, value) = (&at_end.axis, number(at_end.value));
    match at_end.advice {
        Advice::WaitForResults => {
            format!("{name} {is} the {which} {axis} that has results ({value}): a value without results may be better")
        }
        Advice::SourceLearnedNothing => {
            format!("{name} {is} the {which} {axis} of the grid ({value}), where the source is not shown to have learned anything")
        }
        advice => format!("{name} {is} the {which} {axis} of the grid ({value}): {}", widening(at_end, advice)),
    }
}

fn widening(at_end: &OptimumAtEnd, advice: Advice) -> String {
    match (advice, at_end.end) {
        (Advice::Widen { limit, stages }, GridEnd::High) if limit.is_finite() => {
            format!(
                "widen it upwards, to {} at most with the explicit step (each further value: {stages} new stages)",
                number(round_down(limit))
            )
        }
        (Advice::Widen { stages, .. }, GridEnd::High) => format!("widen it upwards (each further value: {stages} new stages)"),
        (Advice::Widen { stages, .. }, GridEnd::Low) => {
            // A penalty may be 0. Other axes that stand for λ₀ may not allow 0.
            let is_penalty = at_end.axis.starts_with("lambda") || at_end.axis == "scratch.lambdas";
            let zero = if is_penalty && !at_end.has_zero { ", or add 0" } else { "" };
            format!("widen it downwards{zero} (each further value: {stages} new stages)")
        }
        (Advice::AtStepLimit { limit }, _) => {
            format!("the explicit step allows no more than {}; `penalty.step: proximal` allows more", number(round_down(limit)))
        }
        (Advice::WaitForResults | Advice::SourceLearnedNothing, _) => String::new(),
    }
}

/// An optimal λ₀ that ties with other λ₀.
pub fn tie(tie: &Tie) -> String {
    let name = if tie.optimum == OptimumKind::SourceLambda0 { "source" } else { "transfer" };
    let others: Vec<String> = tie.others.iter().map(|other| number(*other)).collect();
    format!("the {name}-optimal λ₀ {} ties with {}", number(tie.lambda0), others.join(", "))
}

/// `+1.3 points (95% interval +0.4 to +2.2)`, or nats for the loss. `way` is "lower by" or "higher
/// by"; it is used for losses.
fn difference_with_range(value: Interval, metric: Metric, way: &str, at: &str) -> String {
    if value.range == Some((0.0, 0.0)) {
        return "no difference".into();
    }
    // For losses the words carry the sign: "lower by" or "higher by".
    if !metric.is_score() && value.estimate < 0.0 {
        let turned = Interval { estimate: -value.estimate, range: value.range.map(|(low, high)| (-high, -low)) };
        return difference_with_range(turned, metric, if way == "lower by" { "higher by" } else { "lower by" }, at);
    }
    let show = |v: f64| difference(metric, v);
    let range = value.range.map_or(String::new(), |(low, high)| format!(" (95% interval{at} {} to {})", show(low), show(high)));
    let way = if metric.is_score() { String::new() } else { format!("{way} ") };
    format!("{way}{}{}{range}", show(value.estimate), unit_in_front(metric))
}

/// Mean test metric of a cell as text.
fn test_metric(basis: &Basis, cell: &CellResults) -> String {
    match basis.test_values(cell) {
        Some(values) if basis.metric == Metric::Accuracy => format!("{:.1}%", 100.0 * mean(&values)),
        Some(values) => format!("{:.4}", mean(&values)),
        None => "none".into(),
    }
}
