//! One λ₀ for several targets of one source: the λ₀ with the smallest mean regret, and the λ₀ with
//! the smallest maximum regret.

use super::grid_end::GridEnd;
use super::layout::Setting;
use super::setting::SettingAnalysis;
use super::stats::{bootstrap, even_weights, quantile, weighted_mean};
use crate::base::interval::Interval;
use crate::config::Selection;

/// A λ₀ for all targets, chosen on validation images.
#[derive(Debug, Clone)]
pub struct SharedChoice {
    /// Index into λ₀.
    pub at: usize,
    /// Indices of other λ₀ that are equally good.
    pub ties: Vec<usize>,
    /// The end of the grid at which this λ₀, or one that ties with it, is.
    pub end: Option<GridEnd>,
    /// 95% interval of the choice over seeds.
    pub range: Option<(f64, f64)>,
    /// The cost for each target: the test metric at the target's own optimum minus that at this λ₀,
    /// each with its best λ₁.
    pub costs: Vec<Interval>,
}

/// All targets have equal weight. Regret is the loss of a target's validation metric relative to
/// its own best λ₀.
#[derive(Debug, Clone)]
pub struct SharedLambda0 {
    pub lambda0: Vec<f64>,
    /// The λ₀ with the smallest mean regret.
    pub mean_regret: SharedChoice,
    /// The λ₀ with the smallest maximum regret.
    pub worst_regret: SharedChoice,
    /// The source-optimal λ₀.
    pub source_optimum: Option<SharedChoice>,
}

/// Validation scores by seed for each λ₀, with the λ₁ that is best on average. None if a seed has
/// no result.
type ValidationCurve = Vec<Option<Vec<f64>>>;

/// None unless the settings differ only in the target's classes and share the source models. Of
/// settings with grids of their own, those λ₀ and seeds are compared that all of them have.
pub fn shared_lambda0(settings: &[SettingAnalysis], selection: Selection) -> Option<SharedLambda0> {
    let first = settings.first().filter(|_| settings.len() > 1)?;
    let has_target_axis_alone = |setting: &Setting| setting.axes.len() == 1 && setting.axes[0].0 == "target.classes";
    if !settings.iter().all(|of| has_target_axis_alone(&of.setting)) {
        return None;
    }
    let is_same = |of: &SettingAnalysis| (&of.setting.lambda0, &of.setting.seeds) == (&first.setting.lambda0, &first.setting.seeds);
    let common: Vec<SettingAnalysis>;
    let settings = if settings.iter().all(is_same) {
        settings
    } else {
        let own = &first.setting;
        let in_all = |has: &dyn Fn(&Setting) -> bool| settings.iter().all(|of| has(&of.setting));
        let lambda0: Vec<f64> = own.lambda0.iter().copied().filter(|v| in_all(&|setting| setting.lambda0.contains(v))).collect();
        let seeds: Vec<u64> = own.seeds.iter().copied().filter(|seed| in_all(&|setting| setting.seeds.contains(seed))).collect();
        common = settings.iter().map(|of| SettingAnalysis::new(of.setting.restricted(&lambda0, &seeds), selection)).collect();
        &common
    };
    let first = settings.first()?;
    // If the vocabulary includes the target's words, each target has its own source model.
    let shares_source = |setting: &Setting| setting.source.iter().zip(&first.setting.source).all(|(a, b)| a.by_seed == b.by_seed);
    let is_alike = |other: &SettingAnalysis| shares_source(&other.setting) && other.basis.seeds == first.basis.seeds;
    if !settings.iter().all(is_alike) || first.basis.seeds.is_empty() || first.setting.lambda0.len() < 2 {
        return None;
    }
    let curves: Vec<ValidationCurve> = settings.iter().map(curve).collect();
    let n = first.basis.seeds.len();
    let lambda0 = &first.setting.lambda0;
    // All equally good λ₀. Values are rounded, so that ties compare as equal.
    let choose = |weights: &[f64], worst: bool| -> Vec<usize> {
        let regrets: Vec<Vec<Option<f64>>> = curves.iter().map(|curve| regret(curve, weights)).collect();
        let of = |i: usize| -> Option<f64> {
            let all: Vec<f64> = regrets.iter().map(|regret| regret[i]).collect::<Option<_>>()?;
            Some(if worst { all.iter().copied().fold(0.0, f64::max) } else { all.iter().sum::<f64>() / all.len() as f64 })
        };
        let all: Vec<(usize, f64)> = (0..lambda0.len()).filter_map(|i| Some((i, (of(i)? * 1e12).round()))).collect();
        let least = all.iter().map(|(_, regret)| *regret).fold(f64::INFINITY, f64::min);
        all.into_iter().filter(|(_, regret)| *regret == least).map(|(i, _)| i).collect()
    };
    let choice = |worst: bool| -> Option<SharedChoice> {
        let best = choose(&even_weights(n), worst);
        let (at, last) = (*best.first()?, *best.last()?);
        let draws = bootstrap(n, |w| choose(w, worst));
        let ends = |of: fn(&[usize]) -> Option<&usize>| draws.iter().filter_map(|best| Some(lambda0[*of(best)?])).collect::<Vec<f64>>();
        let range = quantile(ends(|best| best.first()), 0.025).zip(quantile(ends(|best| best.last()), 0.975)).filter(|_| n > 1);
        let end = GridEnd::of(lambda0, lambda0[at], lambda0[last]);
        Some(SharedChoice { at, ties: best[1..].to_vec(), end, range, costs: costs(settings, at)? })
    };
    let own = || {
        let answered = first.answer.answered()?;
        let comparison = answered.comparison.as_ref();
        let range = comparison.and_then(|c| c.source_range);
        let end = GridEnd::of(lambda0, lambda0[answered.source], lambda0[answered.source]);
        Some(SharedChoice { at: answered.source, ties: vec![], end, range, costs: costs(settings, answered.source)? })
    };
    Some(SharedLambda0 { lambda0: lambda0.clone(), mean_regret: choice(false)?, worst_regret: choice(true)?, source_optimum: own() })
}

fn curve(of: &SettingAnalysis) -> ValidationCurve {
    let score = |i: usize| {
        let row = &of.setting.target[i];
        of.basis.validation_scores(&row[of.basis.best_lambda1(row)?])
    };
    (0..of.setting.lambda0.len()).map(score).collect()
}

fn regret(curve: &ValidationCurve, weights: &[f64]) -> Vec<Option<f64>> {
    let means: Vec<Option<f64>> = curve.iter().map(|scores| scores.as_ref().map(|scores| weighted_mean(scores, weights))).collect();
    let best = means.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
    means.into_iter().map(|mean| mean.map(|mean| best - mean)).collect()
}

fn costs(settings: &[SettingAnalysis], at: usize) -> Option<Vec<Interval>> {
    let cost = |of: &SettingAnalysis| {
        let rows = &of.setting.target;
        let (i, j) = of.answer.answered()?.transfer;
        let own = of.basis.test_scores(&rows[i][j])?;
        let here = of.basis.test_scores(&rows[at][of.basis.best_lambda1(&rows[at])?])?;
        Some(of.basis.difference(&own, &here))
    };
    settings.iter().map(cost).collect()
}
