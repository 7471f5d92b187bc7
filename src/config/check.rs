//! Checks that types cannot express: ranges, and settings that must be compatible.

use super::check_data::check_data;
use super::check_module::{module, transformer};
use super::check_training::{init, step_of_optimisers, training};
use super::error::{cut, nearest};
use super::network::*;
use super::path::Path;
use crate::base::numbers::{number, round_down};

/// More draws than this are taken for a typing mistake.
pub const MOST_DRAWS: usize = 10_000;

/// A problem in the settings of one cell, before the line that caused it is located.
#[derive(Debug)]
pub struct SettingError {
    pub path: Path,
    pub what: String,
    pub hint: Option<String>,
}

pub fn setting_error(path: impl AsRef<str>, what: impl Into<String>) -> SettingError {
    SettingError { path: Path::parse(path.as_ref()), what: what.into(), hint: None }
}

impl SettingError {
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Turns serde's message about a value's type into plain words.
pub fn of_type(path: Path, message: &str) -> SettingError {
    if let Some(field) = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        return SettingError {
            path: path.key(field),
            what: "this key is missing".into(),
            hint: Some("docs/study.md lists every key with its meaning".into()),
        };
    }
    if let Some((written, rest)) = message.strip_prefix("unknown variant `").and_then(|rest| rest.rsplit_once("`, expected ")) {
        let near = nearest(written, rest.split('`').skip(1).step_by(2));
        let what = format!("unknown value `{}`, expected {rest}", cut(written));
        let own = (path.0.last() == Path::parse("data").0.last())
            .then(|| "your own data are named by their place, such as {images: FOLDER} or {idx: FOLDER}; docs/data.md".to_string());
        return SettingError { path, what, hint: near.map(|near| format!("did you mean `{near}`?")).or(own) };
    }
    let of_a_type = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    if let Some((found, expected)) = of_a_type.and_then(|rest| rest.rsplit_once(", expected ")) {
        // `expected` comes from serde, `found` may come from the user.
        let expected = expected_words(expected);
        let hint = hint_for(&path, found, &expected);
        return SettingError { path, what: format!("expected {expected}, found {}", found_words(found)), hint };
    }
    let what = match message {
        m if m.starts_with("data did not match any variant of untagged enum Class") => "expected a class's label or name".into(),
        m if m.starts_with("data did not match any variant of untagged enum Seeds") => {
            "expected a number of seeds, or a list of whole numbers".into()
        }
        // Messages of this crate.
        other => other.replace("duplicate field", "duplicate key"),
    };
    SettingError { path, what, hint: None }
}

fn found_words(found: &str) -> String {
    if let Some(text) = found.strip_prefix("string ") {
        return cut(text);
    }
    for kind in ["floating point ", "integer ", "boolean ", "character "] {
        if let Some(value) = found.strip_prefix(kind) {
            return value.trim_end_matches(" as u128").trim_end_matches(" as i128").into();
        }
    }
    match found {
        "unit value" => "nothing".into(),
        "sequence" => "a list".into(),
        "map" => "a map".into(),
        other => cut(other),
    }
}

fn expected_words(expected: &str) -> String {
    match expected {
        "f64" | "a float" => "a number".into(),
        "usize" | "u64" | "u32" => "a whole number ≥ 0".into(),
        "a boolean" => "true or false".into(),
        "a sequence" => "a list".into(),
        "a Value::Tagged enum" => "one of the words in docs/study.md".into(),
        // serde names the Rust type, which users call a section.
        other if other.starts_with("struct ") => {
            format!("a section of keys{}", other["struct ".len()..].trim_start_matches(char::is_alphanumeric))
        }
        other => other.into(),
    }
}

/// Hints for common inputs where a number, a truth value or null is expected.
fn hint_for(path: &Path, found: &str, expected: &str) -> Option<String> {
    let several = "several values are a list, [1e-4, 1e-3], or a grid, {log: {from: 1e-5, to: 1e-1, points: 9}}";
    let text = found.strip_prefix("string ").map(|text| text.trim_matches('"').trim().to_lowercase());
    let key = path.to_string();
    let number = expected.contains("number");
    match (text.as_deref(), number) {
        (None, true) if found == "map" || found == "sequence" => Some(several.into()),
        (None, _) => None,
        (Some("yes" | "on" | "no" | "off"), false) if expected.starts_with("true") => Some("write true or false".into()),
        (Some("inf" | "+inf" | "infinity" | "∞"), true) => Some("infinity is written .inf".into()),
        (Some("all" | "none" | "max"), true) if key.ends_with("per_class") || key.ends_with("total") => Some("null takes all".into()),
        (Some("none" | "never" | "off"), true) => Some("write null for none".into()),
        (Some(text), true) if text.parse::<f64>().is_ok() => Some("write it without quotes".into()),
        (Some(text), true) if text.matches(',').count() == 1 && !text.contains(' ') && text.replace(',', ".").parse::<f64>().is_ok() => {
            Some("write a decimal point; several values are a list: [0, 1]".into())
        }
        (Some(text), true) if text.contains("space") || text.contains("..") || text.contains([',', ':', '[']) => Some(several.into()),
        (Some(_), _) if key == "schedule" || key.ends_with(".schedule") => {
            Some("give its kind as a key below it: schedule: {kind: cosine}".into())
        }
        (Some(_), _) if key == "regularizer" => {
            Some("give the axis as a key below it: regularizer: {axis: source.epochs, stronger: smaller}".into())
        }
        _ => None,
    }
}

/// Checks one cell.
pub fn cell(cell: &Network) -> Result<(), SettingError> {
    let proximal = cell.penalty.step == PenaltyStep::Proximal;
    penalty("lambda0", cell.lambda0, false)?;
    penalty("lambda1", cell.lambda1, proximal && cell.transfer.method == TransferMethod::L2sp && cell.target.l1_ratio == 0.0)?;
    penalty("transfer.beta", cell.transfer.beta, false)?;
    for (i, &lambda) in cell.scratch.lambdas.iter().enumerate() {
        penalty("scratch.lambdas", lambda, false).map_err(|p| SettingError { path: p.path.index(i), ..p })?;
    }
    check_data(cell)?;
    module(cell)?;
    transformer(cell)?;
    model(cell)?;
    text(&cell.text, cell.source_info())?;
    for (name, task, info) in [("source", &cell.source, cell.source_info()), ("target", &cell.target, cell.target_info())] {
        phase(name, task, info)?;
        training(name, task, info, cell.input())?;
        last_batch(name, task, cell)?;
    }
    shared_classes(cell)?;
    for (name, task) in [("source", &cell.source), ("target", &cell.target)] {
        if task.dropout > 0.0 && cell.model.kind == ModelKind::Mlp && cell.model.hidden().is_empty() {
            return Err(setting_error(format!("{name}.dropout"), "without a hidden layer there is nothing to drop"));
        }
    }
    if let Some(lr) = cell.scratch.lr {
        positive("scratch.lr", lr)?;
    }
    if cell.scratch.epochs == Some(0) {
        return Err(setting_error("scratch.epochs", "must be at least 1"));
    }
    transfer(cell)?;
    step_of_optimisers(cell)?;
    init(cell)?;
    if cell.source.draws.is_some() {
        return Err(setting_error("source.draws", "only the target has draws").hint("set `target.draws`"));
    }
    disjoint(cell)?;
    let tasks = [("source", cell.source_images(), cell.source_info()), ("target", cell.target_images(), cell.target_info())];
    for (name, classes, info) in tasks {
        if let Some(class) = classes.iter().find(|class| class.validation == 0) {
            let what = format!("no image of `{}` is left for validation", info.classes[class.label].name);
            return Err(setting_error(format!("{name}.per_class"), what).hint("take fewer images for training"));
        }
        if let Some(class) = classes.iter().find(|class| class.train > class.pool) {
            let name_of = &info.classes[class.label].name;
            let what =
                format!("{} training images of `{name_of}` are more than the {} that are left beside validation", class.train, class.pool);
            return Err(setting_error(format!("{name}.per_class"), what)
                .hint("a class of both tasks has one set of validation images: the number that either task gives, or what both leave"));
        }
    }
    if !proximal {
        stable("lambda0", cell.lambda0, &cell.source, None)?;
        if cell.transfer.method != TransferMethod::Ridge {
            stable("lambda1", cell.lambda1, &cell.target, None)?;
        }
        stable("transfer.beta", cell.transfer.beta, &cell.target, None)?;
        for (i, &lambda) in cell.scratch.lambdas.iter().enumerate() {
            stable("scratch.lambdas", lambda, &cell.target, cell.scratch.lr).map_err(|p| SettingError { path: p.path.index(i), ..p })?;
        }
    }
    Ok(())
}

fn penalty(path: impl AsRef<str>, value: f64, may_be_infinite: bool) -> Result<(), SettingError> {
    // `>=` rather than `!is_negative`, to reject NaN.
    if value >= 0.0 && (value.is_finite() || may_be_infinite) {
        return Ok(());
    }
    let error = setting_error(&path, format!("a penalty is a finite number ≥ 0, not {}", number(value)));
    Err(if value == f64::INFINITY && path.as_ref() == "lambda1" {
        error.hint("λ₁ may be .inf with `penalty.step: proximal` and `transfer.method: l2sp`")
    } else {
        error
    })
}

pub fn positive(path: impl AsRef<str>, value: f64) -> Result<(), SettingError> {
    match value > 0.0 && value.is_finite() {
        true => Ok(()),
        false => Err(setting_error(path, format!("must be a finite number above 0, not {}", number(value)))),
    }
}

fn stable(path: &str, lambda: f64, phase: &Phase, own_lr: Option<f64>) -> Result<(), SettingError> {
    let most = phase.largest_explicit(own_lr);
    if lambda <= most {
        return Ok(());
    }
    let lr = own_lr.unwrap_or(phase.lr);
    let which = if phase.nesterov { "the explicit step with Nesterov momentum" } else { "the explicit step" };
    let lasso = if phase.l1_ratio > 0.0 { format!(" and l1_ratio = {}", number(phase.l1_ratio)) } else { String::new() };
    let what = format!(
        "{which} is unstable here: λ = {} is above {}, the largest with lr = {}{lasso}",
        number(lambda),
        number(round_down(most)),
        number(lr)
    );
    Err(setting_error(path, what).hint("set `penalty.step: proximal` (stable for every λ), or lower lr or λ"))
}

/// Rejects different numbers of validation images for a class that both tasks have. Both tasks draw
/// a class's images in the same order, validation first. With different numbers, one task would
/// validate on images that the other trained on.
fn shared_classes(cell: &Network) -> Result<(), SettingError> {
    if !cell.has_one_set() {
        return Ok(());
    }
    let data = cell.source_info();
    let (source, target) = (cell.source.labels(data), cell.target.labels(data));
    let shared = target.into_iter().find(|label| source.contains(label));
    match (shared, cell.source.validation_per_class, cell.target.validation_per_class) {
        (Some(label), Some(of_source), Some(of_target)) if of_source != of_target => Err(setting_error(
            "target.validation_per_class",
            format!("class `{}` is in both tasks, so both need the same number of validation images", data.classes[label].name),
        )
        .hint(format!("the source has {of_source}"))),
        _ => Ok(()),
    }
}

fn transfer(cell: &Network) -> Result<(), SettingError> {
    let method = cell.transfer.method;
    if cell.transfer.head == HeadRule::Keep {
        let (source, target) = (cell.source.labels(cell.source_info()).len(), cell.target.labels(cell.target_info()).len());
        if source != target {
            let what = format!("`keep` needs as many target classes ({target}) as source classes ({source})");
            return Err(setting_error("transfer.head", what).hint("use `head: fresh`"));
        }
        if method.is_frozen() {
            return Err(
                setting_error("transfer.head", "with a frozen backbone there would be no head left to train").hint("use `head: fresh`")
            );
        }
    }
    let has_no_backbone = cell.model.kind == ModelKind::Mlp && cell.model.hidden().is_empty();
    if has_no_backbone && cell.transfer.head == HeadRule::Fresh {
        let what = "without a hidden layer the whole network is its head, and with a fresh head nothing of the source is left";
        return Err(setting_error("transfer.head", what).hint("set `transfer: {head: keep}`, or give the model a hidden layer"));
    }
    if method == TransferMethod::Ridge && cell.target_info().is_regression {
        return Err(setting_error("transfer.method", "`ridge` solves for classes, and here a number is predicted")
            .hint("use `probe`, or `transfergrid theory fit` for linear models"));
    }
    if method == TransferMethod::Ridge {
        let same = |key: &str, value: f64| match value == 0.0 {
            true => Ok(()),
            false => {
                Err(setting_error(format!("target.{key}"), "cannot be used with `transfer.method: ridge`, which is solved in closed form")
                    .hint("use `transfer.method: probe`, or leave it out"))
            }
        };
        same("l1_ratio", cell.target.l1_ratio)?;
        same("dropout", cell.target.dropout)?;
        same("label_smoothing", cell.target.label_smoothing)?;
        same("label_noise", cell.target.label_noise)?;
        if cell.target.augment != Augment::default() {
            return Err(setting_error("target.augment", "cannot be used with `transfer.method: ridge`, which is solved in closed form"));
        }
    }
    Ok(())
}

/// Checks that enough images are left for the target, which may not use those of the source.
fn disjoint(cell: &Network) -> Result<(), SettingError> {
    if cell.source.disjoint_from_source {
        return Err(setting_error("source.disjoint_from_source", "only the target can be kept disjoint from the source")
            .hint("set `target.disjoint_from_source`"));
    }
    if !cell.target.disjoint_from_source {
        return Ok(());
    }
    if !cell.has_one_set() {
        return Err(setting_error("target.disjoint_from_source", "source and target are of different data sets, so they share no image")
            .hint("leave it out"));
    }
    if cell.target.per_class.is_none() && cell.target.total.is_none() {
        return Err(setting_error("target.disjoint_from_source", "needs `target.per_class` or `target.total`"));
    }
    for class in cell.target_images() {
        if class.train > class.pool {
            let name = &cell.target_info().classes[class.label].name;
            return Err(setting_error(
                "target.disjoint_from_source",
                format!("the source leaves {} images of `{name}` for the target, which needs {}", class.pool, class.train),
            )
            .hint("give the source fewer (`source.per_class`), or the target"));
        }
    }
    Ok(())
}

fn text(text: &Text, data: &DatasetInfo) -> Result<(), SettingError> {
    if !data.is_text() && *text != Text::default() {
        return Err(setting_error("text", format!("{} has no documents", data.name))
            .hint("`text` belongs to `data: newsgroups` and to `{documents: FOLDER}`"));
    }
    match (text.features, text.min_df) {
        (0, _) => Err(setting_error("text.features", "must be at least 1")),
        (n, _) if n > 1 << 15 => Err(setting_error("text.features", format!("{n} inputs are more than the {} allowed", 1 << 15))),
        (_, 0) => Err(setting_error("text.min_df", "must be at least 1")),
        _ => Ok(()),
    }
}

/// Rejects a last batch of one image with BatchNorm over a hidden layer or over a single pixel.
/// Such a batch has no variance to divide by.
fn last_batch(name: &str, phase: &Phase, cell: &Network) -> Result<(), SettingError> {
    let images = if name == "source" { cell.source_images() } else { cell.target_images() };
    let n: usize = images.iter().map(|class| class.train).sum();
    // ResNet-18 halves its images three times.
    let one_pixel = cell.model.kind == ModelKind::Resnet18 && cell.input()[0] <= 8;
    let exposed = one_pixel || !cell.model.hidden().is_empty();
    if cell.model.norm == Norm::Batch && exposed && (n % phase.batch_size == 1 || phase.batch_size == 1) {
        return Err(setting_error(
            format!("{name}.batch_size"),
            format!("{n} images in batches of {} leave a batch of one, which BatchNorm cannot normalise", phase.batch_size),
        )
        .hint("choose another batch size"));
    }
    Ok(())
}

fn model(cell: &Network) -> Result<(), SettingError> {
    let (model, data) = (&cell.model, cell.source_info());
    let widths = [("model.channels", model.channels()), ("model.hidden", model.hidden())];
    for (path, list) in &widths {
        if let Some(i) = list.iter().position(|&n| n == 0 || n > 1 << 16) {
            return Err(SettingError {
                path: Path::parse(path).index(i),
                what: format!("a width is a whole number from 1 to 65536, not {}", list[i]),
                hint: None,
            });
        }
        if model.norm == Norm::Group {
            if model.groups == 0 {
                return Err(setting_error("model.groups", "must be at least 1"));
            }
            if *path == "model.hidden" && list.contains(&model.groups) {
                return Err(setting_error(
                    "model.groups",
                    format!("{} groups of a hidden layer of that width normalise each feature to a constant", model.groups),
                )
                .hint("use fewer groups"));
            }
            if let Some(n) = list.iter().find(|&&n| n % model.groups != 0) {
                return Err(setting_error("model.groups", format!("{} groups do not divide {n} of `{path}`", model.groups)));
            }
        }
    }
    if model.embedding.is_some_and(|n| n == 0 || n > 1 << 16) {
        return Err(setting_error("model.embedding", "a width is a whole number from 1 to 65536"));
    }
    if model.stem != Stem::Small && model.kind != ModelKind::Resnet18 {
        return Err(setting_error("model.stem", "only `resnet18` has this stem"));
    }
    if model.embedding.is_some() && model.kind != ModelKind::Bag {
        return Err(setting_error("model.embedding", "only a `bag` has embeddings"));
    }
    let kind = format!("{:?}", model.kind).to_lowercase();
    if !model.kind.convolves() && model.channels.is_some() {
        return Err(setting_error("model.channels", format!("`{kind}` has no convolutions")).hint("use `model.hidden`, or `kind: convnet`"));
    }
    if data.is_text() {
        return match model.kind.convolves() {
            true => Err(setting_error("model.kind", format!("`{kind}` needs images, and {} has documents", data.name))
                .hint("use `kind: mlp` or `kind: bag`")),
            false => Ok(()),
        };
    }
    let height = cell.input()[0];
    let blocks = widths[0].1.len();
    match (model.kind, model.kind.residual_blocks()) {
        (ModelKind::Bag, _) => Err(setting_error("model.kind", format!("`bag` needs documents, and {} has images", data.name))
            .hint("use `kind: mlp`, or `data: newsgroups`")),
        (_, Some(_)) if model.norm == Norm::None => {
            Err(setting_error("model.norm", format!("`{kind}` does not train without normalisation"))
                .hint("set `norm: batch` or `norm: group`"))
        }
        (_, Some(_)) => {
            let usual = Model { channels: None, ..model.clone() }.channels().len();
            let list = &widths[0].1;
            match blocks == usual {
                true if model.kind != ModelKind::Resnet18 && list.windows(2).any(|pair| pair[1] < pair[0]) => Err(setting_error(
                    "model.channels",
                    "channel counts must not decrease from stage to stage: shortcuts without parameters can only add channels",
                )),
                true => Ok(()),
                false => Err(setting_error("model.channels", format!("`{kind}` has {usual} stages, so {usual} channel counts"))),
            }
        }
        (ModelKind::Convnet, None) => {
            let most = height.ilog2() as usize;
            match blocks {
                0 => Err(setting_error("model.channels", "a `convnet` needs at least one convolution").hint("use `kind: mlp` for none")),
                n if n > most => Err(setting_error("model.channels", format!("{n} blocks halve a {height}-pixel image below one pixel"))
                    .hint(format!("at most {most} blocks for {}", data.name))),
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn phase(name: &str, phase: &Phase, data: &DatasetInfo) -> Result<(), SettingError> {
    let at = |key: &str| format!("{name}.{key}");
    let classes = Path::parse(&at("classes"));
    let mut labels = vec![];
    for (i, class) in phase.classes.iter().enumerate() {
        let own = class.labels(data);
        if own.is_empty() {
            let names = data.class_names();
            let by_name = matches!(class, Class::Name(_));
            let groups = data.groups.iter().map(|(group, _)| group.as_str());
            let near = nearest(&class.to_string(), names.iter().copied().chain(groups))
                .filter(|_| by_name)
                .map(|near| format!("did you mean `{near}`?"));
            let what = format!("{} has no class `{}`", data.name, cut(&class.to_string()));
            return Err(SettingError {
                path: classes.index(i),
                what,
                hint: near.or(Some(format!("its classes are {}, or 0 to {}", names.join(", "), names.len() - 1))),
            });
        }
        if let Some(&twice) = own.iter().find(|label| labels.contains(*label)) {
            let name = &data.classes[twice].name;
            let what = match class {
                Class::Name(pattern) if pattern != name => {
                    format!("`{}` stands for class `{name}`, which is listed already", cut(pattern))
                }
                _ => format!("class `{class}` is listed twice"),
            };
            return Err(SettingError { path: classes.index(i), what, hint: None });
        }
        labels.extend(own);
    }
    if labels.len() < 2 && !data.is_regression {
        return Err(SettingError { path: classes, what: "a task needs at least two classes".into(), hint: None });
    }
    if phase.per_class.is_some() && phase.total.is_some() {
        return Err(setting_error(at("total"), "give `per_class` or `total`, not both"));
    }
    if phase.per_class == Some(0) {
        return Err(setting_error(at("per_class"), "must be at least 1"));
    }
    if phase.total.is_some_and(|n| n < labels.len()) {
        return Err(setting_error(at("total"), format!("must be at least the number of classes ({})", labels.len())));
    }
    let smallest = labels.iter().map(|&label| data.classes[label].training).min().unwrap_or(0);
    let validation = phase.validation_per_class.unwrap_or(1);
    if validation >= smallest {
        return Err(setting_error(
            at("validation_per_class"),
            format!("a class of {} has only {smallest} images to train and validate on", data.name),
        ));
    }
    let room = smallest - validation;
    let wanted = phase.per_class.or(phase.total.map(|n| n.div_ceil(labels.len())));
    if let Some(n) = wanted.filter(|&n| n > room) {
        let key = if phase.per_class.is_some() { "per_class" } else { "total" };
        let what =
            format!("{n} training images per class and {validation} for validation are more than the {smallest} of the smallest class");
        return Err(setting_error(at(key), what).hint(format!("at most {room} per class; null takes all")));
    }
    Ok(())
}
