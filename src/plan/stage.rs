//! A stage: one training whose content key determines its result.

use std::sync::Arc;

use serde::Serialize;
use serde_yaml::Value;
use sha2::{Digest, Sha256};

use super::hash::{hash, short, yaml};
use super::label::label;
use super::stage_kind::{task_alone, StageKind};
use super::version2;
use crate::base::stream::Stream;
use crate::config::network::{ClassImages, DataChoice, DatasetInfo, FitOn, Phase};
use crate::config::Network;

/// The version of the stage keys. It is raised when the same settings give different numbers, so
/// that older results are not used as new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyVersion {
    /// Hashes the name of the data set. These keys are read but never written.
    Two,
    /// Hashes the digest of the data set's content.
    #[default]
    Three,
}

/// A unit of training.
#[derive(Debug, Clone)]
pub struct Stage {
    pub kind: StageKind,
    /// Hash of everything that determines the result.
    pub key: String,
    /// What the stages of one pack must share: a hash of all but λ, the seed and the source model,
    /// and where examples have groups the seed.
    pub shape: Arc<str>,
    pub seed: u64,
    /// The number of the draw of a target's training images, from 0; 0 for other stages.
    pub draw: usize,
    pub settings: Arc<Network>,
    /// λ₀ of a source stage, λ₁ of a target stage, or the from-scratch λ of a scratch stage.
    pub lambda: f64,
    /// The source stage of a target stage, as an index into the plan's stages.
    pub source: Option<usize>,
    /// The values of the study's axes that affect this stage. For a scratch stage, `lambda1` holds
    /// its own λ.
    pub axes: Arc<[(String, Value)]>,
}

const DISJOINT: &str = "target.disjoint_from_source";
const DISJOINT_IN_KEYS: &str = "target.apart";

/// The settings of one combination of the axes, with their leaves. All stages of the combination
/// share them.
#[derive(Debug, Clone)]
pub struct CombinationSettings {
    pub network: Arc<Network>,
    /// (key path, value) of every setting. Settings at their defaults may be missing.
    leaves: Vec<(String, Value)>,
}

impl CombinationSettings {
    pub fn new(network: Network) -> CombinationSettings {
        let mut leaves = vec![];
        // Serialising plain structs into memory cannot fail. Without leaves all keys would be
        // equal, which the tests would detect.
        flatten(String::new(), serde_yaml::to_value(&network).unwrap_or_default(), &mut leaves);
        // Classes are stored as their labels, even if the study gives names.
        let (source, target) = (network.source_info(), network.target_info());
        for (path, phase, data) in [("source.classes", &network.source, source), ("target.classes", &network.target, target)] {
            let labels: Vec<Value> = phase.labels(data).into_iter().map(Value::from).collect();
            leaves.iter_mut().filter(|(leaf, _)| leaf == path).for_each(|(_, value)| *value = Value::Sequence(labels.clone()));
        }
        // Data count by their content, whatever place they were read from: the digest of the
        // source's set is part of every key, and that of another target's set is added here.
        let is_data =
            |path: &str| ["data", "source.data", "target.data"].iter().any(|of| path == *of || path.starts_with(&format!("{of}.")));
        leaves.retain(|(leaf, _)| !is_data(leaf));
        leaves.insert(0, ("data".into(), Value::from(source.name.as_str())));
        if !network.has_one_set() {
            leaves.push(("target.data".into(), Value::from(format!("{} {}", target.name, target.digest))));
        }
        // Files of weights count by their content too.
        for (path, file) in [("source.init", &network.source.init), ("model.file", &network.model.file)] {
            let Some(file) = file else { continue };
            let digest = Value::from(file.info().digest.as_str());
            leaves.iter_mut().filter(|(leaf, _)| leaf == path).for_each(|(_, value)| *value = digest.clone());
        }
        // Stage keys use the name that this setting had in the first release.
        leaves.iter_mut().filter(|(leaf, _)| leaf == DISJOINT).for_each(|(leaf, _)| *leaf = DISJOINT_IN_KEYS.into());
        CombinationSettings { network: Arc::new(network), leaves }
    }
}

/// Collects the leaves of a tree of settings. A list is a leaf.
fn flatten(path: String, value: Value, leaves: &mut Vec<(String, Value)>) {
    match value {
        Value::Mapping(map) => {
            for (key, value) in map {
                let key = key.as_str().unwrap_or_default();
                flatten(if path.is_empty() { key.into() } else { format!("{path}.{key}") }, value, leaves);
            }
        }
        leaf => leaves.push((path, leaf)),
    }
}

/// What determines a stage's result apart from λ, the seed and the source model. The order of the
/// fields is the order of hashing.
#[derive(Serialize)]
struct KeyContent<'a> {
    version: u32,
    kind: StageKind,
    /// Digest of the data set's content.
    digest: &'a str,
    settings: Vec<(&'a str, &'a Value)>,
}

/// The rest of what determines the result. Its lines are hashed after those of the content.
#[derive(Serialize)]
struct KeyTail<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    own: (f64, u64),
    /// Not hashed for the first draw: a study without further draws has the keys that it had before
    /// there were any.
    #[serde(skip_serializing_if = "is_first")]
    draw: usize,
}

fn is_first(draw: &usize) -> bool {
    *draw == 0
}

/// The stages of one kind in one combination of the axes. They have the same λ and differ only in
/// the seed. A study may have a million stages, so the settings are serialised and hashed only once
/// for each combination.
#[derive(Debug)]
pub struct StageTemplate {
    stage: Stage,
    /// The state after hashing the content.
    hasher: Sha256,
}

impl StageTemplate {
    pub fn new(
        version: KeyVersion,
        kind: StageKind,
        settings: &CombinationSettings,
        lambda: f64,
        axes: &[(String, Value)],
    ) -> StageTemplate {
        let network = &settings.network;
        let own = (kind == StageKind::Scratch).then(|| ("lambda1".to_string(), Value::from(lambda)));
        let axes = axes.iter().filter(|(path, _)| kind.depends_on(network, path)).cloned().chain(own).collect();
        let mut stage =
            Stage { kind, key: String::new(), shape: "".into(), seed: 0, draw: 0, settings: network.clone(), lambda, source: None, axes };
        let hasher = match version {
            KeyVersion::Two => version2::hasher(kind, network, &stage.phase()),
            KeyVersion::Three => {
                let hashed = settings.leaves.iter().filter(|(path, _)| kind.hashes(network, path));
                let mut settings: Vec<(&str, &Value)> = hashed.map(|(path, value)| (path.as_str(), value)).collect();
                // Masks were drawn in another way at first: results with dropout are others now.
                let masks = Value::from("counter-based");
                if kind != StageKind::Alignment && stage.phase().dropout > 0.0 {
                    settings.push(("dropout masks", &masks));
                }
                // All validation images chose the epoch at first.
                let watched = Value::from("a part of the validation images");
                let is_part = |class: &ClassImages| class.monitor < class.validation;
                if kind != StageKind::Alignment && stage.phase().patience.is_some() && stage.images().iter().any(is_part) {
                    settings.push(("the epoch is chosen on", &watched));
                }
                Sha256::new().chain_update(yaml(&KeyContent { version: 3, kind, digest: &network.source_info().digest, settings }))
            }
        };
        // The stages of a pack watch equally many images.
        let watched: Vec<usize> = stage.images().iter().map(|class| class.monitor).collect();
        stage.shape = match stage.data().is_grouped {
            false => short(hasher.clone().chain_update(yaml(&watched))),
            true => short(hasher.clone().chain_update(yaml(&(watched, stage.images_of_source())))),
        }
        .into();
        StageTemplate { stage, hasher }
    }

    /// The stage of one seed and draw. `source` is the index and key of the source stage that a
    /// target stage starts from.
    pub fn stage(&self, seed: u64, draw: usize, source: Option<(usize, &str)>) -> Stage {
        let own = KeyTail { source: source.map(|(_, key)| key), own: (self.stage.lambda, seed), draw };
        let key = short(self.hasher.clone().chain_update(yaml(&own)));
        // With groups, the number of validation examples depends on the seed.
        let shape = match self.stage.data().is_grouped {
            false => self.stage.shape.clone(),
            true => format!("{} seed {seed}", self.stage.shape).into(),
        };
        Stage { key, shape, seed, draw, source: source.map(|(index, _)| index), ..self.stage.clone() }
    }
}

impl Stage {
    /// The task and training settings of this stage. A scratch stage's own learning rate and epochs
    /// are filled in.
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

    /// The data of the stage's task. An alignment stage uses both tasks'; this is the source's.
    pub fn choice(&self) -> &DataChoice {
        match self.kind {
            StageKind::Source | StageKind::Alignment => self.settings.source_choice(),
            StageKind::Target | StageKind::Scratch => self.settings.target_choice(),
        }
    }

    /// What is known about the data of the stage's task.
    pub fn data(&self) -> &'static DatasetInfo {
        self.choice().info()
    }

    /// How the stage's task uses the images of its classes.
    pub fn images(&self) -> Vec<ClassImages> {
        match self.kind {
            StageKind::Source | StageKind::Alignment => self.settings.source_images(),
            StageKind::Target | StageKind::Scratch => self.settings.target_images(),
        }
    }

    /// How the source uses the images of its classes, for a stage of the target whose images are
    /// from the same set; else none.
    pub fn images_of_source(&self) -> Vec<ClassImages> {
        match self.kind {
            StageKind::Target | StageKind::Scratch if self.settings.has_one_set() => self.settings.source_images(),
            _ => vec![],
        }
    }

    /// Names the random streams of the stage's training: the seed itself in the first draw. Other
    /// draws of a seed have a head and a data order of their own.
    pub fn stream_seed(&self) -> u64 {
        match self.draw {
            0 => self.seed,
            draw => Stream::new("draw", self.seed, draw as u64).below(u64::MAX),
        }
    }

    /// Hash of everything that determines the preparation of the inputs (normalisation or
    /// vocabulary). Stages with the same hash share the preparation.
    pub fn preparation(&self) -> String {
        let (settings, text) = (&self.settings, self.settings.source_info().is_text().then_some(&self.settings.text));
        let united = text.filter(|text| text.fit == FitOn::Union).map(|_| settings.target_images());
        hash(&(settings.source_choice(), settings.input(), &settings.input, settings.source_images(), text, united, self.seed))
    }

    /// A readable folder name: `lambda0=0.001,lambda1=0.01,seed=3`, with `,draw=1` for the second
    /// draw.
    pub fn label(&self) -> String {
        let draw = if self.draw > 0 { format!(",draw={}", self.draw) } else { String::new() };
        format!("{},seed={}{draw}", self.cell_label(), self.seed).trim_start_matches(',').to_string()
    }

    /// The label without the seed. It is empty in a study without axes.
    pub fn cell_label(&self) -> String {
        label(&self.axes)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::{setting_paths, Overrides, Study};

    fn network(text: &str) -> Network {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("study.yaml");
        std::fs::write(&path, text).unwrap();
        Study::load(&path, &Overrides::default()).unwrap().cell(&[]).unwrap()
    }

    const DIGITS: &str = "\
name: keys
data: digits
lambda0: 0.1
lambda1: 0.1
source: {classes: [0, 1, 2], per_class: 20, validation_per_class: 10, epochs: 4, lr: 0.1}
target: {classes: [5, 6, 7], per_class: 5, validation_per_class: 10, epochs: 3, lr: 0.1}
";

    /// Other values for a leaf. They may be values that the study check would refuse, because keys
    /// are made from any value.
    fn another(path: &str, value: Option<&Value>) -> Vec<Value> {
        let words = |words: &[&str]| words.iter().map(|word| Value::from(*word)).collect();
        match path.rsplit('.').next().unwrap() {
            "data" => words(&["mnist"]),
            "fit" => words(&["union", "source"]),
            "precision" => words(&["bf16"]),
            "step" => words(&["proximal"]),
            "optimiser" => words(&["adamw"]),
            "saturation" | "brightness" | "contrast" | "mixup" => vec![Value::from(0.5)],
            "cutout" => vec![Value::from(3)],
            "patch" | "width" | "depth" | "heads" => vec![Value::from(2)],
            "file" => words(&["net.pt"]),
            "start" => words(&["file"]),
            "init" => words(&["weights.safetensors"]),
            "source_center" => words(&["init"]),
            "stem" => words(&["imagenet"]),
            "mean" | "sd" => vec![serde_yaml::from_str("[0.5]").unwrap()],
            "betas" => vec![serde_yaml::from_str("[0.5, 0.75]").unwrap()],
            "method" => words(&["probe"]),
            "head" => words(&["keep"]),
            "batchnorm" => words(&["frozen"]),
            "norm" if path == "model.norm" => words(&["batch"]),
            "kind" if path == "model.kind" => words(&["bag"]),
            "kind" => words(&["constant"]),
            "classes" => vec![serde_yaml::from_str("[3, 4]").unwrap()],
            "channels" | "hidden" if path.starts_with("model.") => vec![serde_yaml::from_str("[7, 9]").unwrap()],
            "lambdas" => vec![serde_yaml::from_str("[0.5]").unwrap()],
            _ => match value {
                Some(Value::Bool(b)) => vec![Value::from(!b)],
                Some(Value::Number(n)) if n.is_f64() => vec![Value::from(n.as_f64().unwrap() * 0.5 + 0.25)],
                Some(Value::Number(n)) => vec![Value::from(n.as_u64().unwrap() + 1)],
                // Missing because it is at its default, or null.
                _ => vec![Value::from(1), Value::from(0.125), Value::from(true)],
            },
        }
    }

    fn with(network: &Network, path: &str, value: Value) -> Option<Network> {
        let mut tree = serde_yaml::to_value(network).unwrap();
        crate::config::Path::parse(path).set(&mut tree, value);
        serde_yaml::from_value(tree).ok()
    }

    /// The keys of a stage of each kind.
    fn keys(network: &Network) -> BTreeMap<StageKind, String> {
        let settings = CombinationSettings::new(network.clone());
        let of = |kind, lambda, source: Option<&str>| {
            let stage = StageTemplate::new(KeyVersion::Three, kind, &settings, lambda, &[]).stage(7, 0, source.map(|key| (0, key)));
            (kind, stage.key)
        };
        let source = of(StageKind::Source, network.lambda0, None);
        let target = of(StageKind::Target, network.lambda1, Some(&source.1));
        BTreeMap::from([target, of(StageKind::Scratch, 0.0, None), of(StageKind::Alignment, 0.0, None), source])
    }

    #[test]
    fn every_setting_is_in_the_label_exactly_where_it_is_in_the_key() {
        let text = DIGITS.replace("digits", "newsgroups").replace("lambda1: 0.1", "lambda1: 0.1\nmodel: {kind: bag}");
        let bases = [
            DIGITS.to_string(),
            format!("{DIGITS}scratch: {{lr: 0.3, epochs: 2}}\npenalty: {{biases: false}}\n"),
            text.clone(),
            format!("{text}text: {{fit: union}}\n"),
        ];
        let mut changed = BTreeMap::new();
        for base in bases.iter().map(|text| network(text)) {
            let tree = serde_yaml::to_value(&base).unwrap();
            let before = keys(&base);
            for path in setting_paths() {
                let value = crate::config::Path::parse(&path).get(&tree);
                let others = another(&path, value).into_iter().filter_map(|other| with(&base, &path, other));
                for other in others.filter(|other| *other != base) {
                    let after = keys(&other);
                    for kind in StageKind::ALL {
                        // A setting may turn another one on or off. It then counts as labelled if
                        // it is in the label either before or after the change.
                        let labelled = kind.depends_on(&base, &path) || kind.depends_on(&other, &path);
                        assert_eq!(before[&kind] != after[&kind], labelled, "{path} and the {} stage", kind.as_str());
                    }
                    *changed.entry(path.clone()).or_insert(0) += 1;
                }
            }
        }
        let untried: Vec<String> = setting_paths().into_iter().filter(|path| !changed.contains_key(path)).collect();
        assert!(untried.is_empty(), "settings without another value to try: {untried:?}");
    }

    #[test]
    fn classes_count_by_their_labels() {
        let named = network(&DIGITS.replace("[0, 1, 2]", "['0', '1', 2]"));
        assert_eq!(keys(&network(DIGITS)), keys(&named));
    }

    #[test]
    fn a_setting_that_has_no_part_in_a_stage_is_in_neither() {
        let plain = network(DIGITS);
        let own = network(&format!("{DIGITS}scratch: {{lr: 0.3}}\n"));
        assert!(StageKind::Scratch.depends_on(&plain, "target.lr") && !StageKind::Scratch.depends_on(&own, "target.lr"));
        assert!(!StageKind::Alignment.depends_on(&plain, "penalty.biases"));
        let changed = with(&plain, "penalty.biases", Value::from(false)).unwrap();
        assert_eq!(keys(&plain)[&StageKind::Alignment], keys(&changed)[&StageKind::Alignment]);
    }

    #[test]
    fn the_content_of_the_data_is_part_of_every_key() {
        let content = yaml(&KeyContent { version: 3, kind: StageKind::Source, digest: "abc", settings: vec![] });
        assert!(content.contains("digest: abc"), "{content}");
        let (settings, base) = (CombinationSettings::new(network(DIGITS)), network(DIGITS));
        for kind in StageKind::ALL {
            let leaves: Vec<&str> =
                settings.leaves.iter().filter(|(path, _)| kind.hashes(&base, path)).map(|(path, _)| path.as_str()).collect();
            assert!(leaves.contains(&"data") && !leaves.contains(&"lambda0") && !leaves.contains(&"lambda1"), "{leaves:?}");
        }
    }
}
