//! What a sweep found at the places of its study, kept for later runs and for reports.

use anyhow::Result;

use crate::base::stderr::print_error;
use crate::config::network::{DataChoice, DataPlace};
use crate::config::{found_data, FoundData, FOUND_DATA};
use crate::plan::Plan;
use crate::store::{write_atomic, Folder};

/// Writes what was found at the places of the study, and says if that has changed since the
/// last sweep.
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
    match found.is_empty() {
        true => Ok(()),
        false => write_atomic(&folder.0.join(FOUND_DATA), serde_json::to_string_pretty(&found)?.as_bytes()),
    }
}
