//! Whether transfer helps: R_S − R_TL against the source's noise, and against the target's size and noise.

use super::view::{agreement, crossings, isotropic, isotropic_targets, main, risk_point, short, symbol, Curve, View, Z95};
use super::{Claim, Findings, Plot, Verdict};
use crate::report::figure::chart::{Axis, Chart, Series};
use crate::store::ridge_record::Risk;
use crate::store::RidgeRecord;

/// R_S − R_TL at the study's smallest λ₀ and λ₁.
fn gain(record: &RidgeRecord) -> &Risk {
    &main(record).gain[0]
}

/// −1, 0 (not told from 0) or 1.
fn simulated_sign(risk: &Risk) -> i32 {
    let half = Z95 * risk.error;
    i32::from(risk.simulated > half) - i32::from(risk.simulated < -half)
}

fn matches(curves: &[Curve]) -> Claim {
    let all: Vec<(&Risk, f64)> = curves.iter().flat_map(|c| c.items.iter().map(|(_, r)| (gain(r), main(r).scratch.predicted))).collect();
    let hits = all.iter().filter(|(r, _)| (r.simulated - r.predicted).abs() <= Z95 * r.error).count();
    let furthest = all.iter().map(|(r, scratch)| (r.predicted - r.simulated).abs() / scratch).fold(0.0, f64::max);
    let (words, verdict) = agreement(hits, all.len(), furthest, " of R_S");
    Claim {
        claim: "deterministic equivalents give the simulated R_S − R_TL".into(),
        beyond: false,
        predicted: format!("{} differences", all.len()),
        simulated: words,
        verdict,
    }
}

fn chart(curves: &[Curve], title: String, x: &str, name: &str, caption: &str) -> Plot {
    let series = curves
        .iter()
        .map(|c| Series {
            label: c.label.clone(),
            line: c.items.iter().map(|(x, r)| (*x, gain(r).predicted / main(r).scratch.predicted)).collect(),
            dashed: false,
            hue: None,
            points: c.items.iter().map(|(x, r)| risk_point(*x, gain(r), 1.0 / main(r).scratch.predicted)).collect(),
        })
        .collect();
    Plot {
        name: name.into(),
        caption: caption.into(),
        chart: Chart {
            title,
            note: "lines: theory; points: Monte Carlo with 95% intervals; above 0 transfer helps".into(),
            x: Axis { label: x.into(), log: true },
            y: Axis { label: "(R_S − R_TL) / R_S".into(), log: false },
            series,
            level: Some(0.0),
            at: None,
        },
    }
}

/// Corollary 3.4: more source noise, less help.
pub fn source_noise(view: &View) -> Findings {
    let curves = view.curves("source.noise");
    let mut out = Findings::default();
    for c in &curves {
        let predicted: Vec<(f64, f64)> = c.items.iter().map(|(x, r)| (*x, gain(r).predicted)).collect();
        let simulated: Vec<(f64, f64)> = c.items.iter().map(|(x, r)| (*x, gain(r).simulated)).collect();
        let falls = |points: &[(f64, f64)]| points.windows(2).all(|w| w[1].1 < w[0].1);
        // Steps from one noise to the next: significantly up, significantly down.
        let steps = |sign: f64| {
            let clear = |w: &[(f64, &RidgeRecord)]| {
                let (a, b) = (gain(w[0].1), gain(w[1].1));
                sign * (b.simulated - a.simulated) > Z95 * a.error.hypot(b.error)
            };
            c.items.windows(2).filter(|w| clear(w)).count()
        };
        let thresholds: Vec<f64> = c.items.iter().filter_map(|(_, r)| main(r).threshold[0]).collect();
        let exact = ridgeless_noise(c);
        let at = |points: &[(f64, f64)]| crossings(points, 0.0).first().copied();
        let where_ = |v: Option<f64>| v.map_or("nowhere in this range".into(), |v| format!("at σ₀² = {}", short(v)));
        out.claims.push(Claim {
            claim: format!("the region in which transfer helps shrinks as σ₀² grows{}", c.in_brackets()),
            beyond: !c.items.iter().all(|(_, r)| isotropic(r)),
            predicted: format!(
                "R_S − R_TL {} with σ₀², 0 {}{}; the ρ needed grows from {} to {}",
                if falls(&predicted) { "falls" } else { "does not fall everywhere" },
                where_(at(&predicted)),
                exact.map_or(String::new(), |v| format!(" (exactly, ridgeless: {})", short(v))),
                thresholds.first().copied().map_or("none".into(), short),
                thresholds.last().copied().map_or("none".into(), short)
            ),
            simulated: format!(
                "{}, 0 {}",
                if falls(&simulated) { "falls at every step" } else { "falls up to noise" },
                where_(at(&simulated))
            ),
            verdict: match falls(&predicted) && steps(1.0) == 0 && thresholds.windows(2).all(|w| w[1] > w[0]) {
                // Where transfer and scratch are one estimate, nothing falls or rises.
                _ if thresholds.len() < c.items.len() || predicted.iter().all(|(_, gain)| *gain == 0.0) => Verdict::Open,
                true if c.items.len() < 2 || 2 * steps(-1.0) < c.items.len() - 1 => Verdict::Open,
                holds => Verdict::of(holds),
            },
        });
    }
    out.claims.push(matches(&curves));
    out.plots.push(chart(
        &curves,
        view.study.name.clone(),
        "source noise σ₀²/‖w₀‖²",
        "gain",
        "What transfer gains over training from scratch, against the source's noise.",
    ));
    let series = curves
        .iter()
        .map(|c| Series {
            label: c.label.clone(),
            line: c.items.iter().filter_map(|(x, r)| Some((*x, main(r).threshold[0]?))).collect(),
            ..Series::default()
        })
        .collect();
    out.plots.push(Plot {
        name: "threshold".into(),
        caption: "The alignment from which on transfer helps: above the lines it helps, below it hurts.".into(),
        chart: Chart {
            title: "transfer helps above the line".into(),
            note: "theory, at the study's smallest λ₀ and λ₁".into(),
            x: Axis { label: "source noise σ₀²/‖w₀‖²".into(), log: true },
            y: Axis { label: "smallest ρ at which transfer helps".into(), log: true },
            series,
            level: curves.first().and_then(|c| c.items.first()).map(|(_, r)| r.targets[0].rho),
            at: None,
        },
    });
    out
}

/// The σ₀² at which the exact ridgeless condition turns: (2ρ − 1)(|p − n₀| − 1)/p.
fn ridgeless_noise(c: &Curve) -> Option<f64> {
    let (_, r) = c.items.first()?;
    let p = r.settings["p"].as_f64()?;
    (isotropic(r) && r.lambda0[0] == 0.0).then(|| (2.0 * r.targets[0].rho - 1.0) * ((p - r.n0 as f64).abs() - 1.0) / p)
}

/// Whether the decision depends on n₁ and σ₁²: it does not where Σ₁ = I.
pub fn target_size(view: &View) -> Findings {
    let curves = view.curves("n1");
    let mut out = Findings::default();
    // Cases that differ in nothing but the target's size and noise.
    let mut groups: Vec<(String, Vec<&RidgeRecord>)> = vec![];
    for curve in &curves {
        let others: Vec<&str> = curve.label.split(", ").filter(|part| !part.starts_with(symbol("target.noise"))).collect();
        let label = others.join(", ");
        let records = curve.items.iter().map(|(_, r)| *r);
        match groups.iter_mut().find(|(known, _)| *known == label) {
            Some((_, list)) => list.extend(records),
            None => groups.push((label, records.collect())),
        }
    }
    for (label, records) in &groups {
        out.claims.push(decision(label, records));
    }
    out.claims.push(matches(&curves));
    let x = format!("target samples {}", symbol("n1"));
    let caption = "What transfer gains over training from scratch, against the target's number of samples.";
    out.plots.push(chart(&curves, view.study.name.clone(), &x, "gain", caption));
    out
}

/// One statement for both studies: the paper's claim is for Σ₁ = I, and the twin shows where it ends.
fn decision(label: &str, records: &[&RidgeRecord]) -> Claim {
    let predicted_sign = |r: &Risk| i32::from(r.predicted > 0.0) - i32::from(r.predicted < 0.0);
    let count = |sign: &dyn Fn(&Risk) -> i32, wanted: i32| records.iter().filter(|r| sign(gain(r)) == wanted).count();
    let words = |sign: &dyn Fn(&Risk) -> i32| {
        let unclear = match count(sign, 0) {
            0 => String::new(),
            n => format!(", not told apart in {n}"),
        };
        format!("helps in {}, hurts in {}{unclear}, of {} targets", count(sign, 1), count(sign, -1), records.len())
    };
    let changes = |sign: &dyn Fn(&Risk) -> i32| count(sign, 1) > 0 && count(sign, -1) > 0;
    let plain = records.iter().all(|r| isotropic_targets(r));
    let end = if label.is_empty() { String::new() } else { format!(", {label}") };
    Claim {
        claim: match plain {
            true => format!("whether transfer helps does not depend on n₁ or σ₁² (Σ₁ = I{end})"),
            false => format!("whether transfer helps depends on n₁ or σ₁² (Σ₁ ≠ I{end})"),
        },
        beyond: !plain,
        predicted: words(&predicted_sign),
        simulated: words(&simulated_sign),
        verdict: match plain {
            true if changes(&predicted_sign) || changes(&simulated_sign) => Verdict::DoesNotHold,
            true if count(&simulated_sign, 0) * 4 > records.len() => Verdict::Open,
            true => Verdict::Holds,
            false if changes(&simulated_sign) => Verdict::Holds,
            false if changes(&predicted_sign) => Verdict::Open,
            false => Verdict::DoesNotHold,
        },
    }
}
