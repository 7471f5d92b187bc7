//! How often 95% intervals hold the truth, over simulated tables whose truth is known. `cargo test --release --test coverage -- --nocapture`
//! prints the table of docs/report.md.

use std::collections::BTreeMap;

use rand_distr::StandardNormal;
use transfergrid::config::Selection;
use transfergrid::plan::Stream;
use transfergrid::report::{Answer, Cell, Group};

const TABLES: u64 = 200;
/// Half decades from 10⁻⁴ to 1.
const POINTS: usize = 9;

/// True mean accuracies by λ₀ (position on the grid): of the source, and of the target with its best λ₁.
struct Shape {
    name: &'static str,
    source: fn(f64) -> f64,
    target: fn(f64) -> f64,
    /// Where they are highest, between the grid's points; none where they are no parabolas.
    vertices: Option<(f64, f64)>,
}

const SHAPES: [Shape; 3] = [
    Shape {
        name: "sharp peaks",
        source: |k| 0.8 - 0.004 * (k - 3.2).powi(2),
        target: |k| 0.7 - 0.004 * (k - 5.4).powi(2),
        vertices: Some((3.2, 5.4)),
    },
    Shape {
        name: "flat peaks",
        source: |k| 0.8 - 0.0007 * (k - 3.2).powi(2),
        target: |k| 0.7 - 0.0007 * (k - 5.4).powi(2),
        vertices: Some((3.2, 5.4)),
    },
    // Accuracy creeps up with λ₀ and then falls off, as in CIFAR-10: the worst case, since noise can only err to one side.
    Shape {
        name: "a cliff",
        source: |k| 0.8 + 0.002 * k - 0.02 * (k - 5.0).max(0.0).powi(2),
        target: |k| 0.7 + 0.002 * k - 0.02 * (k - 4.0).max(0.0).powi(2),
        vertices: None,
    },
];

/// What a seed does: to all cells alike, along λ₀, and to each cell by itself.
const LEVEL: f64 = 0.03;
const TILT: f64 = 0.01;
const OWN: f64 = 0.005;

fn table(shape: &Shape, seeds: usize, number: u64) -> Group {
    let mut stream = Stream::new("coverage", seeds as u64, number);
    let mut normal = || -> f64 { stream.sample(&StandardNormal) };
    let mut cells = |truth: fn(f64) -> f64, drop: f64| -> Vec<Cell> {
        let seeds: Vec<(f64, f64)> = (0..seeds).map(|_| (LEVEL * normal(), TILT * normal())).collect();
        (0..POINTS)
            .map(|k| {
                let by_seed = seeds.iter().map(|(level, tilt)| {
                    let mean = truth(k as f64) - drop + level + tilt * (k as f64 - 4.0) / 4.0 + OWN * normal();
                    // Validation and test images differ.
                    let (val, test) = (mean + 0.3 * OWN * normal(), mean + 0.3 * OWN * normal());
                    Some(BTreeMap::from([
                        ("val_acc".into(), val),
                        ("test_acc".into(), test),
                        ("val_loss".into(), 1.0 - val),
                        ("test_loss".into(), 1.0 - test),
                    ]))
                });
                Cell { by_seed: by_seed.collect(), planned: true, diverged: vec![] }
            })
            .collect()
    };
    let source = cells(shape.source, 0.0);
    let (best, worse) = (cells(shape.target, 0.0), cells(shape.target, 0.05));
    Group {
        axes: vec![],
        lambda0: (0..POINTS).map(lambda).collect(),
        lambda1: vec![0.0, 1.0],
        scratch_lambda: vec![0.0],
        seeds: (0..seeds as u64).collect(),
        source,
        target: best.into_iter().zip(worse).map(|(a, b)| vec![a, b]).collect(),
        scratch: vec![Cell { by_seed: vec![None; seeds], planned: false, diverged: vec![] }],
    }
}

fn lambda(k: usize) -> f64 {
    10f64.powf(-4.0 + 0.5 * k as f64)
}

fn highest(truth: fn(f64) -> f64) -> usize {
    (0..POINTS).fold(0, |top, k| if truth(k as f64) > truth(top as f64) { k } else { top })
}

/// Shares of tables whose interval holds the truth: λ_S*, λ₀*, their ratio, the smoothed ratio, and the cost at the chosen optima.
fn coverage(shape: &Shape, seeds: usize) -> [Option<f64>; 5] {
    let (s, t) = (highest(shape.source), highest(shape.target));
    let holds =
        |range: Option<(f64, f64)>, truth: f64| range.map(|(low, high)| low <= truth * (1.0 + 1e-9) && truth * (1.0 - 1e-9) <= high);
    let mut hits: [Vec<bool>; 5] = Default::default();
    for number in 0..TABLES {
        let answer = Answer::of(&table(shape, seeds, number), Selection::Accuracy);
        hits[0].extend(holds(answer.source_range, lambda(s)));
        hits[1].extend(holds(answer.transfer_range, lambda(t)));
        hits[2].extend(holds(answer.log_ratio.and_then(|r| r.range).map(|(l, h)| (l.exp(), h.exp())), lambda(t) / lambda(s)));
        if let (Some((a, b)), Some(smooth)) = (shape.vertices, answer.smooth) {
            hits[3].extend(holds(smooth.log_ratio.range.map(|(l, h)| (l.exp(), h.exp())), 10f64.powf(0.5 * (b - a))));
        }
        if let (Some(i), Some((j, _)), Some((low, high))) = (answer.source, answer.transfer, answer.mismatch_cost.and_then(|c| c.range)) {
            let truth = (shape.target)(j as f64) - (shape.target)(i as f64);
            hits[4].extend((i != j).then_some(low <= truth && truth <= high));
        }
    }
    hits.map(|h| (!h.is_empty()).then(|| h.iter().filter(|hit| **hit).count() as f64 / h.len() as f64))
}

#[test]
fn intervals_hold_the_truth_as_often_as_they_say() {
    eprintln!("| true curves | seeds | λ_S* | λ₀* | λ₀*/λ_S* | smoothed ratio | cost |\n|---|---|---|---|---|---|---|");
    for shape in &SHAPES {
        for seeds in [3, 5, 10] {
            let found = coverage(shape, seeds);
            let cells: Vec<String> = found.iter().map(|c| c.map_or("–".into(), |c| format!("{:.1}%", 100.0 * c))).collect();
            eprintln!("| {} | {seeds} | {} |", shape.name, cells.join(" | "));
            // 200 tables: the standard error of 95% is 1.5%.
            assert!(found.iter().flatten().all(|c| *c >= 0.90), "{} {seeds}: {found:?}", shape.name);
            // Not by being as wide as the grid: where the grid's steps do not decide, they cover no more than they claim.
            if shape.name == "flat peaks" && seeds == 5 {
                assert!(found.iter().flatten().all(|c| *c <= 0.99), "{found:?}");
            }
        }
    }
}
