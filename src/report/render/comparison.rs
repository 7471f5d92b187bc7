//! The report of several studies side by side.

use anyhow::Result;

use super::words::setting_label;
use super::{drawings, page, table, FigureOptions, RenderedFile};
use crate::report::analysis::{comparison_table, SettingSummary, StudyEntry, Verdict};

/// All files that a comparison can have.
pub const COMPARISON_FILES: [&str; 7] =
    ["comparison.csv", "comparison.parquet", "ratios.svg", "ratios.png", "ratios.csv", "ratios.pdf", "index.html"];

/// Returns comparison.csv and .parquet, the figure of ratios, and index.html.
pub fn comparison_files(entries: &[StudyEntry], options: &FigureOptions) -> Result<Vec<RenderedFile>> {
    let mut files = vec![];
    // Ridge studies have no settings.
    if entries.iter().any(|entry| !entry.settings.is_empty()) {
        files.extend(table::files("comparison", &comparison_table(entries, setting_label))?);
    }
    let drawing = drawings::ratios(entries, options.width)?;
    if let Some(drawing) = &drawing {
        files.extend(drawing.files(options)?);
    }
    files.push(RenderedFile::new("index.html", page::comparison(entries, &first_sentence(entries), drawing.as_ref())));
    Ok(files)
}

/// The first sentence of a comparison.
pub fn first_sentence(entries: &[StudyEntry]) -> String {
    let settings: Vec<&SettingSummary> = entries.iter().flat_map(|entry| &entry.settings).collect();
    if settings.is_empty() {
        return format!("{} studies of the theory, side by side.", entries.len());
    }
    let made_up = if entries.iter().any(|entry| entry.headline.starts_with("Made-up")) { "Made-up results are among them. " } else { "" };
    let count = |verdict: Option<Verdict>| settings.iter().filter(|s| s.verdict == verdict).count();
    let without = match count(None) {
        0 => String::new(),
        n => format!(", and {n} have no answer yet"),
    };
    format!(
        "{made_up}Of {} in {}, the transfer-optimal λ₀ is stronger than the source-optimal one in {}, weaker in {}, the same in {}, {}and not settled in {}{without}.",
        counted(settings.len(), "setting", "settings"),
        counted(entries.iter().filter(|entry| !entry.settings.is_empty()).count(), "study", "studies"),
        count(Some(Verdict::Stronger)),
        count(Some(Verdict::Weaker)),
        count(Some(Verdict::Same)),
        match count(Some(Verdict::Collapsed)) {
            0 => String::new(),
            n => format!("that of a source which learned nothing in {n}, "),
        },
        count(Some(Verdict::Undecided))
    )
}

fn counted(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}
