//! Real sweeps with libtorch on the embedded digits: bit-identical results however they run, kill
//! and resume, and their output.
#![cfg(feature = "torch")]

use std::time::{Duration, Instant};

use std::path::Path;

use crate::common::*;

fn quiet<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["--quiet"], more].concat()
}

#[test]
fn the_same_bits_whatever_the_workers_the_order_and_the_study_around_it() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let sorted = |name: &str, more: &[&str]| {
        let out = folder.path().join(name);
        let done = run(&mut sweep(&study, &out, &quiet(more)));
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        let mut lines: Vec<String> = results(&out, "small").lines().map(str::to_string).collect();
        lines.sort();
        lines
    };
    let one = sorted("one", &["--workers", "1"]);
    assert_eq!(one.len(), 21);
    assert_eq!(one, sorted("three", &["--workers", "3"]));
    assert_eq!(one, sorted("reversed", &["--set", "seeds=[1, 0]", "--set", "lambda0=[1e-2, 0, 1e-3]"]));
    // A part of the study gives the same numbers as the whole: every row of the smaller study is a
    // row of the larger one.
    let part = sorted("part", &["--seeds", "1", "--set", "lambda0=[1e-3]"]);
    assert!(part.iter().all(|line| one.contains(line)), "{part:?}");
}

#[test]
fn a_larger_pack_changes_rounding_only() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let (one, many) = (folder.path().join("one"), folder.path().join("many"));
    assert_eq!(run(&mut sweep(&study, &one, &quiet(&[]))).code, Some(0));
    assert_eq!(run(&mut sweep(&study, &many, &quiet(&["--pack", "8"]))).code, Some(0));
    for (a, b) in records(&one, "small").iter().zip(&records(&many, "small")) {
        assert_eq!(a["key"], b["key"]);
        for metric in ["val_loss", "test_loss", "weight_norm"] {
            let (a, b) = (a["metrics"][metric].as_f64().unwrap(), b["metrics"][metric].as_f64().unwrap());
            assert!((a - b).abs() < 1e-4 * a.abs().max(1.0), "{metric}: {a} and {b}");
        }
    }
}

/// Long enough for a kill during training: some seconds on one worker.
fn longer() -> String {
    SMALL.replace("epochs: 4", "epochs: 60").replace("epochs: 3", "epochs: 60").replace("hidden: [16]", "hidden: [32], norm: batch")
}

#[test]
fn killed_and_interrupted_in_mid_training_and_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", &longer());
    let (calm, stormy) = (folder.path().join("calm"), folder.path().join("stormy"));
    let started = Instant::now();
    assert_eq!(run(&mut sweep(&study, &calm, &quiet(&[]))).code, Some(0));
    let whole = started.elapsed();
    for kill in 1..=5u32 {
        let mut child = spawn(&mut sweep(&study, &stormy, &quiet(&[])));
        std::thread::sleep(whole.mul_f64(0.17 * f64::from(kill) / 2.0) + Duration::from_millis(120));
        child.kill().unwrap();
        child.wait().unwrap();
        // Between kills there is also a regular stop, which leaves snapshots of the running stages.
        let running = stormy.join("small/running/main.json");
        let _ = std::fs::remove_file(&running);
        let mut child = spawn(&mut sweep(&study, &stormy, &quiet(&[])));
        until_it_trains(&mut child, &stormy, "small");
        std::thread::sleep(Duration::from_millis(100));
        signal("-TERM", child.id());
        let code = child.wait().unwrap().code();
        assert!(code == Some(75) || code == Some(0), "{code:?}");
    }
    assert_eq!(run(&mut sweep(&study, &stormy, &quiet(&[]))).code, Some(0));
    assert_eq!(results(&calm, "small"), results(&stormy, "small"));
    assert_eq!(records(&calm, "small"), records(&stormy, "small"));
}

#[test]
fn transfer_does_what_its_settings_say() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let run_with = |name: &str, more: &[&str]| {
        let out = folder.path().join(name);
        let done = run(&mut sweep(&study, &out, &quiet(more)));
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        records(&out, "small").into_iter().filter(|r| r["kind"] == "target").collect::<Vec<_>>()
    };
    let distance = |record: &serde_json::Value| record["metrics"]["distance"].as_f64().unwrap();
    // λ₁ = ∞ keeps the source's backbone; a stronger λ₁ keeps the target closer to it.
    let proximal = run_with("proximal", &["--set", "penalty.step=proximal", "--set", "lambda1=[0, 10, .inf]", "--seeds", "1"]);
    let mut by_lambda: std::collections::BTreeMap<String, Vec<f64>> = Default::default();
    for record in &proximal {
        by_lambda.entry(record["axes"]["lambda1"].to_string()).or_default().push(distance(record));
    }
    assert!(by_lambda["\"inf\""].iter().all(|&d| d == 0.0));
    assert!(by_lambda["0"].iter().zip(&by_lambda["10"]).all(|(free, held)| held < free && *held > 0.0), "{by_lambda:?}");
    // The proximal and the explicit step agree if lr·λ is small.
    let loss = |all: &[serde_json::Value]| -> Vec<f64> {
        let mut by_seed: Vec<(u64, f64)> =
            all.iter().map(|r| (r["seed"].as_u64().unwrap(), r["metrics"]["test_loss"].as_f64().unwrap())).collect();
        by_seed.sort_by_key(|(seed, _)| *seed);
        by_seed.into_iter().map(|(_, loss)| loss).collect()
    };
    let weak = ["--set", "lambda1=[1e-6]", "--set", "lambda0=[1e-6]"];
    let (explicit, near) = (run_with("weak", &weak), run_with("weak-proximal", &[&weak[..], &["--set", "penalty.step=proximal"]].concat()));
    assert!(loss(&explicit).iter().zip(loss(&near)).all(|(a, b)| (a - b).abs() < 1e-3 * a));
    // With the head kept, all of θ is anchored: at λ₁ = ∞ the model equals the source model, and so
    // does every metric.
    let kept = run_with(
        "kept",
        &["--set", "transfer.head=keep", "--set", "penalty.step=proximal", "--set", "lambda1=[.inf]", "--set", "target.classes=[0, 1, 2]"],
    );
    let sources: Vec<_> = records(&folder.path().join("kept"), "small").into_iter().filter(|r| r["kind"] == "source").collect();
    for record in &kept {
        let source = sources.iter().find(|source| source["key"] == record["source"]).unwrap();
        assert_eq!(record["metrics"]["test_loss"], source["metrics"]["test_loss"]);
    }
    // Plain fine-tuning shrinks towards zero: a strong λ₁ gives a smaller norm than L2-SP.
    let norm = |all: &[serde_json::Value]| -> f64 { all.iter().map(|r| r["metrics"]["weight_norm"].as_f64().unwrap()).sum() };
    let strong = ["--set", "lambda1=[5]", "--set", "penalty.step=proximal"];
    let (l2sp, finetune) =
        (run_with("l2sp", &strong), run_with("finetune", &[&strong[..], &["--set", "transfer.method=finetune"]].concat()));
    assert!(norm(&finetune) < norm(&l2sp));
    // Frozen statistics remain those of the source.
    for rule in ["update", "frozen"] {
        run_with(rule, &["--set", "model.norm=batch", "--set", &format!("transfer.batchnorm={rule}")]);
    }
}

#[test]
fn convnets_augmentation_and_early_stopping_run_and_learn() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    for norm in ["none", "batch", "group"] {
        let more = quiet(&[
            "--set",
            "model={kind: convnet, channels: [8, 8], hidden: []}",
            "--seeds",
            "1",
            "--set",
            "source.augment={shift: 1}",
            "--set",
            "source.epochs=30",
            "--set",
            "source.patience=15",
        ]);
        let norm = format!("model.norm={norm}");
        let out = folder.path().join(&norm);
        let done = run(&mut sweep(&study, &out, &[&more[..], &["--set", &norm]].concat()));
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        for record in records(&out, "small").iter().filter(|r| r["kind"] == "source") {
            let accuracy = record["metrics"]["test_acc"].as_f64().unwrap();
            assert!(accuracy > 0.7, "{norm}: {accuracy} on three classes");
        }
    }
}

/// Records of a study by kind.
fn of_kind(out: &Path, kind: &str) -> Vec<serde_json::Value> {
    records(out, "small").into_iter().filter(|r| r["kind"] == kind).collect()
}

fn metric(record: &serde_json::Value, name: &str) -> f64 {
    record["metrics"][name].as_f64().unwrap_or(f64::NAN)
}

#[test]
fn frozen_features_are_probed_by_steps_and_in_closed_form() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let run_with = |name: &str, more: &[&str]| {
        let out = folder.path().join(name);
        let set = ["--seeds", "1", "--set", "lambda0=[1e-3]", "--set", "source.epochs=20", "--set", "target.per_class=20"];
        let done = run(&mut sweep(&study, &out, &quiet(&[&set[..], more].concat())));
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        of_kind(&out, "target")
    };
    for norm in ["none", "batch"] {
        let norm = format!("model.norm={norm}");
        let probe = run_with(&format!("probe {norm}"), &["--set", "transfer.method=probe", "--set", &norm, "--set", "target.epochs=200"]);
        assert!(probe.iter().all(|r| metric(r, "distance") == 0.0 && metric(r, "test_acc") > 0.7), "{probe:?}");
    }
    // The closed form minimises ½·mean‖y − ŷ‖² + (λ/2)‖W‖², so its training loss cannot fall as λ
    // grows. Packed and single training give the same result.
    let lambdas = ["--set", "transfer.method=ridge", "--set", "lambda1=[0, 1e-4, 1e-2, 1]"];
    let ridge = run_with("ridge", &lambdas);
    let mut by_lambda: Vec<(f64, f64)> = ridge.iter().map(|r| (r["axes"]["lambda1"].as_f64().unwrap(), metric(r, "train_loss"))).collect();
    by_lambda.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert!(by_lambda.windows(2).all(|w| w[0].1 <= w[1].1 + 1e-9), "{by_lambda:?}");
    assert!(ridge.iter().any(|r| metric(r, "test_acc") > 0.8) && ridge.iter().all(|r| metric(r, "epochs") == 1.0));
    let packed = run_with("packed", &[&lambdas[..], &["--pack", "4"]].concat());
    for (a, b) in ridge.iter().zip(&packed) {
        assert!((metric(a, "test_loss") - metric(b, "test_loss")).abs() < 1e-5);
    }
}

#[test]
fn regularisers_of_the_source_do_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let run_with = |name: &str, more: &[&str]| {
        let out = folder.path().join(name);
        let set = ["--seeds", "1", "--set", "source.epochs=30", "--set", "lambda1=0"];
        let done = run(&mut sweep(&study, &out, &quiet(&[&set[..], more].concat())));
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        of_kind(&out, "source").remove(0)
    };
    let plain = run_with("plain", &["--set", "lambda0=0"]);
    // Each of these settings increases the training loss.
    for (name, set) in [("dropout", "source.dropout=0.5"), ("noise", "source.label_noise=0.3"), ("smoothing", "source.label_smoothing=0.3")]
    {
        let other = run_with(name, &["--set", "lambda0=0", "--set", set]);
        assert!(metric(&other, "train_loss") > metric(&plain, "train_loss") + 0.01, "{name}");
    }
    // The loss in the metrics is without label smoothing. With label noise it is the expected loss
    // under the noise.
    let noisy = run_with("noise", &["--set", "lambda0=0", "--set", "source.label_noise=0.3"]);
    assert!(metric(&noisy, "test_acc") > 0.7 && metric(&noisy, "test_loss") > 0.5, "{noisy}");
    let lasso = run_with("lasso", &["--set", "lambda0=1e-3", "--set", "source.l1_ratio=1"]);
    assert!(metric(&lasso, "weight_norm") < metric(&plain, "weight_norm") && metric(&lasso, "test_acc") > 0.8);
}

#[test]
fn an_alignment_is_one_for_the_same_task_and_grows_with_the_sources_noise() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let of = |name: &str, more: &[&str]| {
        let out = folder.path().join(name);
        let set = ["--set", "alignment=true", "--set", "lambda0=0", "--set", "lambda1=0", "--set", "target.classes=[0, 1, 2]"];
        let done = run(&mut sweep(&study, &out, &quiet(&[&set[..], &["--set", "transfer.head=keep"], more].concat())));
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        assert!(done.stdout.contains("estimated ρ"), "{}", done.stdout);
        let all = of_kind(&out, "alignment");
        assert_eq!(all.len(), 2, "one a seed");
        all.iter().map(|r| metric(r, "rho")).sum::<f64>() / 2.0
    };
    let same = of("same", &[]);
    assert!((same - 1.0).abs() < 0.05, "{same}");
    // A third of the labels is wrong, spread over two other classes: the signal is halved.
    let noisy = of("noisy", &["--set", "source.label_noise=0.3333"]);
    assert!((noisy - 2.0).abs() < 0.3, "{noisy}");
    let other = of("other", &["--set", "target.classes=[7, 8, 9]"]);
    assert!(other.abs() < 0.5, "{other}");
}

#[test]
fn any_setting_of_the_source_can_take_the_penaltys_part() {
    let folder = tempfile::tempdir().unwrap();
    let text = SMALL.replace("lambda0: [0, 1e-3, 1e-2]", "lambda0: 0\nstrength: {axis: source.epochs, stronger: smaller}");
    let study = write(folder.path(), "small.yaml", &text.replace("epochs: 4", "epochs: [1, 3, 9]"));
    let done = run(&mut sweep(&study, folder.path(), &quiet(&["--seeds", "3"])));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stdout.contains("λ₀ stands for `source.epochs`, smaller is stronger"), "{}", done.stdout);
    let summary = json(&std::fs::read_to_string(folder.path().join("small/report/summary.json")).unwrap());
    assert!([1.0, 3.0, 9.0].contains(&summary["lambda0_source_optimal"].as_f64().unwrap()), "{summary}");
    assert_eq!(summary["strength"]["axis"], "source.epochs");
    let figure = std::fs::read_to_string(folder.path().join("small/report/figure2.svg")).unwrap();
    assert!(figure.contains("source.epochs (for λ₀)"));
}

#[test]
fn a_diverging_stage_is_recorded_with_epoch_and_step() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let done = run(&mut sweep(&study, folder.path(), &quiet(&["--set", "source.lr=[0.1, 1e20]", "--seeds", "1", "--set", "lambda0=0"])));
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    let all = records(folder.path(), "small");
    let diverged: Vec<_> = all.iter().filter(|r| r["status"] == "diverged").collect();
    assert!(
        diverged
            .iter()
            .any(|r| r["kind"] == "source" && r["error"].as_str().unwrap().starts_with("the loss stopped being finite at epoch 1, step ")),
        "{diverged:?}"
    );
    assert!(diverged.iter().any(|r| r["kind"] == "target" && r["error"].as_str().unwrap().starts_with("its source diverged")));
    assert!(all.iter().filter(|r| r["axes"]["source.lr"] == 0.1).all(|r| r["status"] == "done"));
    assert!(!std::fs::read_to_string(folder.path().join("small/report/summary.json")).unwrap().contains("NaN"));
}

#[test]
fn the_demo_answers() {
    let folder = tempfile::tempdir().unwrap();
    let done = run(&mut sweep(&repository().join("experiments/demo.yaml"), folder.path(), &quiet(&["--preset", "small"])));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    for word in ["STRONGER, settled: the target wants about", "worth it?", "nothing: settled", "demo/report/index.html"] {
        assert!(done.stdout.contains(word), "{word} in {}", done.stdout);
    }
    let verbose = run(program().arg("report").arg(folder.path().join("demo")).arg("--verbose"));
    for word in ["by validation loss λ₀* =", "against λ_S* =", "How sure", "Cost of choosing", "negative transfer", "figure2.png"] {
        assert!(verbose.stdout.contains(word), "{word} in {}", verbose.stdout);
    }
    let summary = json(&std::fs::read_to_string(folder.path().join("demo/report/summary.json")).unwrap());
    assert!(done.stdout.contains(summary["headline"].as_str().unwrap()), "{}", done.stdout);
    for key in [
        "lambda0_source_optimal",
        "lambda0_transfer_optimal",
        "lambda1_transfer_optimal",
        "log_ratio",
        "mismatch_cost",
        "negative_transfer",
        "edge",
    ] {
        assert!(summary.get(key).is_some(), "{key}");
    }
    for name in ["figure2.svg", "figure2.png", "heatmap.svg", "heatmap.png", "results.csv"] {
        assert!(std::fs::metadata(folder.path().join("demo/report").join(name)).unwrap().len() > 1000, "{name}");
    }
    let again = run(program().arg("report").arg(folder.path().join("demo")));
    assert!(again.stdout.lines().next() == done.stdout.trim_start().lines().next(), "{}", again.stdout);
}
