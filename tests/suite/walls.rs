//! The import rules of ARCHITECTURE.md: imports go down only, tch is used only in its modules, and
//! only store/ writes records.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// In dependency order: a module may import those before it. `run` and `report` are adjacent and
/// must not import each other.
const ORDER: [&str; 14] =
    ["base", "theory", "config", "plan", "data", "store", "track", "model", "train", "run", "report", "settle", "launch", "cli"];
const FORBIDDEN: [(&str, &str); 13] = [
    ("settle", "run"),
    ("launch", "settle"),
    ("launch", "run"),
    ("launch", "report"),
    ("report", "run"),
    ("report", "train"),
    ("report", "model"),
    ("run", "track"),
    ("train", "store"),
    ("train", "track"),
    ("model", "store"),
    ("model", "track"),
    ("model", "data"),
];
const TCH: [&str; 3] = ["model/", "train/", "run/engine/torch/"];

fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, out: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, out);
            } else if path.extension().is_some_and(|e| e == "rs") {
                out.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![];
    walk(&root, &mut files);
    files
        .into_iter()
        .map(|path| (path.strip_prefix(&root).unwrap().to_str().unwrap().to_string(), fs::read_to_string(&path).unwrap()))
        .collect()
}

/// The code without comments and without tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]").next().unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect()
}

fn module(path: &str) -> Option<usize> {
    ORDER.iter().position(|name| path.starts_with(&format!("{name}/")))
}

/// Whether the code contains this word, and not only as the end of another word (`Watch::` is not
/// `tch::`).
fn has(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

#[test]
fn imports_go_down_only() {
    let files = sources();
    assert!(files.len() > 40, "the sources were found");
    let mut seen = 0;
    for (path, text) in &files {
        let Some(own) = module(path) else { continue };
        let text = code(text);
        for (i, other) in ORDER.iter().enumerate().filter(|(i, _)| *i != own) {
            let used = text.contains(&format!("crate::{other}::")) || text.contains(&format!("crate::{other};"));
            seen += usize::from(used);
            assert!(!used || i < own, "{path} uses crate::{other}, which stands above it");
            assert!(!used || !FORBIDDEN.contains(&(ORDER[own], other)), "{path} uses crate::{other}: these two do not know each other");
        }
        assert!(!text.contains("crate::{"), "{path}: one `use crate::module::…` for each module, so that walls can be read");
    }
    assert!(seen > 40, "imports were found");
}

#[test]
fn tch_stays_in_its_rooms() {
    for (path, text) in sources() {
        let allowed = TCH.iter().any(|room| path.starts_with(room));
        assert!(allowed || !has(&code(&text), "tch::"), "{path} names tch");
    }
}

#[test]
fn theory_does_no_io() {
    for (path, text) in sources().into_iter().filter(|(path, _)| path.starts_with("theory/")) {
        let text = code(&text);
        assert!(!["std::fs", "std::io", "std::env", "println!", "eprintln!"].iter().any(|word| has(&text, word)), "{path} does I/O");
    }
}

#[test]
fn config_and_plan_do_no_io_beyond_reading_a_study() {
    for (path, text) in sources() {
        let text = code(&text);
        let writes = ["fs::write", "File::create", "OpenOptions", "println!", "eprintln!"].iter().any(|word| has(&text, word));
        if path.starts_with("plan/") {
            assert!(!writes && !text.contains("std::fs"), "{path} does I/O");
        }
        if path.starts_with("config/") {
            assert!(!writes, "{path} writes");
            assert!(path == "config/files.rs" || !text.contains("std::fs"), "{path} reads files");
        }
    }
}

#[test]
fn files_are_written_by_store_and_a_few_named_others() {
    // fetch.rs downloads into its own .part files; cache.rs keeps decoded images; events.rs writes
    // TensorBoard's event files; the proof writes studies of its own into a temporary folder.
    let allowed = ["store/", "data/fetch.rs", "data/own/cache.rs", "track/events.rs", "run/engine/torch/proof/study.rs"];
    for (path, text) in sources() {
        let text = code(&text);
        let writes = ["fs::write", "File::create", "OpenOptions"].iter().any(|word| has(&text, word));
        assert!(!writes || allowed.iter().any(|room| path.starts_with(room)), "{path} writes files");
    }
}

#[test]
fn unwrap_and_expect_are_explained_or_absent() {
    for (path, text) in sources() {
        let text = code(&text);
        assert!(!text.contains(".unwrap()"), "{path} unwraps");
        for word in ["todo!(", "unimplemented!(", "dbg!("] {
            assert!(!text.contains(word), "{path} has {word}");
        }
        for line in text.lines().filter(|line| line.contains(".expect(\"")) {
            let words = line.split(".expect(\"").nth(1).unwrap().split('"').next().unwrap();
            assert!(words.split_whitespace().count() >= 5, "{path}: expect says why it cannot fail, not {words:?}");
        }
    }
}

#[test]
fn analysis_knows_no_renderer_and_renderers_compute_no_statistics() {
    let (mut analysis, mut render) = (0, 0);
    for (path, text) in sources() {
        let text = code(&text);
        if path.starts_with("report/analysis/") {
            analysis += 1;
            assert!(!has(&text, "render::") && !has(&text, "std::fs"), "{path} renders or writes");
        }
        if path.starts_with("report/render/") {
            render += 1;
            let statistics = ["bootstrap(", "quantile(", "mean_interval(", "p_value(", "holm("];
            assert!(!statistics.iter().any(|name| has(&text, name)), "{path} computes a statistic");
            assert!(path.ends_with("/link.rs") || !has(&text, "std::fs"), "{path} does I/O");
        }
    }
    assert!(analysis > 15 && render > 15, "the sources were found");
}

#[test]
fn only_a_trained_model_opens_test_data() {
    let code: Vec<(String, String)> = sources().into_iter().map(|(path, text)| (path, code(&text))).collect();
    let with = |what: &str| code.iter().filter(|(_, text)| text.contains(what)).map(|(path, _)| path.as_str()).collect::<BTreeSet<_>>();
    assert_eq!(with("NoLongerLearns for"), BTreeSet::from(["train/pack.rs"]));
    assert_eq!(with("sealed::Sealed for Trained"), BTreeSet::from(["train/pack.rs"]));
    assert_eq!(with("Trained::new("), BTreeSet::from(["train/closed_form.rs", "train/pack.rs"]));
    assert_eq!(with("Dataset::read("), BTreeSet::from(["data/mod.rs"]));
}

/// What the Dockerfile copies from the build's context, and what .dockerignore lets into it.
#[test]
fn the_image_gets_what_its_dockerfile_copies() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let [dockerfile, ignored] = ["Dockerfile", ".dockerignore"].map(|name| fs::read_to_string(root.join(name)).unwrap());
    let allowed: BTreeSet<&str> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let is_allowed = |path: &str| allowed.iter().any(|own| path == *own || path.starts_with(&format!("{own}/")) || own.starts_with(path));
    let copies = dockerfile.lines().filter_map(|line| line.strip_prefix("COPY ")).filter(|line| !line.starts_with("--from"));
    let paths: Vec<&str> = copies.flat_map(|line| line.split_whitespace().rev().skip(1).collect::<Vec<_>>()).collect();
    assert!(paths.len() > 8, "{paths:?}");
    for path in paths {
        assert!(is_allowed(path.trim_end_matches('/')) && root.join(path).exists(), "{path} does not reach the image");
    }
    // What the program includes from outside of src/.
    for (path, text) in sources() {
        let outside = text.split("include_str!(\"../../").skip(1).filter_map(|rest| rest.split('"').next());
        for file in outside.filter(|file| !file.starts_with("../") && root.join(file).exists()) {
            assert!(is_allowed(file), "{path} includes {file}, which does not reach the image");
        }
    }
}
