//! The paper's Figure 2 for a study: source and target test metric against λ₀.

use anyhow::Result;

use super::canvas::{dashed, render, text, Figure, HPos, RGBColor, Step, VPos, BLUE, INK, ORANGE};
use super::lambda_axis::LambdaAxis;
use super::panel::{optima, panel, Curve, Frame, Level};
use super::{fitted, summarise, title, GREY};
use crate::config::Study;
use crate::report::collect::Metric;
use crate::report::section::Section;
use crate::report::statement::point;

/// Both optima, by colour and value.
pub fn legend(out: &mut Vec<Step>, section: &Section, left: f64, y: f64) {
    let (group, answer) = (&section.group, &section.answer);
    let marks: [(RGBColor, Option<String>); 2] = [
        (ORANGE, answer.source.map(|i| format!("λₛ* = {} (source)", point(group.lambda0[i])))),
        (BLUE, answer.transfer.map(|(i, _)| format!("λ₀* = {} (target)", point(group.lambda0[i])))),
    ];
    for (i, (color, words)) in marks.into_iter().enumerate() {
        let x = left + 425.0 * i as f64;
        if let Some(words) = words {
            out.extend(dashed((x, y), (x + 34.0, y), color, 3.0));
            out.push(text((x + 42.0, y), words, HPos::Left, VPos::Center, color));
        }
    }
}

/// Source and target test metric against λ₀, each target at the λ₁ that validation prefers for its λ₀; both optima marked, with the
/// intervals of their places as bars. None with fewer than two λ₀.
pub fn curves(study: &Study, section: &Section) -> Result<Option<Figure>> {
    let (group, answer) = (&section.group, &section.answer);
    let grid = || group.lambda0.iter().enumerate();
    let source: Vec<_> = grid().filter_map(|(i, &x)| summarise(&group.source[i], answer).map(|(m, l, h)| (x, m, l, h))).collect();
    let target: Vec<_> = grid()
        .filter_map(|(i, &x)| {
            let row = &group.target[i];
            summarise(&row[answer.best_lambda1(row)?], answer).map(|(m, l, h)| (x, m, l, h))
        })
        .collect();
    if source.len() < 2 || target.is_empty() {
        return Ok(None);
    }
    let scratch = answer.scratch.and_then(|k| summarise(&group.scratch[k], answer));
    let level = scratch.map(|(centre, low, high)| Level { name: "target trained from scratch", centre, low, high });
    let metric = if answer.metric == Metric::Accuracy { "accuracy (%)" } else { "loss (nats)" };
    let mut out = vec![];
    let (left, right) = (130.0, 970.0);
    let axis = LambdaAxis::new(&group.lambda0, left, right);
    out.push(fitted((left, 18.0), &title(study, group), 420.0, INK));
    let seeds = answer.seeds.len();
    let bands = if seeds > 1 { format!("mean of {seeds} seeds, 95% intervals") } else { "one seed".to_string() };
    out.push(text((right, 18.0), bands, HPos::Right, VPos::Top, GREY));
    legend(&mut out, section, left, 76.0);
    let first = Frame { left, right, top: 122.0, bottom: 490.0 };
    let second = Frame { left, right, top: 582.0, bottom: 950.0 };
    panel(&mut out, &axis, first, &format!("source test {metric}"), &Curve { points: source, color: ORANGE }, None);
    optima(&mut out, &axis, first, section, (true, false));
    panel(&mut out, &axis, second, &format!("target test {metric}"), &Curve { points: target, color: BLUE }, level.as_ref());
    optima(&mut out, &axis, second, section, (false, true));
    axis.label(&mut out, (left, right, second.bottom), &group.strength);
    Ok(Some(render((1000, 1052), &out)?))
}
