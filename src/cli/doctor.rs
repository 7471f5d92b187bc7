//! `doctor`: shows what this machine and this build support.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::{bytes, print};
use crate::config::network::DataName;
use crate::data::{find, search_path};
use crate::run::engine::proof::{CheckReport, ProofOptions};
use crate::run::engine::{self, Bf16Speed};
use crate::store::{commit, free_bytes, program};

const EXAMPLES: &str = "\
Examples:
  transfergrid doctor
  transfergrid doctor --cuda
  transfergrid doctor --cuda --device cuda:1 --json
  transfergrid doctor --self-test";

/// Show versions, libtorch, devices, threads, data sets and disk; or prove that CUDA computes what
/// the CPU computes
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DoctorArgs {
    /// Search for data sets in this folder first
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Results folder whose disk is checked
    #[arg(long, default_value = "logs", value_name = "FOLDER")]
    out: PathBuf,
    /// Check the GPU: libraries, numbers, packs, memory, a study; about 90 seconds, exit code 1 if
    /// a check fails
    #[arg(long)]
    cuda: bool,
    /// Run these checks on the CPU in float64, each also with a fault planted, which it must find
    #[arg(long, conflicts_with = "cuda")]
    self_test: bool,
    /// The GPU to check
    #[arg(long, default_value = "cuda:0", value_name = "DEVICE", conflicts_with = "self_test")]
    device: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl DoctorArgs {
    pub fn run(self) -> Result<u8> {
        if self.cuda || self.self_test {
            return self.prove();
        }
        let torch = engine::describe();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let roots = search_path(self.data.as_deref());
        let data: Vec<(&str, Option<String>)> = DataName::ALL
            .into_iter()
            .map(|name| match name.info().built_in {
                true => (name.as_str(), Some("built in".to_string())),
                false => (name.as_str(), find(name, &roots).map(|path| path.display().to_string())),
            })
            .collect();
        let free = free_bytes(&self.out);
        let bf16 = engine::bf16_speed();
        if self.json {
            let found: serde_json::Map<_, _> = data.iter().map(|(name, place)| (name.to_string(), json!(place))).collect();
            let text = json!({"program": program(), "commit": commit(), "torch": torch, "threads": threads, "bf16": bf16, "data": found, "free_bytes": free, "auto_device": engine::auto_device().ok()});
            print(&format!("{text:#}\n"));
            return Ok(0);
        }
        let mut out = format!("program   {} (commit {})\n", program(), commit());
        out.push_str(&format!("libtorch  {}{}\n", torch.libtorch, torch.folder.map_or(String::new(), |folder| format!(" in {folder}"))));
        out.push_str(&format!("CUDA      {}\n", torch.cuda));
        let auto = engine::auto_device().map_or("is refused by `sweep` and `bench`: see CUDA".into(), |device| format!("takes {device}"));
        out.push_str(&format!("device    --device auto {auto}\n"));
        out.push_str(&format!("threads   {threads}\n"));
        if let Some(Bf16Speed { linear, convolution }) = bf16 {
            out.push_str(&format!(
                "bf16      {linear:.1} times the speed of float32 in a linear layer, {convolution:.1} in a convolution, on one core\n"
            ));
        }
        for (i, (name, place)) in data.iter().enumerate() {
            let place = place.clone().unwrap_or_else(|| format!("not here (transfergrid data fetch {name})"));
            out.push_str(&format!("{:<9} {name:<16} {place}\n", if i == 0 { "data" } else { "" }));
        }
        out.push_str(&format!("disk      {} free for {}\n", free.map_or("unknown".into(), |n| bytes(n as f64)), self.out.display()));
        print(&out);
        Ok(0)
    }

    /// Runs the checks, prints each as it comes, and counts those that failed.
    fn prove(&self) -> Result<u8> {
        let options = ProofOptions { device: self.device.clone(), self_test: self.self_test };
        let mut all: Vec<CheckReport> = vec![];
        engine::prove(&options, &mut |report| {
            if !self.json {
                print(&line(report));
            }
            all.push(report.clone());
        })?;
        let failed: Vec<&str> = all.iter().filter(|report| !report.passed).map(|report| report.name.as_str()).collect();
        if self.json {
            print(&format!("{:#}\n", json!({"commit": commit(), "torch": engine::describe(), "checks": all, "failed": failed})));
        } else {
            let seconds: f64 = all.iter().map(|report| report.seconds).sum();
            let verdict = match failed.as_slice() {
                [] => "all hold".into(),
                some => format!("FAILED: {}", some.join(", ")),
            };
            print(&format!("{} checks in {seconds:.0} s: {verdict}\n", all.len()));
        }
        Ok(u8::from(!failed.is_empty()))
    }
}

fn line(report: &CheckReport) -> String {
    let verdict = if report.passed { "ok  " } else { "FAIL" };
    match &report.fault {
        None => format!("{verdict}  {:<22} {} [{:.1} s]\n", report.name, report.measured, report.seconds),
        Some(fault) => {
            let found = if report.passed { "found" } else { "NOT FOUND" };
            format!("{verdict}    fault {found}: {fault}: {} [{:.1} s]\n", report.measured, report.seconds)
        }
    }
}
