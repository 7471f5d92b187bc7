//! Names of combinations of axis values, used for folders, TensorBoard and figures.

use serde_yaml::Value;

use super::hash::hash;
use crate::config::show;

/// Length in bytes up to which a name is kept unchanged. File systems allow 255 bytes.
const LONGEST: usize = 150;

/// A label such as `rho=0.8,gamma=2`. It is empty if there are no axes. Different values have
/// different labels.
///
/// If the label is too long or has characters that are unsuitable for a folder name, it is cleaned
/// and shortened: such characters are removed or replaced by `_`. A hash of the full label is then
/// appended.
pub fn label(axes: &[(String, Value)]) -> String {
    let whole = axes.iter().map(|(path, value)| format!("{path}={}", show(value))).collect::<Vec<_>>().join(",");
    let safe = |c: char| c.is_ascii_alphanumeric() || ".,=-_+".contains(c);
    if whole.len() <= LONGEST && whole.chars().all(safe) {
        return whole;
    }
    let readable: String = whole.chars().filter(|c| !" []{}\"".contains(*c)).map(|c| if safe(c) { c } else { '_' }).collect();
    format!("{}_{}", &readable[..readable.len().min(LONGEST - 30)], &hash(&whole)[..12])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;
    use serde_yaml::Value;

    use super::label;

    fn value() -> impl Strategy<Value = Value> {
        let near = prop_oneof![Just(0.0316228), Just(0.0316227766017), Just(0.0316227766016838), Just(1e-3), Just(0.001000000001)];
        let text = prop_oneof![Just("a b"), Just("a_b"), Just("ab"), Just("a, b"), Just("1"), Just("null"), Just("[a]"), Just("å")];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0i64..3).prop_map(Value::from),
            near.prop_map(Value::from),
            any::<f64>().prop_filter("a number", |v| !v.is_nan()).prop_map(Value::from),
            text.prop_map(Value::from),
            "[a-z]{140,160}".prop_map(Value::from),
        ];
        leaf.prop_recursive(1, 6, 3, |inner| prop::collection::vec(inner, 0..4).prop_map(Value::Sequence))
    }

    fn key(value: &Value) -> String {
        match value {
            Value::Sequence(items) => format!("[{}]", items.iter().map(key).collect::<Vec<_>>().join("|")),
            Value::Number(n) => format!("number {:?}", n.as_f64().map(|v| if v == 0.0 { 0.0 } else { v })),
            other => format!("{other:?}"),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, rng_seed: RngSeed::Fixed(17), failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn labels_are_equal_only_for_equal_values(a in value(), b in value()) {
            let of = |value: &Value| label(&[("x".into(), value.clone()), ("y".into(), Value::from(1))]);
            prop_assert_eq!(of(&a) == of(&b), key(&a) == key(&b), "{:?} and {:?}", a, b);
            prop_assert!(of(&a).len() <= 150 && !of(&a).contains('/'));
        }
    }

    #[test]
    fn what_can_name_a_folder_is_kept() {
        let axes = |value: Value| vec![("lambda0".to_string(), value)];
        assert_eq!(label(&axes(Value::from(0.00316228))), "lambda0=0.00316228");
        assert!(label(&axes(serde_yaml::from_str("[64, 64]").unwrap())).starts_with("lambda0=64,64_"));
        assert_eq!(label(&[]), "");
    }
}
