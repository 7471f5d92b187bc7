//! What λ_S* in place of λ₀* costs the target, and where it turns transfer into negative transfer.

use super::view::{agreement, holds, interval_point, isotropic, main, short, View};
use super::{Claim, Findings, Plot, Verdict};
use crate::report::figure::chart::{Axis, Chart, Series};
use crate::store::ridge_record::Interval;

pub fn findings(view: &View) -> Findings {
    let curves = view.curves("rho");
    let mut out = Findings::default();
    let mut largest = (0.0, String::new());
    let (mut negative, mut turned, mut total, mut below) = (0, 0, 0, 0);
    let (mut hits, mut n, mut furthest) = (0, 0, 0.0f64);
    let (mut at_one, mut elsewhere) = (None::<f64>, f64::INFINITY);
    let (mut seen_negative, mut seen_turned) = (0, 0);
    let beyond = !curves.iter().all(|c| c.items.iter().all(|(_, r)| isotropic(r)));
    for c in &curves {
        for (rho, r) in &c.items {
            let at = main(r);
            total += 1;
            let Some(cost) = at.cost else { continue };
            if cost > largest.0 {
                largest = (cost, c.at_rho(*rho));
            }
            match (rho - 1.0).abs() < 1e-9 {
                true => at_one = Some(at_one.unwrap_or(0.0).max(cost.abs())),
                false => elsewhere = elsewhere.min(cost),
            }
            // At ρ = ½ the gain at λ_S* is 0 exactly (isotropic): rounding must not decide.
            let none = 1e-9 * at.scratch.predicted;
            negative += usize::from(at.gain_at_source_optimal < -none);
            turned += usize::from(at.gain_at_source_optimal < -none && at.gain_at_transfer_optimal > none);
            if let Some(source) = at.simulated_gain_at_source_optimal.as_ref().filter(|i| i.high.is_some_and(|high| high < 0.0)) {
                let helps = |i: &Interval| i.low.is_some_and(|low| low > 0.0);
                seen_negative += usize::from(source.estimate.is_some());
                seen_turned += usize::from(at.simulated_gain_at_transfer_optimal.as_ref().is_some_and(helps));
            }
            if let Some(i) = &at.simulated_cost {
                let Some(held) = holds(i, cost) else { continue };
                n += 1;
                hits += usize::from(held);
                furthest = furthest.max((i.estimate.unwrap_or(cost) - cost).abs());
                below += usize::from(i.high.is_some_and(|high| high < 0.0));
            }
        }
    }
    let (words, verdict) = agreement(hits, n, furthest, " of R_TL");
    out.claims.push(Claim {
        beyond,
        claim: "the source-optimal λ costs the target nothing at ρ = 1 and something everywhere else".into(),
        predicted: format!(
            "{} at ρ = 1, {} elsewhere",
            at_one.map_or("not in the study".into(), |c| if c == 0.0 { "0".into() } else { format!("{c:.1e}") }),
            match elsewhere.is_finite() {
                true => format!("at least {}%, at most {}% ({})", short(100.0 * elsewhere), short(100.0 * largest.0), largest.1),
                false => "no other ρ is in the study".into(),
            }
        ),
        simulated: format!("{words}; below 0 beyond its interval at {below} of {n}"),
        verdict: match verdict {
            _ if at_one.is_none() || !elsewhere.is_finite() => Verdict::Open,
            Verdict::Holds if at_one.is_some_and(|c| c < 1e-9) && elsewhere > 0.0 && below == 0 => Verdict::Holds,
            Verdict::Open => Verdict::Open,
            _ => Verdict::DoesNotHold,
        },
    });
    out.claims.push(Claim {
        claim: "the source-optimal λ can turn transfer that helps into negative transfer".into(),
        beyond,
        predicted: format!("transfer hurts at λ_S* in {negative} of {total} cases; in {turned} of these it helps at λ₀*"),
        simulated: format!("hurts at λ_S* (95% interval below 0) in {seen_negative}; in {seen_turned} of these it helps at λ₀* (above 0)"),
        verdict: match turned > 0 {
            _ if total == 0 => Verdict::Open,
            true if seen_turned == 0 => Verdict::Open,
            holds => Verdict::of(holds),
        },
    });
    let series = curves
        .iter()
        .map(|c| Series {
            label: c.label.clone(),
            line: c.items.iter().filter_map(|(x, r)| Some((*x, 100.0 * main(r).cost?))).collect(),
            dashed: false,
            hue: None,
            points: c
                .items
                .iter()
                .filter_map(|(x, r)| {
                    let mut point = interval_point(*x, main(r).simulated_cost.as_ref()?, 100.0)?;
                    point.hollow = main(r).gain_at_source_optimal < -1e-9 * main(r).scratch.predicted;
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
