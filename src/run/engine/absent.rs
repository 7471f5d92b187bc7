//! The engine of a build without libtorch. It only returns an error that says how to build with
//! libtorch.

use std::path::PathBuf;

use anyhow::{bail, Result};

use super::benchmark::{BenchOptions, Benchmark};
use super::proof::{CheckReport, ProofOptions};
use super::{Bf16Speed, Description, Engine, EngineOptions};
use crate::data::Roots;
use crate::plan::Plan;

const WHAT: &str = "this transfergrid was built without libtorch, so it cannot train networks\n  hint: build it with `make build` (default features), or try the orchestration with --engine mock";

pub fn open(_: &EngineOptions, _: &Plan, _: &Roots, _: PathBuf) -> Result<Box<dyn Engine>> {
    bail!(WHAT)
}

pub fn bench(_: &EngineOptions, _: &Plan, _: &Roots, _: PathBuf, _: &BenchOptions) -> Result<Benchmark> {
    bail!(WHAT)
}

pub fn prove(_: &ProofOptions, _: &mut dyn FnMut(&CheckReport)) -> Result<()> {
    bail!(WHAT)
}

pub fn auto_device() -> Result<String> {
    Ok("cpu".into())
}

pub fn bf16_speed() -> Option<Bf16Speed> {
    None
}

pub fn describe() -> Description {
    Description { libtorch: "not built in".into(), folder: None, cuda_devices: 0, cuda: "not built in".into() }
}
