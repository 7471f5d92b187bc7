//! The settings of one cell of a ridge study. Their doc comments become the reference
//! (docs/study.md).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_yaml::Value;

use super::error::cut;

/// One cell of a ridge study: a linear source task and a linear target task, and how each is
/// regularised.
///
/// Source: y₀ = X₀w₀ + ε₀ with ‖w₀‖ = 1, where X₀ has n₀ rows N(0, Σ₀) and ε₀ ~ N(0, σ₀²I). Target:
/// the same with index 1 and w₁ = ρ·w₀ + orthogonal·u, where u is a unit vector orthogonal to w₀. λ
/// is not divided by n; risks are E‖β̂ − w‖²_Σ (docs/theory.md).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ridge {
    /// Dimension; 1 to 100000, and at most 4000 where a covariance is a full matrix.
    pub p: usize,
    /// Rows of the source; give this or `gamma`.
    #[serde(default)]
    pub n0: Option<usize>,
    /// γ = p/n₀ > 0, in place of `n0` (n₀ is p/γ, rounded).
    #[serde(default)]
    pub gamma: Option<f64>,
    /// Rows of the target.
    pub n1: usize,
    /// Alignment ρ = ⟨w₀,w₁⟩/‖w₀‖².
    pub rho: f64,
    /// Length of the part of w₁ that is orthogonal to w₀; ≥ 0.
    #[serde(default)]
    pub orthogonal: f64,
    /// Direction of w₀: `random`, `uniform` (1,…,1)/√p, or the `top` or `bottom` eigenvector of Σ₀
    /// (its sign makes its largest entry positive).
    #[serde(default = "random")]
    pub w0: Direction,
    /// Direction of the orthogonal part: `random`, `uniform`, or the `top` or `bottom` eigenvector
    /// of Σ₁, each made orthogonal to w₀.
    #[serde(default = "random")]
    pub u: Direction,
    /// The source's noise and covariance.
    pub source: Task,
    /// The target's noise and covariance.
    pub target: Task,
    /// λ₀ of the source; ≥ 0.
    pub lambda0: f64,
    /// λ₁ of L2-SP on the target (and of the from-scratch ridge); ≥ 0. `.inf` uses the source
    /// estimate as it is.
    pub lambda1: f64,
    /// Several targets of one source; null: one target. Each is a map with its own `name` and a
    /// `weight` (default 1). It may override `rho`, `orthogonal`, `n1`, `noise`, `covariance` or
    /// `lambda1`.
    #[serde(default)]
    pub targets: Option<Vec<Target>>,
    /// What one λ₀ for several targets minimises: the `weighted` risk, the `max-risk`, or the
    /// `max-regret` (a target's risk minus its smallest risk).
    #[serde(default)]
    pub objective: Objective,
    /// Draws of the Monte Carlo simulation; at least 2.
    #[serde(default = "draws")]
    pub draws: usize,
    /// Seed of the draws and of random directions.
    #[serde(default)]
    pub seed: u64,
    /// `direct`, `rao-blackwell` (exact average over the noise), `chi` (identity covariances only;
    /// never forms X), or `auto`: the last of these that applies.
    #[serde(default)]
    pub sampler: SamplerName,
}

fn random() -> Direction {
    Direction::Random
}

fn draws() -> usize {
    400
}

/// Noise and covariance of one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Noise variance σ²; 0 to 1e9 (‖w₀‖ = 1, so it is σ²/‖w₀‖²).
    pub noise: f64,
    /// `identity`, `{power: a}` (eigenvalues ∝ i^−a on the diagonal), `{ar1: r}` (Σᵢⱼ = r^|i−j|),
    /// `{spiked: {count: k, strength: s}}` (k eigenvalues s times the others) or `{file: S.npy}`
    /// (or .csv without a header; relative to the working directory). Scaled to mean eigenvalue 1
    /// unless `normalise: false` is given beside it.
    #[serde(default)]
    pub covariance: CovarianceSpec,
}

/// A named direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    Random,
    Uniform,
    Top,
    Bottom,
}

/// What a compromise between targets minimises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    #[default]
    Weighted,
    MaxRisk,
    MaxRegret,
}

/// The sampler of the simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SamplerName {
    #[default]
    Auto,
    Direct,
    RaoBlackwell,
    Chi,
}

/// One of several targets. A setting that is not given is that of the study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Name in figures and tables.
    pub name: String,
    /// Relative weight; > 0.
    #[serde(default = "one")]
    pub weight: f64,
    #[serde(default)]
    pub rho: Option<f64>,
    #[serde(default)]
    pub orthogonal: Option<f64>,
    #[serde(default)]
    pub n1: Option<usize>,
    #[serde(default)]
    pub noise: Option<f64>,
    #[serde(default)]
    pub covariance: Option<CovarianceSpec>,
    #[serde(default)]
    pub lambda1: Option<f64>,
}

fn one() -> f64 {
    1.0
}

/// A covariance as written in a study.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Value", into = "Value")]
#[schemars(with = "CovarianceForm")]
pub struct CovarianceSpec {
    pub kind: CovarianceKind,
    /// Keep the eigenvalues as given; otherwise they are scaled to mean eigenvalue 1.
    pub keep_scale: bool,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub enum CovarianceKind {
    #[default]
    Identity,
    Power(f64),
    Ar1(f64),
    Spiked {
        count: usize,
        strength: f64,
    },
    File(String),
}

/// The forms of a covariance, for the schema.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code)] // only its schema is used
enum CovarianceForm {
    Name(Identity),
    Map(CovarianceMap),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[allow(dead_code)]
enum Identity {
    Identity,
}

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CovarianceMap {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    power: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ar1: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spiked: Option<Spiked>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    normalise: bool,
}

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Spiked {
    count: usize,
    strength: f64,
}

fn yes() -> bool {
    true
}

fn is_true(value: &bool) -> bool {
    *value
}

const FORMS: &str = "a covariance is `identity`, `{power: a}`, `{ar1: r}`, `{spiked: {count: k, strength: s}}` or `{file: S.npy}`";

impl TryFrom<Value> for CovarianceSpec {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        if let Value::String(name) = &value {
            return match name.as_str() {
                "identity" => Ok(CovarianceSpec::default()),
                other => Err(format!("{FORMS}, not `{}`", cut(other))),
            };
        }
        let known = ["power", "ar1", "spiked", "file", "normalise"];
        if let Some(key) = value.as_mapping().and_then(|map| map.keys().filter_map(Value::as_str).find(|key| !known.contains(key))) {
            return Err(format!("{FORMS}; there is no `{}`", cut(key)));
        }
        let map: CovarianceMap = serde_yaml::from_value(value).map_err(|error| format!("{FORMS}: {error}"))?;
        let forms = [
            map.power.map(CovarianceKind::Power),
            map.ar1.map(CovarianceKind::Ar1),
            map.spiked.map(|s| CovarianceKind::Spiked { count: s.count, strength: s.strength }),
            map.file.map(CovarianceKind::File),
        ];
        let mut given = forms.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(kind), None) => Ok(CovarianceSpec { kind, keep_scale: !map.normalise }),
            _ => Err(FORMS.into()),
        }
    }
}

impl From<CovarianceSpec> for Value {
    fn from(spec: CovarianceSpec) -> Value {
        let mut map = CovarianceMap { power: None, ar1: None, spiked: None, file: None, normalise: !spec.keep_scale };
        match spec.kind {
            CovarianceKind::Identity => return "identity".into(),
            CovarianceKind::Power(a) => map.power = Some(a),
            CovarianceKind::Ar1(r) => map.ar1 = Some(r),
            CovarianceKind::Spiked { count, strength } => map.spiked = Some(Spiked { count, strength }),
            CovarianceKind::File(path) => map.file = Some(path),
        }
        serde_yaml::to_value(map).unwrap_or(Value::Null)
    }
}

impl Ridge {
    /// n₀, as given or from γ.
    pub fn rows(&self) -> usize {
        match (self.n0, self.gamma) {
            (Some(n0), _) => n0,
            (None, Some(gamma)) => (self.p as f64 / gamma).round() as usize,
            (None, None) => 0,
        }
    }
}
