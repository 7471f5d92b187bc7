//! A study as runs of MLflow, in the folders that its file store reads (`mlruns/`): one run for
//! each cell and draw, and one for each training from scratch.

use sha2::{Digest, Sha256};

use super::{RenderedFile, TrackedRun};
use crate::base::hex::hex;

/// The file in each run's folder that says that this program made it.
pub const MARK: &str = "artifacts/stage.txt";

/// The files of an experiment, with paths relative to `mlruns/`. `root` is the absolute path of
/// that folder. The same runs give the same paths, so a second export replaces the first.
pub fn experiment(name: &str, runs: &[TrackedRun], root: &str) -> Vec<RenderedFile> {
    let id = number(name);
    let at = |time: f64| (1000.0 * time) as i64;
    let first = runs.iter().map(|run| at(run.start)).min().unwrap_or(0);
    let last = runs.iter().map(|run| at(run.end)).max().unwrap_or(0);
    let place = format!("file://{root}/{id}");
    let meta = serde_json::json!({
        "artifact_location": place,
        "creation_time": first,
        "experiment_id": id,
        "last_update_time": last,
        "lifecycle_stage": "active",
        "name": name,
    });
    let mut files = vec![RenderedFile::new(format!("{id}/meta.yaml"), yaml(&meta))];
    for run in runs {
        // Two studies may share a stage, and each has a run of its own.
        let run_id = &hex(Sha256::digest(format!("{name} {}", run.key).as_bytes()))[..32];
        let meta = serde_json::json!({
            "artifact_uri": format!("{place}/{run_id}/artifacts"),
            "end_time": at(run.end),
            "entry_point_name": "",
            "experiment_id": id,
            "lifecycle_stage": "active",
            "run_id": run_id,
            "run_name": run.name,
            "run_uuid": run_id,
            "source_name": "transfergrid",
            "source_type": 4, // local
            "source_version": "",
            "start_time": at(run.start),
            "status": if run.diverged { 4 } else { 3 }, // failed, finished
            "tags": [],
            "user_id": "",
        });
        let folder = format!("{id}/{run_id}");
        let mut add =
            |kind: &str, name: &str, text: String| files.push(RenderedFile::new(format!("{folder}/{kind}/{}", plain(name)), text));
        run.params.iter().for_each(|(name, value)| add("params", name, value.clone()));
        run.tags.iter().for_each(|(name, value)| add("tags", name, value.clone()));
        add("tags", "mlflow.runName", run.name.clone());
        for (name, steps) in &run.metrics {
            add("metrics", name, steps.iter().map(|(step, value)| format!("{} {value} {step}\n", at(run.end))).collect());
        }
        files.push(RenderedFile::new(format!("{folder}/{MARK}"), format!("{}\n", run.key)));
        files.push(RenderedFile::new(format!("{folder}/meta.yaml"), yaml(&meta)));
    }
    files
}

/// An experiment's number: MLflow's have 18 digits. It is the name of its folder.
pub fn number(name: &str) -> String {
    let digest = Sha256::digest(name.as_bytes());
    let value = digest.iter().take(8).fold(0u64, |sum, &byte| sum << 8 | u64::from(byte));
    (100_000_000_000_000_000 + value % 900_000_000_000_000_000).to_string()
}

/// A name of letters, digits and `_-. `, which MLflow allows in file names.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "_-. ".contains(c) { c } else { '_' }).collect()
}

fn yaml(value: &serde_json::Value) -> String {
    serde_yaml::to_string(value).unwrap_or_default()
}
