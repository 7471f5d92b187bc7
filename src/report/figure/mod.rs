//! The figures, as SVG and PNG from one drawing.

mod axis;
mod canvas;
pub mod chart;
mod curves;
mod heat_map;

pub use curves::curves;
pub use heat_map::{heat_map, heat_map_rgb};

use super::answer::Answer;
use super::collect::{Cell, Metric};
use super::stats::{interval, mean, mean_of};

/// Mean and 95% interval of a test metric over the answer's seeds, in the figure's units (percent, or nats).
fn summarise(cell: &Cell, answer: &Answer) -> Option<(f64, f64, f64)> {
    let unit = if answer.metric == Metric::Accuracy { 100.0 } else { 1.0 };
    let values: Vec<f64> = cell.values(&answer.seeds, answer.metric.key(true))?.into_iter().map(|v| unit * v).collect();
    let centre = mean(&values);
    let (low, high) = interval(values.len(), |draw| mean_of(&values, draw)).unwrap_or((centre, centre));
    Some((centre, low, high))
}
