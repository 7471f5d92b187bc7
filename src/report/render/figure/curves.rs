//! The paper's Figure 2 for a study: source and target test metrics against λ₀.

use anyhow::Result;

use super::canvas::{dashed, render, text, Figure, HPos, RGBColor, Step, VPos, BLUE, INK, ORANGE};
use super::lambda_axis::LambdaAxis;
use super::panel::{draw_optima, panel, Frame, Level, PanelCurve};
use super::{fitted, mean_and_range, title, GREY};
use crate::report::analysis::{Metric, SettingAnalysis};
use crate::report::render::words::optimum;

/// Legend with the colours and values of both optima.
pub fn legend(out: &mut Vec<Step>, analysis: &SettingAnalysis, left: f64, y: f64) {
    let (setting, answered) = (&analysis.setting, analysis.answer.answered());
    let marks: [(RGBColor, Option<String>); 2] = [
        (ORANGE, answered.map(|a| format!("λₛ* = {} (source)", optimum(a, a.source_lambda0(setting))))),
        (BLUE, answered.map(|a| format!("λ₀* = {} (target)", optimum(a, a.transfer_lambda0(setting))))),
    ];
    for (i, (color, words)) in marks.into_iter().enumerate() {
        let x = left + 425.0 * i as f64;
        if let Some(words) = words {
            out.extend(dashed((x, y), (x + 34.0, y), color, 3.0));
            out.push(text((x + 42.0, y), words, HPos::Left, VPos::Center, color));
        }
    }
}

/// Source and target test metrics against λ₀. Each target uses the best λ₁ by validation for its
/// λ₀. Both optima are marked, and bars show their intervals. None with fewer than two λ₀.
pub fn curves(study: &str, analysis: &SettingAnalysis) -> Result<Option<Figure>> {
    let (setting, basis) = (&analysis.setting, &analysis.basis);
    let grid = || setting.lambda0.iter().enumerate();
    let source: Vec<_> = grid().filter_map(|(i, &x)| mean_and_range(&setting.source[i], basis).map(|(m, l, h)| (x, m, l, h))).collect();
    let target: Vec<_> = grid()
        .filter_map(|(i, &x)| {
            let row = &setting.target[i];
            mean_and_range(&row[basis.best_lambda1(row)?], basis).map(|(m, l, h)| (x, m, l, h))
        })
        .collect();
    if source.len() < 2 || target.is_empty() {
        return Ok(None);
    }
    let scratch = analysis.answer.answered().and_then(|a| mean_and_range(&setting.scratch[a.scratch?], basis));
    let level = scratch.map(|(centre, low, high)| Level { name: "target trained from scratch", centre, low, high });
    let metric = if basis.metric == Metric::Accuracy { "accuracy (%)" } else { "loss (nats)" };
    let mut out = vec![];
    let (left, right) = (130.0, 970.0);
    let axis = LambdaAxis::new(&setting.lambda0, left, right);
    out.push(fitted((left, 18.0), &title(study, setting), 420.0, INK));
    let seeds = basis.seeds.len();
    let bands = if seeds > 1 { format!("mean of {seeds} seeds, 95% intervals") } else { "one seed".to_string() };
    out.push(text((right, 18.0), bands, HPos::Right, VPos::Top, GREY));
    legend(&mut out, analysis, left, 76.0);
    let first = Frame { left, right, top: 122.0, bottom: 490.0 };
    let second = Frame { left, right, top: 582.0, bottom: 950.0 };
    panel(&mut out, &axis, first, &format!("source test {metric}"), &PanelCurve { points: source, color: ORANGE }, None);
    draw_optima(&mut out, &axis, first, analysis, (true, false));
    panel(&mut out, &axis, second, &format!("target test {metric}"), &PanelCurve { points: target, color: BLUE }, level.as_ref());
    draw_optima(&mut out, &axis, second, analysis, (false, true));
    axis.label(&mut out, (left, right, second.bottom), &setting.regularizer);
    Ok(Some(render((1000, 1052), &out)?))
}
