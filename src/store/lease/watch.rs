//! Watching a lease that someone else holds, until it is known what becomes of it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::file::Seen;
use super::{Holder, Lease, OnConflict};

/// What became of a lease that someone had.
pub enum LeaseState {
    /// Released, or its holder (if known) is dead.
    Free(Option<Holder>),
    /// Its counter stood still.
    Stale(Seen),
    Lives(Seen),
    /// The file is no more: another process took it over.
    Gone,
}

/// A lease that is being watched, until its fate is known.
pub struct LeaseWatch {
    pub path: PathBuf,
    /// For how long its counter has stood still. Time in which this process could not look (a server that did not answer, say) is no silence.
    silence: Duration,
    looked: Instant,
    before: Option<Seen>,
    told: bool,
}

impl LeaseWatch {
    pub fn new(path: PathBuf) -> LeaseWatch {
        LeaseWatch { path, silence: Duration::ZERO, looked: Instant::now(), before: None, told: false }
    }

    /// One look; its fate, if that is known by now. Says once, through `waits`, that there is something to wait for.
    pub fn look(&mut self, on_conflict: OnConflict, waits: &dyn Fn(&Seen)) -> Result<Option<LeaseState>> {
        let seen = Seen::read(&self.path).with_context(|| format!("cannot read {}", self.path.display()))?;
        let Some(seen) = seen else { return Ok(Some(LeaseState::Gone)) };
        if seen.is_free() {
            return Ok(Some(LeaseState::Free(seen.holder)));
        }
        let beats = self.before.as_ref().is_some_and(|before| *before != seen);
        // A process that is known to live need not be watched; one that has been stopped is stale all the same when it is waited for.
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

/// Watches one lease until its fate is known; none where `stop` was set.
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
