//! Kills, damaged files, full disks and races: in every case a study resumes and ends with the same
//! records.
//!
//! These tests take minutes and are not part of a plain `cargo test`: run `make test-faults`. Every
//! random choice comes from a seed that is printed with a failure.

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::*;

const MOCK: [&str; 5] = ["--engine", "mock", "--quiet", "--mock-ms", "4"];
/// Training, not starting and reporting, takes most of a study's time.
const SLOW: [&str; 5] = ["--engine", "mock", "--quiet", "--mock-ms", "20"];

/// SplitMix64: a small generator with the same numbers on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn up_to(&mut self, time: Duration) -> Duration {
        time.mul_f64((self.next() >> 11) as f64 / (1u64 << 53) as f64)
    }
}

/// The result of a study: its records without times, and its table.
fn outcome(out: &Path) -> (Vec<serde_json::Value>, String) {
    (records(out, "small"), results(out, "small"))
}

fn no_stage_twice(out: &Path, what: &str) {
    let all = records(out, "small");
    let keys: BTreeSet<&str> = all.iter().map(|record| record["key"].as_str().unwrap()).collect();
    assert_eq!(all.len(), keys.len(), "{what}: a stage has two records");
}

/// Kills a sweep at random times and starts it again until it ends. Repeats this with new studies
/// until there were `kills` kills in all. Starting and reporting cannot be split over two runs, so
/// they must be well below the time of a whole study, which is the longest that a run is given.
fn kill_and_resume(name: &str, text: &str, kills: usize, args: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", text);
    let calm = folder.path().join("calm");
    let started = Instant::now();
    assert_eq!(run(&mut sweep(&study, &calm, args)).code, Some(0));
    let whole = started.elapsed();
    let expected = outcome(&calm);
    let (mut killed, mut studies) = (0, 0);
    while killed < kills {
        studies += 1;
        let mut random = Random(studies as u64);
        let out = folder.path().join(format!("{studies}"));
        for attempt in 0.. {
            let mut child = spawn(&mut sweep(&study, &out, args));
            let pause = random.up_to(whole);
            let end = Instant::now() + pause;
            let mut ended = None;
            while ended.is_none() && Instant::now() < end {
                ended = child.try_wait().unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
            if let Some(status) = ended {
                assert_eq!(status.code(), Some(0), "{name}, study {studies}, attempt {attempt}");
                break;
            }
            child.kill().unwrap();
            child.wait().unwrap();
            killed += 1;
            assert!(attempt < 200, "{name}, study {studies}: no end after {attempt} kills");
        }
        assert_eq!(outcome(&out), expected, "{name}, study {studies}");
        let left: Vec<_> =
            std::fs::read_dir(out.join("small/checkpoints")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        assert!(
            !left.iter().any(|file| file.contains("damaged") || (file.starts_with("pack-") && file.ends_with(".safetensors"))),
            "{left:?}"
        );
        std::fs::remove_dir_all(&out).unwrap();
    }
    println!("{name}: {killed} kills over {studies} studies, each resumed to the same records");
}

#[test]
#[ignore = "minutes: make test-faults"]
fn two_hundred_kills_of_the_mock_engine() {
    kill_and_resume("mock", SMALL, 200, &SLOW);
}

#[test]
#[ignore = "minutes: make test-faults"]
#[cfg(feature = "torch")]
fn two_hundred_kills_in_mid_training() {
    let text =
        SMALL.replace("epochs: 4", "epochs: 40").replace("epochs: 3", "epochs: 40").replace("hidden: [16]", "hidden: [32], norm: batch");
    kill_and_resume("torch", &text, 200, &["--quiet", "--checkpoint-every", "1"]);
}

/// Every file in which a flipped bit can do harm.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = vec![];
    for part in ["records", "checkpoints", "leases/main", "."] {
        let entries = std::fs::read_dir(folder.join(part)).unwrap().map(|entry| entry.unwrap().path());
        all.extend(entries.filter(|path| path.is_file() && !path.ends_with("study.yaml")));
    }
    all.sort();
    all
}

#[test]
#[ignore = "minutes: make test-faults"]
fn fifty_damages_are_told_and_mended() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let calm = folder.path().join("calm");
    assert_eq!(run(sweep(&study, &calm, &MOCK).args(["--workers", "1"])).code, Some(0));
    let expected = outcome(&calm);
    let mut told = 0;
    for damage in 0..50u64 {
        let mut random = Random(1000 + damage);
        let out = folder.path().join(format!("{damage}"));
        // A study that was interrupted part-way, so that there are snapshots too.
        let mut child = spawn(sweep(&study, &out, &SLOW).args(["--workers", "1"]));
        let records = out.join("small/records/main.jsonl");
        until("there is a record", || {
            assert!(child.try_wait().unwrap().is_none(), "damage {damage}: the sweep ended too early");
            std::fs::metadata(&records).is_ok_and(|file| file.len() > 0)
        });
        std::thread::sleep(random.up_to(Duration::from_millis(300)));
        signal("-TERM", child.id());
        assert_eq!(child.wait().unwrap().code(), Some(75));
        let files = files(&out.join("small"));
        let path = &files[random.below(files.len())];
        let mut bytes = std::fs::read(path).unwrap();
        let what = match (random.below(3), bytes.len()) {
            (_, 0) => continue,
            (0, n) => {
                let at = random.below(n);
                bytes.truncate(at);
                format!("damage {damage}: {} cut at {at} of {n}", path.display())
            }
            (_, n) => {
                let (at, bit) = (random.below(n), random.below(8));
                bytes[at] ^= 1 << bit;
                format!("damage {damage}: bit {bit} of byte {at} of {n} in {}", path.display())
            }
        };
        std::fs::write(path, &bytes).unwrap();
        let unsound = transfergrid::store::Checkpoint::read(path).is_err();
        // Commands that only read report what they can read and do not crash (`run` checks for
        // panics).
        for command in ["status", "report"] {
            let seen = run(program().arg(command).arg(out.join("small")));
            assert!(matches!(seen.code, Some(0)), "{what}: {command} {}", seen.stderr);
        }
        let done = run(sweep(&study, &out, &["--engine", "mock", "--workers", "1"]).args(["--mock-ms", "4"]));
        assert_eq!(done.code, Some(0), "{what}: {}", done.stderr);
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let newest = name.starts_with("pack-") && !name.contains("previous");
        if newest && unsound {
            assert!(done.stderr.contains("is damaged") && done.stderr.contains("set aside"), "{what}: {}", done.stderr);
        }
        told += usize::from(["damaged", "left out", "an unknown process", "is taken over"].iter().any(|word| done.stderr.contains(word)));
        // A damaged record line stays in the file and is skipped. The results are therefore read
        // here in the same way as by the program.
        assert_eq!(results(&out, "small"), expected.1, "{what}");
        std::fs::remove_dir_all(&out).unwrap();
    }
    println!("50 damages: {told} told of by the next sweep; the others hit what is not needed any more, or whole lines");
    assert!(told >= 25, "{told} of 50 damages were told");
}

#[test]
#[ignore = "minutes: make test-faults"]
fn fifty_races_for_one_shard() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let calm = folder.path().join("calm");
    assert_eq!(run(&mut sweep(&study, &calm, &MOCK)).code, Some(0));
    let expected = outcome(&calm);
    for race in 0..50u64 {
        let mut random = Random(2000 + race);
        let out = folder.path().join(format!("{race}"));
        let start = || spawn(sweep(&study, &out, &MOCK).args(["--shard", "0/1"]));
        let mut first = start();
        std::thread::sleep(random.up_to(Duration::from_millis(20)));
        let mut second = start();
        // In every other race one of the two is killed while it runs.
        if race % 2 == 1 {
            std::thread::sleep(random.up_to(Duration::from_millis(120)));
            if random.below(2) == 0 { &mut first } else { &mut second }.kill().unwrap();
        }
        let codes = [first.wait().unwrap().code(), second.wait().unwrap().code()];
        assert!(codes.contains(&Some(0)), "race {race}: {codes:?}");
        assert!(codes.iter().all(|code| code.is_none() || *code == Some(0)), "race {race}: {codes:?}");
        no_stage_twice(&out, &format!("race {race}"));
        assert_eq!(outcome(&out), expected, "race {race}");
        std::fs::remove_dir_all(&out).unwrap();
    }
}

/// Runs a line of bash as root in its own mount namespace.
fn with_mounts(line: &str) -> Done {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--map-root-user", "--user", "bash", "-euc", line])
        .env("NO_COLOR", "1")
        .env_remove("TRANSFERGRID_DATA")
        .stdin(Stdio::null());
    run(&mut command)
}

#[test]
#[ignore = "minutes: make test-faults"]
fn a_full_disk_ends_the_sweep_with_a_message_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let calm = folder.path().join("calm");
    assert_eq!(run(&mut sweep(&study, &calm, &MOCK)).code, Some(0));
    let small = folder.path().join("disk");
    let mut stopped = 0;
    for (index, kilobytes) in [40, 80, 120, 160, 240, 400].into_iter().enumerate() {
        let out = folder.path().join(format!("out{index}"));
        for path in [&small, &out] {
            std::fs::create_dir_all(path).unwrap();
        }
        // The disk is filled after the check at the start, so that the check passes. A file takes
        // all but a few kilobytes.
        let line = format!(
            "mount -t tmpfs -o size=80m none {disk}; mkdir {disk}/logs; \
             ( while [[ ! -e {disk}/logs/small/records/main.jsonl ]]; do sleep 0.005; done; \
               dd if=/dev/zero of={disk}/fill bs=1k count=$(( 80 * 1024 - {kilobytes} - $(du -sk {disk}/logs | cut -f1) )) 2> /dev/null ) & \
             code=0; {program} sweep {study} --out {disk}/logs --engine mock --quiet --mock-ms 40 || code=$?; wait; \
             rm -f {disk}/fill; cp -a {disk}/logs {out}/; exit $code",
            disk = small.display(),
            program = env!("CARGO_BIN_EXE_transfergrid"),
            study = study.display(),
            out = out.display()
        );
        let done = with_mounts(&line);
        assert!(matches!(done.code, Some(0 | 1)), "{kilobytes} kB: {:?} {}", done.code, done.stderr);
        if done.code == Some(1) {
            stopped += 1;
            assert!(
                done.stderr.contains("error: cannot write") && done.stderr.to_lowercase().contains("no space left"),
                "{kilobytes} kB: {}",
                done.stderr
            );
        }
        let logs = out.join("logs");
        assert_eq!(run(&mut sweep(&study, &logs, &MOCK)).code, Some(0));
        assert_eq!(outcome(&logs), outcome(&calm), "{kilobytes} kB");
    }
    assert!(stopped >= 2, "the disk was full in {stopped} of 6 sweeps only");
}

#[test]
#[ignore = "minutes: make test-faults"]
fn a_read_only_folder_is_refused_with_a_message() {
    let folder = tempfile::tempdir().unwrap();
    let study = write(folder.path(), "small.yaml", SMALL);
    let out = folder.path().join("logs");
    let sweep_line = |arguments: &str| {
        let (program, study, out) = (env!("CARGO_BIN_EXE_transfergrid"), study.display(), out.display());
        format!(
            "mount --bind {out} {out}; mount -o remount,bind,ro {out}; {program} {} --engine mock {arguments}",
            format_args!("sweep {study} --out {out}")
        )
    };
    std::fs::create_dir(&out).unwrap();
    // First an empty folder, then a finished study, then one that is half done.
    let empty = with_mounts(&sweep_line(""));
    assert_eq!(empty.code, Some(1), "{}", empty.stderr);
    assert!(empty.stderr.contains("cannot make the folder") && empty.stderr.contains("Read-only file system"), "{}", empty.stderr);
    assert_eq!(run(sweep(&study, &out, &MOCK).args(["--shard", "0/2"])).code, Some(0));
    let half = with_mounts(&sweep_line("--shard 1/2"));
    assert_eq!(half.code, Some(1), "{}", half.stderr);
    assert!(half.stderr.contains("Read-only file system"), "{}", half.stderr);
    // Reading is allowed.
    let look = with_mounts(&format!(
        "mount --bind {0} {0}; mount -o remount,bind,ro {0}; {1} status {0}/small",
        out.display(),
        env!("CARGO_BIN_EXE_transfergrid")
    ));
    assert_eq!(look.code, Some(0), "{}", look.stderr);
    assert!(look.stdout.contains("shard 1/2"), "{}", look.stdout);
}

/// How long a sweep takes to stop, from the signal to its end. The time is printed; it is far below
/// what schedulers allow.
#[test]
#[ignore = "minutes: make test-faults"]
#[cfg(feature = "torch")]
fn a_signal_is_obeyed_within_five_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let text = "\
name: small
data: digits
seeds: 2
lambda0: [0, 1e-3]
lambda1: [0]
model: {kind: convnet, channels: [64, 128]}
source: {classes: [0, 1, 2, 3, 4], per_class: 100, validation_per_class: 10, epochs: 2000, batch_size: 128, lr: 0.01}
target: {classes: [5, 6, 7], per_class: 5, validation_per_class: 10, epochs: 3, batch_size: 8, lr: 0.05}
";
    let study = write(folder.path(), "small.yaml", text);
    let mut waits = vec![];
    for kind in ["-TERM", "-INT", "-USR1", "-USR2"].iter().cycle().take(12) {
        let mut child = spawn(&mut sweep(&study, folder.path(), &["--device", "cpu", "--quiet"]));
        until_it_trains(&mut child, folder.path(), "small");
        std::thread::sleep(Duration::from_millis(200));
        signal(kind, child.id());
        let told = Instant::now();
        if *kind != "-INT" {
            signal(kind, child.id()); // repeating the same signal changes nothing
        }
        assert_eq!(child.wait().unwrap().code(), Some(75), "{kind}");
        waits.push(told.elapsed().as_secs_f64());
    }
    waits.sort_by(f64::total_cmp);
    println!("from signal to exit, 12 times: median {:.3} s, longest {:.3} s", waits[6], waits[11]);
    assert!(waits[11] < 5.0, "{waits:?}");
}

/// Runs a sweep with an optional limit on its address space. Returns also its peak memory in bytes.
#[cfg(feature = "torch")]
fn within(command: &mut Command, limit: Option<u64>) -> (Done, u64) {
    use std::os::unix::process::CommandExt;
    if let Some(bytes) = limit {
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
        // SAFETY: one system call between fork and exec.
        unsafe {
            command
                .pre_exec(move || if libc::setrlimit(libc::RLIMIT_AS, &limit) == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) })
        };
    }
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let peak = text.lines().find_map(|line| line.strip_prefix("VmPeak:")?.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
        most = most.max(1024 * peak.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(2));
    }
    let done = child.wait_with_output().unwrap();
    (Done { code: done.status.code(), stdout: String::new(), stderr: String::from_utf8_lossy(&done.stderr).into() }, most)
}

/// Uses libtorch's own out-of-memory error, not that of the mock engine.
#[test]
#[ignore = "minutes: make test-faults"]
#[cfg(feature = "torch")]
fn a_pack_that_does_not_fit_into_memory_is_halved_until_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let text = SMALL.replace("hidden: [16]", "hidden: [1000, 1000]").replace("seeds: 2", "seeds: 6");
    let study = write(folder.path(), "small.yaml", &text.replace("epochs: 4", "epochs: 1").replace("epochs: 3", "epochs: 1"));
    let packs_of = |pack: &str, limit: Option<u64>| {
        let out = folder.path().join(format!("{pack}-{}", limit.is_some()));
        let (done, most) = within(&mut sweep(&study, &out, &["--device", "cpu", "--workers", "1", "--pack", pack]), limit);
        assert!(
            done.code == Some(0) && !done.stderr.contains("panic") && !done.stderr.contains("frame #"),
            "{:?} {}",
            done.code,
            done.stderr
        );
        (done.stderr, most, results(&out, "small"))
    };
    let (_, little, expected) = packs_of("1", None);
    let (_, much, _) = packs_of("36", None);
    let (said, _, got) = packs_of("36", Some((little + much) / 2));
    assert!(said.contains("models in one pack are too many for the device's memory; continuing with packs of"), "{said}");
    assert_eq!(expected.lines().count(), got.lines().count());
    assert!(!got.contains("failed"), "{got}");
}
