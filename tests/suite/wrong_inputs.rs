//! Wrong inputs and their messages: one clear message, exit code 2, no panic. The table is a
//! snapshot in tests/suite/snapshots. After an intended change, run
//! `INSTA_UPDATE=always cargo test --release --test suite`.

use std::path::Path;

use crate::common::*;

/// Runs `plan` on each study and returns the table of messages.
fn table(cases: &[(&str, String, Vec<&str>)]) -> String {
    let mut out = String::new();
    for (name, text, more) in cases {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "study.yaml", text);
        let done = run(program().current_dir(folder.path()).args(["plan", "study.yaml"]).args(more));
        assert_eq!(done.code, Some(2), "{name}: {}{}", done.stdout, done.stderr);
        assert!(done.stdout.is_empty(), "{name}");
        out.push_str(&format!("## {name}\n{}\n", done.stderr));
    }
    out
}

fn change(from: &str, to: &str) -> String {
    assert!(SMALL.contains(from), "{from}");
    SMALL.replacen(from, to, 1)
}

#[test]
fn studies() {
    let add = |text: &str| format!("{SMALL}{text}\n");
    let cases = [
        ("an unknown top-level key", add("lamda0: 3"), vec![]),
        ("an unknown key in a section", change("epochs: 4", "epoch: 4"), vec![]),
        ("a key in the wrong section", add("momentum: 0.5"), vec![]),
        ("a missing top-level key", change("data: digits\n", ""), vec![]),
        ("a missing key in a section", change("epochs: 4, ", ""), vec![]),
        ("a duplicate key", add("seeds: 3"), vec![]),
        ("a word for a number", change("lr: 0.1", "lr: fast"), vec![]),
        ("a number for a section", change("model: {kind: mlp, hidden: [16]}", "model: 3"), vec![]),
        ("an unknown word", change("kind: mlp", "kind: mpl"), vec![]),
        ("an unknown data set", change("data: digits", "data: cifar"), vec![]),
        ("a negative penalty", change("lambda0: [0, 1e-3, 1e-2]", "lambda0: [0, -1e-3]"), vec![]),
        ("a penalty that is not a number", change("lambda1: [0, 0.1]", "lambda1: [.nan]"), vec![]),
        ("an infinite penalty with the explicit step", change("lambda1: [0, 0.1]", "lambda1: .inf"), vec![]),
        ("an unstable cell", change("lambda0: [0, 1e-3, 1e-2]", "lambda0: [0, 1, 30]"), vec![]),
        ("an unstable combination of axes", change("lr: 0.1", "lr: [0.1, 3]").replace("1e-3, 1e-2]", "1e-3, 1]"), vec![]),
        ("an empty list", change("lambda0: [0, 1e-3, 1e-2]", "lambda0: []"), vec![]),
        ("a value twice", change("lambda0: [0, 1e-3, 1e-2]", "lambda0: [1e-3, 0, 0.001]"), vec![]),
        ("a log grid from zero", change("lambda0: [0, 1e-3, 1e-2]", "lambda0: {log: {from: 0, to: 1, points: 3}}"), vec![]),
        ("a grid with one point", change("lambda0: [0, 1e-3, 1e-2]", "lambda0: {linear: {from: 0, to: 1, points: 1}}"), vec![]),
        ("a misspelt grid", change("lambda0: [0, 1e-3, 1e-2]", "lambda0: {log: {form: 1e-5, to: 1, points: 3}}"), vec![]),
        ("a class that is not there", change("classes: [0, 1, 2]", "classes: [0, 1, 12]"), vec![]),
        ("a class twice", change("classes: [0, 1, 2]", "classes: [0, 1, \"1\"]"), vec![]),
        ("one class", change("classes: [0, 1, 2]", "classes: [0]"), vec![]),
        ("more images than there are", change("per_class: 20", "per_class: 200"), vec![]),
        ("per_class and total", change("per_class: 20", "per_class: 20, total: 60"), vec![]),
        ("Nesterov beyond its own limit", change("lr: 0.1", "lr: 0.1, nesterov: true").replace("1e-2]", "15]"), vec![]),
        (
            "a shared class with other validation images",
            change(
                "classes: [5, 6, 7], per_class: 5, validation_per_class: 10",
                "classes: [1, 6, 7], per_class: 5, validation_per_class: 12",
            ),
            vec![],
        ),
        ("far too many seeds", change("seeds: 2", "seeds: 1000000000000"), vec![]),
        (
            "far too many cells",
            change("lambda0: [0, 1e-3, 1e-2]", "lambda0: {linear: {from: 0, to: 1, points: 10000}}")
                .replace("lambda1: [0, 0.1]", "lambda1: {linear: {from: 0, to: 1, points: 10000}}"),
            vec![],
        ),
        (
            "an infinite penalty on plain fine-tuning",
            change("lambda1: [0, 0.1]", "lambda1: .inf\npenalty: {step: proximal}\ntransfer: {method: finetune}"),
            vec![],
        ),
        ("selection as an axis", change("seeds: 2", "seeds: 2\nselection: [accuracy, loss]"), vec![]),
        ("no epochs", change("epochs: 4", "epochs: 0"), vec![]),
        ("half an epoch", change("epochs: 4", "epochs: 0.5"), vec![]),
        ("momentum of one", change("lr: 0.1", "lr: 0.1, momentum: 1"), vec![]),
        ("Nesterov without momentum", change("lr: 0.1", "lr: 0.1, momentum: 0, nesterov: true"), vec![]),
        ("a head that cannot be kept", add("transfer: {head: keep}").replace("classes: [5, 6, 7]", "classes: [5, 6]"), vec![]),
        ("channels for an mlp", change("hidden: [16]", "hidden: [16], channels: [8]"), vec![]),
        ("more blocks than pixels", change("{kind: mlp, hidden: [16]}", "{channels: [4, 4, 4, 4]}"), vec![]),
        ("groups that do not divide", change("hidden: [16]", "hidden: [12], norm: group"), vec![]),
        (
            "a last batch of one image under BatchNorm",
            change("hidden: [16]", "hidden: [16], norm: batch").replace("batch_size: 8", "batch_size: 7"),
            vec![],
        ),
        ("embeddings for an mlp", change("hidden: [16]", "hidden: [16], embedding: 8"), vec![]),
        ("documents for a convnet", change("{kind: mlp, hidden: [16]}", "{}").replace("data: digits", "data: newsgroups"), vec![]),
        ("images for a bag", change("kind: mlp", "kind: bag"), vec![]),
        ("a ResNet without normalisation", change("{kind: mlp, hidden: [16]}", "{kind: resnet20}"), vec![]),
        ("a ResNet with too few stages", change("{kind: mlp, hidden: [16]}", "{kind: resnet18, norm: batch, channels: [8, 8]}"), vec![]),
        ("settings of text for images", add("text: {features: 100}"), vec![]),
        ("no features", add("text: {features: 0}").replace("data: digits", "data: newsgroups").replace("[0, 1, 2]", "[sci.*]"), vec![]),
        ("a pattern that matches nothing", change("[0, 1, 2]", "[\"science.*\"]").replace("data: digits", "data: newsgroups"), vec![]),
        (
            "a class and a pattern that has it",
            change("[0, 1, 2]", "[sci.med, \"sci.*\"]").replace("data: digits", "data: newsgroups"),
            vec![],
        ),
        ("a superclass with a slip", change("[0, 1, 2]", "[peeple, fish]").replace("data: digits", "data: cifar100"), vec![]),
        ("dropout of everything", change("epochs: 4", "epochs: 4, dropout: 1"), vec![]),
        ("an l1_ratio above 1", change("epochs: 4", "epochs: 4, l1_ratio: 1.5"), vec![]),
        ("negative label smoothing", change("epochs: 4", "epochs: 4, label_smoothing: -0.1"), vec![]),
        ("noise that is not a number", change("epochs: 4", "epochs: 4, label_noise: .nan"), vec![]),
        ("a source that keeps apart", change("epochs: 4", "epochs: 4, apart: true"), vec![]),
        (
            "too few images to keep apart",
            change("[5, 6, 7], per_class: 5, validation_per_class: 10", "[0, 1, 2], per_class: 90, validation_per_class: 10, apart: true"),
            vec![],
        ),
        ("a head that is kept on frozen features", add("transfer: {head: keep, method: probe}"), vec![]),
        ("dropout in closed form", add("transfer: {method: ridge}").replace("epochs: 3", "epochs: 3, dropout: 0.5"), vec![]),
        ("ridge against its twin by loss", add("transfer: {method: ridge}\nselection: loss"), vec![]),
        ("dropout without a hidden layer", change("hidden: [16]", "hidden: []").replace("epochs: 4", "epochs: 4, dropout: 0.5"), vec![]),
        ("a ResNet that gets narrower", change("{kind: mlp, hidden: [16]}", "{kind: resnet20, norm: batch, channels: [8, 16, 8]}"), vec![]),
        ("all images, and apart", change("[5, 6, 7], per_class: 5, validation", "[0, 6, 7], apart: true, validation"), vec![]),
        ("a smaller λ₀ that is stronger", add("strength: {stronger: smaller}"), vec![]),
        ("a strength that is no axis", add("strength: {axis: source.epochs}"), vec![]),
        ("a strength that is not the source's", add("strength: {axis: target.epochs}").replace("epochs: 3", "epochs: [3, 4]"), vec![]),
        (
            "a strength without numbers",
            add("strength: {axis: source.schedule.kind}").replace("epochs: 4", "epochs: 4, schedule: {kind: [cosine, constant]}"),
            vec![],
        ),
        ("a name that is no folder", change("name: small", "name: ../small"), vec![]),
        ("no seeds", change("seeds: 2", "seeds: 0"), vec![]),
        ("a seed twice", change("seeds: 2", "seeds: [1, 2, 1]"), vec![]),
        ("tabs", change("seeds: 2", "source:\n\tseeds: 2"), vec![]),
        ("not YAML", "name: [".to_string(), vec![]),
        ("a list for a study", "- a\n- b\n".to_string(), vec![]),
        ("an empty file", String::new(), vec![]),
        ("a base that is not there", add("extends: other.yaml"), vec![]),
        ("a base that is the file itself", add("extends: study.yaml"), vec![]),
        ("a zipped setting that is no axis", add("zip: [[lambda0, source.lr]]"), vec![]),
        ("zipped axes of different length", add("zip: [[lambda0, lambda1]]"), vec![]),
        ("an unknown key in a preset", add("presets: {tiny: {source: {epoch: 1}}}"), vec![]),
        ("a bad value in a preset", add("presets: {tiny: {source: {epochs: many}}}"), vec!["--preset", "tiny"]),
        ("an unknown preset", add("presets: {tiny: {seeds: 1}}"), vec!["--preset", "small"]),
        ("a preset where there are none", SMALL.into(), vec!["--preset", "small"]),
        ("--set without a value", SMALL.into(), vec!["--set", "source.lr"]),
        ("--set with an unknown key", SMALL.into(), vec!["--set", "source.lrr=1"]),
        ("--set with a bad value", SMALL.into(), vec!["--set", "source.lr=0"]),
        ("--seeds 0", SMALL.into(), vec!["--seeds", "0"]),
        ("--seeds many", SMALL.into(), vec!["--seeds", "many"]),
    ];
    insta::assert_snapshot!(table(&cases));
}

/// Runs a command line in an empty folder with small.yaml in it.
fn command(line: &[&str], prepare: impl Fn(&Path), env: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "small.yaml", SMALL);
    prepare(folder.path());
    let done = run(program().current_dir(folder.path()).args(line).envs(env.iter().copied()));
    assert_eq!(done.code, Some(2), "{line:?}: {}{}", done.stdout, done.stderr);
    format!("## transfergrid {}\n{}\n", line.join(" "), done.stderr.replace(folder.path().to_str().unwrap(), "FOLDER"))
}

#[test]
fn flags_folders_and_environment() {
    let nothing = |_: &Path| {};
    let mut out = String::new();
    for line in [
        vec!["sweeep", "small.yaml"],
        vec!["sweep", "small.yaml", "--workers", "0"],
        vec!["sweep", "small.yaml", "--engine", "jax"],
        vec!["sweep", "missing.yaml"],
        vec!["sweep", "."],
        vec!["status", "logs/none"],
        vec!["report", "."],
        vec!["data", "fetch", "cifar"],
        vec!["data", "verify", "mnist"],
    ] {
        out.push_str(&command(&line, nothing, &[]));
    }
    insta::assert_snapshot!(out);
}

#[cfg(feature = "torch")]
#[test]
fn devices_and_data() {
    let mut out = String::new();
    let nothing = |_: &Path| {};
    out.push_str(&command(&["sweep", "small.yaml", "--device", "tpu"], nothing, &[]));
    out.push_str(&command(&["sweep", "small.yaml", "--set", "data=mnist"], nothing, &[("TRANSFERGRID_DATA", "/nowhere")]));

    let mnist = |file: &'static str, bytes: Vec<u8>| {
        move |folder: &Path| {
            std::fs::create_dir_all(folder.join("data/mnist")).unwrap();
            std::fs::write(folder.join("data/mnist").join(file), &bytes).unwrap();
        }
    };
    let sweep = ["sweep", "small.yaml", "--set", "data=mnist"];
    let images = "train-images-idx3-ubyte";
    let header = |dims: &[u32]| [vec![0, 0, 8, dims.len() as u8], dims.iter().flat_map(|d| d.to_be_bytes()).collect()].concat();
    out.push_str(&command(&sweep, mnist("readme", vec![]), &[]));
    out.push_str(&command(&sweep, mnist(images, b"<html>404</html>".to_vec()), &[]));
    out.push_str(&command(&sweep, mnist(images, vec![]), &[]));
    out.push_str(&command(&sweep, mnist(images, header(&[60_000])), &[]));
    out.push_str(&command(&sweep, mnist(images, header(&[10_000, 28, 28])), &[]));
    out.push_str(&command(&sweep, mnist(images, header(&[u32::MAX, u32::MAX, u32::MAX])), &[]));
    out.push_str(&command(&sweep, mnist(images, [header(&[60_000, 28, 28]), vec![0; 1000]].concat()), &[]));
    out.push_str(&command(&sweep, mnist(images, [header(&[60_000, 28, 28]), vec![0; 60_000 * 784 + 5]].concat()), &[]));
    out.push_str(&command(&sweep, mnist("train-images-idx3-ubyte.gz", b"not gzip at all".to_vec()), &[]));

    let cifar = |file: &'static str, bytes: Vec<u8>| {
        move |folder: &Path| {
            let path = folder.join("data").join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, &bytes).unwrap();
        }
    };
    let sweep = ["sweep", "small.yaml", "--set", "data=cifar10"];
    let batch = "cifar-10-batches-bin/data_batch_1.bin";
    out.push_str(&command(&sweep, cifar(batch, vec![0; 3073]), &[]));
    out.push_str(&command(&sweep, cifar(batch, vec![0; 30_730_001]), &[]));
    out.push_str(&command(&sweep, cifar(batch, vec![77; 30_730_000]), &[]));
    out.push_str(&command(&sweep, cifar(batch, vec![0; 30_730_000]), &[]));
    out.push_str(&command(&sweep, cifar("cifar-10-binary.tar.gz", b"<html>404</html>".to_vec()), &[]));
    insta::assert_snapshot!(out);
}

#[test]
fn help_texts() {
    let mut out = run(program().arg("--help")).stdout;
    for name in [
        "plan",
        "sweep",
        "status",
        "launch",
        "launch slurm",
        "launch kubernetes",
        "report",
        "data",
        "doctor",
        "schema",
        "completions",
        "man",
    ] {
        let done = run(program().args(name.split(' ')).arg("--help"));
        assert_eq!(done.code, Some(0));
        out.push_str(&format!("\n# {name}\n{}", done.stdout));
    }
    insta::assert_snapshot!(out);
}
