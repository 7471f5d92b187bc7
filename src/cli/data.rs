//! `data`: lists, downloads and verifies data sets.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use super::{bytes, print};
use crate::base::stderr::print_error;
use crate::base::usage::usage;
use crate::config::nearest;
use crate::config::network::DataName;
use crate::data::{fetch, find, search_path, verify, DataError, Download, Verification};

const EXAMPLES: &str = "\
Examples:
  transfergrid data list
  transfergrid data fetch cifar10
  transfergrid data fetch mnist --mirror https://mirror.example/mnist/
  transfergrid data verify";

/// List, download and check data sets
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DataArgs {
    #[command(subcommand)]
    command: DataCommand,
    /// Search (and download to) this folder before TRANSFERGRID_DATA and data/
    #[arg(long, value_name = "FOLDER", global = true)]
    data: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum DataCommand {
    /// List the data sets and where they were found
    List,
    /// Download data sets; resumes an interrupted download
    Fetch {
        /// digits, mnist, cifar10, cifar100 (also brings cifar100-coarse), newsgroups
        #[arg(required = true)]
        names: Vec<String>,
        /// Try this server first; the file's name is appended
        #[arg(long, value_name = "URL")]
        mirror: Option<String>,
    },
    /// Compare files with the published checksums
    Verify {
        /// Data sets to verify [default: all that were found]
        names: Vec<String>,
    },
}

fn parse(name: &str) -> Result<DataName> {
    let all = DataName::ALL.map(DataName::as_str);
    DataName::ALL.into_iter().find(|known| known.as_str() == name).ok_or_else(|| {
        let near = nearest(name, all).map_or(String::new(), |near| format!("did you mean {near}? "));
        usage(format!("there is no data set `{name}`"), format!("{near}the data sets are {}", all.join(", ")))
    })
}

impl DataArgs {
    pub fn run(self) -> Result<u8> {
        let roots = search_path(self.data.as_deref());
        match self.command {
            DataCommand::List => {
                for name in DataName::ALL {
                    let info = name.info();
                    let what = match info.image_shape {
                        Some([height, width, channels]) => format!("{height}×{width}×{channels}, "),
                        None => String::new(),
                    };
                    let kind = if info.is_text() { "documents" } else { "images" };
                    let n: usize = info.classes.iter().map(|class| class.training).sum();
                    let place = match (info.built_in, find(name, &roots)) {
                        (true, _) => "built in".to_string(),
                        (_, Some(path)) => path.display().to_string(),
                        (_, None) => format!("not here (transfergrid data fetch {})", name.as_str()),
                    };
                    print(&format!("{:<16} {what}{n} training {kind}, classes {}: {place}\n", name.as_str(), some(&info.class_names())));
                }
                Ok(0)
            }
            DataCommand::Fetch { names, mirror } => {
                let (folder, mut failed) = (roots.0[0].clone(), None);
                for name in names.iter().map(|name| parse(name)).collect::<Result<Vec<_>>>()? {
                    let sources = Download::of(name, mirror.as_deref());
                    if sources.is_empty() {
                        print(&format!("{}: built in, nothing to fetch\n", name.as_str()));
                    } else if verify(name, &roots).is_ok_and(|found| found == Verification::Right) {
                        print(&format!("{}: already here, checksums are correct\n", name.as_str()));
                    } else {
                        // A failed download does not stop the others. Earlier errors are printed;
                        // the last one is returned.
                        if let Err(error) = sources.iter().try_for_each(|source| fetch_one(source, &folder)) {
                            failed.replace(error).into_iter().for_each(|earlier| print_error(&format!("error: {earlier:#}")));
                        }
                    }
                }
                failed.map_or(Ok(0), Err)
            }
            DataCommand::Verify { names } => {
                let chosen = match names.is_empty() {
                    true => DataName::ALL.to_vec(),
                    false => names.iter().map(|name| parse(name)).collect::<Result<Vec<_>>>()?,
                };
                let mut wrong = vec![];
                for name in chosen {
                    let found = verify(name, &roots).unwrap_or_else(|error| Verification::Wrong(error.what));
                    let words = match found {
                        Verification::Right => "correct (published checksums)".to_string(),
                        Verification::BuiltIn => "built in".into(),
                        Verification::NotFound if names.is_empty() => "not here".into(),
                        Verification::NotFound => {
                            wrong.push(name.as_str());
                            "not here".into()
                        }
                        Verification::Wrong(what) => {
                            wrong.push(name.as_str());
                            format!("WRONG: {what}")
                        }
                    };
                    print(&format!("{}: {words}\n", name.as_str()));
                }
                match wrong.is_empty() {
                    true => Ok(0),
                    false => Err(DataError {
                        what: format!("missing or not correct: {}", wrong.join(", ")),
                        hint: format!("remove the wrong files and run `transfergrid data fetch {}`", wrong.join(" ")),
                        may_pass: false,
                    }
                    .into()),
                }
            }
        }
    }
}

/// All names if there are few; otherwise the first three and the last.
fn some(names: &[&str]) -> String {
    match names {
        [a, b, c, .., last] if names.len() > 10 => format!("{a} {b} {c} … {last} ({})", names.len()),
        all => all.join(" "),
    }
}

fn fetch_one(source: &Download, folder: &std::path::Path) -> Result<()> {
    let name = source.path.display().to_string();
    let bar = std::io::stderr().is_terminal().then(|| {
        let bar = ProgressBar::no_length();
        // The template is a constant. If it were invalid, indicatif's default style would be used.
        if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}") {
            bar.set_style(style);
        }
        bar.set_message(name.clone());
        bar
    });
    let mut said = Instant::now();
    let there = fetch(source, folder, &mut |done, total| match &bar {
        Some(bar) => {
            if let Some(total) = total {
                bar.set_length(total);
            }
            bar.set_position(done);
        }
        None if said.elapsed().as_secs() >= 5 => {
            said = Instant::now();
            print_error(&format!("{name}: {} of {}", bytes(done as f64), total.map_or("?".into(), |total| bytes(total as f64))));
        }
        None => {}
    })?;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    print(&format!("{}: {}\n", folder.join(&source.path).display(), if there { "already here" } else { "downloaded and checked" }));
    Ok(())
}
