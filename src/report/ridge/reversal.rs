//! λ₀*/λ_S* against ρ: the paper's alignment-dependent reversal, and where it crosses 1.

use super::view::{agreement, crossings, holds, interval_point, isotropic, main, Curve, View};
use super::{Claim, Findings, Plot, Verdict};
use crate::report::figure::chart::{Axis, Chart, Series};
use crate::store::RidgeRecord;

/// Curves that one figure can carry.
const MOST: usize = 6;

/// How far from 1 a crossing may be and still count as 1.
const TOLERANCE: f64 = 0.005;

/// Of the points off ρ = 1: those whose simulated ratio lies on the claimed side, on the other, and not told from 1.
#[derive(Default)]
struct Sides {
    right: usize,
    wrong: usize,
    unclear: usize,
}

fn side(rho: f64, record: &RidgeRecord, sides: &mut Sides) {
    let at = main(record);
    if (rho - 1.0).abs() < 1e-9 {
        return;
    }
    let above = rho < 1.0;
    // Where the source's optimum is not inside the grid there is nothing to compare with.
    let edge = at.optimum.simulated_edge.as_deref().filter(|_| record.source_optimum.simulated.is_some());
    let is_above = match (&at.simulated_ratio, edge) {
        (Some(i), _) if i.low.is_some_and(|low| low > 1.0) => Some(true),
        (Some(i), _) if i.high.is_some_and(|high| high < 1.0) => Some(false),
        (None, Some("zero")) => Some(false),
        (None, Some("infinite")) => Some(true),
        _ => None,
    };
    match is_above {
        Some(is) if is == above => sides.right += 1,
        Some(_) => sides.wrong += 1,
        None => sides.unclear += 1,
    }
}

/// Predicted λ₀*/λ_S*, 0 at the boundary λ₀* = 0.
fn predicted(record: &RidgeRecord) -> Option<f64> {
    main(record).ratio
}

/// The simulated crossing, with the interval that the ends of the ratios' intervals cross at.
fn simulated_crossing(curve: &Curve) -> Option<(f64, f64, f64)> {
    let ratio = |pick: &dyn Fn(&crate::store::ridge_record::Interval) -> Option<f64>| -> Vec<(f64, f64)> {
        curve.items.iter().filter_map(|(rho, r)| Some((*rho, pick(main(r).simulated_ratio.as_ref()?)?.ln()))).collect()
    };
    let first = |points: Vec<(f64, f64)>| crossings(&points, 0.0).first().copied();
    let at = first(ratio(&|i| i.estimate))?;
    let low = first(ratio(&|i| i.low)).unwrap_or(f64::NEG_INFINITY);
    let high = first(ratio(&|i| i.high)).unwrap_or(f64::INFINITY);
    Some((at, low.min(high), low.max(high)))
}

pub fn findings(view: &View) -> Findings {
    let curves = view.curves("rho");
    let mut out = Findings::default();
    let (mut hits, mut n, mut worst) = (0, 0, (0.0f64, String::new()));
    for (name, group) in [("Σ₀ = Σ₁ = I", true), ("other covariances", false)] {
        let of: Vec<&Curve> = curves.iter().filter(|c| c.items.iter().all(|(_, r)| isotropic(r)) == group).collect();
        if of.is_empty() {
            continue;
        }
        let mut sides = Sides::default();
        of.iter().for_each(|c| c.items.iter().for_each(|(rho, r)| side(*rho, r, &mut sides)));
        let against = of
            .iter()
            .flat_map(|c| &c.items)
            .filter(|(rho, r)| predicted(r).is_some_and(|ratio| (rho - 1.0).abs() > 1e-9 && (ratio > 1.0) != (*rho < 1.0)));
        let against = against.count();
        let compared = |rho: f64, r: &RidgeRecord| (rho - 1.0).abs() > 1e-9 && predicted(r).is_some();
        let total = of.iter().map(|c| c.items.iter().filter(|(rho, r)| compared(*rho, r)).count()).sum::<usize>();
        out.claims.push(Claim {
            claim: format!("λ₀* > λ_S* for ρ < 1, λ₀* < λ_S* for ρ > 1 ({name})"),
            beyond: !group,
            predicted: match total {
                0 => "no points at which the two differ".into(),
                _ => format!("so at {} of {total} points", total - against),
            },
            simulated: match total {
                0 => "nothing to compare: λ₀* = 0 or no optimum everywhere, or only ρ = 1".into(),
                _ => format!("so at {} of {total}, the reverse at {}, not told apart at {}", sides.right, sides.wrong, sides.unclear),
            },
            verdict: match (against, sides.wrong, sides.unclear) {
                _ if total == 0 => Verdict::Open,
                (0, 0, 0) => Verdict::Holds,
                (0, 0, unclear) if unclear * 10 <= total => Verdict::Holds,
                (0, 0, _) => Verdict::Open,
                _ => Verdict::DoesNotHold,
            },
        });
    }
    for curve in &curves {
        for (rho, record) in &curve.items {
            if let (Some(p), Some(i)) = (predicted(record).filter(|p| *p > 0.0), &main(record).simulated_ratio) {
                let Some(held) = holds(i, p) else { continue };
                n += 1;
                hits += usize::from(held);
                // In units of λ_S* where λ₀* is smaller: near λ₀* = 0 a ratio of ratios says little.
                let off = (i.estimate.unwrap_or(p) - p).abs() / p.max(1.0);
                if off > worst.0 {
                    worst = (off, curve.at_rho(*rho));
                }
            }
        }
        let crossing = curve.items.first().and_then(|(_, r)| main(r).crossing);
        let found = simulated_crossing(curve);
        let at_one = |v: f64| (v - 1.0).abs() <= TOLERANCE;
        let verdict = match (crossing, found) {
            (Some(p), Some((s, low, high))) if at_one(p) && at_one(s) && high - low < 1e-6 => Verdict::Holds,
            (Some(p), Some((_, low, high))) if low.is_finite() && high.is_finite() => match low <= 1.0 && 1.0 <= high {
                true if at_one(p) => Verdict::Holds,
                true => Verdict::Open,
                false => Verdict::DoesNotHold,
            },
            _ => Verdict::Open,
        };
        out.claims.push(Claim {
            claim: format!("the ratio crosses 1 at ρ = 1{}", curve.in_brackets()),
            beyond: !curve.items.iter().all(|(_, r)| isotropic(r)),
            predicted: crossing.map_or("no crossing".into(), |c| format!("crosses at ρ = {c:.4}")),
            simulated: found.map_or("no crossing inside the ρ that were simulated".into(), |(s, low, high)| {
                let bound = |v: f64| if v.is_finite() { format!("{v:.3}") } else { "no bound".into() };
                match high - low < 1e-6 {
                    true if at_one(s) => format!("{s:.3}, without spread: at ρ = 1 each draw's two risks are one function of λ₀"),
                    true => format!("{s:.3}, without spread"),
                    false => format!("{s:.3} ({} to {})", bound(low), bound(high)),
                }
            }),
            verdict,
        });
    }
    if n > 0 {
        let (words, verdict) = agreement(hits, n, worst.0, "");
        out.claims.push(Claim {
            claim: "deterministic equivalents give the simulated λ₀*/λ_S*".into(),
            beyond: false,
            predicted: format!("{n} ratios"),
            simulated: if worst.1.is_empty() { words } else { format!("{words} ({})", worst.1) },
            verdict,
        });
    }
    plots(view, &curves, &mut out);
    out
}

fn plots(view: &View, curves: &[Curve], out: &mut Findings) {
    for (i, chunk) in facets(curves).into_iter().enumerate() {
        let series = chunk
            .1
            .iter()
            .map(|(label, curve)| Series {
                label: label.clone(),
                line: curve.items.iter().filter_map(|(rho, r)| Some((*rho, predicted(r)?))).collect(),
                dashed: false,
                hue: None,
                points: curve.items.iter().filter_map(|(rho, r)| interval_point(*rho, main(r).simulated_ratio.as_ref()?, 1.0)).collect(),
            })
            .collect();
        let suffix = if i == 0 { String::new() } else { format!("-{}", i + 1) };
        let title = if chunk.0.is_empty() { view.study.name.clone() } else { chunk.0.clone() };
        out.plots.push(Plot {
            name: format!("ratio{suffix}"),
            caption: format!("λ₀*/λ_S* against the alignment ρ{}: predicted (lines) and simulated (points).", facet_words(&chunk.0)),
            chart: Chart {
                title,
                note: "lines: theory; points: Monte Carlo with 95% intervals; λ₀* = 0 has no place on this axis".into(),
                x: Axis { label: "alignment ρ".into(), log: false },
                y: Axis { label: "λ₀* / λ_S*".into(), log: true },
                series,
                level: Some(1.0),
                at: Some(1.0),
            },
        });
    }
    crossing_plot(curves, out);
}

fn facet_words(facet: &str) -> String {
    if facet.is_empty() {
        String::new()
    } else {
        format!(" ({facet})")
    }
}

/// (facet, [(label within it, curve)]): by covariance where there are too many curves for one figure.
fn facets<'a, 'b>(curves: &'b [Curve<'a>]) -> Vec<(String, Vec<(String, &'b Curve<'a>)>)> {
    let mut out: Vec<(String, Vec<(String, &Curve)>)> = vec![];
    for curve in curves {
        let (facet, label): (Vec<&str>, Vec<&str>) =
            curve.label.split(", ").partition(|part| curves.len() > MOST && !part.starts_with('γ'));
        let (facet, label) = (facet.join(", "), label.join(", "));
        match out.iter_mut().find(|(known, _)| *known == facet) {
            Some((_, list)) => list.push((label, curve)),
            None => out.push((facet, vec![(label, curve)])),
        }
    }
    out
}

/// Where the ratio crosses 1, against γ, for studies that vary the covariance.
fn crossing_plot(curves: &[Curve], out: &mut Findings) {
    let gamma = |curve: &Curve| {
        let (_, r) = curve.items.first()?;
        Some(r.settings["p"].as_f64()? / r.n0 as f64)
    };
    if curves.len() <= MOST {
        return;
    }
    let mut series: Vec<Series> = vec![];
    for curve in curves {
        let parts: Vec<&str> = curve.label.split(", ").filter(|part| !part.starts_with('γ')).collect();
        let label = parts.join(", ");
        let Some(x) = gamma(curve) else { continue };
        if !series.iter().any(|s| s.label == label) {
            series.push(Series { label: label.clone(), ..Series::default() });
        }
        let Some(s) = series.iter_mut().find(|s| s.label == label) else { continue };
        s.line.extend(curve.items.first().and_then(|(_, r)| main(r).crossing).map(|y| (x, y)));
        s.points.extend(simulated_crossing(curve).map(|(y, low, high)| crate::report::figure::chart::Point {
            x,
            y,
            low,
            high,
            hollow: false,
        }));
    }
    out.plots.push(Plot {
        name: "crossing".into(),
        caption: "The alignment at which λ₀* = λ_S*, against overparameterisation, for each covariance structure.".into(),
        chart: Chart {
            title: "where stronger turns into weaker".into(),
            note: "lines: theory; points: Monte Carlo with 95% intervals".into(),
            x: Axis { label: "γ = p/n₀".into(), log: true },
            y: Axis { label: "alignment ρ at which λ₀* = λ_S*".into(), log: false },
            series,
            level: Some(1.0),
            at: None,
        },
    });
}
