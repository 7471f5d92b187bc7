//! The answer in words.

use super::answer::{Answer, Interval};
use super::collect::{Cell, Group, Metric};
use super::Report;
use crate::config::number;

/// A short plain statement for each group, and what is not complete.
pub fn statement(report: &Report) -> String {
    let mut lines = vec![];
    for (group, answer) in &report.groups {
        if report.groups.len() > 1 {
            lines.push(format!("[{}]", group.label()));
        }
        lines.extend(of_group(group, answer));
    }
    let counts = report.counts;
    let mut lacking = vec![];
    for (n, what) in [(counts.diverged, "diverged"), (counts.failed, "failed"), (counts.missing, "missing")] {
        if n > 0 {
            lacking.push(format!("{n} {what}"));
        }
    }
    if !lacking.is_empty() {
        let total = counts.done + counts.diverged + counts.failed + counts.missing;
        lines.push(format!("Not complete: of {total} stages, {} (a λ counts only where every seed has a result).", lacking.join(", ")));
    }
    lines.join("\n")
}

fn of_group(group: &Group, answer: &Answer) -> Vec<String> {
    let (Some(source), Some((i, j))) = (answer.source, answer.transfer) else {
        return vec!["No answer yet: no λ₀ has a source and a target result for every seed.".into()];
    };
    let (lambda_s, lambda_0, lambda_1) = (group.lambda0[source], group.lambda0[i], group.lambda1[j]);
    let n = answer.seeds.len();
    let by = match answer.metric {
        Metric::Accuracy => "accuracy",
        Metric::Loss => "loss",
    };
    let comparison = match answer.log_ratio.map(|r| r.estimate) {
        Some(r) if r > 0.0 => "stronger than",
        Some(r) if r < 0.0 => "weaker than",
        _ => "the same as",
    };
    let mut lines = vec![format!(
        "By validation {by} over {n} seed{}: the transfer-optimal λ₀ is {} (with λ₁ = {}), {comparison} the source-optimal λ₀ = {}{}.",
        if n == 1 { "" } else { "s" },
        number(lambda_0),
        number(lambda_1),
        number(lambda_s),
        ratio(answer)
    )];
    if let Some(p) = answer.probability_stronger {
        let sure = match answer.log_ratio.and_then(|r| r.range) {
            Some((low, _)) if low > 0.0 => "the interval excludes 1: stronger source regularisation is favoured",
            Some((_, high)) if high < 0.0 => "the interval excludes 1: weaker source regularisation is favoured",
            _ => "the interval includes 1: the order is not settled by these seeds",
        };
        lines.push(format!("How sure: λ₀* > λ_S* in {:.0}% of bootstrap resamples over seeds; {sure}.", 100.0 * p));
    } else {
        lines.push("How sure: one seed gives no interval; use more seeds.".into());
    }
    if let Some(cost) = answer.mismatch_cost {
        let companion = answer.companion.map_or(String::new(), |j| format!(" (λ₁ = {})", number(group.lambda1[j])));
        lines.push(if source == i {
            "Cost of choosing λ₀ by the source: none, the two are the same grid point.".to_string()
        } else {
            format!("Cost of choosing λ₀ by the source{companion}: {} of target test {by}.", points(cost, answer.metric, "higher by"))
        });
    }
    match (answer.gain, answer.scratch) {
        (Some(gain), Some(k)) => {
            let verdict = match (gain.estimate < 0.0, gain.range) {
                (true, Some((_, high))) if high < 0.0 => "negative transfer: yes",
                (true, _) => "negative transfer: on average yes, but the interval includes none",
                (false, Some((low, _))) if low > 0.0 => "negative transfer: no",
                (false, _) => "negative transfer: no on average, but the interval includes it",
            };
            lines.push(format!(
                "Against training from scratch (λ = {}): {} of target test {by}; {verdict}.",
                number(group.scratch_lambda[k]),
                points(gain, answer.metric, "lower by")
            ));
        }
        _ if group.scratch.is_empty() => lines.push("Negative transfer: not asked (scratch.lambdas is empty).".into()),
        _ => lines.push("Negative transfer: unknown, no from-scratch result for every seed yet.".into()),
    }
    // A source that a strong λ₀ has flattened shows here: the target may prefer to start from nothing learned.
    let (own, at_transfer) = (test(&group.source[source], answer), test(&group.source[i], answer));
    let elsewhere = if source == i { String::new() } else { format!(" ({at_transfer} at the transfer-optimal λ₀)") };
    lines.push(format!("Test {by} at the optima: source {own}{elsewhere}, target {}.", test(&group.target[i][j], answer)));
    let other = if answer.metric == Metric::Accuracy { Metric::Loss } else { Metric::Accuracy };
    let second = Answer::under(group, other);
    if let (Some(s), Some((t, u))) = (second.source, second.transfer) {
        let name = if other == Metric::Loss { "loss" } else { "accuracy" };
        lines.push(format!(
            "By validation {name} instead: source-optimal λ₀ = {}, transfer-optimal λ₀ = {} (λ₁ = {}){}.",
            number(group.lambda0[s]),
            number(group.lambda0[t]),
            number(group.lambda1[u]),
            ratio(&second)
        ));
    }
    lines.extend(answer.edges.iter().map(|edge| format!("Edge of the grid: {edge}.")));
    lines.extend(answer.ties.iter().map(|tie| format!("Tie: {tie}; the smaller is taken.")));
    lines
}

/// `; ratio 3.16, 95% interval 1 to 10`.
fn ratio(answer: &Answer) -> String {
    let Some(Interval { estimate, range }) = answer.log_ratio else { return String::new() };
    let range = range.map_or(String::new(), |(low, high)| format!(", 95% interval {} to {}", short(low.exp()), short(high.exp())));
    format!("; ratio {}{range}", short(estimate.exp()))
}

fn short(value: f64) -> String {
    if value.is_infinite() {
        "∞".into()
    } else {
        number(format!("{value:.2e}").parse().unwrap_or(value))
    }
}

/// `+1.3 points (95% interval +0.4 to +2.2)`, or nats for the loss.
fn points(value: Interval, metric: Metric, way: &str) -> String {
    let show = |v: f64| match metric {
        Metric::Accuracy => format!("{:+.2}", 100.0 * v),
        Metric::Loss => format!("{v:+.4}"),
    };
    let range = value.range.map_or(String::new(), |(low, high)| format!(" (95% interval at these optima {} to {})", show(low), show(high)));
    match metric {
        Metric::Accuracy => format!("{} points{range}", show(value.estimate)),
        Metric::Loss => format!("{way} {} nats{range}", show(value.estimate)),
    }
}

/// Mean test metric of a cell.
fn test(cell: &Cell, answer: &Answer) -> String {
    match cell.values(&answer.seeds, answer.metric.key(true)) {
        Some(values) if answer.metric == Metric::Accuracy => format!("{:.1}%", 100.0 * super::mean(&values)),
        Some(values) => format!("{:.4}", super::mean(&values)),
        None => "none".into(),
    }
}
