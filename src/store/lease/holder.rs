//! Who holds a lease, and whether that process lives.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};

use crate::store::manifest::{host, now};

/// Who holds a lease: its first line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    pub host: String,
    pub process: u32,
    /// Tells this machine from others of its name, and this boot from others.
    pub(super) boot: String,
    /// Process numbers mean something within their namespace (a container's, say) only.
    namespace: u64,
    /// When the process started, in the kernel's ticks: numbers are used again.
    pub(super) ticks: u64,
    /// Seconds since 1970; for people.
    pub since: f64,
    /// The records file, without its ending.
    pub records: String,
    /// Which version of the study it works on: a hash of that.
    #[serde(default)]
    pub study: String,
}

impl Holder {
    pub(super) fn this(records: String, study: String) -> Holder {
        let number = std::process::id();
        let ticks = if let Process::Started(ticks) = process(number) { ticks } else { 0 };
        Holder { host: host(), process: number, boot: boot(), namespace: namespace(), ticks, since: now(), records, study }
    }

    /// Whether it works on this version of a study; a holder that did not say so does.
    pub(super) fn is_of(&self, study: &str) -> bool {
        self.study.is_empty() || self.study == study
    }

    /// Whether its process lives; none where that cannot be known from here.
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

/// What can be seen of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Process {
    /// In the kernel's ticks since its start.
    Started(u64),
    Ended,
    /// It may be another user's, on a system that hides those.
    Hidden,
}

fn process(number: u32) -> Process {
    let fields = || -> Option<Process> {
        let stat = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        // A zombie has ended, too.
        Some(if ["Z", "X"].contains(fields.first()?) { Process::Ended } else { Process::Started(fields.get(19)?.parse().ok()?) })
    };
    fields().unwrap_or_else(|| {
        // 0 and what is negative would ask for groups of processes.
        let Some(process) = i32::try_from(number).ok().filter(|process| *process > 0) else { return Process::Hidden };
        // SAFETY: signal 0 only asks.
        let gone = unsafe { libc::kill(process, 0) } != 0 && io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH);
        if gone {
            Process::Ended
        } else {
            Process::Hidden
        }
    })
}
