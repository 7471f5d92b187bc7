//! The result of one case of a ridge study: predictions beside simulation.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::record::read_lines;
use super::Folder;
use crate::base::interval::Interval;

/// A risk: predicted, and simulated with its standard error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Risk {
    pub predicted: f64,
    pub simulated: f64,
    pub error: f64,
}

/// An optimal penalty. `edge`: null inside, `zero` or `infinite` at a boundary; λ = ∞ is null.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OptimumRecord {
    pub predicted: Option<f64>,
    pub edge: Option<String>,
    /// Other local minima of the prediction.
    pub others: Vec<f64>,
    /// Of the simulated mean risk, on the grid interpolated; none where that is smallest at an end of the grid.
    pub simulated: Option<Interval>,
    pub simulated_edge: Option<String>,
}

/// What a target says at one λ₁.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AtLambda1 {
    /// Infinity as "inf".
    #[serde(with = "extended")]
    pub lambda1: f64,
    #[serde(with = "extended")]
    pub tau1: f64,
    pub scratch: Risk,
    /// For each λ₀.
    pub transfer: Vec<Risk>,
    /// R_S − R_TL for each λ₀.
    pub gain: Vec<Risk>,
    pub optimum: OptimumRecord,
    /// λ₀*/λ_S*.
    pub ratio: Option<f64>,
    pub simulated_ratio: Option<Interval>,
    /// The alignment at which λ₀* would equal λ_S*, all else the same; none where no alignment does that.
    pub crossing: Option<f64>,
    /// R_TL(λ_S*)/R_TL(λ₀*) − 1.
    pub cost: Option<f64>,
    pub simulated_cost: Option<Interval>,
    /// R_S − R_TL at λ_S* and at λ₀*.
    pub gain_at_source_optimal: f64,
    pub gain_at_transfer_optimal: f64,
    /// The same, simulated at the simulated optima.
    pub simulated_gain_at_source_optimal: Option<Interval>,
    pub simulated_gain_at_transfer_optimal: Option<Interval>,
    /// For each λ₀: the smallest ρ at which transfer helps, all else the same.
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

/// One λ₀ for all targets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CompromiseRecord {
    pub objective: String,
    /// Whether this is the one the study asks for.
    pub asked: bool,
    pub optimum: OptimumRecord,
    /// For each target: its risk at the compromise above its best.
    pub regret: Vec<f64>,
    pub simulated_regret: Vec<Option<Interval>>,
}

/// The result of one case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RidgeRecord {
    pub version: u32,
    /// `ridge`
    pub kind: String,
    pub key: String,
    pub axes: BTreeMap<String, Json>,
    /// Everything that determined the result.
    pub settings: Json,
    pub n0: usize,
    pub lambda0: Vec<f64>,
    pub tau0: Vec<f64>,
    /// Source risk for each λ₀.
    pub source: Vec<Risk>,
    /// The standard deviation of one draw's source risk, for each λ₀.
    pub source_spread: Vec<f64>,
    pub source_optimum: OptimumRecord,
    pub targets: Vec<TargetRecord>,
    pub compromises: Vec<CompromiseRecord>,
    pub draws: usize,
    pub sampler: String,
    /// Seconds of this case's share of the draws.
    pub seconds: f64,
    pub threads: usize,
    pub host: String,
    pub program: String,
    pub commit: String,
    /// Seconds since 1970.
    pub finished: f64,
}

impl RidgeRecord {
    /// A risk that is no finite number: JSON has none, and such a record could not be read again.
    pub fn not_finite(&self) -> bool {
        let risks = |r: &Risk| [r.predicted, r.simulated, r.error];
        let at = self.targets.iter().flat_map(|t| &t.at);
        let all = self.source.iter().chain(at.clone().flat_map(|a| a.transfer.iter().chain(&a.gain).chain([&a.scratch]))).flat_map(risks);
        let gains = at.flat_map(|a| [a.gain_at_source_optimal, a.gain_at_transfer_optimal]);
        all.chain(gains).chain(self.tau0.iter().copied()).any(|v| !v.is_finite())
    }
}

/// Records of a ridge study by key, with what could not be read.
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

/// Numbers that may be infinite, which JSON has no word for: "inf".
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
