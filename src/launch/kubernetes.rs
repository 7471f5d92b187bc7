//! A Kubernetes Indexed Job (batch/v1) and the ConfigMap that contains the study. Both are built
//! from the API's own types.

use std::collections::BTreeMap;

use anyhow::{bail, Context, Result};
use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMap, ConfigMapVolumeSource, Container, EmptyDirVolumeSource, PersistentVolumeClaimVolumeSource, PodSecurityContext,
    PodSpec, PodTemplateSpec, ResourceRequirements, SeccompProfile, SecurityContext, Toleration, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_yaml::Value;

use super::container::{DATA, LOGS};
use super::LaunchSpec;
use crate::plan::hash;

/// The resources and options that the job requests.
#[derive(Debug, Clone, Default)]
pub struct KubernetesRequest {
    pub image: String,
    /// Name of a volume claim that all pods can write to. Results go to its folder `logs`, and data
    /// sets are read from its folder `data`.
    pub pvc: String,
    pub namespace: Option<String>,
    pub cpu: String,
    pub memory: String,
    pub gpus: u32,
    /// Number of pods that run at the same time.
    pub parallelism: usize,
    /// Number of the user and the group of the pods.
    pub user: i64,
    pub tolerations: Vec<Toleration>,
    pub node_selector: BTreeMap<String, String>,
    /// How often a shard is retried after failures that may be temporary.
    pub backoff: i32,
}

/// Folder where the study is mounted.
const STUDY: &str = "/app/study";
pub const STUDY_FILE: &str = "/app/study/study.yaml";
const VOLUME: &str = "work";

/// Seconds that a pod has to save its work.
const GRACE: i64 = 60;

/// The manifest: ConfigMap and Job, as two YAML documents. `overlay` is a Job that is merged into
/// this one.
pub fn manifest(task: &LaunchSpec, study: &str, request: &KubernetesRequest, overlay: Option<&str>) -> Result<String> {
    let name = name(&task.name)?;
    let labels = BTreeMap::from([
        ("app.kubernetes.io/name".to_string(), "transfergrid".to_string()),
        ("app.kubernetes.io/instance".to_string(), name.clone()),
    ]);
    let meta = ObjectMeta {
        name: Some(name.clone()),
        namespace: request.namespace.clone(),
        labels: Some(labels.clone()),
        ..ObjectMeta::default()
    };
    // Each version of the study has its own ConfigMap name, because pods of an earlier job still
    // use theirs.
    let config_name = format!("{name}-{}", &hash(&study)[..8]);
    let config = ConfigMap {
        metadata: ObjectMeta { name: Some(config_name.clone()), ..meta.clone() },
        immutable: Some(true),
        data: Some(BTreeMap::from([("study.yaml".to_string(), study.to_string())])),
        ..ConfigMap::default()
    };
    let job = Job { metadata: meta, spec: Some(job_spec(task, request, &config_name, labels)), status: None };
    let job = match overlay {
        Some(text) => overlaid(&job, text)?,
        None => job,
    };
    check(&job, task)?;
    Ok(format!("{}---\n{}", serde_yaml::to_string(&config)?, serde_yaml::to_string(&job)?))
}

fn job_spec(task: &LaunchSpec, request: &KubernetesRequest, config: &str, labels: BTreeMap<String, String>) -> JobSpec {
    let count = i32::try_from(task.shards).unwrap_or(i32::MAX);
    JobSpec {
        completion_mode: Some("Indexed".into()),
        completions: Some(count),
        parallelism: Some(i32::try_from(request.parallelism).unwrap_or(i32::MAX).min(count)),
        backoff_limit_per_index: Some(request.backoff),
        pod_replacement_policy: Some("Failed".into()),
        pod_failure_policy: Some(failure_policy()),
        template: PodTemplateSpec {
            metadata: Some(ObjectMeta { labels: Some(labels), ..ObjectMeta::default() }),
            spec: Some(pod(task, request, config)),
        },
        ..JobSpec::default()
    }
}

/// What the program's exit codes mean for the job. All other codes count towards the index's
/// backoff limit.
fn failure_policy() -> PodFailurePolicy {
    let codes = |action: &str, values: Vec<i32>| PodFailurePolicyRule {
        action: action.into(),
        on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement { operator: "In".into(), values, ..Default::default() }),
        ..PodFailurePolicyRule::default()
    };
    let disrupted = PodFailurePolicyOnPodConditionsPattern { type_: "DisruptionTarget".into(), status: "True".into() };
    PodFailurePolicy {
        rules: vec![
            PodFailurePolicyRule { action: "Ignore".into(), on_pod_conditions: Some(vec![disrupted]), ..Default::default() },
            // 75: interrupted and saved. 137: killed. The next pod counts kills (cli/attempt.rs)
            // and gives up if nothing was saved in between.
            codes("Ignore", vec![75, 137]),
            // 2: a mistake in the study, the data or the flags. 3: cells that failed or diverged.
            // Running again would give the same.
            codes("FailIndex", vec![2, 3]),
        ],
    }
}

fn pod(task: &LaunchSpec, request: &KubernetesRequest, config: &str) -> PodSpec {
    let mount = |name: &str, path: &str, sub: Option<&str>, read_only: bool| VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        sub_path: sub.map(Into::into),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    let limits = || {
        let mut all = BTreeMap::from([("cpu".to_string(), request.cpu.clone()), ("memory".into(), request.memory.clone())]);
        if request.gpus > 0 {
            all.insert("nvidia.com/gpu".into(), request.gpus.to_string());
        }
        Some(all.into_iter().map(|(name, value)| (name, Quantity(value))).collect())
    };
    let container = Container {
        name: "transfergrid".into(),
        image: Some(request.image.clone()),
        command: Some(vec!["transfergrid".into()]),
        args: Some(task.sweep()),
        resources: Some(ResourceRequirements { limits: limits(), requests: limits(), ..Default::default() }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(vec![
            mount(VOLUME, LOGS, Some("logs"), false),
            mount(VOLUME, DATA, Some("data"), true),
            mount("study", STUDY, None, true),
            mount("tmp", "/tmp", None, false),
        ]),
        ..Container::default()
    };
    PodSpec {
        containers: vec![container],
        restart_policy: Some("Never".into()),
        termination_grace_period_seconds: Some(GRACE),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(request.user),
            run_as_group: Some(request.user),
            fs_group: Some(request.user),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), localhost_profile: None }),
            ..PodSecurityContext::default()
        }),
        tolerations: (!request.tolerations.is_empty()).then(|| request.tolerations.clone()),
        node_selector: (!request.node_selector.is_empty()).then(|| request.node_selector.clone()),
        volumes: Some(vec![
            Volume {
                name: VOLUME.into(),
                persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource { claim_name: request.pvc.clone(), read_only: None }),
                ..Volume::default()
            },
            Volume {
                name: "study".into(),
                config_map: Some(ConfigMapVolumeSource { name: config.into(), ..ConfigMapVolumeSource::default() }),
                ..Volume::default()
            },
            Volume { name: "tmp".into(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() },
        ]),
        ..PodSpec::default()
    }
}

/// A valid Kubernetes name (RFC 1123), with room for the suffixes of pod names. If the study's name
/// must be changed for that, digits of its hash are appended. This keeps the names of different
/// studies different.
pub fn name(study: &str) -> Result<String> {
    let plain: String = study.to_lowercase().chars().map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' }).collect();
    let short: String = plain.trim_matches('-').chars().take(MOST_LETTERS).collect();
    let short = short.trim_end_matches('-');
    if short.is_empty() {
        bail!("the study's name `{study}` leaves no letter or digit for a Kubernetes name");
    }
    let ending = if short == study { String::new() } else { format!("-{}", &hash(&study)[..6]) };
    Ok(format!("transfergrid-{short}{ending}"))
}

/// Maximum length of the study's name in the name of the Job.
const MOST_LETTERS: usize = 30;

/// Parses `key=value:Effect`, `key:Effect`, or `:Effect` for every taint of that effect.
pub fn toleration(text: &str) -> Result<Toleration, String> {
    let wrong = || "KEY=VALUE:EFFECT or KEY:EFFECT, with the effect NoSchedule, PreferNoSchedule or NoExecute".to_string();
    let (taint, effect) = text.rsplit_once(':').ok_or_else(wrong)?;
    if !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect) {
        return Err(wrong());
    }
    let (key, value) = taint.split_once('=').map_or((taint, None), |(key, value)| (key, Some(value.to_string())));
    Ok(Toleration {
        key: (!key.is_empty()).then(|| key.to_string()),
        operator: Some(if value.is_some() { "Equal" } else { "Exists" }.into()),
        value,
        effect: Some(effect.into()),
        toleration_seconds: None,
    })
}

/// Checks the name of a namespace or a claim (RFC 1123).
pub fn object(text: &str) -> Result<String, String> {
    let plain = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.');
    let ends = text.starts_with(['-', '.']) || text.ends_with(['-', '.']);
    (plain && !ends && (1..=63).contains(&text.len()))
        .then(|| text.to_string())
        .ok_or_else(|| "at most 63 lower-case letters, digits, `-` and `.`, a letter or digit at both ends".into())
}

/// Checks an image reference.
pub fn image(text: &str) -> Result<String, String> {
    let sound = !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    sound.then(|| text.to_string()).ok_or_else(|| "e.g. registry.example/transfergrid:0.1.0".into())
}

/// Checks a quantity in Kubernetes notation: `4`, `500m`, `16Gi`.
pub fn quantity(text: &str) -> Result<String, String> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let units = ["", "m", "k", "M", "G", "T", "P", "Ki", "Mi", "Gi", "Ti", "Pi"];
    let known = text[..end].parse::<f64>().is_ok_and(|n| n > 0.0) && units.contains(&&text[end..]);
    known.then(|| text.to_string()).ok_or_else(|| "a number with a unit of Kubernetes, e.g. 4, 500m, 16Gi".into())
}

/// Merges the caller's Job into this one. Maps are merged key by key. Lists of named items are
/// merged by name, and mounts also by path. Other values are replaced.
fn overlaid(job: &Job, text: &str) -> Result<Job> {
    let over: Value = serde_yaml::from_str(text).context("it is not YAML")?;
    let mut merged = serde_yaml::to_value(job)?;
    merge(&mut merged, over);
    let job: Job = serde_yaml::from_value(merged.clone()).context("merged into the job, it does not give a valid batch/v1 Job")?;
    // The API types ignore unknown fields, so they are looked for here.
    match unknown(&merged, &serde_yaml::to_value(&job)?, "") {
        Some(path) => bail!("`{path}` is not a field of a batch/v1 Job"),
        None => Ok(job),
    }
}

fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Mapping(base), Value::Mapping(over)) => {
            for (key, value) in over {
                match base.get_mut(&key) {
                    Some(known) => merge(known, value),
                    None => _ = base.insert(key, value),
                }
            }
        }
        (Value::Sequence(base), Value::Sequence(over)) if !over.is_empty() && over.iter().all(|item| item["name"].is_string()) => {
            for item in over {
                // A volume may be mounted at several paths.
                let same = |known: &&mut Value| known["name"] == item["name"] && known["mountPath"] == item["mountPath"];
                match base.iter_mut().find(same) {
                    Some(known) => merge(known, item),
                    None => base.push(item),
                }
            }
        }
        (base, over) => *base = over,
    }
}

/// The path of the first key in `all` that is missing in `known`.
fn unknown(all: &Value, known: &Value, at: &str) -> Option<String> {
    match (all, known) {
        (Value::Mapping(all), Value::Mapping(known)) => all.iter().find_map(|(key, value)| {
            let path = format!("{at}{}{}", if at.is_empty() { "" } else { "." }, key.as_str().unwrap_or("?"));
            match known.get(key) {
                Some(known) => unknown(value, known, &path),
                None => (!value.is_null()).then_some(path),
            }
        }),
        (Value::Sequence(all), Value::Sequence(known)) => {
            all.iter().zip(known).enumerate().find_map(|(i, (all, known))| unknown(all, known, &format!("{at}[{i}]")))
        }
        _ => None,
    }
}

/// Checks what the API's schema does not express and a cluster would refuse or misinterpret. An
/// overlay may have broken it.
fn check(job: &Job, task: &LaunchSpec) -> Result<()> {
    let spec = job.spec.as_ref().context("the job has no spec")?;
    let pod = spec.template.spec.as_ref().context("the job's template has no spec")?;
    if spec.completion_mode.as_deref() != Some("Indexed") || spec.completions.map(i64::from) != i64::try_from(task.shards).ok() {
        bail!("the job must stay Indexed, with {} `completions`: the index says which shard a pod runs", task.shards);
    }
    if pod.restart_policy.as_deref() != Some("Never") {
        bail!("restartPolicy must stay Never: the job's podFailurePolicy depends on it");
    }
    let mounts = pod.containers.iter().flat_map(|container| container.volume_mounts.iter().flatten());
    let known = |name: &str| pod.volumes.iter().flatten().any(|volume| volume.name == name);
    if let Some(mount) = mounts.into_iter().find(|mount| !known(&mount.name)) {
        bail!("a container mounts `{}`, which is not a volume of the pod", mount.name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> KubernetesRequest {
        let (image, pvc) = ("registry.example/transfergrid:1".to_string(), "work".to_string());
        let (cpu, memory, gpus) = ("4".into(), "16Gi".into(), 1);
        KubernetesRequest { image, pvc, cpu, memory, gpus, parallelism: 4, user: 1000, backoff: 3, ..KubernetesRequest::default() }
    }

    fn task() -> LaunchSpec {
        let (study, out) = (STUDY_FILE.into(), LOGS.into());
        LaunchSpec { name: "cifar10".into(), shards: 16, study, out, data: Some(DATA.into()), more: vec![] }
    }

    fn job(overlay: Option<&str>) -> Result<Value> {
        let text = manifest(&task(), "name: cifar10\n", &request(), overlay)?;
        Ok(serde_yaml::from_str(text.split("---\n").nth(1).unwrap())?)
    }

    #[test]
    fn the_job_says_what_exit_codes_mean() {
        let job = job(None).unwrap();
        let spec = &job["spec"];
        assert_eq!((spec["completions"].as_u64(), spec["parallelism"].as_u64()), (Some(16), Some(4)));
        let rules = spec["podFailurePolicy"]["rules"].as_sequence().unwrap();
        assert_eq!(rules[1]["onExitCodes"]["values"][0].as_u64(), Some(75));
        assert_eq!(rules[2]["action"].as_str(), Some("FailIndex"));
        let container = &spec["template"]["spec"]["containers"][0];
        assert_eq!(container["args"][3].as_str(), Some("auto/16"));
        assert_eq!(container["resources"]["limits"]["nvidia.com/gpu"].as_str(), Some("1"));
    }

    #[test]
    fn an_overlay_changes_what_it_names_and_nothing_else() {
        let over = "metadata: {annotations: {team: vision}}\nspec: {template: {spec: {containers: [{name: transfergrid, env: [{name: A, value: b}]}]}}}";
        let job = job(Some(over)).unwrap();
        let container = &job["spec"]["template"]["spec"]["containers"][0];
        assert_eq!((container["env"][0]["value"].as_str(), container["args"][0].as_str()), (Some("b"), Some("sweep")));
        assert_eq!(job["metadata"]["annotations"]["team"].as_str(), Some("vision"));
    }

    #[test]
    fn overlays_that_break_the_job_are_refused() {
        for (over, why) in [
            ("spec: {complitions: 3}", "`spec.complitions` is not a field"),
            ("spec: {template: {spec: {containers: [{name: transfergrid, imag: x}]}}}", "containers[0].imag` is not a field"),
            ("spec: {completions: many}", "does not give a valid batch/v1 Job"),
            ("spec: {template: {spec: {restartPolicy: Always}}}", "must stay Never"),
            ("spec: {completionMode: NonIndexed}", "must stay Indexed"),
            ("spec: {completions: 8}", "with 16 `completions`"),
            (
                "spec: {template: {spec: {volumes: [{name: tmp}], containers: [{name: more, volumeMounts: [{name: x, mountPath: /x}]}]}}}",
                "mounts `x`",
            ),
            ("a: [", "not YAML"),
        ] {
            let error = format!("{:#}", job(Some(over)).unwrap_err());
            assert!(error.contains(why), "{over}: {error}");
        }
    }

    #[test]
    fn names_tolerations_and_quantities() {
        assert_eq!(name("cifar10-small").unwrap(), "transfergrid-cifar10-small");
        assert!(name("CIFAR_10 (small)").unwrap().starts_with("transfergrid-cifar-10--small-"));
        assert!(name("---").is_err() && name(&"a".repeat(100)).unwrap().len() <= 50);
        // Shortened names and names that become equal in spelling stay different.
        assert_ne!(name("a_b").unwrap(), name("a-b").unwrap());
        assert_ne!(name(&("a".repeat(60) + "1")).unwrap(), name(&("a".repeat(60) + "2")).unwrap());
        assert!(toleration("nvidia.com/gpu:NoSchedule").is_ok_and(|t| t.operator.as_deref() == Some("Exists")));
        assert!(toleration("a=b:NoExecute").is_ok_and(|t| t.value.as_deref() == Some("b")));
        assert!(toleration("a=b").is_err() && toleration("a:Never").is_err());
        assert!(["4", "500m", "16Gi", "0.5"].iter().all(|text| quantity(text).is_ok()));
        assert!(["", "x", "-1", "4GB", "0"].iter().all(|text| quantity(text).is_err()));
    }
}
