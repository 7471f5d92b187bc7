//! A panel over λ₀: a curve with its band, a reference level, and the optima.

use super::axis::{decimals, nice_ticks};
use super::canvas::{cell, dashed, line, text, HPos, RGBColor, Rows, Step, VPos, BLUE, FAINT, GREEN, INK, ORANGE, TEXT};
use super::lambda_axis::LambdaAxis;
use super::GREY;
use crate::report::analysis::SettingAnalysis;

/// Left, right, top and bottom edges in pixels.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    pub left: f64,
    pub right: f64,
    pub top: f64,
    pub bottom: f64,
}

/// Points (λ₀, value, low, high).
pub struct PanelCurve {
    pub points: Vec<(f64, f64, f64, f64)>,
    pub color: RGBColor,
}

/// A reference value with its interval, the same for all λ₀.
pub struct Level {
    pub name: &'static str,
    pub centre: f64,
    pub low: f64,
    pub high: f64,
}

/// The column names of the data of a figure over λ₀.
pub fn panel_rows() -> Rows {
    vec![["of", "lambda0", "lambda0_low", "lambda0_high", "value", "low", "high"].map(str::to_string).to_vec()]
}

/// λ₀ and a value, each with its interval.
pub fn panel_row(of: &str, lambda0: [f64; 3], value: [f64; 3]) -> Vec<String> {
    let numbers = lambda0.into_iter().chain(value).map(cell);
    std::iter::once(of.to_string()).chain(numbers).collect()
}

/// Adds the points of a curve.
pub fn add_rows(rows: &mut Rows, of: &str, points: &[(f64, f64, f64, f64)]) {
    let none = f64::NAN;
    rows.extend(points.iter().map(|p| panel_row(of, [p.0, none, none], [p.1, p.2, p.3])));
}

/// Both optima with their intervals.
pub fn optimum_rows(analysis: &SettingAnalysis) -> Rows {
    let Some(answered) = analysis.answer.answered() else { return vec![] };
    let (setting, comparison) = (&analysis.setting, answered.comparison.as_ref());
    let row = |of: &str, at: f64, range: Option<(f64, f64)>| {
        let (low, high) = range.unwrap_or((f64::NAN, f64::NAN));
        panel_row(of, [at, low, high], [f64::NAN; 3])
    };
    vec![
        row("source optimum", answered.source_lambda0(setting), comparison.and_then(|c| c.source_range)),
        row("transfer optimum", answered.transfer_lambda0(setting), comparison.and_then(|c| c.transfer_range)),
    ]
}

/// The largest share of the height of a panel that is added to show the level of guessing.
const ROOM_FOR_GUESSING: f64 = 0.35;

/// Widths of the dashed lines at the optima. They differ, for printing without colours.
pub const SOURCE_LINE: f64 = 2.5;
pub const TRANSFER_LINE: f64 = 5.0;

/// Draws both optima as dashed lines through a panel. A bar above the panel shows the 95% interval
/// of each optimum that is selected in `bars`.
pub fn draw_optima(out: &mut Vec<Step>, axis: &LambdaAxis, frame: Frame, analysis: &SettingAnalysis, bars: (bool, bool)) {
    let Some(answered) = analysis.answer.answered() else { return };
    let comparison = answered.comparison.as_ref();
    let setting = &analysis.setting;
    let (source, transfer) = (answered.source_lambda0(setting), answered.transfer_lambda0(setting));
    let marks = [
        (ORANGE, source, comparison.and_then(|c| c.source_range), bars.0, -4.0, SOURCE_LINE),
        (BLUE, transfer, comparison.and_then(|c| c.transfer_range), bars.1, 4.0, TRANSFER_LINE),
    ];
    let is_same = source == transfer;
    for (color, at, range, bar, aside, width) in marks {
        // If both are at the same λ₀, the lines are drawn side by side.
        let x = axis.at(at) + if is_same { aside } else { 0.0 };
        out.extend(dashed((x, frame.top), (x, frame.bottom), color, width));
        if let Some((low, high)) = range.filter(|_| bar) {
            let y = frame.top - 14.0;
            let (low, high) = (axis.at(low), axis.at(high));
            out.push(line(vec![(low, y), (high, y)], color, 4.0));
            out.extend([low, high].map(|x| line(vec![(x, y - 7.0), (x, y + 7.0)], color, 3.0)));
        }
    }
}

/// Draws a curve over λ₀ into a frame, with `level` as a horizontal band, and the level of guessing
/// where it is near the curve.
pub fn panel(
    out: &mut Vec<Step>,
    axis: &LambdaAxis,
    frame: Frame,
    label: &str,
    curve: &PanelCurve,
    level: Option<&Level>,
    guess: Option<f64>,
) {
    let Frame { left, right, top, bottom } = frame;
    let all = curve.points.iter().flat_map(|p| [p.2, p.3]).chain(level.into_iter().flat_map(|l| [l.low, l.high]));
    let (low, high) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    let near = ROOM_FOR_GUESSING * (high - low);
    let guess = guess.filter(|guess| (low - near..=high + near).contains(guess));
    let (low, high) = guess.map_or((low, high), |guess| (low.min(guess), high.max(guess)));
    let room = 0.08 * (high - low).max(1e-3 * high.abs()).max(1e-9);
    let (low, high) = (low - room, high + room);
    let y = |v: f64| bottom - (v - low) / (high - low) * (bottom - top);
    let ticks = nice_ticks(low, high, 7);
    let decimals = decimals(&ticks);
    for tick in &ticks {
        out.push(line(vec![(left, y(*tick)), (right, y(*tick))], FAINT, 1.0));
        out.push(text((left - 12.0, y(*tick)), format!("{tick:.decimals$}").replace('-', "−"), HPos::Right, VPos::Center, INK));
    }
    if let Some(level) = level {
        let (low, centre, high) = (y(level.low), y(level.centre), y(level.high));
        out.push(Step::Area { points: vec![(left, low), (right, low), (right, high), (left, high)], color: GREEN, opacity: 0.14 });
        out.push(line(vec![(left, centre), (right, centre)], GREEN, 2.0));
        if !level.name.is_empty() {
            out.push(line(vec![(left, top - 44.0), (left + 34.0, top - 44.0)], GREEN, 2.0));
        }
        out.push(text((left + 42.0, top - 44.0), level.name, HPos::Left, VPos::Center, GREEN));
    }
    if let Some(guess) = guess.map(y) {
        out.extend(dashed((left, guess), (right, guess), GREY, 2.0));
        // Above the line, or below it at the upper edge.
        let v = if guess > top + TEXT { VPos::Bottom } else { VPos::Top };
        out.push(text((right, guess - 4.0), "guessing", HPos::Right, v, GREY));
    }
    // λ₀ = 0 is not on the logarithmic part of the axis, so no line leads to it.
    let logarithmic: Vec<_> = curve.points.iter().filter(|p| p.0 > 0.0).collect();
    let upper = logarithmic.iter().map(|p| (axis.at(p.0), y(p.3)));
    let lower = logarithmic.iter().rev().map(|p| (axis.at(p.0), y(p.2)));
    out.push(Step::Area { points: upper.chain(lower).collect(), color: curve.color, opacity: 0.2 });
    out.push(line(logarithmic.iter().map(|p| (axis.at(p.0), y(p.1))).collect(), curve.color, 4.0));
    for p in &curve.points {
        if p.0 == 0.0 {
            out.push(line(vec![(axis.at(0.0), y(p.2)), (axis.at(0.0), y(p.3))], curve.color, 3.0));
        }
        out.push(Step::Dot { at: (axis.at(p.0), y(p.1)), radius: 7.0, color: curve.color, hollow: p.0 == 0.0 });
    }
    out.push(line(vec![(left, top), (left, bottom)], INK, 2.0));
    axis.draw(out, (left, right, bottom));
    out.push(Step::Text {
        at: (26.0, (top + bottom) / 2.0),
        text: label.into(),
        size: TEXT,
        color: curve.color,
        h: HPos::Center,
        v: VPos::Center,
        turned: true,
    });
}
