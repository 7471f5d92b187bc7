//! Formats numbers. Settings are written exactly, computed numbers are rounded first.

/// The number nearest to `value` with `digits` significant digits.
pub fn significant(value: f64, digits: usize) -> f64 {
    format!("{value:.*e}", digits.saturating_sub(1)).parse().unwrap_or(value)
}

/// The largest number with six significant digits that is not above `value`: a bound short enough
/// to type.
pub fn round_down(value: f64) -> f64 {
    let near = significant(value, 6);
    if near <= value || !value.is_finite() {
        return near;
    }
    // One unit of the sixth digit less.
    let unit = 10f64.powf(value.abs().log10().floor() - 5.0);
    significant(near - unit, 6)
}

/// A number in the fewest digits that give the same number again, scientific outside of 0.001 to
/// 1e6. Infinity is `inf` (in a study file: `.inf`). Settings are always printed with this
/// function. Computed numbers are rounded first: see [`significant`].
pub fn number(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.into();
    }
    if value == 0.0 {
        return "0".into();
    }
    let scientific = format!("{value:e}");
    let exponent: i32 = scientific.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0);
    if (-3..6).contains(&exponent) {
        format!("{value}")
    } else {
        scientific
    }
}

/// A computed number for people: six significant digits.
pub fn rounded(value: f64) -> String {
    number(significant(value, 6))
}

#[cfg(test)]
mod tests {
    use super::{number, round_down};

    #[test]
    fn a_largest_allowed_value_is_not_above_it() {
        for lr in (1..5000).map(|i| 2e-4 * f64::from(i)) {
            for value in [2.0 / lr, 1.0 / lr, lr, 1e-9 / lr] {
                let low = round_down(value);
                assert!(low <= value && low > value * (1.0 - 2e-5), "{low} for {value}");
                assert_eq!(number(low).parse::<f64>().unwrap(), low);
            }
        }
        assert_eq!(round_down(20.0 / 3.0), 6.66666);
    }

    #[test]
    fn numbers_are_short_and_exact() {
        let cases = [
            (1e-4, "1e-4"),
            (0.001, "0.001"),
            (0.00316227766017, "0.00316227766017"),
            (0.00316228, "0.00316228"),
            (0.1 + 0.2, "0.30000000000000004"),
            (123456.0, "123456"),
            (1e6, "1e6"),
            (-2.5, "-2.5"),
            (0.0, "0"),
            (-0.0, "0"),
            (f64::INFINITY, "inf"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }
}
