//! From records to the answer: where the source-optimal and the transfer-optimal λ₀ lie, how far apart, how sure that is, and
//! what using the wrong one costs. Validation chooses, test reports.

mod answer;
mod cells;
mod collect;
pub mod comparison;
mod figure;
mod latex;
mod page;
mod results;
pub mod ridge;
mod statement;
mod stats;
mod summary;
mod table;

use std::path::PathBuf;

use anyhow::Result;

use crate::config::{Selection, Study};
use crate::plan::Plan;
use crate::store::{write_atomic, Folder, Manifest, Records};

pub use answer::{Answer, Bound, Edge, Verdict, LEAST_SEEDS};
pub use cells::{against_scratch, rows, AgainstScratch, CellRow};
pub use collect::{Cell, Counts, Group, Lacking, Metric};
pub use figure::heat_map_rgb;
pub use latex::latex;
pub use page::Provenance;
pub use statement::{headline, statement};
pub use stats::{mean, percentile, Interval};

/// The answer for each group of the study (one, unless other settings than λ₀ and λ₁ are axes too).
#[derive(Debug, Clone)]
pub struct Report {
    pub sections: Vec<Section>,
    pub counts: Counts,
    /// Stages that diverged, failed or are missing.
    pub lacking: Vec<Lacking>,
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

/// How the figure of ratios is read.
const FOREST: &str = "Point: estimate; bar: 95% interval, with an arrow where it is open; hollow: an optimum at the end of its grid.";

/// A figure with its file's name and what it shows.
pub struct Drawing {
    pub name: String,
    pub caption: String,
    figure: figure::Figure,
}

impl Report {
    /// Computes the answer; writes nothing.
    pub fn new(study: &Study, plan: &Plan, records: &Records) -> Report {
        let groups = collect::groups(study, plan, records);
        let (counts, lacking) = collect::count(plan, records);
        Report { sections: groups.into_iter().map(|group| Section::new(group, study.selection)).collect(), counts, lacking }
    }

    /// Writes results.csv, results.parquet, summary.json, the figures and index.html; gives their paths. `refresh`: seconds after which a
    /// browser that shows the page loads it again.
    pub fn write(&self, study: &Study, plan: &Plan, records: &Records, folder: &Folder, refresh: Option<u64>) -> Result<Vec<PathBuf>> {
        let mut written = vec![];
        let mut put = |name: String, bytes: &[u8]| -> Result<()> {
            let path = folder.report().join(name);
            write_atomic(&path, bytes)?;
            written.push(path);
            Ok(())
        };
        let results = results::results(study, plan, records);
        put("results.csv".into(), &results.csv()?)?;
        put("results.parquet".into(), &results.parquet()?)?;
        put("summary.json".into(), summary::summary(study, self).as_bytes())?;
        let drawings: Vec<Vec<Drawing>> = (0..self.sections.len()).map(|i| self.drawings(study, i)).collect::<Result<_>>()?;
        let overview = self.overview(study)?;
        for drawing in overview.iter().chain(drawings.iter().flatten()) {
            put(format!("{}.svg", drawing.name), drawing.figure.svg.as_bytes())?;
            put(format!("{}.png", drawing.name), &drawing.figure.png)?;
        }
        let names = written.iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect();
        let about = Provenance::new(Manifest::read(folder), plan, records, names, refresh);
        let path = folder.report().join("index.html");
        write_atomic(&path, page::network(study, self, &drawings, overview.as_ref(), &about).as_bytes())?;
        written.push(path);
        folder.remove_other_figures(&written)?;
        Ok(written)
    }

    /// The figures of one section.
    fn drawings(&self, study: &Study, i: usize) -> Result<Vec<Drawing>> {
        let section = &self.sections[i];
        let suffix = if self.sections.len() > 1 { format!("-{}", i + 1) } else { String::new() };
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
    fn overview(&self, study: &Study) -> Result<Option<Drawing>> {
        if self.sections.len() < 2 {
            return Ok(None);
        }
        let rows: Vec<figure::Row> = self
            .sections
            .iter()
            .filter_map(|s| {
                let setting = comparison::Setting::of(s);
                Some(figure::Row { label: setting.label, log_ratio: setting.log_ratio?, edge: setting.edge })
            })
            .collect();
        let caption = format!("The transfer-optimal over the source-optimal λ₀ in every setting of the study. {FOREST}");
        Ok(figure::forest(&study.name, &rows)?.map(|figure| Drawing { name: "overview".into(), caption, figure }))
    }
}
