//! Compares the optimal λ₀ of source and target: intervals, and the verdict.

use super::answer::{Answered, Bound, Method, OptimaComparison, OrderProbabilities, Rules, Verdict, MIN_SEEDS};
use super::curve_optima::Curves;
use super::drawn_optima::DrawnOptima;
use super::grid_points;
use super::layout::Setting;
use super::scores::Scores;
use super::stats::{even_weights, quantile};
use crate::base::interval::Interval;
use crate::config::StrongerEnd;

/// Intervals of the optima and of their ratio, all from the same draws. Among equally good values,
/// lower interval ends use the smallest and upper ends the largest.
pub fn compare_optima(answered: &Answered, setting: &Setting, scores: &Scores) -> OptimaComparison {
    let curves = Curves::new(setting, &answered.eligible_lambda0, scores);
    let of_curves = curves.as_ref().and_then(|curves| Some((curves.optima()?, curves.draws())));
    let (method, optima, draws) = match of_curves {
        Some((optima, draws)) => (Method::Curves, optima, draws),
        None => {
            let even = even_weights(answered.basis.seeds.len());
            let at_points = DrawnOptima {
                source: (setting.lambda0[answered.source], setting.lambda0[answered.source]),
                transfer: (setting.lambda0[answered.transfer.0], setting.lambda0[answered.transfer.0]),
                log_ratio: (f64::NEG_INFINITY, f64::INFINITY),
                hidden: 0.0,
                source_end: None,
                transfer_end: None,
            };
            // `answered` exists only if there is a best λ₀.
            let optima = grid_points::optima(setting, answered, scores, &even).unwrap_or(at_points);
            (Method::GridPoints, optima, grid_points::draws(setting, answered, scores))
        }
    };
    let between = |error: f64, ends: &dyn Fn(&DrawnOptima) -> (f64, f64)| {
        let values = |end: fn((f64, f64)) -> f64| draws.iter().map(|draw| end(ends(draw))).collect::<Vec<_>>();
        Some((quantile(values(|ends| ends.0), error / 2.0)?, quantile(values(|ends| ends.1), 1.0 - error / 2.0)?))
    };
    let estimate = optima.estimate();
    // What the grid hides does not depend on the noise.
    let wider = |end: f64| match end - estimate {
        distance if distance.is_finite() => estimate + distance.signum() * distance.hypot(optima.hidden),
        _ => end,
    };
    let range = between(setting.rules.error, &|draw| draw.log_ratio).map(|(low, high)| (wider(low), wider(high)));
    let log_ratio = Interval { estimate, range };
    let share = |holds: &dyn Fn(&DrawnOptima) -> bool| draws.iter().filter(|draw| holds(draw)).count() as f64 / draws.len() as f64;
    let (above, below) = (share(&DrawnOptima::is_larger), share(&DrawnOptima::is_smaller));
    let probabilities = (!draws.is_empty()).then_some(match setting.regularizer.stronger {
        StrongerEnd::Larger => OrderProbabilities { stronger: above, weaker: below },
        StrongerEnd::Smaller => OrderProbabilities { stronger: below, weaker: above },
    });
    let tied_ratio = Some((
        super::drawn_optima::log_ratio(optima.source.1, optima.transfer.0).exp(),
        super::drawn_optima::log_ratio(optima.source.0, optima.transfer.1).exp(),
    ));
    let of_noise = curves.as_ref().filter(|_| method == Method::Curves).map(Curves::draws_of_noise);
    OptimaComparison {
        noise_share: of_noise.map_or(1.0, |of_noise| {
            let all = spread(&draws) + (2.0 * optima.hidden).powi(2);
            (spread(&of_noise) / all.max(f64::MIN_POSITIVE)).clamp(0.0, 1.0)
        }),
        verdict: verdict(answered, setting, method, log_ratio),
        method,
        source: optima.source.0,
        transfer: optima.transfer.0,
        log_ratio,
        bound: Bound::of(optima.source_end, optima.transfer_end),
        source_range: between(0.05, &|draw| draw.source),
        transfer_range: between(0.05, &|draw| draw.transfer),
        probabilities,
        tied_ratio: tied_ratio.filter(|(low, high)| low != high),
        source_end: optima.source_end,
        transfer_end: optima.transfer_end,
    }
}

/// The sum of the squared widths of the 95% ranges of ln λ_S* and ln λ₀*; λ₀ = 0 counts as the
/// smallest value above 0.
fn spread(draws: &[DrawnOptima]) -> f64 {
    let of = |value: fn(&DrawnOptima) -> f64| -> f64 {
        let all = || draws.iter().map(value);
        let least = all().filter(|v| *v > 0.0).fold(f64::INFINITY, f64::min);
        let logs: Vec<f64> = all().map(|v| v.max(least).ln()).collect();
        let width = quantile(logs.clone(), 0.975).zip(quantile(logs, 0.025)).map_or(0.0, |(high, low)| high - low);
        width * width
    };
    of(|draw| draw.source.0) + of(|draw| draw.transfer.0)
}

/// Whether λ₀* regularises more than λ_S*, as far as these seeds and this grid can decide.
fn verdict(answered: &Answered, setting: &Setting, method: Method, log_ratio: Interval) -> Verdict {
    let Rules { margin, .. } = setting.rules;
    let is_within = |low: f64, high: f64| match method {
        Method::Curves => low > -margin.ln() && high < margin.ln(),
        // Between grid points nothing is known.
        Method::GridPoints => low == 0.0 && high == 0.0 && is_fine(&answered.eligible_grid(setting), margin),
    };
    let order = match (log_ratio.range, setting.regularizer.stronger) {
        _ if answered.basis.seeds.len() < MIN_SEEDS || answered.partial => Verdict::Undecided,
        (Some((low, _)), StrongerEnd::Larger) if low > 0.0 => Verdict::Stronger,
        (Some((low, _)), StrongerEnd::Smaller) if low > 0.0 => Verdict::Weaker,
        (Some((_, high)), StrongerEnd::Larger) if high < 0.0 => Verdict::Weaker,
        (Some((_, high)), StrongerEnd::Smaller) if high < 0.0 => Verdict::Stronger,
        (Some((low, high)), _) if is_within(low, high) => Verdict::Same,
        _ => Verdict::Undecided,
    };
    match order {
        Verdict::Undecided => Verdict::Undecided,
        _ if !answered.learned.source || !answered.learned.target => Verdict::Undecided,
        _ if answered.learned.is_collapsed() => Verdict::Collapsed,
        order => order,
    }
}

/// No step of the grid is wider than the margin.
fn is_fine(grid: &[f64], margin: f64) -> bool {
    grid.windows(2).all(|pair| pair[0] > 0.0 && pair[1] / pair[0] <= margin)
}
