//! Catches panics and converts them to errors. libtorch's errors arrive as panics of tch's plain
//! methods. They become errors with libtorch's own message. A caught panic prints nothing.

use std::cell::{Cell, RefCell};
use std::panic::{catch_unwind, set_hook, take_hook, AssertUnwindSafe};
use std::sync::Once;

use anyhow::{anyhow, Result};

thread_local! {
    /// Whether this thread's panics are caught.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
    /// Location of the last caught panic.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// How the panics of tch's plain methods begin.
const TCH: &str = "called `Result::unwrap()` on an `Err` value: Torch(\"";

/// The file whose panics have libtorch's messages too.
const NATIVE: &str = "model/native.rs";

/// Maximal number of characters of an error message that are kept.
const LONGEST: usize = 2000;

/// Runs code that may panic. The error has the panic's message and its source location; errors of
/// libtorch have no location.
pub fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let tell = take_hook();
        set_hook(Box::new(move |panic| match CAUGHT.get() {
            true => {
                let own = panic.location().filter(|place| !place.file().ends_with(NATIVE));
                PLACE.set(own.map_or_else(String::new, |place| format!(" (a panic at {place})")));
            }
            false => tell(panic),
        }));
    });
    let outer = CAUGHT.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    CAUGHT.set(outer);
    outcome.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
        let text = text.unwrap_or_else(|| "a panic without a message".into());
        match text.starts_with(TCH) {
            true => anyhow!(plain(&text)),
            false => anyhow!("{}{}", plain(&text), PLACE.take()),
        }
    })
}

/// A libtorch error message without its C++ stack, also if tch has quoted it. Other texts are only
/// shortened to the maximal length.
pub fn plain(text: &str) -> String {
    let unquoted = text.strip_prefix(TCH).map(|quoted| unescaped(quoted.strip_suffix("\")").unwrap_or(quoted)));
    let text = unquoted.as_deref().unwrap_or(text);
    let stack = ["\nException raised from", "\nframe #"].iter().filter_map(|start| text.find(start)).min();
    text[..stack.unwrap_or(text.len())].trim_end().chars().take(LONGEST).collect()
}

/// Undoes the escapes that `Debug` writes in a text, except for characters written as numbers.
fn unescaped(quoted: &str) -> String {
    let mut letters = quoted.chars();
    let mut text = String::with_capacity(quoted.len());
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            text.push(letter);
            continue;
        }
        match letters.next() {
            Some('n') => text.push('\n'),
            Some('t') => text.push('\t'),
            Some(other) => text.push(other),
            None => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{catch_panic, plain};

    #[test]
    fn libtorchs_words_come_without_its_stack() {
        let words = "CUDA out of memory: \"C:\\new\" wants (\"2 GiB\")";
        let raw = format!("{words}\nException raised from malloc at x.cpp:1 (most recent call first):\nframe #0: c10::Error");
        assert_eq!(plain(&raw), words);
        let fails = || -> Result<(), Torch> { Err(Torch(raw.clone())) };
        assert_eq!(catch_panic(|| fails().unwrap()).unwrap_err().to_string(), words);
        assert_eq!(plain(&format!("called `Result::unwrap()` on an `Err` value: {:?}", Torch(words.into()))), words);
    }

    /// Has the same `Debug` text as tch's error.
    #[derive(Debug)]
    struct Torch(#[allow(dead_code)] String);

    #[test]
    fn other_panics_name_their_place() {
        let error = catch_panic(|| assert_eq!(1 + 1, 3, "so it is not")).unwrap_err().to_string();
        assert!(error.contains("so it is not") && error.contains("(a panic at src/base/catch_panic.rs:"), "{error}");
        assert_eq!(catch_panic(|| 7).unwrap(), 7);
    }
}
