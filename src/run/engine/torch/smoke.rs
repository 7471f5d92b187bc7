//! One operation of each kind on a device, before a study's stages depend on it: what a device
//! cannot do is said once and by name.

use anyhow::{anyhow, ensure, Result};
use tch::{Device, Kind, Tensor};

use super::devices::hardware;
use super::libraries::version;
use crate::base::catch_panic::{catch_panic, plain};
use crate::model::{read_back, release_memory};
use crate::run::engine::out_of_memory;

/// Bytes that a device must have free: less holds no data set with a model.
const LEAST_MEMORY: i64 = 256 << 20;

/// An operation by name, and its check.
type Check = (&'static str, fn(Device) -> Result<()>);

const CHECKS: [Check; 5] = [
    ("a tensor", tensor),
    ("a matrix product", product),
    ("a batched product", batched_product),
    ("a convolution and its backward pass", convolution),
    ("an allocation of 256 MiB", large),
];

/// Runs each operation and compares its result with the one known; with `bf16`, also one in bf16.
///
/// # Errors
/// The first that fails, with the device, libtorch's message and what is known to help.
pub fn smoke(device: Device, bf16: bool) -> Result<()> {
    let half = bf16.then_some(("a convolution in bf16", convolution_in_bf16 as fn(Device) -> Result<()>));
    for (name, check) in CHECKS.into_iter().chain(half) {
        if let Err(error) = catch_panic(|| tch::with_grad(|| check(device))).flatten() {
            return Err(explain(device, name, &error));
        }
    }
    release_memory();
    Ok(())
}

fn explain(device: Device, name: &str, error: &anyhow::Error) -> anyhow::Error {
    let text = plain(&format!("{error:#}"));
    // libtorch adds advice to developers, line after line.
    let line = text.lines().next().unwrap_or_default();
    let first = line.split(". This could be because").next().unwrap_or(line);
    let hint = match () {
        () if out_of_memory(error) => "`nvidia-smi` shows what uses its memory; take another device with --device cuda:N".to_string(),
        () if text.contains("no kernel image is available") => {
            let torch = version().map_or("this PyTorch".into(), |version| format!("PyTorch {}", version.torch));
            format!("{torch} has no code for this GPU; make clean-venv && make build takes the one that has")
        }
        () => "`transfergrid doctor` shows versions and folders; --device cpu always works".into(),
    };
    let device = match device {
        Device::Cuda(index) => format!("cuda:{index} ({})", hardware(device)),
        _ => "the CPU".into(),
    };
    anyhow!("{device} cannot be used: {name} failed: {first}\n  hint: {hint}")
}

fn equal(what: &Tensor, value: f64) -> Result<()> {
    let found = read_back::<f32>(&what.to_kind(Kind::Float).reshape([-1]));
    ensure!(found.iter().all(|&x| f64::from(x) == value), "the result is not {value}: {:?}", &found[..found.len().min(4)]);
    Ok(())
}

fn tensor(device: Device) -> Result<()> {
    equal(&(Tensor::ones([8], (Kind::Float, device)) + 1.0), 2.0)
}

fn product(device: Device) -> Result<()> {
    let a = Tensor::ones([64, 64], (Kind::Float, device));
    equal(&a.matmul(&a), 64.0)
}

fn batched_product(device: Device) -> Result<()> {
    let a = Tensor::ones([4, 32, 32], (Kind::Float, device));
    equal(&a.bmm(&a), 32.0)
}

/// Images in channels-last memory, as in training; all of a 3×3 window's numbers are 1.
fn convolve(device: Device, kind: Kind) -> Result<()> {
    let x = Tensor::ones([8, 16, 16, 8], (kind, device)).permute([0, 3, 1, 2]);
    let weight = Tensor::ones([8, 8, 3, 3], (kind, device)).set_requires_grad(true);
    let y = x.conv2d(&weight, None::<Tensor>, [1, 1], [0, 0], [1, 1], 1);
    equal(&y.detach(), 72.0)?;
    let total = y.sum(Kind::Float);
    let gradient = Tensor::run_backward(&[&total], &[&weight], false, false);
    equal(&gradient[0], 8.0 * 14.0 * 14.0) // 1568, which bf16 represents
}

fn convolution(device: Device) -> Result<()> {
    convolve(device, Kind::Float)
}

fn convolution_in_bf16(device: Device) -> Result<()> {
    convolve(device, Kind::BFloat16)
}

fn large(device: Device) -> Result<()> {
    let block = Tensor::zeros([LEAST_MEMORY / 4], (Kind::Float, device));
    equal(&block.slice(0, LEAST_MEMORY / 4 - 8, LEAST_MEMORY / 4, 1), 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_does_all_of_it() {
        smoke(Device::Cpu, true).unwrap();
    }

    #[test]
    fn a_failure_is_said_by_name() {
        let of = |text: &str| explain(Device::Cpu, "a convolution", &anyhow!(text.to_string())).to_string();
        let old = of("CUDA error: no kernel image is available for execution on the device\nCUDA kernel errors might be …");
        assert!(old.contains("a convolution failed: CUDA error: no kernel image") && old.contains("no code for this GPU"), "{old}");
        let full =
            of("CUDA out of memory. Tried to allocate 256.00 MiB. GPU 0 has a total capacity of 79.10 GiB of which 1.00 MiB is free.");
        assert!(full.contains("`nvidia-smi` shows what uses its memory"), "{full}");
        assert!(of("GET was unable to find an engine to execute this computation").contains("doctor"));
    }
}
