//! `data.json` beside the study.yaml of a folder of results: what was found at the study's places.
//! Its results can then be shown without the data, and a set that has changed is noticed.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::files::text_if_there;
use super::network::{remember, DataPlace, DatasetInfo};
use super::StudyError;

/// The name of the file.
pub const FILE_NAME: &str = "data.json";

/// What was found at a place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoundData {
    pub place: DataPlace,
    pub info: DatasetInfo,
}

/// What a folder of results knows about its places. Empty if there is no such file.
///
/// # Errors
/// The file is damaged.
pub fn found_data(folder: &Path) -> Result<Vec<FoundData>, StudyError> {
    let path = folder.join(FILE_NAME);
    let Some(text) = text_if_there(&path) else { return Ok(vec![]) };
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
    for FoundData { place, info } in found_data(folder)? {
        let (digest, text) = (info.digest.clone(), place.to_string());
        if remember(&place, info) != digest {
            return Err(StudyError::new(
                file.display().to_string(),
                "",
                format!("the data at {text} are others than when its results were made"),
            )
            .hint("run its sweep again, or show its report alone"));
        }
    }
    Ok(())
}
