//! The table of a paper: test metrics against λ₀, as LaTeX (booktabs).

use super::collect::{Cell, Metric};
use super::section::{Report, Section};
use super::stats::Interval;
use crate::config::Study;

/// A `tabular` for each group.
pub fn latex(study: &Study, report: &Report) -> String {
    let mut out = String::from("% needs \\usepackage{booktabs}\n");
    if report.made_up {
        out.push_str("% MADE-UP RESULTS of the mock engine\n");
    }
    for section in &report.sections {
        let label = if section.group.axes.is_empty() { String::new() } else { format!(", {}", section.group.label()) };
        out.push_str(&format!("% {}{label}\n", study.name));
        if let Some(axis) = study.strength.stands_for() {
            out.push_str(&format!("% \\lambda_0 stands for {axis}\n"));
        }
        out.push_str(&tabular(section));
    }
    out
}

fn tabular(section: &Section) -> String {
    let (group, answer) = (&section.group, &section.answer);
    let (gain, scale, _) = answer.metric.unit();
    let (unit, digits) = match answer.metric {
        Metric::Accuracy => ("accuracy, \\%", 1),
        Metric::Loss => ("loss, nats", 3),
    };
    let show = |value: Option<Interval>, bold: bool| {
        let Some(Interval { estimate, range }) = value else { return "--".to_string() };
        // Adding 0 makes −0 a 0.
        let unit = 10f64.powi(digits as i32);
        let centre = format!("{:.digits$}", (unit * scale * estimate).round() / unit + 0.0);
        let centre = if bold { format!("\\mathbf{{{centre}}}") } else { centre };
        match range {
            Some((_, high)) => format!("${centre} \\pm {:.digits$}$", scale * (high - estimate)),
            None => format!("${centre}$"),
        }
    };
    let values = |cell: &Cell| cell.values(&answer.seeds, answer.metric.key(true)).map(|v| answer.metric.level(&v));
    let mut out = format!(
        "\\begin{{tabular}}{{lcclc}}\n\\toprule\n$\\lambda_0$ & source ({unit}) & target ({unit}) & $\\lambda_1$ & gain over scratch ({gain}) \\\\\n\\midrule\n"
    );
    for (i, lambda0) in group.lambda0.iter().enumerate() {
        let best = answer.best_lambda1(&group.target[i]);
        let row = best.and_then(|j| section.rows.iter().find(|row| row.at == (i, j)));
        let chosen = answer.transfer.is_some_and(|(t, _)| t == i);
        let gain = row.and_then(|row| row.gain);
        out.push_str(&format!(
            "{} & {} & {} & {} & {} \\\\\n",
            power(*lambda0),
            show(values(&group.source[i]), answer.source == Some(i)),
            show(row.and_then(|row| row.test), chosen),
            row.map_or("--".into(), |row| power(row.lambda1)),
            show(gain, false)
        ));
    }
    if let Some(k) = answer.scratch {
        out.push_str(&format!("\\midrule\nscratch & -- & {} & -- & -- \\\\\n", show(values(&group.scratch[k]), false)));
    }
    let n = answer.seeds.len();
    let spread = match n {
        0 | 1 => "one seed, no intervals".to_string(),
        n => format!("mean over {n} seeds $\\pm$ half of the 95\\% Student interval"),
    };
    out.push_str(&format!(
        "\\bottomrule\n\\end{{tabular}}\n% Test {}; {spread}. $\\lambda_1$ and the rows in bold are chosen by validation.\n",
        answer.metric.name()
    ));
    out
}

/// `$5 \times 10^{-3}$`.
fn power(value: f64) -> String {
    if value == 0.0 {
        return "$0$".into();
    }
    if value.is_infinite() {
        return "$\\infty$".into();
    }
    // All digits: a point of the grid.
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    match (digits, exponent) {
        (_, "0") => format!("${digits}$"),
        ("1", _) => format!("$10^{{{exponent}}}$"),
        _ => format!("${digits} \\times 10^{{{exponent}}}$"),
    }
}

/// Words with the symbols that this program writes as LaTeX has them.
pub fn words(text: &str) -> String {
    let symbol = |c: char| -> String {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => format!("\\{c}"),
            '\\' => "\\textbackslash{}".into(),
            '~' => "\\textasciitilde{}".into(),
            '^' => "\\textasciicircum{}".into(),
            '₀'..='₉' => format!("$_{}$", c as u32 - '₀' as u32),
            '²' => "$^2$".into(),
            'λ' => "$\\lambda$".into(),
            'ρ' => "$\\rho$".into(),
            'γ' => "$\\gamma$".into(),
            'σ' => "$\\sigma$".into(),
            'Σ' => "$\\Sigma$".into(),
            'τ' => "$\\tau$".into(),
            '≠' => "$\\neq$".into(),
            '≥' => "$\\geq$".into(),
            '≤' => "$\\leq$".into(),
            '∞' => "$\\infty$".into(),
            '−' => "$-$".into(),
            '×' => "$\\times$".into(),
            '·' => "$\\cdot$".into(),
            '‖' => "$\\|$".into(),
            '½' => "$\\frac12$".into(),
            '<' => "$<$".into(),
            '>' => "$>$".into(),
            '→' => "$\\to$".into(),
            '±' => "$\\pm$".into(),
            '≈' => "$\\approx$".into(),
            '∈' => "$\\in$".into(),
            '–' => "--".into(),
            '…' => "\\dots{}".into(),
            '⁻' => "$^{-}$".into(),
            '¹' => "$^1$".into(),
            '³' => "$^3$".into(),
            '⁰' | '⁴'..='⁹' => format!("$^{}$", if c == '⁰' { 0 } else { c as u32 - '⁴' as u32 + 4 }),
            other => other.into(),
        }
    };
    text.chars().map(symbol).collect()
}

#[cfg(test)]
mod tests {
    /// Every character that the theory's claims are written in.
    #[test]
    fn claims_become_plain_latex() {
        let sources = [
            include_str!("ridge/reversal.rs"),
            include_str!("ridge/help.rs"),
            include_str!("ridge/scaling.rs"),
            include_str!("ridge/cost.rs"),
        ];
        let more = [include_str!("ridge/targets.rs"), include_str!("ridge/risks.rs"), include_str!("ridge/view.rs")];
        for line in sources.iter().chain(&more).flat_map(|text| text.lines()).filter(|line| !line.trim_start().starts_with("//")) {
            let text = super::words(line);
            assert!(text.is_ascii(), "{text}");
            assert!(!text.replace("$<$", "").replace("$>$", "").contains(['<', '>']), "{text}");
        }
    }

    #[test]
    fn powers_of_ten_are_set_as_such() {
        let set: Vec<String> = [0.0, 1.0, 0.1, 0.02, 3.162277e-3, f64::INFINITY].map(super::power).to_vec();
        assert_eq!(set, ["$0$", "$1$", "$10^{-1}$", "$2 \\times 10^{-2}$", "$3.162277 \\times 10^{-3}$", "$\\infty$"]);
    }
}
