//! The report of a ridge study: text, files, page and LaTeX.

mod charts;
mod claims;
mod page;
mod words;

use anyhow::Result;
use serde_json::{json, Value as Json};

use super::drawings::Drawing;
use super::latex::words as latex_words;
use super::{names, table, FigureOptions, Provenance, RenderedFile, Screen};
use crate::report::analysis::ridge::{Claim, ClaimVerdict, RidgeAnalysis, Simulation, MIN_DRAWS};
use crate::report::analysis::SCHEMA_VERSION;
pub use charts::FIGURE_NAMES;
use claims::{claim_text, verdict};
pub use page::page;

/// The report of a ridge study, for its own page and for a page with several studies.
pub struct RidgeReport {
    pub analysis: RidgeAnalysis,
    pub drawings: Vec<Drawing>,
    pub provenance: Provenance,
    /// Names of the files beside its own page.
    pub files: Vec<String>,
}

/// The report and its files: results and optima as CSV and Parquet, summary.json, the figures and,
/// last, index.html.
pub fn study_files(analysis: RidgeAnalysis, provenance: Provenance, options: &FigureOptions) -> Result<(RidgeReport, Vec<RenderedFile>)> {
    let mut files = vec![];
    for (name, of) in [("results", &analysis.results), ("optima", &analysis.optima)] {
        files.extend(table::files(name, of)?);
    }
    files.push(RenderedFile::new("summary.json", summary_json(&analysis)));
    let drawings = charts::drawings(&analysis, options.width)?;
    for drawing in &drawings {
        files.extend(drawing.files(options)?);
    }
    let refresh = provenance.refresh;
    let report = RidgeReport { analysis, drawings, provenance, files: names(&files) };
    files.push(RenderedFile::new("index.html", page(&[&report], refresh)));
    Ok((report, files))
}

/// The first sentence.
pub fn headline(analysis: &RidgeAnalysis) -> String {
    match analysis.missing() {
        0 if analysis.draws < MIN_DRAWS => {
            format!("{} draws are too few to decide anything: at least {MIN_DRAWS} are needed.", analysis.draws)
        }
        0 => claims_headline(analysis.claims.iter()),
        _ => format!("Not complete, {} of {} cases: nothing is decided.", analysis.cases_done, analysis.cases),
    }
}

/// The numbers of claims that hold within the paper's assumptions, that hold beyond them, and that
/// do not hold.
fn claims_headline<'a>(claims: impl Iterator<Item = &'a Claim> + Clone) -> String {
    let part = |is_beyond: bool| -> Option<String> {
        let of: Vec<&Claim> = claims.clone().filter(|claim| claim.is_beyond_assumptions == is_beyond).collect();
        let count = |verdict| of.iter().filter(|claim| claim.verdict == verdict).count();
        let (holds, not, open) = (count(ClaimVerdict::Holds), count(ClaimVerdict::DoesNotHold), count(ClaimVerdict::Undecided));
        let does = if not == 1 { "does" } else { "do" };
        let rest = match (not, open) {
            (0, 0) => String::new(),
            (not, 0) => format!(", {not} {does} not"),
            (0, open) => format!(", {open} not decided"),
            (not, open) => format!(", {not} {does} not, {open} not decided"),
        };
        let which = if is_beyond { "extensions beyond the paper's assumptions" } else { "claims" };
        (!of.is_empty()).then(|| format!("{holds} of {} {which} hold{rest}", of.len()))
    };
    match (part(false), part(true)) {
        (None, None) => "No claims.".into(),
        (Some(a), Some(b)) => format!("{a}; {b}."),
        (Some(one), None) | (None, Some(one)) => format!("{one}."),
    }
}

/// The answer as text for a terminal.
pub fn statement(analysis: &RidgeAnalysis, screen: Screen) -> String {
    let mut out = screen.wrap(&format!("{}: {}", screen.bold(&analysis.name), headline(analysis)), "", "  ") + "\n";
    if analysis.missing() > 0 {
        out.push_str(&format!("Not complete: {} cases have no record yet.\n", analysis.missing()));
    }
    let says = |label: &str, text: &str| screen.wrap(&format!("{label}  {text}"), "    ", "      ") + "\n";
    for claim in &analysis.claims {
        let beyond = if claim.is_beyond_assumptions { " (beyond the paper's assumptions)" } else { "" };
        let text = claim_text(claim);
        let claim = format!("[{}] {}{beyond}", verdict(claim.verdict), text.claim);
        out.push_str(&format!("\n{}\n", screen.wrap(&claim, "  ", "    ")));
        out.push_str(&says("predicted", &text.predicted));
        out.push_str(&says("simulated", &text.simulated));
    }
    out
}

/// The claims as a table for a paper (booktabs).
pub fn latex(analysis: &RidgeAnalysis) -> String {
    let mut out = format!(
        "% needs \\usepackage{{booktabs}}\n% {}\n\\begin{{tabular}}{{p{{.34\\linewidth}}p{{.26\\linewidth}}p{{.26\\linewidth}}l}}\n\\toprule\nclaim & predicted & \
         simulated & verdict \\\\\n\\midrule\n",
        analysis.name
    );
    for claim in &analysis.claims {
        let text = claim_text(claim);
        let cells = [&text.claim, &text.predicted, &text.simulated, &verdict(claim.verdict).to_string()].map(|text| latex_words(text));
        out.push_str(&format!("{} \\\\\n", cells.join(" & ")));
    }
    out + "\\bottomrule\n\\end{tabular}\n"
}

/// summary.json: the claims in machine-readable form.
pub fn summary_json(analysis: &RidgeAnalysis) -> String {
    let claim = |claim: &Claim| {
        let text = claim_text(claim);
        json!({
            "claim": text.claim,
            "beyond_assumptions": claim.is_beyond_assumptions,
            "predicted": text.predicted,
            "simulated": text.simulated,
            "verdict": verdict(claim.verdict)
        })
    };
    let claims: Vec<Json> = analysis.claims.iter().map(claim).collect();
    let summary = json!({
        "version": 1,
        "kind": "ridge",
        "study": analysis.name,
        "cases": analysis.cases_done,
        "missing": analysis.missing(),
        "claims": claims,
        "headline": headline(analysis),
        "results_schema": SCHEMA_VERSION
    });
    format!("{summary:#}\n")
}

/// How the numbers were simulated.
fn simulated(simulation: &Simulation, cases: usize) -> String {
    let draws: Vec<String> = simulation.draws.iter().map(usize::to_string).collect();
    format!(
        "{cases} cases, {} draws each (sampler {}), {:.1} s on {} thread{}; {}, commit {}",
        draws.join(" or "),
        simulation.samplers.join(", "),
        simulation.seconds,
        simulation.threads,
        if simulation.threads == 1 { "" } else { "s" },
        simulation.program,
        simulation.commit.chars().take(12).collect::<String>()
    )
}
