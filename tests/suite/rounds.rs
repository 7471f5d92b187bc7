//! `sweep --until settled`: the same rounds however they are run, and how often they end with a
//! wrong verdict.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::common::*;
use crate::coverage::{Shape, SHAPES};
use rand_distr::StandardNormal;
use transfergrid::base::stream::Stream;
use transfergrid::config::{Overrides, Study};
use transfergrid::plan::{Cost, StageKind};
use transfergrid::report::analysis::{Metric, Verdict};
use transfergrid::settle::{Outlook, Replay};
use transfergrid::store::{Record, Records, Status, RECORD_VERSION};

/// Of the mock engine: the source is best at 10⁻³, the target at 10⁻².
const STUDY: &str = "\
name: rounds
data: digits
seeds: 4
lambda0: [0, {log: {from: 1e-5, to: 1, points: 6}}]
lambda1: [0, 0.01, 0.1]
model: {kind: mlp, hidden: [16]}
source: {classes: [0, 1, 2], per_class: 20, epochs: 4, batch_size: 16, lr: 0.1}
target: {classes: [5, 6, 7], per_class: 5, epochs: 3, batch_size: 8, lr: 0.05}
";

fn study(folder: &Path, text: &str) -> PathBuf {
    write(folder, "rounds.yaml", text)
}

fn until(study: &Path, out: &Path, more: &[&str]) -> std::process::Command {
    sweep(study, out, &[&["--engine", "mock", "--until", "settled"], more].concat())
}

fn summary(out: &Path) -> serde_json::Value {
    json(&std::fs::read_to_string(out.join("rounds/report/summary.json")).unwrap())
}

/// What each round added and what was known after it, without times.
fn taken(out: &Path) -> Vec<(serde_json::Value, serde_json::Value)> {
    let summary = summary(out);
    let rounds = summary["rounds"].as_array().unwrap().clone();
    rounds.into_iter().map(|round| (round["what"].clone(), round["known"].clone())).collect()
}

#[test]
fn a_study_goes_on_until_it_is_settled_and_says_how() {
    let folder = tempfile::tempdir().unwrap();
    let study = study(folder.path(), STUDY);
    let out = folder.path().join("out");
    let planned = run(&mut until(&study, &out, &["--dry-run"]));
    assert!(
        planned.code == Some(0) && planned.stdout.contains("round 1: the study's own λ₀ and λ₁"),
        "{}{}",
        planned.stdout,
        planned.stderr
    );
    let done = run(&mut until(&study, &out, &[]));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let summary = summary(&out);
    assert_eq!((&summary["settled"], &summary["verdict"]), (&true.into(), &"stronger".into()), "{}", done.stdout);
    let n = taken(&out).len();
    assert!(n >= 2 && done.stdout.contains(&format!("Settled after {n} rounds")), "{}", done.stdout);
    assert!(done.stderr.contains("after round 1: by accuracy"), "{}", done.stderr);
    let page = std::fs::read_to_string(out.join("rounds/report/index.html")).unwrap();
    assert!(page.contains("How this answer was reached") && page.contains("The ratio of the optima after each round"));
    assert!(out.join("rounds/report/rounds.png").exists());
    let board = std::fs::read_dir(out.join("rounds/tb/rounds")).unwrap().count();
    assert_eq!(board, 1, "one event file shows the rounds in TensorBoard");
    // The report and a second start say the same; the study as it was written can still be run.
    let again = run(&mut until(&study, &out, &[]));
    assert!(again.code == Some(0) && again.stdout == done.stdout, "{}", again.stdout);
    let report = run(program().arg("report").arg(out.join("rounds")));
    assert!(report.stdout.contains(&format!("Settled after {n} rounds")), "{}", report.stdout);
    let next = run(program().arg("plan").arg(&study).args(["--next", "--out"]).arg(&out));
    assert!(next.code == Some(0) && next.stdout.contains("there is no next round"), "{}{}", next.stdout, next.stderr);
    // Its study.yaml has the grids of the last round, which flags cannot change.
    let with_grids = out.join("rounds/study.yaml");
    for flag in [&["--seeds", "2"][..], &["--set", "lambda0=[0, 1e-3]"], &["--set", "target.draws=2"]] {
        let refused = run(program().arg("plan").arg(&with_grids).args(flag));
        let told = refused.stderr.contains("it has no effect on a study with `grids`");
        assert!(refused.code == Some(2) && told, "{flag:?}: {}", refused.stderr);
        let own = run(program().arg("plan").arg(&with_grids).args(flag).args(["--set", "grids=[]"]));
        assert_eq!(own.code, Some(0), "{flag:?}: {}", own.stderr);
    }
    let written = run(&mut sweep(&study, &out, &["--engine", "mock", "--quiet"]));
    assert!(written.code == Some(0) && !written.stdout.contains("Settled after"), "{}{}", written.stdout, written.stderr);
}

#[test]
fn the_largest_lambda1_is_widened_where_it_is_clearly_the_best() {
    let folder = tempfile::tempdir().unwrap();
    // The mock engine's target is best at λ₁ = 0.01.
    let study = study(folder.path(), &STUDY.replace("lambda1: [0, 0.01, 0.1]", "lambda1: [1e-4, 1e-3]"));
    let done = run(&mut until(&study, folder.path(), &["--quiet"]));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let steps: Vec<String> = taken(folder.path()).iter().map(|(what, _)| what.to_string()).collect();
    assert!(steps.iter().any(|what| what.contains("adds λ₁ = 0.01: the best one is the largest (0.001)")), "{steps:#?}");
}

#[test]
fn killed_and_in_shards_it_takes_the_same_rounds() {
    let folder = tempfile::tempdir().unwrap();
    let study = study(folder.path(), STUDY);
    let calm = folder.path().join("calm");
    assert_eq!(run(&mut until(&study, &calm, &["--quiet"])).code, Some(0));
    let killed = folder.path().join("killed");
    let mut kills = 0;
    for attempt in 0..200u64 {
        let mut child = spawn(&mut until(&study, &killed, &["--quiet", "--mock-ms", "3"]));
        let pause = Duration::from_millis(150 + 41 * (attempt % 7));
        let end = std::time::Instant::now() + pause;
        let mut ended = None;
        while ended.is_none() && std::time::Instant::now() < end && kills < 10 || (kills >= 10 && ended.is_none()) {
            ended = child.try_wait().unwrap();
            std::thread::sleep(Duration::from_millis(2));
        }
        match ended {
            Some(status) => {
                assert_eq!(status.code(), Some(0));
                break;
            }
            None => {
                child.kill().unwrap();
                child.wait().unwrap();
                kills += 1;
            }
        }
    }
    assert!(kills >= 3, "{kills} kills");
    assert_eq!(taken(&killed), taken(&calm));
    assert_eq!(results(&killed, "rounds"), results(&calm, "rounds"));
    let shards = folder.path().join("shards");
    let all: Vec<_> = (0..4).map(|i| spawn(&mut until(&study, &shards, &["--quiet", "--shard", &format!("{i}/4")]))).collect();
    for mut child in all {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    assert_eq!(taken(&shards), taken(&calm));
    assert_eq!(results(&shards, "rounds"), results(&calm, "rounds"));
}

#[test]
fn a_budget_ends_the_rounds_and_more_of_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let study = study(folder.path(), STUDY);
    let out = folder.path().join("out");
    let short = run(&mut until(&study, &out, &["--quiet", "--mock-ms", "5", "--budget", "1s"]));
    assert_eq!(short.code, Some(0), "{}", short.stderr);
    assert!(short.stdout.contains("The budget of 1s is used"), "{}", short.stdout);
    assert_eq!(summary(&out)["settled"], false);
    let long = run(&mut until(&study, &out, &["--quiet", "--budget", "2h"]));
    assert!(long.code == Some(0) && long.stdout.contains("Settled after"), "{}", long.stdout);
    for (args, told) in [
        (&["--budget", "2 fortnights"][..], "for '--budget <TIME>'"),
        (&["--budget", ""], "for '--budget <TIME>'"),
        (&["--set", "settle.budget=2 fortnights"], "settle.budget"),
        (&["--margin", "1"], "must be a factor above 1"),
        (&["--set", "lambda0=0.1"], "there is nothing to settle"),
        (&["--only-failed"], "runs no rounds"),
    ] {
        let refused = run(&mut until(&study, &out, args));
        assert!(refused.code == Some(2) && refused.stderr.contains(told), "{args:?}: {}", refused.stderr);
    }
}

#[test]
fn a_lone_shard_with_time_left_asks_for_the_others_and_goes_on_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let study = study(folder.path(), STUDY);
    let out = folder.path().join("out");
    let lone = run(&mut until(&study, &out, &["--quiet", "--shard", "0/2", "--budget", "2h"]));
    assert_eq!(lone.code, Some(75), "{}", lone.stderr);
    assert!(lone.stderr.contains("this round needs the results of other shards"), "{}", lone.stderr);
    let both: Vec<_> =
        (0..2).map(|i| spawn(&mut until(&study, &out, &["--quiet", "--shard", &format!("{i}/2"), "--budget", "2h"]))).collect();
    for mut child in both {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    assert_eq!(summary(&out)["settled"], true);
}

#[test]
fn a_full_disk_in_a_later_round_leaves_the_answer_of_the_round_before() {
    let folder = tempfile::tempdir().unwrap();
    let study = study(folder.path(), STUDY);
    let calm = folder.path().join("calm");
    assert_eq!(run(&mut until(&study, &calm, &["--quiet"])).code, Some(0));
    let bytes = std::fs::metadata(calm.join("rounds/records/main.jsonl")).unwrap().len();
    let out = folder.path().join("out");
    // With a file-size limit and its signal ignored, writes fail in the middle of a file.
    let line = format!(
        "trap '' XFSZ; ulimit -f {}; exec {} sweep {} --out {} --engine mock --quiet --until settled",
        bytes * 9 / 10 / 1024,
        env!("CARGO_BIN_EXE_transfergrid"),
        study.display(),
        out.display()
    );
    let full = run(std::process::Command::new("bash").args(["-c", &line]));
    assert_eq!(full.code, Some(1), "{}{}", full.stdout, full.stderr);
    assert!(full.stderr.contains("cannot write") && full.stdout.contains("best for target"), "{}{}", full.stdout, full.stderr);
    let again = run(&mut until(&study, &out, &["--quiet"]));
    assert_eq!((again.code, taken(&out)), (Some(0), taken(&calm)), "{}", again.stderr);
}

#[test]
fn a_study_that_asks_for_the_gain_answers_that() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{STUDY}settle: {{of: [gain]}}\n");
    let done = run(&mut until(&study(folder.path(), &text), folder.path(), &["--quiet"]));
    assert!(done.code == Some(0) && done.stdout.contains("HELPS, settled: the target's accuracy is"), "{}{}", done.stdout, done.stderr);
    let summary = summary(folder.path());
    assert!(summary["settled"] == true && summary["headline"].to_string().contains("HELPS, settled"), "{}", summary["headline"]);
    let page = std::fs::read_to_string(folder.path().join("rounds/report/index.html")).unwrap();
    assert!(page.contains("<h1><span class=\"badge helps\">HELPS, settled</span>"), "{}", &page[..4000]);
    // Without rounds it is the study as written, which is said; with them the answer is back.
    let plain = run(&mut sweep(&folder.path().join("rounds.yaml"), folder.path(), &["--engine", "mock", "--quiet"]));
    assert!(plain.code == Some(0) && plain.stderr.contains("`--until settled` shows their answer again"), "{}", plain.stderr);
    let again = run(&mut until(&study(folder.path(), &text), folder.path(), &["--quiet"]));
    assert!(again.stdout.contains("HELPS, settled"), "{}{}", again.stdout, again.stderr);
    let several = run(&mut until(&study(folder.path(), &text.replace("per_class: 5", "per_class: [5, 10]")), folder.path(), &["--quiet"]));
    assert!(several.stdout.contains("Transfer helps in 2 of 2 settings and hurts in 0."), "{}{}", several.stdout, several.stderr);
}

#[test]
fn a_report_is_of_the_last_complete_round() {
    let folder = tempfile::tempdir().unwrap();
    let study = study(folder.path(), STUDY);
    let mut child = spawn(&mut until(&study, folder.path(), &["--quiet", "--mock-ms", "20"]));
    let end = std::time::Instant::now() + Duration::from_secs(60);
    // Written after the first round.
    while !folder.path().join("rounds/tb/rounds").exists() && std::time::Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(150));
    child.kill().unwrap();
    child.wait().unwrap();
    let report = run(program().arg("report").arg(folder.path().join("rounds")));
    assert!(report.stdout.contains("Not settled after 1 round "), "{}{}", report.stdout, report.stderr);
    assert!(!report.stdout.contains("Not complete"), "{}", report.stdout);
}

#[test]
fn the_metric_that_is_to_be_settled_leads() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "study.yaml", SMALL);
    for (by, metric) in [("loss", "loss"), ("accuracy", "accuracy"), ("both", "accuracy")] {
        let done = run(&mut sweep(&study, folder.path(), &["--engine", "mock", "--set", &format!("settle.by={by}")]));
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        assert!(done.stdout.contains(&format!("chosen by validation {metric}")), "{by}: {}", done.stdout);
    }
}

#[test]
fn stages_that_fail_end_the_rounds_and_are_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let study = study(folder.path(), STUDY);
    let failing = run(&mut until(&study, folder.path(), &["--quiet", "--mock-fail", "0.1"]));
    assert_eq!(failing.code, Some(3), "{}{}", failing.stdout, failing.stderr);
    let mended = run(&mut until(&study, folder.path(), &["--quiet"]));
    assert!(mended.code == Some(0) && mended.stdout.contains("Settled after"), "{}{}", mended.stdout, mended.stderr);
}

/// A study whose results are drawn around true curves, with the pilot's noise.
pub struct World<'a> {
    shape: &'a Shape,
    /// ln of the true optima.
    pub source: f64,
    target: f64,
    number: u64,
}

/// How a simulated study ended.
pub struct End {
    /// None if it was given up.
    pub verdict: Option<Verdict>,
    pub rounds: usize,
    /// Counted seconds of all stages, on one core.
    pub cost: f64,
}

impl World<'_> {
    pub fn new(shape: &Shape, ratio: f64, number: u64) -> World<'_> {
        let mut stream = Stream::new(&format!("rounds/{}", shape.name), 0, number);
        // An optimum at an end is two to twenty times beyond the study's own grid.
        let source = (0.012f64).ln() + 2.0 * (stream.uniform() - 0.5) + 4.0 * shape.place;
        World { shape, source, target: source + ratio.ln(), number }
    }

    /// A standard normal number that depends on names alone.
    pub fn normal(&self, name: &str, seed: u64, draw: u64) -> f64 {
        Stream::new(&format!("rounds/{}/{}/{name}", self.shape.name, self.number), seed, draw).sample(&StandardNormal)
    }

    pub fn score(&self, kind: StageKind, lambda0: f64, seed: u64, draw: usize) -> f64 {
        let is_accuracy = self.shape.metric == Metric::Accuracy;
        let (own_source, own_target, of_draw, tilts) =
            if is_accuracy { (0.235, 0.1, 0.95, (0.12, 0.2)) } else { (0.01, 0.1, 0.26, (0.01, 0.09)) };
        // λ₀ = 0 is as good as 10⁻⁶.
        let x = lambda0.max(1e-6).ln();
        let tilt = self.normal("tilt", seed, 0);
        let level = self.normal("level", seed, 0);
        let here = format!("{kind:?}/{lambda0}");
        match kind {
            StageKind::Source => {
                (self.shape.source)(x - self.source) + level + tilts.0 * tilt * (x + 4.0) + own_source * self.normal(&here, seed, 0)
            }
            StageKind::Target => {
                let other = 0.8 * tilt + 0.6 * self.normal("other tilt", seed, 0);
                let of_target = own_target * self.normal(&here, seed, u64::MAX) + of_draw * self.normal(&here, seed, draw as u64);
                (self.shape.target)(x - self.target)
                    + level
                    + tilts.1 * other * (x + 4.0)
                    + of_target
                    + self.normal("draw", seed, draw as u64)
            }
            StageKind::Scratch | StageKind::Alignment => level,
        }
    }

    /// The metrics of a model with these scores on validation and on test images.
    pub fn metrics(&self, validation: f64, test: f64) -> BTreeMap<String, f64> {
        let of = |score: f64| match self.shape.metric {
            Metric::Accuracy => [0.6 + 0.01 * score, 1.0 - 0.01 * score],
            // Below the loss of guessing.
            _ => [0.6, -3.0 - score],
        };
        let ([val_acc, val_loss], [test_acc, test_loss]) = (of(validation), of(test));
        let named = [("val_acc", val_acc), ("val_loss", val_loss), ("test_acc", test_acc), ("test_loss", test_loss)];
        BTreeMap::from(named.map(|(name, value)| (name.to_string(), value)))
    }

    pub fn settle(&self, study: &Study) -> End {
        let mut records = Records::default();
        let mut cost = 0.0;
        let mut replay = Replay::new(study).unwrap();
        loop {
            let rounds = replay.advance(&records).unwrap();
            let last = rounds.last();
            match rounds.outlook {
                Outlook::Settled => return End { verdict: last.questions[0].verdict, rounds: rounds.rounds.len(), cost },
                Outlook::GivenUp(_) => return End { verdict: None, rounds: rounds.rounds.len(), cost },
                Outlook::Train => {}
            }
            let missing = last.plan.stages.iter().filter(|stage| !records.is_final(&stage.key));
            for stage in missing.collect::<Vec<_>>() {
                cost += Cost::of(stage).cpu_seconds();
                let score = self.score(stage.kind, stage.settings.lambda0, stage.seed, stage.draw);
                records.add(record(stage.kind, &stage.key, stage.seed, stage.draw, self.metrics(score, score)));
            }
        }
    }
}

fn record(kind: StageKind, key: &str, seed: u64, draw: usize, metrics: BTreeMap<String, f64>) -> Record {
    Record {
        version: RECORD_VERSION,
        kind,
        key: key.into(),
        source: None,
        seed,
        draw,
        axes: BTreeMap::new(),
        status: Status::Done,
        metrics: Arc::new(metrics),
        error: None,
        history: vec![],
        settings: serde_json::Value::Null,
        data: String::new(),
        seconds: 1.0,
        pack: 1,
        device: "cpu".into(),
        host: String::new(),
        engine: "mock".into(),
        program: String::new(),
        commit: String::new(),
        finished: 0.0,
    }
}

/// Sizes like those of CIFAR-10's study, so that a source costs what some 40 targets do.
const WORLD: &str = "\
name: world
data: cifar10
seeds: 3
lambda0: [0, {log: {from: 1e-4, to: 1e-1, points: 7}}]
lambda1: 0.1
model: {kind: convnet, channels: [32, 64]}
source: {classes: [0, 1, 2, 3, 4, 5], per_class: 1000, epochs: 25, lr: 0.05}
target: {classes: [6, 7, 8, 9], per_class: 25, monitor_per_class: 20, epochs: 30, lr: 0.02, batch_size: 50}
";

/// That study, chosen on the metric of the shape.
pub fn world(shape: &Shape) -> Study {
    let folder = tempfile::tempdir().unwrap();
    let text = match shape.metric {
        Metric::Accuracy => WORLD.to_string(),
        _ => format!("{WORLD}selection: loss\n"),
    };
    Study::load(&study(folder.path(), &text), &Overrides::default()).unwrap()
}

/// The result of each of these simulated studies, computed on all cores.
pub fn of_each<T: Send>(studies: u64, of: impl Fn(u64) -> T + Sync) -> Vec<T> {
    // Threads of their own: rayon's, which the analysis uses, would begin one study inside another.
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let part = &|first: u64| (first..studies).step_by(threads as usize).map(&of).collect();
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..threads).map(|first| scope.spawn(move || -> Vec<_> { part(first) })).collect();
        parts.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

/// Shares of stronger, weaker, same and given-up studies, and the mean number of rounds.
fn ends(shape: &Shape, ratio: f64, studies: u64) -> ([f64; 4], f64) {
    let study = world(shape);
    let (mut shares, mut rounds) = ([0.0; 4], 0.0);
    for end in of_each(studies, |i| World::new(shape, ratio, i).settle(&study)) {
        let i = match end.verdict {
            Some(Verdict::Stronger) => 0,
            Some(Verdict::Weaker) => 1,
            Some(Verdict::Same) => 2,
            _ => 3,
        };
        shares[i] += 1.0 / studies as f64;
        rounds += end.rounds as f64 / studies as f64;
    }
    (shares, rounds)
}

#[test]
fn rounds_settle_what_is_there_and_no_more() {
    for shape in [&SHAPES[0], &SHAPES[2]] {
        let (at_one, _) = ends(shape, 1.0, 12);
        assert!(at_one[0] + at_one[1] < 0.2, "{}: {at_one:?}", shape.name);
        let (at_two, _) = ends(shape, 2.0, 6);
        assert!(at_two[0] > 0.6 && at_two[1] == 0.0, "{}: {at_two:?}", shape.name);
    }
}

#[test]
#[ignore = "an hour: prints the table of docs/report.md; TRANSFERGRID_SHAPE, _RATIO and _STUDIES choose a part of it"]
fn table() {
    let given = |name: &str| std::env::var(format!("TRANSFERGRID_{name}")).ok();
    let (shape, ratio): (_, Option<f64>) = (given("SHAPE"), given("RATIO").map(|ratio| ratio.parse().unwrap()));
    let is_wanted = |own: &Shape| shape.as_ref().map_or(!own.name.contains("half"), |name| name == own.name);
    let studies = given("STUDIES").map_or(100, |n| n.parse().unwrap());
    eprintln!("| true curves | ratio | stronger | weaker | same | given up | rounds |\n|---|---|---|---|---|---|---|");
    for shape in SHAPES.iter().filter(|shape| is_wanted(shape)) {
        for ratio in ratio.map_or(vec![1.0, 1.3, 2.0], |ratio| vec![ratio]) {
            let (shares, rounds) = ends(shape, ratio, studies);
            let shares: Vec<String> = shares.iter().map(|share| format!("{:.1}%", 100.0 * share)).collect();
            eprintln!("| {} | {ratio} | {} | {rounds:.1} |", shape.name, shares.join(" | "));
        }
    }
}
