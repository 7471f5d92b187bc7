//! The paper's Figure 2 for a study: source and target test metrics against λ₀.

use anyhow::Result;

use super::canvas::{dashed, render, text, Figure, HPos, RGBColor, Step, VPos, BLUE, INK, ORANGE};
use super::lambda_axis::LambdaAxis;
use super::panel::{
    add_rows, draw_optima, optimum_rows, panel, panel_row, panel_rows, Frame, Level, PanelCurve, SOURCE_LINE, TRANSFER_LINE,
};
use super::{fitted, mean_and_range, title, GREY};
use crate::report::analysis::{Guess, Metric, SettingAnalysis};
use crate::report::render::words::optimum;

/// Legend with the colours and values of both optima.
pub fn legend(out: &mut Vec<Step>, analysis: &SettingAnalysis, left: f64, y: f64, width: f64) {
    let (setting, answered) = (&analysis.setting, analysis.answer.answered());
    let marks: [(RGBColor, f64, Option<String>); 2] = [
        (ORANGE, SOURCE_LINE, answered.map(|a| format!("λₛ* = {} (source)", optimum(a, a.source_lambda0(setting))))),
        (BLUE, TRANSFER_LINE, answered.map(|a| format!("λ₀* = {} (target)", optimum(a, a.transfer_lambda0(setting))))),
    ];
    for (i, (color, line, words)) in marks.into_iter().enumerate() {
        let x = left + 0.425 * width * i as f64;
        if let Some(words) = words {
            out.extend(dashed((x, y), (x + 36.0, y), color, line));
            out.push(text((x + 42.0, y), words, HPos::Left, VPos::Center, color));
        }
    }
}

/// Source and target test metrics against λ₀. Each target uses the best λ₁ by validation for its
/// λ₀. Both optima are marked, and bars show their intervals. None with fewer than two λ₀.
pub fn curves(study: &str, analysis: &SettingAnalysis, width: f64) -> Result<Option<Figure>> {
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
    let metric = basis.metric.axis_label();
    let guess = |of: &Guess| match basis.metric {
        Metric::Accuracy => 100.0 * of.accuracy,
        Metric::R2 => of.accuracy,
        Metric::Loss | Metric::SquaredError => of.loss,
    };
    let mut data = panel_rows();
    add_rows(&mut data, "source", &source);
    add_rows(&mut data, "target", &target);
    data.extend(level.iter().map(|l| panel_row("target from scratch", [f64::NAN; 3], [l.centre, l.low, l.high])));
    for (of, level) in [("guessing the source's class", &setting.source_guess), ("guessing the target's class", &setting.target_guess)] {
        data.push(panel_row(of, [f64::NAN; 3], [guess(level), f64::NAN, f64::NAN]));
    }
    data.extend(optimum_rows(analysis));
    let mut out = vec![];
    let (left, right) = (130.0, width - 30.0);
    let axis = LambdaAxis::new(&setting.lambda0, left, right);
    out.push(fitted((left, 18.0), &title(study, setting), width - 580.0, INK));
    let seeds = basis.seeds.len();
    let bands = if seeds > 1 { format!("mean of {seeds} seeds, 95% intervals") } else { "one seed".to_string() };
    out.push(text((right, 18.0), bands, HPos::Right, VPos::Top, GREY));
    legend(&mut out, analysis, left, 76.0, width);
    let first = Frame { left, right, top: 122.0, bottom: 490.0 };
    let second = Frame { left, right, top: 582.0, bottom: 950.0 };
    panel(
        &mut out,
        &axis,
        first,
        &format!("source test {metric}"),
        &PanelCurve { points: source, color: ORANGE },
        None,
        Some(guess(&setting.source_guess)),
    );
    draw_optima(&mut out, &axis, first, analysis, (true, false));
    panel(
        &mut out,
        &axis,
        second,
        &format!("target test {metric}"),
        &PanelCurve { points: target, color: BLUE },
        level.as_ref(),
        Some(guess(&setting.target_guess)),
    );
    draw_optima(&mut out, &axis, second, analysis, (false, true));
    axis.label(&mut out, (left, right, second.bottom), &setting.regularizer);
    Ok(Some(render((width, 1052.0), &out, &data)?))
}
