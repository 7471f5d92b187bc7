//! Shows a ridge study in TensorBoard: a run for each case, with its optima as metrics and its
//! risks over the λ₀ grid.

use std::io;
use std::path::{Path, PathBuf};

use super::board::{hparam, RUN_LIMIT};
use super::events::{self, EventFile, HParam};
use crate::base::numbers::number;
use crate::config::Study;
use crate::plan::Case;
use crate::store::RidgeRecord;

const METRICS: [&str; 5] = ["lambda_source", "lambda_transfer", "ratio/predicted", "ratio/simulated", "mismatch_cost"];

/// Writes the cases of a study. The first failure returns a warning and stops all further writing.
pub struct RidgeBoard {
    folder: PathBuf,
    study: String,
    left: usize,
    failed: bool,
}

impl RidgeBoard {
    pub fn open(folder: &Path, study: &Study, cases: &[Case]) -> (RidgeBoard, Option<String>) {
        let mut board = RidgeBoard { folder: folder.to_path_buf(), study: study.name.clone(), left: RUN_LIMIT, failed: false };
        let axes = cases.first().map(|case| case.axes.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>()).unwrap_or_default();
        let domains: Vec<(String, Vec<HParam>)> = study
            .axes
            .iter()
            .filter(|axis| axes.contains(&axis.path))
            .map(|axis| (axis.path.clone(), axis.values.iter().map(hparam).collect()))
            .collect();
        let folder = board.folder.clone();
        let warning = board.attempt(|| {
            // Removes all old runs. Cases that are still in the study are written again.
            for entry in std::fs::read_dir(&folder).into_iter().flatten() {
                let run = entry?.path();
                if run.is_dir() && events::remove(&run)? {
                    let _ = std::fs::remove_dir(&run); // fails if it contains files of others
                }
            }
            let mut root = EventFile::create(&folder, "experiment")?;
            root.experiment(&domains, &METRICS)?;
            root.flush()
        });
        (board, warning)
    }

    fn attempt(&mut self, write: impl FnOnce() -> io::Result<()>) -> Option<String> {
        if self.failed {
            return None;
        }
        let error = write().err()?;
        self.failed = true;
        Some(format!("TensorBoard files can no longer be written to {}: {error}; the run goes on without them", self.folder.display()))
    }

    /// Adds a finished case. Cases beyond TensorBoard's limit of runs appear only in the report.
    pub fn add(&mut self, case: &Case, record: &RidgeRecord) -> Option<String> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let label = match case.label() {
            label if label.is_empty() => "case".to_string(),
            label => label,
        };
        let (folder, study) = (self.folder.join(&label), self.study.clone());
        self.attempt(|| {
            let mut file = EventFile::create(&folder, &record.key)?;
            let hparams: Vec<(String, HParam)> = case.axes.iter().map(|(path, value)| (path.clone(), hparam(value))).collect();
            file.session_start(&hparams, &format!("{study} {label}"))?;
            let at = &record.targets[0].at[0];
            let metrics = [
                record.source_optimum.predicted,
                at.optimum.predicted,
                at.ratio,
                at.simulated_ratio.as_ref().map(|i| i.estimate).filter(|v| v.is_finite()),
                at.cost,
            ];
            for (name, value) in METRICS.iter().zip(metrics) {
                file.scalar(name, value.unwrap_or(f64::NAN), 0)?;
            }
            // The step is the index in the λ₀ grid.
            for (step, risk) in record.source.iter().enumerate() {
                file.scalar("lambda0", record.lambda0[step], step)?;
                file.scalar("source_risk/predicted", risk.predicted, step)?;
                file.scalar("source_risk/simulated", risk.simulated, step)?;
            }
            for target in &record.targets {
                for at in &target.at {
                    let name = target.name.as_ref().map_or(String::new(), |n| format!("{n}/"));
                    for (step, risk) in at.transfer.iter().enumerate() {
                        let tag = format!("transfer_risk/{name}lambda1={}", number(at.lambda1));
                        file.scalar(&format!("{tag}/predicted"), risk.predicted, step)?;
                        file.scalar(&format!("{tag}/simulated"), risk.simulated, step)?;
                    }
                }
            }
            file.session_end(true)?;
            file.flush()
        })
    }
}
