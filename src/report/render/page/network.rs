//! A network study's page.

use maud::{html, Markup};

use super::provenance::Provenance;
use super::settings::settings;
use super::{figure, number_cell, shell, table, words_cell, Heading};
use crate::base::interval::Interval;
use crate::report::analysis::{
    Answer, Calibration, CellRow, IncompleteStage, Metric, NextStep, PredictionAnalysis, SettingAnalysis, SettingSummary, SharedChoice,
    SharedLambda0, StageState, StudyAnalysis, Training, Verdict,
};
use crate::report::render::answer_text::answer_sentence;
use crate::report::render::drawings::{Drawing, Drawings};
use crate::report::render::history_text::{known, of, reached, time};
use crate::report::render::setting_text::{details, About};
use crate::report::render::terminal::{incomplete, left_out};
use crate::report::render::verdict_text::{counts, ratio_range, VerdictLine};
use crate::report::render::words::{bound, difference, lacking, level, optimum, point, setting_label, setting_name, short, signed, unit};

/// Largest number of rows in the table of stages without a result. A study that has just started
/// can have thousands of such stages.
const LACKING_LIMIT: usize = 500;

const METHOD: &str = "Choices are made on validation data; results are reported on test data. All intervals are 95% intervals, except that of the ratio after rounds (98%). Those of means and paired differences use Student's t over seeds. \
    Those of optima and their ratio use a bootstrap over seeds that finds both anew in every draw, as the maxima of smooth curves over ln λ₀ where there are six λ₀ > 0 or more. With several seeds, \
    the gain over scratch and the cost of λ_S* are measured on each seed with the choice of the other seeds. The table is for fixed cells.";

/// The page. `files` are the names of the files beside the page. It begins with what most readers
/// came for; the rest is folded.
pub fn network(analysis: &StudyAnalysis, drawings: &Drawings, provenance: &Provenance, files: &[String]) -> String {
    let content = html! {
        header {
            p class="name" { (analysis.name) }
            (verdict(analysis))
            @if let Some(description) = &analysis.description { p { (description.trim()) } }
            (progress(analysis))
        }
        main {
            @match analysis.settings.as_slice() {
                [only] => section id="group-1" { (body(only, &drawings.of_settings[0], 0)) },
                many => {
                    @for d in drawings.across.iter().take(1) { (figure(&d.figure.svg, &d.name, &d.caption)) }
                    (all_settings(analysis))
                    div class="figures" { @for d in drawings.across.iter().skip(1) { (figure(&d.figure.svg, &d.name, &d.caption)) } }
                    @if let Some(shared) = &analysis.shared_lambda0 { (several_targets(analysis, shared)) }
                    @for (i, setting) in many.iter().enumerate() {
                        section id=(format!("group-{}", i + 1)) {
                            h2 { (i + 1) ". " (setting_name(&setting.setting)) }
                            p class="line" { (line(&VerdictLine::of(setting))) }
                            (body(setting, &drawings.of_settings[i], i))
                        }
                    }
                }
            }
            p class="next" { b { "Next: " } (next(analysis)) }
            (rounds(analysis, drawings.rounds.as_ref()))
            (without_result(&analysis.incomplete))
            (provenance.section(files, &trained(&analysis.training), METHOD, ""))
        }
    };
    shell(&analysis.name, provenance.refresh, content)
}

/// The verdict's word as a badge, and its sentence.
fn line(line: &VerdictLine) -> Markup {
    html! { span class=(format!("badge {}", line.badge.class())) { (line.word) } " " (line.sentence) }
}

fn verdict(analysis: &StudyAnalysis) -> Markup {
    html! {
        @if analysis.made_up { p class="caution" { "Made-up results of the mock engine." } }
        h1 {
            @match analysis.settings.as_slice() {
                [only] => (line(&VerdictLine::of(only))),
                _ => (counts(analysis)),
            }
        }
    }
}

/// What to do next, without the command, which is at the end of the page.
fn next(analysis: &StudyAnalysis) -> String {
    match NextStep::of(analysis) {
        NextStep::Nothing => "nothing, it is settled.".into(),
        NextStep::Resume => "run the same command again. Some stages have no result.".into(),
        NextStep::Settle => "the same command with --until settled goes on until the question is settled.".into(),
        NextStep::GivenUp(_) => "further rounds would not settle it, see how this answer was reached.".into(),
        NextStep::TrainLonger { source: true } => "train the source longer, or on more images.".into(),
        NextStep::TrainLonger { source: false } => "train the target longer, or on more images.".into(),
        NextStep::Diverged => "lower the learning rates, training diverged.".into(),
        NextStep::MoreLambda0 => "give lambda0 several values.".into(),
    }
}

/// How the answer was reached, round by round.
fn rounds(analysis: &StudyAnalysis, drawing: Option<&Drawing>) -> Markup {
    let Some(history) = &analysis.history else { return html! {} };
    let headings = [
        Heading("round", false, "counted from 1"),
        Heading("what it added", true, "and why"),
        Heading("stages", false, "that it added"),
        Heading("training", false, "of these stages, summed over workers"),
        Heading("λ₀*/λ_S* after it", true, "with the interval that gives the verdict"),
    ];
    let lines = |lines: Vec<String>| html! { @for line in lines { (line) br; } };
    html! {
        section id="rounds" {
            @if let Some(words) = reached(analysis) { p { (words) } }
            details {
            summary { "How this answer was reached" }
            @if let Some(d) = drawing { div class="figures" { (figure(&d.figure.svg, &d.name, &d.caption)) } }
            (table("rounds-table", &headings, html! {
                @for (i, round) in history.rounds.iter().enumerate() {
                    tr {
                        (number_cell(&(i + 1).to_string(), Some((i + 1) as f64)))
                        td.words.long { (lines(round.what.iter().map(|(setting, what)| format!("{}{what}", of(analysis, *setting))).collect())) }
                        (number_cell(&round.stages.to_string(), Some(round.stages as f64)))
                        (number_cell(&time(round.seconds), Some(round.seconds)))
                        td.words.long { (lines(round.known.iter().map(|k| format!("{}{}", of(analysis, k.setting), known(k))).collect())) }
                    }
                }
            }))
            }
        }
    }
}

/// Training time of the plan's stages, and the devices that trained them.
fn trained(training: &Training) -> String {
    let devices: Vec<String> = training.devices.iter().map(|(device, host)| format!("{device} on {host}")).collect();
    let on = if devices.is_empty() { String::new() } else { format!(": {}", devices.join(", ")) };
    format!("{} of training{on}.", time(training.seconds))
}

fn progress(analysis: &StudyAnalysis) -> Markup {
    let counts = &analysis.counts;
    let percent = 100.0 * (counts.done + counts.diverged) as f64 / counts.total().max(1) as f64;
    html! {
        @if let Some(words) = left_out(analysis) { p class=(if analysis.history.is_some() { "soft" } else { "caution" }) { (words) } }
        @match incomplete(&analysis.counts) {
            None => p class="soft" { "Complete: all " (counts.total()) " stages are done." },
            Some(words) => {
                @if percent < 100.0 { div class="bar" { i style=(format!("width: {percent:.1}%")) {} } }
                p class="caution" { (words) " " a href="#without-result" { "Which ones" } "." }
            }
        }
    }
}

fn body(analysis: &SettingAnalysis, drawings: &[Drawing], i: usize) -> Markup {
    let lines = details(analysis);
    let pick = |wanted: About| lines.iter().filter(move |(about, _)| *about == wanted).map(|(_, line)| line);
    let cautions = pick(About::Caution).count();
    let (first, others) = drawings.split_at(drawings.len().min(1));
    html! {
        @for d in first { (figure(&d.figure.svg, &d.name, &d.caption)) }
        (cards(analysis))
        @if cautions > 0 {
            details class="caution" {
                summary { @if cautions == 1 { "1 caution" } @else { (cautions) " cautions" } }
                ul { @for line in pick(About::Caution) { li { (line) } } }
            }
        }
        details {
            summary { "How sure, and by what numbers" }
            p { (answer_sentence(analysis)) }
            ul class="lines" { @for line in pick(About::Answer) { li { (line) } } }
        }
        @for d in others {
            details { summary { (folded_title(d)) } (figure(&d.figure.svg, &d.name, &d.caption)) }
        }
        @if let Some(predictions) = &analysis.predictions {
            details {
                summary { "Which classes are confused" }
                (confusions(predictions, i))
            }
        }
        details {
            summary { "Every cell" }
            (cells(analysis, &format!("cells-{}", i + 1)))
        }
    }
}

fn folded_title(drawing: &Drawing) -> &'static str {
    match drawing.name.split('-').next() {
        Some("heatmap") => "Every pair of λ₀ and λ₁",
        Some("reliability") => "Are the models as sure as they should be?",
        _ => "What other λ₀ cost the target",
    }
}

/// Larger tables of classes are left to summary.json.
const MOST_CLASSES: usize = 20;

/// A table for each model: right classes as rows, predicted classes as columns.
fn confusions(predictions: &PredictionAnalysis, i: usize) -> Markup {
    html! { @for of in &predictions.models { (confusion(of, &format!("confusion-{}-{}", i + 1, of.model as usize))) } }
}

fn confusion(of: &Calibration, id: &str) -> Markup {
    if of.classes.len() > MOST_CLASSES {
        return html! { h3 { (of.model.name()) } p { (of.classes.len()) " classes: see `confusion` in summary.json." } };
    }
    let first = Heading("right class", true, "of the test images of all seeds");
    let headings: Vec<Heading> = std::iter::once(first)
        .chain(of.classes.iter().map(|class| Heading(class, false, "images that the model takes for this class")))
        .collect();
    html! {
        h3 { (of.model.name()) }
        (table(id, &headings, html! {
            @for (class, row) in of.classes.iter().zip(&of.confusion) {
                tr {
                    (words_cell(class))
                    @for n in row { (number_cell(&n.to_string(), Some(*n as f64))) }
                }
            }
        }))
    }
}

/// The ratio, the cost of the source's choice, and the gain over training from scratch.
fn cards(analysis: &SettingAnalysis) -> Markup {
    let Answer::Answered(answered) = &analysis.answer else { return html! {} };
    let Some(comparison) = &answered.comparison else { return html! {} };
    let (setting, metric) = (&analysis.setting, analysis.basis.metric);
    let with_range = |value: f64, range: Option<(f64, f64)>| {
        let range = range.map_or(String::new(), |(low, high)| format!(" ({} to {})", optimum(answered, low), optimum(answered, high)));
        format!("{}{range}", optimum(answered, value))
    };
    let is_settled = comparison.verdict != Verdict::Undecided;
    let difference_card = |value: Option<Interval>, name: &str, missing: &str| {
        let show = |v: f64| difference(metric, v);
        let Some(value) = value else { return html! { div class="card" { (name) b { "–" } span class="soft" { (missing) } } } };
        let (class, shown) = match value.range {
            Some((low, _)) if low > 0.0 => ("good", "shown"),
            Some((_, high)) if high < 0.0 => ("bad", "shown to be worse"),
            Some((low, high)) if low == 0.0 && high == 0.0 => ("", "no difference"),
            _ => ("", "not shown"),
        };
        let range = value.range.map_or("no interval".to_string(), |(low, high)| format!("95% interval {} to {}", show(low), show(high)));
        html! {
            div class=(format!("card {class}")) {
                (name)
                b { (show(value.estimate)) " " (unit(metric).0) }
                span class="soft" { (range) }
                span class="tag" { (shown) }
            }
        }
    };
    let ratio = comparison.log_ratio.map(f64::exp);
    html! {
        div class="cards" {
            div class=(if is_settled { "card target" } else { "card" }) {
                "λ₀ for the target, times that for the source"
                b { (bound(comparison)) (short(ratio.estimate)) }
                span class="soft" { (level(&setting.rules)) " interval " (ratio_range(comparison)) }
                span class="tag" { (if is_settled { "settled" } else { "not settled" }) }
            }
            (difference_card(answered.mismatch_cost, "gained by the target's own λ₀", "no result"))
            (difference_card(answered.gain, "transfer over training from scratch", "not measured"))
        }
        p class="soft" {
            "Best for the source, λ_S*: " (with_range(comparison.source, comparison.source_range))
            ". Best to transfer from, λ₀*: " (with_range(comparison.transfer, comparison.transfer_range))
            ", with λ₁ = " (point(setting.lambda1[answered.transfer.1])) ". Chosen by validation " (metric.name()) ", measured on test " (metric.examples()) "."
        }
        @if let Some(other) = analysis.other_metric.comparison() {
            p {
                "By validation " (metric.other().name()) ": " b { (other.verdict.as_str()) }
                ", ratio " (bound(other)) (short(other.log_ratio.estimate.exp())) " (" (ratio_range(other)) ")."
                @if other.verdict != comparison.verdict {
                    @match metric {
                        Metric::Accuracy | Metric::Loss => " The two may differ: the loss depends on how confident a model is, the accuracy does not.",
                        Metric::R2 | Metric::SquaredError => " The two weight the seeds differently: R² is relative to the variance of a seed's responses.",
                    }
                }
            }
        }
    }
}

fn cells(analysis: &SettingAnalysis, id: &str) -> Markup {
    let (metric, answered) = (analysis.basis.metric, analysis.answer.answered());
    let accuracy = metric == Metric::Accuracy;
    let [of_source, of_validation, of_test] = match metric {
        Metric::Accuracy => ["source test %", "target validation %", "target test %"],
        Metric::Loss => ["source test loss", "target validation loss", "target test loss"],
        Metric::R2 => ["source test R²", "target validation R²", "target test R²"],
        Metric::SquaredError => ["source test error", "target validation error", "target test error"],
    };
    let headings = [
        Heading("", true, "optima; missing results"),
        Heading("λ₀", false, "source penalty, or the setting used in its place"),
        Heading("λ₁", false, "target penalty"),
        Heading(of_source, false, "mean over seeds"),
        Heading(of_validation, false, "mean over seeds; used to choose the optima"),
        Heading(of_test, false, "mean over seeds; this is reported"),
        Heading("± 95%", false, "half of the Student interval over seeds"),
        Heading("over scratch", false, "target test metric above training from scratch, paired by seed; positive is better"),
        Heading("± 95%", false, "half of the paired Student interval"),
        Heading("p (Holm)", false, "p-value for no difference from scratch, corrected for all cells of this table that can be tested"),
        Heading("seeds", false, "with a result"),
    ];
    let row = |row: &CellRow| {
        let (_, scale, _) = unit(metric);
        let digits = if accuracy { 2 } else { 4 };
        let plain = |value: Option<f64>| number_cell(&value.map_or("–".into(), |v| format!("{:.digits$}", scale * v)), value);
        let half = |value: Option<Interval>| value.and_then(|v| v.range.map(|(_, high)| high - v.estimate));
        let source = answered.is_some_and(|a| a.source == row.at.0);
        let target = answered.is_some_and(|a| a.transfer == row.at);
        let lacks = lacking(row);
        let gain = row.gain.map(|gain| gain.estimate);
        html! {
            tr.chosen[target] {
                td.words.long[lacks.is_some()] {
                    @if source { span class="tag source" { "λ_S*" } " " }
                    @if target { span class="tag target" { "λ₀*, λ₁*" } " " }
                    (lacks.as_deref().unwrap_or_default())
                }
                (number_cell(&point(row.lambda0), Some(row.lambda0)))
                (number_cell(&point(row.lambda1), Some(row.lambda1)))
                (plain(row.source.map(|v| v.estimate)))
                (plain(row.validation))
                (plain(row.test.map(|v| v.estimate)))
                (plain(half(row.test)))
                (number_cell(&gain.map_or("–".into(), |v| signed(scale * v, digits)), gain))
                (plain(half(row.gain)))
                (number_cell(&row.p_holm.map_or("–".into(), p_text), row.p_holm))
                (number_cell(&row.seeds.to_string(), Some(row.seeds as f64)))
            }
        }
    };
    table(id, &headings, html! { @for r in &analysis.rows { (row(r)) } })
}

fn p_text(p: f64) -> String {
    match p {
        p if p < 1e-4 => "< 0.0001".into(),
        p => format!("{p:.4}"),
    }
}

/// The cost of one shared λ₀ for each target.
fn several_targets(analysis: &StudyAnalysis, shared: &SharedLambda0) -> Markup {
    let headings = [
        Heading("target", true, "of the study's targets"),
        Heading("own λ₀*", false, "best for this target alone"),
        Heading(
            "cost at the least mean regret",
            false,
            "test metric at the target's own λ₀* above that at the λ₀ of the least mean regret, with its paired 95% interval",
        ),
        Heading("cost at the least worst regret", false, "the same at the λ₀ of the least worst regret"),
        Heading("cost at λ_S*", false, "the same at the source's own optimum"),
    ];
    let cost = |choice: Option<&SharedChoice>, i: usize| {
        let metric = analysis.settings[i].basis.metric;
        let Some(cost) = choice.map(|choice| choice.costs[i]) else { return number_cell("–", None) };
        let show = |v: f64| difference(metric, v);
        let range = cost.range.map_or(String::new(), |(low, high)| format!(" ({} to {})", show(low), show(high)));
        number_cell(&format!("{}{range} {}", show(cost.estimate), unit(metric).0), Some(cost.estimate))
    };
    let rows = html! {
        @for (i, setting) in analysis.settings.iter().enumerate() {
            @let own = setting.answer.answered().map(|a| a.transfer_lambda0(&setting.setting));
            tr {
                td.words.long { a href=(format!("#group-{}", i + 1)) { (i + 1) ". " (setting_name(&setting.setting)) } }
                (number_cell(&own.map_or("–".into(), short), own))
                (cost(Some(&shared.mean_regret), i))
                (cost(Some(&shared.worst_regret), i))
                (cost(shared.source_optimum.as_ref(), i))
            }
        }
    };
    html! {
        section id="several-targets" {
            h2 { "One λ₀ for all targets" }
            (table("targets", &headings, rows))
        }
    }
}

/// All settings in one table.
fn all_settings(analysis: &StudyAnalysis) -> Markup {
    let all: Vec<SettingSummary> = analysis.settings.iter().map(SettingSummary::of).collect();
    settings("settings", all.iter().enumerate().map(|(i, s)| (format!("{}. {}", i + 1, setting_label(s)), format!("#group-{}", i + 1), s)))
}

fn without_result(incomplete: &[IncompleteStage]) -> Markup {
    if incomplete.is_empty() {
        return html! {};
    }
    let headings = [
        Heading("state", true, "diverged, failed or missing"),
        Heading("stage", true, "source, target or scratch"),
        Heading("cell", true, "its axes"),
        Heading("seed", false, ""),
        Heading("reason", true, "what its record says"),
        Heading("key", true, "in the records"),
    ];
    let rows = html! {
        @for stage in incomplete.iter().take(LACKING_LIMIT) {
            tr {
                (words_cell(stage.state.as_str()))
                (words_cell(stage.kind.as_str()))
                (words_cell(&stage.cell))
                (number_cell(&stage.seed.to_string(), Some(stage.seed as f64)))
                (words_cell(stage.error.as_deref().unwrap_or(if stage.state == StageState::Missing { "no record: not run yet, or the records of its shard are not here" } else { "" })))
                td.words { (stage.key) }
            }
        }
    };
    html! {
        details id="without-result" open {
            summary { "Stages without a result" }
            @if incomplete.len() > LACKING_LIMIT { p class="soft" { "The first " (LACKING_LIMIT) " of " (incomplete.len()) "." } }
            (table("lacking", &headings, rows))
        }
    }
}
