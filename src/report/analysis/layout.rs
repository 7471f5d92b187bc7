//! Arranges records as λ₀ × λ₁ × seed, one layout for each combination of the study's other axes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_yaml::Value;

use super::answer::Rules;
use super::guess::Guess;
use super::limits::PenaltyLimits;
use super::stats::mean_interval;
use crate::base::interval::Interval;
use crate::config::network::{OptimiserKind, SourceCenter};
use crate::config::{Aim, Regularizer, Study};
use crate::plan::{Cell, Plan, Stage};
use crate::store::{Record, Records, Status};

/// One cell's metrics by seed (position in [`Setting::seeds`]); None where a seed has no result.
#[derive(Debug, Clone, Default)]
pub struct CellResults {
    pub by_seed: Vec<Option<Arc<BTreeMap<String, f64>>>>,
    /// Whether the study contains this cell. With zipped axes not every λ₀ is combined with every
    /// λ₁.
    pub planned: bool,
    /// Positions of the seeds for which the cell diverged. One such seed excludes the cell for all
    /// seeds; otherwise its mean would be over the surviving seeds only.
    pub diverged: Vec<usize>,
}

impl CellResults {
    fn new(seeds: usize) -> CellResults {
        CellResults { by_seed: vec![None; seeds], planned: false, diverged: vec![] }
    }

    /// The results of a seed: of one stage, or of one for each draw, whose metrics are averaged.
    /// There is no result before the last draw is done: draws differ more than λ does.
    fn put(&mut self, seed: usize, draws: &[Option<&Record>]) {
        self.planned = true;
        let of = |status| draws.iter().flatten().filter(move |record| record.status == status);
        if of(Status::Diverged).next().is_some() && !self.diverged.contains(&seed) {
            self.diverged.push(seed);
        }
        if of(Status::Done).count() == draws.len() {
            self.by_seed[seed] = match draws {
                [Some(record)] => Some(record.metrics.clone()),
                _ => Some(Arc::new(average(&of(Status::Done).map(|record| &*record.metrics).collect::<Vec<_>>()))),
            };
        }
    }

    /// A metric for each of these seeds. None if the list is empty, if a seed lacks the metric, or
    /// if the cell diverged for any seed.
    pub fn values(&self, seeds: &[usize], key: &str) -> Option<Vec<f64>> {
        if !self.diverged.is_empty() || seeds.is_empty() {
            return None;
        }
        seeds.iter().map(|&seed| self.by_seed[seed].as_ref()?.get(key).copied().filter(|v| v.is_finite())).collect()
    }
}

/// The mean of each metric that all of them have.
fn average(draws: &[&BTreeMap<String, f64>]) -> BTreeMap<String, f64> {
    let Some(first) = draws.first() else { return BTreeMap::new() };
    let mean = |name: &String| {
        let values: Option<Vec<f64>> = draws.iter().map(|draw| draw.get(name).copied()).collect();
        Some((name.clone(), values?.iter().sum::<f64>() / draws.len() as f64))
    };
    first.keys().filter_map(mean).collect()
}

/// One combination of the axes other than λ₀ (or the axis that stands for it) and λ₁.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The axes other than λ₀ and λ₁, with their values.
    pub axes: Vec<(String, Value)>,
    /// Its name, if the study has a `label`.
    pub label: Option<String>,
    /// The axis used as λ₀.
    pub regularizer: Regularizer,
    /// In ascending order.
    pub lambda0: Vec<f64>,
    /// In ascending order.
    pub lambda1: Vec<f64>,
    pub scratch_lambda: Vec<f64>,
    pub seeds: Vec<u64>,
    /// Indexed by λ₀.
    pub source: Vec<CellResults>,
    /// Indexed by λ₀, then λ₁.
    pub target: Vec<Vec<CellResults>>,
    /// Indexed by the λ of training from scratch.
    pub scratch: Vec<CellResults>,
    /// Alignment of the tasks, if the study measures it.
    pub alignment: CellResults,
    /// Performance of guessing on each task's test images.
    pub source_guess: Guess,
    pub target_guess: Guess,
    /// How far the penalties may be widened.
    pub limits: PenaltyLimits,
    pub rules: Rules,
    /// The tasks predict a number, not a class.
    pub is_regression: bool,
    /// The study asks for nothing but the sign of the gain (`settle.of`).
    pub asks_gain: bool,
    /// The source is its file of weights, untrained (`source.epochs: 0`): there is no λ₀ to
    /// compare.
    pub is_source_given: bool,
    /// The file of weights that the source starts from, and whether λ₀ pulls to them.
    pub source_init: Option<(String, SourceCenter)>,
    /// The optimisers of the source and of the target.
    pub optimisers: [OptimiserKind; 2],
}

impl Setting {
    /// Positions of the seeds to average over: those that lack no result, or all seeds if every one
    /// lacks some result. A diverged cell is not a missing result: it excludes its cell, not its
    /// seed.
    pub fn complete_seeds(&self) -> Vec<usize> {
        let cells = || {
            self.source
                .iter()
                .chain(self.target.iter().flatten())
                .chain(&self.scratch)
                .filter(|cell| cell.planned && cell.diverged.is_empty())
        };
        let complete: Vec<usize> = (0..self.seeds.len()).filter(|&seed| cells().all(|cell| cell.by_seed[seed].is_some())).collect();
        let any: Vec<usize> = (0..self.seeds.len()).filter(|&seed| cells().any(|cell| cell.by_seed[seed].is_some())).collect();
        if complete.is_empty() {
            any
        } else {
            complete
        }
    }

    /// The same with fewer λ₀ and seeds, all of which it has.
    pub fn restricted(&self, lambda0: &[f64], seeds: &[u64]) -> Setting {
        let places: Vec<usize> = seeds.iter().filter_map(|seed| self.seeds.iter().position(|own| own == seed)).collect();
        let cell = |of: &CellResults| CellResults {
            by_seed: places.iter().map(|&at| of.by_seed.get(at).cloned().flatten()).collect(),
            planned: of.planned,
            diverged: (0..places.len()).filter(|&to| of.diverged.contains(&places[to])).collect(),
        };
        let rows: Vec<usize> = lambda0.iter().filter_map(|v| self.lambda0.iter().position(|own| own == v)).collect();
        Setting {
            lambda0: lambda0.to_vec(),
            seeds: seeds.to_vec(),
            source: rows.iter().map(|&i| cell(&self.source[i])).collect(),
            target: rows.iter().map(|&i| self.target[i].iter().map(cell).collect()).collect(),
            scratch: self.scratch.iter().map(cell).collect(),
            alignment: cell(&self.alignment),
            ..self.clone()
        }
    }

    /// Mean of ρ̂, or of its cosine, over the seeds that have it.
    pub fn aligned(&self, key: &str) -> Option<Interval> {
        let seeds: Vec<usize> =
            (0..self.seeds.len()).filter(|&seed| self.alignment.by_seed.get(seed).is_some_and(Option::is_some)).collect();
        Some(mean_interval(&self.alignment.values(&seeds, key)?))
    }
}

/// The axes of a cell other than λ₀ (or the axis that stands for it) and λ₁.
fn other_axes(study: &Study, axes: &[(String, Value)]) -> Vec<(String, Value)> {
    axes.iter().filter(|(path, _)| *path != study.regularizer.axis && path != "lambda1").cloned().collect()
}

fn lambda0_of(study: &Study, plan: &Plan, cell: &Cell) -> f64 {
    match study.regularizer.stands_for() {
        None => plan.stages[cell.source].lambda,
        Some(axis) => cell.axes.iter().find(|(path, _)| path == axis).and_then(|(_, value)| value.as_f64()).unwrap_or(f64::NAN),
    }
}

/// The cells of a setting at a λ₀ and a λ₁, one for each seed.
pub fn cells_at<'a>(study: &Study, plan: &'a Plan, setting: &Setting, lambda0: f64, lambda1: f64) -> Vec<&'a Cell> {
    let is_there = |cell: &&Cell| {
        lambda0_of(study, plan, cell) == lambda0
            && plan.stages[cell.targets[0]].lambda == lambda1
            && other_axes(study, &cell.axes) == setting.axes
    };
    plan.cells.iter().filter(is_there).collect()
}

/// Arranges a study's records; returns one [`Setting`] for each combination of its other axes.
pub fn lay_out(study: &Study, plan: &Plan, records: &Records) -> Vec<Setting> {
    let mut settings: Vec<Setting> = vec![];
    let rules =
        Rules { margin: study.settle.margin, error: if study.grids.is_empty() { Rules::default().error } else { Rules::ERROR_OF_A_LOOK } };
    // First pass: collect the λ, so that every setting has its full grid before its cells are
    // filled.
    let other_axes = |axes: &[(String, Value)]| other_axes(study, axes);
    let lambda0_of = |cell: &Cell| lambda0_of(study, plan, cell);
    let position = |settings: &[Setting], axes: &[(String, Value)]| settings.iter().position(|setting| setting.axes == axes);
    let stage = |index: usize| -> &Stage { &plan.stages[index] };
    for cell in &plan.cells {
        let axes = other_axes(&cell.axes);
        let at = position(&settings, &axes).unwrap_or_else(|| {
            settings.push(Setting {
                label: study.setting_label(&axes),
                axes,
                regularizer: study.regularizer.clone(),
                lambda0: vec![],
                lambda1: vec![],
                scratch_lambda: vec![],
                seeds: vec![],
                source: vec![],
                target: vec![],
                scratch: vec![],
                alignment: CellResults::default(),
                source_guess: Guess::of(&stage(cell.source).settings.source, stage(cell.source).settings.source_info()),
                target_guess: Guess::of(&stage(cell.source).settings.target, stage(cell.source).settings.target_info()),
                limits: PenaltyLimits::of(&stage(cell.source).settings),
                rules,
                is_regression: stage(cell.source).settings.source_info().is_regression,
                asks_gain: study.settle.of == [Aim::Gain],
                is_source_given: stage(cell.source).settings.source.epochs == 0,
                source_init: {
                    let settings = &stage(cell.source).settings;
                    settings.source.init.as_ref().map(|file| (file.0.clone(), settings.penalty.source_center))
                },
                optimisers: [&stage(cell.source).settings.source, &stage(cell.source).settings.target].map(|phase| phase.optimiser),
            });
            settings.len() - 1
        });
        let setting = &mut settings[at];
        let add = |list: &mut Vec<f64>, value: f64| {
            if !list.contains(&value) {
                list.push(value)
            }
        };
        if !setting.seeds.contains(&cell.seed) {
            setting.seeds.push(cell.seed);
        }
        add(&mut setting.lambda0, lambda0_of(cell));
        add(&mut setting.lambda1, stage(cell.targets[0]).lambda);
        cell.scratch.iter().for_each(|draws| add(&mut setting.scratch_lambda, stage(draws[0]).lambda));
    }
    for setting in &mut settings {
        setting.lambda0.sort_by(f64::total_cmp);
        setting.lambda1.sort_by(f64::total_cmp);
        setting.scratch_lambda.sort_by(f64::total_cmp);
        let empty = CellResults::new(setting.seeds.len());
        setting.source = vec![empty.clone(); setting.lambda0.len()];
        setting.target = vec![vec![empty.clone(); setting.lambda1.len()]; setting.lambda0.len()];
        setting.alignment = empty.clone();
        setting.scratch = vec![empty; setting.scratch_lambda.len()];
    }
    let mut aligned: HashMap<(usize, usize), usize> = HashMap::new();
    for cell in &plan.cells {
        let Some(at) = position(&settings, &other_axes(&cell.axes)) else { continue };
        let setting = &mut settings[at];
        let record = |index: usize| records.by_key.get(&stage(index).key);
        let find = |list: &[f64], value: f64| list.iter().position(|&v| v == value);
        let (Some(seed), Some(i), Some(j)) = (
            setting.seeds.iter().position(|&s| s == cell.seed),
            find(&setting.lambda0, lambda0_of(cell)),
            find(&setting.lambda1, stage(cell.targets[0]).lambda),
        ) else {
            continue;
        };
        let draws = |stages: &[usize]| stages.iter().map(|&index| record(index)).collect::<Vec<_>>();
        setting.source[i].put(seed, &draws(&[cell.source]));
        setting.target[i][j].put(seed, &draws(&cell.targets));
        if let Some(index) = cell.alignment {
            match aligned.insert((at, seed), index) {
                // The alignment changes along λ₀, for example if `source.label_noise` is used as
                // λ₀. The setting then has no single alignment.
                Some(other) if other != index => setting.alignment = CellResults::new(setting.seeds.len()),
                _ => setting.alignment.put(seed, &draws(&[index])),
            }
        }
        for of_lambda in &cell.scratch {
            if let Some(k) = find(&setting.scratch_lambda, stage(of_lambda[0]).lambda) {
                setting.scratch[k].put(seed, &draws(of_lambda));
            }
        }
    }
    settings
}
