//! The input for schedulers: a Slurm job array or a Kubernetes Indexed Job. This module only makes
//! text from settings; cli/launch.rs writes and submits it.
//!
//! Every task runs the same command, `sweep … --shard auto/N`. The task number that the scheduler
//! assigns selects the shard. Exit codes are the other part of the contract. 75 means that the task
//! must run again. 2 and 3 mean that running it again gives the same result.

pub mod container;
pub mod kubernetes;
pub mod slurm;

/// The command of each task, without the container.
#[derive(Debug, Clone)]
pub struct LaunchSpec {
    /// The study's name.
    pub name: String,
    pub shards: usize,
    /// Path of the study's file inside the task.
    pub study: String,
    /// Folder of results inside the task.
    pub out: String,
    /// Folder of data sets inside the task.
    pub data: Option<String>,
    /// Further arguments of `sweep`.
    pub more: Vec<String>,
}

impl LaunchSpec {
    /// Arguments of the program for a task.
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
