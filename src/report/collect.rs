//! Records laid out as λ₀ × λ₁ × seed, one layout for each combination of the study's other axes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_yaml::Value;

use super::stats::{beats_guessing, mean_interval, Interval};
use crate::config::network::{DataName, Method, Network, Phase, Step};
use crate::config::{show, Strength, Study};
use crate::plan::{Cell as PlannedCell, Plan, Stage, StageKind};
use crate::store::{Record, Records, Status};

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    Accuracy,
    Loss,
}

/// With its sign; what rounds to 0 is `+0.00`, never `-0.00`.
pub fn signed(value: f64, digits: usize) -> String {
    let text = format!("{value:+.digits$}");
    match text.strip_prefix('-') {
        Some(size) if size.bytes().all(|b| matches!(b, b'0' | b'.')) => format!("+{size}"),
        _ => text,
    }
}

impl Metric {
    /// The record's metric, on validation or test images.
    pub fn key(self, test: bool) -> &'static str {
        match (self, test) {
            (Metric::Accuracy, false) => "val_acc",
            (Metric::Accuracy, true) => "test_acc",
            (Metric::Loss, false) => "val_loss",
            (Metric::Loss, true) => "test_loss",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Metric::Accuracy => "accuracy",
            Metric::Loss => "loss",
        }
    }

    /// Unit, factor and digits of a difference: `points` of accuracy, or nats.
    pub fn unit(self) -> (&'static str, f64, usize) {
        match self {
            Metric::Accuracy => ("points", 100.0, 2),
            Metric::Loss => ("nats", 1.0, 4),
        }
    }

    /// A difference without its unit: `+1.30`.
    pub fn difference(self, value: f64) -> String {
        let (_, scale, digits) = self.unit();
        signed(scale * value, digits)
    }

    /// The mean over the seeds. An interval around an accuracy that is wider than 0 to 100% says
    /// nothing: none. (One that only reaches beyond 100%, as ± does near it, is kept.)
    pub fn level(self, values: &[f64]) -> Interval {
        let mean = mean_interval(values);
        match self {
            Metric::Accuracy => mean.within(mean.estimate - 0.5, mean.estimate + 0.5),
            Metric::Loss => mean,
        }
    }

    /// The mean of differences, paired by seed. An interval that holds differences that no two
    /// accuracies have is none.
    pub fn paired(self, differences: &[f64]) -> Interval {
        let mean = mean_interval(differences);
        match self {
            Metric::Accuracy => mean.within(-1.0, 1.0),
            Metric::Loss => mean,
        }
    }

    /// Higher is better.
    pub fn score(self, value: f64) -> f64 {
        match self {
            Metric::Accuracy => value,
            Metric::Loss => -value,
        }
    }
}

/// One setting's results: validation and test metrics by seed (position in [`Group::seeds`]); none where there is no result.
#[derive(Debug, Clone, Default)]
pub struct Cell {
    pub by_seed: Vec<Option<Arc<BTreeMap<String, f64>>>>,
    /// The study asks for this cell (not every λ₀ meets every λ₁ where the two are zipped).
    pub planned: bool,
    /// Seeds (positions) for which it diverged. One is enough to rule it out for all of them, or only the seeds that survived would
    /// speak for it.
    pub diverged: Vec<usize>,
}

impl Cell {
    fn new(seeds: usize) -> Cell {
        Cell { by_seed: vec![None; seeds], planned: false, diverged: vec![] }
    }

    fn put(&mut self, seed: usize, record: Option<&Record>) {
        self.planned = true;
        if record.is_some_and(|record| record.status == Status::Diverged) && !self.diverged.contains(&seed) {
            self.diverged.push(seed);
        }
        if let Some(record) = record.filter(|record| record.status == Status::Done) {
            self.by_seed[seed] = Some(record.metrics.clone());
        }
    }

    /// A metric for each of these seeds; none unless there are seeds, all of them have it, and the cell diverged for none.
    pub fn values(&self, seeds: &[usize], key: &str) -> Option<Vec<f64>> {
        if !self.diverged.is_empty() || seeds.is_empty() {
            return None;
        }
        seeds.iter().map(|&seed| self.by_seed[seed].as_ref()?.get(key).copied().filter(|v| v.is_finite())).collect()
    }
}

/// One combination of the axes other than λ₀ (or what stands for it) and λ₁.
#[derive(Debug, Clone)]
pub struct Group {
    /// Those axes.
    pub axes: Vec<(String, Value)>,
    /// What λ₀ stands for.
    pub strength: Strength,
    /// Ascending.
    pub lambda0: Vec<f64>,
    /// Ascending.
    pub lambda1: Vec<f64>,
    pub scratch_lambda: Vec<f64>,
    pub seeds: Vec<u64>,
    /// By λ₀.
    pub source: Vec<Cell>,
    /// By λ₀, then λ₁.
    pub target: Vec<Vec<Cell>>,
    /// By the twin's own λ.
    pub scratch: Vec<Cell>,
    /// How aligned the tasks are, where the study asks for it.
    pub alignment: Cell,
    /// What guessing gets of each task's test images.
    pub source_guess: Guess,
    pub target_guess: Guess,
    /// The largest penalties that the explicit step allows; infinite where nothing stands in the
    /// way.
    pub most: Most,
}

/// The answers of a model that has learned nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guess {
    /// Accuracy of always naming the most frequent class.
    pub accuracy: f64,
    /// Test images.
    pub images: usize,
}

impl Guess {
    fn of(phase: &Phase, data: DataName) -> Guess {
        let counts = phase.test_images(data);
        let images: usize = counts.iter().sum();
        Guess { accuracy: counts.iter().max().map_or(1.0, |most| *most as f64 / images as f64), images }
    }

    /// Whether a cell's test accuracy, over all its seeds and their test images, is better than
    /// guessing. None without results.
    pub fn is_beaten(&self, cell: &Cell, seeds: &[usize]) -> Option<bool> {
        let accuracies = cell.values(seeds, "test_acc")?;
        let right: f64 = accuracies.iter().map(|accuracy| (accuracy * self.images as f64).round()).sum();
        Some(beats_guessing(right as u64, (self.images * seeds.len()) as u64, self.accuracy))
    }
}

/// The largest penalties that a study may still try.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Most {
    pub lambda0: f64,
    pub lambda1: f64,
    pub scratch: f64,
}

impl Most {
    pub const UNBOUNDED: Most = Most { lambda0: f64::INFINITY, lambda1: f64::INFINITY, scratch: f64::INFINITY };

    fn of(settings: &Network) -> Most {
        if settings.penalty.step == Step::Proximal {
            return Most::UNBOUNDED;
        }
        let (source, target) = (&settings.source, &settings.target);
        let lambda1 = if settings.transfer.method == Method::Ridge { f64::INFINITY } else { target.largest_explicit(None) };
        Most { lambda0: source.largest_explicit(None), lambda1, scratch: target.largest_explicit(settings.scratch.lr) }
    }
}

impl Group {
    /// Seeds (positions) to average over: those with nothing missing, or all of them if each lacks something. What diverged is not
    /// missing: it rules out its cell, not its seed.
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

    /// ρ̂ or its cosine over the seeds that have it.
    pub fn aligned(&self, key: &str) -> Option<Interval> {
        let seeds: Vec<usize> =
            (0..self.seeds.len()).filter(|&seed| self.alignment.by_seed.get(seed).is_some_and(Option::is_some)).collect();
        Some(mean_interval(&self.alignment.values(&seeds, key)?))
    }

    /// The same with the last part of each key where that names it, for figures.
    pub fn short_label(&self) -> String {
        let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_string();
        let unique = |name: &str| self.axes.iter().filter(|(path, _)| last(path) == name).count() == 1;
        let name = |path: &String| if unique(&last(path)) { last(path) } else { path.clone() };
        self.axes.iter().map(|(path, value)| format!("{}={}", name(path), show(value))).collect::<Vec<_>>().join(", ")
    }

    /// `width=64, data=mnist`; empty for the only group.
    pub fn label(&self) -> String {
        self.axes.iter().map(|(path, value)| format!("{path}={}", show(value))).collect::<Vec<_>>().join(", ")
    }
}

/// Lays out a study's records.
pub fn groups(study: &Study, plan: &Plan, records: &Records) -> Vec<Group> {
    let mut groups: Vec<Group> = vec![];
    let seeds = &study.seeds;
    // Lambdas first, so that every group knows its grid before its cells are filled.
    let own_axes = |axes: &[(String, Value)]| -> Vec<(String, Value)> {
        axes.iter().filter(|(path, _)| *path != study.strength.axis && path != "lambda1").cloned().collect()
    };
    let strength = |cell: &PlannedCell| match study.strength.stands_for() {
        None => plan.stages[cell.source].lambda,
        Some(axis) => cell.axes.iter().find(|(path, _)| path == axis).and_then(|(_, value)| value.as_f64()).unwrap_or(f64::NAN),
    };
    let position = |groups: &[Group], axes: &[(String, Value)]| groups.iter().position(|group| group.axes == axes);
    let stage = |index: usize| -> &Stage { &plan.stages[index] };
    for cell in &plan.cells {
        let axes = own_axes(&cell.axes);
        let at = position(&groups, &axes).unwrap_or_else(|| {
            groups.push(Group {
                axes,
                strength: study.strength.clone(),
                lambda0: vec![],
                lambda1: vec![],
                scratch_lambda: vec![],
                seeds: seeds.clone(),
                source: vec![],
                target: vec![],
                scratch: vec![],
                alignment: Cell::default(),
                source_guess: Guess::of(&stage(cell.source).settings.source, stage(cell.source).settings.data),
                target_guess: Guess::of(&stage(cell.source).settings.target, stage(cell.source).settings.data),
                most: Most::of(&stage(cell.source).settings),
            });
            groups.len() - 1
        });
        let group = &mut groups[at];
        let add = |list: &mut Vec<f64>, value: f64| {
            if !list.contains(&value) {
                list.push(value)
            }
        };
        add(&mut group.lambda0, strength(cell));
        add(&mut group.lambda1, stage(cell.target).lambda);
        cell.scratch.iter().for_each(|&index| add(&mut group.scratch_lambda, stage(index).lambda));
    }
    for group in &mut groups {
        group.lambda0.sort_by(f64::total_cmp);
        group.lambda1.sort_by(f64::total_cmp);
        group.scratch_lambda.sort_by(f64::total_cmp);
        let empty = Cell::new(seeds.len());
        group.source = vec![empty.clone(); group.lambda0.len()];
        group.target = vec![vec![empty.clone(); group.lambda1.len()]; group.lambda0.len()];
        group.alignment = empty.clone();
        group.scratch = vec![empty; group.scratch_lambda.len()];
    }
    let mut aligned: HashMap<(usize, usize), usize> = HashMap::new();
    for cell in &plan.cells {
        let Some(at) = position(&groups, &own_axes(&cell.axes)) else { continue };
        let group = &mut groups[at];
        let record = |index: usize| records.by_key.get(&stage(index).key);
        let find = |list: &[f64], value: f64| list.iter().position(|&v| v == value);
        let (Some(seed), Some(i), Some(j)) = (
            seeds.iter().position(|&s| s == cell.seed),
            find(&group.lambda0, strength(cell)),
            find(&group.lambda1, stage(cell.target).lambda),
        ) else {
            continue;
        };
        group.source[i].put(seed, record(cell.source));
        group.target[i][j].put(seed, record(cell.target));
        if let Some(index) = cell.alignment {
            match aligned.insert((at, seed), index) {
                // It changes along λ₀ (source.label_noise in its place, say): the setting has no one alignment.
                Some(other) if other != index => group.alignment = Cell::new(seeds.len()),
                _ => group.alignment.put(seed, record(index)),
            }
        }
        for &index in &cell.scratch {
            if let Some(k) = find(&group.scratch_lambda, stage(index).lambda) {
                group.scratch[k].put(seed, record(index));
            }
        }
    }
    groups
}

/// What has become of the stages.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    pub done: usize,
    pub diverged: usize,
    pub failed: usize,
    pub missing: usize,
}

impl Counts {
    pub fn total(&self) -> usize {
        self.done + self.diverged + self.failed + self.missing
    }

    /// `2 diverged, 3 missing`; none where all are done.
    pub fn lacking(&self) -> Option<String> {
        let parts = [(self.diverged, "diverged"), (self.failed, "failed"), (self.missing, "missing")];
        let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// A stage without a result.
#[derive(Debug, Clone)]
pub struct Lacking {
    /// `diverged`, `failed` or `missing`.
    pub state: &'static str,
    pub kind: StageKind,
    /// Its axes: `lambda0=0.1,lambda1=0`.
    pub cell: String,
    pub seed: u64,
    pub key: String,
    /// What its record says.
    pub reason: Option<String>,
}

/// Counts the stages, and names those without a result in plan order.
pub fn count(plan: &Plan, records: &Records) -> (Counts, Vec<Lacking>) {
    let mut counts = Counts::default();
    let mut lacking = vec![];
    for stage in &plan.stages {
        let record = records.by_key.get(&stage.key);
        let state = match record.map(|record| record.status) {
            Some(Status::Done) => {
                counts.done += 1;
                continue;
            }
            Some(Status::Diverged) => {
                counts.diverged += 1;
                "diverged"
            }
            Some(Status::Failed) => {
                counts.failed += 1;
                "failed"
            }
            None => {
                counts.missing += 1;
                "missing"
            }
        };
        lacking.push(Lacking {
            state,
            kind: stage.kind,
            cell: stage.cell_label(),
            seed: stage.seed,
            key: stage.key.clone(),
            reason: record.and_then(|record| record.error.clone()),
        });
    }
    (counts, lacking)
}
