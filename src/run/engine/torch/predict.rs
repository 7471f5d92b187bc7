//! The outputs of trained models.

use anyhow::{ensure, Context, Result};
use tch::Kind;

use super::prepared::place_of;
use super::{to_tensor, TorchEngine};
use crate::config::network::Precision;
use crate::data::{task_labels, test_rows, Dataset, Examples, Preparation};
use crate::plan::Stage;
use crate::run::engine::Predictions;
use crate::store::Array;
use crate::train::{assemble, outputs, BatchSource, DeviceDataset, Trained};

impl TorchEngine {
    /// For [`crate::run::engine::Engine::predict`].
    pub(super) fn outputs(&self, stage: &Stage, model: &[Array], on: Option<&Dataset>) -> Result<Predictions> {
        let (settings, phase, device) = (&stage.settings, stage.phase(), self.devices[0]);
        let own = self.dataset(settings, stage.choice())?;
        let classes = phase.labels(own.info);
        self.switch_tf32(stage);
        let architecture = self.architecture(stage, device, 1)?;
        let named: Vec<_> = model.iter().map(|array| (array.name.clone(), to_tensor(array).to_device(device))).collect();
        let (theta, buffers) = assemble(&architecture, &[named]).context("the model is of another architecture")?;
        let trained = Trained::finished(theta, buffers);
        let preparation = self.preparation(stage)?;
        // The output of each label, and the examples with their rows.
        let (labels, parts): (Vec<i64>, Vec<(&Examples, Vec<usize>)>) = match on {
            None => {
                let test = own.test.open(&trained);
                (task_labels(own.info, &phase), vec![(test, test_rows(test, own.info, &phase))])
            }
            Some(other) => {
                ensure!(!other.info.is_text(), "documents of another place have other words; only those of the study can be predicted");
                let names: Vec<&str> = classes.iter().map(|&label| own.info.classes[label].name.as_str()).collect();
                let output = |name: &str| names.iter().position(|own| *own == name).map_or(-1, |at| at as i64);
                let all = |examples: &Examples| (0..examples.len()).collect();
                let test = other.test.open(&trained);
                (
                    other.info.classes.iter().map(|class| output(&class.name)).collect(),
                    vec![(&other.train, all(&other.train)), (test, all(test))],
                )
            }
        };
        let mut predictions = Predictions { rows: vec![], truth: vec![], outputs: vec![] };
        let mut before = 0;
        let what = on.map_or_else(|| stage.choice().to_string(), |_| "the examples".into());
        for (examples, rows) in parts {
            let (pool, places) = match &preparation {
                Preparation::Pixels(_) => {
                    let place = place_of(&what, DeviceDataset::bytes(examples), device);
                    (DeviceDataset::new(examples, settings.input(), device, place), rows.clone())
                }
                Preparation::Words(words) => {
                    let (pool, mut places) = DeviceDataset::of_words(examples, &[(words.clone(), rows.clone())], device);
                    (pool, places.remove(0))
                }
            };
            let kind = if settings.precision == Precision::Bf16 { Kind::BFloat16 } else { Kind::Float };
            let task = BatchSource::new(&[&preparation], &labels, kind, &pool);
            let mut values = outputs((&architecture, &trained.theta, &trained.buffers), &task, &pool, &places);
            if let Preparation::Pixels(normalisation) = &preparation {
                if let Some([mean, sd]) = normalisation.response {
                    values.iter_mut().flatten().for_each(|value| *value = (f64::from(*value) * sd + mean) as f32);
                }
            }
            predictions.outputs.extend(values);
            predictions.truth.extend(rows.iter().map(|&row| match examples.responses.get(row) {
                Some(response) => Some(f64::from(*response)),
                None => Some(labels[usize::from(examples.labels[row])]).filter(|&label| label >= 0).map(|label| label as f64),
            }));
            predictions.rows.extend(rows.iter().map(|row| before + row));
            before += examples.len();
        }
        Ok(predictions)
    }
}
