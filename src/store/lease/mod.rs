//! Leases: they ensure that each writer of records in a study's folder is one process.
//!
//! A lease is a file `leases/<writer>/<n>` that only one process can create. It is created by a
//! hard link or with `O_EXCL`, which network file systems support. No advisory locks are used. The
//! holder overwrites the second line, a counter, every few seconds.
//!
//! Another process takes a lease over if the holder's process is known to have exited, or if the
//! counter has not changed for [`Lease::SECONDS`]. The waiting process measures this duration
//! itself, so clocks that jump or differ do not matter. It takes over by creating number n + 1 and
//! removing n.
//!
//! The former holder may still be running. Its machine may have been suspended, or may have lost
//! the network for a while. Before its next write it finds that its file is gone, and stops. It
//! never appends to the same file as its successor: if the state of the old holder is unknown, the
//! new lease names a new records file.

mod file;
mod holder;
mod watch;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{bail, Context, Result};

use super::Folder;
use file::{create, latest, numbers, writers, LeaseLine, Seen};
pub use holder::Holder;
use watch::{wait_for_lease, LeaseState, LeaseWatch};

/// This process no longer holds its lease, because another process has taken over the work.
#[derive(Debug, thiserror::Error)]
#[error("another process has taken over the work of `{writer}` in {folder}{by}, because this process had stopped renewing its lease, or its lease was damaged: this process writes nothing more; the other one continues")]
pub struct LeaseLost {
    writer: String,
    folder: String,
    by: String,
}

/// What to do if another process holds the lease and is running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnConflict {
    Refuse,
    /// Waits until the lease is free or a stop is requested.
    Wait,
}

/// A lease's data, shared by its holder and the heartbeat thread.
#[derive(Debug)]
struct UnpublishedLease {
    folder: Folder,
    writer: String,
    file: File,
    path: PathBuf,
    holder: Holder,
    /// The first line, as this process wrote it.
    line: String,
}

impl UnpublishedLease {
    /// Writes to the open file. If the lease has been taken over, its path may belong to another
    /// process.
    fn write(&self, state: LeaseLine) -> io::Result<()> {
        self.file.write_all_at(state.line().as_bytes(), self.line.len() as u64)?;
        self.file.sync_data()
    }

    fn check(&self) -> Result<()> {
        let seen = Seen::read(&self.path).with_context(|| format!("cannot read {}", self.path.display()))?;
        if seen.is_some_and(|seen| seen.bytes.starts_with(self.line.as_bytes())) {
            return Ok(());
        }
        let by =
            latest_seen(&self.folder, &self.writer).and_then(|seen| seen.holder).map_or(String::new(), |holder| format!(" ({holder})"));
        Err(LeaseLost { writer: self.writer.clone(), folder: self.folder.0.display().to_string(), by }.into())
    }
}

/// A lease. It is held until this value is dropped.
#[derive(Debug)]
pub struct Lease {
    claim: Arc<UnpublishedLease>,
    /// The sender, which ends the heartbeat when it is dropped, and the heartbeat's thread.
    beating: Option<(mpsc::Sender<()>, std::thread::JoinHandle<()>)>,
}

impl Lease {
    /// A lease whose counter has not changed for this long is stale. Shorter in unit tests, which
    /// wait for it; the tests of faults wait for the real one.
    pub const SECONDS: u64 = if cfg!(test) { 5 } else { 30 };
    const BEAT: Duration = Duration::from_millis(if cfg!(test) { 500 } else { 5000 });
    /// How often a waiting process checks the lease.
    const LOOK: Duration = Duration::from_millis(250);

    /// Takes the lease of `writer` to run the version of the study whose hash is `study`. Calls
    /// `tell` with a message about what it waits for.
    ///
    /// Returns None if `stop` was set during the wait. Once the lease is taken, `stop` is set if
    /// the lease is lost.
    ///
    /// # Errors
    /// - With [`OnConflict::Refuse`], a running process holds the lease.
    /// - A running process in the folder runs another version of the study.
    /// - A running process in the folder divides the work differently: the whole study instead of
    ///   shards, or another number of shards.
    pub fn take(
        folder: &Folder,
        writer: &str,
        study: &str,
        on_conflict: OnConflict,
        stop: &Arc<AtomicBool>,
        tell: &dyn Fn(&str),
    ) -> Result<Option<Lease>> {
        let place = folder.leases().join(writer);
        fs::create_dir_all(&place).with_context(|| format!("cannot make the folder {}", place.display()))?;
        let Some(claim) = claim(folder, writer, study, on_conflict, stop, tell)? else { return Ok(None) };
        let lease = Lease::beating(claim, stop)?;
        // This check follows the taking of the lease. Of two processes that start at the same time,
        // at least one then finds the other. All other leases are watched at the same time.
        let others: Vec<String> = writers(folder).into_iter().filter(|other| conflict(writer, other)).collect();
        if let Some(other) = clear(folder, others, stop, tell)? {
            if stop.load(Ordering::SeqCst) {
                return Ok(None);
            }
            bail!(
                "another process is working in {} as `{other}` ({}), this one would be `{writer}`: their shares of the work overlap\n  \
                 hint: wait for it, stop it, or give this one another --out",
                folder.0.display(),
                latest_seen(folder, &other).map_or("unknown".into(), |seen| seen.who())
            );
        }
        let differs = |holder: &Holder| !holder.is_of(study);
        let others = occupants(folder).into_iter().filter(|other| other.works && other.writer != writer);
        if let Some(holder) = others.filter_map(|other| other.holder).find(differs) {
            bail!(
                "{holder} sweeps {} as another version of this study (see its study.yaml)\n  \
                 hint: wait until it is done, or give this version another --out",
                folder.0.display()
            );
        }
        Ok(Some(lease))
    }

    /// The name of the holder's records file.
    pub fn records(&self) -> &str {
        &self.claim.holder.records
    }

    /// Checks that the lease is still held. Must be called before each write.
    ///
    /// # Errors
    /// [`LeaseLost`].
    pub fn check(&self) -> Result<()> {
        self.claim.check()
    }

    /// Increments the counter in a separate thread until the lease is dropped or lost.
    ///
    /// # Errors
    /// The system cannot start a thread.
    fn beating(claim: UnpublishedLease, stop: &Arc<AtomicBool>) -> Result<Lease> {
        let (end, ended) = mpsc::channel::<()>();
        let claim = Arc::new(claim);
        let (own, stop) = (claim.clone(), stop.clone());
        let beat = move || {
            for count in 1.. {
                if ended.recv_timeout(Lease::BEAT) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                let _ = own.write(LeaseLine::Beat(count)); // retried at the next beat; meanwhile others may take over
                if own.check().is_err_and(|error| error.is::<LeaseLost>()) {
                    stop.store(true, Ordering::SeqCst);
                    return;
                }
            }
        };
        let mut lease = Lease { claim, beating: None }; // released when dropped
        let thread = std::thread::Builder::new().name("lease".into()).spawn(beat);
        lease.beating = Some((end, thread.context("could not start a thread for the lease's heartbeat")?));
        Ok(lease)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.beating.take() {
            drop(end);
            let _ = thread.join(); // a heartbeat that panicked has stopped, too
        }
        let _ = self.claim.write(LeaseLine::Released); // if this fails, others find an exited holder or a stale lease
    }
}

/// Creates the next lease of a writer as soon as the previous one is free or stale. None if `stop`
/// was set.
fn claim(
    folder: &Folder,
    writer: &str,
    study: &str,
    on_conflict: OnConflict,
    stop: &AtomicBool,
    tell: &dyn Fn(&str),
) -> Result<Option<UnpublishedLease>> {
    let place = folder.leases().join(writer);
    for attempt in 0.. {
        if attempt > 0 {
            std::thread::sleep(Lease::LOOK); // another process was faster; a signal also ends the sleep
            if stop.load(Ordering::SeqCst) {
                break;
            }
        }
        let known = latest(&place);
        let mut records = writer.to_string();
        if let Some((number, path)) = &known {
            let told = |seen: &Seen| tell(&(waiting(writer, seen) + if seen.is_of(study) { "" } else { ANOTHER_VERSION }));
            let Some(state) = wait_for_lease(path, on_conflict, stop, &told)? else { return Ok(None) };
            match state {
                LeaseState::Lives(seen) => bail!(
                    "another process is working in {} ({})\n  hint: wait for it, stop it, or give this one another --out",
                    folder.0.display(),
                    seen.who()
                ),
                LeaseState::Gone => continue,
                LeaseState::Free(holder) => records = holder.map_or(records, |holder| holder.records),
                LeaseState::Stale(seen) => {
                    tell(&format!("{} has not renewed its lease for {} s: its work is taken over", seen.who(), Lease::SECONDS));
                    records = format!("{writer}-{}", number + 1);
                }
            }
        }
        let number = known.map_or(1, |(number, _)| number + 1);
        if let Some(claim) = try_claim(folder, writer, number, Holder::this(records, study.into()))? {
            return Ok(Some(claim));
        }
    }
    Ok(None)
}

/// Creates lease `number`. None if another process was faster.
fn try_claim(folder: &Folder, writer: &str, number: u64, holder: Holder) -> Result<Option<UnpublishedLease>> {
    let place = folder.leases().join(writer);
    let path = place.join(number.to_string());
    let line = serde_json::to_string(&holder).context("a lease could not be written as JSON")? + "\n";
    let text = line.clone() + &LeaseLine::Beat(0).line();
    let file = match create(&path, text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
        other => other.with_context(|| format!("cannot write {}", path.display()))?,
    };
    // A slow process may create a number that others have already passed.
    if latest(&place).is_some_and(|(latest, _)| latest > number) {
        let _ = fs::remove_file(&path);
        return Ok(None);
    }
    for (old, path) in numbers(&place).into_iter().filter(|(old, _)| *old < number) {
        super::remove(&path).with_context(|| format!("the lease {old} of `{writer}` cannot be removed"))?;
    }
    Ok(Some(UnpublishedLease { folder: folder.clone(), writer: writer.into(), file, path, holder, line }))
}

const ANOTHER_VERSION: &str = "\n  note: it works on another version of this study; this process will continue with its own version";

fn waiting(writer: &str, seen: &Seen) -> String {
    format!(
        "waiting: {} holds `{writer}`; its work is taken over when it exits, or does not renew its lease for {} s",
        seen.who(),
        Lease::SECONDS
    )
}

/// Waits until none of these writers' leases is held, and ends the stale ones. All leases are
/// watched at the same time.
///
/// Returns a writer whose holder is running. If `stop` was set, returns a writer whose state is not
/// yet known.
fn clear(folder: &Folder, writers: Vec<String>, stop: &AtomicBool, tell: &dyn Fn(&str)) -> Result<Option<String>> {
    let mut watched: Vec<(String, Option<(u64, LeaseWatch)>)> = writers.into_iter().map(|writer| (writer, None)).collect();
    loop {
        let mut left = vec![];
        for (writer, watch) in watched {
            let watch = watch.or_else(|| latest(&folder.leases().join(&writer)).map(|(number, path)| (number, LeaseWatch::new(path))));
            let Some((number, mut watch)) = watch else { continue };
            match watch.look(OnConflict::Refuse, &|seen| tell(&waiting(&writer, seen)))? {
                Some(LeaseState::Free(_)) => {}
                Some(LeaseState::Lives(_)) => return Ok(Some(writer)),
                Some(LeaseState::Gone) => left.push((writer, None)),
                Some(LeaseState::Stale(_)) => {
                    retire(&watch.path, number, &writer)?;
                    left.push((writer, None));
                }
                None => left.push((writer, Some((number, watch)))),
            }
        }
        let Some((first, _)) = left.first() else { return Ok(None) };
        if stop.load(Ordering::SeqCst) {
            return Ok(Some(first.clone()));
        }
        // The pause grows with the number of leases. A thousand shards that wait for a thousand
        // others must not overload the file server.
        std::thread::sleep((Lease::LOOK * left.len() as u32 / 50).clamp(Lease::LOOK, 4 * Lease::LOOK));
        watched = left;
    }
}

/// Ends a stale lease by creating a successor that is already released. If the old holder is still
/// running, it finds its lease lost. The next holder writes to another records file.
fn retire(path: &Path, number: u64, writer: &str) -> Result<()> {
    let holder = Holder::this(format!("{writer}-{}", number + 1), String::new());
    let text = serde_json::to_string(&holder).context("a lease could not be written as JSON")? + "\n" + &LeaseLine::Released.line();
    match create(&path.with_file_name((number + 1).to_string()), text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()), // another process was faster
        Err(error) => Err(error).with_context(|| format!("cannot write beside {}", path.display())),
        Ok(_) => super::remove(path),
    }
}

/// Whether two writers would do the same work: the whole study and a shard, or shards of different
/// divisions.
fn conflict(one: &str, other: &str) -> bool {
    let division = |writer: &str| writer.rsplit_once("-of-").map(|(_, count)| count.to_string());
    one != other && division(one) != division(other)
}

fn latest_seen(folder: &Folder, writer: &str) -> Option<Seen> {
    Seen::read(&latest(&folder.leases().join(writer))?.1).ok()?
}

/// A writer of records, as described by its lease file. Reading it does not wait.
#[derive(Debug, Clone)]
pub struct Occupant {
    pub writer: String,
    /// None where the file cannot be read.
    pub holder: Option<Holder>,
    /// Whether the writer seems to be running. This is taken from its process if that is visible.
    /// Otherwise it depends on the age of the last heartbeat, by this machine's clock and the
    /// file's time.
    pub works: bool,
    /// Time of the last heartbeat.
    pub seen: std::time::SystemTime,
}

/// All writers that have worked in this folder, running or not.
pub fn occupants(folder: &Folder) -> Vec<Occupant> {
    let of = |writer: String| -> Option<Occupant> {
        let (_, path) = latest(&folder.leases().join(&writer))?;
        let seen = fs::metadata(&path).ok()?.modified().ok()?;
        let lease = Seen::read(&path).ok()??;
        let age = seen.elapsed().unwrap_or_default(); // a heartbeat in the future counts as new
        let fresh = age < Duration::from_secs(Lease::SECONDS);
        let works = lease.state != Some(LeaseLine::Released) && lease.holder.as_ref().and_then(Holder::lives).unwrap_or(fresh);
        Some(Occupant { writer, holder: lease.holder, works, seen })
    };
    writers(folder).into_iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn take(folder: &Folder, writer: &str, on_conflict: OnConflict) -> Result<Option<Lease>> {
        Lease::take(folder, writer, "a study", on_conflict, &Arc::default(), &|_| {})
    }

    fn folder() -> (tempfile::TempDir, Folder) {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder(temporary.path().to_path_buf());
        (temporary, folder)
    }

    #[test]
    fn one_holds_it_and_what_is_released_is_continued() {
        let (_temporary, folder) = folder();
        let lease = take(&folder, "main", OnConflict::Refuse).unwrap().unwrap();
        lease.check().unwrap();
        let refused = take(&folder, "main", OnConflict::Refuse).unwrap_err().to_string();
        assert!(refused.contains("another process is working in") && refused.contains(&format!("process {}", std::process::id())));
        assert!(occupants(&folder)[0].works);
        drop(lease);
        assert!(!occupants(&folder)[0].works);
        let again = take(&folder, "main", OnConflict::Refuse).unwrap().unwrap();
        assert_eq!(again.records(), "main");
        assert_eq!(numbers(&folder.leases().join("main")).len(), 1, "old numbers are removed");
    }

    #[test]
    fn shares_that_overlap_are_refused_and_others_are_not() {
        let (_temporary, folder) = folder();
        let shard = take(&folder, "shard-0-of-4", OnConflict::Wait).unwrap().unwrap();
        let neighbour = take(&folder, "shard-1-of-4", OnConflict::Wait).unwrap().unwrap();
        for other in ["main", "shard-0-of-8"] {
            let refused = take(&folder, other, OnConflict::Wait).unwrap_err().to_string();
            assert!(refused.contains("their shares of the work overlap"), "{refused}");
        }
        drop((shard, neighbour));
        assert!(take(&folder, "main", OnConflict::Wait).unwrap().is_some());
    }

    /// Writes a lease as a process on another machine, or one that has exited, would leave it.
    fn leave(folder: &Folder, writer: &str, change: impl Fn(&mut Holder)) {
        let place = folder.leases().join(writer);
        fs::create_dir_all(&place).unwrap();
        let mut holder = Holder::this(writer.into(), "a study".into());
        change(&mut holder);
        let text = serde_json::to_string(&holder).unwrap() + "\n" + &LeaseLine::Beat(7).line();
        fs::write(place.join("3"), text).unwrap();
    }

    #[test]
    fn the_dead_are_known_at_once_and_their_file_is_continued() {
        let (_temporary, folder) = folder();
        leave(&folder, "main", |holder| holder.ticks += 1); // the process number now belongs to another process
        let started = Instant::now();
        let lease = take(&folder, "main", OnConflict::Refuse).unwrap().unwrap();
        assert!(started.elapsed() < Duration::from_secs(5));
        assert_eq!((lease.records(), lease.claim.path.file_name().unwrap().to_str()), ("main", Some("4")));
        // The same for a lease of another division.
        leave(&folder, "shard-0-of-2", |holder| holder.ticks += 1);
        drop(lease);
        assert!(take(&folder, "main", OnConflict::Refuse).unwrap().is_some());
    }

    #[test]
    fn whoever_is_silent_for_long_is_followed_and_notices() {
        let (_temporary, folder) = folder();
        leave(&folder, "main", |holder| holder.boot = "another machine".into());
        let started = Instant::now();
        let said = std::cell::RefCell::new(vec![]);
        let lease =
            Lease::take(&folder, "main", "a study", OnConflict::Refuse, &Arc::default(), &|text| said.borrow_mut().push(text.to_string()));
        let lease = lease.unwrap().unwrap();
        assert!(started.elapsed() >= Duration::from_secs(Lease::SECONDS));
        assert_eq!(lease.records(), "main-4", "the other one may yet write to its own");
        let said = said.into_inner();
        assert!(said[0].starts_with("waiting: process") && said[1].contains("its work is taken over"), "{said:?}");
        // This lease can be lost in the same way.
        let place = folder.leases().join("main");
        fs::remove_file(place.join("4")).unwrap();
        let lost = lease.check().unwrap_err();
        assert!(lost.is::<LeaseLost>(), "{lost}");
    }

    #[test]
    fn two_versions_of_a_study_do_not_share_a_folder() {
        let (_temporary, folder) = folder();
        let _first = take(&folder, "shard-0-of-2", OnConflict::Wait).unwrap().unwrap();
        let other = Lease::take(&folder, "shard-1-of-2", "another", OnConflict::Wait, &Arc::default(), &|_| {}).unwrap_err().to_string();
        assert!(other.contains("as another version of this study"), "{other}");
        assert!(take(&folder, "shard-1-of-2", OnConflict::Wait).unwrap().is_some());
    }

    #[test]
    fn many_silent_ones_are_outlasted_together() {
        let (_temporary, folder) = folder();
        for index in 0..300 {
            leave(&folder, &format!("shard-{index}-of-300"), |holder| holder.boot = "another machine".into());
        }
        let started = Instant::now();
        assert!(take(&folder, "shard-0-of-2", OnConflict::Wait).unwrap().is_some());
        assert!(started.elapsed() < Duration::from_secs(2 * Lease::SECONDS));
        assert!(occupants(&folder).iter().all(|occupant| !occupant.works), "all were ended");
    }

    #[test]
    fn a_stop_ends_the_wait() {
        let (_temporary, folder) = folder();
        leave(&folder, "shard-1-of-2", |holder| holder.boot = "another machine".into());
        let stop = Arc::new(AtomicBool::new(true));
        assert!(Lease::take(&folder, "shard-1-of-2", "a study", OnConflict::Wait, &stop, &|_| {}).unwrap().is_none());
    }

    #[test]
    fn damaged_leases_are_watched_like_others_and_stray_files_are_none() {
        for text in ["", "garbage", "{}\nbeat x\n", "\u{0}\u{0}"] {
            let (_temporary, folder) = folder();
            let place = folder.leases().join("main");
            fs::create_dir_all(&place).unwrap();
            fs::write(place.join("1"), text).unwrap();
            let stop = AtomicBool::new(true); // set from the start, so that the test does not wait
            assert!(wait_for_lease(&place.join("1"), OnConflict::Refuse, &stop, &|_| {}).unwrap().is_none(), "{text}");
        }
        let (_temporary, folder) = folder();
        fs::create_dir_all(folder.leases().join("main")).unwrap();
        fs::write(folder.leases().join("main").join(u64::MAX.to_string()), "x").unwrap();
        assert!(take(&folder, "main", OnConflict::Refuse).unwrap().is_some());
    }
}
