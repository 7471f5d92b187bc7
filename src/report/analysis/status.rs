//! Counts the stages with a result and lists those without one.

use crate::plan::{Plan, StageKind};
use crate::store::{Records, Status};

/// Number of stages in each state.
#[derive(Debug, Clone, Default)]
pub struct StageCounts {
    pub done: usize,
    pub diverged: usize,
    pub failed: usize,
    pub missing: usize,
}

impl StageCounts {
    pub fn total(&self) -> usize {
        self.done + self.diverged + self.failed + self.missing
    }

    /// Number of stages with a record.
    pub fn with_record(&self) -> usize {
        self.total() - self.missing
    }

    /// Whether every stage is done.
    pub fn is_complete(&self) -> bool {
        self.done == self.total()
    }
}

/// Why a stage has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageState {
    Diverged,
    Failed,
    Missing,
}

impl StageState {
    pub fn as_str(self) -> &'static str {
        match self {
            StageState::Diverged => "diverged",
            StageState::Failed => "failed",
            StageState::Missing => "missing",
        }
    }
}

/// A stage without a result.
#[derive(Debug, Clone)]
pub struct IncompleteStage {
    pub state: StageState,
    pub kind: StageKind,
    /// The values of its axes, for example `lambda0=0.1,lambda1=0`.
    pub cell: String,
    pub seed: u64,
    pub key: String,
    /// The error message in its record.
    pub error: Option<String>,
}

/// Counts the stages, and lists the stages without a result in plan order.
pub fn count(plan: &Plan, records: &Records) -> (StageCounts, Vec<IncompleteStage>) {
    let mut counts = StageCounts::default();
    let mut incomplete = vec![];
    for stage in &plan.stages {
        let record = records.by_key.get(&stage.key);
        let (counter, state) = match record.map(|record| record.status) {
            Some(Status::Done) => (&mut counts.done, None),
            Some(Status::Diverged) => (&mut counts.diverged, Some(StageState::Diverged)),
            Some(Status::Failed) => (&mut counts.failed, Some(StageState::Failed)),
            None => (&mut counts.missing, Some(StageState::Missing)),
        };
        *counter += 1;
        incomplete.extend(state.map(|state| IncompleteStage {
            state,
            kind: stage.kind,
            cell: stage.cell_label(),
            seed: stage.seed,
            key: stage.key.clone(),
            error: record.and_then(|record| record.error.clone()),
        }));
    }
    (counts, incomplete)
}
