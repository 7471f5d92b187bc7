//! A stage: one training whose result its content key determines.

use std::fmt::Write;
use std::sync::Arc;

use serde::Serialize;
use serde_yaml::Value;
use sha2::{Digest, Sha256};

use crate::config::network::{Class, DataName, FitOn, Head, Model, Penalty, Phase, Precision, Text, Transfer};
use crate::config::{show, Network};

/// Raised whenever the same settings start to give other numbers, so that older results are not taken for new ones.
const RESULTS_VERSION: u32 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StageKind {
    /// Trains on the source task with penalty λ₀.
    Source,
    /// Trains on the target task from a source model, with penalty λ₁.
    Target,
    /// Trains on the target task from a fresh initialisation.
    Scratch,
    /// Estimates how aligned the two tasks are, on the features of an untrained network.
    Alignment,
}

impl StageKind {
    pub fn as_str(self) -> &'static str {
        match self {
            StageKind::Source => "source",
            StageKind::Target => "target",
            StageKind::Scratch => "scratch",
            StageKind::Alignment => "alignment",
        }
    }

    /// Whether a setting shapes a stage of this kind (and so belongs to its name and its row of results).
    fn concerns(self, settings: &Network, path: &str) -> bool {
        let starts = |names: &[&str]| names.iter().any(|name| path == *name || path.starts_with(&format!("{name}.")));
        let images = |task: &str| {
            ["classes", "per_class", "total", "validation_per_class", "apart"].iter().any(|key| path == format!("{task}.{key}"))
        };
        let network = starts(&["data", "text", "model", "penalty", "precision"]);
        // The words of both tasks may make the features of each.
        let united = settings.data.is_text() && settings.text.fit == FitOn::Union && images("target");
        match self {
            StageKind::Source => network || united || starts(&["lambda0", "source"]),
            StageKind::Target => !starts(&["scratch"]),
            // The source's images too: they give the input's normalisation.
            StageKind::Scratch => network || images("source") || starts(&["target", "scratch.lr", "scratch.epochs"]),
            // The source's images for the input's normalisation.
            StageKind::Alignment => {
                let tasks =
                    starts(&["target.classes", "target.validation_per_class", "source.label_noise", "target.label_noise", "transfer.head"]);
                network || united || images("source") || tasks
            }
        }
    }
}

/// A unit of training.
#[derive(Debug, Clone)]
pub struct Stage {
    pub kind: StageKind,
    /// Hash of everything that determines the result.
    pub key: String,
    /// Hash of everything that stages of one pack must share: all but λ and the seed.
    pub shape: Arc<str>,
    pub seed: u64,
    pub settings: Arc<Network>,
    /// λ₀ of a source stage, λ₁ of a target stage, the twin's own λ of a scratch stage.
    pub lambda: f64,
    /// The source stage that a target stage starts from, as an index into the plan's stages.
    pub source: Option<usize>,
    /// The values of the study's axes that shape this stage; a scratch stage's λ stands under `lambda1`.
    pub axes: Arc<[(String, Value)]>,
}

/// A task's images: what the input's normalisation, or the vocabulary, is taken from.
#[derive(Serialize)]
struct Images<'a> {
    classes: &'a [Class],
    per_class: Option<usize>,
    total: Option<usize>,
    validation_per_class: usize,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    apart: bool,
}

impl<'a> Images<'a> {
    fn of(phase: &'a Phase) -> Images<'a> {
        let Phase { classes, per_class, total, validation_per_class, apart, .. } = phase;
        Images { classes, per_class: *per_class, total: *total, validation_per_class: *validation_per_class, apart: *apart }
    }
}

/// What determines a stage's result but for λ, the seed and the source model, in the order that is hashed.
#[derive(Serialize)]
struct Content<'a> {
    version: u32,
    kind: StageKind,
    data: DataName,
    model: &'a Model,
    penalty: &'a Penalty,
    precision: Precision,
    normalisation: Images<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    united: Option<Images<'a>>,
    /// The other task of an alignment, and whether both have the same outputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pair: Option<(Phase, Head)>,
    phase: &'a Phase,
    transfer: Option<&'a Transfer>,
}

/// The rest; its lines follow those of the content.
#[derive(Serialize)]
struct Own<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    own: (f64, u64),
}

/// Stages of one kind in one combination of the axes: they differ in the seed alone. A study may have a million stages, and their settings are
/// written out and hashed once for each combination.
#[derive(Debug)]
pub struct Pattern {
    stage: Stage,
    /// Over the content.
    hasher: Sha256,
}

impl Pattern {
    pub fn new(kind: StageKind, settings: &Arc<Network>, lambda: f64, axes: &[(String, Value)]) -> Pattern {
        let own = (kind == StageKind::Scratch).then(|| ("lambda1".to_string(), Value::from(lambda)));
        let axes = axes.iter().filter(|(path, _)| kind.concerns(settings, path)).cloned().chain(own).collect();
        let mut stage =
            Stage { kind, key: String::new(), shape: "".into(), seed: 0, settings: settings.clone(), lambda, source: None, axes };
        let phase = stage.phase();
        let aligns = kind == StageKind::Alignment;
        let no_penalty = Penalty::default();
        let content = Content {
            version: RESULTS_VERSION,
            kind,
            data: settings.data,
            model: &settings.model,
            penalty: if aligns { &no_penalty } else { &settings.penalty },
            precision: settings.precision,
            normalisation: Images::of(&settings.source),
            text: settings.data.is_text().then_some(&settings.text),
            united: (settings.data.is_text() && settings.text.fit == FitOn::Union).then(|| Images::of(&settings.target)),
            pair: aligns.then(|| (task_alone(&settings.target), settings.transfer.head)),
            phase: &phase,
            transfer: (kind == StageKind::Target).then_some(&settings.transfer),
        };
        let hasher = Sha256::new().chain_update(yaml(&content));
        stage.shape = short(hasher.clone()).into();
        Pattern { stage, hasher }
    }

    /// One of the stages. `source` is the index and key of the source stage that a target stage starts from.
    pub fn stage(&self, seed: u64, source: Option<(usize, &str)>) -> Stage {
        let own = Own { source: source.map(|(_, key)| key), own: (self.stage.lambda, seed) };
        let key = short(self.hasher.clone().chain_update(yaml(&own)));
        Stage { key, seed, source: source.map(|(index, _)| index), ..self.stage.clone() }
    }
}

impl Stage {
    /// The task and training of this stage; the twin's own learning rate and epochs filled in.
    pub fn phase(&self) -> Phase {
        match self.kind {
            StageKind::Source => self.settings.source.clone(),
            StageKind::Target => self.settings.target.clone(),
            StageKind::Scratch => {
                let mut phase = self.settings.target.clone();
                phase.lr = self.settings.scratch.lr.unwrap_or(phase.lr);
                phase.epochs = self.settings.scratch.epochs.unwrap_or(phase.epochs);
                phase.schedule.warmup = phase.schedule.warmup.min(phase.epochs as f64);
                phase
            }
            StageKind::Alignment => task_alone(&self.settings.source),
        }
    }

    /// Names what its inputs are prepared by (normalisation, or vocabulary): equal for stages that share it.
    pub fn preparation(&self) -> String {
        let (settings, text) = (&self.settings, self.settings.data.is_text().then_some(&self.settings.text));
        let united = text.filter(|text| text.fit == FitOn::Union).map(|_| Images::of(&settings.target));
        hash(&(settings.data, Images::of(&settings.source), text, united, self.seed))
    }

    /// A folder name for people: `lambda0=0.001,lambda1=0.01,seed=3`.
    pub fn label(&self) -> String {
        format!("{},seed={}", self.cell_label(), self.seed).trim_start_matches(',').to_string()
    }

    /// The label without the seed; empty in a study without axes.
    pub fn cell_label(&self) -> String {
        let parts: Vec<String> = self.axes.iter().map(|(path, value)| format!("{path}={}", show(value))).collect();
        let plain: String =
            parts.join(",").chars().map(|c| if c.is_ascii_alphanumeric() || ".,=-_+".contains(c) { c } else { '_' }).collect();
        match plain.len() {
            0..=150 => plain,
            _ => format!("{}_{}", &plain[..120], &hash(&parts)[..12]), // file systems end at 255 bytes
        }
    }
}

/// A task without how, and on how much of it, one trains.
fn task_alone(phase: &Phase) -> Phase {
    let Phase { validation_per_class, label_noise, .. } = *phase;
    Phase { validation_per_class, label_noise, ..Phase::new(phase.classes.clone(), 1, 1.0) }
}

/// 80 bits of SHA-256 over the YAML of a value.
pub fn hash(content: &impl Serialize) -> String {
    short(Sha256::new().chain_update(yaml(content)))
}

/// YAML, since λ₁ may be infinite and JSON has no word for that.
fn yaml(content: &impl Serialize) -> String {
    // Serialising plain structs into memory cannot fail; an empty text would only make equal keys, which the tests would see.
    serde_yaml::to_string(content).unwrap_or_default()
}

fn short(hasher: Sha256) -> String {
    let mut text = String::with_capacity(20);
    hasher.finalize()[..10].iter().for_each(|byte| _ = write!(text, "{byte:02x}")); // into a String: cannot fail
    text
}
