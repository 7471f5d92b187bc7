//! Orchestration with the mock engine: order, resume, failures, locks, reuse.

use std::collections::HashSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common::*;

const MOCK: [&str; 3] = ["--engine", "mock", "--quiet"];

fn mock(study: &Path, out: &Path, more: &[&str]) -> Done {
    run(sweep(study, out, &MOCK).args(more))
}

fn counts(out: &Path, study: &str) -> (u64, u64, u64) {
    let status = json(&run(program().args(["status", "--json"]).arg(out.join(study))).stdout);
    let n = |key: &str| status[key].as_u64().unwrap();
    assert_eq!(status["shards"].as_array().unwrap().len(), 1);
    (n("done"), n("failed"), n("missing"))
}

#[test]
fn a_study_runs_once_and_again_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let first = mock(&study, folder.path(), &[]);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert!(first.stdout.contains("best for target"));
    // 3 λ₀ × 2 seeds of sources, × 2 λ₁ of targets, and one from-scratch stage per seed.
    assert_eq!(records(folder.path(), "small").len(), 6 + 12 + 2);
    assert_eq!(counts(folder.path(), "small"), (20, 0, 0));
    let before = results(folder.path(), "small");
    let second = mock(&study, folder.path(), &[]);
    assert_eq!((second.code, second.stdout), (Some(0), first.stdout));
    assert_eq!(records(folder.path(), "small").len(), 20, "no stage runs twice");
    assert_eq!(results(folder.path(), "small"), before);
}

#[test]
fn results_do_not_depend_on_workers_or_on_the_order_of_seeds() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let mut all = vec![];
    for (i, more) in [["--workers", "1"], ["--workers", "4"], ["--set", "seeds=[1, 0]"]].iter().enumerate() {
        let out = folder.path().join(i.to_string());
        assert_eq!(mock(&study, &out, more).code, Some(0));
        let mut lines: Vec<String> = results(&out, "small").lines().map(str::to_string).collect();
        lines.sort();
        all.push(lines);
    }
    assert_eq!(all[0], all[1]);
    assert_eq!(all[0], all[2]);
}

#[test]
fn killed_at_twenty_moments_and_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let (calm, stormy) = (folder.path().join("calm"), folder.path().join("stormy"));
    assert_eq!(mock(&study, &calm, &["--mock-ms", "5"]).code, Some(0));
    let mut random = 12345u64;
    for round in 0..20 {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let mut child = spawn(sweep(&study, &stormy, &MOCK).args(["--mock-ms", "5"]));
        std::thread::sleep(Duration::from_micros(random >> 33).min(Duration::from_millis(3 + 6 * round)));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!(mock(&study, &stormy, &["--mock-ms", "5"]).code, Some(0));
    assert_eq!(records(&calm, "small"), records(&stormy, "small"));
    assert_eq!(results(&calm, "small"), results(&stormy, "small"));
    let left: Vec<_> =
        std::fs::read_dir(stormy.join("small/checkpoints")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert!(!left.iter().any(|name| name.starts_with("pack-")), "{left:?}");
}

#[test]
fn a_torn_last_line_is_cut_and_its_stage_runs_again() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    mock(&study, folder.path(), &[]);
    let before = records(folder.path(), "small");
    let path = folder.path().join("small/records/main.jsonl");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 40]).unwrap();
    assert_eq!(counts(folder.path(), "small"), (19, 0, 1));
    assert_eq!(mock(&study, folder.path(), &[]).code, Some(0));
    assert_eq!(records(folder.path(), "small"), before);

    // A damaged line in the middle is reported, skipped, and its stage runs again.
    let text = std::fs::read_to_string(&path).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines[3] = "{\"version\":1,\"kind\":\"sou";
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    let looked = run(program().arg("status").arg(folder.path().join("small")));
    assert!(looked.stderr.contains("main.jsonl:4: not a record, left out") && looked.stdout.contains("1 missing"), "{}", looked.stderr);
    let done = mock(&study, folder.path(), &[]);
    assert!(done.stderr.contains("main.jsonl:4: not a record, left out"), "{}", done.stderr);
    assert_eq!(done.code, Some(0));

    // A record with a changed number does not match its checksum and is not used.
    std::fs::write(&path, text.replacen("\"seed\":0", "\"seed\":1", 1)).unwrap();
    let done = mock(&study, folder.path(), &[]);
    assert!(done.stderr.contains("not a record, left out (its checksum does not match)"), "{}", done.stderr);

    // Records from before checksums existed are read. A record of a newer program version is
    // refused.
    let unsealed = |version: &str| {
        let bare = |line: &str| line.split(",\"check\":").next().unwrap().replacen("\"version\":2", version, 1) + "}\n";
        std::fs::write(&path, text.lines().map(bare).collect::<String>()).unwrap();
    };
    unsealed("\"version\":1");
    assert_eq!(counts(folder.path(), "small"), (20, 0, 0));
    unsealed("\"version\":2");
    assert_eq!(counts(folder.path(), "small"), (0, 0, 20));
    unsealed("\"version\":99");
    let done = mock(&study, folder.path(), &[]);
    assert_eq!(done.code, Some(2), "trying again is useless");
    assert!(done.stderr.contains("a record of version 99, written by a newer transfergrid"), "{}", done.stderr);
}

#[test]
fn a_lost_or_damaged_source_model_is_trained_again_without_a_second_record() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    mock(&study, folder.path(), &[]);
    let before = records(folder.path(), "small");
    let results_before = results(folder.path(), "small");
    let models: Vec<_> = std::fs::read_dir(folder.path().join("small/checkpoints")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(models.len(), 6, "one model for each source");
    std::fs::remove_file(&models[0]).unwrap();
    let bytes = std::fs::read(&models[1]).unwrap();
    std::fs::write(&models[1], &bytes[..bytes.len() / 2]).unwrap();
    // The targets have to run again.
    let path = folder.path().join("small/records/main.jsonl");
    let text: Vec<String> =
        std::fs::read_to_string(&path).unwrap().lines().filter(|l| !l.contains("\"kind\":\"target\"")).map(|l| format!("{l}\n")).collect();
    std::fs::write(&path, text.concat()).unwrap();
    let done = mock(&study, folder.path(), &[]);
    assert_eq!(done.code, Some(0));
    assert!(done.stderr.contains("is damaged") && done.stderr.contains("trained again"), "{}", done.stderr);
    assert_eq!(records(folder.path(), "small"), before);
    assert_eq!(results(folder.path(), "small"), results_before);
}

#[test]
fn a_changed_study_reuses_what_did_not_change() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    mock(&study, folder.path(), &[]);
    let more = run(&mut sweep(&study, folder.path(), &["--engine", "mock", "--set", "lambda1=[0, 0.1, 1]"]));
    assert_eq!(more.code, Some(0));
    assert!(more.stderr.contains("20 stages are done already and kept; 6 to go"), "{}", more.stderr);
    let other = run(&mut sweep(&study, folder.path(), &["--engine", "mock", "--set", "source.epochs=5"]));
    assert!(other.stderr.contains("2 stages are done already and kept; 18 to go"), "only the twins stay: {}", other.stderr);
}

#[test]
fn failures_are_recorded_tried_again_and_cost_their_neighbours_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let done = mock(&study, folder.path(), &["--mock-fail", "0.3"]);
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    let first = records(folder.path(), "small");
    let failed: Vec<_> = first.iter().filter(|r| r["status"] == "failed").collect();
    assert!(!failed.is_empty() && failed.iter().all(|r| r["error"].as_str().unwrap().contains("was asked to fail")));
    assert!(done.stdout.contains("Not complete") || done.stdout.contains("No answer yet"), "{}", done.stdout);
    let sources: HashSet<_> = failed.iter().filter(|r| r["kind"] == "source").map(|r| r["key"].as_str().unwrap()).collect();
    assert!(!first.iter().any(|r| r["source"].as_str().is_some_and(|s| sources.contains(s))), "targets of a failed source do not run");
    // Without the fault all stages succeed, and finished stages are not repeated.
    assert_eq!(mock(&study, folder.path(), &[]).code, Some(0));
    assert_eq!(counts(folder.path(), "small"), (20, 0, 0));
    let calm = folder.path().join("calm");
    mock(&study, &calm, &[]);
    assert_eq!(results(folder.path(), "small"), results(&calm, "small"));
}

#[test]
fn a_diverged_source_takes_its_targets_with_it_and_is_not_averaged() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let done = mock(&study, folder.path(), &["--mock-diverge", "0.25"]);
    assert_eq!(done.code, Some(3));
    let all = records(folder.path(), "small");
    let diverged: HashSet<_> = all.iter().filter(|r| r["status"] == "diverged").map(|r| r["key"].as_str().unwrap()).collect();
    assert!(!diverged.is_empty());
    for record in &all {
        if let Some(source) = record["source"].as_str().filter(|source| diverged.contains(source)) {
            assert_eq!(record["status"], "diverged", "{source}");
            assert!(record["error"].as_str().unwrap().starts_with("its source diverged"));
        }
    }
    assert!(done.stdout.contains("diverged"), "{}", done.stdout);
    // Divergence is final: a second sweep changes nothing.
    assert_eq!(mock(&study, folder.path(), &["--mock-diverge", "0.25"]).code, Some(3));
    assert_eq!(records(folder.path(), "small"), all);
}

#[test]
fn packs_give_the_same_results() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let (one, many) = (folder.path().join("one"), folder.path().join("many"));
    mock(&study, &one, &[]);
    mock(&study, &many, &["--pack", "4", "--workers", "1"]);
    assert_eq!(results(&one, "small"), results(&many, "small"));
    assert!(records(&many, "small").iter().any(|record| record["pack"] == 4));
}

#[test]
fn packs_that_do_not_fit_into_memory_are_halved_until_they_do() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let (calm, tight) = (folder.path().join("calm"), folder.path().join("tight"));
    mock(&study, &calm, &[]);
    let done = run(&mut sweep(&study, &tight, &["--engine", "mock", "--pack", "12", "--workers", "1", "--mock-memory", "2"]));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(
        done.stderr.contains("6 models in one pack are too many for the device's memory; continuing with packs of 3"),
        "{}",
        done.stderr
    );
    assert_eq!(results(&calm, "small"), results(&tight, "small"));
    let packs: Vec<u64> = records(&tight, "small").iter().map(|record| record["pack"].as_u64().unwrap()).collect();
    assert!(packs.iter().all(|&pack| pack <= 2) && packs.contains(&2), "{packs:?}");
    // If even a single model does not fit, the stage fails with an explanation.
    let none = run(&mut sweep(&study, &folder.path().join("none"), &["--engine", "mock", "--pack", "2", "--mock-memory", "0"]));
    assert_eq!(none.code, Some(3));
    assert!(none.stderr.contains("one model alone is too large for the device's memory"), "{}", none.stderr);
}

#[test]
fn interrupted_packs_go_on_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let packs = ["--pack", "4", "--mock-ms", "60", "--workers", "1"];
    let snapshots = || {
        let all = std::fs::read_dir(folder.path().join("small/checkpoints")).unwrap();
        all.filter(|e| e.as_ref().unwrap().file_name().to_str().unwrap().starts_with("pack-")).count()
    };
    let mut found = 0;
    for _ in 0..12 {
        let mut child = sweep(&study, folder.path(), &MOCK).args(packs).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        until_it_trains(&mut child, folder.path(), "small");
        std::thread::sleep(Duration::from_millis(200));
        signal("-TERM", child.id());
        let mut said = String::new();
        std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
        if child.wait().unwrap().code() == Some(0) {
            break;
        }
        assert_eq!(said.matches("stopping: ").count(), 1, "{said}");
        found = found.max(snapshots());
        assert!(snapshots() <= 1, "one worker leaves one snapshot, and it is taken up again");
    }
    assert!(found > 0);
    assert_eq!(mock(&study, folder.path(), &packs).code, Some(0));
    assert_eq!(snapshots(), 0);
    let calm = folder.path().join("calm");
    mock(&study, &calm, &[]);
    assert_eq!(results(folder.path(), "small"), results(&calm, "small"));
    // Targets of several sources share packs.
    assert!(records(folder.path(), "small").iter().filter(|r| r["kind"] == "target").all(|r| r["pack"] == 4));
}

#[test]
fn a_snapshot_whose_head_is_damaged_is_told_and_the_one_before_it_used() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", &SMALL.replace("epochs: 4", "epochs: 100"));
    let slowly = ["--mock-ms", "40", "--workers", "1", "--checkpoint-every", "1"];
    let mut child = spawn(sweep(&study, folder.path(), &MOCK).args(slowly));
    let snapshot = || {
        let all = std::fs::read_dir(folder.path().join("small/checkpoints")).ok()?.map(|entry| entry.unwrap().path());
        let all: Vec<_> = all.filter(|path| path.extension().is_some_and(|e| e == "safetensors")).collect();
        let before = all.iter().find(|path| path.to_string_lossy().ends_with(".previous.safetensors"))?;
        Some(std::path::PathBuf::from(before.to_string_lossy().replace(".previous", "")))
    };
    until("there are two snapshots", || {
        assert!(child.try_wait().unwrap().is_none(), "it ended before there were two snapshots");
        snapshot().is_some()
    });
    signal("-TERM", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(75));
    let path = snapshot().unwrap();
    // Changes a digit of a stage's key. The snapshot can be read, but no stage has this key.
    let mut bytes = std::fs::read(&path).unwrap();
    let at = String::from_utf8_lossy(&bytes).find("stages").unwrap() + "stages\\\":[\\\"".len() + 2;
    assert!(bytes[at].is_ascii_hexdigit());
    bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
    std::fs::write(&path, bytes).unwrap();
    let done = mock(&study, folder.path(), &["--workers", "1"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stderr.contains("is damaged") && done.stderr.contains("the one before it is used"), "{}", done.stderr);
    let calm = folder.path().join("calm");
    mock(&study, &calm, &[]);
    assert_eq!(results(folder.path(), "small"), results(&calm, "small"));
}

#[test]
fn an_unresolved_failure_is_not_forgotten_by_an_interruption() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    assert_eq!(mock(&study, folder.path(), &["--mock-fail", "0.3"]).code, Some(3));
    let mut child = spawn(sweep(&study, folder.path(), &MOCK).args(["--mock-ms", "300"]));
    until_it_trains(&mut child, folder.path(), "small");
    signal("-TERM", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(75));
}

#[test]
fn a_terminal_that_goes_away_does_not_stop_the_sweep() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let mut child = sweep(&study, folder.path(), &["--engine", "mock", "--mock-ms", "400"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(counts(folder.path(), "small"), (20, 0, 0));
}

#[test]
fn a_second_process_is_refused_and_signals_mean_exit_75() {
    let folder = tempfile::tempdir().unwrap();
    // Forty epochs: whenever the signal arrives, both workers are in the middle of a stage.
    let study = write(folder.path(), "small.yaml", &SMALL.replace("epochs: 4", "epochs: 40"));
    for kind in ["-TERM", "-INT", "-USR1", "-USR2"] {
        let mut child = spawn(sweep(&study, folder.path(), &MOCK).args(["--mock-ms", "200", "--fresh", "--yes"]));
        let status = || run(program().arg("status").arg(folder.path().join("small"))).stdout;
        until("status sees what is running", || status().contains("2 running"));
        let second = mock(&study, folder.path(), &[]);
        assert_eq!(second.code, Some(1));
        assert!(
            second.stderr.contains("another process is working in") && second.stderr.contains(&format!("process {}", child.id())),
            "{}",
            second.stderr
        );
        signal(kind, child.id());
        assert_eq!(child.wait().unwrap().code(), Some(75), "{kind}");
    }
    // The running stages left snapshots, and the next sweep resumes from them.
    let snapshots = std::fs::read_dir(folder.path().join("small/checkpoints"))
        .unwrap()
        .filter(|e| e.as_ref().unwrap().file_name().to_str().unwrap().starts_with("pack-"));
    assert!(snapshots.count() > 0);
    assert_eq!(mock(&study, folder.path(), &[]).code, Some(0));
    let calm = folder.path().join("calm");
    mock(&study, &calm, &[]);
    assert_eq!(records(folder.path(), "small"), records(&calm, "small"));
}

#[test]
fn paths_need_not_be_utf8() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let odd = folder.path().join(std::ffi::OsStr::from_bytes(b"odd-\xff"));
    assert_eq!(mock(&study, &odd, &[]).code, Some(0));
    assert_eq!(counts(&odd, "small"), (20, 0, 0));
}

#[test]
fn fresh_asks_and_engines_do_not_mix() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    mock(&study, folder.path(), &[]);
    // Errors that need no answer from the user are returned without a question.
    let shard = mock(&study, folder.path(), &["--fresh", "--shard", "0/2"]);
    assert!(shard.code == Some(2) && shard.stderr.contains("--fresh discards the whole study"), "{}", shard.stderr);
    let asked = mock(&study, folder.path(), &["--fresh"]);
    assert_eq!(asked.code, Some(2));
    assert!(asked.stderr.contains("--fresh would discard 20 finished stages") && asked.stderr.contains("--yes"), "{}", asked.stderr);
    assert_eq!(counts(folder.path(), "small"), (20, 0, 0));
    assert_eq!(mock(&study, folder.path(), &["--fresh", "--yes"]).code, Some(0));
    if cfg!(feature = "torch") {
        let mixed = run(&mut sweep(&study, folder.path(), &["--quiet"]));
        assert_eq!(mixed.code, Some(2));
        assert!(mixed.stderr.contains("holds results of the engine `mock`"), "{}", mixed.stderr);
    } else {
        let absent = run(&mut sweep(&study, folder.path(), &["--quiet"]));
        assert_eq!(absent.code, Some(1));
        assert!(absent.stderr.contains("built without libtorch") && absent.stderr.contains("--engine mock"), "{}", absent.stderr);
    }
}

#[test]
fn a_full_disk_stops_the_sweep_with_a_message_and_loses_nothing() {
    // With a file-size limit and its signal ignored, writes fail in the middle of a file, as on a
    // full disk.
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let line = format!(
        "trap '' XFSZ; ulimit -f 8; exec {} sweep {} --out {} --engine mock --quiet",
        env!("CARGO_BIN_EXE_transfergrid"),
        study.display(),
        folder.path().display()
    );
    let done = run(std::process::Command::new("bash").args(["-c", &line]));
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(done.stderr.contains("cannot write") && done.stderr.contains("main.jsonl"), "{}", done.stderr);
    let (kept, _, missing) = counts(folder.path(), "small");
    assert!(kept > 0 && missing > 0);
    assert_eq!(mock(&study, folder.path(), &[]).code, Some(0));
    let calm = folder.path().join("calm");
    mock(&study, &calm, &[]);
    assert_eq!(records(folder.path(), "small"), records(&calm, "small"));
}

#[test]
fn ten_thousand_stages_are_no_burden() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let more = [
        "--set",
        "lambda0={log: {from: 1e-5, to: 1, points: 40}}",
        "--set",
        "lambda1={log: {from: 1e-5, to: 1, points: 24}}",
        "--seeds",
        "4",
    ];
    let done = mock(&study, folder.path(), &more);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!(records(folder.path(), "small").len(), 40 * 4 + 40 * 24 * 4 + 4);
    // Too many stages for one run each: only the answer and the best cells have runs.
    let runs = std::fs::read_dir(folder.path().join("small/tb/cell")).unwrap().count();
    assert_eq!(runs, 36, "with the experiment, the answer, the sweep and rounds these are 40");
    assert!(folder.path().join("small/tb/answer").is_dir() && !folder.path().join("small/tb/target").is_dir());
}

/// If the user's number of threads is limited, the sweep continues with the threads that it gets,
/// or exits with 1 and one message. It never hangs.
#[test]
fn refused_threads_make_fewer_workers_or_one_message() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let binary = env!("CARGO_BIN_EXE_transfergrid");
    // Root has no limit, so the test runs as another user, with an ID that nothing else on the
    // machine uses.
    let as_user = |limit: &str, command: &str| {
        let user = (50_000 + std::process::id() % 10_000).to_string();
        let words = ["--reuid", &user, "--regid", &user, "--clear-groups", "bash", "-c", &format!("ulimit -u {limit}; {command}")]
            .map(str::to_string);
        run(Command::new("setpriv").args(words))
    };
    let may =
        Command::new("setpriv").arg("--version").output().is_ok_and(|_| as_user("50", &format!("exec {binary} --version")).code == Some(0));
    if !may {
        eprintln!("left out: it takes root, setpriv, and a program that other users may read");
        return;
    }
    let sweep = |limit: usize| {
        let out = folder.path().join(format!("logs-{limit}"));
        let command =
            format!("exec timeout 60 {binary} sweep {} --engine mock --quiet --workers 4 --out {}", study.display(), out.display());
        (as_user(&limit.to_string(), &command), out)
    };
    let mut outcomes = vec![];
    for limit in 2..=12 {
        let (done, out) = sweep(limit);
        assert!([Some(0), Some(1)].contains(&done.code), "limit {limit}: {:?} {}", done.code, done.stderr);
        match done.code {
            Some(0) => assert!(out.join("small/report/summary.json").exists()),
            _ => assert!(done.stderr.contains("could not start a thread"), "limit {limit}: {}", done.stderr),
        }
        outcomes.push((done.code, done.stderr.contains("could not start more threads")));
    }
    assert!(
        outcomes.contains(&(Some(1), false)) && outcomes.contains(&(Some(0), true)) && outcomes.contains(&(Some(0), false)),
        "{outcomes:?}"
    );
}
