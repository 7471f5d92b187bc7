//! The keys of results version 2, which named the data but did not hash it: for reading folders
//! that were trained then.

use std::sync::Arc;

use serde::Serialize;
use sha2::Sha256;

use super::stage::{task_alone, yaml, StageKind};
use crate::config::network::{Class, DataName, FitOn, HeadRule, Model, PenaltyRules, Phase, Precision, Text, Transfer};
use crate::config::Network;

/// A task's images: what the input's normalisation, or the vocabulary, is taken from.
#[derive(Serialize)]
struct Version2Images<'a> {
    classes: &'a [Class],
    per_class: Option<usize>,
    total: Option<usize>,
    validation_per_class: usize,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    apart: bool,
}

impl<'a> Version2Images<'a> {
    fn of(phase: &'a Phase) -> Version2Images<'a> {
        let Phase { classes, per_class, total, validation_per_class, disjoint_from_source: apart, .. } = phase;
        Version2Images { classes, per_class: *per_class, total: *total, validation_per_class: *validation_per_class, apart: *apart }
    }
}

/// What determined a stage's result but for λ, the seed and the source model, in the order that was
/// hashed.
#[derive(Serialize)]
struct Version2Content<'a> {
    version: u32,
    kind: StageKind,
    data: DataName,
    model: &'a Model,
    penalty: &'a PenaltyRules,
    precision: Precision,
    normalisation: Version2Images<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    united: Option<Version2Images<'a>>,
    /// The other task of an alignment, and whether both have the same outputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pair: Option<(Phase, HeadRule)>,
    phase: &'a Phase,
    transfer: Option<&'a Transfer>,
}

/// The hash of version 2 over a stage's content. `phase`: the stage's own.
pub fn hasher(kind: StageKind, settings: &Arc<Network>, phase: &Phase) -> Sha256 {
    use sha2::Digest;
    let aligns = kind == StageKind::Alignment;
    let no_penalty = PenaltyRules::default();
    let content = Version2Content {
        version: 2,
        kind,
        data: settings.data,
        model: &settings.model,
        penalty: if aligns { &no_penalty } else { &settings.penalty },
        precision: settings.precision,
        normalisation: Version2Images::of(&settings.source),
        text: settings.data.is_text().then_some(&settings.text),
        united: (settings.data.is_text() && settings.text.fit == FitOn::Union).then(|| Version2Images::of(&settings.target)),
        pair: aligns.then(|| (task_alone(&settings.target), settings.transfer.head)),
        phase,
        transfer: (kind == StageKind::Target).then_some(&settings.transfer),
    };
    // The key was called so then.
    Sha256::new().chain_update(yaml(&content).replace("disjoint_from_source: true", "apart: true"))
}
