//! A machine with an NVIDIA GPU on which CUDA cannot be used: nothing is trained on the CPU without
//! a word. The GPU's files, `nvidia-smi` and the driver's library are made up.
#![cfg(feature = "torch")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::common::{program, repository, run, Done, SMALL};

/// A folder with the files of a kernel module of this version, and of one GPU.
fn machine(driver: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("proc/driver/nvidia")).unwrap();
    std::fs::create_dir_all(root.path().join("dev")).unwrap();
    let text = format!("NVRM version: NVIDIA UNIX x86_64 Kernel Module  {driver}  Sat Aug 19 01:15:15 UTC 2023\n");
    std::fs::write(root.path().join("proc/driver/nvidia/version"), text).unwrap();
    std::fs::write(root.path().join("dev/nvidia0"), "").unwrap();
    root
}

/// A `nvidia-smi` that answers, or that finds no driver.
fn nvidia_smi(folder: &Path, driver: Option<&str>) {
    let body = match driver {
        Some(driver) => format!("case \"$*\" in *compute_cap*) echo '{driver}, 8.0' ;; *) echo '{driver}' ;; esac"),
        None => "echo 'NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.'; exit 9".into(),
    };
    let file = folder.join("nvidia-smi");
    std::fs::write(&file, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A real GPU would be found in place of the made-up one.
fn has_real_gpu() -> bool {
    let real = Path::new("/dev/nvidia0").exists();
    if real {
        eprintln!("LEFT OUT: this machine has an NVIDIA GPU");
    }
    real
}

struct Given {
    folder: tempfile::TempDir,
}

impl Given {
    fn new() -> Given {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("small.yaml"), SMALL).unwrap();
        Given { folder }
    }

    fn out(&self) -> std::path::PathBuf {
        self.folder.path().join("logs")
    }

    fn ask(&self, words: &[&str], set: impl FnOnce(&mut Command)) -> Done {
        let mut command = program();
        command.args(words).arg(self.folder.path().join("small.yaml")).arg("--out").arg(self.out()).env_remove("CUDA_VISIBLE_DEVICES");
        set(&mut command);
        run(&mut command)
    }
}

/// Runs on a machine with these files.
fn on(command: &mut Command, root: &Path) {
    command.env("TRANSFERGRID_TEST_ROOT", root);
}

fn with_path(command: &mut Command, folder: &Path) {
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", folder.display()));
}

#[test]
fn a_gpu_that_cannot_be_used_is_never_replaced_by_the_cpu_without_a_word() {
    if has_real_gpu() {
        return;
    }
    let given = Given::new();
    let new = machine("580.95.05");
    for words in [vec!["sweep"], vec!["sweep", "--device", "auto"], vec!["bench"]] {
        let refused = given.ask(&words, |command| on(command, new.path()));
        assert_eq!(refused.code, Some(1), "{words:?}: {}", refused.stderr);
        assert!(refused.stderr.contains("this machine has an NVIDIA GPU (/dev/nvidia0, driver 580.95.05), but it cannot be used: "));
        assert!(refused.stderr.contains("--device cpu") && refused.stderr.contains("hint: "), "{}", refused.stderr);
        assert!(!given.out().join("small/records").exists(), "nothing was started");
    }
    let insisted = given.ask(&["sweep", "--device", "cpu"], |command| on(command, new.path()));
    assert_eq!(insisted.code, Some(0), "{}", insisted.stderr);
}

#[test]
fn hidden_gpus_and_machines_without_one_take_the_cpu() {
    if has_real_gpu() {
        return;
    }
    let (given, new, empty) = (Given::new(), machine("580.95.05"), tempfile::tempdir().unwrap());
    for hidden in ["", "-1"] {
        let cpu = given.ask(&["sweep"], |command| {
            command.env("TRANSFERGRID_TEST_ROOT", new.path()).env("CUDA_VISIBLE_DEVICES", hidden);
        });
        assert_eq!(cpu.code, Some(0), "{}", cpu.stderr);
    }
    // A login node has the program but no driver.
    let tools = tempfile::tempdir().unwrap();
    nvidia_smi(tools.path(), None);
    let cpu = given.ask(&["sweep"], |command| {
        command.env("TRANSFERGRID_TEST_ROOT", empty.path());
        with_path(command, tools.path());
    });
    assert_eq!(cpu.code, Some(0), "{}", cpu.stderr);
}

#[test]
fn an_old_driver_is_named_with_the_one_that_is_needed() {
    if has_real_gpu() {
        return;
    }
    let (given, old, empty) = (Given::new(), machine("535.104.05"), tempfile::tempdir().unwrap());
    let by_file = given.ask(&["sweep"], |command| on(command, old.path()));
    let tools = tempfile::tempdir().unwrap();
    nvidia_smi(tools.path(), Some("535.104.05"));
    let by_program = given.ask(&["sweep"], |command| {
        command.env("TRANSFERGRID_TEST_ROOT", empty.path());
        with_path(command, tools.path());
    });
    // The driver's own library says it more exactly than its number.
    let library = tempfile::tempdir().unwrap();
    let source = library.path().join("cuda.c");
    std::fs::write(&source, "int cuDriverGetVersion(int *v) { *v = 12040; return 0; }\n").unwrap();
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(library.path().join("libcuda.so.1")).arg(&source).status();
    assert!(built.unwrap().success());
    let by_library = given.ask(&["sweep"], |command| {
        command.env("TRANSFERGRID_TEST_ROOT", old.path()).env("LD_LIBRARY_PATH", library.path());
    });
    for (done, seen, supports) in [
        (by_file, "(/dev/nvidia0, driver 535.104.05)", "supports CUDA 12, "),
        (by_program, "(nvidia-smi, driver 535.104.05)", "supports CUDA 12, "),
        (by_library, "(/dev/nvidia0, driver 535.104.05)", "supports CUDA 12.4, "),
    ] {
        assert_eq!(done.code, Some(1), "{}", done.stderr);
        for part in [seen, "the driver is too old: it ", supports, "needs CUDA 13.0", "driver of 580 or newer"] {
            assert!(done.stderr.contains(part), "{part}: {}", done.stderr);
        }
    }
}

#[test]
fn doctor_says_what_auto_does() {
    if has_real_gpu() {
        return;
    }
    let new = machine("580.95.05");
    let doctor = |json: &[&str]| run(program().arg("doctor").args(json).env("TRANSFERGRID_TEST_ROOT", new.path()));
    let text = doctor(&[]).stdout;
    assert!(text.contains("CUDA      cannot be used: ") && text.contains("is refused by `sweep` and `bench`"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&doctor(&["--json"]).stdout).unwrap();
    assert!(json["auto_device"].is_null() && json["torch"]["cuda_devices"] == 0, "{json}");
    assert!(json["torch"]["folder"].as_str().unwrap().ends_with("lib"), "the folder of the loaded libtorch");
}

/// The program takes libtorch's version and folder from the library that it has loaded, not from
/// where it was built.
#[test]
fn a_carried_program_finds_the_libtorch_that_it_loads() {
    let build = std::env::var_os("LIBTORCH").map_or_else(|| repository().join(".venv/libtorch"), std::path::PathBuf::from);
    let tree = tempfile::tempdir().unwrap();
    let torch = tree.path().join("torch");
    std::fs::create_dir_all(torch.join("lib")).unwrap();
    // Links to the files: the loader's path is the link's folder, so the tree is the new one.
    for file in std::fs::read_dir(build.join("lib")).unwrap().flatten().filter(|file| file.file_name().to_string_lossy().contains(".so")) {
        std::fs::hard_link(file.path().canonicalize().unwrap(), torch.join("lib").join(file.file_name()))
            .or_else(|_| std::fs::copy(file.path(), torch.join("lib").join(file.file_name())).map(drop))
            .unwrap();
    }
    std::os::unix::fs::symlink(build.canonicalize().unwrap().join("../nvidia"), tree.path().join("nvidia")).unwrap();
    std::fs::write(torch.join("version.py"), "__version__ = '2.11.0+carried'\ncuda: Optional[str] = '13.0'\n").unwrap();
    let nvidia = build.canonicalize().unwrap().join("../nvidia/cu13/lib");
    let path = format!("{}:{}", torch.join("lib").display(), nvidia.display());
    let json = run(program().args(["doctor", "--json"]).env("LD_LIBRARY_PATH", path).env("CUDA_VISIBLE_DEVICES", ""));
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["torch"]["libtorch"], "2.11.0+carried", "{json}");
    assert_eq!(json["torch"]["folder"], torch.join("lib").canonicalize().unwrap().to_str().unwrap());
}

/// Every check of the GPU holds on the CPU in float64, and finds its planted fault.
#[test]
fn the_checks_of_a_gpu_hold_on_the_cpu_and_find_their_faults() {
    let done = run(program().args(["doctor", "--self-test", "--json"]));
    let json: serde_json::Value = serde_json::from_str(&done.stdout).expect("JSON");
    let checks = json["checks"].as_array().unwrap();
    let failed: Vec<_> = checks.iter().filter(|check| check["passed"] != true).collect();
    assert!(failed.is_empty() && done.code == Some(0), "{failed:#?}");
    assert_eq!(checks.iter().filter(|check| check["fault"].is_null()).count(), 13);
    assert_eq!(checks.iter().filter(|check| check["fault"].is_string()).count(), 13);
}

#[test]
fn without_a_gpu_the_proof_is_refused_with_the_reason() {
    if has_real_gpu() {
        return;
    }
    let empty = tempfile::tempdir().unwrap();
    let without = run(program().args(["doctor", "--cuda"]).env("TRANSFERGRID_TEST_ROOT", empty.path()));
    assert_ne!(without.code, Some(0));
    assert!(without.stderr.contains("--device cuda:0: ") && without.stderr.contains("no NVIDIA GPU"), "{}", without.stderr);
    let broken = run(program().args(["doctor", "--cuda"]).env("TRANSFERGRID_TEST_ROOT", machine("580.95.05").path()));
    assert_eq!(broken.code, Some(1), "{}", broken.stderr);
    assert!(broken.stderr.contains("cannot be used: ") && broken.stderr.contains("hint: "), "{}", broken.stderr);
    // A CPU is no GPU, and the first of several is not all of them.
    for device in ["cpu", "auto"] {
        let refused = run(program().args(["doctor", "--cuda", "--device", device]).env("TRANSFERGRID_TEST_ROOT", empty.path()));
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        assert!(refused.stderr.contains("one GPU at a time"), "{}", refused.stderr);
    }
}

/// `nvidia-smi` can hang where a GPU does.
#[test]
fn a_program_that_does_not_answer_is_a_sign_of_a_gpu() {
    if has_real_gpu() {
        return;
    }
    let (given, empty, tools) = (Given::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let smi = |text: &str| {
        let file = tools.path().join("nvidia-smi");
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    let ask = || {
        given.ask(&["sweep"], |command| {
            on(command, empty.path());
            with_path(command, tools.path());
        })
    };
    smi("#!/bin/sh\nexec sleep 60\n");
    let hangs = ask();
    assert_eq!(hangs.code, Some(1), "{}", hangs.stderr);
    assert!(hangs.stderr.contains("nvidia-smi, which does not answer"), "{}", hangs.stderr);
    smi("#!/bin/sh\necho 'No devices were found'\n");
    assert_eq!(ask().code, Some(0), "what is no version is no driver");
}
