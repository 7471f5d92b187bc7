//! The questions of a study, and which of them are settled.

use crate::base::interval::Interval;
use crate::config::{Aim, Settle, SettleBy};
use crate::report::analysis::{Answer, Metric, SettingAnalysis, StudyAnalysis, Verdict};

/// What is asked of one combination of the axes by one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The position of the setting in the analysis.
    pub setting: usize,
    pub metric: Metric,
    pub aim: Aim,
    pub settled: bool,
    /// None without an answer.
    pub verdict: Option<Verdict>,
    pub log_ratio: Option<Interval>,
    /// The gain over training from scratch, higher is better.
    pub gain: Option<Interval>,
}

/// All questions of a study, by setting.
pub fn questions(analysis: &StudyAnalysis, settle: &Settle) -> Vec<Question> {
    let mut all = vec![];
    for (setting, of) in analysis.settings.iter().enumerate() {
        let (own, other) = (of.basis.metric, of.basis.metric.other());
        let metrics = match settle.by {
            None => vec![own],
            Some(SettleBy::Accuracy) => vec![if own.is_score() { own } else { other }],
            Some(SettleBy::Loss) => vec![if own.is_score() { other } else { own }],
            Some(SettleBy::Both) => vec![own, other],
        };
        for metric in metrics {
            let answer = answer(of, metric);
            let comparison = answer.comparison();
            for &aim in &settle.of {
                let log_ratio = comparison.map(|comparison| comparison.log_ratio);
                let settled = match aim {
                    Aim::Order => comparison.is_some_and(|comparison| comparison.verdict != Verdict::Undecided),
                    Aim::Ratio => log_ratio.is_some_and(|ratio| is_known(ratio, settle.within)),
                    Aim::Gain => answer.answered().is_some_and(|answered| answered.gain_is_positive(of.setting.rules.error).is_some()),
                };
                let gain = answer.answered().and_then(|answered| answered.gain);
                all.push(Question { setting, metric, aim, settled, verdict: comparison.map(|c| c.verdict), log_ratio, gain });
            }
        }
    }
    all
}

pub fn answer(of: &SettingAnalysis, metric: Metric) -> &Answer {
    if of.basis.metric == metric {
        &of.answer
    } else {
        &of.other_metric
    }
}

/// Both ends are within a factor of the estimate.
fn is_known(ratio: Interval, within: f64) -> bool {
    ratio.range.is_some_and(|(low, high)| ratio.estimate - low <= within.ln() && high - ratio.estimate <= within.ln())
}
