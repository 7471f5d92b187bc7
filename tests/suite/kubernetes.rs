//! The Kubernetes manifest: it is valid in the API of nine versions, and it has the intended effect
//! in a simulated job controller.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::common::*;
use serde_yaml::Value;

const VERSIONS: [&str; 9] = ["1.29", "1.30", "1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37"];

fn manifest(study: &Path, more: &[&str]) -> String {
    let fixed = ["--shards", "4", "--image", "registry.example/transfergrid:0.1.0", "--pvc", "work"];
    let done = run(program().args(["launch", "kubernetes"]).arg(study).args(fixed).args(more));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    done.stdout
}

fn documents(text: &str) -> (Value, Value) {
    let mut parts = text.split("---\n").map(|part| serde_yaml::from_str(part).unwrap());
    (parts.next().unwrap(), parts.next().unwrap())
}

#[test]
fn manifests_are_valid_for_every_version() {
    let tool = repository().join(".venv/bin/kubernetes-validate");
    assert!(tool.exists(), "{} is missing: make test installs it", tool.display());
    let folder = tempfile::tempdir().unwrap();
    let overlay = write(
        folder.path(),
        "overlay.yaml",
        "spec: {ttlSecondsAfterFinished: 86400, template: {spec: {imagePullSecrets: [{name: registry}], containers: [{name: transfergrid, env: [{name: A, value: b}]}]}}}",
    );
    let study = repository().join("experiments/cifar10.yaml");
    let all = [
        "--gpus",
        "1",
        "--toleration",
        "nvidia.com/gpu:NoSchedule",
        "--node-selector",
        "zone=a",
        "--namespace",
        "lab",
        "--max-parallel",
        "2",
        "--device",
        "cuda:0",
    ];
    let overlaid = [&all[..], &["--overlay", overlay.to_str().unwrap()]].concat();
    let plain = write(folder.path(), "plain.yaml", &manifest(&study, &[]));
    let full = write(folder.path(), "full.yaml", &manifest(&study, &overlaid));
    // Checks the validator itself: it must refuse a misspelt field.
    let broken = write(folder.path(), "broken.yaml", &manifest(&study, &[]).replace("completionMode", "completionMood"));
    for version in VERSIONS {
        let valid = |path: &Path| run(Command::new(&tool).args(["--strict", "-k", version]).arg(path));
        for path in [&plain, &full] {
            let done = valid(path);
            assert_eq!(done.code, Some(0), "{version}: {}{}", done.stdout, done.stderr);
        }
        assert_ne!(valid(&broken).code, Some(0), "{version}");
    }
}

/// Properties that no schema checks.
#[test]
fn manifests_make_sense() {
    let (config, job) = documents(&manifest(&repository().join("experiments/cifar10.yaml"), &["--gpus", "2"]));
    let spec = &job["spec"];
    let pod = &spec["template"]["spec"];
    assert_eq!(spec["completionMode"].as_str(), Some("Indexed"));
    let args: Vec<&str> = pod["containers"][0]["args"].as_sequence().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(args.windows(2).any(|pair| pair == ["--device", "cuda:0,cuda:1"]), "both GPUs are used: {args:?}");
    assert_eq!(
        (spec["completions"].as_u64(), spec["parallelism"].as_u64(), spec["backoffLimitPerIndex"].as_u64()),
        (Some(4), Some(4), Some(3))
    );
    assert_eq!((pod["restartPolicy"].as_str(), spec["podReplacementPolicy"].as_str()), (Some("Never"), Some("Failed")));
    let is_name = |text: &str| {
        text.len() <= 63
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && !text.starts_with('-')
            && !text.ends_with('-')
    };
    for name in [&config["metadata"]["name"], &job["metadata"]["name"], &pod["containers"][0]["name"]] {
        assert!(is_name(name.as_str().unwrap()), "{name:?}");
    }
    // The host name of a pod is the job's name with the index.
    assert!(job["metadata"]["name"].as_str().unwrap().len() + "-99999".len() <= 63);
    // Extended resources cannot be overcommitted: requests equal limits.
    let resources = &pod["containers"][0]["resources"];
    assert_eq!(resources["limits"], resources["requests"]);
    assert_eq!(resources["limits"]["nvidia.com/gpu"].as_str(), Some("2"));
    let security = &pod["containers"][0]["securityContext"];
    assert_eq!((security["readOnlyRootFilesystem"].as_bool(), pod["securityContext"]["runAsNonRoot"].as_bool()), (Some(true), Some(true)));
    let volumes: Vec<&str> = pod["volumes"].as_sequence().unwrap().iter().map(|volume| volume["name"].as_str().unwrap()).collect();
    for mount in pod["containers"][0]["volumeMounts"].as_sequence().unwrap() {
        assert!(volumes.contains(&mount["name"].as_str().unwrap()), "{mount:?}");
    }
    // Disruptions (drained nodes, preemption) do not count as failures, whatever the exit code. The
    // first matching rule applies.
    let first = &spec["podFailurePolicy"]["rules"][0];
    let condition = &first["onPodConditions"][0];
    assert_eq!(
        (first["action"].as_str(), condition["type"].as_str(), condition["status"].as_str()),
        (Some("Ignore"), Some("DisruptionTarget"), Some("True"))
    );
    // The embedded study equals the original.
    let study: Value = serde_yaml::from_str(config["data"]["study.yaml"].as_str().unwrap()).unwrap();
    assert_eq!(study["name"].as_str(), Some("cifar10"));
}

/// The state of one index of the job in the job controller.
#[derive(Debug, Default)]
struct Index {
    failures: u64,
    ignored: usize,
    codes: Vec<i32>,
    succeeded: bool,
    failed: bool,
}

/// The action of the failure policy for an exit code.
fn action(job: &Value, code: i32) -> String {
    let rules = job["spec"]["podFailurePolicy"]["rules"].as_sequence().unwrap();
    let matches = |rule: &&Value| {
        let codes = rule["onExitCodes"]["values"].as_sequence();
        codes.is_some_and(|codes| codes.iter().any(|known| known.as_i64() == Some(i64::from(code))))
    };
    rules.iter().find(matches).map_or("Count".into(), |rule| rule["action"].as_str().unwrap().to_string())
}

/// Starts the container's command for an index, with local folders as mounts.
fn pod(job: &Value, index: usize, mounts: &BTreeMap<String, String>) -> Child {
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["command"][0].as_str(), Some("transfergrid"));
    let here =
        |word: &str| mounts.iter().find_map(|(from, to)| Some(format!("{to}{}", word.strip_prefix(from.as_str())?))).unwrap_or(word.into());
    let args = container["args"].as_sequence().unwrap().iter().map(|word| here(word.as_str().unwrap()));
    let mut command = program();
    command.args(args).env("JOB_COMPLETION_INDEX", index.to_string()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

#[test]
fn a_driver_that_obeys_the_policy_finishes_the_study() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", &SMALL.replace("seeds: 2", "seeds: 4"));
    let words = ["--engine", "mock", "--mock-ms", "40"];
    let (_, job) = documents(&manifest(&study, &words.map(|word| format!("--sweep-arg={word}")).each_ref().map(String::as_str)));
    let config = documents(&manifest(&study, &[])).0;
    let logs = folder.path().join("logs");
    let study_folder = |name: &str, text: &str| {
        std::fs::create_dir_all(folder.path().join(name)).unwrap();
        write(&folder.path().join(name), "study.yaml", text);
        folder.path().join(name).display().to_string()
    };
    let sound = study_folder("study", config["data"]["study.yaml"].as_str().unwrap());
    let broken = study_folder("broken", "name: small\ndata: digits\nlambda0: no number\n");
    let mounts = |study: &str| {
        BTreeMap::from([
            ("/app/study".to_string(), study.to_string()),
            ("/app/logs".into(), logs.display().to_string()),
            ("/app/data".into(), "/nowhere".into()),
        ])
    };
    let mut indices: Vec<Index> = (0..4).map(|_| Index::default()).collect();
    for (at, index) in indices.iter_mut().enumerate() {
        while !index.succeeded && !index.failed {
            // Index 1 is interrupted once. Index 2 has an error in its study. Index 3 is killed
            // once, as by the kernel when memory runs out.
            let mut child = pod(&job, at, &mounts(if at == 2 { &broken } else { &sound }));
            let first = index.codes.is_empty();
            if first && (at == 1 || at == 3) {
                let records = logs.join(format!("small/records/shard-{at}-of-4.jsonl"));
                until("it trains", || {
                    assert!(child.try_wait().unwrap().is_none(), "index {at} ended before it was disturbed");
                    std::fs::metadata(&records).is_ok_and(|file| file.len() > 0)
                });
                signal(if at == 1 { "-TERM" } else { "-KILL" }, child.id());
            }
            let code = child.wait().unwrap().code().unwrap_or(137);
            index.codes.push(code);
            match (code, action(&job, code).as_str()) {
                (0, _) => index.succeeded = true,
                (_, "FailIndex") => index.failed = true,
                (_, "Ignore") => index.ignored += 1,
                _ => {
                    index.failures += 1;
                    index.failed = index.failures > job["spec"]["backoffLimitPerIndex"].as_u64().unwrap();
                }
            }
        }
    }
    assert_eq!(indices[0].codes, [0]);
    assert_eq!((indices[1].codes.as_slice(), indices[1].ignored, indices[1].failures), (&[75, 0][..], 1, 0));
    assert_eq!((indices[2].codes.as_slice(), indices[2].failed), (&[2][..], true), "a mistake in the study is not tried again");
    assert_eq!((indices[3].codes.as_slice(), indices[3].ignored, indices[3].failures), (&[137, 0][..], 1, 0));
    // The error is corrected and only index 2 runs again. The results are then complete and equal
    // to those of one process.
    assert_eq!(pod(&job, 2, &mounts(&sound)).wait().unwrap().code(), Some(0));
    let calm = folder.path().join("calm");
    assert_eq!(run(&mut sweep(&study, &calm, &["--engine", "mock", "--quiet"])).code, Some(0));
    run(program().arg("report").arg(logs.join("small")));
    assert_eq!(results(&calm, "small"), results(&logs, "small"));
}

#[test]
fn an_index_is_given_up_only_where_it_dies_without_saving_anything() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let logs = folder.path().join("logs");
    let shard = |more: &[&str]| {
        let mut sweep = sweep(&study, &logs, &["--engine", "mock", "--quiet", "--shard", "auto/2"]);
        run(sweep.env("JOB_COMPLETION_INDEX", "0").args(more))
    };
    // A killed pod leaves its marker file behind.
    let running = logs.join("small/running");
    std::fs::create_dir_all(&running).unwrap();
    let killed = || write(&running, "shard-0-of-2.alive", "");
    // Kills with something new saved between them: any number is allowed.
    for state in 1..=6 {
        killed();
        // A pod that takes over from one that may still be running writes to a separate file.
        let file = if state % 2 == 0 { "shard-0-of-2.saved" } else { "shard-0-of-2-2.saved" };
        write(&running, file, &format!("pack-a {state}\n"));
        let done = shard(&["--mock-lost", "0", "--workers", "1"]); // its only worker loses its device: exit code 1, nothing saved
        assert_eq!(done.code, Some(1), "{}", done.stderr);
        assert!(done.stderr.contains("was killed before; going on") && done.stderr.contains("every worker has crashed"), "{}", done.stderr);
    }
    // Without progress, the third kill is the last. A manual start is then possible.
    killed();
    shard(&["--mock-lost", "0", "--workers", "1"]);
    killed();
    let given_up = shard(&[]);
    assert!(given_up.code == Some(1) && given_up.stderr.contains("since it last saved a result"), "{}", given_up.stderr);
    // If something was saved before an error, the pod exits as interrupted, which no index counts.
    let study_of = |name: &str| SMALL.replace("name: small", &format!("name: {name}"));
    write(folder.path(), "small.yaml", &study_of("other"));
    let saved = shard(&["--mock-deadly", "0.2", "--workers", "1"]); // which stages fail depends on their keys
    assert!(saved.code == Some(75) && saved.stderr.contains("Kubernetes restarts this index"), "{:?}: {}", saved.code, saved.stderr);
    write(folder.path(), "small.yaml", SMALL);
    let done = shard(&[]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(!running.join("shard-0-of-2.alive").exists());
}

#[test]
fn wrong_flags_get_a_message() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let wrong = write(folder.path(), "overlay.yaml", "spec: {complitions: 3}");
    let launch = |more: &[&str]| run(program().args(["launch", "kubernetes"]).arg(&study).args(["--image", "i", "--pvc", "p"]).args(more));
    for (more, says) in [
        (&["--shards", "0"][..], "0 is not in 1..=100000"),
        (&["--shards", "2", "--memory", "16GB"], "a number with a unit of Kubernetes"),
        (&["--shards", "2", "--toleration", "a"], "KEY=VALUE:EFFECT"),
        (&["--shards", "2", "--node-selector", "a"], "give KEY=VALUE"),
        (&["--shards", "2", "--sweep-arg=--retrys"], "`sweep` would refuse its arguments: unexpected argument '--retrys'"),
        (&["--shards", "2", "--sweep-arg=--out", "--sweep-arg=x"], "the argument '--out <FOLDER>' cannot be used multiple times"),
        (&["--shards", "2", "--sweep-arg=--fresh"], "--fresh discards the whole study"),
        (&["--shards", "2", "--workers", "0"], "`sweep` would refuse its arguments: invalid value '0' for '--workers <N>'"),
        (&["--shards", "2", "--overlay", wrong.to_str().unwrap()], "`spec.complitions` is not a field of a batch/v1 Job"),
        (&["--shards", "2", "--overlay", "/nowhere.yaml"], "cannot read /nowhere.yaml"),
        (&["--shards", "2", "--namespace", "A B"], "lower-case letters"),
        (&["--shards", "2", "--until", "settled", "--max-parallel", "1"], "the shards of a round wait for each other"),
        (&["--shards", "2", "--until", "settled", "--budget", "5x"], "`x` is no unit of time"),
        (&["--shards", "2", "--sweep-arg=--preset=x"], "pass them to `launch` itself"),
    ] {
        let done = launch(more);
        assert!(done.stderr.contains(says), "{more:?}: {}", done.stderr);
        assert!(done.code == Some(2) && done.stdout.is_empty(), "{more:?}: {:?}", done.code);
    }
    let many = launch(&["--shards", "90"]);
    assert!(many.stderr.contains("only 8 of 90 shards have anything to do"), "{}", many.stderr);
}
