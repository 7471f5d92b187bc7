//! The axis that regularises the source.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The axis that regularises the source: λ₀, or another setting in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Regularizer {
    /// An axis of the study with numeric values, e.g. `source.epochs` (early stopping),
    /// `source.dropout`, `source.label_smoothing` or `source.lr`.
    pub axis: String,
    /// The end of the axis that regularises more.
    pub stronger: StrongerEnd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StrongerEnd {
    Larger,
    Smaller,
}

impl Default for Regularizer {
    fn default() -> Self {
        Regularizer { axis: "lambda0".into(), stronger: StrongerEnd::Larger }
    }
}

impl Regularizer {
    /// The axis that is used in place of λ₀, if any.
    pub fn stands_for(&self) -> Option<&str> {
        (self.axis != "lambda0").then_some(self.axis.as_str())
    }
}
