//! The answer on constructed tables with known truth.

use std::collections::BTreeMap;

use transfergrid::config::network::OptimiserKind;
use transfergrid::config::{Regularizer, Selection, StrongerEnd};
use transfergrid::report::analysis::{
    compare_with_scratch, shared_lambda0, Advice, Answer, Answered, Bound, CellResults, CellRow, GridEnd, Guess, Method, Metric,
    OptimaComparison, OptimumKind, PenaltyLimits, Rules, ScratchComparison, Setting, SettingAnalysis, StudyAnalysis, Verdict,
};
use transfergrid::report::render::statement;

/// The answer by accuracy, which must exist.
fn answer(setting: &Setting) -> Answered {
    Answer::of(setting, Metric::Accuracy).answered().expect("an answer").clone()
}

fn comparison(answer: &Answered) -> &OptimaComparison {
    answer.comparison.as_ref().expect("several λ₀")
}

fn verdict(setting: &Setting) -> Verdict {
    comparison(&answer(setting)).verdict
}

fn rows_of(setting: &Setting) -> Vec<CellRow> {
    SettingAnalysis::new(setting.clone(), Selection::Accuracy).rows
}

/// A setting whose validation and test accuracies are functions of λ₀ (and λ₁) and the seed.
fn group(
    lambda0: &[f64],
    lambda1: &[f64],
    seeds: usize,
    source: impl Fn(f64, usize) -> f64,
    target: impl Fn(f64, f64, usize) -> f64,
    scratch: impl Fn(usize) -> f64,
) -> Setting {
    let cell = |f: &dyn Fn(usize) -> f64| CellResults {
        planned: true,
        diverged: vec![],
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
                    .into()
                })
            })
            .collect(),
    };
    Setting {
        label: None,
        regularizer: Regularizer::default(),
        alignment: CellResults::default(),
        axes: vec![],
        lambda0: lambda0.to_vec(),
        lambda1: lambda1.to_vec(),
        scratch_lambda: vec![0.0],
        seeds: (0..seeds as u64).collect(),
        source: lambda0.iter().map(|&l| cell(&|seed| source(l, seed))).collect(),
        target: lambda0.iter().map(|&l| lambda1.iter().map(|&m| cell(&|seed| target(l, m, seed))).collect()).collect(),
        scratch: vec![cell(&scratch)],
        source_guess: Guess { accuracy: 0.1, images: 1000, loss: f64::INFINITY, is_regression: false },
        target_guess: Guess { accuracy: 0.1, images: 1000, loss: f64::INFINITY, is_regression: false },
        limits: PenaltyLimits::UNBOUNDED,
        rules: Rules::default(),
        asks_gain: false,
        is_source_given: false,
        source_init: None,
        optimisers: [OptimiserKind::Sgd; 2],
        is_regression: false,
    }
}

const GRID: [f64; 6] = [0.0, 1e-4, 1e-3, 1e-2, 1e-1, 1.0];

/// A peak at 10^at. Noise depends only on the seed, so it cancels in paired comparisons.
fn peak(lambda: f64, at: f64, seed: usize) -> f64 {
    0.8 - 0.01 * ((lambda + 1e-6).log10() - at).powi(2) + 0.03 * ((seed * 7 + 3) % 5) as f64
}

#[test]
fn interior_optima_are_found_with_their_ratio_and_cost() {
    let group = group(&GRID, &[0.0, 0.1], 5, |l, s| peak(l, -3.0, s), |l, m, s| peak(l, -2.0, s) - m, |s| peak(0.1, -1.0, s) - 0.2);
    let found = answer(&group);
    assert_eq!((found.source, found.transfer), (2, (3, 0)));
    let ratio = comparison(&found).log_ratio;
    assert!((ratio.estimate - 10f64.ln()).abs() < 1e-12);
    assert_eq!(ratio.range, Some((ratio.estimate, ratio.estimate)), "noise that cancels in pairs leaves no doubt");
    assert_eq!(comparison(&found).probabilities.map(|p| p.stronger), Some(1.0));
    assert_eq!(comparison(&found).verdict, Verdict::Stronger);
    let cost = found.mismatch_cost.unwrap();
    assert!((cost.estimate - (peak(1e-2, -2.0, 0) - peak(1e-3, -2.0, 0))).abs() < 1e-12);
    assert_eq!(cost.range, None, "the same difference for every seed has no spread to judge it by");
    // With a little noise in single cells. The comparison is paired, so the level of the seeds (sd
    // 0.05) does not widen the interval.
    let own = |l: f64, s: usize| 1e-4 * transfergrid::base::stream::Stream::new(&format!("{l}"), s as u64, 0).uniform();
    let noisy = self::group(&GRID, &[0.0], 5, |l, s| peak(l, -3.0, s), |l, _, s| peak(l, -2.0, s) + own(l, s), |_| 0.1);
    let (low, high) = answer(&noisy).mismatch_cost.unwrap().range.unwrap();
    assert!(low < 0.01 && 0.01 < high && high - low < 1e-3, "{low} {high}");
    assert!(found.gain.unwrap().estimate > 0.0 && found.optima_at_ends.is_empty() && found.ties.is_empty());
    assert_eq!(Answer::of(&group, Metric::Loss).answered().unwrap().transfer, (3, 0));
}

#[test]
fn the_error_reduction_is_the_gain_as_a_share_of_the_error_from_scratch() {
    // Scratch is right in 0.60 to 0.64 of the images, transfer removes a quarter of its error, give
    // or take. The test accuracies are 0.01 below those of validation.
    let scratch = |s: usize| 0.60 + 0.01 * s as f64;
    let target = move |l: f64, _: f64, s: usize| {
        let error = 1.0 - (scratch(s) - 0.01);
        let noise = 0.002 * (s as f64 - 2.0);
        scratch(s) + 0.25 * error + noise - if l == 1e-2 { 0.0 } else { 0.1 }
    };
    let group = group(&GRID, &[0.0], 5, |l, s| peak(l, -3.0, s), target, scratch);
    let share = answer(&group).error_reduction.unwrap();
    assert!((share.estimate - 0.25).abs() < 1e-3, "{share:?}");
    let (low, high) = share.range.unwrap();
    assert!(low > 0.23 && low < 0.25 && high > 0.25 && high < 0.27, "{share:?}");
    // Two seeds 40 points apart: neither the gain nor its share has an interval, least of all an
    // infinite one.
    let far = self::group(&GRID, &[0.0], 2, |l, s| peak(l, -3.0, s), |_, _, s| 0.5 + 0.4 * s as f64, |_| 0.55);
    let far = answer(&far);
    assert_eq!((far.gain.unwrap().range, far.error_reduction.unwrap().range), (None, None));
}

#[test]
fn negative_transfer_is_seen() {
    let group =
        group(&GRID, &[0.0], 5, |l, s| peak(l, -3.0, s), |l, _, s| peak(l, -2.0, s), |s| peak(1.0, 0.0, s) + 0.05 + 0.001 * s as f64);
    let gain = answer(&group).gain.unwrap();
    assert!(gain.estimate < -0.04 && gain.range.unwrap().1 < 0.0);
}

#[test]
fn edges_are_flagged_and_zero_is_no_edge() {
    let at = |peak_at: f64, grid: &[f64]| {
        let group = group(grid, &[0.0], 3, |l, s| peak(l, peak_at, s), |l, _, s| peak(l, peak_at, s), |_| 0.1);
        answer(&group).optima_at_ends
    };
    assert_eq!(at(3.0, &GRID).len(), 2);
    let transfer = &at(3.0, &GRID)[1];
    assert_eq!((transfer.optimum, transfer.end, transfer.value), (OptimumKind::TransferLambda0, GridEnd::High, 1.0));
    assert_eq!(transfer.advice, Advice::Widen { limit: f64::INFINITY, stages: 6 });
    assert!(at(-9.0, &GRID).is_empty(), "λ₀ = 0 has nothing below it");
    let source = &at(-9.0, &GRID[1..])[0];
    assert_eq!((source.optimum, source.end, source.value), (OptimumKind::SourceLambda0, GridEnd::Low, 1e-4));
}

#[test]
fn one_seed_gives_no_interval() {
    let group = group(&GRID, &[0.0], 1, |l, s| peak(l, -3.0, s), |l, _, s| peak(l, -2.0, s), |_| 0.1);
    let found = answer(&group);
    assert_eq!(comparison(&found).probabilities.map(|p| p.stronger), None);
    let intervals = [Some(comparison(&found).log_ratio), found.mismatch_cost, found.gain];
    assert!(intervals.iter().all(|interval| interval.unwrap().range.is_none()));
}

#[test]
fn a_cell_without_a_result_for_every_seed_does_not_compete() {
    // The best λ₀ lacks seed 2; averaging over the other seeds would favour it.
    let lacking = |l: f64, s: usize| if l == 1e-2 && s == 2 { f64::NAN } else { peak(l, -2.0, s) };
    let group = group(&GRID, &[0.0], 3, |l, s| peak(l, -3.0, s), |l, _, s| lacking(l, s), |_| 0.1);
    let found = answer(&group);
    // Seeds 0 and 1 are complete and are used. With only these seeds the cell is eligible.
    assert_eq!((found.basis.seeds.len(), found.transfer), (2, (3, 0)));
    let never = |l: f64, s: usize| if l == 1e-2 { f64::NAN } else { peak(l, -2.0, s) };
    let group = self::group(&GRID, &[0.0], 3, |l, s| peak(l, -3.0, s), |l, _, s| never(l, s), |_| 0.1);
    let found = answer(&group);
    assert_eq!(found.basis.seeds.len(), 3);
    assert_ne!(found.transfer, (3, 0));
    let nothing = self::group(&GRID, &[0.0], 3, |_, _| f64::NAN, |_, _, _| f64::NAN, |_| f64::NAN);
    assert!(Answer::of(&nothing, Metric::Accuracy).answered().is_none());
}

#[test]
fn ties_are_said_and_the_smaller_is_taken() {
    let flat = |l: f64, _: usize| if l == 1e-3 || l == 1e-2 { 0.9 } else { 0.5 };
    let group = group(&GRID, &[0.0], 3, flat, |l, _, s| flat(l, s), |_| 0.1);
    let found = answer(&group);
    assert_eq!((found.source, found.transfer), (2, (2, 0)));
    assert_eq!(found.ties.len(), 2);
    assert_eq!((found.ties[0].lambda0, found.ties[0].others.as_slice()), (1e-3, &[1e-2][..]));
    // Equally good values are equal in every draw. The ratio is therefore 1 within one grid step,
    // but not exactly 1 with certainty.
    let ratio = comparison(&found).log_ratio;
    assert_eq!((ratio.estimate, comparison(&found).verdict), (0.0, Verdict::Undecided));
    let (low, high) = ratio.range.unwrap();
    assert!((low + 10f64.ln()).abs() < 1e-12 && (high - 10f64.ln()).abs() < 1e-12, "{low} {high}");
    // If the source has the maximum accuracy at several λ₀, none of them is proved to be its
    // optimum.
    let ceiling = self::group(&GRID, &[0.0], 5, |l, _| if l < 1e-1 { 1.0 } else { 0.5 }, |l, _, s| peak(l, -3.0, s), |_| 0.1);
    assert_eq!(verdict(&ceiling), Verdict::Undecided);
    // An optimum that ties with the end of the grid counts as being at the end.
    let end =
        self::group(&GRID, &[0.0], 5, |l, s| peak(l, -3.0, s), |l, _, s| if l >= 1e-1 { 0.9 } else { 0.5 + 0.01 * s as f64 }, |_| 0.1);
    let found = answer(&end);
    assert_eq!((found.transfer, comparison(&found).transfer_end), ((4, 0), Some(GridEnd::High)));
    assert_eq!(comparison(&found).log_ratio.range.unwrap().1, f64::INFINITY);
}

#[test]
fn results_that_are_still_missing_settle_nothing() {
    // Only the smallest λ₀ have targets. The source's optimum is not among them, so no order must
    // be inferred.
    let target = |l: f64, _: f64, s: usize| if l <= 1e-4 { peak(l, -2.0, s) } else { f64::NAN };
    let group = group(&GRID, &[0.0], 5, |l, s| peak(l, -2.0, s), target, |_| 0.1);
    let found = answer(&group);
    assert_eq!((found.eligible_lambda0.clone(), found.partial, comparison(&found).verdict), (vec![0, 1], true, Verdict::Undecided));
    assert!(found.source <= 1, "chosen among the λ₀ that have both");
    // The largest λ₀ diverged: the one below it is at the end of the eligible λ₀.
    let mut group = self::group(&GRID, &[0.0], 5, |l, s| peak(l, -3.0, s), |l, _, s| peak(l, 4.0, s), |_| 0.1);
    group.target[5][0].diverged = vec![0];
    let found = answer(&group);
    assert_eq!((found.transfer, comparison(&found).transfer_end, found.partial), ((4, 0), Some(GridEnd::High), false));
    // A single λ₀, and then two seeds.
    let single = self::group(&[0.1], &[0.0, 1.0], 5, |l, s| peak(l, -3.0, s), |l, _, s| peak(l, 4.0, s), |_| 0.1);
    assert!(answer(&single).comparison.is_none());
    let two = self::group(&GRID, &[0.0], 2, |l, s| peak(l, -3.0, s), |l, _, s| peak(l, -2.0, s), |_| 0.1);
    assert_eq!(verdict(&two), Verdict::Undecided);
}

#[test]
fn the_gain_is_measured_on_seeds_that_did_not_choose() {
    // For each seed, one cell is exceptionally good for this seed only, in validation and test. No
    // cell is better than training from scratch.
    let lucky = |l: f64, _: f64, s: usize| if l == GRID[s] { 0.9 } else { 0.5 };
    let group = group(&GRID, &[0.0], 5, |l, s| peak(l, -3.0, s), lucky, |s| 0.51 - 0.001 * s as f64);
    let gain = answer(&group).gain.unwrap();
    assert!(gain.estimate < 0.0, "{gain:?}: at the cell that its own seed chose it would be above 0");
}

#[test]
fn a_source_optimum_at_zero_makes_the_ratio_infinite_not_wrong() {
    let group = group(&GRID, &[0.0], 3, |l, s| peak(l, -9.0, s), |l, _, s| peak(l, -2.0, s), |_| 0.1);
    let found = answer(&group);
    assert_eq!(found.source, 0);
    assert_eq!(comparison(&found).log_ratio.estimate, f64::INFINITY);
    assert_eq!(comparison(&found).probabilities.map(|p| p.stronger), Some(1.0));
}

#[test]
fn what_diverged_for_one_seed_is_out_of_the_running_and_costs_no_seed() {
    let mut group = group(&GRID, &[0.0], 4, |l, s| peak(l, -3.0, s), |l, _, s| peak(l, -2.0, s), |_| 0.1);
    group.target[3][0].by_seed[1] = None;
    group.target[3][0].diverged = vec![1];
    let found = answer(&group);
    assert_eq!((found.basis.seeds.len(), found.transfer), (4, (2, 0)), "the next best, over all four seeds");
    // A cell that is not part of the study (zipped axes) does not count as missing either.
    group.target[4][0] = CellResults { by_seed: vec![None; 4], planned: false, diverged: vec![] };
    assert_eq!(answer(&group).basis.seeds.len(), 4);
}

#[test]
fn both_optima_at_the_same_edge_settle_nothing() {
    // Both curves rise to the end of the grid: the optima coincide only because the grid ends
    // there.
    let group = group(&GRID, &[0.0], 4, |l, s| peak(l, 3.0, s), |l, _, s| peak(l, 4.0, s), |_| 0.1);
    let found = answer(&group);
    assert_eq!((found.source, found.transfer), (5, (5, 0)));
    assert_eq!((comparison(&found).bound, comparison(&found).verdict), (Bound::Unknown, Verdict::Undecided));
    // One optimum at the end of the grid gives a bound.
    let group = self::group(&GRID, &[0.0], 4, |l, s| peak(l, -3.0, s), |l, _, s| peak(l, 4.0, s), |_| 0.1);
    let found = answer(&group);
    assert_eq!(
        (comparison(&found).bound, comparison(&found).verdict, comparison(&found).transfer_end),
        (Bound::AtLeast, Verdict::Stronger, Some(GridEnd::High))
    );
    assert_eq!(comparison(&found).log_ratio.range.unwrap().1, f64::INFINITY, "open to the side of the edge");
    let group = self::group(&GRID, &[0.0], 4, |l, s| peak(l, 4.0, s), |l, _, s| peak(l, -3.0, s), |_| 0.1);
    assert_eq!(comparison(&answer(&group)).bound, Bound::AtMost);
}

#[test]
fn of_two_peaks_the_higher_is_taken_and_the_interval_tells_of_both() {
    // 0.81 at 10⁻³ and 0.80 at 0.1. Some seeds prefer one, some the other.
    let two = |l: f64, s: usize| match l {
        1e-3 => 0.81 + 0.03 * [1.0, -1.0, 0.5, -0.5][s],
        1e-1 => 0.80 - 0.03 * [1.0, -1.0, 0.5, -0.5][s],
        _ => 0.6,
    };
    let group = group(&GRID, &[0.0], 4, |l, s| peak(l, -3.0, s), |l, _, s| two(l, s), |_| 0.1);
    let found = answer(&group);
    assert_eq!(found.transfer, (2, 0));
    assert_eq!(comparison(&found).transfer_range, Some((1e-3, 1e-1)));
    assert_eq!(comparison(&found).verdict, Verdict::Undecided);
}

#[test]
fn the_optimum_of_a_curve_lies_between_the_points() {
    let grid: Vec<f64> = (0..9).map(|k| 10f64.powf(-4.0 + 0.5 * k as f64)).collect();
    let at = |l: f64, log: f64, s: usize| 0.8 - 0.01 * (l.log10() - log).powi(2) + 0.03 * ((s * 7 + 3) % 5) as f64;
    let group = group(&grid, &[0.0], 5, |l, s| at(l, -2.6, s), |l, _, s| at(l, -1.7, s), |_| 0.1);
    let found = answer(&group);
    let found = comparison(&found);
    assert_eq!((found.method, found.verdict), (Method::Curves, Verdict::Stronger));
    assert!((found.source.log10() + 2.6).abs() < 0.03 && (found.transfer.log10() + 1.7).abs() < 0.03, "{found:?}");
    let (low, high) = found.log_ratio.range.unwrap();
    // Steps of half a decade may hide an optimum: half a step at each of the two.
    let hidden = 0.5 * 10f64.ln();
    assert!(low > 0.7 && low < 2.08 - hidden && high > 2.06 + hidden && high < 3.5, "{low} {high}");
    // On a fine grid the same curves are the same within the margin, or are not.
    let fine: Vec<f64> = (0..12).map(|k| 10f64.powf(-2.9 + 0.08 * k as f64)).collect();
    let curves = |target: f64| self::group(&fine, &[0.0], 5, |l, s| at(l, -2.6, s), move |l, _, s| at(l, target, s), |_| 0.1);
    assert_eq!(
        [-2.6, -2.58, -2.45, -2.3].map(|target| verdict(&curves(target))),
        [Verdict::Same, Verdict::Same, Verdict::Stronger, Verdict::Stronger]
    );
}

#[test]
fn zero_is_a_bound_where_it_is_better_than_any_curve() {
    let grid: Vec<f64> = std::iter::once(0.0).chain((0..8).map(|k| 10f64.powf(-4.0 + 0.5 * k as f64))).collect();
    let at = |l: f64, log: f64, s: usize| 0.8 - 0.01 * (l.log10() - log).powi(2) + 0.001 * ((s * 7 + 3) % 5) as f64;
    let rises = |l: f64, s: usize| if l == 0.0 { 0.9 } else { 0.8 - 0.02 * (l.log10() + 4.0) + 0.001 * s as f64 };
    let of = |group: Setting| {
        let found = answer(&group);
        let comparison = comparison(&found);
        (comparison.source, comparison.transfer, comparison.verdict, comparison.log_ratio.range.unwrap())
    };
    let (source, transfer, verdict, (low, high)) =
        of(group(&grid, &[0.0], 5, rises, |l, _, s| if l == 0.0 { 0.1 } else { at(l, -2.0, s) }, |_| 0.1));
    assert_eq!((source, verdict, high), (0.0, Verdict::Stronger, f64::INFINITY));
    assert!((transfer.log10() + 2.0).abs() < 0.1 && low > 0.0 && low < 2.0 * 10f64.ln() + 0.2, "{transfer} {low}");
    let (.., both) = of(group(&grid, &[0.0], 5, rises, |l, _, s| rises(l, s), |_| 0.1));
    assert_eq!(both, (f64::NEG_INFINITY, f64::INFINITY), "both are somewhere below the smallest λ₀");
}

#[test]
fn many_comparisons_are_corrected() {
    // No cell differs from scratch by more than noise. Without the correction, some of the 60 would
    // seem to.
    let grid: Vec<f64> = (0..12).map(|k| 10f64.powf(-4.0 + 0.5 * k as f64)).collect();
    let noise = |l: f64, m: f64, s: usize| 0.01 * transfergrid::base::stream::Stream::new(&format!("{l} {m}"), s as u64, 0).uniform();
    let group = group(&grid, &[0.0, 0.1, 1.0, 2.0, 3.0], 5, |l, s| noise(l, -1.0, s), noise, |s| noise(9.0, 9.0, s));
    let rows = rows_of(&group);
    assert!(rows.iter().any(|row| row.p.unwrap() < 0.05), "without the correction there would be false alarms");
    assert_eq!(compare_with_scratch(&rows), ScratchComparison { cells: 60, better: 0, worse: 0 });
    // A cell that is really better is still found.
    let better = |l: f64, m: f64, s: usize| noise(l, m, s) + if (l, m) == (grid[2], 0.1) { 0.2 } else { 0.0 };
    let found = self::group(&grid, &[0.0, 0.1, 1.0, 2.0, 3.0], 5, |l, s| noise(l, -1.0, s), better, |s| noise(9.0, 9.0, s));
    let found = rows_of(&found);
    assert_eq!(compare_with_scratch(&found), ScratchComparison { cells: 60, better: 1, worse: 0 });
    // A cell that diverged for a seed is listed, but not averaged and not tested.
    let mut group = group;
    group.target[3][0].diverged = vec![1];
    group.target[3][0].by_seed[1] = None;
    let rows = rows_of(&group);
    let row = rows.iter().find(|row| row.at == (3, 0)).unwrap();
    assert_eq!((row.diverged.as_slice(), row.test, row.gain, row.p, row.seeds), (&[1][..], None, None, None, 4));
    assert_eq!(compare_with_scratch(&rows).cells, 59);
}

#[test]
fn where_smaller_is_stronger_the_verdict_turns_and_the_ratio_does_not() {
    let build = |stronger| {
        let mut group = group(&GRID, &[0.0], 5, |l, s| peak(l, -1.0, s), |l, _, s| peak(l, -3.0, s), |s| peak(0.1, -1.0, s) - 0.2);
        group.regularizer = Regularizer { axis: "source.epochs".into(), stronger };
        answer(&group)
    };
    let (larger, smaller) = (build(StrongerEnd::Larger), build(StrongerEnd::Smaller));
    let (larger, smaller) = (comparison(&larger), comparison(&smaller));
    assert_eq!((larger.verdict, smaller.verdict), (Verdict::Weaker, Verdict::Stronger));
    assert_eq!(larger.log_ratio.estimate, smaller.log_ratio.estimate);
    let stronger = [larger, smaller].map(|c| c.probabilities.unwrap().stronger);
    assert_eq!(stronger, [0.0, 1.0]);
}

#[test]
fn one_lambda0_for_several_targets_by_mean_and_by_worst_regret() {
    // Three targets are best at 10⁻⁴ and one at 1. The smallest mean regret is at 10⁻³, the
    // smallest maximum regret at 10⁻².
    let sections = |path: &str| -> Vec<SettingAnalysis> {
        let of = |(i, at): (usize, f64)| {
            let mut group = group(&GRID, &[0.0], 5, |l, s| peak(l, -1.0, s), |l, _, s| peak(l, at, s), |s| peak(0.1, -1.0, s) - 0.2);
            group.axes = vec![(path.to_string(), serde_yaml::Value::from(i))];
            SettingAnalysis::new(group, Selection::Accuracy)
        };
        [-4.0, -4.0, -4.0, 0.0].into_iter().enumerate().map(of).collect()
    };
    let found = shared_lambda0(&sections("target.classes"), Selection::Accuracy).unwrap();
    assert_eq!(
        (GRID[found.mean_regret.at], GRID[found.worst_regret.at], GRID[found.source_optimum.as_ref().unwrap().at]),
        (1e-3, 1e-2, 1e-1)
    );
    // The cost for each target: 0.01·(distance in decades)².
    let costs: Vec<f64> = found.mean_regret.costs.iter().map(|cost| cost.estimate).collect();
    assert!(costs.iter().zip([0.01, 0.01, 0.01, 0.09]).all(|(a, b)| (a - b).abs() < 1e-3), "{costs:?}");
    assert_eq!(found.mean_regret.range, Some((1e-3, 1e-3)), "seeds shift all λ₀ alike");
    // Different sizes of one task, or settings of the source, do not count as several targets.
    for path in ["target.per_class", "source.lr"] {
        assert!(shared_lambda0(&sections(path), Selection::Accuracy).is_none());
    }
    // Rounds give each target a grid of its own: those λ₀ and seeds are compared that all have.
    let mut apart = sections("target.classes");
    let fewer = apart[0].setting.restricted(&GRID[..5], &[0, 1, 2]);
    apart[0] = SettingAnalysis::new(fewer, Selection::Accuracy);
    let common = shared_lambda0(&apart, Selection::Accuracy).unwrap();
    assert_eq!(common.lambda0, GRID[..5]);
    assert_eq!((GRID[common.mean_regret.at], GRID[common.source_optimum.unwrap().at]), (1e-3, 1e-1));
}

/// Every problem in the table of docs/report.md: what the first sentence then says, and what it
/// must not say.
#[test]
fn the_first_sentence_says_what_is_unhealthy() {
    let healthy = || group(&GRID, &[0.0, 0.1], 5, |l, s| peak(l, -3.0, s), |l, m, s| peak(l, -2.0, s) - m, |s| peak(0.1, -1.0, s) - 0.2);
    let said = |group: Setting| {
        let setting = SettingAnalysis::new(group, Selection::Accuracy);
        let analysis = StudyAnalysis {
            history: None,
            name: "constructed".into(),
            description: None,
            regularizer: Regularizer::default(),
            settings: vec![setting.clone()],
            shared_lambda0: None,
            counts: Default::default(),
            incomplete: vec![],
            made_up: false,
            withdrawn: 0,
            training: Default::default(),
        };
        (comparison(setting.answer.answered().unwrap()).verdict, statement(&analysis))
    };
    let (verdict, words) = said(healthy());
    assert!(verdict == Verdict::Stronger && words.starts_with("The transfer-optimal λ₀ is stronger"), "{words}");

    // A source at the level of guessing at the λ₀ that is best for the target: accuracy 0.78 on
    // 1000 images in five seeds.
    let mut collapsed = healthy();
    collapsed.source_guess.accuracy = 0.78;
    collapsed.source[3].by_seed.iter_mut().flatten().for_each(|metrics| {
        std::sync::Arc::make_mut(metrics).insert("test_acc".into(), 0.78);
    });
    let (verdict, words) = said(collapsed);
    assert!(verdict == Verdict::Collapsed && words.starts_with("What transfers best is a source that learned nothing"), "{words}");
    assert!(words.contains("not shown to be better than guessing"), "{words}");

    // A source whose backbone is (nearly) zero at that λ₀, whatever it predicts. A hundredth of the
    // norm at λ_S* is the limit; a network without a backbone has none that could vanish.
    for (norm, others, is_collapsed) in [(0.09, 10.0, true), (0.11, 10.0, false), (0.0, 0.0, false)] {
        let mut vanished = healthy();
        for (i, cell) in vanished.source.iter_mut().enumerate() {
            cell.by_seed.iter_mut().flatten().for_each(|metrics| {
                std::sync::Arc::make_mut(metrics).insert("distance".into(), if i == 3 { norm } else { others });
            });
        }
        let (verdict, words) = said(vanished);
        assert_eq!(verdict == Verdict::Collapsed, is_collapsed, "{words}");
        assert_eq!(words.contains("backbone is not told from zero: its norm is below 1%"), is_collapsed, "{words}");
    }

    // The same at the end of the grid. The report must not advise larger penalties at which a
    // source learns nothing.
    let mut collapsed = group(&GRID, &[0.0, 0.1], 5, |l, s| peak(l, -3.0, s), |l, m, s| peak(l, 3.0, s) - m, |s| peak(0.1, -1.0, s) - 0.2);
    let last = collapsed.source.len() - 1;
    collapsed.source_guess.accuracy = 0.5;
    collapsed.source[last].by_seed.iter_mut().flatten().for_each(|metrics| {
        std::sync::Arc::make_mut(metrics).insert("test_acc".into(), 0.5);
    });
    let (verdict, words) = said(collapsed);
    assert!(verdict == Verdict::Collapsed && words.contains("the largest of the grid") && !words.contains("widen it"), "{words}");
    assert!(words.contains("where the source is not shown to have learned anything"), "{words}");

    let mut nothing = healthy();
    nothing.source_guess.accuracy = 0.99;
    let (verdict, words) = said(nothing);
    assert!(verdict == Verdict::Undecided && words.starts_with("The source at λ_S* is not shown to be better than guessing"), "{words}");
    let mut nothing = healthy();
    nothing.target_guess.accuracy = 0.99;
    assert!(said(nothing).1.starts_with("The target at (λ₀*, λ₁*) is not shown to be better than guessing"));

    // Two seeds well above guessing. The interval over two seeds is wide, but the number of images
    // is sufficient.
    let two = group(&GRID, &[0.0], 2, |l, s| 0.5 + 0.3 * s as f64 + 0.01 * l, |l, _, s| peak(l, -2.0, s), |_| 0.5);
    let (_, words) = said(two);
    assert!(words.starts_with("Two seeds are too few") && !words.contains("guessing"), "{words}");

    // All λ₀ are equally good: the ratio must not be 0 or ∞, and no draw counts for an order.
    let flat = group(&GRID, &[0.0], 5, |_, s| 0.7 + 0.01 * s as f64, |_, _, s| 0.6 + 0.01 * s as f64, |s| 0.6 + 0.01 * s as f64);
    let (verdict, words) = said(flat);
    assert!(verdict == Verdict::Undecided && words.starts_with("Not settled, several λ₀ are equally good"), "{words}");
    assert!(words.contains("a ratio of 0 to ∞, depending on how ties are resolved") && words.contains("equal or tied in all"), "{words}");
    for never in ["less than 0.1%", "+0.00", "worth -", "worth +0.00"] {
        assert!(!words.contains(never), "{never}: {words}");
    }

    // If validation chooses λ₀* but test does not confirm the gain, the report must not call it an
    // improvement.
    let mut luck = healthy();
    luck.target[3].iter_mut().flat_map(|cell| cell.by_seed.iter_mut().flatten()).for_each(|metrics| {
        let metrics = std::sync::Arc::make_mut(metrics);
        let test = metrics["test_acc"];
        metrics.insert("test_acc".into(), test - 0.2);
    });
    let (_, words) = said(luck);
    assert!(words.contains("not shown to be worth anything: -") && !words.contains("; worth"), "{words}");

    // The explicit step allows no larger value, so there is no "widen it".
    let mut bounded = group(&GRID, &[0.0], 5, |l, s| peak(l, 3.0, s), |l, _, s| peak(l, 3.0, s), |_| 0.1);
    bounded.limits.lambda0 = 1.0;
    let (_, words) = said(bounded);
    assert!(words.contains("the largest that the explicit step allows") && !words.contains("widen it"), "{words}");
    assert!(words.contains("the explicit step allows no more than 1; `penalty.step: proximal` allows more"), "{words}");
    let mut room = group(&GRID, &[0.0], 5, |l, s| peak(l, 3.0, s), |l, _, s| peak(l, 3.0, s), |_| 0.1);
    room.limits.lambda0 = 40.0;
    let (_, words) = said(room);
    assert!(words.contains("widen it upwards, to 40 at most with the explicit step (each further value: 10 new stages)"), "{words}");
}

#[test]
fn edges_of_the_twins_grid_do_not_depend_on_the_order_in_which_it_is_written() {
    // `scratch.lambdas` in any order is arranged in ascending order; see analysis/layout.rs.
    let mut group = group(&GRID, &[0.0], 3, |l, s| peak(l, -3.0, s), |l, _, s| peak(l, -2.0, s), |_| 0.1);
    group.scratch_lambda = vec![1e-3, 1e-2, 1e-1];
    let plain = group.scratch[0].clone();
    let twin = |accuracy: f64| {
        let mut cell = plain.clone();
        cell.by_seed.iter_mut().flatten().for_each(|metrics| {
            std::sync::Arc::make_mut(metrics).insert("val_acc".into(), accuracy);
        });
        cell
    };
    group.scratch = vec![twin(0.5), twin(0.6), twin(0.4)];
    let at_end = |setting: &Setting| answer(setting).optima_at_ends.into_iter().find(|found| found.optimum == OptimumKind::ScratchLambda);
    assert_eq!(at_end(&group), None);
    group.scratch = vec![twin(0.7), twin(0.6), twin(0.4)];
    let found = at_end(&group).unwrap();
    assert_eq!((found.axis.as_str(), found.end, found.value), ("scratch.lambdas", GridEnd::Low, 1e-3));
}
