//! Large sets of images are decoded once: later starts take them from files in memory.

use std::path::{Path, PathBuf};

use image::GrayImage;

use crate::common::*;

/// More images than are decoded at each start.
const N: usize = 5_020;

/// Small images of two classes; some are wider than the others.
fn images(root: &Path) {
    for i in 0..N {
        let folder = root.join(["a", "b"][i % 2]);
        std::fs::create_dir_all(&folder).unwrap();
        let (width, height) = if i % 10 == 0 { (6, 4) } else { (4, 4) };
        let pixels = (0..width * height).map(|at| ((i as u32 * 31 + at * (i as u32 % 7 + 1)) % 251) as u8).collect();
        GrayImage::from_raw(width, height, pixels).unwrap().save(folder.join(format!("{i}.png"))).unwrap();
    }
}

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn root(&self) -> PathBuf {
        self.folder.path().join("images")
    }

    fn command(&self, args: &[&str], cache: &str) -> Done {
        run(program().current_dir(self.folder.path()).args(args).env("TRANSFERGRID_CACHE", cache))
    }

    /// What `data describe` finds, and whether it decoded the images.
    fn described(&self, cache: &str) -> (serde_json::Value, bool) {
        let done = self.command(&["data", "describe", "{images: images}", "--json"], cache);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        (json(&done.stdout), done.stderr.contains(&format!("reading {N} images")))
    }
}

#[test]
fn a_large_set_is_decoded_once() {
    let place = Place { folder: tempfile::tempdir().unwrap() };
    images(&place.root());
    let cache = place.folder.path().join("cache/decoded-images");
    let (plain, decoded) = place.described("off");
    assert!(decoded && place.described("off").1);
    let (first, second) = (place.described("cache"), place.described("cache"));
    assert_eq!((&first.0, first.1, &second.0, second.1), (&plain, true, &plain, false));
    // The colour of one image makes all of them colour images, which are kept as well.
    let one = place.root().join("a/0.png");
    let grey = std::fs::read(&one).unwrap();
    image::RgbImage::from_pixel(4, 4, image::Rgb([9, 99, 199])).save(&one).unwrap();
    let changed = place.described("cache");
    assert!(changed.1 && changed.0["info"]["digest"] != plain["info"]["digest"] && changed.0["info"]["channels"] == 3);
    assert_eq!(place.described("cache"), (changed.0, false));
    std::fs::write(&one, grey).unwrap();
    let (again, _) = place.described("cache");
    assert_eq!(again, plain);
    // A damaged file of the cache is no reason to fail.
    for entry in std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()) {
        let bytes = std::fs::read(&entry).unwrap();
        std::fs::write(&entry, &bytes[..bytes.len() / 2]).unwrap();
    }
    assert_eq!(place.described("cache"), (plain.clone(), true));
    let shown = place.command(&["data", "cache"], "cache");
    assert!(shown.stdout.contains("of at most 50.0 GB"), "{}", shown.stdout);
    std::fs::write(place.folder.path().join("cache/mine.txt"), "not of the cache").unwrap();
    let cleared = place.command(&["data", "cache", "--clear"], "cache");
    assert!(cleared.stdout.contains("files removed") && std::fs::read_dir(&cache).unwrap().next().is_none(), "{}", cleared.stdout);
    assert!(place.folder.path().join("cache/mine.txt").exists());
    // A set beyond the limit is told. A place that cannot be written is no reason to fail.
    let small = run(program()
        .current_dir(place.folder.path())
        .args(["data", "describe", "{images: images}"])
        .env("TRANSFERGRID_CACHE", "cache")
        .env("TRANSFERGRID_CACHE_GB", "0.00001"));
    assert!(small.code == Some(2) && small.stderr.contains("larger than the 0.0 GB of the cache"), "{}", small.stderr);
    let unwritable = place.command(&["data", "describe", "{images: images}", "--json"], "images/a/0.png/none");
    assert!(unwritable.code == Some(0) && json(&unwritable.stdout) == plain, "{}", unwritable.stderr);
    assert!(unwritable.stderr.contains("set TRANSFERGRID_CACHE to another folder, or to `off`"), "{}", unwritable.stderr);
}

#[test]
#[cfg(feature = "torch")]
fn results_do_not_depend_on_the_cache() {
    let place = Place { folder: tempfile::tempdir().unwrap() };
    images(&place.root());
    let text = "name: small\ndata: {images: images}\ninput: {size: 5}\nseeds: 2\nlambda0: [0, 1e-2]\nlambda1: [0, 1e-1]\n\
                model: {kind: mlp, hidden: [8]}\nsource: {per_class: 50, validation_per_class: 40, epochs: 2, lr: 0.05}\n\
                target: {per_class: 10, validation_per_class: 40, epochs: 2, lr: 0.05}\n";
    let study = write(place.folder.path(), "small.yaml", text);
    let study = study.to_str().unwrap();
    for (out, cache) in [("off", "off"), ("first", "cache"), ("second", "cache")] {
        let done = place.command(&["sweep", study, "--out", out, "--quiet"], cache);
        assert_eq!(done.code, Some(0), "{out}: {}", done.stderr);
        assert_eq!(done.stderr.contains("reading"), out != "second", "{out}: {}", done.stderr);
    }
    let of = |out: &str| (records(&place.folder.path().join(out), "small"), results(&place.folder.path().join(out), "small"));
    assert_eq!(of("off"), of("first"));
    assert_eq!(of("off"), of("second"));
    let arrays = std::fs::read_dir(place.folder.path().join("cache/decoded-images")).unwrap();
    let names: Vec<String> = arrays.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    assert!(names.iter().any(|name| name.ends_with(".5x5x1.train")) && !names.iter().any(|name| name.ends_with(".part")), "{names:?}");
}
