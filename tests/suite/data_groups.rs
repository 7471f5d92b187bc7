//! Examples of one group, such as a patient's, are never on two sides of a split.

use std::collections::BTreeSet;
use std::path::Path;

use image::GrayImage;
use transfergrid::config::network::DataPlace;
use transfergrid::data::own::{read_now, OwnSet};

use crate::common::*;

/// Three scans of each of `patients` patients in each of four classes: `0/p7_2.png`.
fn scans(root: &Path, patients: usize) {
    for class in 0..4usize {
        let folder = root.join(class.to_string());
        std::fs::create_dir_all(&folder).unwrap();
        for patient in 0..patients {
            for scan in 0..3 {
                let pixels = (0..64).map(|at| ((at * (class + 3) + patient * 37 + at * at * scan) % 251) as u8).collect();
                GrayImage::from_raw(8, 8, pixels).unwrap().save(folder.join(format!("p{patient}_{scan}.png"))).unwrap();
            }
        }
    }
}

/// The same as rows of four features.
fn table(path: &Path, patients: usize) {
    let mut text = "patient,kind,a,b,c,d\n".to_string();
    for class in 0..4usize {
        for (patient, scan) in (0..patients).flat_map(|patient| (0..3).map(move |scan| (patient, scan))) {
            let of = |k: usize| (class * k + patient * 7 + scan * k * k) % 11;
            text.push_str(&format!("p{patient},c{class},{},{},{},{}.5\n", of(1), of(2), of(3), class));
        }
    }
    std::fs::write(path, text).unwrap();
}

fn apart(set: &OwnSet) -> [usize; 2] {
    let [train, test] = [&set.train, &set.test].map(|part| part.groups.iter().cloned().collect::<BTreeSet<String>>());
    assert!(train.is_disjoint(&test), "{train:?} {test:?}");
    assert_eq!((set.train.groups.len(), set.test.groups.len()), (set.train.labels.len(), set.test.labels.len()));
    [train.len(), test.len()]
}

#[test]
fn groups_are_held_out_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (root, csv) = (folder.path().join("scans"), folder.path().join("scans.csv"));
    scans(&root, 30);
    table(&csv, 30);
    let images = DataPlace { images: Some(root.display().to_string()), ..DataPlace::default() };
    let grouped = DataPlace { group: Some("*_*".into()), ..images.clone() };
    let rows = DataPlace {
        table: Some(csv.display().to_string()),
        label: Some("kind".into()),
        group: Some("patient".into()),
        ..DataPlace::default()
    };
    let (plain, of_images, of_rows) = (read_now(&images).unwrap(), read_now(&grouped).unwrap(), read_now(&rows).unwrap());
    assert_eq!(apart(&of_images), apart(&of_rows), "the groups' names decide, whatever the reader");
    let [training, tested] = apart(&of_images);
    assert!(training + tested == 30 && (2..=12).contains(&tested), "{training} and {tested}");
    assert_eq!(of_images.test.labels.len(), 12 * tested, "whole groups");
    assert!(of_images.info.digest != plain.info.digest && plain.train.groups.is_empty());
    assert!(of_images.notes.iter().any(|note| note.contains(&format!("{training} groups for training, {tested} for testing"))));
    assert_eq!(of_rows.info.channels, 4, "the group is no feature");
    // One class with a group of its own: its group trains, since a class needs training examples.
    std::fs::create_dir_all(root.join("4")).unwrap();
    for i in 0..6 {
        std::fs::copy(root.join("0/p0_0.png"), root.join(format!("4/{}_{i}.png", if i < 3 { "x" } else { "y" }))).unwrap();
    }
    let with_more = read_now(&grouped).unwrap();
    apart(&with_more);
    assert_eq!((with_more.info.classes[4].training, with_more.info.classes[4].test), (3, 3));
}

#[test]
#[cfg(feature = "torch")]
fn a_study_with_groups_trains_and_says_when_it_cannot() {
    let folder = tempfile::tempdir().unwrap();
    scans(&folder.path().join("scans"), 30);
    scans(&folder.path().join("few"), 3);
    let study = |name: &str| {
        let text = format!(
            "name: {name}\ndata: {{images: {}, group: \"*_*\"}}\nseeds: 2\nlambda0: [0, 1e-2]\nlambda1: [0]\n\
             model: {{kind: mlp, hidden: [8]}}\nsource: {{classes: ['0', '1'], per_class: 20, epochs: 2, lr: 0.05}}\n\
             target: {{classes: ['2', '3'], per_class: 10, epochs: 2, lr: 0.05}}\n",
            folder.path().join(name).display()
        );
        write(folder.path(), &format!("{name}.yaml"), &text)
    };
    let done = run(&mut sweep(&study("scans"), folder.path(), &["--quiet"]));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    // Three patients: one is held out, and two train.
    let text =
        std::fs::read_to_string(study("few")).unwrap().replace("per_class: 20", "per_class: 4").replace("per_class: 10", "per_class: 1");
    let few = write(folder.path(), "few.yaml", &text);
    let refused = run(&mut sweep(&few, folder.path(), &["--quiet"]));
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("with seed 0, class `0` has no validation example: each is of a group that is trained on"),
        "{}",
        refused.stderr
    );
}

#[test]
fn wrong_groups_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("scans");
    scans(&root, 3);
    table(&folder.path().join("scans.csv"), 3);
    std::fs::write(root.join("0/left.png"), std::fs::read(root.join("0/p0_0.png")).unwrap()).unwrap();
    scans(&folder.path().join("few"), 2);
    let parts = folder.path().join("parts");
    scans(&parts.join("train"), 3);
    scans(&parts.join("test"), 2);
    let describe = |place: &str| {
        let done = run(program().current_dir(folder.path()).args(["data", "describe", place]));
        assert_eq!(done.code, Some(2), "{place}: {}", done.stdout);
        done.stderr
    };
    for (place, words) in [
        ("{images: scans, group: '*_*'}", "`group: *_*` does not fit 1 of 37 files, such as `left.png`"),
        ("{images: few, group: '*_*'}", "it has 2 groups"),
        ("{images: scans, group: patient}", "`group: patient` does not fit 37 of 37 files"),
        ("{images: parts, group: '*_*'}", "2 groups, such as `p0`, are in the training and in the test part"),
        ("{table: scans.csv, label: kind, group: person}", "0 columns are called `person`; it has patient, kind, a, b, c, d"),
        ("{idx: scans, group: '*_*'}", "`group` needs names: a column, or the names of files"),
    ] {
        let told = describe(place);
        assert!(told.contains(words), "{place}: {told}");
    }
}
