//! Axes: settings that have several values, given as a list or as `{log: …}` / `{linear: …}`.

use std::collections::HashSet;

use serde_yaml::{Mapping, Value};

use super::error::cut;
use super::layers::{is_grid, Layers};
use super::schema::{NodeContent, SchemaNode};
use super::StudyError;
use crate::base::numbers::{number, significant};

/// A setting with several values.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// The setting's key path, e.g. `lambda0` or `source.lr`.
    pub path: String,
    /// Its values in the order given. Only a zipped axis may repeat a value.
    pub values: Vec<Value>,
}

/// Maximum number of values of one axis.
const MOST_VALUES: usize = 100_000;

/// All axes of a tree, in the order in which the reference lists the settings. Values of a `zipped`
/// axis may repeat, because its combination with the others distinguishes cells.
pub fn find(settings: &SchemaNode, tree: &Value, layers: &Layers, zipped: &[&String]) -> Result<Vec<Axis>, StudyError> {
    let mut axes = vec![];
    for (path, node) in settings.leaves() {
        let NodeContent::Setting { is_list, .. } = node.what else { continue };
        let Some(value) = path.get(tree) else { continue };
        if let Some(values) = values(value, is_list).map_err(|(index, what)| {
            let at = index.map_or(path.clone(), |i| path.index(i));
            layers.error(&at, what).hint("a grid is {log: {from: 1e-5, to: 1e-1, points: 9}} or {linear: {from: 0, to: 1, points: 5}}")
        })? {
            if values.is_empty() {
                return Err(layers.error(&path, "the list is empty").hint("give at least one value"));
            }
            if values.len() > MOST_VALUES {
                return Err(layers.error(&path, format!("{} values are more than the {MOST_VALUES} allowed", values.len())));
            }
            // Values look the same only where they are the same.
            let mut seen = HashSet::new();
            let twice = values.iter().enumerate().find(|(_, value)| !seen.insert(show(value)));
            if let Some((i, _)) = twice.filter(|_| !zipped.iter().any(|name| **name == path.to_string())) {
                return Err(layers.error(&path, format!("the value {} is listed twice", cut(&show(&values[i])))));
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
            // null stands for the default of a value that is a list.
            let nested = items.iter().any(Value::is_sequence) && items.iter().all(|item| item.is_sequence() || item.is_null());
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
    let exact = |i: usize| match i {
        0 => from,
        i if i == points - 1 => to,
        i => {
            let t = i as f64 / (points - 1) as f64;
            if log {
                (from.ln() + t * (to.ln() - from.ln())).exp()
            } else {
                from + t * (to - from)
            }
        }
    };
    let rounded = |digits: usize| (0..points).map(|i| significant(exact(i), digits)).collect::<Vec<f64>>();
    let distinct = |values: &Vec<f64>| values.windows(2).all(|pair| pair[0] != pair[1]);
    // Use more digits only where six would make neighbours equal.
    let values = [GRID_DIGITS, 9, 12].into_iter().map(rounded).find(distinct).unwrap_or_else(|| (0..points).map(exact).collect());
    Ok(values.into_iter().map(whole_or_real).collect())
}

/// Significant digits of the points of a grid, so that the value used is the value printed.
const GRID_DIGITS: usize = 6;

/// Keeps whole numbers whole, for settings that count something.
fn whole_or_real(value: f64) -> Value {
    match value.fract() == 0.0 && value.abs() < 1e15 {
        true => Value::from(value as i64),
        false => Value::from(value),
    }
}

/// 2⁵³: all whole numbers below it are exact as f64.
const MOST_EXACT: f64 = 9_007_199_254_740_992.0;

/// A value as it can be typed into a study file: `0.001`, `[64, 64]`, `cosine`. Reading it as YAML
/// gives the value again, so different values never look the same. A whole number and a real of the
/// same size are one value.
pub fn show(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => match n.as_f64() {
            Some(real) if !real.is_finite() => format!("{real}").to_lowercase().replace("inf", ".inf").replace("nan", ".nan"),
            // Written as reals are, so that one number has one form.
            Some(real) if !(n.is_u64() || n.is_i64()) || real.abs() < MOST_EXACT => number(real),
            _ => n.to_string(),
        },
        Value::String(s) => show_text(s),
        Value::Sequence(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
        Value::Mapping(map) => {
            format!("{{{}}}", map.iter().map(|(key, value)| format!("{}: {}", show(key), show(value))).collect::<Vec<_>>().join(", "))
        }
        // No setting has a tag.
        Value::Tagged(tagged) => format!("{} {}", tagged.tag, show(&tagged.value)),
    }
}

/// The word for `null` in tables. Programs that read tables would take "null" for a missing value.
pub const UNSET: &str = "unset";

/// A value in a table or a list of hyperparameters: as in [`show`], except for `null`.
pub fn table_word(value: &Value) -> String {
    if value.is_null() {
        UNSET.into()
    } else {
        show(value)
    }
}

/// A text, in quotes where it would be read as something else without them.
fn show_text(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_-./*+".contains(c);
    let starts = text.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let plain = starts && text.chars().all(is_plain) && matches!(serde_yaml::from_str(text), Ok(Value::String(read)) if read == text);
    // A JSON string is a YAML string; writing text as JSON cannot fail.
    if plain {
        text.into()
    } else {
        serde_json::to_string(text).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;
    use serde_yaml::Value;

    use super::{grid, same, show};
    use crate::base::numbers::{number, significant};

    fn value() -> impl Strategy<Value = Value> {
        let number = prop_oneof![
            any::<f64>().prop_filter("a number", |v| !v.is_nan()).prop_map(Value::from),
            (1e-9..1e9f64).prop_map(|v| Value::from(significant(v, 6))),
            any::<i64>().prop_map(Value::from),
            (0u64..50).prop_map(Value::from),
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            number,
            "[ a-z0-9.,:_#*\\[\\]{}'\"-]{0,8}".prop_map(Value::from),
            prop_oneof![
                Just("null"),
                Just("true"),
                Just("1"),
                Just("1e-3"),
                Just("inf"),
                Just(".inf"),
                Just("~"),
                Just("[a]"),
                Just("a, b")
            ]
            .prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 8, 3, |inner| prop::collection::vec(inner, 0..3).prop_map(Value::Sequence))
    }

    fn equal(a: &Value, b: &Value) -> bool {
        match (a, b) {
            (Value::Sequence(a), Value::Sequence(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
            (a, b) => same(a, b),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, rng_seed: RngSeed::Fixed(17), failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_printed_and_typed_back_is_the_same_value(v in value()) {
            let printed = show(&v);
            let read: Value = serde_yaml::from_str(&printed).unwrap();
            prop_assert!(equal(&read, &v), "{v:?} is printed as {printed} and read as {read:?}");
        }

        #[test]
        fn different_values_look_different(a in value(), b in value()) {
            prop_assert_eq!(show(&a) == show(&b), equal(&a, &b), "{:?} and {:?}", a, b);
        }

        #[test]
        fn grid_points_have_at_most_six_digits(from in 1e-8..1e-2f64, to in 1e-1..1e6f64, points in 2usize..40) {
            let text = format!("{{log: {{from: {from:e}, to: {to:e}, points: {points}}}}}");
            let Ok(Value::Mapping(map)) = serde_yaml::from_str(&text) else { panic!("{text}") };
            for value in grid(&map).unwrap() {
                let v = value.as_f64().unwrap();
                prop_assert_eq!(v, significant(v, 6));
                prop_assert_eq!(number(v).parse::<f64>().unwrap(), v);
            }
        }
    }

    #[test]
    fn a_number_has_one_form() {
        for n in [0i64, 7, 999_999, 1_000_000, 123_456_789, 1 << 52] {
            assert_eq!(show(&Value::from(n)), number(n as f64));
        }
    }

    #[test]
    fn a_grid_that_six_digits_would_merge_keeps_more() {
        let map = serde_yaml::from_str("{linear: {from: 1000000, to: 1000010, points: 11}}").unwrap();
        assert_eq!(grid(&map).unwrap()[3], Value::from(1_000_003));
    }
}
