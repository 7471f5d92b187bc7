//! One sweep at a time in a study's folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::time::Duration;

use anyhow::{bail, Context, Result};

use super::Folder;

/// Held while this process sweeps; the operating system lets go when it dies.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code)] File);

impl Lock {
    /// Whether some process holds it now. Asking holds it, shared, for an instant: `take` waits that long.
    pub fn is_held(folder: &Folder) -> bool {
        let file = File::open(folder.0.join("study.lock"));
        file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Takes the lock, or says who holds it.
    pub fn take(folder: &Folder) -> Result<Lock> {
        let path = folder.0.join("study.lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        // A report that asks whether someone sweeps must not be taken for a sweep.
        let mut tried = file.try_lock();
        for _ in 0..5 {
            if matches!(tried, Err(TryLockError::WouldBlock)) {
                std::thread::sleep(Duration::from_millis(20));
                tried = file.try_lock();
            }
        }
        match tried {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder); // only to name the holder; without it the refusal stands
                bail!(
                    "another process is working in {} ({})\n  hint: wait for it, stop it, or give this one another --out",
                    folder.0.display(),
                    holder.trim()
                );
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(|| format!("cannot lock {}", path.display())),
        }
        let text = format!("process {} on {}\n", std::process::id(), super::manifest::host());
        file.set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| file.write_all(text.as_bytes()))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Lock(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_and_a_report_that_asks_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Folder(folder.path().to_path_buf());
        assert!(!Lock::is_held(&folder), "no file yet");
        let lock = Lock::take(&folder).unwrap();
        assert!(Lock::is_held(&folder));
        assert!(Lock::take(&folder).unwrap_err().to_string().contains("another process is working in"));
        drop(lock);
        assert!(!Lock::is_held(&folder));
        // A report that asks, slowed down.
        let asking = File::open(folder.0.join("study.lock")).unwrap();
        asking.lock_shared().unwrap();
        let asked = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(30));
            drop(asking);
        });
        assert!(Lock::take(&folder).is_ok());
        asked.join().unwrap();
    }
}
