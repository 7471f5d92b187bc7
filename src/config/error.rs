//! Errors of study files: where, what is wrong, and what to do.

use std::fmt;
use std::io::{self, ErrorKind};

/// A mistake in a study, or in the flags that shape it. Exit code 2, unless the storage failed.
#[derive(Debug, Clone, thiserror::Error)]
pub struct StudyError {
    /// The file or flag, e.g. `my.yaml` or `--set source.lr=x`.
    pub origin: String,
    /// Line and column in the file, from 1.
    pub place: Option<(usize, usize)>,
    /// Key path, e.g. `source.lambda0[2]`; empty where none applies.
    pub path: Box<str>,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Whether the file could not be read for a reason that may be temporary: [`storage_failed`].
    pub may_pass: bool,
}

impl StudyError {
    pub fn new(origin: impl Into<String>, path: impl Into<Box<str>>, what: impl Into<String>) -> Self {
        StudyError { origin: origin.into(), place: None, path: path.into(), what: what.into(), hint: None, may_pass: false }
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
            write!(f, "`{}`: ", cut(&self.path))?;
        }
        write!(f, "{}", self.what)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Whether a read error comes from the storage and not from the file: a file server that is
/// unavailable, a failing disk, or too many open files. Then another attempt, perhaps on another
/// machine, may succeed. Also looks into errors that wrap a system error, as those of archives do.
pub fn storage_failed(error: &io::Error) -> bool {
    let of_the_file = [
        ErrorKind::NotFound,
        ErrorKind::PermissionDenied,
        ErrorKind::IsADirectory,
        ErrorKind::NotADirectory,
        ErrorKind::InvalidInput,
        ErrorKind::InvalidFilename,
    ];
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        cause = match current.downcast_ref::<io::Error>() {
            // System errors have a number. Others come from the content, such as an archive that
            // ends early.
            Some(error) if error.raw_os_error().is_some() => return !of_the_file.contains(&error.kind()),
            Some(error) => error.get_ref().map(|inner| inner as &(dyn std::error::Error + 'static)),
            None => current.source(),
        };
    }
    false
}

/// "did you mean": the known name nearest to what was written, if one is near. A name of something
/// else is not suggested: `resnet50` is not a misspelt `resnet56`, and `emnist` is not a misspelt
/// `kmnist`.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if written.len() > 100 {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace(['-', '_', ' '], "");
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let own = plain(written);
    let is_other = |name: &str| {
        let name = plain(name);
        let prefixed = own.len() > name.len() && own.ends_with(&name) && name.len() > 3;
        let other_set = ["emnist", "qmnist", "notmnist", "medmnist"].contains(&own.as_str()) && !name.starts_with(&own);
        let half = ["fp16", "float16", "half"].contains(&own.as_str());
        own != name && (prefixed || half || other_set || (!digits(&own).is_empty() && digits(&own) != digits(&name)))
    };
    known
        .into_iter()
        .filter(|name| !is_other(name))
        // Jaro–Winkler for typos and shortened names; Damerau–Levenshtein for swapped letters in
        // short ones.
        .map(|name| {
            let same = f64::from(u8::from(plain(name) == own));
            (strsim::jaro_winkler(written, name).max(0.1 + strsim::normalized_damerau_levenshtein(written, name)).max(2.0 * same), name)
        })
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// Maximum number of characters of a name or value that a message shows.
const MOST_SHOWN: usize = 80;

/// A name or value in a message, cut where it is long.
pub fn cut(text: &str) -> String {
    match text.char_indices().nth(MOST_SHOWN) {
        None => text.into(),
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
    }
}

/// The names in backticks, with commas between them: `a`, `b`, `c`.
pub fn words<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::{cut, nearest};

    #[test]
    fn what_is_another_thing_is_not_suggested() {
        let data = ["digits", "mnist", "cifar10", "cifar100", "newsgroups"];
        for (written, near) in [
            ("mnits", Some("mnist")),
            ("MNIST", Some("mnist")),
            ("CIFAR-10", Some("cifar10")),
            ("cifar_100", Some("cifar100")),
            ("newsgroup", Some("newsgroups")),
            ("kmnist", None),
            ("fasion-mnist", None),
            ("cifar20", None),
        ] {
            assert_eq!(nearest(written, data), near, "{written}");
        }
        let like_mnist = ["mnist", "fashion-mnist", "kmnist"];
        for (written, near) in [("emnist", None), ("qmnist", None), ("fasion-mnist", Some("fashion-mnist")), ("kmnits", Some("kmnist"))] {
            assert_eq!(nearest(written, like_mnist), near, "{written}");
        }
        assert_eq!(nearest("emnist", ["mnist", "kmnist", "emnist-letters"]), Some("emnist-letters"));
        let others = ["resnet20", "resnet32", "resnet56", "float32", "tf32", "bf16"];
        for written in ["resnet50", "resnet34", "fp16", "float16", "float64"] {
            assert_eq!(nearest(written, others), None, "{written}");
        }
        assert_eq!(nearest(&"x".repeat(1 << 20), data), None);
    }

    #[test]
    fn long_names_are_cut() {
        assert_eq!(cut("short"), "short");
        let long = cut(&"λ".repeat(1000));
        assert!(long.ends_with("… (2000 bytes)") && long.len() < 200, "{long}");
    }
}
