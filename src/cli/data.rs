//! `data`: lists, downloads, verifies and describes data sets.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use super::{bytes, print};
use crate::base::stderr::print_error;
use crate::base::usage::usage;
use crate::config::nearest;
use crate::config::network::{ClassInfo, DataChoice, DataName, DataPlace};
use crate::data::{fetch, find, own, search_path, verify, DataError, Download, Verification};
use crate::report::render::{Screen, Text};
use crate::store::write_atomic;

const EXAMPLES: &str = "\
Examples:
  transfergrid data list
  transfergrid data describe '{images: photos}' --sheet sheet.png
  transfergrid data fetch cifar10
  transfergrid data fetch mnist --mirror https://mirror.example/mnist/
  transfergrid data verify";

/// List, download, check and describe data sets
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
        /// digits, mnist, fashion-mnist, kmnist, emnist-letters (also brings emnist-balanced and
        /// emnist-digits), cifar10, cifar100 (also brings cifar100-coarse), newsgroups
        #[arg(required = true)]
        names: Vec<String>,
        /// Try this server first; the file's name is appended
        #[arg(long, value_name = "URL")]
        mirror: Option<String>,
    },
    /// Say what is at a place: examples, classes, shapes, duplicates, what cannot be read
    Describe {
        /// As in a study, e.g. '{images: photos}' or '{table: a.csv, label: kind}', or a path alone
        spec: String,
        /// Write a picture with a row of examples for each class
        #[arg(long, value_name = "PNG")]
        sheet: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the images that are kept decoded for later starts, and their limit
    Cache {
        /// Remove them
        #[arg(long)]
        clear: bool,
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
                        (_, Some(path)) => match verify(name, &roots).unwrap_or_else(|error| Verification::Wrong(error.what)) {
                            Verification::Wrong(what) => format!("{}, but not the published files: {what}", path.display()),
                            _ => format!("{}, as published", path.display()),
                        },
                        (_, None) => format!("not here (transfergrid data fetch {})", name.as_str()),
                    };
                    print(&format!("{:<16} {what}{n} training {kind}, classes {}: {place}\n", name.as_str(), some(&info.class_names())));
                }
                let known: Vec<PathBuf> = DataName::ALL.into_iter().filter_map(|name| find(name, &roots)).collect();
                for (place, what) in yours(&roots.0, &known) {
                    print(&format!("{place}: {what}\n"));
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
            DataCommand::Describe { spec, sheet, json } => describe(&spec, sheet.as_deref(), json),
            DataCommand::Cache { clear } => cache(clear),
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

/// Shows or empties the cache of decoded images.
fn cache(clear: bool) -> Result<u8> {
    let Some(cache) = own::Cache::of_user() else {
        print("nothing is kept: TRANSFERGRID_CACHE is `off`, or there is no home folder\n");
        return Ok(0);
    };
    let files = cache.files();
    let (n, size) = (files.len(), bytes(files.iter().map(|(_, size)| *size as f64).sum()));
    let folder = cache.folder().display();
    if clear {
        for (path, _) in &files {
            std::fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        print(&format!("{folder}: {n} files removed, {size}\n"));
    } else {
        print(&format!("{folder}: {n} files, {size} of at most {} (TRANSFERGRID_CACHE_GB)\n", bytes(cache.limit() as f64)));
    }
    Ok(0)
}

/// The user's own data in the folders that are searched, by a look at what is in them.
fn yours(roots: &[PathBuf], known: &[PathBuf]) -> Vec<(DataPlace, &'static str)> {
    let mut all = vec![];
    for root in roots {
        let mut entries: Vec<PathBuf> = std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        entries.sort();
        let is_known = |path: &PathBuf| known.iter().any(|known| known.starts_with(path));
        all.extend(entries.iter().filter(|path| !is_known(path)).filter_map(|path| own::look(path)));
    }
    all
}

/// Reads a place and prints what is there.
fn describe(spec: &str, sheet: Option<&Path>, as_json: bool) -> Result<u8> {
    let choice = place_of(spec)?;
    let DataChoice::Place(place) = &choice else {
        return Err(usage(
            format!("{choice} is a published set"),
            "`transfergrid data list` shows these; to describe your own, name a place",
        ));
    };
    let set = own::describe(place)?;
    let info = &set.info;
    if as_json {
        print(&format!("{:#}\n", serde_json::json!({"place": place, "info": info, "notes": set.notes})));
    } else {
        let screen = Screen::stdout();
        let prose = |text: String| Text::Prose(text);
        let mut rows = vec![("found", prose(info.in_short()))];
        if info.name != "own" {
            rows.push(("content", prose(format!("that of {}, so its results are shared with it", info.name))));
        }
        rows.push(("digest", prose(info.digest.clone())));
        rows.extend(set.notes.iter().map(|note| ("note", prose(note.clone()))));
        rows.push(("in a study", prose(format!("data: {place}"))));
        print(&format!("{}\n\n{}\n\n", screen.bold(&choice.to_string()), screen.list_with(0, &rows)));
        let head = ["class", "training", "test"].map(str::to_string).to_vec();
        let class = |class: &ClassInfo| vec![class.name.clone(), class.training.to_string(), class.test.to_string()];
        let shown = info.classes.iter().take(MOST_ROWS).map(class);
        print(&(screen.table(&std::iter::once(head).chain(shown).collect::<Vec<_>>()) + "\n"));
        if info.classes.len() > MOST_ROWS {
            print(&format!("  … and {} more\n", info.classes.len() - MOST_ROWS));
        }
    }
    if let Some(path) = sheet {
        match own::contact_sheet(&set) {
            Some(bytes) => {
                write_atomic(path, &bytes)?;
                print_error(&format!("{}", path.display()));
            }
            None => print_error("only images have a contact sheet"),
        }
    }
    Ok(0)
}

/// Classes that `describe` lists.
const MOST_ROWS: usize = 40;

/// A place as in a study, or as a path alone, whose kind is told by what is there.
fn place_of(spec: &str) -> Result<DataChoice> {
    let wrong = |what: String| usage(what, "for example '{images: FOLDER}', '{npz: FILE}', '{table: FILE, label: COLUMN}'");
    if spec.trim_start().starts_with('{') {
        return serde_yaml::from_str(spec).map_err(|error| wrong(format!("`{spec}`: {error}")));
    }
    if let Ok(named) = serde_yaml::from_value::<DataChoice>(spec.into()) {
        return Ok(named);
    }
    let path = Path::new(spec);
    let place = match own::look(path) {
        Some((place, _)) => place,
        // What is in it is told when it is read.
        None if path.is_dir() => DataPlace { images: Some(spec.to_string()), ..DataPlace::default() },
        None if !path.exists() => return Err(wrong(format!("{spec} is not there"))),
        None => return Err(wrong(format!("{spec}: what kind of data is it?"))),
    };
    Ok(DataChoice::Place(Box::new(place)))
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
