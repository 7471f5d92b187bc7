//! A numeric axis: converts values to pixels, and selects ticks.

/// A linear or logarithmic scale from values to pixels.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    log: bool,
    /// In the units of the scale: log₁₀ if it is logarithmic.
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

/// The position and the label of a tick. Minor ticks have no label.
pub type Tick = (f64, Option<String>);

impl Scale {
    /// Covers `values` with a margin. Values that are not finite are ignored, and on a log scale
    /// also those that are not positive.
    pub fn over(values: impl Iterator<Item = f64>, log: bool, margin: f64, (from, to): (f64, f64)) -> Scale {
        let own = values.filter(|v| v.is_finite() && (!log || *v > 0.0)).map(|v| if log { v.log10() } else { v });
        let (mut low, mut high) = own.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        let least = if log { 0.2 } else { 1e-9 + 1e-3 * high.abs() };
        if high - low < least {
            (low, high) = (low - least, high + least);
        }
        let room = margin * (high - low);
        Scale { log, low: low - room, high: high + room, from, to }
    }

    /// The pixel of a value. None for a value ≤ 0 on a logarithmic scale.
    pub fn at(&self, value: f64) -> Option<f64> {
        let own = match self.log {
            true if value > 0.0 => value.log10(),
            true => return None,
            false => value,
        };
        own.is_finite().then(|| self.from + (own - self.low) / (self.high - self.low) * (self.to - self.from))
    }

    /// The pixel of a value, limited to the frame; used for the ends of error bars, infinite ones
    /// too.
    pub fn clamped(&self, value: f64) -> f64 {
        let (a, b) = (self.from.min(self.to), self.from.max(self.to));
        match self.at(value) {
            Some(x) => x.clamp(a, b),
            None if value > 0.0 => self.to,
            None => self.from,
        }
    }

    pub fn inside(&self, value: f64) -> bool {
        self.at(value).is_some_and(|x| (self.from.min(self.to)..=self.from.max(self.to)).contains(&x))
    }

    pub fn ticks(&self, about: usize) -> Vec<Tick> {
        if !self.log {
            let ticks = nice_ticks(self.low, self.high, about);
            let digits = decimals(&ticks);
            let label = |v: &f64| format!("{:.digits$}", if v.abs() < 1e-12 { 0.0 } else { *v });
            return ticks.iter().filter_map(|v| Some((self.at(*v)?, Some(label(v))))).collect();
        }
        let every = 1 + (self.high - self.low) as i32 / 9;
        let short = self.high - self.low < 2.2;
        let plain = self.low >= -2.5 && self.high <= 3.5;
        let mut ticks = vec![];
        for decade in self.low.floor() as i32..=self.high.ceil() as i32 {
            for digit in 1..10 {
                let value = f64::from(digit) * 10f64.powi(decade);
                if !(self.low..=self.high).contains(&value.log10()) {
                    continue;
                }
                let named = (digit == 1 && decade % every == 0) || (short && [2, 5].contains(&digit));
                let label = || match plain {
                    true => crate::base::numbers::rounded(value),
                    false if digit > 1 => format!("{digit}·{}", power(decade)),
                    false => power(decade),
                };
                ticks.extend(self.at(value).map(|x| (x, named.then(label))));
            }
        }
        ticks
    }
}

/// A power of ten, for example 10⁻³.
pub fn power(exponent: i32) -> String {
    let raised: String = exponent
        .to_string()
        .chars()
        .map(|c| match c {
            '-' => '⁻',
            digit => ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][digit.to_digit(10).unwrap_or(0) as usize],
        })
        .collect();
    format!("10{raised}")
}

/// About `n` ticks with a round step over a range.
pub fn nice_ticks(low: f64, high: f64, n: usize) -> Vec<f64> {
    let raw = (high - low) / n as f64;
    let scale = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|m| m * scale).find(|step| *step >= raw).unwrap_or(raw);
    let first = (low / step).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

/// Number of decimal places at which the ticks differ.
pub fn decimals(ticks: &[f64]) -> usize {
    let decimals = ticks.windows(2).map(|w| (-(w[1] - w[0]).log10().floor()).max(0.0) as usize).next().unwrap_or(0);
    let split = ticks.windows(2).any(|w| {
        let step = (w[1] - w[0]) * 10f64.powi(decimals as i32);
        (step - step.round()).abs() > 1e-6
    });
    decimals + usize::from(split)
}
