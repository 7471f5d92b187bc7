//! Shared by the integration tests: functions that run the program, and small studies.
#![allow(dead_code)] // each test file uses only some of these items

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The program, without the caller's environment settings.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_transfergrid"));
    command.env_remove("TRANSFERGRID_DATA").env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// The device that tests which train use: `TRANSFERGRID_TEST_DEVICE`, e.g. `cuda:0`; else the CPU.
pub fn device_name() -> String {
    std::env::var("TRANSFERGRID_TEST_DEVICE").unwrap_or_else(|_| "cpu".into())
}

#[cfg(feature = "torch")]
pub fn device() -> tch::Device {
    match device_name().strip_prefix("cuda:") {
        Some(index) => tch::Device::Cuda(index.parse().expect("TRANSFERGRID_TEST_DEVICE is cpu or cuda:N")),
        None => tch::Device::Cpu,
    }
}

pub struct Done {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

pub fn run(command: &mut Command) -> Done {
    let Output { status, stdout, stderr } = command.output().expect("the program starts");
    let done =
        Done { code: status.code(), stdout: String::from_utf8_lossy(&stdout).into(), stderr: String::from_utf8_lossy(&stderr).into() };
    assert!(!done.stderr.contains("panicked at"), "a panic: {}", done.stderr);
    done
}

/// `sweep STUDY --out OUT` with further arguments.
pub fn sweep(study: &Path, out: &Path, more: &[&str]) -> Command {
    let mut command = program();
    command.arg("sweep").arg(study).arg("--out").arg(out).args(more);
    if !more.iter().any(|word| ["--device", "--engine"].contains(word)) {
        command.args(["--device", &device_name()]);
    }
    command
}

pub fn spawn(command: &mut Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts")
}

/// Waits until a condition holds. A test that waits for a condition instead of a fixed time does
/// not fail on a busy machine.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    until_within(60, what, String::new, &mut holds);
}

/// The same with a limit in seconds. `state` describes the state if the condition does not hold in
/// time.
pub fn until_within(seconds: u64, what: &str, state: impl Fn() -> String, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while !holds() {
        assert!(Instant::now() < deadline, "in vain for {seconds} s: {what} {}", state());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until an unsharded sweep into OUT is training or has ended. A sweep catches signals some
/// time before it trains.
pub fn until_it_trains(sweep: &mut Child, out: &Path, study: &str) {
    let running = out.join(study).join("running/main.json");
    let trains = || std::fs::read_to_string(&running).is_ok_and(|text| !text.contains("\"stages\":[]"));
    until("something is being trained", || trains() || sweep.try_wait().expect("a child").is_some());
}

/// Sends a signal such as `-TERM`. An error is ignored: if the process has already ended, its exit
/// code shows that.
pub fn signal(signal: &str, process: u32) {
    run(Command::new("kill").args([signal, &process.to_string()]));
}

pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A study of the digits that trains in an instant: 3 λ₀ × 2 λ₁ × 2 seeds.
pub const SMALL: &str = "\
name: small
data: digits
seeds: 2
lambda0: [0, 1e-3, 1e-2]
lambda1: [0, 0.1]
model: {kind: mlp, hidden: [16]}
source: {classes: [0, 1, 2], per_class: 20, validation_per_class: 10, epochs: 4, batch_size: 16, lr: 0.1}
target: {classes: [5, 6, 7], per_class: 5, validation_per_class: 10, epochs: 3, batch_size: 8, lr: 0.05}
";

pub fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a file can be written");
    path
}

/// The text of results.csv from the study's folder under OUT.
pub fn results(out: &Path, study: &str) -> String {
    let path = out.join(study).join("report/results.csv");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("not JSON ({error}): {text}"))
}

/// Every record of a study, without the fields that differ between two runs (times, host).
pub fn records(out: &Path, study: &str) -> Vec<serde_json::Value> {
    let folder = out.join(study).join("records");
    let mut all = vec![];
    for entry in std::fs::read_dir(folder).expect("records are there") {
        let text = std::fs::read_to_string(entry.expect("readable").path()).expect("text");
        for line in text.lines() {
            let mut record = json(line);
            for key in ["seconds", "finished", "host", "check"] {
                record.as_object_mut().expect("a map").remove(key);
            }
            all.push(record);
        }
    }
    all.sort_by_key(|record| record["key"].as_str().unwrap_or_default().to_string());
    all
}
