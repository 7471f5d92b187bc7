//! How documents become features.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// TF-IDF features, as scikit-learn's TfidfVectorizer computes them: words of two or more letters, digits or underscores, in lower case; the `features` words
/// that occur most often in the documents that it is fitted on; idf = ln((1 + n)/(1 + df)) + 1; rows of length 1. Never fitted on validation or test documents.
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
