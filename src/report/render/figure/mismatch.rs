//! The target's cost of every other λ₀: paired differences from the transfer-optimal λ₀.

use anyhow::Result;

use super::canvas::{render, text, Figure, HPos, VPos, BLUE, INK};
use super::curves::legend;
use super::lambda_axis::LambdaAxis;
use super::panel::{add_rows, draw_optima, optimum_rows, panel, panel_rows, Frame, Level, PanelCurve};
use super::{fitted, title, GREY};
use crate::report::analysis::{Metric, SettingAnalysis};
use crate::report::render::words::unit;

/// Target test metric at each λ₀, with its best λ₁, minus that at λ₀*, paired by seed. Effects of a
/// seed on all λ₀ cancel. The intervals are therefore far narrower than the difference of two bands
/// of Figure 2. Higher is better. None with fewer than two λ₀ or two seeds.
pub fn mismatch(study: &str, analysis: &SettingAnalysis, width: f64) -> Result<Option<Figure>> {
    let (setting, basis) = (&analysis.setting, &analysis.basis);
    let Some((i, j)) = analysis.answer.answered().map(|answered| answered.transfer) else { return Ok(None) };
    let Some(best) = basis.test_scores(&setting.target[i][j]) else { return Ok(None) };
    let (_, unit, _) = unit(basis.metric);
    let points: Vec<_> = (0..setting.lambda0.len())
        .filter_map(|k| {
            let row = &setting.target[k];
            let own = basis.test_scores(&row[basis.best_lambda1(row)?])?;
            let paired = basis.difference(&own, &best);
            let (low, high) = paired.range?;
            Some((setting.lambda0[k], unit * paired.estimate, unit * low, unit * high))
        })
        .collect();
    if points.len() < 2 {
        return Ok(None);
    }
    let mut data = panel_rows();
    add_rows(&mut data, "target, minus that at λ₀*", &points);
    data.extend(optimum_rows(analysis));
    let mut out = vec![];
    let (left, right) = (130.0, width - 30.0);
    let axis = LambdaAxis::new(&setting.lambda0, left, right);
    out.push(fitted((left, 18.0), &title(study, setting), width - 580.0, INK));
    out.push(text((right, 18.0), format!("{} seeds, paired, 95% intervals", basis.seeds.len()), HPos::Right, VPos::Top, GREY));
    legend(&mut out, analysis, left, 76.0, width);
    let frame = Frame { left, right, top: 122.0, bottom: 560.0 };
    let label = match basis.metric {
        Metric::Accuracy => "target accuracy − at λ₀* (points)",
        Metric::Loss => "loss at λ₀* − target loss (nats)",
        Metric::R2 => "target R² − at λ₀*",
        Metric::SquaredError => "squared error at λ₀* − target's",
    };
    let zero = Level { name: "", centre: 0.0, low: 0.0, high: 0.0 };
    panel(&mut out, &axis, frame, label, &PanelCurve { points, color: BLUE }, Some(&zero), None);
    draw_optima(&mut out, &axis, frame, analysis, (false, true));
    axis.label(&mut out, (left, right, frame.bottom), &setting.regularizer);
    Ok(Some(render((width, 662.0), &out, &data)?))
}
