//! The kinds of stages, and which settings determine the result of each.

use serde::Serialize;

use crate::config::network::{FitOn, Phase};
use crate::config::Network;

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
    pub const ALL: [StageKind; 4] = [StageKind::Source, StageKind::Target, StageKind::Scratch, StageKind::Alignment];

    pub fn as_str(self) -> &'static str {
        match self {
            StageKind::Source => "source",
            StageKind::Target => "target",
            StageKind::Scratch => "scratch",
            StageKind::Alignment => "alignment",
        }
    }

    /// Whether the key of a stage of this kind hashes a setting. The stage's own λ is handled
    /// separately.
    ///
    /// This is the only table of what determines a result. Keys are made from it, and labels and
    /// result rows follow it through [`StageKind::depends_on`].
    pub(super) fn hashes(self, settings: &Network, path: &str) -> bool {
        let starts = |names: &[&str]| names.iter().any(|name| path == *name || path.starts_with(&format!("{name}.")));
        let images = |task: &str| {
            ["classes", "per_class", "total", "validation_per_class", "disjoint_from_source", "apart"]
                .iter()
                .any(|key| path == format!("{task}.{key}"))
        };
        if path == "target.draws" {
            return false; // a draw's number is part of its own key
        }
        // Its content counts, not its place; `data` is the name of the source's set.
        if starts(&["target.data"]) {
            return self != StageKind::Source;
        }
        let text = settings.source_info().is_text();
        // With `text.fit: union`, the words of both tasks determine the features.
        let united = text && settings.text.fit == FitOn::Union && images("target");
        // The validation images of a class that both tasks have are what both leave.
        let given = [&settings.source, &settings.target].map(|phase| phase.validation_per_class.is_some());
        let together = given != [true, true] && shares_a_class(settings) && images("target");
        // The normalisation of the inputs comes from the source images.
        let input = starts(&["data", "source.data", "input", "model", "precision"])
            || (text && starts(&["text"]))
            || images("source")
            || united
            || together;
        // Images that are watched in every epoch choose the epoch, with `patience`.
        let is_trained_on = |task: &str, phase: &Phase| phase.patience.is_some() || path != format!("{task}.monitor_per_class");
        if path == "penalty.source_center" {
            return self == StageKind::Source;
        }
        match self {
            StageKind::Source => input || (starts(&["penalty", "source"]) && is_trained_on("source", &settings.source)),
            StageKind::Target => input || (starts(&["penalty", "target", "transfer"]) && is_trained_on("target", &settings.target)),
            StageKind::Scratch => match path {
                "target.lr" => settings.scratch.lr.is_none(),
                "target.epochs" => settings.scratch.epochs.is_none(),
                _ => {
                    let own = starts(&["penalty", "target", "scratch.lr", "scratch.epochs"]);
                    input || (own && is_trained_on("target", &settings.target))
                }
            },
            StageKind::Alignment => {
                let target = ["target.classes", "target.validation_per_class", "target.label_noise"];
                let rest = settings.target.validation_per_class.is_none() && images("target");
                input || rest || target.contains(&path) || ["source.label_noise", "transfer.head"].contains(&path)
            }
        }
    }

    /// Whether a setting affects a stage of this kind, through the stage's own key or through the
    /// key of its source stage.
    pub fn depends_on(self, settings: &Network, path: &str) -> bool {
        match self {
            StageKind::Source => path == "lambda0" || self.hashes(settings, path),
            StageKind::Target => path == "lambda1" || self.hashes(settings, path) || StageKind::Source.depends_on(settings, path),
            StageKind::Scratch | StageKind::Alignment => self.hashes(settings, path),
        }
    }
}

/// A task, without its training settings and numbers of training images.
pub(super) fn task_alone(phase: &Phase) -> Phase {
    let Phase { validation_per_class, label_noise, .. } = *phase;
    Phase { validation_per_class, label_noise, ..Phase::new(phase.classes.clone(), 1, 1.0) }
}

fn shares_a_class(settings: &Network) -> bool {
    if !settings.has_one_set() {
        return false;
    }
    let (source, target) = (settings.source.labels(settings.source_info()), settings.target.labels(settings.target_info()));
    source.iter().any(|label| target.contains(label))
}
