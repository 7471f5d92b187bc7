//! What a bad study file says: where, what is wrong, what to do.

use std::fmt;

/// A mistake in a study, or in the flags that shape it. Exit code 2.
#[derive(Debug, Clone, thiserror::Error)]
pub struct StudyError {
    /// The file or flag, e.g. `my.yaml` or `--set source.lr=x`.
    pub origin: String,
    /// Line and column in the file, from 1.
    pub place: Option<(usize, usize)>,
    /// Key path, e.g. `source.lambda0[2]`; empty where none applies.
    pub path: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl StudyError {
    pub fn new(origin: impl Into<String>, path: impl Into<String>, what: impl Into<String>) -> Self {
        StudyError { origin: origin.into(), place: None, path: path.into(), what: what.into(), hint: None }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for StudyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.origin)?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": ")?;
        if !self.path.is_empty() {
            write!(f, "`{}`: ", self.path)?;
        }
        write!(f, "{}", self.what)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// "did you mean": the known name nearest to what was written, if one is near.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        // Jaro–Winkler for typos and shortened names; Damerau–Levenshtein for swapped letters in short ones.
        .map(|name| (strsim::jaro_winkler(written, name).max(0.1 + strsim::normalized_damerau_levenshtein(written, name)), name))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}
