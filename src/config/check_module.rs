//! Checks the settings of TorchScript modules and of vision transformers.

use super::check::{setting_error, SettingError};
use super::network::*;
use super::Network;

/// Checks a vision transformer, and that other models have no settings of one.
pub fn transformer(cell: &Network) -> Result<(), SettingError> {
    let model = &cell.model;
    let Some(Transformer { patch, width, depth, heads }) = model.transformer() else {
        let own = [("patch", model.patch), ("width", model.width), ("depth", model.depth), ("heads", model.heads)];
        return match own.into_iter().find(|(_, value)| value.is_some()) {
            Some((key, _)) => Err(setting_error(format!("model.{key}"), "belongs to `kind: vit`").hint("leave it out")),
            None => Ok(()),
        };
    };
    for (key, value, most) in [("patch", patch, 1024), ("width", width, 1 << 14), ("depth", depth, 256), ("heads", heads, 1 << 10)] {
        if !(1..=most).contains(&value) {
            return Err(setting_error(format!("model.{key}"), format!("must be from 1 to {most}, not {value}")));
        }
    }
    if width % heads != 0 {
        return Err(setting_error("model.heads", format!("{heads} heads do not divide the width {width}")));
    }
    let [height, across, _] = cell.input();
    if height % patch != 0 || across % patch != 0 {
        let what = format!("patches of {patch} pixels do not divide an image of {height} × {across}");
        return Err(setting_error("model.patch", what).hint("choose another, or another `input.size`"));
    }
    let others = [("channels", model.channels.is_some()), ("hidden", model.hidden.is_some()), ("norm", model.norm != Norm::None)];
    match others.into_iter().find(|(_, is_set)| *is_set) {
        Some((key, _)) => Err(setting_error(format!("model.{key}"), "a `vit` has its own layers and LayerNorm").hint("leave it out")),
        None => Ok(()),
    }
}

/// Checks the module, and that other models have no settings of one.
pub fn module(cell: &Network) -> Result<(), SettingError> {
    let model = &cell.model;
    let own = [("file", model.file.is_some()), ("head", model.head.is_some()), ("start", model.start != ModuleStart::Fresh)];
    if model.kind != ModelKind::Torchscript {
        return match own.into_iter().find(|(_, is_set)| *is_set) {
            Some((key, _)) => Err(setting_error(format!("model.{key}"), "belongs to `kind: torchscript`").hint("leave it out")),
            None => Ok(()),
        };
    }
    let Some(file) = &model.file else {
        return Err(setting_error("model.file", "is missing").hint("name the file of the module: `torch.jit.script(net).save(\"net.pt\")`"));
    };
    match file.find_out() {
        Ok(info) if info.is_module => {}
        Ok(_) => {
            return Err(setting_error("model.file", format!("{} is no TorchScript module", file.0))
                .hint("`torch.jit.script(net).save(FILE)` writes one; weights alone are for `source.init`"))
        }
        Err((what, _)) => {
            return Err(setting_error("model.file", what).hint("`torch.jit.script(net).save(FILE)` writes a module"));
        }
    }
    if model.head.as_deref().is_none_or(|head| head.trim().is_empty()) {
        return Err(setting_error("model.head", "is missing").hint("the name of the last layer, e.g. `fc`: its outputs are the classes"));
    }
    let others = [
        ("channels", model.channels.is_some()),
        ("hidden", model.hidden.is_some()),
        ("embedding", model.embedding.is_some()),
        ("stem", model.stem != Stem::Small),
        ("norm", model.norm != Norm::None),
    ];
    if let Some((key, _)) = others.into_iter().find(|(_, is_set)| *is_set) {
        return Err(setting_error(format!("model.{key}"), "a TorchScript module has its own layers").hint("leave it out"));
    }
    if cell.source.init.is_some() {
        return Err(setting_error("source.init", "a TorchScript module brings its weights").hint("set `model.start: file`"));
    }
    if cell.precision == Precision::Bf16 {
        return Err(setting_error("precision", "a TorchScript module computes in its own precision").hint("use float32 or tf32"));
    }
    if cell.transfer.method == TransferMethod::Ridge {
        return Err(setting_error("transfer.method", "`ridge` needs the inputs of the head, which a TorchScript module does not show")
            .hint("use `probe`"));
    }
    for (name, task) in [("source", &cell.source), ("target", &cell.target)] {
        if task.dropout > 0.0 {
            return Err(setting_error(format!("{name}.dropout"), "a TorchScript module has its own layers").hint("leave it out"));
        }
    }
    Ok(())
}
