//! The target metric over λ₀ × λ₁.

use anyhow::Result;

use super::canvas::{cell, dashed, line, render, render_rgb, text, Figure, HPos, RGBColor, Rows, Step, VPos, INK, ORANGE, TEXT};
use super::lambda_axis::name;
use super::{fitted, title, WIDTH};
use crate::base::numbers::{number, significant};
use crate::report::analysis::stats::mean;
use crate::report::analysis::{CellResults, Metric, SettingAnalysis};
use crate::report::render::words::unit;

/// Text colours within the cells. Other text colours are inverted on a dark page; these must not
/// be, so they are distinct values.
const LIGHT: RGBColor = RGBColor(254, 254, 254);
const DARK: RGBColor = RGBColor(17, 17, 17);

/// The Viridis colour map at nine points.
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

const HEIGHT: f64 = 796.0;

/// Mean target test metric over λ₀ × λ₁, with a frame around the optimum. None with a single cell
/// or without results.
pub fn heat_map(study: &str, analysis: &SettingAnalysis, width: f64) -> Result<Option<Figure>> {
    heat_steps(study, analysis, width).map(|steps| render((width, HEIGHT), &steps, &heat_rows(analysis))).transpose()
}

/// The heat map as RGB bytes with its width and height, for TensorBoard.
pub fn heat_map_rgb(study: &str, analysis: &SettingAnalysis) -> Result<Option<(Vec<u8>, u32, u32)>> {
    let size = (WIDTH as u32, HEIGHT as u32);
    match heat_steps(study, analysis, WIDTH) {
        Some(steps) => Ok(Some((render_rgb(size, &steps)?, size.0, size.1))),
        None => Ok(None),
    }
}

/// Mean target test metric of a cell, in the units of the figure.
fn shown(analysis: &SettingAnalysis, cell: &CellResults) -> Option<f64> {
    let (_, unit, _) = unit(analysis.basis.metric);
    analysis.basis.test_values(cell).map(|v| unit * mean(&v))
}

/// The numbers that the heat map shows.
fn heat_rows(analysis: &SettingAnalysis) -> Rows {
    let setting = &analysis.setting;
    let transfer = analysis.answer.answered().map(|answered| answered.transfer);
    let mut rows = vec![["lambda0", "lambda1", "value", "chosen"].map(str::to_string).to_vec()];
    for (i, lambda0) in setting.lambda0.iter().enumerate() {
        for (j, lambda1) in setting.lambda1.iter().enumerate() {
            let value = shown(analysis, &setting.target[i][j]).unwrap_or(f64::NAN);
            rows.push(vec![cell(*lambda0), cell(*lambda1), cell(value), (transfer == Some((i, j))).to_string()]);
        }
    }
    rows
}

fn heat_steps(study: &str, analysis: &SettingAnalysis, width: f64) -> Option<Vec<Step>> {
    let (setting, basis) = (&analysis.setting, &analysis.basis);
    let transfer = analysis.answer.answered().map(|answered| answered.transfer);
    let values: Vec<Vec<Option<f64>>> = setting.target.iter().map(|row| row.iter().map(|cell| shown(analysis, cell)).collect()).collect();
    let known: Vec<f64> = values.iter().flatten().flatten().copied().collect();
    let (columns, rows) = (setting.lambda0.len(), setting.lambda1.len());
    if known.is_empty() || columns * rows < 2 {
        return None;
    }
    let (low, high) = known.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &v| (a.min(v), b.max(v)));
    // A few very bad cells must not take up the scale: it ends where most cells do.
    let (is_score, is_accuracy) = (basis.metric.is_score(), basis.metric == Metric::Accuracy);
    let (low, high, is_cut) = scale(&known, is_score).map_or((low, high, false), |(low, high)| (low, high, true));
    let better = |v: f64| {
        let t = if high > low { ((v - low) / (high - low)).clamp(0.0, 1.0) } else { 0.5 };
        if is_score {
            t
        } else {
            1.0 - t
        }
    };
    let (left, right, top, bottom) = (170.0, width - 160.0, 70.0, 610.0);
    let (w, h) = ((right - left) / columns as f64, (bottom - top) / rows as f64);
    let corner = |i: usize, j: usize| (left + i as f64 * w, bottom - (j + 1) as f64 * h);
    let rectangle = |x: f64, y: f64, w: f64, h: f64| vec![(x, y), (x + w, y), (x + w, y + h), (x, y + h)];
    let mut steps = vec![];
    let unit = basis.metric.axis_label();
    steps.push(fitted((left, 18.0), &format!("{}: target test {unit}", title(study, setting)), width - 200.0, INK));
    let small = (w / 3.4).min(h * 0.6).min(TEXT);
    for (i, row) in values.iter().enumerate() {
        for (j, value) in row.iter().enumerate() {
            let (x, y) = corner(i, j);
            let color = value.map_or(RGBColor(238, 238, 238), |v| viridis(better(v)));
            // A cell extends one pixel underneath the next cells to the right and below, so that no
            // gap is visible. No cell extends beyond the frame.
            let (wide, high) = (if i + 1 < columns { w + 1.0 } else { w }, if j > 0 { h + 1.0 } else { h });
            steps.push(Step::Area { points: rectangle(x, y, wide, high), color, opacity: 1.0 });
            if small >= 13.0 {
                let words = value.map_or("–".to_string(), |v| if is_accuracy { format!("{v:.1}") } else { format!("{v:.2}") });
                let ink = if value.is_some_and(|v| better(v) < 0.55) { LIGHT } else { DARK };
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
    let at_source = analysis.answer.answered().map(|answered| (answered.source, answered.lambda1_at_source_optimum));
    if let Some((i, j)) = at_source.filter(|at| Some(*at) != transfer) {
        let (x, y) = corner(i, j);
        let corners = rectangle(x + 3.0, y + 3.0, w - 6.0, h - 6.0);
        for side in 0..4 {
            steps.extend(dashed(corners[side], corners[(side + 1) % 4], LIGHT, 5.0));
            steps.extend(dashed(corners[side], corners[(side + 1) % 4], ORANGE, 4.0));
        }
    }
    if let Some((i, j)) = transfer {
        let (x, y) = corner(i, j);
        // The frame is inside the cell, or around a cell that is too small for that.
        let inset = if w.min(h) > 24.0 { 3.0 } else { -4.0 };
        let corners = rectangle(x + inset, y + inset, w - 2.0 * inset, h - 2.0 * inset);
        for side in 0..4 {
            // Each side is a separate line, because the bitmap backend leaves gaps at the corners
            // of a thick path.
            let (a, b) = (corners[side], corners[(side + 1) % 4]);
            let reach = |p: (f64, f64), q: (f64, f64)| {
                (p.0 + 2.5 * (p.0 - q.0).signum() * f64::from(p.0 != q.0), p.1 + 2.5 * (p.1 - q.1).signum() * f64::from(p.1 != q.1))
            };
            steps.push(line(vec![reach(a, b), reach(b, a)], RGBColor(230, 0, 60), 5.0));
        }
    }
    let (name0, name1) = (labels(&setting.lambda0), labels(&setting.lambda1));
    let every = |n: usize, room: f64, need: f64| ((need * n as f64 / room).ceil() as usize).max(1);
    let step = every(columns, right - left, 92.0);
    for i in (0..columns).step_by(step) {
        steps.push(text((corner(i, 0).0 + w / 2.0, bottom + 12.0), name0[i].clone(), HPos::Center, VPos::Top, INK));
    }
    let step = every(rows, bottom - top, 36.0);
    for j in (0..rows).step_by(step) {
        steps.push(text((left - 12.0, corner(0, j).1 + h / 2.0), name1[j].clone(), HPos::Right, VPos::Center, INK));
    }
    steps.push(text(((left + right) / 2.0, bottom + 92.0), name(&setting.regularizer), HPos::Center, VPos::Bottom, INK));
    steps.push(Step::Text {
        at: (26.0, (top + bottom) / 2.0),
        text: "target penalty λ₁".into(),
        size: TEXT,
        color: INK,
        h: HPos::Center,
        v: VPos::Center,
        turned: true,
    });
    if let Some(transfer) = transfer {
        steps.push(text((left, 738.0), "framed: chosen by validation", HPos::Left, VPos::Bottom, RGBColor(200, 0, 52)));
        if at_source != Some(transfer) {
            steps.push(text((left, 774.0), "dashed: at λₛ*", HPos::Left, VPos::Bottom, ORANGE));
        }
    }
    // The colour bar, with the worst value at the bottom.
    let bar = 100;
    for k in 0..bar {
        let t = f64::from(k) / f64::from(bar);
        let y = bottom - (t + 1.0 / f64::from(bar)) * (bottom - top);
        steps.push(Step::Area {
            points: rectangle(right + 30.0, y, 28.0, (bottom - top) / f64::from(bar) + 1.0),
            color: viridis(t),
            opacity: 1.0,
        });
    }
    for k in 0..=4 {
        let t = f64::from(k) / 4.0;
        let value = if is_score { low + t * (high - low) } else { high - t * (high - low) };
        let words = if is_accuracy { format!("{value:.1}") } else { format!("{value:.2}") };
        let words = match (k, is_cut) {
            (0, true) if is_score => format!("≤ {words}"),
            (0, true) => format!("≥ {words}"),
            _ => words,
        };
        steps.push(text((right + 68.0, bottom - t * (bottom - top)), words, HPos::Left, VPos::Center, INK));
    }
    Some(steps)
}

/// Ends of the scale, if the worst cells are so far from the others that the differences between
/// these could not be seen: the worse end is then where a quarter of the cells is worse. None if
/// the scale covers all cells.
fn scale(known: &[f64], is_score: bool) -> Option<(f64, f64)> {
    let mut sorted = known.to_vec();
    sorted.sort_by(f64::total_cmp);
    if !is_score {
        sorted.reverse();
    }
    let (worst, best) = (sorted[0], sorted[sorted.len() - 1]);
    let quarter = sorted[sorted.len() / 4];
    let is_far = (best - worst).abs() > 3.0 * (best - quarter).abs() && quarter != best;
    is_far.then_some((quarter.min(best), quarter.max(best)))
}

/// Labels of an axis, with the fewest digits (at least two) that distinguish its values. There is
/// no room for more.
fn labels(values: &[f64]) -> Vec<String> {
    let at = |digits: usize| -> Vec<String> {
        let label = |value: &f64| if value.is_infinite() { "∞".into() } else { number(significant(*value, digits)) };
        values.iter().map(label).collect()
    };
    let distinct = |labels: &Vec<String>| labels.iter().collect::<std::collections::HashSet<_>>().len() == labels.len();
    (2..=17).map(at).find(distinct).unwrap_or_else(|| at(17))
}
