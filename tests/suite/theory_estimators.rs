//! The estimators are tested with identities and constructed solutions, for long and wide matrices.
//! Leave-one-out is compared with refits.

use ndarray::{concatenate, Array1, Array2, Axis};
use rand_distr::{Distribution, StandardNormal};
use transfergrid::theory::fit::{fit, FitData, Options};
use transfergrid::theory::linalg::{eigen, gram_matrix, product, Tridiagonal};
use transfergrid::theory::ridge::{centre, ridgeless, Reduction};
use transfergrid::theory::sampler::random;

fn normal(seed: u64, rows: usize, columns: usize) -> Array2<f64> {
    let mut rng = random(seed, 0);
    Array2::from_shape_simple_fn((rows, columns), || StandardNormal.sample(&mut rng))
}

fn vector(seed: u64, n: usize) -> Array1<f64> {
    normal(seed, n, 1).remove_axis(Axis(1))
}

#[track_caller]
fn close(a: &Array1<f64>, b: &Array1<f64>, tolerance: f64) {
    let scale = b.iter().fold(1e-300, |m: f64, v| m.max(v.abs()));
    let worst = a.iter().zip(b).fold(0.0, |m: f64, (x, y)| m.max((x - y).abs())) / scale;
    assert!(worst <= tolerance, "they differ by {worst:.3e} of the largest entry");
}

/// Solves (XᵀX + λI)β = Xᵀy by elimination, without any of the code under test.
fn solve_plainly(x: &Array2<f64>, y: &Array1<f64>, lambda: f64) -> Array1<f64> {
    let p = x.ncols();
    let mut a = x.t().dot(x);
    a.diag_mut().mapv_inplace(|d| d + lambda);
    let mut b = x.t().dot(y);
    for i in 0..p {
        let pivot = (i..p).max_by(|&r, &q| a[[r, i]].abs().total_cmp(&a[[q, i]].abs())).unwrap();
        for j in 0..p {
            a.swap([i, j], [pivot, j]);
        }
        b.swap(i, pivot);
        for r in i + 1..p {
            let f = a[[r, i]] / a[[i, i]];
            for j in i..p {
                a[[r, j]] -= f * a[[i, j]];
            }
            b[r] -= f * b[i];
        }
    }
    for i in (0..p).rev() {
        for j in i + 1..p {
            b[i] -= a[[i, j]] * b[j];
        }
        b[i] /= a[[i, i]];
    }
    b
}

const SHAPES: [(usize, usize); 6] = [(60, 25), (25, 60), (30, 30), (5, 1), (1, 5), (2, 2)];

#[test]
fn primal_is_dual_is_the_normal_equations() {
    for (n, p) in SHAPES {
        let (x, y) = (normal(1, n, p), vector(2, n));
        let lambdas = [1e-3, 0.7, 40.0, 1e5];
        let primal = Reduction::of(x.view(), false).unwrap().path(y.view(), &lambdas);
        let dual = Reduction::of(x.view(), true).unwrap().path(y.view(), &lambdas);
        for (i, &lambda) in lambdas.iter().enumerate() {
            let plain = solve_plainly(&x, &y, lambda);
            close(&primal.row(i).to_owned(), &plain, 1e-9);
            close(&dual.row(i).to_owned(), &plain, 1e-9);
        }
    }
}

#[test]
fn the_tridiagonal_form_is_the_matrix() {
    for p in [1, 2, 3, 50] {
        let x = normal(3, 70, p);
        let t = Tridiagonal::of_gram(x.view());
        let q = t.rotate_back(Array2::eye(p).view());
        let mut dense = Array2::from_diag(&Array1::from_vec(t.diagonal.clone()));
        for (i, &b) in t.beside.iter().enumerate() {
            dense[[i, i + 1]] = b;
            dense[[i + 1, i]] = b;
        }
        let back = product(product(q.view(), dense.view()).view(), q.t());
        let gram = gram_matrix(x.view());
        assert!((&back - &gram).iter().all(|d| d.abs() < 1e-12 * gram[[0, 0]].abs() * p as f64));
        let rotated = t.rotate(q.view());
        assert!((&rotated - &Array2::<f64>::eye(p)).iter().all(|d| d.abs() < 1e-13 * p as f64), "QᵀQ = I");
        let v = vector(4, p);
        let image = dense.dot(&v);
        close(&t.times(v.view()), &image, 1e-13);
    }
}

#[test]
fn every_row_twice_is_half_the_penalty() {
    for (n, p) in SHAPES {
        let (x, y) = (normal(5, n, p), vector(6, n));
        let twice_x = concatenate![Axis(0), x, x];
        let twice_y = concatenate![Axis(0), y, y];
        let once = Reduction::new(x.view()).unwrap().ridge(y.view(), 1.5);
        let twice = Reduction::new(twice_x.view()).unwrap().ridge(twice_y.view(), 3.0);
        close(&twice, &once, 1e-10);
    }
}

#[test]
fn l2sp_is_ridge_without_a_prior_and_the_prior_without_data() {
    for (n, p) in SHAPES {
        let (x, y, prior) = (normal(7, n, p), vector(8, n), vector(9, p));
        let reduction = Reduction::new(x.view()).unwrap();
        close(&reduction.l2sp(y.view(), Array1::zeros(p).view(), 2.0), &reduction.ridge(y.view(), 2.0), 1e-12);
        close(&reduction.l2sp(y.view(), prior.view(), f64::INFINITY), &prior, 0.0);
        close(&reduction.l2sp(y.view(), prior.view(), 1e14), &prior, 1e-9);
        // The gradient of the objective is zero: Xᵀ(Xβ − y) + λ₁(β − prior) = 0.
        let beta = reduction.l2sp(y.view(), prior.view(), 0.3);
        let gradient = x.t().dot(&(x.dot(&beta) - &y)) + 0.3 * (&beta - &prior);
        assert!(gradient.iter().all(|g| g.abs() < 1e-9), "{gradient}");
    }
}

#[test]
fn ridgeless_is_the_limit_and_interpolates() {
    for (n, p) in [(60, 25), (25, 60)] {
        let (x, y) = (normal(10, n, p), vector(11, n));
        let reduction = Reduction::new(x.view()).unwrap();
        close(&reduction.ridge(y.view(), 0.0), &reduction.ridge(y.view(), 1e-9), 1e-6);
        if p > n {
            close(&x.dot(&reduction.ridge(y.view(), 0.0)), &y, 1e-10);
        }
    }
    // Rank-deficient: two equal columns share the coefficient.
    let x = normal(12, 20, 1);
    let y = x.column(0).mapv(|v| 3.0 * v);
    let both = concatenate![Axis(1), x, x];
    close(&ridgeless(both.view(), y.view()), &Array1::from_vec(vec![1.5, 1.5]), 1e-12);
}

#[test]
fn rotating_the_features_rotates_the_estimate() {
    let (n, p) = (40, 15);
    let (x, y) = (normal(13, n, p), vector(14, n));
    let q = eigen(gram_matrix(normal(15, 30, p).view()).view()).unwrap().vectors;
    let turned = Reduction::new(x.dot(&q).view()).unwrap().ridge(y.view(), 0.9);
    close(&q.dot(&turned), &Reduction::new(x.view()).unwrap().ridge(y.view(), 0.9), 1e-11);
}

#[test]
fn errors_in_the_rotated_basis_are_the_errors() {
    for (n, p) in SHAPES {
        let (x, y, w) = (normal(16, n, p), vector(17, n), vector(18, p));
        let priors = normal(19, p, 3);
        let lambdas = [0.01, 1.0, 300.0, f64::INFINITY];
        for dual in [false, true] {
            let reduction = Reduction::of(x.view(), dual).unwrap();
            let grid = reduction.grid_errors(y.view(), priors.view(), w.view(), &lambdas);
            for i in 0..3 {
                for (l, &lambda) in lambdas.iter().enumerate() {
                    let e = reduction.l2sp(y.view(), priors.column(i), lambda) - &w;
                    let plain = e.dot(&e);
                    assert!((grid[[i, l]] - plain).abs() < 1e-9 * plain, "{n}×{p} λ = {lambda}: {} and {plain}", grid[[i, l]]);
                }
            }
        }
    }
}

#[test]
fn wrong_designs_are_refused() {
    let message = |x: Array2<f64>| Reduction::new(x.view()).unwrap_err().to_string();
    assert_eq!(message(Array2::zeros((0, 3))), "design: a design of 0 rows and 3 columns is empty");
    let mut x = normal(20, 4, 2);
    x[[2, 1]] = f64::NAN;
    assert_eq!(message(x), "design: row 2, column 1 is NaN");
}

/// Leave-one-out error by refitting n times, with the intercept refitted too.
fn refits(x: &Array2<f64>, r: &Array1<f64>, lambda: f64, intercept: bool) -> f64 {
    let n = x.nrows();
    let mut sum = 0.0;
    for i in 0..n {
        let rest: Vec<usize> = (0..n).filter(|&j| j != i).collect();
        let (mut xr, yr) = (x.select(Axis(0), &rest), r.select(Axis(0), &rest));
        let (mx, my) = match intercept {
            true => (centre(&mut xr), yr.mean().unwrap()),
            false => (Array1::zeros(x.ncols()), 0.0),
        };
        let beta = solve_plainly(&xr, &(&yr - my), lambda);
        let predicted = my + (&x.row(i) - &mx).dot(&beta);
        sum += (r[i] - predicted).powi(2);
    }
    sum / n as f64
}

#[test]
fn leave_one_out_is_n_refits() {
    for (n1, p, intercept) in [(30, 8, true), (30, 8, false), (12, 20, true), (12, 20, false)] {
        let w = vector(21, p);
        let data = |seed, n| {
            let x = normal(seed, n, p) + 0.5;
            let y = x.dot(&w) + 2.0 + vector(seed + 100, n);
            FitData { x, y: y.insert_axis(Axis(1)) }
        };
        let (source, target) = (data(22, 50), data(23, n1));
        let options = Options { standardise: false, intercept };
        let found = fit(&source, &target, options).unwrap();
        let residual = |beta: &Array2<f64>| &target.y.column(0) - &target.x.dot(&beta.column(0));
        let transfer = refits(&target.x, &residual(&found.beta_source), found.lambda1, intercept);
        assert!((found.transfer - transfer).abs() < 1e-8 * transfer, "{} and {transfer}", found.transfer);
        let scratch = refits(&target.x, &target.y.column(0).to_owned(), found.lambda_scratch, intercept);
        assert!((found.scratch - scratch).abs() < 1e-8 * scratch, "{} and {scratch}", found.scratch);
        let source_loo = refits(&source.x, &source.y.column(0).to_owned(), found.lambda_source, intercept);
        assert!((found.source - source_loo).abs() < 1e-8 * source_loo);
        // The chosen penalties are at least as good as nearby values.
        for (d0, d1) in [(1.2, 1.0), (1.0 / 1.2, 1.0), (1.0, 1.2), (1.0, 1.0 / 1.2)] {
            let mut x0 = source.x.clone();
            let mut y0 = source.y.clone();
            if intercept {
                centre(&mut x0);
                centre(&mut y0);
            }
            let beta0 = Reduction::new(x0.view()).unwrap().ridge(y0.column(0), found.lambda0 * d0);
            let near = refits(&target.x, &residual(&beta0.insert_axis(Axis(1))), found.lambda1 * d1, intercept);
            assert!(near >= found.transfer * (1.0 - 1e-6), "λ₀ × {d0}, λ₁ × {d1}: {near} is below {}", found.transfer);
        }
    }
}

#[test]
fn a_fit_recovers_alignment_and_says_whether_transfer_helps() {
    let p = 12;
    for (rho, n0, n1) in [(0.8, 400, 40), (1.5, 400, 40), (-1.0, 400, 40), (0.8, 400, 10), (1.0, 30, 10), (1.0, 30, 40)] {
        let mut covered = 0;
        let (mut helps, mut predictions) = (0, 0);
        for seed in 0..60u64 {
            let w0 = vector(1000 + seed, p);
            let data = |s: u64, n: usize, w: &Array1<f64>| {
                let x = normal(s, n, p);
                let y = (x.dot(w) + vector(s + 7, n) * 2.0).insert_axis(Axis(1));
                FitData { x, y }
            };
            let (source, target) = (data(3000 + 10 * seed, n0, &w0), data(9000 + 10 * seed, n1, &(&w0 * rho)));
            let found = fit(&source, &target, Options { standardise: false, intercept: true }).unwrap();
            covered += usize::from(found.alignment.rho.contains(rho));
            predictions += usize::from(found.alignment_of_predictions.unwrap().rho.contains(rho));
            helps += usize::from(found.helps);
        }
        assert!(covered >= 51, "ρ = {rho}, n₁ = {n1}: {covered} of 60 intervals hold it");
        assert!(predictions >= 51, "ρ = {rho}, n₁ = {n1}: {predictions} of 60 intervals of predictions hold it");
        match rho > 0.5 {
            true if n0 < 100 => {} // with so few source rows, transfer may or may not help
            true => assert!(helps >= 45, "ρ = {rho}: helps in {helps} of 60"),
            false => assert!(helps <= 6, "ρ = {rho}: helps in {helps} of 60"),
        }
    }
}

#[test]
fn coefficients_are_in_the_units_of_the_data() {
    // Without noise and with a small chosen penalty, the fit equals the truth, whatever the units
    // and offsets.
    let p = 5;
    let w = vector(31, p);
    let units = Array1::from_vec(vec![1e-3, 1.0, 50.0, 1e4, 7.0]);
    let data = |seed, n, offset: f64| {
        let x = normal(seed, n, p) * &units + 3.0;
        let y = (x.dot(&(&w / &units)) + offset).insert_axis(Axis(1));
        FitData { x, y }
    };
    let found = fit(&data(32, 80, 1.0), &data(33, 40, -4.0), Options { standardise: true, intercept: true }).unwrap();
    close(&found.beta_transfer.column(0).to_owned(), &(&w / &units), 1e-4);
    assert!((found.intercept_source[0] - 1.0).abs() < 1e-2 && (found.intercept_transfer[0] + 4.0).abs() < 1e-2);
    assert!((found.alignment.rho.estimate - 1.0).abs() < 0.2, "the same function in both tasks: {:?}", found.alignment);
}
