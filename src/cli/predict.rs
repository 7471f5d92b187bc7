//! `predict`: writes what trained models say of test examples, or of other data.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::chosen::{alone, differs, of_key, open_engine, ChosenArgs};
use super::commands::typed;
use super::print;
use super::report::analysed_folder;
use crate::base::stderr::print_error;
use crate::base::usage::usage;
use crate::config::network::{DataChoice, TransferMethod};
use crate::data::{own, search_path, Dataset};
use crate::plan::Stage;
use crate::report::analysis::{named_stages, ColumnType, Field, Table};
use crate::report::render::{csv, parquet};
use crate::run::engine::Predictions;
use crate::run::stage_model;
use crate::store::{write_atomic, Folder, KeptPredictions};

const EXAMPLES: &str = "\
Examples:
  transfergrid predict logs/demo --to target.parquet                      test examples, by the target model at λ₀*
  transfergrid predict logs/demo --model source --to source.csv
  transfergrid predict logs/demo --keep                                   for calibration and confusion in the report
  transfergrid predict logs/photos --on '{images: more-photos}' --to more.parquet
  python -c \"import pandas; print(pandas.read_parquet('target.parquet'))\"";

/// Write what a trained model says of each example: the right class, the predicted one, the logits
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
    #[arg(long, value_name = "FILE", required_unless_present = "keep")]
    to: Option<PathBuf>,
    /// Keep the predictions of all models that the answer names, of every seed, in the study's
    /// folder. The report then has calibration, confusion, and paired tests over images
    #[arg(long, conflicts_with_all = ["to", "on", "model", "at", "seed", "draw", "setting"])]
    keep: bool,
}

impl PredictArgs {
    pub fn run(self) -> Result<u8> {
        let Some(to) = &self.to else { return self.keep_all() };
        let is_csv = match to.extension().and_then(|end| end.to_str()) {
            Some("csv") => true,
            Some("parquet") => false,
            _ => return Err(usage(format!("{} is neither .parquet nor .csv", to.display()), "choose one of these")),
        };
        let chosen = self.chosen.find()?;
        let stage = chosen.stage();
        let other = self.on.as_ref().map(|place| self.other(place, stage)).transpose()?;
        let plan = chosen.alone();
        let engine = chosen.engine(&plan, &self.chosen)?;
        let model = chosen.model(&plan, engine.as_ref(), &self.chosen)?;
        let predictions = engine.predict(stage, &model.arrays, other.as_ref().map(|(other, _)| other))?;
        let names = match &other {
            Some((_, choice)) => names(choice)?.concat(),
            None => names(stage.choice())?.into_iter().nth(1).unwrap_or_default(),
        };
        let table = table(stage, &predictions, &names);
        write_atomic(to, &if is_csv { csv(&table)? } else { parquet(&table)? })?;
        print(&format!("{}\n{}\n", summary(stage, &predictions), to.display()));
        Ok(0)
    }

    /// Writes the predictions of every model that the answer names to the study's folder.
    fn keep_all(&self) -> Result<u8> {
        let folder = Folder(self.chosen.folder.clone());
        let analysed = analysed_folder(&folder)?;
        let named: Vec<_> =
            analysed.analysis.settings.iter().flat_map(|setting| named_stages(&analysed.study, &analysed.plan, setting)).collect();
        let keys: BTreeSet<&str> = named.iter().map(|(.., stage)| stage.key.as_str()).collect();
        if keys.is_empty() {
            return Err(usage(
                format!("{} has no answer yet", folder.0.display()),
                "finish the study first; `transfergrid status` shows what is missing",
            ));
        }
        if named[0].2.data().is_regression {
            return Err(usage(
                "numbers are predicted here, which have no calibration and no confusion",
                "use --to FILE for the predictions",
            ));
        }
        if named[0].2.settings.transfer.method == TransferMethod::Ridge {
            return Err(usage("`transfer.method: ridge` gives no probabilities", "use --to FILE for the predictions"));
        }
        let chosen = keys.iter().map(|key| of_key(&analysed.whole, key)).collect::<Result<Vec<_>>>()?;
        let plan = alone(&analysed.whole, &chosen);
        let engine = open_engine(&plan, &analysed, &plan.stages[0].key, &self.chosen)?;
        for key in &keys {
            let path = folder.predictions(key);
            if KeptPredictions::read(&path).is_ok_and(|kept| kept.is_some()) {
                continue; // a damaged file is made again
            }
            let index = (0..plan.stages.len()).find(|&i| plan.stages[i].key == **key).unwrap_or(0);
            let model = stage_model(&plan, index, &folder, engine.as_ref())?;
            let stage = &plan.stages[index];
            let record = analysed.records.by_key.get(&stage.key);
            if let Some(words) = record.zip(model.metrics.as_ref()).and_then(|(record, metrics)| differs(record, metrics)) {
                print_error(&format!("warning: {}, trained again: {words}", stage.label()));
            }
            let predictions = engine.predict(stage, &model.arrays, None)?;
            write_atomic(&path, &parquet(&table(stage, &predictions, &[]))?)?;
            print_error(&format!("{} {}: {}", stage.kind.as_str(), stage.label(), summary(stage, &predictions)));
        }
        print(&format!("the predictions of {} models are kept; see them with\n  transfergrid report {}\n", keys.len(), typed(&folder.0)));
        Ok(0)
    }

    /// The other data, in the shape of the network's inputs.
    fn other(&self, place: &str, stage: &Stage) -> Result<(Dataset, DataChoice)> {
        let choice: DataChoice = serde_yaml::from_str(place)
            .map_err(|error| usage(format!("--on {place}: {error}"), "name a place such as '{images: FOLDER}', or a data set"))?;
        let info = choice.find_out().map_err(|(what, hint)| usage(what, hint))?;
        let own = stage.data();
        if let Some(why) = own.other_columns(info) {
            return Err(usage(
                format!("{choice} {why}"),
                "it needs the columns that the network was trained on, in the same order; `one_hot` and `impute` make columns of what each table has",
            ));
        }
        if info.is_text() != own.is_text()
            || info.is_regression != own.is_regression
            || info.is_features != own.is_features
            || (info.is_features && info.channels != own.channels)
        {
            return Err(usage(
                format!("{} has {}; the study has {}", choice, info.in_short(), own.in_short()),
                "the network needs examples of the kind that it was trained on",
            ));
        }
        let set = Dataset::load(&choice, false, stage.settings.input(), &search_path(self.chosen.data.as_deref()))?;
        Ok((set, choice))
    }
}

/// The files or lines of the user's own examples, of the training and the test part; empty for
/// arrays and published sets.
fn names(choice: &DataChoice) -> Result<[Vec<String>; 2]> {
    match choice {
        DataChoice::Place(place) => Ok(own::names(place)?),
        DataChoice::Named(_) => Ok([vec![], vec![]]),
    }
}

/// One row for each example, with its file or line if it has one.
fn table(stage: &Stage, predictions: &Predictions, found: &[String]) -> Table {
    let data = stage.data();
    let names: Vec<&str> = stage.phase().labels(data).into_iter().map(|label| data.classes[label].name.as_str()).collect();
    let mut columns = vec![("index".to_string(), ColumnType::Whole)];
    if !found.is_empty() {
        columns.push(("example".into(), ColumnType::Text));
    }
    if data.is_regression {
        columns.extend([("response".into(), ColumnType::Number), ("predicted".into(), ColumnType::Number)]);
    } else {
        columns.extend([("label".into(), ColumnType::Text), ("predicted".into(), ColumnType::Text)]);
        columns.extend(names.iter().map(|name| (format!("logit_{name}"), ColumnType::Number)));
    }
    let mut table = Table::new(columns);
    for ((row, truth), outputs) in predictions.rows.iter().zip(&predictions.truth).zip(&predictions.outputs) {
        let mut fields = vec![Field::Whole(*row as u64)];
        if !found.is_empty() {
            fields.push(Field::from(found.get(*row).map(String::as_str)));
        }
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
