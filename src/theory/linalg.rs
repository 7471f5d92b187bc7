//! The linear algebra that the theory needs, based on faer: products, eigenvalues, and the one
//! reduction `A = Q T Qᵀ` to tridiagonal form that serves every λ. All of it runs on the calling
//! thread, so results do not depend on the number of threads.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::tridiag::{tridiag_in_place, tridiag_in_place_scratch};
use faer::linalg::householder::{
    apply_block_householder_sequence_on_the_left_in_place_scratch, apply_block_householder_sequence_on_the_left_in_place_with_conj,
    apply_block_householder_sequence_transpose_on_the_left_in_place_scratch,
    apply_block_householder_sequence_transpose_on_the_left_in_place_with_conj,
};
use faer::linalg::matmul::triangular::{matmul as triangular_matmul, BlockStructure};
use faer::{Accum, Conj, Mat, MatMut, MatRef, Par, Side};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2};

/// Householder reflections are applied in blocks of this many columns.
const BLOCK: usize = 32;

/// faer's view of a matrix with any strides.
pub fn view<'a>(a: &'a ArrayView2<'_, f64>) -> MatRef<'a, f64> {
    let (rows, columns) = a.dim();
    let strides = a.strides();
    // SAFETY: pointer, shape and strides (in elements) are those of a live ndarray view, which
    // outlives the result.
    unsafe { MatRef::from_raw_parts(a.as_ptr(), rows, columns, strides[0], strides[1]) }
}

fn view_mut(a: &mut Array2<f64>) -> MatMut<'_, f64> {
    let (rows, columns) = a.dim();
    let (row, column) = (a.strides()[0], a.strides()[1]);
    // SAFETY: as in `view`, and the borrow is exclusive.
    unsafe { MatMut::from_raw_parts_mut(a.as_mut_ptr(), rows, columns, row, column) }
}

/// `a·b`.
pub fn product(a: ArrayView2<f64>, b: ArrayView2<f64>) -> Array2<f64> {
    let mut out = Array2::zeros((a.nrows(), b.ncols()));
    faer::linalg::matmul::matmul(view_mut(&mut out), Accum::Replace, view(&a), view(&b), 1.0, Par::Seq);
    out
}

/// `a·v`.
pub fn apply(a: ArrayView2<f64>, v: ArrayView1<f64>) -> Array1<f64> {
    product(a, v.insert_axis(ndarray::Axis(1))).remove_axis(ndarray::Axis(1))
}

/// The lower triangle of `xᵀx`; the entries above it are zero.
fn gram(x: ArrayView2<f64>) -> Mat<f64> {
    let p = x.ncols();
    let mut out = Mat::zeros(p, p);
    let x = view(&x);
    triangular_matmul(
        out.as_mut(),
        BlockStructure::TriangularLower,
        Accum::Replace,
        x.transpose(),
        BlockStructure::Rectangular,
        x,
        BlockStructure::Rectangular,
        1.0,
        Par::Seq,
    );
    out
}

/// `xᵀx`.
pub fn gram_matrix(x: ArrayView2<f64>) -> Array2<f64> {
    let lower = gram(x);
    Array2::from_shape_fn((x.ncols(), x.ncols()), |(i, j)| if i >= j { lower[(i, j)] } else { lower[(j, i)] })
}

/// `A = V diag(values) Vᵀ`, values ascending, vectors in columns.
#[derive(Debug, Clone)]
pub struct Eigen {
    pub values: Vec<f64>,
    pub vectors: Array2<f64>,
}

/// The eigendecomposition of a symmetric matrix. None where it does not converge (infinite or NaN
/// entries).
pub fn eigen(a: ArrayView2<f64>) -> Option<Eigen> {
    let found = view(&a).self_adjoint_eigen(Side::Lower).ok()?;
    let p = a.nrows();
    let (s, u) = (found.S(), found.U());
    let values = (0..p).map(|i| s.column_vector()[i]).collect();
    Some(Eigen { values, vectors: Array2::from_shape_fn((p, p), |(i, j)| u[(i, j)]) })
}

/// The lower Cholesky factor of a symmetric positive definite matrix.
pub fn cholesky(a: ArrayView2<f64>) -> Option<Array2<f64>> {
    let factor = view(&a).llt(Side::Lower).ok()?;
    let l = factor.L();
    Some(Array2::from_shape_fn(a.dim(), |(i, j)| if i >= j { l[(i, j)] } else { 0.0 }))
}

/// The thin singular value decomposition `x = U diag(s) Vᵀ`, m = min(n, p) values. None where it
/// does not converge.
pub fn svd(x: ArrayView2<f64>) -> Option<(Array2<f64>, Vec<f64>, Array2<f64>)> {
    let found = view(&x).thin_svd().ok()?;
    let m = x.nrows().min(x.ncols());
    let (u, s, v) = (found.U(), found.S(), found.V());
    let values = (0..m).map(|i| s.column_vector()[i]).collect();
    let left = Array2::from_shape_fn((x.nrows(), m), |(i, j)| u[(i, j)]);
    let right = Array2::from_shape_fn((x.ncols(), m), |(i, j)| v[(i, j)]);
    Some((left, values, right))
}

/// `A = Q T Qᵀ` with T tridiagonal. It costs a third of an eigendecomposition, and `(A + λI)⁻¹`
/// needs no more.
#[derive(Debug, Clone)]
pub struct Tridiagonal {
    /// T's diagonal, and the entries next to it.
    pub diagonal: Vec<f64>,
    pub beside: Vec<f64>,
    /// Q as Householder reflections below the diagonal.
    reflections: Mat<f64>,
    factors: Mat<f64>,
}

impl Tridiagonal {
    /// Reduces `xᵀx`.
    pub fn of_gram(x: ArrayView2<f64>) -> Tridiagonal {
        let mut a = gram(x);
        let p = a.nrows();
        let block = BLOCK.min(p.saturating_sub(1)).max(1);
        let mut factors = Mat::zeros(block, p.saturating_sub(1));
        let mut memory = MemBuffer::new(tridiag_in_place_scratch::<f64>(p, Par::Seq, Default::default()));
        tridiag_in_place(a.as_mut(), factors.as_mut(), Par::Seq, MemStack::new(&mut memory), Default::default());
        let diagonal = (0..p).map(|i| a[(i, i)]).collect();
        let beside = (1..p).map(|i| a[(i, i - 1)]).collect();
        Tridiagonal { diagonal, beside, reflections: a, factors }
    }

    pub fn len(&self) -> usize {
        self.diagonal.len()
    }

    pub fn is_empty(&self) -> bool {
        self.diagonal.is_empty()
    }

    /// `Qᵀ·columns`.
    pub fn rotate(&self, columns: ArrayView2<f64>) -> Array2<f64> {
        self.reflect(columns, true)
    }

    /// `Q·columns`.
    pub fn rotate_back(&self, columns: ArrayView2<f64>) -> Array2<f64> {
        self.reflect(columns, false)
    }

    fn reflect(&self, columns: ArrayView2<f64>, transposed: bool) -> Array2<f64> {
        let mut out = Array2::zeros(columns.dim());
        out.assign(&columns);
        let (p, k) = columns.dim();
        if p < 2 || k == 0 {
            return out; // Q is the identity
        }
        // Q leaves the first row unchanged.
        let basis = self.reflections.as_ref().submatrix(1, 0, p - 1, p - 1);
        let block = self.factors.nrows();
        let below = view_mut(&mut out).subrows_mut(1, p - 1);
        let (scratch, apply) = match transposed {
            true => (
                apply_block_householder_sequence_transpose_on_the_left_in_place_scratch::<f64> as fn(usize, usize, usize) -> _,
                apply_block_householder_sequence_transpose_on_the_left_in_place_with_conj::<f64> as fn(_, _, _, _, _, &mut _),
            ),
            false => (
                apply_block_householder_sequence_on_the_left_in_place_scratch::<f64> as fn(usize, usize, usize) -> _,
                apply_block_householder_sequence_on_the_left_in_place_with_conj::<f64> as fn(_, _, _, _, _, &mut _),
            ),
        };
        let mut memory = MemBuffer::new(scratch(p - 1, block, k));
        apply(basis, self.factors.as_ref(), Conj::No, below, Par::Seq, MemStack::new(&mut memory));
        out
    }

    /// `(T + λI)⁻¹ b`, by T + λI = L D Lᵀ. T + λI must be positive definite. Costs O(p).
    pub fn solve(&self, lambda: f64, b: ArrayView1<f64>) -> Array1<f64> {
        let p = self.len();
        let mut x = b.to_owned();
        let mut pivots = vec![0.0; p];
        for i in 0..p {
            pivots[i] = self.diagonal[i] + lambda;
            if i > 0 {
                let l = self.beside[i - 1] / pivots[i - 1];
                pivots[i] -= l * self.beside[i - 1];
                x[i] -= l * x[i - 1];
            }
        }
        for i in (0..p).rev() {
            x[i] /= pivots[i];
            if i + 1 < p {
                x[i] -= self.beside[i] / pivots[i] * x[i + 1];
            }
        }
        x
    }

    /// `T·b`.
    pub fn times(&self, b: ArrayView1<f64>) -> Array1<f64> {
        let p = self.len();
        Array1::from_shape_fn(p, |i| {
            let before = if i > 0 { self.beside[i - 1] * b[i - 1] } else { 0.0 };
            let after = if i + 1 < p { self.beside[i] * b[i + 1] } else { 0.0 };
            before + self.diagonal[i] * b[i] + after
        })
    }
}

/// `Σ aᵢbᵢ`.
#[inline]
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Number of partial sums of a sum, so that the compiler can vectorise it. The number is fixed, so
/// that results are reproducible.
const LANES: usize = 8;

/// `Σᵢ f(aᵢ, bᵢ)`, several sums at once. `a` and `b` have equal lengths.
#[inline(always)]
pub fn sums<const K: usize>(a: &[f64], b: &[f64], f: impl Fn(f64, f64) -> [f64; K]) -> [f64; K] {
    let mut lanes = [[0.0; LANES]; K];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let mut out = [0.0; K];
    for (x, y) in a_chunks.remainder().iter().zip(b_chunks.remainder()) {
        let values = f(*x, *y);
        (0..K).for_each(|k| out[k] += values[k]);
    }
    for (x, y) in a_chunks.zip(b_chunks) {
        for lane in 0..LANES {
            let values = f(x[lane], y[lane]);
            for k in 0..K {
                lanes[k][lane] += values[k];
            }
        }
    }
    for k in 0..K {
        out[k] += lanes[k].iter().sum::<f64>();
    }
    out
}
