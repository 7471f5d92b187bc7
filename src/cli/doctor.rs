//! `doctor`: shows what this machine and this build support.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::{bytes, print};
use crate::config::network::DataName;
use crate::data::{find, search_path};
use crate::run::engine;
use crate::store::{commit, free_bytes, program};

/// Show versions, libtorch, devices, threads, data sets and disk
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  transfergrid doctor --json")]
pub struct DoctorArgs {
    /// Search for data sets in this folder first
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Results folder whose disk is checked
    #[arg(long, default_value = "logs", value_name = "FOLDER")]
    out: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl DoctorArgs {
    pub fn run(self) -> Result<u8> {
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
        if self.json {
            let found: serde_json::Map<_, _> = data.iter().map(|(name, place)| (name.to_string(), json!(place))).collect();
            let text = json!({"program": program(), "commit": commit(), "torch": torch, "threads": threads, "data": found, "free_bytes": free, "auto_device": engine::auto_device()});
            print(&format!("{text:#}\n"));
            return Ok(0);
        }
        let mut out = format!("program   {} (commit {})\n", program(), commit());
        out.push_str(&format!("libtorch  {}{}\n", torch.libtorch, torch.folder.map_or(String::new(), |folder| format!(" in {folder}"))));
        out.push_str(&format!("CUDA      {}\n", torch.cuda));
        out.push_str(&format!("device    --device auto takes {}\n", engine::auto_device()));
        out.push_str(&format!("threads   {threads}\n"));
        for (i, (name, place)) in data.iter().enumerate() {
            let place = place.clone().unwrap_or_else(|| format!("not here (transfergrid data fetch {name})"));
            out.push_str(&format!("{:<9} {name:<8} {place}\n", if i == 0 { "data" } else { "" }));
        }
        out.push_str(&format!("disk      {} free for {}\n", free.map_or("unknown".into(), |n| bytes(n as f64)), self.out.display()));
        print(&out);
        Ok(0)
    }
}
