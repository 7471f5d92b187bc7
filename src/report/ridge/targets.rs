//! One λ₀ for several targets (the paper's open question 2).

use super::view::{holds, short, words, View};
use super::{Claim, Findings, Plot, Verdict};
use crate::report::figure::chart::{Axis, Chart, Series};
use crate::store::ridge_record::Optimum;

/// A predicted optimum in words.
fn best(optimum: &Optimum) -> String {
    match optimum.edge.as_deref() {
        Some("flat") => "not determined".into(),
        _ => optimum.predicted.map_or("∞".into(), short),
    }
}

pub fn findings(view: &View) -> Findings {
    let mut out = Findings::default();
    for (i, (case, record)) in view.cases.iter().enumerate() {
        let label = case.label();
        let suffix = if label.is_empty() { String::new() } else { format!(" ({label})") };
        let own: Vec<String> = record
            .targets
            .iter()
            .map(|t| {
                let best = best(&t.at[0].optimum);
                format!("{}: λ₀* = {best} (ρ = {})", t.name.as_deref().unwrap_or("target"), short(t.rho))
            })
            .collect();
        let simulated: Vec<String> = record
            .targets
            .iter()
            .map(|t| {
                let found = &t.at[0].optimum;
                format!(
                    "{}: {}",
                    t.name.as_deref().unwrap_or("target"),
                    found.simulated.as_ref().map_or("at an end of the grid".into(), words)
                )
            })
            .collect();
        let determined = |optimum: &Optimum| optimum.edge.as_deref() != Some("flat");
        let all_determined = determined(&record.source_optimum) && record.targets.iter().all(|t| determined(&t.at[0].optimum));
        let source = record.source_optimum.predicted.unwrap_or(f64::INFINITY);
        let sides: Vec<bool> = record.targets.iter().map(|t| t.at[0].optimum.predicted.is_none_or(|l| l > source)).collect();
        let rhos: Vec<f64> = record.targets.iter().map(|t| t.rho).collect();
        let both = rhos.iter().any(|r| *r < 1.0) && rhos.iter().any(|r| *r > 1.0);
        let apart = record.targets.iter().all(|t| {
            let ratio = &t.at[0].simulated_ratio;
            ratio.as_ref().is_some_and(|i| if t.rho < 1.0 { i.low.is_some_and(|l| l > 1.0) } else { i.high.is_some_and(|h| h < 1.0) })
        });
        let claim = Claim {
            claim: format!("targets on both sides of ρ = 1 want opposite corrections of λ_S* = {}{suffix}", best(&record.source_optimum)),
            beyond: false,
            predicted: own.join("; "),
            simulated: simulated.join("; "),
            verdict: match sides.contains(&true) && sides.contains(&false) {
                _ if !all_determined => Verdict::Open,
                true if !apart => Verdict::Open,
                holds => Verdict::of(holds),
            },
        };
        if both {
            out.claims.push(claim);
        }
        for c in &record.compromises {
            let regrets: Vec<String> = record
                .targets
                .iter()
                .zip(c.regret.iter().zip(&c.simulated_regret))
                .map(|(t, (r, s))| {
                    let seen = s.as_ref().map_or("not simulated".into(), words);
                    format!("{} {} (simulated {seen})", t.name.as_deref().unwrap_or("target"), short(*r))
                })
                .collect();
            let held: Vec<Option<bool>> =
                c.regret.iter().zip(&c.simulated_regret).map(|(r, s)| s.as_ref().and_then(|s| holds(s, *r))).collect();
            let in_interval = c.optimum.simulated.as_ref().zip(c.optimum.predicted).and_then(|(i, p)| holds(i, p));
            let found = match (&c.optimum.simulated, c.objective.as_str()) {
                (Some(i), _) => format!("λ₀ = {}; ", words(i)),
                _ => String::new(),
            };
            let at = best(&c.optimum);
            out.claims.push(Claim {
                claim: format!("the {} compromise is λ₀ = {at}{}{suffix}", c.objective, if c.asked { " (asked for)" } else { "" }),
                beyond: false,
                predicted: format!(
                    "λ₀ = {at}; regret of {}",
                    c.regret
                        .iter()
                        .zip(&record.targets)
                        .map(|(r, t)| format!("{} {}", t.name.as_deref().unwrap_or("target"), short(*r)))
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
                simulated: format!("{found}regret of {}", regrets.join(", ")),
                verdict: match held.contains(&Some(false)) || in_interval == Some(false) {
                    true => Verdict::DoesNotHold,
                    false if held.contains(&None) => Verdict::Open,
                    false => Verdict::Holds,
                },
            });
        }
        let mut series: Vec<Series> = record
            .targets
            .iter()
            .map(|t| {
                let at = &t.at[0];
                let name = t.name.clone().unwrap_or_default();
                Series {
                    label: format!("{name} (ρ = {})", short(t.rho)),
                    line: record.lambda0.iter().zip(&at.transfer).map(|(x, r)| (*x, r.predicted)).collect(),
                    dashed: false,
                    hue: None,
                    points: record.lambda0.iter().zip(&at.transfer).step_by(3).map(|(x, r)| super::view::risk_point(*x, r, 1.0)).collect(),
                }
            })
            .collect();
        let total: f64 = record.targets.iter().map(|t| t.weight).sum();
        series.push(Series {
            label: "weighted mean".into(),
            line: (0..record.lambda0.len())
                .map(|l| (record.lambda0[l], record.targets.iter().map(|t| t.weight / total * t.at[0].transfer[l].predicted).sum()))
                .collect(),
            dashed: true,
            hue: None,
            points: vec![],
        });
        let asked = record.compromises.iter().find(|c| c.asked).and_then(|c| c.optimum.predicted);
        out.plots.push(Plot {
            name: if i == 0 { "targets".into() } else { format!("targets-{}", i + 1) },
            caption: format!("Each target's risk against the one λ₀ that all share{suffix}; the compromise asked for is marked."),
            chart: Chart {
                title: if label.is_empty() { view.study.name.clone() } else { label },
                note: "lines: theory; points: Monte Carlo with 95% intervals; vertical: the compromise".into(),
                x: Axis { label: "source penalty λ₀".into(), log: true },
                y: Axis { label: "transfer risk R_TL".into(), log: false },
                series,
                level: None,
                at: asked,
            },
        });
    }
    out
}
