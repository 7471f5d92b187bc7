//! Which PyTorch `scripts/libtorch.sh` installs on which machine. Python, pip and `nvidia-smi` are
//! made up.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::{repository, run, Done};

/// A Python that writes down what pip is asked to install, and makes the folder of a CPU PyTorch.
const PYTHON: &str = r#"#!/bin/sh
case "$*" in
  *find_spec*) ;;
  "-m venv .venv") mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
  *sysconfig*) echo "$PWD/.venv/site" ;;
  *"pip install"*)
    echo "$*" >> pip.log; mkdir -p .venv/site/torch/lib; touch .venv/site/torch/lib/libtorch_cpu.so
    echo "__version__ = '2.11.0'" > .venv/site/torch/version.py ;;
esac
"#;

struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    /// `smi`: what `nvidia-smi` prints of driver and capability, a line for each GPU; none: there
    /// is no such program.
    fn new(smi: Option<&str>) -> Machine {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for path in ["scripts", "bin", "root/proc/driver/nvidia"] {
            std::fs::create_dir_all(at(path)).unwrap();
        }
        std::fs::copy(repository().join("scripts/libtorch.sh"), at("scripts/libtorch.sh")).unwrap();
        executable(&at("bin/python3"), PYTHON);
        executable(&at("bin/nvidia-smi"), &smi.map_or("#!/bin/sh\nexit 9\n".into(), |smi| format!("#!/bin/sh\necho '{smi}'\n")));
        Machine { folder }
    }

    fn install(&self, torch: Option<&str>) -> Done {
        let mut command = Command::new(self.folder.path().join("scripts/libtorch.sh"));
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", self.folder.path().join("bin").display()));
        command.env("TRANSFERGRID_TEST_ROOT", self.folder.path().join("root")).env_remove("LIBTORCH").env_remove("TORCH");
        command.envs(torch.map(|torch| ("TORCH", torch)));
        run(command.stdin(Stdio::null()))
    }

    fn asked(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("pip.log")).unwrap_or_default()
    }
}

fn executable(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_build_suits_the_driver_and_the_gpu() {
    let plain = "torch==2.11.0\n";
    let cases = [
        (None, "--no-deps torch==2.11.0 nvidia-cuda-runtime"),
        (Some("580.95.05, 9.0"), plain),
        (Some("580.95.05, 12.0"), plain),
        (Some("535.104.05, 8.0"), "--index-url https://download.pytorch.org/whl/cu126 torch==2.11.0+cu126\n"),
        (Some("570.133.20, 12.0"), "--index-url https://download.pytorch.org/whl/cu128 torch==2.11.0+cu128\n"),
        (Some("580.95.05, 7.0"), "torch==2.11.0+cu126\n"), // CUDA 13 has no code for Volta
        (Some("580.95.05, 9.0\n580.95.05, 7.0"), "torch==2.11.0+cu126\n"),
    ];
    for (smi, expected) in cases {
        let machine = Machine::new(smi);
        let done = machine.install(None);
        assert_eq!(done.code, Some(0), "{smi:?}: {}", done.stderr);
        assert!(machine.asked().contains(expected), "{smi:?}: {}", machine.asked());
    }
    let by_file = Machine::new(None);
    let text = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (dvs@U22)  Tue Sep 23\n";
    std::fs::write(by_file.folder.path().join("root/proc/driver/nvidia/version"), text).unwrap();
    let done = by_file.install(None);
    assert!(by_file.asked().ends_with(plain) && done.stderr.contains("for driver 580.95.05"), "{}{}", by_file.asked(), done.stderr);
}

#[test]
fn a_driver_that_no_build_supports_is_refused() {
    let machine = Machine::new(Some("470.82.01, 7.5"));
    let done = machine.install(None);
    assert_eq!(done.code, Some(2));
    assert!(done.stderr.contains("driver 470.82.01 is too old") && done.stderr.contains("needs 525 or newer"), "{}", done.stderr);
    assert_eq!(machine.asked(), "");
    assert_eq!(machine.install(Some("cpu")).code, Some(0));
    assert_eq!(Machine::new(None).install(Some("cu99")).code, Some(2));
}

#[test]
fn a_gpu_that_came_after_a_cpu_installation_is_told() {
    let machine = Machine::new(None);
    assert_eq!(machine.install(None).code, Some(0));
    let before = machine.asked();
    executable(&machine.folder.path().join("bin/nvidia-smi"), "#!/bin/sh\necho '580.95.05, 9.0'\n");
    let done = machine.install(None);
    assert_eq!(done.code, Some(2));
    assert!(done.stderr.contains("has an NVIDIA GPU") && done.stderr.contains("make clean-venv"), "{}", done.stderr);
    assert_eq!(machine.install(Some("cpu")).code, Some(0));
    assert_eq!(machine.asked(), before, "nothing is installed without being asked for");
}
