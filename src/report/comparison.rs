//! Several studies side by side: the ratio of the optima in each, what the wrong choice costs, and whether transfer helps.

use super::answer::Verdict;
use super::collect::Metric;
use super::section::{Report, Section};
use super::statement::headline;
use super::stats::Interval;
use super::table::{Kind, Table, Value};
use crate::config::{Stronger, Study};

/// One study.
#[derive(Clone)]
pub struct Entry {
    pub name: String,
    pub folder: String,
    /// From the comparison's folder to its page.
    pub link: String,
    pub headline: String,
    /// One for each of its settings; none for a ridge study, whose claims its own page has.
    pub settings: Vec<Setting>,
}

/// The answer for one setting of a study.
#[derive(Clone)]
pub struct Setting {
    pub label: String,
    pub metric: Metric,
    pub seeds: usize,
    pub source: Option<f64>,
    pub transfer: Option<(f64, f64)>,
    pub log_ratio: Option<Interval>,
    pub cost: Option<Interval>,
    pub gain: Option<Interval>,
    /// None without an answer.
    pub verdict: Option<Verdict>,
    /// An optimal λ₀ is at an end of the grid.
    pub edge: bool,
    /// Which way of λ₀ is stronger.
    pub stronger: Stronger,
}

impl Setting {
    pub fn of(section: &Section) -> Setting {
        let (group, answer) = (&section.group, &section.answer);
        Setting {
            label: match (group.strength.stands_for(), group.label()) {
                (None, label) => label,
                (Some(axis), label) if label.is_empty() => format!("λ₀: {axis}"),
                (Some(axis), label) => format!("{label} (λ₀: {axis})"),
            },
            metric: answer.metric,
            seeds: answer.seeds.len(),
            source: answer.source.map(|i| group.lambda0[i]),
            transfer: answer.transfer.map(|(i, j)| (group.lambda0[i], group.lambda1[j])),
            log_ratio: answer.log_ratio,
            cost: answer.mismatch_cost,
            gain: answer.gain,
            verdict: answer.log_ratio.map(|_| answer.verdict()),
            edge: answer.source_edge.or(answer.transfer_edge).is_some(),
            stronger: answer.stronger,
        }
    }
}

impl Entry {
    pub fn network(study: &Study, report: &Report, folder: String, link: String) -> Entry {
        Entry {
            name: study.name.clone(),
            folder,
            link,
            headline: headline(report),
            settings: report.sections.iter().map(Setting::of).collect(),
        }
    }

    /// `mnist` or `mnist: width=64`.
    pub fn label(&self, setting: &Setting) -> String {
        match setting.label.is_empty() {
            true => self.name.clone(),
            false => format!("{}: {}", self.name, setting.label),
        }
    }
}

/// Studies of one name are called by their folders.
pub fn tell_apart(entries: &mut [Entry]) {
    let names: Vec<String> = entries.iter().map(|entry| entry.name.clone()).collect();
    for entry in entries {
        if names.iter().filter(|name| **name == entry.name).count() > 1 {
            entry.name = entry.folder.clone();
        }
    }
}

/// The first sentence of a comparison.
pub fn first_sentence(entries: &[Entry]) -> String {
    let settings: Vec<&Setting> = entries.iter().flat_map(|entry| &entry.settings).collect();
    if settings.is_empty() {
        return format!("{} studies of the theory, side by side.", entries.len());
    }
    let count = |verdict: Option<Verdict>| settings.iter().filter(|s| s.verdict == verdict).count();
    let without = match count(None) {
        0 => String::new(),
        n => format!(", and {n} have no answer yet"),
    };
    format!(
        "Of {} in {}, the transfer-optimal λ₀ is stronger than the source-optimal one in {}, weaker in {}, the same in {}, {}and not settled in {}{without}.",
        counted(settings.len(), "setting", "settings"),
        counted(entries.iter().filter(|entry| !entry.settings.is_empty()).count(), "study", "studies"),
        count(Some(Verdict::Stronger)),
        count(Some(Verdict::Weaker)),
        count(Some(Verdict::Same)),
        match count(Some(Verdict::Collapsed)) {
            0 => String::new(),
            n => format!("that of a source which learned nothing in {n}, "),
        },
        count(Some(Verdict::Open))
    )
}

fn counted(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// A row for each setting of each study.
pub fn table(entries: &[Entry]) -> Table {
    let mut columns: Vec<(String, Kind)> = [
        ("study", Kind::Text),
        ("folder", Kind::Text),
        ("setting", Kind::Text),
        ("metric", Kind::Text),
        ("seeds", Kind::Whole),
        ("verdict", Kind::Text),
        ("at_edge", Kind::Text),
    ]
    .map(|(name, kind)| (name.to_string(), kind))
    .to_vec();
    columns.extend(
        ["lambda0_source_optimal", "lambda0_transfer_optimal", "lambda1_transfer_optimal"].map(|name| (name.to_string(), Kind::Number)),
    );
    for name in ["log_ratio", "mismatch_cost", "transfer_gain"] {
        columns.extend(["", "_low", "_high"].map(|end| (format!("{name}{end}"), Kind::Number)));
    }
    let mut table = Table::new(columns);
    for (entry, s) in entries.iter().flat_map(|entry| entry.settings.iter().map(move |setting| (entry, setting))) {
        let mut row: Vec<Value> = vec![
            entry.name.clone().into(),
            entry.folder.clone().into(),
            s.label.clone().into(),
            s.metric.name().into(),
            Value::Whole(s.seeds as u64),
            s.verdict.map(Verdict::key).into(),
            if s.edge { "yes" } else { "no" }.into(),
        ];
        row.extend([s.source, s.transfer.map(|t| t.0), s.transfer.map(|t| t.1)].map(Value::from));
        for value in [s.log_ratio, s.cost, s.gain] {
            let range = value.and_then(|v| v.range);
            row.extend([value.map(|v| v.estimate), range.map(|r| r.0), range.map(|r| r.1)].map(Value::from));
        }
        table.push(row);
    }
    table
}
