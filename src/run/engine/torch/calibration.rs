//! Measures which strategies are fastest on a device, and keeps these results and those about pack
//! sizes (`measure.rs`). Both are measured once for each device, libtorch version and shape, and
//! stored in the study's folder.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::devices::{hardware, wait_for};
use super::libraries::version;
use crate::base::catch_panic::{catch_panic, plain};
use crate::config::network::Precision;
use crate::model::{convolution, Strategy};
use crate::plan::Convolution;
use crate::run::engine::perhaps_out_of_memory;
use crate::store::write_hint;

/// Milliseconds of one forward and backward pass of a convolution, for each strategy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Timing {
    pub convolution: Convolution,
    pub chosen: Strategy,
    pub milliseconds: BTreeMap<Strategy, f64>,
    /// Strategies that do not work here, with the reason; not for lack of memory.
    #[serde(default)]
    pub failed: BTreeMap<Strategy, String>,
}

/// The chosen pack size and all measurements: (replicas, images per second).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PackSize {
    pub chosen: usize,
    pub images_per_second: Vec<(usize, f64)>,
    /// Memory that a pack of the chosen size took; none if it could not be asked.
    #[serde(default)]
    pub bytes: Option<u64>,
}

impl PackSize {
    /// The chosen size, halved until the pack takes at most nine tenths of the memory that is free
    /// now: other processes may have taken some since it was measured.
    pub fn within(&self, free: Option<u64>) -> usize {
        let (Some(bytes), Some(free)) = (self.bytes, free) else { return self.chosen };
        let fits = |k: usize| bytes as f64 * k as f64 / self.chosen as f64 <= 0.9 * free as f64;
        std::iter::successors(Some(self.chosen), |&k| (k > 1).then_some(k / 2)).find(|&k| k == 1 || fits(k)).unwrap_or(1)
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Measured {
    strategies: BTreeMap<String, Vec<Timing>>,
    packs: BTreeMap<String, PackSize>,
}

pub struct Calibration {
    path: PathBuf,
    /// Each device's name, with libtorch's version.
    hardware: HashMap<Device, String>,
    measured: Mutex<Measured>,
}

impl Calibration {
    /// Starts with the results of an earlier run, if the file `path` has any.
    pub fn new(path: PathBuf, devices: &[Device]) -> Calibration {
        let known = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let torch = version().map(|version| version.torch).unwrap_or_default();
        let hardware = devices.iter().map(|&device| (device, format!("{} / libtorch {torch}", hardware(device)))).collect();
        Calibration { path, hardware, measured: Mutex::new(known) }
    }

    fn hardware(&self, device: Device) -> &str {
        self.hardware.get(&device).map_or("unknown", String::as_str)
    }

    /// The fastest strategy of each convolution for `k` replicas.
    pub fn strategies(&self, layers: &[Convolution], k: usize, batch: usize, precision: Precision, device: Device) -> Vec<Strategy> {
        self.timings(layers, k, batch, precision, device).into_iter().map(|timing| timing.chosen).collect()
    }

    pub fn timings(&self, layers: &[Convolution], k: usize, batch: usize, precision: Precision, device: Device) -> Vec<Timing> {
        let shapes: Vec<String> = layers
            .iter()
            .map(|c| format!("{}→{} at {}×{}, {}×{} by {}", c.inputs, c.outputs, c.height, c.width, c.kernel, c.kernel, c.stride))
            .collect();
        let key = format!("{} / {k} replicas, batch {batch}, {precision:?}: {}", self.hardware(device), shapes.join(", "));
        // Locked while measuring, so that two workers do not disturb each other's timings.
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = measured.strategies.get(&key).filter(|known| known.len() == layers.len()) {
            return known.clone();
        }
        let kind = if precision == Precision::Bf16 { Kind::BFloat16 } else { Kind::Float };
        let timings: Vec<Timing> =
            layers.iter().enumerate().map(|(i, layer)| time(layer, i > 0, k as i64, batch as i64, kind, device)).collect();
        // If no strategy worked for a convolution, the device is full or lost now: nothing is
        // stored.
        if timings.iter().all(|timing| !timing.milliseconds.is_empty()) {
            measured.strategies.insert(key, timings.clone());
            self.save(&measured);
        }
        timings
    }

    /// The best pack size on a device: an earlier result, or that of `measure`. Without any
    /// measurement the size says nothing about the device and is not stored.
    pub fn pack_size(&self, device: Device, shape: &str, measure: impl FnOnce() -> PackSize) -> PackSize {
        let key = format!("{} / {shape}", self.hardware(device));
        if let Some(known) = self.measured.lock().unwrap_or_else(PoisonError::into_inner).packs.get(&key) {
            return known.clone();
        }
        let fresh = measure(); // not locked: it asks for strategies
        if !fresh.images_per_second.is_empty() {
            let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
            measured.packs.insert(key, fresh.clone());
            self.save(&measured);
        }
        fresh
    }

    fn save(&self, measured: &Measured) {
        // The folder may be missing or read-only. Then the results are measured again next time.
        if let Ok(text) = serde_json::to_vec_pretty(measured) {
            write_hint(&self.path, &text);
        }
    }
}

/// Times each strategy on made-up images. A strategy that fails, for example for lack of memory, is
/// left out.
fn time(layer: &Convolution, wants_x: bool, k: i64, batch: i64, kind: Kind, device: Device) -> Timing {
    const ROUNDS: usize = 5;
    let try_one = |strategy: Strategy| {
        let options = (kind, device);
        let x = Tensor::ones([batch, layer.height, layer.width, k * layer.inputs], options).permute([0, 3, 1, 2]);
        let x = x.set_requires_grad(wants_x);
        let weight =
            Tensor::ones([k, layer.outputs, layer.inputs, layer.kernel, layer.kernel], (Kind::Float, device)).set_requires_grad(true);
        let wanted: Vec<&Tensor> = if wants_x { vec![&weight, &x] } else { vec![&weight] };
        let pass = || {
            let total = convolution(&x, &weight, layer.stride, strategy).sum(Kind::Float);
            Tensor::run_backward(&[&total], &wanted, false, false)
        };
        pass(); // warm-up: chooses kernels, fills caches
        let mut times: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                wait_for(device);
                let started = Instant::now();
                pass();
                wait_for(device);
                1000.0 * started.elapsed().as_secs_f64()
            })
            .collect();
        times.sort_by(f64::total_cmp);
        times[ROUNDS / 2]
    };
    let (mut milliseconds, mut failed) = (BTreeMap::new(), BTreeMap::new());
    for strategy in Strategy::ALL {
        match catch_panic(|| tch::with_grad(|| try_one(strategy))) {
            Ok(time) => drop(milliseconds.insert(strategy, time)),
            Err(error) if perhaps_out_of_memory(&error) => {}
            Err(error) => drop(failed.insert(strategy, plain(&error.to_string()))),
        }
    }
    let fastest = milliseconds.iter().min_by(|a, b| a.1.total_cmp(b.1)).map(|(strategy, _)| *strategy);
    Timing { convolution: *layer, chosen: fastest.unwrap_or(Strategy::Alone), milliseconds, failed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_keep_to_the_memory_that_is_free() {
        let size = PackSize { chosen: 64, images_per_second: vec![], bytes: Some(6400) };
        assert_eq!([None, Some(10_000), Some(7_000), Some(4_000), Some(10)].map(|free| size.within(free)), [64, 64, 32, 32, 1]);
        assert_eq!(PackSize { bytes: None, ..size }.within(Some(10)), 64);
    }
}
