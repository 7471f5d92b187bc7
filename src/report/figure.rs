//! The figures: the paper's Figure 2 for this study, and the (λ₀, λ₁) heat map; as SVG and PNG from one drawing.

use std::sync::Once;

use anyhow::{anyhow, Result};
use plotters::backend::{BitMapBackend, SVGBackend};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{register_font, FontStyle};

use super::answer::Answer;
use super::collect::{Cell, Group, Metric};
use super::stats::{interval, mean, mean_of};
use crate::config::{number, Study};

type Area<'a, DB> = DrawingArea<DB, Shift>;

// Okabe and Ito's colours, told apart by colour-blind readers.
const BLUE: RGBColor = RGBColor(0, 114, 178);
const ORANGE: RGBColor = RGBColor(213, 94, 0);
const GREEN: RGBColor = RGBColor(0, 120, 90);
const INK: RGBColor = RGBColor(34, 34, 34);
const FAINT: RGBColor = RGBColor(225, 225, 225);

/// Pixels of text; a figure of 1000 pixels in a column of 3.3 inches makes this 8 points.
const TEXT: f64 = 27.0;

/// Draws into SVG and PNG.
fn both(size: (u32, u32), draw: impl Fn(&mut dyn FnMut(Step)) -> Result<()>) -> Result<(String, Vec<u8>)> {
    let mut steps = vec![];
    draw(&mut |step| steps.push(step))?;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        render(&area, &steps)?;
    }
    let pixels = rgb(size, &steps)?;
    let mut png = vec![];
    let image = image_png(&pixels, size);
    png.extend(image?);
    Ok((svg, png))
}

fn rgb(size: (u32, u32), steps: &[Step]) -> Result<Vec<u8>> {
    // The bitmap backend has no anti-aliasing for lines: draw at double size and average.
    let mut large = vec![0u8; (size.0 * size.1 * 4 * 3) as usize];
    {
        let area = BitMapBackend::with_buffer(&mut large, (size.0 * 2, size.1 * 2)).into_drawing_area();
        let doubled: Vec<Step> = steps.iter().map(Step::doubled).collect();
        render(&area, &doubled)?;
    }
    let (w, h) = (size.0 as usize, size.1 as usize);
    let mut out = vec![0u8; w * h * 3];
    for y in 0..h {
        for x in 0..w {
            for c in 0..3 {
                let at = |dy: usize, dx: usize| u32::from(large[((2 * y + dy) * 2 * w + 2 * x + dx) * 3 + c]);
                out[(y * w + x) * 3 + c] = ((at(0, 0) + at(0, 1) + at(1, 0) + at(1, 1) + 2) / 4) as u8;
            }
        }
    }
    Ok(out)
}

/// A PNG file of RGB pixels.
fn image_png(pixels: &[u8], size: (u32, u32)) -> Result<Vec<u8>> {
    let mut bytes = vec![];
    let mut encoder = png::Encoder::new(&mut bytes, size.0, size.1);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(bytes)
}

/// One thing to draw, in pixels; recorded once and rendered by each backend.
#[derive(Clone)]
enum Step {
    Line { points: Vec<(f64, f64)>, color: RGBColor, width: f64 },
    Area { points: Vec<(f64, f64)>, color: RGBColor, opacity: f64 },
    Dot { at: (f64, f64), radius: f64, color: RGBColor, hollow: bool },
    Text { at: (f64, f64), text: String, size: f64, color: RGBColor, h: HPos, v: VPos, turned: bool },
}

impl Step {
    fn doubled(&self) -> Step {
        let twice = |points: &[(f64, f64)]| points.iter().map(|p| (2.0 * p.0, 2.0 * p.1)).collect();
        match self.clone() {
            Step::Line { points, color, width } => Step::Line { points: twice(&points), color, width: 2.0 * width },
            Step::Area { points, color, opacity } => Step::Area { points: twice(&points), color, opacity },
            Step::Dot { at, radius, color, hollow } => Step::Dot { at: (2.0 * at.0, 2.0 * at.1), radius: 2.0 * radius, color, hollow },
            Step::Text { at, text, size, color, h, v, turned } => {
                Step::Text { at: (2.0 * at.0, 2.0 * at.1), text, size: 2.0 * size, color, h, v, turned }
            }
        }
    }
}

fn render<DB: DrawingBackend>(area: &Area<DB>, steps: &[Step]) -> Result<()> {
    static FONT: Once = Once::new();
    FONT.call_once(|| {
        // Fails only where this very font is refused; then drawing text says so.
        let _ = register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular());
    });
    let failed = |error: DrawingAreaErrorKind<DB::ErrorType>| anyhow!("the figure could not be drawn: {error}");
    let px = |p: (f64, f64)| (p.0.round() as i32, p.1.round() as i32);
    area.fill(&WHITE).map_err(failed)?;
    for step in steps {
        match step {
            Step::Line { points, color, width } => {
                let points: Vec<(i32, i32)> = points.iter().map(|&p| px(p)).collect();
                area.draw(&PathElement::new(points, color.stroke_width(width.round().max(1.0) as u32))).map_err(failed)?;
            }
            Step::Area { points, color, opacity } => {
                area.draw(&Polygon::new(points.iter().map(|&p| px(p)).collect::<Vec<_>>(), color.mix(*opacity))).map_err(failed)?
            }
            Step::Dot { at, radius, color, hollow } => {
                area.draw(&Circle::new(px(*at), *radius, color.filled())).map_err(failed)?;
                if *hollow {
                    area.draw(&Circle::new(px(*at), *radius * 0.55, WHITE.filled())).map_err(failed)?;
                }
            }
            Step::Text { at, text, size, color, h, v, turned } => {
                let style = TextStyle::from(("sans-serif", *size)).color(color).pos(Pos::new(*h, *v));
                let style = if *turned { style.transform(FontTransform::Rotate270) } else { style };
                area.draw(&Text::new(text.clone(), px(*at), style)).map_err(failed)?;
            }
        }
    }
    area.present().map_err(failed)
}

fn text(at: (f64, f64), words: impl Into<String>, h: HPos, v: VPos, color: RGBColor) -> Step {
    Step::Text { at, text: words.into(), size: TEXT, color, h, v, turned: false }
}

fn line(points: Vec<(f64, f64)>, color: RGBColor, width: f64) -> Step {
    Step::Line { points, color, width }
}

/// Dashes from `a` to `b`.
fn dashed(a: (f64, f64), b: (f64, f64), color: RGBColor, width: f64) -> Vec<Step> {
    let length = (b.0 - a.0).hypot(b.1 - a.1);
    let at = |d: f64| (a.0 + (b.0 - a.0) * d / length, a.1 + (b.1 - a.1) * d / length);
    let period = 6.0 * width;
    let dashes = (length / period).ceil() as usize;
    (0..dashes).map(|i| line(vec![at(i as f64 * period), at((i as f64 * period + 3.5 * width).min(length))], color, width)).collect()
}

/// λ₀ on a logarithmic axis; 0 has a place of its own, left of a break.
struct LambdaAxis {
    left: f64,
    right: f64,
    low: f64,
    high: f64,
    zero: Option<f64>,
}

impl LambdaAxis {
    fn new(values: &[f64], left: f64, right: f64) -> LambdaAxis {
        let logs: Vec<f64> = values.iter().filter(|v| **v > 0.0).map(|v| v.log10()).collect();
        let (mut low, mut high) = logs.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &v| (a.min(v), b.max(v)));
        if logs.is_empty() {
            (low, high) = (-1.0, 0.0);
        }
        if high - low < 0.2 {
            (low, high) = (low - 0.5, high + 0.5);
        }
        let has_zero = values.contains(&0.0);
        let width = right - left;
        let zero = has_zero.then_some(left + 0.035 * width);
        LambdaAxis {
            left: if has_zero { left + 0.13 * width } else { left + 0.035 * width },
            right: right - 0.035 * width,
            low,
            high,
            zero,
        }
    }

    fn at(&self, lambda: f64) -> f64 {
        match self.zero {
            Some(zero) if lambda == 0.0 => zero,
            _ => self.left + (lambda.log10() - self.low) / (self.high - self.low) * (self.right - self.left),
        }
    }

    /// Ticks with their labels; minor ones without.
    fn ticks(&self) -> Vec<(f64, Option<String>)> {
        let mut ticks: Vec<(f64, Option<String>)> = self.zero.map(|x| (x, Some("0".to_string()))).into_iter().collect();
        let decades = self.high.floor() as i32 - self.low.ceil() as i32;
        let every = if decades > 8 { 2 } else { 1 };
        for decade in self.low.floor() as i32..=self.high.ceil() as i32 {
            for digit in 1..10 {
                let log = f64::from(decade) + f64::from(digit).log10();
                if log < self.low - 0.02 || log > self.high + 0.02 {
                    continue;
                }
                let named = digit == 1 && decade % every == 0;
                ticks.push((self.at(10f64.powf(log)), named.then(|| power(decade))));
            }
        }
        ticks
    }
}

/// 10⁻³.
fn power(exponent: i32) -> String {
    let raised: String = exponent
        .to_string()
        .chars()
        .map(|c| match c {
            '-' => '⁻',
            digit => ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][digit.to_digit(10).unwrap_or(0) as usize],
        })
        .collect();
    format!("10{raised}")
}

/// Round steps for about `n` ticks over a range.
fn nice_ticks(low: f64, high: f64, n: usize) -> Vec<f64> {
    let raw = (high - low) / n as f64;
    let scale = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|m| m * scale).find(|step| *step >= raw).unwrap_or(raw);
    let first = (low / step).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

/// Mean and 95% interval of a test metric over the answer's seeds, in the figure's units (percent, or nats).
fn summarise(cell: &Cell, answer: &Answer) -> Option<(f64, f64, f64)> {
    let unit = if answer.metric == Metric::Accuracy { 100.0 } else { 1.0 };
    let values: Vec<f64> = cell.values(&answer.seeds, answer.metric.key(true))?.into_iter().map(|v| unit * v).collect();
    let centre = mean(&values);
    let (low, high) = interval(values.len(), |draw| mean_of(&values, draw)).unwrap_or((centre, centre));
    Some((centre, low, high))
}

struct Curve {
    points: Vec<(f64, f64, f64, f64)>,
    color: RGBColor,
}

/// Source and target test metric against λ₀, each target at the λ₁ that validation prefers for its λ₀; both optima marked.
/// None with fewer than two λ₀.
pub fn curves(study: &Study, group: &Group, answer: &Answer) -> Result<Option<(String, Vec<u8>)>> {
    let source: Vec<_> =
        group.lambda0.iter().zip(&group.source).filter_map(|(&x, cell)| summarise(cell, answer).map(|(m, l, h)| (x, m, l, h))).collect();
    let target: Vec<_> = group
        .lambda0
        .iter()
        .zip(&group.target)
        .filter_map(|(&x, row)| {
            let score = |cell: &Cell| cell.values(&answer.seeds, answer.metric.key(false)).map(|v| answer.metric.score(mean(&v)));
            let best = row.iter().filter_map(|cell| Some((score(cell)?, cell))).fold(None, |best: Option<(f64, &Cell)>, next| match best {
                Some((top, _)) if next.0 <= top => best,
                _ => Some(next),
            });
            summarise(best?.1, answer).map(|(m, l, h)| (x, m, l, h))
        })
        .collect();
    if source.len() < 2 || target.is_empty() {
        return Ok(None);
    }
    let scratch = answer.scratch.and_then(|k| summarise(&group.scratch[k], answer));
    let size = (1000, 1060);
    let metric = if answer.metric == Metric::Accuracy { "accuracy (%)" } else { "loss (nats)" };
    both(size, |put| {
        let (left, right) = (130.0, 970.0);
        let axis = LambdaAxis::new(&group.lambda0, left, right);
        let title = if group.axes.is_empty() { study.name.clone() } else { format!("{}: {}", study.name, group.label()) };
        put(text((left, 18.0), title, HPos::Left, VPos::Top, INK));
        let seeds = answer.seeds.len();
        let bands = if seeds > 1 { format!("mean of {seeds} seeds, 95% intervals") } else { "one seed".to_string() };
        put(text((right, 18.0), bands, HPos::Right, VPos::Top, RGBColor(110, 110, 110)));
        // The legend stands above the panels, outside the data.
        let mut legend_x = left;
        let marks = [
            (ORANGE, answer.source.map(|i| format!("λₛ* = {} (best for the source)", number(group.lambda0[i])))),
            (BLUE, answer.transfer.map(|(i, _)| format!("λ₀* = {} (best for the target)", number(group.lambda0[i])))),
        ];
        for (color, words) in &marks {
            if let Some(words) = words {
                dashed((legend_x, 76.0), (legend_x + 34.0, 76.0), *color, 3.0).into_iter().for_each(&mut *put);
                put(text((legend_x + 42.0, 76.0), words.clone(), HPos::Left, VPos::Center, *color));
                legend_x += 425.0;
            }
        }
        let panels = [
            (112.0, 490.0, format!("source test {metric}"), Curve { points: source.clone(), color: ORANGE }, None),
            (562.0, 940.0, format!("target test {metric}"), Curve { points: target.clone(), color: BLUE }, scratch),
        ];
        for (top, bottom, label, curve, level) in panels {
            panel(put, &axis, (left, right, top, bottom), &label, &curve, level);
            for (color, at) in [(ORANGE, answer.source), (BLUE, answer.transfer.map(|(i, _)| i))] {
                if let Some(i) = at {
                    // Side by side where both stand at the same λ₀.
                    let same = answer.source == answer.transfer.map(|(i, _)| i);
                    let x = axis.at(group.lambda0[i])
                        + if same {
                            if color == BLUE {
                                3.0
                            } else {
                                -3.0
                            }
                        } else {
                            0.0
                        };
                    dashed((x, top), (x, bottom), color, 3.0).into_iter().for_each(&mut *put);
                }
            }
        }
        for (x, label) in axis.ticks() {
            if let Some(label) = label {
                put(text((x, 956.0), label, HPos::Center, VPos::Top, INK));
            }
        }
        put(text(((left + right) / 2.0, 1046.0), "source penalty λ₀", HPos::Center, VPos::Bottom, INK));
        Ok(())
    })
    .map(Some)
}

fn panel(
    put: &mut dyn FnMut(Step),
    axis: &LambdaAxis,
    frame: (f64, f64, f64, f64),
    label: &str,
    curve: &Curve,
    level: Option<(f64, f64, f64)>,
) {
    let (left, right, top, bottom) = frame;
    let all = curve.points.iter().flat_map(|p| [p.2, p.3]).chain(level.into_iter().flat_map(|l| [l.1, l.2]));
    let (low, high) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    let room = 0.08 * (high - low).max(1e-3 * high.abs()).max(1e-9);
    let (low, high) = (low - room, high + room);
    let y = |v: f64| bottom - (v - low) / (high - low) * (bottom - top);
    let ticks = nice_ticks(low, high, 5);
    let decimals = ticks.windows(2).map(|w| (-(w[1] - w[0]).log10().floor()).max(0.0) as usize).next().unwrap_or(0);
    let decimals = if ticks.windows(2).any(|w| {
        let step = (w[1] - w[0]) * 10f64.powi(decimals as i32);
        (step - step.round()).abs() > 1e-6
    }) {
        decimals + 1
    } else {
        decimals
    };
    for tick in &ticks {
        put(line(vec![(left, y(*tick)), (right, y(*tick))], FAINT, 1.0));
        put(text((left - 12.0, y(*tick)), format!("{tick:.decimals$}"), HPos::Right, VPos::Center, INK));
    }
    if let Some((centre, l, h)) = level {
        put(Step::Area { points: vec![(left, y(l)), (right, y(l)), (right, y(h)), (left, y(h))], color: GREEN, opacity: 0.14 });
        put(line(vec![(left, y(centre)), (right, y(centre))], GREEN, 2.0));
        put(line(vec![(left, top - 34.0), (left + 34.0, top - 34.0)], GREEN, 2.0));
        put(text((left + 42.0, top - 34.0), "target trained from scratch", HPos::Left, VPos::Center, GREEN));
    }
    // λ₀ = 0 is off the logarithmic axis: no line leads to it.
    let logarithmic: Vec<_> = curve.points.iter().filter(|p| p.0 > 0.0).collect();
    let upper = logarithmic.iter().map(|p| (axis.at(p.0), y(p.3)));
    let lower = logarithmic.iter().rev().map(|p| (axis.at(p.0), y(p.2)));
    put(Step::Area { points: upper.chain(lower).collect(), color: curve.color, opacity: 0.2 });
    put(line(logarithmic.iter().map(|p| (axis.at(p.0), y(p.1))).collect(), curve.color, 4.0));
    for p in &curve.points {
        if p.0 == 0.0 {
            put(line(vec![(axis.at(0.0), y(p.2)), (axis.at(0.0), y(p.3))], curve.color, 3.0));
        }
        put(Step::Dot { at: (axis.at(p.0), y(p.1)), radius: 7.0, color: curve.color, hollow: p.0 == 0.0 });
    }
    // Frame and ticks; a break between 0 and the logarithmic part.
    put(line(vec![(left, top), (left, bottom)], INK, 2.0));
    match axis.zero {
        None => put(line(vec![(left, bottom), (right, bottom)], INK, 2.0)),
        Some(zero) => {
            let gap = (zero + axis.left) / 2.0;
            put(line(vec![(left, bottom), (gap - 7.0, bottom)], INK, 2.0));
            put(line(vec![(gap + 7.0, bottom), (right, bottom)], INK, 2.0));
            for x in [gap - 7.0, gap + 7.0] {
                put(line(vec![(x - 5.0, bottom + 10.0), (x + 5.0, bottom - 10.0)], INK, 2.0));
            }
        }
    }
    for (x, named) in axis.ticks() {
        put(line(vec![(x, bottom), (x, bottom + if named.is_some() { 12.0 } else { 6.0 })], INK, if named.is_some() { 2.0 } else { 1.0 }));
    }
    put(Step::Text {
        at: (26.0, (top + bottom) / 2.0),
        text: label.into(),
        size: TEXT,
        color: curve.color,
        h: HPos::Center,
        v: VPos::Center,
        turned: true,
    });
}

/// Viridis at nine points.
const VIRIDIS: [(u8, u8, u8); 9] = [
    (68, 1, 84),
    (71, 44, 122),
    (59, 81, 139),
    (44, 113, 142),
    (33, 144, 141),
    (39, 173, 129),
    (92, 200, 99),
    (170, 220, 50),
    (253, 231, 37),
];

fn viridis(t: f64) -> RGBColor {
    let at = t.clamp(0.0, 1.0) * 8.0;
    let (a, b) = (VIRIDIS[at.floor() as usize], VIRIDIS[at.ceil() as usize]);
    let mix = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * at.fract()).round() as u8;
    RGBColor(mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}

const HEAT_SIZE: (u32, u32) = (1000, 760);

/// Mean target test metric over λ₀ × λ₁, the optimum framed. None with a single cell or without results.
pub fn heat_map(study: &Study, group: &Group, answer: &Answer) -> Result<Option<(String, Vec<u8>)>> {
    match heat_steps(study, group, answer) {
        Some(steps) => both(HEAT_SIZE, |put| {
            steps.iter().cloned().for_each(put);
            Ok(())
        })
        .map(Some),
        None => Ok(None),
    }
}

/// The heat map as RGB bytes with width and height, for TensorBoard.
pub fn heat_map_rgb(study: &Study, group: &Group, answer: &Answer) -> Result<Option<(Vec<u8>, u32, u32)>> {
    match heat_steps(study, group, answer) {
        Some(steps) => Ok(Some((rgb(HEAT_SIZE, &steps)?, HEAT_SIZE.0, HEAT_SIZE.1))),
        None => Ok(None),
    }
}

fn heat_steps(study: &Study, group: &Group, answer: &Answer) -> Option<Vec<Step>> {
    let values: Vec<Vec<Option<f64>>> =
        group.target.iter().map(|row| row.iter().map(|cell| summarise(cell, answer).map(|(m, _, _)| m)).collect()).collect();
    let known: Vec<f64> = values.iter().flatten().flatten().copied().collect();
    let (columns, rows) = (group.lambda0.len(), group.lambda1.len());
    if known.is_empty() || columns * rows < 2 {
        return None;
    }
    let (low, high) = known.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &v| (a.min(v), b.max(v)));
    let better = |v: f64| {
        let t = if high > low { (v - low) / (high - low) } else { 0.5 };
        if answer.metric == Metric::Accuracy {
            t
        } else {
            1.0 - t
        }
    };
    let (left, right, top, bottom) = (170.0, 840.0, 70.0, 610.0);
    let (w, h) = ((right - left) / columns as f64, (bottom - top) / rows as f64);
    let corner = |i: usize, j: usize| (left + i as f64 * w, bottom - (j + 1) as f64 * h);
    let rectangle = |x: f64, y: f64, w: f64, h: f64| vec![(x, y), (x + w, y), (x + w, y + h), (x, y + h)];
    let mut steps = vec![];
    let unit = if answer.metric == Metric::Accuracy { "accuracy (%)" } else { "loss (nats)" };
    let title = if group.axes.is_empty() { study.name.clone() } else { format!("{}: {}", study.name, group.label()) };
    steps.push(text((left, 18.0), format!("{title}: target test {unit}"), HPos::Left, VPos::Top, INK));
    let small = (w / 3.4).min(h * 0.6).min(TEXT);
    for (i, row) in values.iter().enumerate() {
        for (j, value) in row.iter().enumerate() {
            let (x, y) = corner(i, j);
            let color = value.map_or(RGBColor(238, 238, 238), |v| viridis(better(v)));
            steps.push(Step::Area { points: rectangle(x, y, w + 0.6, h + 0.6), color, opacity: 1.0 });
            if small >= 13.0 {
                let words =
                    value
                        .map_or("–".to_string(), |v| if answer.metric == Metric::Accuracy { format!("{v:.1}") } else { format!("{v:.2}") });
                let ink = if value.is_some_and(|v| better(v) < 0.55) { WHITE } else { INK };
                steps.push(Step::Text {
                    at: (x + w / 2.0, y + h / 2.0),
                    text: words,
                    size: small,
                    color: ink,
                    h: HPos::Center,
                    v: VPos::Center,
                    turned: false,
                });
            }
        }
    }
    if let Some((i, j)) = answer.transfer {
        let (x, y) = corner(i, j);
        let corners = rectangle(x + 3.0, y + 3.0, w - 6.0, h - 6.0);
        for side in 0..4 {
            // One line a side: the bitmap backend leaves gaps at the corners of a thick path.
            let (a, b) = (corners[side], corners[(side + 1) % 4]);
            let reach = |p: (f64, f64), q: (f64, f64)| {
                (p.0 + 2.5 * (p.0 - q.0).signum() * f64::from(p.0 != q.0), p.1 + 2.5 * (p.1 - q.1).signum() * f64::from(p.1 != q.1))
            };
            steps.push(line(vec![reach(a, b), reach(b, a)], RGBColor(230, 0, 60), 5.0));
        }
    }
    let every = |n: usize, room: f64, need: f64| ((need * n as f64 / room).ceil() as usize).max(1);
    let step = every(columns, right - left, 92.0);
    for (i, lambda) in group.lambda0.iter().enumerate().filter(|(i, _)| i % step == 0) {
        steps.push(text((corner(i, 0).0 + w / 2.0, bottom + 12.0), short(*lambda), HPos::Center, VPos::Top, INK));
    }
    let step = every(rows, bottom - top, 36.0);
    for (j, lambda) in group.lambda1.iter().enumerate().filter(|(j, _)| j % step == 0) {
        steps.push(text((left - 12.0, corner(0, j).1 + h / 2.0), short(*lambda), HPos::Right, VPos::Center, INK));
    }
    steps.push(text(((left + right) / 2.0, bottom + 92.0), "source penalty λ₀", HPos::Center, VPos::Bottom, INK));
    steps.push(Step::Text {
        at: (26.0, (top + bottom) / 2.0),
        text: "target penalty λ₁".into(),
        size: TEXT,
        color: INK,
        h: HPos::Center,
        v: VPos::Center,
        turned: true,
    });
    if answer.transfer.is_some() {
        steps.push(text((left, 738.0), "framed: chosen by validation", HPos::Left, VPos::Bottom, RGBColor(200, 0, 52)));
    }
    // Colour bar, worst at the bottom.
    let bar = 100;
    for k in 0..bar {
        let t = f64::from(k) / f64::from(bar);
        let y = bottom - (t + 1.0 / f64::from(bar)) * (bottom - top);
        steps.push(Step::Area {
            points: rectangle(870.0, y, 28.0, (bottom - top) / f64::from(bar) + 1.0),
            color: viridis(t),
            opacity: 1.0,
        });
    }
    for k in 0..=4 {
        let t = f64::from(k) / 4.0;
        let value = if answer.metric == Metric::Accuracy { low + t * (high - low) } else { high - t * (high - low) };
        let words = if answer.metric == Metric::Accuracy { format!("{value:.1}") } else { format!("{value:.2}") };
        steps.push(text((908.0, bottom - t * (bottom - top)), words, HPos::Left, VPos::Center, INK));
    }
    Some(steps)
}

/// Two digits: the axis has no room for more.
fn short(value: f64) -> String {
    if value == 0.0 || value.is_infinite() {
        number(value).replace("inf", "∞")
    } else {
        number(format!("{value:.1e}").parse().unwrap_or(value))
    }
}
