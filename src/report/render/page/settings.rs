//! A table of answers, for the settings of a study or for several studies.

use maud::{html, Markup};

use super::{number_cell, table, Heading};
use crate::base::interval::Interval;
use crate::report::analysis::SettingSummary;
use crate::report::render::words::{difference, short, unit, verdict};

/// One row per item: its name, the link of its name, and its answer.
pub fn settings<'a>(id: &str, rows: impl Iterator<Item = (String, String, &'a SettingSummary)>) -> Markup {
    let headings = [
        Heading("setting", true, "values of the study's other axes, or a study"),
        Heading("order", true, "order of λ₀* and λ_S* by the ratio's interval"),
        Heading("metric", true, "of the selection"),
        Heading("seeds", false, "with all results"),
        Heading("λ_S*", false, "best for the source"),
        Heading("λ₀*", false, "best to transfer from"),
        Heading("λ₁*", false, "with it"),
        Heading("λ₀*/λ_S*", false, "their ratio"),
        Heading("interval", false, "of the ratio: 95%, and 98% after rounds"),
        Heading("cost of λ_S*", false, "target test metric at λ₀* above that at λ_S*, with its paired 95% interval"),
        Heading("over scratch", false, "target test metric of the best transfer above training from scratch, with its 95% interval"),
    ];
    table(id, &headings, html! { @for (name, link, setting) in rows { (row(&name, &link, setting)) } })
}

fn row(name: &str, link: &str, s: &SettingSummary) -> Markup {
    let lambda = |value: Option<f64>| number_cell(&value.map_or("–".into(), short), value);
    let ratio = s.log_ratio.map(|r| r.estimate.exp());
    let range = s.log_ratio.and_then(|r| r.range).map(|(low, high)| (low.exp(), high.exp()));
    let show_difference = |value: Option<Interval>| {
        // Both use the same λ₀, so there is no difference.
        let nothing = value.is_some_and(|v| v.estimate == 0.0 && v.range == Some((0.0, 0.0)));
        let words = value.filter(|_| !nothing).map_or(if nothing { "0".into() } else { "–".into() }, |v| {
            let show = |v: f64| difference(s.metric, v);
            let range = v.range.map_or(String::new(), |(low, high)| format!(" ({} to {})", show(low), show(high)));
            format!("{}{range} {}", show(v.estimate), unit(s.metric).0)
        });
        number_cell(&words, value.map(|v| v.estimate))
    };
    html! {
        tr {
            td.words.long[name.chars().count() > 28] { a href=(link) { (name) } }
            td.words { (s.verdict.map_or("no answer yet", verdict)) @if s.is_at_end { ", at an end of the grid" } }
            td.words { (s.metric.name()) }
            (number_cell(&s.seeds.to_string(), Some(s.seeds as f64)))
            (lambda(s.source))
            (lambda(s.transfer.map(|t| t.0)))
            (lambda(s.transfer.map(|t| t.1)))
            (number_cell(&ratio.map_or("–".into(), short), ratio))
            (number_cell(&range.map_or("–".into(), |(l, h)| format!("{} to {}", short(l), short(h))), range.map(|r| r.0)))
            (show_difference(s.mismatch_cost))
            (show_difference(s.gain))
        }
    }
}
