//! The script of a job array, run without Slurm: how it handles the program's exit codes, with a
//! fake `scontrol`, and how it calls containers.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::*;

/// Runs `launch slurm` with this line of bash as `scontrol`.
fn launch(folder: &Path, scontrol: &str) -> Command {
    let tools = folder.join("no-slurm");
    std::fs::create_dir_all(&tools).unwrap();
    executable(&tools, "scontrol", &format!("#!/bin/bash\n{scontrol}\n"));
    let mut launch = program();
    launch.env("PATH", format!("{}:{}", tools.display(), std::env::var("PATH").unwrap()));
    launch.args(["launch", "slurm", "--dry-run", "--out"]).arg(folder.join("logs"));
    launch
}

/// Path of the script that `launch slurm` writes.
fn script(folder: &Path, more: &[&str]) -> PathBuf {
    let study = write(folder, "small.yaml", SMALL);
    let mut launch = launch(folder, "exit 1");
    launch.args(["--shards", "4", "--time", "10:00"]);
    let done = run(launch.arg(&study).args(more));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    folder.join("logs/small/launch/array.sh")
}

fn executable(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = write(folder, name, text);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Runs a task of the array. Its program and its `scontrol show` are these lines of bash. Returns
/// the output, and how often the task was requeued.
fn task(folder: &Path, program: &str, show: &str) -> (Done, usize) {
    let program = executable(folder, "program", &format!("#!/bin/bash\n{program}\n"));
    let array = script(folder, &["--program", program.to_str().unwrap()]);
    let tools = folder.join("tools");
    std::fs::create_dir_all(&tools).unwrap();
    let calls = folder.join("requeued");
    let _ = std::fs::remove_file(&calls);
    let scontrol = format!("#!/bin/bash\ncase $1 in\nshow) {show} ;;\nrequeue) echo \"$2\" >> {} ;;\nesac\n", calls.display());
    executable(&tools, "scontrol", &scontrol);
    executable(&tools, "sleep", "#!/bin/bash\n"); // skips the pauses between two calls of `scontrol`
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    let done = run(bash.arg(&array).env("PATH", path).env("SLURM_ARRAY_JOB_ID", "7").env("SLURM_ARRAY_TASK_ID", "3"));
    let requeued = std::fs::read_to_string(&calls).unwrap_or_default();
    assert!(requeued.lines().all(|line| line == "7_3"), "{requeued}");
    (done, requeued.lines().count())
}

#[test]
fn exit_codes_decide_what_comes_back() {
    const RUNNING: &str = "echo JobId=9 JobState=RUNNING Reason=None";
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (code, again) in [(0, 0), (2, 0), (3, 0), (75, 1)] {
        let (done, requeued) = task(folder, &format!("exit {code}"), RUNNING);
        assert_eq!((done.code, requeued), (Some(code), again), "{}", done.stdout);
    }
    // A killed task is requeued twice, counted over all runs of the task.
    let requeued: Vec<usize> = (0..4).map(|_| task(folder, "exit 137", RUNNING).1).collect();
    assert_eq!(requeued, [1, 1, 0, 0]);
    // A kill after something new was saved does not count. New means a record, or another state of
    // a snapshot. The same state again counts as a kill without progress.
    let study = folder.join("logs/small");
    for name in ["records", "running"] {
        std::fs::create_dir_all(study.join(name)).unwrap();
    }
    let saves = |what: &str| format!("{what}; exit 137");
    let record = format!("echo '{{\"status\":\"done\"}}' >> {}/records/shard-3-of-4.jsonl", study.display());
    let snapshot = |state: &str| format!("echo pack-a {state} > {}/running/shard-3-of-4.saved", study.display());
    assert!((0..5).all(|_| task(folder, &saves(&record), RUNNING).1 == 1), "every life finished a stage");
    assert!(["1", "2", "3", "4"].iter().all(|state| task(folder, &saves(&snapshot(state)), RUNNING).1 == 1), "every life went further");
    let requeued: Vec<usize> = (0..3).map(|_| task(folder, &saves(&snapshot("4")), RUNNING).1).collect();
    assert_eq!(requeued, [1, 0, 0], "no life went further");
    let failed = record.replace("done", "failed");
    assert_eq!(task(folder, &saves(&failed), RUNNING).1, 0, "a stage that fails in every life is no progress");
    // A preempted or cancelled task does not count as running.
    let (done, requeued) = task(folder, "exit 75", "echo JobId=9 JobState=CANCELLED Reason=None");
    assert_eq!((done.code, requeued), (Some(75), 0));
    assert!(done.stdout.contains("does not count as running any more"), "{}", done.stdout);
}

#[test]
fn a_busy_controller_is_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let asked = folder.path().join("asked");
    // It answers the third call.
    let show = format!(
        "echo x >> {0}; [[ $(wc -l < {0}) -ge 3 ]] && echo JobState=RUNNING || {{ echo 'Socket timed out' >&2; exit 1; }}",
        asked.display()
    );
    assert_eq!(task(folder.path(), "exit 75", &show).1, 1);
    let (done, requeued) = task(folder.path(), "exit 75", "exit 1");
    assert_eq!((done.code, requeued), (Some(75), 0));
    assert!(done.stdout.contains("does not answer: it is not requeued; by hand: sbatch --array=3"), "{}", done.stdout);
}

#[test]
fn a_signal_is_handed_on_and_one_that_comes_too_early_is_an_interruption() {
    const RUNNING: &str = "echo JobState=RUNNING";
    let folder = tempfile::tempdir().unwrap();
    // The parent process of the program is the script.
    let (done, requeued) = task(folder.path(), "trap 'exit 75' TERM; kill -USR1 $PPID; while :; do read -t 0.05 < <(:); done", RUNNING);
    assert_eq!((done.code, requeued), (Some(75), 1), "{}", done.stdout);
    for _ in 0..3 {
        let (done, requeued) = task(folder.path(), "kill -USR1 $PPID; while :; do read -t 0.05 < <(:); done", RUNNING);
        assert_eq!((done.code, requeued), (Some(143), 1), "{}", done.stdout);
    }
    assert!(!folder.path().join("logs/small/launch/deaths-7_3").exists());
}

#[test]
fn wrong_flags_get_a_message() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let bare = write(folder.path(), "bare.sh", "#!/bin/bash\n{{command}}\n");
    for (more, says) in [
        (&["--time", "2 hours"][..], "minutes, hours:minutes:seconds or days-hours:minutes:seconds"),
        (&["--time", "1"], "--time 1 is not longer than --notice 60 s"),
        (&["--time", "5", "--template", "/nowhere.sh"], "cannot read /nowhere.sh"),
        (&["--time", "5", "--template", bare.to_str().unwrap()], "bare.sh: it has no {{array}}: it would be one task"),
        (&["--time", "5", "--container", "docker"], "--container needs --image"),
        (&["--time", "5", "--data", "/it's"], "contains a space or one of"),
        (&["--time", "5", "--data", "/a#b"], "contains a space or one of"),
    ] {
        let done = run(launch(folder.path(), "exit 1").args(["--shards", "2"]).arg(&study).args(more));
        assert!(done.code == Some(2) && done.stderr.contains(says) && done.stdout.is_empty(), "{more:?}: {:?} {}", done.code, done.stderr);
    }
}

#[test]
fn a_cluster_that_does_not_answer_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let five = |scontrol: &str| run(launch(folder.path(), scontrol).args(["--shards", "5", "--time", "10:00"]).arg(&study));
    let silent = five("exec sleep 1000");
    assert_eq!(silent.code, Some(0), "{}", silent.stderr);
    assert!(silent.stderr.contains("Slurm's controller does not answer"), "{}", silent.stderr);
    let small = five("echo 'MaxArraySize            = 4'");
    assert!(small.code == Some(2) && small.stderr.contains("this cluster's MaxArraySize is 4"), "{}", small.stderr);
}

#[test]
fn tasks_use_the_gpus_that_they_ask_for() {
    let folder = tempfile::tempdir().unwrap();
    let command = |more: &[&str]| {
        let text = std::fs::read_to_string(script(folder.path(), more)).unwrap();
        text.lines().find(|line| line.contains(" sweep ")).unwrap().to_string()
    };
    assert!(command(&["--gres", "gpu:a100:2"]).contains("--device 'cuda:0,cuda:1' "));
    assert!(command(&["--gres", "gpu:2", "--device", "cuda:1"]).contains("--device cuda:1 "));
    assert!(command(&[]).contains("--device cpu")); // also on a node with GPUs, which it may not use
    assert!(!command(&["--gres", "gpu:1", "--sweep-arg=--engine", "--sweep-arg=mock"]).contains("--device"));
    assert!(command(&["--until", "settled", "--budget", "2h"]).contains("--until settled --budget 2h"));
}

#[test]
fn containers_are_called_as_their_engines_want_it() {
    let folder = tempfile::tempdir().unwrap();
    let line = |engine: &str| {
        let more = ["--container", engine, "--image", "an-image", "--data", "/sets", "--gres", "gpu:1"];
        let text = std::fs::read_to_string(script(folder.path(), &more)).unwrap();
        text.lines().find(|line| line.contains("an-image") && line.contains("sweep")).unwrap().to_string()
    };
    let logs = format!("{}:/app/logs", folder.path().join("logs").display());
    let docker = line("docker");
    for word in ["docker run --rm --read-only", "--gpus \"$GPUS\"", "--env SLURM_ARRAY_TASK_ID", &logs, "/sets:/app/data:ro"] {
        assert!(docker.contains(word), "{word}: {docker}");
    }
    let podman = line("podman");
    let root = std::fs::metadata(folder.path()).unwrap().uid() == 0;
    assert_eq!(podman.contains("--userns=keep-id"), !root, "{podman}");
    for word in ["podman run", "--device 'nvidia.com/gpu=all'", "--env CUDA_VISIBLE_DEVICES", &logs, "/sets:/app/data:ro"] {
        assert!(podman.contains(word), "{word}: {podman}");
    }
    let apptainer = line("apptainer");
    for word in ["apptainer exec", "--nv", &logs, "/sets:/app/data:ro", "an-image transfergrid sweep"] {
        assert!(apptainer.contains(word), "{word}: {apptainer}");
    }
    let charliecloud = line("charliecloud");
    for word in ["ch-run", &logs, "/sets:/app/data", "an-image -- transfergrid sweep"] {
        assert!(charliecloud.contains(word), "{word}: {charliecloud}");
    }
    for engine in [&docker, &podman, &apptainer, &charliecloud] {
        assert!(
            engine.contains("/app/logs/small/launch/study-") && engine.contains("--shard auto/4 --out /app/logs --data /app/data"),
            "{engine}"
        );
    }
}
