//! Tests with the real data sets, if they are in TRANSFERGRID_DATA. In CI (CI=true) they are
//! required.
#![cfg(feature = "torch")]

use std::path::PathBuf;

use crate::common::*;
use transfergrid::config::network::{DataChoice, DataName, DataPlace};
use transfergrid::data::own::{split, Found, Part, Picture, Values};
use transfergrid::data::{find, search_path, verify, Dataset, Examples, Verification};

/// The data folder, if it contains this data set. Otherwise prints a message; in CI the test fails.
fn data(name: DataName) -> Option<PathBuf> {
    let roots = search_path(None);
    if find(name, &roots).is_some() {
        return Some(roots.0[0].clone());
    }
    assert!(std::env::var_os("CI").is_none(), "{} has to be there in CI: set TRANSFERGRID_DATA", name.as_str());
    eprintln!("LEFT OUT: {} is not here, so nothing was tested on it (set TRANSFERGRID_DATA)", name.as_str());
    None
}

#[test]
fn files_are_the_published_ones_and_read_whole() {
    let all = [
        (DataName::Mnist, 60_000, 10_000),
        (DataName::Cifar10, 50_000, 10_000),
        (DataName::Cifar100, 50_000, 10_000),
        (DataName::Cifar100Coarse, 50_000, 10_000),
        (DataName::Newsgroups, 11_314, 7_532),
    ];
    for (name, train, test) in all {
        if data(name).is_none() {
            continue;
        }
        let roots = search_path(None);
        assert_eq!(verify(name, &roots).unwrap(), Verification::Right);
        let files = Dataset::read(name, true, &roots).unwrap();
        assert_eq!((files.0.len(), files.1.len()), (train, test));
        for (label, class) in name.info().classes.iter().enumerate() {
            let count = |file: &Examples| file.labels.iter().filter(|&&l| usize::from(l) == label).count();
            assert_eq!((count(&files.0), count(&files.1)), (class.training, class.test), "{} class {}", name.as_str(), class.name);
        }
        // Known means of the training pixels, in units of pixel/255, as used in many programs.
        let known: &[f64] = match name {
            DataName::Mnist => &[0.1307],
            DataName::Cifar10 => &[0.4914, 0.4822, 0.4465],
            DataName::Cifar100 | DataName::Cifar100Coarse => &[0.5071, 0.4865, 0.4409],
            _ => continue,
        };
        let channels = known.len();
        let rows: Vec<usize> = (0..train).collect();
        let stats = transfergrid::data::normalisation(&files.0, &rows, channels);
        assert!(stats.mean.iter().zip(known).all(|(a, b)| (a - b).abs() < 1e-4), "{:?}", stats.mean);
    }
}

/// The user's own files of a published set share its results.
#[test]
fn published_images_are_recognised_by_their_content() {
    for (name, [height, width, channels]) in
        [(DataName::Mnist, [28, 28, 1]), (DataName::Cifar10, [32, 32, 3]), (DataName::Cifar100, [32, 32, 3])]
    {
        if data(name).is_none() {
            continue;
        }
        let (train, test) = Dataset::read(name, true, &search_path(None)).unwrap();
        let part = |of: &Examples| {
            let picture = |pixels: &[u8]| Picture { height, width, channels, pixels: pixels.to_vec().into() };
            Part::new(of.labels.clone(), Values::Pictures(of.pixels().chunks(height * width * channels).map(picture).collect()))
        };
        let classes = (0..name.info().classes.len()).map(|label| label.to_string()).collect();
        let found = Found { classes, train: part(&train), test: Some(part(&test)), notes: vec![] };
        let set = split(&DataPlace { npz: Some("a.npz".into()), ..DataPlace::default() }, found).unwrap();
        assert_eq!(&set.info, name.info());
    }
}

#[test]
fn cifar_from_the_archive_is_cifar_from_the_folder() {
    let Some(folder) = data(DataName::Cifar10) else { return };
    let packed = tempfile::tempdir().unwrap();
    let archive = packed.path().join("cifar-10-binary.tar.gz");
    let status = std::process::Command::new("tar")
        .arg("-C")
        .arg(&folder)
        .arg("-cf")
        .arg(&archive)
        .args(["--use-compress-program=gzip -1", "cifar-10-batches-bin"])
        .status()
        .unwrap();
    assert!(status.success());
    let load = |root: &std::path::Path| {
        Dataset::load(&DataChoice::Named(DataName::Cifar10), false, [32, 32, 3], &search_path(Some(root))).unwrap()
    };
    let (a, b) = (load(&folder), load(packed.path()));
    assert_eq!(a.train, b.train);
    assert_eq!(a.test, b.test);
    // A truncated archive is refused with its name.
    let bytes = std::fs::read(&archive).unwrap();
    std::fs::write(&archive, &bytes[..bytes.len() / 2]).unwrap();
    let error = Dataset::load(&DataChoice::Named(DataName::Cifar10), false, [32, 32, 3], &search_path(Some(packed.path())))
        .unwrap_err()
        .to_string();
    assert!(error.contains("cifar-10-binary.tar.gz"), "{error}");
}

#[test]
fn the_shipped_studies_learn_on_real_images() {
    let plain = "model={kind: convnet, channels: [16, 32], norm: none}";
    let cases: [(DataName, &str, f64, &[&str]); 4] = [
        (DataName::Newsgroups, "newsgroups", 0.35, &["source.epochs=25", "source.per_class=100", "target.epochs=5"]),
        (
            DataName::Cifar100,
            "architectures-cifar100",
            0.2,
            &["zip=[]", plain, "source.epochs=4", "source.per_class=100", "target.epochs=2"],
        ),
        (DataName::Mnist, "mnist", 0.85, &["source.epochs=3", "source.per_class=200", "target.epochs=5"]),
        (DataName::Cifar10, "cifar10", 0.25, &["source.epochs=4", "source.per_class=200", "target.epochs=5"]),
    ];
    for (name, study, least, set) in cases {
        let Some(folder) = data(name) else { continue };
        let out = tempfile::tempdir().unwrap();
        let mut more = vec!["--preset", "small", "--seeds", "2", "--device", "cpu", "--set", "lambda0=[0, 1e-3]", "--set", "lambda1=0.01"];
        set.iter().for_each(|set| more.extend(["--set", *set]));
        let file = repository().join("experiments").join(format!("{study}.yaml"));
        let done = run(sweep(&file, out.path(), &more).env("TRANSFERGRID_DATA", &folder));
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        for record in records(out.path(), study).iter().filter(|r| r["kind"] == "source") {
            let accuracy = record["metrics"]["test_acc"].as_f64().unwrap();
            assert!(accuracy > least, "{study}: {accuracy} on the source's test images");
        }
    }
}

#[test]
fn documents_of_several_seeds_share_a_pack() {
    let Some(folder) = data(DataName::Newsgroups) else { return };
    let out = tempfile::tempdir().unwrap();
    let file = repository().join("experiments/newsgroups.yaml");
    let set = ["text.fit=union", "source.per_class=20", "source.epochs=2", "target.epochs=2", "lambda0=[0, 1e-3]", "lambda1=0.01"];
    let run_with = |name: &str, pack: &str| {
        let out = out.path().join(name);
        let mut more = vec!["--preset", "small", "--seeds", "3", "--device", "cpu", "--pack", pack];
        set.iter().for_each(|set| more.extend(["--set", *set]));
        let done = run(sweep(&file, &out, &more).env("TRANSFERGRID_DATA", &folder));
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        records(&out, "newsgroups")
    };
    for (a, b) in run_with("one", "1").iter().zip(run_with("many", "6")) {
        assert_eq!(a["key"], b["key"]);
        for (metric, value) in a["metrics"].as_object().unwrap() {
            let (a, b) = (value.as_f64().unwrap(), b["metrics"][metric].as_f64().unwrap());
            assert!((a - b).abs() < 1e-4 * a.abs().max(1.0), "{metric}: {a} and {b}");
        }
    }
}
