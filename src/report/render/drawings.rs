//! Selects the figures of a report, with their file names and captions.

use std::collections::BTreeMap;

use anyhow::Result;

use super::figure;
use super::figure::chart::{Chart, ChartAxis, Series, SeriesPoint};
use super::figure::FigureOptions;
use super::history_text::{of, of_ratios};
use super::words::{setting_label, setting_name, unit};
use super::RenderedFile;
use crate::base::interval::Interval;
use crate::base::numbers::number;
use crate::config::{show, StrongerEnd};
use crate::report::analysis::{Calibration, SettingAnalysis, SettingSummary, StudyAnalysis, StudyEntry, Verdict};
use crate::theory::isotropic::Isotropic;

/// How to read the figure of ratios.
const FOREST: &str = "Point: estimate; bar: 95% interval, with an arrow where it is open; hollow: an optimum at the end of its grid.";

/// File names of the figures of a network study. With several settings a number is added.
pub const FIGURE_NAMES: [&str; 8] = ["figure2", "mismatch", "heatmap", "reliability", "overview", "gains", "alignment", "rounds"];

/// Largest number of questions in the figure of the rounds.
const MOST_LINES: usize = 8;

/// Smallest range of alignments for which the alignment figure is drawn.
const LEAST_SPREAD: f64 = 0.05;

/// A figure with its file name and caption.
pub struct Drawing {
    pub name: String,
    pub caption: String,
    pub figure: figure::Figure,
}

impl Drawing {
    /// The figure as SVG, PNG and, if asked for, PDF, and its numbers as CSV.
    pub fn files(&self, options: &FigureOptions) -> Result<Vec<RenderedFile>> {
        let file = |ending: &str, bytes: &[u8]| RenderedFile::new(format!("{}.{ending}", self.name), bytes);
        let mut files = vec![file("svg", self.figure.svg.as_bytes()), file("png", &self.figure.png), file("csv", &self.figure.data)];
        if let Some(inches) = options.pdf {
            files.push(file("pdf", &self.figure.pdf(inches)?));
        }
        Ok(files)
    }
}

/// All figures of a network study.
pub struct Drawings {
    /// Those of each setting, in order.
    pub of_settings: Vec<Vec<Drawing>>,
    /// Those of all settings together.
    pub across: Vec<Drawing>,
    pub rounds: Option<Drawing>,
}

impl Drawings {
    pub fn new(analysis: &StudyAnalysis, width: f64) -> Result<Drawings> {
        Drawings::of_first(analysis, usize::MAX, width)
    }

    /// Without the figures of settings after the first `most`.
    pub fn of_first(analysis: &StudyAnalysis, most: usize, width: f64) -> Result<Drawings> {
        Ok(Drawings {
            of_settings: (0..analysis.settings.len().min(most)).map(|i| of_setting(analysis, i, width)).collect::<Result<_>>()?,
            across: across_settings(analysis, width)?,
            rounds: of_rounds(analysis, width)?,
        })
    }

    pub fn files(&self, options: &FigureOptions) -> Result<Vec<RenderedFile>> {
        let all = self.across.iter().chain(self.of_settings.iter().flatten()).chain(&self.rounds);
        all.map(|drawing| drawing.files(options)).collect::<Result<Vec<_>>>().map(|files| files.concat())
    }
}

/// The figures of one setting.
fn of_setting(analysis: &StudyAnalysis, i: usize, width: f64) -> Result<Vec<Drawing>> {
    let (name, setting) = (analysis.name.as_str(), &analysis.settings[i]);
    let suffix = if analysis.settings.len() > 1 { format!("-{}", i + 1) } else { String::new() };
    let all = [
        ("figure2", figure::curves(name, setting, width)?, "Source and target test metric against λ₀ (or the setting used in its place), each target with the λ₁ that validation chooses; bands: 95% intervals of the mean; dashed: the optima, chosen by validation; bars above: their 95% intervals."),
        ("mismatch", figure::mismatch(name, setting, width)?, "What other λ₀ cost the target: test metric minus that at λ₀*, paired by seed, so that effects of a seed on all λ₀ cancel."),
        ("reliability", reliability(name, setting, width)?, "How often models are right, against how probable they say that is; on the dashed line the two agree. Points: 15 bins of confidence, over the test images of all seeds."),
        ("heatmap", figure::heat_map(name, setting, width)?, "Mean target test metric over λ₀ (or the setting used in its place) and λ₁."),
    ];
    let drawing = |(name, figure, caption): (&str, Option<figure::Figure>, &str)| {
        Some(Drawing { name: format!("{name}{suffix}"), caption: caption.into(), figure: figure? })
    };
    Ok(all.into_iter().filter_map(drawing).collect())
}

/// Figure: accuracy against confidence, where predictions are kept.
fn reliability(name: &str, setting: &SettingAnalysis, width: f64) -> Result<Option<figure::Figure>> {
    let Some(predictions) = &setting.predictions else { return Ok(None) };
    let series = |calibration: &Calibration| {
        let points: Vec<SeriesPoint> = calibration
            .bins
            .iter()
            .map(|bin| chart_point(bin.confidence, Interval { estimate: bin.accuracy, range: None }, false))
            .collect();
        Series { label: calibration.model.name().into(), line: points.iter().map(|p| (p.x, p.y)).collect(), points, ..Series::default() }
    };
    let mut all: Vec<Series> = predictions.models.iter().map(series).collect();
    all.push(Series { label: "calibrated".into(), line: vec![(0.0, 0.0), (1.0, 1.0)], dashed: true, hue: Some(6), ..Series::default() });
    let chart = Chart {
        title: format!("{name}: are the models as sure as they should be?"),
        x: ChartAxis { label: "confidence: largest probability of the model".into(), log: false },
        y: ChartAxis { label: "accuracy on test images".into(), log: false },
        series: all,
        ..Chart::default()
    };
    chart.figure(width).map(Some)
}

/// The figures that show all settings together. Empty for a single setting.
fn across_settings(analysis: &StudyAnalysis, width: f64) -> Result<Vec<Drawing>> {
    let all = match analysis.settings.len() {
        0 | 1 => [None, None, None],
        _ => [alignments(analysis, width)?, overview(analysis, width)?, gains(analysis, width)?],
    };
    Ok(all.into_iter().flatten().collect())
}

/// Figure: the ratio of the optima in every setting.
fn overview(analysis: &StudyAnalysis, width: f64) -> Result<Option<Drawing>> {
    let row = |(i, setting): (usize, &SettingAnalysis)| {
        let (summary, label) = (SettingSummary::of(setting), format!("{}. {}", i + 1, setting_name(&setting.setting)));
        let stronger = summary.stronger();
        Some(figure::Row { label, log_ratio: summary.log_ratio?, stronger, is_at_end: summary.is_at_end })
    };
    let rows: Vec<figure::Row> = analysis.settings.iter().enumerate().filter_map(row).collect();
    let caption = format!("Ratio of the transfer-optimal to the source-optimal λ₀ in every setting of the study. {FOREST}");
    Ok(figure::forest(&analysis.name, &rows, width)?.map(|figure| Drawing { name: "overview".into(), caption, figure }))
}

/// A point of a chart, with its interval if it has one.
fn chart_point(x: f64, value: Interval, is_hollow: bool) -> SeriesPoint {
    let (low, high) = value.range.unwrap_or((f64::NAN, f64::NAN));
    SeriesPoint { x, y: value.estimate, low, high, hollow: is_hollow }
}

/// Figure: whether transfer helps, against the other axis. It is drawn only for a single other axis
/// with numeric values.
fn gains(analysis: &StudyAnalysis, width: f64) -> Result<Option<Drawing>> {
    let at = |setting: &SettingAnalysis| match setting.setting.axes.as_slice() {
        [(path, value)] => Some((path.clone(), value.as_f64()?)),
        _ => None,
    };
    let Some(axis) = at(&analysis.settings[0]).map(|(path, _)| path) else { return Ok(None) };
    let metric = analysis.settings[0].basis.metric;
    let (unit, scale, _) = unit(metric);
    let point = |setting: &SettingAnalysis| {
        let (gain, (_, x)) = (setting.answer.answered()?.gain?, at(setting)?);
        Some(chart_point(x, gain.map(|v| scale * v), false))
    };
    let mut points: Vec<SeriesPoint> = analysis.settings.iter().filter_map(point).collect();
    if points.len() < 2 {
        return Ok(None);
    }
    points.sort_by(|a, b| a.x.total_cmp(&b.x));
    let log = points.iter().all(|p| p.x > 0.0);
    let chart = Chart {
        title: format!("{}: does transfer help?", analysis.name),
        x: ChartAxis { label: axis.clone(), log },
        y: ChartAxis { label: format!("gain over scratch ({unit} of {})", metric.name()), log: false },
        series: vec![Series { line: points.iter().map(|p| (p.x, p.y)).collect(), points, ..Series::default() }],
        level: Some(0.0),
        ..Chart::default()
    };
    let caption = format!("Target test metric of the best transfer above that of training from scratch, against {axis}; bars: 95% intervals. Above 0 transfer helps.");
    Ok(Some(Drawing { name: "gains".into(), caption, figure: chart.figure(width)? }))
}

/// Figure: the ratio of the optima against the alignment of the tasks, the x axis of the theory.
fn alignments(analysis: &StudyAnalysis, width: f64) -> Result<Option<Drawing>> {
    let point = |setting: &SettingAnalysis| {
        let (rho, comparison) = (setting.setting.aligned("rho")?, setting.answer.comparison()?);
        let is_at_end = comparison.source_end.or(comparison.transfer_end).is_some();
        Some(chart_point(rho.estimate, comparison.log_ratio.map(f64::exp), is_at_end))
    };
    // One colour for each way of training. The tasks differ along the x axis.
    let label = |setting: &SettingAnalysis| {
        let ways = setting.setting.axes.iter().filter(|(path, _)| !path.starts_with("source.") && !path.starts_with("target."));
        ways.map(|(path, value)| format!("{path} = {}", show(value))).collect::<Vec<_>>().join(", ")
    };
    let mut series: Vec<Series> = vec![];
    for setting in &analysis.settings {
        let Some(point) = point(setting).filter(|p| !p.y.is_nan()) else { continue };
        let label = label(setting);
        match series.iter_mut().find(|series| series.label == label) {
            Some(series) => series.points.push(point),
            None => series.push(Series { label, points: vec![point], ..Series::default() }),
        }
    }
    // Settings with the same pair of tasks show nothing about alignment.
    let all: Vec<f64> = series.iter().flat_map(|series| series.points.iter().map(|p| p.x)).collect();
    let spread = all.iter().copied().fold(f64::NEG_INFINITY, f64::max) - all.iter().copied().fold(f64::INFINITY, f64::min);
    if all.len() < 2 || spread < LEAST_SPREAD {
        return Ok(None);
    }
    // Their means differ where one of them has more seeds.
    let by_seed = |setting: &SettingAnalysis| -> BTreeMap<u64, f64> {
        let all = setting.setting.seeds.iter().zip(&setting.setting.alignment.by_seed);
        all.filter_map(|(seed, metrics)| Some((*seed, *metrics.as_ref()?.get("rho")?))).collect()
    };
    let known: Vec<BTreeMap<u64, f64>> = analysis.settings.iter().map(by_seed).filter(|known| !known.is_empty()).collect();
    let is_same = |one: &BTreeMap<u64, f64>, other: &BTreeMap<u64, f64>| {
        one.iter().all(|(seed, rho)| other.get(seed).is_none_or(|own| (own - rho).abs() < LEAST_SPREAD))
    };
    if known.iter().all(|other| is_same(&known[0], other)) {
        return Ok(None);
    }
    if analysis.regularizer.stronger == StrongerEnd::Larger {
        let low = all.iter().copied().fold(f64::INFINITY, f64::min);
        series.extend(PREDICTED.map(|(gamma, noise, hue)| predicted(gamma, noise, hue, (low, low + spread))));
    }
    let chart = Chart {
        title: format!("{}: λ₀*/λₛ* over the alignment of the tasks", analysis.name),
        note: "hollow: an optimum at the end of its grid; arrow: goes on to 0 or ∞".into(),
        x: ChartAxis { label: "alignment ρ of the tasks, estimated".into(), log: false },
        y: ChartAxis { label: "λ₀*/λₛ*".into(), log: true },
        series,
        level: Some(1.0),
        ..Chart::default()
    };
    let side = if analysis.regularizer.stronger == StrongerEnd::Larger { "above" } else { "below" };
    let caption = format!("Ratio of the transfer-optimal to the source-optimal λ₀ in every setting, against the alignment of its tasks on the features of an untrained network. Linear theory: {side} 1 where 0 < ρ < 1, by as much as the number of source images (γ = p/n₀) and their noise make it; dashed: two examples with identity covariance. A network has no γ.");
    Ok(Some(Drawing { name: "alignment".into(), caption, figure: chart.figure(width)? }))
}

/// γ = p/n₀ and σ₀²/‖w₀‖² of the two predictions in the figure of alignments, and their colours.
const PREDICTED: [(f64, f64, usize); 2] = [(2.0, 1.0, 6), (0.5, 0.2, 7)];

/// λ₀*/λ_S* of ridge regression with identity covariance, where 0 < ρ. It ends where λ₀* is 0.
fn predicted(gamma: f64, noise: f64, hue: usize, (low, high): (f64, f64)) -> Series {
    let at = |rho: f64| {
        let source = Isotropic::new(1000.0, gamma, noise).ok()?;
        let (transfer, own) = (source.optimum(rho, false).ok()?.lambda, source.optimum(1.0, false).ok()?.lambda);
        Some((rho, transfer / own)).filter(|(_, ratio)| *ratio > 0.0 && ratio.is_finite())
    };
    let points = (0..=30).map(|i| low + (high - low) * f64::from(i) / 30.0).filter(|rho| *rho > 0.0);
    let label = format!("theory, γ = {}, noise {}", number(gamma), number(noise));
    Series { label, line: points.filter_map(at).collect(), dashed: true, hue: Some(hue), ..Series::default() }
}

/// Figure: what was known of the ratio after each round, against the training that it took. None
/// without rounds, or with more questions than can be told apart.
fn of_rounds(analysis: &StudyAnalysis, width: f64) -> Result<Option<Drawing>> {
    let Some(history) = &analysis.history else { return Ok(None) };
    let (mut seconds, mut series): (f64, Vec<Series>) = (0.0, vec![]);
    for round in &history.rounds {
        seconds += round.seconds;
        for known in of_ratios(&round.known) {
            let Some(ratio) = known.log_ratio.map(|ratio| ratio.map(f64::exp)) else { continue };
            let label = format!("{}by {}", of(analysis, known.setting), known.metric.name());
            let point = chart_point(seconds / 60.0, ratio, known.verdict.is_none_or(|verdict| verdict == Verdict::Undecided));
            let at = series.iter().position(|series| series.label == label).unwrap_or_else(|| {
                series.push(Series { label, ..Series::default() });
                series.len() - 1
            });
            series[at].line.push((point.x, point.y));
            series[at].points.push(point);
        }
    }
    if series.is_empty() || series.len() > MOST_LINES {
        return Ok(None);
    }
    let ends = [0.0, seconds / 60.0];
    let margin = analysis.settings[0].setting.rules.margin;
    for at in [margin, 1.0 / margin] {
        let line = ends.map(|x| (x, at)).to_vec();
        series.push(Series { line, dashed: true, hue: Some(6), ..Series::default() });
    }
    let chart = Chart {
        title: format!("{}: how the answer was reached", analysis.name),
        note: "hollow: not settled; arrow: goes on to 0 or ∞".into(),
        x: ChartAxis { label: "training, summed over workers (min)".into(), log: false },
        y: ChartAxis { label: "λ₀*/λₛ*".into(), log: true },
        series,
        level: Some(1.0),
        ..Chart::default()
    };
    let caption = format!(
        "The ratio of the optima after each round, with the interval that gives the verdict. Dashed: a factor of {} either way, within which the optima count as the same.",
        number(margin)
    );
    Ok(Some(Drawing { name: "rounds".into(), caption, figure: chart.figure(width)? }))
}

/// Figure: the ratio of the optima in every setting of several studies.
pub fn ratios(entries: &[StudyEntry], width: f64) -> Result<Option<Drawing>> {
    let settings = entries.iter().flat_map(|entry| entry.settings.iter().map(move |setting| (entry, setting)));
    let row = |(entry, setting): (&StudyEntry, &SettingSummary)| {
        let (label, stronger) = (entry_label(entry, setting), setting.stronger());
        Some(figure::Row { label, log_ratio: setting.log_ratio?, stronger, is_at_end: setting.is_at_end })
    };
    let rows: Vec<figure::Row> = settings.filter_map(row).collect();
    let caption = format!("Ratio of the transfer-optimal to the source-optimal λ₀. {FOREST}");
    Ok(figure::forest("the ratio of the optima, study by study", &rows, width)?.map(|figure| Drawing {
        name: "ratios".into(),
        caption,
        figure,
    }))
}

/// `mnist` or `mnist: width=64`.
pub fn entry_label(entry: &StudyEntry, setting: &SettingSummary) -> String {
    match setting_label(setting) {
        label if label.is_empty() => entry.name.clone(),
        label => format!("{}: {label}", entry.name),
    }
}
