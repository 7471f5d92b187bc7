//! `report` on folders of studies: tables, page, figures, formats, comparison, --watch, and missing
//! results.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::*;

const MOCK: [&str; 3] = ["--engine", "mock", "--quiet"];

fn mock(study: &Path, out: &Path, more: &[&str]) -> Done {
    run(sweep(study, out, &MOCK).args(more))
}

fn report(folder: &Path, more: &[&str]) -> Done {
    run(program().arg("report").arg(folder).args(more))
}

fn read(path: PathBuf) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Runs a script from tests/python with the Python of the tests.
fn python(script: &str, arguments: &[&str]) -> String {
    let program = repository().join(".venv/bin/python");
    assert!(program.exists(), "{} is missing: `make test` installs it", program.display());
    let done = Command::new(program).arg(repository().join("tests/python").join(script)).args(arguments).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{script}: {out}{err}");
    out.into()
}

/// Opens a page in Chromium and operates it. Skipped without Chromium, except in CI.
fn use_page(page: &Path) {
    let known = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    let chromium = std::env::var("CHROMIUM").ok().or_else(|| known.iter().find(|p| Path::new(p).exists()).map(|p| p.to_string()));
    match chromium {
        Some(chromium) => {
            python("page.py", &[&page.to_string_lossy(), &chromium]);
        }
        None => {
            assert!(std::env::var_os("CI").is_none(), "Chromium has to be there in CI");
            eprintln!("LEFT OUT: no Chromium here (set CHROMIUM), so {} was not opened", page.display());
        }
    }
}

const GROUPS: &str = "\
name: groups
data: digits
seeds: 3
lambda0: [0, 1e-3, 1e-2, 1e-1]
lambda1: [0, 0.1, .inf]
penalty: {step: proximal}
model: {kind: mlp, hidden: [[16], [32]]}
source: {classes: [0, 1, 2], per_class: 20, validation_per_class: 10, epochs: 4, batch_size: 16, lr: [0.1, 0.05]}
target: {classes: [5, 6, 7], per_class: 5, validation_per_class: 10, epochs: 3, batch_size: 8, lr: 0.05}
";

#[test]
fn the_page_and_the_tables_of_one_group_and_of_several() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text, figures) in [("small", SMALL, 3), ("groups", GROUPS, 1 + 4 * 3)] {
        let study = write(folder.path(), &format!("{name}.yaml"), text);
        let done = mock(&study, folder.path(), &[]);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        let report = folder.path().join(name).join("report");
        let page = read(report.join("index.html"));
        assert_eq!(page.matches("<figure").count(), figures, "{name}");
        // Nothing is loaded from the network: the only address is the SVG namespace.
        assert_eq!(page.matches("://").count(), page.matches("http://www.w3.org/2000/svg").count());
        let svg =
            std::fs::read_dir(&report).unwrap().filter(|e| e.as_ref().unwrap().path().extension().is_some_and(|e| e == "svg")).count();
        assert_eq!(svg, figures);
        python("tables.py", &[&report.to_string_lossy()]);
        use_page(&report.join("index.html"));
        let summary = json(&read(report.join("summary.json")));
        assert_eq!((summary["version"].as_u64(), summary["results_schema"].as_u64()), (Some(1), Some(1)));
        let headline = summary["headline"].as_str().unwrap().rsplit(". ").next().unwrap();
        let sentence = headline.split_once(": ").map_or(headline, |(_, sentence)| sentence);
        assert!(page.contains(&maud::html! { (sentence) }.into_string()), "the page's first line: {headline}");
    }
    let summary = json(&read(folder.path().join("groups/report/summary.json")));
    assert!(summary["groups"].as_array().unwrap().len() == 4 && summary["verdict"].is_null());

    // If a study has fewer groups than before, the figures of the other groups are removed.
    let study = write(folder.path(), "groups.yaml", &GROUPS.replace("lr: [0.1, 0.05]", "lr: 0.1"));
    assert_eq!(mock(&study, folder.path(), &[]).code, Some(0));
    assert!(folder.path().join("groups/report/figure2-2.svg").exists() && !folder.path().join("groups/report/figure2-3.svg").exists());
}

#[test]
fn a_thousand_cells_stay_below_three_megabytes() {
    let folder = tempfile::tempdir().unwrap();
    let grid = "lambda0: [{log: {from: 1e-6, to: 10, points: 40}}]\nlambda1: [{log: {from: 1e-5, to: 1, points: 25}}]";
    let study = write(
        folder.path(),
        "small.yaml",
        &SMALL.replace("lambda0: [0, 1e-3, 1e-2]\nlambda1: [0, 0.1]", grid).replace("seeds: 2", "seeds: 3"),
    );
    assert_eq!(mock(&study, folder.path(), &[]).code, Some(0));
    let page = folder.path().join("small/report/index.html");
    assert_eq!(read(page.clone()).matches("<tr").count(), 1 + 1000 + 1 + 1, "a row for each cell, and the run's");
    let size = std::fs::metadata(&page).unwrap().len();
    assert!(size < 3_000_000, "{size} bytes");
}

#[test]
fn zero_stands_apart_on_the_logarithmic_axis() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    mock(&study, folder.path(), &[]);
    let svg = read(folder.path().join("small/report/figure2.svg"));
    let labels: Vec<&str> = svg.split("</text>").filter_map(|part| part.rsplit('>').next()).map(str::trim).collect();
    assert!(labels.contains(&"0") && labels.contains(&"10⁻²"), "{labels:?}");
    // The orange and blue lines of width 4 are curves and (level) interval bars. No curve starts at
    // λ₀ = 0, which has a hollow point.
    let number = |text: &str| text.parse::<f64>().unwrap();
    let zero = svg.split("cx=\"").skip(1).map(|part| number(part.split('"').next().unwrap())).fold(f64::INFINITY, f64::min);
    let lines = svg
        .split("<polyline")
        .filter(|part| part.contains("stroke-width=\"4\""))
        .filter(|part| part.contains("#D55E00") || part.contains("#0072B2"));
    let mut curves = 0;
    for line in lines {
        let points = line.split("points=\"").nth(1).and_then(|part| part.split('"').next()).unwrap();
        let points: Vec<(f64, f64)> =
            points.split_whitespace().map(|p| p.split_once(',').unwrap()).map(|(x, y)| (number(x), number(y))).collect();
        let level = points.iter().all(|p| p.1 == points[0].1);
        curves += usize::from(!level);
        assert!(level || points.iter().all(|p| p.0 > zero + 20.0), "a line from λ₀ = 0 at {zero}: {points:?}");
    }
    assert_eq!(curves, 2);
}

#[test]
fn what_diverged_failed_or_is_missing_is_listed_and_not_averaged() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", &SMALL.replace("seeds: 2", "seeds: 4"));
    let done = mock(&study, folder.path(), &["--mock-diverge", "0.05", "--mock-fail", "0.05"]);
    assert_eq!(done.code, Some(3));
    let report_folder = folder.path().join("small/report");
    let summary = json(&read(report_folder.join("summary.json")));
    let n = |key: &str| summary["stages"][key].as_u64().unwrap();
    assert!(n("diverged") > 0 && n("failed") > 0, "{summary:#}");
    let page = read(report_folder.join("index.html"));
    assert!(page.contains("the loss stopped being finite at epoch 1, step 1 (mock)"));
    assert!(page.contains("the mock engine was asked to fail stage"));
    assert!(done.stdout.contains("Not complete: of"), "{}", done.stdout);
    use_page(&report_folder.join("index.html"));

    // The records of one shard are missing, and the report lists them.
    let study = write(folder.path(), "other.yaml", &SMALL.replace("name: small", "name: other"));
    assert_eq!(mock(&study, folder.path(), &[]).code, Some(0));
    let records = folder.path().join("other/records/main.jsonl");
    let text = read(records.clone());
    let kept: Vec<&str> = text.lines().filter(|line| !(line.contains("\"seed\":1") && line.contains("\"kind\":\"target\""))).collect();
    std::fs::write(&records, kept.join("\n") + "\n").unwrap();
    let done = report(&folder.path().join("other"), &["--verbose"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stdout.contains("Not complete: of 20 stages, 6 missing"), "{}", done.stdout);
    assert!(done.stdout.contains("One seed is too few") && done.stdout.contains("Seeds: 1 of 2 is left out"), "{}", done.stdout);
    let page = read(folder.path().join("other/report/index.html"));
    assert_eq!(page.matches("no record: not run yet, or the records of its shard are not here").count(), 6);
    assert!(page.contains("no result for seed 1"));
}

/// The figure over the alignment needs tasks that differ in it, not more seeds of one setting.
#[test]
fn settings_of_one_pair_of_tasks_have_no_figure_over_their_alignment() {
    let folder = tempfile::tempdir().unwrap();
    let drawn = |name: &str, axis: &str, grids: &str| {
        let text = format!(
            "name: {name}\ndata: digits\nseeds: 5\nalignment: true\nlambda0: [1e-3, 1e-2]\nlambda1: [0.1]\nmodel: {{kind: mlp, hidden: [8]}}\n\
             source: {{classes: [0, 1, 2], per_class: 20, epochs: 1, lr: 0.1}}\n{axis}\n{grids}"
        );
        let done = mock(&write(folder.path(), &format!("{name}.yaml"), &text), folder.path(), &[]);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        folder.path().join(name).join("report/alignment.svg").exists()
    };
    let target = "classes: [5, 6, 7], per_class: 5, epochs: 1, lr: 0.05";
    let grid = |at: &str, seeds: &str| format!("- {{at: [{at}], lambda0: [1e-3, 1e-2], lambda1: [0.1], seeds: [{seeds}], draws: 1}}\n");
    let methods = format!("transfer: {{method: [l2sp, finetune]}}\ntarget: {{{target}}}");
    let unequal = format!("grids:\n{}{}", grid("l2sp", "0, 1, 2, 3, 4"), grid("finetune", "0, 1, 2"));
    assert!(!drawn("methods", &methods, &unequal));
    let groups = json(&read(folder.path().join("methods/report/summary.json")))["groups"].clone();
    let rho = |i: usize| groups[i]["alignment"]["estimate"].as_f64().unwrap();
    assert!((rho(0) - rho(1)).abs() > 0.1, "the means differ, because the seeds do: {groups}");
    let tasks = format!("target: {{{}}}", target.replace("[5, 6, 7]", "[[5, 6, 7], [3, 4], [8, 9], [6, 7]]"));
    assert!(drawn("tasks", &tasks, ""));
}

#[test]
fn formats() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    mock(&study, folder.path(), &[]);
    let study = folder.path().join("small");
    let latex = report(&study, &["--format", "latex"]).stdout;
    assert_eq!((latex.matches("\\begin{tabular}").count(), latex.matches("\\\\\n").count()), (1, 1 + 3 + 1), "{latex}");
    assert!(latex.contains("$10^{-3}$ & $\\mathbf{") && latex.contains("\\pm"), "{latex}");
    assert_eq!(report(&study, &["--format", "json"]).stdout, report(&study, &["--json"]).stdout);
    assert_eq!(json(&report(&study, &["--json"]).stdout), json(&read(study.join("report/summary.json"))));
    assert!(latex.contains("MADE-UP RESULTS of the mock engine"), "{latex}");
    // The report is written to another folder, for example because the study's folder is read-only.
    let elsewhere = folder.path().join("elsewhere");
    assert_eq!(report(&study, &["--out", &elsewhere.to_string_lossy()]).code, Some(0));
    assert!(read(elsewhere.join("index.html")).contains("../small/records/"));
    let wrong = run(program().arg("report").arg(&study).arg(study.join(".")));
    assert!(wrong.code == Some(2) && wrong.stderr.contains("is given twice"), "{}", wrong.stderr);
    let wrong = run(program().arg("report").arg(&study).arg(folder.path().join("smal")));
    assert!(wrong.code == Some(2) && wrong.stderr.contains("smal does not exist"), "{}", wrong.stderr);
}

/// The figures of a paper: as PDF with their letters embedded, as wide as asked, and their numbers.
#[test]
fn figures_for_a_paper_are_vectors_with_their_numbers_beside_them() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    mock(&study, folder.path(), &[]);
    let study = folder.path().join("small");
    let numbers = |name: &str| -> Vec<Vec<String>> {
        let mut table = csv::ReaderBuilder::new().has_headers(false).from_path(study.join("report").join(name)).unwrap();
        table.records().map(|row| row.unwrap().iter().map(str::to_string).collect()).collect()
    };
    let usual = numbers("figure2.csv");
    let svg = |name: &str| read(study.join("report").join(name));
    assert!(svg("figure2.svg").contains(r#"width="1000""#));
    assert!(!study.join("report/figure2.pdf").exists(), "only on request");

    let made = report(&study, &["--format", "pdf", "--figure-width", "6.5in"]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let listed: Vec<&str> = made.stdout.lines().collect();
    assert!(listed.len() >= 3 && listed.iter().all(|path| path.ends_with(".pdf")), "{}", made.stdout);
    for path in listed {
        let bytes = std::fs::read(path).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.starts_with("%PDF-") && text.contains("/FontFile2") && text.contains("/ToUnicode"), "{path}");
        let page = text.split("/MediaBox [").nth(1).unwrap().split(']').next().unwrap().to_string();
        let width: f64 = page.split_whitespace().nth(2).unwrap().parse().unwrap();
        assert!((width - 6.5 * 72.0).abs() < 0.01, "{path}: {page}");
    }
    assert!(svg("figure2.svg").contains(r#"width="1456""#), "wider, with text of the same size");
    assert_eq!(numbers("figure2.csv"), usual, "the numbers do not depend on the width");

    // Every source mean of results.csv is in the figure's numbers.
    let of = |rows: &[Vec<String>], of: &str| rows.iter().filter(|row| row[0] == of).cloned().collect::<Vec<_>>();
    let (source, target) = (of(&usual, "source"), of(&usual, "target"));
    assert_eq!((source.len(), target.len()), (3, 3));
    let results = numbers("results.csv");
    let column = |name: &str| results[0].iter().position(|head| head == name).unwrap();
    for row in source {
        let same = |cells: &&Vec<String>| cells[0] == "source" && cells[column("lambda0")].parse::<f64>() == row[1].parse::<f64>();
        let values: Vec<f64> = results.iter().filter(same).map(|cells| cells[column("test_acc")].parse().unwrap()).collect();
        let mean = 100.0 * values.iter().sum::<f64>() / values.len() as f64;
        assert!((mean - row[4].parse::<f64>().unwrap()).abs() < 1e-9, "{row:?}");
    }

    for (width, says) in [("84", "mm, cm, in or pt"), ("0.1in", "1 to 40 inches"), ("xmm", "not a number")] {
        let wrong = report(&study, &["--figure-width", width]);
        assert!(wrong.code == Some(2) && wrong.stderr.contains(says), "{}", wrong.stderr);
    }
    // Without the option, PDF files of other widths do not stay behind.
    assert_eq!(report(&study, &[]).code, Some(0));
    assert!(!study.join("report/figure2.pdf").exists());
}

#[test]
fn what_is_not_the_reports_own_stays_and_what_cannot_be_written_is_said_after_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    mock(&study, folder.path(), &[]);
    let study = folder.path().join("small");
    for name in ["my-own.png", "figure2-old.svg", "figure22.svg", "figure2-7.svg"] {
        write(&study.join("report"), name, "mine");
    }
    assert_eq!(report(&study, &[]).code, Some(0));
    assert!(["my-own.png", "figure2-old.svg", "figure22.svg"].iter().all(|name| study.join("report").join(name).exists()));
    assert!(!study.join("report/figure2-7.svg").exists(), "of an earlier study with seven settings");

    let saved = read(study.join("report/summary.json"));
    std::fs::remove_dir_all(study.join("report")).unwrap();
    write(&study, "report", "a file in its place");
    for format in ["json", "text"] {
        let done = report(&study, &["--format", format]);
        assert_eq!(done.code, Some(1));
        assert!(done.stderr.contains("cannot write"), "{}", done.stderr);
        assert!(
            if format == "json" { done.stdout == saved } else { done.stdout.contains("UNDECIDED: two seeds are too few.") },
            "{}",
            done.stdout
        );
    }
    std::fs::remove_file(study.join("report")).unwrap();
    assert_eq!(report(&study, &[]).code, Some(0));

    ridge(folder.path());
    let ridge = folder.path().join("ridge");
    std::fs::remove_dir_all(ridge.join("report")).unwrap();
    write(&ridge, "report", "a file in its place");
    let done = report(&ridge, &[]);
    assert_eq!(done.code, Some(1));
    assert!(done.stderr.contains("cannot write") && done.stdout.contains("predicted"), "{}{}", done.stdout, done.stderr);

    // Without records there is nothing to report. The existing report is not replaced by an empty
    // one.
    std::fs::rename(study.join("records"), study.join("moved")).unwrap();
    let done = report(&study, &[]);
    assert_eq!(done.code, Some(2));
    assert!(done.stderr.contains("has no records") && study.join("report/figure2.svg").exists(), "{}", done.stderr);
}

#[test]
fn studies_are_compared_whatever_their_kind() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["one", "two"] {
        let study = write(folder.path(), &format!("{name}.yaml"), &SMALL.replace("name: small", &format!("name: {name}")));
        mock(&study, folder.path(), &[]);
    }
    ridge(folder.path());
    python("tables.py", &[&folder.path().join("ridge/report").to_string_lossy()]);
    let of = |name: &str| folder.path().join(name);
    let before = std::fs::read(of("ridge/report/index.html")).unwrap();
    let done = run(program().arg("report").args([of("one"), of("two"), of("ridge")]));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stdout.contains("Of 2 settings in 2 studies"), "{}", done.stdout);
    assert!(std::fs::read(of("ridge/report/index.html")).unwrap() == before, "the same page as `theory run` made");
    let page = read(of("comparison/index.html"));
    for link in ["../one/report/index.html", "../two/report/index.html", "../ridge/report/index.html"] {
        assert!(page.contains(link) && of("comparison").join(link).exists(), "{link}");
    }
    assert_eq!(read(of("comparison/comparison.csv")).lines().count(), 3);
    let all = json(&run(program().arg("report").args([of("one"), of("ridge")]).arg("--json")).stdout);
    assert_eq!((all[0]["study"].as_str(), all[1]["kind"].as_str(), all[0]["made_up"].as_bool()), (Some("one"), Some("ridge"), Some(true)));
    // Two studies with the same name are distinguished by their folders.
    let again = folder.path().join("again");
    let study = write(folder.path(), "one.yaml", &SMALL.replace("name: small", "name: one"));
    mock(&study, &again, &[]);
    let done = run(program().arg("report").args([of("one"), again.join("one")]).arg("--out").arg(of("cmp")));
    assert!(done.code == Some(0) && read(of("cmp/index.html")).contains(&again.join("one").display().to_string()), "{}", done.stderr);
    // The comparison must not overwrite a study or its report.
    for taken in [of("one"), of("two/report")] {
        let done = run(program().arg("report").args([of("one"), of("two")]).arg("--out").arg(&taken));
        assert!(done.code == Some(2) && done.stderr.contains("is a study's folder"), "{}", done.stderr);
    }
    use_page(&of("comparison/index.html"));
    use_page(&of("ridge/report/index.html"));
    let latex = report(&of("ridge"), &["--format", "latex"]).stdout;
    assert!(latex.contains("\\bottomrule"), "{latex}");
}

#[test]
fn watching_follows_a_sweep_until_it_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    // The sweep runs for a while first, so that there is a folder to watch.
    let mut child = spawn(sweep(&study, folder.path(), &MOCK).args(["--mock-ms", "300", "--workers", "1"]));
    let records = folder.path().join("small/records/main.jsonl");
    until("there are records", || std::fs::read_to_string(&records).is_ok_and(|text| text.lines().count() >= 3));
    let mut watch = program()
        .arg("report")
        .arg(folder.path().join("small"))
        .args(["--watch", "--every", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let page = folder.path().join("small/report/index.html");
    until("there is a page", || page.exists());
    assert!(read(page.clone()).contains("http-equiv=\"refresh\" content=\"1\""));
    child.wait().unwrap();
    until_it_ends(&mut watch);
    let done = watch.wait_with_output().unwrap();
    let (text, news) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success() && news.contains("small: 20 results") && text.contains("UNDECIDED: two seeds"), "{text}{news}");
    assert!(!read(page).contains("http-equiv=\"refresh\""), "a complete page stays as it is");
}

#[test]
fn watching_sees_a_sweep_that_ends_while_the_page_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    assert_eq!(run(&mut sweep(&study, folder.path(), &MOCK)).code, Some(0));
    let report = folder.path().join("small/report");
    std::fs::remove_dir_all(&report).unwrap();
    // According to its lease, this process runs on another machine.
    let lease = folder.path().join("small/leases/main/9");
    let holder = r#"{"host":"far","process":1,"boot":"other","namespace":1,"ticks":1,"since":0.0,"records":"main"}"#;
    std::fs::write(&lease, format!("{holder}\nbeat 000000000001\n")).unwrap();
    let mut watch = spawn(program().arg("report").arg(folder.path().join("small")).args(["--watch", "--every", "1"]));
    // results.csv is the first file. When it exists, the lease has been read, and the figures are
    // not yet written.
    until("there is a report", || report.join("results.csv").exists());
    std::fs::write(&lease, format!("{holder}\nreleased         \n")).unwrap();
    until_it_ends(&mut watch);
    assert!(!read(report.join("index.html")).contains("http-equiv=\"refresh\""));
}

/// Waits until the watch ends. A watch that does not end is killed, so that no process remains.
fn until_it_ends(watch: &mut Child) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while watch.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            watch.kill().unwrap();
            panic!("it still watches");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

const RIDGE: &str = "name: ridge\nkind: ridge\np: 20\nn0: 40\nn1: 30\nrho: [0.5, 1.2]\nsource: {noise: 0.4}\ntarget: {noise: 0.3}\nlambda0: [1, 10]\nlambda1: 5\ndraws: 20\n";

/// Runs a ridge study into `folder`/ridge.
fn ridge(folder: &Path) {
    let study = write(folder, "ridge.yaml", RIDGE);
    let done = run(program().args(["theory", "run", "--quiet", "--out"]).arg(folder).arg(study));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
}
