//! The cases of a ridge study. There is one case for each combination of the axes other than λ₀ and
//! λ₁. Within a case, λ₀ and λ₁ form a grid.

use serde_yaml::Value;

use super::hash::hash;
use super::label::label;
use crate::config::{Ridge, Study, StudyError};

/// Part of every case's key. Must be raised when the same settings give different numbers.
const RESULTS_VERSION: u32 = 1;

/// One ridge problem with its grid of penalties.
#[derive(Debug, Clone)]
pub struct Case {
    /// (key path, value) of the study's axes other than λ₀ and λ₁.
    pub axes: Vec<(String, Value)>,
    /// Settings of the case, with the first λ₀ and λ₁ of the grid.
    pub settings: Ridge,
    /// Distinct values in ascending order.
    pub lambda0: Vec<f64>,
    pub lambda1: Vec<f64>,
    /// The pairs (λ₀, λ₁) that the study asks for, as indices into `lambda0` and `lambda1`. These
    /// are all pairs unless axes are zipped.
    pub cells: Vec<(usize, usize)>,
    /// Hash of everything that determines the result.
    pub key: String,
    /// Hash of everything except `rho` and `orthogonal`, which set w₁. Cases with the same hash
    /// share their draws.
    pub design: String,
}

/// All cases of a ridge study, in the order of the study's axes.
pub fn cases(study: &Study) -> Result<Vec<Case>, StudyError> {
    let is_lambda = |path: &str| path == "lambda0" || path == "lambda1";
    let mut cases: Vec<(Case, Vec<(f64, f64)>)> = vec![];
    for at in study.combinations() {
        let settings = study.ridge(&at)?;
        let axes: Vec<(String, Value)> = study
            .axes
            .iter()
            .zip(&at)
            .filter(|(axis, _)| !is_lambda(&axis.path))
            .map(|(axis, &i)| (axis.path.clone(), axis.values[i].clone()))
            .collect();
        let pair = (settings.lambda0, settings.lambda1);
        match cases.iter_mut().rev().find(|(case, _)| case.axes == axes) {
            Some((_, pairs)) => pairs.push(pair),
            None => {
                let case =
                    Case { axes, settings, lambda0: vec![], lambda1: vec![], cells: vec![], key: String::new(), design: String::new() };
                cases.push((case, vec![pair]));
            }
        }
    }
    Ok(cases.into_iter().map(|(case, pairs)| finish(case, &pairs)).collect())
}

fn finish(mut case: Case, pairs: &[(f64, f64)]) -> Case {
    let distinct = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.dedup();
        values
    };
    case.lambda0 = distinct(pairs.iter().map(|p| p.0).collect());
    case.lambda1 = distinct(pairs.iter().map(|p| p.1).collect());
    let at = |all: &[f64], value: f64| all.iter().position(|v| *v == value).unwrap_or(0); // it is always found
    case.cells = pairs.iter().map(|p| (at(&case.lambda0, p.0), at(&case.lambda1, p.1))).collect();
    let mut settings = case.settings.clone();
    (settings.lambda0, settings.lambda1) = (0.0, 0.0);
    case.key = hash(&(RESULTS_VERSION, &settings, &case.lambda0, &case.lambda1));
    (settings.rho, settings.orthogonal) = (0.0, 0.0);
    case.design = hash(&(&settings, &case.lambda0, &case.lambda1));
    case
}

impl Case {
    /// Name for folders and figures: `rho=0.8,gamma=2`.
    pub fn label(&self) -> String {
        label(&self.axes)
    }

    /// The value of an axis as a number.
    pub fn number(&self, path: &str) -> Option<f64> {
        self.axes.iter().find(|(axis, _)| axis == path)?.1.as_f64()
    }
}
