//! Finds the available devices and loads libtorch's CUDA library.

use anyhow::{bail, Result};
use tch::{Cuda, Device};

use crate::run::engine::Description;

/// The PyTorch version for which tch's bindings were generated.
const LIBTORCH_VERSION: &str = "2.11.0";

/// `cuda:0` if it is available, else `cpu`.
pub fn auto_device() -> String {
    if load_cuda().is_ok() && Cuda::is_available() {
        "cuda:0".into()
    } else {
        "cpu".into()
    }
}

/// The devices that `--device` names: the CPU, or one or more CUDA devices.
pub fn devices(wanted: &str) -> Result<Vec<Device>> {
    let name = if wanted == "auto" { auto_device() } else { wanted.to_string() };
    if name == "cpu" {
        return Ok(vec![Device::Cpu]);
    }
    let mut all: Vec<Device> = vec![];
    for name in name.split(',') {
        let device = cuda_device(wanted, name)?;
        if all.contains(&device) {
            return Err(crate::base::usage::usage(
                format!("--device {wanted}: {name} is listed twice"),
                "name each device once; with --workers N, one GPU computes N packs in turn",
            ));
        }
        all.push(device);
    }
    Ok(all)
}

fn cuda_device(wanted: &str, name: &str) -> Result<Device> {
    let index = match name {
        "cuda" => Some(0),
        other => other.strip_prefix("cuda:").and_then(|n| n.parse::<usize>().ok()),
    };
    let Some(index) = index else {
        return Err(crate::base::usage::usage(
            format!("--device {wanted}: no such device"),
            "give auto, cpu, cuda:N, or several CUDA devices: cuda:0,cuda:1",
        ));
    };
    let found = describe();
    if index < found.cuda_devices {
        return Ok(Device::Cuda(index));
    }
    let what = format!("--device {wanted}: {}", found.cuda);
    if load_cuda().is_ok() {
        // Not a usage error: a cluster node may have lost a device that another node has.
        bail!("{what}\n  hint: `nvidia-smi` says more; --device cpu always works");
    }
    Err(crate::base::usage::usage(what, "`transfergrid doctor` says what is here; --device cpu always works"))
}

/// PyTorch's version from its own version file.
pub fn version() -> Option<String> {
    let file = std::path::Path::new(option_env!("TRANSFERGRID_LIBTORCH_LIB")?).join("../version.py");
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with("__version__"))?;
    Some(line.split(['\'', '"']).nth(1)?.to_string())
}

pub fn describe() -> Description {
    let lib = option_env!("TRANSFERGRID_LIBTORCH_LIB");
    let loaded = load_cuda();
    let cuda_devices = if loaded.is_ok() { Cuda::device_count().max(0) as usize } else { 0 };
    let has_file = lib.is_some_and(|lib| std::path::Path::new(lib).join("libtorch_cuda.so").exists());
    let cuda = match (loaded, cuda_devices) {
        (Err(why), _) if has_file => format!("not installed completely ({why}); for CUDA: make clean-venv && make build TORCH=cuda"),
        (Err(_), _) => "this libtorch has no CUDA part; install the full wheel: make clean-venv && make build TORCH=cuda".to_string(),
        (Ok(()), 0) => "libtorch's CUDA part is installed, but it finds no NVIDIA driver or device".to_string(),
        (Ok(()), n) => format!("{n} device{}", if n == 1 { "" } else { "s" }),
    };
    let libtorch = match version() {
        Some(version) if version.starts_with(LIBTORCH_VERSION) => version,
        Some(version) => format!("{version} (built for {LIBTORCH_VERSION}!)"),
        None => format!("unknown version (built for {LIBTORCH_VERSION})"),
    };
    Description { libtorch, folder: lib.map(str::to_string), cuda_devices, cuda }
}

/// Loads libtorch's CUDA library if it is installed. The program itself links only the CPU library,
/// so that one binary runs on machines with and without CUDA. This must happen before anything asks
/// whether CUDA is available, since libtorch caches the answer.
fn load_cuda() -> Result<(), String> {
    static LOADED: std::sync::OnceLock<Result<(), String>> = std::sync::OnceLock::new();
    let load = || {
        load_compiler();
        // SAFETY: the name is NUL-terminated. libtorch's libraries register themselves when loaded
        // and are never unloaded. dlerror's text is copied before another call can replace it.
        unsafe {
            if !libc::dlopen(c"libtorch_cuda.so".as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL).is_null() {
                return Ok(());
            }
            let why = libc::dlerror();
            Err(if why.is_null() { "no reason given".into() } else { std::ffi::CStr::from_ptr(why).to_string_lossy().into_owned() })
        }
    };
    LOADED.get_or_init(load).clone()
}

/// Preloads a library of CUDA's run-time compiler. cuDNN compiles some kernels when they are
/// needed, and that compiler looks for this library by its bare name. So it would be found only in
/// the system's folders, but PyTorch's wheel has it elsewhere. torch/__init__.py preloads it for
/// the same reason.
fn load_compiler() {
    let Some(lib) = option_env!("TRANSFERGRID_LIBTORCH_LIB").map(std::path::Path::new) else { return };
    // Its folder in the wheel, and in libtorch's own archive.
    let places = [lib.join("../../nvidia/cu13/lib"), lib.to_path_buf()];
    let files = places.iter().filter_map(|place| std::fs::read_dir(place).ok()).flatten().flatten();
    for file in files.filter(|file| file.file_name().to_string_lossy().starts_with("libnvrtc-builtins")) {
        if let Ok(name) = std::ffi::CString::new(file.path().into_os_string().into_encoded_bytes()) {
            // SAFETY: the name is NUL-terminated; the library is data for the compiler and is never
            // unloaded.
            unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
        }
    }
}

/// The device's name, so that measurements of one device are not used for another: the GPUs' model
/// names, or the processor's.
pub fn hardware(device: Device) -> String {
    let first_value = |text: String, key: &str| {
        text.lines().find_map(|line| line.strip_prefix(key)?.split_once(':').map(|(_, value)| value.trim().to_string()))
    };
    let named = match device {
        Device::Cpu => std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| first_value(text, "model name")),
        _ => {
            let folders = std::fs::read_dir("/proc/driver/nvidia/gpus").ok().into_iter().flatten().flatten();
            let text = |folder: std::fs::DirEntry| std::fs::read_to_string(folder.path().join("information")).ok();
            let names: std::collections::BTreeSet<String> = folders.filter_map(|folder| first_value(text(folder)?, "Model")).collect();
            (!names.is_empty()).then(|| names.into_iter().collect::<Vec<_>>().join(" and "))
        }
    };
    named.unwrap_or_else(|| "unknown".into())
}
