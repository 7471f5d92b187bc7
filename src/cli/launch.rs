//! `launch`: writes the scripts or manifests that a scheduler needs to run a study in shards, and
//! submits Slurm jobs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use clap::{Args, Subcommand};
use k8s_openapi::api::core::v1::Toleration;

use super::commands::typed;
use super::sweep::{time, SweepArgs, Until};
use super::{duration, print, StudyArgs};
use crate::base::stderr::print_error;
use crate::base::usage::usage;
use crate::config::Study;
use crate::launch::container::{self, Container};
use crate::launch::{kubernetes, slurm, LaunchSpec};
use crate::plan::{hash, CostEstimate, Plan, StageKind};
use crate::store::{write_atomic, Folder};

const EXAMPLES: &str = "\
Examples:
  transfergrid launch slurm experiments/cifar10.yaml --shards 16 --time 2:00:00 --partition gpu --gres gpu:1
  transfergrid launch slurm experiments/cifar10.yaml --shards 16 --time 2:00:00 --dry-run
  transfergrid launch slurm experiments/cifar10.yaml --shards 4 --time 2:00:00 --until settled --budget 8h
  transfergrid launch kubernetes experiments/cifar10.yaml --shards 16 --image registry/transfergrid:0.1.0 --pvc work --gpus 1 | kubectl apply -f -

docs/cluster.md walks through both.";

/// Longest time to wait for an answer of `scontrol`.
const ANSWER: Duration = Duration::from_secs(10);

/// Run a study in shards on a cluster: a Slurm job array, or a Kubernetes Indexed Job
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct LaunchArgs {
    #[command(subcommand)]
    scheduler: Scheduler,
}

#[derive(Debug, Subcommand)]
enum Scheduler {
    Slurm(Box<SlurmArgs>),
    Kubernetes(Box<KubernetesArgs>),
    /// Print the template of the Slurm script, to be edited and passed to --template
    Template,
}

/// Arguments of both schedulers.
#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    study: StudyArgs,
    /// Number of parts of the study; each part is a separate task
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    shards: u32,
    /// Passed to `sweep`: cpu, cuda:0, … [default: all requested GPUs, else auto]
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Passed to `sweep`
    #[arg(long, value_name = "N")]
    workers: Option<u32>,
    /// Passed to `sweep`
    #[arg(long, value_name = "N")]
    retries: Option<u32>,
    /// Passed to `sweep`: go on in rounds until the study's question is settled
    #[arg(long, value_enum, value_name = "WHAT")]
    until: Option<Until>,
    /// Passed to `sweep`, with --until: the time that training may use, e.g. 45m or 2h
    #[arg(long, value_name = "TIME", requires = "until", value_parser = time)]
    budget: Option<String>,
    /// Another argument for `sweep`; may be repeated
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    sweep_arg: Vec<String>,
}

/// Write a job array for Slurm and submit it
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  transfergrid launch slurm experiments/cifar10.yaml --shards 16 --time 2:00:00 --partition gpu --gres gpu:1\n\n\
    Scripts, the resolved study and the tasks' logs go to OUT/<study>/launch/. A second job writes the report when all tasks have ended, whether they succeeded or not."
)]
struct SlurmArgs {
    #[command(flatten)]
    common: Common,
    /// Time limit of a task, in sbatch's format; unfinished work continues in the next run of the
    /// task
    #[arg(long, value_name = "TIME", value_parser = slurm::limit)]
    time: String,
    /// Results are written to a subfolder with the study's name; all nodes must be able to access
    /// it
    #[arg(long, default_value = "logs", value_name = "FOLDER")]
    out: PathBuf,
    /// Search for data sets in this folder
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    #[arg(long, help = "As in sbatch")]
    partition: Option<String>,
    #[arg(long, help = "As in sbatch, e.g. gpu:1")]
    gres: Option<String>,
    #[arg(long, help = "As in sbatch")]
    account: Option<String>,
    #[arg(long, help = "As in sbatch")]
    qos: Option<String>,
    #[arg(long, help = "As in sbatch", value_name = "N")]
    cpus_per_task: Option<u32>,
    #[arg(long, help = "As in sbatch, e.g. 16G", value_name = "SIZE")]
    mem: Option<String>,
    #[arg(long, help = "As in sbatch")]
    constraint: Option<String>,
    /// Any other option of sbatch, e.g. --sbatch=--exclusive; may be repeated
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    sbatch: Vec<String>,
    /// Tasks that run in parallel
    #[arg(long, alias = "at-a-time", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_parallel: Option<u32>,
    /// Seconds before the time limit at which tasks are signalled to save and stop
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(10..=3600))]
    notice: u64,
    /// Run the program in a container made from --image
    #[arg(long, value_enum, default_value_t = container::ContainerRuntime::None, value_name = "ENGINE")]
    container: container::ContainerRuntime,
    /// The image: a name, file or folder, in the format of the container engine
    #[arg(long)]
    image: Option<String>,
    /// Path of the program on the nodes [default: this program]
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
    /// A script with {{names}} to use in place of the built-in one (`launch template` prints that)
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// Write the scripts, but submit nothing
    #[arg(long)]
    dry_run: bool,
}

/// Print the manifest of an Indexed Job for Kubernetes
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  transfergrid launch kubernetes experiments/cifar10.yaml --shards 16 --image registry/transfergrid:0.1.0 --pvc work --gpus 1 | kubectl apply -f -\n\n\
    Results are written to the volume's `logs` folder; data sets are read from its `data` folder. The pod of the last shard to finish writes the report."
)]
struct KubernetesArgs {
    #[command(flatten)]
    common: Common,
    /// The image, under a name that the cluster's nodes can pull
    #[arg(long, value_parser = kubernetes::image)]
    image: String,
    /// A PersistentVolumeClaim that all pods can write to (ReadWriteMany)
    #[arg(long, value_name = "NAME", value_parser = kubernetes::object)]
    pvc: String,
    #[arg(long, value_name = "NAME", value_parser = kubernetes::object, help = "The namespace [default: kubectl's]")]
    namespace: Option<String>,
    /// CPU cores per pod
    #[arg(long, default_value = "4", value_parser = kubernetes::quantity, value_name = "QUANTITY")]
    cpu: String,
    /// Memory per pod
    #[arg(long, default_value = "16Gi", value_parser = kubernetes::quantity, value_name = "QUANTITY")]
    memory: String,
    /// GPUs per pod (nvidia.com/gpu)
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=64))]
    gpus: u32,
    /// Pods that run in parallel [default: all]
    #[arg(long, alias = "at-a-time", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_parallel: Option<u32>,
    /// User and group ID of the pods; this user must be able to write to the volume
    #[arg(long, default_value_t = 1000, value_name = "UID", value_parser = clap::value_parser!(i64).range(1..=4_294_967_294))]
    user: i64,
    /// KEY=VALUE:EFFECT or KEY:EFFECT; may be repeated
    #[arg(long, value_name = "TAINT", value_parser = kubernetes::toleration)]
    toleration: Vec<Toleration>,
    /// KEY=VALUE of the nodes to run on; may be repeated
    #[arg(long, value_name = "LABEL")]
    node_selector: Vec<String>,
    /// How often a shard is restarted after failures that may be temporary
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(i32).range(0..=100))]
    backoff: i32,
    /// A YAML file to merge into the Job: maps are merged, lists of named items by name
    #[arg(long, value_name = "FILE")]
    overlay: Option<PathBuf>,
}

impl LaunchArgs {
    pub fn run(self) -> Result<u8> {
        match self.scheduler {
            Scheduler::Slurm(args) => args.run(),
            Scheduler::Kubernetes(args) => args.run(),
            Scheduler::Template => {
                print(slurm::TEMPLATE);
                Ok(0)
            }
        }
    }
}

impl Common {
    /// Loads the study with the checks of a sweep. Warns if its division into shards is
    /// inefficient.
    fn load(&self, max_parallel: Option<u32>) -> Result<Study> {
        if self.until.is_some() && max_parallel.is_some_and(|n| n < self.shards) {
            return Err(usage(
                "--max-parallel does not go with --until: the shards of a round wait for each other",
                "leave --max-parallel out, or use as many --shards",
            ));
        }
        let study = self.study.load()?;
        let plan = Plan::new(&study)?;
        let (shards, apart) = (self.shards as usize, plan.stages.iter().filter(|stage| stage.source.is_none()).count());
        let sources = plan.count(StageKind::Source);
        if shards > apart {
            print_error(&format!(
                "warning: only {apart} of {shards} shards have anything to do: a source and its targets stay together, and there are {sources} sources"
            ));
        }
        let seconds = CostEstimate::of(&plan).cpu_seconds(1) / shards as f64;
        if seconds < 60.0 {
            print_error(&format!(
                "warning: a shard takes roughly {} on one CPU core, possibly less than its time in the queue; use fewer --shards",
                duration(seconds)
            ));
        }
        Ok(study)
    }

    /// Further arguments for `sweep`, for a task with `gpus` GPUs. The task uses all of them. It
    /// does not fall back to the CPU if the GPUs of a node do not work. Without GPUs it takes the
    /// CPU even on a node that has some, which it may not use.
    fn more(&self, gpus: u32) -> Vec<String> {
        let mut more = vec![];
        let all = || match gpus {
            0 => "cpu".to_string(),
            _ => (0..gpus).map(|gpu| format!("cuda:{gpu}")).collect::<Vec<_>>().join(","),
        };
        let other = ["--device", "--engine"].iter().any(|option| self.sweep_arg.iter().any(|word| word.starts_with(option)));
        let device = self.device.clone().or_else(|| (!other).then(all));
        more.extend(device.into_iter().flat_map(|device| ["--device".into(), device]));
        more.extend(self.workers.iter().flat_map(|n| ["--workers".into(), n.to_string()]));
        more.extend(self.retries.iter().flat_map(|n| ["--retries".into(), n.to_string()]));
        more.extend(self.until.iter().flat_map(|_| ["--until".into(), "settled".into()]));
        more.extend(self.budget.iter().flat_map(|time| ["--budget".into(), time.clone()]));
        more.extend(self.sweep_arg.iter().cloned());
        more
    }
}

impl SlurmArgs {
    fn run(self) -> Result<u8> {
        let study = self.common.load(self.max_parallel)?;
        if let Some(most) = self.max_array_size().filter(|&most| self.common.shards as usize > most) {
            return Err(usage(
                format!("--shards {}: this cluster's MaxArraySize is {most}", self.common.shards),
                format!("--shards {most} or fewer; a shard may hold any number of stages"),
            ));
        }
        if slurm::seconds(&self.time).is_some_and(|time| time <= self.notice) {
            return Err(usage(
                format!(
                    "--time {} is not longer than --notice {} s: tasks would get the signal to stop as soon as they start",
                    self.time, self.notice
                ),
                "a longer --time, or a shorter --notice (5 s are enough on CPU)",
            ));
        }
        let out = absolute(&self.out)?;
        let data = self.data.as_deref().map(absolute).transpose()?;
        let folder = format!("{out}/{}/launch", study.name);
        for text in [&folder].into_iter().chain(&data) {
            if text.contains(|c: char| c.is_whitespace() || "%:,'\"#\\".contains(c)) {
                return Err(usage(
                    format!("`{text}` contains a space or one of % : , ' \" # \\, which sbatch and containers misinterpret"),
                    "use a path without these characters",
                ));
            }
        }
        let container = self.container(&out, &data)?;
        // The tasks run this version of the study, even if its file changes before the last task
        // has ended.
        let yaml = study.to_yaml();
        let file = format!("study-{}.yaml", &hash(&yaml)[..8]);
        let inside = container.engine != container::ContainerRuntime::None;
        let task = LaunchSpec {
            name: study.name.clone(),
            shards: self.common.shards as usize,
            study: format!("{}/{}/launch/{file}", if inside { container::LOGS } else { &out }, study.name),
            out: if inside { container::LOGS.into() } else { out.clone() },
            data: data.map(|data| if inside { container::DATA.into() } else { data }),
            more: self.common.more(self.gres.as_deref().map_or(0, slurm::gpus)),
        };
        SweepArgs::check_shard(&task.sweep()[1..])?; // an error here is easier to find than in every task's log
        let template = match &self.template {
            Some(path) => text_of(path, "`transfergrid launch template` prints a template that works")?,
            None => slurm::TEMPLATE.into(),
        };
        let request = self.request();
        let script = slurm::script(&template, &task, &container.wrap(&task.sweep()), &request, &folder).map_err(|error| {
            let name = self.template.as_deref().unwrap_or(Path::new("the template")).display().to_string();
            usage(format!("{name}: {error}"), "`transfergrid launch template` prints one that works")
        })?;
        let looks = Container { gpu: false, ..container };
        let report = slurm::report_script(&task, &looks.wrap(&task.report()), &request, &folder);

        let place = Folder(PathBuf::from(&folder));
        let (array, after) = (place.0.join("array.sh"), place.0.join("report.sh"));
        write_atomic(&place.0.join(&file), yaml.as_bytes())?;
        write_atomic(&array, script.as_bytes())?;
        write_atomic(&after, report.as_bytes())?;
        if self.dry_run {
            print(&script);
            let (array, after) = (typed(&array), typed(&after));
            print_error(&format!(
                "nothing was submitted; to do so:\n  id=$(sbatch --parsable {array}) && sbatch --dependency=afterany:$id {after}"
            ));
            return Ok(0);
        }
        let id = sbatch(&[&array.to_string_lossy()])?;
        print(&format!("job array {id}, {} tasks\n", task.shards));
        let report = sbatch(&[&format!("--dependency=afterany:{id}"), &after.to_string_lossy()])
            .with_context(|| format!("job array {id} was submitted, but the job that writes the report was not"))?;
        print(&format!("report after it: job {report}\n"));
        let (own, log) = (typed(&Path::new(&out).join(&study.name)), typed(&place.0.join(format!("{id}_0.log"))));
        print_error(&format!("  transfergrid status {own}\n  tail -f {log}"));
        Ok(0)
    }

    fn request(&self) -> slurm::SlurmRequest {
        let number = |n: Option<u32>| n.map(|n| n.to_string());
        let options = [
            ("partition", self.partition.clone()),
            ("gres", self.gres.clone()),
            ("account", self.account.clone()),
            ("qos", self.qos.clone()),
            ("cpus-per-task", number(self.common.workers.filter(|_| self.cpus_per_task.is_none()).or(self.cpus_per_task))),
            ("mem", self.mem.clone()),
            ("constraint", self.constraint.clone()),
        ];
        slurm::SlurmRequest {
            time: self.time.clone(),
            max_parallel: self.max_parallel.map(|n| n as usize),
            options: options.into_iter().filter_map(|(name, value)| Some((name.to_string(), value?))).collect(),
            more: self.sbatch.clone(),
            notice: self.notice,
        }
    }

    fn container(&self, out: &str, data: &Option<String>) -> Result<Container> {
        let image = match (self.container, &self.image) {
            (container::ContainerRuntime::None, Some(_)) => {
                return Err(usage(
                    "--image without --container",
                    "name the container engine: --container apptainer, docker, podman or charliecloud",
                ))
            }
            (container::ContainerRuntime::None, None) => {
                let program = self
                    .program
                    .clone()
                    .map_or_else(std::env::current_exe, Ok)
                    .context("the path of this program could not be determined")?;
                absolute(&program)?
            }
            (_, Some(image)) => image.clone(),
            (_, None) => return Err(usage("--container needs --image", "e.g. --image transfergrid.sif")),
        };
        // SAFETY: these calls cannot fail and access no memory.
        let user = unsafe { (libc::getuid(), libc::getgid()) };
        let cuda = self.common.device.as_deref().is_some_and(|device| device.starts_with("cuda"));
        let gpu = cuda || self.gres.as_deref().is_some_and(|gres| slurm::gpus(gres) > 0);
        Ok(Container { engine: self.container, image, logs: out.into(), data: data.clone(), gpu, user })
    }

    /// The cluster's MaxArraySize. None if Slurm is not available or does not answer.
    fn max_array_size(&self) -> Option<usize> {
        let mut asked = Command::new("scontrol");
        asked.args(["show", "config"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = asked.spawn().ok()?;
        // Without a configuration, `scontrol` searches the network for one, which can take more
        // than a minute.
        let deadline = Instant::now() + ANSWER;
        while child.try_wait().ok()?.is_none() {
            if Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                print_error("warning: Slurm's controller does not answer; MaxArraySize is not checked");
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let output = child.wait_with_output().ok()?; // a few kilobytes, which fit into the pipe's buffer
        slurm::max_array_size(&String::from_utf8_lossy(&output.stdout))
    }
}

/// Submits a job and returns its ID.
fn sbatch(args: &[&str]) -> Result<String> {
    let output = match Command::new("sbatch").arg("--parsable").args(args).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(usage(
                "there is no `sbatch` here",
                "run this on a machine that submits jobs, or add --dry-run and submit the script there",
            ))
        }
        other => other.context("sbatch could not be started")?,
    };
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr).trim().to_string();
        let away = ["Unable to contact", "Could not establish", "timed out", "Connection"].iter().any(|sign| words.contains(sign));
        if away {
            bail!("sbatch found no controller: {words}\n  hint: the script is kept; try again when `sinfo` answers");
        }
        return Err(usage(format!("sbatch refused the job: {words}"), "the script is kept; --dry-run shows it without submitting"));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.trim().split(';').next().unwrap_or_default().to_string()) // the format is `ID;cluster`
}

fn text_of(path: &Path, hint: &str) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| usage(format!("cannot read {}: {error}", path.display()), hint))
}

fn absolute(path: &Path) -> Result<String> {
    let path = std::path::absolute(path).with_context(|| format!("`{}` is not a valid path", path.display()))?;
    path.into_os_string().into_string().map_err(|path| usage(format!("{path:?} is not UTF-8"), "use a plainer path"))
}

impl KubernetesArgs {
    fn run(self) -> Result<u8> {
        let study = self.common.load(self.max_parallel)?;
        let mut node_selector = BTreeMap::new();
        for label in &self.node_selector {
            let (key, value) = label.split_once('=').ok_or_else(|| usage(format!("--node-selector {label}"), "give KEY=VALUE"))?;
            node_selector.insert(key.to_string(), value.to_string());
        }
        let task = LaunchSpec {
            name: study.name.clone(),
            shards: self.common.shards as usize,
            study: kubernetes::STUDY_FILE.into(),
            out: container::LOGS.into(),
            data: Some(container::DATA.into()),
            more: self.common.more(self.gpus),
        };
        SweepArgs::check_shard(&task.sweep()[1..])?;
        let request = kubernetes::KubernetesRequest {
            image: self.image,
            pvc: self.pvc,
            namespace: self.namespace,
            cpu: self.cpu,
            memory: self.memory,
            gpus: self.gpus,
            parallelism: self.max_parallel.map_or(task.shards, |n| n as usize),
            user: self.user,
            tolerations: self.toleration,
            node_selector,
            backoff: self.backoff,
        };
        let overlay = match &self.overlay {
            Some(path) => Some(text_of(path, "an overlay is a part of a batch/v1 Job, in YAML")?),
            None => None,
        };
        let manifest = kubernetes::manifest(&task, &study.to_yaml(), &request, overlay.as_deref());
        let manifest = manifest.map_err(|error| match &self.overlay {
            Some(path) => usage(format!("{}: {error:#}", path.display()), "an overlay is a part of a batch/v1 Job, in YAML"),
            None => usage(format!("{error:#}"), "give the study another `name`"),
        })?;
        print(&manifest);
        Ok(0)
    }
}
