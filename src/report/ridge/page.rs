//! One page for one study or several: claims with their verdicts first, then the figures.

use maud::{html, Markup};

use super::{headline, Claim, Outcome, Verdict};
use crate::report::page::{figure, shell};

/// The page. `refresh`: seconds after which a browser loads it again.
pub fn page(outcomes: &[&Outcome], refresh: Option<u64>) -> String {
    let names: Vec<&str> = outcomes.iter().map(|o| o.name.as_str()).collect();
    let content = html! {
        header {
            @match outcomes {
                [one] => { p class="name" { (one.name) } h1 { (one.headline) } }
                many => {
                    h1 { (headline(many.iter().flat_map(|o| &o.claims))) }
                    ul class="lines" { @for o in many.iter() { li { a href=(format!("#{}", o.name)) { (o.name) } ": " (o.headline) } } }
                }
            }
        }
        main { @for o in outcomes { (study(o, outcomes.len() > 1)) } }
    };
    shell(&names.join(", "), refresh, content)
}

fn study(o: &Outcome, many: bool) -> Markup {
    html! {
        section id=(o.name) {
            @if many { h2 { (o.name) } }
            p { (o.description) }
            @if o.missing > 0 { p class="caution" { (o.missing) " cases have no record yet: what follows is of the others." } }
            @for c in &o.claims { (claim(c)) }
            div class="figures" { @for (name, caption, drawn) in &o.figures { (figure(&drawn.svg, name, caption)) } }
            (o.about.section("", &if many { format!("{}/report/", o.name) } else { String::new() }))
        }
    }
}

fn claim(c: &Claim) -> Markup {
    let class = match c.verdict {
        Verdict::Holds => "holds",
        Verdict::DoesNotHold => "fails",
        Verdict::Open => "open",
    };
    html! {
        div class=(format!("claim {class}")) {
            b { (c.claim) @if c.beyond { " " span class="soft" { "beyond the paper's assumptions" } } }
            dl {
                dt { "predicted" } dd { (c.predicted) }
                dt { "simulated" } dd { (c.simulated) }
                dt { "verdict" } dd class="verdict" { (c.verdict.words()) }
            }
        }
    }
}
