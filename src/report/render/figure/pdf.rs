//! A drawing as a PDF page, with the letters that it uses embedded.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{anyhow, Result};
use pdf_writer::types::{CidFontType, FontFlags, LineCapStyle, LineJoinStyle, SystemInfo, UnicodeCmap};
use pdf_writer::{Content, Filter, Finish, Name, Pdf, Rect, Ref, Str};
use ttf_parser::{Face, GlyphId};

use super::canvas::{HPos, RGBColor, Step, VPos};
use super::EM;

/// Objects of the file.
const CATALOGUE: i32 = 1;
const PAGES: i32 = 2;
const PAGE: i32 = 3;
const CONTENT: i32 = 4;
const FONT: i32 = 5;
const CID_FONT: i32 = 6;
const DESCRIPTOR: i32 = 7;
const LETTERS: i32 = 8;
const CODES: i32 = 9;
/// The first of the opacities, one object for each.
const OPACITIES: i32 = 10;

const IDENTITY: SystemInfo = SystemInfo { registry: Str(b"Adobe"), ordering: Str(b"Identity"), supplement: 0 };
const FONT_NAME: Name = Name(b"TGDEJA+DejaVuSans");

/// Renders a drawing of `size` pixels as a page that is `inches` wide.
pub fn pdf(size: (f64, f64), steps: &[Step], inches: f64) -> Result<Vec<u8>> {
    let data = dejavu::sans::regular();
    let face = Face::parse(data, 0).map_err(|error| anyhow!("the font of the figures cannot be read: {error}"))?;
    let scale = 72.0 * inches / size.0;
    let mut page = Page { face: &face, content: Content::new(), letters: BTreeMap::new(), opacities: BTreeSet::new() };
    // Pixels go down, points of a page go up.
    page.content.transform([scale as f32, 0.0, 0.0, -scale as f32, 0.0, (scale * size.1) as f32]);
    page.content.set_line_cap(LineCapStyle::ButtCap).set_line_join(LineJoinStyle::MiterJoin);
    steps.iter().for_each(|step| page.draw(step));
    let Page { content, letters, opacities, .. } = page;

    let id = Ref::new;
    let mut pdf = Pdf::new();
    pdf.catalog(id(CATALOGUE)).pages(id(PAGES));
    pdf.pages(id(PAGES)).kids([id(PAGE)]).count(1);
    let mut leaf = pdf.page(id(PAGE));
    leaf.parent(id(PAGES)).contents(id(CONTENT));
    leaf.media_box(Rect::new(0.0, 0.0, (scale * size.0) as f32, (scale * size.1) as f32));
    let mut resources = leaf.resources();
    resources.fonts().pair(Name(b"F"), id(FONT));
    let mut states = resources.ext_g_states();
    for (i, percent) in opacities.iter().enumerate() {
        states.pair(Name(format!("O{percent}").as_bytes()), id(OPACITIES + i as i32));
    }
    states.finish();
    resources.finish();
    leaf.finish();
    for (i, percent) in opacities.iter().enumerate() {
        pdf.ext_graphics(id(OPACITIES + i as i32)).non_stroking_alpha(f32::from(*percent) / 100.0);
    }
    let content = deflated(&content.finish());
    pdf.stream(id(CONTENT), &content).filter(Filter::FlateDecode);

    let glyphs: Vec<u16> = letters.values().map(|glyph| glyph.0).collect();
    let subset =
        subsetter::subset(data, 0, subsetter::Profile::pdf(&glyphs)).map_err(|error| anyhow!("the font cannot be embedded: {error}"))?;
    let per_em = 1000.0 / f32::from(face.units_per_em());
    let mut font = pdf.type0_font(id(FONT));
    font.base_font(FONT_NAME).encoding_predefined(Name(b"Identity-H")).descendant_font(id(CID_FONT)).to_unicode(id(CODES));
    font.finish();
    let mut cid = pdf.cid_font(id(CID_FONT));
    cid.subtype(CidFontType::Type2).base_font(FONT_NAME).system_info(IDENTITY).font_descriptor(id(DESCRIPTOR)).default_width(0.0);
    cid.cid_to_gid_map_predefined(Name(b"Identity"));
    let mut widths = cid.widths();
    for glyph in &glyphs {
        let width = f32::from(face.glyph_hor_advance(GlyphId(*glyph)).unwrap_or(0)) * per_em;
        widths.consecutive(*glyph, [width]);
    }
    widths.finish();
    cid.finish();
    let bounds = face.global_bounding_box();
    let bounds = [bounds.x_min, bounds.y_min, bounds.x_max, bounds.y_max].map(|v| f32::from(v) * per_em);
    let mut descriptor = pdf.font_descriptor(id(DESCRIPTOR));
    descriptor.name(FONT_NAME).flags(FontFlags::NON_SYMBOLIC).bbox(Rect::new(bounds[0], bounds[1], bounds[2], bounds[3]));
    descriptor.italic_angle(0.0).ascent(f32::from(face.ascender()) * per_em).descent(f32::from(face.descender()) * per_em);
    descriptor.cap_height(f32::from(face.capital_height().unwrap_or(0)) * per_em).stem_v(80.0).font_file2(id(LETTERS));
    descriptor.finish();
    let subset = deflated(&subset);
    pdf.stream(id(LETTERS), &subset).filter(Filter::FlateDecode);
    let mut codes = UnicodeCmap::new(Name(b"Custom"), IDENTITY);
    letters.iter().for_each(|(letter, glyph)| codes.pair(glyph.0, *letter));
    pdf.cmap(id(CODES), &codes.finish());
    Ok(pdf.finish())
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut out = flate2::write::ZlibEncoder::new(vec![], flate2::Compression::default());
    // Writing to memory does not fail.
    let _ = out.write_all(bytes);
    out.finish().unwrap_or_default()
}

struct Page<'a> {
    face: &'a Face<'a>,
    content: Content,
    /// The letters that occur, with their glyphs.
    letters: BTreeMap<char, GlyphId>,
    /// The opacities that occur, in percent.
    opacities: BTreeSet<u8>,
}

impl Page<'_> {
    fn draw(&mut self, step: &Step) {
        match step {
            Step::Line { points, color, width } => {
                let [r, g, b] = rgb(*color);
                self.content.set_stroke_rgb(r, g, b).set_line_width(width.max(1.0) as f32);
                self.path(points);
                self.content.stroke();
            }
            Step::Area { points, color, opacity } => {
                self.content.save_state();
                self.opacity(*opacity);
                self.fill(*color);
                self.path(points);
                self.content.close_path().fill_nonzero().restore_state();
            }
            Step::Dot { at, radius, color, hollow } => {
                self.fill(*color);
                self.circle(*at, *radius);
                if *hollow {
                    self.fill(RGBColor(255, 255, 255));
                    self.circle(*at, 0.55 * radius);
                }
            }
            Step::Text { at, text, size, color, h, v, turned } => {
                self.fill(*color);
                self.text(*at, text, *size * EM, (*h, *v), *turned);
            }
        }
    }

    fn fill(&mut self, color: RGBColor) {
        let [r, g, b] = rgb(color);
        self.content.set_fill_rgb(r, g, b);
    }

    fn opacity(&mut self, opacity: f64) {
        let percent = (100.0 * opacity).round().clamp(0.0, 100.0) as u8;
        self.opacities.insert(percent);
        self.content.set_parameters(Name(format!("O{percent}").as_bytes()));
    }

    fn path(&mut self, points: &[(f64, f64)]) {
        for (i, (x, y)) in points.iter().enumerate() {
            match i {
                0 => self.content.move_to(*x as f32, *y as f32),
                _ => self.content.line_to(*x as f32, *y as f32),
            };
        }
    }

    /// A filled circle, as four Bézier curves.
    fn circle(&mut self, (x, y): (f64, f64), r: f64) {
        // The distance of the control points at which the curve is a quarter of a circle, to 0.03%.
        let c = 0.5523 * r;
        let point = |dx: f64, dy: f64| ((x + dx) as f32, (y + dy) as f32);
        let start = point(r, 0.0);
        self.content.move_to(start.0, start.1);
        for ((ax, ay), (bx, by), (ex, ey)) in [
            (point(r, c), point(c, r), point(0.0, r)),
            (point(-c, r), point(-r, c), point(-r, 0.0)),
            (point(-r, -c), point(-c, -r), point(0.0, -r)),
            (point(c, -r), point(r, -c), point(r, 0.0)),
        ] {
            self.content.cubic_to(ax, ay, bx, by, ex, ey);
        }
        self.content.fill_nonzero();
    }

    fn text(&mut self, at: (f64, f64), text: &str, em: f64, (h, v): (HPos, VPos), is_turned: bool) {
        let glyphs: Vec<(char, GlyphId)> = text.chars().map(|c| (c, self.face.glyph_index(c).unwrap_or_default())).collect();
        let advance: u32 = glyphs.iter().map(|(_, glyph)| u32::from(self.face.glyph_hor_advance(*glyph).unwrap_or(0))).sum();
        let width = em * f64::from(advance) / f64::from(self.face.units_per_em());
        // Where the SVG backend puts text: the x height of the font is 0.547 em.
        let along = match h {
            HPos::Left => 0.0,
            HPos::Center => -width / 2.0,
            HPos::Right => -width,
        };
        let down = match v {
            VPos::Top => 0.76 * em,
            VPos::Center => 0.27 * em,
            VPos::Bottom => -0.27 * em,
        };
        let codes: Vec<u8> = glyphs.iter().flat_map(|(_, glyph)| glyph.0.to_be_bytes()).collect();
        self.letters.extend(glyphs);
        self.content.begin_text().set_font(Name(b"F"), em as f32);
        // The page is drawn upside down, so letters are turned back.
        let matrix = match is_turned {
            false => [1.0, 0.0, 0.0, -1.0, (at.0 + along) as f32, (at.1 + down) as f32],
            true => [0.0, -1.0, -1.0, 0.0, (at.0 + down) as f32, (at.1 - along) as f32],
        };
        self.content.set_text_matrix(matrix).show(Str(&codes));
        self.content.end_text();
    }
}

fn rgb(color: RGBColor) -> [f32; 3] {
    [color.0, color.1, color.2].map(|v| f32::from(v) / 255.0)
}
