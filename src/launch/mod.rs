//! What schedulers are told: a Slurm job array, a Kubernetes Indexed Job. Pure: text from settings; cli/launch.rs writes and submits it.
//!
//! Every task runs the same command, `sweep … --shard auto/N`; the scheduler's own task number says which shard. The rest of the contract is exit
//! codes: 75 means run it again, 2 that running it again is useless.

pub mod container;
pub mod kubernetes;
pub mod slurm;

/// What each task runs, and where: without the container, if any.
#[derive(Debug, Clone)]
pub struct LaunchSpec {
    /// The study's name.
    pub name: String,
    pub shards: usize,
    /// The study's file, as the task sees it.
    pub study: String,
    /// The folder of results, as the task sees it.
    pub out: String,
    /// The folder of data sets, as the task sees it.
    pub data: Option<String>,
    /// More arguments of `sweep`.
    pub more: Vec<String>,
}

impl LaunchSpec {
    /// Arguments of the program.
    pub fn sweep(&self) -> Vec<String> {
        let mut args = vec!["sweep".into(), self.study.clone(), "--shard".into(), format!("auto/{}", self.shards)];
        args.extend(["--out".into(), self.out.clone()]);
        if let Some(data) = &self.data {
            args.extend(["--data".into(), data.clone()]);
        }
        args.extend(self.more.iter().cloned());
        args
    }

    pub fn report(&self) -> Vec<String> {
        vec!["report".into(), format!("{}/{}", self.out, self.name)]
    }
}
