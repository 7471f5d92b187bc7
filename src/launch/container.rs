//! Runs the program in a container. The image's folders `/app/logs` and `/app/data` are mounted.
//! Nothing else is written.

use clap::ValueEnum;

/// The program that runs the image on a cluster node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ContainerRuntime {
    /// The program itself, from a file system that all nodes see
    None,
    Apptainer,
    Docker,
    Podman,
    /// An image folder, run by ch-run
    Charliecloud,
}

/// The image's folders for results and data sets.
pub const LOGS: &str = "/app/logs";
pub const DATA: &str = "/app/data";

/// The environment variable with which the scheduler gives the program its task number.
const ENVIRONMENT: &str = "SLURM_ARRAY_TASK_ID";
/// Placeholder for the job's GPUs, which the job's script replaces. A Docker engine runs outside
/// the job and needs them as an option.
pub const GPUS: &str = "$GPUS";

/// A container on a node.
#[derive(Debug, Clone)]
pub struct Container {
    pub engine: ContainerRuntime,
    /// Name, file or folder of the image. Without a container, the path of the program.
    pub image: String,
    /// Folders on the host.
    pub logs: String,
    pub data: Option<String>,
    pub gpu: bool,
    /// User and group that own the written files.
    pub user: (u32, u32),
}

impl Container {
    /// The words of a command that runs the program in the container with these arguments.
    pub fn wrap(&self, args: &[String]) -> Vec<String> {
        let mut mounts = vec![(self.logs.as_str(), LOGS, true)];
        mounts.extend(self.data.as_deref().map(|data| (data, DATA, false)));
        let words = |text: &str| text.split(' ').map(str::to_string).collect::<Vec<_>>();
        let access = |writable: bool| if writable { "" } else { ":ro" };
        let mut command = match self.engine {
            ContainerRuntime::None => vec![self.image.clone()],
            ContainerRuntime::Apptainer => {
                let mut command = words("apptainer exec --no-home --pwd /app"); // it passes the environment on
                command.extend(self.gpu.then(|| "--nv".into()));
                mounts.iter().for_each(|(from, to, w)| command.extend(["--bind".into(), format!("{from}:{to}{}", access(*w))]));
                command.extend([self.image.clone(), "transfergrid".into()]);
                command
            }
            ContainerRuntime::Docker | ContainerRuntime::Podman => {
                let docker = self.engine == ContainerRuntime::Docker;
                let mut command = words(if docker { "docker run" } else { "podman run" });
                // Without root, user numbers inside the container differ from those outside. Podman
                // does not accept this option as root.
                command.extend((!docker && self.user.0 != 0).then(|| "--userns=keep-id".into()));
                command.extend(words("--rm --read-only --network none"));
                command.extend(["--user".into(), format!("{}:{}", self.user.0, self.user.1)]);
                let gpu = if docker { ["--gpus", GPUS] } else { ["--device", "nvidia.com/gpu=all"] };
                command.extend(gpu.iter().filter(|_| self.gpu).map(|word| word.to_string()));
                let seen = (self.gpu && !docker).then_some("CUDA_VISIBLE_DEVICES"); // Docker renumbers devices
                [ENVIRONMENT].into_iter().chain(seen).for_each(|name| command.extend(["--env".into(), name.into()]));
                mounts.iter().for_each(|(from, to, w)| command.extend(["--volume".into(), format!("{from}:{to}{}", access(*w))]));
                command.push(self.image.clone());
                command
            }
            ContainerRuntime::Charliecloud => {
                let mut command = words("ch-run --cd=/app");
                mounts.iter().for_each(|(from, to, _)| command.extend(["--bind".into(), format!("{from}:{to}")]));
                command.extend([self.image.clone(), "--".into(), "transfergrid".into()]);
                command
            }
        };
        command.extend(args.iter().cloned());
        command
    }
}
