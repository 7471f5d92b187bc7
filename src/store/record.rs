//! Records: one line of JSON for each finished stage, appended whole and synced.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::Folder;
use crate::plan::StageKind;

/// The version this program writes. Newer ones are refused, older ones are read.
pub const RECORD_VERSION: u32 = 1;

/// How a stage ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Done,
    /// Its loss stopped being finite, or its source's did. Final: the same study gives the same.
    Diverged,
    /// It could not be run; the next sweep tries again.
    Failed,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Done => "done",
            Status::Diverged => "diverged",
            Status::Failed => "failed",
        }
    }
}

/// The result of one stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub version: u32,
    pub kind: StageKind,
    pub key: String,
    /// The source stage that a target stage started from.
    #[serde(default)]
    pub source: Option<String>,
    pub seed: u64,
    /// Values of the study's axes; infinity as "inf".
    pub axes: BTreeMap<String, Json>,
    pub status: Status,
    /// Empty unless done.
    pub metrics: BTreeMap<String, f64>,
    /// Why not done: what went wrong, at which epoch and step.
    #[serde(default)]
    pub error: Option<String>,
    /// One entry an epoch.
    #[serde(default)]
    pub history: Vec<Json>,
    /// Everything that determined the result: the whole settings, λ written out.
    pub settings: Json,
    /// Seconds of training, as measured; with the pack's size.
    pub seconds: f64,
    pub pack: usize,
    pub device: String,
    pub host: String,
    pub engine: String,
    /// Of this program.
    pub program: String,
    pub commit: String,
    /// Seconds since 1970.
    pub finished: f64,
}

/// All records of a folder, by stage key; a later line replaces an earlier one.
#[derive(Debug, Default)]
pub struct Records {
    pub by_key: HashMap<String, Record>,
    /// Lines that could not be read, with where and why.
    pub warnings: Vec<String>,
}

impl Records {
    /// Reads every `records/*.jsonl`. A torn last line (a process died while writing it) is ignored.
    pub fn read(folder: &Folder) -> Result<Records> {
        let mut records = Records::default();
        let entries = match fs::read_dir(folder.records()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(records),
            entries => entries.with_context(|| format!("cannot read {}", folder.records().display()))?,
        };
        let mut files: Vec<PathBuf> =
            entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|p| p.extension().is_some_and(|e| e == "jsonl")).collect();
        files.sort();
        for file in files {
            records.read_file(&file)?;
        }
        Ok(records)
    }

    fn read_file(&mut self, path: &Path) -> Result<()> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let whole = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |end| end + 1);
        for (i, line) in bytes[..whole].split(|&b| b == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
            let at = || format!("{}:{}", path.display(), i + 1);
            let version = serde_json::from_slice::<Json>(line).ok().and_then(|json| json.get("version").and_then(Json::as_u64));
            if version.is_some_and(|version| version > u64::from(RECORD_VERSION)) {
                anyhow::bail!(
                    "{}: a record of version {}, written by a newer transfergrid (this one reads up to {RECORD_VERSION}); use that one",
                    at(),
                    version.unwrap_or(0)
                );
            }
            match serde_json::from_slice::<Record>(line) {
                Ok(record) => {
                    self.by_key.insert(record.key.clone(), record);
                }
                Err(error) => self.warnings.push(format!("{}: not a record, left out ({error}); its stage counts as missing", at())),
            }
        }
        Ok(())
    }

    /// Whether a stage need not run again.
    pub fn is_final(&self, key: &str) -> bool {
        self.by_key.get(key).is_some_and(|record| record.status != Status::Failed)
    }
}

/// Appends records to one file.
#[derive(Debug)]
pub struct Writer {
    file: File,
    path: PathBuf,
    unsynced: bool,
}

impl Writer {
    /// Opens `records/<name>.jsonl`; a torn last line is cut off first.
    pub fn open(folder: &Folder, name: &str) -> Result<Writer> {
        let path = folder.records().join(format!("{name}.jsonl"));
        let open = || -> std::io::Result<File> {
            let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
            let mut bytes = vec![];
            file.read_to_end(&mut bytes)?;
            let whole = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |end| end + 1) as u64;
            file.set_len(whole)?;
            file.seek(SeekFrom::Start(whole))?;
            Ok(file)
        };
        let file = open().with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Writer { file, path, unsynced: false })
    }

    /// Appends one record whole. [`Writer::sync`] waits until it is on disk.
    pub fn append(&mut self, record: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(record).context("a record could not be written as JSON")?;
        line.push(b'\n');
        let before = self.file.stream_position().with_context(|| format!("cannot write {}", self.path.display()))?;
        let written = self.file.write_all(&line);
        self.unsynced = true;
        if written.is_err() {
            // Half a line must not stay in front of the next one. If this fails too, reading ignores the torn line.
            let _ = self.file.set_len(before).and_then(|()| self.file.seek(SeekFrom::Start(before)).map(|_| ()));
        }
        written.with_context(|| format!("cannot write {} (is the disk full?)", self.path.display()))
    }

    /// Waits until every record so far is on disk. One wait serves all records that came together.
    pub fn sync(&mut self) -> Result<()> {
        if std::mem::take(&mut self.unsynced) {
            self.file.sync_data().with_context(|| format!("cannot write {} (is the disk full?)", self.path.display()))?;
        }
        Ok(())
    }
}
