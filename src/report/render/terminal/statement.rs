//! Everything that is known of a study's question, for `report --verbose`.

use crate::report::analysis::{StageCounts, StudyAnalysis};
use crate::report::render::answer_text::{answer_sentence, helps, shared_lambda0};
use crate::report::render::history_text::reached;
use crate::report::render::setting_text::details;
use crate::report::render::words::setting_name;

/// The answer and the details of each setting, then the incomplete stages.
pub fn statement(analysis: &StudyAnalysis) -> String {
    let mut lines = vec![];
    if analysis.settings.len() > 1 {
        lines.extend(analysis.shared_lambda0.as_ref().map(shared_lambda0));
        lines.extend(helps(&analysis.settings));
    }
    for setting in &analysis.settings {
        if analysis.settings.len() > 1 {
            lines.push(format!("[{}]", setting_name(&setting.setting)));
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
        None => "to values that are no longer in the study, to rounds of `--until settled`, or to an earlier version of this program",
    };
    (analysis.withdrawn > 0).then(|| {
        let all = shown + analysis.withdrawn;
        format!("{shown} of {all} rows shown: {} belong {whose}; `report --all` has them in its tables.", analysis.withdrawn)
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
