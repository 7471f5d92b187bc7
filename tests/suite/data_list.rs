//! `data list`: what is in the folders that are searched, by a look inside.

use crate::common::*;

#[test]
fn published_sets_are_checked_and_own_data_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for (place, name) in
        [("photos/cats", "a.png"), ("photos/dogs", "b.JPG"), ("split/train/cats", "a.png"), ("letters", "t10k-images-idx3-ubyte")]
    {
        std::fs::create_dir_all(data.join(place)).unwrap();
        std::fs::write(data.join(place).join(name), "not looked at").unwrap();
    }
    for (name, text) in [("rows.csv", "a,b\n1,2\n"), ("features.npz", "x"), ("notes.txt", "none of these")] {
        std::fs::write(data.join(name), text).unwrap();
    }
    // The name is there, the content is not; and plain files, of which no checksum is published.
    std::fs::create_dir_all(data.join("cifar-10-batches-bin")).unwrap();
    std::fs::create_dir_all(data.join("FashionMNIST/raw")).unwrap();
    std::fs::write(data.join("FashionMNIST/raw/train-images-idx3-ubyte"), "plain").unwrap();
    let list = run(program().current_dir(folder.path()).args(["data", "list"]));
    assert_eq!(list.code, Some(0), "{}", list.stderr);
    let line = |start: &str| list.stdout.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}: {}", list.stdout));
    for (start, words) in [
        ("digits", "built in"),
        ("mnist", "not here (transfergrid data fetch mnist)"),
        ("kmnist", "classes o ki su tsu na ha ma ya re wo: not here"),
        ("cifar10", "data/cifar-10-batches-bin, but not the published files: data/cifar-10-batches-bin/data_batch_1.bin is missing"),
        ("fashion-mnist", "FashionMNIST/raw/train-images-idx3-ubyte.gz is missing"),
        ("{images: data/photos}", "folders of images"),
        ("{images: data/split}", "folders of images, in parts"),
        ("{idx: data/letters}", "IDX files"),
        ("{table: data/rows.csv}", "`label` names the column"),
        ("{npz: data/features.npz}", "a NumPy archive"),
    ] {
        assert!(line(start).contains(words), "{}", line(start));
    }
    assert!(!list.stdout.contains("notes.txt"));
    // A study on it says what is missing; a packed file with another content is no Fashion-MNIST.
    let study = write(
        folder.path(),
        "fashion.yaml",
        "name: f\ndata: FashionMNIST\nlambda0: [0, 1]\nlambda1: [0]\nmodel: {kind: mlp, hidden: [8]}\n\
         source: {classes: [coat, shirt], epochs: 1, lr: 0.1}\ntarget: {classes: [bag, sandal], per_class: 5, epochs: 1, lr: 0.1}\n",
    );
    let sweep = || run(program().current_dir(folder.path()).arg("sweep").arg(&study).arg("--quiet"));
    if cfg!(feature = "torch") {
        let plain = sweep();
        assert!(
            plain.code == Some(2) && plain.stderr.contains("this file is missing (.gz, whose checksum is published)"),
            "{}",
            plain.stderr
        );
    }
    std::fs::write(data.join("FashionMNIST/raw/train-images-idx3-ubyte.gz"), "packed").unwrap();
    let verified = run(program().current_dir(folder.path()).args(["data", "verify", "fashion-mnist"]));
    assert!(verified.code == Some(2) && verified.stdout.contains("published 8d4fb7e6c68d591d4c3dfef9ec88bf0d"), "{}", verified.stdout);
}
