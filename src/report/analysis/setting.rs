//! One setting with everything that is computed of it.

use super::answer::Answer;
use super::cells::{rows, CellRow};
use super::layout::Setting;
use super::metric::{Basis, Metric};
use super::predictions::PredictionAnalysis;
use crate::config::Selection;

/// One setting with everything that is computed for it.
#[derive(Debug, Clone)]
pub struct SettingAnalysis {
    pub setting: Setting,
    /// The basis with the study's own metric.
    pub basis: Basis,
    pub answer: Answer,
    /// The answer with the other metric.
    pub other_metric: Answer,
    pub rows: Vec<CellRow>,
    /// What kept predictions show; none without any.
    pub predictions: Option<PredictionAnalysis>,
}

impl SettingAnalysis {
    pub fn new(setting: Setting, selection: Selection) -> SettingAnalysis {
        let basis = Basis { metric: Metric::of(selection, setting.is_regression), seeds: setting.complete_seeds() };
        let answer = Answer::of(&setting, basis.metric);
        SettingAnalysis {
            other_metric: Answer::of(&setting, basis.metric.other()),
            rows: rows(&setting, &basis, &answer),
            predictions: None,
            setting,
            basis,
            answer,
        }
    }
}
