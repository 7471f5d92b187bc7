//! `bench`: measures how fast this machine trains a study, and what limits the speed.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::{print, StudyArgs};
use crate::data::search_path;
use crate::plan::Plan;
use crate::run::engine::benchmark::{BatchingBenchmark, BenchOptions, Benchmark};
use crate::run::engine::{self, EngineOptions};
use crate::store::Folder;

const EXAMPLES: &str = "\
Examples:
  transfergrid bench experiments/cifar10.yaml
  transfergrid bench experiments/mnist.yaml --packs 1,4,16,64 --json
  transfergrid bench experiments/cifar10.yaml --device cuda:0 --set precision=bf16";

/// Measure training speed: images per second, pack size, where the time goes, and the distance to
/// the hardware's limit. Trains for a few seconds and keeps no results
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct BenchArgs {
    #[command(flatten)]
    study: StudyArgs,
    /// auto (CUDA if available), cpu, cuda:N, or several: cuda:0,cuda:1
    #[arg(long, default_value = "auto")]
    device: String,
    /// Packs trained in parallel [default: one per core on CPU, one per device on CUDA]
    #[arg(long, value_name = "N", value_parser = super::sweep::at_least_one)]
    workers: Option<usize>,
    /// Models in one graph [default: 1 on CPU; on CUDA the fastest number, measured first]
    #[arg(long, value_name = "K", value_parser = super::sweep::at_least_one)]
    pack: Option<usize>,
    /// Other pack sizes to try
    #[arg(long, value_name = "K,K…", value_delimiter = ',', value_parser = super::sweep::at_least_one)]
    packs: Vec<usize>,
    /// Seconds of training for each measurement
    #[arg(long, default_value_t = 3.0, value_name = "S", value_parser = some_seconds)]
    seconds: f64,
    /// Folder that contains the study's folder, in which measurements of the device
    /// (calibration.json) are kept
    #[arg(long, default_value = "logs", value_name = "FOLDER")]
    out: PathBuf,
    /// Search for data sets in this folder first
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn some_seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=600.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds from 0.1 to 600".into()),
    }
}

impl BenchArgs {
    pub fn run(self) -> Result<u8> {
        let study = self.study.load()?;
        let plan = Plan::new(&study)?;
        let choice = EngineOptions { mock: None, device: self.device, workers: self.workers, pack: self.pack };
        let measured = Folder(self.out.join(&study.name)).calibration();
        let settings = BenchOptions { seconds: self.seconds, packs: self.packs };
        let benchmark = engine::bench(&choice, &plan, &search_path(self.data.as_deref()), measured, &settings)?;
        if self.json {
            print(&format!("{}\n", serde_json::to_string_pretty(&benchmark)?));
        } else {
            print(&text(&benchmark));
        }
        Ok(0)
    }
}

fn text(b: &Benchmark) -> String {
    let mut out =
        format!("{} ({}), libtorch {}, {} worker{}\n", b.device, b.hardware, b.libtorch, b.workers, if b.workers == 1 { "" } else { "s" });
    out.push_str(&format!("copies, all workers at once: {} bytes/s\n", si(b.copy_bytes)));
    b.tasks.iter().for_each(|task| out.push_str(&section(task)));
    out
}

fn section(t: &BatchingBenchmark) -> String {
    let row = |name: &str, value: String| format!("  {name:<20} {value}\n");
    let mut out = format!("\n{} ({} stages), batches of {}, {}\n", t.kind.as_str(), t.stages, t.batch, t.precision);
    out.push_str(&row("images/s", si(t.images_per_second)));
    out.push_str(&row("model-steps/s", si(t.model_steps_per_second)));
    out.push_str(&row("models in a pack", t.pack.to_string()));
    for (pack, images) in &t.other_packs {
        let images = images.map_or("does not fit into memory".into(), |images| format!("{} images/s", si(images)));
        out.push_str(&row(&format!("  packs of {pack}"), images));
    }
    let busy = t.busy.map_or("not known on CUDA (see nvidia-smi)".into(), |busy| format!("{:.0}%", 100.0 * busy));
    out.push_str(&row("workers computing", busy));
    for layer in &t.convolutions {
        let ways: Vec<String> = layer.milliseconds.iter().map(|(way, ms)| format!("{way} {ms:.2} ms")).collect();
        out.push_str(&row("convolution", format!("{}: {} ({})", layer.shape, layer.chosen, ways.join(", "))));
    }
    out.push_str(&row("matrix products", format!("{} operations/s, all workers at once", si(t.matmul_flops))));
    let floors = format!(
        "{} images/s by operations ({} an image), {} by bytes ({} an image)",
        si(t.floor_by_flops),
        si(t.flops_per_image),
        si(t.floor_by_bytes),
        si(t.bytes_per_image)
    );
    out.push_str(&row("upper bounds", floors));
    out.push_str(&row("share reached", format!("{:.0}%", 100.0 * t.share_of_floor)));
    let total: f64 = t.profile.iter().map(|operation| operation.microseconds_per_step).sum();
    out.push_str(&format!("  a step of one worker: {total:.0} µs in\n"));
    for operation in t.profile.iter().take(12) {
        let (share, micros) = (100.0 * operation.microseconds_per_step / total, operation.microseconds_per_step);
        out.push_str(&format!("    {share:>4.1}% {micros:>9.1} µs {:>5.1} calls  {}\n", operation.calls_per_step, operation.name));
    }
    out
}

/// A number with an SI prefix, for example `12.3 k` or `4.56 M`.
fn si(x: f64) -> String {
    for (unit, name) in [(1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")] {
        if x >= unit {
            return format!("{:.3}{name}", x / unit);
        }
    }
    format!("{x:.1}")
}
