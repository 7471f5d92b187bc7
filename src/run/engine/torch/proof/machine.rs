//! The machine itself: which libraries are loaded, what is kept of measurements, and every device.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{ensure, Context, Result};
use tch::{Cuda, Device};

use super::super::calibration::Calibration;
use super::super::devices::hardware;
use super::super::driver::driver;
use super::super::libraries::{loaded, version};
use super::super::smoke::smoke;
use super::setting::TemporaryFolder;
use super::{Bench, Finding};
use crate::config::network::Precision;
use crate::plan::Convolution;

/// Driver, PyTorch and GPU, and that all of libtorch's and NVIDIA's libraries come from one tree,
/// nvrtc among them.
pub fn libraries(bench: Bench) -> Result<Finding> {
    let torch = version().context("libtorch's version is unknown")?.torch;
    let mut trees: BTreeSet<PathBuf> = BTreeSet::new();
    let mut names: BTreeSet<String> = BTreeSet::new();
    for path in loaded() {
        let Ok(path) = path.canonicalize() else { continue };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_driver = name.starts_with("libcuda.so") || name.starts_with("libnvidia-");
        let is_ours = ["libtorch", "libc10", "libcu", "libnv", "libnccl"].iter().any(|start| name.starts_with(start));
        if is_ours && !is_driver && !name.starts_with("libcurl") {
            // …/site-packages/torch/lib and …/site-packages/nvidia/*/lib, or libtorch's own lib.
            let tree = path.ancestors().find(|folder| folder.join("torch").is_dir()).or_else(|| path.parent());
            trees.extend(tree.map(PathBuf::from));
            names.insert(name.split(".so").next().unwrap_or_default().to_string());
        }
    }
    if bench.planted {
        trees.insert("/usr/local/cuda/lib64".into());
    }
    ensure!(names.contains("libtorch_cpu"), "libtorch_cpu is not among the loaded libraries");
    let trees: Vec<String> = trees.iter().map(|tree| tree.display().to_string()).collect();
    let one =
        Finding { measured: format!("PyTorch {torch}, {} libraries from {}", names.len(), trees.join(" and ")), holds: trees.len() == 1 };
    if !bench.device.is_cuda() {
        return Ok(one);
    }
    let driver = driver().map_err(anyhow::Error::msg)?;
    let missing: Vec<&str> =
        ["libnvrtc", "libcudnn", "libcublas", "libcublasLt"].into_iter().filter(|name| !names.contains(*name)).collect();
    Ok(one.and(Finding {
        measured: format!(
            "driver for CUDA {}.{}, {}, {}",
            driver.cuda.0,
            driver.cuda.1,
            hardware(bench.device),
            if missing.is_empty() { "nvrtc is loaded".into() } else { format!("missing: {}", missing.join(", ")) }
        ),
        holds: missing.is_empty(),
    }))
}

/// Strategies are measured once for a device and a shape, and then read from the file.
pub fn calibration(bench: Bench) -> Result<Finding> {
    let folder = TemporaryFolder::new()?;
    let file = folder.0.join("calibration.json");
    let layer = Convolution { inputs: 8, outputs: 8, height: 8, width: 8, kernel: 3, stride: 1 };
    let timings = || Calibration::new(file.clone(), &[bench.device]).timings(&[layer], 4, 16, Precision::Float32, bench.device);
    let first = timings();
    if bench.planted {
        std::fs::remove_file(&file)?;
    }
    let second = timings();
    ensure!(file.exists(), "the measurements were not kept");
    let (of_first, of_second) = (&first[0].milliseconds, &second[0].milliseconds);
    let failed = first[0].failed.iter().map(|(strategy, why)| format!("{} fails ({why})", strategy.as_str()));
    let each = of_first.iter().map(|(strategy, time)| format!("{} {time:.2} ms", strategy.as_str())).chain(failed);
    Ok(Finding { measured: each.collect::<Vec<_>>().join(", "), holds: of_first == of_second && !of_first.is_empty() })
}

/// One operation of each kind on every device.
pub fn each_device(bench: Bench) -> Result<Finding> {
    let mut devices: Vec<Device> = match bench.device {
        Device::Cuda(_) => (0..Cuda::device_count().max(0) as usize).map(Device::Cuda).collect(),
        device => vec![device],
    };
    if bench.planted {
        devices.push(Device::Cuda(4096));
    }
    for &device in &devices {
        smoke(device, true)?;
    }
    let names = devices.iter().map(|&device| hardware(device)).collect::<Vec<_>>().join("; ");
    Ok(Finding { measured: format!("{}: {names}", devices.len()), holds: true })
}
