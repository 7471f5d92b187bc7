//! The models that an answer names: which stage of a study, and its model.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use super::report::{analysed_folder, Analysed};
use crate::base::numbers::significant;
use crate::base::stderr::print_error;
use crate::base::usage::usage;
use crate::data::search_path;
use crate::plan::{Plan, Stage, StageKind};
use crate::report::analysis::{cells_at, SettingAnalysis};
use crate::report::render::setting_name;
use crate::run::engine::{self, Engine, EngineOptions};
use crate::run::{stage_model, StageModel};
use crate::store::{Folder, Record, Status};

/// Which model of a study.
#[derive(Debug, Clone, Args)]
pub struct ChosenArgs {
    /// The study's folder, e.g. logs/demo
    pub folder: PathBuf,
    /// The model of this stage [default: target]
    #[arg(long, value_enum)]
    pub model: Option<ModelOf>,
    /// `optimum`: at λ₀*, the best for the target. `source-optimum`: at λ_S*, the best for the
    /// source. Or the key of a stage, as results.csv has it
    #[arg(long, default_value = "optimum", value_name = "WHERE")]
    pub at: String,
    /// The seed [default: the first one with all results]
    #[arg(long)]
    pub seed: Option<u64>,
    /// The draw of the target's training images [default: 0]
    #[arg(long)]
    pub draw: Option<usize>,
    /// Of several settings: the name of one, as the report has it
    #[arg(long, value_name = "NAME")]
    pub setting: Option<String>,
    /// auto (CUDA if available), cpu or cuda:N: where a model is trained again
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Search for data sets in this folder first
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ModelOf {
    Source,
    Target,
    Scratch,
}

/// A stage of a study with its record's metrics.
pub struct Chosen {
    pub analysed: Analysed,
    pub index: usize,
}

impl ChosenArgs {
    pub fn find(&self) -> Result<Chosen> {
        let analysed = analysed_folder(&Folder(self.folder.clone()))?;
        let index = match self.at.as_str() {
            "optimum" | "source-optimum" => self.at_optimum(&analysed)?,
            _ if self.names_more() => {
                return Err(usage("--at KEY names the stage already", "leave out --model, --seed, --draw and --setting"))
            }
            key => of_key(&analysed.whole, key)?,
        };
        let stage = &analysed.whole.stages[index];
        let record = analysed.records.by_key.get(&stage.key);
        if record.is_none_or(|record| record.status != Status::Done) {
            let what = format!("{} of {} has no result", stage.label(), self.folder.display());
            return Err(usage(what, "finish the study first, or choose another model"));
        }
        Ok(Chosen { analysed, index })
    }

    fn at_optimum(&self, analysed: &Analysed) -> Result<usize> {
        let of = self.setting(&analysed.analysis.settings)?;
        let setting = &of.setting;
        let answered = of.answer.answered().ok_or_else(|| {
            let what = format!("{} has no answer yet", self.folder.display());
            usage(what, "it is unfinished, or every λ₀ diverged: `transfergrid status` shows what is missing; --at KEY takes one stage")
        })?;
        let (i, j) = match self.at.as_str() {
            "optimum" => answered.transfer,
            _ => (answered.source, answered.lambda1_at_source_optimum),
        };
        let cells = cells_at(&analysed.study, &analysed.plan, setting, setting.lambda0[i], setting.lambda1[j]);
        let seeds: Vec<u64> = cells.iter().map(|cell| cell.seed).collect();
        let seed = self.seed.or(answered.basis.seeds.first().map(|&seed| setting.seeds[seed]));
        let cell = cells.into_iter().find(|cell| Some(cell.seed) == seed).ok_or_else(|| {
            let known: Vec<String> = seeds.iter().map(u64::to_string).collect();
            usage(format!("the study has no seed {}", seed.unwrap_or_default()), format!("its seeds are {}", known.join(", ")))
        })?;
        let draw = |stages: &[usize]| {
            let draw = self.draw.unwrap_or(0);
            stages.get(draw).copied().ok_or_else(|| {
                usage(format!("there is no draw {draw}"), format!("draws are counted from 0, and there are {}", stages.len()))
            })
        };
        let index = match self.model.unwrap_or(ModelOf::Target) {
            ModelOf::Source => cell.source,
            ModelOf::Target => draw(&cell.targets)?,
            ModelOf::Scratch => {
                let best = answered.scratch.map(|k| setting.scratch_lambda[k]);
                let twins = cell.scratch.iter().find(|twins| Some(analysed.plan.stages[twins[0]].lambda) == best);
                draw(twins.ok_or_else(|| usage("the study has no training from scratch", "give `scratch.lambdas` a value, e.g. [0]"))?)?
            }
        };
        of_key(&analysed.whole, &analysed.plan.stages[index].key)
    }

    /// Whether an option is given that names a model by its place.
    pub fn names_more(&self) -> bool {
        self.model.is_some() || self.seed.is_some() || self.draw.is_some() || self.setting.is_some()
    }

    fn setting<'a>(&self, settings: &'a [SettingAnalysis]) -> Result<&'a SettingAnalysis> {
        let names: Vec<String> = settings.iter().map(|of| setting_name(&of.setting)).collect();
        let list = || format!("its settings are {}", names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "));
        match (settings, &self.setting) {
            ([only], None) => Ok(only),
            ([], _) => Err(usage("the study has no setting", "run it first")),
            (_, None) => Err(usage("the study has several settings", format!("choose one with --setting; {}", list()))),
            ([_], Some(name)) if names[0].is_empty() => {
                Err(usage(format!("the study has no setting `{name}`"), "it has one setting, without a name: leave out --setting"))
            }
            (_, Some(name)) => {
                let at = names.iter().position(|own| own == name);
                at.map(|at| &settings[at]).ok_or_else(|| usage(format!("the study has no setting `{name}`"), list()))
            }
        }
    }
}

/// The stage whose key begins with this text.
pub fn of_key(plan: &Plan, key: &str) -> Result<usize> {
    let found: Vec<usize> = (0..plan.stages.len()).filter(|&i| plan.stages[i].key.starts_with(key) && !key.is_empty()).collect();
    match found.as_slice() {
        [one] if plan.stages[*one].kind == StageKind::Alignment => {
            Err(usage(format!("{key} is the key of an estimate, which has no model"), HINT))
        }
        [one] => Ok(*one),
        [] => Err(usage(format!("no stage has the key `{key}`"), HINT)),
        several => Err(usage(format!("{} stages have keys that begin with `{key}`", several.len()), "give more of it")),
    }
}

const HINT: &str = "give optimum, source-optimum, or a key of the column `stage` of results.csv";

/// A plan of some stages and their sources alone, so that no other data are read.
pub fn alone(plan: &Plan, chosen: &[usize]) -> Plan {
    let mut stages: Vec<Stage> = vec![];
    for &index in chosen {
        let stage = &plan.stages[index];
        let source = stage.source.map(|source| place(&mut stages, plan.stages[source].clone()));
        place(&mut stages, Stage { source, ..stage.clone() });
    }
    Plan { cells: vec![], stages }
}

/// The position of a stage, which is added if it is not there.
fn place(stages: &mut Vec<Stage>, stage: Stage) -> usize {
    stages.iter().position(|own| own.key == stage.key).unwrap_or_else(|| {
        stages.push(stage);
        stages.len() - 1
    })
}

/// Opens the engine for a plan of [`alone`], of which `key` is a stage with a record.
pub fn open_engine(plan: &Plan, analysed: &Analysed, key: &str, args: &ChosenArgs) -> Result<Box<dyn Engine>> {
    if analysed.records.by_key.get(key).is_some_and(|record| record.engine == "mock") {
        return Err(usage("the results of the mock engine are made up, and so are its models", "train the study with --engine torch"));
    }
    let options = EngineOptions { mock: None, device: args.device.clone(), workers: Some(1), pack: Some(1) };
    engine::open(&options, plan, &search_path(args.data.as_deref()), Folder(args.folder.clone()).calibration())
}

/// The largest difference of a retrained stage's metrics from its record, in words. None if there
/// is none.
pub fn differs(record: &Record, metrics: &BTreeMap<String, f64>) -> Option<String> {
    let off = metrics.iter().filter_map(|(name, value)| Some((name, (value - record.metrics.get(name)?).abs())));
    let (name, worst) = off.fold(("", 0.0), |worst, (name, off)| if off > worst.1 { (name.as_str(), off) } else { worst });
    let words = || format!("`{name}` differs by {} from its record, which another device or version may cause", significant(worst, 3));
    (worst > 0.0).then(words)
}

impl Chosen {
    pub fn stage(&self) -> &Stage {
        &self.analysed.whole.stages[self.index]
    }

    /// A plan of the stage and its source alone, so that no other data are read. The stage is last.
    pub fn alone(&self) -> Plan {
        alone(&self.analysed.whole, &[self.index])
    }

    /// Opens the engine for a plan of [`Chosen::alone`].
    pub fn engine(&self, plan: &Plan, args: &ChosenArgs) -> Result<Box<dyn Engine>> {
        open_engine(plan, &self.analysed, &self.stage().key, args)
    }

    /// The model. Says on stderr if it was trained again, and whether the result is that of the
    /// record.
    pub fn model(&self, plan: &Plan, engine: &dyn Engine, args: &ChosenArgs) -> Result<StageModel> {
        let folder = Folder(args.folder.clone());
        let model = stage_model(plan, plan.stages.len() - 1, &folder, engine).context("the model")?;
        if let Some(metrics) = &model.metrics {
            let found = differs(&self.analysed.records.by_key[&self.stage().key], metrics);
            print_error(&format!("trained again: {}", found.unwrap_or("every metric is that of its record".into())));
        }
        Ok(model)
    }
}
