//! Reports on disk: what they say is worked out elsewhere.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::comparison::{table, Entry};
use super::drawing::{self, Drawing};
use super::link::link;
use super::page;
use super::results::results;
use super::section::Report;
use super::summary::summary;
use crate::config::Study;
use crate::plan::Plan;
use crate::store::{remove, remove_other_figures, write_atomic, Folder, FullRecord, Manifest, Records};

/// Where a report goes.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    /// The study's folder.
    pub folder: &'a Folder,
    /// The folder that the files go to.
    pub out: PathBuf,
    /// Seconds after which a browser that shows the page loads it again.
    pub refresh: Option<u64>,
}

impl Place<'_> {
    /// The study's own `report/`.
    pub fn of(folder: &Folder) -> Place<'_> {
        Place { folder, out: folder.report(), refresh: None }
    }

    /// Writes a file; adds its path to those `written`.
    pub fn put(&self, written: &mut Vec<PathBuf>, name: &str, bytes: &[u8]) -> Result<()> {
        put(&self.out, written, name, bytes)
    }

    /// What the page says of where it comes from. `source`: from what it was computed.
    pub fn provenance(&self, source: String, written: &[PathBuf]) -> page::Provenance {
        page::Provenance {
            manifest: Manifest::read(self.folder),
            yaml: std::fs::read_to_string(self.folder.study()).unwrap_or_default(),
            files: written.iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect(),
            source,
            records: link(&self.out, &self.folder.records()) + "/",
            refresh: self.refresh,
        }
    }
}

fn put(folder: &Path, written: &mut Vec<PathBuf>, name: &str, bytes: &[u8]) -> Result<()> {
    let path = folder.join(name);
    write_atomic(&path, bytes)?;
    written.push(path);
    Ok(())
}

/// `others`: results of stages that are no longer in the study, to be listed too.
///
/// Writes results.csv, results.parquet, summary.json, the figures and index.html; gives their paths.
pub fn write(report: &Report, study: &Study, plan: &Plan, records: &Records, others: &[FullRecord], place: &Place) -> Result<Vec<PathBuf>> {
    let mut written = vec![];
    let results = results(study, plan, records, others);
    place.put(&mut written, "results.csv", &results.csv()?)?;
    place.put(&mut written, "results.parquet", &results.parquet()?)?;
    place.put(&mut written, "summary.json", summary(study, report).as_bytes())?;
    let drawings: Vec<Vec<Drawing>> = (0..report.sections.len()).map(|i| drawing::of_section(study, report, i)).collect::<Result<_>>()?;
    let across = drawing::across(study, report)?;
    for drawing in across.iter().chain(drawings.iter().flatten()) {
        place.put(&mut written, &format!("{}.svg", drawing.name), drawing.figure.svg.as_bytes())?;
        place.put(&mut written, &format!("{}.png", drawing.name), &drawing.figure.png)?;
    }
    let about = place.provenance(trained(plan, records), &written);
    place.put(&mut written, "index.html", page::network(study, report, &drawings, &across, &about).as_bytes())?;
    remove_other_figures(&place.out, &drawing::NAMES, &written)?;
    Ok(written)
}

/// How long the plan's stages trained, and on what.
fn trained(plan: &Plan, records: &Records) -> String {
    let own = || plan.stages.iter().filter_map(|stage| records.by_key.get(&stage.key));
    let mut devices: Vec<String> = own().map(|record| format!("{} on {}", record.device, record.host)).collect();
    devices.sort();
    devices.dedup();
    let minutes = own().map(|record| record.seconds / record.pack.max(1) as f64).sum::<f64>() / 60.0;
    let on = if devices.is_empty() { String::new() } else { format!(": {}", devices.join(", ")) };
    format!("{minutes:.1} min of training{on}.")
}

/// Writes comparison.csv and .parquet, the figure of ratios and index.html to a folder; gives their paths.
pub fn write_comparison(entries: &[Entry], out: &Path) -> Result<Vec<PathBuf>> {
    let mut written = vec![];
    let mut put = |name: &str, bytes: &[u8]| put(out, &mut written, name, bytes);
    // Studies of the theory have no settings.
    match entries.iter().any(|entry| !entry.settings.is_empty()) {
        true => {
            let table = table(entries);
            put("comparison.csv", &table.csv()?)?;
            put("comparison.parquet", &table.parquet()?)?;
        }
        false => ["comparison.csv", "comparison.parquet"].iter().try_for_each(|name| remove(&out.join(name)))?,
    }
    let drawing = drawing::ratios(entries)?;
    match &drawing {
        Some(drawing) => {
            put("ratios.svg", drawing.figure.svg.as_bytes())?;
            put("ratios.png", &drawing.figure.png)?;
        }
        // Of an earlier comparison.
        None => ["ratios.svg", "ratios.png"].iter().try_for_each(|name| remove(&out.join(name)))?,
    }
    put("index.html", page::comparison(entries, drawing.as_ref()).as_bytes())?;
    Ok(written)
}
