//! The command line: one file for each subcommand.

mod attempt;
mod bench;
mod chosen;
mod commands;
mod data;
mod doctor;
mod export;
mod launch;
mod places;
mod plan;
mod predict;
mod report;
mod rounds;
mod schema;
mod shard;
mod status;
mod studies;
mod sweep;
mod theory;
mod trackers;
mod watch;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::base::numbers::{bytes, duration};
use crate::base::stderr::print_error;
use crate::base::usage::{usage, UsageError};
use crate::config::network::{read_places_with, read_weights_with};
use crate::config::{cut, Overrides, Study, StudyError, StudyKind};
use crate::data::own::info as data_info;
use crate::data::search_first;
use crate::data::weights::weights_info;
use crate::data::DataError;
use crate::plan::Plan;
use crate::run::ridge;
use crate::store::{Folder, LeaseLost, NewerRecord};
use crate::theory::TheoryError;

const EXAMPLES: &str = "\
Examples:
  transfergrid demo                                       the paper's Figure 1 on data, in half a minute
  transfergrid plan STUDY                                 what would run, and what it costs
  transfergrid sweep STUDY                                run it; the same command resumes it
  transfergrid report logs/demo                           print the answer again
  transfergrid launch slurm STUDY --shards 16 --time 2:00:00    the same on a cluster
  transfergrid theory optimum --gamma 2 --noise 0.5 --rho 0.8   the exact theory, no training
  tensorboard --logdir logs                               watch

Exit codes: 0 done, 1 failed, 2 usage or bad study, 3 some cells of a sweep failed or diverged, 75 interrupted (run it\nagain), 130 quit by a second Ctrl-C.";

/// How strongly should a source model be regularised when the goal is the target task?
#[derive(Debug, Parser)]
#[command(name = "transfergrid", version, after_help = EXAMPLES, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(studies::DemoArgs),
    Studies(studies::StudiesArgs),
    Plan(plan::PlanArgs),
    Sweep(sweep::SweepArgs),
    Bench(bench::BenchArgs),
    Status(status::StatusArgs),
    Launch(launch::LaunchArgs),
    Report(report::ReportArgs),
    Export(export::ExportArgs),
    Predict(predict::PredictArgs),
    Theory(theory::TheoryArgs),
    Data(data::DataArgs),
    Doctor(doctor::DoctorArgs),
    Schema(schema::SchemaArgs),
    Completions(schema::CompletionsArgs),
    Man(schema::ManArgs),
}

/// A study and the overrides from the command line.
#[derive(Debug, Clone, Args)]
struct StudyArgs {
    /// The study's YAML file
    study: PathBuf,
    /// Apply one of the study's presets, e.g. `small`
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Use the seeds 0 … N−1
    #[arg(long, value_name = "N", value_parser = number_of_seeds, allow_negative_numbers = true)]
    seeds: Option<u64>,
    /// Override any key, e.g. `source.lr=0.1` or `lambda0=[0, 1e-3]`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl StudyArgs {
    fn load(&self) -> Result<Study, StudyError> {
        Study::load(&self.study, &Overrides { preset: self.preset.clone(), seeds: self.seeds, set: self.set.clone() })
    }
}

fn number_of_seeds(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| {
        let listed: Vec<&str> = text.trim_matches(['[', ']']).split(',').map(str::trim).collect();
        match listed.len() > 1 && listed.iter().all(|seed| seed.parse::<u64>().is_ok()) {
            true => format!("a number of seeds; these seeds: --set 'seeds=[{}]'", listed.join(", ")),
            false => "a number of seeds, e.g. 5; particular ones: --set 'seeds=[0, 3, 7]'".into(),
        }
    })
}

/// The value of `--data`.
fn data_folder(words: &[String]) -> Option<&Path> {
    let after = words.iter().position(|word| word == "--data").and_then(|at| words.get(at + 1));
    after.map(String::as_str).or_else(|| words.iter().find_map(|word| word.strip_prefix("--data="))).map(Path::new)
}

/// Returns an argument that looks like a setting without `--set` before it, for example
/// `source.lr=0.1`.
fn bare_setting(words: &[String]) -> Option<&String> {
    let is_setting = |word: &str| {
        let key = word.split_once('=').map_or("", |(key, _)| key);
        !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "._".contains(c))
    };
    (1..words.len())
        .filter(|&i| i == 1 || !words[i - 1].starts_with("--") || words[i - 1].contains('='))
        .map(|i| &words[i])
        .find(|word| is_setting(word) && !std::path::Path::new(word.as_str()).exists())
}

/// Parses the command line, runs the subcommand and returns the exit code.
pub fn run() -> Result<u8> {
    let words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let takes_settings = words.get(1).is_some_and(|command| ["plan", "sweep", "bench", "theory"].contains(&command.as_str()));
    if let Some(word) = bare_setting(&words).filter(|_| takes_settings) {
        return Err(usage(
            format!("`{}` is not a valid argument on its own", cut(word)),
            format!("to change a setting: --set {}", cut(word)),
        ));
    }
    if let Some(folder) = data_folder(&words) {
        search_first(folder);
    }
    read_places_with(data_info);
    read_weights_with(weights_info);
    execute(Cli::parse().command)
}

fn execute(command: Command) -> Result<u8> {
    match command {
        Command::Demo(args) => args.run(|words| execute(Cli::parse_from(words).command)),
        Command::Studies(args) => args.run(),
        Command::Plan(args) => args.run(),
        Command::Sweep(args) => args.run(),
        Command::Bench(args) => args.run(),
        Command::Status(args) => args.run(),
        Command::Launch(args) => args.run(),
        Command::Report(args) => args.run(),
        Command::Export(args) => args.run(),
        Command::Predict(args) => args.run(),
        Command::Theory(args) => args.run(),
        Command::Data(args) => args.run(),
        Command::Doctor(args) => args.run(),
        Command::Schema(args) => args.run(),
        Command::Completions(args) => args.run(),
        Command::Man(args) => args.run(),
    }
}

/// 2 for errors that the user can correct (study, flags, data, environment), 75 if another process
/// continues the work, and 1 for all others.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if error.chain().any(|cause| cause.is::<LeaseLost>()) {
        return 75;
    }
    let callers = error.chain().any(|cause| {
        let study = cause.downcast_ref::<StudyError>().is_some_and(|error| !error.may_pass);
        let data = cause.downcast_ref::<DataError>().is_some_and(|error| !error.may_pass);
        let input = study || data || cause.is::<TheoryError>();
        input || cause.is::<UsageError>() || cause.is::<NewerRecord>()
    });
    if callers {
        2
    } else {
        1
    }
}

/// Prints to stdout. A closed pipe (`| head`) is not an error; a full disk is.
fn print(text: &str) {
    use std::io::Write;
    let mut stdout = std::io::stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            print_error(&format!("error: cannot write the output: {error}"));
            std::process::exit(1)
        }
        _ => {}
    }
}

/// Returns an error if the folder holds the results of another study. Another study with the same
/// name needs its own folder. Two studies count as the same if they share a stage. For a ridge
/// study they must share a case, apart from its draws and its seed. `results` returns the keys with
/// results; it is called only if the two studies share no stage.
fn refuse_other_study(folder: &Folder, study: &Study, results: impl FnOnce() -> Result<HashSet<String>>) -> Result<()> {
    // All shards of a study start with the same study file.
    if std::fs::read_to_string(folder.study()).is_ok_and(|text| text == study.to_yaml()) {
        return Ok(());
    }
    let set = match study.kind {
        StudyKind::Network => vec![],
        StudyKind::Ridge => {
            let cases = ridge::cases(study)?;
            cases
                .iter()
                .take(1)
                .flat_map(|case| [format!("draws={}", case.settings.draws), format!("seed={}", case.settings.seed)])
                .collect()
        }
    };
    // A study file that can no longer be read cannot be compared.
    let Ok(old) = Study::load(&folder.study(), &Overrides { set, ..Overrides::default() }) else { return Ok(()) };
    if !stage_keys(&old)?.is_disjoint(&stage_keys(study)?) {
        return Ok(());
    }
    let results = results()?;
    if results.is_empty() {
        return Ok(());
    }
    Err(usage(
        format!(
            "{} holds {} results of another study called `{}`: none of its stages is one of this study's",
            folder.0.display(),
            results.len(),
            study.name
        ),
        "give this study another name, choose another --out, or discard the results with --fresh",
    ))
}

/// The keys of a network study's stages, or of a ridge study's cases.
fn stage_keys(study: &Study) -> Result<HashSet<String>> {
    Ok(match study.kind {
        StudyKind::Network => Plan::new(study)?.stages.into_iter().map(|stage| stage.key).collect(),
        StudyKind::Ridge => ridge::cases(study)?.into_iter().map(|case| case.key).collect(),
    })
}

/// Returns an error if the folder holds results of the other kind of study.
fn refuse_other_kind(folder: &Folder, kind: StudyKind) -> Result<()> {
    match Study::load(&folder.study(), &Overrides::default()) {
        Ok(study) if study.kind != kind => Err(usage(
            format!("{} holds the results of a {} study", folder.0.display(), study.kind.as_str()),
            "give this study another name, or choose another --out",
        )),
        _ => Ok(()),
    }
}
