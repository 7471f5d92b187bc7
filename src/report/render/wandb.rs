//! A study as runs of Weights & Biases, in the files that its client writes offline and
//! `wandb sync` reads: a folder for each run, with a log of protobuf records.
//!
//! Source: wandb 0.24, `sdk/internal/datastore.py` (the log, which is LevelDB's with zlib's CRC)
//! and `proto/wandb_internal.proto` (the numbers of the fields).

use std::collections::BTreeMap;

use protobuf::CodedOutputStream;
use sha2::{Digest, Sha256};

use super::{RenderedFile, TrackedRun};
use crate::base::hex::hex;

/// The file in each run's folder that says that this program made it, of which study. Other
/// studies may be exported to the same folder.
pub fn wandb_mark(project: &str) -> String {
    format!("transfergrid-{}.txt", plain(project))
}

/// The files of a project, with paths relative to the folder that has a folder for each run. The
/// same runs give the same paths, so a second export replaces the first, and a second
/// synchronisation changes the same runs.
pub fn wandb_runs(project: &str, runs: &[TrackedRun]) -> Vec<RenderedFile> {
    runs.iter()
        .flat_map(|run| {
            let id = hex(Sha256::digest(format!("{project} {}", run.key).as_bytes()))[..16].to_string();
            let at = jiff::Timestamp::from_second(run.start as i64).unwrap_or_default().strftime("%Y%m%d_%H%M%S");
            let folder = format!("offline-run-{at}-{id}");
            [
                RenderedFile::new(format!("{folder}/run-{id}.wandb"), log(&records(project, &id, run))),
                RenderedFile::new(format!("{folder}/{}", wandb_mark(project)), format!("{}\n", run.key)),
            ]
        })
        .collect()
}

/// The records of a run, as messages `Record`.
fn records(project: &str, id: &str, run: &TrackedRun) -> Vec<Vec<u8>> {
    let version = message(|m| {
        m.text(1, concat!("transfergrid ", env!("CARGO_PKG_VERSION")));
        m.text(2, "0.40.0"); // the oldest client that reads these records
    });
    let mut all = vec![(21, message(|m| m.inner(1, &version)))];
    let time = message(|m| m.number(1, run.start as i64));
    let config = message(|m| {
        run.params.iter().for_each(|(name, value)| m.inner(1, &item(name, &json(value))));
        run.tags.iter().for_each(|(name, value)| m.inner(1, &item(name, &serde_json::Value::from(value.as_str()).to_string())));
    });
    all.push((
        17,
        message(|m| {
            m.text(1, id);
            m.text(3, &plain(project));
            m.inner(4, &config);
            m.text(6, &run.group);
            m.text(7, &run.kind);
            m.text(8, &run.name);
            m.inner(17, &time);
        }),
    ));
    // Curves are rows of the history by step; a single value is a result.
    let mut steps: BTreeMap<usize, Vec<(&str, f64)>> = BTreeMap::new();
    for (name, points) in run.metrics.iter().filter(|(name, _)| name.contains("epoch.")) {
        points.iter().for_each(|(step, value)| steps.entry(*step).or_default().push((name, *value)));
    }
    let last = steps.keys().last().copied().unwrap_or(0);
    for (step, values) in steps {
        all.push((
            2,
            message(|m| {
                values.iter().for_each(|(name, value)| m.inner(1, &item(name, &real(*value))));
                m.inner(1, &item("_step", &step.to_string()));
                m.inner(1, &item("_timestamp", &real(run.start)));
                m.inner(2, &message(|m| m.number(1, step as i64)));
            }),
        ));
    }
    all.push((
        3,
        message(|m| {
            for (name, points) in &run.metrics {
                points.last().into_iter().for_each(|(_, value)| m.inner(1, &item(name, &real(*value))));
            }
            m.inner(1, &item("_step", &last.to_string()));
            m.inner(1, &item("_timestamp", &real(run.end)));
            m.inner(1, &item("_runtime", &real(run.end - run.start)));
        }),
    ));
    all.push((
        18,
        message(|m| {
            m.number(1, i64::from(run.diverged));
            m.number(2, (run.end - run.start) as i64);
        }),
    ));
    let record = |(number, (field, content)): (i64, (u32, Vec<u8>))| {
        message(|m| {
            m.number(1, number);
            m.inner(field, &content);
        })
    };
    (1..).zip(all).map(record).collect()
}

/// A name with a value in JSON: an item of a configuration, a history or a summary.
fn item(name: &str, value: &str) -> Vec<u8> {
    message(|m| {
        m.text(2, name);
        m.text(16, value);
    })
}

/// A setting as JSON: a number where it is one.
fn json(value: &str) -> String {
    match (value.parse::<i64>(), value.parse::<f64>()) {
        (Ok(number), _) => number.to_string(),
        (_, Ok(number)) if number.is_finite() => real(number),
        _ => serde_json::Value::from(value).to_string(),
    }
}

fn real(value: f64) -> String {
    match value {
        v if v.is_finite() => serde_json::Value::from(v).to_string(),
        v if v.is_nan() => "\"NaN\"".into(),
        v => format!("\"{}Infinity\"", if v > 0.0 { "" } else { "-" }),
    }
}

/// A project's name without the letters that Weights & Biases refuses.
fn plain(name: &str) -> String {
    name.chars().map(|c| if "/\\#?%:".contains(c) { '_' } else { c }).take(128).collect()
}

/// A message of protobuf, in memory.
fn message(fill: impl FnOnce(&mut Message)) -> Vec<u8> {
    let mut bytes = vec![];
    let mut message = Message(CodedOutputStream::vec(&mut bytes));
    fill(&mut message);
    // Only a full disk or a broken pipe fails, and this is memory.
    let _ = message.0.flush();
    drop(message);
    bytes
}

struct Message<'a>(CodedOutputStream<'a>);

impl Message<'_> {
    fn text(&mut self, field: u32, value: &str) {
        let _ = self.0.write_string(field, value);
    }

    fn number(&mut self, field: u32, value: i64) {
        let _ = self.0.write_int64(field, value);
    }

    fn inner(&mut self, field: u32, content: &[u8]) {
        let _ = self.0.write_bytes(field, content);
    }
}

const BLOCK: usize = 32768;
const HEADER: usize = 7;

/// A log in blocks of 32 KiB. A record that does not fit into the rest of its block is divided:
/// first part 2, middle parts 3, last part 4; a whole one is 1.
fn log(records: &[Vec<u8>]) -> Vec<u8> {
    let mut log = b":W&B\xe1\xbe\0".to_vec();
    for record in records {
        let mut rest = record.as_slice();
        let mut is_first = true;
        loop {
            let left = BLOCK - log.len() % BLOCK;
            if left < HEADER {
                log.resize(log.len() + left, 0);
                continue;
            }
            let (part, more) = rest.split_at(rest.len().min(left - HEADER));
            let kind: u8 = match (is_first, more.is_empty()) {
                (true, true) => 1,
                (true, false) => 2,
                (false, false) => 3,
                (false, true) => 4,
            };
            let mut sum = crc32fast::Hasher::new();
            sum.update(&[kind]);
            sum.update(part);
            log.extend(sum.finalize().to_le_bytes());
            log.extend((part.len() as u16).to_le_bytes());
            log.push(kind);
            log.extend(part);
            (rest, is_first) = (more, false);
            if rest.is_empty() {
                break;
            }
        }
    }
    log
}
