//! Messages name a cause only if it is known, suggest the likely intention, and are short whatever
//! the input.

use crate::common::*;

/// Runs `plan` on a study; returns exit code, stdout and stderr.
fn plan(text: &str, more: &[&str]) -> Done {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "study.yaml", text);
    run(program().arg("plan").arg(&study).args(more))
}

#[test]
fn merge_keys_and_holders_of_anchors_are_read() {
    let merged = "\
.defaults: &training {epochs: 4, batch_size: 16, lr: 0.1}
x-images: &images
  validation_per_class: 10
name: merged
data: digits
seeds: 2
lambda0: [0, 1e-3]
lambda1: [0]
model: {kind: mlp, hidden: [16]}
source: {<<: [*training, *images], classes: [0, 1, 2], per_class: 20}
target:
  <<: *images
  classes: [5, 6, 7]
  per_class: 5
  <<: *training
";
    // A map may contain `<<` only once.
    let twice = plan(merged, &[]);
    assert!(twice.code == Some(2) && twice.stderr.contains("duplicate entry"), "{}", twice.stderr);
    let once = merged.replace("  <<: *images\n", "").replace("  <<: *training\n", "  <<: [*training, *images]\n  lr: 0.05\n");
    let done = plan(&once, &["--json"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!(json(&done.stdout)["source_stages"], 4);
    let plain = "\
name: merged
data: digits
seeds: 2
lambda0: [0, 1e-3]
lambda1: [0]
model: {kind: mlp, hidden: [16]}
source: {classes: [0, 1, 2], per_class: 20, validation_per_class: 10, epochs: 4, batch_size: 16, lr: 0.1}
target: {classes: [5, 6, 7], per_class: 5, validation_per_class: 10, epochs: 4, batch_size: 16, lr: 0.05}
";
    assert_eq!(plan(plain, &["--json"]).stdout, done.stdout, "a merged key is overridden by the map's own");
    let wrong = plan(&plain.replace("lr: 0.05", "<<: 3"), &[]);
    assert!(wrong.code == Some(2) && wrong.stderr.contains("`<<` takes an anchor of a map"), "{}", wrong.stderr);
}

#[test]
fn what_people_type_gets_a_hint() {
    let cases: [(&str, &str, &str); 26] = [
        ("lambda0: [0, 1e-3, 1e-2]", "lambda0: logspace(-5, -1, 9)", "{log: {from: 1e-5, to: 1e-1, points: 9}}"),
        ("lambda0: [0, 1e-3, 1e-2]", "lambda0: 1e-3..1e-1", "{log: {from: 1e-5, to: 1e-1, points: 9}}"),
        ("lambda0: [0, 1e-3, 1e-2]", "lambda0: {logspace: [1, 2]}", "several values are a list"),
        ("lambda0: [0, 1e-3, 1e-2]", "lambda0: 0,1", "write a decimal point"),
        ("lambda0: [0, 1e-3, 1e-2]", "lambda0: '0.1'", "write it without quotes"),
        ("lambda1: [0, 0.1]", "lambda1: [0, inf]", "infinity is written .inf"),
        ("lambda0: [0, 1e-3, 1e-2]", "lambda0: [0, .inf]", "a penalty is a finite number"),
        ("lr: 0.1}", "lr: 0.1, weight_decay: 1e-4}", "`lambda0` (source) and `lambda1` (target)"),
        ("lr: 0.1}", "lr: 0.1, wd: 1e-4}", "`lambda0` (source) and `lambda1` (target)"),
        ("lr: 0.1}", "learning_rate: 0.1}", "the learning rate is `source.lr`"),
        ("batch_size: 16", "batch: 16", "the batch size is `source.batch_size`"),
        ("lr: 0.1}", "lr: 0.1, optimizer: adam}", "it is `source.optimiser`"),
        ("per_class: 20", "per_class: all", "null takes all"),
        ("lr: 0.1}", "lr: 0.1, nesterov: yes}", "write true or false"),
        ("lr: 0.1}", "lr: 0.1, schedule: cosine}", "schedule: {kind: cosine}"),
        ("data: digits", "data: mnits", "did you mean `mnist`?"),
        ("data: digits", "data: emnist", "did you mean `emnist-"),
        ("data: digits", "data: ciffar10", "did you mean `cifar10`?"),
        ("data: digits", "data: imagenet", "{images: FOLDER}"),
        ("name: small", "name: small\nquestion: reversal", "a key of ridge studies"),
        ("name: small", "name: small\nseeds: 99999999999999999999", "a number is too large"),
        ("name: small", "name: small\n---\nname: other", "more than one YAML document"),
        ("lr: 0.05}", "lr: 0.05, lr: 0.1}", "keep one of the two"),
        ("source:", "source: &s", "epochs"),
        ("lambda0: [0, 1e-3, 1e-2]", "lambda0: [0, 0.0316228, {log: {from: 1e-2, to: 1e-1, points: 3}}]", "0.0316228 is listed twice"),
        ("model: {kind: mlp", "model: {kind: resnet50", "unknown value `resnet50`"),
    ];
    for (from, to, says) in cases {
        let text = SMALL.replacen(from, to, 1);
        assert_ne!(text, SMALL, "{from}");
        let done = plan(&text, &[]);
        if to == "source: &s" {
            assert_eq!(done.code, Some(0), "an anchor by itself is no mistake: {}", done.stderr);
            continue;
        }
        assert!(done.code == Some(2) && done.stderr.contains(says), "{to}: {}", done.stderr);
    }
    // The name of another data set or network is not reported as a misspelling.
    for (from, to) in [("data: digits", "data: qmnist"), ("kind: mlp", "kind: resnet34"), ("name: small", "name: small\nprecision: fp16")] {
        let done = plan(&SMALL.replacen(from, to, 1), &[]);
        assert!(done.code == Some(2) && !done.stderr.contains("did you mean"), "{to}: {}", done.stderr);
    }
    // Text that the user wrote is quoted unchanged.
    let quoted = plan(&SMALL.replace("lr: 0.1}", "lr: string sequence}"), &[]);
    assert!(quoted.stderr.contains("found \"string sequence\""), "{}", quoted.stderr);
    // For a duplicate key, the message points to the second one, in its own map.
    let twice = plan("name: a\nsource:\n  lr: 1\n  lr: 2\ntarget:\n  lr: 3\n", &[]);
    assert!(twice.stderr.contains("study.yaml:4:3"), "{}", twice.stderr);
}

#[test]
fn arguments_that_lack_their_flag_are_explained() {
    for (words, says) in [
        (&["source.lr=0.1"][..], "to change a setting: --set source.lr=0.1"),
        (&["--seeds", "0,3,7"], "--set 'seeds=[0, 3, 7]'"),
        (&["--seeds", "-1"], "a number of seeds, e.g. 5"),
        (&["--seeds", "0..3"], "a number of seeds, e.g. 5"),
    ] {
        let done = plan(SMALL, words);
        assert!(done.code == Some(2) && done.stderr.contains(says), "{words:?}: {}", done.stderr);
    }
    let folder = tempfile::tempdir().unwrap();
    let ridge = run(program().args(["theory", "run", "x.yaml", "rho=0.9"]).current_dir(folder.path()));
    assert!(ridge.code == Some(2) && ridge.stderr.contains("--set rho=0.9"), "{}", ridge.stderr);
}

#[test]
fn megabytes_are_cut_in_messages() {
    let long = "x".repeat(5 << 20);
    let numbers = format!("[{}]", (0..200_000).map(|i| format!("{i}")).collect::<Vec<_>>().join(", "));
    let cases = [
        SMALL.replace("name: small", &format!("name: {long}")),
        SMALL.replace("data: digits", &format!("data: {long}")),
        SMALL.replace("lr: 0.1}", &format!("lr: {long}}}")),
        SMALL.replace("lr: 0.1}", &format!("lr: 0.1, {long}: 1}}")),
        SMALL.replace("[0, 1, 2]", &format!("[{long}, 1, 2]")),
        SMALL.replace("seeds: 2", &format!("seeds: 2\nzip: [[{long}, lambda0]]")),
        SMALL.replace("seeds: 2", &format!("seeds: 2\nextends: {long}")),
        SMALL.replace("seeds: 2", &format!("seeds: 2\nstrength: {{axis: {long}}}")),
        SMALL.replace("seeds: 2", &format!("seeds: [{long}]")),
        SMALL.replace("lambda0: [0, 1e-3, 1e-2]", &format!("lambda0: {numbers}")),
        SMALL.replace("name: small", &format!("name: small\n{long}")),
    ];
    for (i, text) in cases.iter().enumerate() {
        let started = std::time::Instant::now();
        let done = plan(text, &[]);
        assert_eq!(done.code, Some(2), "case {i}: {}", &done.stderr[..done.stderr.len().min(300)]);
        assert!(done.stderr.len() < 8_000 && done.stdout.is_empty(), "case {i}: {} bytes", done.stderr.len());
        assert!(started.elapsed().as_secs() < 30, "case {i} took {:?}", started.elapsed());
    }
}
