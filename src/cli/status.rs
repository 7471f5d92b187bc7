//! `status`: how far a study's folder is.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::print;
use crate::config::{Overrides, Study};
use crate::plan::Plan;
use crate::run::{progress, shares, usage, Progress, Share};
use crate::store::Folder;

/// Show how many stages of a study are done, running, failed and missing; also while it runs
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  transfergrid status logs/cifar10\n\nOf a study that is swept in shards, each is listed with the process that works on it."
)]
pub struct StatusArgs {
    /// The study's folder, e.g. logs/cifar10
    folder: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The study of a folder that `sweep` or `theory run` made.
pub fn study(folder: &Folder) -> Result<Study> {
    if !folder.study().is_file() {
        return Err(usage(
            format!("{} is not a study's folder (it has no study.yaml)", folder.0.display()),
            "give the folder that `sweep` made, e.g. logs/demo",
        ));
    }
    Ok(Study::load(&folder.study(), &Overrides::default())?)
}

impl StatusArgs {
    pub fn run(self) -> Result<u8> {
        let folder = Folder(self.folder);
        let study = study(&folder)?;
        let plan = Plan::new(&study)?;
        print(&match self.json {
            true => json(&plan, &folder)?,
            false => text(&study.name, &plan, &folder)?,
        });
        Ok(0)
    }
}

pub fn json(plan: &Plan, folder: &Folder) -> Result<String> {
    let mut json = json!(progress(plan, folder)?);
    let share = |share: &Share| {
        let mut json = json!(share.progress);
        json["shard"] = share.shard.map_or(json!(null), |shard| json!(shard.to_string()));
        json["holder"] = json!(share.holder);
        json["works"] = json!(share.works);
        json
    };
    json["shards"] = shares(plan, folder, None)?.iter().map(share).collect();
    Ok(format!("{json:#}\n"))
}

/// A line for the study, and where it is swept in shards one for each.
pub fn text(name: &str, plan: &Plan, folder: &Folder) -> Result<String> {
    let mut out = format!("{name}: {}\n", words(&progress(plan, folder)?));
    for share in shares(plan, folder, None)? {
        let Some(shard) = share.shard else { continue };
        let who = match (&share.holder, share.works) {
            (None, _) => "nobody has started it".to_string(),
            (Some(holder), true) => format!("{holder} works on it"),
            (Some(holder), false) => format!("last by {holder}"),
        };
        out.push_str(&format!("  shard {:<9} {}; {who}\n", shard.to_string(), words(&share.progress)));
    }
    Ok(out)
}

fn words(progress: &Progress) -> String {
    let diverged = if progress.diverged > 0 { format!(" ({} diverged)", progress.diverged) } else { String::new() };
    let Progress { done, running, failed, missing, .. } = progress;
    format!("{done} of {} stages done{diverged}, {running} running, {failed} failed, {missing} missing", progress.total())
}
