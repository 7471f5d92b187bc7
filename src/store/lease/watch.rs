//! Watches a lease of another process until its state is known.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::file::Seen;
use super::{Holder, Lease, OnConflict};

/// The state of a lease of another process.
pub enum LeaseState {
    /// Released, or its holder is known to have exited.
    Free(Option<Holder>),
    /// Its counter has not changed for [`Lease::SECONDS`].
    Stale(Seen),
    Lives(Seen),
    /// The file no longer exists, because another process took the lease over.
    Gone,
}

/// A lease that is watched until its state is known.
pub struct LeaseWatch {
    pub path: PathBuf,
    /// How long the counter has not changed. Time in which this process could not check, for
    /// example because a server did not answer, does not count.
    silence: Duration,
    looked: Instant,
    before: Option<Seen>,
    told: bool,
}

impl LeaseWatch {
    pub fn new(path: PathBuf) -> LeaseWatch {
        LeaseWatch { path, silence: Duration::ZERO, looked: Instant::now(), before: None, told: false }
    }

    /// Checks the lease once and returns its state if that is now known. Calls `waits` once if
    /// there is something to wait for.
    pub fn look(&mut self, on_conflict: OnConflict, waits: &dyn Fn(&Seen)) -> Result<Option<LeaseState>> {
        let seen = Seen::read(&self.path).with_context(|| format!("cannot read {}", self.path.display()))?;
        let Some(seen) = seen else { return Ok(Some(LeaseState::Gone)) };
        if seen.is_free() {
            return Ok(Some(LeaseState::Free(seen.holder)));
        }
        let beats = self.before.as_ref().is_some_and(|before| *before != seen);
        // With [`OnConflict::Refuse`], a process that is known to run need not be watched. With
        // [`OnConflict::Wait`], the lease of a suspended process becomes stale nevertheless.
        let lives = beats || seen.holder.as_ref().and_then(Holder::lives) == Some(true);
        if on_conflict == OnConflict::Refuse && lives {
            return Ok(Some(LeaseState::Lives(seen)));
        }
        self.silence += self.looked.elapsed().min(4 * Lease::LOOK);
        self.looked = Instant::now();
        if !self.told && (on_conflict == OnConflict::Wait || self.silence > Duration::from_secs(1)) {
            waits(&seen);
            self.told = true;
        }
        if beats || self.before.is_none() {
            self.silence = Duration::ZERO;
        }
        if self.silence > Duration::from_secs(Lease::SECONDS) {
            return Ok(Some(LeaseState::Stale(seen)));
        }
        self.before = Some(seen);
        Ok(None)
    }
}

/// Watches one lease until its state is known. None if `stop` was set.
pub fn wait_for_lease(path: &Path, on_conflict: OnConflict, stop: &AtomicBool, waits: &dyn Fn(&Seen)) -> Result<Option<LeaseState>> {
    let mut watch = LeaseWatch::new(path.into());
    loop {
        let state = watch.look(on_conflict, waits)?;
        if state.is_some() || stop.load(Ordering::SeqCst) {
            return Ok(state);
        }
        std::thread::sleep(Lease::LOOK);
    }
}
