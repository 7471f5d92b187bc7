//! How documents are turned into features.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// See `Network::text`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Text {
    /// Maximum number of words in the vocabulary, which is also the network's number of inputs.
    /// Inputs beyond the vocabulary stay 0.
    pub features: usize,
    /// Words that occur in fewer documents than this are left out; ≥ 1.
    pub min_df: usize,
    /// Documents on which the vocabulary and the idf are fitted: the training documents of the
    /// `source` task, or the `union` with those of the target task.
    pub fit: FitOn,
    /// Remove headers, footers and quoted lines (like scikit-learn's `remove`). With them, a
    /// classifier recognises the author instead of the topic.
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
