//! `--shard`: the part of a study that this process runs, given explicitly or read from the
//! scheduler's environment.

use std::str::FromStr;

use anyhow::Result;

use crate::base::usage::usage;
use crate::plan::Shard;

/// The argument as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardArg {
    Fixed(Shard),
    /// The index is read from the environment. The number of shards is also read from there if it
    /// is not given.
    Auto(Option<usize>),
}

impl FromStr for ShardArg {
    type Err = String;

    fn from_str(text: &str) -> Result<ShardArg, String> {
        match text.strip_prefix("auto") {
            Some("") => Ok(ShardArg::Auto(None)),
            Some(rest) => {
                let count = rest.strip_prefix('/').and_then(|n| n.parse().ok()).ok_or("I/N (0/4 is the first of four), auto/N or auto")?;
                Shard::new(0, count).map(|shard| ShardArg::Auto(Some(shard.count)))
            }
            None => text.parse().map(ShardArg::Fixed),
        }
    }
}

impl ShardArg {
    /// Reads the missing numbers through `environment`.
    pub fn resolve(self, environment: impl Fn(&str) -> Option<String>) -> Result<Shard> {
        let count = match self {
            ShardArg::Fixed(shard) => return Ok(shard),
            ShardArg::Auto(count) => count,
        };
        let number = |name: &str| -> Result<Option<usize>> {
            let Some(text) = environment(name) else { return Ok(None) };
            let wrong = || usage(format!("{name}={text} is not a whole number"), "say which shard: --shard I/N");
            text.parse().map(Some).map_err(|_| wrong())
        };
        let (slurm, kubernetes) = (number("SLURM_ARRAY_TASK_ID")?, number("JOB_COMPLETION_INDEX")?);
        let (index, name) = match (slurm, kubernetes) {
            (Some(index), _) => (index, "SLURM_ARRAY_TASK_ID"),
            (None, Some(index)) => (index, "JOB_COMPLETION_INDEX"),
            (None, None) => {
                return Err(usage(
                    "--shard auto: neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is set",
                    "say which shard: --shard I/N; or start this from a Slurm job array or a Kubernetes Indexed Job",
                ))
            }
        };
        let count = match count {
            Some(count) => count,
            None if slurm.is_some() => {
                let [count, min, max] = ["COUNT", "MIN", "MAX"].map(|part| number(&format!("SLURM_ARRAY_TASK_{part}")));
                let (count, min, max) = (count?, min?, max?);
                // If a part of an array is submitted again, its index range differs: its count is
                // not the number of shards.
                match (count, min, max) {
                    (Some(count), Some(0), Some(max)) if max + 1 == count => count,
                    _ => return Err(usage(
                        "--shard auto: the indices of this job array do not run from 0 to its size minus 1, so the number of shards is unknown",
                        "give it: --shard auto/N, with the same N for every task, also in arrays that rerun only some shards",
                    )),
                }
            }
            None => {
                return Err(usage(
                    "--shard auto: Kubernetes gives a pod its index, but not the number of shards",
                    "give it: --shard auto/N, where N is the job's `completions`",
                ))
            }
        };
        Shard::new(index, count)
            .map_err(|why| usage(format!("{name}={index} of {count} shards: {why}"), "number the tasks from 0 to N − 1"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(arg: &str, environment: &[(&str, &str)]) -> Result<String, String> {
        let get = |name: &str| environment.iter().find(|(n, _)| *n == name).map(|(_, value)| value.to_string());
        arg.parse::<ShardArg>()?.resolve(get).map(|shard| shard.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn schedulers_are_understood_and_sparse_arrays_are_not_guessed_at() {
        let slurm = |id: &'static str, count: &'static str, min: &'static str, max: &'static str| {
            [("SLURM_ARRAY_TASK_ID", id), ("SLURM_ARRAY_TASK_COUNT", count), ("SLURM_ARRAY_TASK_MIN", min), ("SLURM_ARRAY_TASK_MAX", max)]
        };
        assert_eq!(resolve("2/4", &[]).unwrap(), "2/4");
        assert_eq!(resolve("auto", &slurm("3", "16", "0", "15")).unwrap(), "3/16");
        // `--array=3,7` and `--array=1-16`.
        for sparse in [slurm("7", "2", "3", "7"), slurm("1", "16", "1", "16"), slurm("0", "2", "0", "5")] {
            assert!(resolve("auto", &sparse).unwrap_err().contains("auto/N"));
        }
        assert_eq!(resolve("auto/16", &slurm("7", "2", "3", "7")).unwrap(), "7/16");
        assert!(resolve("auto/16", &slurm("16", "16", "1", "16")).unwrap_err().contains("0/16 is the first"));
        assert_eq!(resolve("auto/8", &[("JOB_COMPLETION_INDEX", "5")]).unwrap(), "5/8");
        assert!(resolve("auto", &[("JOB_COMPLETION_INDEX", "5")]).unwrap_err().contains("completions"));
        assert!(resolve("auto/8", &[("JOB_COMPLETION_INDEX", "x")]).unwrap_err().contains("not a whole number"));
        assert!(resolve("auto", &[]).unwrap_err().contains("neither"));
        for wrong in ["auto/", "auto/0", "automatic", "4/4", ""] {
            assert!(wrong.parse::<ShardArg>().is_err(), "{wrong}");
        }
    }
}
