//! The verdict in one line: at most fifteen words, without brackets or symbols that need an
//! explanation.

use super::words::{level, short, unit, unit_in_front};
use crate::base::numbers::{number, significant};
use crate::report::analysis::{
    Answer, Answered, Bound, Method, OptimaComparison, Setting, SettingAnalysis, StudyAnalysis, Unanswered, Verdict, MIN_SEEDS,
};

/// What a verdict's word is about, for its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Badge {
    Order(Verdict),
    /// Whether transfer is better than training from scratch.
    Gain(bool),
    /// Not known, or not yet.
    Open,
}

impl Badge {
    /// The class of the page's style.
    pub fn class(self) -> &'static str {
        match self {
            Badge::Order(verdict) => verdict.as_str(),
            Badge::Gain(true) => "helps",
            Badge::Gain(false) => "hurts",
            Badge::Open => "none",
        }
    }
}

/// A verdict's word and the rest of its line.
#[derive(Debug, Clone, PartialEq)]
pub struct VerdictLine {
    pub badge: Badge,
    /// `STRONGER, settled`
    pub word: &'static str,
    pub sentence: String,
}

impl VerdictLine {
    pub fn of(analysis: &SettingAnalysis) -> VerdictLine {
        let without = |word, sentence: &str| VerdictLine { badge: Badge::Open, word, sentence: sentence.into() };
        match &analysis.answer {
            Answer::Unanswered(Unanswered::Incomplete) => without("NO ANSWER YET", "no λ₀ has a result for every seed."),
            Answer::Unanswered(Unanswered::Diverged) => without("NO ANSWER", "every λ₀ diverged for some seed."),
            Answer::Answered(answered) if analysis.setting.asks_gain => gained(&analysis.setting, answered),
            Answer::Answered(answered) => match &answered.comparison {
                None => without("NO COMPARISON", "only one λ₀ has results."),
                Some(comparison) => compared(&analysis.setting, answered, comparison),
            },
        }
    }

    pub fn text(&self) -> String {
        format!("{}: {}", self.word, self.sentence)
    }
}

/// What the source is regularised by.
fn noun(setting: &Setting) -> String {
    match setting.regularizer.stands_for() {
        None => "penalty".into(),
        Some(axis) => axis.rsplit('.').next().unwrap_or(axis).replace('_', " "),
    }
}

/// A ratio with two digits.
pub fn times(ratio: f64) -> String {
    match ratio {
        r if r >= 10.0 => format!("{r:.0}"),
        r => number(significant(r, 2)),
    }
}

/// Of a study that asks whether transfer is better than training from scratch.
fn gained(setting: &Setting, answered: &Answered) -> VerdictLine {
    let metric = answered.basis.metric;
    let line = |badge, word, sentence| VerdictLine { badge, word, sentence };
    let Some(gain) = answered.gain else {
        return line(Badge::Open, "NO ANSWER YET", "training from scratch has no result for every seed.".into());
    };
    let better = |gain: f64| match (metric.is_score(), gain > 0.0) {
        (true, true) | (false, false) => "higher",
        (true, false) | (false, true) => "lower",
    };
    let (_, scale, _) = unit(metric);
    let size = format!("{}{}", number(significant(scale * gain.estimate.abs(), 2)), unit_in_front(metric));
    match answered.gain_is_positive(setting.rules.error) {
        Some(helps) => {
            let word = if helps { "HELPS, settled" } else { "HURTS, settled" };
            let sentence = format!("the target's {} is {size} {} than from scratch.", metric.name(), better(gain.estimate));
            line(Badge::Gain(helps), word, sentence)
        }
        None if answered.basis.seeds.len() < 2 => line(Badge::Open, "UNDECIDED", "one seed is too few.".into()),
        None if answered.gain_is_positive(0.05).is_some() => {
            let level = level(&setting.rules);
            line(Badge::Open, "UNDECIDED", format!("the gain is shown at 95%, not yet at the {level} that rounds need."))
        }
        None => line(Badge::Open, "UNDECIDED", "transfer is neither shown to help nor to hurt.".into()),
    }
}

fn compared(setting: &Setting, answered: &Answered, comparison: &OptimaComparison) -> VerdictLine {
    let (noun, margin) = (noun(setting), number(setting.rules.margin));
    let line = |word, sentence| VerdictLine { badge: Badge::Order(comparison.verdict), word, sentence };
    match comparison.verdict {
        Verdict::Stronger => line("STRONGER, settled", ratio(setting, comparison, &noun)),
        Verdict::Weaker => line("WEAKER, settled", ratio(setting, comparison, &noun)),
        Verdict::Same => line("SAME, settled", format!("both want the same {noun}, within a factor of {margin}.")),
        Verdict::Collapsed => line("COLLAPSED", "what transfers best is a source that learned nothing.".into()),
        Verdict::Undecided => line("UNDECIDED", undecided(answered, comparison, &noun)),
    }
}

/// By how much the target wants more or less.
fn ratio(setting: &Setting, comparison: &OptimaComparison, noun: &str) -> String {
    let ratio = comparison.log_ratio.estimate.exp();
    let margin = setting.rules.margin;
    let is_within = comparison.log_ratio.range.is_some_and(|(low, high)| low > -margin.ln() && high < margin.ln());
    let bound = match comparison.bound {
        Bound::AtLeast => "at least",
        Bound::AtMost => "at most",
        Bound::None | Bound::Unknown => "about",
    };
    match ratio {
        r if r.is_infinite() => format!("the target wants some {noun}, the source none."),
        0.0 => format!("the target wants no {noun}, the source some."),
        r if is_within => {
            let more = if r > 1.0 { "more" } else { "less" };
            format!("the target wants {more} {noun}, by less than {} times.", number(margin))
        }
        r => format!("the target wants {bound} {} times the source's {noun}.", times(r)),
    }
}

fn undecided(answered: &Answered, comparison: &OptimaComparison, noun: &str) -> String {
    let n = answered.basis.seeds.len();
    let unknown = || format!("these seeds do not show which {noun} transfers best.");
    match comparison.log_ratio.range {
        _ if !answered.learned.source => "the source is not shown to be better than guessing.".into(),
        _ if !answered.learned.target => "the target is not shown to be better than guessing.".into(),
        _ if answered.partial => "results are still missing.".into(),
        _ if n == 1 => "one seed is too few.".into(),
        _ if n < MIN_SEEDS => "two seeds are too few.".into(),
        _ if comparison.tied_ratio.is_some() => "several values of λ₀ are equally good.".into(),
        _ if comparison.bound == Bound::Unknown => "both optima are at the same end of the grid.".into(),
        Some((0.0, 0.0)) => format!("both want the same {noun}, but the steps of the grid are too wide."),
        Some((low, high)) if low.is_finite() && high.is_finite() => {
            format!("the target's best {noun} may be {} to {} times the source's.", times(low.exp()), times(high.exp()))
        }
        Some((low, _)) if low.is_finite() => format!("the target's best {noun} may be {} times the source's or more.", times(low.exp())),
        Some((_, high)) if high.is_finite() => {
            format!("the target's best {noun} may be {} times the source's or less.", times(high.exp()))
        }
        _ => unknown(),
    }
}

/// The first line of a report: the verdict, or how many settings have which verdict.
pub fn headline(analysis: &StudyAnalysis) -> String {
    let made_up = if analysis.made_up { "Made-up results of the mock engine. " } else { "" };
    let answer = match analysis.settings.as_slice() {
        [only] => VerdictLine::of(only).text(),
        _ => counts(analysis),
    };
    format!("{made_up}{answer}")
}

/// `Of 5 settings 2 want a stronger penalty, 1 the same, 2 a weaker one.`
pub fn counts(analysis: &StudyAnalysis) -> String {
    let settings = &analysis.settings;
    if settings.is_empty() {
        return "NO ANSWER YET: the study has no cells.".into();
    }
    if settings.iter().all(|of| of.setting.asks_gain) {
        return counts_of_gains(settings);
    }
    let verdicts: Vec<Option<Verdict>> = settings.iter().map(|of| Some(of.answer.comparison()?.verdict)).collect();
    let count = |wanted: Option<Verdict>| verdicts.iter().filter(|verdict| **verdict == wanted).count();
    let noun = noun(&settings[0].setting);
    let parts = [
        (Verdict::Stronger, format!("a stronger {noun}")),
        (Verdict::Same, format!("the same {noun}")),
        (Verdict::Weaker, format!("a weaker {noun}")),
        (Verdict::Collapsed, "a source that learned nothing".to_string()),
    ];
    let wants: Vec<(usize, String)> =
        parts.into_iter().map(|(verdict, what)| (count(Some(verdict)), what)).filter(|(n, _)| *n > 0).collect();
    let mut words: Vec<String> = wants
        .iter()
        .enumerate()
        .map(|(i, (n, what))| match i {
            0 => format!("{n} want{} {what}", if *n == 1 { "s" } else { "" }),
            _ => format!("{n} {what}"),
        })
        .collect();
    let plural = |n: usize| if n == 1 { "is" } else { "are" };
    for (n, what) in [(count(Some(Verdict::Undecided)), "undecided"), (count(None), "without an answer yet")] {
        if n > 0 {
            words.push(format!("{n} {} {what}", plural(n)));
        }
    }
    format!("Of {} settings {}.", settings.len(), words.join(", "))
}

/// `Transfer helps in 2 of 5 settings and hurts in 1; 2 are undecided.`
fn counts_of_gains(settings: &[SettingAnalysis]) -> String {
    let signs: Vec<Option<bool>> = settings.iter().map(|of| of.answer.answered()?.gain_is_positive(of.setting.rules.error)).collect();
    let count = |wanted: Option<bool>| signs.iter().filter(|sign| **sign == wanted).count();
    let (n, helps, hurts, open) = (settings.len(), count(Some(true)), count(Some(false)), count(None));
    let undecided = match open {
        0 => String::new(),
        1 => "; 1 is undecided".into(),
        more => format!("; {more} are undecided"),
    };
    format!("Transfer helps in {helps} of {n} settings and hurts in {hurts}{undecided}.")
}

/// The interval of the ratio, `0.9 to ∞`.
pub fn ratio_range(comparison: &OptimaComparison) -> String {
    let show = |v: f64| if v.is_infinite() { "∞".to_string() } else { times(v) };
    comparison.log_ratio.range.map_or("none".into(), |(low, high)| format!("{} to {}", show(low.exp()), show(high.exp())))
}

/// An optimal λ₀ of the table: two digits where it lies between grid points.
pub fn optimum_at_a_glance(comparison: &OptimaComparison, value: f64) -> String {
    match comparison.method {
        Method::Curves if value.is_finite() && value > 0.0 => number(significant(value, 2)),
        Method::Curves | Method::GridPoints => short(value),
    }
}
