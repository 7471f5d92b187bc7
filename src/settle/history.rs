//! The rounds as the report shows them.

use super::rounds::{Outlook, Rounds};
use crate::report::analysis::{History, Known, RoundRow};

/// The history of these rounds. An incomplete last round is left out.
pub fn history(rounds: &Rounds) -> History {
    let complete = rounds.rounds.iter().filter(|round| round.missing == 0);
    let row = |round: &super::Round| RoundRow {
        what: round.what.iter().enumerate().filter_map(|(i, what)| Some((i, what.clone()?))).collect(),
        stages: round.stages,
        seconds: round.seconds,
        known: round
            .questions
            .iter()
            .map(|q| Known {
                setting: q.setting,
                metric: q.metric,
                aim: q.aim,
                log_ratio: q.log_ratio,
                gain: q.gain,
                verdict: q.verdict,
                settled: q.settled,
            })
            .collect(),
    };
    let left = Some(rounds.left * rounds.scale()).filter(|left| *left > 0.0 && left.is_finite() && rounds.outlook == Outlook::Train);
    let given_up = if let Outlook::GivenUp(why) = &rounds.outlook { why.clone() } else { vec![] };
    History { settled: rounds.outlook == Outlook::Settled, rounds: complete.map(row).collect(), spent: rounds.seconds, left, given_up }
}
