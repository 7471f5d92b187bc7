//! A sweep in TensorBoard: a run for each stage, HParams over the target stages, and a summary over seeds.
//!
//! TensorBoard is for watching. If writing fails (a full disk, say), it is given up with one warning and the sweep goes on.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_yaml::Value;

use super::events::{self, EventFile, HParam};
use super::progress::Utilisation;
use crate::config::network::TransferMethod;
use crate::config::{table_word, Study};
use crate::plan::{Plan, Shard, Stage, StageKind};
use crate::store::{Record, Status};

/// TensorBoard deselects new runs beyond 500: above this many stages only the summary and the best cells have runs.
pub const RUN_LIMIT: usize = 400;

/// The metrics that HParams shows, by tag.
const HPARAM_METRICS: [&str; 5] = ["target/val_acc", "target/test_acc", "target/test_loss", "target/transfer_gain", "target/l2sp_distance"];

/// Writes `tb/`.
pub struct Board {
    /// Names HParams groups: TensorBoard shows several studies side by side, and averages what has one name.
    study: String,
    folder: PathBuf,
    /// Runs being written, with the epoch that each has come to.
    open: HashMap<String, (EventFile, usize)>,
    every_stage: bool,
    shard: Option<Shard>,
    /// Of the run `sweep`, from the first pulse on.
    utilisation: Option<EventFile>,
    failed: bool,
    /// Runs that were removed, since the plan no longer has them.
    pub withdrawn: usize,
}

/// Means with intervals and heat maps, as the report computes them.
#[derive(Debug, Default)]
pub struct Summary {
    /// (tag without its last part, seeds so far, mean, lower, upper).
    pub scalars: Vec<(String, usize, f64, f64, f64)>,
    /// (tag, RGB bytes, width, height).
    pub images: Vec<(String, Vec<u8>, u32, u32)>,
}

impl Board {
    /// Declares the experiment: axes with their values, and the metrics. Shards write side by side:
    /// each has its own runs. Runs that are not of this plan are removed first.
    pub fn open(folder: &Path, study: &Study, plan: &Plan, shard: Option<Shard>) -> (Board, Option<String>) {
        let mut board = Board {
            study: study.name.clone(),
            folder: folder.to_path_buf(),
            open: HashMap::new(),
            every_stage: plan.stages.len() <= RUN_LIMIT,
            shard,
            utilisation: None,
            failed: false,
            withdrawn: 0,
        };
        let axes: Vec<(String, Vec<HParam>)> =
            study.axes.iter().map(|axis| (axis.path.clone(), axis.values.iter().map(hparam).collect())).collect();
        let warning = board.attempt(|board| {
            board.withdrawn = board.remove_others(plan.stages.iter())?;
            let mut root = EventFile::create(&board.folder, "experiment")?;
            root.experiment(&axes, &HPARAM_METRICS)?;
            root.flush()
        });
        (board, warning)
    }

    /// Removes the runs of all stages but these; what could not be removed is the warning.
    pub fn keep_only(&self, stages: &[&Stage]) -> Option<String> {
        let error = self.remove_others(stages.iter().copied()).err()?;
        Some(format!("old runs in {} could not be removed: {error}", self.folder.display()))
    }

    /// Removes the runs of stages that are not among these, or are under another key; gives their
    /// number.
    fn remove_others<'s>(&self, stages: impl Iterator<Item = &'s Stage>) -> io::Result<usize> {
        let keys: HashMap<PathBuf, &str> = stages.map(|stage| (self.run_folder(stage), stage.key.as_str())).collect();
        let mut removed = 0;
        for kind in StageKind::ALL {
            let Ok(runs) = fs::read_dir(self.folder.join(kind.as_str())) else { continue };
            for run in runs {
                let folder = run?.path();
                // A stage's folder stays, even without files: another shard may be about to write
                // there.
                let key = keys.get(&folder).copied();
                removed += usize::from(events::remove_others(&folder, key)?);
                if key.is_none() {
                    let _ = fs::remove_dir(&folder); // unless there is something in it that is not ours
                }
            }
        }
        Ok(removed)
    }

    /// Whether a stage has a run.
    pub fn has_run(&self, stage: &Stage) -> bool {
        events::is_of(&self.run_folder(stage), &stage.key)
    }

    /// Whether the study is small enough for a run for each stage.
    pub fn has_every_stage(&self) -> bool {
        self.every_stage
    }

    /// Runs something that writes; the first failure gives a warning and ends all writing.
    fn attempt(&mut self, write: impl FnOnce(&mut Board) -> io::Result<()>) -> Option<String> {
        if self.failed {
            return None;
        }
        let error = write(self).err()?;
        self.failed = true;
        self.open.clear();
        self.utilisation = None;
        Some(format!("TensorBoard files can no longer be written to {}: {error}; the sweep goes on without them", self.folder.display()))
    }

    fn run_folder(&self, stage: &Stage) -> PathBuf {
        self.folder.join(stage.kind.as_str()).join(stage.label())
    }

    fn pulse_folder(&self) -> PathBuf {
        let sweep = self.folder.join("sweep");
        self.shard.map_or(sweep.clone(), |shard| sweep.join(shard.writer()))
    }

    /// A stage starts: opens its run.
    pub fn started(&mut self, stage: &Stage) -> Option<String> {
        if !self.every_stage {
            return None;
        }
        self.attempt(|board| board.start_run(stage))
    }

    fn start_run(&mut self, stage: &Stage) -> io::Result<()> {
        let mut file = EventFile::create(&self.run_folder(stage), &stage.key)?;
        if stage.kind == StageKind::Target {
            let hparams: Vec<(String, HParam)> = stage.axes.iter().map(|(path, value)| (path.clone(), hparam(value))).collect();
            file.session_start(&hparams, &format!("{} {}", self.study, stage.cell_label()))?;
        }
        file.flush()?;
        self.open.insert(stage.key.clone(), (file, 0));
        Ok(())
    }

    /// An epoch of a stage: (metric, value) pairs.
    pub fn epoch(&mut self, stage: &Stage, epoch: usize, values: &[(&str, f64)]) -> Option<String> {
        self.attempt(|board| {
            let Some((file, last)) = board.open.get_mut(&stage.key) else { return Ok(()) };
            *last = epoch;
            for (name, value) in values {
                file.scalar(&tag(stage, name), *value, epoch)?;
            }
            file.flush()
        })
    }

    /// A stage ended: its final metrics; `gain` is its test accuracy above its from-scratch twin's.
    pub fn ended(&mut self, stage: &Stage, record: &Record, gain: Option<f64>) -> Option<String> {
        self.attempt(|board| board.end_run(stage, record, gain))
    }

    fn end_run(&mut self, stage: &Stage, record: &Record, gain: Option<f64>) -> io::Result<()> {
        let Some((mut file, last)) = self.open.remove(&stage.key) else { return Ok(()) };
        let finals = ["test_loss", "test_acc", "rho", "cosine"].into_iter().filter_map(|name| Some((name, *record.metrics.get(name)?)));
        for (name, value) in finals.chain(gain.map(|gain| ("transfer_gain", gain))) {
            file.scalar(&tag(stage, name), value, last)?;
        }
        if stage.kind == StageKind::Target {
            file.session_end(record.status == Status::Done)?;
        }
        file.flush()
    }

    /// Writes a run after the fact, from its record and its epochs: for the best cells of a study
    /// that is too large for a run each, and for stages that came back into the study.
    pub fn replay(&mut self, stage: &Stage, record: &Record, epochs: &[serde_json::Value], gain: Option<f64>) -> Option<String> {
        self.attempt(|board| {
            board.start_run(stage)?;
            if let Some((file, last)) = board.open.get_mut(&stage.key) {
                *last = epochs.len();
                for (i, entry) in epochs.iter().enumerate() {
                    for (name, value) in entry.as_object().into_iter().flatten() {
                        if let Some(value) = value.as_f64().filter(|_| name != "epoch") {
                            file.scalar(&tag(stage, name), value, i + 1)?;
                        }
                    }
                }
            }
            board.end_run(stage, record, gain)
        })
    }

    /// How the sweep itself fares, over its seconds, in the run `sweep`.
    pub fn utilisation(&mut self, utilisation: &Utilisation) -> Option<String> {
        self.attempt(|board| {
            if board.utilisation.is_none() {
                board.utilisation = Some(EventFile::create(&board.pulse_folder(), "sweep")?);
            }
            let Some(file) = &mut board.utilisation else { return Ok(()) };
            let step = utilisation.seconds.round() as usize;
            file.scalar("sweep/utilisation", utilisation.utilisation, step)?;
            file.scalar("sweep/images_per_second", utilisation.images_per_second, step)?;
            file.scalar("sweep/stages_done", utilisation.stages_done as f64, step)?;
            file.flush()
        })
    }

    /// Rewrites `tb/summary`.
    pub fn summary(&mut self, summary: &Summary) -> Option<String> {
        self.attempt(|board| {
            let mut file = EventFile::create(&board.folder.join("summary"), "summary")?;
            for (name, seeds, mean, lower, upper) in &summary.scalars {
                for (part, value) in [("mean", mean), ("lower", lower), ("upper", upper)] {
                    file.scalar(&format!("{name}/{part}"), *value, *seeds)?;
                }
            }
            for (name, rgb, width, height) in &summary.images {
                file.image(name, rgb, *width, *height, 0)?;
            }
            file.flush()
        })
    }
}

/// `target/val_acc`; the distance that λ pulls against is named by what it pulls to.
fn tag(stage: &Stage, name: &str) -> String {
    let to_source = stage.kind == StageKind::Target && stage.settings.transfer.method != TransferMethod::Finetune;
    let name = match name {
        "distance" if to_source => "l2sp_distance",
        "distance" => "backbone_norm",
        other => other,
    };
    format!("{}/{name}", stage.kind.as_str())
}

/// A value as TensorBoard's HParams has it: numbers as numbers, all else as words.
pub fn hparam(value: &Value) -> HParam {
    match value.as_f64() {
        Some(number) if number.is_finite() => HParam::Number(number),
        _ => HParam::Text(table_word(value)),
    }
}
