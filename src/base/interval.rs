//! An estimate with its 95% interval.

use serde::{Deserialize, Serialize};

/// z of a standard normal 95% interval.
pub const Z95: f64 = 1.959_963_984_540_054;

/// An estimate with its 95% interval. `range` is none if there are fewer than two values, or if the
/// values do not determine an interval. A bound may be infinite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    pub estimate: f64,
    pub range: Option<(f64, f64)>,
}

impl Interval {
    /// Drops the interval if it contains values outside of `low` to `high`.
    pub fn within(self, low: f64, high: f64) -> Interval {
        Interval { range: self.range.filter(|range| range.0 >= low && range.1 <= high), ..self }
    }

    /// Applies an increasing function to the estimate and to both bounds.
    pub fn map(self, f: impl Fn(f64) -> f64) -> Interval {
        Interval { estimate: f(self.estimate), range: self.range.map(|(low, high)| (f(low), f(high))) }
    }

    /// Both bounds, which may be infinite. NaN without an interval.
    pub fn bounds(&self) -> (f64, f64) {
        self.range.unwrap_or((f64::NAN, f64::NAN))
    }

    /// The lower bound. None without an interval, or if it is infinite.
    pub fn low(&self) -> Option<f64> {
        self.range.map(|range| range.0).filter(|low| low.is_finite())
    }

    /// The upper bound. None without an interval, or if it is infinite.
    pub fn high(&self) -> Option<f64> {
        self.range.map(|range| range.1).filter(|high| high.is_finite())
    }

    /// Whether the interval, which may be infinite, contains a value. False without an interval.
    pub fn contains(&self, value: f64) -> bool {
        self.range.is_some_and(|(low, high)| low <= value && value <= high)
    }

    /// Whether the interval contains a value. None if a bound is missing or infinite, since nothing
    /// is decided then.
    pub fn holds(&self, value: f64) -> Option<bool> {
        Some(self.low()? <= value && value <= self.high()?)
    }

    /// Whether the whole interval lies above a value.
    pub fn is_above(&self, value: f64) -> bool {
        self.low().is_some_and(|low| low > value)
    }

    /// Whether the whole interval lies below a value.
    pub fn is_below(&self, value: f64) -> bool {
        self.high().is_some_and(|high| high < value)
    }
}

/// An interval as stored in records: missing and infinite numbers are null.
#[derive(Serialize, Deserialize)]
struct Stored {
    estimate: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
}

impl Serialize for Interval {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let estimate = Some(self.estimate).filter(|v| v.is_finite());
        Stored { estimate, low: self.low(), high: self.high() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Interval {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Interval, D::Error> {
        let Stored { estimate, low, high } = Stored::deserialize(deserializer)?;
        let range = (low.is_some() || high.is_some()).then(|| (low.unwrap_or(f64::NEG_INFINITY), high.unwrap_or(f64::INFINITY)));
        Ok(Interval { estimate: estimate.unwrap_or(f64::NAN), range })
    }
}

#[cfg(test)]
mod tests {
    use super::Interval;

    #[test]
    fn an_interval_is_read_back_from_a_record() {
        for (interval, text) in [
            (Interval { estimate: 1.5, range: Some((1.0, 2.0)) }, r#"{"estimate":1.5,"low":1.0,"high":2.0}"#),
            (Interval { estimate: 1.5, range: Some((1.0, f64::INFINITY)) }, r#"{"estimate":1.5,"low":1.0,"high":null}"#),
            (Interval { estimate: 1.5, range: None }, r#"{"estimate":1.5,"low":null,"high":null}"#),
        ] {
            assert_eq!(serde_json::to_string(&interval).unwrap(), text);
            assert_eq!(serde_json::from_str::<Interval>(text).unwrap(), interval);
        }
    }

    #[test]
    fn a_missing_bound_decides_nothing() {
        let open = Interval { estimate: 1.5, range: Some((1.0, f64::INFINITY)) };
        assert_eq!((open.holds(5.0), open.is_above(0.5), open.is_below(9.0)), (None, true, false));
    }
}
