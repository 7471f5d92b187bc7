//! The covariance Σ of a design's rows: identity, diagonal (given as a spectrum) or full. It is
//! validated once, on construction.

use ndarray::{Array1, Array2, ArrayView1};

use super::linalg::{apply, cholesky, eigen, product, Eigen};
use super::TheoryError;

/// A symmetric positive definite p × p matrix.
#[derive(Debug, Clone)]
pub struct Covariance {
    /// Eigenvalues, each > 0. They are in the order of the coordinates where Σ is diagonal, and
    /// ascending where Σ is full.
    spectrum: Vec<f64>,
    form: Representation,
}

#[derive(Debug, Clone)]
enum Representation {
    Identity,
    Diagonal,
    /// Eigenvectors in columns, Σ itself, and L with Σ = LLᵀ.
    Full {
        vectors: Array2<f64>,
        matrix: Array2<f64>,
        root: Array2<f64>,
    },
}

impl Covariance {
    /// Σ = I.
    pub fn identity(p: usize) -> Covariance {
        Covariance { spectrum: vec![1.0; p], form: Representation::Identity }
    }

    /// Σ = diag(spectrum).
    ///
    /// # Errors
    /// An empty spectrum, or entries that are not finite numbers > 0.
    pub fn diagonal(spectrum: Vec<f64>) -> Result<Covariance, TheoryError> {
        if spectrum.is_empty() {
            return Err(TheoryError::new("covariance", "it has no eigenvalues"));
        }
        match spectrum.iter().position(|d| !(*d > 0.0 && d.is_finite())) {
            Some(i) => {
                Err(TheoryError::new("covariance", format!("eigenvalue {i} is {}; all must be finite numbers above 0", spectrum[i])))
            }
            None => Ok(Covariance { spectrum, form: Representation::Diagonal }),
        }
    }

    /// Eigenvalues ∝ i^−a, i = 1 … p, mean 1.
    pub fn power(p: usize, a: f64) -> Result<Covariance, TheoryError> {
        Covariance::diagonal((1..=p).map(|i| (i as f64).powf(-a)).collect())?.normalised()
    }

    /// Σᵢⱼ = r^|i−j|, −1 < r < 1.
    pub fn ar1(p: usize, r: f64) -> Result<Covariance, TheoryError> {
        if r.is_nan() || r.abs() >= 1.0 {
            return Err(TheoryError::new("covariance", format!("ar1 needs a correlation between −1 and 1, not {r}")));
        }
        Covariance::full(Array2::from_shape_fn((p, p), |(i, j)| r.powi(i.abs_diff(j) as i32)))
    }

    /// `count` eigenvalues are `strength` times the others; mean 1.
    pub fn spiked(p: usize, count: usize, strength: f64) -> Result<Covariance, TheoryError> {
        if count > p {
            return Err(TheoryError::new("covariance", format!("{count} spikes do not fit into {p} dimensions")));
        }
        Covariance::diagonal((0..p).map(|i| if i < count { strength } else { 1.0 }).collect())?.normalised()
    }

    /// Any symmetric positive definite matrix.
    ///
    /// # Errors
    /// A matrix that is not square, not finite or not symmetric (beyond rounding: 1e-10 of the
    /// largest entry), or that has an eigenvalue ≤ 1e-12 of the largest.
    pub fn full(matrix: Array2<f64>) -> Result<Covariance, TheoryError> {
        let bad = |what: String| Err(TheoryError::new("covariance", what));
        let (rows, columns) = matrix.dim();
        if rows != columns || rows == 0 {
            return bad(format!("the matrix has {rows} rows and {columns} columns; it must be square"));
        }
        if let Some(((i, j), v)) = matrix.indexed_iter().find(|(_, v)| !v.is_finite()) {
            return bad(format!("the entry in row {i}, column {j} is {v}"));
        }
        let largest = matrix.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        if let Some(((i, j), v)) = matrix.indexed_iter().find(|((i, j), v)| (**v - matrix[[*j, *i]]).abs() > 1e-10 * largest) {
            let other = matrix[[j, i]];
            return bad(format!("the matrix is not symmetric: row {i}, column {j} is {v}, but row {j}, column {i} is {other}"));
        }
        let off = matrix.indexed_iter().any(|((i, j), v)| i != j && *v != 0.0);
        if !off {
            return Covariance::diagonal(matrix.diag().to_vec());
        }
        let Some(Eigen { values, vectors }) = eigen(matrix.view()) else { return bad("its eigenvalues could not be found".into()) };
        let (least, most) = (values[0], values[rows - 1]);
        if least.is_nan() || least <= 1e-12 * most {
            return bad(format!("the matrix is not positive definite: its smallest eigenvalue is {least:.3e}, its largest {most:.3e}"));
        }
        let Some(root) = cholesky(matrix.view()) else { return bad("the matrix is not positive definite".into()) };
        Ok(Covariance { spectrum: values, form: Representation::Full { vectors, matrix, root } })
    }

    /// Scales to mean eigenvalue 1.
    pub fn normalised(mut self) -> Result<Covariance, TheoryError> {
        let mean = self.spectrum.iter().sum::<f64>() / self.p() as f64;
        self.spectrum.iter_mut().for_each(|d| *d /= mean);
        if let Some(d) = self.spectrum.iter().find(|d| !(**d > 0.0 && d.is_finite())) {
            return Err(TheoryError::new("covariance", format!("scaled to mean 1, an eigenvalue is {d}")));
        }
        if let Representation::Full { matrix, root, .. } = &mut self.form {
            *matrix /= mean;
            *root /= mean.sqrt();
        }
        Ok(self)
    }

    pub fn p(&self) -> usize {
        self.spectrum.len()
    }

    pub fn is_identity(&self) -> bool {
        matches!(self.form, Representation::Identity) || self.spectrum.iter().all(|d| *d == 1.0)
    }

    /// Eigenvalues, in the order of [`Covariance::vectors`].
    pub fn spectrum(&self) -> &[f64] {
        &self.spectrum
    }

    /// Eigenvectors in columns; none where they are the coordinate axes.
    pub fn vectors(&self) -> Option<&Array2<f64>> {
        match &self.form {
            Representation::Full { vectors, .. } => Some(vectors),
            _ => None,
        }
    }

    /// The eigenvector of the i-th largest eigenvalue, counted from 0.
    pub fn direction(&self, i: usize) -> Vec<f64> {
        let mut order: Vec<usize> = (0..self.p()).collect();
        order.sort_by(|&a, &b| self.spectrum[b].total_cmp(&self.spectrum[a])); // stable: ties keep their order
        match self.vectors() {
            Some(v) => {
                // An eigenvector's sign is arbitrary, so the largest entry is made positive.
                let v = v.column(order[i]);
                let largest = v.iter().fold(0.0, |m: f64, x| if x.abs() > m.abs() * (1.0 + 1e-9) { *x } else { m });
                v.iter().map(|x| x * largest.signum()).collect()
            }
            None => (0..self.p()).map(|j| f64::from(u8::from(j == order[i]))).collect(),
        }
    }

    /// `vᵀΣv`.
    pub fn norm2(&self, v: ArrayView1<f64>) -> f64 {
        match &self.form {
            Representation::Full { matrix, .. } => apply(matrix.view(), v).dot(&v),
            _ => self.spectrum.iter().zip(&v).map(|(d, x)| d * x * x).sum(),
        }
    }

    /// `vᵀΣv` for each column v.
    pub fn norms2(&self, columns: &Array2<f64>) -> Vec<f64> {
        match &self.form {
            Representation::Full { matrix, .. } => {
                let image = product(matrix.view(), columns.view());
                columns.columns().into_iter().zip(image.columns()).map(|(a, b)| a.dot(&b)).collect()
            }
            _ => columns.columns().into_iter().map(|c| self.norm2(c)).collect(),
        }
    }

    /// Transforms rows of standard normal variates into rows of N(0, Σ).
    pub fn colour(&self, z: Array2<f64>) -> Array2<f64> {
        match &self.form {
            Representation::Identity => z,
            Representation::Diagonal => z * &Array1::from_iter(self.spectrum.iter().map(|d| d.sqrt())),
            Representation::Full { root, .. } => product(z.view(), root.t()),
        }
    }

    /// `VᵀΣV` for V with orthonormal columns.
    pub fn conjugate(&self, v: &Array2<f64>) -> Array2<f64> {
        let image = match &self.form {
            Representation::Full { matrix, .. } => product(matrix.view(), v.view()),
            _ => v * &Array1::from_iter(self.spectrum.iter().copied()).insert_axis(ndarray::Axis(1)),
        };
        product(v.t(), image.view())
    }

    /// Σ as a matrix.
    pub fn to_matrix(&self) -> Array2<f64> {
        match &self.form {
            Representation::Full { matrix, .. } => matrix.clone(),
            _ => Array2::from_diag(&Array1::from_iter(self.spectrum.iter().copied())),
        }
    }
}
