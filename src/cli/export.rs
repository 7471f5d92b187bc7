//! `export`: writes a trained model for PyTorch.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde_json::{json, Value as Json};

use super::chosen::{Chosen, ChosenArgs};
use super::{print, trackers};
use crate::base::usage::usage;
use crate::config::network::DatasetInfo;
use crate::data::weights::{content, Content};
use crate::data::{search_path, Dataset, Preparation};
use crate::plan::{tensors, Stage};
use crate::store::{self, Array, Checkpoint};

const EXAMPLES: &str = "\
Examples:
  transfergrid export logs/demo --to model                        the target model at λ₀*
  transfergrid export logs/demo --model source --to source        the source model that it starts from
  transfergrid export logs/demo --at source-optimum --to other    the target model at λ_S*
  transfergrid export logs/demo --format mlflow --to mlruns       every cell as a run of MLflow
  transfergrid export logs/demo --format wandb --to wandb         every cell as an offline run of Weights & Biases
  python -c \"import sys; sys.path.insert(0, 'model'); from load import load; model, config = load('model')\"";

/// Write a trained model for PyTorch, or all results for MLflow or Weights & Biases
///
/// A model is three files: model.safetensors, config.json, and load.py, which makes an nn.Module.
/// Source models are kept in the study's folder. Models of targets and of training from scratch are
/// trained again, which takes seconds and gives the same result.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ExportArgs {
    #[command(flatten)]
    chosen: ChosenArgs,
    /// The folder to write
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    /// pytorch: one model. mlflow, wandb: every cell as a run of MLflow or an offline run of
    /// Weights & Biases, with params, metrics by epoch and tags
    #[arg(long, value_enum, default_value_t = Format::Pytorch, value_name = "FORMAT")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Pytorch,
    Mlflow,
    Wandb,
}

/// The loader that is written beside each model.
const LOADER: &str = include_str!("../../python/transfergrid_models.py");
const FILES: [&str; 3] = ["model.safetensors", "config.json", "load.py"];
/// A copy of the user's module, which gets the trained weights when it is loaded.
const MODULE: &str = "module.pt";

impl ExportArgs {
    pub fn run(self) -> Result<u8> {
        if self.to.is_file() || self.to.join("study.yaml").exists() {
            return Err(usage(format!("{} is taken", self.to.display()), "name a new folder with --to"));
        }
        if self.format != Format::Pytorch {
            if self.chosen.names_more() || self.chosen.at != "optimum" {
                let what = "--format mlflow and --format wandb export every cell";
                return Err(usage(what, "leave out --model, --at, --seed, --draw and --setting"));
            }
            let to_tracker = if self.format == Format::Mlflow { trackers::to_mlflow } else { trackers::to_wandb };
            return to_tracker(&self.chosen.folder, &self.to);
        }
        self.refuse_foreign()?;
        let chosen = self.chosen.find()?;
        let plan = chosen.alone();
        let engine = chosen.engine(&plan, &self.chosen)?;
        // Before anything is trained.
        std::fs::create_dir_all(&self.to).with_context(|| format!("cannot make the folder {}", self.to.display()))?;
        let model = chosen.model(&plan, engine.as_ref(), &self.chosen)?;
        let stage = chosen.stage();
        let config = config(&chosen, &self.chosen)?;
        let checkpoint = Checkpoint { arrays: renamed(stage, &model.arrays), text: serde_json::to_string(&config)? };
        checkpoint.write(&self.to.join(FILES[0]))?;
        store::write_atomic(&self.to.join(FILES[1]), (serde_json::to_string_pretty(&config)? + "\n").as_bytes())?;
        store::write_atomic(&self.to.join(FILES[2]), LOADER.as_bytes())?;
        let mut files = FILES.to_vec();
        if let Some((file, _)) = stage.settings.model.module() {
            if let Content::Module(bytes) = &*content(file)? {
                store::write_atomic(&self.to.join(MODULE), bytes)?;
                files.push(MODULE);
            }
        }
        files.iter().for_each(|name| print(&format!("{}\n", self.to.join(name).display())));
        Ok(0)
    }
}

impl ExportArgs {
    /// Fails if a file would be replaced that an export has not written.
    fn refuse_foreign(&self) -> Result<()> {
        let is_ours = std::fs::read_to_string(self.to.join(FILES[1])).is_ok_and(|text| text.contains("\"transfergrid "));
        let there = FILES.iter().chain([&MODULE]).find(|name| self.to.join(name).exists());
        match there.filter(|_| !is_ours) {
            Some(name) => Err(usage(format!("{} is no file of an export", self.to.join(name).display()), "name a new folder with --to")),
            None => Ok(()),
        }
    }
}

/// Arrays under PyTorch's names, in its order of flattened pixels. Those of a module of the user
/// have its names.
fn renamed(stage: &Stage, arrays: &[Array]) -> Vec<Array> {
    if stage.settings.model.module().is_some() {
        return arrays.to_vec();
    }
    let all = tensors(&stage.settings.model, stage.settings.input(), stage.phase().labels(stage.data()).len());
    let of = |array: &Array| {
        let tensor = all.iter().find(|tensor| tensor.name == array.name)?;
        let shape = tensor.size.iter().map(|&n| n as usize).collect();
        Some(Array { name: tensor.pytorch.clone(), shape, values: tensor.reordered(&array.values, true) })
    };
    arrays.iter().filter_map(of).collect()
}

/// All that is needed to use the model, and where it comes from.
fn config(chosen: &Chosen, args: &ChosenArgs) -> Result<Json> {
    let (stage, plan) = (chosen.stage(), &chosen.analysed.whole);
    let (settings, phase, data) = (&stage.settings, stage.phase(), stage.data());
    let record = &chosen.analysed.records.by_key[&stage.key];
    let model = &settings.model;
    let classes: Vec<&str> = phase.labels(data).into_iter().map(|label| data.classes[label].name.as_str()).collect();
    let axes: serde_json::Map<String, Json> =
        stage.axes.iter().map(|(path, value)| (path.clone(), serde_json::to_value(value).unwrap_or(Json::Null))).collect();
    Ok(json!({
        "format": 1,
        "architecture": {
            "kind": model.kind,
            "channels": model.channels(),
            "hidden": model.hidden(),
            "embedding": model.embedding(),
            "norm": model.norm,
            "groups": model.groups,
            "stem": model.stem,
            "transformer": model.transformer(),
        },
        "outputs": phase.labels(data).len(),
        "classes": if data.is_regression { Json::Null } else { json!(classes) },
        "input": input(stage, args)?,
        "study": chosen.analysed.study.name,
        "model": stage.kind,
        "key": stage.key,
        "source_key": stage.source.map(|source| plan.stages[source].key.clone()),
        "seed": stage.seed,
        "draw": stage.draw,
        "lambda": if stage.lambda.is_finite() { json!(stage.lambda) } else { json!("inf") },
        "axes": axes,
        "optimiser": phase.optimiser,
        "metrics": *record.metrics,
        "data": data.name,
        "data_digest": data.digest,
        "program": store::program(),
        "commit": store::commit(),
        "licence": licence(data),
    }))
}

fn licence(data: &DatasetInfo) -> String {
    format!("Trained on {}, whose terms apply.", data.name)
}

/// The inputs' shape, and what is done to them before the network.
fn input(stage: &Stage, args: &ChosenArgs) -> Result<Json> {
    let settings = &stage.settings;
    let [height, width, channels] = settings.input();
    let choice = settings.source_choice();
    let info = choice.info();
    let source = Dataset::load(choice, info.is_text() && settings.text.strip, settings.input(), &search_path(args.data.as_deref()))?;
    // With a size of its own, images were cropped to the largest square around the middle and
    // scaled.
    let shape = json!({"height": height, "width": width, "channels": channels, "is_resized": settings.input.size.is_some()});
    let more = match (Preparation::of(&source.train, settings, stage.seed), source.train.corpus()) {
        (Preparation::Words(words), Some(corpus)) => {
            let (terms, idf): (Vec<&str>, Vec<f64>) = words.terms(corpus).unzip();
            json!({"kind": "tfidf", "terms": terms, "idf": idf})
        }
        (Preparation::Pixels(n), _) => {
            let kind = if info.is_features { "features" } else { "pixels" };
            json!({"kind": kind, "mean": n.mean, "sd": n.sd, "response": n.response.map(|[mean, sd]| json!({"mean": mean, "sd": sd}))})
        }
        (Preparation::Words(_), None) => Json::Null,
    };
    let mut all = shape.as_object().cloned().unwrap_or_default();
    all.extend(more.as_object().cloned().unwrap_or_default());
    Ok(Json::Object(all))
}
