//! A fence for the language: no coinages that earlier releases used, and prose of at most 100
//! columns.

use std::path::{Path, PathBuf};

/// Words that the code, its messages and the documents do without.
const BANNED: [&str; 16] = [
    "go home",
    "goes home",
    "gone home",
    "in whose hands",
    "the keeper",
    "whoever watches",
    "who watches",
    "nobody's business",
    "out of the running",
    "in the running",
    "has died",
    "sign of life",
    "distrust",
    "vigil",
    "workshop",
    "from-scratch twin",
];

const COLUMNS: usize = 100;

/// Files of the repository with one of these endings, but for results and what is built.
fn files(folders: &[&str], endings: &[&str]) -> Vec<(String, String)> {
    fn walk(path: &Path, endings: &[&str], out: &mut Vec<PathBuf>) {
        if path.is_dir() {
            let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
            return entries.filter(|path| !path.ends_with("results")).for_each(|path| walk(&path, endings, out));
        }
        if path.extension().is_some_and(|ending| endings.iter().any(|wanted| ending == *wanted)) {
            out.push(path.to_path_buf());
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = vec![];
    folders.iter().for_each(|folder| walk(&root.join(folder), endings, &mut found));
    let name = |path: &PathBuf| path.strip_prefix(root).unwrap().display().to_string();
    found.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

fn documents() -> Vec<(String, String)> {
    files(&["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs"], &["md"])
}

#[test]
fn coinages_stay_out() {
    let sources = files(&["src", "experiments"], &["rs", "cc", "sh", "yaml", "md"]);
    assert!(sources.len() > 150, "the sources were found");
    for (path, text) in sources.into_iter().chain(documents()) {
        for (number, line) in text.lines().enumerate() {
            let line = line.to_lowercase();
            let found = BANNED.iter().find(|word| line.contains(*word));
            assert!(found.is_none(), "{path}:{}: say `{}` in plain words: {line}", number + 1, found.unwrap_or(&""));
        }
    }
}

#[test]
fn comments_end_at_the_hundredth_column() {
    for (path, text) in files(&["src", "tests", "benches"], &["rs"]) {
        for (number, line) in text.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with("//")) {
            let columns = line.chars().count();
            assert!(columns <= COLUMNS, "{path}:{}: {columns} columns", number + 1);
        }
    }
}

/// Tables, code and lines that are one link or image may be longer: they cannot be broken. So may
/// docs/study.md, which is generated.
#[test]
fn prose_ends_at_the_hundredth_column() {
    for (path, text) in documents().into_iter().filter(|(path, _)| !path.ends_with("study.md")) {
        let mut is_code = false;
        for (number, line) in text.lines().enumerate() {
            is_code ^= line.trim_start().starts_with("```");
            let unbreakable = is_code || line.starts_with(['|', '<', '!']) || line.starts_with("    ") || !line.trim().contains(' ');
            let columns = line.chars().count();
            assert!(unbreakable || columns <= COLUMNS, "{path}:{}: {columns} columns", number + 1);
        }
    }
}
