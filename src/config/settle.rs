//! When a question is settled, and the grids that `sweep --until settled` chose for it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// What must be known for a study to be settled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settle {
    /// Optimal λ₀ of source and target within this factor of each other are the same; > 1.
    pub margin: f64,
    /// The metric by which `sweep --until settled` asks: `accuracy`, `loss` or `both`; null: the
    /// study's `selection`. One metric is also that of the report's verdicts.
    pub by: Option<SettleBy>,
    /// What `sweep --until settled` asks: `order`, whether the target wants a stronger, a weaker or
    /// the same λ₀; `ratio`, whether λ₀*/λ_S* is known to a factor of `within` each way; `gain`,
    /// whether transfer is better than training from scratch. Where `gain` alone is asked, it is
    /// what the verdict says, with or without rounds.
    pub of: Vec<Aim>,
    /// The factor of `ratio`; > 1.
    pub within: f64,
    /// The time that `sweep --until settled` may use, e.g. `90s`, `45m` or `2h`; null: no limit.
    #[serde(deserialize_with = "time")]
    pub budget: Option<String>,
}

/// A text such as `45m`, or a number of seconds.
fn time<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Time {
        Seconds(f64),
        Text(String),
    }
    let time = Option::<Time>::deserialize(deserializer)?;
    Ok(time.map(|time| match time {
        Time::Seconds(seconds) => format!("{seconds}s"),
        Time::Text(text) => text,
    }))
}

impl Default for Settle {
    fn default() -> Self {
        Settle { margin: 1.5, by: None, of: vec![Aim::Order], within: 1.5, budget: None }
    }
}

impl Settle {
    pub fn is_default(&self) -> bool {
        *self == Settle::default()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SettleBy {
    Accuracy,
    Loss,
    Both,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Aim {
    Order,
    Ratio,
    Gain,
}

/// The λ₀, λ₁, seeds and draws of one combination of the other axes, in place of the study's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// The values of the axes other than λ₀ and λ₁, in the order in which the study shows them.
    #[serde(default)]
    pub at: Vec<Json>,
    /// Values of λ₀, or of the axis that stands for it.
    pub lambda0: Vec<f64>,
    /// Values of λ₁.
    pub lambda1: Vec<f64>,
    pub seeds: Vec<u64>,
    pub draws: usize,
}
