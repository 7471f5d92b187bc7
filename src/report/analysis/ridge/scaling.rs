//! Convergence of the simulation to its deterministic equivalent as p grows.

use super::curves::{first_target, CaseRecords, RecordCurve};
use super::{ChartData, ChartKind, Claim, ClaimVerdict, Finding, Findings, Point, SeriesData, SeriesLabel};
use crate::base::interval::{Interval, Z95};
use crate::store::ridge_record::Risk;
use crate::store::RidgeRecord;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RiskKind {
    Source,
    Transfer,
    Scratch,
}

impl RiskKind {
    fn of(self, record: &RidgeRecord) -> Risk {
        match self {
            RiskKind::Source => record.source[0],
            RiskKind::Transfer => first_target(record).transfer[0],
            RiskKind::Scratch => first_target(record).scratch,
        }
    }
}

/// How the relative error of a simulated risk changes with p.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scaling {
    /// With a single p there is no growth to measure.
    SingleP,
    /// A risk that is 0 or has no spread has no relative error.
    NoRelativeError,
    Measured {
        /// Relative error at the smallest p.
        first_error: f64,
        first_p: f64,
        /// Upper end of the error's interval at the largest p.
        last_bound: f64,
        last_p: f64,
        /// Number of p at which the error is distinguishable from 0, out of `total`.
        seen: usize,
        total: usize,
        /// The constant c of the bound c/p, from the upper end at the smallest p, and the number of
        /// p whose 99% interval is above this bound.
        constant: f64,
        above: usize,
        /// Exponent of p in the spread of one draw.
        exponent: f64,
    },
}

/// Slope of log y against log x by least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let logs: Vec<(f64, f64)> = points.iter().map(|p| (p.0.ln(), p.1.ln())).collect();
    let n = logs.len() as f64;
    let (mx, my) = (logs.iter().map(|p| p.0).sum::<f64>() / n, logs.iter().map(|p| p.1).sum::<f64>() / n);
    logs.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum::<f64>() / logs.iter().map(|p| (p.0 - mx).powi(2)).sum::<f64>()
}

pub fn findings(view: &CaseRecords) -> Findings {
    let mut out = Findings::default();
    let mut series = vec![];
    for curve in view.curves("p") {
        for kind in [RiskKind::Source, RiskKind::Transfer, RiskKind::Scratch] {
            let error: Vec<Point> = curve.items.iter().map(|(p, record)| relative_error(*p, &kind.of(record))).collect();
            let (Some(first), Some(last)) = (error.first(), error.last()) else { continue };
            let spread: Vec<(f64, f64)> = curve.items.iter().map(|(p, record)| (*p, spread_of_draw(kind, record))).collect();
            let (scaling, verdict) = scaling(kind, &curve, &error, &spread, first, last);
            out.claims.push(Claim {
                finding: Finding::ConvergesWithP { risk: kind, axes: curve.axes.clone(), scaling },
                is_beyond_assumptions: false,
                verdict,
            });
            if matches!(scaling, Scaling::Measured { .. }) {
                series.push(SeriesData { label: SeriesLabel::ErrorOfMean(kind, curve.axes.clone()), line: vec![], points: error });
                series.push(SeriesData { label: SeriesLabel::SpreadOfDraw(kind, curve.axes.clone()), line: spread, points: vec![] });
            }
        }
    }
    out.charts.push(ChartData { kind: ChartKind::Scaling, series });
    out
}

/// |simulated/predicted − 1| with its interval; marked if it is not distinguishable from 0.
fn relative_error(p: f64, risk: &Risk) -> Point {
    let y = (risk.simulated / risk.predicted - 1.0).abs();
    let half = Z95 * risk.error / risk.predicted;
    Point { x: p, value: Interval { estimate: y, range: Some((y - half, y + half)) }, is_marked: y < half }
}

fn spread_of_draw(kind: RiskKind, record: &RidgeRecord) -> f64 {
    let risk = kind.of(record);
    risk.error * (record.draws as f64).sqrt() / risk.predicted
}

fn scaling(
    kind: RiskKind,
    curve: &RecordCurve,
    error: &[Point],
    spread: &[(f64, f64)],
    first: &Point,
    last: &Point,
) -> (Scaling, ClaimVerdict) {
    if curve.items.len() < 2 {
        return (Scaling::SingleP, ClaimVerdict::Undecided);
    }
    let has_no_error = |record: &RidgeRecord| kind.of(record).predicted <= 0.0 || kind.of(record).error <= 0.0;
    if curve.items.iter().any(|(_, record)| has_no_error(record)) {
        return (Scaling::NoRelativeError, ClaimVerdict::Undecided);
    }
    let upper = |point: &Point| point.value.range.map_or(f64::NAN, |range| range.1);
    // An error above its own standard error is measured; an error below it is only bounded.
    let seen = error.iter().filter(|e| !e.is_marked && e.value.estimate > 0.0).count();
    let constant = first.x * upper(first);
    let above = error.iter().filter(|e| e.value.estimate - 1.33 * (upper(e) - e.value.estimate) > constant / e.x).count();
    let exponent = slope(spread);
    let verdict = match exponent < -0.4 && above == 0 {
        true if seen == 0 || error.len() < 3 => ClaimVerdict::Undecided,
        holds => ClaimVerdict::of(holds),
    };
    let measured = Scaling::Measured {
        first_error: first.value.estimate,
        first_p: first.x,
        last_bound: upper(last),
        last_p: last.x,
        seen,
        total: error.len(),
        constant,
        above,
        exponent,
    };
    (measured, verdict)
}
