//! The answer of a ridge study: for each claim what was predicted, what was simulated, and whether it holds; figures and tables.

mod cost;
mod help;
mod page;
mod reversal;
mod risks;
mod scaling;
mod tables;
mod targets;
mod view;

use std::path::PathBuf;

use anyhow::Result;

use super::figure::{chart::Chart, Figure};
use crate::config::{Question, Study};
use crate::plan::Case;
use crate::report::page::Provenance;
use crate::report::write::Place;
use crate::store::{remove_other_figures, RidgeRecord};
pub use page::page;
use view::View;

/// What figures of ridge studies are called.
const NAMES: [&str; 8] = ["ratio", "crossing", "gain", "threshold", "scaling", "cost", "targets", "risks"];

/// Whether a claim stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Holds,
    DoesNotHold,
    /// The simulation does not decide.
    Open,
}

impl Verdict {
    pub fn words(self) -> &'static str {
        match self {
            Verdict::Holds => "holds",
            Verdict::DoesNotHold => "does not hold",
            Verdict::Open => "not decided",
        }
    }

    fn of(holds: bool) -> Verdict {
        match holds {
            true => Verdict::Holds,
            false => Verdict::DoesNotHold,
        }
    }
}

/// One claim, predicted and simulated.
#[derive(Debug, Clone)]
pub struct Claim {
    pub claim: String,
    /// Outside the paper's assumptions: tried to see how far its claim carries.
    pub beyond: bool,
    pub predicted: String,
    pub simulated: String,
    pub verdict: Verdict,
}

/// A figure's file name, caption and drawing.
struct Plot {
    name: String,
    caption: String,
    chart: Chart,
}

/// What a question's module answers.
#[derive(Default)]
struct Findings {
    claims: Vec<Claim>,
    plots: Vec<Plot>,
}

/// A study's answer, ready to print and to write.
pub struct Outcome {
    pub name: String,
    pub description: String,
    pub headline: String,
    pub claims: Vec<Claim>,
    /// (name, caption, figure)
    pub figures: Vec<(String, String, Figure)>,
    pub about: Provenance,
    /// summary.json.
    pub summary: String,
    /// Cases without a record.
    pub missing: usize,
    /// Or why they could not be written.
    pub files: Result<Vec<PathBuf>>,
}

/// Works out a study's answer from its records and writes `report/`: results and optima (CSV and Parquet), summary.json, figures,
/// index.html.
pub fn write(study: &Study, cases: &[Case], records: &[&RidgeRecord], place: &Place) -> Result<Outcome> {
    let view = View::new(study, cases, records);
    let mut findings = match study.question {
        Some(Question::Reversal) => reversal::findings(&view),
        Some(Question::SourceNoise) => help::source_noise(&view),
        Some(Question::TargetSize) => help::target_size(&view),
        Some(Question::Scaling) => scaling::findings(&view),
        Some(Question::Cost) => cost::findings(&view),
        Some(Question::Targets) => targets::findings(&view),
        None => risks::findings(&view),
    };
    // Some of the cases prove nothing about all of them.
    let missing = cases.len() - view.cases.len();
    let draws = view.cases.iter().map(|(_, record)| record.draws).min().unwrap_or(0);
    if missing > 0 || draws < view::LEAST_DRAWS {
        findings.claims.iter_mut().for_each(|claim| claim.verdict = Verdict::Open);
    }
    let headline = match missing {
        0 if draws < view::LEAST_DRAWS => format!("{draws} draws decide nothing: it takes at least {}.", view::LEAST_DRAWS),
        0 => headline(findings.claims.iter()),
        _ => format!("Not complete, {} of {} cases: nothing is decided.", view.cases.len(), cases.len()),
    };
    let summary = tables::summary_json(&view, &findings.claims, &headline, missing);
    let plots = findings.plots.into_iter().map(|plot| Ok((plot.name, plot.caption, plot.chart.figure()?)));
    let figures: Vec<(String, String, Figure)> = plots.collect::<Result<_>>()?;
    let mut files = vec![];
    let written = put_data(&mut files, &view, &summary, &figures, place);
    let mut outcome = Outcome {
        name: study.name.clone(),
        description: study.description.clone().unwrap_or_default().trim().to_string(),
        headline,
        claims: findings.claims,
        figures,
        about: place.provenance(view.provenance(), &files),
        summary,
        missing,
        files: Ok(vec![]),
    };
    let page = page(&[&outcome], place.refresh);
    outcome.files = written.and_then(|()| {
        place.put(&mut files, "index.html", page.as_bytes())?;
        remove_other_figures(&place.out, &NAMES, &files)?;
        Ok(files)
    });
    Ok(outcome)
}

/// All files but the page, which names them.
fn put_data(files: &mut Vec<PathBuf>, view: &View, summary: &str, figures: &[(String, String, Figure)], place: &Place) -> Result<()> {
    for (name, table) in [("results", tables::results(view)), ("optima", tables::optima(view))] {
        place.put(files, &format!("{name}.csv"), &table.csv()?)?;
        place.put(files, &format!("{name}.parquet"), &table.parquet()?)?;
    }
    place.put(files, "summary.json", summary.as_bytes())?;
    for (name, _, figure) in figures {
        place.put(files, &format!("{name}.svg"), figure.svg.as_bytes())?;
        place.put(files, &format!("{name}.png"), &figure.png)?;
    }
    Ok(())
}

/// The first sentence: how many claims hold within the paper's assumptions, how many beyond them, and which do not.
fn headline<'a>(claims: impl Iterator<Item = &'a Claim> + Clone) -> String {
    let part = |beyond: bool| -> Option<String> {
        let of: Vec<&Claim> = claims.clone().filter(|c| c.beyond == beyond).collect();
        let count = |verdict| of.iter().filter(|c| c.verdict == verdict).count();
        let (holds, not, open) = (count(Verdict::Holds), count(Verdict::DoesNotHold), count(Verdict::Open));
        let rest = match (not, open) {
            (0, 0) => String::new(),
            (not, 0) => format!(", {not} do{} not", if not == 1 { "es" } else { "" }),
            (0, open) => format!(", {open} not decided"),
            (not, open) => format!(", {not} do{} not, {open} not decided", if not == 1 { "es" } else { "" }),
        };
        let which = if beyond { "extensions beyond the paper's assumptions" } else { "claims" };
        (!of.is_empty()).then(|| format!("{holds} of {} {which} hold{rest}", of.len()))
    };
    match (part(false), part(true)) {
        (None, None) => "No claims.".into(),
        (Some(a), Some(b)) => format!("{a}; {b}."),
        (Some(one), None) | (None, Some(one)) => format!("{one}."),
    }
}

/// The answer in words, for a terminal.
pub fn statement(outcome: &Outcome) -> String {
    let mut out = format!("{}: {}\n", outcome.name, outcome.headline);
    if outcome.missing > 0 {
        out.push_str(&format!("Not complete: {} cases have no record yet.\n", outcome.missing));
    }
    for claim in &outcome.claims {
        let beyond = if claim.beyond { " (beyond the paper's assumptions)" } else { "" };
        out.push_str(&format!("\n  [{}] {}{beyond}\n", claim.verdict.words(), claim.claim));
        out.push_str(&format!("    predicted  {}\n", claim.predicted));
        out.push_str(&format!("    simulated  {}\n", claim.simulated));
    }
    out
}

/// The claims as a table for a paper (booktabs).
pub fn latex(outcome: &Outcome) -> String {
    let mut out = format!(
        "% needs \\usepackage{{booktabs}}\n% {}\n\\begin{{tabular}}{{p{{.34\\linewidth}}p{{.26\\linewidth}}p{{.26\\linewidth}}l}}\n\\toprule\nclaim & predicted & \
         simulated & verdict \\\\\n\\midrule\n",
        outcome.name
    );
    for claim in &outcome.claims {
        let cells =
            [&claim.claim, &claim.predicted, &claim.simulated, &claim.verdict.words().to_string()].map(|text| super::latex::words(text));
        out.push_str(&format!("{} \\\\\n", cells.join(" & ")));
    }
    out + "\\bottomrule\n\\end{tabular}\n"
}
