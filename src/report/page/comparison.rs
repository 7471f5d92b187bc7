//! The page of several studies side by side.

use maud::html;

use super::network::order;
use super::{figure, number_cell, shell, table, Head};
use crate::report::comparison::{first_sentence, Entry, Setting};
use crate::report::statement::short;
use crate::report::stats::Interval;
use crate::report::{Drawing, Metric};

pub fn comparison(entries: &[Entry], drawing: Option<&Drawing>) -> String {
    let heads = [
        Head("study", true, ""),
        Head("metric", true, "of the selection"),
        Head("seeds", false, ""),
        Head("λ_S*", false, "best for the source"),
        Head("λ₀*", false, "best to transfer from"),
        Head("λ₁*", false, "with it"),
        Head("λ₀*/λ_S*", false, "their ratio"),
        Head("95% interval", false, "of the ratio"),
        Head("cost of λ_S*", false, "target test metric at λ₀* above that at λ_S*, with its paired 95% interval"),
        Head("over scratch", false, "target test metric at the optimum above training from scratch, with its paired 95% interval"),
        Head("order", true, "what the interval says"),
    ];
    let row = |entry: &Entry, s: &Setting| {
        let lambda = |value: Option<f64>| number_cell(&value.map_or("–".into(), |v| short(v)), value);
        let ratio = s.log_ratio.map(|r| r.estimate.exp());
        let range = s.log_ratio.and_then(|r| r.range).map(|(low, high)| (low.exp(), high.exp()));
        let (scale, digits, unit) = if s.metric == Metric::Accuracy { (100.0, 2, "pts") } else { (1.0, 4, "nats") };
        let difference = |value: Option<Interval>| {
            let show = |v: f64| format!("{:+.digits$}", scale * v);
            let words = value.map_or("–".into(), |v| {
                let range = v.range.map_or(String::new(), |(low, high)| format!(" ({} to {})", show(low), show(high)));
                format!("{}{range} {unit}", show(v.estimate))
            });
            number_cell(&words, value.map(|v| v.estimate))
        };
        html! {
            tr {
                td.words { a href=(entry.link) { (entry.label(s)) } }
                td.words { (s.metric.name()) }
                (number_cell(&s.seeds.to_string(), Some(s.seeds as f64)))
                (lambda(s.source))
                (lambda(s.transfer.map(|t| t.0)))
                (lambda(s.transfer.map(|t| t.1)))
                (number_cell(&ratio.map_or("–".into(), short), ratio))
                (number_cell(&range.map_or("–".into(), |(l, h)| format!("{} to {}", short(l), short(h))), range.map(|r| r.0)))
                (difference(s.cost))
                (difference(s.gain))
                td.words { (order(s.verdict)) @if s.edge { ", at an edge" } }
            }
        }
    };
    let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    let content = html! {
        header { p class="name" { (names.join(", ")) } h1 { (first_sentence(entries)) } }
        main {
            ul class="lines" { @for entry in entries { li { a href=(entry.link) { (entry.name) } ": " (entry.headline) } } }
            @if let Some(drawing) = drawing {
                (figure(&drawing.figure.svg, &drawing.name, &drawing.caption))
                (table("comparison", &heads, html! { @for entry in entries { @for s in &entry.settings { (row(entry, s)) } } }))
                p class="soft" { "Tables for programs: " a href="comparison.csv" { "comparison.csv" } ", " a href="comparison.parquet" { "comparison.parquet" } "." }
            }
        }
    };
    shell(&names.join(", "), None, content)
}
