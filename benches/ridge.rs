//! This program's part of the benchmark in benches/theory.py. Prints one line of JSON.
//!
//! usage: ridge_bench path FOLDER | equivalent | chi | figure DRAWS

use std::sync::Arc;
use std::time::Instant;

use ndarray::{Array1, Array2};
use ndarray_npy::read_npy;
use transfergrid::theory::covariance::Covariance;
use transfergrid::theory::equivalent::{Design, Problem};
use transfergrid::theory::estimate::{argmin, mean_error, Argmin};
use transfergrid::theory::ridge::Reduction;
use transfergrid::theory::sampler::{draw, isotropic_setup, random_direction, Sampler};

/// Calls `f` repeatedly until a tenth of a second has passed, in several rounds. Returns the
/// seconds per call of the fastest round.
fn fastest(mut f: impl FnMut()) -> f64 {
    f();
    (0..5)
        .map(|_| {
            let (started, mut calls) = (Instant::now(), 0);
            while started.elapsed().as_secs_f64() < 0.1 {
                f();
                calls += 1;
            }
            started.elapsed().as_secs_f64() / f64::from(calls)
        })
        .fold(f64::INFINITY, f64::min)
}

/// ‖β̂(λ) − w‖² for 50 λ, from X (n × p), y and w.
fn path(folder: &str) {
    let read1 = |name: &str| -> Array1<f64> { read_npy(format!("{folder}/{name}.npy")).expect("the array that theory.py wrote") };
    let x: Array2<f64> = read_npy(format!("{folder}/x.npy")).expect("the design that theory.py wrote");
    let (y, w, lambdas) = (read1("y"), read1("w"), read1("lambdas").to_vec());
    let zero = Array1::zeros(x.ncols());
    let started = Instant::now();
    let risks = Reduction::new(x.view()).expect("finite numbers").squared_errors(y.view(), zero.view(), w.view(), &lambdas);
    println!("{{\"seconds\": {}, \"risks\": {risks:?}}}", started.elapsed().as_secs_f64());
}

/// Time of one (λ₀, λ₁) evaluation at p = 1000. The diagonal case computes everything, including
/// two roots. The full case computes only the root of λ₁ and the risk; the prior from λ₀ is
/// computed before.
fn equivalent() {
    let p = 1000;
    let (w0, w1) = (random_direction(1, p, None), random_direction(2, p, None));
    let problem = |s0: Covariance, s1: Covariance| {
        let design = |c: Covariance, n| Design::new(Arc::new(c), n, 0.3).expect("in range");
        Problem::new(design(s0, 500), design(s1, 400), w0.clone(), w1.clone()).expect("in range")
    };
    let diagonal = problem(Covariance::power(p, 0.8).expect("in range"), Covariance::power(p, 0.4).expect("in range"));
    let mut sum = 0.0;
    let whole = fastest(|| sum += diagonal.risks(30.0, 20.0).expect("in range").transfer);
    let full = problem(Covariance::ar1(p, 0.5).expect("in range"), Covariance::power(p, 0.8).expect("in range"));
    let prior = full.prior(full.source.spectrum().tau(30.0).expect("in range"));
    let cell = fastest(|| {
        let tau1 = full.target.spectrum().tau(20.0).expect("in range");
        sum += full.transfer_risk(&prior).risk(tau1);
    });
    println!("{{\"diagonal_microseconds\": {}, \"full_cell_microseconds\": {}, \"check\": {}}}", 1e6 * whole, 1e6 * cell, sum.is_finite());
}

/// Seconds per draw of the chi model at p = 10⁴ with 50 λ, on one core, and the peak memory of the
/// process.
fn chi() {
    let p = 10_000;
    let mut setup = isotropic_setup(p, p / 2, p / 4, 0.5, 0.3, 0.8).expect("in range");
    setup.lambda0 = (0..50).map(|i| 10.0 * 1.2f64.powi(i)).collect();
    setup.lambda1 = vec![100.0];
    let started = Instant::now();
    let draws = draw(&setup, Sampler::Chi, 1, 100, || {}).expect("in range");
    let seconds = started.elapsed().as_secs_f64() / draws.len() as f64;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).map_or("unknown", str::trim);
    println!("{{\"seconds_per_draw\": {seconds}, \"peak_memory\": \"{peak}\"}}");
}

/// The whole of Figure 1 (3 settings × 21 ρ, 41 λ, p = 400): its time in seconds, and the largest
/// standard error of log(λ₀*/λ_S*) among ratios above 0.1.
fn figure(draws: usize) {
    let started = Instant::now();
    let rhos: Vec<f64> = (0..21).map(|i| 0.5 + 0.05 * f64::from(i)).collect();
    let (mut worst, mut ratios) = (0.0f64, vec![]);
    for (gamma, noise) in [(2.0, 0.5), (2.0, 0.1), (0.5, 0.5)] {
        let mut setup = isotropic_setup(400, (400.0 / gamma) as usize, 200, noise, 0.5, 1.0).expect("in range");
        setup.w1 = rhos.iter().map(|rho| setup.w0.iter().map(|w| rho * w).collect()).collect();
        setup.lambda0 = (0..41).map(|i| 2.0 * 2000f64.powf(f64::from(i) / 40.0)).collect();
        setup.lambda1 = vec![f64::INFINITY];
        let drawn = draw(&setup, Sampler::Chi, 1, draws, || {}).expect("in range");
        let source: Vec<Vec<f64>> = drawn.iter().map(|d| d.source.clone()).collect();
        let Some(Argmin::Inside { log_lambda: s, influence: si, .. }) = argmin(&setup.lambda0, &source) else { continue };
        for k in 0..rhos.len() {
            let curves: Vec<Vec<f64>> = drawn.iter().map(|d| d.transfer[41 * k..41 * (k + 1)].to_vec()).collect();
            let Some(Argmin::Inside { log_lambda: t, influence: ti, .. }) = argmin(&setup.lambda0, &curves) else { continue };
            let shares: Vec<f64> = ti.iter().zip(&si).map(|(a, b)| a - b).collect();
            if (t - s).exp() > 0.1 {
                worst = worst.max(mean_error(&shares).1);
            }
            ratios.push((t - s).exp());
        }
    }
    println!("{{\"seconds\": {}, \"largest_error\": {worst}, \"ratios\": {ratios:?}}}", started.elapsed().as_secs_f64());
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["path", folder] => path(folder),
        ["equivalent"] => equivalent(),
        ["chi"] => chi(),
        ["figure", draws] => figure(draws.parse().expect("a number of draws")),
        _ => eprintln!("usage: ridge_bench path FOLDER | equivalent | chi | figure DRAWS"),
    }
}
