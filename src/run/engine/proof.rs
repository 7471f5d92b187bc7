//! The results of `doctor --cuda`, without libtorch's types.

use serde::Serialize;

/// What to prove, and where.
#[derive(Debug, Clone)]
pub struct ProofOptions {
    /// The device, as for `--device`.
    pub device: String,
    /// The checks on the CPU, each also with its fault planted.
    pub self_test: bool,
}

/// One check, as it came out.
#[derive(Debug, Clone, Serialize)]
pub struct CheckReport {
    pub name: String,
    /// The fault that was planted; then the check must not hold.
    pub fault: Option<String>,
    pub device: String,
    /// What was measured, with its bound, or the error.
    pub measured: String,
    pub passed: bool,
    pub seconds: f64,
}
