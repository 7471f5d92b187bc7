//! A smooth curve through means over λ₀: a cubic smoothing spline in ln λ₀.
//!
//! Among all curves it minimises Σᵢ (ȳᵢ − f(xᵢ))² + (1/3ρ)·∫ f″(u)² du, u = (x − x₁)/(x_K − x₁).
//! ρ is the ratio of the curve's variance to the noise's. It is chosen by REML: the likelihood of
//! the mean curve and of the seeds' deviations from it, in which both have the same noise. A spline
//! cannot follow a kink, and this bias does not shrink with more seeds. So every draw of the
//! bootstrap adds a curve that the spline cannot see, from the distribution of such curves under
//! the prior whose posterior mean the spline is (Wahba 1978). docs/report.md compares this with
//! other smoothers and reports its coverage.

use ndarray::{Array1, Array2, Axis};
use rand_distr::StandardNormal;

use super::grid_end::GridEnd;
use crate::base::stream::Stream;
use crate::theory::linalg::cholesky;

/// Points of the fine grid, besides the λ₀ themselves.
const FINE: usize = 200;
/// Values of ρ that are tried, besides 0 (a straight line).
const SMOOTHNESSES: usize = 25;
const SMOOTHNESS: (f64, f64) = (1e-2, 1e6);
/// Columns of the factor of the bias's covariance.
const RANK: usize = 16;

/// The spline as a linear map of the means at K values of x to a fine grid.
#[derive(Debug, Clone)]
pub struct Spline {
    /// The fine grid, ascending; it contains the K values.
    fine: Vec<f64>,
    /// Positions of the K values in the fine grid.
    nodes: Vec<usize>,
    /// [fine × K]
    weights: Array2<f64>,
    /// [fine × at most 16]: times independent standard normal numbers, a curve that the spline
    /// cannot see.
    bias: Array2<f64>,
}

/// The maximum of a curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peak {
    pub x: f64,
    pub value: f64,
    /// The end of the K values at which the maximum is, if any.
    pub end: Option<GridEnd>,
    /// The widest distance of the best of the K values to a neighbour.
    pub step: f64,
}

/// The kernel of a curve's second derivative.
fn kernel(a: f64, b: f64) -> f64 {
    let (low, high) = (a.min(b), a.max(b));
    low * low * (3.0 * high - low) / 2.0
}

fn kernels(a: &[f64], b: &[f64]) -> Array2<f64> {
    Array2::from_shape_fn((a.len(), b.len()), |(i, j)| kernel(a[i], b[j]))
}

fn lines(x: &[f64]) -> Array2<f64> {
    Array2::from_shape_fn((x.len(), 2), |(i, j)| if j == 0 { 1.0 } else { x[i] })
}

/// The inverse and the logarithm of the determinant of a positive definite matrix.
fn inverse(a: &Array2<f64>) -> Option<(Array2<f64>, f64)> {
    let (n, factor) = (a.nrows(), cholesky(a.view())?);
    let mut lower = Array2::<f64>::zeros((n, n));
    for j in 0..n {
        for i in j..n {
            let known: f64 = (j..i).map(|k| factor[(i, k)] * lower[(k, j)]).sum();
            lower[(i, j)] = (f64::from(u8::from(i == j)) - known) / factor[(i, i)];
        }
    }
    let log_determinant = 2.0 * (0..n).map(|i| factor[(i, i)].ln()).sum::<f64>();
    Some((lower.t().dot(&lower), log_determinant))
}

impl Spline {
    /// Fits the spline to K ≥ 3 ascending values `x`; `values[i]` has the seeds' values at `x[i]`.
    /// None if there are fewer, or if a value is not finite.
    pub fn fit(x: &[f64], values: &[Vec<f64>]) -> Option<Spline> {
        let (k, n) = (x.len(), values.first()?.len());
        if k < 3 || values.iter().flatten().any(|value| !value.is_finite()) {
            return None;
        }
        let (first, width) = (x[0], x[k - 1] - x[0]);
        let u: Vec<f64> = x.iter().map(|x| (x - first) / width).collect();
        let mut fine: Vec<f64> = (0..=FINE).map(|i| i as f64 / FINE as f64).chain(u.iter().copied()).collect();
        fine.sort_by(f64::total_cmp);
        fine.dedup();
        let nodes: Vec<usize> = u.iter().filter_map(|at| fine.iter().position(|f| f == at)).collect();
        let means: Array1<f64> = values.iter().map(|values| values.iter().sum::<f64>() / n as f64).collect();
        let (line, correlations) = (lines(&u), kernels(&u, &u));
        let identity = Array2::<f64>::eye(k);
        // The seeds' noise: their deviations from the mean curve, less each seed's level and slope.
        let flat = &identity - &line.dot(&inverse(&line.t().dot(&line))?.0).dot(&line.t());
        let noise: f64 = (0..n)
            .map(|seed| {
                let deviation: Array1<f64> = (0..k).map(|i| values[i][seed] - means[i]).collect();
                flat.dot(&deviation).mapv(|v| v * v).sum()
            })
            .sum::<f64>()
            / n as f64;
        let degrees = ((n - 1) * (k - 2) + k - 2) as f64;
        let step = (SMOOTHNESS.1 / SMOOTHNESS.0).ln() / (SMOOTHNESSES - 1) as f64;
        let tried = std::iter::once(0.0).chain((0..SMOOTHNESSES).map(|i| SMOOTHNESS.0 * (step * i as f64).exp()));
        let fit = |rho: f64| {
            let (inverted, of_curve) = inverse(&(&identity + &(&correlations * rho)))?;
            let (inverted_line, of_line) = inverse(&line.t().dot(&inverted).dot(&line))?;
            let straight = inverted_line.dot(&line.t()).dot(&inverted);
            let rest = &inverted - &inverted.dot(&line).dot(&straight);
            let variance = (noise + means.dot(&rest.dot(&means))).max(f64::MIN_POSITIVE);
            Some((degrees * variance.ln() + of_curve + of_line, rho, variance / degrees, straight, rest))
        };
        let (_, rho, variance, straight, rest) = tried.filter_map(fit).reduce(|best, other| if other.0 < best.0 { other } else { best })?;
        let between = kernels(&fine, &u);
        let weights = lines(&fine).dot(&straight) + between.dot(&rest) * rho;
        let cross = weights.dot(&between.t());
        let unseen = kernels(&fine, &fine) - &cross - cross.t() + weights.dot(&correlations).dot(&weights.t());
        let bias = factor(&(unseen * (rho * variance)));
        let fine = fine.into_iter().map(|u| first + width * u).collect();
        Some(Spline { fine, nodes, weights, bias })
    }

    /// The numbers that make a random curve that the spline cannot see.
    pub fn unseen(&self, stream: &mut Stream) -> Vec<f64> {
        (0..self.bias.ncols()).map(|_| stream.sample(&StandardNormal)).collect()
    }

    /// The curve through these means at the K values, plus an unseen one (or none: `&[]`), at a
    /// point of the fine grid.
    fn value(&self, at: usize, means: &[f64], unseen: &[f64]) -> f64 {
        let seen = self.weights.row(at).iter().zip(means).map(|(w, mean)| w * mean).sum::<f64>();
        seen + self.bias.row(at).iter().zip(unseen).map(|(l, z)| l * z).sum::<f64>()
    }

    /// Every seed's value where the curve through the seeds' means has its maximum; `values` as in
    /// [`Spline::fit`].
    pub fn at_peak(&self, values: &[&Vec<f64>]) -> Vec<f64> {
        let n = values.first().map_or(0, |values| values.len());
        let means: Vec<f64> = values.iter().map(|values| values.iter().sum::<f64>() / n as f64).collect();
        let x = self.peak(&means, &[]).x;
        let at = self.fine.iter().position(|fine| *fine == x).unwrap_or(0);
        (0..n).map(|seed| self.value(at, &values.iter().map(|values| values[seed]).collect::<Vec<_>>(), &[])).collect()
    }

    /// The smallest of the K values.
    pub fn smallest(&self) -> f64 {
        self.fine[0]
    }

    /// The maximum of a curve between the neighbours of the best of the K values: between distant
    /// values a smooth curve may rise where nothing was measured.
    pub fn peak(&self, means: &[f64], unseen: &[f64]) -> Peak {
        let highest = |best: (usize, f64), at: (usize, f64)| if at.1 > best.1 { at } else { best };
        let value = |at: usize| self.value(at, means, unseen);
        let at_nodes = self.nodes.iter().map(|&node| value(node)).enumerate();
        let (best, _) = at_nodes.fold((0, f64::NEG_INFINITY), highest);
        let (before, after) = (self.nodes[best.saturating_sub(1)], self.nodes[(best + 1).min(self.nodes.len() - 1)]);
        let (at, value) = (before..=after).map(|at| (at, value(at))).fold((before, f64::NEG_INFINITY), highest);
        let end = match at {
            0 => Some(GridEnd::Low),
            at if at + 1 == self.fine.len() => Some(GridEnd::High),
            _ => None,
        };
        let here = self.fine[self.nodes[best]];
        Peak { x: self.fine[at], value, end, step: (here - self.fine[before]).max(self.fine[after] - here) }
    }
}

/// L with L·Lᵀ ≈ a, for a positive semidefinite matrix: Cholesky's method with pivots.
fn factor(a: &Array2<f64>) -> Array2<f64> {
    let n = a.nrows();
    let mut left: Vec<f64> = (0..n).map(|i| a[(i, i)]).collect();
    let most = left.iter().copied().fold(0.0, f64::max);
    let mut columns: Vec<Array1<f64>> = vec![];
    while columns.len() < RANK {
        let pivot = (0..n).fold(0, |best, i| if left[i] > left[best] { i } else { best });
        if left[pivot] <= 1e-8 * most || left[pivot].is_nan() || most <= 0.0 {
            break;
        }
        let scale = left[pivot].sqrt();
        let column: Array1<f64> = (0..n).map(|i| (a[(i, pivot)] - columns.iter().map(|c| c[i] * c[pivot]).sum::<f64>()) / scale).collect();
        left.iter_mut().zip(&column).for_each(|(left, value)| *left -= value * value);
        columns.push(column);
    }
    let mut factor = Array2::zeros((n, columns.len()));
    columns.iter().enumerate().for_each(|(j, column)| factor.index_axis_mut(Axis(1), j).assign(column));
    factor
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(k: usize) -> Vec<f64> {
        (0..k).map(|i| i as f64 * 0.35).collect()
    }

    /// Three seeds around a curve, with alternating noise.
    fn seeds(x: &[f64], noise: f64, f: impl Fn(f64) -> f64) -> Vec<Vec<f64>> {
        let sign = |i: usize, s: usize| [[1.0, -1.0, 0.0], [-1.0, 0.0, 1.0]][i % 2][s];
        x.iter().enumerate().map(|(i, &x)| (0..3).map(|s| f(x) + noise * sign(i, s) + 0.1 * s as f64).collect()).collect()
    }

    fn means(values: &[Vec<f64>]) -> Vec<f64> {
        values.iter().map(|v| v.iter().sum::<f64>() / v.len() as f64).collect()
    }

    #[test]
    fn the_peak_of_a_parabola_is_found_and_a_straight_line_has_it_at_its_end() {
        let x = grid(9);
        for at in [0.9, 1.3, 1.75] {
            let values = seeds(&x, 1e-4, |x| 2.0 - (x - at).powi(2));
            let spline = Spline::fit(&x, &values).unwrap();
            let peak = spline.peak(&means(&values), &[]);
            assert!((peak.x - at).abs() < 0.03 && peak.end.is_none() && (peak.step - 0.35).abs() < 1e-9, "{at}: {peak:?}");
        }
        for (slope, end) in [(1.0, GridEnd::High), (-1.0, GridEnd::Low)] {
            let values = seeds(&x, 0.01, |x| slope * x);
            let spline = Spline::fit(&x, &values).unwrap();
            let means = means(&values);
            assert_eq!(spline.peak(&means, &[]).end, Some(end));
            let straight = spline.fine.iter().enumerate().all(|(i, x)| (spline.value(i, &means, &[]) - slope * x - 0.1).abs() < 0.02);
            assert!(straight, "noise alone does not bend a line");
        }
    }

    #[test]
    fn the_inverse_and_the_factor_are_those_of_the_matrix() {
        let a = Array2::from_shape_fn((4, 4), |(i, j)| if i == j { 3.0 } else { 1.0 / (1.0 + (i as f64 - j as f64).abs()) });
        let (inverted, _) = inverse(&a).unwrap();
        assert!((a.dot(&inverted) - Array2::<f64>::eye(4)).iter().all(|v| v.abs() < 1e-12));
        let l = factor(&a);
        assert!((l.dot(&l.t()) - &a).iter().all(|v| v.abs() < 1e-7));
        assert_eq!(factor(&Array2::zeros((3, 3))).ncols(), 0);
    }

    #[test]
    fn the_unseen_curve_is_nothing_at_a_value_that_is_known_exactly_and_most_between_distant_ones() {
        let x = [0.0, 0.5, 1.0, 1.5, 4.0, 4.5, 5.0];
        let values = seeds(&x, 1e-3, |x| (1.3 * x).sin());
        let spline = Spline::fit(&x, &values).unwrap();
        let size = |x: f64| {
            let at = spline.fine.iter().position(|v| *v >= x).unwrap();
            spline.bias.row(at).mapv(|v| v * v).sum().sqrt()
        };
        assert!(size(2.7) > 20.0 * size(1.0) && size(2.7) > 3.0 * size(0.75), "{} {} {}", size(2.7), size(1.0), size(0.75));
        let unseen = spline.unseen(&mut Stream::new("a", 0, 0));
        assert!(unseen == spline.unseen(&mut Stream::new("a", 0, 0)) && unseen.len() <= RANK);
    }

    #[test]
    fn too_few_values_and_no_numbers_have_no_curve() {
        assert!(Spline::fit(&[0.0, 1.0], &[vec![1.0, 2.0], vec![1.0, 2.0]]).is_none());
        assert!(Spline::fit(&grid(5), &seeds(&grid(5), f64::NAN, |x| x)).is_none());
    }
}
