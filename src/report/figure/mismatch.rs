//! What every other λ₀ costs the target: paired differences from the transfer-optimal one.

use anyhow::Result;

use super::canvas::{render, text, Figure, HPos, VPos, BLUE, INK};
use super::curves::legend;
use super::lambda_axis::LambdaAxis;
use super::panel::{optima, panel, Curve, Frame, Level};
use super::{fitted, title, GREY};
use crate::config::Study;
use crate::report::collect::Metric;
use crate::report::section::Section;

/// Target test metric at each λ₀ (with its best λ₁) minus that at λ₀*, paired by seed: far narrower than the difference of two bands of
/// Figure 2, since what a seed does to all λ₀ alike cancels. Higher is better. None with fewer than two λ₀ or two seeds.
pub fn mismatch(study: &Study, section: &Section) -> Result<Option<Figure>> {
    let (group, answer) = (&section.group, &section.answer);
    let Some((i, j)) = answer.transfer else { return Ok(None) };
    let Some(best) = answer.test_scores(&group.target[i][j]) else { return Ok(None) };
    let (_, unit, _) = answer.metric.unit();
    let points: Vec<_> = (0..group.lambda0.len())
        .filter_map(|k| {
            let row = &group.target[k];
            let own = answer.test_scores(&row[answer.best_lambda1(row)?])?;
            let paired = answer.metric.paired(&own.iter().zip(&best).map(|(a, b)| a - b).collect::<Vec<_>>());
            let (low, high) = paired.range?;
            Some((group.lambda0[k], unit * paired.estimate, unit * low, unit * high))
        })
        .collect();
    if points.len() < 2 {
        return Ok(None);
    }
    let mut out = vec![];
    let (left, right) = (130.0, 970.0);
    let axis = LambdaAxis::new(&group.lambda0, left, right);
    out.push(fitted((left, 18.0), &title(study, group), 420.0, INK));
    out.push(text((right, 18.0), format!("{} seeds, paired, 95% intervals", answer.seeds.len()), HPos::Right, VPos::Top, GREY));
    legend(&mut out, section, left, 76.0);
    let frame = Frame { left, right, top: 122.0, bottom: 560.0 };
    let label = match answer.metric {
        Metric::Accuracy => "target accuracy − at λ₀* (points)",
        Metric::Loss => "loss at λ₀* − target loss (nats)",
    };
    let zero = Level { name: "", centre: 0.0, low: 0.0, high: 0.0 };
    panel(&mut out, &axis, frame, label, &Curve { points, color: BLUE }, Some(&zero));
    optima(&mut out, &axis, frame, section, (false, true));
    axis.label(&mut out, (left, right, frame.bottom), &group.strength);
    Ok(Some(render((1000, 662), &out)?))
}
