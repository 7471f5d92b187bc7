//! Checks how a task is trained.

use super::check::{positive, setting_error, SettingError, MOST_DRAWS};
use super::network::{Augment, DatasetInfo, OptimiserKind, PenaltyStep, Phase, SourceCenter};
use super::Network;
use crate::base::numbers::number;

/// A smaller ε is nearly 0 in float32, where a gradient of 0 would be divided by it.
const LEAST_EPSILON: f64 = 1e-30;

/// Checks the training settings of a phase alone. `input` is the shape of the network's inputs.
pub fn training(name: &str, phase: &Phase, data: &DatasetInfo, [height, width, channels]: [usize; 3]) -> Result<(), SettingError> {
    let at = |key: &str| format!("{name}.{key}");
    if phase.draws.is_some_and(|draws| !(1..=MOST_DRAWS).contains(&draws)) {
        return Err(setting_error(at("draws"), format!("must be between 1 and {MOST_DRAWS}")));
    }
    for (key, value) in [
        ("validation_per_class", phase.validation_per_class.unwrap_or(1)),
        ("monitor_per_class", phase.monitor_per_class),
        ("epochs", if phase.init.is_some() { 1 } else { phase.epochs }),
        ("batch_size", phase.batch_size),
        ("schedule.every", phase.schedule.every),
    ] {
        if value == 0 {
            return Err(setting_error(at(key), "must be at least 1"));
        }
    }
    if phase.patience == Some(0) {
        return Err(setting_error(at("patience"), "must be at least 1").hint("null trains all epochs"));
    }
    positive(at("lr"), phase.lr)?;
    positive(at("schedule.factor"), phase.schedule.factor)?;
    optimiser(name, phase)?;
    if !(phase.momentum >= 0.0 && phase.momentum < 1.0) {
        return Err(setting_error(at("momentum"), format!("must be at least 0 and below 1, not {}", number(phase.momentum))));
    }
    if phase.nesterov && phase.momentum == 0.0 {
        return Err(setting_error(at("nesterov"), "Nesterov's form needs momentum above 0"));
    }
    if !(phase.schedule.warmup >= 0.0 && phase.schedule.warmup <= phase.epochs as f64) {
        return Err(setting_error(at("schedule.warmup"), format!("must be between 0 and the {} epochs", phase.epochs)));
    }
    for (key, value) in [("label_noise", phase.label_noise), ("label_smoothing", phase.label_smoothing)] {
        if value > 0.0 && data.is_regression {
            return Err(setting_error(at(key), "a number to predict has no classes").hint("leave it out"));
        }
    }
    for (key, value) in [("l1_ratio", phase.l1_ratio), ("label_noise", phase.label_noise)] {
        if !(0.0..=1.0).contains(&value) {
            return Err(setting_error(at(key), format!("must be between 0 and 1, not {}", number(value))));
        }
    }
    for (key, value) in [("dropout", phase.dropout), ("label_smoothing", phase.label_smoothing)] {
        if !(0.0..1.0).contains(&value) {
            return Err(setting_error(at(key), format!("must be at least 0 and below 1, not {}", number(value))));
        }
    }
    augmentation(name, phase, data, [height, width, channels])
}

fn augmentation(name: &str, phase: &Phase, data: &DatasetInfo, [height, width, channels]: [usize; 3]) -> Result<(), SettingError> {
    let at = |key: &str| format!("{name}.augment{key}");
    let augment = &phase.augment;
    if *augment == Augment::default() {
        return Ok(());
    }
    if data.is_text() {
        return Err(setting_error(at(""), format!("{} has documents, which are neither mirrored nor shifted", data.name)));
    }
    for (key, size) in [(".shift", augment.shift), (".cutout", augment.cutout)] {
        if size >= height.min(width) {
            return Err(setting_error(at(key), format!("must be below the image's {} pixels", height.min(width))));
        }
    }
    for (key, strength) in [(".brightness", augment.brightness), (".contrast", augment.contrast), (".saturation", augment.saturation)] {
        if !(0.0..=1.0).contains(&strength) {
            return Err(setting_error(at(key), format!("must be from 0 to 1, not {}", number(strength))));
        }
    }
    if augment.saturation > 0.0 && channels != 3 {
        return Err(setting_error(at(".saturation"), "grey images have none").hint("leave it out"));
    }
    if !(augment.mixup >= 0.0 && augment.mixup.is_finite()) {
        return Err(setting_error(at(".mixup"), format!("must be a finite number ≥ 0, not {}", number(augment.mixup))));
    }
    if augment.mixup > 0.0 && data.is_regression {
        return Err(setting_error(at(".mixup"), "mixes the losses of two classes, and here a number is predicted").hint("leave it out"));
    }
    Ok(())
}

/// Checks the file of weights that a source starts from.
pub fn init(cell: &Network) -> Result<(), SettingError> {
    if cell.target.init.is_some() {
        return Err(setting_error("target.init", "the target starts from its source").hint("set `source.init`"));
    }
    match (&cell.source.init, cell.penalty.source_center) {
        (Some(file), _) => match file.find_out() {
            Ok(info) if info.is_module => {
                Err(setting_error("source.init", format!("{} is a TorchScript module; its weights alone are needed here", file.0))
                    .hint("save them: `torch.save(module.state_dict(), FILE)`; or use the module itself: `model: {kind: torchscript}`"))
            }
            Ok(_) => Ok(()),
            Err((what, hint)) => Err(setting_error("source.init", what).hint(hint)),
        },
        (None, SourceCenter::Init) => {
            Err(setting_error("penalty.source_center", "there are no initial weights to pull to")
                .hint("set `source.init`, or leave it out"))
        }
        (None, SourceCenter::Zero) => Ok(()),
    }
}

/// Rejects settings of one optimiser with another.
fn optimiser(name: &str, phase: &Phase) -> Result<(), SettingError> {
    let at = |key: &str| format!("{name}.{key}");
    if let Some(norm) = phase.clip_norm {
        positive(at("clip_norm"), norm).map_err(|error| error.hint("null: no clipping"))?;
    }
    let is_adam = phase.optimiser != OptimiserKind::Sgd;
    let others = "belongs to another optimiser";
    if !is_adam {
        for (key, is_set) in [("betas", phase.betas != Phase::default_betas()), ("epsilon", phase.epsilon != Phase::default_epsilon())] {
            if is_set {
                return Err(setting_error(at(key), others).hint(format!("set `{name}.optimiser` to adamw or adam, or leave it out")));
            }
        }
        return Ok(());
    }
    if phase.nesterov || phase.momentum != Phase::default_momentum() {
        let key = if phase.nesterov { "nesterov" } else { "momentum" };
        return Err(setting_error(at(key), others).hint("Adam and AdamW have `betas`; leave it out"));
    }
    if phase.l1_ratio > 0.0 {
        return Err(setting_error(at("l1_ratio"), "has a meaning with `optimiser: sgd` alone").hint("leave it out"));
    }
    if let Some(i) = phase.betas.iter().position(|beta| !(0.0..1.0).contains(beta)) {
        let what = format!("must be at least 0 and below 1, not {}", number(phase.betas[i]));
        return Err(SettingError { path: super::path::Path::parse(&at("betas")).index(i), ..setting_error(at("betas"), what) });
    }
    match phase.epsilon >= LEAST_EPSILON && phase.epsilon.is_finite() {
        true => Ok(()),
        false => Err(setting_error(
            at("epsilon"),
            format!("must be a finite number of at least {LEAST_EPSILON:e}, not {}", number(phase.epsilon)),
        )),
    }
}

/// Rejects a proximal step with Adam, whose penalty is a part of the gradient.
pub fn step_of_optimisers(cell: &Network) -> Result<(), SettingError> {
    let adam = [("source", &cell.source), ("target", &cell.target)].into_iter().find(|(_, phase)| phase.optimiser == OptimiserKind::Adam);
    match adam.filter(|_| cell.penalty.step == PenaltyStep::Proximal) {
        Some((name, _)) => Err(setting_error(
            "penalty.step",
            format!("`{name}.optimiser: adam` has the penalty in its gradient, so it has the explicit step alone"),
        )
        .hint("use `adamw`, whose proximal step is stable for every λ")),
        None => Ok(()),
    }
}
