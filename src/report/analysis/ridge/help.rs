//! Whether transfer helps: R_S − R_TL as a function of the source's noise, and of the target's size
//! and noise.

use super::agreement::{Agreement, Quantity};
use super::curves::{crossings, first_gain, first_target, has_isotropic_targets, is_isotropic, Axes, CaseRecords, RecordCurve};
use super::{ChartData, ChartKind, Claim, ClaimVerdict, Finding, Findings, Point, SeriesData, SeriesLabel};
use crate::base::interval::Z95;
use crate::store::ridge_record::Risk;
use crate::store::RidgeRecord;

/// Number of targets in which transfer helps, hurts, or has an effect not distinguishable from 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SignCounts {
    pub helps: usize,
    pub hurts: usize,
    pub unclear: usize,
}

impl SignCounts {
    fn of(records: &[&RidgeRecord], sign: impl Fn(&Risk) -> i32) -> SignCounts {
        let count = |wanted: i32| records.iter().filter(|record| sign(first_gain(record)) == wanted).count();
        SignCounts { helps: count(1), hurts: count(-1), unclear: count(0) }
    }

    fn changes(&self) -> bool {
        self.helps > 0 && self.hurts > 0
    }
}

fn predicted_sign(risk: &Risk) -> i32 {
    i32::from(risk.predicted > 0.0) - i32::from(risk.predicted < 0.0)
}

/// −1, 0 (not distinguishable from 0) or 1.
fn simulated_sign(risk: &Risk) -> i32 {
    let half = Z95 * risk.error;
    i32::from(risk.simulated > half) - i32::from(risk.simulated < -half)
}

fn equivalents_agree(curves: &[RecordCurve]) -> Claim {
    let items = curves.iter().flat_map(|curve| curve.items.iter().map(|(_, record)| record));
    let all: Vec<(&Risk, f64)> = items.map(|record| (first_gain(record), first_target(record).scratch.predicted)).collect();
    let hits = all.iter().filter(|(risk, _)| (risk.simulated - risk.predicted).abs() <= Z95 * risk.error).count();
    let furthest = all.iter().map(|(risk, scratch)| (risk.predicted - risk.simulated).abs() / scratch).fold(0.0, f64::max);
    let agreement = Agreement::new(hits, all.len(), furthest);
    Claim {
        finding: Finding::EquivalentsAgree { quantity: Quantity::Gains, agreement, furthest: None },
        is_beyond_assumptions: false,
        verdict: agreement.verdict(),
    }
}

fn gain_chart(curves: &[RecordCurve], kind: ChartKind) -> ChartData {
    let scratch = |record: &RidgeRecord| first_target(record).scratch.predicted;
    let series = |curve: &RecordCurve| SeriesData {
        label: SeriesLabel::Axes(curve.axes.clone()),
        line: curve.items.iter().map(|(x, record)| (*x, first_gain(record).predicted / scratch(record))).collect(),
        points: curve.items.iter().map(|(x, record)| Point::of_risk(*x, first_gain(record), 1.0 / scratch(record))).collect(),
    };
    ChartData { kind, series: curves.iter().map(series).collect() }
}

/// Corollary 3.4: transfer helps less as the source's noise grows.
pub fn source_noise(view: &CaseRecords) -> Findings {
    let curves = view.curves("source.noise");
    let mut claims: Vec<Claim> = curves.iter().map(help_shrinks).collect();
    claims.push(equivalents_agree(&curves));
    let threshold = |curve: &RecordCurve| SeriesData {
        label: SeriesLabel::Axes(curve.axes.clone()),
        line: curve.items.iter().filter_map(|(x, record)| Some((*x, first_target(record).threshold[0]?))).collect(),
        points: vec![],
    };
    let rho = curves.first().and_then(|curve| curve.items.first()).map(|(_, record)| record.targets[0].rho);
    let thresholds = ChartData { kind: ChartKind::Threshold { rho }, series: curves.iter().map(threshold).collect() };
    Findings { claims, charts: vec![gain_chart(&curves, ChartKind::GainOverNoise), thresholds] }
}

fn help_shrinks(curve: &RecordCurve) -> Claim {
    let items = &curve.items;
    let predicted: Vec<(f64, f64)> = items.iter().map(|(x, record)| (*x, first_gain(record).predicted)).collect();
    let simulated: Vec<(f64, f64)> = items.iter().map(|(x, record)| (*x, first_gain(record).simulated)).collect();
    let falls = |points: &[(f64, f64)]| points.windows(2).all(|w| w[1].1 < w[0].1);
    // Number of steps to the next noise value with a significant rise (1) or fall (−1).
    let significant_steps = |sign: f64| {
        let is_significant = |w: &[(f64, &RidgeRecord)]| {
            let (a, b) = (first_gain(w[0].1), first_gain(w[1].1));
            sign * (b.simulated - a.simulated) > Z95 * a.error.hypot(b.error)
        };
        items.windows(2).filter(|w| is_significant(w)).count()
    };
    let thresholds: Vec<f64> = items.iter().filter_map(|(_, record)| first_target(record).threshold[0]).collect();
    let zero = |points: &[(f64, f64)]| crossings(points, 0.0).first().copied();
    let holds = falls(&predicted) && significant_steps(1.0) == 0 && thresholds.windows(2).all(|w| w[1] > w[0]);
    // Where transfer and training from scratch give the same estimate, nothing falls or rises.
    let says_nothing = thresholds.len() < items.len() || predicted.iter().all(|(_, gain)| *gain == 0.0);
    let is_weak = holds && (items.len() < 2 || 2 * significant_steps(-1.0) < items.len() - 1);
    Claim {
        finding: Finding::HelpShrinksWithNoise {
            axes: curve.axes.clone(),
            predicted_falls: falls(&predicted),
            predicted_zero: zero(&predicted),
            exact_zero: ridgeless_noise(curve),
            thresholds: thresholds.first().copied().zip(thresholds.last().copied()),
            simulated_falls: falls(&simulated),
            simulated_zero: zero(&simulated),
        },
        is_beyond_assumptions: !curve.is_isotropic(),
        verdict: if says_nothing || is_weak { ClaimVerdict::Undecided } else { ClaimVerdict::of(holds) },
    }
}

/// The σ₀² at which the exact ridgeless condition changes sign: (2ρ − 1)(|p − n₀| − 1)/p.
fn ridgeless_noise(curve: &RecordCurve) -> Option<f64> {
    let (_, record) = curve.items.first()?;
    let p = record.settings["p"].as_f64()?;
    (is_isotropic(record) && record.lambda0[0] == 0.0)
        .then(|| (2.0 * record.targets[0].rho - 1.0) * ((p - record.n0 as f64).abs() - 1.0) / p)
}

/// Whether the sign of the gain depends on n₁ and σ₁². It does not if Σ₁ = I.
pub fn target_size(view: &CaseRecords) -> Findings {
    let curves = view.curves("n1");
    // Groups of cases that differ only in the target's size and noise.
    let mut groups: Vec<(Axes, Vec<&RidgeRecord>)> = vec![];
    for curve in &curves {
        let axes = curve.axes_without("target.noise");
        let records = curve.items.iter().map(|(_, record)| *record);
        match groups.iter_mut().find(|(known, _)| *known == axes) {
            Some((_, list)) => list.extend(records),
            None => groups.push((axes, records.collect())),
        }
    }
    let mut claims: Vec<Claim> = groups.into_iter().map(|(axes, records)| target_size_matters(axes, &records)).collect();
    claims.push(equivalents_agree(&curves));
    Findings { claims, charts: vec![gain_chart(&curves, ChartKind::GainOverTargetSize)] }
}

/// One claim for both kinds of study. The paper's claim is for Σ₁ = I; the anisotropic study shows
/// its limits.
fn target_size_matters(axes: Axes, records: &[&RidgeRecord]) -> Claim {
    let (predicted, simulated) = (SignCounts::of(records, predicted_sign), SignCounts::of(records, simulated_sign));
    let is_isotropic = records.iter().all(|record| has_isotropic_targets(record));
    let verdict = match is_isotropic {
        true if predicted.changes() || simulated.changes() => ClaimVerdict::DoesNotHold,
        true if simulated.unclear * 4 > records.len() => ClaimVerdict::Undecided,
        true => ClaimVerdict::Holds,
        false if simulated.changes() => ClaimVerdict::Holds,
        false if predicted.changes() => ClaimVerdict::Undecided,
        false => ClaimVerdict::DoesNotHold,
    };
    let finding = Finding::TargetSizeMatters { axes, is_isotropic, predicted, simulated, targets: records.len() };
    Claim { finding, is_beyond_assumptions: !is_isotropic, verdict }
}
