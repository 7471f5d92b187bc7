//! Runs ridge studies: builds problems from settings, computes predictions, averages draws, and
//! writes both as records.

mod problem;
mod result;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Result;

use crate::base::usage::usage;
use crate::config::ridge::SamplerName;
use crate::config::Study;
use crate::plan::Case;
use crate::store::{ridge_record, Folder, Lease, RidgeRecord, Writer};
use crate::theory::sampler::{self, Draw, Sampler, Setup};
pub use problem::{cases, digests, ProblemBuilder, TargetProblem};
pub use result::objective;
use result::record;

/// The sampler that a case uses.
pub fn sampler(case: &Case, tasks: &[TargetProblem]) -> Sampler {
    let isotropic = tasks.iter().all(|t| t.problem.source.covariance.is_identity() && t.problem.target.covariance.is_identity());
    match case.settings.sampler {
        SamplerName::Direct => Sampler::Direct,
        SamplerName::RaoBlackwell => Sampler::RaoBlackwell,
        SamplerName::Chi => Sampler::Chi,
        SamplerName::Auto if isotropic => Sampler::Chi,
        SamplerName::Auto => Sampler::RaoBlackwell,
    }
}

/// Receives the events of a run.
pub trait RidgeObserver: Sync {
    fn drawn(&self);
    fn done(&self, case: &Case, record: &RidgeRecord);
    fn warn(&self, message: &str);
}

/// Runs every case that has no record yet. Cases with the same design share their draws. Returns
/// true if it was stopped before the end.
pub fn run(
    study: &Study,
    cases: &[Case],
    folder: &Folder,
    lease: &Lease,
    stop: &AtomicBool,
    listener: &impl RidgeObserver,
) -> Result<bool> {
    let (known, _) = ridge_record::read(folder)?;
    let mut writer = Writer::open(folder, lease, &mut |warning| listener.warn(warning))?;
    let mut problems = ProblemBuilder::new(study);
    let mut done: Vec<bool> = cases.iter().map(|case| known.contains_key(&case.key)).collect();
    for first in 0..cases.len() {
        if done[first] {
            continue;
        }
        let several = cases[first].settings.targets.is_some();
        let group: Vec<usize> =
            (first..cases.len()).filter(|&i| !done[i] && (i == first || (!several && cases[i].design == cases[first].design))).collect();
        let tasks: Vec<Vec<TargetProblem>> = group.iter().map(|&i| problems.tasks(&cases[i])).collect::<Result<_, _>>()?;
        let started = Instant::now();
        let how = sampler(&cases[first], &tasks[0]);
        let Some(draws) = draw_group(&cases[first], &tasks, how, stop, listener)? else { return Ok(true) };
        let seconds = started.elapsed().as_secs_f64() / group.len() as f64;
        for ((&i, tasks), draws) in group.iter().zip(&tasks).zip(&draws) {
            let record = record(&cases[i], tasks, draws, how, seconds)?;
            if record.not_finite() {
                let case = match cases[i].label() {
                    label if label.is_empty() => "its only case".to_string(),
                    label => label,
                };
                return Err(usage(
                    format!("{}: {case} has risks that are not finite numbers", study.name),
                    "look for penalties, noise or eigenvalues of extreme size",
                ));
            }
            writer.append(&record)?;
            done[i] = true;
            listener.done(&cases[i], &record);
        }
        writer.sync()?;
    }
    Ok(false)
}

/// Draws between two checks of the stop flag: 64 where a draw takes milliseconds at most, one for
/// each thread where a draw factorises matrices.
fn chunk(how: Sampler) -> usize {
    match how {
        Sampler::Chi => 64,
        Sampler::Direct | Sampler::RaoBlackwell => crate::base::threads::count(),
    }
}

/// Bytes of memory that the draws of a case need: designs and p × p matrices for each thread, and
/// the stored risks.
pub fn memory(case: &Case, tasks: &[TargetProblem], how: Sampler) -> f64 {
    let (p, threads) = (case.settings.p as f64, crate::base::threads::count() as f64);
    let rows = tasks.iter().map(|t| t.problem.target.n).max().unwrap_or(0) + case.settings.rows();
    let working = match how {
        Sampler::Chi => 0.0,
        Sampler::Direct | Sampler::RaoBlackwell => threads * (2.0 * rows as f64 * p + 10.0 * p * p),
    };
    let cells: usize = tasks.iter().map(|t| case.lambda0.len() * (t.lambda1.len() + 1)).sum();
    8.0 * (working + (cells * case.settings.draws) as f64)
}

/// The draws for each case and each of its targets. None if it was stopped.
fn draw_group(
    case: &Case,
    tasks: &[Vec<TargetProblem>],
    how: Sampler,
    stop: &AtomicBool,
    listener: &impl RidgeObserver,
) -> Result<Option<Vec<Vec<Vec<Draw>>>>> {
    let s = &case.settings;
    // With one target, all w₁ of the design are computed together. Several targets are computed one
    // after another. They get the same source draws because the seed is the same.
    let setups: Vec<Setup> = tasks[0]
        .iter()
        .enumerate()
        .map(|(k, task)| Setup {
            source: task.problem.source.clone(),
            target: task.problem.target.clone(),
            w0: task.problem.w0.clone(),
            w1: tasks.iter().map(|of_case| of_case[k].problem.w1.clone()).collect(),
            lambda0: case.lambda0.clone(),
            lambda1: task.lambda1.clone(),
        })
        .collect();
    let mut out: Vec<Vec<Vec<Draw>>> = tasks.iter().map(|of_case| of_case.iter().map(|_| vec![]).collect()).collect();
    for (k, setup) in setups.iter().enumerate() {
        let cells = setup.lambda0.len() * setup.lambda1.len();
        let mut from = 0;
        while from < s.draws {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let count = chunk(how).min(s.draws - from);
            // Cases of the same dimension share random numbers, for paired comparisons. Different
            // dimensions do not, because their errors would be correlated.
            let seed = s.seed ^ ((s.p as u64) << 32);
            let drawn = sampler::draw_from(setup, how, seed, from as u64, count, || listener.drawn())?;
            for d in drawn {
                for (i, of_case) in out.iter_mut().enumerate() {
                    of_case[k].push(Draw {
                        source: d.source.clone(),
                        transfer: d.transfer[i * cells..(i + 1) * cells].to_vec(),
                        scratch: d.scratch[i * setup.lambda1.len()..(i + 1) * setup.lambda1.len()].to_vec(),
                    });
                }
            }
            from += count;
        }
    }
    Ok(Some(out))
}
