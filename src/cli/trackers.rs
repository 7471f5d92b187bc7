//! `export --format mlflow` and `--format wandb`: a study as runs of a tracker.

use std::path::Path;

use anyhow::Result;

use super::commands::typed;
use super::print;
use super::report::analysed_folder;
use crate::base::usage::usage;
use crate::config::show;
use crate::plan::{Plan, Stage};
use crate::report::render::{experiment, experiment_number, real, wandb_mark, wandb_runs, TrackedRun, MARK};
use crate::store::{histories, remove_marked, write_plain, Folder, Record, Records, Status};

/// Writes runs for MLflow's file store.
pub fn to_mlflow(folder: &Path, to: &Path) -> Result<u8> {
    let (name, runs) = runs(folder)?;
    // MLflow expects this folder.
    write_plain(&to.join(".trash/.keep"), &[])?;
    // Runs of an earlier export go, also those of cells that are no longer in the study.
    remove_marked(&to.join(experiment_number(&name)), MARK)?;
    for file in experiment(&name, &runs, &real(to).display().to_string()) {
        write_plain(&to.join(&file.name), &file.bytes)?;
    }
    print(&format!(
        "{} runs in {}; see them with\n  MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri file:{}\n",
        runs.len(),
        to.display(),
        real(to).display()
    ));
    Ok(0)
}

/// Writes offline runs of Weights & Biases.
pub fn to_wandb(folder: &Path, to: &Path) -> Result<u8> {
    let (name, runs) = runs(folder)?;
    // Runs of an earlier export of this study go.
    remove_marked(to, &wandb_mark(&name))?;
    for file in wandb_runs(&name, &runs) {
        write_plain(&to.join(&file.name), &file.bytes)?;
    }
    print(&format!("{} runs in {}; send them to your project with\n  wandb sync {}/offline-run-*\n", runs.len(), to.display(), typed(to)));
    Ok(0)
}

/// A study's name, and a run for each cell and draw and for each training from scratch.
fn runs(folder: &Path) -> Result<(String, Vec<TrackedRun>)> {
    let folder = Folder(folder.to_path_buf());
    let analysed = analysed_folder(&folder)?;
    let (plan, records) = (&analysed.whole, &analysed.records);
    let curves = histories(&folder, |key| records.by_key.contains_key(key))?;
    let mut runs = vec![];
    let mut seen = std::collections::HashSet::new();
    for cell in &plan.cells {
        for &index in cell.targets.iter().chain(cell.scratch.iter().flatten()) {
            let stage = &plan.stages[index];
            if !seen.insert(index) {
                continue;
            }
            let Some(record) = records.by_key.get(&stage.key).filter(|record| record.status != Status::Failed) else { continue };
            runs.push(run(plan, stage, record, records, &curves));
        }
    }
    if runs.is_empty() {
        return Err(usage(format!("{} has no result yet", folder.0.display()), "run the study first"));
    }
    Ok((analysed.study.name.clone(), runs))
}

type Curves = std::collections::HashMap<String, Vec<serde_json::Value>>;

fn run(plan: &Plan, stage: &Stage, record: &Record, records: &Records, curves: &Curves) -> TrackedRun {
    let mut params: Vec<(String, String)> = stage.axes.iter().map(|(path, value)| (path.clone(), show(value))).collect();
    let group = params.iter().map(|(path, value)| format!("{path}={value}")).collect::<Vec<_>>().join(" ");
    params.extend([("seed".into(), stage.seed.to_string()), ("draw".into(), stage.draw.to_string())]);
    let mut metrics = vec![];
    let mut add = |prefix: &str, record: &Record| {
        let history = curves.get(&record.key).map_or(&[][..], Vec::as_slice);
        let last = history.len();
        metrics.extend(record.metrics.iter().map(|(name, value)| (format!("{prefix}{name}"), vec![(last, *value)])));
        for name in ["train_loss", "val_loss", "val_acc", "val_r2", "distance"] {
            let step = |(i, epoch): (usize, &serde_json::Value)| Some((i + 1, epoch.get(name)?.as_f64()?));
            let steps: Vec<(usize, f64)> = history.iter().enumerate().filter_map(step).collect();
            if !steps.is_empty() {
                metrics.push((format!("{prefix}epoch.{name}"), steps));
            }
        }
    };
    add("", record);
    let source = stage.source.and_then(|source| records.by_key.get(&plan.stages[source].key));
    source.into_iter().for_each(|source| add("source.", source));
    let tags = [
        ("kind", record.kind.as_str().to_string()),
        ("key", stage.key.clone()),
        ("data", stage.data().digest.clone()),
        ("engine", record.engine.clone()), // `mock`: made up
        ("device", record.device.clone()),
        ("program", record.program.clone()),
        ("commit", record.commit.clone()),
    ];
    TrackedRun {
        key: stage.key.clone(),
        kind: record.kind.as_str().into(),
        group,
        name: format!("{} {}", record.kind.as_str(), stage.label()),
        params,
        tags: tags.into_iter().map(|(name, value)| (name.to_string(), value)).collect(),
        metrics,
        start: record.finished - record.seconds,
        end: record.finished,
        diverged: record.status == Status::Diverged,
    }
}
