//! Predicted and simulated risks against λ₀, for a study without a specific question.

use super::agreement::{Agreement, Quantity};
use super::curves::CaseRecords;
use super::{ChartData, ChartKind, Claim, Finding, Findings, Point, SeriesData, SeriesLabel};
use crate::base::interval::Z95;
use crate::store::ridge_record::Risk;
use crate::store::RidgeRecord;

/// Largest number of cases with a figure. The tables contain all cases.
const MAX_FIGURES: usize = 12;

/// Largest number of transfer curves (targets × λ₁) in one figure.
const MAX_TRANSFER_CURVES: usize = 7;

pub fn findings(view: &CaseRecords) -> Findings {
    let several = view.cases.len() > 1;
    let charts =
        view.cases.iter().take(MAX_FIGURES).enumerate().map(|(index, (case, record))| ChartData {
            kind: ChartKind::Risks { case: case.label(), index, several },
            series: series(record),
        });
    Findings { claims: vec![equivalents_agree(view)], charts: charts.collect() }
}

fn series(record: &RidgeRecord) -> Vec<SeriesData> {
    let series = |label: SeriesLabel, risks: &[Risk]| SeriesData {
        label,
        line: record.lambda0.iter().zip(risks).map(|(x, risk)| (*x, risk.predicted)).collect(),
        points: record.lambda0.iter().zip(risks).map(|(x, risk)| Point::of_risk(*x, risk, 1.0)).collect(),
    };
    let targets = record.targets.iter().flat_map(|target| target.at.iter().map(move |at| (target, at)));
    let transfer = targets
        .take(MAX_TRANSFER_CURVES)
        .map(|(target, at)| series(SeriesLabel::TransferRisk { target: target.name.clone(), lambda1: at.lambda1 }, &at.transfer));
    [series(SeriesLabel::SourceRisk, &record.source)].into_iter().chain(transfer).collect()
}

fn equivalents_agree(view: &CaseRecords) -> Claim {
    let of_record = |record: &RidgeRecord| -> Vec<Risk> {
        let targets = record.targets.iter().flat_map(|target| &target.at);
        record.source.iter().chain(targets.flat_map(|at| at.transfer.iter().chain([&at.scratch]))).copied().collect()
    };
    let all: Vec<Risk> = view.cases.iter().flat_map(|(_, record)| of_record(record)).collect();
    let hits = all.iter().filter(|risk| (risk.simulated - risk.predicted).abs() <= Z95 * risk.error).count();
    let furthest = all.iter().map(|risk| (risk.simulated / risk.predicted - 1.0).abs()).fold(0.0, f64::max);
    let agreement = Agreement::new(hits, all.len(), furthest);
    Claim {
        finding: Finding::EquivalentsAgree { quantity: Quantity::Risks, agreement, furthest: None },
        is_beyond_assumptions: false,
        verdict: agreement.verdict(),
    }
}
