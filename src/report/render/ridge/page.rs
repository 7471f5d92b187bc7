//! A page for one ridge study or several: claims with their verdicts first, then the figures.

use maud::{html, Markup};

use super::claims::{claim_text, verdict};
use super::{claims_headline, headline, simulated, RidgeReport};
use crate::report::analysis::ridge::{Claim, ClaimVerdict};
use crate::report::render::page::{figure, shell};

/// The page. `refresh` is the number of seconds after which a browser reloads it.
pub fn page(reports: &[&RidgeReport], refresh: Option<u64>) -> String {
    let names: Vec<&str> = reports.iter().map(|report| report.analysis.name.as_str()).collect();
    let content = html! {
        header {
            @match reports {
                [one] => { p class="name" { (one.analysis.name) } h1 { (headline(&one.analysis)) } }
                several => {
                    h1 { (claims_headline(several.iter().flat_map(|report| &report.analysis.claims))) }
                    ul class="lines" {
                        @for report in several.iter() {
                            li { a href=(format!("#{}", report.analysis.name)) { (report.analysis.name) } ": " (headline(&report.analysis)) }
                        }
                    }
                }
            }
        }
        main { @for report in reports { (study(report, reports.len() > 1)) } }
    };
    shell(&names.join(", "), refresh, content)
}

fn study(report: &RidgeReport, is_one_of_several: bool) -> Markup {
    let analysis = &report.analysis;
    let source = analysis.simulation.as_ref().map_or(String::new(), |simulation| simulated(simulation, analysis.cases_done));
    let prefix = if is_one_of_several { format!("{}/report/", analysis.name) } else { String::new() };
    html! {
        section id=(analysis.name) {
            @if is_one_of_several { h2 { (analysis.name) } }
            p { (analysis.description) }
            @if analysis.missing() > 0 { p class="caution" { (analysis.missing()) " cases have no record yet: the results below are of the others." } }
            @for c in &analysis.claims { (claim(c)) }
            div class="figures" { @for drawing in &report.drawings { (figure(&drawing.figure.svg, &drawing.name, &drawing.caption)) } }
            (report.provenance.section(&report.files, &source, "", &prefix))
        }
    }
}

fn claim(claim: &Claim) -> Markup {
    let text = claim_text(claim);
    let class = match claim.verdict {
        ClaimVerdict::Holds => "holds",
        ClaimVerdict::DoesNotHold => "fails",
        ClaimVerdict::Undecided => "open",
    };
    html! {
        div class=(format!("claim {class}")) {
            b { (text.claim) @if claim.is_beyond_assumptions { " " span class="soft" { "beyond the paper's assumptions" } } }
            dl {
                dt { "predicted" } dd { (text.predicted) }
                dt { "simulated" } dd { (text.simulated) }
                dt { "verdict" } dd class="verdict" { (verdict(claim.verdict)) }
            }
        }
    }
}
