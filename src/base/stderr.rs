//! The one writer of messages to stderr.

use std::io::Write;

/// A line to stderr; a terminal that has gone is no reason to stop (`eprintln!` would panic).
pub fn print_error(message: &str) {
    let lines: Vec<String> = message.lines().map(shortened).collect();
    let _ = writeln!(std::io::stderr(), "{}", lines.join("\n"));
}

/// A line of a message, without its middle where nobody would read it to its end.
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
