//! Converts a ridge study's settings to problems of the theory.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::base::hex::hex;
use crate::config::ridge::{self as settings, CovarianceKind, CovarianceSpec, Direction};
use crate::config::{Study, StudyError};
use crate::data::table;
use crate::plan::{self, Case};
use crate::theory::covariance::Covariance;
use crate::theory::equivalent::{Design, Problem};
use crate::theory::sampler::{orthogonalise, random_direction};
use crate::theory::TheoryError;

/// A study's cases. A covariance file is identified by its content, not by its name.
pub fn cases(study: &Study) -> Result<Vec<Case>, StudyError> {
    let mut cases = plan::cases(study)?;
    let digests = files(cases.iter());
    for case in &mut cases {
        let read: Vec<[u8; 32]> = files_of(case).iter().map(|file| digests[file]).collect();
        if !read.is_empty() {
            (case.key, case.design) = (plan::hash(&(&case.key, &read)), plan::hash(&(&case.design, &read)));
        }
    }
    Ok(cases)
}

/// The digest of each covariance file, by its path.
pub fn digests(cases: &[Case]) -> BTreeMap<String, String> {
    files(cases.iter()).into_iter().map(|(file, digest)| (file, hex(digest))).collect()
}

/// The covariance files of some cases, with their digests. An unreadable file is reported later,
/// when the covariance is built and its place in the study is known.
fn files<'a>(cases: impl Iterator<Item = &'a Case>) -> BTreeMap<String, [u8; 32]> {
    let mut digests = BTreeMap::new();
    for file in cases.flat_map(files_of) {
        let digest = || Sha256::digest(std::fs::read(&file).unwrap_or_default()).into();
        digests.entry(file.clone()).or_insert_with(digest);
    }
    digests
}

fn files_of(case: &Case) -> Vec<String> {
    let s = &case.settings;
    let own = s.targets.iter().flatten().filter_map(|t| t.covariance.as_ref());
    let file = |c: &CovarianceSpec| match &c.kind {
        CovarianceKind::File(file) => Some(file.clone()),
        _ => None,
    };
    [&s.source.covariance, &s.target.covariance].into_iter().chain(own).filter_map(file).collect()
}

/// Builds problems. Each covariance is read and decomposed once.
pub struct ProblemBuilder<'a> {
    study: &'a Study,
    covariances: HashMap<String, Arc<Covariance>>,
}

/// One target of a case, ready for prediction and sampling.
pub struct TargetProblem {
    pub name: Option<String>,
    pub weight: f64,
    pub rho: f64,
    pub lambda1: Vec<f64>,
    pub problem: Problem,
    /// The unit direction of the orthogonal part of w₁; `orthogonal` is that part's length.
    pub u: Vec<f64>,
    pub orthogonal: f64,
}

impl<'a> ProblemBuilder<'a> {
    pub fn new(study: &'a Study) -> ProblemBuilder<'a> {
        ProblemBuilder { study, covariances: HashMap::new() }
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
                let matrix = table::matrix(file.as_ref()).map_err(|error| self.study.error_at(path, error.what).hint(error.hint))?;
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

    /// The targets of a case: those that it names, or else its single unnamed target.
    pub fn tasks(&mut self, case: &Case) -> Result<Vec<TargetProblem>, StudyError> {
        let s = &case.settings;
        let source = Design::new(self.covariance("source.covariance", &s.source.covariance, s.p)?, s.rows(), s.source.noise)
            .map_err(|error| self.study.error_at("source", error.what))?;
        let w0 = direction(s.w0, &source.covariance, s.p, s.seed, None);
        let own = [settings::Target {
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
            out.push(TargetProblem {
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
        // In one dimension no direction is orthogonal.
        Direction::Random if p == 1 => vec![1.0],
        Direction::Random => random_direction(seed, p, to),
        Direction::Uniform => vec![1.0 / (p as f64).sqrt(); p],
        Direction::Top => covariance.direction(0),
        Direction::Bottom => covariance.direction(p - 1),
    }
}
