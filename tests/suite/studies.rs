//! The shipped studies, their reference, and the counts of a plan.

use std::collections::HashSet;
use std::path::PathBuf;

use crate::common::*;
use serde_yaml::Value;
use transfergrid::base::numbers::significant;
use transfergrid::config::{json_schema, reference_markdown, Overrides, Study, StudyKind};
use transfergrid::plan::{cases, KeyVersion, Plan, StageKind};

fn shipped() -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(repository().join("experiments")).unwrap().map(|e| e.unwrap().path()).collect();
    all.sort();
    assert!(all.len() >= 3);
    all
}

fn plan_json(arguments: &[&str]) -> serde_json::Value {
    let done = run(program().current_dir(repository()).arg("plan").args(arguments).arg("--json"));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    json(&done.stdout)
}

#[test]
fn every_shipped_study_and_preset_plans() {
    let mut table = String::new();
    for path in shipped() {
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        for preset in [None, Some("small")] {
            let overrides = Overrides { preset: preset.map(str::to_string), ..Overrides::default() };
            let study = match Study::load(&path, &overrides) {
                Err(error) if preset.is_some() && error.what.contains("has no preset") => continue,
                other => other.unwrap(),
            };
            if study.kind == StudyKind::Ridge {
                let cases = cases(&study).unwrap();
                let cells: usize = cases.iter().map(|case| case.cells.len()).sum();
                table.push_str(&format!("{name}: {cells} cells, {} cases\n", cases.len()));
                continue;
            }
            let plan = Plan::new(&study).unwrap();
            let count = |kind| plan.count(kind);
            table.push_str(&format!(
                "{name} {}: {} cells, {} source, {} target, {} scratch stages\n",
                preset.unwrap_or("full"),
                plan.cells.len(),
                count(StageKind::Source),
                count(StageKind::Target),
                count(StageKind::Scratch)
            ));
            if study.alignment {
                table.pop();
                table.push_str(&format!(", {} alignments\n", count(StageKind::Alignment)));
            }
        }
    }
    insta::assert_snapshot!(table);
}

/// A release check (`make check-results`): between releases, a study may be newer than its results.
#[test]
#[ignore = "a release check: make check-results"]
fn every_study_of_networks_has_its_results_with_a_verdict() {
    let read = |path: PathBuf| std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let verdicts = read(repository().join("docs/results/README.md"));
    let script = read(repository().join("scripts/results.sh"));
    for path in shipped() {
        let small = Overrides { preset: Some("small".into()), ..Overrides::default() };
        let study = match Study::load(&path, &small) {
            Err(error) if error.what.contains("has no preset") => continue,
            other => other.unwrap(),
        };
        if ["demo", "collapse"].contains(&study.name.as_str()) {
            continue;
        }
        let runs = script.split(|c: char| c.is_whitespace() || "()".contains(c)).any(|word| word == study.name);
        assert!(runs, "scripts/results.sh runs {}", study.name);
        assert!(verdicts.contains(&format!("({}/index.html)", study.name)), "docs/results/README.md has a row for {}", study.name);
        let folder = repository().join("docs/results").join(&study.name);
        // The study as it was trained: each stage must have a row with its key, of either key
        // version.
        let packed = std::fs::File::open(folder.join("results.csv.gz"));
        let results = match packed {
            Ok(file) => std::io::read_to_string(flate2::read::GzDecoder::new(file)).unwrap(),
            Err(_) => read(folder.join("results.csv")),
        };
        let trained = Study::load(&folder.join("study.yaml"), &Overrides::default()).unwrap();
        let has_all = |version| Plan::with_keys(&trained, version).unwrap().stages.iter().all(|stage| results.contains(&stage.key));
        let known = [KeyVersion::Three, KeyVersion::Two].into_iter().any(has_all);
        assert!(known, "docs/results/{}: its rows are not those of its study.yaml", study.name);
        // Without the grids of its rounds it equals the shipped study in the precision of the
        // script, except for the digits of its grids (twelve before version 3 of the keys).
        let written: Value = serde_yaml::from_str(&trained.with_grids(vec![]).to_yaml()).unwrap();
        let precision = written["precision"].as_str().unwrap_or("float32").to_string();
        let rounded = study_of(&serde_yaml::to_string(&rounded(&written)).unwrap());
        let small = Overrides { set: vec![format!("precision={precision}")], ..small };
        assert_eq!(
            keys(&rounded),
            keys(&Study::load(&path, &small).unwrap()),
            "docs/results/{} is of another version of the study: run scripts/results.sh",
            study.name
        );
        let summary = json(&read(folder.join("summary.json")));
        assert_eq!((summary["made_up"].as_bool(), summary["stages"]["missing"].as_u64()), (Some(false), Some(0)));
        assert!(folder.join("manifest.json").exists() && folder.join("index.html").exists());
    }
}

/// Rounds all numbers to six digits.
fn rounded(value: &Value) -> Value {
    match value {
        Value::Number(n) if n.is_f64() => Value::from(significant(n.as_f64().unwrap(), 6)),
        Value::Sequence(items) => items.iter().map(rounded).collect(),
        Value::Mapping(map) => Value::Mapping(map.iter().map(|(key, value)| (key.clone(), rounded(value))).collect()),
        other => other.clone(),
    }
}

fn study_of(text: &str) -> Study {
    study(text, Overrides::default())
}

#[test]
fn sources_are_shared_by_all_lambda1() {
    let plan = plan_json(&["experiments/cifar10.yaml"]);
    let n = |key: &str| plan[key].as_u64().unwrap();
    let lambda0 = plan["axes"]["lambda0"].as_array().unwrap();
    let (l0, l1, seeds) =
        (lambda0.len() as u64, plan["axes"]["lambda1"].as_array().unwrap().len() as u64, plan["seeds"].as_array().unwrap().len() as u64);
    assert_eq!((n("cells"), n("source_stages"), n("target_stages")), (l0 * l1 * seeds, l0 * seeds, l0 * l1 * seeds));
    assert!(seeds >= 5 && n("scratch_stages") >= seeds);
    let values: Vec<f64> = lambda0.iter().map(|v| v.as_f64().unwrap()).collect();
    assert!(values.contains(&0.0) && values.contains(&1e-5) && values.contains(&1e-1), "{values:?}");
    assert_eq!(plan_json(&["experiments/collapse.yaml", "--set", "lambda1=[0, 1, 2, 3]", "--seeds", "2"])["target_stages"], 12 * 4 * 2);
}

fn study(text: &str, overrides: Overrides) -> Study {
    let folder = tempfile::tempdir().unwrap();
    Study::load(&write(folder.path(), "study.yaml", text), &overrides).unwrap()
}

fn keys(study: &Study) -> HashSet<String> {
    Plan::new(study).unwrap().stages.into_iter().map(|stage| stage.key).collect()
}

#[test]
fn the_resolved_study_is_the_same_study() {
    for path in shipped() {
        let whole = Study::load(&path, &Overrides::default()).unwrap();
        let again = study(&whole.to_yaml(), Overrides::default());
        assert_eq!(whole.axes, again.axes);
        if whole.kind == StudyKind::Ridge {
            let keys = |study: &Study| -> Vec<String> { cases(study).unwrap().into_iter().map(|case| case.key).collect() };
            assert_eq!(keys(&whole), keys(&again), "{}", path.display());
            continue;
        }
        assert_eq!(keys(&whole), keys(&again), "{}", path.display());
    }
    let text = SMALL.replace("lambda1: [0, 0.1]", "lambda1: [0, .inf]\npenalty: {step: proximal}");
    let infinite = study(&text, Overrides::default());
    assert_eq!(keys(&infinite), keys(&study(&infinite.to_yaml(), Overrides::default())));
}

#[test]
fn each_setting_changes_the_keys_of_the_stages_it_shapes_and_no_others() {
    let base = Plan::new(&study(SMALL, Overrides::default())).unwrap();
    let by_kind = |plan: &Plan, kind| -> HashSet<String> { plan.stages.iter().filter(|s| s.kind == kind).map(|s| s.key.clone()).collect() };
    let changes = [
        // Columns: setting, and whether the source, target and scratch keys change.
        ("source.l1_ratio=0.5", true, true, false),
        ("source.dropout=0.5", true, true, false),
        ("source.label_smoothing=0.1", true, true, false),
        ("source.label_noise=0.1", true, true, false),
        ("target.dropout=0.5", false, true, true),
        ("target.apart=true", false, true, true),
        ("transfer.method=ridge", false, true, false),
        ("alignment=true", false, false, false),
        ("model.hidden=[8]", true, true, true),
        ("penalty.biases=false", true, true, true),
        ("source.lr=0.2", true, true, false),
        ("source.per_class=10", true, true, true), // the source's images determine the normalisation
        ("target.lr=0.2", false, true, true),
        ("target.augment.shift=1", false, true, true),
        ("transfer.beta=0.1", false, true, false),
        ("transfer.method=finetune", false, true, false),
        ("scratch.lr=0.2", false, false, true),
        ("lambda1=[0.2, 0.3]", false, true, false),
        ("lambda0=[0.2, 0.3]", true, true, false),
        ("selection=loss", false, false, false),
        ("description=other words", false, false, false),
    ];
    for (set, source, target, scratch) in changes {
        let changed = Plan::new(&study(SMALL, Overrides { set: vec![set.into()], ..Overrides::default() })).unwrap();
        for (kind, expected) in [(StageKind::Source, source), (StageKind::Target, target), (StageKind::Scratch, scratch)] {
            let differs = by_kind(&base, kind).is_disjoint(&by_kind(&changed, kind));
            let same = by_kind(&base, kind) == by_kind(&changed, kind);
            assert!(if expected { differs } else { same }, "{set}: {}", kind.as_str());
        }
    }
}

#[test]
fn documents_settings_are_part_of_the_keys_and_images_keep_theirs() {
    let text = SMALL.replace("data: digits", "data: newsgroups").replace("[0, 1, 2]", "[sci.*]").replace("[5, 6, 7]", "[rec.*]");
    let of = |set: &[&str]| {
        let overrides = Overrides { set: set.iter().map(|s| s.to_string()).collect(), ..Overrides::default() };
        Plan::new(&study(&text, overrides)).unwrap()
    };
    let sources =
        |plan: &Plan| -> Vec<String> { plan.stages.iter().filter(|s| s.kind == StageKind::Source).map(|s| s.key.clone()).collect() };
    assert_ne!(sources(&of(&[])), sources(&of(&["text.min_df=3"])));
    assert_eq!(sources(&of(&[])), sources(&of(&["target.per_class=6"])), "the source's words are its own");
    let united = |n: &str| sources(&of(&["text.fit=union", n]));
    assert_ne!(united("target.per_class=5"), united("target.per_class=6"), "unless the target's are among them");
}

#[test]
fn keys_stay_so_that_results_on_disk_stay_valid() {
    let demo = Study::load(&repository().join("experiments/collapse.yaml"), &Overrides::default()).unwrap();
    let stages = Plan::new(&demo).unwrap().stages;
    let first = |kind| stages.iter().find(|stage| stage.kind == kind).unwrap().key.as_str();
    // New settings with default values are not part of a key.
    assert_eq!(
        [first(StageKind::Source), first(StageKind::Target), first(StageKind::Scratch)],
        ["2e26f446f377ec68b2df", "2563dc3a36829baf9d09", "7c1c9eb515abbab2cec6"]
    );
    // Keys of version 2, as in the first release.
    let old = Plan::with_keys(&demo, KeyVersion::Two).unwrap().stages;
    let first = |kind| old.iter().find(|stage| stage.kind == kind).unwrap().key.as_str();
    assert_eq!(first(StageKind::Source), "be5848fd33aa3da726d3");
    assert_eq!(first(StageKind::Target), "91227fc171c136d0ae87");
    assert_eq!(first(StageKind::Scratch), "ae384870e8b76777e25e");
}

#[test]
fn an_alignment_is_estimated_once_for_each_pair_network_and_seed() {
    let count = |set: &[&str]| {
        let mut all = vec!["alignment=true".to_string()];
        all.extend(set.iter().map(|s| s.to_string()));
        Plan::new(&study(SMALL, Overrides { set: all, ..Overrides::default() })).unwrap().count(StageKind::Alignment)
    };
    assert_eq!(count(&[]), 2);
    assert_eq!(
        count(&["target.per_class=[5, 6]", "source.lr=[0.1, 0.2]", "transfer.method=[l2sp, finetune]", "penalty.biases=[true, false]"]),
        2
    );
    assert_eq!(count(&["target.classes=[[5, 6], [6, 7]]"]), 4);
    assert_eq!(count(&["model.hidden=[[8], [16], [32]]", "source.label_noise=[0, 0.2]"]), 12);
}

#[test]
fn zipped_axes_lists_of_lists_bases_and_presets() {
    let zipped = study(
        &SMALL.replace("lr: 0.1}", "lr: [0.1, 0.2, 0.3]}").replace("seeds: 2", "seeds: 2\nzip: [[lambda0, source.lr]]"),
        Overrides::default(),
    );
    assert_eq!(zipped.combinations().len(), 3 * 2);
    // Only the zipped pairs have to be stable, not every combination.
    let pairs = SMALL.replace("lambda0: [0, 1e-3, 1e-2]", "lambda0: [1, 100]").replace("lr: 0.1}", "lr: [1, 0.01]}");
    study(&pairs.replace("seeds: 2", "seeds: 2\nzip: [[lambda0, source.lr]]"), Overrides::default());
    let widths = study(&SMALL.replace("hidden: [16]", "hidden: [[16], [8, 8], [4]]"), Overrides::default());
    assert_eq!(widths.axes.len(), 3);
    assert_eq!(widths.combinations().len(), 3 * 3 * 2);

    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "base.yaml", &format!("{SMALL}presets: {{tiny: {{seeds: 1}}}}\n"));
    let child = write(folder.path(), "child.yaml", "name: child\nextends: base.yaml\nsource: {epochs: 9}\n");
    let plain = Study::load(&child, &Overrides::default()).unwrap();
    let cell = plain.cell(&[0, 0]).unwrap();
    assert_eq!((cell.source.epochs, cell.source.lr, plain.seeds.len()), (9, 0.1, 2));
    let tiny = Study::load(&child, &Overrides { preset: Some("tiny".into()), ..Overrides::default() }).unwrap();
    assert_eq!(tiny.seeds, [0]);
}

#[test]
fn grids_are_tidy() {
    let study = study(
        &SMALL.replace(
            "lambda0: [0, 1e-3, 1e-2]",
            "lambda0: [0, {log: {from: 1e-5, to: 1e-1, points: 5}}, {linear: {from: 1, to: 2, points: 3}}]",
        ),
        Overrides::default(),
    );
    let values: Vec<f64> = study.axes[0].values.iter().map(|v| v.as_f64().unwrap()).collect();
    assert_eq!(values, [0.0, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1.5, 2.0]);
}

#[test]
fn the_reference_has_not_drifted() {
    let path = repository().join("docs/study.md");
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, reference_markdown(), "docs/study.md has drifted: run `make docs`");
}

#[test]
fn the_worked_files_of_the_reference_are_studies() {
    let text = reference_markdown();
    let files: Vec<&str> = text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(files.len(), 3);
    for file in files {
        let presets = if file.contains("presets:") { vec![None, Some("small".to_string())] } else { vec![None] };
        for preset in presets {
            let study = study(file, Overrides { preset, ..Overrides::default() });
            assert!(Plan::new(&study).unwrap().cells.len() >= 8, "{file}");
        }
    }
}

#[test]
fn the_schema_knows_every_key_of_the_shipped_studies() {
    let schema = json_schema();
    let (network, ridge) = (&schema["else"], &schema["then"]);
    assert!(network["additionalProperties"] == false && ridge["additionalProperties"] == false);
    for key in ["name", "presets", "seeds", "lambda0", "lambda1", "model", "source", "target", "transfer", "scratch", "penalty"] {
        assert!(network["properties"][key].is_object(), "{key}");
    }
    for key in ["name", "presets", "question", "lambda0", "lambda1", "p", "gamma", "rho", "source", "target", "targets", "draws"] {
        assert!(ridge["properties"][key].is_object(), "{key}");
    }
    assert!(ridge["properties"]["seeds"].is_null() && network["properties"]["question"].is_null());
    assert!(
        network["properties"]["source"]["properties"]["lr"]["anyOf"].as_array().unwrap().len() == 4,
        "a list or a grid may stand for a number"
    );
    let printed = run(program().arg("schema"));
    assert_eq!(json(&printed.stdout), schema);
}

#[test]
fn the_program_carries_every_shipped_study() {
    let listed = run(program().arg("studies"));
    assert_eq!(listed.code, Some(0), "{}", listed.stderr);
    for path in shipped() {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(listed.stdout.lines().any(|line| line.split_whitespace().next() == Some(&name as &str)), "{name} in {}", listed.stdout);
    }
    let text = std::fs::read_to_string(repository().join("experiments/mnist.yaml")).unwrap();
    assert_eq!(run(program().args(["studies", "mnist"])).stdout, text);
    let unknown = run(program().args(["studies", "mnits"]));
    assert!(unknown.code == Some(2) && unknown.stderr.contains("did you mean `mnist`?"), "{}", unknown.stderr);
    let folder = tempfile::tempdir().unwrap();
    let demo = run(program().current_dir(folder.path()).args(["demo", "--engine", "mock", "--preset", "small", "--seeds", "3", "--quiet"]));
    assert!(demo.code == Some(0) && demo.stdout.contains("logs/demo/report/index.html"), "{}{}", demo.stdout, demo.stderr);
    let written = run(program().current_dir(folder.path()).args(["studies", "--write", "experiments"]));
    assert_eq!((written.code, written.stdout.lines().count()), (Some(0), shipped().len()), "{}", written.stderr);
}
