//! The keys of results version 2, which hashed the name of the data set but not its content. They
//! are used to read folders that were trained with that version.

use std::sync::Arc;

use serde::Serialize;
use sha2::Sha256;

use super::hash::yaml;
use super::stage_kind::{task_alone, StageKind};
use crate::config::network::{Class, DataChoice, FitOn, HeadRule, Model, PenaltyRules, Phase, Precision, Text, Transfer};
use crate::config::Network;

/// A task's images, which determine the normalisation of the inputs or the vocabulary.
#[derive(Serialize)]
struct Version2Images<'a> {
    classes: &'a [Class],
    per_class: Option<usize>,
    total: Option<usize>,
    validation_per_class: Option<usize>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    apart: bool,
}

impl<'a> Version2Images<'a> {
    fn of(phase: &'a Phase) -> Version2Images<'a> {
        let Phase { classes, per_class, total, validation_per_class, disjoint_from_source: apart, .. } = phase;
        Version2Images { classes, per_class: *per_class, total: *total, validation_per_class: *validation_per_class, apart: *apart }
    }
}

/// What determined a stage's result apart from λ, the seed and the source model. The order of the
/// fields is the order of hashing.
#[derive(Serialize)]
struct Version2Content<'a> {
    version: u32,
    kind: StageKind,
    data: &'a DataChoice,
    model: &'a Model,
    penalty: &'a PenaltyRules,
    precision: Precision,
    normalisation: Version2Images<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    united: Option<Version2Images<'a>>,
    /// For an alignment stage, the target task and the head rule, which says whether both tasks
    /// have the same outputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pair: Option<(Phase, HeadRule)>,
    phase: &'a Phase,
    transfer: Option<&'a Transfer>,
}

/// The version 2 hash of a stage's content. `phase` is the stage's own phase.
pub fn hasher(kind: StageKind, settings: &Arc<Network>, phase: &Phase) -> Sha256 {
    use sha2::Digest;
    let aligns = kind == StageKind::Alignment;
    let no_penalty = PenaltyRules::default();
    let content = Version2Content {
        version: 2,
        kind,
        data: settings.source_choice(),
        model: &settings.model,
        penalty: if aligns { &no_penalty } else { &settings.penalty },
        precision: settings.precision,
        normalisation: Version2Images::of(&settings.source),
        text: settings.source_info().is_text().then_some(&settings.text),
        united: (settings.source_info().is_text() && settings.text.fit == FitOn::Union).then(|| Version2Images::of(&settings.target)),
        pair: aligns.then(|| (task_alone(&settings.target), settings.transfer.head)),
        phase,
        transfer: (kind == StageKind::Target).then_some(&settings.transfer),
    };
    // In version 2, this setting was called `apart`.
    Sha256::new().chain_update(yaml(&content).replace("disjoint_from_source: true", "apart: true"))
}
