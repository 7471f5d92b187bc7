//! What has become of a plan, as far as its folder tells.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value as Json;

use crate::plan::Plan;
use crate::store::{self, Folder, Records, Status};

/// Numbers of stages by what has become of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Progress {
    /// Diverged stages count as done: they are final.
    pub done: usize,
    /// Of those done.
    pub diverged: usize,
    pub running: usize,
    pub failed: usize,
    pub missing: usize,
}

/// What has become of a plan, as far as its folder tells.
pub fn progress(plan: &Plan, folder: &Folder) -> Result<Progress> {
    let records = Records::read(folder)?;
    let running = running(folder);
    let mut progress = Progress::default();
    for stage in &plan.stages {
        match records.by_key.get(&stage.key).map(|record| record.status) {
            Some(status @ (Status::Done | Status::Diverged)) => {
                progress.done += 1;
                progress.diverged += usize::from(status == Status::Diverged);
            }
            _ if running.contains(&stage.key) => progress.running += 1,
            Some(Status::Failed) => progress.failed += 1,
            None => progress.missing += 1,
        }
    }
    Ok(progress)
}

/// Keys of the stages in work. The sweep says so twice a second; what is older than ten seconds comes from one that died, and so does
/// what a process of this host said that is no more.
fn running(folder: &Folder) -> HashSet<String> {
    let read = || -> Option<HashSet<String>> {
        let path = folder.0.join("running.json");
        let age = std::fs::metadata(&path).ok()?.modified().ok()?.elapsed().unwrap_or_default();
        let json: Json = serde_json::from_slice(&std::fs::read(&path).ok()?).ok()?;
        let keys = json["stages"].as_array().into_iter().flatten().filter_map(|key| Some(key.as_str()?.to_string()));
        let here = json["host"].as_str() == Some(store::host().as_str());
        let gone = here && json["process"].as_u64().is_some_and(|process| !std::path::Path::new(&format!("/proc/{process}")).exists());
        (age < Duration::from_secs(10) && !gone).then(|| keys.collect())
    };
    read().unwrap_or_default()
}
