//! λ for given data: exact leave-one-out on the target (and, for comparison, on the source), and the estimated alignment.
//!
//! Model: `y = α + Xβ + ε` for source and target, each with an intercept of its own that is not penalised. Columns of both designs
//! are divided by their standard deviation *in the source*, so that β₀ and β₁ are in the same units; λ is in the units of
//! docs/theory.md after that. Ridge on the residual `r = y₁ − X₁β̂₀(λ₀)` leaves out row i with error `eᵢ/(1 − hᵢᵢ)`, where
//! `H = 11ᵀ/n + X(XᵀX + λI)⁻¹Xᵀ` on centred columns: no refit, and exact, because nothing of the target is used to scale it.

use ndarray::{Array1, Array2, ArrayView2, Axis};
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::estimate::{mean_error, Estimate};
use super::linalg::{product, svd};
use super::ridge::centre;
use super::TheoryError;

/// A design (n × p) with its responses (n × k).
#[derive(Debug, Clone)]
pub struct Data {
    pub x: Array2<f64>,
    pub y: Array2<f64>,
}

/// How to fit.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Divide every column by its standard deviation in the source.
    pub standardise: bool,
    /// Fit an intercept that is not penalised.
    pub intercept: bool,
}

/// A fit: penalties, errors, alignment and coefficients in the units of the data.
#[derive(Debug, Clone)]
pub struct Fit {
    /// λ_S by leave-one-out on the source, λ₀ and λ₁ by leave-one-out on the target.
    pub lambda_source: f64,
    pub lambda0: f64,
    pub lambda1: f64,
    /// λ₁ of the from-scratch fit, and of transfer from the source-optimal λ₀.
    pub lambda_scratch: f64,
    pub lambda1_at_source_optimal: f64,
    /// Which of these is at the end of the searched range (twelve decades).
    pub at_edge: Vec<&'static str>,
    /// Mean squared leave-one-out errors on the target, over rows and responses.
    pub transfer: f64,
    pub scratch: f64,
    pub at_source_optimal: f64,
    /// Of the source, at λ_S.
    pub source: f64,
    /// scratch − transfer and at_source_optimal − transfer, paired by row.
    pub gain: Estimate,
    pub mismatch_cost: Estimate,
    /// Whether the gain is more than one standard error above 0 (the one-standard-error rule of Breiman et al. 1984).
    pub helps: bool,
    pub alignment: Alignment,
    /// The same of the predictions: ⟨β₀,β₁⟩_Σ/‖β₀‖²_Σ with Σ the source's covariance, that is ρ in whitened features. Collinear features
    /// make coefficients uncertain, not predictions. None where the source has too few rows to whiten by.
    pub alignment_of_predictions: Option<Alignment>,
    /// p × k, and k intercepts, in the units of the data: source at λ₀, transfer, from scratch.
    pub beta_source: Array2<f64>,
    pub beta_transfer: Array2<f64>,
    pub beta_scratch: Array2<f64>,
    pub intercept_source: Array1<f64>,
    pub intercept_transfer: Array1<f64>,
    pub intercept_scratch: Array1<f64>,
}

/// ρ̂ = ⟨β₀,β₁⟩/‖β₀‖² in the fit's units (summed over responses), bias-corrected, with Fieller's 95% interval. A bound that does not
/// exist (β₀ is not told from 0) is infinite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Alignment {
    pub rho: Estimate,
    pub method: Method,
}

/// What the data allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Both designs have more rows than columns: least-squares coefficients, homoscedastic noise.
    Coefficients,
    /// Only the source has: the target's X₁ᵀy₁/n₁ with the source's covariance in place of its own.
    SourceCovariance,
    /// Neither: ⟨Σ₀β₀, Σ₁β₁⟩/‖Σ₀β₀‖² from X₀ᵀy₀ and X₁ᵀy₁, which is ρ where features are uncorrelated.
    Marginal,
}

impl Method {
    pub fn words(self) -> &'static str {
        match self {
            Method::Coefficients => "least-squares coefficients of both tasks",
            Method::SourceCovariance => {
                "the target has too few rows for coefficients of its own: the source's feature covariance is used for both"
            }
            Method::Marginal => "too few rows for coefficients: feature–response covariances, exact only for uncorrelated features",
        }
    }
}

/// Penalties searched: relative to the mean squared singular value, 10⁻⁶ to 10⁶, four to a decade, then refined.
const DECADES: f64 = 6.0;
const PER_DECADE: usize = 4;

/// A centred design's singular value decomposition, for leave-one-out at any λ.
struct Loo {
    u: Array2<f64>,
    s: Vec<f64>,
    v: Array2<f64>,
    /// U∘U
    leverage: Array2<f64>,
    own: f64,
}

impl Loo {
    fn new(x: ArrayView2<f64>, intercept: bool) -> Result<Loo, TheoryError> {
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
        Ok(Loo { leverage: &u * &u, u, v, s: s[..rank].to_vec(), own })
    }

    fn grid(&self) -> Vec<f64> {
        let scale = self.s.iter().map(|s| s * s).sum::<f64>() / self.v.nrows() as f64;
        let points = 2 * DECADES as usize * PER_DECADE;
        (0..=points).map(|i| scale * 10f64.powf(-DECADES + i as f64 / PER_DECADE as f64)).collect()
    }

    fn filter(&self, lambda: f64) -> Array1<f64> {
        self.s.iter().map(|s| s * s / (s * s + lambda)).collect()
    }

    /// Leave-one-out errors (n × columns of r) for every column of residuals, which must be centred with the design.
    fn errors(&self, r: ArrayView2<f64>, lambda: f64) -> Array2<f64> {
        let f = self.filter(lambda);
        let coordinates = product(self.u.t(), r) * f.view().insert_axis(Axis(1));
        let mut e = &r - &product(self.u.view(), coordinates.view());
        let h = self.leverage.dot(&f) + self.own;
        for (mut row, h) in e.rows_mut().into_iter().zip(&h) {
            row /= 1.0 - h;
        }
        e
    }

    /// Ridge coefficients of a centred response.
    fn coefficients(&self, r: ArrayView2<f64>, lambda: f64) -> Array2<f64> {
        let g: Array1<f64> = self.s.iter().map(|s| s / (s * s + lambda)).collect();
        product(self.v.view(), (product(self.u.t(), r) * &g.insert_axis(Axis(1))).view())
    }
}

fn mean_square(e: &Array2<f64>) -> f64 {
    e.iter().map(|v| v * v).sum::<f64>() / e.len() as f64
}

/// Squared errors of each row, averaged over responses.
fn by_row(e: &Array2<f64>) -> Vec<f64> {
    e.rows().into_iter().map(|row| row.dot(&row) / row.len() as f64).collect()
}

/// Minimises over a grid in log λ, then between its points: the spacing is halved around the best until it is below 1e-4.
fn search1(grid: &[f64], loss: impl Fn(f64) -> f64) -> (f64, f64, bool) {
    let (mut at, mut best) = (0, f64::INFINITY);
    for (i, &l) in grid.iter().enumerate() {
        let value = loss(l);
        if value < best {
            (at, best) = (i, value);
        }
    }
    let edge = at == 0 || at + 1 == grid.len();
    let mut lambda = grid[at];
    let mut step = (grid[1] / grid[0]).ln() / 2.0;
    while !edge && step > 1e-4 {
        for candidate in [lambda * (-step).exp(), lambda * step.exp()] {
            let value = loss(candidate);
            if value < best {
                (lambda, best) = (candidate, value);
            }
        }
        step /= 2.0;
    }
    (lambda, best, edge)
}

/// Chooses the penalties and estimates the alignment.
///
/// # Errors
/// Designs that do not fit each other, fewer than three rows, NaN, a column without variation where it must be scaled.
pub fn fit(source: &Data, target: &Data, options: Options) -> Result<Fit, TheoryError> {
    let p = source.x.ncols();
    if target.x.ncols() != p || source.y.ncols() != target.y.ncols() {
        return Err(TheoryError::new("design", "source and target differ in their numbers of features or responses"));
    }
    for (about, data) in [("source", source), ("target", target)] {
        if data.x.nrows() != data.y.nrows() || data.x.nrows() < 3 {
            return Err(TheoryError::new(about, "needs as many responses as rows, and at least 3 of them"));
        }
        if let Some(k) = (0..data.y.ncols()).find(|&k| data.y.column(k).iter().all(|v| *v == data.y[[0, k]])) {
            return Err(TheoryError::new(about, format!("response {k} is constant: there is nothing to learn")));
        }
        if data.x.iter().chain(&data.y).any(|v| !v.is_finite()) {
            return Err(TheoryError::new(about, "has entries that are not finite"));
        }
    }
    // Scales come from the source alone.
    let scale = if options.standardise { source.x.std_axis(Axis(0), 0.0) } else { Array1::ones(p) };
    // Constant up to rounding is constant.
    let size = source.x.fold_axis(Axis(0), 0.0, |m: &f64, v| m.max(v.abs()));
    if let Some(j) = scale.iter().zip(&size).position(|(s, size)| *s <= 1e-13 * size) {
        return Err(TheoryError::new("source", format!("column {j} is constant")));
    }
    let prepare = |data: &Data| {
        let (mut x, mut y) = (&data.x / &scale, data.y.clone());
        let (mx, my) = match options.intercept {
            true => (centre(&mut x), centre(&mut y)),
            false => (Array1::zeros(p), Array1::zeros(y.ncols())),
        };
        (x, y, mx, my)
    };
    let (x0, y0, mx0, my0) = prepare(source);
    let (x1, y1, mx1, my1) = prepare(target);
    let s = Loo::new(x0.view(), options.intercept)?;
    let t = Loo::new(x1.view(), options.intercept)?;
    let mut at_edge = vec![];
    let mut note = |name, edge: bool| {
        if edge {
            at_edge.push(name);
        }
    };

    let (lambda_source, source_error, edge) = search1(&s.grid(), |l| mean_square(&s.errors(y0.view(), l)));
    note("lambda_source", edge);
    let residual = |lambda0: f64| &y1 - &product(x1.view(), s.coefficients(y0.view(), lambda0).view());
    let at_lambda0 = |lambda0: f64| {
        let r = residual(lambda0);
        search1(&t.grid(), |l| mean_square(&t.errors(r.view(), l)))
    };
    let (lambda_scratch, scratch, edge) = search1(&t.grid(), |l| mean_square(&t.errors(y1.view(), l)));
    note("lambda_scratch", edge);
    let (lambda1_at_source_optimal, at_source_optimal, _) = at_lambda0(lambda_source);
    let (lambda0, transfer, edge) = search1(&s.grid(), |l| at_lambda0(l).1);
    note("lambda0", edge);
    let (lambda1, _, edge) = at_lambda0(lambda0);
    note("lambda1", edge);

    let rows = |lambda0: f64, lambda1: f64| by_row(&t.errors(residual(lambda0).view(), lambda1));
    let best = rows(lambda0, lambda1);
    let difference = |worse: &[f64]| -> Vec<f64> { worse.iter().zip(&best).map(|(a, b)| a - b).collect() };
    let gains = difference(&by_row(&t.errors(y1.view(), lambda_scratch)));
    let (gain, error) = mean_error(&gains);

    let b0 = s.coefficients(y0.view(), lambda0);
    let b1 = &b0 + &t.coefficients(residual(lambda0).view(), lambda1);
    let bs = t.coefficients(y1.view(), lambda_scratch);
    let intercept = |b: &Array2<f64>, mx: &Array1<f64>, my: &Array1<f64>| my - &mx.dot(b);
    let unscale = |b: &Array2<f64>| b / &scale.view().insert_axis(Axis(1));
    Ok(Fit {
        lambda_source,
        lambda0,
        lambda1,
        lambda_scratch,
        lambda1_at_source_optimal,
        at_edge,
        transfer,
        scratch,
        at_source_optimal,
        source: source_error,
        gain: Estimate::of_mean(&gains),
        mismatch_cost: Estimate::of_mean(&difference(&rows(lambda_source, lambda1_at_source_optimal))),
        helps: gain > error,
        alignment: alignment(&x0, &y0, &x1, &y1, options.intercept, false)?,
        alignment_of_predictions: whitened(&s, &x0, &x1, options.intercept)
            .map(|(x0, x1)| alignment(&x0, &y0, &x1, &y1, options.intercept, true))
            .transpose()?,
        intercept_source: intercept(&b0, &mx0, &my0),
        intercept_transfer: intercept(&b1, &mx1, &my1),
        intercept_scratch: intercept(&bs, &mx1, &my1),
        beta_source: unscale(&b0),
        beta_transfer: unscale(&b1),
        beta_scratch: unscale(&bs),
    })
}

/// Both designs in coordinates in which the source's covariance is the identity. None with fewer rows than that takes.
fn whitened(source: &Loo, x0: &Array2<f64>, x1: &Array2<f64>, intercept: bool) -> Option<(Array2<f64>, Array2<f64>)> {
    let (n, p) = x0.dim();
    if source.s.len() < p || n < p + 3 + usize::from(intercept) {
        return None;
    }
    let scale: Array1<f64> = source.s.iter().map(|s| (n as f64).sqrt() / s).collect();
    let by = &source.v * &scale;
    Some((product(x0.view(), by.view()), product(x1.view(), by.view())))
}

/// Least squares on a centred design of full column rank: coefficients, (XᵀX)⁻¹ and the residual covariance of the responses.
struct LeastSquares {
    beta: Array2<f64>,
    inverse: Array2<f64>,
    noise: Array2<f64>,
}

fn least_squares(x: &Array2<f64>, y: &Array2<f64>, intercept: bool) -> Result<Option<LeastSquares>, TheoryError> {
    let free = x.nrows() as i64 - x.ncols() as i64 - i64::from(intercept);
    let loo = Loo::new(x.view(), intercept)?;
    if free < 1 || loo.s.len() < x.ncols() {
        return Ok(None);
    }
    let scaled = &loo.v / &Array1::from_vec(loo.s.clone());
    let inverse = product(scaled.view(), scaled.t());
    let beta = loo.coefficients(y.view(), 0.0);
    let e = y - &product(x.view(), beta.view());
    Ok(Some(LeastSquares { beta, inverse, noise: product(e.t(), e.view()) / free as f64 }))
}

/// tr(Ω·AᵀMB): the covariance of ⟨A, E⟩ and ⟨B, E⟩ for errors E with rows' covariance M and columns' covariance Ω.
fn covariance(omega: &Array2<f64>, a: &Array2<f64>, m: &Array2<f64>, b: &Array2<f64>) -> f64 {
    (&product(a.t(), product(m.view(), b.view()).view()) * omega).sum()
}

/// `whitened`: the features are the source's whitened ones, in which X₁ᵀy₁/n₁ is the coefficient itself.
fn alignment(
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
    let lost = f64::from(u8::from(intercept)); // the degree of freedom that centring takes
    let moment1 = product(x1.t(), y1.view()) / (n1 - lost);
    // xᵢᵀ A yᵢ for each row.
    let rows = |x: &Array2<f64>, a: &Array2<f64>, y: &Array2<f64>| (&product(x.view(), a.view()) * y).sum_axis(Axis(1));
    let ((top, bottom, var_top, var_bottom, between), freedom, method) = match (&source, &target) {
        (Some(s), Some(t)) => {
            let noise_trace = s.noise.diag().sum() * s.inverse.diag().sum();
            let cross = (&s.inverse * &t.inverse).sum() * (&s.noise * &t.noise).sum();
            let top = (&s.beta * &t.beta).sum();
            let var_top = covariance(&t.noise, &s.beta, &t.inverse, &s.beta) + covariance(&s.noise, &t.beta, &s.inverse, &t.beta) - cross;
            let bottom = (&s.beta * &s.beta).sum() - noise_trace;
            let second = (&s.inverse * &s.inverse).sum() * (&s.noise * &s.noise).sum();
            let var_bottom = 4.0 * covariance(&s.noise, &s.beta, &s.inverse, &s.beta) - 2.0 * second;
            let between = 2.0 * covariance(&s.noise, &s.beta, &s.inverse, &t.beta);
            ((top, bottom, var_top, var_bottom, between), n0.min(n1) - p - lost, Method::Coefficients)
        }
        (Some(s), None) if n0 > p + 2.0 + lost && n1 > 2.0 + lost => {
            // P: (n − p − 1)(XᵀX)⁻¹ is unbiased for Σ⁻¹.
            let precision = if whitened { Array2::eye(x0.ncols()) } else { &s.inverse * (n0 - lost - p - 1.0) };
            let along = product(precision.view(), s.beta.view());
            // ⟨β₀,β₁⟩ = a‖β₀‖² + ⟨Pβ̂₀, E x(y₁ − a·xᵀβ̂₀)⟩ + a·E δᵀPΣδ for any a, δ the noise of β̂₀ (which P knows); the slope of y₁ on
            // xᵀβ̂₀ leaves the least noise in the middle term.
            let f = product(x1.view(), s.beta.view());
            let a = (&f * y1).sum() / (&f * &f).sum();
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
            ((top, bottom, var_top, var_bottom, between), n1 - 1.0 - lost, Method::SourceCovariance)
        }
        _ => {
            // z = x yᵀ: its mean is Σβ. The U-statistic over pairs of rows is unbiased for ‖Σ₀β₀‖².
            let sum0 = product(x0.t(), y0.view());
            let own: Array1<f64> = x0.rows().into_iter().zip(y0.rows()).map(|(x, y)| x.dot(&x) * y.dot(&y)).collect();
            let pairs = (rows(x0, &sum0, y0) - own) / (n0 - 1.0); // centring makes this an O(1/n) approximation
            let (u, v) = (rows(x0, &moment1, y0), rows(x1, &(&sum0 / n0), y1));
            let bottom = pairs.sum() / n0;
            let top = u.sum() / n0;
            let error = |values: &Array1<f64>| mean_error(&values.to_vec()).1.powi(2);
            let between = u.iter().zip(&pairs).map(|(a, b)| (a - top) * (b - bottom)).sum::<f64>() / (n0 * (n0 - 1.0));
            ((top, bottom, error(&u) + error(&v), 4.0 * error(&pairs), 2.0 * between), n0.min(n1) - 1.0 - lost, Method::Marginal)
        }
    };
    let t = StudentsT::new(0.0, 1.0, freedom.max(1.0)).map_or(f64::INFINITY, |law| law.inverse_cdf(0.975));
    Ok(Alignment { rho: fieller(top, bottom, var_top.max(0.0), var_bottom.max(0.0), between, t), method })
}

/// Fieller's 95% interval of top/bottom: the ρ that `top − ρ·bottom = 0` does not contradict. Infinite bounds where bottom is not
/// told from 0. `t`: the quantile.
fn fieller(top: f64, bottom: f64, var_top: f64, var_bottom: f64, between: f64, t: f64) -> Estimate {
    let z2 = t * t;
    let a = bottom * bottom - z2 * var_bottom;
    let b = top * bottom - z2 * between;
    let c = top * top - z2 * var_top;
    let estimate = if bottom > 0.0 { top / bottom } else { f64::NAN };
    let root = b * b - a * c;
    if bottom.is_nan() || a <= 0.0 || root < 0.0 || bottom <= 0.0 {
        return Estimate { estimate, low: f64::NEG_INFINITY, high: f64::INFINITY };
    }
    Estimate { estimate, low: (b - root.sqrt()) / a, high: (b + root.sqrt()) / a }
}
