//! Checks of a cell's data: what is at its places, and whether one network can read both tasks.

use super::check::{setting_error, SettingError};
use super::network::*;
use crate::base::numbers::number;

/// Reads places that have not been read yet, and checks that both tasks' examples fit one network.
pub fn check_data(cell: &Network) -> Result<(), SettingError> {
    if cell.data.is_none() && (cell.source.data.is_none() || cell.target.data.is_none()) {
        return Err(setting_error("data", "this key is missing").hint("docs/study.md lists every key with its meaning"));
    }
    let path = |own: &Option<DataChoice>, path: &'static str| if own.is_some() { path } else { "data" };
    let choices =
        [(path(&cell.source.data, "source.data"), cell.source_choice()), (path(&cell.target.data, "target.data"), cell.target_choice())];
    for (path, choice) in choices {
        let info = choice.find_out().map_err(|(what, hint)| setting_error(path, what).hint(hint))?;
        if let Some([smallest, largest]) = info.sizes.filter(|_| cell.input.size.is_none()) {
            let size = |[height, width]: [usize; 2]| format!("{height}×{width}");
            let what = format!("{choice} has images of several sizes, from {} to {}", size(smallest), size(largest));
            return Err(setting_error(path, what).hint("say how large the network's inputs are, e.g. `input: {size: 32}`"));
        }
    }
    let (source, target) = (cell.source_info(), cell.target_info());
    let kind = |info: &DatasetInfo| match (info.is_text(), info.is_features) {
        (true, _) => "documents",
        (_, true) => "features",
        _ => "images",
    };
    if kind(source) != kind(target) {
        let what = format!("the source has {}, the target {}", kind(source), kind(target));
        return Err(setting_error("target.data", what).hint("one network reads both, so both need the same kind of examples"));
    }
    if source.is_regression != target.is_regression {
        let (number, classes) = if source.is_regression { ("source", "target") } else { ("target", "source") };
        let what = format!("the {number} predicts a number, the {classes} a class");
        return Err(setting_error("target.data", what).hint("one loss is minimised: name both columns by `label`, or both by `response`"));
    }
    if source.is_text() && !cell.has_one_set() {
        return Err(setting_error("target.data", "documents of source and target must come from one set")
            .hint("put them into one folder, and choose the tasks by `classes`"));
    }
    if let Some(why) = source.other_columns(target) {
        let what = format!("the target's table {why}");
        return Err(setting_error("target.data", what)
            .hint("both tables need the same columns in the same order; `one_hot` and `impute` make columns of what each table has"));
    }
    if source.is_features && source.channels != target.channels {
        let what = format!("the source has {} features, the target {}", source.channels, target.channels);
        return Err(setting_error("target.data", what).hint("both need the same columns"));
    }
    let is_images = kind(source) == "images";
    if let Some(wrong) = [("size", cell.input.size), ("channels", cell.input.channels)].iter().find(|(_, of)| of.is_some() && !is_images) {
        return Err(setting_error(format!("input.{}", wrong.0), format!("{} have no size and no colours", kind(source))));
    }
    for (key, values) in [("mean", &cell.input.mean), ("sd", &cell.input.sd)] {
        let Some(values) = values else { continue };
        if !is_images {
            return Err(setting_error(format!("input.{key}"), format!("{} are not pixels", kind(source))));
        }
        if values.len() != cell.input()[2] {
            return Err(setting_error(format!("input.{key}"), format!("needs one number for each of the {} channels", cell.input()[2])));
        }
        if let Some(wrong) = values.iter().find(|value| value.is_nan() || value.abs() > 1.0 || (key == "sd" && **value <= 0.0)) {
            return Err(setting_error(format!("input.{key}"), format!("{} is not in units of pixel/255", number(*wrong)))
                .hint("divide numbers of 0 to 255 by 255"));
        }
    }
    match (cell.input.size, cell.input.channels) {
        (Some(size), _) if !(1..=1024).contains(&size) => Err(setting_error("input.size", "must be from 1 to 1024")),
        (_, Some(channels)) if ![1, 3].contains(&channels) => Err(setting_error("input.channels", "must be 1 (grey) or 3 (colour)")),
        _ if source.is_features && (cell.source.augment != Augment::default() || cell.target.augment != Augment::default()) => {
            let path = if cell.source.augment != Augment::default() { "source.augment" } else { "target.augment" };
            Err(setting_error(path, "features cannot be mirrored or shifted"))
        }
        _ => Ok(()),
    }
}
