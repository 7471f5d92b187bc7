//! Means with Student's t intervals, the bootstrap over seeds, and Holm's correction.
//!
//! Everything is paired by seed. Each bootstrap draw weights the *seeds* in the same way for every
//! λ, so that an effect that a seed has on all cells cancels. docs/report.md explains the choice of
//! methods and reports their coverage.

use rand_distr::{ChiSquared, StandardNormal};
use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, StudentsT};

use crate::base::interval::Interval;
use crate::base::stream::Stream;
use crate::base::threads;
use crate::theory::estimate::fieller;

/// Number of draws of every bootstrap.
const DRAWS: usize = 2000;

/// Arithmetic mean; NaN for an empty slice.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Standard error of the mean; NaN for fewer than two values.
fn standard_error(values: &[f64]) -> f64 {
    let (n, centre) = (values.len() as f64, mean(values));
    (values.iter().map(|v| (v - centre).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt()
}

fn student(n: usize) -> Option<StudentsT> {
    StudentsT::new(0.0, 1.0, n.checked_sub(1)? as f64).ok()
}

/// Half-width of the two-sided interval of a mean of n values that is wrong with probability
/// `error`, in standard errors. For fewer than two values it is that of two.
pub fn student_quantile(n: usize, error: f64) -> f64 {
    student(n.max(2)).map_or(f64::INFINITY, |law| law.inverse_cdf(1.0 - error / 2.0))
}

/// Whether the values differ by rounding errors only. They then have no spread from which to
/// estimate an error. With few test images, two or three seeds can have the same difference by
/// chance; this is no certainty.
fn has_no_spread(values: &[f64]) -> bool {
    standard_error(values) <= 1e-9 * mean(values).abs()
}

/// The mean with its 95% interval by Student's t. For paired differences this is the paired t
/// interval. There is no interval if all values are equal and not 0.
pub fn mean_interval(values: &[f64]) -> Interval {
    let estimate = mean(values);
    let nothing = values.iter().all(|v| *v == 0.0);
    let t = student(values.len()).filter(|_| nothing || !has_no_spread(values));
    let half = t.map(|t| t.inverse_cdf(0.975) * standard_error(values));
    Interval { estimate, range: half.map(|half| (estimate - half, estimate + half)) }
}

/// mean(top)/mean(bottom) of values that are paired by seed, with Fieller's 95% interval: all
/// ratios r for which "the mean of top − r·bottom is 0" is not rejected by the paired t test. There
/// is no interval where the mean of `top` has none. The estimate is NaN where the mean of `bottom`
/// is not above 0.
pub fn ratio_interval(top: &[f64], bottom: &[f64]) -> Interval {
    let (n, top_mean, bottom_mean) = (top.len() as f64, mean(top), mean(bottom));
    let products = top.iter().zip(bottom).map(|(a, b)| (a - top_mean) * (b - bottom_mean));
    let covariance = products.sum::<f64>() / (n - 1.0) / n;
    let (top_variance, bottom_variance) = (standard_error(top).powi(2), standard_error(bottom).powi(2));
    let estimate = if bottom_mean > 0.0 { top_mean / bottom_mean } else { f64::NAN };
    let t = student(top.len()).filter(|_| mean_interval(top).range.is_some()).map(|t| t.inverse_cdf(0.975));
    let range = t.and_then(|t| fieller(top_mean, bottom_mean, top_variance, bottom_variance, covariance, t).range);
    Interval { estimate, range }
}

/// Two-sided p-value of "the mean is 0" by Student's t. None for fewer than two values, or without
/// spread.
pub fn p_value(values: &[f64]) -> Option<f64> {
    let t = student(values.len()).filter(|_| !has_no_spread(values))?;
    Some(2.0 * t.cdf(-(mean(values) / standard_error(values)).abs()))
}

/// Holm's step-down correction. If the corrected p-values are compared with a level, the
/// probability of any false positive among all of them is below that level.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut adjusted = vec![0.0; p.len()];
    let mut least: f64 = 0.0;
    for (rank, &i) in order.iter().enumerate() {
        least = least.max(((p.len() - rank) as f64 * p[i]).min(1.0));
        adjusted[i] = least;
    }
    adjusted
}

/// The p-quantile (0 ≤ p ≤ 1) of sorted values, by linear interpolation between order statistics.
/// Infinite values are allowed.
pub fn percentile(sorted: &[f64], p: f64) -> f64 {
    let at = p * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    // Interpolation from −∞ is undefined.
    if low == high || low == f64::NEG_INFINITY {
        low
    } else {
        low + (high - low) * at.fract()
    }
}

/// The p-quantile of bootstrap values, rounded outwards to one of them, so that it is never between
/// two grid points. None for an empty list, or if a value is NaN.
pub fn quantile(mut values: Vec<f64>, p: f64) -> Option<f64> {
    if values.is_empty() || values.iter().any(|v| v.is_nan()) {
        return None;
    }
    values.sort_by(f64::total_cmp);
    let at = p * (values.len() - 1) as f64;
    Some(values[if p < 0.5 { at.floor() } else { at.ceil() } as usize])
}

/// The weights of the plain mean over n seeds.
pub fn even_weights(n: usize) -> Vec<f64> {
    vec![1.0 / n as f64; n]
}

/// A weighted mean over seeds; the weights sum to 1.
pub fn weighted_mean(values: &[f64], weights: &[f64]) -> f64 {
    values.iter().zip(weights).map(|(v, w)| v * w).sum()
}

/// Evaluates `f` on many draws of the weights of n ≥ 2 seeds. Returns an empty list for n < 2. The
/// draws are the same in every call.
///
/// This is the studentised multiplier bootstrap. The weights are 1/n + (gₛ − ḡ)·T/√(n(n−1)), with g
/// standard normal and T² = (n−1)/χ²ₙ₋₁. The weighted mean of any metric then varies around the
/// plain mean exactly as in Student's t, jointly over all cells. Drawing seeds with replacement has
/// only (n−1)/n of the variance and none of the tails of t. With few seeds its intervals would be
/// too narrow.
pub fn bootstrap<T: Send>(n: usize, f: impl Fn(&[f64]) -> T + Sync) -> Vec<T> {
    bootstrap_with(n, |weights, _| f(weights))
}

/// The same for a function that needs random numbers of its own.
pub fn bootstrap_with<T: Send>(n: usize, f: impl Fn(&[f64], &mut Stream) -> T + Sync) -> Vec<T> {
    let Some(chi2) = n.checked_sub(1).and_then(|df| ChiSquared::new(df as f64).ok()) else { return vec![] };
    let draw = |i: usize| {
        let mut stream = Stream::new("bootstrap", n as u64, i as u64);
        let normal: Vec<f64> = (0..n).map(|_| stream.sample(&StandardNormal)).collect();
        let (centre, df) = (mean(&normal), (n - 1) as f64);
        let scale = (df / stream.sample(&chi2)).sqrt() / (n as f64 * df).sqrt();
        let weights: Vec<f64> = normal.iter().map(|g| 1.0 / n as f64 + (g - centre) * scale).collect();
        f(&weights, &mut stream)
    };
    threads::map(DRAWS, draw)
}

/// Whether `right` correct answers out of `n` are significantly more than guessing gives, at the
/// 2.5% level of the exact binomial test. `share` is the probability that a guess is correct.
pub fn beats_guessing(right: u64, n: u64, share: f64) -> bool {
    match Binomial::new(share, n) {
        Ok(law) if right > 0 => law.sf(right - 1) <= 0.025,
        _ => false,
    }
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
    fn an_interval_of_impossible_accuracies_is_none() {
        use crate::report::analysis::Metric::{Accuracy, Loss};
        // Two seeds with differences −15 and +15 points: t = 12.7 gives ±191 points.
        let apart = [-0.15, 0.15];
        assert_eq!(Accuracy.paired(&apart).range, None);
        assert!(Loss.paired(&apart).range.is_some());
        assert_eq!(Accuracy.level(&[0.5, 0.8]).range, None);
        // Near 100% the interval extends beyond 100% and is kept: its width shows the spread of the
        // seeds.
        assert!(Accuracy.level(&[0.99, 0.999, 0.995]).range.is_some_and(|(_, high)| high > 1.0));
        assert!(Accuracy.paired(&[0.01, 0.02, 0.015]).range.is_some());
    }

    #[test]
    fn the_interval_of_a_ratio_holds_zero_where_that_of_its_top_does() {
        let bottom = [0.10, 0.12, 0.08, 0.14, 0.11];
        for shift in [0.0, 0.005, 0.01, 0.02, 0.05] {
            let top: Vec<f64> = bottom.iter().enumerate().map(|(i, b)| 0.3 * (b - 0.11) + shift + 0.002 * (i as f64 - 2.0)).collect();
            let (ratio, mean) = (ratio_interval(&top, &bottom), mean_interval(&top));
            assert_eq!(ratio.contains(0.0), mean.contains(0.0), "{ratio:?} {mean:?}");
            assert!((ratio.estimate - mean.estimate / 0.11).abs() < 1e-9);
        }
        assert_eq!(ratio_interval(&[0.1], &[0.5]), Interval { estimate: 0.2, range: None });
    }

    #[test]
    fn student_intervals_and_p_values_are_those_of_the_textbook() {
        // scipy.stats.ttest_1samp([1, 2, 3, 4, 6], 0): t = 3.7198, p = 0.0204759; confidence
        // interval 0.811612 to 5.588388.
        let values = [1.0, 2.0, 3.0, 4.0, 6.0];
        let (low, high) = mean_interval(&values).range.unwrap();
        assert!((low - 0.811_612).abs() < 1e-5 && (high - 5.588_388).abs() < 1e-5, "{low} {high}");
        assert!((p_value(&values).unwrap() - 0.020_475_9).abs() < 1e-7, "{:?}", p_value(&values));
        assert_eq!(mean_interval(&[1.0]), Interval { estimate: 1.0, range: None });
        assert_eq!(mean_interval(&[0.0, 0.0]).range, Some((0.0, 0.0)));
        // Two equal differences are not evidence.
        assert_eq!((p_value(&[1.0]), p_value(&[0.5, 0.5]), mean_interval(&[0.1, 0.1, 0.1 + 1e-16]).range), (None, None, None));
    }

    #[test]
    fn guessing_is_beaten_by_enough_right_answers_only() {
        // scipy.stats.binomtest(73, 300, 0.2, 'greater').pvalue is 0.0377; for 75 it is 0.0215.
        assert!(!beats_guessing(73, 300, 0.2) && beats_guessing(75, 300, 0.2));
        assert!(!beats_guessing(60, 300, 0.2) && !beats_guessing(0, 300, 0.2) && !beats_guessing(0, 0, 0.2));
        assert!(beats_guessing(503, 600, 0.2), "83.8% in two seeds of 300 images");
    }

    #[test]
    fn holm_is_that_of_the_textbook() {
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]);
        let wanted = [0.03, 0.06, 0.06, 0.02];
        assert!(adjusted.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-12), "{adjusted:?}");
        assert_eq!(holm(&[0.9, 0.8]), vec![1.0, 1.0]);
    }

    #[test]
    fn the_bootstrap_of_a_mean_is_student_s_t_and_repeats() {
        for n in [3, 5, 20] {
            let values: Vec<f64> = (0..n).map(|i| ((i * 7) % 5) as f64).collect();
            let interval = || {
                let draws = bootstrap(n, |weights| weighted_mean(&values, weights));
                (quantile(draws.clone(), 0.025).unwrap(), quantile(draws, 0.975).unwrap())
            };
            let (low, high) = interval();
            let (a, b) = mean_interval(&values).range.unwrap();
            // The 2.5% quantile of 2000 draws has a standard error of about 4% of its distance from
            // the centre. It is larger for n = 3, because of the heavy tails.
            assert!(((low - a) / (b - a)).abs() < 0.08 && ((high - b) / (b - a)).abs() < 0.08, "{n}: {low} {high}, {a} {b}");
            assert_eq!((low, high), interval());
        }
        assert!(bootstrap(1, |_| 0.0).is_empty() && bootstrap(0, |_| 0.0).is_empty());
        assert_eq!(
            (quantile(vec![], 0.5), quantile(vec![1.0, 2.0, 3.0], 0.975), quantile(vec![1.0, 2.0, 3.0], 0.6)),
            (None, Some(3.0), Some(3.0))
        );
    }
}
