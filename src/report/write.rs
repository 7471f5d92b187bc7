//! Writes the files of a report.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::render::{link, FigureOptions, Provenance, RenderedFile};
use crate::store::{remove, remove_other_figures, write_atomic, Folder, Manifest};

/// The destination of a report.
#[derive(Debug, Clone)]
pub struct ReportTarget<'a> {
    /// The study's folder.
    pub folder: &'a Folder,
    /// The folder to which the files are written.
    pub out: PathBuf,
    /// Number of seconds after which a browser that shows the page reloads it.
    pub refresh: Option<u64>,
    pub figures: FigureOptions,
}

impl ReportTarget<'_> {
    /// The study's own folder `report/`.
    pub fn of(folder: &Folder) -> ReportTarget<'_> {
        ReportTarget { folder, out: folder.report(), refresh: None, figures: FigureOptions::default() }
    }

    /// The provenance section of the page.
    pub fn provenance(&self) -> Provenance {
        Provenance {
            manifest: Manifest::read(self.folder),
            yaml: std::fs::read_to_string(self.folder.study()).unwrap_or_default(),
            records: link(&self.out, &self.folder.records()) + "/",
            refresh: self.refresh,
        }
    }
}

/// Writes files to a folder and returns their paths.
pub fn write(files: &[RenderedFile], out: &Path) -> Result<Vec<PathBuf>> {
    let mut written = vec![];
    for file in files {
        let path = out.join(&file.name);
        write_atomic(&path, &file.bytes)?;
        written.push(path);
    }
    Ok(written)
}

/// Writes a study's report. Figures with these names from an earlier report are removed.
pub fn write_study(files: &[RenderedFile], out: &Path, figure_names: &[&str]) -> Result<Vec<PathBuf>> {
    let written = write(files, out)?;
    remove_other_figures(out, figure_names, &written)?;
    Ok(written)
}

/// Writes a comparison. Files with these names from an earlier comparison are removed.
pub fn write_comparison(files: &[RenderedFile], out: &Path, names: &[&str]) -> Result<Vec<PathBuf>> {
    let written = write(files, out)?;
    names.iter().filter(|name| !files.iter().any(|file| file.name == **name)).try_for_each(|name| remove(&out.join(name)))?;
    Ok(written)
}
