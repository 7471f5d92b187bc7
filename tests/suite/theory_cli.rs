//! The `theory` commands as a user runs them: what they print, what they write, and what they
//! refuse.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::common::*;
use ndarray::Array2;
use ndarray_npy::write_npy;
use serde_json::Value as Json;

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
    let at = |arguments: &[&str]| -> Json { crate::common::json(&ok(here.path(), &[&["optimum", "--json"], arguments].concat())) };
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
    // Half of the records are lost and the last line is incomplete. The remaining records are kept,
    // the others are drawn again, and the results are the same.
    let records = here.path().join("one/little/records/ridge.jsonl");
    let text = std::fs::read_to_string(&records).unwrap();
    let first = text.lines().next().unwrap();
    std::fs::write(&records, format!("{first}\n{}", &first[..100])).unwrap();
    std::fs::remove_dir_all(here.path().join("one/little/report")).unwrap();
    let again = theory(here.path(), &["run", "study.yaml", "--out", "one"]);
    assert!(again.stderr.contains("2 cases, 1 done already"), "{}", again.stderr);
    assert_eq!(csv("one"), csv("three"));
    let seconds = |line: &str| crate::common::json(line)["seconds"].clone();
    let kept = std::fs::read_to_string(&records).unwrap();
    assert_eq!(seconds(kept.lines().next().unwrap()), seconds(first), "the finished case was not drawn again");
    // TensorBoard's files exist.
    assert!(here.path().join("one/little/tb/rho=0.7").is_dir());
    // With more draws it is still the same study; with another ρ it is not.
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
    // The file is created when the first case starts; the draws take minutes.
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
    // There is no ρ above 1, so no crossing was observed.
    let text = run(&shipped("figure1.yaml"), &["p=200", "rho=[0.5, 0.6]", "lambda0={log: {from: 1, to: 2000, points: 31}}"]);
    assert!(text.contains("[not decided] the ratio crosses 1 at ρ = 1 (γ = 2, σ₀² = 0.5)"), "{text}");
    assert!(text.contains("[holds] λ₀* > λ_S* for ρ < 1"), "{text}");
    assert!(!text.contains("()"), "{text}");
    // With three λ₀ there is no interval. The apparent crossing is undecided, and ρ is the only
    // axis to name.
    let text = run(&shipped("figure1.yaml"), &["p=50", "rho=[0.5, 1, 2]", "lambda0=[1, 10, 100]", "zip=[]", "gamma=2", "source.noise=0.5"]);
    assert!(!text.contains("()") && !text.contains("(, "), "{text}");
    assert!(!text.contains("no bound to no bound") || !text.contains("[holds] the ratio crosses"), "{text}");
    // A grid that contains neither optimum gives no information on their order.
    let text = run(&shipped("figure1.yaml"), &["p=200", "lambda0=[20000, 30000, 40000]"]);
    assert!(text.contains("[not decided] λ₀* > λ_S* for ρ < 1"), "{text}");
    // A single λ₀ of 0: no optimum can be simulated, and nothing panics.
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
