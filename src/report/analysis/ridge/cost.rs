//! The target's cost of using λ_S* in place of λ₀*, and where λ_S* turns transfer into negative
//! transfer.

use super::agreement::Agreement;
use super::curves::{first_target, Axes, CaseRecords, RecordCurve};
use super::{ChartData, ChartKind, Claim, ClaimVerdict, Finding, Findings, Point, SeriesData, SeriesLabel};
use crate::store::RidgeRecord;

/// The smallest and the largest cost away from ρ = 1. The largest comes with its curve and ρ.
#[derive(Debug, Clone)]
pub struct CostElsewhere {
    pub least: f64,
    pub largest: f64,
    pub largest_at: Option<(Axes, f64)>,
}

pub fn findings(view: &CaseRecords) -> Findings {
    let curves = view.curves("rho");
    let is_beyond = !curves.iter().all(RecordCurve::is_isotropic);
    let claims = vec![cost_of_source_optimum(&curves, is_beyond), turns_negative(&curves, is_beyond)];
    let series = |curve: &RecordCurve| {
        let point = |(x, record): &(f64, &RidgeRecord)| {
            let point = Point::of_interval(*x, first_target(record).simulated_cost.as_ref()?, 100.0)?;
            Some(Point { is_marked: is_negative(record), ..point })
        };
        SeriesData {
            label: SeriesLabel::Axes(curve.axes.clone()),
            line: curve.items.iter().filter_map(|(x, record)| Some((*x, 100.0 * first_target(record).cost?))).collect(),
            points: curve.items.iter().filter_map(point).collect(),
        }
    };
    Findings { claims, charts: vec![ChartData { kind: ChartKind::Cost, series: curves.iter().map(series).collect() }] }
}

/// Gains below this are treated as 0. At ρ = ½ the gain at λ_S* is exactly 0 (isotropic case), so
/// rounding must not decide its sign.
fn rounding(record: &RidgeRecord) -> f64 {
    1e-9 * first_target(record).scratch.predicted
}

/// Whether transfer at λ_S* is predicted to hurt.
fn is_negative(record: &RidgeRecord) -> bool {
    first_target(record).gain_at_source_optimal < -rounding(record)
}

fn cost_of_source_optimum(curves: &[RecordCurve], is_beyond: bool) -> Claim {
    let (mut largest, mut largest_at) = (0.0, None);
    let (mut hits, mut n, mut furthest, mut below_zero) = (0, 0, 0.0f64, 0);
    let (mut at_one, mut least) = (None::<f64>, f64::INFINITY);
    for curve in curves {
        for (rho, record) in &curve.items {
            let at = first_target(record);
            let Some(cost) = at.cost else { continue };
            if cost > largest {
                (largest, largest_at) = (cost, Some((curve.axes.clone(), *rho)));
            }
            match (rho - 1.0).abs() < 1e-9 {
                true => at_one = Some(at_one.unwrap_or(0.0).max(cost.abs())),
                false => least = least.min(cost),
            }
            let Some((simulated, held)) = at.simulated_cost.as_ref().and_then(|i| Some((i, i.holds(cost)?))) else { continue };
            n += 1;
            hits += usize::from(held);
            let estimate = Some(simulated.estimate).filter(|v| v.is_finite()).unwrap_or(cost);
            furthest = furthest.max((estimate - cost).abs());
            below_zero += usize::from(simulated.is_below(0.0));
        }
    }
    let agreement = Agreement::new(hits, n, furthest);
    let verdict = match agreement.verdict() {
        _ if at_one.is_none() || !least.is_finite() => ClaimVerdict::Undecided,
        ClaimVerdict::Holds if at_one.is_some_and(|cost| cost < 1e-9) && least > 0.0 && below_zero == 0 => ClaimVerdict::Holds,
        ClaimVerdict::Undecided => ClaimVerdict::Undecided,
        _ => ClaimVerdict::DoesNotHold,
    };
    let elsewhere = least.is_finite().then_some(CostElsewhere { least, largest, largest_at });
    let finding = Finding::CostOfSourceOptimum { at_one, elsewhere, agreement, below_zero };
    Claim { finding, is_beyond_assumptions: is_beyond, verdict }
}

fn turns_negative(curves: &[RecordCurve], is_beyond: bool) -> Claim {
    let (mut negative, mut turned, mut simulated_negative, mut simulated_turned) = (0, 0, 0, 0);
    let records: Vec<&RidgeRecord> = curves.iter().flat_map(|curve| curve.items.iter().map(|(_, record)| *record)).collect();
    for record in &records {
        let at = first_target(record);
        if at.cost.is_none() {
            continue;
        }
        negative += usize::from(is_negative(record));
        turned += usize::from(is_negative(record) && at.gain_at_transfer_optimal > rounding(record));
        if let Some(source) = at.simulated_gain_at_source_optimal.as_ref().filter(|gain| gain.is_below(0.0)) {
            simulated_negative += usize::from(source.estimate.is_finite());
            simulated_turned += usize::from(at.simulated_gain_at_transfer_optimal.as_ref().is_some_and(|gain| gain.is_above(0.0)));
        }
    }
    let total = records.len();
    let verdict = match turned > 0 {
        _ if total == 0 => ClaimVerdict::Undecided,
        true if simulated_turned == 0 => ClaimVerdict::Undecided,
        holds => ClaimVerdict::of(holds),
    };
    let finding = Finding::TurnsNegative { negative, turned, total, simulated_negative, simulated_turned };
    Claim { finding, is_beyond_assumptions: is_beyond, verdict }
}
