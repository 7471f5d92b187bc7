//! How the answer of `sweep --until settled` was reached.

use super::answer::Verdict;
use super::metric::Metric;
use crate::base::interval::Interval;
use crate::config::Aim;

/// The rounds of a study.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    pub settled: bool,
    pub rounds: Vec<RoundRow>,
    /// Seconds of training and evaluation, summed over workers.
    pub spent: f64,
    /// The same that would probably settle what is open; None if nothing is open, or if nothing
    /// that can be added would settle it.
    pub left: Option<f64>,
    /// Why no further round would help: the position of a setting, and the reason.
    pub given_up: Vec<(usize, String)>,
}

/// One round.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundRow {
    /// What it added, by setting; settings that were settled already are left out.
    pub what: Vec<(usize, String)>,
    pub stages: usize,
    pub seconds: f64,
    /// What was known after it; empty while it is not complete.
    pub known: Vec<Known>,
}

/// What was known of one question after a round.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    pub setting: usize,
    pub metric: Metric,
    pub aim: Aim,
    pub log_ratio: Option<Interval>,
    /// Over training from scratch, higher is better: a share, or nats.
    pub gain: Option<Interval>,
    pub verdict: Option<Verdict>,
    pub settled: bool,
}
