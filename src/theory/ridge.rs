//! The three estimators. λ is not divided by n:
//!
//! ```text
//! source ridge   β̂₀(λ₀)      = argmin ‖y₀ − X₀β‖² + λ₀‖β‖²
//!                            = (X₀ᵀX₀ + λ₀I)⁻¹ X₀ᵀy₀
//! L2-SP          β̂₁ᵀᴸ(λ₀,λ₁) = argmin ‖y₁ − X₁β‖² + λ₁‖β − β̂₀‖²
//!                            = (X₁ᵀX₁ + λ₁I)⁻¹ (X₁ᵀy₁ + λ₁β̂₀)
//! from scratch   β̂₁ˢ(λ₁)     = source ridge on the target's data
//! ```
//!
//! λ = 0 gives the minimum-norm (ridgeless) solution; λ₁ = ∞ gives β̂₀. L2-SP is ridge on the
//! residual y₁ − X₁β̂₀, plus β̂₀. So one estimator serves all three.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

use super::linalg::{apply, svd, Tridiagonal};
use super::TheoryError;

/// A design `X` (n × p), reduced once. After that, any response and any λ cost O(np) or less.
///
/// The smaller Gram matrix is reduced to tridiagonal form: `XᵀX = Q T Qᵀ` (primal) where p ≤ n,
/// `XXᵀ = Q T Qᵀ` (dual) where p > n.
#[derive(Debug, Clone)]
pub struct Reduction {
    x: Array2<f64>,
    gram: Tridiagonal,
    dual: bool,
}

impl Reduction {
    /// Reduces a design of finite numbers with at least one row and one column.
    ///
    /// # Errors
    /// An empty design, or one with NaN or infinite entries.
    pub fn new(x: ArrayView2<f64>) -> Result<Reduction, TheoryError> {
        Reduction::of(x, x.ncols() > x.nrows())
    }

    /// As [`Reduction::new`], but the caller chooses the form. Both forms give the same estimates.
    pub fn of(x: ArrayView2<f64>, dual: bool) -> Result<Reduction, TheoryError> {
        if x.is_empty() {
            return Err(TheoryError::new("design", format!("a design of {} rows and {} columns is empty", x.nrows(), x.ncols())));
        }
        if let Some(((i, j), v)) = x.indexed_iter().find(|(_, v)| !v.is_finite()) {
            return Err(TheoryError::new("design", format!("row {i}, column {j} is {v}")));
        }
        let gram = if dual { Tridiagonal::of_gram(x.t()) } else { Tridiagonal::of_gram(x) };
        Ok(Reduction { x: x.to_owned(), gram, dual })
    }

    /// The design.
    pub fn x(&self) -> ArrayView2<'_, f64> {
        self.x.view()
    }

    /// Ridge coefficients for every λ, one row of p for each. λ ≥ 0; λ = ∞ gives 0.
    pub fn path(&self, y: ArrayView1<f64>, lambdas: &[f64]) -> Array2<f64> {
        let rhs = if self.dual { y.to_owned() } else { apply(self.x.t(), y) };
        let rotated = self.gram.rotate(rhs.view().insert_axis(Axis(1)));
        let rotated = rotated.column(0);
        let mut solved = Array2::zeros((self.gram.len(), lambdas.len()));
        for (mut column, &lambda) in solved.columns_mut().into_iter().zip(lambdas) {
            if lambda.is_finite() && lambda > 0.0 {
                column.assign(&self.gram.solve(lambda, rotated));
            }
        }
        let back = self.gram.rotate_back(solved.view());
        let mut out = match self.dual {
            true => super::linalg::product(self.x.t(), back.view()),
            false => back,
        }
        .reversed_axes();
        for (mut row, _) in out.rows_mut().into_iter().zip(lambdas).filter(|(_, lambda)| **lambda == 0.0) {
            row.assign(&ridgeless(self.x.view(), y));
        }
        out
    }

    /// Ridge coefficients for one λ.
    pub fn ridge(&self, y: ArrayView1<f64>, lambda: f64) -> Array1<f64> {
        self.path(y, &[lambda]).row(0).to_owned()
    }

    /// L2-SP: ridge that shrinks towards `prior` instead of 0. λ₁ = ∞ gives the prior.
    pub fn l2sp(&self, y: ArrayView1<f64>, prior: ArrayView1<f64>, lambda1: f64) -> Array1<f64> {
        let residual = &y - &apply(self.x.view(), prior);
        &prior + &self.ridge(residual.view(), lambda1)
    }

    /// `‖β − w‖²` for every λ, where β is `prior` plus the ridge fit to the residual y − X·prior.
    /// Each λ costs O(min(n, p)) once the vectors are rotated. Requires λ > 0, or a design of full
    /// rank.
    pub fn squared_errors(&self, y: ArrayView1<f64>, prior: ArrayView1<f64>, w: ArrayView1<f64>, lambdas: &[f64]) -> Vec<f64> {
        self.grid_errors(y, prior.insert_axis(Axis(1)), w, lambdas).row(0).to_vec()
    }

    /// [`Reduction::squared_errors`] for several priors (in columns): one row per prior, one column
    /// per λ. With β̂₀(λ₀) in the columns, this is the (λ₀, λ₁) grid of L2-SP. It costs one
    /// rotation of the columns and O(min(n, p)) per cell.
    pub fn grid_errors(&self, y: ArrayView1<f64>, priors: ArrayView2<f64>, w: ArrayView1<f64>, lambdas: &[f64]) -> Array2<f64> {
        // β − w = e + δ with e = prior − w and δ the ridge fit to the residual r = y − X·prior.
        let k = priors.ncols();
        let e = &priors - &w.insert_axis(Axis(1));
        let fitted = super::linalg::product(self.x.view(), priors);
        let r = &y.insert_axis(Axis(1)) - &fitted;
        let (a, b) = match self.dual {
            true => (self.gram.rotate(r.view()), self.gram.rotate(super::linalg::product(self.x.view(), e.view()).view())),
            false => (self.gram.rotate(super::linalg::product(self.x.t(), r.view()).view()), self.gram.rotate(e.view())),
        };
        let mut out = Array2::zeros((k, lambdas.len()));
        for i in 0..k {
            let norm = e.column(i).dot(&e.column(i));
            for (l, &lambda) in lambdas.iter().enumerate() {
                out[[i, l]] = if lambda.is_infinite() {
                    norm
                } else {
                    let solved = self.gram.solve(lambda, a.column(i));
                    let square = if self.dual { solved.dot(&self.gram.times(solved.view())) } else { solved.dot(&solved) };
                    norm + 2.0 * solved.dot(&b.column(i)) + square
                };
            }
        }
        out
    }
}

/// The least-squares solution of minimum norm, from singular values. Those below max(n, p)·ε·σ₁
/// count as 0.
pub fn ridgeless(x: ArrayView2<f64>, y: ArrayView1<f64>) -> Array1<f64> {
    let Some((u, s, v)) = svd(x) else { return Array1::from_elem(x.ncols(), f64::NAN) };
    let least = s.first().copied().unwrap_or(0.0) * x.nrows().max(x.ncols()) as f64 * f64::EPSILON;
    let mut coordinates = apply(u.t(), y);
    for (c, &s) in coordinates.iter_mut().zip(&s) {
        *c = if s > least { *c / s } else { 0.0 };
    }
    apply(v.view(), coordinates.view())
}

/// Subtracts the column means and returns them. Ridge on centred data is ridge with an intercept
/// that is not penalised: intercept = ȳ − x̄·β.
pub fn centre(x: &mut Array2<f64>) -> Array1<f64> {
    let means = x.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(x.ncols()));
    *x -= &means;
    means
}
