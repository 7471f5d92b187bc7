//! The last section of a page: files, how the report was made, and the study.

use std::collections::BTreeSet;

use maud::{html, Markup};

use super::words_cell;
use crate::store::Manifest;

/// The origin of a report.
#[derive(Debug, Clone)]
pub struct Provenance {
    pub manifest: Option<Manifest>,
    /// The resolved study, as saved in the folder.
    pub yaml: String,
    /// Link to the records.
    pub records: String,
    /// Number of seconds after which the page reloads itself.
    pub refresh: Option<u64>,
}

impl Provenance {
    /// Name and digest of every data set of every run.
    fn data(&self) -> BTreeSet<(&String, &String)> {
        self.manifest.iter().flat_map(|manifest| &manifest.runs).flat_map(|run| &run.data).collect()
    }

    /// `files` are the names of the files beside the report's page. `source` names the input of the
    /// computation. `method` explains how the numbers are computed. `prefix` is the path from the
    /// page to the report's folder, with its final `/`.
    pub fn section(&self, files: &[String], source: &str, method: &str, prefix: &str) -> Markup {
        let time = |seconds: f64| jiff::Timestamp::from_second(seconds as i64).map_or(String::new(), |t| t.to_string());
        html! {
            details id="provenance" {
                summary { "Where this comes from" }
                // Not links: a page may be copied without them.
                p { "Files: " @for file in files { code { (prefix) (file) } ", " } "and the records in " code { (prefix) (self.records) } "." }
                p class="soft" { (source) }
                @if let Some(manifest) = &self.manifest {
                    div class="table" {
                        table {
                            thead { tr { @for head in ["started", "program", "commit", "engine", "device", "host", "command"] { th.words { (head) } } } }
                            tbody {
                                @for run in &manifest.runs {
                                    tr {
                                        @for cell in [&time(run.started), &run.program, &run.commit, &run.engine, &run.device, &run.host] { (words_cell(cell)) }
                                        td.words.long { code { (run.command.join(" ")) } }
                                    }
                                }
                            }
                        }
                    }
                }
                @for (name, digest) in self.data() { p class="soft" { "Data: " (name) ", SHA-256 of its content " code { (digest) } } }
                details { summary { "The study, as it was resolved" } pre { (self.yaml) } }
                @if !method.is_empty() { p class="soft" { (method) } }
            }
        }
    }
}
