//! The only module that writes messages to stderr.

use std::io::Write;

/// Prints a message to stderr. Ignores errors such as a closed terminal, where `eprintln!` would
/// panic.
pub fn print_error(message: &str) {
    let lines: Vec<String> = message.lines().map(shortened).collect();
    let _ = writeln!(std::io::stderr(), "{}", lines.join("\n"));
}

/// Leaves out the middle of a line that is too long to be read.
fn shortened(line: &str) -> String {
    const HEAD: usize = 1500;
    const TAIL: usize = 300;
    let letters = line.chars().count();
    if letters <= HEAD + TAIL + 100 {
        return line.into();
    }
    let (head, tail): (String, String) = (line.chars().take(HEAD).collect(), line.chars().skip(letters - TAIL).collect());
    format!("{head} … ({} letters left out) … {tail}", letters - HEAD - TAIL)
}
