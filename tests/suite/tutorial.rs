//! Runs docs/tutorial.md as it is written, in an empty folder.

use std::path::Path;
use std::process::Command;

use crate::common::*;

/// The parts of a text between ```LANGUAGE and ```.
fn blocks<'t>(text: &'t str, language: &str) -> Vec<&'t str> {
    let opening = format!("```{language}\n");
    text.split(&opening as &str).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// The text with numbers replaced: their last digits depend on the processor. Blanks are joined.
fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' if out.ends_with('#') => {}
            '0'..='9' => out.push('#'),
            c if c.is_whitespace() && out.ends_with(' ') => {}
            c if c.is_whitespace() => out.push(' '),
            c => out.push(c),
        }
    }
    // 0.1, 12 and 1e-5 are all numbers.
    ["#.#", "#e-#"].iter().fold(out, |text, number| text.replace(number, "#"))
}

#[test]
fn every_command_of_the_tutorial_prints_what_it_shows() {
    let tutorial = std::fs::read_to_string(repository().join("docs/tutorial.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let studies = blocks(&tutorial, "yaml");
    assert_eq!(studies.len(), 1);
    write(folder.path(), "my-study.yaml", studies[0]);
    let binary = Path::new(env!("CARGO_BIN_EXE_transfergrid")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let commands = blocks(&tutorial, "console");
    assert!(commands.len() >= 4);
    for block in commands {
        let (command, shown) = block.strip_prefix("$ ").unwrap().split_once('\n').unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(folder.path()).env("PATH", &path).env("NO_COLOR", "1").env_remove("TRANSFERGRID_DATA");
        let done = run(&mut shell);
        assert_eq!(done.code, Some(0), "{command}: {}", done.stderr);
        assert_eq!(without_numbers(&done.stdout), without_numbers(shown), "{command} prints\n{}", done.stdout);
    }
}
