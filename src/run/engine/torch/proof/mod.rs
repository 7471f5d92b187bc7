//! `doctor --cuda`: what this program assumes about a device, shown on the device. Every check also
//! runs on the CPU in float64 (`--self-test`), and each is shown to fail when its fault is planted,
//! so that the checks themselves are known to work.

mod machine;
mod numbers;
mod setting;
mod study;
mod training;

use std::time::Instant;

use anyhow::Result;
use tch::{Device, Kind};

use super::devices::{devices, hardware};
use crate::base::catch_panic::{catch_panic, plain};
use crate::base::usage::usage;
use crate::run::engine::proof::{CheckReport, ProofOptions};

pub use numbers::golden_optimisers;

/// What a check runs on.
#[derive(Debug, Clone, Copy)]
struct Bench {
    device: Device,
    /// Number type of comparisons that are not about a number type.
    kind: Kind,
    /// Whether the check's own fault is planted; then it must fail.
    planted: bool,
}

/// A check's measurement, in words, and whether it is as it must be.
struct Finding {
    measured: String,
    holds: bool,
}

impl Finding {
    fn at_most(what: &str, measured: f64, bound: f64) -> Finding {
        Finding { measured: format!("{what} {measured:.2e} (at most {bound:.0e})"), holds: measured <= bound }
    }

    /// Both hold.
    fn and(self, other: Finding) -> Finding {
        Finding { measured: format!("{}; {}", self.measured, other.measured), holds: self.holds && other.holds }
    }
}

struct Check {
    name: &'static str,
    /// The fault that is planted to see the check fail.
    fault: &'static str,
    /// Whether the fault shows as an error and not in what is measured.
    fault_is_error: bool,
    run: fn(Bench) -> Result<Finding>,
}

const fn check(name: &'static str, fault: &'static str, run: fn(Bench) -> Result<Finding>) -> Check {
    Check { name, fault, fault_is_error: false, run }
}

const CHECKS: [Check; 13] = [
    check("libraries", "one more tree", machine::libraries),
    check("float32 is float32", "inputs rounded to ten bits", numbers::precision),
    check("architectures", "one weight off by 1e-4", numbers::architectures),
    check("PyTorch's optimisers", "learning rate off by 0.1%", numbers::golden),
    check("a pack is its models", "two seeds exchanged", training::pack_is_its_models),
    check("images in main memory", "two seeds exchanged", training::images_in_main_memory),
    check("no waiting in an epoch", "a number read after every step", training::no_waiting),
    check("memory", "a device with room for all", study::memory),
    check("calibration", "its file removed", machine::calibration),
    check("stop and resume", "one weight of the snapshot off", training::stop_and_resume),
    check("a study", "another learning rate", study::as_on_cpu),
    Check { fault_is_error: true, ..check("each device", "a device that is not there", machine::each_device) },
    check("packs pay", "a pack of one", training::packs_pay),
];

/// Runs all checks on a device. `see` gets each result as it comes.
///
/// # Errors
/// The device does not exist or cannot be used at all.
pub fn prove(options: &ProofOptions, see: &mut dyn FnMut(&CheckReport)) -> Result<()> {
    tch::set_num_threads(1);
    let device = match options.self_test {
        true => Device::Cpu,
        false => match devices(&options.device)?.as_slice() {
            [Device::Cuda(index)] => Device::Cuda(*index),
            _ => {
                let what = format!("--device {}: `doctor --cuda` checks one GPU at a time", options.device);
                return Err(usage(what, "give cuda:N; on the CPU the checks run with --self-test"));
            }
        },
    };
    if device.is_cuda() {
        super::smoke::smoke(device, true)?;
    }
    let kind = Kind::Double;
    for check in &CHECKS {
        see(&run(check, Bench { device, kind, planted: false }, None));
        if options.self_test {
            see(&run(check, Bench { device, kind, planted: true }, Some(check.fault)));
        }
    }
    Ok(())
}

/// A fault that is planted must be found.
fn run(check: &Check, bench: Bench, fault: Option<&str>) -> CheckReport {
    let started = Instant::now();
    let finding = catch_panic(|| tch::with_grad(|| (check.run)(bench))).flatten();
    // An error is no measurement: where a fault is planted, it could hide that the check is blind.
    let (measured, passed) = match finding {
        Ok(finding) => (finding.measured, finding.holds != bench.planted),
        Err(error) => (plain(&format!("{error:#}")), bench.planted && check.fault_is_error),
    };
    CheckReport {
        name: check.name.into(),
        fault: fault.map(str::to_string),
        device: hardware(bench.device),
        measured,
        passed,
        seconds: started.elapsed().as_secs_f64(),
    }
}
