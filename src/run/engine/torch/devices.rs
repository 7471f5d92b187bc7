//! Finds the devices that can be used, and says why CUDA cannot be.

use anyhow::{anyhow, bail, Result};
use tch::{Cuda, Device};

use super::driver::{driver, gpu_sign, oldest_driver, supported_cuda, Driver, Gpu, GpuSign};
use super::libraries::{folder, has_cuda_part, load_cuda, version, LIBTORCH_VERSION};
use crate::run::engine::Description;

/// Whether CUDA can be used here.
#[derive(Debug, Clone, PartialEq)]
enum CudaState {
    /// This many devices.
    Usable(usize),
    /// Nothing shows that the machine has a GPU.
    NoGpu,
    /// `CUDA_VISIBLE_DEVICES` hides the GPUs from this process.
    Hidden,
    /// There is a GPU, and it cannot be used.
    Broken { sign: GpuSign, why: String, fix: String },
}

/// Found once: CUDA's libraries cache their answers too.
fn cuda_state() -> &'static CudaState {
    static STATE: std::sync::OnceLock<CudaState> = std::sync::OnceLock::new();
    STATE.get_or_init(|| {
        let hidden = std::env::var("CUDA_VISIBLE_DEVICES").is_ok_and(|list| matches!(list.trim(), "" | "-1" | "NoDevFiles"));
        if hidden {
            return CudaState::Hidden;
        }
        // Without a GPU, libtorch's CUDA part is not loaded: it is gigabytes.
        let offers = || driver().ok()?.gpus.ok().filter(|gpus| !gpus.is_empty());
        let by_driver = || offers().map(|_| GpuSign { seen: "libcuda.so.1".into(), driver: None });
        let Some(sign) = gpu_sign().or_else(by_driver) else { return CudaState::NoGpu };
        let loaded = load_cuda();
        match if loaded.is_ok() { Cuda::device_count().max(0) as usize } else { 0 } {
            0 => {
                let needed = version().and_then(|version| version.cuda);
                let findings = Findings { sign: sign.clone(), loaded, has_part: has_cuda_part(), driver: driver(), needed };
                let (why, fix) = findings.explain();
                CudaState::Broken { sign, why, fix }
            }
            n => CudaState::Usable(n),
        }
    })
}

/// What is known where CUDA finds no device on a machine with a GPU.
struct Findings {
    sign: GpuSign,
    /// Whether libtorch's CUDA part could be loaded; else the loader's message.
    loaded: Result<(), String>,
    /// Whether libtorch's folder has a CUDA part at all.
    has_part: bool,
    driver: Result<Driver, String>,
    /// The CUDA version that this PyTorch was built with.
    needed: Option<(i32, i32)>,
}

impl Findings {
    /// Why the GPU cannot be used, and what to do about it.
    fn explain(&self) -> (String, String) {
        // The driver comes first: with an old one, a complete installation would not work either.
        let told = self.driver.as_ref().ok().map(|driver| (driver.cuda.0, format!("CUDA {}.{}", driver.cuda.0, driver.cuda.1)));
        let by_number = || supported_cuda(self.sign.driver.as_deref()?).map(|major| (major, format!("CUDA {major}")));
        if let (Some((major, minor)), Some((supported, words))) = (self.needed, told.or_else(by_number)) {
            if supported < major {
                // PyTorch 2.11 has builds for CUDA 12 and 13.
                let other = if supported >= 12 { ", or a PyTorch for this one: make clean-venv && make build" } else { "" };
                return (
                    format!("the driver is too old: it supports {words}, and this PyTorch needs CUDA {major}.{minor}"),
                    format!("install an NVIDIA driver of {} or newer{other}", oldest_driver(major)),
                );
            }
        }
        let install = || "install the CUDA libraries: make clean-venv && make build TORCH=cuda".to_string();
        match (&self.loaded, &self.driver) {
            (Err(why), _) if self.has_part && why.contains("cannot open shared object file") => {
                (format!("libtorch is installed without NVIDIA's libraries ({why})"), install())
            }
            (Err(why), _) if self.has_part => {
                (format!("libtorch's CUDA part cannot be loaded ({why})"), "look for libraries of another CUDA in LD_LIBRARY_PATH".into())
            }
            (Err(_), _) => ("this libtorch has no CUDA part".into(), install()),
            (Ok(()), Err(why)) => (
                format!("the driver's library cannot be loaded ({why})"),
                "in a container, give it the GPUs (docker run --gpus all); else install NVIDIA's driver".into(),
            ),
            (Ok(()), Ok(Driver { gpus: Err(why), .. })) if why.contains(NO_DEVICE) => offers_none(),
            (Ok(()), Ok(Driver { gpus: Err(why), .. })) => {
                (format!("the driver says: {why}"), "`nvidia-smi` says more; after an update of the driver, restart the machine".into())
            }
            (Ok(()), Ok(Driver { gpus: Ok(gpus), .. })) if gpus.is_empty() => offers_none(),
            (Ok(()), Ok(Driver { gpus: Ok(gpus), .. })) => (
                format!("the driver offers {}, and libtorch none of them", names(gpus)),
                "`transfergrid doctor` shows versions and folders".into(),
            ),
        }
    }
}

/// CUDA_ERROR_NO_DEVICE, which `cuInit` returns where every device is hidden.
const NO_DEVICE: &str = "(error 100)";

fn offers_none() -> (String, String) {
    ("the driver offers no device to this process".into(), "check CUDA_VISIBLE_DEVICES and what the job was given".into())
}

fn names(gpus: &[Gpu]) -> String {
    gpus.iter().map(|gpu| gpu.name.clone()).collect::<Vec<_>>().join(" and ")
}

/// What `--device auto` means here: `cuda:0` if CUDA can be used, and `cpu` on a machine without a
/// GPU or where `CUDA_VISIBLE_DEVICES` hides them.
///
/// # Errors
/// There is a GPU, and it cannot be used. The CPU is never taken in its place without a word.
pub fn auto_device() -> Result<String> {
    match cuda_state() {
        CudaState::Usable(_) => Ok("cuda:0".into()),
        CudaState::NoGpu | CudaState::Hidden => Ok("cpu".into()),
        CudaState::Broken { sign, why, fix } => {
            let driver = sign.driver.as_ref().map_or(String::new(), |version| format!(", driver {version}"));
            Err(anyhow!(
                "this machine has an NVIDIA GPU ({}{driver}), but it cannot be used: {why}\n  hint: {fix}; or take the CPU all the same: --device cpu",
                sign.seen
            ))
        }
    }
}

/// The devices that `--device` names: the CPU, or one or more CUDA devices.
pub fn devices(wanted: &str) -> Result<Vec<Device>> {
    let name = if wanted == "auto" { auto_device()? } else { wanted.to_string() };
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
    // With a GPU, not a usage error: a cluster node may have lost a device that another node has.
    match cuda_state() {
        CudaState::Broken { why, fix, .. } => {
            bail!("--device {wanted}: CUDA cannot be used: {why}\n  hint: {fix}; --device cpu always works")
        }
        CudaState::Usable(n) => {
            bail!("--device {wanted}: there is no cuda:{index}, the last one is cuda:{}\n  hint: `nvidia-smi` shows all; --device cpu always works", n - 1)
        }
        CudaState::NoGpu | CudaState::Hidden => {
            let what = format!("--device {wanted}: {}", found.cuda);
            Err(crate::base::usage::usage(what, "`transfergrid doctor` says what is here; --device cpu always works"))
        }
    }
}

pub fn describe() -> Description {
    let (cuda_devices, cuda) = match cuda_state() {
        CudaState::Usable(n) => (*n, usable_words(*n)),
        CudaState::Hidden => (0, "hidden by CUDA_VISIBLE_DEVICES".into()),
        CudaState::Broken { why, fix, .. } => (0, format!("cannot be used: {why}; {fix}")),
        CudaState::NoGpu => (0, no_gpu_words()),
    };
    let libtorch = match version() {
        Some(version) if version.torch.starts_with(LIBTORCH_VERSION) => version.torch,
        Some(version) => format!("{} (built for {LIBTORCH_VERSION}!)", version.torch),
        None => format!("unknown version (built for {LIBTORCH_VERSION})"),
    };
    Description { libtorch, folder: folder().map(|folder| folder.display().to_string()), cuda_devices, cuda }
}

fn usable_words(n: usize) -> String {
    let gpus = driver().and_then(|driver| driver.gpus).unwrap_or_default();
    let one = |gpu: &Gpu| {
        format!("{} ({:.0} GB, capability {}.{}, {})", gpu.name, gpu.memory as f64 / 1e9, gpu.capability.0, gpu.capability.1, gpu.uuid)
    };
    let names = gpus.iter().map(one).collect::<Vec<_>>().join(", ");
    format!("{n} device{}{}{names}", if n == 1 { "" } else { "s" }, if names.is_empty() { "" } else { ": " })
}

fn no_gpu_words() -> String {
    match (load_cuda(), has_cuda_part()) {
        (Ok(()), _) => "installed, but this machine shows no NVIDIA GPU".into(),
        (Err(_), true) => "no NVIDIA GPU here, and libtorch is installed without NVIDIA's libraries".into(),
        (Err(_), false) => "no NVIDIA GPU here, and this libtorch has no CUDA part".into(),
    }
}

/// The device's model and identity, so that measurements of one device are not used for another:
/// the GPU's UUID is part of it.
pub fn hardware(device: Device) -> String {
    match gpu(device) {
        Some(gpu) => format!("{} {}", gpu.name, gpu.uuid),
        None => model(device),
    }
}

fn gpu(device: Device) -> Option<Gpu> {
    let Device::Cuda(index) = device else { return None };
    driver().ok()?.gpus.ok()?.into_iter().nth(index)
}

/// The GPU's compute capability.
pub fn capability(device: Device) -> Option<(i32, i32)> {
    gpu(device).map(|gpu| gpu.capability)
}

/// The model of the GPU or processor. GPUs of one model are equally fast.
pub fn model(device: Device) -> String {
    let named = match device {
        Device::Cuda(_) => gpu(device).map(|gpu| format!("{} ({:.0} GB)", gpu.name, gpu.memory as f64 / 1e9)),
        _ => std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
            text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, value)| value.trim().to_string()))
        }),
    };
    named.unwrap_or_else(|| "unknown".into())
}

/// Waits until the device has done all that it was asked to do.
pub fn wait_for(device: Device) {
    if let Device::Cuda(index) = device {
        Cuda::synchronize(index as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_and_what_helps() {
        let h100 = Gpu { name: "NVIDIA H100".into(), uuid: "GPU-1".into(), capability: (9, 0), memory: 80 << 30 };
        let sign = |driver: &str| GpuSign { seen: "/dev/nvidia0".into(), driver: Some(driver.into()) };
        let right = |driver: Result<Driver, String>| Findings {
            sign: sign("580.95.05"),
            loaded: Ok(()),
            has_part: true,
            driver,
            needed: Some((13, 0)),
        };
        let offers = |cuda, gpus| Ok(Driver { cuda, gpus });
        let missing = || Err("libcublas.so.13: cannot open shared object file".to_string());
        let cases = [
            (right(offers((12, 4), Ok(vec![h100.clone()]))), "supports CUDA 12.4, and this PyTorch needs CUDA 13.0", "580 or newer"),
            (
                Findings { sign: sign("535.104.05"), ..right(Err("no libcuda".into())) },
                "supports CUDA 12, and",
                "make clean-venv && make build",
            ),
            (Findings { loaded: missing(), ..right(offers((13, 0), Ok(vec![]))) }, "without NVIDIA's libraries (libcublas", "TORCH=cuda"),
            (Findings { loaded: missing(), has_part: false, ..right(Err("no libcuda".into())) }, "has no CUDA part", "TORCH=cuda"),
            // An old driver is said first: with it, a complete installation would not work either.
            (Findings { loaded: missing(), sign: sign("470.1"), ..right(Err("no libcuda".into())) }, "the driver is too old", "580"),
            (right(Err("libcuda.so.1: cannot open".into())), "library cannot be loaded (libcuda", "--gpus all"),
            (right(offers((13, 0), Err("system has unsupported display driver (error 803)".into()))), "error 803", "restart the machine"),
            (right(offers((13, 0), Ok(vec![]))), "offers no device to this process", "CUDA_VISIBLE_DEVICES"),
            (right(offers((13, 0), Ok(vec![h100]))), "offers NVIDIA H100, and libtorch none", "doctor"),
            (
                right(offers((13, 0), Err("no CUDA-capable device is detected (error 100)".into()))),
                "offers no device",
                "CUDA_VISIBLE_DEVICES",
            ),
            (
                Findings { loaded: Err("undefined symbol: x".into()), ..right(offers((13, 0), Ok(vec![]))) },
                "cannot be loaded (undefined symbol",
                "LD_LIBRARY_PATH",
            ),
        ];
        for (findings, why, fix) in cases {
            let (said, hint) = findings.explain();
            assert!(said.contains(why) && hint.contains(fix), "{said}\n{hint}");
        }
    }
}
