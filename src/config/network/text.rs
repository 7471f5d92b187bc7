//! How documents become features.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// See `Network::text`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Text {
    /// Words in the vocabulary, at most; the network has as many inputs (those beyond the vocabulary stay 0).
    pub features: usize,
    /// Words in fewer of the documents than this are left out; ≥ 1.
    pub min_df: usize,
    /// What the vocabulary and the idf are fitted on: the `source` task's training documents, or the `union` with the target's.
    pub fit: FitOn,
    /// Without headers, footers and quoted lines (as scikit-learn's `remove`); with them, a classifier reads who wrote, not what about.
    pub strip: bool,
}

impl Default for Text {
    fn default() -> Self {
        Text { features: 5000, min_df: 2, fit: FitOn::Source, strip: true }
    }
}

impl Text {
    pub(super) fn is_default(&self) -> bool {
        *self == Text::default()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FitOn {
    Source,
    Union,
}
