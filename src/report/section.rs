//! The answer of a study as data: a section for each combination of its other axes, and what is lacking.

use std::collections::HashSet;

use super::answer::Answer;
use super::cells::{rows, CellRow};
use super::collect::{count, groups, Counts, Group, Lacking, Metric};
use super::compromise::{compromise, Compromise};
use crate::config::{Selection, Study};
use crate::plan::Plan;
use crate::store::{Record, Records, Status};

/// The answer for each group of the study (one, unless other settings than λ₀ and λ₁ are axes too).
#[derive(Debug, Clone)]
pub struct Report {
    pub sections: Vec<Section>,
    /// One λ₀ for all of them, where they are several targets of one source.
    pub compromise: Option<Compromise>,
    pub counts: Counts,
    /// Stages that diverged, failed or are missing.
    pub lacking: Vec<Lacking>,
    /// Its numbers were made up by the mock engine.
    pub made_up: bool,
    /// Final results of stages that are not in the study.
    pub withdrawn: usize,
}

/// One group with all that is said of it.
#[derive(Debug, Clone)]
pub struct Section {
    pub group: Group,
    pub answer: Answer,
    /// The answer by the other metric.
    pub second: Answer,
    pub rows: Vec<CellRow>,
}

impl Section {
    pub fn new(group: Group, selection: Selection) -> Section {
        let answer = Answer::of(&group, selection);
        let other = if answer.metric == Metric::Accuracy { Metric::Loss } else { Metric::Accuracy };
        Section { second: Answer::under(&group, other), rows: rows(&group, &answer), group, answer }
    }
}

impl Report {
    /// Computes the answer; writes nothing.
    pub fn new(study: &Study, plan: &Plan, records: &Records) -> Report {
        let groups = groups(study, plan, records);
        let (counts, lacking) = count(plan, records);
        let keys: HashSet<&str> = plan.stages.iter().map(|stage| stage.key.as_str()).collect();
        let is_withdrawn = |record: &&Record| record.status != Status::Failed && !keys.contains(record.key.as_str());
        let withdrawn = records.by_key.values().filter(is_withdrawn).count();
        let made_up = records.by_key.values().any(|record| record.engine == "mock");
        let sections = groups.into_iter().map(|group| Section::new(group, study.selection)).collect();
        let mut report = Report { made_up, withdrawn, sections, compromise: None, counts, lacking };
        report.compromise = compromise(&report.sections);
        report
    }
}
