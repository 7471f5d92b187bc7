//! How the target model grows from the source model, and its from-scratch twin.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the target model grows from the source model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Transfer {
    /// `l2sp`: λ₁ pulls the backbone to the source weights. `finetune`: it starts there, and λ₁ pulls it to zero (weight decay).
    /// `probe`: the backbone stays as it is, and a fresh head is trained under λ₁ (β has no part). `ridge`: the same in closed form, ridge
    /// regression of the one-hot classes on the frozen features: ½·mean‖y − ŷ‖² + (λ₁/2)·‖θ_h‖², an intercept beside it; no epochs, and losses are ½·mean‖y − ŷ‖².
    pub method: TransferMethod,
    /// `fresh`: a new head, drawn with the seed and penalised by β. `keep`: the source's head, under λ₁ like the backbone
    /// (needs as many target classes as source classes).
    pub head: HeadRule,
    /// β, the penalty on a fresh head; ≥ 0.
    pub beta: f64,
    /// Running statistics of BatchNorm while fine-tuning: `update` them on target batches, or leave them `frozen` as the source had them.
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
    /// Whether the backbone stays as the source left it.
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

/// The from-scratch twin of the target models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Scratch {
    /// Penalties (λ/2)·‖θ‖² to try (with `target.l1_ratio` as there); the report compares with the one that validation prefers. An empty list: no twin.
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
