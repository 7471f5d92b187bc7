//! The axis of λ₀.

use super::axis::power;
use super::canvas::{line, text, HPos, Step, VPos, INK};
use crate::config::Regularizer;

/// A logarithmic axis of λ₀. The value 0 has its own position, left of a break.
pub struct LambdaAxis {
    /// The pixel at which the logarithmic part begins.
    left: f64,
    right: f64,
    low: f64,
    high: f64,
    zero: Option<f64>,
}

impl LambdaAxis {
    pub fn new(values: &[f64], left: f64, right: f64) -> LambdaAxis {
        let logs: Vec<f64> = values.iter().filter(|v| **v > 0.0).map(|v| v.log10()).collect();
        let (mut low, mut high) = logs.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &v| (a.min(v), b.max(v)));
        if logs.is_empty() {
            (low, high) = (-1.0, 0.0);
        }
        if high - low < 0.2 {
            (low, high) = (low - 0.5, high + 0.5);
        }
        let has_zero = values.contains(&0.0);
        let width = right - left;
        let zero = has_zero.then_some(left + 0.035 * width);
        LambdaAxis {
            left: if has_zero { left + 0.13 * width } else { left + 0.035 * width },
            right: right - 0.035 * width,
            low,
            high,
            zero,
        }
    }

    pub fn at(&self, lambda: f64) -> f64 {
        match self.zero {
            Some(zero) if lambda == 0.0 => zero,
            _ => self.left + (lambda.log10() - self.low) / (self.high - self.low) * (self.right - self.left),
        }
    }

    /// Ticks with their labels. Minor ticks have no label.
    fn ticks(&self) -> Vec<(f64, Option<String>)> {
        let mut ticks: Vec<(f64, Option<String>)> = self.zero.map(|x| (x, Some("0".to_string()))).into_iter().collect();
        let decades = self.high.floor() as i32 - self.low.ceil() as i32;
        let every = if decades > 8 { 2 } else { 1 };
        let short = self.high - self.low < 1.7;
        for decade in self.low.floor() as i32..=self.high.ceil() as i32 {
            for digit in 1..10 {
                let log = f64::from(decade) + f64::from(digit).log10();
                if log < self.low - 0.02 || log > self.high + 0.02 {
                    continue;
                }
                let named = (digit == 1 && decade % every == 0) || (short && [2, 5].contains(&digit));
                let label = || if digit == 1 { power(decade) } else { format!("{digit}·{}", power(decade)) };
                ticks.push((self.at(10f64.powf(log)), named.then(label)));
            }
        }
        ticks
    }

    /// Draws the axis below a panel: the line, the ticks, and the break between 0 and the
    /// logarithmic part.
    pub fn draw(&self, out: &mut Vec<Step>, (left, right, bottom): (f64, f64, f64)) {
        match self.zero {
            None => out.push(line(vec![(left, bottom), (right, bottom)], INK, 2.0)),
            Some(zero) => {
                let gap = (zero + self.left) / 2.0;
                out.push(line(vec![(left, bottom), (gap - 7.0, bottom)], INK, 2.0));
                out.push(line(vec![(gap + 7.0, bottom), (right, bottom)], INK, 2.0));
                for x in [gap - 7.0, gap + 7.0] {
                    out.push(line(vec![(x - 5.0, bottom + 10.0), (x + 5.0, bottom - 10.0)], INK, 2.0));
                }
            }
        }
        for (x, named) in self.ticks() {
            let (length, width) = if named.is_some() { (12.0, 2.0) } else { (6.0, 1.0) };
            out.push(line(vec![(x, bottom), (x, bottom + length)], INK, width));
        }
    }

    /// Draws the tick labels and the axis label below `bottom`.
    pub fn label(&self, out: &mut Vec<Step>, (left, right, bottom): (f64, f64, f64), regularizer: &Regularizer) {
        for (x, label) in self.ticks() {
            out.extend(label.map(|label| text((x, bottom + 16.0), label, HPos::Center, VPos::Top, INK)));
        }
        out.push(text(((left + right) / 2.0, bottom + 88.0), name(regularizer), HPos::Center, VPos::Bottom, INK));
    }
}

/// The axis label.
pub fn name(regularizer: &Regularizer) -> String {
    regularizer.stands_for().map_or("source penalty λ₀".into(), |axis| format!("{axis} (for λ₀)"))
}
