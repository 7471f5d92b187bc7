//! Networks that predict a number: a column of a table, by its squared error.

use std::path::Path;

use rand_distr::StandardNormal;
use transfergrid::base::stream::Stream;

use crate::common::*;

/// A table of three features and a response that is linear in them but for noise. One row in ten is
/// written with a decimal exponent.
fn table(path: &Path, name: &str, n: usize, beta: [f64; 3], intercept: f64) {
    let mut stream = Stream::new(name, 1, 0);
    let mut text = "a,b,c,y\n".to_string();
    for row in 0..n {
        let x: [f64; 3] = std::array::from_fn(|i| stream.sample::<f64>(&StandardNormal) * (1.0 + i as f64) + 2.0 - i as f64);
        let noise: f64 = stream.sample(&StandardNormal);
        let y = x.iter().zip(beta).map(|(x, beta)| x * beta).sum::<f64>() + intercept + noise;
        let y = if row % 10 == 0 { format!("{y:.6e}") } else { format!("{y:.6}") };
        text.push_str(&format!("{:.6},{:.6},{:.6},{y}\n", x[0], x[1], x[2]));
    }
    std::fs::write(path, text).unwrap();
}

fn tables(folder: &Path) {
    table(&folder.join("source.csv"), "source", 150, [1.0, 0.5, -0.3], 3.0);
    table(&folder.join("target.csv"), "target", 80, [0.8, 0.6, -0.1], -1.0);
}

const STUDY: &str = "\
name: numbers
seeds: SEEDS
lambda0: LAMBDA0
lambda1: LAMBDA1
model: {kind: mlp, hidden: HIDDEN}
penalty: {step: proximal, biases: false}
transfer: {head: keep}
source: {data: {table: source.csv, response: y}, validation_per_class: 30, epochs: EPOCHS, batch_size: 4096, lr: 0.05}
target: {data: {table: target.csv, response: y}, validation_per_class: 20, epochs: EPOCHS, batch_size: 4096, lr: 0.05}
scratch: {lambdas: [SCRATCH]}
";

fn study(values: &[(&str, &str)]) -> String {
    let usual =
        [("SEEDS", "3"), ("LAMBDA0", "[0, 0.01, 0.1]"), ("LAMBDA1", "[0, 0.1]"), ("HIDDEN", "[]"), ("EPOCHS", "40"), ("SCRATCH", "0")];
    values.iter().chain(&usual).fold(STUDY.to_string(), |text, (name, value)| text.replace(name, value))
}

/// A sweep in the folder of the tables.
fn run_in(folder: &Path, text: &str, more: &[&str]) -> Done {
    let file = write(folder, "numbers.yaml", text);
    run(program().current_dir(folder).arg("sweep").arg(file).args(["--out", "logs", "--quiet"]).args(more))
}

/// An array of one dimension, as NumPy writes it.
#[cfg(feature = "torch")]
fn array(archive: &Path, name: &str) -> Vec<f64> {
    use std::io::Read;
    let mut zip = zip::ZipArchive::new(std::fs::File::open(archive).unwrap()).unwrap();
    let mut bytes = vec![];
    zip.by_name(&format!("{name}.npy")).unwrap().read_to_end(&mut bytes).unwrap();
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    bytes[header..].chunks_exact(8).map(|value| f64::from_le_bytes(value.try_into().unwrap())).collect()
}

/// A network without a hidden layer is the linear model of `theory fit`: on the same rows, with the
/// same penalties, both predict the same.
#[test]
#[cfg(feature = "torch")]
fn a_linear_network_is_what_theory_fit_computes() {
    use transfergrid::config::network::read_places_with;
    use transfergrid::config::{Overrides, Study};
    use transfergrid::data::{own, search_path, Dataset, Split};
    use transfergrid::plan::{Plan, StageKind};

    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    tables(at);
    read_places_with(own::info);
    let absolute = |text: &str| {
        ["source.csv", "target.csv"].iter().fold(text.to_string(), |text, name| text.replace(name, &at.join(name).display().to_string()))
    };
    let first = write(at, "first.yaml", &absolute(&study(&[("SEEDS", "1"), ("LAMBDA0", "[0]"), ("LAMBDA1", "[0]")])));
    let plan = Plan::new(&Study::load(&first, &Overrides::default()).unwrap()).unwrap();
    // The rows on which each task trains, as tables for `theory fit`.
    let mut moments = (0.0, 0.0);
    let mut tested: Vec<(Vec<f32>, Vec<f32>)> = vec![];
    let mut n = vec![];
    for (kind, name) in [(StageKind::Source, "s.csv"), (StageKind::Target, "t.csv")] {
        let stage = plan.stages.iter().find(|stage| stage.kind == kind).unwrap();
        let choice = if kind == StageKind::Source { stage.settings.source_choice() } else { stage.settings.target_choice() };
        let set = Dataset::load(choice, false, stage.settings.input(), &search_path(None)).unwrap();
        let split = Split::draw(&set.train, &stage.images(), &[], 0, 0);
        let (features, responses) = (set.train.features().unwrap(), &set.train.responses);
        let line = |&row: &usize| format!("{},{},{},{}\n", features[3 * row], features[3 * row + 1], features[3 * row + 2], responses[row]);
        std::fs::write(at.join(name), format!("a,b,c,y\n{}", split.train.iter().map(line).collect::<String>())).unwrap();
        if kind == StageKind::Source {
            let own: Vec<f64> = split.train.iter().map(|&row| f64::from(responses[row])).collect();
            let mean = own.iter().sum::<f64>() / own.len() as f64;
            moments = (mean, own.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / own.len() as f64);
        }
        n.push(split.train.len() as f64);
        let of_test = own::read_now(match choice {
            transfergrid::config::network::DataChoice::Place(place) => place,
            _ => unreachable!(),
        })
        .unwrap()
        .test;
        let own::Values::Features { values, .. } = of_test.values else { panic!("features") };
        tested.push((values, of_test.responses));
    }
    let fit = run(program().current_dir(at).args([
        "theory",
        "fit",
        "--source",
        "s.csv",
        "--target",
        "t.csv",
        "--response",
        "y",
        "--out",
        "fit",
        "--json",
    ]));
    assert_eq!(fit.code, Some(0), "{}", fit.stderr);
    let found = json(&fit.stdout);
    // The network minimises the mean squared error + λ/2·‖θ‖², the fit their sums without the half.
    let of_network = |name: &str, n: f64| found[name].as_f64().map_or(".inf".to_string(), |lambda| format!("{}", 2.0 * lambda / n));
    let text = study(&[
        ("SEEDS", "1"),
        ("LAMBDA0", &format!("[{}]", of_network("lambda0", n[0]))),
        ("LAMBDA1", &format!("[{}]", of_network("lambda1", n[1]))),
        ("SCRATCH", &of_network("lambda_scratch", n[1])),
        ("EPOCHS", "2000"),
    ]);
    let done = run_in(at, &text, &[]);
    assert!(matches!(done.code, Some(0)), "{}", done.stderr);
    let all = records(&at.join("logs"), "numbers");
    for (kind, fitted, task) in [("source", "source", 0), ("target", "transfer", 1), ("scratch", "scratch", 1)] {
        let archive = at.join("fit/coefficients.npz");
        let (beta, intercept) = (array(&archive, &format!("beta_{fitted}")), array(&archive, &format!("intercept_{fitted}"))[0]);
        let (features, responses) = &tested[task];
        let error = |(x, y): (&[f32], &f32)| {
            let predicted = x.iter().zip(&beta).map(|(x, beta)| f64::from(*x) * beta).sum::<f64>() + intercept;
            (predicted - f64::from(*y)).powi(2)
        };
        let mse = features.chunks_exact(3).zip(responses).map(error).sum::<f64>() / responses.len() as f64;
        let record = all.iter().find(|record| record["kind"] == kind).unwrap();
        let of_network = record["metrics"]["test_loss"].as_f64().unwrap() * moments.1;
        assert!((of_network / mse - 1.0).abs() < 2e-3, "{kind}: {of_network} for the network, {mse} for theory fit");
        let mean = responses.iter().map(|y| f64::from(*y)).sum::<f64>() / responses.len() as f64;
        let variance = responses.iter().map(|y| (f64::from(*y) - mean).powi(2)).sum::<f64>() / responses.len() as f64;
        let r2 = record["metrics"]["test_r2"].as_f64().unwrap();
        assert!((r2 - (1.0 - mse / variance)).abs() < 2e-3, "{kind}: {r2}");
    }
}

#[test]
#[cfg(feature = "torch")]
fn a_network_of_numbers_is_answered_by_r2() {
    let folder = tempfile::tempdir().unwrap();
    tables(folder.path());
    let done = run_in(folder.path(), &study(&[("HIDDEN", "[8]")]), &[]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stdout.contains("chosen by validation R²") && done.stdout.contains("by error"), "{}", done.stdout);
    let table = results(&folder.path().join("logs"), "numbers");
    assert!(table.lines().next().unwrap().contains("val_loss,val_r2,test_loss,test_r2") && !table.contains("_acc"), "{table}");
    let page = std::fs::read_to_string(folder.path().join("logs/numbers/report/index.html")).unwrap();
    assert!(page.contains("target test R²") && !page.contains("nats") && page.matches("accuracy").count() == 1, "only in its study.yaml");
    // By its squared error, in packs, and with the same results.
    let by_error = run_in(folder.path(), &(study(&[("HIDDEN", "[8]")]) + "selection: loss\n"), &[]);
    assert!(
        by_error.code == Some(0) && by_error.stdout.contains("chosen by validation squared error"),
        "{}{}",
        by_error.stdout,
        by_error.stderr
    );
    let file = folder.path().join("numbers.yaml");
    std::fs::write(&file, study(&[("HIDDEN", "[8]")])).unwrap();
    let packed = run(sweep(&file, &folder.path().join("packed"), &["--quiet", "--pack", "4"]).current_dir(folder.path()));
    assert_eq!(packed.code, Some(0), "{}", packed.stderr);
    let loss = |out: &str| -> Vec<f64> {
        records(&folder.path().join(out), "numbers").iter().map(|record| record["metrics"]["test_loss"].as_f64().unwrap()).collect()
    };
    for (one, other) in loss("logs").iter().zip(loss("packed")) {
        assert!((one - other).abs() < 1e-4 * one.abs(), "{one} {other}");
    }
}

#[test]
fn rounds_shards_and_reports_know_numbers() {
    let folder = tempfile::tempdir().unwrap();
    tables(folder.path());
    let text = study(&[("HIDDEN", "[8]"), ("LAMBDA0", "[0, {log: {from: 1e-5, to: 1, points: 6}}]")]);
    let done = run_in(folder.path(), &text, &["--engine", "mock", "--until", "settled"]);
    assert!(done.code == Some(0) && done.stdout.contains("STRONGER, settled"), "{}{}", done.stdout, done.stderr);
    assert!(done.stdout.contains("transfer, not from scratch:") && done.stdout.contains("of R²"), "{}", done.stdout);
    let latex = run(program().current_dir(folder.path()).args(["report", "logs/numbers", "--format", "latex"]));
    assert!(latex.code == Some(0) && latex.stdout.contains("$R^2$"), "{}{}", latex.stdout, latex.stderr);
}

#[test]
fn what_needs_classes_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    tables(folder.path());
    std::fs::write(folder.path().join("words.csv"), "a,b,y\n1,2,1.5\n2,1,often\n").unwrap();
    std::fs::write(folder.path().join("same.csv"), "a,b,y\n1,2,1.5\n2,1,1.5\n").unwrap();
    let kinds: String = (0..60).map(|i| format!("{i}.5,{},{},{}\n", i % 7, i % 11, ["u", "v"][i % 2])).collect();
    std::fs::write(folder.path().join("kinds.csv"), format!("a,b,c,kind\n{kinds}")).unwrap();
    let plain = study(&[]);
    let of_source = |more: &str| plain.replacen("validation_per_class: 30", &format!("validation_per_class: 30, {more}"), 1);
    for (text, words) in [
        (of_source("label_smoothing: 0.1"), "`source.label_smoothing`: a number to predict has no classes"),
        (of_source("label_noise: 0.1"), "`source.label_noise`: a number to predict has no classes"),
        (format!("{plain}alignment: true\n"), "`transfergrid theory fit` estimates ρ"),
        (plain.replace("{head: keep}", "{method: ridge}").replace("hidden: []", "hidden: [8]"), "`ridge` solves for classes"),
        (plain.replace("{table: target.csv, response: y}", "digits"), "the source has features, the target images"),
        (
            plain.replace("{table: target.csv, response: y}", "{table: kinds.csv, label: kind}"),
            "the source predicts a number, the target a class",
        ),
        (plain.replace("{table: source.csv, response: y}", "{table: source.csv, response: y, label: a}"), "`label` and `response`"),
        (plain.replace("{table: source.csv, response: y}", "{npz: source.csv, response: y}"), "`response` names a column of numbers"),
        (plain.replace("{table: source.csv, response: y}", "{table: source.csv}"), "what is predicted?"),
        (
            plain.replace("{table: source.csv, response: y}", "{table: words.csv, response: y}"),
            "`y`, line 3: `often`, where a number is needed",
        ),
        (plain.replace("{table: source.csv, response: y}", "{table: same.csv, response: y}"), "`y` is 1.5 in every row"),
    ] {
        let refused = run_in(folder.path(), &text, &["--engine", "mock"]);
        assert!(refused.code == Some(2) && refused.stderr.contains(words), "{words}: {}", refused.stderr);
    }
}

/// Columns of two tables are one another's by their place, so their names must agree.
#[test]
fn tables_with_other_columns_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    tables(at);
    let target = std::fs::read_to_string(at.join("target.csv")).unwrap();
    let swapped: Vec<String> = target
        .lines()
        .map(|line| {
            let mut cells: Vec<&str> = line.split(',').collect();
            cells.swap(0, 1);
            cells.join(",")
        })
        .collect();
    std::fs::write(at.join("swapped.csv"), swapped.join("\n") + "\n").unwrap();
    std::fs::write(at.join("renamed.csv"), target.replacen("a,b,c,y", "a,weight,c,y", 1)).unwrap();
    let words = |first: &str, target: &str| {
        let row = |i: usize, line: &str| match i {
            0 => format!("{line},town"),
            _ => format!("{line},{}", if i.is_multiple_of(2) { first } else { "Y" }),
        };
        target.lines().enumerate().map(|(i, line)| row(i, line) + "\n").collect::<String>()
    };
    let source = std::fs::read_to_string(at.join("source.csv")).unwrap();
    std::fs::write(at.join("source-words.csv"), words("X", &source)).unwrap();
    std::fs::write(at.join("target-words.csv"), words("Z", &target)).unwrap();
    let with = |name: &str| study(&[("target.csv", name)]);
    let encoded = study(&[
        ("source.csv, response: y", "source-words.csv, response: y, one_hot: true"),
        ("target.csv, response: y", "target-words.csv, response: y, one_hot: true"),
    ]);
    for (text, what) in [
        (with("swapped.csv"), "another order: column 1 is `b` there and `a` here"),
        (with("renamed.csv"), "has no `b` and has the new `weight`"),
        (encoded, "town"),
    ] {
        let done = run_in(at, &text, &["--engine", "mock"]);
        assert!(
            done.code == Some(2) && done.stderr.contains(what) && done.stderr.contains("same columns in the same order"),
            "{}",
            done.stderr
        );
    }
    // The same of rows that are predicted.
    let done = run_in(at, &study(&[]), &["--engine", "mock"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let predicted = |name: &str| {
        run(program().current_dir(at).args([
            "predict",
            "logs/numbers",
            "--to",
            "p.csv",
            "--on",
            &format!("{{table: {name}, response: y}}"),
        ]))
    };
    let done = predicted("swapped.csv");
    assert!(done.code == Some(2) && done.stderr.contains("another order"), "{}", done.stderr);
}
