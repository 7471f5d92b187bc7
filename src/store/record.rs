//! Records: one line of JSON for each finished stage. Each line is appended whole and synced.
//!
//! The last member, `check`, is the SHA-256 of everything before it (first 16 hex digits). It
//! prevents a damaged number from being used as a result.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use super::{is_of_writer, Folder, Lease};
use crate::base::hex::hex;
use crate::plan::StageKind;

/// The version that this program writes. Older versions can be read, newer ones are an error.
pub const RECORD_VERSION: u32 = 2;

/// From this version on, every line ends with its checksum.
const SEALED_SINCE: u64 = 2;

/// How a stage ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Done,
    /// The loss of this stage or of its source became infinite or NaN. This is final, because the
    /// same study diverges again.
    Diverged,
    /// The stage could not be run. The next sweep tries again.
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

/// The result of one stage. Fields marked *file only* are written for readers of the file. This
/// program does not keep them in memory, because there may be a million records.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    pub version: u32,
    pub kind: StageKind,
    pub key: String,
    /// The source stage that a target stage started from.
    #[serde(default)]
    pub source: Option<String>,
    pub seed: u64,
    /// The number of the draw of a target's training images, from 0.
    #[serde(default)]
    pub draw: usize,
    /// Values of the study's axes, with infinity as "inf". File only.
    #[serde(skip_deserializing)]
    pub axes: BTreeMap<String, Json>,
    pub status: Status,
    /// Empty unless the stage is done.
    pub metrics: Arc<BTreeMap<String, f64>>,
    /// Why the stage is not done: what went wrong, at which epoch and step.
    #[serde(default)]
    pub error: Option<String>,
    /// One entry for each epoch. File only; [`histories`] reads the entries of selected stages.
    #[serde(skip_deserializing)]
    pub history: Vec<Json>,
    /// Everything that determined the result: all settings, with λ as a number. File only.
    #[serde(skip_deserializing)]
    pub settings: Json,
    /// Digest of the data set's content. File only.
    #[serde(skip_deserializing)]
    pub data: String,
    /// Training time in seconds of the whole pack of `pack` stages, without time lost to kills. The
    /// share of one stage is `seconds / pack`.
    pub seconds: f64,
    pub pack: usize,
    pub device: String,
    pub host: String,
    pub engine: String,
    /// Name and version of this program.
    pub program: String,
    pub commit: String,
    /// Seconds since 1970.
    pub finished: f64,
}

impl Record {
    /// The record as it would be after writing and reading: without the *file only* fields.
    fn without_what_is_file_only(self) -> Record {
        Record { axes: BTreeMap::new(), history: vec![], settings: Json::Null, data: String::new(), ..self }
    }
}

/// A record that only a newer version of this program can read.
#[derive(Debug, thiserror::Error)]
#[error("a record of version {0}, written by a newer transfergrid (this one reads up to {RECORD_VERSION}); use that one")]
pub struct NewerRecord(u64);

/// All records of a folder, by stage key. If a stage has several records, the first final one is
/// used, or the last one if none is final.
#[derive(Debug, Default)]
pub struct Records {
    pub by_key: HashMap<String, Record>,
    /// Lines that could not be read, with their location and the reason.
    pub warnings: Vec<String>,
}

impl Records {
    /// Reads every `records/*.jsonl`. An incomplete last line is ignored: its process was killed
    /// during the write, or is still writing.
    pub fn read(folder: &Folder) -> Result<Records> {
        Records::read_some(folder, |_| true)
    }

    /// Reads the records of selected stages. For other lines, only the checksum is verified.
    pub fn read_some(folder: &Folder, wanted: impl Fn(&str) -> bool) -> Result<Records> {
        let mut records = Records::default();
        let lines = read_lines(
            folder,
            "its stage counts as missing, unless it has run again",
            |line| key_of(line).is_none_or(&wanted) || sealed(line) == Some(false),
            |record| records.add(record),
        );
        let warnings = lines?;
        Ok(Records { warnings, ..records })
    }

    /// Only the status of each stage. A million of them take 100 MB.
    pub fn statuses(folder: &Folder) -> Result<(HashMap<String, Status>, Vec<String>)> {
        #[derive(Deserialize)]
        struct BriefLine {
            key: String,
            status: Status,
        }
        let mut statuses: HashMap<String, Status> = HashMap::new();
        let warnings = read_lines(
            folder,
            "its stage counts as missing, unless it has run again",
            |_| true,
            |BriefLine { key, status }| {
                let known = statuses.entry(key).or_insert(status);
                if *known == Status::Failed {
                    *known = status;
                }
            },
        )?;
        Ok((statuses, warnings))
    }

    /// The number of stages with a final result in a writer's own files.
    pub fn count_final(folder: &Folder, writer: &str) -> Result<usize> {
        let mut count = 0;
        for path in files(folder)? {
            if !is_of_writer(&path, writer) {
                continue;
            }
            let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let is_final = |line: &[u8]| {
                let has = |status: &[u8]| line.windows(status.len()).any(|window| window == status);
                has(br#""status":"done""#) || has(br#""status":"diverged""#)
            };
            count += text.split(|&b| b == b'\n').filter(|line| is_final(line)).count();
        }
        Ok(count)
    }

    /// Whether any stage that is `wanted` has a record. Stops at the first one.
    pub fn any(folder: &Folder, wanted: impl Fn(&str) -> bool) -> Result<bool> {
        for path in files(folder)? {
            let cannot = || format!("cannot read {}", path.display());
            let mut reader = BufReader::with_capacity(1 << 16, File::open(&path).with_context(cannot)?);
            let mut line = vec![];
            while reader.read_until(b'\n', &mut line).with_context(cannot)? > 0 {
                if key_of(&line).is_some_and(&wanted) {
                    return Ok(true);
                }
                line.clear();
            }
        }
        Ok(false)
    }

    /// The engines that wrote records here, taken from the first line of each file.
    pub fn engines(folder: &Folder) -> Result<BTreeSet<String>> {
        let mut engines = BTreeSet::new();
        for path in files(folder)? {
            let mut line = vec![];
            let file = File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
            BufReader::new(file).read_until(b'\n', &mut line).with_context(|| format!("cannot read {}", path.display()))?;
            let json: Json = serde_json::from_slice(&line).unwrap_or(Json::Null); // an incomplete or damaged line is skipped
            engines.extend(json["engine"].as_str().map(str::to_string));
        }
        Ok(engines)
    }

    /// Adds a record, unless its stage already has a final one.
    pub fn add(&mut self, record: Record) {
        if !self.is_final(&record.key) {
            self.by_key.insert(record.key.clone(), record.without_what_is_file_only());
        }
    }

    /// Whether a stage has a final result and need not run again.
    pub fn is_final(&self, key: &str) -> bool {
        self.by_key.get(key).is_some_and(|record| record.status != Status::Failed)
    }
}

/// The epochs of selected stages by stage key, as one JSON object for each epoch.
pub fn histories(folder: &Folder, wanted: impl Fn(&str) -> bool) -> Result<HashMap<String, Vec<Json>>> {
    #[derive(Deserialize)]
    struct HistoryLine {
        key: String,
        history: Vec<Json>,
    }
    let mut all: HashMap<String, Vec<Json>> = HashMap::new();
    let add = |course: HistoryLine| {
        let known = all.entry(course.key).or_default();
        if known.is_empty() {
            *known = course.history;
        }
    };
    read_lines(folder, "it is not shown", |line| key_of(line).is_some_and(&wanted), add)?;
    Ok(all)
}

/// A record with its settings and axes.
#[derive(Debug, Clone, Deserialize)]
pub struct FullRecord {
    pub kind: StageKind,
    pub key: String,
    pub seed: u64,
    #[serde(default)]
    pub draw: usize,
    #[serde(default)]
    pub axes: BTreeMap<String, Json>,
    pub status: Status,
    pub metrics: BTreeMap<String, f64>,
    #[serde(default)]
    pub error: Option<String>,
    #[serde(default)]
    pub settings: Json,
}

/// The final records of selected stages with settings and axes, one for each stage, ordered by kind
/// and key.
pub fn full_records(folder: &Folder, wanted: impl Fn(&str) -> bool) -> Result<Vec<FullRecord>> {
    let mut all: BTreeMap<(StageKind, String), FullRecord> = BTreeMap::new();
    let add = |record: FullRecord| {
        if record.status != Status::Failed {
            all.entry((record.kind, record.key.clone())).or_insert(record);
        }
    };
    read_lines(folder, "it is not shown", |line| key_of(line).is_some_and(&wanted), add)?;
    Ok(all.into_values().collect())
}

/// A record's key, found without parsing the line. None if the key is not in its usual place.
fn key_of(line: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(line.get(..200.min(line.len()))?).ok()?;
    let (_, rest) = text.split_once("\"key\":\"")?;
    rest.split_once('"').map(|(key, _)| key)
}

const SEAL: &str = ",\"check\":\"";

/// Ends a JSON object with its checksum.
fn seal(mut line: Vec<u8>) -> Vec<u8> {
    let brace = line.pop();
    debug_assert_eq!(brace, Some(b'}'));
    let sum = sum(&line);
    line.extend_from_slice(format!("{SEAL}{sum}\"}}\n").as_bytes());
    line
}

fn sum(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes)[..8])
}

/// Whether a line's checksum matches. None if the line has no checksum.
fn sealed(line: &[u8]) -> Option<bool> {
    let at = line.len().checked_sub(SEAL.len() + 18)?;
    let (body, end) = line.split_at(at);
    (end.starts_with(SEAL.as_bytes()) && end.ends_with(b"\"}")).then(|| sum(body).as_bytes() == &end[SEAL.len()..SEAL.len() + 16])
}

/// Number of damaged lines per file that get a warning of their own.
const MOST_TOLD: usize = 3;

/// Reads those lines of every `records/*.jsonl` that are `wanted`, with files ordered by name.
/// Returns a warning for each line that cannot be read. `then` is the part of the warning that
/// describes the consequence.
///
/// # Errors
/// A file cannot be read, or a newer version of the program wrote a line.
pub(super) fn read_lines<R: DeserializeOwned>(
    folder: &Folder,
    then: &str,
    wanted: impl Fn(&[u8]) -> bool,
    mut add: impl FnMut(R),
) -> Result<Vec<String>> {
    let mut warnings = vec![];
    for path in files(folder)? {
        let file = File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let (mut reader, mut line, mut bad) = (BufReader::with_capacity(1 << 16, file), vec![], 0);
        for number in 1.. {
            line.clear();
            reader.read_until(b'\n', &mut line).with_context(|| format!("cannot read {}", path.display()))?;
            if line.pop() != Some(b'\n') {
                break; // end of file, or an incomplete last line
            }
            if line.is_empty() || !wanted(&line) {
                continue;
            }
            match parse(&line).with_context(|| format!("{}:{number}", path.display()))? {
                Ok(record) => add(record),
                Err(why) => {
                    bad += 1;
                    if bad <= MOST_TOLD {
                        warnings.push(format!("{}:{number}: not a record, left out ({why}); {then}", path.display()));
                    }
                }
            }
        }
        if bad > MOST_TOLD {
            warnings.push(format!(
                "{}: {} more lines are not valid records; all such lines may be deleted",
                path.display(),
                bad - MOST_TOLD
            ));
        }
    }
    Ok(warnings)
}

/// Every `records/*.jsonl`, ordered by name.
fn files(folder: &Folder) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder.records()) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
        entries => entries.with_context(|| format!("cannot read {}", folder.records().display()))?,
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut files: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|e| e == "jsonl")).collect();
    files.sort();
    Ok(files)
}

/// Parses a line. The outer error is for a line of a newer version of the program. The inner error
/// says what is wrong with a damaged line.
fn parse<R: DeserializeOwned>(line: &[u8]) -> Result<Result<R, String>> {
    #[derive(Deserialize)]
    struct VersionLine {
        version: u64,
    }
    let seal = sealed(line);
    if seal == Some(false) {
        return Ok(Err("its checksum does not match".into()));
    }
    let version = match serde_json::from_slice::<VersionLine>(line) {
        Ok(VersionLine { version }) => version,
        Err(_) => return Ok(Err("it is not a JSON object with a version".into())),
    };
    if version > u64::from(RECORD_VERSION) {
        return Err(NewerRecord(version).into());
    }
    if seal.is_none() && version >= SEALED_SINCE {
        return Ok(Err("its checksum is missing".into()));
    }
    Ok(serde_json::from_slice(line).map_err(|error| error.to_string()))
}

/// Appends records to the records file of a lease, as long as the lease is held.
#[derive(Debug)]
pub struct Writer<'a> {
    lease: &'a Lease,
    file: File,
    path: PathBuf,
    unsynced: bool,
}

impl<'a> Writer<'a> {
    /// Opens `records/<name>.jsonl` of the lease. An incomplete last line is cut off first, with a
    /// warning.
    pub fn open(folder: &Folder, lease: &'a Lease, warn: &mut dyn FnMut(&str)) -> Result<Writer<'a>> {
        let path = folder.records().join(format!("{}.jsonl", lease.records()));
        let open = || -> std::io::Result<(File, bool)> {
            let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
            let mut bytes = vec![];
            file.read_to_end(&mut bytes)?;
            let whole = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |end| end + 1) as u64;
            let torn = whole < bytes.len() as u64;
            if torn {
                file.set_len(whole)?;
            }
            file.seek(SeekFrom::Start(whole))?;
            Ok((file, torn))
        };
        let (file, torn) = open().with_context(|| format!("cannot open {}", path.display()))?;
        if torn {
            warn(&format!("the last line of {} is incomplete and is left out; its stage counts as missing", path.display()));
        }
        Ok(Writer { lease, file, path, unsynced: false })
    }

    /// Appends one whole record. [`Writer::sync`] waits until it is on disk.
    ///
    /// # Errors
    /// [`super::LeaseLost`]. The file cannot be written, for example because the disk is full.
    pub fn append(&mut self, record: &impl Serialize) -> Result<()> {
        self.lease.check()?;
        let line = seal(serde_json::to_vec(record).context("a record could not be written as JSON")?);
        let before = self.file.stream_position().with_context(|| format!("cannot write {}", self.path.display()))?;
        let written = self.file.write_all(&line);
        self.unsynced = true;
        if written.is_err() {
            // The next record must not follow half a line. If the truncation fails too, readers
            // skip the incomplete line.
            let _ = self.file.set_len(before).and_then(|()| self.file.seek(SeekFrom::Start(before)).map(|_| ()));
        }
        written.with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// Waits until all records written so far are on disk. One call serves several records that
    /// were appended together.
    pub fn sync(&mut self) -> Result<()> {
        if std::mem::take(&mut self.unsynced) {
            self.file.sync_data().with_context(|| format!("cannot write {}", self.path.display()))?;
        }
        Ok(())
    }
}
