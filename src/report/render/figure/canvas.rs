//! A drawing as a list of steps in pixels. SVG and anti-aliased PNG are rendered from the same
//! list.

use std::sync::Once;

use anyhow::{anyhow, Result};
use plotters::backend::{BitMapBackend, SVGBackend};
use plotters::coord::Shift;
use plotters::prelude::*;
pub use plotters::style::text_anchor::{HPos, VPos};
pub use plotters::style::RGBColor;
use plotters::style::{register_font, text_anchor::Pos, FontStyle};

// The colours of Okabe and Ito, which colour-blind readers can distinguish.
pub const BLUE: RGBColor = RGBColor(0, 114, 178);
pub const ORANGE: RGBColor = RGBColor(213, 94, 0);
pub const GREEN: RGBColor = RGBColor(0, 120, 90);
pub const INK: RGBColor = RGBColor(34, 34, 34);
pub const FAINT: RGBColor = RGBColor(225, 225, 225);

/// Text size in pixels.
pub const TEXT: f64 = 27.0;

/// A finished figure.
pub struct Figure {
    pub svg: String,
    pub png: Vec<u8>,
    /// The numbers that are drawn, as CSV.
    pub data: Vec<u8>,
    size: (f64, f64),
    steps: Vec<Step>,
}

impl Figure {
    /// The figure as PDF, `inches` wide, with its font embedded.
    pub fn pdf(&self, inches: f64) -> Result<Vec<u8>> {
        super::pdf::pdf(self.size, &self.steps, inches)
    }

    /// The pixels of the PNG as RGB bytes, with width and height.
    pub fn rgb(&self) -> Result<(Vec<u8>, u32, u32)> {
        let mut reader = png::Decoder::new(std::io::Cursor::new(&self.png)).read_info()?;
        let mut pixels = vec![0; reader.output_buffer_size()];
        let info = reader.next_frame(&mut pixels)?;
        pixels.truncate(info.buffer_size());
        Ok((pixels, info.width, info.height))
    }
}

/// Rows of cells, the first with the names of the columns.
pub type Rows = Vec<Vec<String>>;

/// Cells of text. A number that does not exist is an empty cell.
pub fn cell(value: f64) -> String {
    if value.is_nan() {
        String::new()
    } else {
        value.to_string()
    }
}

/// Renders a drawing of width × height pixels. `data` are the numbers that it shows.
pub fn render(size: (f64, f64), steps: &[Step], data: &Rows) -> Result<Figure> {
    let pixels = (size.0.round() as u32, size.1.round() as u32);
    let mut table = csv::Writer::from_writer(vec![]);
    data.iter().try_for_each(|row| table.write_record(row))?;
    let data = table.into_inner()?;
    let mut svg = String::new();
    draw(&SVGBackend::with_string(&mut svg, pixels).into_drawing_area(), steps)?;
    let png = png_file(&render_rgb(pixels, steps)?, pixels)?;
    Ok(Figure { svg, png, data, size, steps: steps.to_vec() })
}

/// Renders a drawing as RGB bytes, row by row.
pub fn render_rgb(size: (u32, u32), steps: &[Step]) -> Result<Vec<u8>> {
    // The bitmap backend does not anti-alias lines. The drawing is rendered at double size and
    // averaged.
    let mut large = vec![0u8; (size.0 * size.1 * 4 * 3) as usize];
    {
        let area = BitMapBackend::with_buffer(&mut large, (size.0 * 2, size.1 * 2)).into_drawing_area();
        let doubled: Vec<Step> = steps.iter().map(Step::doubled).collect();
        draw(&area, &doubled)?;
    }
    let (w, h) = (size.0 as usize, size.1 as usize);
    let mut out = vec![0u8; w * h * 3];
    for y in 0..h {
        for x in 0..w {
            for c in 0..3 {
                let at = |dy: usize, dx: usize| u32::from(large[((2 * y + dy) * 2 * w + 2 * x + dx) * 3 + c]);
                out[(y * w + x) * 3 + c] = ((at(0, 0) + at(0, 1) + at(1, 0) + at(1, 1) + 2) / 4) as u8;
            }
        }
    }
    Ok(out)
}

/// Encodes RGB pixels as a PNG file.
fn png_file(pixels: &[u8], size: (u32, u32)) -> Result<Vec<u8>> {
    let mut bytes = vec![];
    let mut encoder = png::Encoder::new(&mut bytes, size.0, size.1);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(bytes)
}

/// One element of a drawing, in pixels. It is recorded once and rendered by each backend.
#[derive(Clone)]
pub enum Step {
    Line { points: Vec<(f64, f64)>, color: RGBColor, width: f64 },
    Area { points: Vec<(f64, f64)>, color: RGBColor, opacity: f64 },
    Dot { at: (f64, f64), radius: f64, color: RGBColor, hollow: bool },
    Text { at: (f64, f64), text: String, size: f64, color: RGBColor, h: HPos, v: VPos, turned: bool },
}

impl Step {
    fn doubled(&self) -> Step {
        let twice = |points: &[(f64, f64)]| points.iter().map(|p| (2.0 * p.0, 2.0 * p.1)).collect();
        match self.clone() {
            Step::Line { points, color, width } => Step::Line { points: twice(&points), color, width: 2.0 * width },
            Step::Area { points, color, opacity } => Step::Area { points: twice(&points), color, opacity },
            Step::Dot { at, radius, color, hollow } => Step::Dot { at: (2.0 * at.0, 2.0 * at.1), radius: 2.0 * radius, color, hollow },
            Step::Text { at, text, size, color, h, v, turned } => {
                Step::Text { at: (2.0 * at.0, 2.0 * at.1), text, size: 2.0 * size, color, h, v, turned }
            }
        }
    }
}

fn draw<DB: DrawingBackend>(area: &DrawingArea<DB, Shift>, steps: &[Step]) -> Result<()> {
    static FONT: Once = Once::new();
    FONT.call_once(|| {
        // This fails only if this font is invalid. Drawing text then returns the error.
        let _ = register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular());
    });
    let failed = |error: DrawingAreaErrorKind<DB::ErrorType>| anyhow!("the figure could not be drawn: {error}");
    let px = |p: (f64, f64)| (p.0.round() as i32, p.1.round() as i32);
    area.fill(&WHITE).map_err(failed)?;
    for step in steps {
        match step {
            Step::Line { points, color, width } => {
                let points: Vec<(i32, i32)> = points.iter().map(|&p| px(p)).collect();
                area.draw(&PathElement::new(points, color.stroke_width(width.round().max(1.0) as u32))).map_err(failed)?;
            }
            Step::Area { points, color, opacity } => {
                area.draw(&Polygon::new(points.iter().map(|&p| px(p)).collect::<Vec<_>>(), color.mix(*opacity))).map_err(failed)?
            }
            Step::Dot { at, radius, color, hollow } => {
                area.draw(&Circle::new(px(*at), *radius, color.filled())).map_err(failed)?;
                if *hollow {
                    area.draw(&Circle::new(px(*at), *radius * 0.55, WHITE.filled())).map_err(failed)?;
                }
            }
            Step::Text { at, text, size, color, h, v, turned } => {
                let style = TextStyle::from(("sans-serif", *size)).color(color).pos(Pos::new(*h, *v));
                let style = if *turned { style.transform(FontTransform::Rotate270) } else { style };
                area.draw(&Text::new(text.clone(), px(*at), style)).map_err(failed)?;
            }
        }
    }
    area.present().map_err(failed)
}

pub fn text(at: (f64, f64), words: impl Into<String>, h: HPos, v: VPos, color: RGBColor) -> Step {
    Step::Text { at, text: words.into(), size: TEXT, color, h, v, turned: false }
}

pub fn line(points: Vec<(f64, f64)>, color: RGBColor, width: f64) -> Step {
    Step::Line { points, color, width }
}

/// A dashed line from `a` to `b`.
pub fn dashed(a: (f64, f64), b: (f64, f64), color: RGBColor, width: f64) -> Vec<Step> {
    let length = (b.0 - a.0).hypot(b.1 - a.1);
    let at = |d: f64| (a.0 + (b.0 - a.0) * d / length, a.1 + (b.1 - a.1) * d / length);
    let period = 6.0 * width;
    let dashes = (length / period).ceil() as usize;
    (0..dashes).map(|i| line(vec![at(i as f64 * period), at((i as f64 * period + 3.5 * width).min(length))], color, width)).collect()
}
