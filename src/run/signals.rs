//! After SIGTERM, SIGINT, SIGUSR1 or SIGUSR2, the process finishes the current step, writes
//! snapshots and exits with code 75. A second SIGINT exits immediately.

use std::sync::atomic::AtomicBool;
use std::sync::Arc;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::flag;

/// A flag that the first signal sets.
pub fn stop_flag() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let interrupted = Arc::new(AtomicBool::new(false));
    // The order matters: only the second SIGINT may find the flag that the first one has set.
    flag::register_conditional_shutdown(SIGINT, 130, interrupted.clone()).context("cannot install a handler for SIGINT")?;
    flag::register(SIGINT, interrupted).context("cannot install a handler for SIGINT")?;
    for signal in [SIGTERM, SIGINT, SIGUSR1, SIGUSR2] {
        flag::register(signal, stop.clone()).with_context(|| format!("cannot install a handler for signal {signal}"))?;
    }
    Ok(stop)
}
