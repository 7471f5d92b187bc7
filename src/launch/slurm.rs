//! A Slurm job array: its script, made from a template with `{{names}}`, and the job that writes
//! the report after all tasks have ended.

use anyhow::Result;

use super::container::GPUS;
use super::LaunchSpec;

/// The default template.
pub const TEMPLATE: &str = include_str!("slurm.sh");

/// The resources and options that the job requests.
#[derive(Debug, Clone, Default)]
pub struct SlurmRequest {
    /// `HH:MM:SS` or another form that Slurm accepts.
    pub time: String,
    /// Maximum number of tasks that run at the same time.
    pub max_parallel: Option<usize>,
    /// Options of sbatch as (option, value), in the order in which they are written.
    pub options: Vec<(String, String)>,
    /// Options of sbatch that are written unchanged, e.g. `--exclusive`.
    pub more: Vec<String>,
    /// Seconds between the signal and the time limit.
    pub notice: u64,
}

/// An error in a template.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum TemplateError {
    #[error("line {line}: {{{{{name}}}}} is not known; there are {known}")]
    Unknown { line: usize, name: String, known: String },
    #[error("it has no {{{{{0}}}}}: {1}")]
    Lacks(&'static str, &'static str),
    #[error("line {line}: sbatch reads no #SBATCH line after the first command, which is at line {command}")]
    Late { line: usize, command: usize },
}

/// The script of the array. `command` has the words of the command that each task runs. `folder` is
/// the folder for its logs.
pub fn script(
    template: &str,
    task: &LaunchSpec,
    command: &[String],
    request: &SlurmRequest,
    folder: &str,
) -> Result<String, TemplateError> {
    let limit = request.max_parallel.map_or(String::new(), |n| format!("%{n}"));
    let values = [
        ("name", job_name(&task.name)),
        ("study", task.name.clone()),
        ("array", format!("0-{}{limit}", task.shards - 1)),
        ("shards", task.shards.to_string()),
        ("log", format!("{folder}/%A_%a.log")),
        ("folder", quoted(&[folder.to_string()])),
        ("notice", request.notice.to_string()),
        ("directives", directives(request)),
        ("command", quoted(command)),
    ];
    fill(template, &values)
}

/// The script of the job that writes the report. This job depends on the array. Its memory and
/// cores are the cluster's defaults.
pub fn report_script(task: &LaunchSpec, command: &[String], request: &SlurmRequest, folder: &str) -> String {
    let kept = ["partition", "account", "qos"];
    let options = request.options.iter().filter(|(name, _)| kept.contains(&name.as_str())).cloned().collect();
    let request = SlurmRequest { time: "30:00".into(), options, ..SlurmRequest::default() };
    format!(
        "#!/bin/bash\n#SBATCH --job-name={}-report\n#SBATCH --output={folder}/report-%j.log\n{}\nexec {}\n",
        job_name(&task.name),
        directives(&request),
        quoted(command)
    )
}

/// The job name that `squeue` shows.
pub fn job_name(study: &str) -> String {
    format!("tg-{study}")
}

fn directives(request: &SlurmRequest) -> String {
    let time = [format!("--time={}", request.time)];
    let options = request.options.iter().map(|(name, value)| format!("--{name}={value}"));
    let all = time.into_iter().chain(options).chain(request.more.iter().cloned());
    all.map(|option| format!("#SBATCH {}\n", directive(&option))).collect::<String>().trim_end().to_string()
}

/// An option in the form that sbatch reads in a script: `--name=value`, with quotes around a value
/// that contains blanks or `#`. An option of two words, or one that already has quotes, is kept
/// unchanged.
fn directive(option: &str) -> String {
    let bare = |text: &str| !text.contains(['\'', '"', '\\']);
    match option.split_once('=') {
        Some((name, value)) if !name.contains(char::is_whitespace) && bare(value) && value.contains([' ', '\t', '#']) => {
            format!("{name}=\"{value}\"")
        }
        _ => option.to_string(),
    }
}

/// Number of GPUs that `--gres` requests: `gpu`, `gpu:2`, `gpu:a100:2`, also among other resources
/// after commas. MIG slices (`gpu:1g.10gb:2`) count as one, because a process can use only one.
pub fn gpus(gres: &str) -> u32 {
    let of_one = |one: &str| {
        let mut parts = one.split(':');
        let most = if one.contains("g.") { 1 } else { u32::MAX };
        (parts.next() == Some("gpu")).then(|| parts.next_back().and_then(|count| count.parse().ok()).unwrap_or(1).min(most))
    };
    gres.split(',').filter_map(of_one).sum()
}

/// The words of a command, quoted for a shell. The shell itself replaces [`GPUS`].
pub fn quoted(words: &[String]) -> String {
    let quote = |word: &String| if word == GPUS { format!("\"{GPUS}\"") } else { plain(word) };
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}

fn plain(word: &str) -> String {
    // The only error is a NUL byte, which no program argument can contain.
    shlex::try_quote(word).map_or_else(|_| "''".into(), |word| word.into_owned())
}

fn fill(template: &str, values: &[(&str, String)]) -> Result<String, TemplateError> {
    let needed = [
        ("command", "its tasks would do nothing"),
        ("array", "it would be one task"),
        ("directives", "--time and all other options would be ignored"),
        ("notice", "its tasks would be killed at their time limit, without a signal before"),
    ];
    if let Some((name, why)) = needed.into_iter().find(|(name, _)| !template.contains(&format!("{{{{{name}}}}}"))) {
        return Err(TemplateError::Lacks(name, why));
    }
    let numbered = || template.lines().enumerate().map(|(number, line)| (number + 1, line.trim()));
    let is_directive = |line: &str| line.starts_with("#SBATCH") || line == "{{directives}}";
    let command = numbered().find(|(_, line)| !line.is_empty() && !line.starts_with('#') && !is_directive(line)).map(|(line, _)| line);
    if let (Some(command), Some((line, _))) = (command, numbered().filter(|(_, line)| is_directive(line)).last()) {
        if line > command {
            return Err(TemplateError::Late { line, command });
        }
    }
    let mut out = String::new();
    for (number, line) in template.lines().enumerate() {
        let mut rest = line;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((name, after)) = after.split_once("}}") else { break };
            let Some((_, value)) = values.iter().find(|(known, _)| *known == name.trim()) else {
                let known = values.iter().map(|(name, _)| format!("{{{{{name}}}}}")).collect::<Vec<_>>().join(", ");
                return Err(TemplateError::Unknown { line: number + 1, name: name.trim().into(), known });
            };
            out.push_str(before);
            out.push_str(value);
            rest = after;
        }
        out.push_str(rest);
        out.push('\n');
    }
    Ok(out)
}

/// Seconds of a time limit: `minutes`, `minutes:seconds`, `hours:minutes:seconds`. None for Slurm's
/// other forms, which give days.
pub fn seconds(time: &str) -> Option<u64> {
    let parts: Vec<u64> = time.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    match parts[..] {
        [minutes] => Some(60 * minutes),
        [minutes, seconds] => Some(60 * minutes + seconds),
        [hours, minutes, seconds] => Some(3600 * hours + 60 * minutes + seconds),
        _ => None,
    }
}

/// Checks a time limit for sbatch: a form of [`seconds`], or `days-hours`, `days-hours:minutes`,
/// `days-hours:minutes:seconds`.
pub fn limit(text: &str) -> Result<String, String> {
    let of_days = |(days, rest): (&str, &str)| days.parse::<u64>().is_ok() && seconds(rest).is_some();
    let known = seconds(text).is_some() || text.split_once('-').is_some_and(of_days);
    known.then(|| text.to_string()).ok_or_else(|| "minutes, hours:minutes:seconds or days-hours:minutes:seconds, e.g. 2:00:00".into())
}

/// Slurm's `MaxArraySize` from the output of `scontrol show config`. Task numbers are smaller than
/// this value.
pub fn max_array_size(config: &str) -> Option<usize> {
    let line = config.lines().find(|line| line.trim_start().starts_with("MaxArraySize"))?;
    line.split('=').nth(1)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> LaunchSpec {
        let study = "/shared/logs/it's/launch/study.yaml".into();
        LaunchSpec { name: "it".into(), shards: 16, study, out: "/shared/logs".into(), data: None, more: vec![] }
    }

    #[test]
    fn gpus_and_odd_options() {
        let counts = ["gpu", "gpu:2", "gpu:a100", "gpu:a100:4", "shard:1,gpu:2", "lustre", "gpu:1g.10gb:2"].map(gpus);
        assert_eq!(counts, [1, 2, 1, 4, 2, 0, 1]);
        assert_eq!(directive("--comment=a test #1"), r##"--comment="a test #1""##);
        for as_it_is in ["--exclude n1", "-A proj", r##"--comment="a b""##, "--exclusive"] {
            assert_eq!(directive(as_it_is), as_it_is);
        }
        assert_eq!(directive("--gres=gpu:1"), "--gres=gpu:1");
    }

    #[test]
    fn a_template_is_filled_and_its_mistakes_are_told() {
        let options = vec![("partition".to_string(), "gpu".to_string()), ("gres".into(), "gpu:1".into())];
        let request = SlurmRequest { time: "2:00:00".into(), max_parallel: Some(4), options, more: vec!["--exclusive".into()], notice: 60 };
        let text = script(TEMPLATE, &task(), &task().sweep(), &request, "/shared/logs/it/launch").unwrap();
        for line in [
            "#SBATCH --array=0-15%4",
            "#SBATCH --time=2:00:00",
            "#SBATCH --gres=gpu:1",
            "#SBATCH --exclusive",
            "#SBATCH --signal=B:USR1@60",
            "#SBATCH --output=/shared/logs/it/launch/%A_%a.log",
            "sweep \"/shared/logs/it's/launch/study.yaml\" --shard auto/16 --out /shared/logs &",
        ] {
            assert!(text.lines().any(|known| known == line), "{line} in {text}");
        }
        assert!(!text.contains("{{"), "{text}");
        let wrong = |template: &str| script(template, &task(), &[], &SlurmRequest::default(), "").unwrap_err().to_string();
        assert!(wrong("hello").starts_with("it has no {{command}}: "));
        assert!(wrong("#!/bin/bash\n{{command}}").starts_with("it has no {{array}}: "));
        let unknown = TEMPLATE.replacen("{{name}}", "{{what}}", 1);
        assert!(wrong(&unknown).starts_with("line 2: {{what}} is not known; there are {{name}}, "));
        let late = TEMPLATE.replacen("#!/bin/bash\n", "#!/bin/bash\nmodule load cuda\n", 1);
        assert_eq!(wrong(&late), "line 9: sbatch reads no #SBATCH line after the first command, which is at line 2");
        let report = report_script(&task(), &task().report(), &request, "/l");
        assert!(
            report.contains("--partition=gpu") && !report.contains("gres") && report.contains("exec report /shared/logs/it\n"),
            "{report}"
        );
    }

    #[test]
    fn the_largest_array_is_read() {
        assert_eq!(max_array_size("MaxArraySize            = 1001\n"), Some(1001));
        assert_eq!(max_array_size(""), None);
        assert_eq!(["5", "1:30", "2:00:00", "1-00", "x"].map(seconds), [Some(300), Some(90), Some(7200), None, None]);
        assert_eq!(
            ["5", "1-00", "2-3:00:00", "", "2 hours", "1:2:3:4"].map(|text| limit(text).is_ok()),
            [true, true, true, false, false, false]
        );
    }
}
