//! Weights from PyTorch, and models for PyTorch, compared with PyTorch itself.
#![cfg(feature = "torch")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value as Json;

use crate::common::*;

/// A folder with what tests/python/pytorch.py makes. None where PyTorch and torchvision are not
/// installed (`make .venv/pytorch`); CI has them.
fn made() -> Option<&'static Path> {
    static MADE: OnceLock<Option<tempfile::TempDir>> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let is_there = python(&["-c", "import torch, torchvision, numpy"]).is_ok();
        if !is_there {
            assert!(std::env::var_os("CI").is_none(), "CI has PyTorch: make .venv/pytorch");
            eprintln!("skipped: PyTorch cannot be imported; `make .venv/pytorch` installs it");
            return None;
        }
        script(&["make", &folder.path().display().to_string()]);
        Some(folder)
    });
    made.as_ref().map(|folder| folder.path())
}

fn python(arguments: &[&str]) -> Result<String, String> {
    let program = repository().join(".venv/pytorch/bin/python");
    let out = Command::new(program).args(arguments).current_dir(std::env::temp_dir()).output().map_err(|error| error.to_string())?;
    match out.status.success() {
        true => Ok(String::from_utf8_lossy(&out.stdout).into()),
        false => Err(String::from_utf8_lossy(&out.stderr).into()),
    }
}

fn script(arguments: &[&str]) -> String {
    let script = repository().join("tests/python/pytorch.py").display().to_string();
    python(&[&[script.as_str()], arguments].concat()).unwrap_or_else(|error| panic!("{error}"))
}

/// What PyTorch says of exported models.
fn check(images: &str, models: &[&str]) -> Vec<Json> {
    json(&script(&[&["check", images], models].concat())).as_array().unwrap().clone()
}

const RESNET: &str = "\
name: resnet
data: {npz: DATA/images.npz}
model: {kind: resnet18, stem: imagenet, norm: batch}
input: {mean: [0.5, 0.4, 0.3], sd: [0.25, 0.2, 0.3]}
seeds: [0, 1]
lambda0: LAMBDA0
lambda1: [1e-2]
source: {init: DATA/FILE, per_class: 10, validation_per_class: 4, epochs: EPOCHS, lr: 0.01, batch_size: 20}
target: {classes: ['0', '1'], per_class: 4, validation_per_class: 4, epochs: 1, lr: 0.01}
scratch: {lambdas: []}
";

fn resnet(folder: &Path, data: &Path, file: &str, lambda0: &str, epochs: usize) -> PathBuf {
    let text = RESNET.replace("DATA", &data.display().to_string()).replace("FILE", file).replace("LAMBDA0", lambda0);
    write(folder, "study.yaml", &text.replace("EPOCHS", &epochs.to_string()))
}

fn near(a: &Json, b: &Json, tolerance: f64) -> bool {
    let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
    (a - b).abs() <= tolerance * b.abs().max(1e-3)
}

fn source_metrics(out: &Path, study: &str) -> Json {
    records(out, study).into_iter().find(|record| record["kind"] == "source").unwrap()["metrics"].clone()
}

#[test]
fn a_resnet_of_torchvision_is_the_same_network_here() {
    let Some(data) = made() else { return };
    let expected = json(&std::fs::read_to_string(data.join("expected.json")).unwrap());
    for file in ["whole.pt", "nested.pt", "transposed.pt", "half.pt"] {
        let folder = tempfile::tempdir().unwrap();
        let study = resnet(folder.path(), data, file, "[0]", 0);
        let done = run(&mut sweep(&study, folder.path(), &[]));
        assert_eq!(done.code, Some(0), "{file}: {}", done.stderr);
        let metrics = source_metrics(folder.path(), "resnet");
        let tolerance = if file == "half.pt" { 1e-2 } else { 1e-5 };
        assert!(near(&metrics["test_loss"], &expected["loss"], tolerance), "{file}: {metrics} and {}", expected["loss"]);
        assert!(file == "half.pt" || metrics["test_acc"] == expected["accuracy"], "{file}: {metrics}");
        assert!(done.stdout.contains("untrained"), "{}", done.stdout);
    }
}

#[test]
fn a_pretrained_source_is_trained_pulled_to_and_exported_again() {
    let Some(data) = made() else { return };
    let folder = tempfile::tempdir().unwrap();
    let study = resnet(folder.path(), data, "other-head.pt", "[0, 10]", 2);
    let planned = run(program().arg("plan").arg(&study));
    let planned = planned.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in ["100 tensors from", "fresh: fc.weight, fc.bias; not used: fc.bias, fc.weight"] {
        assert!(planned.contains(words), "{planned}");
    }
    let centred = ["--set", "penalty.source_center=init", "--set", "penalty.step=proximal", "--seeds", "1"];
    let done = run(&mut sweep(&study, folder.path(), &centred));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stdout.contains("pulls to these weights"), "{}", done.stdout);
    let distance = |lambda0: f64| {
        let all = records(folder.path(), "resnet");
        let own = all.iter().find(|record| record["kind"] == "source" && record["axes"]["lambda0"] == lambda0).unwrap();
        own["metrics"]["distance"].as_f64().unwrap()
    };
    assert!(distance(10.0) < 0.5 * distance(0.0), "λ₀ pulls to the weights of the file: {} and {}", distance(10.0), distance(0.0));

    // A file that has changed is not taken for the one that the results are of.
    let logs = folder.path().join("resnet");
    let changed = folder.path().join("start.pt");
    std::fs::copy(data.join("whole.pt"), &changed).unwrap();
    let other = resnet(folder.path(), folder.path(), "start.pt", "[0]", 0);
    let text = std::fs::read_to_string(&other).unwrap();
    let text = text.replace(&format!("{}/images.npz", folder.path().display()), &format!("{}/images.npz", data.display()));
    let other = write(folder.path(), "other.yaml", &text.replace("name: resnet", "name: other"));
    assert_eq!(run(&mut sweep(&other, folder.path(), &["--seeds", "1"])).code, Some(0));
    std::fs::copy(data.join("half.pt"), &changed).unwrap();
    std::fs::remove_dir_all(folder.path().join("other/checkpoints")).unwrap();
    let done = run(program().arg("export").arg(folder.path().join("other")).arg("--to").arg(folder.path().join("no")));
    assert!(done.code == Some(2) && done.stderr.contains("has other content than when the study's results were made"), "{}", done.stderr);
    assert_eq!(run(program().arg("report").arg(folder.path().join("other"))).code, Some(0), "a report needs no weights");

    // The exported model is the one of the record, in PyTorch and as another start.
    let to = folder.path().join("model");
    let done = run(program().arg("export").arg(&logs).args(["--model", "target", "--to"]).arg(&to));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stderr.contains("every metric is that of its record"), "{}", done.stderr);
    let checked = &check(&data.join("images.npz").display().to_string(), &[&to.display().to_string()])[0];
    assert!(near(&checked["loss"], &checked["metrics"]["test_loss"], 1e-5), "{checked}");
    assert_eq!(checked["accuracy"], checked["metrics"]["test_acc"]);
}

#[test]
fn what_does_not_fit_is_refused_and_no_code_is_run() {
    let Some(data) = made() else { return };
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        ("missing.pt", "has no weights `layer3.1.bn2.running_var`, which are [256] here"),
        ("misshapen.pt", "is [64, 32, 3, 3], and here [64, 64, 3, 3]"),
        ("nan.pt", "has values that are not finite in float32"),
        ("more.pt", "has weights that this network lacks: layer1.2.conv1.weight"),
        ("itself.pt", "holds no state dict"),
        ("code.pt", ".eval`), and nothing of it is run"),
        ("complex.pt", "ComplexFloatStorage"),
        ("empty.pt", "holds no state dict"),
        ("script.pt", "is a TorchScript module"),
        ("old.pkl", "is a pickle of PyTorch before 1.6, or of something else"),
        ("cut.pt", "is a damaged zip file"),
        ("text.pt", "is neither safetensors nor a file of `torch.save`"),
        ("none.pt", "is not there"),
    ];
    for (file, words) in cases {
        let study = resnet(folder.path(), data, file, "[0]", 1);
        let done = run(program().current_dir(folder.path()).arg("plan").arg(&study));
        assert_eq!(done.code, Some(2), "{file}: {}{}", done.stdout, done.stderr);
        assert!(done.stderr.contains(words) && done.stderr.contains("source.init"), "{file}: {}", done.stderr);
        assert_eq!(done.stderr.matches("hint:").count(), 1, "{file}: {}", done.stderr);
    }
    assert!(!folder.path().join("it-ran").exists() && !std::env::temp_dir().join("it-ran").exists());
}

#[test]
fn colours_are_changed_as_by_torchvision() {
    if made().is_none() {
        return;
    }
    let theirs: Vec<f64> = serde_json::from_str(&script(&["jitter"])).unwrap();
    let pixels: Vec<f64> = (0..2 * 4 * 5 * 3).map(|i| f64::from((7919 * i) % 256) / 255.0).collect();
    let pixels = tch::Tensor::from_slice(&pixels).reshape([1, 2, 4, 5, 3]);
    let factors = tch::Tensor::from_slice(&[0.7, 1.3, 0.6, 1.4, 0.5, 1.8]).reshape([1, 2, 3]);
    let ours: Vec<f64> = Vec::try_from(transfergrid::train::jitter(&pixels, &factors).reshape([-1])).unwrap();
    let worst = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(worst < 1e-6 && ours.len() == theirs.len(), "{worst}");
}

#[test]
fn a_square_is_cut_out_where_it_is_in_the_image() {
    let images = tch::Tensor::ones([1, 2, 5, 4, 1], (tch::Kind::Float, tch::Device::Cpu));
    let centres = tch::Tensor::from_slice(&[0i64, 3, 2, 1]).reshape([1, 2, 2]);
    let left: Vec<f32> = Vec::try_from(transfergrid::train::cut_out(&images, &centres, 3).reshape([-1])).unwrap();
    let rows = |image: usize| left[20 * image..20 * (image + 1)].chunks(4).map(|row| row.to_vec()).collect::<Vec<_>>();
    let (all, end) = (vec![1.0; 4], vec![1.0, 1.0, 0.0, 0.0]);
    assert_eq!(rows(0), [end.clone(), end, all.clone(), all.clone(), all.clone()]);
    let hole = vec![0.0, 0.0, 0.0, 1.0];
    assert_eq!(rows(1), [all.clone(), hole.clone(), hole.clone(), hole, all]);
}

/// The worked files of docs/networks.md, on small pictures and with networks that need no download.
#[test]
fn the_worked_files_work() {
    if made().is_none() {
        return;
    }
    let text = std::fs::read_to_string(repository().join("docs/networks.md")).unwrap();
    let blocks = |kind: &str| text.split(&format!("```{kind}\n")).skip(1).map(|rest| rest.split("```").next().unwrap()).collect::<Vec<_>>();
    let folder = tempfile::tempdir().unwrap();
    script(&["photos", &folder.path().join("photos").display().to_string()]);
    std::os::unix::fs::symlink(folder.path().join("photos"), folder.path().join("pets")).unwrap();
    let studies: Vec<&str> = blocks("yaml").into_iter().filter(|block| block.contains("name: ")).collect();
    assert_eq!(studies.len(), 2);
    let planned = run(program().current_dir(folder.path()).arg("plan").arg(write(folder.path(), "pets.yaml", studies[0])));
    assert_eq!(planned.code, Some(0), "{}", planned.stderr);
    let planned = planned.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(planned.contains("100 tensors from resnet18.pt; fresh: fc.weight, fc.bias"), "{planned}");

    // The script for features, with a transformer of one layer in place of the one to download.
    let features = blocks("python")[0];
    let small = "torchvision.models.VisionTransformer(224, 32, 1, 2, 32, 64).eval()";
    let patched = features.replace("torchvision.models.vit_b_16(weights=weights).eval()", small);
    assert_ne!(patched, features);
    write(folder.path(), "features.py", &patched);
    let out = Command::new(repository().join(".venv/pytorch/bin/python")).arg("features.py").current_dir(folder.path()).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let study = write(folder.path(), "frozen.yaml", &studies[1].replace("epochs: 40", "epochs: 5"));
    let mut sweep = program();
    sweep.current_dir(folder.path()).arg("sweep").arg(study).args(["--seeds", "2", "--device", &device_name()]);
    let done = run(&mut sweep);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stdout.contains("best for target"), "{}", done.stdout);
}

const CONVNET: &str = "{kind: convnet, channels: [4, 8], norm: batch}";

/// A study like [`SMALL`] with a module.
fn of_module(folder: &Path, data: &Path, name: &str, model: &str) -> PathBuf {
    let text = SMALL.replace("name: small", &format!("name: {name}")).replace("MODEL", model);
    write(folder, &format!("{name}.yaml"), &text.replace("DATA", &data.display().to_string()))
}

fn module(data: &Path, file: &str, more: &str) -> String {
    format!("{{kind: torchscript, file: {}, head: head{more}}}", data.join(file).display())
}

#[test]
fn a_module_gives_the_results_of_the_same_network_here() {
    let Some(data) = made() else { return };
    let folder = tempfile::tempdir().unwrap();
    let metrics = |name: &str, model: &str| {
        let done = run(&mut sweep(&of_module(folder.path(), data, name, model), folder.path(), &[]));
        assert_eq!(done.code, Some(0), "{name}: {}", done.stderr);
        let key = |record: &Json| (record["kind"].to_string(), record["axes"].to_string());
        let mut all = records(folder.path(), name);
        all.sort_by_key(key);
        all
    };
    let own = metrics("own", CONVNET);
    for file in ["net.pt", "traced.pt"] {
        let theirs = metrics(file.trim_end_matches(".pt"), &module(data, file, ""));
        assert_eq!(own.len(), theirs.len());
        if file == "traced.pt" {
            continue; // it was traced in evaluation mode, and stays in it
        }
        for (own, theirs) in own.iter().zip(&theirs) {
            assert_eq!(own["axes"], theirs["axes"]);
            for name in ["test_loss", "val_loss", "weight_norm"] {
                let (a, b) = (&own["metrics"][name], &theirs["metrics"][name]);
                assert!(near(b, a, 1e-4), "{file} {} {name}: {a} and {b}", own["kind"]);
            }
        }
    }
    // Frozen, with its own weights as the start, and by AdamW.
    for (name, more) in [
        ("probe", "transfer.method=probe"),
        ("adamw", "source.optimiser=adamw"),
        ("clipped", "source.clip_norm=0.1"),
        ("tf32", "precision=tf32"),
    ] {
        let study = of_module(folder.path(), data, name, &module(data, "net.pt", ", start: file"));
        let done = run(&mut sweep(&study, folder.path(), &["--set", more]));
        assert_eq!(done.code, Some(0), "{name}: {}", done.stderr);
    }
    // Taken to PyTorch, with a head of two classes in place of seven.
    let to = folder.path().join("exported");
    let done = run(program().arg("export").arg(folder.path().join("net")).arg("--to").arg(&to));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stdout.contains("module.pt") && done.stderr.contains("every metric is that of its record"), "{}", done.stderr);
    let checked = &check(&data.join("images.npz").display().to_string(), &[&to.display().to_string()])[0];
    assert!(near(&checked["loss"], &checked["metrics"]["test_loss"], 1e-5), "{checked}");
    let frozen = records(folder.path(), "probe");
    let distance = frozen.iter().find(|record| record["kind"] == "target").unwrap()["metrics"]["distance"].clone();
    assert_eq!(distance, 0.0, "the backbone is frozen");
}

#[test]
fn a_module_that_is_stopped_and_resumed_gives_the_same_records() {
    let Some(data) = made() else { return };
    let folder = tempfile::tempdir().unwrap();
    let study = of_module(folder.path(), data, "module", &module(data, "net.pt", ""));
    let long = ["--set", "source.epochs=800", "--set", "lambda0=[1e-2]", "--workers", "2"];
    let whole = folder.path().join("whole");
    assert_eq!(run(&mut sweep(&study, &whole, &long)).code, Some(0));
    let (stopped, mut stops) = (folder.path().join("stopped"), 0);
    for _ in 0..3 {
        let mut running = spawn(&mut sweep(&study, &stopped, &long));
        until_it_trains(&mut running, &stopped, "module");
        signal("-TERM", running.id());
        stops += usize::from(running.wait().unwrap().code() == Some(75));
    }
    assert!(stops > 0, "stopped at least once");
    assert_eq!(run(&mut sweep(&study, &stopped, &long)).code, Some(0));
    assert_eq!(results(&whole, "module"), results(&stopped, "module"));
}

#[test]
fn modules_that_cannot_be_used_are_refused() {
    let Some(data) = made() else { return };
    let folder = tempfile::tempdir().unwrap();
    let fc = |file: &str| module(data, file, "").replace("head: head", "head: fc");
    let cases = [
        (fc("whole.pt"), "is no TorchScript module"),
        (fc("none.pt"), "is not there"),
        (module(data, "net.pt", "").replace(", head: head", ""), "`model.head`: is missing"),
        (module(data, "net.pt", ", channels: [4]"), "`model.channels`: a TorchScript module has its own layers"),
        (CONVNET.replace("}", ", head: fc}"), "`model.head`: belongs to `kind: torchscript`"),
        (fc("net.pt"), "has no layer `fc`; its parameters are conv1.weight"),
        (fc("dropout.pt").replace("head: fc", "head: '2'"), "draws random numbers (`aten::dropout`)"),
        (fc("narrow.pt"), "fails on inputs [B, C, H, W] of size [2, 3, 32, 32]"),
        (fc("no-classes.pt"), "and the task has 3 outputs"),
        (fc("double.pt"), "`fc.weight`"),
        (fc("two.pt"), "not a tensor"),
        (fc("attention.pt"), "draws random numbers (`aten::scaled_dot_product_attention`)"),
        (fc("changes.pt"), "changes its attributes in its forward pass"),
        (fc("tied.pt"), "shares its memory with another parameter"),
        (fc("counts.pt"), "has BatchNorm with `momentum=None`"),
        (module(data, "trained.pt", ""), "was traced in training mode"),
    ];
    for (i, (model, words)) in cases.iter().enumerate() {
        let study = of_module(folder.path(), data, &format!("study{i}"), model);
        let done = run(&mut sweep(&study, folder.path(), &[]));
        let all = format!("{}{}", done.stdout, done.stderr);
        assert!(done.code == Some(2) && all.contains(words), "{model}: {:?} {all}", done.code);
        assert!(!all.contains("panic"), "{all}");
    }
    for name in ["no-dropout", "eval-dropout", "unused", "heads"] {
        let study = of_module(folder.path(), data, name, &fc(&format!("{name}.pt")));
        let done = run(&mut sweep(&study, folder.path(), &[]));
        assert_eq!(done.code, Some(0), "{name}: {}{}", done.stdout, done.stderr);
    }
    for more in ["source.dropout=0.1", "precision=bf16", "transfer.method=ridge", "alignment=true"] {
        let study = of_module(folder.path(), data, "more", &module(data, "net.pt", ""));
        let done = run(program().arg("plan").arg(study).args(["--set", more]));
        assert!(done.code == Some(2) && done.stderr.contains("a TorchScript module"), "{more}: {}", done.stderr);
    }
}

const SMALL: &str = "\
name: small
data: {npz: DATA/images.npz}
model: MODEL
seeds: 1
lambda0: [0, 1e-2]
lambda1: [1e-2]
source: {classes: ['0', '1', '2'], per_class: 12, validation_per_class: 4, epochs: 2, lr: 0.05, batch_size: 12}
target: {classes: ['3', '1'], per_class: 6, validation_per_class: 4, epochs: 2, lr: 0.05}
scratch: {lambdas: [0]}
";

#[test]
fn exported_models_are_the_same_in_pytorch() {
    let Some(data) = made() else { return };
    let images = data.join("images.npz").display().to_string();
    let models = [
        ("{kind: mlp, hidden: [16, 8], norm: batch}", "hidden_norm1.weight"),
        ("{kind: mlp, hidden: []}", "head.weight"),
        ("{kind: convnet, channels: [4, 8], hidden: [8], norm: group, groups: 2}", "norm2.bias"),
        ("{kind: convnet, channels: [4]}", "conv1.weight"),
        ("{kind: vit, patch: 8, width: 12, depth: 2, heads: 3}", "layers.1.self_attn.in_proj_weight"),
        ("{kind: resnet20, channels: [4, 4, 8], norm: batch}", "layer3.2.bn2.weight"),
        ("{kind: resnet18, channels: [4, 4, 8, 8], norm: group, groups: 2}", "layer3.0.downsample.1.weight"),
    ];
    let (mut folders, mut exported) = (vec![], vec![]);
    for (model, parameter) in models {
        folders.push(tempfile::tempdir().unwrap());
        let folder = &folders[folders.len() - 1];
        let head = if model.contains("[]") { "transfer: {head: keep}\n" } else { "" };
        let text = SMALL.replace("DATA", &data.display().to_string()).replace("MODEL", model) + head;
        let text = if head.is_empty() { text } else { text.replace("['0', '1', '2']", "['0', '1']") };
        let study = write(folder.path(), "study.yaml", &text);
        assert_eq!(run(&mut sweep(&study, folder.path(), &[])).code, Some(0), "{model}");
        for (what, at) in [("source", "optimum"), ("target", "source-optimum"), ("scratch", "optimum")] {
            let to = folder.path().join(what);
            let mut export = program();
            export.arg("export").arg(folder.path().join("small")).args(["--model", what, "--at", at, "--to"]).arg(&to);
            let done = run(&mut export);
            assert_eq!(done.code, Some(0), "{model} {what}: {}", done.stderr);
            let file = folder.path().join(format!("{what}.csv"));
            let mut predict = program();
            predict.arg("predict").arg(folder.path().join("small")).args(["--model", what, "--at", at, "--to"]).arg(&file);
            let done = run(&mut predict);
            assert_eq!(done.code, Some(0), "{model} {what}: {}", done.stderr);
            exported.push((format!("{model} {what}"), parameter, to, file));
        }
        // A checkpoint has an order of its own.
        let checkpoint = std::fs::read_dir(folder.path().join("small/checkpoints")).unwrap().next().unwrap().unwrap().path();
        let own = text.replace("source: {", &format!("source: {{init: {}, ", checkpoint.display()));
        let done = run(program().arg("plan").arg(write(folder.path(), "own.yaml", &own)));
        assert!(done.code == Some(2) && done.stderr.contains("is a checkpoint of transfergrid"), "{}", done.stderr);
        // Written again as a start: nothing is trained, and the result is the same.
        let start = text.replace("source: {", &format!("source: {{init: {}, ", folder.path().join("source/model.safetensors").display()));
        let start = start.replace("epochs: 2, lr: 0.05, batch_size: 12", "epochs: 0, lr: 0.05").replace("[0, 1e-2]", "[0]");
        let study = write(folder.path(), "again.yaml", &start.replace("name: small", "name: again"));
        let done = run(&mut sweep(&study, folder.path(), &[]));
        assert_eq!(done.code, Some(0), "{model}: {}", done.stderr);
        let config = json(&std::fs::read_to_string(folder.path().join("source/config.json")).unwrap());
        let metrics = source_metrics(folder.path(), "again");
        for name in ["test_loss", "test_acc", "weight_norm"] {
            assert_eq!(metrics[name], config["metrics"][name], "{model} {name}");
        }
    }
    let all: Vec<String> = exported.iter().map(|(_, _, to, _)| to.display().to_string()).collect();
    let checked = check(&images, &all.iter().map(String::as_str).collect::<Vec<_>>());
    for ((name, parameter, _, file), checked) in exported.iter().zip(&checked) {
        assert!(near(&checked["loss"], &checked["metrics"]["test_loss"], 1e-5), "{name}: {checked}");
        assert_eq!(checked["accuracy"], checked["metrics"]["test_acc"], "{name}");
        assert!(checked["parameters"].as_array().unwrap().iter().any(|own| own == parameter), "{checked}");
        // The predictions are PyTorch's.
        let rows = std::fs::read_to_string(file).unwrap();
        for (row, logits) in rows.lines().skip(1).zip(checked["logits"].as_array().unwrap()) {
            let ours: Vec<f64> = row.split(',').skip(3).map(|logit| logit.parse().unwrap()).collect();
            let theirs: Vec<f64> = logits.as_array().unwrap().iter().map(|logit| logit.as_f64().unwrap()).collect();
            assert!(ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 1e-4 * b.abs().max(1.0)), "{name}: {ours:?} and {theirs:?}");
        }
    }
}
