//! Formats numbers, settings and verdicts.

use serde_yaml::Value;

use crate::base::interval::Interval;
use crate::base::numbers::{number, significant};
use crate::config::network::{OptimiserKind, SourceCenter};
use crate::config::{show, StrongerEnd};
use crate::report::analysis::{Answered, Bound, CellRow, Method, Metric, OptimaComparison, Rules, Setting, SettingSummary, Verdict};

/// A grid point with all its digits, so that it can be copied into a study.
pub fn point(value: f64) -> String {
    if value.is_infinite() {
        "∞".into()
    } else {
        number(value)
    }
}

/// A computed number with three significant digits.
pub fn short(value: f64) -> String {
    if value.is_infinite() {
        "∞".into()
    } else {
        number(significant(value, 3))
    }
}

/// An optimal λ₀: a grid point with all its digits, or an estimate between grid points.
pub fn optimum(answered: &Answered, value: f64) -> String {
    match answered.comparison.as_ref().map(|comparison| comparison.method) {
        Some(Method::Curves) => short(value),
        Some(Method::GridPoints) | None => point(value),
    }
}

/// `95%`: the level of the interval of the ratio.
pub fn level(rules: &Rules) -> String {
    format!("{}%", number(significant(100.0 * (1.0 - rules.error), 3)))
}

/// A number with its sign. A value that rounds to 0 is `+0.00`, never `-0.00`.
pub fn signed(value: f64, digits: usize) -> String {
    let text = format!("{value:+.digits$}");
    match text.strip_prefix('-') {
        Some(size) if size.bytes().all(|b| matches!(b, b'0' | b'.')) => format!("+{size}"),
        _ => text,
    }
}

/// Unit, factor and decimal places of a difference: points of accuracy, or nats; of a numeric
/// response, shares of its variance.
pub fn unit(metric: Metric) -> (&'static str, f64, usize) {
    match metric {
        Metric::Accuracy => ("points", 100.0, 2),
        Metric::Loss => ("nats", 1.0, 4),
        Metric::R2 => ("of R²", 1.0, 4),
        Metric::SquaredError => ("of the variance", 1.0, 4),
    }
}

/// ` points` or ` nats`, in front of words that say what is measured; nothing where these words are
/// the unit: `+0.012 of target test R²`.
pub fn unit_in_front(metric: Metric) -> String {
    match metric {
        Metric::Accuracy | Metric::Loss => format!(" {}", unit(metric).0),
        Metric::R2 | Metric::SquaredError => String::new(),
    }
}

/// A difference without its unit: `+1.30`.
pub fn difference(metric: Metric, value: f64) -> String {
    let (_, scale, digits) = unit(metric);
    signed(scale * value, digits)
}

/// A value with its interval, for example `3.16 (95% interval 1 to 10)`.
pub fn with_range(value: Interval) -> String {
    let range = value.range.map_or(String::new(), |(low, high)| format!(" (95% interval {} to {})", short(low), short(high)));
    format!("{}{range}", short(value.estimate))
}

pub fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Same => "the same",
        Verdict::Collapsed => "that of a source which learned nothing",
        Verdict::Undecided => "not settled",
        other => other.as_str(),
    }
}

/// The words before a ratio that is only a bound, because an optimum is at an end of the grid.
pub fn bound(comparison: &OptimaComparison) -> &'static str {
    match comparison.bound {
        _ if comparison.log_ratio.estimate.is_infinite() => "",
        Bound::AtLeast => "at least ",
        Bound::AtMost => "at most ",
        Bound::None | Bound::Unknown => "",
    }
}

/// `source starts from weights.pt, λ₀ pulls to zero`. None for a source that starts fresh.
pub fn source_start(setting: &Setting) -> Option<String> {
    let (file, center) = setting.source_init.as_ref()?;
    let center = if *center == SourceCenter::Init { "to these weights" } else { "to zero" };
    match setting.is_source_given {
        true => Some(format!("source is {file}, untrained")),
        false => Some(format!("source starts from {file}, λ₀ pulls {center}")),
    }
}

/// `AdamW`, or `AdamW (source) and SGD (target)`. None where both are SGD, whose λ are those of the
/// objective.
pub fn optimisers(setting: &Setting) -> Option<String> {
    match setting.optimisers.map(OptimiserKind::name) {
        [source, target] if source == target && source == OptimiserKind::Sgd.name() => None,
        [source, target] if source == target => Some(source.into()),
        [source, target] => Some(format!("{source} (source) and {target} (target)")),
    }
}

/// The note about the axis that stands for λ₀.
pub fn stands_for(axis: &str, stronger: StrongerEnd) -> String {
    let way = if stronger == StrongerEnd::Larger { "larger" } else { "smaller" };
    format!("(λ₀ stands for `{axis}`, {way} is stronger.)")
}

/// `width=64, data=mnist`; empty if there is only one setting.
pub fn axes_label(axes: &[(String, Value)]) -> String {
    axes.iter().map(|(path, value)| format!("{path}={}", show(value))).collect::<Vec<_>>().join(", ")
}

/// The name of a setting within its study: the study's `label`, or the axes with their values.
/// Empty if there is only one setting.
pub fn setting_name(setting: &Setting) -> String {
    if setting.axes.is_empty() {
        return String::new();
    }
    setting.label.clone().unwrap_or_else(|| short_axes_label(&setting.axes))
}

/// The axes with their values. A key is shortened to its last part if that is unique.
pub fn short_axes_label(axes: &[(String, Value)]) -> String {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_string();
    let is_unique = |name: &str| axes.iter().filter(|(path, _)| last(path) == name).count() == 1;
    let name = |path: &String| if is_unique(&last(path)) { last(path) } else { path.clone() };
    axes.iter().map(|(path, value)| format!("{}={}", name(path), show(value))).collect::<Vec<_>>().join(", ")
}

/// A setting's label among settings of other studies, in which λ₀ may stand for another axis.
pub fn setting_label(setting: &SettingSummary) -> String {
    let name = setting.label.clone().filter(|_| !setting.axes.is_empty()).unwrap_or_else(|| short_axes_label(&setting.axes));
    match (setting.regularizer.stands_for(), name) {
        (None, label) => label,
        (Some(axis), label) if label.is_empty() => format!("λ₀: {axis}"),
        (Some(axis), label) => format!("{label} (λ₀: {axis})"),
    }
}

/// `diverged for seeds 1, 2; no result for seed 3`. None if the cell lacks no result.
pub fn lacking(row: &CellRow) -> Option<String> {
    let named = |what: &str, seeds: &[u64]| {
        let list: Vec<String> = seeds.iter().map(u64::to_string).collect();
        (!seeds.is_empty()).then(|| format!("{what} for seed{} {}", if seeds.len() == 1 { "" } else { "s" }, list.join(", ")))
    };
    let parts: Vec<String> = [named("diverged", &row.diverged), named("no result", &row.missing)].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}
