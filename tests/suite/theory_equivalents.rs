//! Deterministic equivalents, optima and boundaries, compared with closed forms, reference values
//! and simulation.

use std::sync::Arc;

use ndarray::Array2;
use transfergrid::theory::boundary::{Boundary, TransferEffect};
use transfergrid::theory::covariance::Covariance;
use transfergrid::theory::equivalent::{Design, Problem};
use transfergrid::theory::estimate::{argmin, lambda, mean_error, ratio, Argmin};
use transfergrid::theory::isotropic::Isotropic;
use transfergrid::theory::linalg::{eigen, gram_matrix};
use transfergrid::theory::optimum::{joint, source, transfer, Extreme};
use transfergrid::theory::sampler::{draw, isotropic_setup, random_direction, Sampler, Setup};
use transfergrid::theory::targets::{compromise, Objective, Target};

fn design(covariance: Covariance, n: usize, noise: f64) -> Design {
    Design::new(Arc::new(covariance), n, noise).unwrap()
}

/// w₁ = ρw₀ + o·u.
fn vectors(p: usize, rho: f64, orthogonal: f64) -> (Vec<f64>, Vec<f64>) {
    let w0 = random_direction(11, p, None);
    let u = random_direction(12, p, Some(&w0));
    let w1 = w0.iter().zip(&u).map(|(w, u)| rho * w + orthogonal * u).collect();
    (w0, w1)
}

fn problem(source: Design, target: Design, rho: f64, orthogonal: f64) -> Problem {
    let (w0, w1) = vectors(source.covariance.p(), rho, orthogonal);
    Problem::new(source, target, w0, w1).unwrap()
}

fn isotropic(p: usize, n0: usize, n1: usize, noise: f64, rho: f64) -> Problem {
    problem(design(Covariance::identity(p), n0, noise), design(Covariance::identity(p), n1, 0.3), rho, 0.4)
}

fn full(p: usize, seed: u64) -> Covariance {
    let mut rng = transfergrid::theory::sampler::random(seed, 1);
    use rand_distr::{Distribution, StandardNormal};
    let x = Array2::from_shape_simple_fn((3 * p, p), || StandardNormal.sample(&mut rng));
    Covariance::full(gram_matrix(x.view())).unwrap().normalised().unwrap()
}

#[track_caller]
fn close(a: f64, b: f64, tolerance: f64) {
    assert!((a - b).abs() <= tolerance * b.abs().max(1e-300), "{a} and {b} differ by {:.2e}", (a - b).abs() / b.abs());
}

#[test]
fn tau_solves_its_equation_on_every_side() {
    for covariance in [Covariance::identity(50), Covariance::power(50, 1.2).unwrap(), Covariance::ar1(50, 0.7).unwrap()] {
        for n in [10, 49, 50, 51, 200] {
            let design = design(covariance.clone(), n, 1.0);
            let spectrum = design.spectrum();
            for lambda in [1e-8, 1e-3, 1.0, 37.0, 1e6] {
                let tau = spectrum.tau(lambda).unwrap();
                close(lambda / tau + spectrum.df1(tau), n as f64, 1e-12);
            }
            for lambda in [1e-300, 1e-100, 1e-28, 1e20, 1e150, 1e250] {
                close(spectrum.lambda(spectrum.tau(lambda).unwrap()), lambda, if n < 50 { 1e300 } else { 1e-12 });
                assert!(spectrum.tau(lambda).unwrap().is_finite());
            }
            assert_eq!(spectrum.tau(0.0).unwrap() == 0.0, n >= 50, "ridgeless with n = {n}");
            assert!(spectrum.tau(f64::INFINITY).unwrap().is_infinite());
            if n != 50 {
                let edge = spectrum.edge();
                close(spectrum.df2(edge), n as f64, 1e-6);
                let limit = spectrum.lambda(edge);
                assert!(limit < 0.0 && spectrum.tau(1.01 * limit).is_err());
                let tau = spectrum.tau(0.5 * limit).unwrap();
                close(spectrum.lambda(tau), 0.5 * limit, 1e-9);
            }
        }
    }
}

#[test]
fn the_isotropic_forms_are_the_general_ones() {
    for (p, n0) in [(40, 20), (20, 40), (30, 30), (100, 25)] {
        for noise in [0.0, 0.1, 1.0] {
            let problem = isotropic(p, n0, 50, noise, 0.8);
            let closed = Isotropic::new(p as f64, p as f64 / n0 as f64, noise).unwrap();
            for lambda0 in [0.01, 1.0, 30.0] {
                let tau = problem.source.spectrum().tau(lambda0).unwrap();
                let x = 1.0 / (1.0 + tau);
                close(closed.lambda(x), lambda0, 1e-10);
                let prior = problem.prior(tau);
                let distance: f64 = prior.g.iter().sum();
                let w1: f64 = problem.w1.iter().map(|w| w * w).sum();
                close(distance, closed.distance2(x, 0.8) + w1, 1e-10);
            }
            for rho in [0.5, 0.8, 1.0, 1.3] {
                let problem = isotropic(p, n0, 50, noise, rho);
                let general = transfer(&problem, 2.0, false).unwrap();
                let exact = closed.optimum(rho, false).unwrap();
                assert_eq!(general.best.edge, exact.edge, "p = {p}, n₀ = {n0}, noise {noise}, ρ = {rho}");
                if exact.edge.is_none() && noise > 0.0 {
                    close(general.best.lambda, exact.lambda, 1e-8);
                }
                assert!(general.others.is_empty(), "isotropic risks have one minimum");
            }
        }
    }
}

#[test]
fn the_reference_table_holds() {
    let table = [
        (0.5, 1.0, [4.136, 1.654, 1.275, 0.797, 0.644, 0.362]),
        (1.0, 0.5, [4.538, 1.665, 1.271, 0.809, 0.671, 0.429]),
        (2.0, 0.5, [4.136, 1.654, 1.275, 0.797, 0.644, 0.362]),
        (2.0, 0.1, [10.876, 2.544, 1.597, 0.607, 0.337, 0.0]),
    ];
    for (gamma, noise, row) in table {
        let closed = Isotropic::new(1000.0, gamma, noise).unwrap();
        let problem = |rho| isotropic(1000, (1000.0 / gamma) as usize, 50, noise, rho);
        for (rho, expected) in [0.5, 0.8, 0.9, 1.1, 1.2, 1.5].into_iter().zip(row) {
            let exact = closed.optimum(rho, false).unwrap();
            assert!((exact.lambda / closed.optimum(1.0, false).unwrap().lambda - expected).abs() < 6e-4);
            assert_eq!(exact.edge == Some(Extreme::Zero), expected == 0.0);
            let problem = problem(rho);
            let ratio = transfer(&problem, 1.0, false).unwrap().best.lambda / source(&problem, false).best.lambda;
            assert!((ratio - expected).abs() < 6e-4, "γ = {gamma}, noise {noise}, ρ = {rho}: {ratio}");
        }
    }
}

#[test]
fn the_source_optimum_is_noise_times_dimension() {
    for (p, n0, noise) in [(200, 100, 0.5), (100, 200, 1.0), (50, 50, 0.2), (1000, 300, 0.03)] {
        let problem = isotropic(p, n0, 10, noise, 0.8);
        close(source(&problem, false).best.lambda, noise * p as f64, 1e-8);
        close(Isotropic::new(p as f64, p as f64 / n0 as f64, noise).unwrap().optimum(1.0, false).unwrap().lambda, noise * p as f64, 1e-8);
    }
}

#[test]
fn slopes_are_the_derivatives() {
    let problem = problem(design(full(30, 1), 20, 0.3), design(Covariance::power(30, 0.8).unwrap(), 40, 0.2), 0.7, 0.5);
    for tau0 in [0.05, 0.7, 9.0] {
        let h = 1e-5 * tau0;
        let slope = |f: &dyn Fn(f64) -> f64| (f(tau0 + h) - f(tau0 - h)) / (2.0 * h);
        close(problem.source_risk().at(tau0 + 1.0).slope, slope(&|t| problem.source_risk().at(t + 1.0).risk), 1e-6);
        close(problem.source_risk().at(tau0 + 1.0).risk, problem.source_risk().risk(tau0 + 1.0), 1e-13);
        for tau1 in [0.2, 3.0, f64::INFINITY] {
            let risk = |t: f64| problem.transfer_risk(&problem.prior(t + 1.0)).at(tau1).risk;
            close(problem.slope_in_tau0(&problem.prior(tau0 + 1.0), tau1), slope(&risk), 1e-6);
        }
    }
}

#[test]
fn rotating_the_problem_changes_nothing() {
    let p = 24;
    let turn = eigen(full(p, 5).to_matrix().view()).unwrap().vectors;
    let (d0, d1) = (Covariance::power(p, 1.0).unwrap(), Covariance::spiked(p, 3, 8.0).unwrap());
    let turned = |c: &Covariance| {
        let matrix = turn.dot(&c.to_matrix()).dot(&turn.t());
        Covariance::full((&matrix + &matrix.t()) / 2.0).unwrap()
    };
    let (w0, w1) = vectors(p, 0.6, 0.3);
    let image = |w: &[f64]| turn.dot(&ndarray::Array1::from_vec(w.to_vec())).to_vec();
    let plain = Problem::new(design(d0.clone(), 15, 0.4), design(d1.clone(), 30, 0.2), w0.clone(), w1.clone()).unwrap();
    let full = Problem::new(design(turned(&d0), 15, 0.4), design(turned(&d1), 30, 0.2), image(&w0), image(&w1)).unwrap();
    let (a, b) = (plain.risks(3.0, 2.0).unwrap(), full.risks(3.0, 2.0).unwrap());
    for (x, y) in [(a.source, b.source), (a.transfer, b.transfer), (a.scratch, b.scratch), (a.tau0, b.tau0)] {
        close(x, y, 1e-10);
    }
    let (a, b) = (joint(&plain, false), joint(&full, false));
    close(a.lambda0.best.lambda, b.lambda0.best.lambda, 1e-7);
    close(a.lambda1.lambda, b.lambda1.lambda, 1e-7);
}

#[test]
fn optima_are_below_a_fine_grid_everywhere() {
    for (rho, orthogonal, noise) in [(0.7, 0.2, 0.4), (1.4, 0.0, 0.05), (-0.5, 0.3, 0.2), (0.9, 2.0, 1.0)] {
        let problem = problem(
            design(Covariance::power(40, 1.5).unwrap(), 25, noise),
            design(Covariance::ar1(40, 0.6).unwrap(), 60, 0.3),
            rho,
            orthogonal,
        );
        let best = joint(&problem, false);
        let best_source = source(&problem, false).best;
        for i in 0..60 {
            let lambda0 = 1e-6 * 10f64.powf(i as f64 / 5.0);
            for j in 0..60 {
                let risks = problem.risks(lambda0, 1e-6 * 10f64.powf(j as f64 / 5.0)).unwrap();
                assert!(risks.transfer >= best.lambda1.risk * (1.0 - 1e-12));
                assert!(risks.source >= best_source.risk * (1.0 - 1e-12));
            }
        }
        assert_eq!(best.lambda0.best.edge == Some(Extreme::Infinite), rho < 0.0);
    }
}

#[test]
fn strongly_super_aligned_problems_want_a_negative_penalty() {
    let problem = isotropic(100, 50, 60, 0.1, 1.5);
    let bounded = transfer(&problem, 1.0, false).unwrap().best;
    assert_eq!((bounded.lambda, bounded.edge), (0.0, Some(Extreme::Zero)));
    let free = transfer(&problem, 1.0, true).unwrap().best;
    let exact = Isotropic::new(100.0, 2.0, 0.1).unwrap().optimum(1.5, true).unwrap();
    assert!(free.lambda < 0.0 && free.risk < bounded.risk);
    close(free.lambda, exact.lambda, 1e-7);
}

/// One direction matters to the target and the other does not; their best penalties differ.
#[test]
fn several_minima_are_all_told() {
    let d0: Vec<f64> = (0..60).map(|i| if i < 4 { 3000.0 } else { 0.02 }).collect();
    let source_design = design(Covariance::diagonal(d0).unwrap(), 40, 0.05);
    let target = design(Covariance::identity(60), 30, 0.1);
    let mut found = 0;
    for regularizer in [2.0, 4.0, 8.0, 16.0] {
        let w0: Vec<f64> = (0..60).map(|i| if i < 4 { 0.3 } else { regularizer * 0.01 }).collect();
        let w1: Vec<f64> = (0..60).map(|i| if i < 4 { 0.1 } else { regularizer * 0.02 }).collect();
        let problem = Problem::new(source_design.clone(), target.clone(), w0, w1).unwrap();
        let optimum = transfer(&problem, 30.0, false).unwrap();
        for other in &optimum.others {
            assert!(other.risk >= optimum.best.risk);
            found += 1;
        }
        let scan = (0..2000).map(|i| problem.risks(1e-10 * 10f64.powf(i as f64 / 100.0), 30.0).unwrap().transfer);
        assert!(scan.fold(f64::INFINITY, f64::min) >= optimum.best.risk * (1.0 - 1e-12));
    }
    assert!(found > 0, "none of these risks had a second minimum: the test has lost its subject");
}

fn setup(source: Design, target: Design, rho: f64, orthogonal: f64, lambda0: &[f64], lambda1: &[f64]) -> Setup {
    let (w0, w1) = vectors(source.covariance.p(), rho, orthogonal);
    Setup { source, target, w0, w1: vec![w1], lambda0: lambda0.to_vec(), lambda1: lambda1.to_vec() }
}

/// (prediction − mean)/standard error, and prediction/mean − 1, for every risk.
fn deviations(setup: &Setup, sampler: Sampler, draws: usize) -> Vec<(f64, f64)> {
    let problem = Problem::new(setup.source.clone(), setup.target.clone(), setup.w0.clone(), setup.w1[0].clone()).unwrap();
    let predicted = problem.grid(&setup.lambda0, &setup.lambda1).unwrap();
    let drawn = draw(setup, sampler, 5, draws, || {}).unwrap();
    let l1 = setup.lambda1.len();
    let mut out = vec![];
    for (cell, risks) in predicted.iter().enumerate() {
        let check = |values: Vec<f64>, prediction: f64| {
            let (mean, error) = mean_error(&values);
            ((prediction - mean) / error, prediction / mean - 1.0)
        };
        out.push(check(drawn.iter().map(|d| d.transfer[cell]).collect(), risks.transfer));
        if cell % l1 == 0 {
            out.push(check(drawn.iter().map(|d| d.source[cell / l1]).collect(), risks.source));
        }
        if cell < l1 {
            out.push(check(drawn.iter().map(|d| d.scratch[cell]).collect(), risks.scratch));
        }
    }
    out
}

#[test]
fn predictions_are_within_three_standard_errors_of_simulation() {
    for p in [200, 400] {
        let pairs = [
            (Covariance::power(p, 0.8).unwrap(), Covariance::identity(p)),
            (Covariance::spiked(p, 5, 10.0).unwrap(), Covariance::power(p, 0.5).unwrap()),
            (Covariance::ar1(p, 0.5).unwrap(), Covariance::power(p, 0.8).unwrap()),
            (full(p, 3), Covariance::ar1(p, -0.4).unwrap()),
        ];
        for (i, (s0, s1)) in pairs.into_iter().enumerate() {
            let n0 = [p / 2, 2 * p, p / 2, 3 * p / 2][i];
            let setup = setup(design(s0, n0, 0.4), design(s1, p / 2, 0.25), 0.7, 0.5, &[5.0, 80.0], &[3.0, 40.0]);
            let draws = if p == 200 { 400 } else { 150 };
            for (z, _) in deviations(&setup, Sampler::Direct, draws) {
                assert!(z.abs() < 3.0, "p = {p}, pair {i}: {z:.2} standard errors");
            }
            // Averaged over the noise, the simulation is precise enough to detect the equivalents'
            // own error, O(1/p): below 1% here.
            for (z, relative) in deviations(&setup, Sampler::RaoBlackwell, draws / 5) {
                assert!(z.abs() < 3.0 || relative.abs() < 0.01, "p = {p}, pair {i}: {relative:.4} of the risk, {z:.2} standard errors");
            }
        }
    }
}

#[test]
fn the_three_samplers_agree() {
    for (p, n0, n1) in [(40, 20, 60), (40, 60, 25), (30, 30, 30)] {
        let lambdas = [0.5, 8.0, 90.0];
        let identity = || Covariance::identity(p);
        let setup = setup(design(identity(), n0, 0.5), design(identity(), n1, 0.3), 0.8, 0.6, &lambdas, &[0.7, 12.0, f64::INFINITY]);
        let runs: Vec<_> = [(Sampler::Direct, 1500), (Sampler::RaoBlackwell, 600), (Sampler::Chi, 3000)]
            .into_iter()
            .map(|(sampler, draws)| draw(&setup, sampler, 9, draws, || {}).unwrap())
            .collect();
        let all = |run: &Vec<transfergrid::theory::sampler::Draw>, i: usize| -> Vec<f64> {
            run.iter().map(|d| d.source.iter().chain(&d.transfer).chain(&d.scratch).copied().nth(i).unwrap()).collect()
        };
        for i in 0..lambdas.len() + 9 + 3 {
            let estimates: Vec<(f64, f64)> = runs.iter().map(|run| mean_error(&all(run, i))).collect();
            for b in 1..3 {
                let (x, y) = (estimates[0], estimates[b]);
                let error = x.1.hypot(y.1);
                assert!((x.0 - y.0).abs() <= 3.5 * error + 1e-12, "p = {p}, n₀ = {n0}, number {i}: {x:?} and {y:?}");
            }
            // The last λ₁ is ∞: the scratch risk is ‖w₁‖² without any error.
        }
    }
}

#[test]
fn ridgeless_risks_are_exact_at_finite_size() {
    for (p, n0) in [(30, 12), (12, 30)] {
        let mut setup = isotropic_setup(p, n0, 20, 0.4, 0.2, 0.9).unwrap();
        (setup.lambda0, setup.lambda1) = (vec![0.0], vec![f64::INFINITY]);
        // λ₁ = ∞: the transfer risk is E‖β̂₀ − w₁‖² = E‖β̂₀‖² − 2⟨Eβ̂₀,w₁⟩ + ‖w₁‖².
        let (n, q) = (n0 as f64, p as f64);
        let exact = match p > n0 {
            true => n / q + 0.4 * n / (q - n - 1.0) - 2.0 * (n / q) * 0.9 + 0.81,
            false => 1.0 + 0.4 * q / (n - q - 1.0) - 2.0 * 0.9 + 0.81,
        };
        for sampler in [Sampler::Chi, Sampler::RaoBlackwell] {
            let values: Vec<f64> = draw(&setup, sampler, 2, 20_000 / p, || {}).unwrap().iter().map(|d| d.transfer[0]).collect();
            let (mean, error) = mean_error(&values);
            assert!((mean - exact).abs() < 3.5 * error, "p = {p}, {sampler:?}: {mean} ± {error}, exactly {exact}");
        }
    }
}

#[test]
fn draws_are_the_same_for_any_number_of_threads() {
    let power = || Covariance::power(20, 0.7).unwrap();
    let general = setup(design(power(), 15, 0.5), design(power(), 25, 0.3), 0.8, 0.1, &[1.0, 5.0], &[2.0]);
    let mut chi = isotropic_setup(50, 30, 40, 0.5, 0.2, 0.8).unwrap();
    (chi.lambda0, chi.lambda1) = (vec![1.0, 10.0], vec![3.0]);
    for (setup, sampler) in [(&general, Sampler::Direct), (&general, Sampler::RaoBlackwell), (&chi, Sampler::Chi)] {
        let with = |threads: usize, count| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| draw(setup, sampler, 7, count, || {}).unwrap())
        };
        let one = with(1, 12);
        assert_eq!(one, with(2, 12));
        assert_eq!(one, with(5, 12));
        assert_eq!(one[..5], with(3, 5), "and for any number of draws");
        assert_ne!(one[0], one[1]);
    }
}

#[test]
fn a_simulated_ratio_holds_the_predicted_one() {
    let mut setup = isotropic_setup(400, 200, 100, 0.5, 0.2, 0.8).unwrap();
    setup.lambda0 = (0..41).map(|i| 200.0 * 0.1 * 100f64.powf(i as f64 / 40.0)).collect();
    setup.lambda1 = vec![1.0];
    let drawn = draw(&setup, Sampler::Chi, 1, 2000, || {}).unwrap();
    let of = |pick: &dyn Fn(&transfergrid::theory::sampler::Draw) -> Vec<f64>| {
        argmin(&setup.lambda0, &drawn.iter().map(pick).collect::<Vec<_>>()).unwrap()
    };
    let (best_source, best_transfer) = (of(&|d| d.source.clone()), of(&|d| d.transfer.clone()));
    let found = ratio(&best_transfer, &best_source).unwrap();
    let exact = Isotropic::new(400.0, 2.0, 0.5).unwrap();
    let expected = exact.optimum(0.8, false).unwrap().lambda / exact.optimum(1.0, false).unwrap().lambda;
    assert!((expected - 1.654).abs() < 5e-4);
    assert!(found.contains(expected), "{found:?} and {expected}");
    assert!(found.bounds().1 - found.bounds().0 < 4.0 * 0.01 * expected, "standard error under 1%: {found:?}");
    assert!(lambda(&best_source).contains(200.0), "{:?}", lambda(&best_source));
    assert!(matches!(best_source, Argmin::Inside { .. }));
}

#[test]
fn intervals_of_simulated_ratios_cover_as_often_as_they_say() {
    let exact = Isotropic::new(1000.0, 2.0, 0.5).unwrap();
    let truth = exact.optimum(0.8, false).unwrap().lambda / exact.optimum(1.0, false).unwrap().lambda;
    let mut setup = isotropic_setup(1000, 500, 100, 0.5, 0.2, 0.8).unwrap();
    setup.lambda0 = (0..31).map(|i| 500.0 * 0.2 * 30f64.powf(f64::from(i) / 30.0)).collect();
    setup.lambda1 = vec![1.0];
    let covered = (0..200)
        .filter(|&seed| {
            let drawn = draw(&setup, Sampler::Chi, 1000 + seed, 60, || {}).unwrap();
            let of = |curves: Vec<Vec<f64>>| argmin(&setup.lambda0, &curves).unwrap();
            let source = of(drawn.iter().map(|d| d.source.clone()).collect());
            let transfer = of(drawn.iter().map(|d| d.transfer.clone()).collect());
            ratio(&transfer, &source).unwrap().contains(truth)
        })
        .count();
    assert!((180..=198).contains(&covered), "{covered} of 200 nominal 95% intervals hold the prediction");
}

#[test]
fn the_boundary_is_the_difference_of_the_risks() {
    for (rho, lambda0, lambda1) in [(0.9, 4.0, 3.0), (0.3, 0.5, 10.0), (0.55, 30.0, f64::INFINITY)] {
        let problem = problem(design(full(30, 2), 20, 0.3), design(Covariance::power(30, 1.0).unwrap(), 40, 0.2), rho, 0.5);
        let risks = problem.risks(lambda0, lambda1).unwrap();
        let boundary = Boundary::of(&problem, lambda0, lambda1).unwrap();
        assert!((boundary.full.margin - (risks.scratch - risks.transfer)).abs() < 1e-12);
        assert!(boundary.paper.margin > boundary.full.margin, "the printed condition leaves out a cost");
        assert_eq!(boundary.ridgeless, None);
    }
    // Isotropic and ridgeless: the exact threshold, for p above and below n₀, and without
    // dependence on the target.
    for (p, n0) in [(60usize, 30usize), (30, 60)] {
        let threshold = 0.5 * (1.0 + 0.2 * p as f64 / (p.abs_diff(n0) - 1) as f64);
        for n1 in [5, 500] {
            for (rho, verdict) in [(threshold - 0.01, TransferEffect::Hurts), (threshold + 0.01, TransferEffect::Helps)] {
                let boundary = Boundary::of(&isotropic(p, n0, n1, 0.2, rho), 0.0, 1.0).unwrap();
                assert_eq!(boundary.ridgeless.unwrap().verdict, verdict);
            }
        }
    }
    // λ₁ = 0 with n₁ > p: the prior is not used.
    let unused = Boundary::of(&isotropic(20, 40, 60, 0.2, 0.9), 1.0, 0.0).unwrap();
    assert_eq!((unused.full.verdict, unused.ridgeless), (TransferEffect::Neither, None));
    assert_eq!(Boundary::of(&isotropic(30, 31, 60, 0.1, 0.9), 0.0, 1.0).unwrap().ridgeless, None, "|p − n₀| ≤ 1 has no expectation");
}

#[test]
fn a_compromise_lies_between_the_targets_optima() {
    let targets: Vec<Target> = [(0.6, 1.0), (1.4, 1.0)]
        .into_iter()
        .map(|(rho, weight)| {
            let problem = isotropic(100, 50, 60, 0.5, rho);
            Target { problem, lambda1: 5.0, weight }
        })
        .collect();
    let weighted = compromise(&targets, Objective::Weighted, false).unwrap();
    let at = |k: usize| weighted.own[k].lambda;
    assert!(at(1) < weighted.lambda0.best.lambda && weighted.lambda0.best.lambda < at(0));
    // Equal weights and one Σ₁: the compromise is the optimum for the mean alignment, which here is
    // exactly the source's own.
    close(weighted.lambda0.best.lambda, 0.5 * 100.0, 1e-8);
    let regret = compromise(&targets, Objective::MaxRegret, false).unwrap();
    assert!((regret.regret[0] - regret.regret[1]).abs() < 1e-9, "min–max regret equalises two targets: {:?}", regret.regret);
    assert!(regret.regret[0] <= weighted.regret[0].max(weighted.regret[1]));
    let risk = compromise(&targets, Objective::MaxRisk, false).unwrap();
    let worst = |c: &transfergrid::theory::targets::Compromise| c.risk.iter().copied().fold(0.0, f64::max);
    assert!(worst(&risk) <= worst(&weighted) + 1e-12 && worst(&risk) <= worst(&regret) + 1e-12);
}

#[test]
fn wrong_inputs_are_refused_with_a_reason() {
    let says = |result: Result<Covariance, transfergrid::theory::TheoryError>| result.unwrap_err().to_string();
    let mut matrix = Array2::<f64>::eye(3);
    matrix[[0, 1]] = 0.5;
    assert_eq!(
        says(Covariance::full(matrix.clone())),
        "covariance: the matrix is not symmetric: row 0, column 1 is 0.5, but row 1, column 0 is 0"
    );
    matrix[[1, 0]] = 0.5;
    matrix[[2, 2]] = -1.0;
    assert!(says(Covariance::full(matrix.clone())).contains("not positive definite: its smallest eigenvalue is -1.000e0"));
    matrix[[2, 2]] = f64::NAN;
    assert!(says(Covariance::full(matrix)).contains("row 2, column 2 is NaN"));
    assert!(says(Covariance::full(Array2::zeros((2, 3)))).contains("must be square"));
    assert!(says(Covariance::ar1(3, 1.0)).contains("between −1 and 1"));
    assert!(Design::new(Arc::new(Covariance::identity(3)), 5, -0.1).is_err());
    assert!(Design::new(Arc::new(Covariance::identity(3)), 5, f64::NAN).is_err());
    assert!(Isotropic::new(10.0, 0.0, 0.1).is_err());
    let mut setup = isotropic_setup(20, 21, 40, 0.1, 0.1, 1.0).unwrap();
    setup.lambda1 = vec![1.0];
    assert!(draw(&setup, Sampler::Chi, 0, 1, || {}).unwrap_err().to_string().contains("grid is empty"));
    setup.lambda0 = vec![0.0];
    assert!(draw(&setup, Sampler::Chi, 0, 1, || {}).unwrap_err().to_string().contains("|p − n| ≤ 1"));
}
