//! The answer as text for a terminal.

use super::answer_text::{answer_sentence, headline};
use super::history_text::reached;
use super::setting_text::details;
use super::words::axes_label;
use crate::report::analysis::{StageCounts, StudyAnalysis};

/// The answer and the details of each setting, then the incomplete stages.
pub fn statement(analysis: &StudyAnalysis) -> String {
    let mut lines = vec![];
    match analysis.settings.len() {
        1 if analysis.made_up => lines.push("Made-up results of the mock engine:".into()),
        0 | 1 => {}
        _ => lines.extend([headline(analysis), String::new()]),
    }
    for setting in &analysis.settings {
        if analysis.settings.len() > 1 {
            lines.push(format!("[{}]", axes_label(&setting.setting.axes)));
        }
        lines.push(answer_sentence(setting));
        lines.extend(details(setting).into_iter().map(|(_, line)| line));
    }
    lines.extend(reached(analysis));
    lines.extend(incomplete(&analysis.counts));
    lines.extend(left_out(analysis));
    lines.join("\n")
}

/// The note about results in the folder that are no longer part of the study.
pub fn left_out(analysis: &StudyAnalysis) -> Option<String> {
    let shown = analysis.counts.with_record();
    let whose = match analysis.history {
        Some(_) => "to values that the rounds left out, or that are not in the study",
        None => "to values that are no longer in the study, or to an earlier version of this program",
    };
    (analysis.withdrawn > 0).then(|| {
        let all = shown + analysis.withdrawn;
        format!("{shown} of {all} rows shown: {} belong {whose}; `report --all` shows them.", analysis.withdrawn)
    })
}

/// The number of stages without a result, and what that means. None if all stages are done.
pub fn incomplete(counts: &StageCounts) -> Option<String> {
    let parts = [(counts.diverged, "diverged"), (counts.failed, "failed"), (counts.missing, "missing")];
    let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    let (lacking, total) = (parts.join(", "), counts.total());
    match counts.failed + counts.missing {
        _ if parts.is_empty() => None,
        0 => Some(format!("Complete; of {total} stages, {lacking} (a λ that diverged for any seed is excluded).")),
        _ => Some(format!("Not complete: of {total} stages, {lacking} (a λ counts only where every seed has a result).")),
    }
}
