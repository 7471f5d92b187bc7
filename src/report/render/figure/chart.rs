//! A chart for papers: predictions as lines, simulations as points with error bars, and the legend
//! above the data.

use anyhow::Result;

use super::axis::Scale;
use super::canvas::{cell, dashed, line, render, text, Figure, HPos, RGBColor, Rows, Step, VPos, BLUE, FAINT, GREEN, INK, ORANGE, TEXT};
use super::fitted;

/// Colours that colour-blind readers can distinguish (Okabe & Ito).
const COLORS: [RGBColor; 8] = [
    BLUE,
    ORANGE,
    GREEN,
    RGBColor(170, 70, 130),
    RGBColor(200, 135, 0),
    RGBColor(60, 150, 210),
    RGBColor(60, 60, 60),
    RGBColor(130, 90, 50),
];
const GREY: RGBColor = RGBColor(110, 110, 110);

/// An axis with its label, which includes the unit.
#[derive(Debug, Clone, Default)]
pub struct ChartAxis {
    pub label: String,
    pub log: bool,
}

/// A point with its interval. A bar whose bound is infinite, or 0 on a logarithmic axis, ends in an
/// arrow at the frame; so is a value that is 0 or infinite. Without an interval the bounds are NaN.
#[derive(Debug, Clone, Copy)]
pub struct SeriesPoint {
    pub x: f64,
    pub y: f64,
    pub low: f64,
    pub high: f64,
    /// Whether the point is drawn hollow. The chart's note explains what that means.
    pub hollow: bool,
}

/// One series in one colour: a line, points, or both.
#[derive(Debug, Clone, Default)]
pub struct Series {
    pub label: String,
    pub line: Vec<(f64, f64)>,
    pub dashed: bool,
    pub points: Vec<SeriesPoint>,
    /// Index of the colour, if it differs from the position in the list.
    pub hue: Option<usize>,
}

impl Series {
    fn color(&self, place: usize) -> RGBColor {
        COLORS[self.hue.unwrap_or(place) % COLORS.len()]
    }
}

/// A chart with one panel.
#[derive(Debug, Clone, Default)]
pub struct Chart {
    pub title: String,
    pub note: String,
    pub x: ChartAxis,
    pub y: ChartAxis,
    pub series: Vec<Series>,
    /// The y value of a grey horizontal line, and the x value of a grey vertical line.
    pub level: Option<f64>,
    pub at: Option<f64>,
}

const WHITE: RGBColor = RGBColor(255, 255, 255);

/// Draws a mark with a white rim, so that overlapping marks can be distinguished. Series differ in
/// shape as well as in colour: circle, square, diamond, triangle.
fn mark(out: &mut Vec<Step>, at: (f64, f64), color: RGBColor, hollow: bool, shape: usize) {
    let corners: &[(f64, f64)] = match shape % 4 {
        0 => {
            out.push(Step::Dot { at, radius: 8.5, color: WHITE, hollow: false });
            out.push(Step::Dot { at, radius: 7.0, color, hollow });
            return;
        }
        1 => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
        2 => &[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)],
        _ => &[(0.0, -1.2), (1.15, 0.9), (-1.15, 0.9)],
    };
    let area = |radius: f64, color: RGBColor| Step::Area {
        points: corners.iter().map(|(dx, dy)| (at.0 + radius * dx, at.1 + radius * dy)).collect(),
        color,
        opacity: 1.0,
    };
    out.push(area(8.8, WHITE));
    out.push(area(7.0, color));
    if hollow {
        out.push(area(3.6, WHITE));
    }
}

/// An arrowhead at the edge of the frame, where an interval goes on, or where a value of 0 or ∞
/// lies.
fn arrow(out: &mut Vec<Step>, (x, y): (f64, f64), is_up: bool, color: RGBColor, half: f64) {
    let back = if is_up { 2.0 * half } else { -2.0 * half };
    out.push(Step::Area { points: vec![(x, y), (x - half, y + back), (x + half, y + back)], color, opacity: 1.0 });
}

impl Chart {
    /// The numbers that the chart shows.
    fn rows(&self) -> Rows {
        let mut rows = vec![["series", "drawn_as", "x", "y", "low", "high", "hollow"].map(str::to_string).to_vec()];
        for series in &self.series {
            let row = |kind: &str, numbers: [f64; 4], hollow: bool| {
                let numbers = numbers.map(cell).into_iter();
                let words = [series.label.clone(), kind.to_string()].into_iter();
                words.chain(numbers).chain([hollow.to_string()]).collect::<Vec<String>>()
            };
            rows.extend(series.line.iter().map(|p| row("line", [p.0, p.1, f64::NAN, f64::NAN], false)));
            rows.extend(series.points.iter().map(|p| row("point", [p.x, p.y, p.low, p.high], p.hollow)));
        }
        rows
    }

    /// Renders the chart.
    pub fn figure(&self, width: f64) -> Result<Figure> {
        let longest = self.series.iter().map(|s| s.label.chars().count()).max().unwrap_or(0);
        let (left, right) = (150.0, width - 30.0);
        // Columns of the legend: the width of a label is estimated.
        let fit = ((right - left) / (46.0 + 13.4 * longest as f64)) as usize;
        let columns = fit.clamp(1, if width > 1300.0 { 4 } else { 2 });
        let note = usize::from(!self.note.is_empty());
        let rows = self.series.iter().filter(|s| !s.label.is_empty()).count().div_ceil(columns);
        let top = 70.0 + 38.0 * (rows + note) as f64;
        let bottom = top + 560.0;
        let size = (width, bottom + 112.0);
        let xs = self.series.iter().flat_map(|s| s.line.iter().map(|p| p.0).chain(s.points.iter().map(|p| p.x)));
        // Points that cannot be shown on the x axis must not extend the y axis.
        let on = |x: &f64| !self.x.log || *x > 0.0;
        let ys = self.series.iter().flat_map(|s| {
            let line = s.line.iter().filter(|p| on(&p.0)).map(|p| p.1);
            line.chain(s.points.iter().filter(|p| on(&p.x)).flat_map(|p| [p.y, p.low, p.high]))
        });
        let x = Scale::over(xs, self.x.log, 0.03, (left, right));
        let y = Scale::over(ys.chain(self.level), self.y.log, 0.05, (bottom, top));
        let mut out = vec![fitted((left, 16.0), &self.title, right - left, INK)];
        let named = self.series.iter().enumerate().filter(|(_, s)| !s.label.is_empty());
        for (row, (i, series)) in named.enumerate() {
            let color = series.color(i);
            let at = (left + (row % columns) as f64 * ((right - left + 20.0) / columns as f64), 74.0 + 38.0 * (row / columns) as f64);
            if !series.line.is_empty() {
                stroke(&mut out, &[at, (at.0 + 36.0, at.1)], color, series.dashed);
            }
            if !series.points.is_empty() {
                mark(&mut out, (at.0 + 18.0, at.1), color, false, i);
            }
            out.push(text((at.0 + 46.0, at.1), series.label.clone(), HPos::Left, VPos::Center, color));
        }
        if note > 0 {
            out.push(Step::Text {
                at: (left, 74.0 + 38.0 * rows as f64),
                text: self.note.clone(),
                size: 0.82 * TEXT,
                color: GREY,
                h: HPos::Left,
                v: VPos::Center,
                turned: false,
            });
        }
        for (at, label) in y.ticks(7) {
            if let Some(label) = label {
                out.push(line(vec![(left, at), (right, at)], FAINT, 1.0));
                out.push(text((left - 14.0, at), label, HPos::Right, VPos::Center, INK));
                out.push(line(vec![(left - 10.0, at), (left, at)], INK, 2.0));
            } else {
                out.push(line(vec![(left - 5.0, at), (left, at)], INK, 1.0));
            }
        }
        let ticks = x.ticks(8);
        for (at, label) in &ticks {
            let length = if label.is_some() { 12.0 } else { 6.0 };
            out.push(line(vec![(*at, bottom), (*at, bottom + length)], INK, if label.is_some() { 2.0 } else { 1.0 }));
        }
        // Labels that would overlap are left out.
        let mut free = f64::NEG_INFINITY;
        for (at, label) in ticks.into_iter().filter_map(|(at, label)| Some((at, label?))) {
            let half = 0.31 * TEXT * label.chars().count() as f64;
            if at - half > free {
                out.push(text((at, bottom + 18.0), label, HPos::Center, VPos::Top, INK));
                free = at + half + 8.0;
            }
        }
        if let Some(at) = self.level.and_then(|v| y.at(v)) {
            out.extend(dashed((left, at), (right, at), GREY, 2.0));
        }
        if let Some(at) = self.at.filter(|v| x.inside(*v)).and_then(|v| x.at(v)) {
            out.extend(dashed((at, top), (at, bottom), GREY, 2.0));
        }
        for (i, series) in self.series.iter().enumerate() {
            let color = series.color(i);
            // The line is interrupted where it has no value.
            let mut run: Vec<(f64, f64)> = vec![];
            for p in &series.line {
                match (x.at(p.0), y.at(p.1)) {
                    (Some(px), Some(py)) => run.push((px, py)),
                    _ => stroke(&mut out, &std::mem::take(&mut run), color, series.dashed),
                }
            }
            stroke(&mut out, &run, color, series.dashed);
            for p in &series.points {
                let Some(px) = x.at(p.x) else { continue };
                // 0 and ∞ are not on a logarithmic axis.
                let is_off = self.y.log && (p.y == 0.0 || p.y == f64::INFINITY);
                if !is_off && !y.inside(p.y) {
                    continue;
                }
                if !p.low.is_nan() && !p.high.is_nan() {
                    out.push(line(vec![(px, y.clamped(p.low)), (px, y.clamped(p.high))], color, 3.0));
                    for (end, is_up) in [(p.low, false), (p.high, true)] {
                        let at = y.clamped(end);
                        match y.inside(end) {
                            true => out.push(line(vec![(px - 6.0, at), (px + 6.0, at)], color, 3.0)),
                            false => arrow(&mut out, (px, at), is_up, color, 7.0),
                        }
                    }
                }
                match is_off {
                    true => arrow(&mut out, (px, y.clamped(p.y)), p.y > 0.0, color, 12.0),
                    false => mark(&mut out, (px, y.clamped(p.y)), color, p.hollow, i),
                }
            }
        }
        out.push(line(vec![(left, top), (left, bottom), (right, bottom)], INK, 2.0));
        out.push(text(((left + right) / 2.0, bottom + 100.0), self.x.label.clone(), HPos::Center, VPos::Bottom, INK));
        out.push(Step::Text {
            at: (24.0, (top + bottom) / 2.0),
            text: self.y.label.clone(),
            size: TEXT,
            color: INK,
            h: HPos::Center,
            v: VPos::Center,
            turned: true,
        });
        render(size, &out, &self.rows())
    }
}

fn stroke(out: &mut Vec<Step>, points: &[(f64, f64)], color: RGBColor, broken: bool) {
    match (points.len(), broken) {
        (0 | 1, _) => {}
        (_, false) => out.push(line(points.to_vec(), color, 4.0)),
        (_, true) => points.windows(2).filter(|w| w[0] != w[1]).for_each(|w| out.extend(dashed(w[0], w[1], color, 3.0))),
    }
}
