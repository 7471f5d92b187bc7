//! How much of a target's noise is that of the draw of its images.

use crate::plan::Plan;
use crate::report::analysis::{Metric, Setting};
use crate::store::Records;

/// Assumed where a single draw was trained: what a pilot measured.
const ASSUMED: f64 = 0.7;

/// The share of the variance over seeds of a difference between two λ₀ that more draws would
/// reduce: (variance within seeds / draws) / variance between the seeds' means. `low` and `high`
/// are the positions of the two λ₀, `lambda1` that of λ₁.
pub fn share_of_draws(plan: &Plan, records: &Records, setting: &Setting, metric: Metric, low: usize, high: usize, lambda1: usize) -> f64 {
    let values = |seed: u64, i: usize| -> Option<Vec<f64>> {
        let cell = plan.cells.iter().find(|cell| {
            let own = |path: &str| cell.axes.iter().find(|(axis, _)| axis == path).and_then(|(_, value)| value.as_f64());
            let is_other = setting.axes.iter().all(|axis| cell.axes.contains(axis));
            let lambda0 = own(&setting.regularizer.axis).unwrap_or(plan.stages[cell.source].lambda);
            is_other
                && cell.seed == seed
                && lambda0 == setting.lambda0[i]
                && plan.stages[cell.targets[0]].lambda == setting.lambda1[lambda1]
        })?;
        cell.targets
            .iter()
            .map(|&index| records.by_key.get(&plan.stages[index].key)?.metrics.get(metric.validation_key()).copied())
            .collect()
    };
    let of_seed = |&seed: &u64| Some(values(seed, low)?.iter().zip(values(seed, high)?).map(|(a, b)| a - b).collect::<Vec<f64>>());
    let differences: Vec<Vec<f64>> = setting.seeds.iter().filter_map(of_seed).collect();
    let draws = differences.first().map_or(0, Vec::len);
    if draws < 2 || differences.len() < 2 {
        return ASSUMED;
    }
    let means: Vec<f64> = differences.iter().map(|own| mean(own)).collect();
    let within = mean(&differences.iter().map(|own| variance(own)).collect::<Vec<_>>());
    let share = within / draws as f64 / variance(&means);
    if share.is_nan() {
        return 0.0; // all results are equal
    }
    share.clamp(0.0, 1.0)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn variance(values: &[f64]) -> f64 {
    let centre = mean(values);
    values.iter().map(|value| (value - centre).powi(2)).sum::<f64>() / (values.len() - 1) as f64
}
