//! What a sweep found at the places of its study and in its files of weights, kept for later runs
//! and for reports.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::base::stderr::print_error;
use crate::config::network::{DataChoice, DataPlace, WeightsFile};
use crate::config::{found_data, found_weights, FoundData, FoundWeights, FOUND_DATA, FOUND_WEIGHTS};
use crate::plan::Plan;
use crate::store::{write_atomic, Folder};

/// Writes what was found at the places of the study and in its files of weights, and says if that
/// has changed since the last sweep.
pub fn remember_places(folder: &Folder, plan: &Plan) -> Result<()> {
    let of = |choice: &DataChoice| match choice {
        DataChoice::Named(_) => None,
        DataChoice::Place(place) => Some(FoundData { place: DataPlace::clone(place), info: choice.info().clone() }),
    };
    let found: Vec<FoundData> = plan.data().into_iter().filter_map(of).collect();
    // A damaged file is written anew.
    for before in found_data(&folder.0).unwrap_or_default() {
        if let Some(now) = found.iter().find(|now| now.place == before.place && now.info.digest != before.info.digest) {
            print_error(&format!(
                "warning: the data at {} have changed since the last sweep ({}; before: {}): their stages are trained anew",
                now.place,
                now.info.in_short(),
                before.info.in_short()
            ));
        }
    }
    if !found.is_empty() {
        write_atomic(&folder.0.join(FOUND_DATA), serde_json::to_string_pretty(&found)?.as_bytes())?;
    }
    remember_weights(folder, plan)
}

fn remember_weights(folder: &Folder, plan: &Plan) -> Result<()> {
    let settings = plan.stages.iter().map(|stage| &stage.settings);
    let files: BTreeSet<&WeightsFile> = settings.flat_map(|of| of.source.init.iter().chain(&of.model.file)).collect();
    let found: Vec<FoundWeights> = files.into_iter().map(|file| FoundWeights { file: file.clone(), info: file.info().clone() }).collect();
    for before in found_weights(&folder.0).unwrap_or_default() {
        if found.iter().any(|now| now.file == before.file && now.info.digest != before.info.digest) {
            print_error(&format!(
                "warning: the weights in {} have changed since the last sweep: their stages are trained anew",
                before.file.0
            ));
        }
    }
    match found.is_empty() {
        true => Ok(()),
        false => write_atomic(&folder.0.join(FOUND_WEIGHTS), serde_json::to_string(&found)?.as_bytes()),
    }
}
