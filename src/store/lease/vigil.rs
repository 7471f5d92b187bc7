//! Watching a lease that someone else holds, until it is known what becomes of it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::file::Seen;
use super::{Held, Holder, Lease};

/// What became of a lease that someone had.
pub enum Fate {
    /// Released, or its holder (if known) is dead.
    Free(Option<Holder>),
    /// Its counter stood still.
    Stale(Seen),
    Lives(Seen),
    /// The file is no more: another process took it over.
    Gone,
}

/// A lease that is being watched, until its fate is known.
pub struct Vigil {
    pub path: PathBuf,
    /// For how long its counter has stood still. Time in which this process could not look (a server that did not answer, say) is no silence.
    silence: Duration,
    looked: Instant,
    before: Option<Seen>,
    told: bool,
}

impl Vigil {
    pub fn new(path: PathBuf) -> Vigil {
        Vigil { path, silence: Duration::ZERO, looked: Instant::now(), before: None, told: false }
    }

    /// One look; its fate, if that is known by now. Says once, through `waits`, that there is something to wait for.
    pub fn look(&mut self, held: Held, waits: &dyn Fn(&Seen)) -> Result<Option<Fate>> {
        let seen = Seen::read(&self.path).with_context(|| format!("cannot read {}", self.path.display()))?;
        let Some(seen) = seen else { return Ok(Some(Fate::Gone)) };
        if seen.is_free() {
            return Ok(Some(Fate::Free(seen.holder)));
        }
        let beats = self.before.as_ref().is_some_and(|before| *before != seen);
        // A process that is known to live need not be watched; one that has been stopped is stale all the same when it is waited for.
        let lives = beats || seen.holder.as_ref().and_then(Holder::lives) == Some(true);
        if held == Held::Refuse && lives {
            return Ok(Some(Fate::Lives(seen)));
        }
        self.silence += self.looked.elapsed().min(4 * Lease::LOOK);
        self.looked = Instant::now();
        if !self.told && (held == Held::Wait || self.silence > Duration::from_secs(1)) {
            waits(&seen);
            self.told = true;
        }
        if beats || self.before.is_none() {
            self.silence = Duration::ZERO;
        }
        if self.silence > Duration::from_secs(Lease::SECONDS) {
            return Ok(Some(Fate::Stale(seen)));
        }
        self.before = Some(seen);
        Ok(None)
    }
}

/// Watches one lease until its fate is known; none where `stop` was set.
pub fn outlast(path: &Path, held: Held, stop: &AtomicBool, waits: &dyn Fn(&Seen)) -> Result<Option<Fate>> {
    let mut vigil = Vigil::new(path.into());
    loop {
        let fate = vigil.look(held, waits)?;
        if fate.is_some() || stop.load(Ordering::SeqCst) {
            return Ok(fate);
        }
        std::thread::sleep(Lease::LOOK);
    }
}
