//! Which figures a report has, their files' names and captions.

use anyhow::Result;

use super::comparison::{Entry, Setting};
use super::figure;
use super::figure::chart::{Axis, Chart, Point, Series};
use super::section::{Report, Section};
use crate::config::{show, Stronger, Study};

/// How the figure of ratios is read.
const FOREST: &str = "Point: estimate; bar: 95% interval, with an arrow where it is open; hollow: an optimum at the end of its grid.";

/// What figures of a network study are called; with several settings a number follows.
pub const NAMES: [&str; 6] = ["figure2", "mismatch", "heatmap", "overview", "gains", "alignment"];

/// Alignments that differ by less are drawn in no figure.
const LEAST_SPREAD: f64 = 0.05;

/// A figure with its file's name and what it shows.
pub struct Drawing {
    pub name: String,
    pub caption: String,
    pub figure: figure::Figure,
}

/// The figures of one section.
pub fn of_section(study: &Study, report: &Report, i: usize) -> Result<Vec<Drawing>> {
    let section = &report.sections[i];
    let suffix = if report.sections.len() > 1 { format!("-{}", i + 1) } else { String::new() };
    let all = [
        ("figure2", figure::curves(study, section)?, "Source and target test metric against λ₀ (or what stands for it), each target with the λ₁ that validation prefers; bands: 95% intervals of the mean; dashed: the optima, chosen by validation; bars above: their 95% intervals."),
        ("mismatch", figure::mismatch(study, section)?, "What other λ₀ cost the target: test metric minus that at λ₀*, paired by seed, so that what a seed does to all λ₀ alike cancels."),
        ("heatmap", figure::heat_map(study, section)?, "Mean target test metric over λ₀ (or what stands for it) and λ₁."),
    ];
    let drawing = |(name, figure, caption): (&str, Option<figure::Figure>, &str)| {
        Some(Drawing { name: format!("{name}{suffix}"), caption: caption.into(), figure: figure? })
    };
    Ok(all.into_iter().filter_map(drawing).collect())
}

/// The figures of all sections together; none of a single one.
pub fn across(study: &Study, report: &Report) -> Result<Vec<Drawing>> {
    let all = match report.sections.len() {
        0 | 1 => [None, None, None],
        _ => [overview(study, report)?, gains(study, report)?, alignments(study, report)?],
    };
    Ok(all.into_iter().flatten().collect())
}

/// The ratio of the optima in every section.
fn overview(study: &Study, report: &Report) -> Result<Option<Drawing>> {
    let rows: Vec<figure::Row> = report
        .sections
        .iter()
        .enumerate()
        .filter_map(|(i, s)| {
            let (setting, label) = (Setting::of(s), format!("{}. {}", i + 1, s.group.short_label()));
            Some(figure::Row { label, log_ratio: setting.log_ratio?, stronger: setting.stronger, edge: setting.edge })
        })
        .collect();
    let caption = format!("The transfer-optimal over the source-optimal λ₀ in every setting of the study. {FOREST}");
    Ok(figure::forest(&study.name, &rows)?.map(|figure| Drawing { name: "overview".into(), caption, figure }))
}

/// Whether transfer helps, against the one other axis where that has numbers.
fn gains(study: &Study, report: &Report) -> Result<Option<Drawing>> {
    let at = |section: &Section| match section.group.axes.as_slice() {
        [(path, value)] => Some((path.clone(), value.as_f64()?)),
        _ => None,
    };
    let Some(axis) = at(&report.sections[0]).map(|(path, _)| path) else { return Ok(None) };
    let metric = report.sections[0].answer.metric;
    let (unit, scale, _) = metric.unit();
    let point = |section: &Section| {
        let (gain, (_, x)) = (section.answer.gain?, at(section)?);
        let (low, high) = gain.range.unwrap_or((f64::NAN, f64::NAN));
        Some(Point { x, y: scale * gain.estimate, low: scale * low, high: scale * high, hollow: false })
    };
    let mut points: Vec<Point> = report.sections.iter().filter_map(point).collect();
    if points.len() < 2 {
        return Ok(None);
    }
    points.sort_by(|a, b| a.x.total_cmp(&b.x));
    let log = points.iter().all(|p| p.x > 0.0);
    let chart = Chart {
        title: format!("{}: does transfer help?", study.name),
        x: Axis { label: axis.clone(), log },
        y: Axis { label: format!("gain over scratch ({unit} of {})", metric.name()), log: false },
        series: vec![Series { line: points.iter().map(|p| (p.x, p.y)).collect(), points, ..Series::default() }],
        level: Some(0.0),
        ..Chart::default()
    };
    let caption = format!("Target test metric of the best transfer above that of training from scratch, against {axis}; bars: 95% intervals. Above 0 transfer helps.");
    Ok(Some(Drawing { name: "gains".into(), caption, figure: chart.figure()? }))
}

/// The ratio of the optima over the theory's axis, the alignment of the tasks.
fn alignments(study: &Study, report: &Report) -> Result<Option<Drawing>> {
    let point = |section: &Section| {
        let (rho, ratio) = (section.group.aligned("rho")?, section.answer.log_ratio?);
        let (low, high) = ratio.range.unwrap_or((f64::NAN, f64::NAN));
        let hollow = section.answer.source_edge.or(section.answer.transfer_edge).is_some();
        Some(Point { x: rho.estimate, y: ratio.estimate.exp(), low: low.exp(), high: high.exp(), hollow })
    };
    // A colour for each way of training; tasks differ along the axis.
    let label = |section: &Section| {
        let ways = section.group.axes.iter().filter(|(path, _)| !path.starts_with("source.") && !path.starts_with("target."));
        ways.map(|(path, value)| format!("{path} = {}", show(value))).collect::<Vec<_>>().join(", ")
    };
    let mut series: Vec<Series> = vec![];
    for section in &report.sections {
        let Some(point) = point(section).filter(|p| p.y.is_finite() && p.y > 0.0) else { continue };
        let label = label(section);
        match series.iter_mut().find(|series| series.label == label) {
            Some(series) => series.points.push(point),
            None => series.push(Series { label, points: vec![point], ..Series::default() }),
        }
    }
    // Settings of one pair of tasks say nothing about alignment.
    let all: Vec<f64> = series.iter().flat_map(|series| series.points.iter().map(|p| p.x)).collect();
    let spread = all.iter().copied().fold(f64::NEG_INFINITY, f64::max) - all.iter().copied().fold(f64::INFINITY, f64::min);
    if all.len() < 2 || spread < LEAST_SPREAD {
        return Ok(None);
    }
    let chart = Chart {
        title: format!("{}: λ₀*/λₛ* over the alignment of the tasks", study.name),
        note: "hollow: an optimum at the end of its grid; no bar: the interval is open".into(),
        x: Axis { label: "alignment ρ of the tasks, estimated".into(), log: false },
        y: Axis { label: "λ₀*/λₛ*".into(), log: true },
        series,
        level: Some(1.0),
        ..Chart::default()
    };
    let side = if study.strength.stronger == Stronger::Larger { "above" } else { "below" };
    let caption = format!("The transfer-optimal over the source-optimal λ₀ in every setting, against the alignment of its tasks on the features of an untrained network. Linear theory: {side} 1 where 0 < ρ < 1.");
    Ok(Some(Drawing { name: "alignment".into(), caption, figure: chart.figure()? }))
}

/// The ratio of the optima in every setting of several studies.
pub fn ratios(entries: &[Entry]) -> Result<Option<Drawing>> {
    let settings = entries.iter().flat_map(|entry| entry.settings.iter().map(move |setting| (entry, setting)));
    let rows: Vec<figure::Row> = settings
        .filter_map(|(entry, s)| Some(figure::Row { label: entry.label(s), log_ratio: s.log_ratio?, stronger: s.stronger, edge: s.edge }))
        .collect();
    let caption = format!("The transfer-optimal over the source-optimal λ₀. {FOREST}");
    Ok(figure::forest("the ratio of the optima, study by study", &rows)?.map(|figure| Drawing { name: "ratios".into(), caption, figure }))
}
