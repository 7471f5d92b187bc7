//! From records to the answer: where the source-optimal and the transfer-optimal λ₀ lie, how far apart, how sure that is, and
//! what using the wrong one costs. Validation chooses, test reports.

mod answer;
mod collect;
mod figure;
pub mod ridge;
mod statement;
mod stats;
mod tables;

use std::path::PathBuf;

use anyhow::Result;

use crate::config::Study;
use crate::plan::Plan;
use crate::store::{write_atomic, Folder, Records};

pub use answer::{Answer, Interval};
pub use collect::{Cell, Group, Metric};
pub use figure::heat_map_rgb;
pub use statement::statement;
pub use stats::{mean, percentile};

/// The answer for each group of the study (one, unless other settings than λ₀ and λ₁ are axes too).
#[derive(Debug, Clone)]
pub struct Report {
    pub groups: Vec<(Group, Answer)>,
    /// Stages that diverged, failed or are missing.
    pub counts: collect::Counts,
}

impl Report {
    /// Computes the answer; writes nothing.
    pub fn new(study: &Study, plan: &Plan, records: &Records) -> Report {
        let groups = collect::groups(study, plan, records);
        let with_answers = groups.into_iter().map(|group| {
            let answer = Answer::of(&group, study.selection);
            (group, answer)
        });
        Report { groups: with_answers.collect(), counts: collect::Counts::of(plan, records) }
    }

    /// Writes results.csv, summary.json and the figures; gives their paths.
    pub fn write(&self, study: &Study, plan: &Plan, records: &Records, folder: &Folder) -> Result<Vec<PathBuf>> {
        let mut written = vec![];
        let mut put = |name: String, bytes: Vec<u8>| -> Result<()> {
            let path = folder.report().join(name);
            write_atomic(&path, &bytes)?;
            written.push(path);
            Ok(())
        };
        put("results.csv".into(), tables::results_csv(study, plan, records).into_bytes())?;
        put("summary.json".into(), tables::summary_json(study, self).into_bytes())?;
        for (i, (group, answer)) in self.groups.iter().enumerate() {
            let suffix = if self.groups.len() > 1 { format!("-{}", i + 1) } else { String::new() };
            let figures = [("figure2", figure::curves(study, group, answer)?), ("heatmap", figure::heat_map(study, group, answer)?)];
            for (name, figure) in figures.into_iter().filter_map(|(name, figure)| Some((name, figure?))) {
                put(format!("{name}{suffix}.svg"), figure.svg.into_bytes())?;
                put(format!("{name}{suffix}.png"), figure.png)?;
            }
        }
        Ok(written)
    }
}
