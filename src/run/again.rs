//! The model of a finished stage: from its file, or trained again. Models of targets and of
//! training from scratch are not kept: they are functions of their key, and cost a few seconds.

use std::collections::{BTreeMap, HashMap};

use anyhow::{bail, Context, Result};

use super::engine::{Engine, Epoch, Job, PackContext, PackOutcome};
use super::worker::pack_key;
use crate::plan::Plan;
use crate::store::{Array, Checkpoint, Folder, Status};

/// A model, and its metrics if it was trained again.
pub struct StageModel {
    pub arrays: Vec<Array>,
    pub metrics: Option<BTreeMap<String, f64>>,
}

/// The model of stage `index` of a plan.
///
/// # Errors
/// The stage, or the source that it starts from, cannot be trained again.
pub fn stage_model(plan: &Plan, index: usize, folder: &Folder, engine: &dyn Engine) -> Result<StageModel> {
    let stage = &plan.stages[index];
    if let Some(kept) = Checkpoint::read(&folder.model(&stage.key)).ok().flatten() {
        return Ok(StageModel { arrays: kept.arrays, metrics: None });
    }
    let mut models = HashMap::new();
    if let Some(source) = stage.source {
        models.insert(plan.stages[source].key.clone(), stage_model(plan, source, folder, engine)?.arrays);
    }
    let job = Job {
        key: pack_key(plan, &[index]),
        stages: vec![stage.clone()],
        sources: vec![stage.source.map(|source| plan.stages[source].key.clone())],
        keeps_models: true,
    };
    let outcome = engine.run(0, &job, &Quiet { models }).with_context(|| format!("{} could not be trained again", stage.label()))?;
    let PackOutcome::Finished(mut ends) = outcome else { bail!("{} was interrupted", stage.label()) };
    let end = ends.remove(0);
    match (end.status, end.model) {
        (Status::Done, Some(arrays)) => Ok(StageModel { arrays, metrics: Some(end.metrics) }),
        _ => bail!("{} gave no model when it was trained again: {}", stage.label(), end.error.unwrap_or_default()),
    }
}

/// Trains to the end and keeps nothing.
struct Quiet {
    models: HashMap<String, Vec<Array>>,
}

impl PackContext for Quiet {
    fn epoch(&self, _: usize, _: &Epoch, _: bool) {}
    fn stop(&self) -> bool {
        false
    }
    fn wants_snapshot(&self) -> bool {
        false
    }
    fn snapshot(&self, _: Checkpoint) {}
    fn model(&self, source: &str) -> Result<Vec<Array>> {
        self.models.get(source).cloned().context("the source's model is not there")
    }
    fn resume(&self) -> Result<Option<Checkpoint>> {
        Ok(None)
    }
}
