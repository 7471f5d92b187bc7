//! `data.json` and `weights.json` beside the study.yaml of a folder of results: what was found at
//! the study's places and in its files of weights. Its results can then be shown without them, and
//! what has changed is noticed.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::files::text_if_there;
use super::network::{remember, DataPlace, DatasetInfo, WeightsFile, WeightsInfo};
use super::StudyError;

/// The name of the file about places.
pub const FILE_NAME: &str = "data.json";
/// The name of the file about weights.
pub const WEIGHTS_NAME: &str = "weights.json";

/// What was found at a place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoundData {
    pub place: DataPlace,
    pub info: DatasetInfo,
}

/// What was found in a file of weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoundWeights {
    pub file: WeightsFile,
    pub info: WeightsInfo,
}

/// What a folder of results knows about its places. Empty if there is no such file.
///
/// # Errors
/// The file is damaged.
pub fn found_data(folder: &Path) -> Result<Vec<FoundData>, StudyError> {
    found(&folder.join(FILE_NAME))
}

/// What a folder of results knows about its files of weights. Empty if there is no such file.
///
/// # Errors
/// The file is damaged.
pub fn found_weights(folder: &Path) -> Result<Vec<FoundWeights>, StudyError> {
    found(&folder.join(WEIGHTS_NAME))
}

fn found<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Vec<T>, StudyError> {
    let Some(text) = text_if_there(path) else { return Ok(vec![]) };
    serde_json::from_str(&text).map_err(|error| {
        StudyError::new(path.display().to_string(), "", format!("cannot be read: {error}"))
            .hint("remove it; the next sweep reads the data anew")
    })
}

/// Makes known what is known beside a study file.
pub fn read(file: &Path) -> Result<(), StudyError> {
    if file.file_name().is_none_or(|name| name != "study.yaml") {
        return Ok(());
    }
    let Some(folder) = file.parent() else { return Ok(()) };
    let changed = |what: String| {
        Err(StudyError::new(file.display().to_string(), "", format!("{what} are others than when its results were made"))
            .hint("run its sweep again, or show its report alone"))
    };
    for FoundData { place, info } in found_data(folder)? {
        let (digest, text) = (info.digest.clone(), place.to_string());
        if remember(&place, info) != digest {
            return changed(format!("the data at {text}"));
        }
    }
    for FoundWeights { file, info } in found_weights(folder)? {
        let digest = info.digest.clone();
        if file.remember(info) != digest {
            return changed(format!("the weights in {}", file.0));
        }
    }
    Ok(())
}
