//! A table for a paper as LaTeX (booktabs): test metrics against λ₀.

use super::words::{axes_label, unit};
use crate::base::interval::Interval;
use crate::report::analysis::{CellResults, Metric, SettingAnalysis, StudyAnalysis};

/// One `tabular` per setting.
pub fn latex(analysis: &StudyAnalysis) -> String {
    let mut out = String::from("% needs \\usepackage{booktabs}\n");
    if analysis.made_up {
        out.push_str("% MADE-UP RESULTS of the mock engine\n");
    }
    for setting in &analysis.settings {
        let axes = &setting.setting.axes;
        let label = if axes.is_empty() { String::new() } else { format!(", {}", axes_label(axes)) };
        out.push_str(&format!("% {}{label}\n", analysis.name));
        if let Some(axis) = analysis.regularizer.stands_for() {
            out.push_str(&format!("% \\lambda_0 stands for {axis}\n"));
        }
        out.push_str(&tabular(setting));
    }
    out
}

fn tabular(analysis: &SettingAnalysis) -> String {
    let (setting, basis) = (&analysis.setting, &analysis.basis);
    let answered = analysis.answer.answered();
    let (gain, scale, _) = unit(basis.metric);
    let gain = if basis.metric == Metric::R2 { "of $R^2$" } else { gain };
    let (unit, digits) = match basis.metric {
        Metric::Accuracy => ("accuracy, \\%", 1),
        Metric::Loss => ("loss, nats", 3),
        Metric::R2 => ("$R^2$", 3),
        Metric::SquaredError => ("squared error", 3),
    };
    let show = |value: Option<Interval>, bold: bool| {
        let Some(Interval { estimate, range }) = value else { return "--".to_string() };
        // Adding 0 converts −0 to 0.
        let unit = 10f64.powi(digits as i32);
        let centre = format!("{:.digits$}", (unit * scale * estimate).round() / unit + 0.0);
        let centre = if bold { format!("\\mathbf{{{centre}}}") } else { centre };
        match range {
            Some((_, high)) => format!("${centre} \\pm {:.digits$}$", scale * (high - estimate)),
            None => format!("${centre}$"),
        }
    };
    let level = |cell: &CellResults| basis.test_level(cell);
    let mut out = format!(
        "\\begin{{tabular}}{{lcclc}}\n\\toprule\n$\\lambda_0$ & source ({unit}) & target ({unit}) & $\\lambda_1$ & gain over scratch ({gain}) \\\\\n\\midrule\n"
    );
    for (i, lambda0) in setting.lambda0.iter().enumerate() {
        let best = basis.best_lambda1(&setting.target[i]);
        let row = best.and_then(|j| analysis.rows.iter().find(|row| row.at == (i, j)));
        let is_source_optimum = answered.is_some_and(|a| a.source == i);
        let is_transfer_optimum = answered.is_some_and(|a| a.transfer.0 == i);
        let gain = row.and_then(|row| row.gain);
        out.push_str(&format!(
            "{} & {} & {} & {} & {} \\\\\n",
            power(*lambda0),
            show(level(&setting.source[i]), is_source_optimum),
            show(row.and_then(|row| row.test), is_transfer_optimum),
            row.map_or("--".into(), |row| power(row.lambda1)),
            show(gain, false)
        ));
    }
    if let Some(k) = answered.and_then(|a| a.scratch) {
        out.push_str(&format!("\\midrule\nscratch & -- & {} & -- & -- \\\\\n", show(level(&setting.scratch[k]), false)));
    }
    let n = basis.seeds.len();
    let spread = match n {
        0 | 1 => "one seed, no intervals".to_string(),
        n => format!("mean over {n} seeds $\\pm$ half of the 95\\% Student interval"),
    };
    out.push_str(&format!(
        "\\bottomrule\n\\end{{tabular}}\n% Test {}; {spread}. $\\lambda_1$ and the rows in bold are chosen by validation.\n",
        basis.metric.name()
    ));
    out
}

/// A number as a LaTeX power of ten, for example `$5 \times 10^{-3}$`.
fn power(value: f64) -> String {
    if value == 0.0 {
        return "$0$".into();
    }
    if value.is_infinite() {
        return "$\\infty$".into();
    }
    // All digits are kept, because the value is a grid point.
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    match (digits, exponent) {
        (_, "0") => format!("${digits}$"),
        ("1", _) => format!("$10^{{{exponent}}}$"),
        _ => format!("${digits} \\times 10^{{{exponent}}}$"),
    }
}

/// Escapes text for LaTeX and replaces the symbols that this program uses.
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
    /// Covers every character that occurs in the theory's claims.
    #[test]
    fn claims_become_plain_latex() {
        let sources = [include_str!("ridge/claims.rs"), include_str!("ridge/words.rs")];
        for line in sources.iter().flat_map(|text| text.lines()).filter(|line| !line.trim_start().starts_with("//")) {
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
