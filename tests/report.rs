//! The answer on constructed tables whose truth is known.

use std::collections::BTreeMap;

use transfergrid::config::Selection;
use transfergrid::report::{Answer, Cell, Group};

/// A group whose validation and test accuracies are given by functions of λ₀ (and λ₁) and the seed.
fn group(
    lambda0: &[f64],
    lambda1: &[f64],
    seeds: usize,
    source: impl Fn(f64, usize) -> f64,
    target: impl Fn(f64, f64, usize) -> f64,
    scratch: impl Fn(usize) -> f64,
) -> Group {
    let cell = |f: &dyn Fn(usize) -> f64| Cell {
        planned: true,
        diverged: false,
        by_seed: (0..seeds)
            .map(|seed| {
                let accuracy = f(seed);
                accuracy.is_finite().then(|| {
                    BTreeMap::from([
                        ("val_acc".to_string(), accuracy),
                        ("test_acc".into(), accuracy - 0.01),
                        ("val_loss".into(), 1.0 - accuracy),
                        ("test_loss".into(), 1.1 - accuracy),
                    ])
                })
            })
            .collect(),
    };
    Group {
        axes: vec![],
        lambda0: lambda0.to_vec(),
        lambda1: lambda1.to_vec(),
        scratch_lambda: vec![0.0],
        seeds: (0..seeds as u64).collect(),
        source: lambda0.iter().map(|&l| cell(&|seed| source(l, seed))).collect(),
        target: lambda0.iter().map(|&l| lambda1.iter().map(|&m| cell(&|seed| target(l, m, seed))).collect()).collect(),
        scratch: vec![cell(&scratch)],
    }
}

const GRID: [f64; 6] = [0.0, 1e-4, 1e-3, 1e-2, 1e-1, 1.0];

/// A peak at 10^at, flat noise by seed only (so it cancels in paired comparisons).
fn peak(lambda: f64, at: f64, seed: usize) -> f64 {
    0.8 - 0.01 * ((lambda + 1e-6).log10() - at).powi(2) + 0.03 * ((seed * 7 + 3) % 5) as f64
}

#[test]
fn interior_optima_are_found_with_their_ratio_and_cost() {
    let group = group(&GRID, &[0.0, 0.1], 5, |l, s| peak(l, -3.0, s), |l, m, s| peak(l, -2.0, s) - m, |s| peak(0.1, -1.0, s) - 0.2);
    let answer = Answer::of(&group, Selection::Accuracy);
    assert_eq!((answer.source, answer.transfer), (Some(2), Some((3, 0))));
    let ratio = answer.log_ratio.unwrap();
    assert!((ratio.estimate - 10f64.ln()).abs() < 1e-12);
    assert_eq!(ratio.range, Some((ratio.estimate, ratio.estimate)), "noise that cancels in pairs leaves no doubt");
    assert_eq!(answer.probability_stronger, Some(1.0));
    let cost = answer.mismatch_cost.unwrap();
    assert!((cost.estimate - (peak(1e-2, -2.0, 0) - peak(1e-3, -2.0, 0))).abs() < 1e-12);
    let (low, high) = cost.range.unwrap();
    assert!(high - low < 1e-12, "paired: the seeds' own level does not widen it");
    assert!(answer.gain.unwrap().estimate > 0.0 && answer.edges.is_empty() && answer.ties.is_empty());
    assert_eq!(Answer::of(&group, Selection::Loss).transfer, Some((3, 0)));
}

#[test]
fn negative_transfer_is_seen() {
    let group = group(&GRID, &[0.0], 5, |l, s| peak(l, -3.0, s), |l, _, s| peak(l, -2.0, s), |s| peak(1.0, 0.0, s) + 0.05);
    let gain = Answer::of(&group, Selection::Accuracy).gain.unwrap();
    assert!(gain.estimate < -0.04 && gain.range.unwrap().1 < 0.0);
}

#[test]
fn edges_are_flagged_and_zero_is_no_edge() {
    let at = |peak_at: f64, grid: &[f64]| {
        let group = group(grid, &[0.0], 3, |l, s| peak(l, peak_at, s), |l, _, s| peak(l, peak_at, s), |_| 0.1);
        Answer::of(&group, Selection::Accuracy).edges
    };
    assert_eq!(at(3.0, &GRID).len(), 2);
    assert!(at(3.0, &GRID)[1].contains("the transfer-optimal λ₀ is the largest lambda0 of the grid (1): widen it upwards"));
    assert!(at(-9.0, &GRID).is_empty(), "λ₀ = 0 has nothing below it");
    assert!(at(-9.0, &GRID[1..])[0].contains("smallest lambda0 of the grid (1e-4): widen it downwards"));
}

#[test]
fn one_seed_gives_no_interval() {
    let group = group(&GRID, &[0.0], 1, |l, s| peak(l, -3.0, s), |l, _, s| peak(l, -2.0, s), |_| 0.1);
    let answer = Answer::of(&group, Selection::Accuracy);
    assert_eq!(answer.probability_stronger, None);
    assert!([answer.log_ratio, answer.mismatch_cost, answer.gain].iter().all(|interval| interval.unwrap().range.is_none()));
}

#[test]
fn a_cell_without_a_result_for_every_seed_does_not_compete() {
    // The best λ₀ lacks seed 2; averaging the others would favour it.
    let lacking = |l: f64, s: usize| if l == 1e-2 && s == 2 { f64::NAN } else { peak(l, -2.0, s) };
    let group = group(&GRID, &[0.0], 3, |l, s| peak(l, -3.0, s), |l, _, s| lacking(l, s), |_| 0.1);
    let answer = Answer::of(&group, Selection::Accuracy);
    // Seeds 0 and 1 are complete and are used; with only those the cell competes.
    assert_eq!((answer.seeds.len(), answer.transfer), (2, Some((3, 0))));
    let never = |l: f64, s: usize| if l == 1e-2 { f64::NAN } else { peak(l, -2.0, s) };
    let group = self::group(&GRID, &[0.0], 3, |l, s| peak(l, -3.0, s), |l, _, s| never(l, s), |_| 0.1);
    let answer = Answer::of(&group, Selection::Accuracy);
    assert_eq!(answer.seeds.len(), 3);
    assert_ne!(answer.transfer, Some((3, 0)));
    let nothing = self::group(&GRID, &[0.0], 3, |_, _| f64::NAN, |_, _, _| f64::NAN, |_| f64::NAN);
    let answer = Answer::of(&nothing, Selection::Accuracy);
    assert!(answer.source.is_none() && answer.transfer.is_none() && answer.log_ratio.is_none() && answer.gain.is_none());
}

#[test]
fn ties_are_said_and_the_smaller_is_taken() {
    let flat = |l: f64, _: usize| if l == 1e-3 || l == 1e-2 { 0.9 } else { 0.5 };
    let group = group(&GRID, &[0.0], 3, flat, |l, _, s| flat(l, s), |_| 0.1);
    let answer = Answer::of(&group, Selection::Accuracy);
    assert_eq!((answer.source, answer.transfer), (Some(2), Some((2, 0))));
    assert_eq!(answer.ties.len(), 2);
    assert!(answer.ties[0].contains("0.001 ties with 0.01"));
    assert_eq!(answer.log_ratio.unwrap().estimate, 0.0);
}

#[test]
fn a_source_optimum_at_zero_makes_the_ratio_infinite_not_wrong() {
    let group = group(&GRID, &[0.0], 3, |l, s| peak(l, -9.0, s), |l, _, s| peak(l, -2.0, s), |_| 0.1);
    let answer = Answer::of(&group, Selection::Accuracy);
    assert_eq!(answer.source, Some(0));
    assert_eq!(answer.log_ratio.unwrap().estimate, f64::INFINITY);
    assert_eq!(answer.probability_stronger, Some(1.0));
}

#[test]
fn what_diverged_for_one_seed_is_out_of_the_running_and_costs_no_seed() {
    let mut group = group(&GRID, &[0.0], 4, |l, s| peak(l, -3.0, s), |l, _, s| peak(l, -2.0, s), |_| 0.1);
    group.target[3][0].by_seed[1] = None;
    group.target[3][0].diverged = true;
    let answer = Answer::of(&group, Selection::Accuracy);
    assert_eq!((answer.seeds.len(), answer.transfer), (4, Some((2, 0))), "the next best, over all four seeds");
    // A cell that the study never asks for (zipped axes) is not missing either.
    group.target[4][0] = Cell { by_seed: vec![None; 4], planned: false, diverged: false };
    assert_eq!(Answer::of(&group, Selection::Accuracy).seeds.len(), 4);
}
