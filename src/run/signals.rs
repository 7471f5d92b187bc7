//! SIGTERM, SIGINT, SIGUSR1 and SIGUSR2 all mean: finish the step, write snapshots, exit 75. A second SIGINT quits at once.

use std::sync::atomic::AtomicBool;
use std::sync::Arc;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::flag;

/// Set by the first signal.
pub fn stop_flag() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let interrupted = Arc::new(AtomicBool::new(false));
    // In this order: the second SIGINT finds the flag that the first one left.
    flag::register_conditional_shutdown(SIGINT, 130, interrupted.clone()).context("cannot listen to SIGINT")?;
    flag::register(SIGINT, interrupted).context("cannot listen to SIGINT")?;
    for signal in [SIGTERM, SIGINT, SIGUSR1, SIGUSR2] {
        flag::register(signal, stop.clone()).with_context(|| format!("cannot listen to signal {signal}"))?;
    }
    Ok(stop)
}
