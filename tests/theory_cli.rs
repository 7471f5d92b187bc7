//! The `theory` commands from outside: what they print, what they write, what they refuse.

mod common;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use common::*;
use ndarray::{Array1, Array2};
use ndarray_npy::{read_npy, write_npy, NpzReader, NpzWriter};
use rand_distr::{Distribution, StandardNormal};
use serde_json::Value as Json;
use transfergrid::theory::sampler::random;

fn theory(folder: &Path, arguments: &[&str]) -> Done {
    run(program().current_dir(folder).arg("theory").args(arguments))
}

fn ok(folder: &Path, arguments: &[&str]) -> String {
    let done = theory(folder, arguments);
    assert_eq!(done.code, Some(0), "{arguments:?}: {}", done.stderr);
    done.stdout
}

const STUDY: &str = "\
name: little
kind: ridge
p: 40
n0: 20
n1: 60
rho: [0.7, 1.2]
w0: uniform
source: {noise: 0.4}
target: {noise: 0.25, covariance: {power: 0.8}}
lambda0: {log: {from: 0.5, to: 500, points: 9}}
lambda1: [2, .inf]
draws: 40
";

#[test]
fn optimum_prints_the_ratio_that_the_paper_leads_with() {
    let here = tempfile::tempdir().unwrap();
    let text = ok(here.path(), &["optimum", "--gamma", "2", "--noise", "0.5", "--rho", "0.8"]);
    assert!(text.contains("λ₀*/λ_S* = 1.6545: stronger"), "{text}");
    let json = json(&ok(here.path(), &["optimum", "--gamma", "2", "--noise", "0.5", "--rho", "0.8", "--p", "400", "--json"]));
    assert!((json["lambda_source"].as_f64().unwrap() - 200.0).abs() < 1e-6);
    assert!((json["ratio"].as_f64().unwrap() - 1.654).abs() < 1e-3);
    assert_eq!(json["at_boundary"], false);
    let at = |arguments: &[&str]| -> Json { common::json(&ok(here.path(), &[&["optimum", "--json"], arguments].concat())) };
    let zero = at(&["--gamma", "2", "--noise", "0.1", "--rho", "1.5"]);
    assert_eq!((&zero["lambda_transfer"], &zero["boundary"]), (&0.0.into(), &"zero".into()));
    let negative = at(&["--gamma", "2", "--noise", "0.1", "--rho", "1.5", "--allow-negative"]);
    assert!(negative["lambda_transfer"].as_f64().unwrap() < 0.0 && negative["at_boundary"] == false);
    let never = at(&["--gamma", "2", "--noise", "0.1", "--rho", "-0.5"]);
    assert_eq!((&never["lambda_transfer"], &never["boundary"]), (&Json::Null, &"infinite".into()));
}

#[test]
fn risk_boundary_and_optimum_of_a_study() {
    let here = tempfile::tempdir().unwrap();
    write(here.path(), "study.yaml", STUDY);
    let rows = json(&ok(here.path(), &["risk", "study.yaml", "--json"]));
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 2 * 9 * 2);
    for key in ["rho", "lambda0", "lambda1", "source_risk", "transfer_risk", "scratch_risk", "tau0", "tau1"] {
        assert!(rows[0].get(key).is_some(), "{key}");
    }
    assert!(rows[1]["lambda1"].is_null() && rows[1]["tau1"].is_null(), "infinity is null: {}", rows[1]);
    let boundary = json(&ok(here.path(), &["boundary", "study.yaml", "--json"]));
    for (risk, boundary) in rows.iter().zip(boundary.as_array().unwrap()) {
        let margin = risk["scratch_risk"].as_f64().unwrap() - risk["transfer_risk"].as_f64().unwrap();
        assert!((boundary["full"]["margin"].as_f64().unwrap() - margin).abs() < 1e-12);
        assert_eq!(boundary["full"]["verdict"] == "helps", margin > 0.0);
    }
    let optima = json(&ok(here.path(), &["optimum", "study.yaml", "--joint", "--json"]));
    assert_eq!(optima.as_array().unwrap().len(), 4);
    let best = optima[0]["joint"]["transfer_risk"].as_f64().unwrap();
    assert!(rows.iter().filter(|r| r["rho"] == 0.7).all(|r| r["transfer_risk"].as_f64().unwrap() >= best));
    let table = ok(here.path(), &["boundary", "study.yaml"]);
    assert!(table.contains("helps (") && table.contains("full"), "{table}");
}

#[test]
fn a_run_is_the_same_for_any_number_of_threads_and_goes_on_where_it_stopped() {
    let here = tempfile::tempdir().unwrap();
    write(here.path(), "study.yaml", STUDY);
    let csv = |out: &str| std::fs::read_to_string(here.path().join(out).join("little/report/results.csv")).unwrap();
    ok(here.path(), &["run", "study.yaml", "--out", "one", "--threads", "1", "--quiet"]);
    ok(here.path(), &["run", "study.yaml", "--out", "three", "--threads", "3", "--quiet"]);
    assert_eq!(csv("one"), csv("three"));
    assert_eq!(csv("one").lines().count(), 1 + 2 * 9 * 2);
    for file in ["results.csv", "optima.csv", "summary.json", "risks-1.svg", "risks-1.png", "index.html"] {
        assert!(here.path().join("one/little/report").join(file).is_file(), "{file}");
    }
    // Half of the records lost, the last line torn: what is left is kept, the rest is drawn again, and gives the same.
    let records = here.path().join("one/little/records/ridge.jsonl");
    let text = std::fs::read_to_string(&records).unwrap();
    let first = text.lines().next().unwrap();
    std::fs::write(&records, format!("{first}\n{}", &first[..100])).unwrap();
    std::fs::remove_dir_all(here.path().join("one/little/report")).unwrap();
    let again = theory(here.path(), &["run", "study.yaml", "--out", "one"]);
    assert!(again.stderr.contains("2 cases, 1 done already"), "{}", again.stderr);
    assert_eq!(csv("one"), csv("three"));
    let seconds = |line: &str| common::json(line)["seconds"].clone();
    let kept = std::fs::read_to_string(&records).unwrap();
    assert_eq!(seconds(kept.lines().next().unwrap()), seconds(first), "the finished case was not drawn again");
    // TensorBoard's files are there.
    assert!(here.path().join("one/little/tb/rho=0.7").is_dir());
    // More draws are the same study; another ρ is not.
    ok(here.path(), &["run", "study.yaml", "--out", "one", "--quiet", "--set", "draws=60"]);
    let other = theory(here.path(), &["run", "study.yaml", "--out", "one", "--quiet", "--set", "rho=0.31"]);
    assert!(other.code == Some(2) && other.stderr.contains("of another study called `little`"), "{}", other.stderr);
}

#[test]
fn a_covariance_file_counts_by_its_content() {
    let here = tempfile::tempdir().unwrap();
    write(here.path(), "study.yaml", &STUDY.replace("{power: 0.8}", "{file: s.npy}"));
    let with = |entry: f64| {
        let mut matrix = Array2::<f64>::eye(40);
        (matrix[[0, 1]], matrix[[1, 0]]) = (entry, entry);
        write_npy(here.path().join("s.npy"), &matrix).unwrap();
        theory(here.path(), &["run", "study.yaml"]).stderr
    };
    assert!(with(0.5).contains("2 cases →"));
    assert!(with(0.5).contains("2 done already"));
    assert!(with(0.6).contains("2 cases →"), "another matrix is another study");
}

#[test]
fn a_run_that_is_told_to_stop_saves_and_says_so() {
    let here = tempfile::tempdir().unwrap();
    let long = STUDY.replace("draws: 40", "draws: 200000").replace("p: 40", "p: 150");
    write(here.path(), "study.yaml", &long);
    let mut command = program();
    command.current_dir(here.path()).args(["theory", "run", "study.yaml", "--out", "logs"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // Opened as the first case begins; the draws take minutes.
    let records = here.path().join("logs/little/records");
    until("it draws", || std::fs::read_dir(&records).is_ok_and(|mut files| files.next().is_some()));
    std::thread::sleep(Duration::from_millis(300));
    signal("-TERM", child.id());
    let done = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.code() == Some(75) && said.contains("interrupted: finished cases are saved"), "{:?} {said}", done.status);
}

#[test]
fn figure1_holds_what_it_claims() {
    let here = tempfile::tempdir().unwrap();
    let study = repository().join("experiments/figure1.yaml");
    let text = ok(here.path(), &["run", study.to_str().unwrap(), "--out", "logs", "--quiet"]);
    assert!(text.starts_with("figure1: 5 of 5 claims hold."), "{text}");
    let optima = std::fs::read_to_string(here.path().join("logs/figure1/report/optima.csv")).unwrap();
    let mut lines = optima.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let head = lines.next().unwrap();
    let column = |name: &str| head.iter().position(|c| *c == name).unwrap();
    let row = lines.find(|r| r[column("gamma")] == "2" && r[column("rho")] == "0.8" && r[column("source.noise")] == "0.5").unwrap();
    let number = |name: &str| row[column(name)].parse::<f64>().unwrap();
    assert!((number("ratio_predicted") - 1.654).abs() < 1e-3);
    assert!(number("ratio_low") <= 1.6545 && 1.6545 <= number("ratio_high"), "{row:?}");
    assert!((number("crossing_rho") - 1.0).abs() < 1e-9);
}

#[test]
fn claims_need_evidence() {
    let here = tempfile::tempdir().unwrap();
    let shipped = |name: &str| repository().join("experiments").join(name).to_str().unwrap().to_string();
    let run = |study: &str, sets: &[&str]| {
        let mut arguments = vec!["run", study, "--out", "logs", "--quiet", "--fresh", "--set", "draws=30"];
        sets.iter().for_each(|set| arguments.extend(["--set", set]));
        ok(here.path(), &arguments)
    };
    // No ρ beyond 1: nothing was seen to cross.
    let text = run(&shipped("figure1.yaml"), &["p=200", "rho=[0.5, 0.6]", "lambda0={log: {from: 1, to: 2000, points: 31}}"]);
    assert!(text.contains("[not decided] the ratio crosses 1 at ρ = 1 (γ = 2, σ₀² = 0.5)"), "{text}");
    assert!(text.contains("[holds] λ₀* > λ_S* for ρ < 1"), "{text}");
    assert!(!text.contains("()"), "{text}");
    // Three λ₀ have no interval: what they seem to cross is not decided, and ρ is all there is to name.
    let text = run(&shipped("figure1.yaml"), &["p=50", "rho=[0.5, 1, 2]", "lambda0=[1, 10, 100]", "zip=[]", "gamma=2", "source.noise=0.5"]);
    assert!(!text.contains("()") && !text.contains("(, "), "{text}");
    assert!(!text.contains("no bound to no bound") || !text.contains("[holds] the ratio crosses"), "{text}");
    // A grid that holds neither optimum says nothing about their order.
    let text = run(&shipped("figure1.yaml"), &["p=200", "lambda0=[20000, 30000, 40000]"]);
    assert!(text.contains("[not decided] λ₀* > λ_S* for ρ < 1"), "{text}");
    // One λ₀, and that 0: no optimum can be simulated, and nothing panics.
    let text = run(&shipped("multi-target.yaml"), &["lambda0=0"]);
    assert!(!text.contains("[holds]"), "{text}");
}

#[test]
fn what_does_not_fit_into_memory_is_refused() {
    let here = tempfile::tempdir().unwrap();
    write(here.path(), "study.yaml", &STUDY.replace("p: 40", "p: 100000").replace("n0: 20", "n0: 50000"));
    let done = theory(here.path(), &["run", "study.yaml"]);
    assert_eq!(done.code, Some(2));
    assert!(done.stderr.contains("needs about") && done.stderr.contains("of memory"), "{}", done.stderr);
    assert!(!here.path().join("logs").exists());
}

#[test]
fn several_studies_share_a_page() {
    let here = tempfile::tempdir().unwrap();
    write(here.path(), "a.yaml", STUDY);
    write(here.path(), "b.yaml", &STUDY.replace("name: little", "name: other"));
    ok(here.path(), &["run", "a.yaml", "b.yaml", "--out", "logs", "--quiet"]);
    let page = std::fs::read_to_string(here.path().join("logs/theory.html")).unwrap();
    assert!(page.contains("<h1>") && page.contains("id=\"little\"") && page.contains("id=\"other\"") && page.contains("<svg role=\"img\""));
    assert!(!page.contains("http://") || page.matches("http://").all(|_| page.contains("http://www.w3.org/")), "the page needs no network");
    let twice = theory(here.path(), &["run", "a.yaml", "a.yaml", "--out", "logs"]);
    assert_eq!(twice.code, Some(2));
}

#[test]
fn wrong_studies() {
    let change = |from: &str, to: &str| {
        assert!(STUDY.contains(from), "{from}");
        STUDY.replacen(from, to, 1)
    };
    let cases = [
        ("gamma of zero", change("n0: 20", "gamma: 0")),
        ("gamma and n0", change("n0: 20", "n0: 20\ngamma: 2")),
        ("neither gamma nor n0", change("n0: 20\n", "")),
        ("ridgeless at p = n", change("n0: 20", "n0: 41").replace("{log: {from: 0.5, to: 500, points: 9}}", "[0, 1]")),
        ("negative noise", change("noise: 0.4", "noise: -0.4")),
        ("noise that is not a number", change("noise: 0.4", "noise: .nan")),
        ("a correlation of 1", change("{power: 0.8}", "{ar1: 1}")),
        ("an unknown covariance", change("{power: 0.8}", "{pwer: 0.8}")),
        ("a misspelt covariance", change("{power: 0.8}", "identiti")),
        ("two covariances at once", change("{power: 0.8}", "{power: 0.8, ar1: 0.5}")),
        ("more spikes than dimensions", change("{power: 0.8}", "{spiked: {count: 41, strength: 3}}")),
        ("a covariance file that is not there", change("{power: 0.8}", "{file: nowhere.npy}")),
        ("an asymmetric covariance", change("{power: 0.8}", "{file: asymmetric.npy}")),
        ("an indefinite covariance", change("{power: 0.8}", "{file: indefinite.npy}")),
        ("a covariance of another size", change("{power: 0.8}", "{file: small.npy}")),
        ("a covariance with NaN", change("{power: 0.8}", "{file: nan.npy}")),
        ("an empty grid", change("{log: {from: 0.5, to: 500, points: 9}}", "[]")),
        ("a negative penalty", change("{log: {from: 0.5, to: 500, points: 9}}", "[-1, 1]")),
        ("an infinite source penalty", change("{log: {from: 0.5, to: 500, points: 9}}", "[1, .inf]")),
        ("one draw", change("draws: 40", "draws: 1")),
        ("the chi model without the identity", change("draws: 40", "draws: 40\nsampler: chi")),
        ("u along w₀", change("w0: uniform", "w0: uniform\nu: uniform\northogonal: 0.5")),
        ("a key of network studies", change("draws: 40", "seeds: 3")),
        ("an unknown question", change("kind: ridge", "kind: ridge\nquestion: why")),
        ("no targets", change("draws: 40", "targets: []")),
        ("a target out of range", change("draws: 40", "targets: [{name: a, rho: 1}, {name: b, noise: -1}]")),
        ("two targets of one name", change("draws: 40", "targets: [{name: a}, {name: a}]")),
        (
            "a combination twice",
            change("w0: uniform", "w0: uniform\nzip: [[rho, lambda0]]")
                .replace("rho: [0.7, 1.2]", "rho: [0.7, 0.7]")
                .replace("{log: {from: 0.5, to: 500, points: 9}}", "[1, 1]"),
        ),
        ("a study of networks", SMALL.to_string()),
    ];
    let mut out = String::new();
    for (name, text) in &cases {
        let here = tempfile::tempdir().unwrap();
        write(here.path(), "study.yaml", text);
        let mut matrix = Array2::<f64>::eye(40);
        matrix[[0, 1]] = 0.5;
        write_npy(here.path().join("asymmetric.npy"), &matrix).unwrap();
        matrix[[1, 0]] = 0.5;
        matrix[[3, 3]] = -1.0;
        write_npy(here.path().join("indefinite.npy"), &matrix).unwrap();
        matrix[[3, 3]] = f64::NAN;
        write_npy(here.path().join("nan.npy"), &matrix).unwrap();
        write_npy(here.path().join("small.npy"), &Array2::<f64>::eye(3)).unwrap();
        let done = theory(here.path(), &["run", "study.yaml"]);
        assert_eq!(done.code, Some(2), "{name}: {}{}", done.stdout, done.stderr);
        assert!(done.stdout.is_empty() && !here.path().join("logs").exists(), "{name}: nothing is written");
        out.push_str(&format!("## {name}\n{}\n", done.stderr));
    }
    let here = tempfile::tempdir().unwrap();
    write(here.path(), "study.yaml", STUDY);
    let flags: [&[&str]; 8] = [
        &["theory", "optimum", "--gamma", "0", "--noise", "0.5", "--rho", "0.8"],
        &["theory", "optimum", "--gamma", "nan", "--noise", "0.5", "--rho", "0.8"],
        &["theory", "optimum", "--gamma", "2", "--noise", "-1", "--rho", "0.8"],
        &["theory", "optimum", "--gamma", "2", "--noise", "0.5", "--rho", "0.8", "--p", "0"],
        &["theory", "optimum", "--gamma", "2"],
        &["theory", "optimum", "--gamma", "2", "--noise", "0.5", "--rho", "0.8", "--joint"],
        &["sweep", "study.yaml"],
        &["plan", "study.yaml", "--seeds", "3"],
    ];
    for arguments in flags {
        let done = run(program().current_dir(here.path()).args(arguments));
        assert_eq!(done.code, Some(2), "{arguments:?}");
        out.push_str(&format!("## {}\n{}\n", arguments.join(" "), done.stderr));
    }
    insta::assert_snapshot!(out);
}

/// A Parquet file with doubles and one column of text.
fn parquet(path: &Path, names: &[&str], columns: &[Vec<f64>]) {
    use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
    let fields: String = names.iter().map(|name| format!("REQUIRED DOUBLE {name};")).collect();
    let schema = parquet::schema::parser::parse_message_type(&format!("message t {{ {fields} REQUIRED BYTE_ARRAY id (UTF8); }}")).unwrap();
    let mut file =
        parquet::file::writer::SerializedFileWriter::new(std::fs::File::create(path).unwrap(), schema.into(), Default::default()).unwrap();
    let mut group = file.next_row_group().unwrap();
    for values in columns {
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<DoubleType>().write_batch(values, None, None).unwrap();
        column.close().unwrap();
    }
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&vec![ByteArray::from("p-7"); columns[0].len()], None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    file.close().unwrap();
}

/// Source and target tables with features a, b, c and response y; the target's function is `rho` times the source's.
fn tables(seed: u64, rho: f64, n0: usize, n1: usize) -> [(Array2<f64>, Array1<f64>); 2] {
    let mut rng = random(seed, 0);
    let w = [1.0, -2.0, 0.5];
    [(n0, 1.0), (n1, rho)].map(|(n, scale)| {
        let x = Array2::from_shape_simple_fn((n, 3), || StandardNormal.sample(&mut rng));
        let noise: Array1<f64> = Array1::from_shape_simple_fn(n, || StandardNormal.sample(&mut rng));
        let y = scale * x.dot(&Array1::from_vec(w.to_vec())) + 3.0 + noise;
        (x, y)
    })
}

fn csv(x: &Array2<f64>, y: &Array1<f64>) -> String {
    let rows = x.rows().into_iter().zip(y).map(|(r, y)| format!("{},{},{y},{}\n", r[0], r[1], r[2]));
    format!("a,b,y,c\n{}", rows.collect::<String>())
}

#[test]
fn a_fit_reads_every_kind_of_table_and_says_the_same() {
    let here = tempfile::tempdir().unwrap();
    let [(x0, y0), (x1, y1)] = tables(1, 0.8, 200, 15);
    for (name, x, y) in [("a", &x0, &y0), ("b", &x1, &y1)] {
        write(here.path(), &format!("{name}.csv"), &csv(x, y));
        let mut npz = NpzWriter::new(std::fs::File::create(here.path().join(format!("{name}.npz"))).unwrap());
        npz.add_array("X", x).unwrap();
        npz.add_array("y", y).unwrap();
        npz.finish().unwrap();
        let columns: Vec<Vec<f64>> = x.columns().into_iter().map(|c| c.to_vec()).chain([y.to_vec()]).collect();
        parquet(&here.path().join(format!("{name}.parquet")), &["a", "b", "c", "y"], &columns);
        let all = ndarray::concatenate![ndarray::Axis(1), x.view(), y.view().insert_axis(ndarray::Axis(1))];
        write_npy(here.path().join(format!("{name}.npy")), &all.mapv(|v| v as f32)).unwrap();
    }
    let fit = |kind: &str, response: &str| -> Json {
        let (a, b) = (format!("a.{kind}"), format!("b.{kind}"));
        let drop: &[&str] = if kind == "parquet" { &["--drop", "id"] } else { &[] };
        let arguments = ["fit", "--source", &a, "--target", &b, "--response", response, "--out", kind, "--json"];
        json(&ok(here.path(), &[&arguments, drop].concat()))
    };
    let first = fit("csv", "y");
    assert_eq!(first["transfer_helps"], true);
    assert!(first["loo"]["transfer"].as_f64().unwrap() < first["loo"]["scratch"].as_f64().unwrap());
    let rho = &first["rho"];
    assert!(rho["low"].as_f64().unwrap() < 0.8 && 0.8 < rho["high"].as_f64().unwrap(), "{rho}");
    for (kind, response, tolerance) in [("npz", "y", 1e-9f64), ("parquet", "y", 1e-9), ("npy", "3", 1e-4)] {
        let other = fit(kind, response);
        for key in ["lambda_source", "lambda0", "lambda1"] {
            // null: λ = ∞, which `limits` explains.
            let lambda = |fit: &Json| fit[key].as_f64().unwrap_or_else(|| if fit["limits"][key].is_string() { 1.0 } else { f64::NAN });
            assert_eq!(first[key].is_null(), other[key].is_null(), "{kind} {key}");
            let (a, b) = (lambda(&first), lambda(&other));
            assert!((a / b - 1.0).abs() < tolerance.max(2e-4), "{kind} {key}: {a} and {b}");
        }
        let (a, b) = (first["loo"]["transfer"].as_f64().unwrap(), other["loo"]["transfer"].as_f64().unwrap());
        assert!((a / b - 1.0).abs() < tolerance, "{kind}: {a} and {b}");
    }
    // The coefficients predict: residuals on the target are smaller than its noise plus what three coefficients leave.
    let mut npz = NpzReader::new(std::fs::File::open(here.path().join("npz/coefficients.npz")).unwrap()).unwrap();
    let beta: Array2<f64> = npz.by_name("beta_transfer").unwrap();
    let intercept: Array1<f64> = npz.by_name("intercept_transfer").unwrap();
    let residual = &y1 - &(x1.dot(&beta.column(0)) + intercept[0]);
    assert!(residual.dot(&residual) / 15.0 < 1.5, "{residual}");
    assert!(here.path().join("csv/fit.json").is_file());
    let words = ok(here.path(), &["fit", "--source", "a.csv", "--target", "b.csv", "--response", "y"]);
    assert!(words.starts_with("Transfer helps:") && words.contains("λ_S =") && words.contains("alignment ρ̂ ="), "{words}");
    let _: Result<Array2<f64>, _> = read_npy(here.path().join("a.npy"));
}

#[test]
fn several_responses_are_fitted_together() {
    let here = tempfile::tempdir().unwrap();
    let [(x0, y0), (x1, y1)] = tables(2, 1.0, 100, 20);
    for (name, x, y) in [("a", &x0, &y0), ("b", &x1, &y1)] {
        let mut npz = NpzWriter::new(std::fs::File::create(here.path().join(format!("{name}.npz"))).unwrap());
        npz.add_array("X", x).unwrap();
        npz.add_array("y", &ndarray::stack![ndarray::Axis(1), y.view(), (-2.0 * y).view()]).unwrap();
        npz.finish().unwrap();
    }
    let both = json(&ok(here.path(), &["fit", "--source", "a.npz", "--target", "b.npz", "--response", "y", "--json"]));
    assert!((both["rho"]["estimate"].as_f64().unwrap() - 1.0).abs() < 0.3, "{both}");
    let beta: Array2<f64> = NpzReader::new(std::fs::File::open(here.path().join("logs/fit/coefficients.npz")).unwrap())
        .unwrap()
        .by_name("beta_transfer")
        .unwrap();
    assert_eq!(beta.dim(), (3, 2));
    for i in 0..3 {
        assert!((beta[[i, 1]] + 2.0 * beta[[i, 0]]).abs() < 1e-9);
    }
}

/// The first sentence of a fit of two tables, and all that is printed.
fn fitted(source: &str, target: &str) -> (String, String) {
    let here = tempfile::tempdir().unwrap();
    write(here.path(), "a.csv", source);
    write(here.path(), "b.csv", target);
    let words = ok(here.path(), &["fit", "--source", "a.csv", "--target", "b.csv", "--response", "y"]);
    (words.lines().next().unwrap().to_string(), words)
}

#[test]
fn a_fit_finds_the_same_optimum_whatever_the_units_of_one_column() {
    let [(x0, y0), (x1, y1)] = tables(5, 0.8, 60, 30);
    let loo = |scale: f64| -> Json {
        let here = tempfile::tempdir().unwrap();
        let mut x = x1.clone();
        x.column_mut(2).mapv_inplace(|v| v * scale);
        write(here.path(), "a.csv", &csv(&x0, &y0));
        write(here.path(), "b.csv", &csv(&x, &y1));
        json(&ok(here.path(), &["fit", "--source", "a.csv", "--target", "b.csv", "--response", "y", "--json"]))
    };
    let scratch = |fit: &Json| fit["loo"]["scratch"].as_f64().unwrap();
    let plain = loo(1.0);
    assert_eq!(plain["warnings"], serde_json::json!([]));
    for scale in [1e4, 1e-4, 1e7] {
        let other = loo(scale);
        // The direction of that column is fitted with or without its penalty: the error stays of one size.
        assert!((scratch(&other) / scratch(&plain)).ln().abs() < 0.5, "{scale}: {} and {}", scratch(&other), scratch(&plain));
        let warning = other["warnings"][0].as_str().unwrap();
        assert!(warning.starts_with("column `c` is spread"), "{warning}");
    }
}

#[test]
fn one_row_or_an_interval_beyond_the_whole_error_gives_no_verdict() {
    let [(x0, y0), (x1, y1)] = tables(6, 1.0, 60, 30);
    let (healthy, _) = fitted(&csv(&x0, &y0), &csv(&x1, &y1));
    assert!(healthy.starts_with("Transfer"), "{healthy}");
    let mut coded = x1.clone();
    coded[[3, 1]] = -9999.0;
    let (outlier, words) = fitted(&csv(&x0, &y0), &csv(&coded, &y1));
    assert!(outlier.starts_with("No verdict: line 5 of b.csv decides"), "{outlier}");
    assert!(words.contains("warning: column `b` is spread"), "{words}");
    let mut response = y1.clone();
    response[7] = 5000.0;
    let (outlier, _) = fitted(&csv(&x0, &y0), &csv(&x1, &response));
    assert!(outlier.starts_with("No verdict: line 9 of b.csv decides"), "{outlier}");
    // A limit on the size of files is an error of the write.
    let here = tempfile::tempdir().unwrap();
    write(here.path(), "a.csv", &csv(&x0, &y0));
    write(here.path(), "b.csv", &csv(&x1, &y1));
    let fit = format!("ulimit -f 1; exec {} theory fit --source a.csv --target b.csv --response y", env!("CARGO_BIN_EXE_transfergrid"));
    let limited = common::run(std::process::Command::new("bash").args(["-c", &fit]).current_dir(here.path()));
    assert!(limited.code == Some(1) && limited.stderr.contains("cannot write"), "{:?}: {}", limited.code, limited.stderr);

    // Two such rows hide each other from a look at one.
    for in_source in [false, true] {
        let (mut source, mut target) = (y0.clone(), y1.clone());
        let coded = if in_source { &mut source } else { &mut target };
        (coded[3], coded[11]) = (-9999.0, -9999.0);
        let (two, words) = fitted(&csv(&x0, &source), &csv(&x1, &target));
        let file = if in_source { "a.csv" } else { "b.csv" };
        assert!(two.starts_with(&format!("No verdict: 2 rows of {file} decide")), "{two}");
        assert!(words.contains("warning: column `y` is spread"), "{words}");
    }
    // A category that occurs once decides nothing, however many there are; beside them an outlier is found all the same.
    let categories = |text: String| -> String {
        let more = |i: usize| -> String {
            (0..15).map(|j| if i == 0 { format!(",d{j}") } else { format!(",{}", u8::from(i == j + 1)) }).collect()
        };
        text.lines().enumerate().map(|(i, line)| format!("{line}{}\n", more(i))).collect()
    };
    let (sentence, _) = fitted(&categories(csv(&x0, &y0)), &categories(csv(&x1, &y1)));
    assert!(sentence.starts_with("Transfer"), "{sentence}");
    let (sentence, _) = fitted(&categories(csv(&x0, &y0)), &categories(csv(&coded, &y1)));
    assert!(sentence.starts_with("No verdict: line 5 of b.csv decides"), "{sentence}");
    let few = |n: usize| csv(&x1.slice(ndarray::s![..n, ..]).to_owned(), &y1.slice(ndarray::s![..n]).to_owned());
    for n in [3, 4] {
        let (sentence, _) = fitted(&csv(&x0, &y0), &few(n));
        assert!(sentence.starts_with("No verdict") || sentence.starts_with("Transfer does not help"), "{n} rows: {sentence}");
    }
    let exact = csv(&x1, &x1.dot(&Array1::from_vec(vec![1.0, -2.0, 0.5])));
    let (sentence, _) = fitted(&csv(&x0, &y0), &exact);
    assert!(sentence.starts_with("No verdict: the target is fitted exactly"), "{sentence}");
}

#[test]
fn an_index_is_no_feature_in_any_format_and_constants_are_judged_alike() {
    let [(x0, y0), (x1, y1)] = tables(7, 0.8, 40, 20);
    let numbered = |text: &str| -> String {
        text.lines().enumerate().map(|(i, l)| format!("{},{l}\n", if i == 0 { String::new() } else { (i - 1).to_string() })).collect()
    };
    let (plain, _) = fitted(&csv(&x0, &y0), &csv(&x1, &y1));
    let (indexed, words) = fitted(&numbered(&csv(&x0, &y0)), &numbered(&csv(&x1, &y1)));
    assert_eq!(plain, indexed);
    assert!(words.contains("the first column (it has no name) is the index of the rows and is left out"), "{words}");

    // An index of two levels.
    let (twice, _) = fitted(&numbered(&numbered(&csv(&x0, &y0))), &numbered(&numbered(&csv(&x1, &y1))));
    assert_eq!(plain, twice);

    // 0.1 + 0.2 and 0.3: constant up to rounding, for the message and for the flag.
    let rounding = |text: &str| -> String {
        let value = |i: usize| if i.is_multiple_of(2) { "0.30000000000000004" } else { "0.3" };
        text.lines().enumerate().map(|(i, l)| format!("{l},{}\n", if i == 0 { "k" } else { value(i) })).collect()
    };
    let here = tempfile::tempdir().unwrap();
    write(here.path(), "a.csv", &rounding(&csv(&x0, &y0)));
    write(here.path(), "b.csv", &rounding(&csv(&x1, &y1)));
    let arguments = ["fit", "--source", "a.csv", "--target", "b.csv", "--response", "y"];
    let refused = theory(here.path(), &arguments);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("a.csv: column `k` is constant") && refused.stderr.contains("--drop-constant"), "{}", refused.stderr);
    let dropped = ok(here.path(), &[arguments.as_slice(), &["--drop-constant"]].concat());
    assert_eq!(dropped.lines().next().unwrap(), plain);
    assert!(dropped.contains("constant in the source and left out: k"), "{dropped}");
}

#[test]
fn wrong_tables() {
    let [(x0, y0), (x1, y1)] = tables(3, 1.0, 12, 10);
    let (a, b) = (csv(&x0, &y0), csv(&x1, &y1));
    let edit = |text: &str, line: usize, f: &dyn Fn(&str) -> String| -> String {
        text.lines().enumerate().map(|(i, l)| if i == line { f(l) } else { l.to_string() } + "\n").collect()
    };
    let constant = |text: &str| -> String {
        text.lines()
            .enumerate()
            .map(|(i, l)| if i == 0 { l.to_string() } else { format!("7,{}", l.split_once(',').unwrap().1) } + "\n")
            .collect()
    };
    let constant_y = |text: &str| -> String {
        let row = |l: &str| {
            let f: Vec<&str> = l.split(',').collect();
            format!("{},{},7,{}\n", f[0], f[1], f[3])
        };
        text.lines().enumerate().map(|(i, l)| if i == 0 { format!("{l}\n") } else { row(l) }).collect()
    };
    let cases: Vec<(&str, String, String, Vec<&str>)> = vec![
        ("a value that is not a number", edit(&a, 3, &|l| l.replacen(|c: char| c.is_ascii_digit(), "x", 1)), b.clone(), vec![]),
        ("a missing value", a.clone(), edit(&b, 2, &|l| format!(",{}", l.split_once(',').unwrap().1)), vec![]),
        ("a short line", edit(&a, 2, &|l| l.rsplit_once(',').unwrap().0.to_string()), b.clone(), vec![]),
        ("no header", edit(&a, 0, &|_| "1,2,3,4".into()), b.clone(), vec![]),
        ("an empty table", "a,b,y,c\n".into(), b.clone(), vec![]),
        ("an empty file", String::new(), b.clone(), vec![]),
        ("a constant column", constant(&a), b.clone(), vec![]),
        ("features that differ", a.clone(), edit(&b, 0, &|_| "a,b,y,d".into()), vec![]),
        (
            "a feature too many",
            a.clone(),
            b.lines().enumerate().map(|(i, l)| format!("{l},{}\n", if i == 0 { "d" } else { "1" })).collect(),
            vec![],
        ),
        ("two columns of one name", edit(&a, 0, &|_| "a,a,y,c".into()), b.clone(), vec![]),
        ("a response that is not there", a.clone(), b.clone(), vec!["--response", "z"]),
        ("a feature that is not there", a.clone(), b.clone(), vec!["--features", "a,bb"]),
        ("the response as a feature", a.clone(), b.clone(), vec!["--features", "a,y"]),
        ("two rows", a.clone(), b.lines().take(3).map(|l| format!("{l}\n")).collect(), vec![]),
        ("a column to leave out that is not there", a.clone(), b.clone(), vec!["--drop", "cc"]),
        ("a response that is constant", a.clone(), constant_y(&b), vec![]),
        ("a response twice", a.clone(), b.clone(), vec!["--response", "y,y"]),
        ("a number that overflows", a.clone(), edit(&b, 2, &|l| format!("1e200,{}", l.split_once(',').unwrap().1)), vec![]),
        ("nothing left", a.clone(), b.clone(), vec!["--drop", "a,b,c"]),
    ];
    let mut out = String::new();
    for (name, source, target, more) in &cases {
        let here = tempfile::tempdir().unwrap();
        write(here.path(), "a.csv", source);
        write(here.path(), "b.csv", target);
        let mut arguments = vec!["fit", "--source", "a.csv", "--target", "b.csv"];
        if !more.contains(&"--response") {
            arguments.extend(["--response", "y"]);
        }
        arguments.extend(more);
        let done = theory(here.path(), &arguments);
        assert_eq!(done.code, Some(2), "{name}: {}{}", done.stdout, done.stderr);
        assert!(!here.path().join("logs").exists(), "{name}: nothing is written");
        out.push_str(&format!("## {name}\n{}\n", done.stderr));
    }
    let here = tempfile::tempdir().unwrap();
    write(here.path(), "b.csv", &b);
    for source in ["nowhere.csv", ".", "b.xlsx"] {
        if source.ends_with("xlsx") {
            write(here.path(), source, "x");
        }
        let done = theory(here.path(), &["fit", "--source", source, "--target", "b.csv", "--response", "y"]);
        assert_eq!(done.code, Some(2), "{source}");
        out.push_str(&format!("## {source}\n{}\n", done.stderr));
    }
    // What is left out need not be numbers.
    let with_words =
        |text: &str| -> String { text.lines().enumerate().map(|(i, l)| format!("{},{l}\n", if i == 0 { "id" } else { "p-7" })).collect() };
    write(here.path(), "c.csv", &with_words(&a));
    write(here.path(), "d.csv", &with_words(&b));
    ok(here.path(), &["fit", "--source", "c.csv", "--target", "d.csv", "--response", "y", "--drop", "id"]);
    ok(here.path(), &["fit", "--source", "c.csv", "--target", "d.csv", "--response", "y", "--features", "a,b"]);
    // Constant columns can be left out by themselves.
    write(here.path(), "a.csv", &constant(&a));
    ok(here.path(), &["fit", "--source", "a.csv", "--target", "b.csv", "--response", "y", "--drop-constant"]);
    insta::assert_snapshot!(out);
}
