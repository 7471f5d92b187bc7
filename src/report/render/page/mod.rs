//! Builds pages. A page is one self-contained file that opens from disk without a network, in a
//! light and a dark theme.

mod comparison;
mod network;
mod provenance;
mod settings;

pub use comparison::comparison;
pub use network::network;
pub use provenance::Provenance;

use maud::{html, Markup, PreEscaped, DOCTYPE};

/// The sort key of a number for the page's script. Infinite values have JavaScript's names.
fn sortable(value: f64) -> String {
    match value {
        v if v == f64::INFINITY => "Infinity".into(),
        v if v == f64::NEG_INFINITY => "-Infinity".into(),
        v => format!("{v}"),
    }
}

/// A complete page around its content. `refresh` is the number of seconds after which the browser
/// reloads it.
pub fn shell(title: &str, refresh: Option<u64>, content: Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content=(crate::store::program());
                @if let Some(seconds) = refresh { meta http-equiv="refresh" content=(seconds); }
                title { (title) }
                // An empty icon: without it, a browser would request one.
                link rel="icon" href="data:,";
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                (content)
                script { (PreEscaped(include_str!("table.js"))) }
            }
        }
    }
    .into_string()
}

/// A drawing that scales with the page.
pub fn figure(svg: &str, name: &str, caption: &str) -> Markup {
    let name = name.replace(['"', '<', '>', '&'], "");
    let svg = svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{name}\" "), 1);
    html! {
        figure id=(name) { (PreEscaped(svg)) figcaption { (caption) } }
    }
}

/// A column heading: its text, whether its cells are words, and its explanation.
pub struct Heading<'a>(pub &'a str, pub bool, pub &'a str);

/// A table that can be sorted and filtered. `id` must be unique on the page.
pub fn table(id: &str, headings: &[Heading], rows: Markup) -> Markup {
    html! {
        div class="filter" {
            input type="search" data-table=(id) placeholder="filter, e.g. 0.01" aria-label="filter the rows";
            span class="soft" data-count=(id) {}
        }
        div class="table" tabindex="0" {
            table id=(id) {
                thead { tr { @for Heading(name, words, meaning) in headings { th.words[*words] scope="col" aria-sort="none" title=(meaning) { button { (name) } } } } }
                tbody { (rows) }
            }
        }
    }
}

/// A cell with words. Long text may wrap.
fn words_cell(words: &str) -> Markup {
    html! { td.words.long[words.chars().count() > 28] { (words) } }
}

/// A cell with a number: the text to show, and the value to sort by.
fn number_cell(shown: &str, value: Option<f64>) -> Markup {
    html! { td data-v=(value.map(sortable).unwrap_or_default()) { (shown) } }
}
