//! One page for one study or several: claims with their verdicts first, then the figures. A single file, light and dark, no network.

use super::{headline, Outcome, Verdict};

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1c1c1c; --soft: #555; --line: #d8d8d8; --back: #fff; --good: #00664d; --bad: #a33b00; --open: #555; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --soft: #aaa; --line: #3c3c3c; --back: #161616; --good: #4cc9a4; --bad: #ff9a5c; --open: #aaa; } }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 4rem; font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back); }
h1 { font-size: 1.6rem; line-height: 1.25; } h2 { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 1rem; }
.claim { border-left: 4px solid var(--open); margin: 1rem 0; padding: .1rem 0 .1rem .9rem; }
.claim.holds { border-color: var(--good); } .claim.fails { border-color: var(--bad); }
.claim b { display: block; } .claim .verdict { font-weight: 600; color: var(--open); }
.holds .verdict { color: var(--good); } .fails .verdict { color: var(--bad); }
dl { display: grid; grid-template-columns: 6rem 1fr; margin: .2rem 0; gap: 0 .6rem; } dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
figure { margin: 1.5rem 0; } figure svg { background: #fff; max-width: 44rem; width: 100%; height: auto; border-radius: 4px; }
figcaption, .soft { color: var(--soft); font-size: .92rem; } a { color: inherit; } nav ul { padding-left: 1.2rem; }
";

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The page.
pub fn page(outcomes: &[&Outcome]) -> String {
    let title = match outcomes {
        [one] => format!("{}: {}", one.name, one.headline),
        _ => headline(outcomes.iter().flat_map(|o| &o.claims)),
    };
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title><style>{STYLE}</style></head><body>\n<h1>{}</h1>\n",
        escape(&outcomes.iter().map(|o| o.name.as_str()).collect::<Vec<_>>().join(", ")),
        escape(&title)
    );
    if outcomes.len() > 1 {
        out.push_str("<nav><ul>\n");
        for o in outcomes {
            out.push_str(&format!("<li><a href=\"#{0}\">{0}</a>: {1}</li>\n", escape(&o.name), escape(&o.headline)));
        }
        out.push_str("</ul></nav>\n");
    }
    for o in outcomes {
        out.push_str(&format!("<section id=\"{}\">\n", escape(&o.name)));
        if outcomes.len() > 1 {
            out.push_str(&format!("<h2>{}</h2>\n", escape(&o.name)));
        }
        out.push_str(&format!("<p>{}</p>\n", escape(&o.description)));
        for c in &o.claims {
            let class = match c.verdict {
                Verdict::Holds => "holds",
                Verdict::DoesNotHold => "fails",
                Verdict::Open => "open",
            };
            let beyond = if c.beyond { " <span class=\"soft\">beyond the paper's assumptions</span>" } else { "" };
            out.push_str(&format!(
                "<div class=\"claim {class}\"><b>{}{beyond}</b><dl><dt>predicted</dt><dd>{}</dd><dt>simulated</dt><dd>{}</dd><dt>verdict</dt>\
                 <dd class=\"verdict\">{}</dd></dl></div>\n",
                escape(&c.claim),
                escape(&c.predicted),
                escape(&c.simulated),
                c.verdict.words()
            ));
        }
        for (name, caption, svg) in &o.figures {
            // The drawing scales with the page.
            let svg = svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{}\" ", escape(name)), 1);
            out.push_str(&format!("<figure>{svg}<figcaption>{}</figcaption></figure>\n", escape(caption)));
        }
        out.push_str(&format!("<p class=\"soft\">{}</p>\n</section>\n", escape(&o.provenance)));
    }
    out.push_str("</body></html>\n");
    out
}
