//! How the target model is trained from the source model, and how it is trained from scratch.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the target model is trained from the source model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Transfer {
    /// `l2sp`: λ₁ pulls the backbone to the source weights. `finetune`: the backbone starts at the
    /// source weights, and λ₁ pulls it to zero (weight decay). `probe`: the backbone is frozen, and
    /// a fresh head is trained under λ₁ (β is not used). `ridge`: the same in closed form, as ridge
    /// regression of the one-hot classes on the frozen features: ½·mean‖y − ŷ‖² + (λ₁/2)·‖θ_h‖²,
    /// plus an intercept. `ridge` has no epochs, and its losses are ½·mean‖y − ŷ‖².
    pub method: TransferMethod,
    /// `fresh`: a new head, drawn with the seed and penalised by β. `keep`: the source's head,
    /// under λ₁ like the backbone (needs as many target classes as source classes).
    pub head: HeadRule,
    /// β, the penalty on a fresh head; ≥ 0.
    pub beta: f64,
    /// Running statistics of BatchNorm while fine-tuning: `update` them on target batches, or keep
    /// those of the source (`frozen`).
    pub batchnorm: BatchNormRule,
}

impl Default for Transfer {
    fn default() -> Self {
        Transfer { method: TransferMethod::L2sp, head: HeadRule::Fresh, beta: 0.0, batchnorm: BatchNormRule::Update }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TransferMethod {
    L2sp,
    Finetune,
    Probe,
    Ridge,
}

impl TransferMethod {
    /// Whether the backbone keeps the source's weights.
    pub fn is_frozen(self) -> bool {
        matches!(self, TransferMethod::Probe | TransferMethod::Ridge)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HeadRule {
    Fresh,
    Keep,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BatchNormRule {
    Update,
    Frozen,
}

/// Training of the target from scratch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Scratch {
    /// Penalties (λ/2)·‖θ‖² to try; `target.l1_ratio` applies to them too. The report compares with
    /// the one that is best on validation. An empty list: no training from scratch.
    pub lambdas: Vec<f64>,
    /// Learning rate; null: the target's.
    pub lr: Option<f64>,
    /// Epochs; null: the target's.
    pub epochs: Option<usize>,
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch { lambdas: vec![0.0], lr: None, epochs: None }
    }
}
