//! λ₀*/λ_S* as a function of ρ: the paper's alignment-dependent reversal, and where the ratio
//! crosses 1.

use super::agreement::{Agreement, Quantity};
use super::curves::{crossings, first_target, Axes, CaseRecords, RecordCurve};
use super::{ChartData, ChartKind, Claim, ClaimVerdict, Finding, Findings, Point, SeriesData, SeriesLabel};
use crate::base::interval::Interval;
use crate::store::RidgeRecord;

/// Largest number of curves in one figure.
const MAX_CURVES: usize = 6;

/// Largest distance from 1 at which a crossing still counts as 1.
const TOLERANCE: f64 = 0.005;

/// Counts of the points away from ρ = 1. Their simulated ratio is on the claimed side of 1, on the
/// other side, or has an interval that contains 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sides {
    pub expected: usize,
    pub opposite: usize,
    pub unclear: usize,
}

/// Where the simulated ratio crosses 1, and where the ends of its intervals do. Infinite if there
/// is no crossing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Crossing {
    pub at: f64,
    pub low: f64,
    pub high: f64,
}

impl Crossing {
    pub fn has_spread(&self) -> bool {
        self.high - self.low >= 1e-6
    }

    pub fn is_at_one(&self) -> bool {
        is_one(self.at)
    }
}

fn is_one(rho: f64) -> bool {
    (rho - 1.0).abs() <= TOLERANCE
}

fn is_exactly_one(rho: f64) -> bool {
    (rho - 1.0).abs() < 1e-9
}

fn count_side(rho: f64, record: &RidgeRecord, sides: &mut Sides) {
    let at = first_target(record);
    if is_exactly_one(rho) {
        return;
    }
    // If the source's optimum is not inside the grid, there is nothing to compare with.
    let edge = at.optimum.simulated_edge.as_deref().filter(|_| record.source_optimum.simulated.is_some());
    let is_above = match (&at.simulated_ratio, edge) {
        (Some(ratio), _) if ratio.is_above(1.0) => Some(true),
        (Some(ratio), _) if ratio.is_below(1.0) => Some(false),
        (None, Some("zero")) => Some(false),
        (None, Some("infinite")) => Some(true),
        _ => None,
    };
    match is_above {
        Some(is_above) if is_above == (rho < 1.0) => sides.expected += 1,
        Some(_) => sides.opposite += 1,
        None => sides.unclear += 1,
    }
}

/// Predicted λ₀*/λ_S*; 0 at the boundary λ₀* = 0.
fn predicted(record: &RidgeRecord) -> Option<f64> {
    first_target(record).ratio
}

fn simulated_crossing(curve: &RecordCurve) -> Option<Crossing> {
    let ratio = |pick: &dyn Fn(&Interval) -> Option<f64>| -> Vec<(f64, f64)> {
        curve.items.iter().filter_map(|(rho, r)| Some((*rho, pick(first_target(r).simulated_ratio.as_ref()?)?.ln()))).collect()
    };
    let first = |points: Vec<(f64, f64)>| crossings(&points, 0.0).first().copied();
    let at = first(ratio(&|i| Some(i.estimate).filter(|v| v.is_finite())))?;
    let low = first(ratio(&Interval::low)).unwrap_or(f64::NEG_INFINITY);
    let high = first(ratio(&Interval::high)).unwrap_or(f64::INFINITY);
    Some(Crossing { at, low: low.min(high), high: low.max(high) })
}

pub fn findings(view: &CaseRecords) -> Findings {
    let curves = view.curves("rho");
    let mut out = Findings::default();
    for is_isotropic in [true, false] {
        let of: Vec<&RecordCurve> = curves.iter().filter(|curve| curve.is_isotropic() == is_isotropic).collect();
        if !of.is_empty() {
            out.claims.push(sides_of_one(&of, is_isotropic));
        }
    }
    for curve in &curves {
        out.claims.push(crosses_one(curve));
    }
    out.claims.extend(equivalents_agree(&curves));
    out.charts = charts(&curves);
    out
}

fn sides_of_one(curves: &[&RecordCurve], is_isotropic: bool) -> Claim {
    let items = || curves.iter().flat_map(|curve| &curve.items);
    let mut sides = Sides::default();
    items().for_each(|(rho, record)| count_side(*rho, record, &mut sides));
    let compared = || items().filter_map(|(rho, record)| Some((*rho, predicted(record)?))).filter(|(rho, _)| !is_exactly_one(*rho));
    let (total, against) = (compared().count(), compared().filter(|(rho, ratio)| (*ratio > 1.0) != (*rho < 1.0)).count());
    Claim {
        finding: Finding::SidesOfOne { is_isotropic, against, total, simulated: sides },
        is_beyond_assumptions: !is_isotropic,
        verdict: match (against, sides.opposite, sides.unclear) {
            _ if total == 0 => ClaimVerdict::Undecided,
            (0, 0, unclear) if unclear == 0 || unclear * 10 <= total => ClaimVerdict::Holds,
            (0, 0, _) => ClaimVerdict::Undecided,
            _ => ClaimVerdict::DoesNotHold,
        },
    }
}

fn crosses_one(curve: &RecordCurve) -> Claim {
    let predicted = curve.items.first().and_then(|(_, record)| first_target(record).crossing);
    let simulated = simulated_crossing(curve);
    let verdict = match (predicted, simulated) {
        (Some(p), Some(s)) if is_one(p) && s.is_at_one() && !s.has_spread() => ClaimVerdict::Holds,
        (Some(p), Some(s)) if s.low.is_finite() && s.high.is_finite() => match s.low <= 1.0 && 1.0 <= s.high {
            true if is_one(p) => ClaimVerdict::Holds,
            true => ClaimVerdict::Undecided,
            false => ClaimVerdict::DoesNotHold,
        },
        _ => ClaimVerdict::Undecided,
    };
    Claim {
        finding: Finding::CrossesOne { axes: curve.axes.clone(), predicted, simulated },
        is_beyond_assumptions: !curve.is_isotropic(),
        verdict,
    }
}

fn equivalents_agree(curves: &[RecordCurve]) -> Option<Claim> {
    let (mut hits, mut n, mut worst) = (0, 0, 0.0f64);
    let mut furthest = None;
    for (curve, (rho, record)) in curves.iter().flat_map(|curve| curve.items.iter().map(move |item| (curve, item))) {
        let (Some(p), Some(simulated)) = (predicted(record).filter(|p| *p > 0.0), &first_target(record).simulated_ratio) else {
            continue;
        };
        let Some(held) = simulated.holds(p) else { continue };
        n += 1;
        hits += usize::from(held);
        // In units of λ_S* if λ₀* is smaller: near λ₀* = 0 a ratio of ratios is not informative.
        let estimate = Some(simulated.estimate).filter(|v| v.is_finite()).unwrap_or(p);
        let off = (estimate - p).abs() / p.max(1.0);
        if off > worst {
            worst = off;
            furthest = Some((curve.axes.clone(), *rho));
        }
    }
    let agreement = Agreement::new(hits, n, worst);
    (n > 0).then(|| Claim {
        finding: Finding::EquivalentsAgree { quantity: Quantity::Ratios, agreement, furthest },
        is_beyond_assumptions: false,
        verdict: agreement.verdict(),
    })
}

fn charts(curves: &[RecordCurve]) -> Vec<ChartData> {
    let mut out: Vec<ChartData> = facets(curves)
        .into_iter()
        .enumerate()
        .map(|(index, (facet, curves))| {
            let series = |(axes, curve): (Axes, &RecordCurve)| {
                let point =
                    |(rho, record): &(f64, &RidgeRecord)| Point::of_interval(*rho, first_target(record).simulated_ratio.as_ref()?, 1.0);
                SeriesData {
                    label: SeriesLabel::Axes(axes),
                    line: curve.items.iter().filter_map(|(rho, record)| Some((*rho, predicted(record)?))).collect(),
                    points: curve.items.iter().filter_map(point).collect(),
                }
            };
            ChartData { kind: ChartKind::Ratio { facet, index }, series: curves.into_iter().map(series).collect() }
        })
        .collect();
    out.extend(crossing_chart(curves));
    out
}

/// Returns (axes of the facet, [(axes within the facet, curve)]). If there are too many curves for
/// one figure, there is one facet for each combination of the axes other than γ.
fn facets<'a, 'b>(curves: &'b [RecordCurve<'a>]) -> Vec<(Axes, Vec<(Axes, &'b RecordCurve<'a>)>)> {
    let mut out: Vec<(Axes, Vec<(Axes, &RecordCurve)>)> = vec![];
    for curve in curves {
        let (facet, within): (Axes, Axes) = curve.axes.iter().cloned().partition(|(path, _)| curves.len() > MAX_CURVES && path != "gamma");
        match out.iter_mut().find(|(known, _)| *known == facet) {
            Some((_, list)) => list.push((within, curve)),
            None => out.push((facet, vec![(within, curve)])),
        }
    }
    out
}

/// The ρ at which the ratio crosses 1, against γ, for studies that vary the covariance.
fn crossing_chart(curves: &[RecordCurve]) -> Option<ChartData> {
    if curves.len() <= MAX_CURVES {
        return None;
    }
    let gamma = |curve: &RecordCurve| {
        let (_, record) = curve.items.first()?;
        Some(record.settings["p"].as_f64()? / record.n0 as f64)
    };
    let mut series: Vec<SeriesData> = vec![];
    for curve in curves {
        let Some(x) = gamma(curve) else { continue };
        let label = SeriesLabel::Axes(curve.axes_without("gamma"));
        let at = series.iter().position(|s| s.label == label).unwrap_or_else(|| {
            series.push(SeriesData { label, line: vec![], points: vec![] });
            series.len() - 1
        });
        series[at].line.extend(curve.items.first().and_then(|(_, record)| first_target(record).crossing).map(|y| (x, y)));
        series[at].points.extend(simulated_crossing(curve).map(|Crossing { at, low, high }| Point {
            x,
            value: Interval { estimate: at, range: Some((low, high)) },
            is_marked: false,
        }));
    }
    Some(ChartData { kind: ChartKind::Crossing, series })
}
