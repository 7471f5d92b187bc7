//! Exact leave-one-out of ridge regression on a fixed design, for every λ from 0 to ∞, and the
//! search for the best λ.
//!
//! Let X = U·diag(s)·Vᵀ be the singular value decomposition of a (centred) design, c = Uᵀr and
//! k(λ) = λ/(s² + λ). The leave-one-out error of row i is
//!
//! ```text
//! eᵢ = (r − Uc + U(k∘c))ᵢ / (1 − own − Σₖ Uᵢₖ² + Σₖ Uᵢₖ² kₖ)
//! own = 1/n with an intercept, else 0
//! ```
//!
//! The formula is written in k(λ), the part that λ adds to the residual, and not in 1 − k(λ), the
//! part that λ leaves in the fit. So nothing cancels for small λ. Where row i has full leverage,
//! numerator and denominator are both of order λ. Their ratio then has a limit at λ = 0: (U(c/s²))ᵢ
//! / Σₖ Uᵢₖ²/sₖ².

use ndarray::{Array1, Array2, ArrayView2, Axis};

use super::linalg::{product, svd};
use super::TheoryError;

/// Points of the grid in each decade of λ, and the number of decades that the grid extends below
/// the smallest and above the largest squared singular value. At its ends, coefficients are within
/// 10⁻⁸ and 10⁻⁴ of their limits, which are candidates themselves. The grid extends further below
/// than above: where the target has hardly any noise, shrinkage by 10⁻⁶ is visible in the errors.
const PER_DECADE: f64 = 4.0;
const BELOW: f64 = 8.0;
const ABOVE: f64 = 4.0;

/// Where a row's free part 1 − own − Σ U² is below this, it is rounding: the row has full leverage.
const NO_PART: f64 = 1e-12;

/// A limit of λ (0 or ∞) counts as an optimum where its loss is this close to the smallest loss.
const AS_GOOD: f64 = 1e-9;

/// Tolerance of the search between two points of the grid, in ln λ.
const FINE: f64 = 1e-4;

/// A centred design's singular value decomposition.
pub struct Loo {
    pub u: Array2<f64>,
    /// Singular values, descending; only those above rounding.
    pub s: Vec<f64>,
    pub v: Array2<f64>,
    /// U∘U.
    squares: Array2<f64>,
    /// 1 − own − Σ U² of each row; 0 where it is only rounding.
    free: Vec<f64>,
    /// The λ of the grid: 0, points over all scales of the design, ∞.
    grid: Vec<f64>,
    /// For each λ of the grid: the factors of the coordinates (rank × grid), and the denominators
    /// (n × grid).
    filters: Array2<f64>,
    denominators: Array2<f64>,
}

/// A response, or its residual after the source's prediction, in the design's coordinates.
pub struct Response<'a> {
    loo: &'a Loo,
    /// Uᵀr.
    c: Array2<f64>,
    /// r − Uc, 0 in rows of full leverage.
    rest: Array2<f64>,
}

/// The λ of the smallest loss.
#[derive(Debug, Clone, PartialEq)]
pub struct LooMinimum {
    /// From 0 to ∞, both included.
    pub lambda: f64,
    pub loss: f64,
    /// Other local minima strictly between 0 and ∞, ascending.
    pub others: Vec<f64>,
}

impl Loo {
    /// # Errors
    /// A design without variation, or one whose singular values cannot be found.
    pub fn new(x: ArrayView2<f64>, intercept: bool) -> Result<Loo, TheoryError> {
        let (u, s, v) = svd(x).ok_or_else(|| TheoryError::new("design", "its singular values could not be found"))?;
        let least = s.first().copied().unwrap_or(0.0) * x.nrows().max(x.ncols()) as f64 * f64::EPSILON;
        let rank = s.iter().filter(|s| **s > least).count();
        if rank == 0 {
            return Err(TheoryError::new("design", "every column is constant"));
        }
        let keep = ndarray::Slice::from(0..rank);
        let u = u.slice_axis(Axis(1), keep).to_owned();
        let v = v.slice_axis(Axis(1), keep).to_owned();
        let own = if intercept { 1.0 / x.nrows() as f64 } else { 0.0 };
        let squares = &u * &u;
        let free = squares.sum_axis(Axis(1)).iter().map(|h| 1.0 - own - h).map(|free| if free < NO_PART { 0.0 } else { free }).collect();
        let (low, high) = ((s[rank - 1] * s[rank - 1]).log10() - BELOW, (s[0] * s[0]).log10() + ABOVE);
        let points = ((high - low) * PER_DECADE).ceil() as usize;
        let inside = (0..=points).map(|i| 10f64.powf(low + (high - low) * i as f64 / points as f64));
        let grid: Vec<f64> = [0.0].into_iter().chain(inside).chain([f64::INFINITY]).collect();
        let empty = Array2::zeros((0, 0));
        let mut loo = Loo { u, s: s[..rank].to_vec(), v, squares, free, grid, filters: empty.clone(), denominators: empty };
        let mut filters = Array2::zeros((rank, loo.grid.len()));
        for (mut column, &lambda) in filters.columns_mut().into_iter().zip(&loo.grid) {
            column.assign(&loo.filter(lambda));
        }
        let filtered = product(loo.squares.view(), filters.view());
        loo.denominators = Array2::from_shape_fn(filtered.dim(), |(row, at)| loo.denominator(row, loo.grid[at], filtered[[row, at]]));
        loo.filters = filters;
        Ok(loo)
    }

    /// The factors of the coordinates: k(λ). At λ = 0, where k vanishes, they are 1/s², for the
    /// rows of full leverage.
    fn filter(&self, lambda: f64) -> Array1<f64> {
        self.s
            .iter()
            .map(|s| match lambda {
                0.0 => 1.0 / (s * s),
                l if l.is_infinite() => 1.0,
                l => l / (s * s + l),
            })
            .collect()
    }

    fn denominator(&self, row: usize, lambda: f64, filtered: f64) -> f64 {
        match (self.free[row], lambda) {
            (0.0, _) => filtered,
            (free, 0.0) => free,
            (free, _) => free + filtered,
        }
    }

    /// Residuals in the design's coordinates. The columns of `r` must be centred if the design is.
    pub fn response(&self, r: ArrayView2<f64>) -> Response<'_> {
        let c = product(self.u.t(), r);
        let mut rest = &r - &product(self.u.view(), c.view());
        rest.rows_mut().into_iter().zip(&self.free).filter(|(_, free)| **free == 0.0).for_each(|(mut row, _)| row.fill(0.0));
        Response { loo: self, c, rest }
    }

    /// Ridge coefficients of a centred response: 0 at λ = ∞, minimum-norm least squares at λ = 0.
    pub fn coefficients(&self, r: ArrayView2<f64>, lambda: f64) -> Array2<f64> {
        let g: Array1<f64> = self.s.iter().map(|s| if lambda.is_infinite() { 0.0 } else { s / (s * s + lambda) }).collect();
        product(self.v.view(), (product(self.u.t(), r) * &g.insert_axis(Axis(1))).view())
    }
}

impl Response<'_> {
    /// Leave-one-out errors, n × columns of r.
    pub fn errors(&self, lambda: f64) -> Array2<f64> {
        let filter = self.loo.filter(lambda);
        let filtered = self.loo.squares.dot(&filter);
        let mut e = product(self.loo.u.view(), (&self.c * &filter.insert_axis(Axis(1))).view());
        for (row, mut errors) in e.rows_mut().into_iter().enumerate() {
            let denominator = self.loo.denominator(row, lambda, filtered[row]);
            errors.iter_mut().zip(self.rest.row(row)).for_each(|(e, rest)| *e = self.top(row, lambda, *rest, *e) / denominator);
        }
        e
    }

    /// The numerator of an error. At λ = 0, U(k∘c) contributes nothing to a row without full
    /// leverage.
    fn top(&self, row: usize, lambda: f64, rest: f64, filtered: f64) -> f64 {
        if self.loo.free[row] > 0.0 && lambda == 0.0 {
            rest
        } else {
            rest + filtered
        }
    }

    /// Mean squared error over rows and responses, with one weight per response.
    pub fn loss(&self, lambda: f64, weights: &Array1<f64>) -> f64 {
        let e = self.errors(lambda);
        (&e * &e).dot(weights).sum() / e.len() as f64
    }

    /// [`Response::loss`] for every λ of the grid, with one matrix product per response.
    fn losses(&self, weights: &Array1<f64>) -> Vec<f64> {
        let (loo, n) = (self.loo, self.rest.nrows());
        let mut losses = vec![0.0; loo.grid.len()];
        for (k, weight) in weights.iter().enumerate() {
            let column = self.c.column(k).insert_axis(Axis(1));
            let e = product(loo.u.view(), (&loo.filters * &column).view());
            for row in 0..n {
                for (at, loss) in losses.iter_mut().enumerate() {
                    let error = self.top(row, loo.grid[at], self.rest[[row, k]], e[[row, at]]) / loo.denominators[[row, at]];
                    *loss += weight * error * error;
                }
            }
        }
        losses.iter().map(|sum| sum / (n * weights.len()) as f64).collect()
    }

    /// Finds the best λ. Every local minimum of the grid is refined between its neighbours, and
    /// both limits are candidates.
    pub fn search(&self, weights: &Array1<f64>) -> LooMinimum {
        search(&self.loo.grid, &self.losses(weights), |lambda| self.loss(lambda, weights))
    }
}

impl Loo {
    /// Finds the best λ of any other loss on this design's grid.
    pub fn search_over(&self, loss: impl Fn(f64) -> f64) -> LooMinimum {
        let losses: Vec<f64> = self.grid.iter().map(|&lambda| loss(lambda)).collect();
        search(&self.grid, &losses, loss)
    }
}

fn search(grid: &[f64], losses: &[f64], loss: impl Fn(f64) -> f64) -> LooMinimum {
    let last = grid.len() - 1;
    let mut minima: Vec<(f64, f64)> = vec![];
    for i in 1..last {
        let (left, at, right) = (losses[i - 1], losses[i], losses[i + 1]);
        if at <= left && at <= right && (at < left || at < right) {
            let step = (grid[2] / grid[1]).ln();
            minima.push(golden(grid[i].ln() - step, grid[i].ln() + step, &loss));
        }
    }
    let least = minima.iter().map(|m| m.1).chain([losses[0], losses[last]]).fold(f64::INFINITY, f64::min);
    let good = |loss: f64| loss <= least * (1.0 + AS_GOOD) || loss == least;
    let best = match minima.iter().copied().find(|m| m.1 == least) {
        _ if good(losses[last]) => (f64::INFINITY, losses[last]),
        _ if good(losses[0]) => (0.0, losses[0]),
        Some(inside) => inside,
        None => (f64::NAN, f64::NAN), // the losses are NaN
    };
    let others = minima.into_iter().map(|m| m.0).filter(|lambda| *lambda != best.0).collect();
    LooMinimum { lambda: best.0, loss: best.1, others }
}

/// Minimises by golden section in ln λ.
fn golden(mut low: f64, mut high: f64, loss: impl Fn(f64) -> f64) -> (f64, f64) {
    const SHARE: f64 = 0.618_033_988_749_894_9;
    let at = |u: f64| loss(u.exp());
    let (mut a, mut b) = (high - SHARE * (high - low), low + SHARE * (high - low));
    let (mut fa, mut fb) = (at(a), at(b));
    while high - low > FINE {
        if fa <= fb {
            (high, b, fb) = (b, a, fa);
            a = high - SHARE * (high - low);
            fa = at(a);
        } else {
            (low, a, fa) = (a, b, fb);
            b = low + SHARE * (high - low);
            fb = at(b);
        }
    }
    if fa <= fb {
        (a.exp(), fa)
    } else {
        (b.exp(), fb)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use rand_distr::{Distribution, StandardNormal};

    use super::super::ridge::centre;
    use super::super::sampler::random;
    use super::*;

    fn normal(n: usize, p: usize, stream: u64) -> Array2<f64> {
        let mut rng = random(23, stream);
        Array2::from_shape_simple_fn((n, p), || StandardNormal.sample(&mut rng))
    }

    /// Designs with columns that differ in scale by 10⁴, with a row of full leverage, and with more
    /// columns than rows.
    fn designs() -> Vec<Array2<f64>> {
        let mut wide = normal(30, 5, 1);
        wide.column_mut(4).mapv_inplace(|v| v * 1e4);
        let mut one_hot = normal(20, 3, 2);
        one_hot.column_mut(2).fill(0.0);
        one_hot[[7, 2]] = 1.0;
        vec![wide, one_hot, normal(12, 30, 3)]
    }

    #[test]
    fn errors_are_continuous_down_to_zero_and_up_to_infinity() {
        for (i, mut x) in designs().into_iter().enumerate() {
            centre(&mut x);
            let mut y = normal(x.nrows(), 1, 10 + i as u64);
            centre(&mut y);
            let loo = Loo::new(x.view(), true).unwrap();
            let response = loo.response(y.view());
            let near = |a: f64, b: f64| {
                let (a, b) = (response.errors(a), response.errors(b));
                let size = b.iter().fold(0.0f64, |m, v| m.max(v.abs()));
                assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-6 * size), "design {i}: {a} and {b}");
            };
            for tiny in [1e-9, 1e-12, 1e-16, 1e-100, 1e-300] {
                near(tiny, 0.0);
            }
            near(1e30, f64::INFINITY);
            let losses = response.losses(&array![1.0]);
            for (lambda, loss) in loo.grid.iter().zip(losses) {
                let plain = response.loss(*lambda, &array![1.0]);
                assert!((loss - plain).abs() <= 1e-9 * plain, "design {i}, λ = {lambda}: {loss} and {plain}");
            }
        }
    }

    #[test]
    fn every_minimum_is_found_whatever_the_columns_units() {
        // One direction is best with a small penalty. Another, with large singular values, is best
        // with a large one.
        let losses = |lambda: f64| {
            let near = |at: f64| 1.0 - (-(lambda.ln() - at).powi(2)).exp();
            if lambda == 0.0 || lambda.is_infinite() {
                1.0
            } else {
                near(-2.0).min(0.1 + 0.9 * near(20.0))
            }
        };
        let mut x = normal(30, 5, 4);
        x.column_mut(0).mapv_inplace(|v| v * 1e5);
        let loo = Loo::new(x.view(), false).unwrap();
        let found = loo.search_over(losses);
        assert!((found.lambda.ln() + 2.0).abs() < 1e-3 && found.others.len() == 1, "{found:?}");
        assert!((found.others[0].ln() - 20.0).abs() < 1e-3);
    }

    #[test]
    fn limits_are_optima_of_their_own() {
        let loo = Loo::new(normal(20, 3, 5).view(), false).unwrap();
        assert_eq!(loo.search_over(|l| 1.0 / (1.0 + l)).lambda, f64::INFINITY);
        assert_eq!(loo.search_over(|l| if l.is_infinite() { 1.0 } else { l / (1.0 + l) }).lambda, 0.0);
        assert_eq!(loo.search_over(|_| 0.0).lambda, f64::INFINITY, "where nothing differs, the most regularised");
        assert!(loo.search_over(|_| f64::NAN).lambda.is_nan());
    }
}
