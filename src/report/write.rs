//! Writes the files of a report.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::render::{link, Provenance, RenderedFile};
use crate::store::{remove, remove_other_figures, write_atomic, Folder, Manifest};

/// Where a report goes.
#[derive(Debug, Clone)]
pub struct ReportTarget<'a> {
    /// The study's folder.
    pub folder: &'a Folder,
    /// The folder that the files go to.
    pub out: PathBuf,
    /// Seconds after which a browser that shows the page loads it again.
    pub refresh: Option<u64>,
}

impl ReportTarget<'_> {
    /// The study's own `report/`.
    pub fn of(folder: &Folder) -> ReportTarget<'_> {
        ReportTarget { folder, out: folder.report(), refresh: None }
    }

    /// What the page says of where the report comes from.
    pub fn provenance(&self) -> Provenance {
        Provenance {
            manifest: Manifest::read(self.folder),
            yaml: std::fs::read_to_string(self.folder.study()).unwrap_or_default(),
            records: link(&self.out, &self.folder.records()) + "/",
            refresh: self.refresh,
        }
    }
}

/// Writes files to a folder; returns their paths.
pub fn write(files: &[RenderedFile], out: &Path) -> Result<Vec<PathBuf>> {
    let mut written = vec![];
    for file in files {
        let path = out.join(&file.name);
        write_atomic(&path, &file.bytes)?;
        written.push(path);
    }
    Ok(written)
}

/// Writes a study's report. Figures of these names that an earlier report left are removed.
pub fn write_study(files: &[RenderedFile], out: &Path, figure_names: &[&str]) -> Result<Vec<PathBuf>> {
    let written = write(files, out)?;
    remove_other_figures(out, figure_names, &written)?;
    Ok(written)
}

/// Writes a comparison. Files of these names that an earlier comparison left are removed.
pub fn write_comparison(files: &[RenderedFile], out: &Path, names: &[&str]) -> Result<Vec<PathBuf>> {
    let written = write(files, out)?;
    names.iter().filter(|name| !files.iter().any(|file| file.name == **name)).try_for_each(|name| remove(&out.join(name)))?;
    Ok(written)
}
