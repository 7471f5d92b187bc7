//! The real TensorBoard reads what a sweep wrote: scalars, the HParams table and the heat map,
//! through its HTTP API.
#![cfg(feature = "torch")]

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::*;
use serde_json::{json, Value as Json};

struct Server {
    child: Child,
    base: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(logdir: &std::path::Path) -> Server {
        let program: PathBuf = repository().join(".venv/bin/tensorboard");
        assert!(program.exists(), "{} is missing: `make test` installs it", program.display());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(program)
            .args(["--host", "127.0.0.1", "--port", &port.to_string(), "--reload_interval", "1", "--load_fast", "false", "--logdir"])
            .arg(logdir)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Server { child, base: format!("http://127.0.0.1:{port}/data") };
        let deadline = Instant::now() + Duration::from_secs(120);
        while ureq::get(&format!("{}/runs", server.base)).call().is_err() {
            assert!(Instant::now() < deadline, "TensorBoard does not answer");
            std::thread::sleep(Duration::from_millis(200));
        }
        server
    }

    fn get(&self, path: &str) -> Json {
        json_of(ureq::get(&format!("{}/{path}", self.base)).call().unwrap().body_mut().read_to_string().unwrap())
    }

    fn post(&self, path: &str, body: Json) -> Json {
        let mut response =
            ureq::post(&format!("{}/{path}", self.base)).header("content-type", "application/json").send(body.to_string()).unwrap();
        json_of(response.body_mut().read_to_string().unwrap())
    }
}

fn json_of(text: String) -> Json {
    crate::common::json(&text)
}

#[test]
fn scalars_hparams_and_the_heat_map_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let logs = folder.path().join("logs");
    assert_eq!(run(&mut sweep(&study, &logs, &["--device", "cpu", "--quiet"])).code, Some(0));
    let server = Server::start(&logs);
    let target = "small/tb/target/lambda0=0.01,lambda1=0.1,seed=1";
    let deadline = Instant::now() + Duration::from_secs(60);
    let runs = loop {
        let runs: Vec<String> = server.get("runs").as_array().unwrap().iter().map(|r| r.as_str().unwrap().to_string()).collect();
        // Every stage has a run. There are also runs of the root, the answer and the sweep itself.
        if runs.len() >= 20 + 3 {
            break runs;
        }
        assert!(Instant::now() < deadline, "runs: {runs:?}");
        std::thread::sleep(Duration::from_millis(500));
    };
    assert!(runs.iter().any(|run| run == target) && runs.iter().any(|run| run == "small/tb/answer"), "{runs:?}");

    let query = |run: &str, tag: &str| {
        format!("?run={}&tag={}", run.replace('=', "%3D").replace(',', "%2C"), tag.replace('=', "%3D").replace(',', "%2C"))
    };
    let scalars = |run: &str, tag: &str| -> Vec<(i64, f64)> {
        let points = server.get(&format!("plugin/scalars/scalars{}", query(run, tag)));
        points.as_array().unwrap().iter().map(|p| (p[1].as_i64().unwrap(), p[2].as_f64().unwrap())).collect()
    };
    let busy = scalars("small/tb/sweep", "sweep/utilisation");
    assert!(busy.iter().all(|&(_, share)| (0.0..=1.0).contains(&share)) && busy.iter().any(|&(_, share)| share > 0.0), "{busy:?}");
    assert_eq!(scalars("small/tb/sweep", "sweep/stages_done").last().unwrap().1, 20.0);
    let record = records(&logs, "small")
        .into_iter()
        .find(|r| r["axes"] == json!({"lambda0": 0.01, "lambda1": 0.1}) && r["seed"] == 1 && r["kind"] == "target")
        .unwrap();
    for (tag, key) in [
        ("target/val_loss", "val_loss"),
        ("target/val_acc", "val_acc"),
        ("target/train_loss", "train_loss"),
        ("target/l2sp_distance", "distance"),
    ] {
        let read = scalars(target, tag);
        let written: Vec<f64> = record["history"].as_array().unwrap().iter().map(|epoch| epoch[key].as_f64().unwrap()).collect();
        assert_eq!(read.len(), 3, "{tag}");
        for (i, ((step, value), written)) in read.iter().zip(&written).enumerate() {
            assert_eq!(*step, i as i64 + 1);
            assert!((value - written).abs() < 1e-6 * written.abs().max(1.0), "{tag}: {value} against {written}");
        }
    }
    let gain = scalars(target, "target/transfer_gain");
    assert!(gain.len() <= 1, "once, where the twin had ended before");
    assert_eq!(scalars("small/tb/source/lambda0=0.01,seed=1", "source/test_acc").len(), 1);
    for part in ["mean", "lower", "upper"] {
        for task in ["source", "target"] {
            let curve = scalars("small/tb/answer", &format!("answer/{task}_test_accuracy_over_lambda0/{part}"));
            assert_eq!(curve.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [0, 1, 2], "a step for each λ₀");
        }
    }
    let text = server.get(&format!("plugin/text/text{}", query("small/tb/answer", "answer")));
    assert!(text[0]["text"].as_str().unwrap().contains("UNDECIDED: two seeds are too few."), "{text}");

    // The HParams table: the axes with their domains, and a group for each cell, averaged over its
    // two seeds.
    let experiment = server.post("plugin/hparams/experiment", json!({}));
    let axes: Vec<(&str, Vec<f64>)> = experiment["hparamInfos"]
        .as_array()
        .unwrap()
        .iter()
        .map(|info| {
            (info["name"].as_str().unwrap(), info["domainDiscrete"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect())
        })
        .collect();
    assert!(axes.contains(&("lambda0", vec![0.0, 0.001, 0.01])) && axes.contains(&("lambda1", vec![0.0, 0.1])), "{axes:?}");
    let request = json!({
        "allowedStatuses": ["STATUS_SUCCESS", "STATUS_UNKNOWN", "STATUS_FAILURE", "STATUS_RUNNING"],
        "colParams": [{"hparam": "lambda0"}, {"hparam": "lambda1"}, {"metric": {"tag": "target/test_acc", "group": ""}}],
        "startIndex": 0, "sliceSize": 100, "aggregationType": "AGGREGATION_AVG"
    });
    let groups = server.post("plugin/hparams/session_groups", request);
    let groups = groups["sessionGroups"].as_array().unwrap();
    assert_eq!(groups.len(), 6, "3 λ₀ × 2 λ₁ cells");
    for group in groups {
        assert_eq!(group["sessions"].as_array().unwrap().len(), 2, "two seeds a cell");
        assert!(group["hparams"]["lambda0"].is_number() && group["hparams"]["lambda1"].is_number());
        let metrics = group["metricValues"].as_array().unwrap();
        assert!(metrics.iter().any(|m| m["name"]["tag"] == "target/test_acc" && m["value"].is_number()), "{metrics:?}");
    }

    let images = server.get(&format!("plugin/images/images{}&sample=0", query("small/tb/answer", "target_test_heatmap")));
    let image = &images.as_array().unwrap()[0];
    let blob = image["query"].as_str().unwrap();
    let png = ureq::get(&format!("{}/plugin/images/individualImage?{blob}", server.base)).call().unwrap().body_mut().read_to_vec().unwrap();
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    let size = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    assert_eq!((size(16), size(20)), (1000, 796));
}

/// TensorBoard deselects all runs if there are more than 40.
#[test]
fn a_study_of_two_thousand_stages_has_at_most_forty_runs() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let grids =
        ["--set", "lambda0=[0, {log: {from: 1e-5, to: 1, points: 9}}]", "--set", "lambda1=[0, {log: {from: 1e-3, to: 1, points: 9}}]"];
    let logs = folder.path().join("logs");
    let more = ["--engine", "mock", "--quiet", "--seeds", "5", "--set", "model.hidden=[[8], [16], [32], [64]]"];
    assert_eq!(run(&mut sweep(&study, &logs, &[&more[..], &grids].concat())).code, Some(0));
    assert_eq!(records(&logs, "small").len(), 4 * (10 * 5 + 100 * 5 + 5));
    let server = Server::start(&logs);
    let deadline = Instant::now() + Duration::from_secs(60);
    let runs = loop {
        let runs = server.get("runs").as_array().unwrap().len();
        if runs >= 39 {
            break runs;
        }
        assert!(Instant::now() < deadline, "{runs} runs");
        std::thread::sleep(Duration::from_millis(500));
    };
    assert!(runs <= 40, "{runs} runs");
    let images = server.get("plugin/images/tags");
    let names: Vec<&str> = images["small/tb/answer"].as_object().unwrap().keys().map(String::as_str).collect();
    assert!(names.contains(&"overview") && names.contains(&"figure2-1") && names.contains(&"figure2-4"), "{names:?}");
    let request = json!({
        "allowedStatuses": ["STATUS_SUCCESS"],
        "colParams": [{"hparam": "lambda0"}, {"metric": {"tag": "target/test_acc", "group": ""}, "order": "ORDER_DESC"}],
        "startIndex": 0, "sliceSize": 100, "aggregationType": "AGGREGATION_AVG"
    });
    let groups = server.post("plugin/hparams/session_groups", request);
    let groups = groups["sessionGroups"].as_array().unwrap();
    assert_eq!(groups.len(), 36, "one for each cell that is shown");
    let of_width = |width: &str| groups.iter().filter(|group| group["hparams"]["model.hidden"].as_str().unwrap().contains(width)).count();
    assert_eq!([of_width("8"), of_width("16"), of_width("32"), of_width("64")], [9; 4], "equally many of each setting");
}
