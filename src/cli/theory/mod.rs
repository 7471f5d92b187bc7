//! `theory`: the exact theory of L2-SP ridge regression, and fits to the user's data.

mod boundary;
mod fit;
mod optimum;
mod risk;
mod run;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Map, Value as Json};

use crate::base::usage::usage;
use crate::config::{Overrides, Study, StudyKind};
use crate::plan::Case;
use crate::run::axis_json;
use crate::run::ridge::cases;

const EXAMPLES: &str = "\
Examples:
  transfergrid theory optimum --gamma 2 --noise 0.5 --rho 0.8          λ_S*, λ₀* and their ratio, isotropic
  transfergrid theory run experiments/figure1.yaml                     the paper's Figure 1, predicted and simulated
  transfergrid theory fit --source a.csv --target b.csv --response y   λ₀ and λ₁ for your own data

Formulas and symbols: docs/theory.md. Studies: docs/study.md (ridge studies). No libtorch is needed.";

/// Exact theory of L2-SP ridge regression: optimal penalties, risks, simulation, fits to your data
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct TheoryArgs {
    #[command(subcommand)]
    command: TheoryCommand,
}

#[derive(Debug, Subcommand)]
enum TheoryCommand {
    Optimum(optimum::OptimumArgs),
    Risk(risk::RiskArgs),
    Boundary(boundary::BoundaryArgs),
    Run(run::RunArgs),
    Fit(fit::FitArgs),
}

impl TheoryArgs {
    pub fn run(self) -> Result<u8> {
        match self.command {
            TheoryCommand::Optimum(args) => args.run(),
            TheoryCommand::Risk(args) => args.run(),
            TheoryCommand::Boundary(args) => args.run(),
            TheoryCommand::Run(args) => args.run(),
            TheoryCommand::Fit(args) => args.run(),
        }
    }
}

/// A ridge study and the overrides from the command line.
#[derive(Debug, Clone, Args)]
struct RidgeStudyArgs {
    /// A study's YAML file with `kind: ridge`, e.g. experiments/figure1.yaml
    study: PathBuf,
    /// Apply one of the study's presets
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Override any key, e.g. `rho=0.7` or `lambda0=[1, 10, 100]`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl RidgeStudyArgs {
    fn load(&self) -> Result<(Study, Vec<Case>)> {
        load(&self.study, &self.preset, &self.set)
    }
}

/// Loads a ridge study with its cases.
fn load(file: &std::path::Path, preset: &Option<String>, set: &[String]) -> Result<(Study, Vec<Case>)> {
    let study = Study::load(file, &Overrides { preset: preset.clone(), seeds: None, set: set.to_vec() })?;
    if study.kind != StudyKind::Ridge {
        return Err(usage(
            format!("{} is a study of networks", file.display()),
            "run it with `transfergrid sweep`; a study with `kind: ridge` at its top is one for `theory`",
        ));
    }
    let cases = cases(&study)?;
    Ok((study, cases))
}

/// The axes of a case by key, as the first fields of a JSON row.
fn axes_json(case: &Case) -> Map<String, Json> {
    case.axes.iter().map(|(path, value)| (path.clone(), axis_json(value))).collect()
}

/// A number as JSON; null if it is not finite.
fn finite(value: f64) -> Json {
    match value.is_finite() {
        true => value.into(),
        false => Json::Null,
    }
}

/// A table with right-aligned columns, for a terminal.
fn table(head: &[String], rows: &[Vec<String>]) -> String {
    let all = || std::iter::once(head).chain(rows.iter().map(Vec::as_slice));
    let widths: Vec<usize> = (0..head.len()).map(|c| all().map(|row| row[c].chars().count()).max().unwrap_or(0)).collect();
    let line = |row: &[String]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{}{cell}", " ".repeat(width - cell.chars().count())));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_string() + "\n"
    };
    all().map(line).collect()
}

/// The values of a case's axes, for a table.
fn axis_cells(case: &Case) -> Vec<String> {
    case.axes.iter().map(|(_, value)| crate::config::show(value)).collect()
}

fn axis_names(case: &Case) -> Vec<String> {
    case.axes.iter().map(|(path, _)| path.clone()).collect()
}
