//! The figures of a ridge study.

use anyhow::Result;

use super::claims::risk_label;
use super::words::{in_brackets, label, short, symbol};
use crate::base::numbers::number;
use crate::report::analysis::ridge::{ChartData, ChartKind, Point, RidgeAnalysis, SeriesData, SeriesLabel};
use crate::report::render::drawings::Drawing;
use crate::report::render::figure::chart::{Chart, ChartAxis, Series, SeriesPoint};

/// File names of the figures of ridge studies. With several figures a number is added.
pub const FIGURE_NAMES: [&str; 8] = ["ratio", "crossing", "gain", "threshold", "scaling", "cost", "targets", "risks"];

/// The texts of a chart.
struct ChartText {
    name: String,
    caption: String,
    title: String,
    note: &'static str,
    x: ChartAxis,
    y: ChartAxis,
    level: Option<f64>,
    at: Option<f64>,
}

pub fn drawings(analysis: &RidgeAnalysis, width: f64) -> Result<Vec<Drawing>> {
    let drawing = |data: &ChartData| -> Result<Drawing> {
        let text = chart_text(&analysis.name, &data.kind);
        let chart = Chart {
            title: text.title,
            note: text.note.into(),
            x: text.x,
            y: text.y,
            series: series(&data.series),
            level: text.level,
            at: text.at,
        };
        Ok(Drawing { name: text.name, caption: text.caption, figure: chart.figure(width)? })
    };
    analysis.charts.iter().map(drawing).collect()
}

fn log(label: impl Into<String>) -> ChartAxis {
    ChartAxis { label: label.into(), log: true }
}

fn linear(label: impl Into<String>) -> ChartAxis {
    ChartAxis { label: label.into(), log: false }
}

fn chart_text(study: &str, kind: &ChartKind) -> ChartText {
    const POINTS: &str = "lines: theory; points: Monte Carlo with 95% intervals";
    const GAIN: &str = "lines: theory; points: Monte Carlo with 95% intervals; above 0 transfer helps";
    let numbered = |name: &str, index: usize| if index == 0 { name.into() } else { format!("{name}-{}", index + 1) };
    let title_or_study = |title: String| if title.is_empty() { study.to_string() } else { title };
    let noise = || log("source noise σ₀²/‖w₀‖²");
    match kind {
        ChartKind::Ratio { facet, index } => ChartText {
            name: numbered("ratio", *index),
            caption: format!("λ₀*/λ_S* against the alignment ρ{}: predicted (lines) and simulated (points).", in_brackets(&label(facet))),
            title: title_or_study(label(facet)),
            note: "lines: theory; points: Monte Carlo with 95% intervals; λ₀* = 0 is not shown",
            x: linear("alignment ρ"),
            y: log("λ₀* / λ_S*"),
            level: Some(1.0),
            at: Some(1.0),
        },
        ChartKind::Crossing => ChartText {
            name: "crossing".into(),
            caption: "The alignment at which λ₀* = λ_S*, against overparameterisation, for each covariance structure.".into(),
            title: "where stronger turns into weaker".into(),
            note: POINTS,
            x: log("γ = p/n₀"),
            y: linear("alignment ρ at which λ₀* = λ_S*"),
            level: Some(1.0),
            at: None,
        },
        ChartKind::GainOverNoise => ChartText {
            name: "gain".into(),
            caption: "What transfer gains over training from scratch, against the source's noise.".into(),
            title: study.into(),
            note: GAIN,
            x: noise(),
            y: linear("(R_S − R_TL) / R_S"),
            level: Some(0.0),
            at: None,
        },
        ChartKind::GainOverTargetSize => ChartText {
            name: "gain".into(),
            caption: "What transfer gains over training from scratch, against the target's number of samples.".into(),
            title: study.into(),
            note: GAIN,
            x: log(format!("target samples {}", symbol("n1"))),
            y: linear("(R_S − R_TL) / R_S"),
            level: Some(0.0),
            at: None,
        },
        ChartKind::Threshold { rho } => ChartText {
            name: "threshold".into(),
            caption: "The alignment from which on transfer helps: above the lines it helps, below it hurts.".into(),
            title: "transfer helps above the line".into(),
            note: "theory, at the study's smallest λ₀ and λ₁",
            x: noise(),
            y: log("smallest ρ at which transfer helps"),
            level: *rho,
            at: None,
        },
        ChartKind::Scaling => ChartText {
            name: "scaling".into(),
            caption: "Relative distance between simulation and its deterministic equivalent, and the relative spread of a single draw, \
                      against p."
                .into(),
            title: study.into(),
            note: "95% intervals; hollow: compatible with 0",
            x: log("dimension p (n₀ and n₁ in proportion)"),
            y: log("relative to the predicted risk"),
            level: None,
            at: None,
        },
        ChartKind::Cost => ChartText {
            name: "cost".into(),
            caption: "What the source-optimal penalty costs the target: R_TL(λ_S*)/R_TL(λ₀*) − 1. Hollow: negative transfer at λ_S*."
                .into(),
            title: study.into(),
            note: "lines: theory; points: Monte Carlo, 95% intervals; hollow: negative transfer",
            x: linear("alignment ρ"),
            y: linear("cost of λ_S* for the target (% of R_TL)"),
            level: Some(0.0),
            at: Some(1.0),
        },
        ChartKind::Targets { case, index, compromise } => ChartText {
            name: numbered("targets", *index),
            caption: format!(
                "Each target's risk against the one λ₀ that all targets share{}; the requested compromise is marked.",
                in_brackets(case)
            ),
            title: title_or_study(case.clone()),
            note: "lines: theory; points: Monte Carlo with 95% intervals; vertical: the compromise",
            x: log("source penalty λ₀"),
            y: linear("transfer risk R_TL"),
            level: None,
            at: *compromise,
        },
        ChartKind::Risks { case, index, several } => ChartText {
            name: if *several { format!("risks-{}", index + 1) } else { "risks".into() },
            caption: format!("Risks against the source penalty{}.", in_brackets(case)),
            title: title_or_study(case.clone()),
            note: "lines: theory; points: Monte Carlo with 95% intervals; λ₀ = 0 is not shown",
            x: log("source penalty λ₀"),
            y: linear("risk"),
            level: None,
            at: None,
        },
    }
}

fn series(all: &[SeriesData]) -> Vec<Series> {
    let point = |point: &Point| {
        let bound = |v: Option<f64>| v.unwrap_or(f64::NAN);
        SeriesPoint {
            x: point.x,
            y: point.value.estimate,
            low: bound(point.value.low()),
            high: bound(point.value.high()),
            hollow: point.is_marked,
        }
    };
    let one = |(i, series): (usize, &SeriesData)| Series {
        label: series_label(&series.label),
        line: series.line.clone(),
        dashed: series.label == SeriesLabel::WeightedMean,
        // The error and the spread of one risk have the same colour.
        hue: matches!(series.label, SeriesLabel::ErrorOfMean(..) | SeriesLabel::SpreadOfDraw(..)).then_some(i / 2),
        points: series.points.iter().map(point).collect(),
    };
    all.iter().enumerate().map(one).collect()
}

fn series_label(of: &SeriesLabel) -> String {
    match of {
        SeriesLabel::Axes(axes) => label(axes),
        SeriesLabel::SourceRisk => "source risk".into(),
        SeriesLabel::TransferRisk { target, lambda1 } => {
            let name = target.as_ref().map_or(String::new(), |name| format!(" of {name}"));
            let lambda1 = if lambda1.is_finite() { number(*lambda1) } else { "∞".into() };
            format!("R_TL{name}, λ₁ = {lambda1}")
        }
        SeriesLabel::ErrorOfMean(risk, axes) => format!("{}: error of the mean", risk_label(*risk, axes)),
        SeriesLabel::SpreadOfDraw(risk, axes) => format!("{}: spread of a draw", risk_label(*risk, axes)),
        SeriesLabel::Target { name, rho } => format!("{name} (ρ = {})", short(*rho)),
        SeriesLabel::WeightedMean => "weighted mean".into(),
    }
}
