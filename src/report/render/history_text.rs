//! How the answer was reached, in a sentence.

use super::words::{difference, setting_name, short, unit};
use crate::config::Aim;
use crate::report::analysis::{Known, StudyAnalysis};

/// `Settled after 3 rounds and 12 min of training.`, or what is missing.
pub fn reached(analysis: &StudyAnalysis) -> Option<String> {
    let history = analysis.history.as_ref()?;
    let rounds = match history.rounds.len() {
        1 => "1 round".to_string(),
        n => format!("{n} rounds"),
    };
    let after = format!("after {rounds} and {} of training, summed over workers", time(history.spent));
    if history.settled {
        return Some(format!("Settled {after}."));
    }
    let why: Vec<String> = history.given_up.iter().map(|(setting, why)| format!("{}{why}", of(analysis, *setting))).collect();
    let why = if why.is_empty() { String::new() } else { format!(": {}", why.join("; ")) };
    let left = match history.left {
        Some(left) => format!(" About {} more of training would probably settle it.", time(left)),
        None if why.is_empty() => " Nothing can be said yet of how much is missing.".into(),
        None => String::new(),
    };
    Some(format!("Not settled {after}{why}.{left}"))
}

/// A line for each question after each round from the `first` on, counted from 0.
pub fn rounds_text(analysis: &StudyAnalysis, first: usize) -> Vec<String> {
    let rounds = analysis.history.iter().flat_map(|history| history.rounds.iter().enumerate()).skip(first);
    rounds
        .flat_map(|(i, round)| round.known.iter().map(move |k| format!("after round {}: {}{}", i + 1, of(analysis, k.setting), known(k))))
        .collect()
}

/// What TensorBoard shows of the rounds, as (tag, round, value): the ratio with its interval for
/// each question, and the minutes of training. Values may be infinite.
pub fn round_values(analysis: &StudyAnalysis) -> Vec<(String, usize, f64)> {
    let mut values = vec![];
    for (round, row) in analysis.history.iter().flat_map(|history| history.rounds.iter().enumerate()) {
        values.push(("rounds/minutes_of_training".to_string(), round + 1, row.seconds / 60.0));
        for known in of_ratios(&row.known) {
            let Some(ratio) = known.log_ratio.map(|ratio| ratio.map(f64::exp)) else { continue };
            let tag = format!("rounds/{}ratio_by_{}", of(analysis, known.setting), known.metric.name());
            let (low, high) = ratio.range.unwrap_or((f64::NAN, f64::NAN));
            let parts = [("estimate", ratio.estimate), ("lower", low), ("upper", high)];
            values.extend(parts.map(|(part, value)| (format!("{tag}/{part}"), round + 1, value)));
        }
    }
    values
}

/// The prefix of a line about one of several settings.
pub fn of(analysis: &StudyAnalysis, setting: usize) -> String {
    match analysis.settings.get(setting) {
        Some(of) if analysis.settings.len() > 1 => format!("[{}] ", setting_name(&of.setting)),
        _ => String::new(),
    }
}

/// What is known of the ratio, once for each setting and metric.
pub fn of_ratios(known: &[Known]) -> impl Iterator<Item = &Known> {
    let same = |a: &Known, b: &Known| (a.setting, a.metric) == (b.setting, b.metric);
    known.iter().enumerate().filter(move |(i, own)| !known[..*i].iter().any(|other| same(own, other))).map(|(_, own)| own)
}

/// `accuracy: 1.3 (0.9 to 1.8), not settled`
pub fn known(known: &Known) -> String {
    let ratio = known.log_ratio.map_or("no ratio".to_string(), |ratio| {
        let range = ratio.range.map_or(String::new(), |(low, high)| format!(" ({} to {})", short(low.exp()), short(high.exp())));
        format!("{}{range}", short(ratio.estimate.exp()))
    });
    let verdict = match (known.aim, known.verdict) {
        _ if !known.settled => "not settled",
        (Aim::Order, Some(verdict)) => verdict.as_str(),
        (Aim::Order | Aim::Ratio, _) => "known",
        (Aim::Gain, _) => "settled",
    };
    let (name, what) = match known.aim {
        Aim::Order => ("", ratio),
        Aim::Ratio => ("ratio ", ratio),
        Aim::Gain => (
            "gain ",
            known.gain.map_or("none".to_string(), |gain| {
                let (of, (unit, ..)) = (|value| difference(known.metric, value), unit(known.metric));
                let range = gain.range.map_or(String::new(), |(low, high)| format!(" ({} to {})", of(low), of(high)));
                format!("{} {unit}{range}", of(gain.estimate))
            }),
        ),
    };
    format!("{name}by {}: {what}, {verdict}", known.metric.name())
}

/// A duration with its unit.
pub fn time(seconds: f64) -> String {
    match seconds {
        s if s >= 5400.0 => format!("{:.1} h", s / 3600.0),
        s if s >= 90.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.0} s", s.max(1.0)),
    }
}
