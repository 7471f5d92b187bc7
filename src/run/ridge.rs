//! Ridge studies: settings become problems, problems get predictions, draws get averaged, and both become records.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::axis_json;
use crate::config::ridge::{CovarianceKind, CovarianceSpec, Direction, Objective, SamplerName};
use crate::config::{Study, StudyError};
use crate::data::table;
use crate::plan::{self, Case};
use crate::store::ridge_record::{self, AtLambda1, Compromise, Interval, Optimum, RidgeRecord, Risk, Target};
use crate::store::{self, Folder, Writer};
use crate::theory::covariance::Covariance;
use crate::theory::equivalent::{Design, Problem};
use crate::theory::estimate::{self, argmin, at_lambda, mean_error, Argmin, Estimate};
use crate::theory::optimum::{self, Edge};
use crate::theory::sampler::{self, orthogonalise, random_direction, Draw, Sampler, Setup};
use crate::theory::targets::{self, compromise};
use crate::theory::TheoryError;

/// A study's cases; a covariance's file counts by its content, not by its name.
pub fn cases(study: &Study) -> Result<Vec<Case>, StudyError> {
    let mut cases = plan::cases(study)?;
    let mut contents: HashMap<String, Vec<u8>> = HashMap::new();
    for case in &mut cases {
        let s = &case.settings;
        let own = s.targets.iter().flatten().filter_map(|t| t.covariance.as_ref());
        let files: Vec<String> = [&s.source.covariance, &s.target.covariance]
            .into_iter()
            .chain(own)
            .filter_map(|c| match &c.kind {
                CovarianceKind::File(file) => Some(file.clone()),
                _ => None,
            })
            .collect();
        if files.is_empty() {
            continue;
        }
        for file in &files {
            // A file that cannot be read is told of, with its place in the study, when the covariance is made.
            contents.entry(file.clone()).or_insert_with(|| std::fs::read(file).unwrap_or_default());
        }
        let read: Vec<&[u8]> = files.iter().map(|file| contents[file].as_slice()).collect();
        let digest: [u8; 32] = Sha256::digest(read.concat()).into();
        (case.key, case.design) = (plan::hash(&(&case.key, digest)), plan::hash(&(&case.design, digest)));
    }
    Ok(cases)
}

/// Builds problems; a covariance is read and decomposed once.
pub struct Workshop<'a> {
    study: &'a Study,
    covariances: HashMap<String, Arc<Covariance>>,
}

/// One target of a case, ready to predict and to draw.
pub struct Task {
    pub name: Option<String>,
    pub weight: f64,
    pub rho: f64,
    pub lambda1: Vec<f64>,
    pub problem: Problem,
    /// The unit direction of the orthogonal part of w₁, and its length.
    u: Vec<f64>,
    orthogonal: f64,
}

impl<'a> Workshop<'a> {
    pub fn new(study: &'a Study) -> Workshop<'a> {
        Workshop { study, covariances: HashMap::new() }
    }

    fn covariance(&mut self, path: &str, spec: &CovarianceSpec, p: usize) -> Result<Arc<Covariance>, StudyError> {
        let key = format!("{p} {spec:?}");
        if let Some(known) = self.covariances.get(&key) {
            return Ok(known.clone());
        }
        let wrong = |error: TheoryError| self.study.error_at(path, error.what);
        let made = match &spec.kind {
            CovarianceKind::Identity => Ok(Covariance::identity(p)),
            CovarianceKind::Power(a) if spec.keep_scale => Covariance::diagonal((1..=p).map(|i| (i as f64).powf(-a)).collect()),
            CovarianceKind::Power(a) => Covariance::power(p, *a),
            CovarianceKind::Ar1(r) => Covariance::ar1(p, *r),
            CovarianceKind::Spiked { count, strength } if spec.keep_scale => {
                Covariance::diagonal((0..p).map(|i| if i < *count { *strength } else { 1.0 }).collect())
            }
            CovarianceKind::Spiked { count, strength } => Covariance::spiked(p, *count, *strength),
            CovarianceKind::File(file) => {
                let matrix = table::matrix(file.as_ref())
                    .map_err(|what| self.study.error_at(path, what).hint("the path is relative to the working directory"))?;
                if matrix.nrows() != p {
                    let what = format!("{file} is {} × {}, but p = {p}", matrix.nrows(), matrix.ncols());
                    return Err(self.study.error_at(path, what));
                }
                Covariance::full(matrix).and_then(|c| if spec.keep_scale { Ok(c) } else { c.normalised() })
            }
        };
        let made = Arc::new(made.map_err(wrong)?);
        self.covariances.insert(key, made.clone());
        Ok(made)
    }

    /// The targets of a case: one, or those it names.
    pub fn tasks(&mut self, case: &Case) -> Result<Vec<Task>, StudyError> {
        let s = &case.settings;
        let source = Design::new(self.covariance("source.covariance", &s.source.covariance, s.p)?, s.rows(), s.source.noise)
            .map_err(|error| self.study.error_at("source", error.what))?;
        let w0 = direction(s.w0, &source.covariance, s.p, s.seed, None);
        let own = [crate::config::ridge::Target {
            name: String::new(),
            weight: 1.0,
            rho: None,
            orthogonal: None,
            n1: None,
            noise: None,
            covariance: None,
            lambda1: None,
        }];
        let named = s.targets.is_some();
        let mut out = vec![];
        for target in s.targets.as_deref().unwrap_or(&own) {
            let spec = target.covariance.as_ref().unwrap_or(&s.target.covariance);
            let path = if target.covariance.is_some() { "targets" } else { "target.covariance" };
            let covariance = self.covariance(path, spec, s.p)?;
            let orthogonal = target.orthogonal.unwrap_or(s.orthogonal);
            let mut u = direction(s.u, &covariance, s.p, s.seed, Some(&w0));
            orthogonalise(&mut u, &w0);
            let norm = u.iter().map(|v| v * v).sum::<f64>().sqrt();
            if norm < 1e-8 {
                if orthogonal > 0.0 {
                    return Err(self
                        .study
                        .error_at("u", "the direction of the orthogonal part is that of w₀")
                        .hint("choose another `u` or another `w0`"));
                }
                u.iter_mut().for_each(|v| *v = 0.0);
            } else {
                u.iter_mut().for_each(|v| *v /= norm);
            }
            let rho = target.rho.unwrap_or(s.rho);
            let w1 = w0.iter().zip(&u).map(|(w, u)| rho * w + orthogonal * u).collect();
            let design = Design::new(covariance, target.n1.unwrap_or(s.n1), target.noise.unwrap_or(s.target.noise));
            let problem = design
                .and_then(|target| Problem::new(source.clone(), target, w0.clone(), w1))
                .map_err(|error| self.study.error_at("target", error.what))?;
            out.push(Task {
                name: named.then(|| target.name.clone()),
                weight: target.weight,
                rho,
                lambda1: target.lambda1.map_or_else(|| case.lambda1.clone(), |l| vec![l]),
                problem,
                u,
                orthogonal,
            });
        }
        Ok(out)
    }
}

fn direction(name: Direction, covariance: &Covariance, p: usize, seed: u64, to: Option<&[f64]>) -> Vec<f64> {
    match name {
        // In one dimension there is nothing orthogonal.
        Direction::Random if p == 1 => vec![1.0],
        Direction::Random => random_direction(seed, p, to),
        Direction::Uniform => vec![1.0 / (p as f64).sqrt(); p],
        Direction::Top => covariance.direction(0),
        Direction::Bottom => covariance.direction(p - 1),
    }
}

/// The sampler that a case uses.
pub fn sampler(case: &Case, tasks: &[Task]) -> Sampler {
    let identity = |c: &Covariance| c.is_identity();
    let isotropic = tasks.iter().all(|t| identity(&t.problem.source.covariance) && identity(&t.problem.target.covariance));
    match case.settings.sampler {
        SamplerName::Direct => Sampler::Direct,
        SamplerName::RaoBlackwell => Sampler::RaoBlackwell,
        SamplerName::Chi => Sampler::Chi,
        SamplerName::Auto if isotropic => Sampler::Chi,
        SamplerName::Auto => Sampler::RaoBlackwell,
    }
}

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

/// Who hears of a run.
pub trait Listener: Sync {
    fn drawn(&self);
    fn done(&self, case: &Case, record: &RidgeRecord);
}

/// Runs every case that has no record yet; cases that share a design share their draws. True where it was told to stop before the end.
pub fn run(study: &Study, cases: &[Case], folder: &Folder, stop: &AtomicBool, listener: &impl Listener) -> Result<bool> {
    let (known, _) = ridge_record::read(folder)?;
    let mut writer = Writer::open(folder, "ridge")?;
    let mut workshop = Workshop::new(study);
    let mut done: Vec<bool> = cases.iter().map(|case| known.contains_key(&case.key)).collect();
    for first in 0..cases.len() {
        if done[first] {
            continue;
        }
        let several = cases[first].settings.targets.is_some();
        let group: Vec<usize> =
            (first..cases.len()).filter(|&i| !done[i] && (i == first || (!several && cases[i].design == cases[first].design))).collect();
        let tasks: Vec<Vec<Task>> = group.iter().map(|&i| workshop.tasks(&cases[i])).collect::<Result<_, _>>()?;
        let started = Instant::now();
        let how = sampler(&cases[first], &tasks[0]);
        let Some(draws) = draw_group(&cases[first], &tasks, how, stop, listener)? else { return Ok(true) };
        let seconds = started.elapsed().as_secs_f64() / group.len() as f64;
        for ((&i, tasks), draws) in group.iter().zip(&tasks).zip(&draws) {
            let record = record(&cases[i], tasks, draws, how, seconds)?;
            writer.append(&record)?;
            done[i] = true;
            listener.done(&cases[i], &record);
        }
        writer.sync()?;
    }
    Ok(false)
}

/// Draws between two looks at the stop flag.
const CHUNK: usize = 64;

/// For each case and each of its targets, the draws. None where it was told to stop.
fn draw_group(
    case: &Case,
    tasks: &[Vec<Task>],
    how: Sampler,
    stop: &AtomicBool,
    listener: &impl Listener,
) -> Result<Option<Vec<Vec<Vec<Draw>>>>> {
    let s = &case.settings;
    // One design: all w₁ at once. Several targets: one after another, with the same source draws, because the seed is the same.
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
            let count = CHUNK.min(s.draws - from);
            // Cases of one dimension share random numbers (paired comparisons); dimensions do not, or their errors would agree.
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

fn risk(predicted: f64, values: &[f64]) -> Risk {
    let (simulated, error) = mean_error(values);
    Risk { predicted, simulated, error }
}

fn interval(e: Estimate) -> Interval {
    let finite = |v: f64| v.is_finite().then_some(v);
    Interval { estimate: finite(e.estimate), low: finite(e.low), high: finite(e.high) }
}

fn edge_name(edge: Option<Edge>) -> Option<String> {
    edge.map(|edge| match edge {
        Edge::Zero => "zero".to_string(),
        Edge::Infinite => "infinite".to_string(),
    })
}

fn optimum(predicted: &optimum::Optimum, simulated: Option<&Argmin>) -> Optimum {
    let edge = simulated.and_then(|found| match found {
        Argmin::AtEdge { edge, .. } => edge_name(Some(*edge)),
        Argmin::Inside { .. } => None,
    });
    Optimum {
        predicted: predicted.best.lambda.is_finite().then_some(predicted.best.lambda),
        edge: edge_name(predicted.best.edge),
        others: predicted.others.iter().map(|m| m.lambda).filter(|l| l.is_finite()).collect(),
        simulated: simulated.filter(|_| edge.is_none()).map(|found| interval(estimate::lambda(found))),
        simulated_edge: edge,
    }
}

fn record(case: &Case, tasks: &[Task], draws: &[Vec<Draw>], how: Sampler, seconds: f64) -> Result<RidgeRecord> {
    let problem = &tasks[0].problem;
    let tau0: Vec<f64> = case.lambda0.iter().map(|&l| problem.source.spectrum().tau(l)).collect::<Result<_, _>>()?;
    let curves: Vec<Vec<f64>> = draws[0].iter().map(|d| d.source.clone()).collect();
    let column = |l: usize| -> Vec<f64> { curves.iter().map(|c| c[l]).collect() };
    let best = optimum::source(problem, false);
    let found = argmin(&case.lambda0, &curves);
    let targets: Vec<Target> =
        tasks.iter().zip(draws).map(|(task, draws)| target(case, task, draws, &best, found.as_ref())).collect::<Result<_, _>>()?;
    let source: Vec<Risk> = (0..tau0.len()).map(|l| risk(problem.source_risk().risk(tau0[l]), &column(l))).collect();
    Ok(RidgeRecord {
        version: ridge_record::VERSION,
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
        threads: rayon::current_num_threads(),
        host: store::host(),
        program: store::program().into(),
        commit: store::commit().into(),
        finished: store::now(),
    })
}

fn target(case: &Case, task: &Task, draws: &[Draw], source: &optimum::Optimum, found_source: Option<&Argmin>) -> Result<Target> {
    let (l0, l1) = (case.lambda0.len(), task.lambda1.len());
    let predicted = task.problem.grid(&case.lambda0, &task.lambda1)?;
    let mut at = vec![];
    for (j, &lambda1) in task.lambda1.iter().enumerate() {
        let curves: Vec<Vec<f64>> = draws.iter().map(|d| (0..l0).map(|l| d.transfer[l * l1 + j]).collect()).collect();
        let scratch: Vec<f64> = draws.iter().map(|d| d.scratch[j]).collect();
        let best = optimum::transfer(&task.problem, lambda1, false)?;
        let found = argmin(&case.lambda0, &curves);
        let tau1 = predicted[j].tau1;
        let at_source = optimum::transfer_value(&task.problem, source.best.tau, tau1).risk;
        let inside = |m: &optimum::Minimum| m.lambda > 0.0 && m.lambda.is_finite();
        let simulated_cost = match (found_source, &found) {
            (Some(Argmin::Inside { log_lambda: s, .. }), Some(Argmin::Inside { log_lambda: t, .. })) => {
                let (worse, better) = (at_lambda(&case.lambda0, &curves, s.exp()), at_lambda(&case.lambda0, &curves, t.exp()));
                let level = mean_error(&better).0;
                let shares: Vec<f64> = worse.iter().zip(&better).map(|(a, b)| (a - b) / level).collect();
                Some(interval(Estimate::of_mean(&shares)))
            }
            _ => None,
        };
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
            simulated_ratio: found.as_ref().zip(found_source).and_then(|(t, s)| estimate::ratio(t, s)).map(interval),
            crossing: crossing(task, source.best.tau, tau1),
            cost: Some(at_source / best.best.risk - 1.0).filter(|c| c.is_finite()),
            simulated_cost,
            gain_at_source_optimal: predicted[j].scratch - at_source,
            gain_at_transfer_optimal: predicted[j].scratch - best.best.risk,
            threshold: (0..l0).map(|l| threshold(task, predicted[l * l1].tau0, tau1)).collect(),
            optimum: optimum(&best, found.as_ref()),
        });
    }
    Ok(Target { name: task.name.clone(), weight: task.weight, rho: task.rho, at })
}

/// A function of ρ that is linear, at ρ = 0 and at ρ = 1; its root.
fn root_in_rho(at: impl Fn(f64) -> f64) -> Option<f64> {
    let (zero, one) = (at(0.0), at(1.0));
    let root = zero / (zero - one);
    root.is_finite().then_some(root)
}

fn with_rho(task: &Task, rho: f64) -> Option<Problem> {
    let p = &task.problem;
    let w1 = p.w0.iter().zip(&task.u).map(|(w, u)| rho * w + task.orthogonal * u).collect();
    Problem::new(p.source.clone(), p.target.clone(), p.w0.clone(), w1).ok()
}

/// ∂R_TL/∂τ₀ is linear in ρ: the ρ at which it vanishes at the source's own optimum.
fn crossing(task: &Task, tau0: f64, tau1: f64) -> Option<f64> {
    let problems = [with_rho(task, 0.0)?, with_rho(task, 1.0)?];
    root_in_rho(|rho| optimum::transfer_value(&problems[rho as usize], tau0, tau1).slope)
}

/// R_S − R_TL is linear in ρ: the ρ at which it vanishes.
fn threshold(task: &Task, tau0: f64, tau1: f64) -> Option<f64> {
    let problems = [with_rho(task, 0.0)?, with_rho(task, 1.0)?];
    root_in_rho(|rho| {
        let p = &problems[rho as usize];
        p.scratch_risk().risk(tau1) - p.transfer_risk(&p.prior(tau0)).risk(tau1)
    })
}

/// The compromises between several targets at the first λ₁ of each; none for one target.
fn compromises(case: &Case, tasks: &[Task], draws: &[Vec<Draw>]) -> Result<Vec<Compromise>> {
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
            // Simulated where the objective is itself a mean of draws.
            let simulated = (name == Objective::Weighted).then(|| argmin(&case.lambda0, &weighted)).flatten();
            let simulated_regret = curves
                .iter()
                .zip(&found.own)
                .map(|(curves, own)| {
                    let usable = |l: f64| l > 0.0 && l.is_finite();
                    (usable(found.lambda0.best.lambda) && usable(own.lambda)).then(|| {
                        let here = at_lambda(&case.lambda0, curves, found.lambda0.best.lambda);
                        let best = at_lambda(&case.lambda0, curves, own.lambda);
                        interval(Estimate::of_mean(&here.iter().zip(&best).map(|(a, b)| a - b).collect::<Vec<_>>()))
                    })
                })
                .collect();
            Ok(Compromise {
                objective: word.into(),
                asked: case.settings.objective == name,
                optimum: optimum(&found.lambda0, simulated.as_ref()),
                regret: found.regret,
                simulated_regret,
            })
        })
        .collect()
}
