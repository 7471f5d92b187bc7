//! From draws to estimates with intervals: mean risks, the λ that minimises a mean risk, and ratios
//! of two such λ.
//!
//! Intervals are Student's t over independent draws. The standard error of an optimum comes from
//! its influence function. With R̄ the mean risk and u = log λ, `û − u* ≈ −R̄′(u*)/R″(u*)`, so draw
//! i contributes `−R′ᵢ(û)/R̄″(û)`. Both optima of a ratio use the same draws, so their
//! contributions are subtracted draw by draw.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::optimum::Extreme;
use transfergrid_base::interval::Interval;

/// Half the width of a 95% interval of n draws, in standard errors. Infinite for fewer than two
/// draws.
fn half_width(n: usize) -> f64 {
    StudentsT::new(0.0, 1.0, n as f64 - 1.0).map_or(f64::INFINITY, |law| law.inverse_cdf(0.975))
}

/// The mean of independent values with its 95% interval; with fewer than two values, no interval.
pub fn mean_interval(values: &[f64]) -> Interval {
    let (mean, error) = mean_error(values);
    interval_from_error(mean, error, values.len())
}

/// The 95% interval of an estimate. `error`: the standard error from n draws; NaN gives no
/// interval.
pub fn interval_from_error(estimate: f64, error: f64, n: usize) -> Interval {
    let half = half_width(n) * error;
    Interval { estimate, range: (!half.is_nan()).then_some((estimate - half, estimate + half)) }
}

/// Fieller's 95% interval of top/bottom: all ρ for which `top − ρ·bottom = 0` is not rejected. The
/// bounds are infinite where bottom cannot be distinguished from 0. `t`: the quantile.
pub fn fieller(top: f64, bottom: f64, var_top: f64, var_bottom: f64, between: f64, t: f64) -> Interval {
    let z2 = t * t;
    let a = bottom * bottom - z2 * var_bottom;
    let b = top * bottom - z2 * between;
    let c = top * top - z2 * var_top;
    let estimate = if bottom > 0.0 { top / bottom } else { f64::NAN };
    // Without noise the discriminant is 0 up to rounding.
    let root = rounded_to_zero(b * b - a * c, b * b);
    if bottom.is_nan() || a <= 0.0 || root < 0.0 || bottom <= 0.0 {
        return Interval { estimate, range: Some((f64::NEG_INFINITY, f64::INFINITY)) };
    }
    Interval { estimate, range: Some(((b - root.sqrt()) / a, (b + root.sqrt()) / a)) }
}

/// Replaces a difference by 0 where it is only rounding, relative to the `size` of its terms.
fn rounded_to_zero(difference: f64, size: f64) -> f64 {
    if difference.abs() <= 1e-12 * size {
        0.0
    } else {
        difference
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
    /// log λ, and each draw's influence on it. `resolved` is false where the grid is too coarse for
    /// a meaningful interval.
    Inside { log_lambda: f64, influence: Vec<f64>, resolved: bool },
    /// The smallest mean is at an end of the grid.
    AtExtreme { lambda: f64, edge: Extreme },
}

impl Argmin {
    pub fn lambda(&self) -> f64 {
        match self {
            Argmin::Inside { log_lambda, .. } => log_lambda.exp(),
            Argmin::AtExtreme { lambda, .. } => *lambda,
        }
    }
}

/// Relative differences below this are rounding.
const FLAT: f64 = 1e-12;

/// Number of grid points of the polynomial that locates the minimum between them.
const STENCIL: usize = 5;

/// Beyond these limits, interpolation rather than the draws would decide. Grid points around a
/// minimum may be at most `COARSE` apart in log λ (a factor 3). The quartic's minimum may be at
/// most `DISAGREE` away from the parabola's.
const COARSE: f64 = 1.1;
const DISAGREE: f64 = 0.1;

/// A polynomial through a few points of the grid, in powers of log λ − u₀, where u₀ is log λ at the
/// first point.
struct Stencil {
    /// Positions in the grid.
    at: Vec<usize>,
    u: Vec<f64>,
}

impl Stencil {
    fn new(grid: &[f64], at: Vec<usize>) -> Stencil {
        Stencil { u: at.iter().map(|&i| grid[i].ln()).collect(), at }
    }

    fn through(&self, curve: &[f64]) -> Vec<f64> {
        monomials(&self.u, &self.at.iter().map(|&i| curve[i]).collect::<Vec<_>>())
    }

    /// The minimum between a and b of the polynomial through `mean`. None where its slope does not
    /// change from negative to positive.
    fn minimum(&self, mean: &[f64], mut a: f64, mut b: f64) -> Option<f64> {
        let polynomial = self.through(mean);
        let slope = |x: f64| derivative(&polynomial, x - self.u[0], 1);
        if !(slope(a) < 0.0 && slope(b) > 0.0) {
            return None;
        }
        for _ in 0..80 {
            let middle = 0.5 * (a + b);
            if slope(middle) < 0.0 {
                a = middle;
            } else {
                b = middle;
            }
        }
        let found = 0.5 * (a + b);
        (derivative(&polynomial, found - self.u[0], 2) > 0.0).then_some(found)
    }

    /// Each curve's influence on the minimum of their mean.
    fn influence(&self, mean: &[f64], curves: &[Vec<f64>], at: f64) -> Vec<f64> {
        let curvature = derivative(&self.through(mean), at - self.u[0], 2);
        curves.iter().map(|curve| -derivative(&self.through(curve), at - self.u[0], 1) / curvature).collect()
    }
}

/// The minimum of the mean of `curves`. Each curve is a risk for every λ of `grid` (in any order).
/// The minimum is interpolated in log λ by the quartic through the five positive grid points around
/// the smallest mean. None with fewer than three positive λ, without curves, or where the risk does
/// not depend on λ.
pub fn argmin(grid: &[f64], curves: &[Vec<f64>]) -> Option<Argmin> {
    let mut order: Vec<usize> = (0..grid.len()).collect();
    order.sort_by(|&a, &b| grid[a].total_cmp(&grid[b]));
    let means: Vec<f64> = (0..grid.len()).map(|i| curves.iter().map(|c| c[i]).sum::<f64>() / curves.len() as f64).collect();
    let positive = order.iter().position(|&i| grid[i] > 0.0)?;
    if curves.is_empty() || order.len() - positive < 3 {
        return None;
    }
    let (least, most) = means.iter().fold((f64::INFINITY, 0.0f64), |(a, b), v| (a.min(*v), b.max(v.abs())));
    if means.iter().all(|v| *v - least <= FLAT * most) {
        return None; // the risk does not depend on λ
    }
    let best = (0..order.len()).min_by(|&a, &b| means[order[a]].total_cmp(&means[order[b]]))?;
    if best == 0 || best < positive {
        return Some(Argmin::AtExtreme { lambda: grid[order[best]], edge: Extreme::Zero });
    }
    if best + 1 == order.len() {
        return Some(Argmin::AtExtreme { lambda: grid[order[best]], edge: Extreme::Infinite });
    }
    if best == positive {
        // The minimum is between 0 and the second positive λ, where log λ cannot locate it.
        return Some(Argmin::Inside { log_lambda: grid[order[best]].ln(), influence: vec![0.0; curves.len()], resolved: false });
    }
    let (low, high) = (grid[order[best - 1]].ln(), grid[order[best + 1]].ln());
    let three = Stencil::new(grid, order[best - 1..=best + 1].to_vec());
    // The middle of the three is the smallest, so their parabola has its minimum between them
    // (unless all are equal).
    let parabola = three.minimum(&means, low, high).unwrap_or(grid[order[best]].ln());
    let points = STENCIL.min(order.len() - positive);
    let first = best.saturating_sub(points / 2).clamp(positive, order.len() - points);
    let five = Stencil::new(grid, order[first..first + points].to_vec());
    let fine = three.u.windows(2).all(|w| w[1] - w[0] <= COARSE);
    Some(match five.minimum(&means, low, high).filter(|quartic| (quartic - parabola).abs() <= DISAGREE) {
        Some(quartic) => Argmin::Inside { log_lambda: quartic, influence: five.influence(&means, curves, quartic), resolved: fine },
        None => Argmin::Inside { log_lambda: parabola, influence: three.influence(&means, curves, parabola), resolved: false },
    })
}

/// Every curve's value at λ, from the polynomial through the five grid points nearest to it. None
/// outside the grid's positive λ, or with fewer than three of them.
pub fn at_lambda(grid: &[f64], curves: &[Vec<f64>], lambda: f64) -> Option<Vec<f64>> {
    let mut order: Vec<usize> = (0..grid.len()).filter(|&i| grid[i] > 0.0).collect();
    let inside = order.iter().any(|&i| grid[i] <= lambda) && order.iter().any(|&i| grid[i] >= lambda);
    if order.len() < 3 || !inside {
        return None;
    }
    order.sort_by(|&a, &b| (grid[a].ln() - lambda.ln()).abs().total_cmp(&(grid[b].ln() - lambda.ln()).abs()));
    order.truncate(STENCIL);
    let stencil = Stencil::new(grid, order);
    Some(curves.iter().map(|curve| derivative(&stencil.through(curve), lambda.ln() - stencil.u[0], 0)).collect())
}

/// Coefficients, in powers of (x − u₀), of the polynomial through (uᵢ, yᵢ), by Newton's divided
/// differences.
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
/// It has no interval where either optimum is not resolved.
pub fn ratio(transfer: &Argmin, source: &Argmin) -> Option<Interval> {
    match (transfer, source) {
        (Argmin::Inside { log_lambda: a, influence: ia, resolved: ra }, Argmin::Inside { log_lambda: b, influence: ib, resolved: rb }) => {
            let shares: Vec<f64> = ia.iter().zip(ib).map(|(x, y)| x - y).collect();
            let error = if *ra && *rb { mean_error(&shares).1 } else { f64::NAN };
            Some(interval_from_error(a - b, error, shares.len()).map(f64::exp))
        }
        _ => None,
    }
}

/// An optimum with its interval. It has no interval where it is at an edge or not resolved.
pub fn lambda(argmin: &Argmin) -> Interval {
    match argmin {
        Argmin::Inside { log_lambda, influence, resolved } => {
            let error = if *resolved { mean_error(influence).1 } else { f64::NAN };
            interval_from_error(*log_lambda, error, influence.len()).map(f64::exp)
        }
        Argmin::AtExtreme { lambda, .. } => Interval { estimate: *lambda, range: None },
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
    fn a_coarse_grid_gives_no_interval_and_no_false_edge() {
        // A curve that a quartic through widely spaced points overshoots.
        let curve = |l: f64| 1.0 / (1.0 + 40.0 / l) + 0.4 / (1.0 + l / 3.0);
        let coarse = [10.0, 1000.0, 1.0, 100.0, 1e4];
        match argmin(&coarse, &[coarse.iter().map(|l| curve(*l)).collect(), coarse.iter().map(|l| 1.1 * curve(*l)).collect()]).unwrap() {
            Argmin::Inside { resolved, .. } => assert!(!resolved),
            edge => panic!("{edge:?}"),
        }
        assert_eq!(at_lambda(&coarse, &[vec![1.0; 5]], 5.0).unwrap().len(), 1);
        assert_eq!(at_lambda(&coarse, &[vec![1.0; 5]], 0.5), None);
        assert_eq!(at_lambda(&[0.0, 1.0], &[vec![1.0; 2]], 1.0), None);
    }

    #[test]
    fn the_interval_of_an_optimum_covers_as_often_as_it_says() {
        // Parabolas with shifted minima: the optimum of their mean is the mean of the shifts.
        use rand_distr::{Distribution, StandardNormal};
        let mut rng = crate::sampler::random(3, 0);
        let grid: Vec<f64> = (0..41).map(|i| (0.15 * i as f64 - 3.0).exp()).collect();
        let covered = (0..400)
            .filter(|_| {
                let curves: Vec<Vec<f64>> = (0..50)
                    .map(|_| {
                        let shift: f64 = 0.5 * <StandardNormal as Distribution<f64>>::sample(&StandardNormal, &mut rng);
                        grid.iter().map(|l| (l.ln() - shift).powi(2)).collect()
                    })
                    .collect();
                lambda(&argmin(&grid, &curves).unwrap()).contains(1.0)
            })
            .count();
        assert!((360..=396).contains(&covered), "{covered} of 400 intervals hold the truth");
    }
}
