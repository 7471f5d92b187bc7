//! `launch slurm` on a real Slurm with two nodes. Jobs are submitted and disturbed, and end with
//! the same records.
//!
//! The tests need a cluster whose nodes `n1` and `n2` are on this machine, and SLURM_CONF. Without
//! it they do nothing, except in CI, where they fail. They take minutes: run `make test-faults`.
#![cfg(feature = "torch")]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::*;

/// Whether Slurm is available.
fn slurm_is_here() -> bool {
    if std::env::var_os("SLURM_CONF").is_some() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "CI has to bring up Slurm and set SLURM_CONF");
    eprintln!("not tested: there is no Slurm here (SLURM_CONF is not set)");
    false
}

fn slurm(program: &str, args: &[&str]) -> String {
    let done = run(Command::new(program).args(args));
    assert_eq!(done.code, Some(0), "{program} {args:?}: {}{}", done.stdout, done.stderr);
    done.stdout
}

/// Jobs that have not ended, as (ID, state).
fn queue() -> Vec<(String, String)> {
    let text = slurm("squeue", &["--noheader", "--array", "--format=%i %T"]);
    text.lines().filter_map(|line| line.split_once(' ')).map(|(id, state)| (id.to_string(), state.to_string())).collect()
}

fn until(seconds: u64, what: &str, mut holds: impl FnMut() -> bool) {
    until_within(
        seconds,
        what,
        || format!("{:?}", queue()),
        || {
            // A pause between two calls of Slurm's programs.
            std::thread::sleep(Duration::from_millis(200));
            holds()
        },
    );
}

fn is_running(task: &str) -> bool {
    queue().iter().any(|(id, state)| id == task && state == "RUNNING")
}

/// Submits a study and returns the ID of the job array.
fn launch(study: &Path, out: &Path, more: &[&str]) -> String {
    let mut command = program();
    command.args(["launch", "slurm"]).arg(study).arg("--out").arg(out);
    let done = run(command.args(["--shards", "4", "--device", "cpu", "--workers", "1"]).args(more));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    done.stdout.split_whitespace().nth(2).unwrap().trim_end_matches(',').to_string()
}

fn no_stage_twice(out: &Path, stages: usize) {
    let all = records(out, "small");
    let keys: BTreeSet<&str> = all.iter().map(|record| record["key"].as_str().unwrap()).collect();
    assert_eq!((all.len(), keys.len()), (stages, stages), "a record for each stage, and none has two");
}

fn logs(out: &Path) -> String {
    let mut files: Vec<_> = std::fs::read_dir(out.join("small/launch")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let logs = files.iter().filter(|path| path.extension().is_some_and(|e| e == "log"));
    logs.map(|path| format!("== {}\n{}", path.display(), std::fs::read_to_string(path).unwrap())).collect()
}

/// Running processes of one shard of this study.
fn processes(out: &Path, shard: usize) -> Vec<String> {
    let lease = std::fs::read_dir(out.join(format!("small/leases/shard-{shard}-of-4"))).into_iter().flatten();
    let text = lease.filter_map(|entry| std::fs::read_to_string(entry.ok()?.path()).ok());
    let holders = text.filter_map(|text| serde_json::from_str::<serde_json::Value>(text.lines().next()?).ok());
    let processes = holders.filter_map(|holder| Some(holder["process"].as_u64()?.to_string()));
    processes.filter(|process| Path::new("/proc").join(process).exists()).collect()
}

/// Kills a shard's process with SIGKILL. Slurm may signal a task's time limit a minute early, so
/// that the process may be about to end by itself. In that case the next process is killed.
fn kill(out: &Path, shard: usize, log: &str) {
    let path = out.join("small/launch").join(log);
    let ends = |code: &str| std::fs::read_to_string(&path).unwrap_or_default().matches(&format!("ends with {code}")).count();
    until(300, "a process is killed outright", || {
        let before = ends("");
        for process in processes(out, shard) {
            // This has no effect if the process has ended in the meantime.
            run(Command::new("kill").args(["-KILL", &process]));
            until(60, "the script tells of its process's end", || ends("") > before);
        }
        ends("137") > 0
    });
}

#[test]
#[ignore = "minutes: make test-faults"]
fn a_study_on_two_nodes() {
    if !slurm_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (one, four) = (folder.path().join("one"), folder.path().join("four"));
    let study = write(folder.path(), "small.yaml", SMALL);
    assert_eq!(run(&mut sweep(&study, &one, &["--device", "cpu", "--quiet"])).code, Some(0));
    let array = launch(&study, &four, &["--time", "10:00"]);
    until(120, "the array and its report end", || queue().is_empty());
    assert_eq!(results(&one, "small"), results(&four, "small"), "{}", logs(&four));
    no_stage_twice(&four, 20);
    assert!(logs(&four).contains(&format!("task 3 of job {array} starts")) && logs(&four).contains("ends with 0"), "{}", logs(&four));
    assert!(four.join("small/report/index.html").exists(), "the report's own job wrote it");

    // More tasks than the cluster allows.
    let mut command = program();
    let done = run(command.args(["launch", "slurm"]).arg(&study).args(["--out"]).arg(&four).args(["--shards", "5000", "--time", "5"]));
    assert_eq!(done.code, Some(2));
    assert!(done.stderr.contains("this cluster's MaxArraySize is"), "{}", done.stderr);
    let mut command = program();
    let done = run(command.args(["launch", "slurm"]).arg(&study).arg("--out").arg(&four).args([
        "--shards",
        "2",
        "--time",
        "5",
        "--partition",
        "nowhere",
    ]));
    assert_eq!(done.code, Some(2));
    assert!(done.stderr.contains("sbatch refused the job"), "{}", done.stderr);
}

#[test]
#[ignore = "minutes: make test-faults"]
fn disturbed_in_every_way_and_the_same_in_the_end() {
    if !slurm_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (one, four) = (folder.path().join("one"), folder.path().join("four"));
    // A shard takes longer than its time limit of one minute minus the 45 seconds of notice.
    let longer = SMALL.replace("epochs: 3", "epochs: 4").replace("epochs: 4", "epochs: 3000");
    let text = longer.replace("hidden: [16]", "hidden: [64]").replace("seeds: 2", "seeds: 4");
    let study = write(folder.path(), "small.yaml", &text);
    assert_eq!(run(&mut sweep(&study, &one, &["--device", "cpu", "--quiet"])).code, Some(0));
    let array = launch(&study, &four, &["--time", "1", "--notice", "45", "--sweep-arg=--checkpoint-every", "--sweep-arg=2"]);
    let task = |index: usize| format!("{array}_{index}");

    until(60, "two tasks work", || (0..2).all(|shard| !processes(&four, shard).is_empty()));
    // Killed with SIGKILL: the script requeues it.
    kill(&four, 0, &format!("{}.log", task(0)));
    // Requeued with `scontrol`, which Slurm refuses between two runs of a task.
    until(300, "a running task is requeued by hand", || {
        is_running(&task(1)) && run(Command::new("scontrol").args(["requeue", &task(1)])).code == Some(0)
    });
    // A node goes down while it runs a task: Slurm requeues the task.
    until(120, "another task works", || (0..4).any(|index| is_running(&task(index))));
    std::thread::sleep(Duration::from_secs(6));
    slurm("scontrol", &["update", "nodename=n2", "state=down", "reason=test"]);
    std::thread::sleep(Duration::from_secs(8));
    // An error is ignored: the node may have recovered by itself, and Slurm then reports an invalid
    // state.
    run(Command::new("scontrol").args(["update", "nodename=n2", "state=resume"]));
    until(900, "all tasks and the report end", || queue().is_empty());

    let logs = logs(&four);
    assert!(logs.contains("ends with 137"), "a kill: {logs}");
    assert!(logs.matches("interrupted: ").count() >= 2 && logs.matches("ends with 75").count() >= 2, "time limits and requeues: {logs}");
    assert!(logs.contains("stages are done already and kept"), "{logs}");
    // What one task does to itself has no effect on the others: a task that has ended is not
    // started again.
    for part in logs.split("== ").filter(|part| part.contains("ends with 0\n")) {
        assert!(part.trim_end().ends_with("ends with 0"), "a task that was done has been started again: {part}");
    }
    assert_eq!(results(&one, "small"), results(&four, "small"), "{logs}");
    no_stage_twice(&four, 4 * (3 + 6 + 1));
    let same = |out: &Path| -> Vec<serde_json::Value> {
        let mut all = records(out, "small");
        all.iter_mut().for_each(|record| _ = record.as_object_mut().unwrap().remove("commit"));
        all
    };
    assert_eq!(same(&one), same(&four), "bit for bit");
}
