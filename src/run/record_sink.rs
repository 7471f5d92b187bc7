//! Writes the record of a finished stage.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::json;

use super::engine::{Engine, StageOutcome};
use super::{axis_json, SweepSummary, Watcher};
use crate::plan::{Plan, Stage};
use crate::store::{self, Folder, Record, Records, Status, Writer, RECORD_VERSION};

/// Everything that is updated when a stage ends.
pub struct RecordSink<'a> {
    pub plan: &'a Plan,
    pub folder: &'a Folder,
    pub engine: &'a dyn Engine,
    pub writer: &'a mut Writer<'a>,
    pub records: &'a mut Records,
    pub summary: &'a mut SweepSummary,
    pub watcher: &'a mut dyn Watcher,
}

impl RecordSink<'_> {
    /// Writes the record of a stage and reports it to the observer.
    pub fn write(&mut self, index: usize, end: &StageOutcome, seconds: f64, pack: usize) -> Result<()> {
        let stage = &self.plan.stages[index];
        if self.records.is_final(&stage.key) {
            // A source that was trained again for its model keeps its first record.
            if end.status == Status::Failed {
                let why = end.error.as_deref().unwrap_or_default();
                self.watcher.warn(&format!(
                    "source {} could not be trained again to restore its model, so its targets cannot be trained yet: {why}",
                    stage.label()
                ));
            }
            self.watcher.ended(stage, &self.records.by_key[&stage.key], self.records);
            return Ok(());
        }
        let record = record(self.plan, stage, end, self.engine, seconds, pack).with_context(|| format!("stage {}", stage.label()))?;
        self.writer.append(&record)?;
        match record.status {
            Status::Done => self.summary.done += 1,
            Status::Diverged => self.summary.diverged += 1,
            Status::Failed => self.summary.failed += 1,
        }
        self.records.add(record);
        self.watcher.ended(stage, &self.records.by_key[&stage.key], self.records);
        Ok(())
    }
}

fn record(plan: &Plan, stage: &Stage, end: &StageOutcome, engine: &dyn Engine, seconds: f64, pack: usize) -> Result<Record> {
    let mut settings = serde_json::to_value(&*stage.settings)?;
    if stage.settings.lambda1.is_infinite() {
        settings["lambda1"] = json!("inf"); // JSON has no infinity
    }
    Ok(Record {
        version: RECORD_VERSION,
        kind: stage.kind,
        key: stage.key.clone(),
        source: stage.source.map(|source| plan.stages[source].key.clone()),
        seed: stage.seed,
        draw: stage.draw,
        axes: stage.axes.iter().map(|(path, value)| (path.clone(), axis_json(value))).collect(),
        status: end.status,
        metrics: Arc::new(end.metrics.iter().filter(|(_, value)| value.is_finite()).map(|(name, value)| (name.clone(), *value)).collect()),
        error: end.error.clone(),
        history: end.history.iter().map(serde_json::to_value).collect::<Result<_, _>>()?,
        settings,
        data: stage.data().digest.clone(),
        seconds,
        pack,
        device: engine.device(),
        host: store::host(),
        engine: engine.name().into(),
        program: store::program().into(),
        commit: store::commit().into(),
        finished: store::now(),
    })
}

/// The outcome of a target whose source diverged.
pub fn after_divergence(error: &str) -> StageOutcome {
    StageOutcome {
        status: Status::Diverged,
        metrics: BTreeMap::new(),
        history: vec![],
        error: Some(format!("its source diverged: {error}")),
        model: None,
    }
}
