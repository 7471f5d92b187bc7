//! How numbers, settings and verdicts are written.

use serde_yaml::Value;

use crate::base::interval::Interval;
use crate::base::numbers::{number, significant};
use crate::config::{show, StrongerEnd};
use crate::report::analysis::{Bound, CellRow, Metric, OptimaComparison, SettingSummary, Verdict};

/// A point of a grid: as it can be typed into a study, so that what is printed is what was used.
pub fn point(value: f64) -> String {
    if value.is_infinite() {
        "∞".into()
    } else {
        number(value)
    }
}

/// Three digits, of what was computed.
pub fn short(value: f64) -> String {
    if value.is_infinite() {
        "∞".into()
    } else {
        number(significant(value, 3))
    }
}

/// With its sign; what rounds to 0 is `+0.00`, never `-0.00`.
pub fn signed(value: f64, digits: usize) -> String {
    let text = format!("{value:+.digits$}");
    match text.strip_prefix('-') {
        Some(size) if size.bytes().all(|b| matches!(b, b'0' | b'.')) => format!("+{size}"),
        _ => text,
    }
}

/// Unit, factor and digits of a difference: points of accuracy, or nats.
pub fn unit(metric: Metric) -> (&'static str, f64, usize) {
    match metric {
        Metric::Accuracy => ("points", 100.0, 2),
        Metric::Loss => ("nats", 1.0, 4),
    }
}

/// A difference without its unit: `+1.30`.
pub fn difference(metric: Metric, value: f64) -> String {
    let (_, scale, digits) = unit(metric);
    signed(scale * value, digits)
}

/// `3.16 (95% interval 1 to 10)`.
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

/// What stands before a ratio that an optimum at an end of the grid makes a bound.
pub fn bound(comparison: &OptimaComparison) -> &'static str {
    match comparison.bound {
        _ if comparison.log_ratio.estimate.is_infinite() => "",
        Bound::AtLeast => "at least ",
        Bound::AtMost => "at most ",
        Bound::None | Bound::Unknown => "",
    }
}

/// What λ₀ stands for.
pub fn stands_for(axis: &str, stronger: StrongerEnd) -> String {
    let way = if stronger == StrongerEnd::Larger { "larger" } else { "smaller" };
    format!("(λ₀ stands for `{axis}`, {way} is stronger.)")
}

/// `width=64, data=mnist`; empty for the only setting.
pub fn axes_label(axes: &[(String, Value)]) -> String {
    axes.iter().map(|(path, value)| format!("{path}={}", show(value))).collect::<Vec<_>>().join(", ")
}

/// The same with the last part of each key where that names it, for figures.
pub fn short_axes_label(axes: &[(String, Value)]) -> String {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_string();
    let is_unique = |name: &str| axes.iter().filter(|(path, _)| last(path) == name).count() == 1;
    let name = |path: &String| if is_unique(&last(path)) { last(path) } else { path.clone() };
    axes.iter().map(|(path, value)| format!("{}={}", name(path), show(value))).collect::<Vec<_>>().join(", ")
}

/// A setting among those of other studies, which may call something else λ₀.
pub fn setting_label(setting: &SettingSummary) -> String {
    match (setting.regularizer.stands_for(), axes_label(&setting.axes)) {
        (None, label) => label,
        (Some(axis), label) if label.is_empty() => format!("λ₀: {axis}"),
        (Some(axis), label) => format!("{label} (λ₀: {axis})"),
    }
}

/// `diverged for seeds 1, 2; no result for seed 3`; none where a cell lacks nothing.
pub fn lacking(row: &CellRow) -> Option<String> {
    let named = |what: &str, seeds: &[u64]| {
        let list: Vec<String> = seeds.iter().map(u64::to_string).collect();
        (!seeds.is_empty()).then(|| format!("{what} for seed{} {}", if seeds.len() == 1 { "" } else { "s" }, list.join(", ")))
    };
    let parts: Vec<String> = [named("diverged", &row.diverged), named("no result", &row.missing)].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}
