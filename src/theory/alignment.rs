//! The alignment ρ of two tasks, estimated from their data, with Fieller's interval.

use ndarray::{Array1, Array2, Axis};
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::estimate::{fieller, mean_error};
use super::linalg::product;
use super::loo::Loo;
use super::TheoryError;
use transfergrid_base::interval::Interval;

/// ρ̂ = ⟨β₀,β₁⟩/‖β₀‖² in the fit's units (summed over responses), bias-corrected, with Fieller's
/// 95% interval. The bounds are infinite where β₀ cannot be distinguished from 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Alignment {
    pub rho: Interval,
    pub method: AlignmentMethod,
}

/// The estimator, which depends on what the data allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlignmentMethod {
    /// Both designs have full column rank and spare rows. Uses the least-squares coefficients of
    /// both tasks and assumes homoscedastic noise.
    Coefficients,
    /// Only the source has full column rank and spare rows. Uses X₁ᵀy₁/n₁ with the source's
    /// covariance in place of the target's.
    SourceCovariance(Lack),
    /// In all other cases: ⟨Σ₀β₀, Σ₁β₁⟩/‖Σ₀β₀‖² from X₀ᵀy₀ and X₁ᵀy₁, which equals ρ where features
    /// are uncorrelated.
    Marginal { task: &'static str, lack: Lack },
}

/// Why a task has no least-squares coefficients of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// No more rows than coefficients.
    Rows,
    /// Columns that are constant or depend on others.
    Rank { rank: usize, columns: usize },
}

impl Lack {
    fn words(self, task: &str) -> String {
        match self {
            Lack::Rows => format!("the {task} has too few rows for coefficients of its own"),
            Lack::Rank { rank, columns } => format!("the {task}'s columns are constant or collinear (rank {rank} of {columns})"),
        }
    }
}

impl AlignmentMethod {
    pub fn words(self) -> String {
        match self {
            AlignmentMethod::Coefficients => "least-squares coefficients of both tasks".into(),
            AlignmentMethod::SourceCovariance(lack) => {
                format!("{}: the source's feature covariance is used for both", lack.words("target"))
            }
            AlignmentMethod::Marginal { task, lack } => {
                format!("{}: feature–response covariances, exact only for uncorrelated features", lack.words(task))
            }
        }
    }
}

/// Both designs in coordinates in which the source's covariance is the identity. None where the
/// source has deficient rank or fewer than p + 3 rows (p + 4 with an intercept).
pub fn whitened(source: &Loo, x0: &Array2<f64>, x1: &Array2<f64>, intercept: bool) -> Option<(Array2<f64>, Array2<f64>)> {
    let (n, p) = x0.dim();
    if source.s.len() < p || n < p + 3 + usize::from(intercept) {
        return None;
    }
    let scale: Array1<f64> = source.s.iter().map(|s| (n as f64).sqrt() / s).collect();
    let by = &source.v * &scale;
    Some((product(x0.view(), by.view()), product(x1.view(), by.view())))
}

/// Least squares on a centred design of full column rank: coefficients, (XᵀX)⁻¹ and the residual
/// covariance of the responses.
struct LeastSquares {
    beta: Array2<f64>,
    inverse: Array2<f64>,
    noise: Array2<f64>,
}

fn least_squares(x: &Array2<f64>, y: &Array2<f64>, intercept: bool) -> Result<Result<LeastSquares, Lack>, TheoryError> {
    let free = x.nrows() as i64 - x.ncols() as i64 - i64::from(intercept);
    if free < 1 {
        return Ok(Err(Lack::Rows));
    }
    let loo = Loo::new(x.view(), intercept)?;
    if loo.s.len() < x.ncols() {
        return Ok(Err(Lack::Rank { rank: loo.s.len(), columns: x.ncols() }));
    }
    let scaled = &loo.v / &Array1::from_vec(loo.s.clone());
    let inverse = product(scaled.view(), scaled.t());
    let beta = loo.coefficients(y.view(), 0.0);
    let e = y - &product(x.view(), beta.view());
    Ok(Ok(LeastSquares { beta, inverse, noise: product(e.t(), e.view()) / free as f64 }))
}

/// tr(Ω·AᵀMB): the covariance of ⟨A, E⟩ and ⟨B, E⟩ for errors E with row covariance M and column
/// covariance Ω.
fn covariance(omega: &Array2<f64>, a: &Array2<f64>, m: &Array2<f64>, b: &Array2<f64>) -> f64 {
    (&product(a.t(), product(m.view(), b.view()).view()) * omega).sum()
}

/// Estimates the alignment. `whitened`: the features are whitened by the source's covariance, so
/// X₁ᵀy₁/n₁ is the coefficient itself.
pub fn alignment(
    x0: &Array2<f64>,
    y0: &Array2<f64>,
    x1: &Array2<f64>,
    y1: &Array2<f64>,
    intercept: bool,
    whitened: bool,
) -> Result<Alignment, TheoryError> {
    let (n0, n1, p) = (x0.nrows() as f64, x1.nrows() as f64, x0.ncols() as f64);
    let source = least_squares(x0, y0, intercept)?;
    let target = least_squares(x1, y1, intercept)?;
    let lost = f64::from(u8::from(intercept)); // the degree of freedom that centring uses
    let moment1 = product(x1.t(), y1.view()) / (n1 - lost);
    // xᵢᵀ A yᵢ for each row.
    let rows = |x: &Array2<f64>, a: &Array2<f64>, y: &Array2<f64>| (&product(x.view(), a.view()) * y).sum_axis(Axis(1));
    let ((top, bottom, var_top, var_bottom, between), freedom, method) = match (&source, &target) {
        (Ok(s), Ok(t)) => {
            let noise_trace = s.noise.diag().sum() * s.inverse.diag().sum();
            let cross = (&s.inverse * &t.inverse).sum() * (&s.noise * &t.noise).sum();
            let top = (&s.beta * &t.beta).sum();
            let var_top = covariance(&t.noise, &s.beta, &t.inverse, &s.beta) + covariance(&s.noise, &t.beta, &s.inverse, &t.beta) - cross;
            let bottom = (&s.beta * &s.beta).sum() - noise_trace;
            let second = (&s.inverse * &s.inverse).sum() * (&s.noise * &s.noise).sum();
            let var_bottom = 4.0 * covariance(&s.noise, &s.beta, &s.inverse, &s.beta) - 2.0 * second;
            let between = 2.0 * covariance(&s.noise, &s.beta, &s.inverse, &t.beta);
            ((top, bottom, var_top, var_bottom, between), n0.min(n1) - p - lost, AlignmentMethod::Coefficients)
        }
        (Ok(s), Err(lack)) if n0 > p + 2.0 + lost && n1 > 2.0 + lost => {
            // P = (n − p − 1)(XᵀX)⁻¹ is unbiased for Σ⁻¹.
            let precision = if whitened { Array2::eye(x0.ncols()) } else { &s.inverse * (n0 - lost - p - 1.0) };
            let along = product(precision.view(), s.beta.view());
            // ⟨β₀,β₁⟩ = a‖β₀‖² + ⟨Pβ̂₀, E x(y₁ − a·xᵀβ̂₀)⟩ + a·E δᵀPΣδ for any a. δ is the noise of
            // β̂₀; P and δ both depend on X₀. With a the slope of y₁ on xᵀβ̂₀, the middle term has
            // the least noise.
            let f = product(x1.view(), s.beta.view());
            let along_f = (&f * &f).sum();
            let a = if along_f > 0.0 { (&f * y1).sum() / along_f } else { 0.0 };
            let rest = y1 - &(&f * a);
            let share = n1 / (n1 - lost);
            let bottom = (&s.beta * &s.beta).sum() - s.noise.diag().sum() * s.inverse.diag().sum();
            let second = product(x1.t(), x1.view()) / (n1 - lost);
            let own_noise = s.noise.diag().sum() * (&product(s.inverse.view(), precision.view()) * &second).sum();
            let top = a * (bottom + own_noise) + share * rows(x1, &along, &rest).sum() / n1;
            let error = share * mean_error(&rows(x1, &along, &rest).to_vec()).1 * (n1 / (n1 - 1.0 - lost)).sqrt();
            let beta1 = &s.beta * a + product(precision.view(), product(x1.t(), rest.view()).view()) / n1;
            let var_top = error * error + covariance(&s.noise, &beta1, &s.inverse, &beta1);
            let var_bottom = 4.0 * covariance(&s.noise, &s.beta, &s.inverse, &s.beta);
            let between = 2.0 * covariance(&s.noise, &s.beta, &s.inverse, &beta1);
            ((top, bottom, var_top, var_bottom, between), n1 - 1.0 - lost, AlignmentMethod::SourceCovariance(*lack))
        }
        (source, target) => {
            let (task, lack) = match (source, target) {
                (Err(lack), _) => ("source", *lack),
                (_, Err(lack)) => ("target", *lack),
                _ => ("source", Lack::Rows),
            };
            // z = x yᵀ has mean Σβ. The U-statistic over pairs of rows is unbiased for ‖Σ₀β₀‖².
            let sum0 = product(x0.t(), y0.view());
            let own: Array1<f64> = x0.rows().into_iter().zip(y0.rows()).map(|(x, y)| x.dot(&x) * y.dot(&y)).collect();
            let pairs = (rows(x0, &sum0, y0) - own) / (n0 - 1.0); // centring leaves an error of O(1/n)
            let (u, v) = (rows(x0, &moment1, y0), rows(x1, &(&sum0 / n0), y1));
            let bottom = pairs.sum() / n0;
            let top = u.sum() / n0;
            let error = |values: &Array1<f64>| mean_error(&values.to_vec()).1.powi(2);
            let between = u.iter().zip(&pairs).map(|(a, b)| (a - top) * (b - bottom)).sum::<f64>() / (n0 * (n0 - 1.0));
            (
                (top, bottom, error(&u) + error(&v), 4.0 * error(&pairs), 2.0 * between),
                n0.min(n1) - 1.0 - lost,
                AlignmentMethod::Marginal { task, lack },
            )
        }
    };
    let t = StudentsT::new(0.0, 1.0, freedom.max(1.0)).map_or(f64::INFINITY, |law| law.inverse_cdf(0.975));
    Ok(Alignment { rho: fieller(top, bottom, var_top.max(0.0), var_bottom.max(0.0), between, t), method })
}
