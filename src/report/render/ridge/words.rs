//! Settings and numbers of ridge studies in words and in the paper's symbols.

use serde_yaml::Value;

use crate::base::interval::Interval;
use crate::base::numbers::{number, significant};
use crate::report::analysis::ridge::Axes;

/// A number with four significant digits.
pub fn short(value: f64) -> String {
    number(significant(value, 4))
}

/// An estimate with its interval, for example `1.65 (1.64 to 1.67)`.
pub fn with_range(interval: &Interval) -> String {
    let show = |v: Option<f64>| v.map_or("?".into(), short);
    let estimate = Some(interval.estimate).filter(|v| v.is_finite());
    format!("{} ({} to {})", show(estimate), show(interval.low()), show(interval.high()))
}

/// Axes with their values, in symbols: `γ = 2, σ₀² = 0.5`. Two equal covariances are merged:
/// `Σ₀ = Σ₁ = power 1`.
pub fn label(axes: &Axes) -> String {
    let value = |path: &str| axes.iter().find(|(known, _)| known == path).map(|(_, value)| value);
    let are_equal = value("source.covariance").is_some_and(|s| value("target.covariance") == Some(s));
    let parts = axes.iter().filter(|(path, _)| !(are_equal && path == "target.covariance")).map(|(path, value)| {
        let name = if are_equal && path == "source.covariance" { "Σ₀ = Σ₁" } else { symbol(path) };
        format!("{name} = {}", plain(value))
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// ` (γ = 2)`, or an empty text without axes.
pub fn in_brackets(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!(" ({text})")
    }
}

/// Axes with ρ, for example `γ = 2, ρ = 0.5`.
pub fn at_rho(axes: &Axes, rho: f64) -> String {
    [label(axes), format!("ρ = {}", short(rho))].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

/// A value in words. Maps have no punctuation.
fn plain(value: &Value) -> String {
    match value {
        Value::Mapping(map) => map.iter().map(|(k, v)| format!("{} {}", plain(k), plain(v))).collect::<Vec<_>>().join(" "),
        other => crate::config::show(other),
    }
}

/// The paper's symbol for an axis.
pub fn symbol(path: &str) -> &str {
    match path {
        "rho" => "ρ",
        "gamma" => "γ",
        "n0" => "n₀",
        "n1" => "n₁",
        "lambda0" => "λ₀",
        "lambda1" => "λ₁",
        "source.noise" => "σ₀²",
        "target.noise" => "σ₁²",
        "source.covariance" => "Σ₀",
        "target.covariance" => "Σ₁",
        other => other,
    }
}
