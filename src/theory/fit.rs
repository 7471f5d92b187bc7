//! Chooses λ for given data by exact leave-one-out on the target (and, for comparison, on the
//! source), and estimates the alignment.
//!
//! Model: `y = α + Xβ + ε` for source and target. Each has its own intercept, which is not
//! penalised. Columns of both designs are divided by their standard deviation *in the source*, so
//! that β₀ and β₁ are in the same units. After that, λ is in the units of docs/theory.md. λ₁ is
//! chosen for ridge on the residual `r = y₁ − X₁β̂₀(λ₀)` by leave-one-out without a refit
//! ([`super::loo`]). This is exact because nothing of the target is used to scale it. λ = ∞ and
//! λ = 0 are candidates like all others.
//!
//! A verdict on whether transfer helps is given only where the data support one: see [`Doubt`].

use super::alignment::{alignment, whitened, Alignment};
use super::estimate::{interval_from_error, mean_error};
use super::linalg::product;
use super::loo::{Loo, LooMinimum, Response};
use super::ridge::centre;
use super::TheoryError;
use ndarray::{Array1, Array2, ArrayView1, Axis};
use transfergrid_base::interval::Interval;

/// A design (n × p) with its responses (n × k).
#[derive(Debug, Clone)]
pub struct FitData {
    pub x: Array2<f64>,
    pub y: Array2<f64>,
}

/// The options of a fit.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Divide every column by its standard deviation in the source.
    pub standardise: bool,
    /// Fit an intercept that is not penalised.
    pub intercept: bool,
}

/// A fit: penalties, errors, alignment and coefficients, in the units of the data. Every penalty is
/// from 0 to ∞, both included. λ₁ = ∞ is the source estimate as it is, λ₀ = ∞ is no source at all,
/// and 0 is least squares.
#[derive(Debug, Clone)]
pub struct Fit {
    /// λ_S by leave-one-out on the source, λ₀ and λ₁ by leave-one-out on the target.
    pub lambda_source: f64,
    pub lambda0: f64,
    pub lambda1: f64,
    /// λ₁ of the from-scratch fit, and of transfer from the source-optimal λ₀.
    pub lambda_scratch: f64,
    pub lambda1_at_source_optimal: f64,
    /// Mean squared leave-one-out errors on the target, over rows and responses, in the responses'
    /// units squared.
    pub transfer: f64,
    pub scratch: f64,
    pub at_source_optimal: f64,
    /// The same on the source, at λ_S.
    pub source: f64,
    /// scratch − transfer and at_source_optimal − transfer, paired by row.
    pub gain: Interval,
    pub mismatch_cost: Interval,
    /// 1 − transfer/scratch, and at_source_optimal/transfer − 1, with each response in units of its
    /// own standard deviation.
    pub gain_share: Interval,
    pub cost_share: Interval,
    /// Whether the gain is more than one standard error above 0 (the one-standard-error rule of
    /// Breiman et al. 1984).
    pub helps: bool,
    /// Why there is no verdict on `helps`, if there is none.
    pub doubt: Option<Doubt>,
    /// Columns whose units or outliers differ between the two tasks.
    pub mismatched: Vec<Mismatch>,
    pub alignment: Alignment,
    /// The alignment of the predictions: ⟨β₀,β₁⟩_Σ/‖β₀‖²_Σ with Σ the source's covariance. This is
    /// ρ in whitened features. Collinear features make coefficients uncertain, but not predictions.
    /// None where the source has too few rows for whitening.
    pub alignment_of_predictions: Option<Alignment>,
    /// Coefficients (p × k) and k intercepts, in the units of the data: source at λ₀, transfer,
    /// from scratch.
    pub beta_source: Array2<f64>,
    pub beta_transfer: Array2<f64>,
    pub beta_scratch: Array2<f64>,
    pub intercept_source: Array1<f64>,
    pub intercept_transfer: Array1<f64>,
    pub intercept_scratch: Array1<f64>,
}

/// Why there is no verdict on whether transfer helps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Doubt {
    /// The from-scratch fit is exact up to rounding: there is nothing to gain.
    Exact,
    /// Without this row (counted from 0) of one of the tables, the gain would leave its interval or
    /// the verdict would change. `without` is the gain without the row.
    OneRow { of_source: bool, row: usize, without: f64 },
    /// The same for this many rows together. They are few, and have nearly all of a column, of a
    /// response or of the errors.
    FewRows { of_source: bool, count: usize, without: f64 },
    /// The interval of the gain extends beyond the whole error.
    BeyondWhole,
}

/// A column that differs between the tasks by more than a change of task explains. Columns are
/// numbered with the features first, then the responses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mismatch {
    /// Its standard deviation in the target is this many times the source's.
    Spread { column: usize, factor: f64 },
    /// One row of one of the tables has nearly all of the column's sum of squares.
    Row { column: usize, of_source: bool, row: usize },
    /// It is constant in the target, so nothing is learnt about it there.
    Constant { column: usize },
}

impl Mismatch {
    /// Whether a feature (one of the first `p` columns) differs so much that the search itself
    /// would lose digits.
    pub fn is_extreme(&self, p: usize) -> bool {
        matches!(self, Mismatch::Spread { column, factor } if *column < p && !(1.0 / MOST_SPREAD..=MOST_SPREAD).contains(factor))
    }
}

/// A spread differs where it is more than this many times larger or smaller.
pub const SPREAD: f64 = 10.0;
const MOST_SPREAD: f64 = 1e8;
/// Above this share, a row has nearly all of a column or of the errors.
const NEARLY_ALL: f64 = 0.9;
const HALF: f64 = 0.5;
/// At most this many sets of rows are each left out, to see whether one decides the verdict.
const SUSPECTS: usize = 12;
/// A share of the error below this is printed as 0.0%, that is, as no gain.
const LEAST_GAIN: f64 = 5e-4;
/// Errors below this share of the response's variance are rounding.
const EXACT: f64 = 1e-20;
/// Below this standard deviation, squares underflow.
const LEAST_SPREAD: f64 = 1e-100;

/// Whether values are constant up to rounding: they differ by at most 10⁻¹³ of the largest.
pub fn is_constant(values: ArrayView1<f64>) -> bool {
    let (low, high) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(*v), high.max(*v)));
    high - low <= 1e-13 * low.abs().max(high.abs())
}

/// Standard deviation, computed without overflow or underflow.
fn spread(values: ArrayView1<f64>) -> f64 {
    let mean = values.mean().unwrap_or(0.0);
    let size = values.iter().fold(0.0f64, |size, v| size.max((v - mean).abs()));
    if size == 0.0 {
        return 0.0;
    }
    size * (values.iter().map(|v| ((v - mean) / size).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
}

/// Both tasks as they are fitted: scaled, and centred if there is an intercept.
struct Prepared {
    x0: Array2<f64>,
    y0: Array2<f64>,
    x1: Array2<f64>,
    y1: Array2<f64>,
    /// Means of the scaled features and of the responses of each task.
    mean_x0: Array1<f64>,
    mean_y0: Array1<f64>,
    mean_x1: Array1<f64>,
    mean_y1: Array1<f64>,
    scale: Array1<f64>,
    source: Loo,
    target: Loo,
}

impl Prepared {
    fn new(source: &FitData, target: &FitData, options: Options) -> Result<Prepared, TheoryError> {
        let p = source.x.ncols();
        // Scales come from the source alone.
        let scale = match options.standardise {
            true => source.x.columns().into_iter().map(spread).collect(),
            false => Array1::ones(p),
        };
        let prepare = |data: &FitData| {
            let (mut x, mut y) = (&data.x / &scale, data.y.clone());
            let (mx, my) = match options.intercept {
                true => (centre(&mut x), centre(&mut y)),
                false => (Array1::zeros(p), Array1::zeros(y.ncols())),
            };
            // Centring leaves only rounding of a constant column.
            let constant = |column: &usize| options.intercept && is_constant(data.x.column(*column));
            (0..p).filter(constant).for_each(|column| x.column_mut(column).fill(0.0));
            (x, y, mx, my)
        };
        let (x0, y0, mean_x0, mean_y0) = prepare(source);
        let (x1, y1, mean_x1, mean_y1) = prepare(target);
        let about = |about: &'static str| move |error: TheoryError| TheoryError { about, ..error };
        let (source, target) = (
            Loo::new(x0.view(), options.intercept).map_err(about("source"))?,
            Loo::new(x1.view(), options.intercept).map_err(about("target"))?,
        );
        Ok(Prepared { x0, y0, x1, y1, mean_x0, mean_y0, mean_x1, mean_y1, scale, source, target })
    }

    /// The target's responses minus the source's predictions at λ₀.
    fn residual(&self, lambda0: f64) -> Array2<f64> {
        &self.y1 - &product(self.x1.view(), self.source.coefficients(self.y0.view(), lambda0).view())
    }
}

/// One over each response's variance, so that the units of a response do not matter.
fn weights(y: &Array2<f64>) -> Array1<f64> {
    y.columns().into_iter().map(|column| 1.0 / (column.dot(&column) / column.len() as f64)).collect()
}

/// The chosen penalties, and the target's squared errors in each row, averaged over responses in
/// units of their variance.
struct FittedPenalties {
    source: LooMinimum,
    lambda0: f64,
    transfer: LooMinimum,
    at_source_optimal: LooMinimum,
    scratch: LooMinimum,
    /// Errors (n × responses) of transfer, of transfer from λ_S, and from scratch.
    errors: [Array2<f64>; 3],
    rows: [Vec<f64>; 3],
}

fn choose(prepared: &Prepared) -> Result<FittedPenalties, TheoryError> {
    let (of_source, of_target) = (weights(&prepared.y0), weights(&prepared.y1));
    let at = |lambda0: f64| {
        let residual = prepared.residual(lambda0);
        prepared.target.response(residual.view()).search(&of_target)
    };
    let source = prepared.source.response(prepared.y0.view()).search(&of_source);
    let own = prepared.target.response(prepared.y1.view());
    let scratch = own.search(&of_target);
    let lambda0 = prepared.source.search_over(|lambda0| at(lambda0).loss).lambda;
    let (transfer, at_source_optimal) = (at(lambda0), at(source.lambda));
    if ![source.loss, scratch.loss, transfer.loss, at_source_optimal.loss].iter().all(|loss| loss.is_finite()) {
        return Err(TheoryError::new("design", "has leave-one-out errors that are not finite numbers: choose other units"));
    }
    let errors = |lambda0: f64, lambda1: f64| {
        let residual = prepared.residual(lambda0);
        let response: Response = prepared.target.response(residual.view());
        response.errors(lambda1)
    };
    let errors = [errors(lambda0, transfer.lambda), errors(source.lambda, at_source_optimal.lambda), own.errors(scratch.lambda)];
    let rows = errors.each_ref().map(|e| ((e * e).dot(&of_target) / e.ncols() as f64).to_vec());
    Ok(FittedPenalties { source, lambda0, transfer, at_source_optimal, scratch, errors, rows })
}

/// 1 − mean(better)/mean(worse) over rows, with a t interval. The standard error is that of a
/// ratio: the standard error of the mean of better − (1 − share)·worse, divided by mean(worse).
/// That mean is 0.
fn share(worse: &[f64], better: &[f64]) -> (Interval, f64) {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let share = if worse == better { 0.0 } else { 1.0 - mean(better) / mean(worse) };
    let rest: Vec<f64> = worse.iter().zip(better).map(|(w, b)| b - (1.0 - share) * w).collect();
    let error = mean_error(&rest).1 / mean(worse);
    (interval_from_error(share, error, worse.len()), error)
}

/// The mean difference of the squared errors of two fits, paired by row, with its t interval.
/// Responses are in their own units.
fn difference(worse: &Array2<f64>, better: &Array2<f64>) -> Interval {
    let by_row = |e: &Array2<f64>| -> Vec<f64> { e.rows().into_iter().map(|row| row.dot(&row) / row.len() as f64).collect() };
    let differences: Vec<f64> = by_row(worse).iter().zip(by_row(better)).map(|(w, b)| w - b).collect();
    let (mean, error) = mean_error(&differences);
    interval_from_error(mean, error, differences.len())
}

fn mean_square(e: &Array2<f64>) -> f64 {
    e.iter().map(|v| v * v).sum::<f64>() / e.len() as f64
}

/// Chooses the penalties and estimates the alignment.
///
/// # Errors
/// Designs of different shapes, fewer than three rows, entries that are not finite, a constant
/// response, a response that varies by less than 1e-100, a column that is constant in the source,
/// or a column whose spread differs between the tasks by more than eight orders of magnitude. Also
/// leave-one-out errors that are not finite.
pub fn fit(source: &FitData, target: &FitData, options: Options) -> Result<Fit, TheoryError> {
    check(source, target)?;
    let mismatched = mismatches(source, target);
    let p = source.x.ncols();
    if let Some(Mismatch::Spread { column, factor }) = mismatched.iter().find(|mismatch| mismatch.is_extreme(p)) {
        return Err(TheoryError::new("target", format!("column {} is spread {factor:.1e} times as widely as in the source", column + 1)));
    }
    let prepared = Prepared::new(source, target, options)?;
    let chosen = choose(&prepared)?;
    let [transfer, at_source_optimal, scratch] = &chosen.errors;
    let (gain_share, error) = share(&chosen.rows[2], &chosen.rows[0]);
    let (cost, _) = share(&chosen.rows[1], &chosen.rows[0]);
    // at_source_optimal/transfer − 1 = s/(1 − s) for s = 1 − transfer/at_source_optimal. Where the
    // interval of s reaches 1, the cost has no upper bound.
    let cost_share = cost.map(|s| if s < 1.0 { s / (1.0 - s) } else { f64::INFINITY });
    let helps = helps_by(gain_share.estimate, error, &chosen);
    let doubt = doubt(source, target, options, &chosen, gain_share, helps)?;

    let p = &prepared;
    let b0 = p.source.coefficients(p.y0.view(), chosen.lambda0);
    let b1 = &b0 + &p.target.coefficients(p.residual(chosen.lambda0).view(), chosen.transfer.lambda);
    let bs = p.target.coefficients(p.y1.view(), chosen.scratch.lambda);
    let intercept = |b: &Array2<f64>, mx: &Array1<f64>, my: &Array1<f64>| my - &mx.dot(b);
    let unscale = |b: &Array2<f64>| b / &p.scale.view().insert_axis(Axis(1));
    Ok(Fit {
        lambda_source: chosen.source.lambda,
        lambda0: chosen.lambda0,
        lambda1: chosen.transfer.lambda,
        lambda_scratch: chosen.scratch.lambda,
        lambda1_at_source_optimal: chosen.at_source_optimal.lambda,
        transfer: mean_square(transfer),
        scratch: mean_square(scratch),
        at_source_optimal: mean_square(at_source_optimal),
        source: mean_square(&p.source.response(p.y0.view()).errors(chosen.source.lambda)),
        gain: difference(scratch, transfer),
        mismatch_cost: difference(at_source_optimal, transfer),
        gain_share,
        cost_share,
        helps,
        doubt,
        mismatched,
        alignment: alignment(&p.x0, &p.y0, &p.x1, &p.y1, options.intercept, false)?,
        alignment_of_predictions: whitened(&p.source, &p.x0, &p.x1, options.intercept)
            .map(|(x0, x1)| alignment(&x0, &p.y0, &x1, &p.y1, options.intercept, true))
            .transpose()?,
        intercept_source: intercept(&b0, &p.mean_x0, &p.mean_y0),
        intercept_transfer: intercept(&b1, &p.mean_x1, &p.mean_y1),
        intercept_scratch: intercept(&bs, &p.mean_x1, &p.mean_y1),
        beta_source: unscale(&b0),
        beta_transfer: unscale(&b1),
        beta_scratch: unscale(&bs),
    })
}

fn check(source: &FitData, target: &FitData) -> Result<(), TheoryError> {
    if target.x.ncols() != source.x.ncols() || source.y.ncols() != target.y.ncols() {
        return Err(TheoryError::new("design", "source and target differ in their numbers of features or responses"));
    }
    for (about, data) in [("source", source), ("target", target)] {
        if data.x.nrows() != data.y.nrows() || data.x.nrows() < 3 {
            return Err(TheoryError::new(about, "needs a response for each row, and at least 3 rows"));
        }
        if data.x.iter().chain(&data.y).any(|v| !v.is_finite()) {
            return Err(TheoryError::new(about, "has entries that are not finite"));
        }
        for (k, response) in data.y.columns().into_iter().enumerate() {
            if is_constant(response) {
                return Err(TheoryError::new(about, format!("response {} is constant: there is nothing to learn", k + 1)));
            }
            if spread(response) < LEAST_SPREAD {
                return Err(TheoryError::new(about, format!("response {} varies by less than 1e-100: choose other units", k + 1)));
            }
        }
    }
    match (0..source.x.ncols()).find(|&j| is_constant(source.x.column(j))) {
        Some(j) => Err(TheoryError::new("source", format!("column {} is constant", j + 1))),
        None => Ok(()),
    }
}

/// Whether transfer helps: the gain is more than one standard error, is not printed as 0.0%, and λ₀
/// is finite.
fn helps_by(share: f64, error: f64, chosen: &FittedPenalties) -> bool {
    share > error && share >= LEAST_GAIN && chosen.lambda0.is_finite()
}

/// Columns (features, then responses) whose units or outliers differ between the tasks.
pub fn mismatches(source: &FitData, target: &FitData) -> Vec<Mismatch> {
    let mut found = vec![];
    let columns = |data: &FitData| data.x.columns().into_iter().chain(data.y.columns()).map(|column| column.to_vec()).collect::<Vec<_>>();
    for (column, (own, other)) in columns(source).iter().zip(&columns(target)).enumerate() {
        let (own, other) = (ArrayView1::from(own), ArrayView1::from(other));
        if is_constant(other) {
            found.push(Mismatch::Constant { column });
            continue;
        }
        let factor = spread(other) / spread(own);
        if !(1.0 / SPREAD..=SPREAD).contains(&factor) {
            found.push(Mismatch::Spread { column, factor });
            continue;
        }
        let [of_source, of_target] = [own, other].map(|values| largest_share(&squares(values)));
        for (own, other, of_source) in [(of_source, of_target, true), (of_target, of_source, false)] {
            if own.1 > NEARLY_ALL && other.1 < HALF {
                found.push(Mismatch::Row { column, of_source, row: own.0 });
            }
        }
    }
    found
}

/// Squared distances from the median, in units of the largest. Outliers do not move the median.
fn squares(values: ArrayView1<f64>) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let median = sorted[sorted.len() / 2];
    let size = values.iter().fold(f64::MIN_POSITIVE, |size, v| size.max((v - median).abs()));
    values.iter().map(|v| ((v - median) / size).powi(2)).collect()
}

/// The row with the largest value, and its share of the sum.
fn largest_share(values: &[f64]) -> (usize, f64) {
    let (row, most) = values.iter().enumerate().fold((0, 0.0), |best, (i, v)| if *v > best.1 { (i, *v) } else { best });
    let sum: f64 = values.iter().sum();
    (row, if sum > 0.0 { most / sum } else { 0.0 })
}

/// The fewest rows with nearly all of the sum of these values, largest first. None where they are
/// more than a twentieth of all rows (and more than two), because then they are typical of such
/// data.
fn few_rows(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    let (sum, mut so_far) = (values.iter().sum::<f64>(), 0.0);
    let enough = order.iter().position(|&i| {
        so_far += values[i];
        so_far > NEARLY_ALL * sum
    });
    match enough.map(|last| last + 1).filter(|&count| count <= (values.len() / 20).max(2)) {
        Some(count) => order[..count].to_vec(),
        None => vec![],
    }
}

/// Sets of rows that could decide the verdict, each with whether it is of the source's table.
fn suspects(source: &FitData, target: &FitData, chosen: &FittedPenalties) -> Vec<(bool, Vec<usize>)> {
    let differences: Vec<f64> = chosen.rows[2].iter().zip(&chosen.rows[0]).map(|(s, t)| (s - t).abs()).collect();
    let mut all: Vec<(bool, Vec<usize>)> = vec![];
    for values in [&differences, &chosen.rows[2]] {
        let (row, share) = largest_share(values);
        all.extend((share > HALF).then(|| (false, vec![row])));
        all.push((false, few_rows(values)));
    }
    for (of_source, data) in [(false, target), (true, source)] {
        for values in data.y.columns().into_iter().chain(data.x.columns()) {
            let rows = few_rows(&squares(values));
            // A rare category affects only its own rows. An outlier also affects the scale of all
            // others.
            let rest: Array1<f64> = values.iter().enumerate().filter(|(i, _)| !rows.contains(i)).map(|(_, v)| *v).collect();
            if !is_constant(rest.view()) {
                all.push((of_source, rows));
            }
        }
    }
    let mut found: Vec<(bool, Vec<usize>)> = vec![];
    for (of_source, mut rows) in all {
        rows.sort_unstable();
        if !rows.is_empty() && !found.contains(&(of_source, rows.clone())) {
            found.push((of_source, rows));
        }
    }
    // There can be many sets, for example of columns that are nearly all 0. The sets beyond the
    // limit are merged into one per table, unless that has too many rows.
    let others = found.split_off(found.len().min(SUSPECTS));
    for (of_source, data) in [(false, target), (true, source)] {
        let mut rows: Vec<usize> = others.iter().filter(|other| other.0 == of_source).flat_map(|other| other.1.clone()).collect();
        rows.sort_unstable();
        rows.dedup();
        if !rows.is_empty() && rows.len() <= (data.x.nrows() / 20).max(2) {
            found.push((of_source, rows));
        }
    }
    found
}

/// Why there is no verdict, if there is none. Rows that could decide are left out, and all
/// penalties are chosen again.
fn doubt(
    source: &FitData,
    target: &FitData,
    options: Options,
    chosen: &FittedPenalties,
    gain: Interval,
    helps: bool,
) -> Result<Option<Doubt>, TheoryError> {
    if chosen.scratch.loss <= EXACT {
        return Ok(Some(Doubt::Exact));
    }
    for (of_source, rows) in suspects(source, target, chosen) {
        let left = |data: &FitData, out: bool| -> FitData {
            let rows: Vec<usize> = (0..data.x.nrows()).filter(|i| !(out && rows.contains(i))).collect();
            FitData { x: data.x.select(Axis(0), &rows), y: data.y.select(Axis(0), &rows) }
        };
        let (mut s, mut t) = (left(source, of_source), left(target, !of_source));
        let varies: Vec<usize> = (0..s.x.ncols()).filter(|&j| !is_constant(s.x.column(j))).collect();
        if varies.len() < s.x.ncols() {
            (s.x, t.x) = (s.x.select(Axis(1), &varies), t.x.select(Axis(1), &varies));
        }
        // If nothing can be fitted without these rows, they decide too.
        let without = match check(&s, &t).and_then(|()| choose(&Prepared::new(&s, &t, options)?)) {
            Ok(other) => {
                let (share, error) = share(&other.rows[2], &other.rows[0]);
                let inside = gain.contains(share.estimate) || (share.estimate - gain.estimate).abs() < LEAST_GAIN;
                let agrees = helps == helps_by(share.estimate, error, &other);
                (!(inside && agrees)).then_some(share.estimate)
            }
            Err(_) => Some(f64::NAN),
        };
        if let Some(without) = without {
            return Ok(Some(match rows.as_slice() {
                &[row] => Doubt::OneRow { of_source, row, without },
                _ => Doubt::FewRows { of_source, count: rows.len(), without },
            }));
        }
    }
    Ok((gain.bounds().1 > 1.0).then_some(Doubt::BeyondWhole))
}
