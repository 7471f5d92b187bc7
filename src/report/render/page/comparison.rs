//! The page of a comparison of several studies.

use maud::html;

use super::settings::settings;
use super::{figure, shell};
use crate::report::analysis::StudyEntry;
use crate::report::render::drawings::{entry_label, Drawing};

/// The page of a comparison. `sentence`: its first one.
pub fn comparison(entries: &[StudyEntry], sentence: &str, drawing: Option<&Drawing>) -> String {
    let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    let rows = || entries.iter().flat_map(|entry| entry.settings.iter().map(move |s| (entry_label(entry, s), entry.link.clone(), s)));
    let content = html! {
        header { p class="name" { (names.join(", ")) } h1 { (sentence) } }
        main {
            ul class="lines" { @for entry in entries { li { a href=(entry.link) { (entry.name) } ": " (entry.headline) } } }
            @if let Some(drawing) = drawing { (figure(&drawing.figure.svg, &drawing.name, &drawing.caption)) }
            @if rows().next().is_some() {
                (settings("comparison", rows()))
                p class="soft" { "Tables for programs: " a href="comparison.csv" { "comparison.csv" } ", " a href="comparison.parquet" { "comparison.parquet" } "." }
            }
        }
    };
    shell(&names.join(", "), None, content)
}
