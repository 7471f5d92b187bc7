//! The result of one case of a ridge study: predictions and simulations.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::record::read_lines;
use super::Folder;
use crate::base::interval::Interval;

/// A risk: its prediction, and its simulated value with standard error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Risk {
    pub predicted: f64,
    pub simulated: f64,
    pub error: f64,
}

/// An optimal penalty. λ = ∞ is null. `edge` is null for an optimum inside the range, and `zero` or
/// `infinite` for one at a boundary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OptimumRecord {
    pub predicted: Option<f64>,
    pub edge: Option<String>,
    /// Other local minima of the prediction.
    pub others: Vec<f64>,
    /// Minimum of the simulated mean risk, interpolated on the grid. None if the minimum is at an
    /// end of the grid.
    pub simulated: Option<Interval>,
    pub simulated_edge: Option<String>,
}

/// The results of a target at one λ₁.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AtLambda1 {
    /// Infinity is stored as "inf".
    #[serde(with = "extended")]
    pub lambda1: f64,
    #[serde(with = "extended")]
    pub tau1: f64,
    pub scratch: Risk,
    /// One entry for each λ₀.
    pub transfer: Vec<Risk>,
    /// R_S − R_TL for each λ₀.
    pub gain: Vec<Risk>,
    pub optimum: OptimumRecord,
    /// λ₀*/λ_S*.
    pub ratio: Option<f64>,
    pub simulated_ratio: Option<Interval>,
    /// The alignment at which λ₀* would equal λ_S*, with all else unchanged. None if there is no
    /// such alignment.
    pub crossing: Option<f64>,
    /// R_TL(λ_S*)/R_TL(λ₀*) − 1.
    pub cost: Option<f64>,
    pub simulated_cost: Option<Interval>,
    /// R_S − R_TL at λ_S* and at λ₀*.
    pub gain_at_source_optimal: f64,
    pub gain_at_transfer_optimal: f64,
    /// The same gains, simulated, at the simulated optima.
    pub simulated_gain_at_source_optimal: Option<Interval>,
    pub simulated_gain_at_transfer_optimal: Option<Interval>,
    /// For each λ₀, the smallest ρ at which transfer helps, with all else unchanged.
    pub threshold: Vec<Option<f64>>,
}

/// One target of a case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetRecord {
    pub name: Option<String>,
    pub weight: f64,
    pub rho: f64,
    pub at: Vec<AtLambda1>,
}

/// One λ₀ that is shared by all targets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CompromiseRecord {
    pub objective: String,
    /// Whether the study asks for this objective.
    pub asked: bool,
    pub optimum: OptimumRecord,
    /// For each target, its risk at the compromise minus its smallest risk.
    pub regret: Vec<f64>,
    pub simulated_regret: Vec<Option<Interval>>,
}

/// The result of one case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RidgeRecord {
    pub version: u32,
    /// Always `ridge`.
    pub kind: String,
    pub key: String,
    pub axes: BTreeMap<String, Json>,
    /// Everything that determined the result.
    pub settings: Json,
    pub n0: usize,
    pub lambda0: Vec<f64>,
    pub tau0: Vec<f64>,
    /// Source risk, one entry for each λ₀.
    pub source: Vec<Risk>,
    /// Standard deviation of a single draw's source risk, one entry for each λ₀.
    pub source_spread: Vec<f64>,
    pub source_optimum: OptimumRecord,
    pub targets: Vec<TargetRecord>,
    pub compromises: Vec<CompromiseRecord>,
    pub draws: usize,
    pub sampler: String,
    /// This case's share of the time for the draws, in seconds.
    pub seconds: f64,
    pub threads: usize,
    pub host: String,
    pub program: String,
    pub commit: String,
    /// Seconds since 1970.
    pub finished: f64,
}

impl RidgeRecord {
    /// Whether any risk is not finite. JSON has no such numbers, so the record could not be read
    /// again.
    pub fn not_finite(&self) -> bool {
        let risks = |r: &Risk| [r.predicted, r.simulated, r.error];
        let at = self.targets.iter().flat_map(|t| &t.at);
        let all = self.source.iter().chain(at.clone().flat_map(|a| a.transfer.iter().chain(&a.gain).chain([&a.scratch]))).flat_map(risks);
        let gains = at.flat_map(|a| [a.gain_at_source_optimal, a.gain_at_transfer_optimal]);
        all.chain(gains).chain(self.tau0.iter().copied()).any(|v| !v.is_finite())
    }
}

/// The records of a ridge study by key, and warnings about lines that could not be read.
pub fn read(folder: &Folder) -> Result<(BTreeMap<String, RidgeRecord>, Vec<String>)> {
    let mut records = BTreeMap::new();
    let warnings = read_lines(
        folder,
        "its case is computed again",
        |_| true,
        |record: RidgeRecord| {
            records.insert(record.key.clone(), record);
        },
    )?;
    Ok((records, warnings))
}

/// Numbers that may be infinite. JSON has no infinity, so it is stored as "inf".
mod extended {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &f64, s: S) -> Result<S::Ok, S::Error> {
        match value.is_finite() {
            true => s.serialize_f64(*value),
            false => s.serialize_str("inf"),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(f64),
            Word(String),
        }
        match Either::deserialize(d)? {
            Either::Number(value) => Ok(value),
            Either::Word(word) if word == "inf" => Ok(f64::INFINITY),
            Either::Word(word) => Err(serde::de::Error::custom(format!("`{word}` is not a number"))),
        }
    }
}
