//! Several studies side by side: the ratio of the optima in each study, the cost of the wrong
//! choice, and whether transfer helps.

use super::answer::Verdict;
use super::metric::Metric;
use super::setting::SettingAnalysis;
use super::study::StudyAnalysis;
use super::table::{ColumnType, Field, Table};
use crate::base::interval::Interval;
use crate::config::{Regularizer, StrongerEnd};

/// One study.
#[derive(Debug, Clone)]
pub struct StudyEntry {
    pub name: String,
    pub folder: String,
    /// Link from the comparison's folder to the study's page.
    pub link: String,
    pub headline: String,
    /// One entry per setting. Empty for a ridge study, whose own page lists its claims.
    pub settings: Vec<SettingSummary>,
}

/// The answer for one setting of a study.
#[derive(Debug, Clone)]
pub struct SettingSummary {
    pub axes: Vec<(String, serde_yaml::Value)>,
    /// Its name, if the study has a `label`.
    pub label: Option<String>,
    pub regularizer: Regularizer,
    pub metric: Metric,
    pub seeds: usize,
    pub source: Option<f64>,
    /// The transfer-optimal λ₀ and λ₁.
    pub transfer: Option<(f64, f64)>,
    pub log_ratio: Option<Interval>,
    pub mismatch_cost: Option<Interval>,
    pub gain: Option<Interval>,
    /// None if there is no answer.
    pub verdict: Option<Verdict>,
    /// Whether an optimal λ₀ is at an end of the grid.
    pub is_at_end: bool,
}

impl SettingSummary {
    pub fn of(analysis: &SettingAnalysis) -> SettingSummary {
        let (setting, answered) = (&analysis.setting, analysis.answer.answered());
        let comparison = analysis.answer.comparison();
        SettingSummary {
            axes: setting.axes.clone(),
            label: setting.label.clone(),
            regularizer: setting.regularizer.clone(),
            metric: analysis.basis.metric,
            seeds: analysis.basis.seeds.len(),
            source: answered.map(|a| a.source_lambda0(setting)),
            transfer: answered.map(|a| (a.transfer_lambda0(setting), setting.lambda1[a.transfer.1])),
            log_ratio: comparison.map(|c| c.log_ratio),
            mismatch_cost: answered.and_then(|a| a.mismatch_cost),
            gain: answered.and_then(|a| a.gain),
            verdict: comparison.map(|c| c.verdict),
            is_at_end: comparison.is_some_and(|c| c.source_end.or(c.transfer_end).is_some()),
        }
    }

    /// Which end of λ₀ regularises more.
    pub fn stronger(&self) -> StrongerEnd {
        self.regularizer.stronger
    }
}

impl StudyEntry {
    pub fn network(analysis: &StudyAnalysis, folder: String, link: String, headline: String) -> StudyEntry {
        let settings = analysis.settings.iter().map(SettingSummary::of).collect();
        StudyEntry { name: analysis.name.clone(), folder, link, headline, settings }
    }
}

/// Adds the folder to the names of studies that share a name.
pub fn distinguish_names(entries: &mut [StudyEntry]) {
    let names: Vec<String> = entries.iter().map(|entry| entry.name.clone()).collect();
    for entry in entries {
        if names.iter().filter(|name| **name == entry.name).count() > 1 {
            entry.name = entry.folder.clone();
        }
    }
}

/// One row per setting of each study. `label` formats a setting.
pub fn comparison_table(entries: &[StudyEntry], label: impl Fn(&SettingSummary) -> String) -> Table {
    let mut columns: Vec<(String, ColumnType)> = [
        ("study", ColumnType::Text),
        ("folder", ColumnType::Text),
        ("setting", ColumnType::Text),
        ("metric", ColumnType::Text),
        ("seeds", ColumnType::Whole),
        ("verdict", ColumnType::Text),
        ("at_edge", ColumnType::Text),
    ]
    .map(|(name, kind)| (name.to_string(), kind))
    .to_vec();
    columns.extend(
        ["lambda0_source_optimal", "lambda0_transfer_optimal", "lambda1_transfer_optimal"]
            .map(|name| (name.to_string(), ColumnType::Number)),
    );
    for name in ["log_ratio", "mismatch_cost", "transfer_gain"] {
        columns.extend(["", "_low", "_high"].map(|end| (format!("{name}{end}"), ColumnType::Number)));
    }
    let mut table = Table::new(columns);
    for (entry, s) in entries.iter().flat_map(|entry| entry.settings.iter().map(move |setting| (entry, setting))) {
        let mut row: Vec<Field> = vec![
            entry.name.clone().into(),
            entry.folder.clone().into(),
            label(s).into(),
            s.metric.name().into(),
            Field::Whole(s.seeds as u64),
            s.verdict.map(Verdict::as_str).into(),
            if s.is_at_end { "yes" } else { "no" }.into(),
        ];
        row.extend([s.source, s.transfer.map(|t| t.0), s.transfer.map(|t| t.1)].map(Field::from));
        for value in [s.log_ratio, s.mismatch_cost, s.gain] {
            let range = value.and_then(|v| v.range);
            row.extend([value.map(|v| v.estimate), range.map(|r| r.0), range.map(|r| r.1)].map(Field::from));
        }
        table.push(row);
    }
    table
}
