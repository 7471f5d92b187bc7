//! λ₀*/λ_S* of several settings or studies side by side, each with its interval.

use anyhow::Result;

use super::axis::Scale;
use super::canvas::{cell, dashed, line, render, text, Figure, HPos, Step, VPos, BLUE, INK};
use super::{fitted, GREY};
use crate::base::interval::Interval;
use crate::config::StrongerEnd;

/// A setting with its ln(λ₀*/λ_S*).
pub struct Row {
    pub label: String,
    pub log_ratio: Interval,
    /// Which end of λ₀ regularises more.
    pub stronger: StrongerEnd,
    /// Whether an optimum is at an end of its grid; its point is then drawn hollow.
    pub is_at_end: bool,
}

const HEIGHT: f64 = 44.0;

/// One row per setting. Infinite bounds are drawn as arrows at the frame. None without rows.
pub fn forest(title: &str, rows: &[Row], width: f64) -> Result<Option<Figure>> {
    if rows.is_empty() {
        return Ok(None);
    }
    let (left, right, top) = (0.43 * width, width - 40.0, 120.0);
    let bottom = top + HEIGHT * rows.len() as f64;
    let bounds = rows.iter().flat_map(|row| {
        let (low, high) = row.log_ratio.range.unwrap_or((row.log_ratio.estimate, row.log_ratio.estimate));
        [row.log_ratio.estimate, low, high]
    });
    let x = Scale::over(bounds.map(f64::exp).chain([1.0]), true, 0.06, (left, right));
    let mut out = vec![fitted((30.0, 18.0), title, width - 60.0, INK)];
    let all = |stronger| rows.iter().all(|row| row.stronger == stronger);
    let ways = match (all(StrongerEnd::Larger), all(StrongerEnd::Smaller)) {
        (true, _) => ["← weaker", "stronger →"],
        (_, true) => ["← stronger", "weaker →"],
        _ => ["← smaller", "larger →"],
    };
    if let Some(one) = x.at(1.0) {
        out.extend(dashed((one, top), (one, bottom), GREY, 2.0));
        out.push(text((one - 14.0, top - 22.0), ways[0], HPos::Right, VPos::Center, GREY));
        out.push(text((one + 14.0, top - 22.0), ways[1], HPos::Left, VPos::Center, GREY));
    }
    for (i, row) in rows.iter().enumerate() {
        let y = top + HEIGHT * (i as f64 + 0.5);
        let mut label = fitted((left - 20.0, y), &row.label, left - 50.0, INK);
        if let Step::Text { h, v, .. } = &mut label {
            (*h, *v) = (HPos::Right, VPos::Center);
        }
        out.push(label);
        // The position of a value and whether it is clipped: a finite position, or an end of the
        // frame.
        let place = |log: f64| match log {
            l if l == f64::INFINITY => (right, true),
            l if l == f64::NEG_INFINITY => (left, true),
            l => (x.at(l.exp()).unwrap_or(left), false),
        };
        if let Some((low, high)) = row.log_ratio.range {
            for ((at, arrow), side) in [(place(low), 1.0), (place(high), -1.0)] {
                out.push(line(vec![(at, y), (place(row.log_ratio.estimate).0, y)], BLUE, 4.0));
                match arrow {
                    true => out.extend([-8.0, 8.0].map(|dy| line(vec![(at, y), (at + 12.0 * side, y + dy)], BLUE, 3.0))),
                    false => out.push(line(vec![(at, y - 8.0), (at, y + 8.0)], BLUE, 3.0)),
                }
            }
        }
        out.push(Step::Dot { at: (place(row.log_ratio.estimate).0, y), radius: 8.0, color: BLUE, hollow: row.is_at_end });
    }
    out.push(line(vec![(left, bottom), (right, bottom)], INK, 2.0));
    let mut free = f64::NEG_INFINITY;
    for (at, label) in x.ticks(6) {
        let (length, width) = if label.is_some() { (12.0, 2.0) } else { (6.0, 1.0) };
        out.push(line(vec![(at, bottom), (at, bottom + length)], INK, width));
        // Labels that would overlap are left out.
        if let Some(label) = label.filter(|label| at - 8.0 * label.chars().count() as f64 > free) {
            free = at + 8.0 * label.chars().count() as f64 + 8.0;
            out.push(text((at, bottom + 16.0), label, HPos::Center, VPos::Top, INK));
        }
    }
    out.push(text(
        ((left + right) / 2.0, bottom + 88.0),
        "λ₀*/λₛ* (transfer-optimal over source-optimal)",
        HPos::Center,
        VPos::Bottom,
        INK,
    ));
    let header = ["setting", "ratio", "low", "high", "at_end_of_grid"].map(str::to_string).to_vec();
    let data = rows.iter().map(|row| {
        let (low, high) = row.log_ratio.range.unwrap_or((f64::NAN, f64::NAN));
        vec![row.label.clone(), cell(row.log_ratio.estimate.exp()), cell(low.exp()), cell(high.exp()), row.is_at_end.to_string()]
    });
    let data = std::iter::once(header).chain(data).collect();
    Ok(Some(render((width, bottom + 102.0), &out, &data)?))
}
