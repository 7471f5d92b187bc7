//! `predict`: writes what trained models say of test examples, or of other data.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::chosen::ChosenArgs;
use super::print;
use crate::base::usage::usage;
use crate::config::network::DataChoice;
use crate::data::{search_path, Dataset};
use crate::plan::Stage;
use crate::report::analysis::{ColumnType, Field, Table};
use crate::report::render::{csv, parquet};
use crate::run::engine::Predictions;
use crate::store::write_atomic;

const EXAMPLES: &str = "\
Examples:
  transfergrid predict logs/demo --to target.parquet                      test examples, by the target model at λ₀*
  transfergrid predict logs/demo --model source --to source.csv
  transfergrid predict logs/photos --on '{images: more-photos}' --to more.parquet
  python -c \"import pandas; print(pandas.read_parquet('target.parquet'))\"";

/// Write what a trained model says of each test example, or of each example of another place: the
/// right class, the predicted one, and the logits
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PredictArgs {
    #[command(flatten)]
    chosen: ChosenArgs,
    /// Predict all examples of this place instead, e.g. '{images: FOLDER}'; its classes count by
    /// their names
    #[arg(long, value_name = "PLACE")]
    on: Option<String>,
    /// The file to write: .parquet or .csv
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

impl PredictArgs {
    pub fn run(self) -> Result<u8> {
        let is_csv = match self.to.extension().and_then(|end| end.to_str()) {
            Some("csv") => true,
            Some("parquet") => false,
            _ => return Err(usage(format!("{} is neither .parquet nor .csv", self.to.display()), "choose one of these")),
        };
        let chosen = self.chosen.find()?;
        let stage = chosen.stage();
        let other = self.on.as_ref().map(|place| self.other(place, stage)).transpose()?;
        let plan = chosen.alone();
        let engine = chosen.engine(&plan, &self.chosen)?;
        let model = chosen.model(&plan, engine.as_ref(), &self.chosen)?;
        let predictions = engine.predict(stage, &model.arrays, other.as_ref())?;
        let table = table(stage, &predictions);
        write_atomic(&self.to, &if is_csv { csv(&table)? } else { parquet(&table)? })?;
        print(&format!("{}\n{}\n", summary(stage, &predictions), self.to.display()));
        Ok(0)
    }

    /// The other data, in the shape of the network's inputs.
    fn other(&self, place: &str, stage: &Stage) -> Result<Dataset> {
        let choice: DataChoice = serde_yaml::from_str(place)
            .map_err(|error| usage(format!("--on {place}: {error}"), "name a place such as '{images: FOLDER}', or a data set"))?;
        let info = choice.find_out().map_err(|(what, hint)| usage(what, hint))?;
        let own = stage.data();
        if info.is_text() != own.is_text() || info.is_features != own.is_features || (info.is_features && info.channels != own.channels) {
            return Err(usage(
                format!("{} has {}; the study has {}", choice, info.in_short(), own.in_short()),
                "the network needs examples of the kind that it was trained on",
            ));
        }
        Ok(Dataset::load(&choice, false, stage.settings.input(), &search_path(self.chosen.data.as_deref()))?)
    }
}

/// One row for each example.
fn table(stage: &Stage, predictions: &Predictions) -> Table {
    let data = stage.data();
    let names: Vec<&str> = stage.phase().labels(data).into_iter().map(|label| data.classes[label].name.as_str()).collect();
    let mut columns = vec![("index".to_string(), ColumnType::Whole)];
    if data.is_regression {
        columns.extend([("response".into(), ColumnType::Number), ("predicted".into(), ColumnType::Number)]);
    } else {
        columns.extend([("label".into(), ColumnType::Text), ("predicted".into(), ColumnType::Text)]);
        columns.extend(names.iter().map(|name| (format!("logit_{name}"), ColumnType::Number)));
    }
    let mut table = Table::new(columns);
    for ((row, truth), outputs) in predictions.rows.iter().zip(&predictions.truth).zip(&predictions.outputs) {
        let mut fields = vec![Field::Whole(*row as u64)];
        if data.is_regression {
            fields.extend([Field::from(*truth), Field::from(f64::from(outputs[0]))]);
        } else {
            fields.extend([Field::from(truth.map(|class| names[class as usize])), Field::from(names[largest(outputs)])]);
            fields.extend(outputs.iter().map(|logit| Field::from(f64::from(*logit))));
        }
        table.push(fields);
    }
    table
}

/// The position of the largest output; of equal ones the first.
fn largest(outputs: &[f32]) -> usize {
    (0..outputs.len()).fold(0, |best, i| if outputs[i] > outputs[best] { i } else { best })
}

/// `accuracy 91.2% of 297 examples`
fn summary(stage: &Stage, predictions: &Predictions) -> String {
    let n = predictions.rows.len();
    if stage.data().is_regression {
        return format!("{n} examples");
    }
    let known = predictions.truth.iter().zip(&predictions.outputs).filter_map(|(truth, outputs)| Some((truth.as_ref()?, outputs)));
    let (all, right) =
        known.fold((0, 0), |(all, right), (truth, outputs)| (all + 1, right + usize::from(largest(outputs) == *truth as usize)));
    match all {
        0 => format!("{n} examples, none of a class of the task"),
        _ => format!(
            "accuracy {:.2}% of {all} examples{}",
            100.0 * right as f64 / all as f64,
            if all < n { format!(" ({n} in all)") } else { String::new() }
        ),
    }
}
