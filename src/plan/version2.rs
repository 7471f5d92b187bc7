//! The keys of results version 2, which named the data but did not hash it: for reading folders
//! that were trained then.

use std::sync::Arc;

use serde::Serialize;
use sha2::Sha256;

use super::stage::{task_alone, yaml, StageKind};
use crate::config::network::{Class, DataName, FitOn, Head, Model, Penalty, Phase, Precision, Text, Transfer};
use crate::config::Network;

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

/// What determined a stage's result but for λ, the seed and the source model, in the order that was
/// hashed.
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

/// The hash of version 2 over a stage's content. `phase`: the stage's own.
pub fn hasher(kind: StageKind, settings: &Arc<Network>, phase: &Phase) -> Sha256 {
    use sha2::Digest;
    let aligns = kind == StageKind::Alignment;
    let no_penalty = Penalty::default();
    let content = Content {
        version: 2,
        kind,
        data: settings.data,
        model: &settings.model,
        penalty: if aligns { &no_penalty } else { &settings.penalty },
        precision: settings.precision,
        normalisation: Images::of(&settings.source),
        text: settings.data.is_text().then_some(&settings.text),
        united: (settings.data.is_text() && settings.text.fit == FitOn::Union).then(|| Images::of(&settings.target)),
        pair: aligns.then(|| (task_alone(&settings.target), settings.transfer.head)),
        phase,
        transfer: (kind == StageKind::Target).then_some(&settings.transfer),
    };
    Sha256::new().chain_update(yaml(&content))
}
