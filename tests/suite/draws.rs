//! Draws of the target's images, and validation on what training leaves.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::*;

#[test]
fn draws_add_targets_and_keep_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let out = |name: &str, more: &[&str]| {
        let out = folder.path().join(name);
        let done = run(&mut sweep(&study, &out, &[&["--engine", "mock", "--quiet"], more].concat()));
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        out
    };
    let (one, three) = (out("one", &[]), out("three", &["--set", "target.draws=3"]));
    let rows = |out: &std::path::Path| -> Vec<Vec<String>> {
        results(out, "small").lines().skip(1).map(|line| line.split(',').map(str::to_string).collect()).collect()
    };
    // kind, lambda0, lambda1, seed, draw, stage
    let count = |rows: &[Vec<String>], kind: &str, draw: &str| rows.iter().filter(|row| row[0] == kind && row[4] == draw).count();
    let (first, all) = (rows(&one), rows(&three));
    assert!(first.iter().all(|row| all.contains(row)), "the first draw is what a study without draws has");
    for draw in ["0", "1", "2"] {
        assert_eq!((count(&all, "target", draw), count(&all, "scratch", draw)), (12, 2));
    }
    assert_eq!((count(&all, "source", ""), count(&all, "source", "0")), (6, 0));
    // The same seed, source and λ₁, but other results in each draw.
    let mut of_cell: BTreeMap<Vec<String>, BTreeSet<String>> = BTreeMap::new();
    for row in all.iter().filter(|row| row[0] == "target") {
        of_cell.entry(row[1..4].to_vec()).or_default().insert(row[8].clone());
    }
    assert!(of_cell.len() == 12 && of_cell.values().all(|values| values.len() == 3), "{of_cell:?}");
    // More draws later: what is done is kept.
    let done = run(&mut sweep(&study, &one, &["--engine", "mock", "--set", "target.draws=3"]));
    assert!(done.code == Some(0) && done.stderr.contains("20 stages are done already and kept; 28 to go"), "{}", done.stderr);
    assert_eq!(results(&one, "small"), results(&three, "small"));
    let plan = json(&run(program().arg("plan").arg(&study).args(["--set", "target.draws=3", "--json"])).stdout);
    assert_eq!((&plan["cells"], &plan["target_stages"], &plan["scratch_stages"]), (&12.into(), &36.into(), &6.into()));
}

#[test]
fn a_seed_has_no_result_before_its_last_draw_and_its_draws_are_averaged() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let done = run(&mut sweep(&study, folder.path(), &["--engine", "mock", "--quiet", "--set", "target.draws=2"]));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let test_accuracy = |record: &serde_json::Value| record["metrics"]["test_acc"].as_f64().unwrap();
    let of = |records: &[serde_json::Value]| {
        let own = records.iter().filter(|r| r["kind"] == "target" && r["axes"]["lambda0"] == 0.01 && r["axes"]["lambda1"] == 0.1);
        own.map(test_accuracy).collect::<Vec<_>>()
    };
    let all = of(&records(folder.path(), "small"));
    assert_eq!(all.len(), 4, "two seeds with two draws each");
    let shown = run(program().args(["report", "--format", "latex"]).arg(folder.path().join("small"))).stdout;
    assert!(shown.contains(&format!("{:.1}", 100.0 * all.iter().sum::<f64>() / 4.0)), "{all:?} in {shown}");
}

#[test]
fn source_draws_and_draws_without_end_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    for (set, told) in [
        ("source.draws=2", "`source.draws`: only the target has draws\n  hint: set `target.draws`"),
        ("target.draws=0", "must be between 1 and 10000"),
        ("target.monitor_per_class=0", "`target.monitor_per_class`: must be at least 1"),
    ] {
        let done = run(program().arg("plan").arg(&study).args(["--set", set]));
        assert!(done.code == Some(2) && done.stderr.contains(told), "{set}: {}", done.stderr);
    }
}

#[cfg(feature = "torch")]
#[test]
fn all_that_training_leaves_is_evaluated_once_and_a_part_of_it_in_every_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let all = "--set=source.validation_per_class=null";
    let target = "--set=target.validation_per_class=null";
    let records_of = |name: &str, more: &[&str]| {
        let out = folder.path().join(name);
        let done = run(&mut sweep(&study, &out, &[&["--quiet", "--seeds", "1", "--set", "lambda0=0"], more].concat()));
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        records(&out, "small")
    };
    let part = records_of("part", &[all, target, "--set", "source.monitor_per_class=7", "--set", "target.monitor_per_class=7"]);
    let whole = records_of("whole", &[all, target, "--set", "source.monitor_per_class=1000", "--set", "target.monitor_per_class=1000"]);
    assert_eq!(part.len(), whole.len());
    for (part, whole) in part.iter().zip(&whole) {
        let last = |record: &serde_json::Value, key: &str| record["history"].as_array().unwrap().last().unwrap()[key].as_f64().unwrap();
        let result = |record: &serde_json::Value, key: &str| record["metrics"][key].as_f64().unwrap();
        assert_eq!(part["key"], whole["key"], "what is watched does not change a result");
        // Another number of images in a batch of the evaluation may round differently.
        assert!((result(part, "val_loss") - result(whole, "val_loss")).abs() < 1e-6);
        assert!((result(part, "val_acc") - result(whole, "val_acc")).abs() < 1e-9);
        assert_eq!(last(whole, "val_acc"), result(whole, "val_acc"));
        assert_ne!(last(part, "val_acc"), result(part, "val_acc"), "seven images a class are not all");
    }
    // With patience the watched images choose the epoch.
    let patient = |monitor: &str| records_of(&format!("patient{monitor}"), &[all, target, "--set=target.patience=2", monitor]);
    let (few, many) = (patient("--set=target.monitor_per_class=7"), patient("--set=target.monitor_per_class=1000"));
    assert!(few.iter().zip(&many).any(|(few, many)| few["key"] != many["key"]));
}
