//! A network study's page.

use maud::{html, Markup};

use super::provenance::Provenance;
use super::settings::settings;
use super::{figure, number_cell, shell, table, words_cell, Head};
use crate::config::Study;
use crate::report::answer::Verdict;
use crate::report::cells::CellRow;
use crate::report::collect::{signed, Lacking, Metric};
use crate::report::comparison::Setting;
use crate::report::compromise::{Choice, Compromise};
use crate::report::drawing::Drawing;
use crate::report::section::{Report, Section};
use crate::report::statement::{bound, details, headline, incomplete, left_out, of_section, point, short, About};
use crate::report::stats::Interval;

/// Rows of the table of stages without a result; a study that has just begun lacks thousands.
const LACKING_LIMIT: usize = 500;

const METHOD: &str = "Validation chooses, test reports. Intervals are 95%: of means and paired differences by Student's t over seeds, of optima and their ratio \
    by a bootstrap over seeds that makes the choice anew in every draw. With several seeds the gain over scratch is measured on each seed at what the others choose; \
    the cost of λ_S* and the table are at fixed cells.";

/// `drawings`: those of each section, in order; `across`: of all sections together.
pub fn network(study: &Study, report: &Report, drawings: &[Vec<Drawing>], across: &[Drawing], about: &Provenance) -> String {
    let many = report.sections.len() > 1;
    let content = html! {
        header {
            p class="name" { (study.name) }
            h1 { (headline(report)) }
            @if let Some(description) = &study.description { p { (description.trim()) } }
            (progress(report))
        }
        main {
            @if many {
                @for drawing in across { (figure(&drawing.figure.svg, &drawing.name, &drawing.caption)) }
                @if let Some(compromise) = &report.compromise { (several_targets(report, compromise)) }
                (all_settings(report))
            }
            @for (i, section) in report.sections.iter().enumerate() {
                section id=(format!("group-{}", i + 1)) {
                    @if many { h2 { (i + 1) ". " (section.group.label()) } p { (of_section(section)) } }
                    (body(section, &drawings[i], i))
                }
            }
            (without_result(&report.lacking, &about.records))
            (about.section(METHOD, ""))
        }
    };
    shell(&study.name, about.refresh, content)
}

fn progress(report: &Report) -> Markup {
    let counts = &report.counts;
    let percent = 100.0 * (counts.done + counts.diverged) as f64 / counts.total().max(1) as f64;
    html! {
        @if let Some(words) = left_out(report) { p class="caution" { (words) } }
        @match incomplete(report) {
            None => p class="soft" { "Complete: all " (counts.total()) " stages are done." },
            Some(words) => {
                @if percent < 100.0 { div class="bar" { i style=(format!("width: {percent:.1}%")) {} } }
                p class="caution" { (words) " " a href="#without-result" { "Which ones" } "." }
            }
        }
    }
}

fn body(section: &Section, drawings: &[Drawing], i: usize) -> Markup {
    let lines = details(section);
    let pick = |wanted: About| lines.iter().filter(move |(about, _)| *about == wanted).map(|(_, line)| line);
    html! {
        (cards(section))
        ul class="lines" { @for line in pick(About::Answer) { li { (line) } } }
        @for line in pick(About::Caution) { p class="caution" { (line) } }
        div class="figures" { @for d in drawings { (figure(&d.figure.svg, &d.name, &d.caption)) } }
        h3 { "Every cell" }
        (cells(section, &format!("cells-{}", i + 1)))
    }
}

fn cards(section: &Section) -> Markup {
    let (group, answer) = (&section.group, &section.answer);
    let between = |range: Option<(f64, f64)>, show: &dyn Fn(f64) -> String| {
        range.map_or("no interval".to_string(), |(low, high)| format!("95% interval {} to {}", show(low), show(high)))
    };
    let (Some(source), Some((transfer, lambda1))) = (answer.source, answer.transfer) else { return html! {} };
    let ratio = answer.log_ratio;
    // `good`: whether more is better.
    let difference = |value: Option<Interval>, name: &str, good: bool| {
        let show = |v: f64| answer.metric.difference(v);
        let Some(value) = value else { return html! {} };
        let class = match value.range {
            Some((low, high)) if low > 0.0 || high < 0.0 => {
                if (low > 0.0) == good {
                    "good"
                } else {
                    "bad"
                }
            }
            _ => "",
        };
        html! { div class=(format!("card {class}")) { (name) b { (show(value.estimate)) " " (answer.metric.unit().0) } span class="soft" { (between(value.range, &show)) } } }
    };
    let order = match answer.verdict() {
        Verdict::Stronger => "stronger transfers better",
        Verdict::Weaker => "weaker transfers better",
        Verdict::Same => "the same",
        Verdict::Collapsed => "a source that learned nothing",
        Verdict::Open => "order not settled",
    };
    html! {
        div class="cards" {
            div class="card source" { "best for the source, λ_S*" b { (point(group.lambda0[source])) } span class="soft" { (between(answer.source_range, &point)) } }
            div class="card target" { "best to transfer from, λ₀*" b { (point(group.lambda0[transfer])) }
                span class="soft" { (between(answer.transfer_range, &point)) "; with λ₁ = " (point(group.lambda1[lambda1])) } }
            div class="card" { "λ₀*/λ_S*: " (order) b { (bound(answer)) (ratio.map_or("–".into(), |r| short(r.estimate.exp()))) }
                span class="soft" { (between(ratio.and_then(|r| r.range).map(|(l, h)| (l.exp(), h.exp())), &short)) } }
            @if source != transfer { (difference(answer.mismatch_cost, "what λ_S* costs the target", false)) }
            (difference(answer.gain, "transfer over training from scratch", true))
        }
    }
}

fn cells(section: &Section, id: &str) -> Markup {
    let answer = &section.answer;
    let accuracy = answer.metric == Metric::Accuracy;
    let heads = [
        Head("", true, "optima; what is lacking"),
        Head("λ₀", false, "source penalty, or what stands for it"),
        Head("λ₁", false, "target penalty"),
        Head(if accuracy { "source test %" } else { "source test loss" }, false, "mean over seeds"),
        Head(if accuracy { "target validation %" } else { "target validation loss" }, false, "mean over seeds; this chooses"),
        Head(if accuracy { "target test %" } else { "target test loss" }, false, "mean over seeds; this is reported"),
        Head("± 95%", false, "half of the Student interval over seeds"),
        Head("over scratch", false, "target test metric above training from scratch, paired by seed; positive is better"),
        Head("± 95%", false, "half of the paired Student interval"),
        Head("p (Holm)", false, "of no difference to scratch, corrected for all cells of this table that can be tested"),
        Head("seeds", false, "with a result"),
    ];
    let row = |row: &CellRow| {
        let (_, scale, _) = answer.metric.unit();
        let digits = if accuracy { 2 } else { 4 };
        let plain = |value: Option<f64>| number_cell(&value.map_or("–".into(), |v| format!("{:.digits$}", scale * v)), value);
        let half = |value: Option<Interval>| value.and_then(|v| v.range.map(|(_, high)| high - v.estimate));
        let source = answer.source == Some(row.at.0);
        let target = answer.transfer == Some(row.at);
        let gain = row.gain.map(|gain| gain.estimate);
        html! {
            tr.chosen[target] {
                td.words.long[row.lacks.is_some()] {
                    @if source { span class="tag source" { "λ_S*" } " " }
                    @if target { span class="tag target" { "λ₀*, λ₁*" } " " }
                    (row.lacks.as_deref().unwrap_or_default())
                }
                (number_cell(&point(row.lambda0), Some(row.lambda0)))
                (number_cell(&point(row.lambda1), Some(row.lambda1)))
                (plain(row.source.map(|v| v.estimate)))
                (plain(row.validation))
                (plain(row.test.map(|v| v.estimate)))
                (plain(half(row.test)))
                (number_cell(&gain.map_or("–".into(), |v| signed(scale * v, digits)), gain))
                (plain(half(row.gain)))
                (number_cell(&row.p_holm.map_or("–".into(), p_value), row.p_holm))
                (number_cell(&row.seeds.to_string(), Some(row.seeds as f64)))
            }
        }
    };
    table(id, &heads, html! { @for r in &section.rows { (row(r)) } })
}

fn p_value(p: f64) -> String {
    match p {
        p if p < 1e-4 => "< 0.0001".into(),
        p => format!("{p:.4}"),
    }
}

/// What one λ₀ for all targets costs each of them.
fn several_targets(report: &Report, compromise: &Compromise) -> Markup {
    let heads = [
        Head("target", true, "of the study's targets"),
        Head("own λ₀*", false, "best for this target alone"),
        Head(
            "cost at the least mean regret",
            false,
            "test metric at the target's own λ₀* above that at the λ₀ of the least mean regret, with its paired 95% interval",
        ),
        Head("cost at the least worst regret", false, "the same at the λ₀ of the least worst regret"),
        Head("cost at λ_S*", false, "the same at the source's own optimum"),
    ];
    let cost = |choice: Option<&Choice>, i: usize| {
        let metric = report.sections[i].answer.metric;
        let Some(cost) = choice.map(|choice| choice.costs[i]) else { return number_cell("–", None) };
        let show = |v: f64| metric.difference(v);
        let range = cost.range.map_or(String::new(), |(low, high)| format!(" ({} to {})", show(low), show(high)));
        number_cell(&format!("{}{range} {}", show(cost.estimate), metric.unit().0), Some(cost.estimate))
    };
    let rows = html! {
        @for (i, section) in report.sections.iter().enumerate() {
            @let own = section.answer.transfer.map(|(at, _)| section.group.lambda0[at]);
            tr {
                td.words.long { a href=(format!("#group-{}", i + 1)) { (i + 1) ". " (section.group.label()) } }
                (number_cell(&own.map_or("–".into(), short), own))
                (cost(Some(&compromise.mean), i))
                (cost(Some(&compromise.worst), i))
                (cost(compromise.source.as_ref(), i))
            }
        }
    };
    html! {
        section id="several-targets" {
            h2 { "One λ₀ for all targets" }
            (table("targets", &heads, rows))
        }
    }
}

/// All groups in one table.
fn all_settings(report: &Report) -> Markup {
    let all: Vec<Setting> = report.sections.iter().map(Setting::of).collect();
    settings("settings", all.iter().enumerate().map(|(i, s)| (format!("{}. {}", i + 1, s.label), format!("#group-{}", i + 1), s)))
}

fn without_result(lacking: &[Lacking], records: &str) -> Markup {
    if lacking.is_empty() {
        return html! {};
    }
    let heads = [
        Head("state", true, "diverged, failed or missing"),
        Head("stage", true, "source, target or scratch"),
        Head("cell", true, "its axes"),
        Head("seed", false, ""),
        Head("reason", true, "what its record says"),
        Head("key", true, "in the records"),
    ];
    let rows = html! {
        @for stage in lacking.iter().take(LACKING_LIMIT) {
            tr {
                (words_cell(stage.state))
                (words_cell(stage.kind.as_str()))
                (words_cell(&stage.cell))
                (number_cell(&stage.seed.to_string(), Some(stage.seed as f64)))
                (words_cell(stage.reason.as_deref().unwrap_or(if stage.state == "missing" { "no record: not run yet, or its shard is not here" } else { "" })))
                td.words { @if stage.state == "missing" { (stage.key) } @else { a href=(records) { (stage.key) } } }
            }
        }
    };
    html! {
        section id="without-result" {
            h2 { "Stages without a result" }
            @if lacking.len() > LACKING_LIMIT { p class="soft" { "The first " (LACKING_LIMIT) " of " (lacking.len()) "." } }
            (table("lacking", &heads, rows))
        }
    }
}
