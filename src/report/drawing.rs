//! Which figures a report has, their files' names and captions.

use anyhow::Result;

use super::comparison::{Entry, Setting};
use super::figure;
use super::section::Report;
use crate::config::Study;

/// How the figure of ratios is read.
const FOREST: &str = "Point: estimate; bar: 95% interval, with an arrow where it is open; hollow: an optimum at the end of its grid.";

/// What figures of a network study are called; with several settings a number follows.
pub const NAMES: [&str; 4] = ["figure2", "mismatch", "heatmap", "overview"];

/// A figure with its file's name and what it shows.
pub struct Drawing {
    pub name: String,
    pub caption: String,
    pub figure: figure::Figure,
}

/// The figures of one section.
pub fn of_section(study: &Study, report: &Report, i: usize) -> Result<Vec<Drawing>> {
    let section = &report.sections[i];
    let suffix = if report.sections.len() > 1 { format!("-{}", i + 1) } else { String::new() };
    let all = [
        ("figure2", figure::curves(study, section)?, "Source and target test metric against the source penalty λ₀, each target with the λ₁ that validation prefers; bands: 95% intervals of the mean; dashed: the optima, chosen by validation; bars above: their 95% intervals."),
        ("mismatch", figure::mismatch(study, section)?, "What other λ₀ cost the target: test metric minus that at λ₀*, paired by seed, so that what a seed does to all λ₀ alike cancels."),
        ("heatmap", figure::heat_map(study, section)?, "Mean target test metric over both penalties."),
    ];
    let drawing = |(name, figure, caption): (&str, Option<figure::Figure>, &str)| {
        Some(Drawing { name: format!("{name}{suffix}"), caption: caption.into(), figure: figure? })
    };
    Ok(all.into_iter().filter_map(drawing).collect())
}

/// The ratio of the optima in every section; none for a single one.
pub fn overview(study: &Study, report: &Report) -> Result<Option<Drawing>> {
    if report.sections.len() < 2 {
        return Ok(None);
    }
    let rows: Vec<figure::Row> = report
        .sections
        .iter()
        .enumerate()
        .filter_map(|(i, s)| {
            let setting = Setting::of(s);
            Some(figure::Row { label: format!("{}. {}", i + 1, setting.label), log_ratio: setting.log_ratio?, edge: setting.edge })
        })
        .collect();
    let caption = format!("The transfer-optimal over the source-optimal λ₀ in every setting of the study. {FOREST}");
    Ok(figure::forest(&study.name, &rows)?.map(|figure| Drawing { name: "overview".into(), caption, figure }))
}

/// The ratio of the optima in every setting of several studies.
pub fn ratios(entries: &[Entry]) -> Result<Option<Drawing>> {
    let settings = entries.iter().flat_map(|entry| entry.settings.iter().map(move |setting| (entry, setting)));
    let rows: Vec<figure::Row> =
        settings.filter_map(|(entry, s)| Some(figure::Row { label: entry.label(s), log_ratio: s.log_ratio?, edge: s.edge })).collect();
    let caption = format!("The transfer-optimal over the source-optimal λ₀. {FOREST}");
    Ok(figure::forest("the ratio of the optima, study by study", &rows)?.map(|figure| Drawing { name: "ratios".into(), caption, figure }))
}
