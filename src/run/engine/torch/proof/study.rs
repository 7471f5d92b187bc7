//! Whole sweeps on the device, as processes of their own.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};
use tch::{Device, Kind, Tensor};

use super::super::memory::memory as memory_of;
use super::setting::TemporaryFolder;
use super::{Bench, Finding};
use crate::model::release_memory;

/// Embedded data, a minute on one core at most.
const STUDY: &str = "\
name: proof
data: digits
seeds: 3
lambda0: [0, 1e-2, 0.3]
lambda1: [0, 1]
model: {kind: mlp, hidden: [32]}
source: {classes: [0, 1, 2, 3, 4], validation_per_class: 20, epochs: 10, lr: 0.05, batch_size: 32}
target: {classes: [5, 6, 7, 8, 9], per_class: 10, validation_per_class: 20, epochs: 10, lr: 0.05, batch_size: 25}
";

/// More than any GPU holds at once in one pack of 256.
const LARGE: &str = "\
name: large
data: digits
seeds: 64
lambda0: [0, 1e-3, 1e-2, 0.1]
lambda1: [0]
model: {kind: convnet, channels: [256, 256]}
source: {classes: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], validation_per_class: 10, epochs: 1, lr: 0.01, batch_size: 1024}
target: {classes: [0, 1], per_class: 5, validation_per_class: 10, epochs: 1, lr: 0.01, batch_size: 10}
";

fn name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".into(),
    }
}

fn sweep(folder: &Path, text: &str, out: &str, more: &[&str]) -> Result<Command> {
    let file = folder.join("study.yaml");
    std::fs::write(&file, text)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("sweep").arg(file).arg("-q").arg("--out").arg(folder.join(out)).args(more).stdin(Stdio::null());
    Ok(command)
}

fn done(command: &mut Command) -> Result<Output> {
    let output = command.output()?;
    ensure!(output.status.success(), "a sweep failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(output)
}

/// A small study on the device against the CPU: the same verdicts, and test results that differ by
/// the sampling of rounding at most; interrupted by SIGTERM and resumed, the same again.
pub fn as_on_cpu(bench: Bench) -> Result<Finding> {
    let folder = TemporaryFolder::new()?;
    let device = name(bench.device);
    let rate = ["--set", if bench.planted { "source.lr=0.002" } else { "source.lr=0.05" }];
    done(&mut sweep(&folder.0, STUDY, "cpu", &["--device", "cpu"])?)?;
    done(&mut sweep(&folder.0, STUDY, "device", &[&["--device", &device][..], &rate].concat())?)?;
    let (cpu, there) = (results(&folder.0.join("cpu"))?, results(&folder.0.join("device"))?);
    let (accuracy, loss) = differences(&cpu, &there)?;
    let same = cpu.verdict == there.verdict;
    let interrupted = interrupted(&folder.0, &device, &rate)?;
    let again = differences(&there, &results(&folder.0.join("again"))?)?;
    Ok(Finding { measured: format!("{} results, the same verdict: {same}", cpu.rows.len()), holds: same }
        .and(Finding::at_most("mean difference of test accuracy", accuracy, 0.02))
        .and(Finding::at_most("of test loss", loss, 0.05))
        .and(Finding { measured: format!("stopped by SIGTERM after {interrupted} of {}", cpu.rows.len()), holds: interrupted > 0 })
        .and(Finding::at_most("resumed, accuracy differs by", again.0, 0.02)))
}

struct Results {
    verdict: serde_json::Value,
    /// What was trained (kind, λ₀, λ₁, seed), test accuracy, test loss.
    rows: Vec<(String, f64, f64)>,
}

fn results(out: &Path) -> Result<Results> {
    let report = out.join("proof/report");
    let summary: serde_json::Value = serde_json::from_slice(&std::fs::read(report.join("summary.json"))?)?;
    let mut reader = csv::Reader::from_path(report.join("results.csv"))?;
    let header = reader.headers()?.clone();
    let at = |column: &str| header.iter().position(|name| name == column).with_context(|| format!("results.csv has a column {column}"));
    let (accuracy, loss) = (at("test_acc")?, at("test_loss")?);
    let of = ["kind", "lambda0", "lambda1", "seed"].map(at).into_iter().collect::<Result<Vec<_>>>()?;
    let rows = reader.records().map(|row| -> Result<_> {
        let row = row?;
        let name: Vec<&str> = of.iter().map(|&column| &row[column]).collect();
        Ok((name.join(" "), row[accuracy].parse()?, row[loss].parse()?))
    });
    Ok(Results { verdict: summary["verdict"].clone(), rows: rows.collect::<Result<_>>()? })
}

/// Mean absolute differences of test accuracy and loss over the stages.
fn differences(a: &Results, b: &Results) -> Result<(f64, f64)> {
    ensure!(!a.rows.is_empty(), "there are results");
    let (mut accuracy, mut loss) = (0.0, 0.0);
    for (name, own_accuracy, own_loss) in &a.rows {
        let other = b.rows.iter().find(|(other, ..)| other == name);
        let (_, other_accuracy, other_loss) = other.with_context(|| format!("{name} has a result in both"))?;
        accuracy += (own_accuracy - other_accuracy).abs();
        loss += (own_loss - other_loss).abs();
    }
    Ok((accuracy / a.rows.len() as f64, loss / a.rows.len() as f64))
}

/// Stops a sweep when the first stages are recorded, and resumes it. Returns the number of stages
/// that were recorded by then.
fn interrupted(folder: &Path, device: &str, rate: &[&str]) -> Result<usize> {
    let words = [&["--device", device, "--pack", "1", "--workers", "1"][..], rate].concat();
    let mut child = sweep(folder, STUDY, "again", &words)?.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let records = folder.join("again/proof/records/main.jsonl");
    let lines = || std::fs::read_to_string(&records).map_or(0, |text| text.lines().count());
    let deadline = Instant::now() + Duration::from_secs(120);
    while lines() == 0 && child.try_wait()?.is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(2));
    }
    if child.try_wait()?.is_none() {
        // SAFETY: the child has not been waited for, so the number is still its own.
        unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGTERM) };
    }
    let code = child.wait()?.code();
    let recorded = lines();
    match code {
        Some(75) => {}
        Some(0) => bail!("the sweep was done before it could be interrupted"),
        other => bail!("a sweep that gets SIGTERM ends with 75, not {other:?}"),
    }
    done(&mut sweep(folder, STUDY, "again", &words)?)?;
    Ok(recorded)
}

/// A pack that does not fit into the memory that is free is halved until it fits, and the memory is
/// free again afterwards. On the CPU the mock engine stands in for the full device.
pub fn memory(bench: Bench) -> Result<Finding> {
    let folder = TemporaryFolder::new()?;
    if !bench.device.is_cuda() {
        let room = if bench.planted { "4096" } else { "40" };
        let output = done(&mut sweep(&folder.0, LARGE, "out", &["--engine", "mock", "--pack", "256", "--mock-memory", room])?)?;
        return Ok(halved(&output));
    }
    release_memory();
    let before = memory_of(bench.device).context("CUDA's runtime tells how much memory is free")?;
    // All but 6 GB, or a quarter of a small device.
    let left = (6u64 << 30).min(before.total / 4);
    let held = (!bench.planted && before.free > left).then(|| Tensor::zeros([(before.free - left) as i64], (Kind::Uint8, bench.device)));
    let device = name(bench.device);
    let output = done(&mut sweep(&folder.0, LARGE, "out", &["--device", &device, "--pack", "256", "--set", "transfer.method=probe"])?)?;
    drop(held);
    release_memory();
    let after = memory_of(bench.device).context("CUDA's runtime tells how much memory is free")?;
    let lost = before.free.saturating_sub(after.free) as f64 / 1e6;
    Ok(halved(&output).and(Finding { measured: format!("{lost:.0} MB not given back (at most 64)"), holds: lost <= 64.0 }))
}

/// Whether the sweep said that it continued with smaller packs.
fn halved(output: &Output) -> Finding {
    let text = String::from_utf8_lossy(&output.stderr);
    let sizes: Vec<&str> = text.lines().filter_map(|line| line.split("continuing with packs of ").nth(1)).collect();
    match sizes.last() {
        Some(size) => Finding { measured: format!("256 models are too many, packs of {size} fit"), holds: true },
        None => Finding { measured: "nothing was said about packs that are too large".into(), holds: false },
    }
}
