//! The answer of one setting in a sentence, with its numbers and intervals.

use super::words::{bound, difference, level, optimum, point, short, stands_for, unit_in_front};
use crate::base::interval::Interval;
use crate::base::numbers::number;
use crate::report::analysis::{
    has_room_above, Answer, Answered, Bound, GridEnd, Metric, OptimaComparison, Setting, SettingAnalysis, SharedChoice, SharedLambda0,
    Unanswered, Verdict, MIN_SEEDS,
};

/// In how many settings transfer beats training from scratch. Empty if this is unknown.
pub fn helps(settings: &[SettingAnalysis]) -> Option<String> {
    let gains: Vec<(f64, f64)> = settings.iter().filter_map(|s| s.answer.answered()?.gain?.range).collect();
    let (better, worse) = (gains.iter().filter(|g| g.0 > 0.0).count(), gains.iter().filter(|g| g.1 < 0.0).count());
    match gains.len() - better - worse {
        _ if gains.is_empty() => None,
        open => Some(format!("Transfer beats training from scratch in {better}, loses in {worse}, and is not settled in {open}.")),
    }
}

/// The sentence about one λ₀ for all targets.
pub fn shared_lambda0(shared: &SharedLambda0) -> String {
    let of = |choice: &SharedChoice| {
        let range = choice.range.map_or(String::new(), |(low, high)| format!(" (95% interval {} to {})", point(low), point(high)));
        let ties: Vec<String> = choice.ties.iter().map(|&i| point(shared.lambda0[i])).collect();
        let ties = if ties.is_empty() { String::new() } else { format!(", as good as {}", ties.join(", ")) };
        let end = match choice.end {
            Some(GridEnd::Low) => ", the smallest of the grid: widen it",
            Some(GridEnd::High) => ", the largest of the grid: widen it",
            None => "",
        };
        format!("λ₀ = {}{end}{ties}{range}", point(shared.lambda0[choice.at]))
    };
    let source = shared.source_optimum.as_ref().map_or(String::new(), |choice| format!("; the source's own optimum is {}", of(choice)));
    format!(
        "One λ₀ for all {} targets, equally weighted: the mean regret is smallest at {}, the worst regret at {}{source}.",
        shared.mean_regret.costs.len(),
        of(&shared.mean_regret),
        of(&shared.worst_regret)
    )
}

/// Which λ₀ transfers best in one setting, compared with the λ₀ that is best for the source.
pub fn answer_sentence(analysis: &SettingAnalysis) -> String {
    match &analysis.answer {
        Answer::Unanswered(Unanswered::Incomplete) => "No answer yet: no λ₀ has a source and a target result for every seed.".into(),
        Answer::Unanswered(Unanswered::Diverged) => "No answer: every λ₀ diverged for some seed.".into(),
        Answer::Answered(answered) => match &answered.comparison {
            None => single_lambda0(&analysis.setting, answered),
            Some(comparison) => compared(&analysis.setting, answered, comparison),
        },
    }
}

fn single_lambda0(setting: &Setting, answered: &Answered) -> String {
    let (i, j) = answered.transfer;
    let (lambda0, planned) = (point(setting.lambda0[i]), setting.lambda0.len());
    match planned {
        1 => format!("A single λ₀ ({lambda0}) has nothing to be compared with; the best λ₁ is {}.", point(setting.lambda1[j])),
        _ => format!(
            "Only λ₀ = {lambda0} of {planned} has a source and a target result for every seed: there is nothing to compare it with."
        ),
    }
}

fn compared(setting: &Setting, answered: &Answered, comparison: &OptimaComparison) -> String {
    let n = answered.basis.seeds.len();
    let regularizer = &setting.regularizer;
    let note = regularizer.stands_for().map_or(String::new(), |axis| format!("{} ", stands_for(axis, regularizer.stronger)));
    let ratio = match comparison.tied_ratio {
        Some((low, high)) => format!("a ratio of {} to {}, depending on how ties are resolved", short(low), short(high)),
        None => format!("a ratio of {}{}", bound(comparison), short(comparison.log_ratio.estimate.exp())),
    };
    let mut facts = vec![match comparison.log_ratio.range {
        Some((low, high)) => format!("{} interval {} to {}", level(&setting.rules), short(low.exp()), short(high.exp())),
        None => "no interval".into(),
    }];
    facts.extend(answered.mismatch_cost.map(|cost| worth(cost, answered.basis.metric)));
    facts.push(format!("{n} seed{}", if n == 1 { "" } else { "s" }));
    format!(
        "{note}{}: by validation {} λ₀* = {}{} (with λ₁ = {}) against λ_S* = {}{}, {ratio} ({}).",
        verdict_clause(setting, answered, comparison),
        answered.basis.metric.name(),
        optimum(answered, comparison.transfer),
        end_note(setting, answered, comparison, comparison.transfer_end, comparison.transfer),
        point(setting.lambda1[answered.transfer.1]),
        optimum(answered, comparison.source),
        end_note(setting, answered, comparison, comparison.source_end, comparison.source),
        facts.join("; ")
    )
}

fn verdict_clause(setting: &Setting, answered: &Answered, comparison: &OptimaComparison) -> String {
    let (n, margin) = (answered.basis.seeds.len(), setting.rules.margin);
    let is_within = comparison.log_ratio.range.is_some_and(|(low, high)| low > -margin.ln() && high < margin.ln());
    let by = if is_within { format!(", by less than {} times", number(margin)) } else { String::new() };
    let clause = match comparison.verdict {
        Verdict::Stronger => return format!("The transfer-optimal λ₀ is stronger than the source-optimal one{by}"),
        Verdict::Weaker => return format!("The transfer-optimal λ₀ is weaker than the source-optimal one{by}"),
        Verdict::Same => return format!("The target wants the same λ₀ as the source, within a factor of {}", number(margin)),
        Verdict::Collapsed => "What transfers best is a source that learned nothing",
        Verdict::Undecided if !answered.learned.source => {
            "The source at λ_S* is not shown to be better than guessing, so its best λ₀ is not known"
        }
        Verdict::Undecided if !answered.learned.target => {
            "The target at (λ₀*, λ₁*) is not shown to be better than guessing, so the best λ₀ for transfer is not known"
        }
        Verdict::Undecided if answered.partial => "Not complete, so far",
        Verdict::Undecided if n == 1 => "One seed is too few to settle which λ₀ transfers best",
        Verdict::Undecided if n < MIN_SEEDS => "Two seeds are too few to settle which λ₀ transfers best",
        Verdict::Undecided if comparison.tied_ratio.is_some() => "Not settled, several λ₀ are equally good",
        Verdict::Undecided if comparison.bound == Bound::Unknown => "Not settled, both optima are at the same end of the grid",
        Verdict::Undecided => "These seeds do not settle whether the best λ₀ differs between source and target",
    };
    clause.into()
}

/// ` (the largest of the grid: widen it)`, for an optimal λ₀ at an end of the grid.
fn end_note(setting: &Setting, answered: &Answered, comparison: &OptimaComparison, end: Option<GridEnd>, at: f64) -> String {
    let grid = answered.searched(setting);
    let (value, name) = match end {
        Some(GridEnd::High) => (grid[grid.len() - 1], "largest"),
        Some(GridEnd::Low) => (grid[0], "smallest"),
        None => return String::new(),
    };
    let is_whole = answered.is_whole_grid(setting);
    let which = if is_whole { format!("the {name} of the grid") } else { format!("the {name} that has results") };
    let which = if is_near(at, value) { which } else { format!("as good as {which}, {}", point(value)) };
    let limit = if setting.regularizer.stands_for().is_none() { setting.limits.lambda0 } else { f64::INFINITY };
    let advice = match end {
        _ if !is_whole || comparison.verdict == Verdict::Collapsed => "",
        Some(GridEnd::High) if !has_room_above(value, limit) => ", and the largest that the explicit step allows",
        _ => ": widen it",
    };
    format!(" ({which}{advice})")
}

/// Equal but for rounding.
pub fn is_near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * b.abs()
}

/// The target's gain on test images from λ₀* in place of λ_S*, if the gain is significant.
fn worth(cost: Interval, metric: Metric) -> String {
    let show = |v: f64| difference(metric, v);
    let (unit, name) = (unit_in_front(metric), metric.name());
    match cost.range {
        Some((low, high)) if low == 0.0 && high == 0.0 => format!("no difference in target test {name} for any seed"),
        Some((low, high)) if low > 0.0 => {
            format!("worth {}{unit} of target test {name}, {} to {}", show(cost.estimate), show(low), show(high))
        }
        Some((low, high)) => {
            format!("not shown to be worth anything: {}{unit} of target test {name}, {} to {}", show(cost.estimate), show(low), show(high))
        }
        None => format!("not shown to be worth anything: {}{unit} of target test {name}, without an interval", show(cost.estimate)),
    }
}
