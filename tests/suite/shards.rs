//! Several processes on one study, failures and recovery from them, with the mock engine.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use crate::common::*;

const MOCK: [&str; 3] = ["--engine", "mock", "--quiet"];

fn mock(study: &Path, out: &Path, more: &[&str]) -> Done {
    run(sweep(study, out, &MOCK).args(more))
}

fn status(out: &Path) -> serde_json::Value {
    json(&run(program().args(["status", "--json"]).arg(out.join("small"))).stdout)
}

#[test]
fn shards_side_by_side_give_what_one_process_gives() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let (one, four) = (folder.path().join("one"), folder.path().join("four"));
    assert_eq!(mock(&study, &one, &[]).code, Some(0));
    let children: Vec<_> = (0..4)
        .map(|index| {
            sweep(&study, &four, &MOCK)
                .args(["--mock-ms", "20", "--shard", &format!("{index}/4")])
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let done: Vec<_> = children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    assert!(done.iter().all(|done| done.status.code() == Some(0)));
    // The shard that ends last prints the answer and writes the report.
    let text: Vec<String> = done.iter().map(|done| String::from_utf8_lossy(&done.stdout).into()).collect();
    assert!(text.iter().any(|text| text.contains("best for target")), "{text:?}");
    assert!(text.iter().all(|text| text.contains("best for target") || text.starts_with("shard ")), "{text:?}");
    assert_eq!(results(&one, "small"), results(&four, "small"));
    let all = records(&four, "small");
    let keys: BTreeSet<&str> = all.iter().map(|record| record["key"].as_str().unwrap()).collect();
    assert_eq!((all.len(), keys.len()), (20, 20), "no stage twice");
    assert_eq!(std::fs::read_dir(four.join("small/records")).unwrap().count(), 4, "a file for each shard");
    let status = status(&four);
    let shards = status["shards"].as_array().unwrap();
    assert_eq!((shards.len(), status["done"].as_u64()), (4, Some(20)));
    assert!(shards.iter().all(|shard| shard["missing"] == 0 && shard["works"] == false), "{status:#}");
    assert_eq!(shards.iter().map(|shard| shard["done"].as_u64().unwrap()).sum::<u64>(), 20);
}

#[test]
fn a_shard_goes_on_where_any_division_left_off() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let out = folder.path();
    let first = mock(&study, out, &["--shard", "1/3"]);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert!(first.stdout.contains("shard 1/3: ") && first.stdout.contains("`transfergrid report"), "{}", first.stdout);
    let before = records(out, "small").len();
    assert!(before > 0 && before < 20);
    let seen = status(out);
    assert_eq!(seen["missing"].as_u64(), Some(20 - before as u64));
    assert_eq!(seen["shards"][1]["missing"], 0);
    assert!(seen["shards"][0]["holder"].is_null());
    // First another division of the work, then all of the rest: finished stages are kept.
    assert_eq!(mock(&study, out, &["--shard", "0/2"]).code, Some(0));
    assert_eq!(mock(&study, out, &[]).code, Some(0));
    let keys: BTreeSet<String> = records(out, "small").iter().map(|record| record["key"].to_string()).collect();
    assert_eq!((keys.len(), records(out, "small").len()), (20, 20));
    let plan = run(program().arg("plan").arg(&study).args(["--status", "--out"]).arg(out));
    assert!(plan.stdout.starts_with("small: 20 of 20 stages done"), "{}", plan.stdout);
    let calm = out.join("calm");
    mock(&study, &calm, &[]);
    assert_eq!(results(out, "small"), results(&calm, "small"));
}

#[test]
fn schedulers_say_which_shard() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let auto = |shard: &str, name: &str, value: &str| run(sweep(&study, folder.path(), &MOCK).args(["--shard", shard]).env(name, value));
    // A sparse array, as used to run some shards again.
    assert_eq!(auto("auto/4", "SLURM_ARRAY_TASK_ID", "2").code, Some(0));
    assert_eq!(auto("auto/4", "JOB_COMPLETION_INDEX", "0").code, Some(0));
    let seen = status(folder.path());
    let missing: Vec<bool> = seen["shards"].as_array().unwrap().iter().map(|shard| shard["missing"] == 0).collect();
    assert_eq!(missing, [true, false, true, false]);
    let wrong = auto("auto/4", "JOB_COMPLETION_INDEX", "4");
    assert_eq!(wrong.code, Some(2), "{}", wrong.stderr);
    assert!(wrong.stderr.contains("JOB_COMPLETION_INDEX=4 of 4 shards") && wrong.stderr.contains("0/4 is the first"), "{}", wrong.stderr);
}

#[test]
fn the_same_shard_twice_waits_and_other_divisions_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let slow = ["--mock-ms", "400", "--shard", "0/2"];
    let mut first = spawn(sweep(&study, folder.path(), &MOCK).args(slow));
    until("it works", || folder.path().join("small/study.yaml").exists() && status(folder.path())["running"].as_u64() > Some(0));
    // Stopped, so that it does not end before a busy machine has started the others.
    signal("-STOP", first.id());
    for other in [&["--shard", "0/3"][..], &[]] {
        let refused = mock(&study, folder.path(), other);
        assert_eq!(refused.code, Some(1), "{}", refused.stderr);
        assert!(refused.stderr.contains("their shares of the work overlap"), "{}", refused.stderr);
    }
    // Another version of the study in the same folder.
    let refused = mock(&study, folder.path(), &["--shard", "1/2", "--set", "source.epochs=5"]);
    assert_eq!(refused.code, Some(1), "it may be tried again later: {}", refused.stderr);
    assert!(refused.stderr.contains("as another version of this study"), "{}", refused.stderr);
    signal("-CONT", first.id());
    let second = run(sweep(&study, folder.path(), &["--engine", "mock"]).args(["--shard", "0/2"]));
    assert_eq!(second.code, Some(0), "{}", second.stderr);
    assert!(second.stderr.contains("waiting: process"), "{}", second.stderr);
    assert_eq!(first.wait().unwrap().code(), Some(0));
    let all = records(folder.path(), "small");
    let keys: BTreeSet<&str> = all.iter().map(|record| record["key"].as_str().unwrap()).collect();
    assert_eq!(all.len(), keys.len(), "no stage twice");
}

#[test]
fn a_process_that_was_taken_for_dead_stops_at_its_next_write() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", &SMALL.replace("epochs: 4", "epochs: 40"));
    let slow = ["--mock-ms", "20", "--shard", "0/1"];
    let mut first = sweep(&study, folder.path(), &MOCK).args(slow).stderr(std::process::Stdio::piped()).spawn().unwrap();
    until("records", || std::fs::read(folder.path().join("small/records/shard-0-of-1.jsonl")).is_ok_and(|text| !text.is_empty()));
    signal("-STOP", first.id());
    let second = run(sweep(&study, folder.path(), &["--engine", "mock"]).args(slow));
    assert_eq!(second.code, Some(0), "{}", second.stderr);
    assert!(second.stderr.contains("has not renewed its lease for 30 s: its work is taken over"), "{}", second.stderr);
    signal("-CONT", first.id());
    assert_eq!(first.wait().unwrap().code(), Some(75));
    let mut said = String::new();
    std::io::Read::read_to_string(&mut first.stderr.take().unwrap(), &mut said).unwrap();
    assert!(
        said.contains("another process has taken over the work of `shard-0-of-1`") && said.contains("the other one continues"),
        "{said}"
    );
    let all = records(folder.path(), "small");
    let keys: BTreeSet<&str> = all.iter().map(|record| record["key"].as_str().unwrap()).collect();
    assert_eq!((all.len(), keys.len()), (20, 20), "no stage twice");
    assert!(folder.path().join("small/records/shard-0-of-1-2.jsonl").exists(), "the two did not share a file");
    let calm = folder.path().join("calm");
    mock(&study, &calm, &[]);
    assert_eq!(results(&calm, "small"), results(folder.path(), "small"));
}

#[test]
fn a_dead_worker_leaves_its_pack_to_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let (calm, hurt) = (folder.path().join("calm"), folder.path().join("hurt"));
    mock(&study, &calm, &[]);
    let done = run(&mut sweep(&study, &hurt, &["--engine", "mock", "--workers", "3", "--mock-ms", "10", "--mock-lost", "1"]));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stderr.contains("worker 1 crashed (CUDA error"), "{}", done.stderr);
    assert!(done.stderr.contains("its pack is requeued at the end of the queue; 2 other workers continue"), "{}", done.stderr);
    assert_eq!(results(&calm, "small"), results(&hurt, "small"));
    // If no worker is left, the sweep fails, and no stage is recorded as failed.
    let alone = folder.path().join("alone");
    let done = mock(&study, &alone, &["--workers", "1", "--mock-lost", "0"]);
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(done.stderr.contains("every worker has crashed"), "{}", done.stderr);
    assert_eq!(records(&alone, "small").len(), 0);
    assert_eq!(mock(&study, &alone, &[]).code, Some(0));
    assert_eq!(results(&calm, "small"), results(&alone, "small"));
}

#[test]
fn a_pack_that_kills_every_device_counts_as_failed_and_the_rest_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let out = folder.path();
    // One worker, as in a task with one GPU: each lost device ends the process, and the scheduler
    // starts the next one.
    let start = || mock(&study, out, &["--workers", "1", "--mock-deadly", "0.095"]); // with these keys, two stages
    let deaths = || -> usize {
        let files = std::fs::read_dir(out.join("small/checkpoints")).unwrap().map(|entry| entry.unwrap().path());
        let lines = files.filter(|path| path.extension().is_some_and(|e| e == "deaths"));
        lines.map(|path| std::fs::read_to_string(path).unwrap().lines().count()).sum()
    };
    let mut said = String::new();
    // After the last try no work is left that another process could do. A further try gives the
    // same result.
    for (tries, failed, code) in [(1, 0, 1), (2, 0, 1), (3, 1, 1), (4, 2, 3), (5, 2, 3)] {
        let done = start();
        assert_eq!((done.code, deaths(), status(out)["failed"].as_u64()), (Some(code), tries, Some(failed)), "{}", done.stderr);
        said += &done.stderr;
    }
    assert!(said.contains("its pack is requeued at the end of the queue; no worker is left"), "{said}");
    assert!(said.contains("its pack is marked failed, because it has crashed other workers too"), "{said}");
    assert_eq!(status(out)["missing"], 0, "all others are done");
    // The cause of the crashes is gone: the crash counts are deleted.
    let calm = out.join("calm");
    mock(&study, &calm, &[]);
    assert_eq!((mock(&study, out, &[]).code, deaths()), (Some(0), 0));
    assert_eq!(results(&calm, "small"), results(out, "small"));
}

#[test]
fn shards_of_a_changed_study_that_start_together_do_not_refuse_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    assert_eq!(mock(&study, folder.path(), &[]).code, Some(0));
    let shards: Vec<_> = (0..4)
        .map(|index| {
            let shard = format!("{index}/4");
            spawn(sweep(&study, folder.path(), &MOCK).args(["--shard", &shard, "--seeds", "6", "--mock-ms", "5"]))
        })
        .collect();
    let codes: Vec<Option<i32>> = shards.into_iter().map(|mut shard| shard.wait().unwrap().code()).collect();
    assert_eq!(codes, [Some(0); 4]);
    assert_eq!(status(folder.path())["missing"], 0);
}

#[test]
fn failures_are_retried_or_end_the_sweep_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let calm = folder.path().join("calm");
    mock(&study, &calm, &[]);
    for (name, pack) in [("one", "1"), ("four", "4")] {
        let out = folder.path().join(name);
        let done = run(&mut sweep(&study, &out, &["--engine", "mock", "--mock-flaky", "0.5", "--retries", "3", "--pack", pack]));
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        assert!(done.stderr.contains("(the mock engine was asked to fail this pack once); retrying"), "{}", done.stderr);
        assert_eq!(results(&calm, "small"), results(&out, "small"));
    }
    let out = folder.path().join("lasting");
    let done = mock(&study, &out, &["--mock-fail", "0.3", "--retries", "2"]);
    assert_eq!(done.code, Some(3));
    assert!(done.stderr.contains("seed=0: attempt 2 of 3 failed") && !done.stderr.contains("attempt 3 of 3"), "{}", done.stderr);

    let out = folder.path().join("fast");
    let done = mock(&study, &out, &["--mock-fail", "0.3", "--fail-fast", "--workers", "1"]);
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    assert!(done.stderr.contains("stopped at the first failure") && done.stderr.contains("asked to fail stage"), "{}", done.stderr);
    // The worker may have failed a few more stages before it received the stop. Most of the study
    // was not started.
    let seen = json(&run(program().args(["status", "--json"]).arg(out.join("small"))).stdout);
    assert!(seen["failed"].as_u64() >= Some(1) && seen["missing"].as_u64() > Some(4), "{seen:#}");
}

#[test]
fn only_what_failed_is_run_again() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let out = folder.path();
    let none = mock(&study, &out.join("none"), &["--only-failed"]);
    assert!(none.stderr.contains("no stage has failed, so nothing is rerun; 20 stages are missing"), "{}", none.stderr);
    assert_eq!(mock(&study, out, &["--mock-fail", "0.3"]).code, Some(3));
    let before = records(out, "small");
    let failed = before.iter().filter(|record| record["status"] == "failed").count();
    let lost = 20 - before.len();
    assert!(failed > 0 && lost > 0);
    // One more value of λ₁: its stages are missing, not failed, and remain missing.
    let more = ["--set", "lambda1=[0, 0.1, 1]", "--only-failed"];
    let done = run(sweep(&study, out, &["--engine", "mock"]).args(more));
    assert!(done.stderr.contains(&format!("small: {} of 26 stages", failed + lost + lost / 2)), "{failed} {lost}: {}", done.stderr);
    let seen = status(out);
    assert_eq!((seen["failed"].as_u64(), seen["missing"].as_u64()), (Some(0), Some(6 - lost as u64 / 2)), "{seen:#}");
}

#[test]
fn a_source_that_diverges_when_it_is_trained_again_does_not_take_its_targets_along() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let out = folder.path();
    assert_eq!(mock(&study, out, &[]).code, Some(0));
    for entry in std::fs::read_dir(out.join("small/checkpoints")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    // The new targets need the source models, which are trained again and diverge on this device.
    let more = ["--set", "lambda1=[0, 0.1, 1]"];
    let slowly = ["--mock-diverge", "1", "--mock-ms", "600", "--workers", "6", "--checkpoint-every", "1"];
    let done = mock(&study, out, &[&more[..], &slowly].concat());
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    let names = || std::fs::read_dir(out.join("small/checkpoints")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(
        !names().any(|name| name.to_string_lossy().starts_with("pack-")),
        "what has diverged is not gone on with: {:?}",
        names().collect::<Vec<_>>()
    );
    assert!(
        done.stderr.contains("could not be trained again to restore its model, so its targets cannot be trained yet"),
        "{}",
        done.stderr
    );
    let seen = status(out);
    assert_eq!((seen["done"].as_u64(), seen["missing"].as_u64(), seen["failed"].as_u64()), (Some(20), Some(6), Some(0)), "{seen:#}");
    let calm = out.join("calm");
    mock(&study, &calm, &more);
    assert_eq!(mock(&study, out, &more).code, Some(0));
    assert_eq!(results(&calm, "small"), results(out, "small"));
}

#[test]
fn the_time_before_an_interruption_counts() {
    let folder = tempfile::tempdir().unwrap();
    // The source would take twenty seconds in the first run. In the second run an epoch takes no
    // time.
    let study = write(folder.path(), "small.yaml", &SMALL.replace("epochs: 4", "epochs: 400"));
    let one = ["--workers", "1", "--set", "lambda0=0", "--set", "lambda1=0", "--seeds", "1"];
    let mut child = spawn(sweep(&study, folder.path(), &MOCK).args(one).args(["--mock-ms", "50"]));
    until_it_trains(&mut child, folder.path(), "small");
    std::thread::sleep(Duration::from_millis(800));
    signal("-TERM", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(75));
    assert_eq!(mock(&study, folder.path(), &one).code, Some(0));
    let text = std::fs::read_to_string(folder.path().join("small/records/main.jsonl")).unwrap();
    let source = text.lines().map(json).find(|record| record["kind"] == "source").unwrap();
    assert!(source["seconds"].as_f64() > Some(0.7), "{source}");
}

#[test]
fn a_storage_that_fails_is_no_mistake_in_the_study() {
    let folder = tempfile::tempdir().unwrap();
    // The start of this file cannot be read: an input/output error, as from a failing disk.
    let done = mock(Path::new("/proc/self/mem"), folder.path(), &[]);
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(done.stderr.contains("cannot read the study: Input/output error") && done.stderr.contains("try again"), "{}", done.stderr);
    assert_eq!(mock(Path::new("/nowhere.yaml"), folder.path(), &[]).code, Some(2));
}
