//! The rounds of a study, from its records.

use std::collections::HashSet;

use super::costs::{counted, Costs};
use super::first::first;
use super::next::{next, State, Step};
use super::question::{questions, Question};
use crate::config::{Aim, Grid, Study, StudyError};
use crate::plan::Plan;
use crate::report::analysis::stats::student_quantile;
use crate::report::analysis::{analyse, Metric, StudyAnalysis};
use crate::store::{Record, Records, Status};

/// Looks at the results after which a study is given up, settled or not. The error of all looks
/// together is measured for this many (docs/report.md).
const MOST_ROUNDS: usize = 12;

/// One round: a study, and why it is what it is.
#[derive(Debug, Clone)]
pub struct Round {
    pub study: Study,
    pub plan: Plan,
    /// What was decided for each setting, if it goes on.
    pub what: Vec<Option<String>>,
    /// Stages without a final result.
    pub missing: usize,
    /// Stages that this round added, and the seconds of their training, summed over workers.
    pub stages: usize,
    pub seconds: f64,
    /// Empty before the round is complete.
    pub questions: Vec<Question>,
}

/// What comes after the rounds that are complete.
#[derive(Debug, Clone, PartialEq)]
pub enum Outlook {
    /// The last round is not complete: its stages are to be trained.
    Train,
    Settled,
    /// Some question is open, and another round would not settle it: why, for each open setting.
    GivenUp(Vec<(usize, String)>),
}

/// All rounds so far.
#[derive(Debug, Clone)]
pub struct Rounds {
    /// At least one; only the last may be incomplete.
    pub rounds: Vec<Round>,
    pub outlook: Outlook,
    /// Seconds of training in all rounds, summed over workers.
    pub seconds: f64,
    /// Counted seconds of the stages that were trained, to compare with the measured ones.
    pub counted: f64,
    /// Counted seconds that would settle what is open, as far as the intervals tell; infinite if
    /// nothing would.
    pub left: f64,
}

impl Rounds {
    /// The last round, complete or not.
    pub fn last(&self) -> &Round {
        &self.rounds[self.rounds.len() - 1]
    }

    /// The last round whose stages all have results.
    pub fn last_complete(&self) -> Option<&Round> {
        self.rounds.iter().rev().find(|round| round.missing == 0)
    }

    /// Number of rounds whose stages all have results.
    pub fn complete(&self) -> usize {
        self.rounds.iter().filter(|round| round.missing == 0).count()
    }

    /// Measured seconds for each counted one; 1 before anything was trained.
    pub fn scale(&self) -> f64 {
        if self.counted > 0.0 {
            self.seconds / self.counted
        } else {
            1.0
        }
    }

    /// Counted seconds of the stages of the last round that have no result.
    pub fn counted_missing(&self, records: &Records) -> f64 {
        let plan = &self.last().plan;
        counted(plan, |index| !records.is_final(&plan.stages[index].key))
    }
}

/// Replays the rounds of a study from its records.
///
/// # Errors
/// The study cannot be run in rounds ([`first`]).
pub fn replay(study: &Study, records: &Records) -> Result<Rounds, StudyError> {
    Replay::new(study)?.advance(records)
}

/// The rounds up to the first one that is not complete. More records take it further, without a
/// second look at the rounds before.
pub struct Replay<'a> {
    study: &'a Study,
    complete: Vec<Round>,
    /// The round after them: its study, and why it is what it is.
    current: Study,
    what: Vec<Option<String>>,
    /// Of the last complete round, see [`Rounds`].
    left: f64,
    /// Keys of the stages of the complete rounds.
    seen: HashSet<String>,
}

impl<'a> Replay<'a> {
    /// # Errors
    /// The study cannot be run in rounds ([`first`]).
    pub fn new(study: &'a Study) -> Result<Replay<'a>, StudyError> {
        let current = first(study)?;
        let what = vec![Some("the study's own λ₀ and λ₁".into()); current.grids.len()];
        Ok(Replay { study, complete: vec![], current, what, left: 0.0, seen: HashSet::new() })
    }

    /// The rounds so far. `records` has those of the call before, and possibly more.
    ///
    /// # Errors
    /// A round's study has no plan.
    pub fn advance(&mut self, records: &Records) -> Result<Rounds, StudyError> {
        loop {
            let mut round = self.round(records)?;
            let rounds = |round: Round| self.complete.iter().cloned().chain([round]).collect();
            if round.missing > 0 {
                return Ok(finish(rounds(round), records, Outlook::Train, self.left));
            }
            let analysis = analyse(&round.study, &round.plan, records);
            round.questions = questions(&analysis, &round.study.settle);
            let steps: Vec<Step> = (0..analysis.settings.len()).map(|i| step(self.study, &round, &analysis, records, i)).collect();
            let left = (0..analysis.settings.len()).map(|i| needed(&round, &analysis, i)).sum();
            match outlook(&steps, self.complete.len() + 1) {
                Outlook::Train => {}
                Outlook::Settled => return Ok(finish(rounds(round), records, Outlook::Settled, 0.0)),
                given_up => return Ok(finish(rounds(round), records, given_up, left)),
            }
            let grids = steps.iter().zip(grids_of(&round, &analysis)).map(|(step, grid)| match step {
                Step::Go { grid, .. } => grid.clone(),
                Step::Settled | Step::GiveUp { .. } => grid.clone(),
            });
            self.current = self.study.with_grids(grids.collect());
            self.what = steps.into_iter().map(|step| if let Step::Go { what, .. } = step { Some(what) } else { None }).collect();
            self.left = left;
            self.seen.extend(round.plan.stages.iter().map(|stage| stage.key.clone()));
            self.complete.push(round);
        }
    }

    /// The round after the complete ones, without its questions.
    fn round(&self, records: &Records) -> Result<Round, StudyError> {
        let plan = Plan::new(&self.current)?;
        let missing = plan.stages.iter().filter(|stage| !records.is_final(&stage.key)).count();
        let new: Vec<&str> = plan.stages.iter().map(|stage| stage.key.as_str()).filter(|key| !self.seen.contains(*key)).collect();
        let (stages, seconds) = (new.len(), new.iter().filter_map(|key| records.by_key.get(*key)).map(share).sum());
        Ok(Round { study: self.current.clone(), plan, what: self.what.clone(), missing, stages, seconds, questions: vec![] })
    }
}

/// What follows from the steps of all settings after this many rounds.
fn outlook(steps: &[Step], rounds: usize) -> Outlook {
    if steps.iter().all(|step| *step == Step::Settled) {
        return Outlook::Settled;
    }
    if rounds < MOST_ROUNDS && steps.iter().any(|step| matches!(step, Step::Go { .. })) {
        return Outlook::Train;
    }
    let why = |(i, step): (usize, &Step)| match step {
        Step::GiveUp { why } => Some((i, why.clone())),
        Step::Go { .. } => Some((i, format!("this is the limit of {MOST_ROUNDS} rounds"))),
        Step::Settled => None,
    };
    Outlook::GivenUp(steps.iter().enumerate().filter_map(why).collect())
}

/// A stage's share of the time of its pack.
fn share(record: &Record) -> f64 {
    record.seconds / record.pack.max(1) as f64
}

fn finish(rounds: Vec<Round>, records: &Records, outlook: Outlook, left: f64) -> Rounds {
    let mut seen = HashSet::new();
    let (mut seconds, mut of_counted) = (0.0, 0.0);
    for plan in rounds.iter().map(|round| &round.plan) {
        let done = |index: usize| records.by_key.get(&plan.stages[index].key).filter(|record| record.status == Status::Done);
        let fresh: Vec<bool> = plan.stages.iter().map(|stage| seen.insert(stage.key.clone())).collect();
        seconds += (0..plan.stages.len()).filter(|&i| fresh[i]).filter_map(|i| done(i).map(share)).sum::<f64>();
        of_counted += counted(plan, |i| fresh[i] && done(i).is_some());
    }
    Rounds { rounds, outlook, seconds, counted: of_counted, left }
}

/// The grid of each setting of an analysis.
fn grids_of<'a>(round: &'a Round, analysis: &'a StudyAnalysis) -> impl Iterator<Item = &'a Grid> {
    analysis.settings.iter().filter_map(|of| {
        let at = round.study.values_of(&of.setting.axes);
        round.study.grids.iter().find(|grid| grid.at == at)
    })
}

fn step(base: &Study, round: &Round, analysis: &StudyAnalysis, records: &Records, i: usize) -> Step {
    let of = &analysis.settings[i];
    let Some(grid) = grids_of(round, analysis).nth(i) else { return Step::GiveUp { why: "it has no grid".into() } };
    let questions: Vec<Question> = round.questions.iter().filter(|question| question.setting == i).cloned().collect();
    let costs = costs(round, analysis, i);
    let Some(cell) = round.plan.cells.iter().find(|cell| round.study.values_of(&cell.axes) == grid.at) else {
        return Step::GiveUp { why: "it has no cell".into() };
    };
    let network = &round.plan.stages[cell.source].settings;
    let mut metrics: Vec<Metric> = questions.iter().map(|question| question.metric).collect();
    metrics.dedup();
    next(&State { study: base, plan: &round.plan, records, grid, of, costs, metrics, network }, &questions)
}

fn costs(round: &Round, analysis: &StudyAnalysis, i: usize) -> Costs {
    let at = round.study.values_of(&analysis.settings[i].setting.axes);
    Costs::of(&round.plan, |cell| round.study.values_of(&cell.axes) == at)
}

/// Counted seconds until a setting's open questions are settled, if only seeds were added: the
/// interval's half-width falls as t/√n, and must become smaller than the distance of its estimate
/// from 1, or than what is left of the margin.
fn needed(round: &Round, analysis: &StudyAnalysis, i: usize) -> f64 {
    let open = round.questions.iter().filter(|question| question.setting == i && !question.settled);
    let (setting, costs) = (&analysis.settings[i].setting, costs(round, analysis, i));
    let Some(grid) = grids_of(round, analysis).nth(i) else { return 0.0 };
    let n = setting.seeds.len();
    let of = |question: &Question| {
        let Some((estimate, (low, high))) = question.log_ratio.and_then(|ratio| Some((ratio.estimate, ratio.range?))) else {
            return f64::INFINITY;
        };
        let half = (high - low) / 2.0;
        let goal = match question.aim {
            Aim::Order => estimate.abs().max(setting.rules.margin.ln() - estimate.abs()),
            Aim::Ratio => round.study.settle.within.ln(),
            Aim::Gain => return f64::INFINITY,
        };
        if !half.is_finite() || !goal.is_finite() {
            return f64::INFINITY;
        }
        let error = setting.rules.error;
        let enough = |more: &usize| {
            half * student_quantile(n + more, error) / student_quantile(n, error) * (n as f64 / (n + more) as f64).sqrt() < goal
        };
        let more = (0..10_000).find(enough);
        more.map_or(f64::INFINITY, |more| more.max(1) as f64 * costs.of_seed(grid.lambda0.len(), grid.lambda1.len(), grid.draws))
    };
    open.map(of).fold(0.0, f64::max)
}
