//! The analysis of a study of networks.

use std::collections::{BTreeSet, HashSet};

use super::answer::Answer;
use super::cells::{rows, CellRow};
use super::layout::{lay_out, Setting};
use super::metric::Basis;
use super::shared_lambda0::{shared_lambda0, SharedLambda0};
use super::status::{count, IncompleteStage, StageCounts};
use crate::config::{Regularizer, Selection, Study};
use crate::plan::Plan;
use crate::store::{Record, Records, Status};

/// Everything that a report shows of a study of networks.
#[derive(Debug, Clone)]
pub struct StudyAnalysis {
    pub name: String,
    pub description: Option<String>,
    pub regularizer: Regularizer,
    /// One for each combination of the axes other than λ₀ and λ₁.
    pub settings: Vec<SettingAnalysis>,
    /// One λ₀ for all settings, where they are several targets of one source.
    pub shared_lambda0: Option<SharedLambda0>,
    pub counts: StageCounts,
    pub incomplete: Vec<IncompleteStage>,
    /// The numbers were made up by the mock engine.
    pub made_up: bool,
    /// Results of stages that are not in the study.
    pub withdrawn: usize,
    pub training: Training,
}

/// How long the plan's stages trained, and on what.
#[derive(Debug, Clone, Default)]
pub struct Training {
    pub seconds: f64,
    /// (device, host), sorted.
    pub devices: Vec<(String, String)>,
}

/// One setting with everything that is computed of it.
#[derive(Debug, Clone)]
pub struct SettingAnalysis {
    pub setting: Setting,
    /// The study's own metric.
    pub basis: Basis,
    pub answer: Answer,
    /// The answer by the other metric.
    pub other_metric: Answer,
    pub rows: Vec<CellRow>,
}

impl SettingAnalysis {
    pub fn new(setting: Setting, selection: Selection) -> SettingAnalysis {
        let basis = Basis { metric: selection.into(), seeds: setting.complete_seeds() };
        let answer = Answer::of(&setting, basis.metric);
        SettingAnalysis {
            other_metric: Answer::of(&setting, basis.metric.other()),
            rows: rows(&setting, &basis, &answer),
            setting,
            basis,
            answer,
        }
    }
}

/// Analyses a study.
pub fn analyse(study: &Study, plan: &Plan, records: &Records) -> StudyAnalysis {
    let (counts, incomplete) = count(plan, records);
    let keys: HashSet<&str> = plan.stages.iter().map(|stage| stage.key.as_str()).collect();
    let is_withdrawn = |record: &&Record| record.status != Status::Failed && !keys.contains(record.key.as_str());
    let settings: Vec<SettingAnalysis> =
        lay_out(study, plan, records).into_iter().map(|setting| SettingAnalysis::new(setting, study.selection)).collect();
    StudyAnalysis {
        name: study.name.clone(),
        description: study.description.clone(),
        regularizer: study.regularizer.clone(),
        shared_lambda0: shared_lambda0(&settings),
        settings,
        counts,
        incomplete,
        made_up: records.by_key.values().any(|record| record.engine == "mock"),
        withdrawn: records.by_key.values().filter(is_withdrawn).count(),
        training: training(plan, records),
    }
}

fn training(plan: &Plan, records: &Records) -> Training {
    let own = || plan.stages.iter().filter_map(|stage| records.by_key.get(&stage.key));
    let devices: BTreeSet<(String, String)> = own().map(|record| (record.device.clone(), record.host.clone())).collect();
    // The stages of a pack share its time.
    let seconds = own().map(|record| record.seconds / record.pack.max(1) as f64).sum();
    Training { seconds, devices: devices.into_iter().collect() }
}
