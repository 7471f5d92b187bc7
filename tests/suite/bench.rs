//! `bench` measures the numbers that it prints, keeps its measurements of the device, and leaves no
//! results.
#![cfg(feature = "torch")]

use crate::common::*;

#[test]
fn bench_of_packs_on_the_digits() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    std::fs::create_dir(folder.path().join("small")).unwrap();
    let bench = || {
        let mut command = program();
        command.arg("bench").arg(&study).arg("--out").arg(folder.path()).args(["--device", "cpu", "--json", "--seconds", "0.2"]);
        command.args([
            "--pack",
            "4",
            "--packs",
            "1,2",
            "--set",
            "model={kind: convnet, channels: [4, 8], hidden: []}",
            "--set",
            "source.batch_size=4",
        ]);
        let done = run(&mut command);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        json(&done.stdout)
    };
    let first = bench();
    assert!(first["copy_bytes"].as_f64().unwrap() > 1e7);
    let kinds: Vec<&str> = first["tasks"].as_array().unwrap().iter().map(|task| task["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["source", "target", "scratch"]);
    for task in first["tasks"].as_array().unwrap() {
        let number = |key: &str| task[key].as_f64().unwrap();
        assert!(number("images_per_second") > 0.0 && number("model_steps_per_second") > 0.0);
        assert!(number("busy") > 0.0 && number("busy") <= 1.0);
        assert_eq!(task["pack"], 4);
        assert_eq!(task["other_packs"].as_array().unwrap().len(), 2);
        assert!(number("matmul_flops") > 1e8);
        // Two convolutions, each timed with every strategy. On CPU they are always computed
        // separately for each replica, whatever is fastest.
        let layers = task["convolutions"].as_array().unwrap();
        assert_eq!(layers.len(), 2);
        for layer in layers {
            let times = layer["milliseconds"].as_object().unwrap();
            assert_eq!(times.len(), 4);
            assert_eq!(layer["chosen"], "alone");
        }
        // The operation count, for a 3×3 convolution 1 → 4 at 8×8, one 4 → 8 at 4×4, and a head
        // 8·2·2 → 3.
        let forward = [2 * 9 * 4 * 64, 2 * 36 * 8 * 16, 2 * 32 * 3].map(f64::from);
        assert_eq!(number("flops_per_image"), 2.0 * forward[0] + 3.0 * (forward[1] + forward[2]));
        let names: Vec<&str> = task["profile"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
        assert!(names.contains(&"pool_bias_relu") && names.contains(&"linear_backward") && names.contains(&"sgd"), "{names:?}");
    }
    // The measurements of the device are kept and not repeated.
    let kept = || std::fs::read_to_string(folder.path().join("small/calibration.json")).unwrap();
    let before = kept();
    assert!(before.contains("4 replicas, batch 4"), "{before}");
    for timing in json(&before)["strategies"].as_object().unwrap().values().flat_map(|layers| layers.as_array().unwrap().clone()) {
        let times = timing["milliseconds"].as_object().unwrap();
        let chosen = times[timing["chosen"].as_str().unwrap()].as_f64().unwrap();
        assert!(times.values().all(|ms| ms.as_f64().unwrap() >= chosen), "what is kept is the fastest: {timing}");
    }
    assert_eq!(bench()["tasks"][0]["convolutions"], first["tasks"][0]["convolutions"]);
    assert_eq!(before, kept());
    assert!(!folder.path().join("small/records").exists(), "no results");
}
