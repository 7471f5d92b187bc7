//! Axes: settings that were given several values, as a list or as `{log: …}` / `{linear: …}`.

use serde_yaml::{Mapping, Value};

use super::layers::{is_grid, Layers};
use super::schema::{Node, What};
use super::StudyError;

/// A setting with several values.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// The setting's key path, e.g. `lambda0` or `source.lr`.
    pub path: String,
    /// Its values in the order given, none twice.
    pub values: Vec<Value>,
}

/// All axes of a tree, in the order in which the reference lists the settings. Values of a `zipped` axis may repeat: it is their
/// combination with the others' that tells cells apart.
pub fn find(settings: &Node, tree: &Value, layers: &Layers, zipped: &[&String]) -> Result<Vec<Axis>, StudyError> {
    let mut axes = vec![];
    for (path, node) in settings.leaves() {
        let What::Setting { is_list, .. } = node.what else { continue };
        let Some(value) = path.get(tree) else { continue };
        if let Some(values) = values(value, is_list).map_err(|(index, what)| {
            let at = index.map_or(path.clone(), |i| path.index(i));
            layers.error(&at, what).hint("a grid is {log: {from: 1e-5, to: 1e-1, points: 9}} or {linear: {from: 0, to: 1, points: 5}}")
        })? {
            if values.is_empty() {
                return Err(layers.error(&path, "the list is empty").hint("give at least one value"));
            }
            let twice = values.iter().enumerate().find(|(i, v)| values[..*i].iter().any(|other| same(other, v)));
            if let Some((i, _)) = twice.filter(|_| !zipped.iter().any(|name| **name == path.to_string())) {
                return Err(layers.error(&path, format!("the value {} is listed twice", show(&values[i]))));
            }
            axes.push(Axis { path: path.to_string(), values });
        }
    }
    Ok(axes)
}

pub fn same(a: &Value, b: &Value) -> bool {
    a == b || matches!((a.as_f64(), b.as_f64()), (Some(a), Some(b)) if a == b)
}

type GridError = (Option<usize>, String);

/// The values of an axis; none where the value is a plain setting.
fn values(value: &Value, is_list: bool) -> Result<Option<Vec<Value>>, GridError> {
    match value {
        Value::Sequence(items) if is_list => {
            let nested = !items.is_empty() && items.iter().all(Value::is_sequence);
            Ok(nested.then(|| items.clone()))
        }
        Value::Sequence(items) => {
            let mut all = vec![];
            for (i, item) in items.iter().enumerate() {
                match item {
                    Value::Mapping(map) if is_grid(map) => all.extend(grid(map).map_err(|what| (Some(i), what))?),
                    item => all.push(item.clone()),
                }
            }
            Ok(Some(all))
        }
        Value::Mapping(map) if is_grid(map) => grid(map).map(Some).map_err(|what| (None, what)),
        _ => Ok(None),
    }
}

fn grid(map: &Mapping) -> Result<Vec<Value>, String> {
    let mut entries = map.iter();
    let (Some((kind, Value::Mapping(range))), None) = (entries.next(), entries.next()) else {
        return Err("a grid has one of `log` and `linear`, with `from`, `to` and `points` below it".into());
    };
    if let Some(key) = range.keys().find(|key| !["from", "to", "points"].iter().any(|known| key.as_str() == Some(known))) {
        return Err(format!("a grid has `from`, `to` and `points`, not `{}`", show(key)));
    }
    let number = |key: &str| match range.get(key).map(|v| v.as_f64().filter(|v| v.is_finite())) {
        Some(Some(number)) => Ok(number),
        Some(None) => Err(format!("`{key}` of a grid is a finite number")),
        None => Err(format!("the grid lacks `{key}`")),
    };
    let (from, to) = (number("from")?, number("to")?);
    let points = match range.get("points").map(Value::as_u64) {
        Some(Some(points)) if (2..=10_000).contains(&points) => points as usize,
        Some(_) => return Err("`points` of a grid is a whole number from 2 to 10000".into()),
        None => return Err("the grid lacks `points`".into()),
    };
    let log = kind.as_str() == Some("log");
    if log && (from <= 0.0 || to <= 0.0) {
        return Err("a `log` grid needs `from` and `to` above 0; put 0 beside it: [0, {log: …}]".into());
    }
    let at = |i: usize| {
        let t = i as f64 / (points - 1) as f64;
        let value = if log { (from.ln() + t * (to.ln() - from.ln())).exp() } else { from + t * (to - from) };
        // Twelve digits: 1e-4 rather than 9.999999999999999e-5, in file names and tables alike.
        let tidy: f64 = format!("{value:.11e}").parse().unwrap_or(value);
        // Whole numbers stay whole, for settings that count something.
        match tidy.fract() == 0.0 && tidy.abs() < 1e15 {
            true => Value::from(tidy as i64),
            false => Value::from(tidy),
        }
    };
    Ok((0..points).map(at).collect())
}

/// A value in one short line, as in a study file: `0.001`, `[64, 64]`, `cosine`.
pub fn show(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.as_f64().filter(|_| !n.is_u64() && !n.is_i64()).map_or_else(|| n.to_string(), number),
        Value::String(s) => s.clone(),
        Value::Sequence(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
        Value::Mapping(_) | Value::Tagged(_) => serde_yaml::to_string(value).unwrap_or_default().trim().replace('\n', " "),
    }
}

/// A number for people: up to six significant digits, scientific where that is shorter; `inf` for infinity.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return if value.is_nan() {
            "nan".into()
        } else if value > 0.0 {
            "inf".into()
        } else {
            "-inf".into()
        };
    }
    if value == 0.0 {
        return "0".into();
    }
    let scientific = format!("{value:.5e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits = if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-3..6).contains(&exponent) {
        let places = (5 - exponent).max(0) as usize;
        let plain = format!("{value:.places$}");
        return if plain.contains('.') { plain.trim_end_matches('0').trim_end_matches('.').to_string() } else { plain };
    }
    format!("{digits}e{exponent}")
}
