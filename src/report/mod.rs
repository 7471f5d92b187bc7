//! Computes the answer from records: the source-optimal and the transfer-optimal λ₀, their ratio,
//! its uncertainty, and the cost of the wrong choice.
//!
//! `analysis` computes numbers from records. `render` converts an analysis to text and named bytes.
//! `write` writes these to files.

pub mod analysis;
pub mod render;
mod write;

use std::path::PathBuf;

use anyhow::Result;

use crate::config::Study;
use crate::plan::{Case, Plan};
use crate::store::{FullRecord, Records, RidgeRecord};
use analysis::{StudyAnalysis, StudyEntry};
use render::ridge::RidgeReport;
use render::FigureOptions;
pub use write::ReportTarget;

/// Renders and writes the report of a study of networks, and returns the paths of its files.
/// `others` are results of stages that are no longer in the study; they are added to the tables.
pub fn write_network(
    analysis: &StudyAnalysis,
    study: &Study,
    plan: &Plan,
    records: &Records,
    others: &[FullRecord],
    target: &ReportTarget,
) -> Result<Vec<PathBuf>> {
    let results = analysis::results(study, plan, records, others);
    let files = render::study_files(analysis, &results, &target.provenance(), &target.figures)?;
    write::write_study(&files, &target.out, &render::FIGURE_NAMES)
}

/// Analyses a ridge study and writes its report. The report is returned even if its files cannot be
/// written. The second value holds the paths of the files, or the error.
pub fn write_ridge(
    study: &Study,
    cases: &[Case],
    records: &[&RidgeRecord],
    target: &ReportTarget,
) -> Result<(RidgeReport, Result<Vec<PathBuf>>)> {
    let analysis = analysis::ridge::analyse(study, cases, records);
    let (report, files) = render::ridge::study_files(analysis, target.provenance(), &target.figures)?;
    let written = write::write_study(&files, &target.out, &render::ridge::FIGURE_NAMES);
    Ok((report, written))
}

/// Renders and writes the comparison of several studies, and returns the paths of its files.
pub fn write_comparison(entries: &[StudyEntry], out: &std::path::Path, figures: &FigureOptions) -> Result<Vec<PathBuf>> {
    let files = render::comparison_files(entries, figures)?;
    write::write_comparison(&files, out, &render::COMPARISON_FILES)
}
