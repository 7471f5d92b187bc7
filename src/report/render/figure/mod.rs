//! The figures. SVG and PNG are rendered from the same drawing.

mod axis;
mod canvas;
pub mod chart;
mod curves;
mod forest;
mod heat_map;
mod lambda_axis;
mod mismatch;
mod panel;
mod pdf;

pub use canvas::Figure;
pub use curves::curves;
pub use forest::{forest, Row};
pub use heat_map::{heat_map, heat_map_rgb};
pub use mismatch::mismatch;

use super::words::{setting_name, unit};
use crate::report::analysis::{Basis, CellResults, Setting};

/// The usual width of a figure in pixels.
pub const WIDTH: f64 = 1000.0;

/// plotters draws text of a size in letters of this share of it.
const EM: f64 = 1.0 / 1.24;

/// Pixels of an inch of paper at which the text is 7 points high.
const PIXELS_PER_INCH: f64 = canvas::TEXT * EM / (7.0 / 72.0);

/// Narrower figures have no room for their text; it is then smaller than 7 points.
const NARROWEST: f64 = 800.0;

/// How figures are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FigureOptions {
    /// Width in pixels.
    pub width: f64,
    /// Width on paper in inches, if PDF files are made as well.
    pub pdf: Option<f64>,
}

impl Default for FigureOptions {
    fn default() -> FigureOptions {
        FigureOptions { width: WIDTH, pdf: None }
    }
}

impl FigureOptions {
    /// Figures `inches` wide on paper; by default so wide that the usual figure has text of 7
    /// points.
    pub fn on_paper(inches: Option<f64>, pdf: bool) -> FigureOptions {
        let width = inches.map_or(WIDTH, |inches| (inches * PIXELS_PER_INCH).max(NARROWEST));
        FigureOptions { width, pdf: pdf.then(|| inches.unwrap_or(WIDTH / PIXELS_PER_INCH)) }
    }
}

const GREY: canvas::RGBColor = canvas::RGBColor(110, 110, 110);

/// Mean and 95% interval of a cell's test metric, in the units of the figure: percent, or nats.
fn mean_and_range(cell: &CellResults, basis: &Basis) -> Option<(f64, f64, f64)> {
    let (_, unit, _) = unit(basis.metric);
    let mean = basis.test_level(cell)?;
    let (low, high) = mean.range.unwrap_or((mean.estimate, mean.estimate));
    Some((unit * mean.estimate, unit * low, unit * high))
}

/// A heading or label that fits into `width` pixels. Long text is made smaller, and cut if it is
/// still too long.
fn fitted(at: (f64, f64), words: &str, width: f64, color: canvas::RGBColor) -> canvas::Step {
    // The average width of a DejaVu letter is about 0.58 of the font size.
    let n = words.chars().count().max(1) as f64;
    let size = (width / (0.58 * n)).clamp(0.62 * canvas::TEXT, canvas::TEXT);
    let room = (width / (0.58 * size)).round() as usize;
    let text = match words.chars().count() > room {
        true => words.chars().take(room.saturating_sub(1)).chain(['…']).collect(),
        false => words.to_string(),
    };
    canvas::Step::Text { at, text, size, color, h: canvas::HPos::Left, v: canvas::VPos::Top, turned: false }
}

/// The study's name, with the setting's axes if there are several settings.
fn title(study: &str, setting: &Setting) -> String {
    match setting.axes.is_empty() {
        true => study.to_string(),
        false => format!("{study}: {}", setting_name(setting)),
    }
}
