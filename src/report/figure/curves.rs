//! The paper's Figure 2 for a study: source and target test metric against λ₀.

use anyhow::Result;

use super::axis::{decimals, nice_ticks, power};
use super::canvas::{dashed, line, render, text, Figure, HPos, RGBColor, Step, VPos, BLUE, FAINT, GREEN, INK, ORANGE, TEXT};
use super::summarise;
use crate::config::{number, Study};
use crate::report::answer::Answer;
use crate::report::collect::{Cell, Group, Metric};
use crate::report::stats::mean;

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

struct Curve {
    points: Vec<(f64, f64, f64, f64)>,
    color: RGBColor,
}

/// Three digits: the legend has no room for more.
fn short(value: f64) -> String {
    number(format!("{value:.2e}").parse().unwrap_or(value))
}

/// Source and target test metric against λ₀, each target at the λ₁ that validation prefers for its λ₀; both optima marked.
/// None with fewer than two λ₀.
pub fn curves(study: &Study, group: &Group, answer: &Answer) -> Result<Option<Figure>> {
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
    let mut out = vec![];
    let (left, right) = (130.0, 970.0);
    let axis = LambdaAxis::new(&group.lambda0, left, right);
    let title = if group.axes.is_empty() { study.name.clone() } else { format!("{}: {}", study.name, group.label()) };
    out.push(text((left, 18.0), title, HPos::Left, VPos::Top, INK));
    let seeds = answer.seeds.len();
    let bands = if seeds > 1 { format!("mean of {seeds} seeds, 95% intervals") } else { "one seed".to_string() };
    out.push(text((right, 18.0), bands, HPos::Right, VPos::Top, RGBColor(110, 110, 110)));
    // The legend stands above the panels, outside the data.
    let mut legend_x = left;
    let marks = [
        (ORANGE, answer.source.map(|i| format!("λₛ* = {} (source)", short(group.lambda0[i])))),
        (BLUE, answer.transfer.map(|(i, _)| format!("λ₀* = {} (target)", short(group.lambda0[i])))),
    ];
    for (color, words) in &marks {
        if let Some(words) = words {
            out.extend(dashed((legend_x, 76.0), (legend_x + 34.0, 76.0), *color, 3.0));
            out.push(text((legend_x + 42.0, 76.0), words.clone(), HPos::Left, VPos::Center, *color));
            legend_x += 425.0;
        }
    }
    let panels = [
        (112.0, 490.0, format!("source test {metric}"), Curve { points: source.clone(), color: ORANGE }, None),
        (562.0, 940.0, format!("target test {metric}"), Curve { points: target.clone(), color: BLUE }, scratch),
    ];
    for (top, bottom, label, curve, level) in panels {
        panel(&mut out, &axis, (left, right, top, bottom), &label, &curve, level);
        for (color, at) in [(ORANGE, answer.source), (BLUE, answer.transfer.map(|(i, _)| i))] {
            if let Some(i) = at {
                // Side by side where both stand at the same λ₀.
                let same = answer.source == answer.transfer.map(|(i, _)| i);
                let aside = if color == BLUE { 3.0 } else { -3.0 };
                let x = axis.at(group.lambda0[i]) + if same { aside } else { 0.0 };
                out.extend(dashed((x, top), (x, bottom), color, 3.0));
            }
        }
    }
    for (x, label) in axis.ticks() {
        if let Some(label) = label {
            out.push(text((x, 956.0), label, HPos::Center, VPos::Top, INK));
        }
    }
    out.push(text(((left + right) / 2.0, 1046.0), "source penalty λ₀", HPos::Center, VPos::Bottom, INK));
    Ok(Some(render(size, &out)?))
}

fn panel(out: &mut Vec<Step>, axis: &LambdaAxis, frame: (f64, f64, f64, f64), label: &str, curve: &Curve, level: Option<(f64, f64, f64)>) {
    let (left, right, top, bottom) = frame;
    let all = curve.points.iter().flat_map(|p| [p.2, p.3]).chain(level.into_iter().flat_map(|l| [l.1, l.2]));
    let (low, high) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    let room = 0.08 * (high - low).max(1e-3 * high.abs()).max(1e-9);
    let (low, high) = (low - room, high + room);
    let y = |v: f64| bottom - (v - low) / (high - low) * (bottom - top);
    let ticks = nice_ticks(low, high, 7);
    let decimals = decimals(&ticks);
    for tick in &ticks {
        out.push(line(vec![(left, y(*tick)), (right, y(*tick))], FAINT, 1.0));
        out.push(text((left - 12.0, y(*tick)), format!("{tick:.decimals$}"), HPos::Right, VPos::Center, INK));
    }
    if let Some((centre, l, h)) = level {
        out.push(Step::Area { points: vec![(left, y(l)), (right, y(l)), (right, y(h)), (left, y(h))], color: GREEN, opacity: 0.14 });
        out.push(line(vec![(left, y(centre)), (right, y(centre))], GREEN, 2.0));
        out.push(line(vec![(left, top - 34.0), (left + 34.0, top - 34.0)], GREEN, 2.0));
        out.push(text((left + 42.0, top - 34.0), "target trained from scratch", HPos::Left, VPos::Center, GREEN));
    }
    // λ₀ = 0 is off the logarithmic axis: no line leads to it.
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
    // Frame and ticks; a break between 0 and the logarithmic part.
    out.push(line(vec![(left, top), (left, bottom)], INK, 2.0));
    match axis.zero {
        None => out.push(line(vec![(left, bottom), (right, bottom)], INK, 2.0)),
        Some(zero) => {
            let gap = (zero + axis.left) / 2.0;
            out.push(line(vec![(left, bottom), (gap - 7.0, bottom)], INK, 2.0));
            out.push(line(vec![(gap + 7.0, bottom), (right, bottom)], INK, 2.0));
            for x in [gap - 7.0, gap + 7.0] {
                out.push(line(vec![(x - 5.0, bottom + 10.0), (x + 5.0, bottom - 10.0)], INK, 2.0));
            }
        }
    }
    for (x, named) in axis.ticks() {
        out.push(line(
            vec![(x, bottom), (x, bottom + if named.is_some() { 12.0 } else { 6.0 })],
            INK,
            if named.is_some() { 2.0 } else { 1.0 },
        ));
    }
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
