//! `plan`: shows what a study would run, and runs nothing.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::rounds::next_round;
use super::{bytes, duration, print, status, StudyArgs};
use crate::config::network::DataChoice;
use crate::config::{show, Network, Study, StudyKind};
use crate::data::{check, find, search_path, Roots};
use crate::plan::{cases, Cost, CostEstimate, Plan, Pretrained, StageKind, CPU_FLOPS_PER_CORE};
use crate::report::render::{Screen, Text};
use crate::run::axis_json;
use crate::settle::replay;
use crate::store::{Folder, Records};

const EXAMPLES: &str = "\
Examples:
  transfergrid plan experiments/cifar10.yaml
  transfergrid plan experiments/cifar10.yaml --preset small --json
  transfergrid plan my.yaml --set 'lambda1=[0, 0.01, 0.1]' --seeds 3";

/// Show what a study would run: axes, cells, stages, packs, time and disk space. Runs nothing
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PlanArgs {
    #[command(flatten)]
    study: StudyArgs,
    /// Show how evenly N shards would divide the work
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    shards: Option<u32>,
    /// Show the progress of the study in its folder under --out
    #[arg(long)]
    status: bool,
    /// Show what the next round of `sweep --until settled` would add, from the results under --out
    #[arg(long, conflicts_with_all = ["status", "shards", "json"])]
    next: bool,
    /// Folder that contains the study's results
    #[arg(long, default_value = "logs", value_name = "FOLDER")]
    out: PathBuf,
    /// Search for data sets in this folder first
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl PlanArgs {
    pub fn run(self) -> Result<u8> {
        let study = self.study.load()?;
        if study.kind == StudyKind::Ridge {
            if self.next {
                Plan::new(&study)?; // says what such a study is run with
            }
            return self.ridge(&study);
        }
        if self.next {
            let folder = Folder(self.out.join(&study.name));
            let records = if folder.records().is_dir() { Records::read(&folder)? } else { Records::default() };
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            print(&format!("{}\n", next_round(&study, &replay(&study, &records)?, &records, cores)));
            return Ok(0);
        }
        let plan = Plan::new(&study)?;
        let data = found_data(&plan, &search_path(self.data.as_deref()))?;
        if self.status {
            status::show(&study.name, &plan, &Folder(self.out.join(&study.name)), self.json)?;
            return Ok(0);
        }
        let shards = self.shards.map(|count| Shares::of(&plan, count as usize));
        let estimate = CostEstimate::of(&plan);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let seconds = estimate.cpu_seconds(cores);
        let count = |kind| plan.count(kind);
        let all: Vec<usize> = (0..plan.stages.len()).collect();
        let packs = plan.packs(&all, 16).len();
        if self.json {
            let axes: serde_json::Map<_, _> =
                study.axes.iter().map(|axis| (axis.path.clone(), axis.values.iter().map(axis_json).collect())).collect();
            let text = json!({
                "study": study.name,
                "axes": axes,
                "seeds": study.all_seeds(),
                "cells": plan.cells.len(),
                "source_stages": count(StageKind::Source),
                "target_stages": count(StageKind::Target),
                "scratch_stages": count(StageKind::Scratch),
                "alignment_stages": count(StageKind::Alignment),
                "packs_of_16": packs,
                "images": estimate.images,
                "operations": estimate.flops,
                "cpu_cores": cores,
                "cpu_seconds": seconds.round(),
                "disk_bytes": estimate.disk_bytes.round(),
                "shards": shards.as_ref().map(|shares| shares.json()),
                "data": data.iter().map(|(name, place)| (name.to_string(), json!({"sha256": name.info().digest, "place": place}))).collect::<BTreeMap<_, _>>(),
            });
            print(&format!("{text:#}\n"));
            return Ok(0);
        }
        let kinds = [
            (StageKind::Source, "source (each shared by all its targets)"),
            (StageKind::Target, "target"),
            (StageKind::Scratch, "from scratch"),
            (StageKind::Alignment, "alignment"),
        ];
        let parts: Vec<String> =
            kinds.into_iter().filter(|(kind, _)| count(*kind) > 0).map(|(kind, words)| format!("{} {words}", count(kind))).collect();
        let on = format!("roughly {} on {cores} core{}", duration(seconds), if cores == 1 { "" } else { "s" });
        let mut rows = vec![
            ("cells", format!("{}, each a λ₀, a λ₁, a setting of the other axes, and a seed", plan.cells.len())),
            ("stages", format!("{}: {}", plan.stages.len(), parts.join(", "))),
            ("packs", format!("{packs} on CUDA, of up to 16 stages each; on CPU every stage is alone")),
            (
                "time",
                format!(
                    "{on}, from {:.2e} operations at {:.0e} a second and core; on CUDA `sweep` estimates it after its first stages",
                    estimate.flops, CPU_FLOPS_PER_CORE
                ),
            ),
            ("disk", format!("about {}", bytes(estimate.disk_bytes))),
        ];
        rows.extend(data.iter().map(|(name, place)| {
            let what = match place {
                Some(place) => format!("{name} in {place}, as published"),
                None if name.info().built_in => format!("{name}, built in"),
                None if matches!(name, DataChoice::Place(_)) => format!("{name}: {}", name.info().in_short()),
                None => format!("{name} is not here (transfergrid data fetch {name})"),
            };
            ("data", what)
        }));
        rows.extend(pretrained(&plan).into_iter().map(|text| ("weights", text)));
        rows.extend(shards.as_ref().map(|shares| ("shards", shares.text())));
        let seeds: Vec<String> = study.all_seeds().iter().map(u64::to_string).collect();
        let screen = Screen::stdout();
        let head = format!("{} stages · {on}", plan.stages.len());
        print(&(opening(&study, &head, &[("seed".into(), seeds)], screen) + &list(&rows, screen)));
        Ok(0)
    }

    /// Shows a ridge study, which has cases and draws instead of cells and stages.
    fn ridge(&self, study: &Study) -> Result<u8> {
        let cases = cases(study)?;
        let designs: HashSet<&str> = cases.iter().map(|case| case.design.as_str()).collect();
        let cells: usize = cases.iter().map(|case| case.cells.len()).sum();
        if self.json {
            let axes: serde_json::Map<_, _> =
                study.axes.iter().map(|axis| (axis.path.clone(), axis.values.iter().map(axis_json).collect())).collect();
            let text =
                json!({"study": study.name, "kind": "ridge", "axes": axes, "cells": cells, "cases": cases.len(), "designs": designs.len()});
            print(&format!("{text:#}\n"));
        } else {
            let rows = [
                ("cells", cells.to_string()),
                ("cases", format!("{}, a grid of λ₀ and λ₁ each", cases.len())),
                ("designs", format!("{}; cases that have the same one share its draws", designs.len())),
            ];
            let screen = Screen::stdout();
            print(&(opening(study, &format!("{} cases, simulated", cases.len()), &[], screen) + &list(&rows, screen)));
        }
        Ok(0)
    }
}

/// Files of weights and of modules, once for each file and network.
fn pretrained(plan: &Plan) -> BTreeSet<String> {
    let settings = plan.stages.iter().filter(|stage| stage.kind == StageKind::Source).map(|stage| &stage.settings);
    let of = |settings: &Arc<Network>| {
        if let Some((file, head)) = settings.model.module() {
            return Some(format!(
                "{}, a TorchScript module with head `{head}`: its operations and parameters are not counted above",
                file.0
            ));
        }
        let file = settings.source.init.as_ref()?;
        Some(Pretrained::of(settings, file).ok()?.in_short(file))
    };
    settings.filter_map(of).collect()
}

/// The path of each data set of a plan, if it is available.
///
/// # Errors
/// An available data set differs from the published one.
fn found_data(plan: &Plan, roots: &Roots) -> Result<Vec<(DataChoice, Option<String>)>> {
    let place = |choice: &DataChoice| -> Result<_> {
        let DataChoice::Named(name) = choice else { return Ok((choice.clone(), None)) };
        let found = find(*name, roots);
        if found.is_some() {
            check(*name, roots)?;
        }
        Ok((choice.clone(), found.map(|path| path.display().to_string())))
    };
    plan.data().into_iter().map(place).collect()
}

/// The division of a study into shards.
struct Shares {
    stages: Vec<usize>,
    /// Seconds on one CPU core.
    seconds: Vec<f64>,
}

impl Shares {
    fn of(plan: &Plan, count: usize) -> Shares {
        let mut shares = Shares { stages: vec![0; count], seconds: vec![0.0; count] };
        for (stage, shard) in plan.stages.iter().zip(plan.shards(count)) {
            shares.stages[shard] += 1;
            shares.seconds[shard] += Cost::of(stage).cpu_seconds();
        }
        shares
    }

    fn empty(&self) -> usize {
        self.stages.iter().filter(|&&stages| stages == 0).count()
    }

    fn json(&self) -> serde_json::Value {
        self.stages.iter().zip(&self.seconds).map(|(stages, s)| json!({"stages": stages, "cpu_core_seconds": s.round()})).collect()
    }

    fn text(&self) -> String {
        let ends = |values: &[f64]| (values.iter().copied().fold(f64::INFINITY, f64::min), values.iter().copied().fold(0.0, f64::max));
        let stages: Vec<f64> = self.stages.iter().map(|&n| n as f64).collect();
        let ((least, most), (short, long)) = (ends(&stages), ends(&self.seconds));
        let empty = match self.empty() {
            0 => String::new(),
            n => format!("; {n} of them empty: a source and its targets stay together"),
        };
        format!(
            "{}: {least} to {most} stages each, roughly {} to {} on one CPU core{empty}",
            self.stages.len(),
            duration(short),
            duration(long)
        )
    }
}

/// Name, size, description and axes of a study. `more` are axes that are not in its list.
fn opening(study: &Study, size: &str, more: &[(String, Vec<String>)], screen: Screen) -> String {
    let description = study.description.as_deref().unwrap_or_default().replace(char::is_control, " ");
    let about = if description.trim().is_empty() { String::new() } else { screen.wrap(description.trim(), "  ", "  ") + "\n\n" };
    let own = study.axes.iter().map(|axis| (axis.path.clone(), axis.values.iter().map(show).collect()));
    let axes: Vec<(String, Vec<String>)> = own.chain(more.iter().cloned()).collect();
    let rows: Vec<(&str, Text)> =
        axes.iter().map(|(path, values)| (path.as_str(), Text::Prose(format!("{:>3}:  {}", values.len(), values.join("  "))))).collect();
    format!("{} · {size}\n\n{about}{}\n\n", screen.bold(&study.name), screen.list_with(0, &rows))
}

fn list(rows: &[(&str, String)], screen: Screen) -> String {
    let rows: Vec<(&str, Text)> = rows.iter().map(|(label, text)| (*label, Text::Prose(text.clone()))).collect();
    screen.list_with(0, &rows) + "\n"
}
