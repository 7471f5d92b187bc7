//! Writes reports: the only module of this folder (beside `ridge/`) that touches files.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::comparison::{table, Entry};
use super::drawing::{self, Drawing};
use super::page;
use super::results::results;
use super::section::Report;
use super::summary::summary;
use crate::config::Study;
use crate::plan::Plan;
use crate::store::{remove, write_atomic, Folder, Manifest, Records};

/// Writes results.csv, results.parquet, summary.json, the figures and index.html; gives their paths. `refresh`: seconds after which a
/// browser that shows the page loads it again.
pub fn write(
    report: &Report,
    study: &Study,
    plan: &Plan,
    records: &Records,
    folder: &Folder,
    refresh: Option<u64>,
) -> Result<Vec<PathBuf>> {
    let mut written = vec![];
    let mut put = |name: String, bytes: &[u8]| -> Result<()> {
        let path = folder.report().join(name);
        write_atomic(&path, bytes)?;
        written.push(path);
        Ok(())
    };
    let results = results(study, plan, records);
    put("results.csv".into(), &results.csv()?)?;
    put("results.parquet".into(), &results.parquet()?)?;
    put("summary.json".into(), summary(study, report).as_bytes())?;
    let drawings: Vec<Vec<Drawing>> = (0..report.sections.len()).map(|i| drawing::of_section(study, report, i)).collect::<Result<_>>()?;
    let overview = drawing::overview(study, report)?;
    for drawing in overview.iter().chain(drawings.iter().flatten()) {
        put(format!("{}.svg", drawing.name), drawing.figure.svg.as_bytes())?;
        put(format!("{}.png", drawing.name), &drawing.figure.png)?;
    }
    let names = written.iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect();
    let about = page::Provenance::new(Manifest::read(folder), plan, records, names, refresh);
    let path = folder.report().join("index.html");
    write_atomic(&path, page::network(study, report, &drawings, overview.as_ref(), &about).as_bytes())?;
    written.push(path);
    folder.remove_other_figures(&written)?;
    Ok(written)
}

/// Writes comparison.csv and .parquet, the figure of ratios and index.html to a folder; gives their paths.
pub fn write_comparison(entries: &[Entry], out: &Path) -> Result<Vec<PathBuf>> {
    let mut written = vec![];
    let mut put = |name: &str, bytes: &[u8]| -> Result<()> {
        let path = out.join(name);
        write_atomic(&path, bytes)?;
        written.push(path);
        Ok(())
    };
    let table = table(entries);
    put("comparison.csv", &table.csv()?)?;
    put("comparison.parquet", &table.parquet()?)?;
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
