//! `export` and `predict`: which model is meant, what is kept, and what the report makes of it.
#![cfg(feature = "torch")]

use std::path::{Path, PathBuf};

use crate::common::*;

const STUDY: &str = "\
name: digits
data: digits
seeds: 2
lambda0: [0, 1e-2]
lambda1: [0, 1e-1]
model: {kind: mlp, hidden: [16]}
source: {classes: [0, 1, 2, 3], per_class: 30, epochs: 6, lr: 0.1, batch_size: 20}
target: {classes: [5, 6, 7], per_class: 8, epochs: 10, lr: 0.1}
scratch: {lambdas: [0]}
";

fn trained(folder: &Path, text: &str) -> PathBuf {
    let study = write(folder, "study.yaml", text);
    let done = run(&mut sweep(&study, folder, &[]));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    folder.join("digits")
}

fn command(words: &[&str], logs: &Path, more: &[&str]) -> Done {
    run(program().args(words).arg(logs).args(more))
}

#[test]
fn kept_predictions_are_those_of_the_records_and_the_report_shows_them() {
    let folder = tempfile::tempdir().unwrap();
    let logs = trained(folder.path(), STUDY);
    let kept = command(&["predict"], &logs, &["--keep"]);
    assert_eq!(kept.code, Some(0), "{}", kept.stderr);
    assert!(kept.stdout.contains("are kept"), "{}", kept.stdout);
    let again = command(&["predict"], &logs, &["--keep"]);
    assert!(again.code == Some(0) && again.stderr.is_empty(), "nothing is predicted twice: {}", again.stderr);

    let report = command(&["report"], &logs, &["--verbose"]);
    let text = report.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("Calibration error (15 bins; 0% is calibrated): target at λ₀*"), "{text}");
    assert!(
        text.contains("Image by image against training from scratch (McNemar's exact test in each seed, first draw): of 2 seeds"),
        "{text}"
    );
    for name in ["reliability.svg", "reliability.png", "reliability.csv"] {
        assert!(logs.join("report").join(name).exists(), "{name}");
    }
    let page = std::fs::read_to_string(logs.join("report/index.html")).unwrap();
    assert!(page.contains("Which classes are confused") && page.contains("Are the models as sure as they should be?"));

    // Accuracy and confusion are those of the records.
    let summary = json(&command(&["report"], &logs, &["--json"]).stdout);
    let models = summary["predictions"]["models"].as_array().unwrap();
    let of = |name: &str| models.iter().find(|model| model["model"] == name).unwrap();
    let all = records(folder.path(), "digits");
    let mean = |kind: &str, lambda0: &serde_json::Value, lambda1: &serde_json::Value| {
        let is_it = |record: &&serde_json::Value| {
            record["kind"] == kind
                && (kind == "scratch" || record["axes"]["lambda0"].as_f64() == lambda0.as_f64())
                && (kind != "target" || record["axes"]["lambda1"].as_f64() == lambda1.as_f64())
        };
        let values: Vec<f64> = all.iter().filter(is_it).map(|record| record["metrics"]["test_acc"].as_f64().unwrap()).collect();
        assert_eq!(values.len(), 2, "{kind}");
        (values[0] + values[1]) / 2.0
    };
    let (lambda0, lambda1) = (&summary["lambda0_transfer_best_trained"], &summary["lambda1_transfer_optimal"]);
    for (name, kind) in [("target", "target"), ("scratch", "scratch")] {
        let ours = of(name)["accuracy"]["estimate"].as_f64().unwrap();
        assert!((ours - mean(kind, lambda0, lambda1)).abs() < 1e-9, "{name}: {ours} and {}", mean(kind, lambda0, lambda1));
    }
    let confusion = of("target")["confusion"].as_array().unwrap();
    let count = |at: usize| confusion[at].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum::<u64>();
    let right: u64 = (0..3).map(|at| confusion[at][at].as_u64().unwrap()).sum();
    let accuracy = right as f64 / (0..3).map(count).sum::<u64>() as f64;
    assert!((accuracy - of("target")["accuracy"]["estimate"].as_f64().unwrap()).abs() < 1e-9);
    let tests = summary["predictions"]["mcnemar_against_scratch"].as_array().unwrap();
    assert!(tests.len() == 2 && tests.iter().all(|test| (0.0..=1.0).contains(&test["p"].as_f64().unwrap())), "{tests:?}");

    // A damaged file is left out, with a warning.
    let some = std::fs::read_dir(logs.join("predictions")).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&some, "damaged").unwrap();
    let report = command(&["report"], &logs, &[]);
    assert!(
        report.code == Some(0) && report.stderr.contains("is no file of predictions") && report.stderr.contains("left out"),
        "{}",
        report.stderr
    );
    assert!(run(&mut sweep(&folder.path().join("study.yaml"), folder.path(), &["--fresh", "--yes"])).code == Some(0));
    assert!(!logs.join("predictions").exists(), "--fresh discards predictions too");
}

#[test]
fn a_model_is_named_by_its_place_or_by_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let logs = trained(folder.path(), STUDY);
    let key = records(folder.path(), "digits").into_iter().find(|record| record["kind"] == "target").unwrap()["key"].clone();
    let to = folder.path().join("model");
    let done = command(&["export"], &logs, &["--at", key.as_str().unwrap(), "--to", &to.display().to_string()]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let config = json(&std::fs::read_to_string(to.join("config.json")).unwrap());
    assert_eq!((&config["key"], &config["model"], &config["classes"]), (&key, &"target".into(), &json("[\"5\", \"6\", \"7\"]")));
    assert!(to.join("load.py").exists() && to.join("model.safetensors").exists());
    // A lost source model is trained again, too.
    std::fs::remove_dir_all(logs.join("checkpoints")).unwrap();
    let other = folder.path().join("other");
    let done = command(&["export"], &logs, &["--at", key.as_str().unwrap(), "--to", &other.display().to_string()]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let numbers = |folder: &Path| {
        let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        bytes[8 + header..].to_vec()
    };
    assert!(numbers(&to) == numbers(&other), "the same model, bit for bit");
    // Other data of the same kind, by the names of its classes.
    let file = folder.path().join("on.csv");
    let done = command(&["predict"], &logs, &["--on", "digits", "--to", &file.display().to_string()]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("index,label,predicted,logit_5,logit_6,logit_7\n"), "{}", &text[..60]);
    assert_eq!(text.lines().count(), 1 + 1797, "all digits, of which those of other classes have no label");
    assert!(done.stdout.contains("of 542 examples (1797 in all)"), "{}", done.stdout);
}

#[test]
fn what_cannot_be_exported_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let text = STUDY.replace("per_class: 8", "per_class: [4, 8]") + "label: \"{target.per_class} images\"\n";
    let logs = trained(folder.path(), &text);
    let to = folder.path().join("model").display().to_string();
    let cases: [(&[&str], &str); 8] = [
        (&[], "the study has several settings"),
        (&["--setting", "5 images"], "the study has no setting `5 images`"),
        (&["--setting", "4 images", "--seed", "7"], "the study has no seed 7"),
        (&["--setting", "4 images", "--draw", "3"], "there is no draw 3"),
        (&["--at", "zzz"], "no stage has the key `zzz`"),
        (&["--at", ""], "no stage has the key ``"),
        (&["--model", "none"], "invalid value 'none'"),
        (&["--device", "cuda:9", "--setting", "4 images"], "--device cuda:9"),
    ];
    for (more, words) in cases {
        let done = command(&["export"], &logs, &[more, &["--to", &to]].concat());
        assert!(done.code != Some(0) && done.stderr.contains(words), "{more:?}: {:?} {}", done.code, done.stderr);
    }
    assert!(!Path::new(&to).exists(), "nothing is written");
    let done = command(&["export"], &logs, &["--setting", "8 images", "--to", &to]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let taken = command(&["export"], &logs, &["--setting", "8 images", "--to", &logs.display().to_string()]);
    assert!(taken.stderr.contains("is taken"), "{}", taken.stderr);
    let wrong = command(&["predict"], &logs, &["--setting", "8 images", "--to", "a.txt"]);
    assert!(wrong.stderr.contains("neither .parquet nor .csv"), "{}", wrong.stderr);
    let other = command(&["predict"], &logs, &["--setting", "8 images", "--on", "{table: none.csv, label: y}", "--to", "a.csv"]);
    assert!(other.code == Some(2) && other.stderr.contains("none.csv"), "{}", other.stderr);
    // Nothing is answered yet, and made-up results have no models.
    let mock = tempfile::tempdir().unwrap();
    let study = write(mock.path(), "study.yaml", STUDY);
    assert_eq!(run(&mut sweep(&study, mock.path(), &["--engine", "mock"])).code, Some(0));
    let done = command(&["export"], &mock.path().join("digits"), &["--to", &to]);
    assert!(done.code == Some(2) && done.stderr.contains("made up"), "{}", done.stderr);
    std::fs::remove_dir_all(mock.path().join("digits/records")).unwrap();
    std::fs::create_dir(mock.path().join("digits/records")).unwrap();
    for words in [["export", "--to"], ["predict", "--keep"]] {
        let more: Vec<&str> = if words[1] == "--to" { vec!["--to", &to] } else { vec!["--keep"] };
        let done = command(&words[..1], &mock.path().join("digits"), &more);
        assert!(done.code == Some(2) && done.stderr.contains("has no answer yet"), "{words:?}: {}", done.stderr);
    }
}

/// Each prediction can be joined to the file that it is of.
#[test]
fn predictions_name_their_files() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    // Dark and light images: the class is seen in each.
    for i in 0..60u8 {
        let class = ["dark", "light"][usize::from(i % 2)];
        std::fs::create_dir_all(at.join("images").join(class)).unwrap();
        let value = if i % 2 == 0 { i } else { 180 + i };
        image::GrayImage::from_pixel(4, 4, image::Luma([value])).save(at.join(format!("images/{class}/{i}.png"))).unwrap();
    }
    let text = "name: files\ndata: {images: images}\nlambda0: [0]\nlambda1: [0]\nmodel: {kind: mlp, hidden: [4]}\n\
                source: {per_class: 5, validation_per_class: 5, epochs: 40, lr: 0.1}\n\
                target: {per_class: 5, validation_per_class: 5, epochs: 40, lr: 0.1}\n";
    let study = write(at, "files.yaml", text);
    let done = run(program().current_dir(at).arg("sweep").arg(&study).args(["--out", "logs", "--quiet"]));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let predicted = |on: &[&str]| -> Vec<Vec<String>> {
        let done = run(program().current_dir(at).args(["predict", "logs/files", "--to", "p.csv"]).args(on));
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        let text = std::fs::read_to_string(at.join("p.csv")).unwrap();
        assert!(text.starts_with("index,example,label,predicted,"), "{text}");
        text.lines().skip(1).map(|line| line.split(',').map(str::to_string).collect()).collect()
    };
    let (tested, all) = (predicted(&[]), predicted(&["--on", "{images: images}"]));
    assert!(!tested.is_empty() && all.len() == 60);
    for row in tested.iter().chain(&all) {
        assert!(row[1].starts_with(&format!("{}/", row[2])) && at.join("images").join(&row[1]).is_file(), "{row:?}");
    }
    // The same file has the same outputs in both.
    let of = |file: &str| all.iter().find(|row| row[1] == file).unwrap()[2..].to_vec();
    assert!(tested.iter().all(|row| row[2..] == of(&row[1])));
    let names: std::collections::BTreeSet<&String> = all.iter().map(|row| &row[1]).collect();
    assert_eq!(names.len(), 60);
}

#[test]
fn every_cell_is_a_run_of_mlflow() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "study.yaml", SMALL);
    assert_eq!(run(&mut sweep(&study, folder.path(), &["--engine", "mock"])).code, Some(0));
    let to = folder.path().join("mlruns");
    let more = ["--format", "mlflow", "--to", &to.display().to_string()];
    for _ in 0..2 {
        let done = command(&["export"], &folder.path().join("small"), &more); // the second time replaces the first
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        assert!(done.stdout.starts_with("14 runs in"), "{}", done.stdout);
    }
    let out = std::process::Command::new(repository().join(".venv/bin/python"))
        .arg(repository().join("tests/python/mlflow_runs.py"))
        .arg(&to)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let read = json(&String::from_utf8_lossy(&out.stdout));
    assert_eq!((&read["experiment"], &read["runs"]), (&"small".into(), &14.into()));
    let one = records(folder.path(), "small").into_iter().find(|record| record["kind"] == "target").unwrap();
    let theirs = &read["by_key"][one["key"].as_str().unwrap()];
    assert_eq!(theirs["params"]["seed"], one["seed"].to_string());
    assert_eq!(theirs["metrics"]["test_acc"], one["metrics"]["test_acc"]);
    let epochs = one["history"].as_array().unwrap();
    let curve: Vec<f64> = epochs.iter().map(|epoch| epoch["val_acc"].as_f64().unwrap()).collect();
    assert_eq!(theirs["epoch.val_acc"], serde_json::json!(curve));
    assert!(theirs["params"]["lambda0"].is_string() && theirs["metrics"]["source.test_acc"].is_number(), "{theirs}");
}

#[test]
fn every_cell_is_an_offline_run_of_wandb() {
    let folder = tempfile::tempdir().unwrap();
    // So many epochs that a log has several blocks.
    let study = write(folder.path(), "study.yaml", &SMALL.replace("epochs: 3,", "epochs: 300,"));
    assert_eq!(run(&mut sweep(&study, folder.path(), &["--engine", "mock"])).code, Some(0));
    let to = folder.path().join("wandb runs");
    let more = ["--format", "wandb", "--to", &to.display().to_string()];
    for _ in 0..2 {
        let done = command(&["export"], &folder.path().join("small"), &more);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        assert!(done.stdout.starts_with("14 runs in") && done.stdout.contains("wandb runs'/offline-run-*"), "{}", done.stdout);
    }
    let out = std::process::Command::new(repository().join(".venv/bin/python"))
        .arg(repository().join("tests/python/wandb_runs.py"))
        .arg(&to)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let read = json(&String::from_utf8_lossy(&out.stdout));
    assert_eq!(read.as_object().unwrap().len(), 14);
    let one = records(folder.path(), "small").into_iter().find(|record| record["kind"] == "target").unwrap();
    let theirs = &read[one["key"].as_str().unwrap()];
    assert_eq!((&theirs["project"], &theirs["job_type"]), (&"small".into(), &"target".into()));
    assert_eq!(theirs["config"]["seed"].as_f64(), one["seed"].as_f64());
    assert_eq!(theirs["config"]["lambda0"].as_f64(), one["axes"]["lambda0"].as_f64());
    assert_eq!(theirs["summary"]["test_acc"], one["metrics"]["test_acc"]);
    let curve: Vec<f64> = one["history"].as_array().unwrap().iter().map(|epoch| epoch["val_acc"].as_f64().unwrap()).collect();
    assert!(curve.len() == 300 && theirs["blocks"].as_u64() > Some(1), "{} epochs", curve.len());
    assert_eq!(theirs["epoch.val_acc"], serde_json::json!(curve));
    let (group, exit) = (theirs["group"].as_str().unwrap(), theirs["exit"].as_i64());
    assert!(group.starts_with("lambda0=") && !group.contains("seed") && exit == Some(0), "{theirs}");
    // Runs of another study stay, and so does what is not of an export.
    let mine = to.join("offline-run-mine");
    std::fs::create_dir(&mine).unwrap();
    std::fs::write(mine.join("stage.txt"), "mine").unwrap();
    let study = write(folder.path(), "other.yaml", &SMALL.replace("name: small", "name: other"));
    assert_eq!(run(&mut sweep(&study, folder.path(), &["--engine", "mock"])).code, Some(0));
    for name in ["other", "small"] {
        assert_eq!(command(&["export"], &folder.path().join(name), &more).code, Some(0));
    }
    assert_eq!(std::fs::read_dir(&to).unwrap().count(), 14 + 14 + 1);
}
