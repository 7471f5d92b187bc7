//! Shows a sweep in TensorBoard: the answer, the sweep itself, and a run for each stage or for each
//! of the best cells, with HParams.
//!
//! TensorBoard is only for monitoring. If writing fails, for example because the disk is full, it
//! is stopped with one warning and the sweep continues.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_yaml::Value;

use super::events::{self, EventFile, HParam};
use super::progress::Utilisation;
use crate::config::network::TransferMethod;
use crate::config::{table_word, Axis, Study};
use crate::plan::{Plan, Shard, Stage, StageKind};
use crate::store::{Record, Status};

/// TensorBoard deselects all runs if there are more than 40, and then opens blank. Four of them are
/// the experiment, the answer, the sweep and its rounds. A study with more stages than this has
/// runs of its best cells instead, averaged over seeds.
pub const RUN_LIMIT: usize = 36;

/// Tags of the metrics in the HParams tab.
const HPARAM_METRICS: [&str; 5] = ["target/val_acc", "target/test_acc", "target/test_loss", "target/transfer_gain", "target/l2sp_distance"];

/// The same where the tasks predict a number.
const HPARAM_METRICS_OF_NUMBERS: [&str; 5] =
    ["target/val_r2", "target/test_r2", "target/test_loss", "target/transfer_gain", "target/l2sp_distance"];

/// Writes `tb/`.
pub struct Board {
    /// Part of the names of HParams groups. TensorBoard may show several studies side by side, and
    /// it averages runs whose groups have the same name.
    study: String,
    folder: PathBuf,
    /// The open runs by stage key, each with its latest epoch.
    open: HashMap<String, (EventFile, usize)>,
    every_stage: bool,
    shard: Option<Shard>,
    /// The event file of the run `sweep`, from its first utilisation values on.
    utilisation: Option<EventFile>,
    failed: bool,
    /// Number of runs removed because the plan no longer contains them.
    pub withdrawn: usize,
}

/// The answer as the report has it.
#[derive(Debug, Default)]
pub struct Summary {
    /// (tag without its last part, step, mean, lower, upper).
    pub scalars: Vec<(String, usize, f64, f64, f64)>,
    /// (tag, RGB bytes, width, height).
    pub images: Vec<(String, Vec<u8>, u32, u32)>,
    /// Markdown.
    pub text: String,
}

/// A cell, averaged over its seeds and draws.
#[derive(Debug)]
pub struct CellRun<'a> {
    /// One of its target stages.
    pub stage: &'a Stage,
    /// Means of each epoch's metrics.
    pub epochs: Vec<BTreeMap<String, f64>>,
    /// (metric, mean, lower, upper) at the end.
    pub finals: Vec<(String, f64, f64, f64)>,
}

/// The values of an axis: the study's, or in rounds those of the plan.
fn values(study: &Study, plan: &Plan, axis: &Axis) -> Vec<Value> {
    if study.grids.is_empty() {
        return axis.values.clone();
    }
    let mut values: Vec<Value> = vec![];
    for (_, value) in plan.cells.iter().flat_map(|cell| cell.axes.iter()).filter(|(path, _)| *path == axis.path) {
        if !values.contains(value) {
            values.push(value.clone());
        }
    }
    values
}

impl Board {
    /// Writes the experiment: the axes with their values, and the metrics. First removes runs that
    /// do not belong to this plan. Shards write at the same time, each to its own runs.
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
            study.axes.iter().map(|axis| (axis.path.clone(), values(study, plan, axis).iter().map(hparam).collect())).collect();
        let warning = board.attempt(|board| {
            board.withdrawn = board.remove_others(plan.stages.iter())?;
            let mut root = EventFile::create(&board.folder, "experiment")?;
            root.experiment(&axes, if plan.is_regression() { &HPARAM_METRICS_OF_NUMBERS } else { &HPARAM_METRICS })?;
            root.flush()
        });
        (board, warning)
    }

    /// Removes the runs of all stages except these. Returns a warning if a run could not be
    /// removed.
    pub fn keep_only(&self, stages: &[&Stage]) -> Option<String> {
        let error = self.remove_others(stages.iter().copied()).err()?;
        Some(format!("old runs in {} could not be removed: {error}", self.folder.display()))
    }

    /// Removes runs of stages that are not given or have another key. Returns the number of
    /// affected runs.
    fn remove_others<'s>(&self, stages: impl Iterator<Item = &'s Stage>) -> io::Result<usize> {
        let keys: HashMap<PathBuf, &str> = stages.map(|stage| (self.run_folder(stage), stage.key.as_str())).collect();
        let mut removed = 0;
        for kind in StageKind::ALL {
            let Ok(runs) = fs::read_dir(self.folder.join(kind.as_str())) else { continue };
            for run in runs {
                let folder = run?.path();
                // The folder of a given stage stays even if it is empty, because another shard may
                // be about to write there.
                let key = keys.get(&folder).copied();
                removed += usize::from(events::remove_others(&folder, key)?);
                if key.is_none() {
                    let _ = fs::remove_dir(&folder); // fails if it contains files of others
                }
            }
        }
        Ok(removed)
    }

    /// Whether a stage has a run.
    pub fn has_run(&self, stage: &Stage) -> bool {
        events::is_of(&self.run_folder(stage), &stage.key)
    }

    /// Whether the study is small enough to have a run for each stage.
    pub fn has_every_stage(&self) -> bool {
        self.every_stage
    }

    /// Runs an action that writes. The first failure returns a warning and stops all further
    /// writing.
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

    /// Opens the run of a stage that starts.
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

    /// Writes an epoch of a stage, as (metric, value) pairs.
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

    /// Writes the final metrics of a stage and closes its run. `gain` is its test accuracy minus
    /// that of training from scratch.
    pub fn ended(&mut self, stage: &Stage, record: &Record, gain: Option<f64>) -> Option<String> {
        self.attempt(|board| board.end_run(stage, record, gain))
    }

    fn end_run(&mut self, stage: &Stage, record: &Record, gain: Option<f64>) -> io::Result<()> {
        let Some((mut file, last)) = self.open.remove(&stage.key) else { return Ok(()) };
        let finals =
            ["test_loss", "test_acc", "test_r2", "rho", "cosine"].into_iter().filter_map(|name| Some((name, *record.metrics.get(name)?)));
        for (name, value) in finals.chain(gain.map(|gain| ("transfer_gain", gain))) {
            file.scalar(&tag(stage, name), value, last)?;
        }
        if stage.kind == StageKind::Target {
            file.session_end(record.status == Status::Done)?;
        }
        file.flush()
    }

    /// Writes the run of a finished stage from its record and its epochs. This is used for the best
    /// cells of a study that is too large for a run per stage. It is also used for stages that were
    /// added to the study again.
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

    /// Writes the utilisation and speed of the sweep itself to the run `sweep`. The step is the
    /// elapsed time in seconds. Of several shards, the first one shows its own.
    pub fn utilisation(&mut self, utilisation: &Utilisation) -> Option<String> {
        if self.shard.is_some_and(|shard| shard.index > 0) {
            return None;
        }
        self.attempt(|board| {
            if board.utilisation.is_none() {
                board.utilisation = Some(EventFile::create(&board.folder.join("sweep"), "sweep")?);
            }
            let Some(file) = &mut board.utilisation else { return Ok(()) };
            let step = utilisation.seconds.round() as usize;
            file.scalar("sweep/utilisation", utilisation.utilisation, step)?;
            file.scalar("sweep/images_per_second", utilisation.images_per_second, step)?;
            file.scalar("sweep/stages_done", utilisation.stages_done as f64, step)?;
            file.flush()
        })
    }

    /// Rewrites the run `answer`.
    pub fn answer(&mut self, summary: &Summary) -> Option<String> {
        self.attempt(|board| {
            events::remove(&board.folder.join("summary"))?; // its name in earlier versions
            let mut file = EventFile::create(&board.folder.join("answer"), "answer")?;
            for (name, step, mean, lower, upper) in &summary.scalars {
                for (part, value) in [("mean", mean), ("lower", lower), ("upper", upper)] {
                    file.scalar(&format!("{name}/{part}"), *value, *step)?;
                }
            }
            file.text("answer", &summary.text, 0)?;
            for (name, rgb, width, height) in &summary.images {
                file.image(name, rgb, *width, *height, 0)?;
            }
            file.flush()
        })
    }

    /// Rewrites the runs of cells.
    pub fn cells(&mut self, cells: &[CellRun]) -> Option<String> {
        self.attempt(|board| {
            let folder = board.folder.join("cell");
            for run in fs::read_dir(&folder).into_iter().flatten() {
                let run = run?.path();
                events::remove(&run)?;
                let _ = fs::remove_dir(&run); // fails if it contains files of others
            }
            for CellRun { stage, epochs, finals } in cells {
                let label = stage.cell_label();
                let mut file = EventFile::create(&folder.join(&label), "cell")?;
                let hparams: Vec<(String, HParam)> = stage.axes.iter().map(|(path, value)| (path.clone(), hparam(value))).collect();
                file.session_start(&hparams, &format!("{} {label}", board.study))?;
                for (i, epoch) in epochs.iter().enumerate() {
                    for (name, value) in epoch {
                        file.scalar(&tag(stage, name), *value, i + 1)?;
                    }
                }
                let last = epochs.len().max(1);
                for (name, mean, lower, upper) in finals {
                    file.scalar(&tag(stage, name), *mean, last)?;
                    file.scalar(&format!("{}_lower", tag(stage, name)), *lower, last)?;
                    file.scalar(&format!("{}_upper", tag(stage, name)), *upper, last)?;
                }
                file.session_end(true)?;
                file.flush()?;
            }
            Ok(())
        })
    }
}

/// The tag of a metric, such as `target/val_acc`. The distance that λ penalises is named after its
/// reference point.
fn tag(stage: &Stage, name: &str) -> String {
    let to_source = stage.kind == StageKind::Target && stage.settings.transfer.method != TransferMethod::Finetune;
    let name = match name {
        "distance" if to_source => "l2sp_distance",
        "distance" => "backbone_norm",
        other => other,
    };
    format!("{}/{name}", stage.kind.as_str())
}

/// A value for the HParams tab: a finite number as a number, everything else as text.
pub fn hparam(value: &Value) -> HParam {
    match value.as_f64() {
        Some(number) if number.is_finite() => HParam::Number(number),
        _ => HParam::Text(table_word(value)),
    }
}
