//! A study's records as curves over one axis.

use serde_yaml::Value;

use crate::config::{number, significant, Study};
use crate::plan::Case;
use crate::report::figure::chart::Point;
use crate::store::ridge_record::{AtLambda1, Interval, Risk};
use crate::store::RidgeRecord;

/// All records of a study, in the order of its cases.
pub struct View<'a> {
    pub study: &'a Study,
    pub cases: Vec<(&'a Case, &'a RidgeRecord)>,
}

/// The records that differ in one axis alone, ascending in it.
pub struct Curve<'a> {
    /// The other axes: `γ = 2, σ₀² = 0.5`.
    pub label: String,
    pub items: Vec<(f64, &'a RidgeRecord)>,
}

impl Curve<'_> {
    /// ` (γ = 2)`, or nothing where there is no other axis.
    pub fn in_brackets(&self) -> String {
        if self.label.is_empty() {
            String::new()
        } else {
            format!(" ({})", self.label)
        }
    }

    /// `γ = 2, ρ = 0.5`.
    pub fn at_rho(&self, rho: f64) -> String {
        [self.label.as_str(), &format!("ρ = {}", short(rho))].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
    }
}

impl<'a> View<'a> {
    pub fn new(study: &'a Study, cases: &'a [Case], records: &[&'a RidgeRecord]) -> View<'a> {
        let of = |case: &Case| records.iter().find(|r| r.key == case.key).copied();
        View { study, cases: cases.iter().filter_map(|case| Some((case, of(case)?))).collect() }
    }

    /// Curves over the axis `x`.
    pub fn curves(&self, x: &str) -> Vec<Curve<'a>> {
        let mut curves: Vec<Curve<'a>> = vec![];
        for (case, record) in &self.cases {
            let Some(value) = case.number(x) else { continue };
            let others: Vec<&(String, Value)> = case.axes.iter().filter(|(path, _)| path != x && !self.follows(path, x)).collect();
            let label = label(&others);
            match curves.iter_mut().find(|c| c.label == label) {
                Some(curve) => curve.items.push((value, record)),
                None => curves.push(Curve { label, items: vec![(value, record)] }),
            }
        }
        curves.iter_mut().for_each(|c| c.items.sort_by(|a, b| a.0.total_cmp(&b.0)));
        curves
    }

    /// Whether an axis is zipped to another, so that it says nothing more.
    fn follows(&self, path: &str, x: &str) -> bool {
        self.study.zipped(path, x)
    }

    /// Which program made this, from how many draws.
    pub fn provenance(&self) -> String {
        let Some((_, first)) = self.cases.first() else { return String::new() };
        let mut draws: Vec<usize> = self.cases.iter().map(|(_, r)| r.draws).collect();
        draws.sort_unstable();
        draws.dedup();
        let draws: Vec<String> = draws.iter().map(usize::to_string).collect();
        let mut samplers: Vec<&str> = self.cases.iter().map(|(_, r)| r.sampler.as_str()).collect();
        samplers.sort_unstable();
        samplers.dedup();
        let seconds: f64 = self.cases.iter().map(|(_, r)| r.seconds).sum();
        format!(
            "{} cases, {} draws each (sampler {}), {:.1} s on {} thread{}; {}, commit {}",
            self.cases.len(),
            draws.join(" or "),
            samplers.join(", "),
            seconds,
            first.threads,
            if first.threads == 1 { "" } else { "s" },
            first.program,
            first.commit.chars().take(12).collect::<String>()
        )
    }
}

/// Axes with their values, in symbols: `γ = 2, σ₀² = 0.5`. Two equal covariances are one: `Σ₀ = Σ₁ = power 1`.
fn label(axes: &[&(String, Value)]) -> String {
    let value = |path: &str| axes.iter().find(|(known, _)| known == path).map(|(_, value)| value);
    let both = value("source.covariance").is_some_and(|s| value("target.covariance") == Some(s));
    let parts = axes.iter().filter(|(path, _)| !(both && path == "target.covariance")).map(|(path, value)| {
        let name = if both && path == "source.covariance" { "Σ₀ = Σ₁" } else { symbol(path) };
        format!("{name} = {}", plain(value))
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// A value in words: a map without its punctuation.
fn plain(value: &Value) -> String {
    match value {
        Value::Mapping(map) => map.iter().map(|(k, v)| format!("{} {}", plain(k), plain(v))).collect::<Vec<_>>().join(" "),
        other => crate::config::show(other),
    }
}

/// The paper's symbol for a setting.
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

/// Whether all covariances of a record are the identity.
pub fn isotropic(record: &RidgeRecord) -> bool {
    record.settings["source"]["covariance"] == "identity" && isotropic_targets(record)
}

/// Whether those of its targets are.
pub fn isotropic_targets(record: &RidgeRecord) -> bool {
    let own = record.settings["targets"].as_array().into_iter().flatten().map(|t| &t["covariance"]);
    record.settings["target"]["covariance"] == "identity" && own.into_iter().all(|c| c.is_null() || c == "identity")
}

/// The first target at its first λ₁.
pub fn main(record: &RidgeRecord) -> &AtLambda1 {
    &record.targets[0].at[0]
}

/// z of a standard normal 95% interval.
pub const Z95: f64 = 1.959_963_984_540_054;

pub fn risk_point(x: f64, risk: &Risk, scale: f64) -> Point {
    let half = Z95 * risk.error * scale;
    let y = risk.simulated * scale;
    Point { x, y, low: y - half, high: y + half, hollow: false }
}

pub fn interval_point(x: f64, i: &Interval, scale: f64) -> Option<Point> {
    let at = |v: Option<f64>| v.map_or(f64::NAN, |v| scale * v);
    Some(Point { x, y: scale * i.estimate?, low: at(i.low), high: at(i.high), hollow: false })
}

/// Whether an interval holds a value; none where it lacks a bound, and so says nothing.
pub fn holds(i: &Interval, value: f64) -> Option<bool> {
    Some(i.low? <= value && value <= i.high?)
}

/// Fewer draws than this settle no claim.
pub const LEAST_DRAWS: usize = 10;

/// `1.65 (1.64 to 1.67)`.
pub fn words(i: &Interval) -> String {
    let show = |v: Option<f64>| v.map_or("?".into(), short);
    format!("{} ({} to {})", show(i.estimate), show(i.low), show(i.high))
}

/// Four digits.
pub fn short(value: f64) -> String {
    number(significant(value, 4))
}

/// Where a piecewise linear curve through (x, y) crosses a level: every crossing, ascending.
pub fn crossings(points: &[(f64, f64)], level: f64) -> Vec<f64> {
    let mut out: Vec<f64> = vec![];
    for pair in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        let (a, b) = (y0 - level, y1 - level);
        if a == 0.0 {
            out.push(x0);
        } else if a * b < 0.0 {
            out.push(x0 + (x1 - x0) * a / (a - b));
        }
    }
    out.extend(points.last().filter(|p| p.1 == level).map(|p| p.0));
    out
}

/// What counts as agreement where simulation is sharper than the equivalents' own error, which is O(1/p).
pub const CLOSE: f64 = 0.02;

/// For claims about agreement: of `n` comparisons, how many 95% intervals hold the prediction, and how far (relatively) the furthest is.
/// It stands if as many miss as chance lets miss, or if all are within 2%. `of`: what that is a share of, where it is not the number itself.
pub fn agreement(hits: usize, n: usize, furthest: f64, of: &str) -> (String, super::Verdict) {
    if n == 0 {
        return ("nothing to compare: no interval on both sides of a simulated value".into(), super::Verdict::Open);
    }
    let mut words = format!("{hits} of {n} 95% intervals hold the prediction; the furthest is {:.1}%{of} off", 100.0 * furthest);
    let chance = 0.05 * n as f64 + 2.33 * (0.05 * 0.95 * n as f64).sqrt() + 0.5;
    let verdict = match () {
        _ if (n - hits) as f64 <= chance => super::Verdict::Holds,
        _ if furthest <= CLOSE => {
            words.push_str(": the simulation is sharper than the prediction's own error, O(1/p)");
            super::Verdict::Holds
        }
        _ => {
            words.push_str(" (the prediction's own error is O(1/p): is p too small?)");
            super::Verdict::DoesNotHold
        }
    };
    (words, verdict)
}
