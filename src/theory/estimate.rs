//! From draws to numbers with intervals: mean risks, the λ that minimises a mean risk, ratios of two such λ.
//!
//! Intervals are normal, 1.96 standard errors over independent draws. An optimum's standard error comes from its influence function:
//! with R̄ the mean risk and u = log λ, `û − u* ≈ −R̄′(u*)/R″(u*)`, so a draw's share in it is `−R′ᵢ(û)/R̄″(û)`. Both optima of a
//! ratio use the same draws, so their shares are subtracted draw by draw.

use super::optimum::Edge;

/// Half the width of a 95% interval in standard errors.
const Z95: f64 = 1.959_963_984_540_054;

/// A mean with its 95% interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    pub estimate: f64,
    pub low: f64,
    pub high: f64,
}

impl Estimate {
    /// Of independent values; with fewer than two, no interval (low and high are NaN).
    pub fn of_mean(values: &[f64]) -> Estimate {
        let (mean, error) = mean_error(values);
        Estimate { estimate: mean, low: mean - Z95 * error, high: mean + Z95 * error }
    }

    pub fn from_error(estimate: f64, error: f64) -> Estimate {
        Estimate { estimate, low: estimate - Z95 * error, high: estimate + Z95 * error }
    }

    pub fn holds(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }

    pub fn map(self, f: impl Fn(f64) -> f64) -> Estimate {
        Estimate { estimate: f(self.estimate), low: f(self.low), high: f(self.high) }
    }
}

/// Mean and standard error of the mean.
pub fn mean_error(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

/// The λ that minimises the mean of curves given on a grid of λ.
#[derive(Debug, Clone, PartialEq)]
pub enum Argmin {
    /// log λ, and each draw's influence on it.
    Inside { log_lambda: f64, influence: Vec<f64> },
    /// The smallest mean is at an end of the grid.
    AtEdge { lambda: f64, edge: Edge },
}

impl Argmin {
    pub fn lambda(&self) -> f64 {
        match self {
            Argmin::Inside { log_lambda, .. } => log_lambda.exp(),
            Argmin::AtEdge { lambda, .. } => *lambda,
        }
    }
}

/// Points of the grid that a polynomial is laid through to find the minimum between them.
const STENCIL: usize = 5;

/// The minimum of the mean of `curves`, each a risk for every λ of `grid`: interpolated in log λ by the polynomial through the five
/// positive grid points around the smallest mean. None with fewer than three positive λ or no curves.
pub fn argmin(grid: &[f64], curves: &[Vec<f64>]) -> Option<Argmin> {
    let mut order: Vec<usize> = (0..grid.len()).collect();
    order.sort_by(|&a, &b| grid[a].total_cmp(&grid[b]));
    let mean = |i: usize| curves.iter().map(|c| c[i]).sum::<f64>() / curves.len() as f64;
    let means: Vec<f64> = order.iter().map(|&i| mean(i)).collect();
    let positive = order.iter().position(|&i| grid[i] > 0.0)?;
    if curves.is_empty() || order.len() - positive < 3 {
        return None;
    }
    let best = (0..order.len()).min_by(|&a, &b| means[a].total_cmp(&means[b]))?;
    if best == 0 || best < positive {
        return Some(Argmin::AtEdge { lambda: grid[order[best]], edge: Edge::Zero });
    }
    if best + 1 == order.len() {
        return Some(Argmin::AtEdge { lambda: grid[order[best]], edge: Edge::Infinite });
    }
    let points = STENCIL.min(order.len() - positive);
    let first = best.saturating_sub(points / 2).clamp(positive, order.len() - points);
    let u: Vec<f64> = (first..first + points).map(|k| grid[order[k]].ln()).collect();
    let at = |curve: &dyn Fn(usize) -> f64| -> Vec<f64> { (first..first + points).map(curve).collect() };
    let mean_polynomial = monomials(&u, &at(&|k| means[k]));
    // The slope's root between the neighbours of the smallest point.
    let (mut a, mut b) = ((grid[order[best - 1]].max(f64::MIN_POSITIVE)).ln(), grid[order[best + 1]].ln());
    if best == positive {
        a = u[0];
    }
    let centre = u[0];
    let slope = |x: f64| derivative(&mean_polynomial, x - centre, 1);
    if slope(a) > 0.0 {
        // Only where the smallest positive λ is the best of all and a zero beside it is not: the minimum is not resolved.
        return Some(Argmin::AtEdge { lambda: grid[order[best]], edge: Edge::Zero });
    }
    for _ in 0..80 {
        let middle = 0.5 * (a + b);
        if slope(middle) < 0.0 {
            a = middle;
        } else {
            b = middle;
        }
    }
    let log_lambda = 0.5 * (a + b);
    let curvature = derivative(&mean_polynomial, log_lambda - centre, 2);
    let influence =
        curves.iter().map(|curve| -derivative(&monomials(&u, &at(&|k| curve[order[k]])), log_lambda - centre, 1) / curvature).collect();
    Some(Argmin::Inside { log_lambda, influence })
}

/// Every curve's value at λ > 0, by the polynomial through the five positive grid points around it.
pub fn at_lambda(grid: &[f64], curves: &[Vec<f64>], lambda: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..grid.len()).filter(|&i| grid[i] > 0.0).collect();
    order.sort_by(|&a, &b| (grid[a].ln() - lambda.ln()).abs().total_cmp(&(grid[b].ln() - lambda.ln()).abs()));
    order.truncate(STENCIL);
    let u: Vec<f64> = order.iter().map(|&i| grid[i].ln()).collect();
    curves
        .iter()
        .map(|curve| {
            let y: Vec<f64> = order.iter().map(|&i| curve[i]).collect();
            derivative(&monomials(&u, &y), lambda.ln() - u[0], 0)
        })
        .collect()
}

/// Coefficients, in powers of (x − u₀), of the polynomial through (uᵢ, yᵢ), by Newton's divided differences.
fn monomials(u: &[f64], y: &[f64]) -> Vec<f64> {
    let n = u.len();
    let mut divided = y.to_vec();
    for level in 1..n {
        for i in (level..n).rev() {
            divided[i] = (divided[i] - divided[i - 1]) / (u[i] - u[i - level]);
        }
    }
    // Horner's scheme, expanding Newton's form.
    let mut out = vec![0.0; n];
    for i in (0..n).rev() {
        let shift = u[i] - u[0];
        for k in (0..n).rev() {
            out[k] = (if k > 0 { out[k - 1] } else { 0.0 }) - shift * out[k];
        }
        out[0] += divided[i];
    }
    out
}

fn derivative(polynomial: &[f64], x: f64, times: usize) -> f64 {
    let factor = |k: usize| (0..times).map(|t| (k - t) as f64).product::<f64>();
    (times..polynomial.len()).rev().fold(0.0, |sum, k| sum * x + polynomial[k] * factor(k))
}

/// exp(û₀ − û_S) with its interval, from the same draws. None where either optimum is at an edge.
pub fn ratio(transfer: &Argmin, source: &Argmin) -> Option<Estimate> {
    match (transfer, source) {
        (Argmin::Inside { log_lambda: a, influence: ia }, Argmin::Inside { log_lambda: b, influence: ib }) => {
            let shares: Vec<f64> = ia.iter().zip(ib).map(|(x, y)| x - y).collect();
            Some(Estimate::from_error(a - b, mean_error(&shares).1).map(f64::exp))
        }
        _ => None,
    }
}

/// An optimum with its interval; at an edge, without one.
pub fn lambda(argmin: &Argmin) -> Estimate {
    match argmin {
        Argmin::Inside { log_lambda, influence } => Estimate::from_error(*log_lambda, mean_error(influence).1).map(f64::exp),
        Argmin::AtEdge { lambda, .. } => Estimate { estimate: *lambda, low: f64::NAN, high: f64::NAN },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quartic_in_log_lambda_is_found_exactly() {
        let grid: Vec<f64> = (0..9).map(|i| (0.4 * i as f64 - 1.0).exp()).collect();
        let curve = |shift: f64| -> Vec<f64> {
            grid.iter().map(|l| l.ln() - shift).map(|u| 2.0 + u * u + 0.1 * u.powi(3) + 0.2 * u.powi(4)).collect()
        };
        let found = argmin(&grid, &[curve(0.33)]).unwrap();
        assert!((found.lambda().ln() - 0.33).abs() < 1e-10, "{found:?}");
    }

    #[test]
    fn the_interval_of_an_optimum_covers_as_often_as_it_says() {
        // Parabolas with shifted minima: the optimum of their mean is the mean of the shifts.
        use rand_distr::{Distribution, StandardNormal};
        let mut rng = crate::theory::sampler::random(3, 0);
        let grid: Vec<f64> = (0..41).map(|i| (0.15 * i as f64 - 3.0).exp()).collect();
        let covered = (0..400)
            .filter(|_| {
                let curves: Vec<Vec<f64>> = (0..50)
                    .map(|_| {
                        let shift: f64 = 0.5 * <StandardNormal as Distribution<f64>>::sample(&StandardNormal, &mut rng);
                        grid.iter().map(|l| (l.ln() - shift).powi(2)).collect()
                    })
                    .collect();
                lambda(&argmin(&grid, &curves).unwrap()).holds(1.0)
            })
            .count();
        assert!((360..=396).contains(&covered), "{covered} of 400 intervals hold the truth");
    }
}
