//! Estimates how aligned a study's two tasks are, on the features of an untrained network. For
//! networks this takes the place of the theory's axis ρ.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use ndarray::Array2;
use rand_distr::StandardNormal;
use tch::{Device, Kind, Tensor};

use super::TorchEngine;
use crate::base::stream::Stream;
use crate::config::network::{ClassImages, HeadRule, Phase};
use crate::data::{task_labels, training_labels, Preparation, Split};
use crate::model::Architecture;
use crate::plan::Stage;
use crate::run::engine::StageOutcome;
use crate::store::Status;
use crate::theory::fit::FitData;
use crate::theory::linalg::product;
use crate::theory::overlap::overlap;
use crate::train::{features, BatchSource, DeviceDataset};

/// Maximal number of images of each class.
const PER_CLASS: usize = 300;
/// More features than this are reduced to this number by a random projection.
const FEATURES: usize = 128;

impl TorchEngine {
    /// Computes `rho` and `cosine` of [`crate::theory::overlap`]. The responses are the one-hot
    /// classes, with the phases' label noise. The features are the inputs of the head of this
    /// seed's untrained network; more than 128 are projected to 128 dimensions at random. Up to 300
    /// images of each class are used, from those that neither task validates on.
    pub(super) fn align(&self, stage: &Stage, device: usize) -> Result<StageOutcome> {
        let settings = &stage.settings;
        let network = Architecture::new(&settings.model, settings.input(), settings.source.labels(settings.source_info()).len());
        let theta = network.layout.initial(&[stage.seed], "source", Kind::Float, self.devices[device]);
        let source = self.features(stage, device, &network, &theta, &settings.source, "source")?;
        let target = self.features(stage, device, &network, &theta, &settings.target, "target")?;
        let found = overlap(&source, &target, settings.transfer.head == HeadRule::Keep).context("the alignment of the tasks")?;
        let metrics = BTreeMap::from([("rho".to_string(), found.rho), ("cosine".into(), found.cosine)]);
        Ok(StageOutcome { status: Status::Done, metrics, history: vec![], error: None, model: None })
    }

    fn features(&self, stage: &Stage, device: usize, network: &Architecture, theta: &Tensor, phase: &Phase, task: &str) -> Result<FitData> {
        let settings = &stage.settings;
        let choice = if task == "source" { settings.source_choice() } else { settings.target_choice() };
        let (info, dataset) = (choice.info(), self.dataset(settings, choice)?);
        // All that the task does not validate on.
        let all = |class: ClassImages| {
            let n = info.classes[class.label].training - class.validation;
            ClassImages { skip: 0, pool: n, train: n, ..class }
        };
        let classes = if task == "source" { settings.source_images() } else { settings.target_images() };
        let classes: Vec<ClassImages> = classes.into_iter().map(all).collect();
        let pool = Split::draw(&dataset.train, &classes, &[], stage.seed, 0).train;
        let other = if task == "source" { &settings.target } else { &settings.source };
        let mut rows: Vec<usize> = vec![];
        for label in phase.labels(info) {
            // A class that both tasks have gives every other image to each task: an image in both
            // would make the tasks look alike.
            let shared = settings.has_one_set() && other.labels(info).contains(&label);
            let own = pool.iter().filter(|&&row| usize::from(dataset.train.labels[row]) == label);
            let ours = own.enumerate().filter(|(i, _)| !shared || (i % 2 == 0) == (task == "source"));
            rows.extend(ours.map(|(_, row)| row).take(PER_CLASS));
        }
        Stream::new(&format!("alignment/{task}"), stage.seed, 0).shuffle(&mut rows);
        let outputs = training_labels(&dataset.train, info, phase, task, &rows, stage.seed);
        let preparation = self.preparation(stage)?;
        let (pool, rows) = match &preparation {
            Preparation::Words(words) => {
                let (pool, mut places) = DeviceDataset::of_words(&dataset.train, &[(words.clone(), rows)], self.devices[device]);
                (pool, places.remove(0))
            }
            Preparation::Pixels(_) => (self.pool(settings, choice, device)?, rows),
        };
        let labels = task_labels(info, phase);
        let rows = Tensor::from_slice(&rows.iter().map(|&row| row as i64).collect::<Vec<_>>()).to_device(self.devices[device]).unsqueeze(0);
        let inputs = BatchSource::new(&[&preparation], &labels, Kind::Float, &pool);
        let buffers = network.fresh_buffers(1, Kind::Float, self.devices[device]);
        let features = features((network, theta, &buffers), &inputs, &pool, &rows).0.get(0).to_device(Device::Cpu).to_kind(Kind::Double);
        let (n, p) = (features.size()[0] as usize, features.size()[1] as usize);
        let values = Vec::<f64>::try_from(features.reshape([-1])).context("features")?;
        let x = Array2::from_shape_vec((n, p), values).context("features")?;
        let classes = phase.labels(info).len();
        let y = Array2::from_shape_fn((n, classes), |(i, c)| f64::from(u8::from(outputs[i] == c as i64)));
        Ok(FitData { x: projected(x, stage.seed), y })
    }
}

/// Projects to `FEATURES` dimensions. Both tasks of a seed get the same projection.
fn projected(x: Array2<f64>, seed: u64) -> Array2<f64> {
    if x.ncols() <= FEATURES {
        return x;
    }
    let mut stream = Stream::new("alignment/projection", seed, 0);
    let scale = 1.0 / (FEATURES as f64).sqrt();
    let onto = Array2::from_shape_simple_fn((x.ncols(), FEATURES), || scale * stream.sample::<f64>(&StandardNormal));
    product(x.view(), onto.view())
}
