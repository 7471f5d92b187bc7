//! The analysis of a ridge study. Each claim comes with its prediction, its simulation and its
//! verdict, and with the data of its figures and tables.

mod agreement;
mod cost;
mod curves;
mod help;
mod reversal;
mod risks;
mod scaling;
mod tables;
mod targets;

pub use agreement::{Agreement, AgreementOutcome, Quantity};
pub use cost::CostElsewhere;
pub use curves::Axes;
pub use help::SignCounts;
pub use reversal::{Crossing, Sides};
pub use scaling::{RiskKind, Scaling};
pub use targets::{OptimumValue, TargetOptimum, TargetRegret};

use super::table::Table;
use crate::base::interval::{Interval, Z95};
use crate::config::{Question, Study};
use crate::plan::Case;
use crate::store::ridge_record::Risk;
use crate::store::RidgeRecord;
use curves::CaseRecords;

/// With fewer draws every claim is undecided.
pub const MIN_DRAWS: usize = 10;

/// Whether a claim holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimVerdict {
    Holds,
    DoesNotHold,
    /// The simulation is not precise enough to decide.
    Undecided,
}

impl ClaimVerdict {
    fn of(holds: bool) -> ClaimVerdict {
        match holds {
            true => ClaimVerdict::Holds,
            false => ClaimVerdict::DoesNotHold,
        }
    }
}

/// One claim, predicted and simulated.
#[derive(Debug, Clone)]
pub struct Claim {
    pub finding: Finding,
    /// Outside the paper's assumptions: tested to see how far the claim extends.
    pub is_beyond_assumptions: bool,
    pub verdict: ClaimVerdict,
}

/// The result for one claim.
#[derive(Debug, Clone)]
pub enum Finding {
    /// λ₀* > λ_S* for ρ < 1, and λ₀* < λ_S* for ρ > 1. `against` is the number of points, out of
    /// `total`, at which the prediction contradicts this.
    SidesOfOne { is_isotropic: bool, against: usize, total: usize, simulated: Sides },
    /// The ratio λ₀*/λ_S* crosses 1 at ρ = 1.
    CrossesOne { axes: Axes, predicted: Option<f64>, simulated: Option<Crossing> },
    /// The deterministic equivalents agree with the simulated numbers. `furthest` is the curve and
    /// the ρ with the largest difference.
    EquivalentsAgree { quantity: Quantity, agreement: Agreement, furthest: Option<(Axes, f64)> },
    /// The region in which transfer helps shrinks as the source's noise grows. `predicted_zero`,
    /// `exact_zero` and `simulated_zero` are the noise at which R_S − R_TL is 0. `thresholds` are
    /// the ρ needed at the smallest and the largest noise.
    HelpShrinksWithNoise {
        axes: Axes,
        predicted_falls: bool,
        predicted_zero: Option<f64>,
        /// From the exact ridgeless condition.
        exact_zero: Option<f64>,
        thresholds: Option<(f64, f64)>,
        simulated_falls: bool,
        simulated_zero: Option<f64>,
    },
    /// Whether transfer helps does not depend on the target's size and noise if Σ₁ = I. It does
    /// otherwise.
    TargetSizeMatters { axes: Axes, is_isotropic: bool, predicted: SignCounts, simulated: SignCounts, targets: usize },
    /// The source-optimal λ costs the target nothing at ρ = 1 and something elsewhere. Costs are
    /// fractions of R_TL.
    CostOfSourceOptimum {
        at_one: Option<f64>,
        elsewhere: Option<CostElsewhere>,
        agreement: Agreement,
        /// Number of simulated costs whose interval is below 0.
        below_zero: usize,
    },
    /// The source-optimal λ can turn helpful transfer into negative transfer.
    TurnsNegative { negative: usize, turned: usize, total: usize, simulated_negative: usize, simulated_turned: usize },
    /// Simulated risks approach their deterministic equivalents as p grows.
    ConvergesWithP { risk: RiskKind, axes: Axes, scaling: Scaling },
    /// Targets on opposite sides of ρ = 1 need opposite corrections of λ_S*.
    OppositeCorrections { case: String, source: OptimumValue, targets: Vec<TargetOptimum> },
    /// One λ₀ for all targets.
    Compromise {
        case: String,
        objective: String,
        /// Whether this compromise is the one that the study asks for.
        asked: bool,
        optimum: OptimumValue,
        simulated: Option<Interval>,
        regrets: Vec<TargetRegret>,
    },
}

/// A point of a figure.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    pub x: f64,
    pub value: Interval,
    /// Drawn hollow. The chart explains what that means.
    pub is_marked: bool,
}

impl Point {
    /// A simulated risk with its 95% interval, multiplied by `scale`.
    fn of_risk(x: f64, risk: &Risk, scale: f64) -> Point {
        let (y, half) = (risk.simulated * scale, Z95 * risk.error * scale);
        Point { x, value: Interval { estimate: y, range: Some((y - half, y + half)) }, is_marked: false }
    }

    /// A simulated number, multiplied by `scale` > 0. None without a finite estimate.
    fn of_interval(x: f64, interval: &Interval, scale: f64) -> Option<Point> {
        interval.estimate.is_finite().then(|| Point { x, value: interval.map(|v| scale * v), is_marked: false })
    }
}

/// What a series of a figure shows.
#[derive(Debug, Clone, PartialEq)]
pub enum SeriesLabel {
    /// One curve, identified by these axes.
    Axes(Axes),
    SourceRisk,
    TransferRisk {
        target: Option<String>,
        lambda1: f64,
    },
    /// Error of the mean of a risk, relative to the prediction.
    ErrorOfMean(RiskKind, Axes),
    /// Standard deviation of one draw of a risk, relative to the prediction.
    SpreadOfDraw(RiskKind, Axes),
    Target {
        name: String,
        rho: f64,
    },
    WeightedMean,
}

/// A predicted line and simulated points.
#[derive(Debug, Clone)]
pub struct SeriesData {
    pub label: SeriesLabel,
    pub line: Vec<(f64, f64)>,
    pub points: Vec<Point>,
}

/// The figure that some series belong to.
#[derive(Debug, Clone, PartialEq)]
pub enum ChartKind {
    /// λ₀*/λ_S* against ρ. `facet` holds the axes that all its curves share, if there are several
    /// facets.
    Ratio {
        facet: Axes,
        index: usize,
    },
    /// The ρ at which the ratio is 1, against γ.
    Crossing,
    /// R_S − R_TL against the source's noise, or the target's size.
    GainOverNoise,
    GainOverTargetSize,
    /// The smallest ρ at which transfer helps, against the source's noise. `rho` is the study's own
    /// ρ.
    Threshold {
        rho: Option<f64>,
    },
    Scaling,
    Cost,
    /// Risks of several targets against their shared λ₀. `compromise` is the shared λ₀ that the
    /// study asks for.
    Targets {
        case: String,
        index: usize,
        compromise: Option<f64>,
    },
    /// Risks against λ₀. `several` is true if there is more than one case.
    Risks {
        case: String,
        index: usize,
        several: bool,
    },
}

/// The data of one figure.
#[derive(Debug, Clone)]
pub struct ChartData {
    pub kind: ChartKind,
    pub series: Vec<SeriesData>,
}

/// Claims and figures for one question.
#[derive(Debug, Default)]
struct Findings {
    claims: Vec<Claim>,
    charts: Vec<ChartData>,
}

/// Everything that a report shows about a ridge study.
#[derive(Debug, Clone)]
pub struct RidgeAnalysis {
    pub name: String,
    pub description: String,
    /// Number of cases in the study, and of cases with a record.
    pub cases: usize,
    pub cases_done: usize,
    /// Smallest number of draws of any case.
    pub draws: usize,
    pub claims: Vec<Claim>,
    pub charts: Vec<ChartData>,
    pub simulation: Option<Simulation>,
    /// One row per λ₀, λ₁ and target.
    pub results: Table,
    /// One row per case, λ₁ and target.
    pub optima: Table,
}

/// How the numbers were simulated.
#[derive(Debug, Clone)]
pub struct Simulation {
    /// Distinct numbers of draws, in ascending order.
    pub draws: Vec<usize>,
    pub samplers: Vec<String>,
    pub seconds: f64,
    pub threads: usize,
    pub program: String,
    pub commit: String,
}

impl RidgeAnalysis {
    /// Number of cases without a record.
    pub fn missing(&self) -> usize {
        self.cases - self.cases_done
    }
}

/// Analyses a ridge study from its records.
pub fn analyse(study: &Study, cases: &[Case], records: &[&RidgeRecord]) -> RidgeAnalysis {
    let view = CaseRecords::new(study, cases, records);
    let mut findings = match study.question {
        Some(Question::Reversal) => reversal::findings(&view),
        Some(Question::SourceNoise) => help::source_noise(&view),
        Some(Question::TargetSize) => help::target_size(&view),
        Some(Question::Scaling) => scaling::findings(&view),
        Some(Question::Cost) => cost::findings(&view),
        Some(Question::Targets) => targets::findings(&view),
        None => risks::findings(&view),
    };
    let draws = view.cases.iter().map(|(_, record)| record.draws).min().unwrap_or(0);
    // A part of the cases, or too few draws, cannot decide a claim about all cases.
    if view.cases.len() < cases.len() || draws < MIN_DRAWS {
        findings.claims.iter_mut().for_each(|claim| claim.verdict = ClaimVerdict::Undecided);
    }
    RidgeAnalysis {
        name: study.name.clone(),
        description: study.description.clone().unwrap_or_default().trim().to_string(),
        cases: cases.len(),
        cases_done: view.cases.len(),
        draws,
        claims: findings.claims,
        charts: findings.charts,
        simulation: simulation(&view),
        results: tables::results(&view),
        optima: tables::optima(&view),
    }
}

fn simulation(view: &CaseRecords) -> Option<Simulation> {
    let (_, first) = view.cases.first()?;
    let records = || view.cases.iter().map(|(_, record)| record);
    let mut draws: Vec<usize> = records().map(|record| record.draws).collect();
    draws.sort_unstable();
    draws.dedup();
    let mut samplers: Vec<String> = records().map(|record| record.sampler.clone()).collect();
    samplers.sort_unstable();
    samplers.dedup();
    Some(Simulation {
        draws,
        samplers,
        seconds: records().map(|record| record.seconds).sum(),
        threads: first.threads,
        program: first.program.clone(),
        commit: first.commit.clone(),
    })
}
