//! Derived files match the current study: TensorBoard, tables, reports and the folder itself.

use std::path::Path;

use crate::common::*;

const MOCK: [&str; 3] = ["--engine", "mock", "--quiet"];

fn mock(study: &Path, out: &Path, more: &[&str]) -> Done {
    run(sweep(study, out, &MOCK).args(more))
}

/// The event files of every run, by run. TensorBoard shows exactly these.
fn tensorboard_runs(folder: &Path) -> std::collections::BTreeMap<String, String> {
    fn walk(root: &Path, folder: &Path, out: &mut std::collections::BTreeMap<String, String>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, out);
            } else if path.file_name().unwrap().to_str().unwrap().contains("tfevents") {
                let run = path.parent().unwrap().strip_prefix(root).unwrap().to_str().unwrap().to_string();
                out.insert(run, path.extension().unwrap().to_str().unwrap().to_string());
            }
        }
    }
    let mut out = Default::default();
    walk(&folder.join("tb"), &folder.join("tb"), &mut out);
    out.retain(|run, _| ["source/", "target/", "scratch/"].iter().any(|kind| run.starts_with(kind)));
    out
}

#[test]
fn what_left_the_study_leaves_tensorboard_and_the_report_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let own = folder.path().join("small");
    assert_eq!(mock(&study, folder.path(), &[]).code, Some(0));
    let all = tensorboard_runs(&own);
    assert_eq!(all.len(), 6 + 12 + 2);
    // A subset of the study: only its runs remain, and the rows that are not shown are counted.
    let fewer = mock(&study, folder.path(), &["--seeds", "1", "--set", "lambda0=[0, 1e-2]"]);
    assert_eq!(fewer.code, Some(0), "{}", fewer.stderr);
    assert!(fewer.stdout.contains("7 of 20 rows shown: 13 belong to values that are no longer in the study"), "{}", fewer.stdout);
    let left = tensorboard_runs(&own);
    assert_eq!(left.len(), 2 + 4 + 1, "{left:?}");
    assert!(left.iter().all(|(run, key)| all[run] == *key && run.contains("seed=0") && !run.contains("lambda0=0.001")));
    let summary = json(&std::fs::read_to_string(own.join("report/summary.json")).unwrap());
    assert_eq!(summary["results_no_longer_in_the_study"], 13);
    let rows = || results(folder.path(), "small").lines().count() - 1;
    assert_eq!(rows(), 7);
    // All rows are written on request, with their values.
    let report = run(program().arg("report").arg(&own).arg("--all"));
    assert_eq!((report.code, rows()), (Some(0), 20), "{}", report.stderr);
    let table = results(folder.path(), "small");
    assert!(
        table.lines().any(|line| line.starts_with("target,0.001,0.1,1,")) && table.lines().any(|line| line.starts_with("scratch,,0,1,")),
        "{table}"
    );
    // Stages that are part of the study again get their TensorBoard runs back, and nothing is
    // trained.
    let back = mock(&study, folder.path(), &[]);
    assert!(back.code == Some(0) && !back.stdout.contains("rows shown"), "{}", back.stdout);
    assert_eq!(tensorboard_runs(&own), all);
    assert_eq!(records(folder.path(), "small").len(), 20);
    // Stages with the same labels but other settings are other runs: no curve of the old stages
    // remains.
    assert_eq!(mock(&study, folder.path(), &["--set", "source.epochs=5", "--set", "scratch.lambdas=[0]"]).code, Some(0));
    let other = tensorboard_runs(&own);
    assert!(other.iter().filter(|(run, _)| run.starts_with("source/")).all(|(run, key)| all[run] != *key), "{other:?}");
    assert_eq!(mock(&study, folder.path(), &[]).code, Some(0));
    assert_eq!(tensorboard_runs(&own), all);
}

#[test]
fn another_study_of_the_same_name_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    assert_eq!(mock(&study, folder.path(), &[]).code, Some(0));
    let before = std::fs::read_to_string(folder.path().join("small/study.yaml")).unwrap();
    let other = write(folder.path(), "other.yaml", &SMALL.replace("hidden: [16]", "hidden: [8]"));
    let refused = mock(&other, folder.path(), &[]);
    assert!(refused.code == Some(2) && refused.stderr.contains("20 results of another study called `small`"), "{}", refused.stderr);
    assert!(refused.stderr.contains("--fresh"), "{}", refused.stderr);
    assert_eq!(std::fs::read_to_string(folder.path().join("small/study.yaml")).unwrap(), before);
    assert_eq!(records(folder.path(), "small").len(), 20);
    let fresh = mock(&other, folder.path(), &["--fresh", "--yes"]);
    assert_eq!(fresh.code, Some(0), "{}", fresh.stderr);
    let manifest = json(&std::fs::read_to_string(folder.path().join("small/manifest.json")).unwrap());
    assert_eq!(manifest["runs"].as_array().unwrap().len(), 1, "runs of discarded results are discarded");
}

#[test]
fn models_that_are_gone_are_announced_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    assert_eq!(mock(&study, folder.path(), &[]).code, Some(0));
    for entry in std::fs::read_dir(folder.path().join("small/checkpoints")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let done = run(&mut sweep(&study, folder.path(), &["--engine", "mock", "--set", "lambda1=[0, 0.1, 0.2]"]));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stderr.contains("6 finished sources are trained again") && done.stderr.contains("for 6 targets"), "{}", done.stderr);
}

#[test]
fn a_report_of_many_paths_passes_over_what_is_no_study() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["one", "two"] {
        let study = write(folder.path(), "s.yaml", &SMALL.replace("name: small", &format!("name: {name}")));
        assert_eq!(mock(&study, folder.path(), &[]).code, Some(0));
    }
    // As with `report logs/*`. The second round includes the comparison that the first round wrote.
    for round in 0..2 {
        let mut all: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        all.sort();
        let done = run(program().arg("report").args(&all));
        assert_eq!(done.code, Some(0), "round {round}: {}", done.stderr);
        assert!(done.stderr.contains("skipped, not a study's folder:") && done.stderr.contains("s.yaml"), "{}", done.stderr);
        assert_eq!(done.stderr.contains("comparison"), round == 1, "{}", done.stderr);
        assert!(folder.path().join("comparison/index.html").exists());
    }
    let nothing = run(program().arg("report").arg(folder.path().join("s.yaml")).arg(folder.path().join("comparison")));
    assert!(nothing.code == Some(2) && nothing.stderr.contains("is not a study's folder"), "{}", nothing.stderr);
}

#[test]
fn a_null_on_an_axis_is_a_value_that_tables_keep() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", &SMALL.replace("per_class: 5", "per_class: [5, null]"));
    assert_eq!(mock(&study, folder.path(), &[]).code, Some(0));
    let table = results(folder.path(), "small");
    assert!(table.contains(",unset,") && !table.contains(",null,"), "{table}");
}

/// Records of the first release, whose keys did not include a hash of the data. They are reported.
/// The next sweep trains them again and prints a warning.
#[test]
fn results_of_an_earlier_version_are_reported_and_trained_anew() {
    use transfergrid::config::{Overrides, Study};
    use transfergrid::plan::{KeyVersion, Plan};
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    assert_eq!(mock(&study, folder.path(), &[]).code, Some(0));
    let loaded = Study::load(&study, &Overrides::default()).unwrap();
    let [new, old] = [KeyVersion::Three, KeyVersion::Two].map(|version| Plan::with_keys(&loaded, version).unwrap());
    // The records as an earlier version would have written them: with other keys and without
    // checksums.
    let path = folder.path().join("small/records/main.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let lines = text.lines().map(|line| {
        let mut record = json(line);
        let map = record.as_object_mut().unwrap();
        map.remove("check");
        map.insert("version".into(), 1.into());
        let mut line = record.to_string();
        for (a, b) in new.stages.iter().zip(&old.stages) {
            line = line.replace(&a.key, &b.key);
        }
        line + "\n"
    });
    let text: String = lines.collect();
    std::fs::write(&path, &text).unwrap();
    let report = run(program().arg("report").arg(folder.path().join("small")));
    assert!(report.code == Some(0) && report.stderr.contains("of an earlier version of transfergrid"), "{}", report.stderr);
    assert_eq!(results(folder.path(), "small").lines().count() - 1, 20);
    let status = run(program().arg("status").arg(folder.path().join("small")));
    assert!(status.stdout.contains("20 of 20 stages done"), "{}", status.stdout);
    let again = run(&mut sweep(&study, folder.path(), &["--engine", "mock", "--quiet"]));
    assert!(again.code == Some(0) && again.stderr.contains("all 20 stages are trained"), "{}", again.stderr);
    assert_eq!(records(folder.path(), "small").len(), 40, "the old ones are kept");
}
