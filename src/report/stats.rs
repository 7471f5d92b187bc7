//! Means, percentiles and the bootstrap over seeds.

use rayon::prelude::*;

use crate::plan::Stream;

/// Resamples of every bootstrap.
const RESAMPLES: usize = 2000;

/// Arithmetic mean; NaN of nothing.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The p-quantile (0 ≤ p ≤ 1) of sorted values, by linear interpolation between order statistics; infinities allowed.
pub fn percentile(sorted: &[f64], p: f64) -> f64 {
    let at = p * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    // From −∞ there is no way to interpolate.
    if low == high || low == f64::NEG_INFINITY {
        low
    } else {
        low + (high - low) * at.fract()
    }
}

/// Draws `seeds` positions with replacement, many times, and evaluates `f` on each draw. The same draws every time.
pub fn bootstrap<T: Send>(seeds: usize, f: impl Fn(&[usize]) -> T + Sync) -> Vec<T> {
    (0..RESAMPLES)
        .into_par_iter()
        .map(|i| {
            let mut stream = Stream::new("bootstrap", seeds as u64, i as u64);
            let draw: Vec<usize> = (0..seeds).map(|_| stream.below(seeds as u64) as usize).collect();
            f(&draw)
        })
        .collect()
}

/// 95% percentile interval of `f` over resampled seeds; none for fewer than two seeds.
pub fn interval(seeds: usize, f: impl Fn(&[usize]) -> f64 + Sync) -> Option<(f64, f64)> {
    if seeds < 2 {
        return None;
    }
    let mut values = bootstrap(seeds, f);
    if values.iter().any(|v| v.is_nan()) {
        return None;
    }
    values.sort_by(f64::total_cmp);
    Some((percentile(&values, 0.025), percentile(&values, 0.975)))
}

/// Mean of the drawn values.
pub fn mean_of(values: &[f64], draw: &[usize]) -> f64 {
    draw.iter().map(|&i| values[i]).sum::<f64>() / draw.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_interpolate() {
        let sorted = [0.0, 1.0, 2.0, 4.0];
        assert_eq!((percentile(&sorted, 0.0), percentile(&sorted, 1.0), percentile(&sorted, 0.5)), (0.0, 4.0, 1.5));
        assert_eq!(percentile(&[f64::INFINITY, f64::INFINITY], 0.3), f64::INFINITY);
        assert_eq!(percentile(&[f64::NEG_INFINITY, 1.0], 0.5), f64::NEG_INFINITY);
    }

    #[test]
    fn the_bootstrap_of_a_mean_has_the_right_width_and_repeats() {
        // For n values the bootstrap's standard error of the mean is sd/√n.
        let values: Vec<f64> = (0..40).map(|i| f64::from(i % 5)).collect();
        let (low, high) = interval(40, |draw| mean_of(&values, draw)).unwrap();
        let half = 1.96 * 2f64.sqrt() / 40f64.sqrt();
        assert!((low - (2.0 - half)).abs() < 0.05 && (high - (2.0 + half)).abs() < 0.05, "{low} {high}");
        assert_eq!(Some((low, high)), interval(40, |draw| mean_of(&values, draw)));
        assert_eq!(interval(1, |draw| mean_of(&values, draw)), None);
    }
}
