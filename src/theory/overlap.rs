//! The alignment ρ of two tasks that have several outputs, which may differ. It measures how far
//! the linear readouts of two tasks on the same features point in the same direction.
//!
//! B₀ (p × k₀) and B₁ (p × k₁) are the coefficients of the two tasks, and Σ is the source's feature
//! covariance. R (k₀ × k₁, orthonormal rows or columns) is the rotation that brings the source's
//! outputs closest to the target's:
//!
//! ```text
//! ρ = tr(Rᵀ B₀ᵀΣB₁)/tr(B₀ᵀΣB₀),   cosine = tr(Rᵀ B₀ᵀΣB₁)/√(tr(B₀ᵀΣB₀)·tr(B₁ᵀΣB₁))
//! ```
//!
//! With one output each, this is |⟨w₀, w₁⟩_Σ|/‖w₀‖²_Σ. Where both tasks have the same outputs, R is
//! the identity and the sign counts. Both quantities are estimated by cross-fitting: R from one
//! half of the examples and the products from the other half, so that noise does not add up.
//!
//! With a free R, two unrelated readouts still overlap a little, because R is the best of all
//! rotations: by about √(k/p) where features are independent. With the same outputs, they give 0 on
//! average.

use ndarray::{s, Array2, ArrayView2};

use super::fit::FitData;
use super::linalg::{gram_matrix, product, svd};
use super::ridge::{centre, Reduction};
use super::TheoryError;

/// The ridge penalty, relative to the mean squared singular value. It keeps coefficients of nearly
/// collinear features bounded. It is so small that its shrinkage, which both tasks share, does not
/// matter.
const RIDGE: f64 = 1e-2;

/// The overlap of two tasks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PredictionOverlap {
    pub rho: f64,
    pub cosine: f64,
}

/// Estimates the overlap. Rows of both tasks must be in random order. `same_outputs`: output i of
/// one task is output i of the other.
///
/// # Errors
/// Fewer than four rows, features that are not finite, different numbers of features, or different
/// numbers of outputs with `same_outputs`.
pub fn overlap(source: &FitData, target: &FitData, same_outputs: bool) -> Result<PredictionOverlap, TheoryError> {
    if source.x.ncols() != target.x.ncols() {
        return Err(TheoryError::new("design", "source and target have different features"));
    }
    if same_outputs && source.y.ncols() != target.y.ncols() {
        return Err(TheoryError::new("response", "source and target have different outputs"));
    }
    if source.x.nrows().min(target.x.nrows()) < 4 {
        return Err(TheoryError::new("design", "an alignment needs at least four rows of each task"));
    }
    let mut x = source.x.clone();
    centre(&mut x);
    let sigma = gram_matrix(x.view()) / x.nrows() as f64;
    let halves = |data: &FitData| -> Result<[Array2<f64>; 2], TheoryError> {
        let middle = data.x.nrows() / 2;
        let fit = |rows| coefficients(data.x.slice(s![rows, ..]), data.y.slice(s![rows, ..]));
        Ok([fit(ndarray::Slice::from(..middle))?, fit(ndarray::Slice::from(middle..))?])
    };
    let (b0, b1) = (halves(source)?, halves(target)?);
    let inner = |a: &Array2<f64>, b: &Array2<f64>| product(a.t(), product(sigma.view(), b.view()).view());
    let mut common = 0.0;
    for (this, other) in [(0, 1), (1, 0)] {
        let products = inner(&b0[other], &b1[other]);
        common += 0.5
            * match same_outputs {
                true => products.diag().sum(),
                false => (rotation(inner(&b0[this], &b1[this]).view())? * products).sum(),
            };
    }
    // Each half is multiplied with the other half, because their noise is independent.
    let (source, target) = (inner(&b0[0], &b0[1]).diag().sum(), inner(&b1[0], &b1[1]).diag().sum());
    let cosine = if source > 0.0 && target > 0.0 { common / (source * target).sqrt() } else { f64::NAN };
    Ok(PredictionOverlap { rho: if source > 0.0 { common / source } else { f64::NAN }, cosine })
}

/// Ridge coefficients (p × k), from centred data.
fn coefficients(x: ArrayView2<f64>, y: ArrayView2<f64>) -> Result<Array2<f64>, TheoryError> {
    let (mut x, mut y) = (x.to_owned(), y.to_owned());
    centre(&mut x);
    centre(&mut y);
    let lambda = RIDGE * x.iter().map(|v| v * v).sum::<f64>() / x.ncols() as f64;
    let reduction = Reduction::new(x.view())?;
    let mut out = Array2::zeros((x.ncols(), y.ncols()));
    for (mut column, y) in out.columns_mut().into_iter().zip(y.columns()) {
        column.assign(&reduction.ridge(y, lambda));
    }
    Ok(out)
}

/// The R with orthonormal rows or columns that maximises tr(RᵀM).
fn rotation(m: ArrayView2<f64>) -> Result<Array2<f64>, TheoryError> {
    let (u, _, v) = svd(m).ok_or_else(|| TheoryError::new("design", "singular values could not be found"))?;
    Ok(product(u.view(), v.t()))
}

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::sampler::random;

    fn normal(rows: usize, columns: usize, stream: u64) -> Array2<f64> {
        let mut rng = random(11, stream);
        Array2::from_shape_simple_fn((rows, columns), || StandardNormal.sample(&mut rng))
    }

    fn task(w: &Array2<f64>, stream: u64) -> FitData {
        let x = normal(1200, w.nrows(), stream);
        let y = product(x.view(), w.view()) + normal(1200, w.ncols(), stream + 1) * 2.0;
        FitData { x, y }
    }

    #[test]
    fn a_rotated_and_scaled_task_has_its_scale_as_alignment() {
        let w0 = normal(30, 4, 0);
        // Three of the four directions, rotated: R has orthonormal columns.
        let turn = rotation(normal(4, 3, 1).view()).unwrap();
        for scale in [0.5, 1.0, 1.6] {
            let w1 = product(w0.view(), turn.view()) * scale;
            let found = overlap(&task(&w0, 2), &task(&w1, 4), false).unwrap();
            // tr(Rᵀ W₀ᵀW₁)/‖W₀‖² at the best R, from the coefficients themselves.
            let products = product(w0.t(), w1.view());
            let exact = (rotation(products.view()).unwrap() * &products).sum() / w0.iter().map(|v| v * v).sum::<f64>();
            assert!((found.rho - exact).abs() < 0.05 * exact, "{scale}: {} and {exact}", found.rho);
        }
        let same = overlap(&task(&w0, 2), &task(&(&w0 * -0.7), 4), true).unwrap();
        assert!((same.rho + 0.7).abs() < 0.04 && same.cosine < -0.97, "{same:?}");
    }

    #[test]
    fn unrelated_tasks_have_none_on_average_or_little_where_they_may_be_turned() {
        let (mut sum, mut own, mut turned) = (0.0, 0.0, 0.0);
        for draw in 0..20 {
            let (w0, w1) = (normal(60, 3, 100 + draw), normal(60, 3, 200 + draw));
            let found = overlap(&task(&w0, 300 + 2 * draw), &task(&w1, 400 + 2 * draw), true).unwrap();
            sum += found.rho / 20.0;
            turned += overlap(&task(&w0, 300 + 2 * draw), &task(&w1, 400 + 2 * draw), false).unwrap().rho / 20.0;
            own += overlap(&task(&w0, 300 + 2 * draw), &task(&w0, 400 + 2 * draw), false).unwrap().rho / 20.0;
        }
        assert!(sum.abs() < 0.08, "{sum}");
        assert!(turned > 0.05 && turned < 0.4, "{turned}, and √(3/60) is 0.22");
        assert!((own - 1.0).abs() < 0.03, "{own}");
    }

    #[test]
    fn refusals() {
        let w = normal(5, 2, 0);
        let few = |data: FitData| FitData { x: data.x.slice(s![..3, ..]).to_owned(), y: data.y.slice(s![..3, ..]).to_owned() };
        assert!(overlap(&few(task(&w, 1)), &task(&w, 3), false).is_err());
        assert!(overlap(&task(&w, 1), &task(&normal(6, 2, 5), 3), false).is_err());
        assert!(overlap(&task(&w, 1), &task(&normal(5, 3, 5), 3), true).is_err());
    }
}
