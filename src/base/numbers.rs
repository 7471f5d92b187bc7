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

/// The seconds of a time such as `90s`, `45m`, `1h30m` or `1.5d`; a number alone is seconds.
///
/// # Errors
/// What is wrong with the text.
pub fn seconds(text: &str) -> Result<f64, String> {
    let parts = text.split_inclusive(|c: char| c.is_ascii_alphabetic()).collect::<Vec<_>>();
    match parts.len() > 1 && parts.iter().all(|part| part.starts_with(|c: char| c.is_ascii_digit())) {
        true => parts.into_iter().map(one_time).sum(),
        false => one_time(text),
    }
}

fn one_time(text: &str) -> Result<f64, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[number.len()..] {
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        other => return Err(format!("`{other}` is no unit of time: use s, m, h or d, as in 45m")),
    };
    match number.parse::<f64>() {
        Ok(value) if value > 0.0 && value.is_finite() => Ok(value * unit),
        _ => Err(format!("`{text}` is no time above 0: use for example 90s, 45m or 2h")),
    }
}

/// A duration as text, for example `3.3 h`, `45 min` or `12 s`.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s >= 172_800.0 => format!("{:.1} days", s / 86_400.0),
        s if s >= 7200.0 => format!("{:.1} h", s / 3600.0),
        s if s >= 120.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.0} s", s.max(1.0)),
    }
}

/// A size as text, for example `12.3 MB`.
pub fn bytes(n: f64) -> String {
    match n {
        n if n >= 1e9 => format!("{:.1} GB", n / 1e9),
        n if n >= 1e6 => format!("{:.1} MB", n / 1e6),
        n => format!("{:.0} kB", (n / 1e3).max(1.0)),
    }
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

    #[test]
    fn times_have_units() {
        assert_eq!(
            ["90s", "45m", "2h", "1.5d", "30", "1h30m"].map(|text| super::seconds(text).unwrap()),
            [90.0, 2700.0, 7200.0, 129_600.0, 30.0, 5400.0]
        );
        for wrong in ["", "h", "-1h", "2 weeks", "1e999", "inf", "0s", "1h0m", "1h30x", "1h-3m"] {
            assert!(super::seconds(wrong).is_err(), "{wrong}");
        }
    }
}
