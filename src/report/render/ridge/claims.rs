//! The claims of a ridge study in words.

use super::words::{at_rho, in_brackets, label, short, with_range};
use crate::base::interval::Interval;
use crate::report::analysis::ridge::{
    Agreement, AgreementOutcome, Axes, Claim, ClaimVerdict, CostElsewhere, Crossing, Finding, OptimumValue, Quantity, RiskKind, Scaling,
    SignCounts, TargetOptimum, TargetRegret,
};

/// A claim in words, with its prediction and its simulation.
pub struct ClaimText {
    pub claim: String,
    pub predicted: String,
    pub simulated: String,
}

pub fn verdict(verdict: ClaimVerdict) -> &'static str {
    match verdict {
        ClaimVerdict::Holds => "holds",
        ClaimVerdict::DoesNotHold => "does not hold",
        ClaimVerdict::Undecided => "not decided",
    }
}

pub fn claim_text(claim: &Claim) -> ClaimText {
    let (claim, predicted, simulated) = match &claim.finding {
        Finding::SidesOfOne { is_isotropic, against, total, simulated } => {
            let which = if *is_isotropic { "Σ₀ = Σ₁ = I" } else { "other covariances" };
            (
                format!("λ₀* > λ_S* for ρ < 1, λ₀* < λ_S* for ρ > 1 ({which})"),
                match total {
                    0 => "no points at which the two differ".into(),
                    _ => format!("true at {} of {total} points", total - against),
                },
                match total {
                    0 => "nothing to compare: λ₀* = 0 or no optimum everywhere, or only ρ = 1".into(),
                    _ => format!(
                        "true at {} of {total}, reversed at {}, undecided at {}",
                        simulated.expected, simulated.opposite, simulated.unclear
                    ),
                },
            )
        }
        Finding::CrossesOne { axes, predicted, simulated } => (
            format!("the ratio crosses 1 at ρ = 1{}", in_brackets(&label(axes))),
            predicted.map_or("no crossing".into(), |rho| format!("crosses at ρ = {rho:.4}")),
            simulated.as_ref().map_or("no crossing inside the ρ that were simulated".into(), crossing),
        ),
        Finding::EquivalentsAgree { quantity, agreement, furthest } => equivalents_agree(*quantity, agreement, furthest.as_ref()),
        Finding::HelpShrinksWithNoise {
            axes,
            predicted_falls,
            predicted_zero,
            exact_zero,
            thresholds,
            simulated_falls,
            simulated_zero,
        } => {
            let at = |noise: &Option<f64>| noise.map_or("nowhere in this range".into(), |v| format!("at σ₀² = {}", short(v)));
            let threshold = |rho: Option<f64>| rho.map_or("none".into(), short);
            (
                format!("the region in which transfer helps shrinks as σ₀² grows{}", in_brackets(&label(axes))),
                format!(
                    "R_S − R_TL {} with σ₀² and is 0 {}{}; the ρ needed grows from {} to {}",
                    if *predicted_falls { "falls" } else { "does not fall everywhere" },
                    at(predicted_zero),
                    exact_zero.map_or(String::new(), |v| format!(" (exactly, ridgeless: {})", short(v))),
                    threshold(thresholds.map(|t| t.0)),
                    threshold(thresholds.map(|t| t.1))
                ),
                format!("{} and is 0 {}", if *simulated_falls { "falls at every step" } else { "falls up to noise" }, at(simulated_zero)),
            )
        }
        Finding::TargetSizeMatters { axes, is_isotropic, predicted, simulated, targets } => {
            let end = label(axes);
            let end = if end.is_empty() { end } else { format!(", {end}") };
            (
                match is_isotropic {
                    true => format!("whether transfer helps does not depend on n₁ or σ₁² (Σ₁ = I{end})"),
                    false => format!("whether transfer helps depends on n₁ or σ₁² (Σ₁ ≠ I{end})"),
                },
                signs(predicted, *targets),
                signs(simulated, *targets),
            )
        }
        Finding::CostOfSourceOptimum { at_one, elsewhere, agreement, below_zero } => (
            "the source-optimal λ costs the target nothing at ρ = 1 and something everywhere else".into(),
            cost_of_source_optimum(*at_one, elsewhere.as_ref()),
            format!("{}; 95% interval below 0 at {below_zero} of {}", agreement_text(agreement, " of R_TL"), agreement.n),
        ),
        Finding::TurnsNegative { negative, turned, total, simulated_negative, simulated_turned } => (
            "the source-optimal λ can turn transfer that helps into negative transfer".into(),
            format!("transfer hurts at λ_S* in {negative} of {total} cases; in {turned} of these it helps at λ₀*"),
            format!(
                "hurts at λ_S* (95% interval below 0) in {simulated_negative}; in {simulated_turned} of these it helps at λ₀* (above 0)"
            ),
        ),
        Finding::ConvergesWithP { risk, axes, scaling } => (
            format!("simulation → deterministic equivalent as p grows ({})", risk_label(*risk, axes)),
            "error O(1/p); spread of one draw O(p^−1/2) or less".into(),
            scaling_text(scaling),
        ),
        Finding::OppositeCorrections { case, source, targets } => (
            format!("targets on both sides of ρ = 1 need opposite corrections of λ_S* = {}{}", optimum(*source), in_brackets(case)),
            joined(targets.iter().map(own_optimum), "; "),
            joined(targets.iter().map(simulated_optimum), "; "),
        ),
        Finding::Compromise { case, objective, asked, optimum: at, simulated, regrets } => {
            let at = optimum(*at);
            let asked = if *asked { " (asked for)" } else { "" };
            let found = simulated.as_ref().map_or(String::new(), |i| format!("λ₀ = {}; ", with_range(i)));
            (
                format!("the {objective} compromise is λ₀ = {at}{asked}{}", in_brackets(case)),
                format!("λ₀ = {at}; regret of {}", joined(regrets.iter().map(predicted_regret), ", ")),
                format!("{found}regret of {}", joined(regrets.iter().map(simulated_regret), ", ")),
            )
        }
    };
    ClaimText { claim, predicted, simulated }
}

fn joined(parts: impl Iterator<Item = String>, between: &str) -> String {
    parts.collect::<Vec<_>>().join(between)
}

fn crossing(found: &Crossing) -> String {
    let bound = |v: f64| if v.is_finite() { format!("{v:.3}") } else { "no bound".into() };
    match found.has_spread() {
        false if found.is_at_one() => {
            format!("{:.3}, without spread: at ρ = 1 both risks of a draw are the same function of λ₀", found.at)
        }
        false => format!("{:.3}, without spread", found.at),
        true => format!("{:.3} ({} to {})", found.at, bound(found.low), bound(found.high)),
    }
}

fn equivalents_agree(quantity: Quantity, agreement: &Agreement, furthest: Option<&(Axes, f64)>) -> (String, String, String) {
    let (what, counted, of) = match quantity {
        Quantity::Ratios => ("λ₀*/λ_S*", "ratios", ""),
        Quantity::Gains => ("R_S − R_TL", "differences", " of R_S"),
        Quantity::Risks => ("risks", "risks", ""),
    };
    let place = furthest.map_or(String::new(), |(axes, rho)| in_brackets(&at_rho(axes, *rho)));
    (
        format!("deterministic equivalents give the simulated {what}"),
        format!("{} {counted}", agreement.n),
        format!("{}{place}", agreement_text(agreement, of)),
    )
}

/// `of` names the reference of the largest error, if it is not the number itself.
fn agreement_text(agreement: &Agreement, of: &str) -> String {
    let Agreement { hits, n, furthest, .. } = agreement;
    let words = format!("{hits} of {n} 95% intervals contain the prediction; the largest deviation is {:.1}%{of}", 100.0 * furthest);
    match agreement.outcome {
        AgreementOutcome::NothingToCompare => "nothing to compare: no simulated value has a two-sided interval".into(),
        AgreementOutcome::WithinChance => words,
        AgreementOutcome::WithinPredictionError => {
            format!("{words}: the simulation is more precise than the prediction, whose own error is O(1/p)")
        }
        AgreementOutcome::Disagrees => format!("{words} (the prediction's own error is O(1/p): is p too small?)"),
    }
}

fn signs(counts: &SignCounts, targets: usize) -> String {
    let unclear = match counts.unclear {
        0 => String::new(),
        n => format!(", undecided in {n}"),
    };
    format!("helps in {}, hurts in {}{unclear}, of {targets} targets", counts.helps, counts.hurts)
}

fn cost_of_source_optimum(at_one: Option<f64>, elsewhere: Option<&CostElsewhere>) -> String {
    let at_one = at_one.map_or("not in the study".into(), |cost| if cost == 0.0 { "0".into() } else { format!("{cost:.1e}") });
    let elsewhere = elsewhere.map_or("no other ρ is in the study".into(), |CostElsewhere { least, largest, largest_at }| {
        let place = largest_at.as_ref().map_or(String::new(), |(axes, rho)| at_rho(axes, *rho));
        format!("at least {}%, at most {}% ({place})", short(100.0 * least), short(100.0 * largest))
    });
    format!("{at_one} at ρ = 1, {elsewhere} elsewhere")
}

/// A risk with its axes, for example `R_TL, γ = 2`.
pub fn risk_label(risk: RiskKind, axes: &Axes) -> String {
    let name = match risk {
        RiskKind::Source => "source risk",
        RiskKind::Transfer => "R_TL",
        RiskKind::Scratch => "R_S",
    };
    match label(axes) {
        label if label.is_empty() => name.into(),
        label => format!("{name}, {label}"),
    }
}

fn scaling_text(scaling: &Scaling) -> String {
    match *scaling {
        Scaling::SingleP => "with a single p, no growth can be measured".into(),
        Scaling::NoRelativeError => "a risk of 0 or without spread has no relative error".into(),
        Scaling::Measured { first_error, first_p, last_bound, last_p, seen, total, constant, above, exponent } => format!(
            "error {}% at p = {first_p}, distinguishable from 0 at {seen} of {total} p, above {}/p (beyond 99% intervals) at {above}, below {}% at p = {last_p}; one draw's spread falls as p^{exponent:.2}",
            short(100.0 * first_error),
            short(constant),
            short(100.0 * last_bound),
        ),
    }
}

fn optimum(value: OptimumValue) -> String {
    match value {
        OptimumValue::Undetermined => "not determined".into(),
        OptimumValue::Infinite => "∞".into(),
        OptimumValue::At(lambda) => short(lambda),
    }
}

fn name(name: &Option<String>) -> &str {
    name.as_deref().unwrap_or("target")
}

fn own_optimum(target: &TargetOptimum) -> String {
    format!("{}: λ₀* = {} (ρ = {})", name(&target.name), optimum(target.predicted), short(target.rho))
}

fn simulated_optimum(target: &TargetOptimum) -> String {
    let found = target.simulated.as_ref().map_or("at an end of the grid".into(), with_range);
    format!("{}: {found}", name(&target.name))
}

fn predicted_regret(regret: &TargetRegret) -> String {
    format!("{} {}", name(&regret.name), short(regret.predicted))
}

fn simulated_regret(regret: &TargetRegret) -> String {
    let seen = regret.simulated.as_ref().map_or("not simulated".into(), |interval: &Interval| with_range(interval));
    format!("{} {} (simulated {seen})", name(&regret.name), short(regret.predicted))
}
