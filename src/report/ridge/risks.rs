//! Predicted and simulated risks against λ₀: the figure of a study that asks nothing in particular.

use super::view::{agreement, risk_point, View, Z95};
use super::{Claim, Findings, Plot};
use crate::report::figure::chart::{Axis, Chart, Series};
use crate::store::ridge_record::Risk;

/// Figures of this many cases at most; the tables have all.
const MOST: usize = 12;

pub fn findings(view: &View) -> Findings {
    let mut out = Findings::default();
    let mut all: Vec<Risk> = vec![];
    for (i, (case, record)) in view.cases.iter().enumerate() {
        let at: Vec<_> = record.targets.iter().flat_map(|t| t.at.iter().map(move |a| (t, a))).collect();
        all.extend(&record.source);
        at.iter().for_each(|(_, a)| all.extend(a.transfer.iter().chain([&a.scratch])));
        if i >= MOST {
            continue;
        }
        let series = |label: String, risks: &[Risk]| Series {
            label,
            line: record.lambda0.iter().zip(risks).map(|(x, r)| (*x, r.predicted)).collect(),
            dashed: false,
            hue: None,
            points: record.lambda0.iter().zip(risks).map(|(x, r)| risk_point(*x, r, 1.0)).collect(),
        };
        let mut curves = vec![series("source risk".into(), &record.source)];
        for (target, a) in at.iter().take(7) {
            let name = target.name.as_ref().map_or(String::new(), |n| format!(" of {n}"));
            let lambda1 = if a.lambda1.is_finite() { crate::config::number(a.lambda1) } else { "∞".into() };
            curves.push(series(format!("R_TL{name}, λ₁ = {lambda1}"), &a.transfer));
        }
        let suffix = if view.cases.len() > 1 { format!("-{}", i + 1) } else { String::new() };
        let label = case.label();
        out.plots.push(Plot {
            name: format!("risks{suffix}"),
            caption: format!("Risks against the source penalty{}.", if label.is_empty() { String::new() } else { format!(" ({label})") }),
            chart: Chart {
                title: if label.is_empty() { view.study.name.clone() } else { label },
                note: "lines: theory; points: Monte Carlo with 95% intervals; λ₀ = 0 has no place on this axis".into(),
                x: Axis { label: "source penalty λ₀".into(), log: true },
                y: Axis { label: "risk".into(), log: false },
                series: curves,
                level: None,
                at: None,
            },
        });
    }
    let hits = all.iter().filter(|r| (r.simulated - r.predicted).abs() <= Z95 * r.error).count();
    let furthest = all.iter().map(|r| (r.simulated / r.predicted - 1.0).abs()).fold(0.0, f64::max);
    let (words, verdict) = agreement(hits, all.len(), furthest, "");
    out.claims.push(Claim {
        claim: "deterministic equivalents give the simulated risks".into(),
        beyond: false,
        predicted: format!("{} risks", all.len()),
        simulated: words,
        verdict,
    });
    out
}
