//! How often intervals hold the truth and verdicts are right, over simulated studies with known
//! optima. `cargo test --release --test suite coverage:: -- --ignored --nocapture` prints the
//! tables of docs/report.md (about ten minutes); the tests run a part of them.

use std::collections::BTreeMap;

use rand_distr::StandardNormal;
use transfergrid::base::stream::Stream;
use transfergrid::config::network::OptimiserKind;
use transfergrid::config::Regularizer;
use transfergrid::report::analysis::{Answer, CellResults, Guess, Metric, PenaltyLimits, Rules, Setting, Verdict};

/// A true mean curve: the score at z = ln(λ₀/optimum), with its maximum at z = 0.
pub type Curve = fn(f64) -> f64;

/// The curves that a pilot on CIFAR-10 measured (nine λ₀, five seeds, six draws for each source):
/// a + b/(1 + e^{−(x − c)/d}) − e^{e + f(x − g)}, and beyond the peak a fall that ends at guessing.
fn pilot(p: [f64; 7], peak: f64, fall: f64, z: f64) -> f64 {
    let at = |x: f64| p[0] + p[1] / (1.0 + (-(x - p[2]) / p[3].exp()).exp()) - (p[4] + p[5].exp() * (x - p[6])).min(9.0).exp();
    let (top, y) = (at(peak), at(z + peak));
    if z > 0.0 {
        top - fall * (1.0 - (-(top - y).max(0.0) / fall).exp())
    } else {
        y
    }
}

/// Accuracies in points.
fn source_accuracy(z: f64) -> f64 {
    pilot([57.7835, 5.7964, -4.3163, -0.51225, 1.23089, 0.57316, -3.21888], -3.83, 44.0, z)
}

fn target_accuracy(z: f64) -> f64 {
    pilot([53.4051, 2.56729, -4.31651, -0.67856, -0.37026, 1.08813, -3.21888], -3.555, 25.0, z)
}

/// Minus the loss, in nats. The target's is nearly a kink.
fn source_loss(z: f64) -> f64 {
    pilot([-2.43577, 1.86007, -5.26228, -0.10431, -1.08028, -0.05393, -3.21888], -3.5525, 1.2, z)
}

fn target_loss(z: f64) -> f64 {
    pilot([-2.37023, 106.16062, 3.96318, 0.39781, -4.20472, 2.03115, -3.21888], -2.99, 0.6, z)
}

fn sharp(z: f64) -> f64 {
    -2.08 * z * z
}

fn flat(z: f64) -> f64 {
    -0.35 * z * z / (1.0 + 0.1 * z * z)
}

/// Flat down to λ₀ = 0.
fn plateau(z: f64) -> f64 {
    -(2.0 * (z - 1.2)).min(3.0).exp()
}

fn bimodal(z: f64) -> f64 {
    2.5 * (-0.5 * (z / 0.45).powi(2)).exp() + 2.4 * (-0.5 * ((z + 1.6) / 0.45).powi(2)).exp()
}

#[derive(Clone, Copy)]
pub struct Shape {
    pub name: &'static str,
    pub source: Curve,
    pub target: Curve,
    pub metric: Metric,
    /// Where the source's optimum is on the grid: 0 its middle, ±1 its ends.
    pub place: f64,
    /// ln of the grid's steps.
    step: f64,
    /// The best λ₀ is 0: any λ₀ on the plateau is as good.
    falls: bool,
}

const SQRT2: f64 = std::f64::consts::LN_2 / 2.0;
const HALF_DECADE: f64 = std::f64::consts::LN_10 / 2.0;

const fn shape(name: &'static str, source: Curve, target: Curve) -> Shape {
    Shape { name, source, target, metric: Metric::Accuracy, place: 0.0, step: SQRT2, falls: false }
}

pub const SHAPES: [Shape; 10] = [
    shape("sharp", sharp, sharp),
    shape("flat", flat, flat),
    shape("CIFAR-10 accuracy", source_accuracy, target_accuracy),
    Shape { metric: Metric::Loss, ..shape("CIFAR-10 loss", source_loss, target_loss) },
    Shape { falls: true, ..shape("plateau", plateau, plateau) },
    shape("bimodal", bimodal, bimodal),
    Shape { place: 1.0, ..shape("both at the end", sharp, sharp) },
    shape("sharp → CIFAR-10 accuracy", sharp, target_accuracy),
    Shape { step: HALF_DECADE, ..shape("CIFAR-10 accuracy, half decades", source_accuracy, target_accuracy) },
    Shape { step: HALF_DECADE, metric: Metric::Loss, ..shape("CIFAR-10 loss, half decades", source_loss, target_loss) },
];

const POINTS: usize = 9;

/// A study with the pilot's noise: of a seed on all cells, along ln λ₀, and of each model; a
/// target's falls with the number of draws. Scores are fractions, or nats for the loss.
struct Simulated {
    setting: Setting,
    /// ln of the true optima.
    source: f64,
    target: f64,
    /// True scores of the trained λ₀ of the target.
    truth: Vec<f64>,
}

/// Two equally good λ₁, so that the choice is among many cells.
const TWO: [f64; 2] = [0.0, 1.0];
/// With six or more, the best λ₁ is that of a smooth curve.
const SEVEN: [f64; 7] = [1e-4, 1e-3, 1e-2, 3e-2, 1e-1, 1.0, 10.0];

/// What a λ₁ costs at x = ln λ₀, in units of the score: of two nothing, of more a parabola whose
/// maximum moves with λ₀.
fn of_lambda1(all: &[f64], lambda1: f64, x: f64) -> f64 {
    match all.len() {
        2 => 0.0,
        _ => -0.1 * (lambda1.ln() + 2.3 + 0.5 * (x + 4.0)).powi(2),
    }
}

fn simulated(shape: &Shape, ratio: f64, (seeds, draws): (usize, usize), lambda1: &[f64], number: u64) -> Simulated {
    let mut stream = Stream::new(&format!("coverage/{}/{ratio}/{draws}", shape.name), seeds as u64, number);
    let middle = (POINTS - 1) as f64 / 2.0;
    let x: Vec<f64> = (0..POINTS).map(|k| -4.0 + shape.step * (k as f64 - middle)).collect();
    let source = -4.0 + shape.step * (shape.place * middle + stream.uniform() - 0.5);
    let target = source + ratio.ln();
    let mut normal = || -> f64 { stream.sample(&StandardNormal) };
    let is_accuracy = shape.metric == Metric::Accuracy;
    let (own_source, own_target, tilts) = match is_accuracy {
        true => (0.235, (0.1f64.powi(2) + 0.95f64.powi(2) / draws as f64).sqrt(), (0.12, 0.2)),
        false => (0.01, (0.1f64.powi(2) + 0.26f64.powi(2) / draws as f64).sqrt(), (0.01, 0.09)),
    };
    // Level and slope of each seed's source and target; the slopes are correlated (0.8).
    let effects: Vec<[f64; 4]> = (0..seeds)
        .map(|_| {
            let (level, tilt, other) = (normal(), normal(), normal());
            [level, 2.0 * normal() + level, tilts.0 * tilt, tilts.1 * (0.8 * tilt + 0.6 * other)]
        })
        .collect();
    let (scale, base) = if is_accuracy { (0.01, 0.6) } else { (1.0, 0.0) };
    let mut cell = |score: f64, own: f64, effect: &dyn Fn(&[f64; 4]) -> f64| -> CellResults {
        let by_seed = effects.iter().map(|of_seed| {
            let mean = score + effect(of_seed) + own * normal();
            // Validation and test images have separate noise.
            let (validation, test) = (base + scale * mean, base + scale * (mean + 0.3 * own * normal()));
            // Whatever the loss, the models are better than guessing.
            let accuracies = if is_accuracy { (validation, test) } else { (0.6, 0.6) };
            let metrics = [("val_acc", accuracies.0), ("test_acc", accuracies.1), ("val_loss", -validation), ("test_loss", -test)];
            Some(BTreeMap::from(metrics.map(|(name, value)| (name.to_string(), value))).into())
        });
        CellResults { by_seed: by_seed.collect(), planned: true, diverged: vec![] }
    };
    let truth: Vec<f64> = x.iter().map(|x| (shape.target)(x - target)).collect();
    let best = truth.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let setting = Setting {
        axes: vec![],
        label: None,
        regularizer: Regularizer::default(),
        alignment: CellResults::default(),
        lambda0: x.iter().map(|x| x.exp()).collect(),
        lambda1: lambda1.to_vec(),
        scratch_lambda: vec![0.0],
        seeds: (0..seeds as u64).collect(),
        source: x.iter().map(|x| cell((shape.source)(x - source), own_source, &|e| e[0] + e[2] * (x + 4.0))).collect(),
        target: x
            .iter()
            .zip(&truth)
            .map(|(x, score)| {
                let at = |l: &f64| cell(*score + of_lambda1(lambda1, *l, *x), own_target, &|e| e[1] + e[3] * (x + 4.0));
                lambda1.iter().map(at).collect()
            })
            .collect(),
        // As good as the best transfer: any gain above 0 is due to chance.
        scratch: vec![cell(best, own_target, &|e| e[1])],
        source_guess: Guess { accuracy: 0.1, images: 1000, loss: f64::INFINITY, is_regression: false },
        target_guess: Guess { accuracy: 0.1, images: 1000, loss: f64::INFINITY, is_regression: false },
        limits: PenaltyLimits::UNBOUNDED,
        rules: Rules::default(),
        asks_gain: false,
        is_source_given: false,
        source_init: None,
        optimisers: [OptimiserKind::Sgd; 2],
        is_regression: false,
    };
    Simulated { setting, source, target, truth: truth.iter().map(|score| scale * (score - best)).collect() }
}

/// Over all studies of one kind. Rates are shares of the studies.
#[derive(Debug, Default)]
struct Found {
    source_held: f64,
    target_held: f64,
    ratio_held: f64,
    /// Median of the largest factor between the ends of the ratio's interval; infinite if open.
    width: f64,
    stronger: f64,
    weaker: f64,
    same: f64,
    gain_held: f64,
    /// The interval of the gain lies above the truth.
    too_good: f64,
    /// The interval of the cost lies above the most that any λ₀ can cost.
    cost_too_high: f64,
}

fn found(shape: &Shape, ratio: f64, seeds: usize, draws: usize, studies: u64) -> Found {
    found_with(shape, ratio, (seeds, draws), &TWO, studies)
}

fn found_with(shape: &Shape, ratio: f64, size: (usize, usize), lambda1: &[f64], studies: u64) -> Found {
    let mut sum = Found::default();
    let mut widths = vec![];
    let one = 1.0 / studies as f64;
    for number in 0..studies {
        let Simulated { setting, source, target, truth } = simulated(shape, ratio, size, lambda1, number);
        let answer = Answer::of(&setting, shape.metric);
        let answer = answer.answered().expect("all cells have results");
        let comparison = answer.comparison.as_ref().expect("several λ₀");
        let (first, last) = (setting.lambda0[0], setting.lambda0[POINTS - 1]);
        // An optimum beyond the grid is held by an interval that reaches its end.
        let holds = |range: Option<(f64, f64)>, at: f64| {
            let (low, high) = range.expect("several seeds");
            let at = if shape.falls { first } else { at.exp().clamp(first, last) };
            low <= at * (1.0 + 1e-9) && at * (1.0 - 1e-9) <= high
        };
        let log_ratio = comparison.log_ratio.range.expect("several seeds");
        sum.source_held += one * f64::from(holds(comparison.source_range, source));
        sum.target_held += one * f64::from(holds(comparison.transfer_range, target));
        sum.ratio_held += one * f64::from(log_ratio.0 <= ratio.ln() && ratio.ln() <= log_ratio.1);
        widths.push((log_ratio.1 - log_ratio.0).exp());
        sum.stronger += one * f64::from(comparison.verdict == Verdict::Stronger);
        sum.weaker += one * f64::from(comparison.verdict == Verdict::Weaker);
        sum.same += one * f64::from(comparison.verdict == Verdict::Same);
        let worst = truth.iter().copied().fold(0.0, f64::min);
        if let Some((low, high)) = answer.gain.and_then(|gain| gain.range) {
            let of_choice = truth[answer.transfer.0];
            sum.gain_held += one * f64::from(low <= of_choice && of_choice <= high);
            sum.too_good += one * f64::from(low > 0.0);
        }
        sum.cost_too_high += one * f64::from(answer.mismatch_cost.and_then(|cost| cost.range).is_some_and(|(low, _)| low > -worst));
    }
    widths.sort_by(f64::total_cmp);
    Found { width: widths[widths.len() / 2], ..sum }
}

fn percent(share: f64) -> String {
    format!("{:.0}%", 100.0 * share)
}

#[test]
fn intervals_hold_the_truth_and_verdicts_are_right() {
    for shape in &SHAPES {
        for (ratio, seeds) in [(1.0, 3), (1.0, 10), (2.0, 5)] {
            let found = found(shape, ratio, seeds, 4, 60);
            let what = format!("{} {ratio} {seeds}: {found:?}", shape.name);
            // With 60 studies a rate of 95% has a standard error of 2.8%, one of 5% too.
            assert!(found.ratio_held >= 0.88, "{what}");
            assert!(found.weaker <= 0.08 && (ratio > 1.0 || found.stronger <= 0.12), "{what}");
            assert!(found.too_good <= 0.12 && found.cost_too_high <= 0.12, "{what}");
            assert!(ratio < 1.6 || found.same == 0.0, "{what}");
        }
    }
    // They are not right because they say nothing.
    assert!(found(&SHAPES[0], 2.0, 5, 4, 40).stronger >= 0.9);
    let fine = Shape { step: 0.15, ..SHAPES[0] };
    assert!(found(&fine, 1.0, 10, 16, 40).same >= 0.5);
    assert!(found(&SHAPES[2], 2.0, 10, 4, 40).stronger >= 0.5);
}

#[test]
fn a_curve_over_seven_lambda1_is_as_right_as_two_equal_ones() {
    for shape in [&SHAPES[0], &SHAPES[2]] {
        for ratio in [1.0, 2.0] {
            let found = found_with(shape, ratio, (5, 4), &SEVEN, 40);
            let what = format!("{} {ratio}: {found:?}", shape.name);
            assert!(found.ratio_held >= 0.88 && found.weaker <= 0.08, "{what}");
            assert!(if ratio > 1.0 { found.stronger >= 0.5 } else { found.stronger <= 0.12 }, "{what}");
        }
    }
}

#[test]
#[ignore = "minutes: prints the tables of docs/report.md"]
fn tables() {
    eprintln!("| true curves | seeds | draws | λ_S* held | λ₀* | ratio | false order | width at 1 | settled at 1.3 | at 2 | same at 1 | gain too good |");
    eprintln!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    for shape in &SHAPES {
        for (seeds, draws) in [(3, 1), (3, 4), (5, 4), (10, 4), (20, 4), (5, 1), (5, 16)] {
            let [one, third, two] = [1.0, 1.3, 2.0].map(|ratio| found(shape, ratio, seeds, draws, 200));
            let width = if one.width.is_finite() { format!("{:.1}", one.width) } else { "open".into() };
            let cells = [
                percent(one.source_held),
                percent(one.target_held),
                percent(one.ratio_held.min(third.ratio_held).min(two.ratio_held)),
                percent((one.stronger + one.weaker).max(third.weaker).max(two.weaker)),
                width,
                percent(third.stronger),
                percent(two.stronger),
                percent(one.same),
                percent(one.too_good),
            ];
            eprintln!("| {} | {seeds} | {draws} | {} |", shape.name, cells.join(" | "));
        }
    }
}
