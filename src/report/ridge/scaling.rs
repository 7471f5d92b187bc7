//! Simulation against its deterministic equivalent as p grows.

use super::view::{main, View, Z95};
use super::{Claim, Findings, Plot, Verdict};
use crate::report::figure::chart::{Axis, Chart, Point, Series};
use crate::store::ridge_record::Risk;
use crate::store::RidgeRecord;

/// Slope of log y against log x, by least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let logs: Vec<(f64, f64)> = points.iter().map(|p| (p.0.ln(), p.1.ln())).collect();
    let n = logs.len() as f64;
    let (mx, my) = (logs.iter().map(|p| p.0).sum::<f64>() / n, logs.iter().map(|p| p.1).sum::<f64>() / n);
    logs.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum::<f64>() / logs.iter().map(|p| (p.0 - mx).powi(2)).sum::<f64>()
}

pub fn findings(view: &View) -> Findings {
    let mut out = Findings::default();
    let mut series = vec![];
    for curve in view.curves("p") {
        for name in ["source risk", "R_TL", "R_S"] {
            let risk = |r: &RidgeRecord| -> Risk {
                match name {
                    "R_TL" => main(r).transfer[0],
                    "R_S" => main(r).scratch,
                    _ => r.source[0],
                }
            };
            let error: Vec<Point> = curve
                .items
                .iter()
                .map(|(p, r)| {
                    let k = risk(r);
                    let y = (k.simulated / k.predicted - 1.0).abs();
                    let half = Z95 * k.error / k.predicted;
                    Point { x: *p, y, low: y - half, high: y + half, hollow: y < half }
                })
                .collect();
            let spread: Vec<(f64, f64)> =
                curve.items.iter().map(|(p, r)| (*p, risk(r).error * (r.draws as f64).sqrt() / risk(r).predicted)).collect();
            // Above its own standard error the simulation sees the equivalent's error; below it only bounds it.
            let seen: Vec<(f64, f64)> = error.iter().filter(|e| !e.hollow && e.y > 0.0).map(|e| (e.x, e.y)).collect();
            let label = if curve.label.is_empty() { name.to_string() } else { format!("{name}, {}", curve.label) };
            let (Some(first), Some(last)) = (error.first(), error.last()) else { continue };
            if curve.items.len() < 2 || curve.items.iter().any(|(_, r)| risk(r).predicted <= 0.0 || risk(r).error <= 0.0) {
                out.claims.push(Claim {
                    beyond: false,
                    claim: format!("simulation → deterministic equivalent as p grows ({label})"),
                    predicted: "error O(1/p); spread of one draw O(p^−1/2) or less".into(),
                    simulated: match curve.items.len() {
                        0 | 1 => "one p says nothing about growth".into(),
                        _ => "a risk of 0 or without spread has no relative error".into(),
                    },
                    verdict: Verdict::Open,
                });
                continue;
            }
            // O(1/p), with the constant that the smallest p shows.
            let constant = first.x * first.high;
            let beyond = error.iter().filter(|e| e.y - 1.33 * (e.high - e.y) > constant / e.x).count();
            out.claims.push(Claim {
                beyond: false,
                claim: format!("simulation → deterministic equivalent as p grows ({label})"),
                predicted: "error O(1/p); spread of one draw O(p^−1/2) or less".into(),
                simulated: format!(
                    "error {}% at p = {}, told from 0 at {} of {} p, above {}/p (beyond 99% intervals) at {beyond}, below {}% at p = {}; one draw's spread falls as p^{:.2}",
                    super::view::short(100.0 * first.y),
                    first.x,
                    seen.len(),
                    error.len(),
                    super::view::short(constant),
                    super::view::short(100.0 * last.high),
                    last.x,
                    slope(&spread)
                ),
                verdict: match slope(&spread) < -0.4 && beyond == 0 {
                    true if seen.is_empty() || error.len() < 3 => Verdict::Open,
                    holds => Verdict::of(holds),
                },
            });
            let hue = Some(series.len() / 2);
            series.push(Series { label: format!("{label}: error of the mean"), points: error, hue, ..Series::default() });
            series.push(Series { label: format!("{label}: spread of a draw"), line: spread, hue, ..Series::default() });
        }
    }
    out.plots.push(Plot {
        name: "scaling".into(),
        caption:
            "Relative distance between simulation and its deterministic equivalent, and the relative spread of a single draw, against p."
                .into(),
        chart: Chart {
            title: view.study.name.clone(),
            note: "95% intervals; hollow: not told from 0".into(),
            x: Axis { label: "dimension p (n₀ and n₁ in proportion)".into(), log: true },
            y: Axis { label: "relative to the predicted risk".into(), log: true },
            series,
            level: None,
            at: None,
        },
    });
    out
}
