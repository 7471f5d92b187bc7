//! The answer at a glance: verdict, table, what it is worth, warnings, and the next command.

use super::screen::{Screen, Text};
use super::statement::{incomplete, left_out};
use crate::base::interval::Interval;
use crate::report::analysis::stats::mean;
use crate::report::analysis::{Answered, CellResults, Metric, NextStep, OptimaComparison, Setting, SettingAnalysis, StudyAnalysis};
use crate::report::render::history_text::reached;
use crate::report::render::setting_text::{details, About};
use crate::report::render::verdict_text::{headline, optimum_at_a_glance, ratio_range, times, VerdictLine};
use crate::report::render::words::{bound, difference, level, optimisers, point, setting_name, signed, source_start, stands_for, unit};

/// Commands that work as they are, for the last lines.
#[derive(Debug, Clone, PartialEq)]
pub struct Commands {
    /// Runs the study again, and so resumes it.
    pub again: String,
    /// Goes on until the question is settled. None if the study has no question that rounds settle.
    pub settle: Option<String>,
    /// Prints everything that is known.
    pub details: String,
    pub page: String,
    /// What is to be said of a budget that is used.
    pub budget: Option<String>,
}

/// The answer. Every line fits the screen.
pub fn glance(analysis: &StudyAnalysis, commands: &Commands, screen: Screen) -> String {
    let mut parts = vec![title(analysis, screen), verdict(analysis, screen)];
    match analysis.settings.as_slice() {
        [] => {}
        [only] => parts.extend(single(only, screen)),
        many => parts.push(all(many, screen)),
    }
    parts.push(screen.list(&notes(analysis, commands)));
    parts.push(screen.list(&[("page", Text::Prose(commands.page.clone())), ("details", Text::Command(commands.details.clone()))]));
    parts.join("\n\n") + "\n"
}

/// The study, its seeds and its metric.
fn title(analysis: &StudyAnalysis, screen: Screen) -> String {
    let seeds: Vec<usize> = analysis.settings.iter().map(|of| of.setting.seeds.len()).collect();
    let (least, most) = (seeds.iter().min().copied().unwrap_or(0), seeds.iter().max().copied().unwrap_or(0));
    let seeds = match most {
        1 => "1 seed".to_string(),
        _ if least == most => format!("{most} seeds"),
        _ => format!("{least} to {most} seeds"),
    };
    let mut facts = vec![seeds];
    facts.extend(analysis.settings.first().map(|of| format!("chosen by validation {}", of.basis.metric.name())));
    // What differs between settings is in their names.
    facts.extend(of_all(analysis, source_start));
    facts.extend(of_all(analysis, optimisers).map(|names| format!("trained by {names}")));
    let name = screen.bold(&analysis.name);
    let description = analysis.description.as_ref().map(|text| text.trim().to_string());
    // The name is printed in bold, whose codes have no width.
    let wrapped = screen.wrap(&format!("{}{}", analysis.name, description.map_or(String::new(), |text| format!(" · {text}"))), "", "  ");
    let first = wrapped.replacen(&analysis.name, &name, 1);
    format!("{first}\n{}", screen.dim(&screen.wrap(&facts.join(" · "), "  ", "  ")))
}

/// What is said of every setting alike.
fn of_all(analysis: &StudyAnalysis, say: fn(&Setting) -> Option<String>) -> Option<String> {
    let mut all = analysis.settings.iter().map(|of| say(&of.setting));
    let first = all.next()??;
    all.all(|other| other.as_ref() == Some(&first)).then_some(first)
}

fn verdict(analysis: &StudyAnalysis, screen: Screen) -> String {
    let line = screen.wrap(&headline(analysis), "  ", "  ");
    match analysis.settings.as_slice() {
        [only] => {
            let VerdictLine { badge, word, .. } = VerdictLine::of(only);
            line.replacen(word, &screen.verdict(word, badge), 1)
        }
        _ => line.lines().map(|line| screen.bold(line)).collect::<Vec<_>>().join("\n"),
    }
}

/// The optima with what they achieve on test images, and what the better choice is worth.
fn single(analysis: &SettingAnalysis, screen: Screen) -> Vec<String> {
    let Some(answered) = analysis.answer.answered() else { return vec![] };
    let comparison = answered.comparison.as_ref();
    let mut parts: Vec<String> = comparison.map(|comparison| optima(analysis, answered, comparison, screen)).into_iter().collect();
    let rows = worth(analysis, answered);
    if !rows.is_empty() {
        parts.push(screen.list(&rows));
    }
    parts
}

fn optima(analysis: &SettingAnalysis, answered: &Answered, comparison: &OptimaComparison, screen: Screen) -> String {
    let (setting, metric) = (&analysis.setting, answered.basis.metric);
    let name = setting.regularizer.stands_for().map_or("λ₀", |axis| axis.rsplit('.').next().unwrap_or(axis));
    let range = |range: Option<(f64, f64)>| {
        range.map_or("none".into(), |(low, high)| {
            format!("{} to {}", optimum_at_a_glance(comparison, low), optimum_at_a_glance(comparison, high))
        })
    };
    let test = |cell: &CellResults| match answered.basis.test_values(cell) {
        Some(values) if metric == Metric::Accuracy => format!("{:.1}%", 100.0 * mean(&values)),
        Some(values) => format!("{:.3}", mean(&values)),
        None => "none".into(),
    };
    let row = |what: &str, at: f64, interval, i: usize, j: usize| {
        vec![what.to_string(), optimum_at_a_glance(comparison, at), interval, test(&setting.source[i]), test(&setting.target[i][j])]
    };
    let (source, (i, j)) = (answered.source, answered.transfer);
    let heading = ["", name, "95% interval", &format!("source {}", metric.name()), &format!("target {}", metric.name())];
    let rows = vec![
        heading.map(str::to_string).to_vec(),
        row("best for source", comparison.source, range(comparison.source_range), source, answered.lambda1_at_source_optimum),
        row("best for target", comparison.transfer, range(comparison.transfer_range), i, j),
    ];
    let mut text = screen.table_that_fits(rows, &[2, 4, 3]);
    let lambda1 = setting.lambda1[j];
    let lambda1 = if lambda1.is_infinite() { "∞, the source's weights are kept".into() } else { point(lambda1) };
    let note = format!("{} of test {}, at the nearest trained {name}; best λ₁ = {lambda1}", metric.name(), metric.examples());
    text.push_str(&format!("\n{}", screen.dim(&screen.wrap(&note, "    ", "    "))));
    if let Some(axis) = setting.regularizer.stands_for() {
        text.push_str(&format!("\n{}", screen.wrap(&stands_for(axis, setting.regularizer.stronger), "    ", "    ")));
    }
    text
}

/// A difference without its unit.
fn size(metric: Metric, value: f64) -> String {
    match metric {
        Metric::Accuracy => difference(metric, value),
        Metric::R2 => signed(value, 3),
        Metric::Loss | Metric::SquaredError => format!("{value:.3}"),
    }
}

/// A difference in words: `0.173 nats lower (0.139 to 0.207), shown`.
fn gain(value: Interval, metric: Metric) -> String {
    if value.range == Some((0.0, 0.0)) {
        return "none, the same trained models are best".into();
    }
    let (unit, _, _) = unit(metric);
    let is_worse = value.estimate < 0.0;
    let shown = match value.range {
        Some((low, high)) if low > 0.0 || high < 0.0 => "shown",
        Some(_) | None => "not shown",
    };
    // A loss is better where it is lower; the words carry the sign.
    let (turned, way) = match metric {
        _ if metric.is_score() => (value, ""),
        _ if is_worse => (Interval { estimate: -value.estimate, range: value.range.map(|(low, high)| (-high, -low)) }, " higher"),
        _ => (value, " lower"),
    };
    let show = |v: f64| size(metric, v);
    let range = turned.range.map_or(String::new(), |(low, high)| format!(" ({} to {})", show(low), show(high)));
    let verdict = if is_worse && shown == "shown" { "shown to be worse" } else { shown };
    format!("{} {unit}{way}{range}, {verdict}", show(turned.estimate))
}

/// λ₀*/λ_S*, with what an optimum at an end of its grid makes of it.
fn ratio_text(comparison: &OptimaComparison) -> String {
    match comparison.log_ratio.estimate.exp() {
        f64::INFINITY => "∞".into(),
        ratio => format!("{}{}", bound(comparison), times(ratio)),
    }
}

fn worth(analysis: &SettingAnalysis, answered: &Answered) -> Vec<(&'static str, Text)> {
    let metric = answered.basis.metric;
    let mut rows = vec![];
    if let Some(cost) = answered.mismatch_cost.filter(|_| answered.comparison.is_some()) {
        rows.push(("worth it?", Text::Prose(format!("λ₀ for the target, not the source: {}", gain(cost, metric)))));
    }
    if let Some(over_scratch) = answered.gain {
        let label = if rows.is_empty() { "worth it?" } else { "" };
        rows.push((label, Text::Prose(format!("transfer, not from scratch: {}", gain(over_scratch, metric)))));
    }
    if let Some(other) = analysis.other_metric.comparison() {
        let ratio = ratio_text(other);
        rows.push((by(metric.other()), Text::Prose(format!("{}, ratio {ratio} ({})", other.verdict.as_str(), ratio_range(other)))));
    }
    if let Some(rho) = analysis.setting.aligned("rho") {
        let range = rho.range.map_or(String::new(), |(low, high)| format!(" ({low:.2} to {high:.2})"));
        rows.push(("alignment", Text::Prose(format!("estimated ρ = {:.2}{range}", rho.estimate))));
    }
    rows
}

fn by(metric: Metric) -> &'static str {
    match metric {
        Metric::Accuracy => "by accuracy",
        Metric::Loss => "by loss",
        Metric::R2 => "by R²",
        Metric::SquaredError => "by error",
    }
}

/// One line for each setting.
fn all(settings: &[SettingAnalysis], screen: Screen) -> String {
    if settings.iter().all(|of| of.setting.asks_gain) {
        return gains(settings, screen);
    }
    let interval = format!("{} interval", level(&settings[0].setting.rules));
    let ratio = if screen.width < 50 { "ratio" } else { "ratio of λ₀" };
    let aligned = |of: &SettingAnalysis| of.setting.aligned("rho").map(|rho| format!("{:.2}", rho.estimate));
    let has_alignment = settings.iter().all(|of| aligned(of).is_some());
    let mut rows = vec![["", "verdict", ratio, &interval, "worth to the target"].map(str::to_string).to_vec()];
    if has_alignment {
        rows[0].insert(1, "estimated ρ".into());
    }
    for of in settings {
        let mut row = vec![setting_name(&of.setting)];
        row.extend(aligned(of).filter(|_| has_alignment));
        let Some(comparison) = of.answer.comparison() else {
            row.push("none yet".into());
            row.resize(rows[0].len(), String::new());
            rows.push(row);
            continue;
        };
        let metric = of.basis.metric;
        let worth = of.answer.answered().and_then(|answered| answered.mismatch_cost).map_or(String::new(), |cost| {
            match cost.range.is_some_and(|(low, _)| low > 0.0) {
                true => format!("{} {}", size(metric, cost.estimate), unit(metric).0),
                false => "not shown".into(),
            }
        });
        let ratio = ratio_text(comparison);
        row.extend([comparison.verdict.as_str().into(), ratio, ratio_range(comparison), worth]);
        rows.push(row);
    }
    let spare: &[usize] = if has_alignment { &[4, 5, 1] } else { &[3, 4] };
    screen.table_that_fits(rows, spare)
}

/// Of a study that asks whether transfer is better than training from scratch: a line for each
/// setting.
fn gains(settings: &[SettingAnalysis], screen: Screen) -> String {
    let heading = ["", "transfer", "gain over training from scratch", "95% interval"].map(str::to_string).to_vec();
    let rows = settings.iter().map(|of| {
        let answered = of.answer.answered();
        let metric = of.basis.metric;
        let verdict = match answered.map(|answered| answered.gain_is_positive(of.setting.rules.error)) {
            None => "none yet",
            Some(None) => "undecided",
            Some(Some(true)) => "helps",
            Some(Some(false)) => "hurts",
        };
        let gain = answered.and_then(|answered| answered.gain);
        let show = |value: f64| difference(metric, value);
        let estimate = gain.map_or(String::new(), |gain| format!("{} {}", show(gain.estimate), unit(metric).0));
        let range = gain.and_then(|gain| gain.range).map_or(String::new(), |(low, high)| format!("{} to {}", show(low), show(high)));
        vec![setting_name(&of.setting), verdict.into(), estimate, range]
    });
    screen.table_that_fits(std::iter::once(heading).chain(rows).collect(), &[3])
}

/// Warnings, how the answer was reached, and the next step.
fn notes(analysis: &StudyAnalysis, commands: &Commands) -> Vec<(&'static str, Text)> {
    let mut rows: Vec<(&'static str, String)> = vec![];
    rows.extend(incomplete(&analysis.counts).map(|text| ("stages", text)));
    // Rounds leave values out on purpose.
    rows.extend(left_out(analysis).filter(|_| analysis.history.is_none()).map(|text| ("rows", text)));
    rows.extend(reached(analysis).map(|text| ("rounds", text)));
    let cautions = analysis.settings.iter().flat_map(details).filter(|(about, _)| *about == About::Caution).count();
    if cautions > 0 {
        let plural = if cautions == 1 { "caution" } else { "cautions" };
        rows.push(("cautions", format!("{cautions} {plural} in the details, such as optima at an end of a grid")));
    }
    rows.extend(commands.budget.clone().map(|text| ("budget", text)));
    let rows = rows.into_iter().map(|(label, text)| (label, Text::Prose(text)));
    rows.chain([("next", next(analysis, commands))]).collect()
}

fn next(analysis: &StudyAnalysis, commands: &Commands) -> Text {
    let words = match NextStep::of(analysis) {
        NextStep::Resume => return Text::Command(commands.again.clone()),
        NextStep::Settle => match &commands.settle {
            Some(command) => return Text::Command(command.clone()),
            None => "give lambda0 more values above 0, e.g. [0, {log: {from: 1e-4, to: 1, points: 9}}]".into(),
        },
        NextStep::Nothing => "nothing: settled".into(),
        NextStep::GivenUp(_) => "nothing that further rounds can add; the page has the details".into(),
        NextStep::Diverged => "lower the learning rates, source.lr and target.lr: training diverged".into(),
        NextStep::TrainLonger { source } => {
            let which = if source { "source" } else { "target" };
            format!("train the {which} longer or on more images: {which}.epochs, {which}.per_class")
        }
        NextStep::MoreLambda0 => "give lambda0 several values, e.g. [0, {log: {from: 1e-4, to: 1, points: 9}}]".into(),
    };
    Text::Prose(words)
}
