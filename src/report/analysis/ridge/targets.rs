//! One λ₀ for several targets (the paper's open question 2).

use super::curves::CaseRecords;
use super::{ChartData, ChartKind, Claim, ClaimVerdict, Finding, Findings, Point, SeriesData, SeriesLabel};
use crate::base::interval::Interval;
use crate::store::ridge_record::{CompromiseRecord, OptimumRecord, TargetRecord};
use crate::store::RidgeRecord;

/// A predicted optimal λ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OptimumValue {
    /// The risk does not depend on λ.
    Undetermined,
    Infinite,
    At(f64),
}

impl OptimumValue {
    fn of(optimum: &OptimumRecord) -> OptimumValue {
        match (optimum.edge.as_deref(), optimum.predicted) {
            (Some("flat"), _) => OptimumValue::Undetermined,
            (_, Some(lambda)) => OptimumValue::At(lambda),
            (_, None) => OptimumValue::Infinite,
        }
    }
}

/// The optimal λ₀ of one target alone.
#[derive(Debug, Clone)]
pub struct TargetOptimum {
    pub name: Option<String>,
    pub rho: f64,
    pub predicted: OptimumValue,
    /// None if the simulated risk is smallest at an end of the grid.
    pub simulated: Option<Interval>,
}

/// The cost of a shared λ₀ for one target.
#[derive(Debug, Clone)]
pub struct TargetRegret {
    pub name: Option<String>,
    pub predicted: f64,
    pub simulated: Option<Interval>,
}

pub fn findings(view: &CaseRecords) -> Findings {
    let mut out = Findings::default();
    for (index, (case, record)) in view.cases.iter().enumerate() {
        let case = case.label();
        out.claims.extend(opposite_corrections(&case, record));
        out.claims.extend(record.compromises.iter().map(|compromise| self::compromise(&case, record, compromise)));
        out.charts.push(chart(case, index, record));
    }
    out
}

/// None if all targets are on the same side of ρ = 1.
fn opposite_corrections(case: &str, record: &RidgeRecord) -> Option<Claim> {
    let optimum = |target: &TargetRecord| OptimumValue::of(&target.at[0].optimum);
    let source = OptimumValue::of(&record.source_optimum);
    let is_determined = |value: OptimumValue| value != OptimumValue::Undetermined;
    let all_determined = is_determined(source) && record.targets.iter().all(|target| is_determined(optimum(target)));
    let lambda_source = record.source_optimum.predicted.unwrap_or(f64::INFINITY);
    let is_stronger = |target: &TargetRecord| target.at[0].optimum.predicted.is_none_or(|lambda| lambda > lambda_source);
    let opposite = record.targets.iter().any(is_stronger) && !record.targets.iter().all(is_stronger);
    let is_seen = |target: &TargetRecord| {
        let ratio = target.at[0].simulated_ratio.as_ref();
        ratio.is_some_and(|ratio| if target.rho < 1.0 { ratio.is_above(1.0) } else { ratio.is_below(1.0) })
    };
    let is_seen_everywhere = record.targets.iter().all(is_seen);
    let both_sides = record.targets.iter().any(|t| t.rho < 1.0) && record.targets.iter().any(|t| t.rho > 1.0);
    let target = |target: &TargetRecord| TargetOptimum {
        name: target.name.clone(),
        rho: target.rho,
        predicted: optimum(target),
        simulated: target.at[0].optimum.simulated,
    };
    both_sides.then(|| Claim {
        finding: Finding::OppositeCorrections { case: case.into(), source, targets: record.targets.iter().map(target).collect() },
        is_beyond_assumptions: false,
        verdict: match opposite {
            _ if !all_determined => ClaimVerdict::Undecided,
            true if !is_seen_everywhere => ClaimVerdict::Undecided,
            holds => ClaimVerdict::of(holds),
        },
    })
}

fn compromise(case: &str, record: &RidgeRecord, compromise: &CompromiseRecord) -> Claim {
    let regrets = compromise.regret.iter().zip(&compromise.simulated_regret);
    let held: Vec<Option<bool>> =
        regrets.clone().map(|(predicted, simulated)| simulated.as_ref().and_then(|s| s.holds(*predicted))).collect();
    let optimum = &compromise.optimum;
    let optimum_held = optimum.simulated.as_ref().zip(optimum.predicted).and_then(|(simulated, predicted)| simulated.holds(predicted));
    let regret = |(target, (predicted, simulated)): (&TargetRecord, (&f64, &Option<Interval>))| TargetRegret {
        name: target.name.clone(),
        predicted: *predicted,
        simulated: *simulated,
    };
    Claim {
        finding: Finding::Compromise {
            case: case.into(),
            objective: compromise.objective.clone(),
            asked: compromise.asked,
            optimum: OptimumValue::of(optimum),
            simulated: optimum.simulated,
            regrets: record.targets.iter().zip(regrets).map(regret).collect(),
        },
        is_beyond_assumptions: false,
        verdict: match held.contains(&Some(false)) || optimum_held == Some(false) {
            true => ClaimVerdict::DoesNotHold,
            false if held.contains(&None) => ClaimVerdict::Undecided,
            false => ClaimVerdict::Holds,
        },
    }
}

fn chart(case: String, index: usize, record: &RidgeRecord) -> ChartData {
    let of_target = |target: &TargetRecord| {
        let risks = || record.lambda0.iter().zip(&target.at[0].transfer);
        SeriesData {
            label: SeriesLabel::Target { name: target.name.clone().unwrap_or_default(), rho: target.rho },
            line: risks().map(|(x, risk)| (*x, risk.predicted)).collect(),
            points: risks().step_by(3).map(|(x, risk)| Point::of_risk(*x, risk, 1.0)).collect(),
        }
    };
    let total: f64 = record.targets.iter().map(|target| target.weight).sum();
    let mean_at = |l: usize| record.targets.iter().map(|t| t.weight / total * t.at[0].transfer[l].predicted).sum();
    let mean = SeriesData {
        label: SeriesLabel::WeightedMean,
        line: (0..record.lambda0.len()).map(|l| (record.lambda0[l], mean_at(l))).collect(),
        points: vec![],
    };
    let compromise = record.compromises.iter().find(|c| c.asked).and_then(|c| c.optimum.predicted);
    ChartData { kind: ChartKind::Targets { case, index, compromise }, series: record.targets.iter().map(of_target).chain([mean]).collect() }
}
