//! `status`: shows the progress of a study in its folder.

use std::collections::HashSet;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::print;
use crate::base::stderr::print_error;
use crate::base::usage::usage;
use crate::config::{Overrides, Study};
use crate::plan::{KeyVersion, Plan};
use crate::report::render::Screen;
use crate::run::{shard_statuses, ShardStatus, StageProgress};
use crate::store::{Folder, Records};

/// Show how many stages of a study are done, running, failed and missing; also works while it runs
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  transfergrid status logs/cifar10\n\nFor a study that is swept in shards, each shard is listed with the process that is working on it."
)]
pub struct StatusArgs {
    /// The study's folder, e.g. logs/cifar10
    folder: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The study of a folder that `sweep` or `theory run` created.
pub fn study(folder: &Folder) -> Result<Study> {
    if !folder.study().is_file() {
        return Err(usage(
            format!("{} is not a study's folder (it has no study.yaml)", folder.0.display()),
            "give the folder that `sweep` made, e.g. logs/demo",
        ));
    }
    Ok(Study::load(&folder.study(), &Overrides::default())?)
}

/// The plan of a folder's study. If none of its stages has a result, but stages under older keys
/// have, it is the plan with those keys.
pub fn plan(study: &Study, folder: &Folder) -> Result<Plan> {
    let has_results = |plan: &Plan| -> Result<bool> {
        let keys: HashSet<&str> = plan.stages.iter().map(|stage| stage.key.as_str()).collect();
        Records::any(folder, |key| keys.contains(key))
    };
    let plan = Plan::new(study)?;
    if folder.record_bytes() == 0 || has_results(&plan)? {
        return Ok(plan);
    }
    let old = Plan::with_keys(study, KeyVersion::Two)?;
    if !has_results(&old)? {
        return Ok(plan);
    }
    print_error(&format!(
        "warning: the results in {} are of an earlier version of transfergrid, which did not verify its data sets; they are shown \
         unchanged, and the next sweep trains all stages again",
        folder.0.display()
    ));
    Ok(old)
}

impl StatusArgs {
    pub fn run(self) -> Result<u8> {
        let folder = Folder(self.folder);
        let study = study(&folder)?;
        let plan = plan(&study, &folder)?;
        show(&study.name, &plan, &folder, self.json)?;
        Ok(0)
    }
}

/// Prints the progress of a plan in its folder.
pub fn show(name: &str, plan: &Plan, folder: &Folder, as_json: bool) -> Result<()> {
    let (shard_statuses, warnings) = shard_statuses(plan, folder)?;
    warnings.iter().for_each(|warning| print_error(&format!("warning: {warning}")));
    print(&if as_json { json(&shard_statuses) } else { text(name, &shard_statuses) });
    Ok(())
}

fn whole(shard_statuses: &[ShardStatus]) -> StageProgress {
    shard_statuses.iter().map(|share| share.progress).sum()
}

fn json(shard_statuses: &[ShardStatus]) -> String {
    let share = |share: &ShardStatus| {
        let mut json = json!(share.progress);
        json["shard"] = json!(share.shard.map(|shard| shard.to_string()));
        json["holder"] = json!(share.holder);
        json["works"] = json!(share.works);
        json
    };
    let mut json = json!(whole(shard_statuses));
    json["shards"] = shard_statuses.iter().map(share).collect();
    format!("{json:#}\n")
}

/// One line for the study and, if it is swept in shards, one line per shard.
fn text(name: &str, shard_statuses: &[ShardStatus]) -> String {
    let screen = Screen::stdout();
    let mut out = screen.wrap(&format!("{name}: {}", words(&whole(shard_statuses))), "", "  ") + "\n";
    for share in shard_statuses {
        let Some(shard) = share.shard else { continue };
        let who = match (&share.holder, share.works) {
            (None, _) => "nobody has started it".to_string(),
            (Some(holder), true) => format!("{holder} works on it"),
            (Some(holder), false) => format!("last by {holder}"),
        };
        let line = format!("shard {:<9} {}; {who}", shard.to_string(), words(&share.progress));
        out.push_str(&(screen.wrap(&line, "  ", "    ") + "\n"));
    }
    out
}

fn words(progress: &StageProgress) -> String {
    let diverged = if progress.diverged > 0 { format!(" ({} diverged)", progress.diverged) } else { String::new() };
    let StageProgress { done, running, failed, missing, .. } = progress;
    format!("{done} of {} stages done{diverged}, {running} running, {failed} failed, {missing} missing", progress.total())
}
