//! The commands that an answer names, so that they work as they are.

use std::path::Path;

use crate::base::numbers::seconds;
use crate::config::Study;
use crate::report::render::Commands;
use crate::settle::first;
use crate::store::{Folder, Manifest};

/// For a study that names no budget.
const BUDGET: &str = "1h";

/// A smaller budget is not suggested, in seconds.
const LEAST: f64 = 60.0;

/// Commands for the study in a folder, from the command that was last run there.
pub fn commands(folder: &Folder, study: &Study) -> Commands {
    let last = Manifest::read(folder).and_then(|manifest| manifest.runs.last().cloned());
    let base = study.with_grids(vec![]);
    let engine = last.as_ref().map_or("torch", |run| run.engine.as_str());
    let (program, again) = match last.as_ref().map(|run| run.command.as_slice()) {
        Some([program, rest @ ..]) if rest.first().is_some_and(|word| word == "sweep") => (program.clone(), repeated(rest)),
        Some([program, ..]) => (program.clone(), from_folder(folder, engine)),
        _ => ("transfergrid".into(), from_folder(folder, engine)),
    };
    let command = |words: &[String]| {
        let words = std::iter::once(&program).chain(words).map(String::as_str);
        shlex::try_join(words).unwrap_or_default()
    };
    let can_settle = first(&base).is_ok();
    Commands {
        settle: can_settle.then(|| command(&until_settled(&again, &base))),
        again: command(&again),
        details: command(&["report".into(), folder.0.display().to_string(), "--verbose".into()]),
        page: folder.report().join("index.html").display().to_string(),
        budget: None,
    }
}

/// A path as it is typed in a shell.
pub fn typed(path: &Path) -> String {
    shlex::try_quote(&path.display().to_string()).map_or_else(|_| String::new(), Into::into)
}

/// The command without flags that are for one run alone.
fn repeated(words: &[String]) -> Vec<String> {
    let mut kept = vec![];
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--fresh" | "--only-failed" | "--dry-run" => {}
            "--shard" => drop(words.next()),
            word if word.starts_with("--shard=") => {}
            _ => kept.push(word.clone()),
        }
    }
    kept
}

/// Runs the study of a folder that was not made by `sweep` itself, such as that of the demo.
fn from_folder(folder: &Folder, engine: &str) -> Vec<String> {
    let out = folder.0.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(".".into(), |parent| parent.display().to_string());
    let mut words = ["sweep".into(), folder.study().display().to_string(), "--out".into(), out].to_vec();
    if engine == "mock" {
        words.extend(["--engine", engine].map(str::to_string));
    }
    words
}

/// The same command with `--until settled` and a budget, twice as large as one that is used
/// already.
fn until_settled(words: &[String], study: &Study) -> Vec<String> {
    let budget = match study.settle.budget.as_deref().and_then(|budget| seconds(budget).ok()) {
        Some(used) if words.iter().any(|word| word.starts_with("--until")) => {
            format!("{}m", ((2.0 * used).max(LEAST) / 60.0).ceil())
        }
        _ => study.settle.budget.clone().unwrap_or(BUDGET.into()),
    };
    let mut kept = vec![];
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match word.as_str() {
            "--until" | "--budget" => drop(rest.next()),
            word if word.starts_with("--until=") || word.starts_with("--budget=") => {}
            _ => kept.push(word.clone()),
        }
    }
    kept.extend(["--until", "settled", "--budget", &budget].map(str::to_string));
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_repeated_without_what_was_for_once() {
        let words: Vec<String> = "sweep a.yaml --fresh --shard 0/2 --seeds 3 --shard=1/2".split(' ').map(str::to_string).collect();
        assert_eq!(repeated(&words).join(" "), "sweep a.yaml --seeds 3");
    }

    #[test]
    fn a_path_with_a_space_can_be_pasted() {
        assert_eq!(typed(Path::new("my logs/it's")), "\"my logs/it's\"");
        assert_eq!(typed(Path::new("logs/demo")), "logs/demo");
    }

    #[test]
    fn a_budget_that_is_used_is_doubled_in_a_form_that_can_be_read() {
        let folder = std::env::temp_dir();
        let study = Study::load(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/demo.yaml"),
            &crate::config::Overrides { set: vec!["settle.budget=30h".into()], ..Default::default() },
        );
        let words = from_folder(&Folder(folder.join("demo")), "mock");
        assert!(words.ends_with(&["--engine".to_string(), "mock".to_string()]));
        let words = [words, vec!["--until".into(), "settled".into(), "--budget=30h".into()]].concat();
        let next = until_settled(&words, &study.unwrap());
        assert!(next.ends_with(&["--until", "settled", "--budget", "3600m"].map(str::to_string)), "{next:?}");
        assert_eq!(seconds("3600m"), Ok(60.0 * 3600.0));
    }
}
