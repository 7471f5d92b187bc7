//! Made-up metrics, computed from the stage's key, λ and start. For tests of everything around
//! training, and for planning at scale.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{bail, ensure, Context, Result};

use super::{Engine, Epoch, Job, PackContext, PackOutcome, Predictions, StageOutcome};
use crate::base::stream::Stream;
use crate::data::Dataset;
use crate::plan::{Stage, StageKind};
use crate::store::{Array, Checkpoint, Status};

/// Settings of the mock engine.
#[derive(Debug, Clone, Default)]
pub struct Mock {
    /// Milliseconds that an epoch takes.
    pub epoch_ms: u64,
    /// Share of stages that fail, chosen by key.
    pub fail: f64,
    /// Share of stages that diverge, chosen by key.
    pub diverge: f64,
    /// Number of models that fit into the made-up device's memory.
    pub memory: usize,
    /// The worker whose device is lost at its first pack.
    pub lost: Option<usize>,
    /// Share of stages that lose the device on which they are trained, chosen by key.
    pub deadly: f64,
    /// Share of packs that fail the first time.
    pub flaky: f64,
    /// Packs that have failed once because of `flaky`.
    pub failed: Arc<Mutex<HashSet<String>>>,
    pub workers: Option<usize>,
    pub pack: Option<usize>,
}

impl Mock {
    /// A stage's made-up metrics. Accuracy peaks at λ = 10⁻³ for sources and at a source λ of 10⁻²
    /// for targets.
    fn epoch(&self, stage: &Stage, start: f32, epoch: usize) -> Epoch {
        let log = |lambda: f64| (lambda.min(1e6) + 1e-6).log10();
        let peak = |x: f64, at: f64| (-(x - at).powi(2) / 8.0).exp();
        let quality = match stage.kind {
            StageKind::Source => peak(log(stage.settings.lambda0), -3.0),
            StageKind::Target => 0.8 * peak(log(stage.settings.lambda0), -2.0) * peak(log(stage.lambda), -2.0) + 0.1 * f64::from(start),
            StageKind::Scratch => 0.4 * peak(log(stage.lambda), -3.0),
            StageKind::Alignment => 0.0,
        };
        let grown = quality * (1.0 - (-(epoch as f64)).exp());
        // The noise depends on the seed and the kind of stage only, so paired comparisons get the
        // same noise.
        let noise = 0.05 * (Stream::new("mock/noise", stage.stream_seed(), stage.kind as u64).uniform() - 0.5);
        let val_acc = (0.3 + 0.6 * grown + noise).clamp(0.0, 1.0);
        let (of_classes, of_numbers) = if stage.data().is_regression { (None, Some(val_acc)) } else { (Some(val_acc), None) };
        Epoch {
            epoch,
            train_loss: 1.0 - val_acc,
            val_loss: 1.2 - val_acc,
            val_acc: of_classes,
            val_r2: of_numbers,
            distance: 1.0 / (1.0 + stage.lambda),
        }
    }
}

/// A number in [0, 1) from a stage's key.
fn chance(key: &str, name: &str) -> f64 {
    Stream::new(&format!("mock/{name}/{key}"), 0, 0).uniform()
}

/// The only weight of a source's model.
fn model(source: &str) -> f32 {
    chance(source, "model") as f32
}

impl Engine for Mock {
    fn name(&self) -> &'static str {
        "mock"
    }

    fn device(&self) -> String {
        "mock".into()
    }

    fn workers(&self) -> usize {
        self.workers.unwrap_or(2)
    }

    fn pack_size(&self, _: &Stage, _: usize) -> usize {
        self.pack.unwrap_or(1)
    }

    /// True for half of the sources, so that both code paths are used.
    fn holds(&self, source: &str) -> bool {
        chance(source, "held") < 0.5
    }

    fn run(&self, worker: usize, job: &Job, link: &dyn PackContext) -> Result<PackOutcome> {
        ensure!(self.lost != Some(worker), "CUDA error: an illegal memory access was encountered (made up)");
        let deadly = job.stages.iter().any(|stage| chance(&stage.key, "deadly") < self.deadly);
        ensure!(!deadly, "CUDA error: an illegal memory access was encountered (made up)");
        ensure!(job.stages.len() <= self.memory, "CUDA out of memory (made up)");
        if chance(&job.key, "flaky") < self.flaky && self.failed.lock().is_ok_and(|mut failed| failed.insert(job.key.clone())) {
            bail!("the mock engine was asked to fail this pack once");
        }
        if let Some(stage) = job.stages.iter().find(|stage| chance(&stage.key, "fail") < self.fail) {
            bail!("the mock engine was asked to fail stage {}", stage.key);
        }
        let epochs = job.stages[0].phase().epochs.max(1); // a pretrained source may have none
        let mut histories: Vec<Vec<Epoch>> = vec![vec![]; job.stages.len()];
        let done: usize =
            link.resume()?.map_or(Ok(0), |snapshot| snapshot.text.parse()).context("the mock engine's snapshot is a number of epochs")?;
        for epoch in 1..=epochs {
            if link.stop() && epoch > done {
                link.snapshot(Checkpoint { arrays: vec![], text: (epoch - 1).to_string() });
                return Ok(PackOutcome::Stopped);
            }
            if self.epoch_ms > 0 && epoch > done {
                std::thread::sleep(Duration::from_millis(self.epoch_ms));
            }
            for (i, stage) in job.stages.iter().enumerate() {
                let start = match (&job.sources[i], stage.kind) {
                    (Some(source), StageKind::Target) if self.holds(source) => model(source),
                    (Some(source), StageKind::Target) => link.model(source)?[0].values[0],
                    (None, StageKind::Source | StageKind::Scratch | StageKind::Alignment) => 0.0,
                    _ => bail!("a target stage starts from a source model, and no other stage does"),
                };
                let report = self.epoch(stage, start, epoch);
                if stage.kind != StageKind::Alignment {
                    link.epoch(i, &report, epoch > done);
                }
                histories[i].push(report);
            }
            if link.wants_snapshot() && epoch < epochs {
                link.snapshot(Checkpoint { arrays: vec![], text: epoch.to_string() });
            }
        }
        let ends = job.stages.iter().zip(histories).map(|(stage, history)| self.end(stage, history));
        Ok(PackOutcome::Finished(ends.collect::<Result<_>>()?))
    }

    fn predict(&self, _: &Stage, _: &[Array], _: Option<&Dataset>) -> Result<Predictions> {
        bail!("the models of the mock engine are made up, so they predict nothing")
    }
}

impl Mock {
    fn end(&self, stage: &Stage, history: Vec<Epoch>) -> Result<StageOutcome> {
        ensure!(!history.is_empty(), "a stage has at least one epoch");
        if chance(&stage.key, "diverge") < self.diverge {
            let error = Some("the loss stopped being finite at epoch 1, step 1 (mock)".to_string());
            return Ok(StageOutcome { status: Status::Diverged, metrics: BTreeMap::new(), history: vec![], error, model: None });
        }
        if stage.kind == StageKind::Alignment {
            let metrics = BTreeMap::from([("rho".to_string(), 0.2 + 0.6 * chance(&stage.key, "rho")), ("cosine".into(), 0.5)]);
            return Ok(StageOutcome { status: Status::Done, metrics, history: vec![], error: None, model: None });
        }
        let last = history[history.len() - 1].clone();
        let mut metrics = BTreeMap::from([
            ("train_loss".to_string(), last.train_loss),
            ("val_loss".into(), last.val_loss),
            ("test_loss".into(), last.val_loss + 0.01),
        ]);
        for (name, value) in [("acc", last.val_acc), ("r2", last.val_r2)] {
            let both = |value: f64| [(format!("val_{name}"), value), (format!("test_{name}"), value - 0.01)];
            metrics.extend(value.into_iter().flat_map(both));
        }
        let model = (stage.kind == StageKind::Source)
            .then(|| vec![Array { name: "weight".into(), shape: vec![1], values: vec![model(&stage.key)] }]);
        Ok(StageOutcome { status: Status::Done, metrics, history, error: None, model })
    }
}
