//! Errors in how the program is called.

/// An error in flags or environment variables. Exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{what}\n  hint: {hint}")]
pub struct UsageError {
    pub what: String,
    pub hint: String,
}

/// A usage error as an [`anyhow::Error`].
pub fn usage(what: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
    UsageError { what: what.into(), hint: hint.into() }.into()
}
