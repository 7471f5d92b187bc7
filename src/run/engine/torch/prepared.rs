//! The data sets of a plan as they are in memory and on the devices, and what is wrong with them
//! for its stages.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Mutex;

use tch::Device;

use super::memory::memory;
use super::task_name;
use crate::base::stderr::print_error;
use crate::config::network::DataChoice;
use crate::config::Network;
use crate::data::{DataError, Dataset, Split};
use crate::plan::{Plan, Stage};
use crate::train::{DeviceDataset, Place};

/// How a data set is read: which, whether documents are stripped, and the shape of the inputs.
pub type DatasetFiles = (DataChoice, bool, [usize; 3]);

pub fn files_of(settings: &Network, choice: &DataChoice) -> DatasetFiles {
    (choice.clone(), choice.info().is_text() && settings.text.strip, settings.input())
}

/// Of the source and of the target.
pub fn files_of_both(stage: &Stage) -> [DatasetFiles; 2] {
    let settings = &stage.settings;
    [settings.source_choice(), settings.target_choice()].map(|choice| files_of(settings, choice))
}

pub struct PreparedData {
    pub set: Dataset,
    /// All training images, for each device. Empty for documents, whose features depend on the
    /// vocabulary.
    pub pools: Vec<Mutex<DeviceDataset>>,
}

/// Where the training examples of a data set are kept for a device: there, if they take at most
/// half of its free memory, since models need some too.
pub fn place_of(what: &dyn std::fmt::Display, bytes: u64, device: Device) -> Place {
    match memory(device) {
        Some(memory) if bytes > memory.free / 2 => {
            let gigabytes = |bytes: u64| format!("{:.1} GB", bytes as f64 / 1e9);
            print_error(&format!(
                "{what}: {} are more than half of the GPU's free memory, {}: each batch is brought to it while the one before is computed",
                gigabytes(bytes),
                gigabytes(memory.free)
            ));
            Place::Host
        }
        _ => Place::Device,
    }
}

/// Fails if a seed cannot be evaluated: a class has no validation example because all are of groups
/// that are trained on, or all responses of a part are equal, so that R² has no meaning.
pub fn check_splits(plan: &Plan, data: &HashMap<DatasetFiles, PreparedData>) -> Result<(), DataError> {
    let mut seen = HashSet::new();
    for stage in &plan.stages {
        let files = files_of(&stage.settings, stage.choice());
        let set = &data[&files].set;
        let (images, of_source) = (stage.images(), stage.images_of_source());
        let is_plain = set.train.groups.is_empty() && set.train.responses.is_empty();
        if is_plain || !seen.insert((files.clone(), images.clone(), of_source.clone(), stage.seed)) {
            continue;
        }
        let wrong = |what: String, hint: &str| Err(DataError::new(format!("{}: {what}", files.0), hint));
        let split = Split::draw(&set.train, &images, &of_source, stage.seed, 0);
        if let Some(label) = split.without_validation(&set.train, &images) {
            let class = &set.info.classes[label].name;
            return wrong(
                format!("with seed {}, class `{class}` has no validation example: each is of a group that is trained on", stage.seed),
                &format!(
                    "the groups are too few or too large: a larger `{0}.validation_per_class`, or fewer examples in `{0}.per_class`",
                    task_name(stage.kind)
                ),
            );
        }
        let responses = &set.train.responses;
        let is_flat = |rows: &[usize]| !responses.is_empty() && rows.iter().all(|&row| responses[row] == responses[rows[0]]);
        let parts = [("training", &split.train), ("validation", &split.validation), ("monitored", &split.monitor)];
        let flat = parts.iter().find(|(_, rows)| is_flat(rows)).map(|(name, rows)| (*name, rows.len()));
        if let Some((name, n)) = flat {
            return wrong(
                format!("with seed {}, the {n} {name} responses are all equal", stage.seed),
                "R² compares errors with their spread; more rows are needed in this part (`validation_per_class`, `monitor_per_class`)",
            );
        }
    }
    Ok(())
}

/// Warns if a target is tested on what the source is trained on, where they are of different sets.
/// (Those of one set have its training and its test part.)
pub fn warn_of_common_images(plan: &Plan, data: &HashMap<DatasetFiles, PreparedData>) {
    let pairs: BTreeSet<[DatasetFiles; 2]> =
        plan.stages.iter().map(files_of_both).filter(|[source, target]| source.0 != target.0).collect();
    for [source, target] in pairs {
        let (from, to) = (&data[&source].set, &data[&target].set);
        let common = to.tested_in(from);
        if common > 0 {
            let (of, into) = (&target.0, &source.0);
            print_error(&format!(
                "warning: {common} of the {} test examples of {of} are among the training examples of {into}; \
                 where the source trains on them, the target's results are too good",
                to.test_count()
            ));
        }
    }
}
