//! The holder of a lease, and whether its process is running.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};

use crate::store::manifest::{host, now};

/// The holder of a lease, stored in the lease's first line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    pub host: String,
    pub process: u32,
    /// Identifies the machine and its current boot. Machines may share a host name.
    pub(super) boot: String,
    /// The PID namespace, for example a container's. Process numbers are unique only within it.
    namespace: u64,
    /// Start time of the process in the kernel's clock ticks. It is needed because process numbers
    /// are reused.
    pub(super) ticks: u64,
    /// Seconds since 1970, for display only.
    pub since: f64,
    /// The records file, without its extension.
    pub records: String,
    /// Hash of the version of the study that this process runs.
    #[serde(default)]
    pub study: String,
}

impl Holder {
    pub(super) fn this(records: String, study: String) -> Holder {
        let number = std::process::id();
        let ticks = if let Process::Started(ticks) = process(number) { ticks } else { 0 };
        Holder { host: host(), process: number, boot: boot(), namespace: namespace(), ticks, since: now(), records, study }
    }

    /// Whether this holder runs the given version of the study. True if the holder recorded no
    /// version.
    pub(super) fn is_of(&self, study: &str) -> bool {
        self.study.is_empty() || self.study == study
    }

    /// Whether the holder's process is running. None if that cannot be determined from this
    /// process.
    pub(super) fn lives(&self) -> Option<bool> {
        let near = self.boot == boot() && self.namespace == namespace() && !self.boot.is_empty();
        match process(self.process) {
            Process::Started(ticks) if near => Some(ticks == self.ticks),
            Process::Ended if near => Some(false),
            _ => None,
        }
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "process {} on {}", self.process, self.host)
    }
}

fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_string()
}

fn namespace() -> u64 {
    fs::metadata("/proc/self/ns/pid").map_or(0, |meta| meta.ino())
}

/// The state of a process, as far as it can be observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Process {
    /// Its start time, in clock ticks since the kernel started.
    Started(u64),
    Ended,
    /// Possibly another user's process, on a system that hides those.
    Hidden,
}

fn process(number: u32) -> Process {
    let fields = || -> Option<Process> {
        let stat = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        // A zombie has exited, too.
        Some(if ["Z", "X"].contains(fields.first()?) { Process::Ended } else { Process::Started(fields.get(19)?.parse().ok()?) })
    };
    fields().unwrap_or_else(|| {
        // For 0 and negative numbers, `kill` would address process groups.
        let Some(process) = i32::try_from(number).ok().filter(|process| *process > 0) else { return Process::Hidden };
        // SAFETY: signal 0 is not delivered; it only checks whether the process exists.
        let gone = unsafe { libc::kill(process, 0) } != 0 && io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH);
        if gone {
            Process::Ended
        } else {
            Process::Hidden
        }
    })
}
