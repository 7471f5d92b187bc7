//! Renders an analysis as terminal text, a page, figures, CSV, Parquet, JSON and LaTeX.
//!
//! A renderer takes the analysis and returns text or named bytes; `report::write` writes them. No
//! statistic is computed here.

mod answer_text;
mod comparison;
mod drawings;
mod figure;
mod history_text;
mod latex;
mod link;
mod mlflow;
mod page;
pub mod ridge;
mod setting_text;
mod summary_json;
mod table;
mod terminal;
mod tracked_run;
mod verdict_text;
mod wandb;
mod words;

use anyhow::Result;

pub use comparison::{comparison_files, first_sentence, COMPARISON_FILES};
use drawings::Drawings;
pub use drawings::FIGURE_NAMES;
pub use figure::{heat_map_rgb, FigureOptions};
pub use history_text::{round_values, rounds_text};
pub use latex::latex;
pub use link::{link, real};
pub use mlflow::{experiment, number as experiment_number, MARK};
pub use page::Provenance;
pub use summary_json::summary_json;
pub use table::{csv, parquet};
pub use terminal::{glance, statement, Commands, Screen, Text};
pub use tracked_run::TrackedRun;
pub use verdict_text::headline;
pub use wandb::{wandb_mark, wandb_runs};
pub use words::{axes_label, setting_name};

use super::analysis::{SettingAnalysis, StudyAnalysis, Table};

/// A file of a report.
#[derive(Debug, Clone)]
pub struct RenderedFile {
    pub name: String,
    pub bytes: Vec<u8>,
}

impl RenderedFile {
    pub fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> RenderedFile {
        RenderedFile { name: name.into(), bytes: bytes.into() }
    }
}

/// File names, for the links of a page.
fn names(files: &[RenderedFile]) -> Vec<String> {
    files.iter().map(|file| file.name.clone()).collect()
}

/// The answer as Markdown, for TensorBoard.
pub fn board_text(analysis: &StudyAnalysis) -> String {
    let line = |of: &SettingAnalysis| {
        let name = words::setting_name(&of.setting);
        let name = if name.is_empty() { name } else { format!("**{name}** · ") };
        format!("- {name}{}", answer_text::answer_sentence(of))
    };
    let lines: Vec<String> = analysis.settings.iter().map(line).collect();
    format!("## {}\n\n{}\n", headline(analysis), lines.join("\n"))
}

/// Name, RGB bytes, width and height.
pub type NamedImage = (String, Vec<u8>, u32, u32);

/// The most important figures, for TensorBoard: those of all settings, and those of the first ones.
pub fn board_figures(analysis: &StudyAnalysis) -> Result<Vec<NamedImage>> {
    let drawings = Drawings::of_first(analysis, BOARD_SETTINGS, figure::WIDTH)?;
    let figures =
        drawings.across.iter().chain(drawings.of_settings.iter().flatten()).filter(|drawing| !drawing.name.starts_with("heatmap"));
    figures.map(|drawing| drawing.figure.rgb().map(|(rgb, width, height)| (drawing.name.clone(), rgb, width, height))).collect()
}

/// Settings whose figures TensorBoard shows.
const BOARD_SETTINGS: usize = 4;

/// The files of a network study's report: results.csv, results.parquet, summary.json, the figures
/// and, last, index.html.
pub fn study_files(
    analysis: &StudyAnalysis,
    results: &Table,
    provenance: &Provenance,
    options: &FigureOptions,
) -> Result<Vec<RenderedFile>> {
    let mut files: Vec<RenderedFile> = table::files("results", results)?.into();
    files.push(RenderedFile::new("summary.json", summary_json(analysis)));
    let drawings = Drawings::new(analysis, options.width)?;
    files.extend(drawings.files(options)?);
    let page = page::network(analysis, &drawings, provenance, &names(&files));
    files.push(RenderedFile::new("index.html", page));
    Ok(files)
}
