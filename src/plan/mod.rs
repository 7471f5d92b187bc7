//! Turns a study into a plan. The axes define cells, and each cell has stages. Equal stages are
//! merged, and stages of one shape form packs. There is no I/O, and the same study always gives the
//! same plan.

mod blocks;
mod cases;
mod cost;
mod hash;
mod label;
mod pretrained;
mod shards;
mod stage;
mod stage_kind;
mod tensors;
mod version2;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_yaml::Value;

use crate::config::network::{DataChoice, ModelKind, Stem};
use crate::config::{Study, StudyError, StudyKind};

pub use blocks::{blocks, Block, Convolution, Linear, Patches, TransformerLayer};
pub use cases::{cases, Case};
pub use cost::{forward_flops, parameters, Cost, CostEstimate, StepCost, CPU_FLOPS_PER_CORE};
pub use hash::hash;
pub use pretrained::Pretrained;
pub use shards::{Shard, StageSelection};
use stage::{CombinationSettings, StageTemplate};
pub use stage::{KeyVersion, Stage};
pub use stage_kind::StageKind;
pub use tensors::{tensors, ModelTensor, Role, TensorKind};

/// One combination of axis values and a seed. Its stages are indices into [`Plan::stages`].
#[derive(Debug, Clone)]
pub struct Cell {
    /// (key path, value) for every axis of the study.
    pub axes: Arc<[(String, Value)]>,
    pub seed: u64,
    pub source: usize,
    /// One stage for each draw of the target's training images.
    pub targets: Vec<usize>,
    /// For each of `scratch.lambdas` one stage for each draw.
    pub scratch: Vec<Vec<usize>>,
    /// Only if the study asks for it.
    pub alignment: Option<usize>,
}

/// All cells and stages of a study.
#[derive(Debug, Clone)]
pub struct Plan {
    pub cells: Vec<Cell>,
    /// Every stage once. A stage's source comes before the stage.
    pub stages: Vec<Stage>,
}

impl Plan {
    /// Makes the plan of a study with the current key version.
    ///
    /// # Errors
    /// The study is a ridge study, which has cases instead of cells.
    pub fn new(study: &Study) -> Result<Plan, StudyError> {
        Plan::with_keys(study, KeyVersion::default())
    }

    /// The same, with stage keys of a given version.
    pub fn with_keys(study: &Study, version: KeyVersion) -> Result<Plan, StudyError> {
        if study.kind == StudyKind::Ridge {
            return Err(StudyError::new(&study.name, "kind", "this is a ridge study, not one of networks")
                .hint("run it with `transfergrid theory run`; its results are in the folder's report/index.html"));
        }
        let mut stages = Unique::default();
        let mut cells = vec![];
        for point in study.points()? {
            let (settings, axes) = (CombinationSettings::new(point.network), point.axes);
            let network = &settings.network;
            if network.source.epochs == 0 && study.numbers("lambda0").len() > 1 {
                return Err(study
                    .error_at("lambda0", "with `source.epochs: 0` nothing is trained, and every λ₀ gives the same source")
                    .hint("give one λ₀; the question is then about λ₁ and the gain"));
            }
            if study.alignment && network.model.module().is_some() {
                return Err(study
                    .error_at("alignment", "is measured on the features of a network, and a TorchScript module has none to show")
                    .hint("leave it out"));
            }
            if let Some(file) = &network.source.init {
                Pretrained::of(network, file).map_err(|what| {
                    let hint = match network.model.kind {
                        ModelKind::Resnet18 if network.model.stem == Stem::Small => {
                            "torchvision's ResNet-18 is `model: {kind: resnet18, stem: imagenet, norm: batch}`"
                        }
                        _ => "a network of the same names and sizes is needed; docs/networks.md",
                    };
                    study.error_at("source.init", what).hint(hint)
                })?;
            }
            let template = |kind, lambda| StageTemplate::new(version, kind, &settings, lambda, &axes);
            let of_source = template(StageKind::Source, network.lambda0);
            let of_target = template(StageKind::Target, network.lambda1);
            let of_twins: Vec<StageTemplate> = network.scratch.lambdas.iter().map(|&lambda| template(StageKind::Scratch, lambda)).collect();
            let of_alignment = study.alignment.then(|| template(StageKind::Alignment, 0.0));
            let axes: Arc<[(String, Value)]> = axes.clone().into();
            for &seed in &point.seeds {
                let source = stages.add(of_source.stage(seed, 0, None));
                let key = stages.all[source].key.clone();
                let draws = 0..point.draws;
                let targets = draws.clone().map(|draw| stages.add(of_target.stage(seed, draw, Some((source, &key))))).collect();
                let twins = |twin: &StageTemplate| draws.clone().map(|draw| stages.add(twin.stage(seed, draw, None))).collect();
                let scratch = of_twins.iter().map(twins).collect();
                let alignment = of_alignment.as_ref().map(|template| stages.add(template.stage(seed, 0, None)));
                cells.push(Cell { axes: axes.clone(), seed, source, targets, scratch, alignment });
            }
        }
        Ok(Plan { cells, stages: stages.all })
    }

    /// The data sets that the stages use.
    pub fn data(&self) -> BTreeSet<&DataChoice> {
        self.stages.iter().flat_map(|stage| [stage.settings.source_choice(), stage.settings.target_choice()]).collect()
    }

    /// Whether its tasks predict a number. Both do, or none, and no axis changes that.
    pub fn is_regression(&self) -> bool {
        self.stages.first().is_some_and(|stage| stage.data().is_regression)
    }

    /// The number of stages of a kind.
    pub fn count(&self, kind: StageKind) -> usize {
        self.stages.iter().filter(|stage| stage.kind == kind).count()
    }

    /// Splits stages into packs of at most `size` stages. The stages of a pack have the same shape,
    /// so they can be trained in one graph. The order is that of the plan.
    pub fn packs(&self, stages: &[usize], size: usize) -> Vec<Vec<usize>> {
        let mut open: HashMap<&str, usize> = HashMap::new();
        let mut packs: Vec<Vec<usize>> = vec![];
        for &index in stages {
            let shape: &str = &self.stages[index].shape;
            match open.get(shape).filter(|&&pack| packs[pack].len() < size) {
                Some(&pack) => packs[pack].push(index),
                None => {
                    open.insert(shape, packs.len());
                    packs.push(vec![index]);
                }
            }
        }
        packs
    }
}

/// Distinct stages by content key, in the order of their first appearance.
#[derive(Default)]
struct Unique {
    all: Vec<Stage>,
    by_key: HashMap<String, usize>,
}

impl Unique {
    fn add(&mut self, stage: Stage) -> usize {
        *self.by_key.entry(stage.key.clone()).or_insert_with(|| {
            self.all.push(stage);
            self.all.len() - 1
        })
    }
}
