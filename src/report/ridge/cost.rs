//! What λ_S* in place of λ₀* costs the target, and where it turns transfer into negative transfer.

use super::view::{agreement, holds, interval_point, main, short, View};
use super::{Claim, Findings, Plot, Verdict};
use crate::report::figure::chart::{Axis, Chart, Series};

pub fn findings(view: &View) -> Findings {
    let curves = view.curves("rho");
    let mut out = Findings::default();
    let mut largest = (0.0, String::new());
    let (mut negative, mut turned, mut total, mut below) = (0, 0, 0, 0);
    let (mut hits, mut n, mut furthest) = (0, 0, 0.0f64);
    let (mut at_one, mut elsewhere) = (0.0f64, f64::INFINITY);
    for c in &curves {
        for (rho, r) in &c.items {
            let at = main(r);
            total += 1;
            let Some(cost) = at.cost else { continue };
            if cost > largest.0 {
                largest = (cost, format!("{}, ρ = {}", c.label, short(*rho)));
            }
            match (rho - 1.0).abs() < 1e-9 {
                true => at_one = at_one.max(cost.abs()),
                false => elsewhere = elsewhere.min(cost),
            }
            negative += usize::from(at.gain_at_source_optimal < 0.0);
            turned += usize::from(at.gain_at_source_optimal < 0.0 && at.gain_at_transfer_optimal > 0.0);
            if let Some(i) = &at.simulated_cost {
                n += 1;
                hits += usize::from(holds(i, cost));
                furthest = furthest.max((i.estimate.unwrap_or(cost) - cost).abs());
                below += usize::from(i.high.is_some_and(|high| high < 0.0));
            }
        }
    }
    let (words, verdict) = agreement(hits, n, furthest, " of R_TL");
    out.claims.push(Claim {
        beyond: false,
        claim: "the source-optimal λ costs the target nothing at ρ = 1 and something everywhere else".into(),
        predicted: format!(
            "{:.1e} at ρ = 1, at least {}% elsewhere, at most {}% ({})",
            at_one,
            short(100.0 * elsewhere),
            short(100.0 * largest.0),
            largest.1
        ),
        simulated: format!("{words}; below 0 beyond its interval at {below} of {n}"),
        verdict: match verdict {
            Verdict::Holds if at_one < 1e-9 && elsewhere > 0.0 && below == 0 => Verdict::Holds,
            Verdict::Open => Verdict::Open,
            _ => Verdict::DoesNotHold,
        },
    });
    out.claims.push(Claim {
        claim: "the source-optimal λ can turn transfer that helps into negative transfer".into(),
        beyond: false,
        predicted: format!("transfer hurts at λ_S* in {negative} of {total} cases; in {turned} of these it helps at λ₀*"),
        simulated: "see optima.csv: gains at both penalties".into(),
        verdict: Verdict::of(turned > 0),
    });
    let series = curves
        .iter()
        .map(|c| Series {
            label: c.label.clone(),
            line: c.items.iter().filter_map(|(x, r)| Some((*x, 100.0 * main(r).cost?))).collect(),
            dashed: false,
            points: c
                .items
                .iter()
                .filter_map(|(x, r)| {
                    let mut point = interval_point(*x, main(r).simulated_cost.as_ref()?, 100.0)?;
                    point.hollow = main(r).gain_at_source_optimal < 0.0;
                    Some(point)
                })
                .collect(),
        })
        .collect();
    out.plots.push(Plot {
        name: "cost".into(),
        caption: "What the source-optimal penalty costs the target: R_TL(λ_S*)/R_TL(λ₀*) − 1. Hollow: negative transfer at λ_S*.".into(),
        chart: Chart {
            title: view.study.name.clone(),
            note: "lines: theory; points: Monte Carlo, 95% intervals; hollow: negative transfer".into(),
            x: Axis { label: "alignment ρ".into(), log: false },
            y: Axis { label: "cost of λ_S* for the target (% of R_TL)".into(), log: false },
            series,
            level: Some(0.0),
            at: Some(1.0),
        },
    });
    out
}
