//! Builds the record of a case from draws and predictions.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::json;

use super::TargetProblem;
use crate::config::ridge::Objective;
use crate::plan::Case;
use crate::run::axis_json;
use crate::store::ridge_record::{AtLambda1, CompromiseRecord, OptimumRecord, RidgeRecord, Risk, TargetRecord};
use crate::store::{commit, host, now, program, RECORD_VERSION};
use crate::theory::equivalent::Problem;
use crate::theory::estimate::{self, argmin, at_lambda, mean_error, mean_interval, Argmin};
use crate::theory::optimum::{self, Extreme};
use crate::theory::sampler::{Draw, Sampler};
use crate::theory::targets::{self, compromise};

fn sampler_name(sampler: Sampler) -> &'static str {
    match sampler {
        Sampler::Direct => "direct",
        Sampler::RaoBlackwell => "rao-blackwell",
        Sampler::Chi => "chi",
    }
}

pub fn objective(name: Objective) -> targets::Objective {
    match name {
        Objective::Weighted => targets::Objective::Weighted,
        Objective::MaxRisk => targets::Objective::MaxRisk,
        Objective::MaxRegret => targets::Objective::MaxRegret,
    }
}

fn risk(predicted: f64, values: &[f64]) -> Risk {
    let (simulated, error) = mean_error(values);
    Risk { predicted, simulated, error }
}

fn edge_name(edge: Option<Extreme>) -> Option<String> {
    edge.map(|edge| edge.as_str().to_string())
}

fn optimum(predicted: &optimum::Optimum, simulated: Option<&Argmin>) -> OptimumRecord {
    let edge = simulated.and_then(|found| match found {
        Argmin::AtExtreme { edge, .. } => edge_name(Some(*edge)),
        Argmin::Inside { .. } => None,
    });
    OptimumRecord {
        predicted: predicted.best.lambda.is_finite().then_some(predicted.best.lambda),
        edge: edge_name(predicted.best.edge),
        others: predicted.others.iter().map(|m| m.lambda).filter(|l| l.is_finite()).collect(),
        simulated: simulated.filter(|_| edge.is_none()).map(estimate::lambda),
        simulated_edge: edge,
    }
}

/// The record of a case from its draws, with one list of draws for each target.
pub fn record(case: &Case, tasks: &[TargetProblem], draws: &[Vec<Draw>], how: Sampler, seconds: f64) -> Result<RidgeRecord> {
    let problem = &tasks[0].problem;
    let tau0: Vec<f64> = case.lambda0.iter().map(|&l| problem.source.spectrum().tau(l)).collect::<Result<_, _>>()?;
    let curves: Vec<Vec<f64>> = draws[0].iter().map(|d| d.source.clone()).collect();
    let column = |l: usize| -> Vec<f64> { curves.iter().map(|c| c[l]).collect() };
    let best = optimum::source(problem, false);
    let found = argmin(&case.lambda0, &curves);
    let targets: Vec<TargetRecord> =
        tasks.iter().zip(draws).map(|(task, draws)| target(case, task, draws, &best, found.as_ref())).collect::<Result<_, _>>()?;
    let source: Vec<Risk> = (0..tau0.len()).map(|l| risk(problem.source_risk().risk(tau0[l]), &column(l))).collect();
    Ok(RidgeRecord {
        version: RECORD_VERSION,
        kind: "ridge".into(),
        key: case.key.clone(),
        axes: case.axes.iter().map(|(path, value)| (path.clone(), axis_json(value))).collect::<BTreeMap<_, _>>(),
        settings: json!(case.settings),
        n0: problem.source.n,
        lambda0: case.lambda0.clone(),
        source_spread: source.iter().map(|r| r.error * (case.settings.draws as f64).sqrt()).collect(),
        source,
        tau0,
        source_optimum: optimum(&best, found.as_ref()),
        targets,
        compromises: compromises(case, tasks, draws)?,
        draws: case.settings.draws,
        sampler: sampler_name(how).into(),
        seconds,
        threads: crate::base::threads::count(),
        host: host(),
        program: program().into(),
        commit: commit().into(),
        finished: now(),
    })
}

fn target(
    case: &Case,
    task: &TargetProblem,
    draws: &[Draw],
    source: &optimum::Optimum,
    found_source: Option<&Argmin>,
) -> Result<TargetRecord> {
    let (l0, l1) = (case.lambda0.len(), task.lambda1.len());
    let predicted = task.problem.grid(&case.lambda0, &task.lambda1)?;
    // The same task at ρ = 0 and at ρ = 1: these two determine every quantity that is linear in ρ.
    let lines = with_rho(task, 0.0).zip(with_rho(task, 1.0));
    let mut at = vec![];
    for (j, &lambda1) in task.lambda1.iter().enumerate() {
        let curves: Vec<Vec<f64>> = draws.iter().map(|d| (0..l0).map(|l| d.transfer[l * l1 + j]).collect()).collect();
        let scratch: Vec<f64> = draws.iter().map(|d| d.scratch[j]).collect();
        let best = optimum::transfer(&task.problem, lambda1, false)?;
        let found = argmin(&case.lambda0, &curves);
        let tau1 = predicted[j].tau1;
        let at_source = optimum::transfer_value(&task.problem, source.best.tau, tau1).risk;
        let inside = |m: &optimum::Minimum| m.lambda > 0.0 && m.lambda.is_finite();
        let simulated = |found: Option<&Argmin>| match found {
            Some(Argmin::Inside { log_lambda, resolved: true, .. }) => at_lambda(&case.lambda0, &curves, log_lambda.exp()),
            _ => None,
        };
        let (at_s, at_t) = (simulated(found_source), simulated(found.as_ref()));
        let simulated_cost = at_s.as_ref().zip(at_t.as_ref()).map(|(worse, better)| {
            let level = mean_error(better).0;
            mean_interval(&worse.iter().zip(better).map(|(a, b)| (a - b) / level).collect::<Vec<_>>())
        });
        let simulated_gain =
            |risks: Option<&Vec<f64>>| risks.map(|r| mean_interval(&scratch.iter().zip(r).map(|(s, t)| s - t).collect::<Vec<_>>()));
        let column = |l: usize| -> Vec<f64> { curves.iter().map(|c| c[l]).collect() };
        at.push(AtLambda1 {
            lambda1,
            tau1,
            scratch: risk(predicted[j].scratch, &scratch),
            transfer: (0..l0).map(|l| risk(predicted[l * l1 + j].transfer, &column(l))).collect(),
            gain: (0..l0)
                .map(|l| {
                    let r = &predicted[l * l1 + j];
                    let shares: Vec<f64> = scratch.iter().zip(column(l)).map(|(s, t)| s - t).collect();
                    risk(r.scratch - r.transfer, &shares)
                })
                .collect(),
            ratio: inside(&source.best).then(|| best.best.lambda / source.best.lambda).filter(|r| r.is_finite()),
            simulated_ratio: found.as_ref().zip(found_source).and_then(|(t, s)| estimate::ratio(t, s)),
            crossing: lines.as_ref().and_then(|lines| crossing(lines, source.best.tau, tau1)),
            cost: Some(at_source / best.best.risk - 1.0).filter(|c| c.is_finite()),
            simulated_cost,
            gain_at_source_optimal: predicted[j].scratch - at_source,
            gain_at_transfer_optimal: predicted[j].scratch - best.best.risk,
            simulated_gain_at_source_optimal: simulated_gain(at_s.as_ref()),
            simulated_gain_at_transfer_optimal: simulated_gain(at_t.as_ref()),
            threshold: (0..l0).map(|l| threshold(lines.as_ref()?, predicted[l * l1].tau0, tau1)).collect(),
            optimum: optimum(&best, found.as_ref()),
        });
    }
    Ok(TargetRecord { name: task.name.clone(), weight: task.weight, rho: task.rho, at })
}

/// The ρ at which a line is zero, from its values at ρ = 0 and ρ = 1.
fn root_in_rho(zero: f64, one: f64) -> Option<f64> {
    let root = zero / (zero - one);
    root.is_finite().then_some(root)
}

fn with_rho(task: &TargetProblem, rho: f64) -> Option<Problem> {
    let p = &task.problem;
    let w1 = p.w0.iter().zip(&task.u).map(|(w, u)| rho * w + task.orthogonal * u).collect();
    Problem::new(p.source.clone(), p.target.clone(), p.w0.clone(), w1).ok()
}

/// The ρ at which ∂R_TL/∂τ₀ vanishes at the source's own optimum. The derivative is linear in ρ.
fn crossing((zero, one): &(Problem, Problem), tau0: f64, tau1: f64) -> Option<f64> {
    let slope = |p: &Problem| optimum::transfer_value(p, tau0, tau1).slope;
    root_in_rho(slope(zero), slope(one))
}

/// The ρ at which R_S − R_TL vanishes. The difference is linear in ρ.
fn threshold((zero, one): &(Problem, Problem), tau0: f64, tau1: f64) -> Option<f64> {
    let gain = |p: &Problem| p.scratch_risk().risk(tau1) - p.transfer_risk(&p.prior(tau0)).risk(tau1);
    root_in_rho(gain(zero), gain(one))
}

/// The compromises between several targets, at the first λ₁ of each target. Empty if there is only
/// one target.
fn compromises(case: &Case, tasks: &[TargetProblem], draws: &[Vec<Draw>]) -> Result<Vec<CompromiseRecord>> {
    if tasks.len() < 2 {
        return Ok(vec![]);
    }
    let all: Vec<targets::Target> =
        tasks.iter().map(|t| targets::Target { problem: t.problem.clone(), lambda1: t.lambda1[0], weight: t.weight }).collect();
    let curves: Vec<Vec<Vec<f64>>> = tasks
        .iter()
        .zip(draws)
        .map(|(task, draws)| draws.iter().map(|d| d.transfer.iter().step_by(task.lambda1.len()).copied().collect()).collect())
        .collect();
    let total: f64 = tasks.iter().map(|t| t.weight).sum();
    let weighted: Vec<Vec<f64>> = (0..draws[0].len())
        .map(|d| (0..case.lambda0.len()).map(|l| tasks.iter().zip(&curves).map(|(t, c)| t.weight / total * c[d][l]).sum()).collect())
        .collect();
    let names = [(Objective::Weighted, "weighted"), (Objective::MaxRisk, "max-risk"), (Objective::MaxRegret, "max-regret")];
    names
        .into_iter()
        .map(|(name, word)| {
            let found = compromise(&all, objective(name), false)?;
            // Only the weighted objective is itself a mean of draws and can be simulated.
            let simulated = (name == Objective::Weighted).then(|| argmin(&case.lambda0, &weighted)).flatten();
            let simulated_regret = curves
                .iter()
                .zip(&found.own)
                .map(|(curves, own)| {
                    let here = at_lambda(&case.lambda0, curves, found.lambda0.best.lambda)?;
                    let best = at_lambda(&case.lambda0, curves, own.lambda)?;
                    Some(mean_interval(&here.iter().zip(&best).map(|(a, b)| a - b).collect::<Vec<_>>()))
                })
                .collect();
            Ok(CompromiseRecord {
                objective: word.into(),
                asked: case.settings.objective == name,
                optimum: optimum(&found.lambda0, simulated.as_ref()),
                regret: found.regret,
                simulated_regret,
            })
        })
        .collect()
}
