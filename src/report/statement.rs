//! The answer in words.

use super::answer::{Answer, Bound, Verdict, LEAST_SEEDS};
use super::cells::against_scratch;
use super::collect::{Cell, Metric};
use super::compromise::{Choice, Compromise};
use super::edges::{room_above, Edge};
use super::section::{Report, Section};
use super::stats::{mean, Interval};
use crate::config::{number, significant, Stronger};

/// The first sentence: the answer to "does the target want another λ₀ than the source?", with its interval.
pub fn headline(report: &Report) -> String {
    let made_up = if report.made_up { "(Made-up results of the mock engine.) " } else { "" };
    format!("{made_up}{}", answer_of(report))
}

fn answer_of(report: &Report) -> String {
    match report.sections.as_slice() {
        [] => "No answer yet: the study has no cells.".into(),
        [only] => of_section(only),
        many => {
            let answered: Vec<&Section> = many.iter().filter(|s| s.answer.log_ratio.is_some()).collect();
            let count = |verdict: Verdict| answered.iter().filter(|s| s.answer.verdict() == verdict).count();
            let all = [Verdict::Stronger, Verdict::Weaker, Verdict::Same, Verdict::Collapsed, Verdict::Open];
            let parts = all.map(|v| (count(v), v.words()));
            let mut parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{what} in {n}")).collect();
            if answered.len() < many.len() {
                parts.push(format!("without an answer yet in {}", many.len() - answered.len()));
            }
            let strength = &many[0].group.strength;
            let note = strength.stands_for().map_or(String::new(), |axis| format!("{} ", stands_for(axis, strength.stronger)));
            let all = report.compromise.as_ref().map_or(String::new(), |compromise| format!("{} ", compromised(compromise)));
            let order =
                format!("Against the source-optimal λ₀, the transfer-optimal one is {} of {} settings.", parts.join(", "), many.len());
            format!("{note}{all}{order}{}", helps(many))
        }
    }
}

/// In how many settings transfer beats training from scratch; nothing where that is not known.
fn helps(sections: &[Section]) -> String {
    let gains: Vec<(f64, f64)> = sections.iter().filter_map(|s| s.answer.gain?.range).collect();
    let (better, worse) = (gains.iter().filter(|g| g.0 > 0.0).count(), gains.iter().filter(|g| g.1 < 0.0).count());
    match gains.len() - better - worse {
        _ if gains.is_empty() => String::new(),
        open => format!(" Transfer beats training from scratch in {better}, loses in {worse}, and is not settled in {open}."),
    }
}

/// Which λ₀ transfers best, against which is best for the source.
pub fn of_section(section: &Section) -> String {
    let (group, answer) = (&section.group, &section.answer);
    let (Some(source), Some((i, j))) = (answer.source, answer.transfer) else {
        return match answer.partial || answer.seeds.is_empty() {
            true => "No answer yet: no λ₀ has a source and a target result for every seed.".into(),
            false => "No answer: every λ₀ diverged for some seed.".into(),
        };
    };
    if answer.log_ratio.is_none() {
        let (lambda0, planned) = (point(group.lambda0[i]), group.lambda0.len());
        return match planned {
            1 => format!("A single λ₀ ({lambda0}) has nothing to be compared with; the best λ₁ is {}.", point(group.lambda1[j])),
            _ => format!(
                "Only λ₀ = {lambda0} of {planned} has a source and a target result for every seed: there is nothing to compare it with."
            ),
        };
    }
    let n = answer.seeds.len();
    let note = group.strength.stands_for().map_or(String::new(), |axis| format!("{} ", stands_for(axis, group.strength.stronger)));
    let verdict = match answer.verdict() {
        Verdict::Stronger => "The transfer-optimal λ₀ is stronger than the source-optimal one",
        Verdict::Weaker => "The transfer-optimal λ₀ is weaker than the source-optimal one",
        Verdict::Same => "The transfer-optimal and the source-optimal λ₀ are the same point of the grid",
        Verdict::Collapsed => "What transfers best is a source that learned nothing",
        Verdict::Open if !answer.learned.source => {
            "The source at λ_S* is not shown to be better than guessing, so nothing can be said of its λ₀"
        }
        Verdict::Open if !answer.learned.target => {
            "The target at (λ₀*, λ₁*) is not shown to be better than guessing, so nothing can be said of what transfers"
        }
        Verdict::Open if answer.partial => "Not complete, so far",
        Verdict::Open if n == 1 => "One seed cannot settle which λ₀ transfers best",
        Verdict::Open if n < LEAST_SEEDS => "Two seeds cannot settle which λ₀ transfers best",
        Verdict::Open if answer.tied_ratio.is_some_and(|(low, high)| low != high) => "Not settled, several λ₀ are equally good",
        Verdict::Open if answer.ratio_bound() == Bound::Unknown => "Not settled, both optima are at the same end of the grid",
        Verdict::Open => "Whether the target wants another λ₀ than the source is not settled by these seeds",
    };
    let whole = answer.is_whole(group);
    let grid: Vec<f64> = answer.running.iter().map(|&i| group.lambda0[i]).collect();
    let edge = |edge: Option<Edge>, at: usize| -> String {
        let (end, name) = match edge {
            Some(Edge::High) => (grid[grid.len() - 1], "largest"),
            Some(Edge::Low) => (grid[0], "smallest"),
            None => return String::new(),
        };
        let which = if whole { format!("the {name} of the grid") } else { format!("the {name} that has results") };
        let ties = if group.lambda0[at] == end { which } else { format!("as good as {which}, {}", point(end)) };
        let most = if group.strength.stands_for().is_none() { group.most.lambda0 } else { f64::INFINITY };
        let advice = match edge {
            _ if !whole || answer.verdict() == Verdict::Collapsed => "",
            Some(Edge::High) if !room_above(end, most) => ", and the largest that the explicit step allows",
            _ => ": widen it",
        };
        format!(" ({ties}{advice})")
    };
    let ratio = match answer.tied_ratio {
        Some((low, high)) if low != high => format!("ratios of {} to {}, as ties are counted", short(low), short(high)),
        _ => format!("a ratio of {}{}", bound(answer), answer.log_ratio.map_or(String::new(), |r| short(r.estimate.exp()))),
    };
    let mut facts = vec![];
    match answer.log_ratio.and_then(|r| r.range) {
        Some((low, high)) => facts.push(format!("95% interval {} to {}", short(low.exp()), short(high.exp()))),
        None => facts.push("no interval".into()),
    }
    if let Some(cost) = answer.mismatch_cost.filter(|_| source != i) {
        facts.push(worth(cost, answer.metric));
    }
    facts.push(format!("{n} seed{}", if n == 1 { "" } else { "s" }));
    format!(
        "{note}{verdict}: by validation {} λ₀* = {}{} (with λ₁ = {}) against λ_S* = {}{}, {ratio} ({}).",
        answer.metric.name(),
        point(group.lambda0[i]),
        edge(answer.transfer_edge, i),
        point(group.lambda1[j]),
        point(group.lambda0[source]),
        edge(answer.source_edge, source),
        facts.join("; ")
    )
}

/// What λ₀* in place of λ_S* brings the target on test images, if that is shown.
fn worth(cost: Interval, metric: Metric) -> String {
    let show = |v: f64| metric.difference(v);
    let (unit, name) = (metric.unit().0, metric.name());
    match cost.range {
        Some((low, high)) if low == 0.0 && high == 0.0 => format!("no difference in target test {name} for any seed"),
        Some((low, high)) if low > 0.0 => {
            format!("worth {} {unit} of target test {name}, {} to {}", show(cost.estimate), show(low), show(high))
        }
        Some((low, high)) => {
            format!("not shown to be worth anything: {} {unit} of target test {name}, {} to {}", show(cost.estimate), show(low), show(high))
        }
        None => format!("not shown to be worth anything: {} {unit} of target test {name}, without an interval", show(cost.estimate)),
    }
}

/// What λ₀ stands for, in words.
fn stands_for(axis: &str, stronger: Stronger) -> String {
    let way = if stronger == Stronger::Larger { "larger" } else { "smaller" };
    format!("(λ₀ stands for `{axis}`, {way} is stronger.)")
}

/// What stands before a ratio that an optimum at an end of the grid makes a bound.
pub fn bound(answer: &Answer) -> &'static str {
    match answer.ratio_bound() {
        _ if answer.log_ratio.is_some_and(|r| r.estimate.is_infinite()) => "",
        Bound::AtLeast => "at least ",
        Bound::AtMost => "at most ",
        Bound::None | Bound::Unknown => "",
    }
}

/// A plain statement for a terminal: for each group the answer and what belongs to it, then what is not complete.
pub fn statement(report: &Report) -> String {
    let mut lines = vec![];
    match report.sections.len() {
        1 if report.made_up => lines.push("Made-up results of the mock engine:".into()),
        0 | 1 => {}
        _ => lines.extend([headline(report), String::new()]),
    }
    for section in &report.sections {
        if report.sections.len() > 1 {
            lines.push(format!("[{}]", section.group.label()));
        }
        lines.push(of_section(section));
        lines.extend(details(section).into_iter().map(|(_, line)| line));
    }
    lines.extend(incomplete(report));
    lines.extend(left_out(report));
    lines.join("\n")
}

/// One λ₀ for all targets, in words.
fn compromised(compromise: &Compromise) -> String {
    let of = |choice: &Choice| {
        let range = choice.range.map_or(String::new(), |(low, high)| format!(" (95% interval {} to {})", point(low), point(high)));
        let ties: Vec<String> = choice.ties.iter().map(|&i| point(compromise.lambda0[i])).collect();
        let ties = if ties.is_empty() { String::new() } else { format!(", as good as {}", ties.join(", ")) };
        let end = match choice.edge {
            Some(Edge::Low) => ", the smallest of the grid: widen it",
            Some(Edge::High) => ", the largest of the grid: widen it",
            None => "",
        };
        format!("λ₀ = {}{end}{ties}{range}", point(compromise.lambda0[choice.at]))
    };
    let source = compromise.source.as_ref().map_or(String::new(), |choice| format!("; the source's own optimum is {}", of(choice)));
    format!(
        "One λ₀ for all {} targets, weighing the same: the least mean regret is at {}, the least worst regret at {}{source}.",
        compromise.mean.costs.len(),
        of(&compromise.mean),
        of(&compromise.worst)
    )
}

/// Results that the folder has and the study no longer.
pub fn left_out(report: &Report) -> Option<String> {
    let shown = report.counts.done + report.counts.diverged + report.counts.failed;
    (report.withdrawn > 0).then(|| {
        format!(
            "{shown} of {} rows shown: {} belong to values that are no longer in the study, or to an earlier version of this program; \
             `report --all` shows them.",
            shown + report.withdrawn,
            report.withdrawn
        )
    })
}

/// What has no result, and what that means.
pub fn incomplete(report: &Report) -> Option<String> {
    let counts = &report.counts;
    let lacking = counts.lacking()?;
    Some(match counts.failed + counts.missing {
        0 => format!("Complete; of {} stages, {lacking} (a λ that diverged for any seed is out of the running).", counts.total()),
        _ => format!("Not complete: of {} stages, {lacking} (a λ counts only where every seed has a result).", counts.total()),
    })
}

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// Part of the answer.
    Answer,
    /// To be careful with.
    Caution,
}

/// How sure the answer is, what the wrong choice costs, how transfer compares with training from scratch, and what to be careful with.
pub fn details(section: &Section) -> Vec<(About, String)> {
    let (group, answer) = (&section.group, &section.answer);
    let (Some(source), Some((i, j))) = (answer.source, answer.transfer) else { return vec![] };
    let by = answer.metric.name();
    let mut lines = vec![];
    if answer.log_ratio.is_some() {
        lines.push(sureness(answer));
    }
    if let Some(smooth) = answer.smooth {
        lines.push(format!(
            "Between the grid's points (a parabola in ln λ₀ around each best one): λ_S* = {}, λ₀* = {}, ratio {}.",
            with_range(smooth.source),
            with_range(smooth.transfer),
            with_range(exponential(smooth.log_ratio))
        ));
    }
    if let Some(cost) = answer.mismatch_cost.filter(|_| answer.log_ratio.is_some()) {
        let companion = answer.companion.map_or(String::new(), |j| format!(" (λ₁ = {})", point(group.lambda1[j])));
        lines.push(match source == i {
            true => "Cost of choosing λ₀ by the source: none, the two are the same grid point.".to_string(),
            false => {
                format!(
                    "Cost of choosing λ₀ by the source{companion}: {} of target test {by}.",
                    points(cost, answer.metric, "higher by", " at these optima")
                )
            }
        });
    }
    lines.push(negative_transfer(section));
    lines.extend(many_comparisons(section));
    // A source that a strong λ₀ has flattened shows here: the target may prefer to start from nothing learned.
    let (own, at_transfer) = (test(&group.source[source], answer), test(&group.source[i], answer));
    let elsewhere = if source == i { String::new() } else { format!(" ({at_transfer} at the transfer-optimal λ₀)") };
    lines.push(format!("Test {by} at the optima: source {own}{elsewhere}, target {}.", test(&group.target[i][j], answer)));
    let second = &section.second;
    if let (Some(s), Some((t, u))) = (second.source, second.transfer) {
        let ratio = second.log_ratio.map_or(String::new(), |r| format!("; ratio {}", with_range(exponential(r))));
        lines.push(format!(
            "By validation {} instead: {}; source-optimal λ₀ = {}, transfer-optimal λ₀ = {} (λ₁ = {}){ratio}.",
            second.metric.name(),
            second.verdict().words(),
            point(group.lambda0[s]),
            point(group.lambda0[t]),
            point(group.lambda1[u]),
        ));
    }
    if let Some(rho) = group.aligned("rho") {
        let cosine = group.aligned("cosine").map_or(String::new(), |cosine| format!(", cosine {}", with_range(cosine)));
        lines.push(format!("Alignment of the tasks, by ridge on the features of an untrained network: ρ̂ = {}{cosine}.", with_range(rho)));
    }
    let mut all: Vec<(About, String)> = lines.into_iter().map(|line| (About::Answer, line)).collect();
    all.extend(cautions(section).into_iter().map(|line| (About::Caution, line)));
    all
}

fn sureness(answer: &Answer) -> String {
    let Some(p) = answer.probability_stronger else { return "How sure: one seed gives no interval; use more seeds.".into() };
    let optima = [("λ_S*", answer.source_range), ("λ₀*", answer.transfer_range)];
    let optima: Vec<String> =
        optima.iter().filter_map(|(name, range)| range.map(|(low, high)| format!("{name} {} to {}", point(low), point(high)))).collect();
    let sure = match answer.verdict() {
        Verdict::Stronger | Verdict::Weaker => "the ratio's interval excludes 1",
        Verdict::Collapsed => "the source at λ₀* is not shown to be better than guessing",
        Verdict::Open if !answer.learned.source || !answer.learned.target => "a model that learned nothing orders nothing",
        Verdict::Same => "all draws choose the same point of the grid",
        Verdict::Open if answer.partial => "results are still missing",
        Verdict::Open => "the order is not settled",
    };
    let orders =
        if answer.stronger == Stronger::Larger { ["λ₀* > λ_S*", "λ₀* < λ_S*"] } else { ["λ₀* < λ_S*", "λ₀* > λ_S*"] };
    let weaker = answer.probability_weaker.unwrap_or(0.0);
    let share = |p: f64| match 100.0 * p {
        100.0 => "all".to_string(),
        p if p > 99.9 => "more than 99.9%".to_string(),
        p if p > 0.0 && p < 0.1 => "less than 0.1%".to_string(),
        p => format!("{p:.1}%"),
    };
    let parts = [(orders[0], p), (orders[1], weaker), ("they are equal or tied", 1.0 - p - weaker)];
    let parts = parts.iter().filter(|(_, p)| *p > 1e-9).map(|(what, p)| format!("{what} in {}", share(*p)));
    let parts = parts.collect::<Vec<_>>().join(", ");
    format!("How sure: of the bootstrap draws over seeds, {parts}; {sure} (95% intervals: {}).", optima.join(", "))
}

fn negative_transfer(section: &Section) -> String {
    let (group, answer) = (&section.group, &section.answer);
    match (answer.gain, answer.scratch) {
        (Some(gain), Some(k)) => {
            let verdict = match (gain.estimate < 0.0, gain.range) {
                (true, Some((_, high))) if high < 0.0 => "negative transfer: yes",
                (true, Some(_)) => "negative transfer: on average yes, but the interval includes none",
                (true, None) => "negative transfer: on average yes, without an interval",
                (false, Some((low, _))) if low > 0.0 => "negative transfer: no",
                (false, Some(_)) => "negative transfer: no on average, but the interval includes it",
                (false, None) => "negative transfer: no on average, without an interval",
            };
            let how = if answer.seeds.len() > 1 {
                "each seed at what the others choose"
            } else {
                "chosen and measured on the same seed, so too good"
            };
            format!(
                "Against training from scratch (λ = {}): {} of target test {}, {how}; {verdict}.",
                point(group.scratch_lambda[k]),
                points(gain, answer.metric, "lower by", ""),
                answer.metric.name()
            )
        }
        _ if group.scratch.is_empty() => "Negative transfer: not asked (scratch.lambdas is empty).".into(),
        _ if group.scratch.iter().all(|cell| !cell.diverged.is_empty()) => {
            "Negative transfer: unknown, training from scratch diverged for some seed at every λ.".into()
        }
        _ => "Negative transfer: unknown, no from-scratch result for every seed yet.".into(),
    }
}

/// Over all cells at once: how many differ from training from scratch when it is counted how many were looked at.
fn many_comparisons(section: &Section) -> Option<String> {
    let all = against_scratch(&section.rows);
    (all.cells > 1).then(|| {
        format!(
            "Of {} cells{}, {} are better and {} worse than training from scratch at the 5% level (paired t tests with Holm's correction for {} comparisons).",
            all.cells,
            if all.cells < section.rows.len() { format!(" that can be tested (of {})", section.rows.len()) } else { String::new() },
            all.better,
            all.worse,
            all.cells
        )
    })
}

fn cautions(section: &Section) -> Vec<String> {
    let (group, answer) = (&section.group, &section.answer);
    let mut lines: Vec<String> = answer.edges.iter().map(|edge| format!("Edge of the grid: {edge}.")).collect();
    let grid: Vec<f64> = answer.running.iter().map(|&i| group.lambda0[i]).collect();
    for (name, range, edge) in [("λ_S*", answer.source_range, answer.source_edge), ("λ₀*", answer.transfer_range, answer.transfer_edge)]
    {
        let Some((low, high)) = range.filter(|_| edge.is_none() && grid.len() > 1) else { continue };
        if high == grid[grid.len() - 1] && high.is_finite() {
            lines.push(format!("Edge of the grid: the interval of {name} reaches its largest λ₀ ({}) and may go beyond.", point(high)));
        }
        if low == grid[0] && low > 0.0 {
            lines.push(format!("Edge of the grid: the interval of {name} reaches its smallest λ₀ ({}) and may go beyond.", point(low)));
        }
    }
    lines.extend(answer.ties.iter().map(|tie| format!("Tie: {tie}; the smaller is taken.")));
    let out: Vec<String> = (0..group.lambda0.len())
        .filter(|i| !answer.running.contains(i) && !answer.seeds.is_empty())
        .map(|i| point(group.lambda0[i]))
        .collect();
    if !out.is_empty() {
        lines.push(format!("Out of the running, without a result for every seed: λ₀ = {}.", out.join(", ")));
    }
    if let Some((i, _)) = answer.transfer {
        if !answer.learned.source_at_transfer {
            let accuracy = group.source[i].values(&answer.seeds, "test_acc").map_or(0.0, |v| mean(&v));
            lines.push(format!(
                "At λ₀* the source model itself is not shown to be better than guessing ({:.1}% of {} test images; always the most frequent class: {:.1}%).",
                100.0 * accuracy,
                group.source_guess.images,
                100.0 * group.source_guess.accuracy
            ));
        }
    }
    match group.seeds.len() - answer.seeds.len() {
        0 => {}
        1 => lines.push(format!("Seeds: 1 of {} is left out, since it lacks results.", group.seeds.len())),
        n => lines.push(format!("Seeds: {n} of {} are left out, since they lack results.", group.seeds.len())),
    }
    lines
}

fn exponential(log: Interval) -> Interval {
    Interval { estimate: log.estimate.exp(), range: log.range.map(|(low, high)| (low.exp(), high.exp())) }
}

/// `3.16 (95% interval 1 to 10)`.
fn with_range(value: Interval) -> String {
    let range = value.range.map_or(String::new(), |(low, high)| format!(" (95% interval {} to {})", short(low), short(high)));
    format!("{}{range}", short(value.estimate))
}

/// A point of a grid: as it can be typed into a study, so that what is printed is what was used.
pub fn point(value: f64) -> String {
    if value.is_infinite() {
        "∞".into()
    } else {
        number(value)
    }
}

/// Three digits, of what was computed.
pub fn short(value: f64) -> String {
    if value.is_infinite() {
        "∞".into()
    } else {
        number(significant(value, 3))
    }
}

/// `+1.3 points (95% interval +0.4 to +2.2)`, or nats for the loss.
fn points(value: Interval, metric: Metric, way: &str, at: &str) -> String {
    if value.range == Some((0.0, 0.0)) {
        return "no difference".into();
    }
    // Of losses the word has the sign: "lower by", or "higher by".
    if metric == Metric::Loss && value.estimate < 0.0 {
        let turned = Interval { estimate: -value.estimate, range: value.range.map(|(low, high)| (-high, -low)) };
        return points(turned, metric, if way == "lower by" { "higher by" } else { "lower by" }, at);
    }
    let show = |v: f64| metric.difference(v);
    let range = value.range.map_or(String::new(), |(low, high)| format!(" (95% interval{at} {} to {})", show(low), show(high)));
    match metric {
        Metric::Accuracy => format!("{} points{range}", show(value.estimate)),
        Metric::Loss => format!("{way} {} nats{range}", show(value.estimate)),
    }
}

/// Mean test metric of a cell.
fn test(cell: &Cell, answer: &Answer) -> String {
    match cell.values(&answer.seeds, answer.metric.key(true)) {
        Some(values) if answer.metric == Metric::Accuracy => format!("{:.1}%", 100.0 * mean(&values)),
        Some(values) => format!("{:.4}", mean(&values)),
        None => "none".into(),
    }
}
