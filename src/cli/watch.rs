//! Displays a running sweep: the progress line, TensorBoard, and the report's summary in both.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::base::numbers::{number, significant};
use crate::config::{Selection, Study};
use crate::plan::{Cell, Cost, Plan, Shard, Stage, StageKind, StageSelection};
use crate::report::analysis::stats::{mean, percentile};
use crate::report::analysis::{analyse, CellResults, Metric, SettingAnalysis};
use crate::report::render::{axes_label, board_figures, board_text, heat_map_rgb};
use crate::run::engine::Epoch;
use crate::run::Watcher;
use crate::store::{histories, Folder, Record, Records, Status};
use crate::track::{Board, CellRun, ProgressDisplay, Summary, RUN_LIMIT};

/// Shortest time between two computations of the summary. If the computation is slow, it takes at
/// most a twentieth of the time.
const SUMMARY_EVERY: Duration = Duration::from_secs(20);
const SUMMARY_SHARE: u32 = 20;
/// Time between two updates of the workers' utilisation in TensorBoard.
const PULSE_EVERY: Duration = Duration::from_secs(5);

/// Largest number of stages for which the first shard reads all records to show a summary while the
/// others run.
const SHARED_LIMIT: usize = 20_000;

pub struct Watch<'a> {
    study: &'a Study,
    plan: &'a Plan,
    folder: &'a Folder,
    shard: Option<Shard>,
    board: Board,
    progress: ProgressDisplay,
    /// The keys of the from-scratch stages of each target stage, by the target's key.
    twins: HashMap<&'a str, Vec<&'a str>>,
    summarised: Instant,
    /// Duration of the last summary.
    summary_took: Duration,
    /// Time of the last update of the sweep's utilisation in TensorBoard.
    utilisation: Instant,
    changed: bool,
    /// Stages without a result are told at the end alone.
    quiet: bool,
}

impl<'a> Watch<'a> {
    pub fn new(
        study: &'a Study,
        plan: &'a Plan,
        part: &'a StageSelection,
        folder: &'a Folder,
        records: &Records,
        quiet: bool,
    ) -> Watch<'a> {
        let to_do: Vec<&Stage> = part.stages(plan).map(|(_, stage)| stage).filter(|stage| !records.is_final(&stage.key)).collect();
        let work = to_do.iter().map(|stage| Cost::of(stage).flops).sum();
        let (board, warning) = Board::open(&folder.tensorboard(), study, plan, part.shard);
        let key = |index: usize| plan.stages[index].key.as_str();
        let of_draw =
            |cell: &'a Cell, (draw, &target): (usize, &usize)| (key(target), cell.scratch.iter().map(|twin| key(twin[draw])).collect());
        let twins = plan.cells.iter().flat_map(|cell| cell.targets.iter().enumerate().map(move |target| of_draw(cell, target))).collect();
        let mut watch = Watch {
            study,
            plan,
            folder,
            shard: part.shard,
            board,
            progress: ProgressDisplay::new("stages", "images", to_do.len(), work, quiet),
            twins,
            summarised: Instant::now(),
            summary_took: Duration::ZERO,
            utilisation: Instant::now(),
            changed: false,
            quiet,
        };
        watch.tell(warning);
        watch.reconcile(part, records);
        watch
    }

    /// Makes TensorBoard show the same stages as the report. Runs of stages that left the study
    /// have been removed. Finished stages that are part of the study again get their runs back.
    fn reconcile(&mut self, part: &StageSelection, records: &Records) {
        if self.board.withdrawn > 0 {
            self.say(&format!("TensorBoard: {} runs that are no longer in the study are removed", self.board.withdrawn));
        }
        if !self.board.has_every_stage() {
            return; // here the runs of the best cells are written at the end
        }
        let lacks = |stage: &Stage| {
            records.by_key.get(&stage.key).is_some_and(|record| record.status == Status::Done) && !self.board.has_run(stage)
        };
        let back: Vec<&Stage> = part.stages(self.plan).map(|(_, stage)| stage).filter(|stage| lacks(stage)).collect();
        self.replay(&back, records);
    }

    /// Writes the runs of finished stages from their records.
    fn replay(&mut self, stages: &[&Stage], records: &Records) {
        if stages.is_empty() {
            return;
        }
        let keys: HashSet<&str> = stages.iter().map(|stage| stage.key.as_str()).collect();
        let histories = match histories(self.folder, |key| keys.contains(key)) {
            Ok(histories) => histories,
            Err(error) => return self.tell(Some(format!("finished stages are missing in TensorBoard: {error:#}"))),
        };
        for stage in stages {
            if let Some((record, epochs)) = records.by_key.get(&stage.key).zip(histories.get(&stage.key)) {
                let gain = if stage.kind == StageKind::Target { self.gain(&stage.key, records) } else { None };
                let warning = self.board.replay(stage, record, epochs, gain);
                self.tell(warning);
            }
        }
    }

    pub fn say(&self, message: &str) {
        self.progress.say(message);
    }

    fn tell(&self, warning: Option<String>) {
        if let Some(warning) = warning {
            self.progress.say(&format!("warning: {warning}"));
        }
    }

    /// A target's test accuracy (or R²) minus that of training from scratch, with the λ that is
    /// best by validation.
    fn gain(&self, key: &str, records: &Records) -> Option<f64> {
        let metric = |key: &str, name: &str| records.by_key.get(key)?.metrics.get(name).copied();
        let score = Metric::of(Selection::Accuracy, self.plan.is_regression());
        let (validation, test) = (score.validation_key(), score.test_key());
        let twins = self.twins.get(key)?.iter().filter_map(|twin| Some((metric(twin, validation)?, metric(twin, test)?)));
        let (_, best) = twins.max_by(|a, b| a.0.total_cmp(&b.0))?;
        Some(metric(key, test)? - best)
    }

    /// Writes the answer so far; at the end with the report's figures.
    fn summarise(&mut self, records: &Records, is_last: bool) {
        self.summarised = Instant::now();
        self.changed = false;
        let analysis = analyse(self.study, self.plan, records);
        let mut summary = Summary::default();
        for of_setting in &analysis.settings {
            let setting = &of_setting.setting;
            let prefix = if setting.axes.is_empty() { String::new() } else { format!("{}/", axes_label(&setting.axes)) };
            curves(&prefix, of_setting, &mut summary);
            match heat_map_rgb(&analysis.name, of_setting) {
                Ok(Some((rgb, width, height))) => summary.images.push((format!("{prefix}target_test_heatmap"), rgb, width, height)),
                Ok(None) => {}
                Err(error) => self.progress.say(&format!("warning: no heat map for TensorBoard: {error:#}")),
            }
            if let Some(answered) = of_setting.answer.answered() {
                let estimate = |lambda0: f64| number(significant(lambda0, 3));
                self.progress.set_best(format!(
                    "so far λ_S* = {}, λ₀* = {}, λ₁ = {}",
                    estimate(answered.source_lambda0(setting)),
                    estimate(answered.transfer_lambda0(setting)),
                    number(setting.lambda1[answered.transfer.1])
                ));
            }
        }
        summary.text = board_text(&analysis);
        // Drawn once: they take longer than the rest.
        match is_last.then(|| board_figures(&analysis)).transpose() {
            Ok(figures) => summary.images.splice(0..0, figures.into_iter().flatten()).for_each(drop),
            Err(error) => self.progress.say(&format!("warning: no figures for TensorBoard: {error:#}")),
        }
        let warning = self.board.answer(&summary);
        self.tell(warning);
    }

    /// Writes the last summary. If the study is too large for one run per stage, it also writes the
    /// runs of the best cells. `all` holds every record of the study, if this process reports for
    /// the whole study.
    pub fn finish(&mut self, all: Option<&Records>) {
        self.progress.finish();
        let warning = self.board.utilisation(&self.progress.utilisation());
        self.tell(warning);
        let Some(records) = all else { return };
        self.summarise(records, true);
        let cells = match self.board.has_every_stage() {
            true => vec![],
            false => {
                let warning = self.board.keep_only(&[]);
                self.tell(warning);
                self.best_cells(records)
            }
        };
        let warning = self.board.cells(&cells);
        self.tell(warning);
    }

    /// Updates the summary while the sweep runs. With shards, the first shard does so for the whole
    /// study, unless the records are too many to be read each time.
    fn follow(&mut self, records: &Records) {
        match self.shard {
            None => self.summarise(records, false),
            Some(shard) if shard.index == 0 && self.plan.stages.len() <= SHARED_LIMIT => match Records::read(self.folder) {
                Ok(records) => self.summarise(&records, false),
                Err(error) => self.tell(Some(format!("no summary for TensorBoard: {error:#}"))),
            },
            Some(_) => {}
        }
    }

    /// The cells with the best mean validation metric, averaged over seeds and draws. Each setting
    /// has equally many.
    fn best_cells(&mut self, records: &Records) -> Vec<CellRun<'a>> {
        let metric = Metric::of(self.study.led_by(), self.plan.is_regression());
        let mut cells: BTreeMap<String, Vec<(&'a Stage, &Record)>> = BTreeMap::new();
        for stage in self.plan.stages.iter().filter(|stage| stage.kind == StageKind::Target) {
            if let Some(record) = records.by_key.get(&stage.key).filter(|record| record.status == Status::Done) {
                cells.entry(stage.cell_label()).or_default().push((stage, record));
            }
        }
        let score = |own: &[(&Stage, &Record)]| {
            let values: Vec<f64> = own.iter().filter_map(|(_, record)| record.metrics.get(metric.validation_key()).copied()).collect();
            metric.score(mean(&values))
        };
        let mut cells: Vec<Vec<(&'a Stage, &Record)>> = cells.into_values().collect();
        cells.sort_by(|a, b| score(b).total_cmp(&score(a)));
        let mut taken: HashMap<String, usize> = HashMap::new();
        cells.sort_by_cached_key(|own| {
            let rank = taken.entry(format!("{:?}", self.study.values_of(&own[0].0.axes))).or_default();
            *rank += 1;
            *rank
        });
        cells.truncate(RUN_LIMIT);
        let keys: HashSet<&str> = cells.iter().flatten().map(|(stage, _)| stage.key.as_str()).collect();
        let histories = match histories(self.folder, |key| keys.contains(key)) {
            Ok(histories) => histories,
            Err(error) => {
                self.tell(Some(format!("the best cells are missing in TensorBoard: {error:#}")));
                return vec![];
            }
        };
        let cell = |own: Vec<(&'a Stage, &Record)>| {
            let courses: Vec<&Vec<serde_json::Value>> = own.iter().filter_map(|(stage, _)| histories.get(&stage.key)).collect();
            let longest = courses.iter().map(|course| course.len()).max().unwrap_or(0);
            let mut finals: Vec<(String, f64, f64, f64)> = ["test_loss", "test_acc", "test_r2"]
                .iter()
                .filter_map(|name| spread(name, own.iter().filter_map(|(_, record)| record.metrics.get(*name).copied()).collect()))
                .collect();
            let gains = own.iter().filter_map(|(stage, _)| self.gain(&stage.key, records)).collect();
            finals.extend(spread("transfer_gain", gains));
            let epoch = |i: usize| {
                let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
                for (name, value) in courses.iter().filter_map(|course| course.get(i)?.as_object()).flatten() {
                    if let Some(value) = value.as_f64().filter(|_| name != "epoch") {
                        values.entry(name.clone()).or_default().push(value);
                    }
                }
                values.into_iter().map(|(name, values)| (name, mean(&values))).collect()
            };
            CellRun { stage: own[0].0, epochs: (0..longest).map(epoch).collect(), finals }
        };
        cells.into_iter().map(cell).collect()
    }
}

/// Mean, and the 5% and 95% percentiles of the values. None if there are none.
fn spread(name: &str, mut values: Vec<f64>) -> Option<(String, f64, f64, f64)> {
    values.sort_by(f64::total_cmp);
    (!values.is_empty()).then(|| (name.to_string(), mean(&values), percentile(&values, 0.05), percentile(&values, 0.95)))
}

/// Curves over λ₀ of the source, and of the target with the λ₁ that is best for each λ₀. The step
/// is the position of λ₀ in the grid. The spread over seeds is given by percentiles, which are
/// cheap enough to compute during a sweep.
fn curves(prefix: &str, analysis: &SettingAnalysis, summary: &mut Summary) {
    let (setting, metric) = (&analysis.setting, analysis.basis.metric);
    let values = |cell: &CellResults, key: &str| {
        let seeds: Vec<usize> = (0..cell.by_seed.len()).filter(|&seed| cell.by_seed[seed].is_some()).collect();
        cell.values(&seeds, key)
    };
    let score = |cell: &CellResults| values(cell, metric.validation_key()).map(|values| metric.score(mean(&values)));
    let mut add = |tag: &str, i: usize, cell: &CellResults| {
        if let Some((_, mean, lower, upper)) = values(cell, metric.test_key()).and_then(|values| spread(tag, values)) {
            summary.scalars.push((format!("answer/{prefix}{tag}_test_{}_over_lambda0", metric.name()), i, mean, lower, upper));
        }
    };
    for i in 0..setting.lambda0.len() {
        add("source", i, &setting.source[i]);
        let best = setting.target[i].iter().filter_map(|cell| Some((score(cell)?, cell)));
        if let Some((_, cell)) = best.max_by(|a, b| a.0.total_cmp(&b.0)) {
            add("target", i, cell);
        }
    }
}

impl Watcher for Watch<'_> {
    fn started(&mut self, stage: &Stage) {
        let warning = self.board.started(stage);
        self.tell(warning);
    }

    fn epoch(&mut self, stage: &Stage, epoch: &Epoch, trained: bool) {
        let of_all = [("train_loss", epoch.train_loss), ("val_loss", epoch.val_loss), ("distance", epoch.distance)];
        let score = epoch.val_acc.map(|value| ("val_acc", value)).or(epoch.val_r2.map(|value| ("val_r2", value)));
        let values: Vec<(&str, f64)> = of_all.into_iter().chain(score).collect();
        let warning = self.board.epoch(stage, epoch.epoch, &values);
        self.tell(warning);
        let (cost, epochs) = (Cost::of(stage), stage.phase().epochs as f64);
        match trained {
            true => self.progress.epoch(cost.images / epochs, cost.flops / epochs),
            false => self.progress.spare(cost.flops / epochs),
        }
    }

    fn ended(&mut self, stage: &Stage, record: &Record, records: &Records) {
        let gain = if stage.kind == StageKind::Target { self.gain(&stage.key, records) } else { None };
        let warning = self.board.ended(stage, record, gain);
        self.tell(warning);
        if record.status != Status::Done && !self.quiet {
            let what = record.error.as_deref().unwrap_or("no reason given").lines().next().unwrap_or_default();
            self.progress.say(&format!("{} {} {}: {what}", stage.kind.as_str(), stage.label(), record.status.as_str()));
        }
        self.progress.stage_ended();
        self.changed = true;
    }

    fn tick(&mut self, records: &Records, busy: f64) {
        self.progress.busy(busy);
        if self.utilisation.elapsed() > PULSE_EVERY {
            self.utilisation = Instant::now();
            let warning = self.board.utilisation(&self.progress.utilisation());
            self.tell(warning);
        }
        if self.changed && self.summarised.elapsed() > SUMMARY_EVERY.max(SUMMARY_SHARE * self.summary_took) {
            let started = Instant::now();
            self.follow(records);
            (self.summarised, self.summary_took) = (Instant::now(), started.elapsed());
        }
    }

    fn stopping(&mut self) {
        self.progress.say("stopping: the current steps are finished and their state is saved");
    }

    fn retry(&mut self, stages: &[&Stage]) {
        self.progress.more(stages.len(), stages.iter().map(|stage| Cost::of(stage).flops).sum());
    }

    fn warn(&mut self, message: &str) {
        self.progress.say(&format!("warning: {message}"));
    }
}
