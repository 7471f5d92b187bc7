//! What a user can do next about a study's question.

use super::answer::{Answer, Unanswered, Verdict};
use super::setting::SettingAnalysis;
use super::study::StudyAnalysis;

/// The next step.
#[derive(Debug, Clone, PartialEq)]
pub enum NextStep {
    /// Every setting has a verdict.
    Nothing,
    /// Some stages have no result yet, or failed.
    Resume,
    /// More rounds can settle what is open.
    Settle,
    /// No further round would help: why, by the position of the setting.
    GivenUp(Vec<(usize, String)>),
    /// A model is not better than guessing: the source's, or the target's.
    TrainLonger { source: bool },
    /// In some setting every λ₀ diverged.
    Diverged,
    /// Some setting has only one λ₀ to look at.
    MoreLambda0,
}

impl NextStep {
    pub fn of(analysis: &StudyAnalysis) -> NextStep {
        let counts = &analysis.counts;
        if counts.failed + counts.missing > 0 {
            return NextStep::Resume;
        }
        match &analysis.history {
            Some(history) if history.settled => return NextStep::Nothing,
            Some(history) if !history.given_up.is_empty() => return NextStep::GivenUp(history.given_up.clone()),
            _ => {}
        }
        let answers = || analysis.settings.iter().map(|of| &of.answer);
        let is_open = |of: &&SettingAnalysis| match of.setting.asks_gain {
            true => of.answer.answered().is_none_or(|answered| answered.gain_is_positive(of.setting.rules.error).is_none()),
            false => of.answer.comparison().is_none_or(|comparison| comparison.verdict == Verdict::Undecided),
        };
        let open = || analysis.settings.iter().filter(is_open).map(|of| &of.answer);
        let learned =
            |pick: fn(&super::answer::Learned) -> bool| open().filter_map(Answer::answered).all(|answered| pick(&answered.learned));
        match () {
            () if open().next().is_none() => NextStep::Nothing,
            () if answers().any(|answer| matches!(answer, Answer::Unanswered(Unanswered::Diverged))) => NextStep::Diverged,
            () if analysis.settings.iter().all(|of| of.setting.is_source_given) => NextStep::Nothing,
            () if answers().any(|answer| answer.comparison().is_none()) => NextStep::MoreLambda0,
            () if !learned(|learned| learned.source) => NextStep::TrainLonger { source: true },
            () if !learned(|learned| learned.target) => NextStep::TrainLonger { source: false },
            () => NextStep::Settle,
        }
    }
}
