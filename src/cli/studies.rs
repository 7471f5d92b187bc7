//! `studies` and `demo`: the shipped studies, from anywhere.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::print;
use crate::base::usage::usage;
use crate::config::{nearest, Overrides, Study};
use crate::report::render::{Screen, Text};
use crate::store::write_atomic;

/// Names and texts of the studies in experiments/.
macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../experiments/", $name, ".yaml")))),*]
    };
}

/// The demo first, then networks, then the theory.
pub const SHIPPED: &[(&str, &str)] = shipped![
    "demo",
    "collapse",
    "mnist",
    "cifar10",
    "newsgroups",
    "super-aligned",
    "cifar10-l2sp-vs-finetune",
    "cifar10-to-cifar100",
    "cifar10-target-size",
    "mnist-target-size",
    "implicit-regularisation",
    "multi-target-networks",
    "architectures-cifar100",
    "scaling-networks",
    "beyond-l2",
    "beyond-l2-dropout",
    "beyond-l2-smoothing",
    "figure1",
    "noise-ablation",
    "target-size",
    "target-size-anisotropic",
    "covariance",
    "scaling",
    "mismatch-cost",
    "multi-target",
];

const EXAMPLES: &str = "\
Examples:
  transfergrid studies                        list them
  transfergrid studies cifar10                print one
  transfergrid studies --write experiments    write all of them to a folder, to run and to change them";

/// List the shipped studies, print one, or write them to a folder
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct StudiesArgs {
    /// Print this study
    name: Option<String>,
    /// Write all studies to this folder; files that are there are kept
    #[arg(long, value_name = "FOLDER", conflicts_with = "name")]
    write: Option<PathBuf>,
}

impl StudiesArgs {
    pub fn run(self) -> Result<u8> {
        if let Some(folder) = self.write {
            std::fs::create_dir_all(&folder).map_err(|error| usage(format!("{}: {error}", folder.display()), "choose another folder"))?;
            for (name, text) in SHIPPED {
                let file = folder.join(format!("{name}.yaml"));
                match file.exists() {
                    true => print(&format!("{} is kept\n", file.display())),
                    false => {
                        write_atomic(&file, text.as_bytes())?;
                        print(&format!("{}\n", file.display()));
                    }
                }
            }
            return Ok(0);
        }
        match self.name {
            Some(name) => print(text(&name)?),
            None => print(&list()?),
        }
        Ok(0)
    }
}

fn text(name: &str) -> Result<&'static str> {
    let wanted = name.trim_end_matches(".yaml");
    match SHIPPED.iter().find(|(known, _)| *known == wanted) {
        Some((_, text)) => Ok(text),
        None => {
            let near = nearest(wanted, SHIPPED.iter().map(|(name, _)| *name));
            let hint = near.map_or("`transfergrid studies` lists them".into(), |near| format!("did you mean `{near}`?"));
            Err(usage(format!("there is no shipped study `{wanted}`"), hint))
        }
    }
}

/// The studies, each with what it asks.
fn list() -> Result<String> {
    let folder = Unpacked::new()?;
    let row = |(name, _): &(&'static str, &str)| -> Result<(&'static str, Text)> {
        let study = Study::load(&folder.study(name), &Overrides::default())?;
        Ok((*name, Text::Prose(study.description.unwrap_or_default().trim().to_string())))
    };
    let rows: Vec<(&str, Text)> = SHIPPED.iter().map(row).collect::<Result<_>>()?;
    Ok(Screen::stdout().list_with(0, &rows) + "\n")
}

/// The shipped studies in a temporary folder: some of them extend another.
struct Unpacked(PathBuf);

impl Unpacked {
    fn new() -> Result<Unpacked> {
        let folder = std::env::temp_dir().join(format!("transfergrid-studies-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        for (name, text) in SHIPPED {
            write_atomic(&folder.join(format!("{name}.yaml")), text.as_bytes())?;
        }
        Ok(Unpacked(folder))
    }

    fn study(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.yaml"))
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0); // the system clears its temporary folder
    }
}

/// Run the demo: the paper's Figure 1 on the embedded digits, in half a minute
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Arguments of `sweep`, e.g. --preset small
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    more: Vec<String>,
}

impl DemoArgs {
    /// Calls `sweep` with the words of its command line.
    pub fn run(self, sweep: impl FnOnce(Vec<String>) -> Result<u8>) -> Result<u8> {
        let folder = Unpacked::new()?;
        let study = folder.study("demo").display().to_string();
        sweep([vec!["transfergrid".into(), "sweep".into(), study], self.more].concat())
    }
}
