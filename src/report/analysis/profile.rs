//! The target with its best λ₁, at one λ₀: the best of the trained λ₁, or the maximum of a smooth
//! curve in ln λ₁ where there are enough of them.

use super::curve_optima::FEWEST;
use super::scores::best;
use super::spline::Spline;
use super::stats::{even_weights, weighted_mean};

/// The cells of one λ₀.
pub struct Profile<'a> {
    /// Values by λ₁ and seed; None where there is no result.
    row: &'a [Option<Vec<f64>>],
    curve: Option<OfLambda1>,
}

struct OfLambda1 {
    /// Indices of the λ₁ on the curve: neither 0 nor infinite, and with results.
    on: Vec<usize>,
    spline: Spline,
}

impl<'a> Profile<'a> {
    pub fn new(lambda1: &[f64], row: &'a [Option<Vec<f64>>]) -> Profile<'a> {
        let is_on = |&j: &usize| lambda1[j] > 0.0 && lambda1[j].is_finite() && row[j].is_some();
        let mut on: Vec<usize> = (0..row.len()).filter(is_on).collect();
        on.sort_by(|&a, &b| lambda1[a].total_cmp(&lambda1[b]));
        let values: Vec<Vec<f64>> = on.iter().filter_map(|&j| row[j].clone()).collect();
        // Equal results have no noise from which a curve could be fitted.
        let differ = values.iter().any(|own| own != &values[0]);
        let x: Vec<f64> = on.iter().map(|&j| lambda1[j].ln()).collect();
        let spline = (on.len() >= FEWEST && differ).then(|| Spline::fit(&x, &values)).flatten();
        Profile { row, curve: spline.map(|spline| OfLambda1 { on, spline }) }
    }

    /// The mean with the best λ₁, with these weights of the seeds.
    pub fn highest(&self, weights: &[f64]) -> Option<f64> {
        let mean = |j: usize| self.row[j].as_ref().map(|values| weighted_mean(values, weights));
        let Some(OfLambda1 { on, spline }) = &self.curve else { return (0..self.row.len()).filter_map(mean).reduce(f64::max) };
        let means: Vec<f64> = on.iter().filter_map(|&j| mean(j)).collect();
        let off = (0..self.row.len()).filter(|j| !on.contains(j)).filter_map(mean);
        off.chain([spline.peak(&means, &[]).value]).reduce(f64::max)
    }

    /// The seeds' values with the best λ₁ of their mean.
    pub fn by_seed(&self) -> Option<Vec<f64>> {
        let n = self.row.iter().flatten().next()?.len();
        let even = even_weights(n);
        let best = best(self.row, &even)?.first;
        match &self.curve {
            Some(OfLambda1 { on, spline }) if on.contains(&best) => {
                let values: Vec<&Vec<f64>> = on.iter().filter_map(|&j| self.row[j].as_ref()).collect();
                Some(spline.at_peak(&values))
            }
            _ => self.row[best].clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three seeds on a parabola in ln λ₁ with its maximum, 2, at λ₁ = 0.03.
    fn row(lambda1: &[f64]) -> Vec<Option<Vec<f64>>> {
        let of = |l: f64| 2.0 - (l / 0.03).ln().powi(2) / 10.0;
        lambda1.iter().enumerate().map(|(j, l)| Some((0..3).map(|s| of(*l) + 1e-4 * ((s + j) % 3) as f64).collect())).collect()
    }

    #[test]
    fn six_lambda1_have_a_curve_and_five_the_best_of_them() {
        let six = [1e-3, 1e-2, 1e-1, 1.0, 10.0, 1e-4];
        let even = even_weights(3);
        let grid = row(&six);
        let best = grid.iter().flatten().map(|values| weighted_mean(values, &even)).fold(0.0, f64::max);
        let curve = Profile::new(&six, &grid);
        let highest = curve.highest(&even).unwrap();
        assert!(best < 1.9 && (highest - 2.0).abs() < 0.02, "{best} {highest}");
        let by_seed = curve.by_seed().unwrap();
        assert!((weighted_mean(&by_seed, &even) - highest).abs() < 1e-9, "{by_seed:?}");
        let few = row(&six[..5]);
        assert_eq!(Profile::new(&six[..5], &few).highest(&even), Some(best));
    }

    #[test]
    fn zero_and_infinite_lambda1_compete_with_the_curve_and_have_no_place_on_it() {
        let all = [0.0, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, f64::INFINITY];
        let mut grid = row(&all[1..7]);
        grid.insert(0, Some(vec![2.5, 2.4, 2.6]));
        grid.push(None);
        let profile = Profile::new(&all, &grid);
        assert_eq!(profile.highest(&even_weights(3)), Some(2.5));
        assert_eq!(profile.by_seed(), Some(vec![2.5, 2.4, 2.6]));
        let equal = vec![Some(vec![1.0, 1.0]); 8];
        assert_eq!(Profile::new(&all, &equal).highest(&even_weights(2)), Some(1.0));
    }
}
