//! Trained source models, kept in memory until their last target has been trained. With one device
//! they stay on it; with several they are kept on the CPU.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tch::{Device, Tensor};

use crate::plan::Plan;

/// Maximal number of bytes of source models kept in memory; the others are read from disk.
const LIMIT: usize = 1 << 30;

/// A model's parameters and running statistics by name.
pub type NamedTensors = Vec<(String, Tensor)>;

pub struct Sources {
    inner: Mutex<Inner>,
    limit: usize,
}

struct Inner {
    /// Number of target stages that still need each source.
    wanted: HashMap<String, usize>,
    models: HashMap<String, NamedTensors>,
    bytes: usize,
}

fn bytes(model: &NamedTensors) -> usize {
    model.iter().map(|(_, tensor)| tensor.numel() * tensor.kind().elt_size_in_bytes()).sum()
}

impl Sources {
    pub fn new(plan: &Plan) -> Sources {
        let mut wanted = HashMap::new();
        for source in plan.stages.iter().filter_map(|stage| stage.source) {
            *wanted.entry(plan.stages[source].key.clone()).or_default() += 1;
        }
        Sources { inner: Mutex::new(Inner { wanted, models: HashMap::new(), bytes: 0 }), limit: LIMIT }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a model if targets need it and the limit allows it.
    pub fn keep(&self, key: &str, model: NamedTensors) {
        let (mut inner, size) = (self.lock(), bytes(&model));
        if inner.wanted.contains_key(key) && inner.bytes + size <= self.limit && !inner.models.contains_key(key) {
            inner.bytes += size;
            inner.models.insert(key.to_string(), model);
        }
    }

    pub fn holds(&self, key: &str) -> bool {
        self.lock().models.contains_key(key)
    }

    /// A stored model, copied to this device if it is on another.
    pub fn get(&self, key: &str, device: Device) -> Option<NamedTensors> {
        let inner = self.lock();
        Some(inner.models.get(key)?.iter().map(|(name, tensor)| (name.clone(), tensor.to_device(device))).collect())
    }

    /// A target of this source has been trained.
    pub fn used(&self, key: &str) {
        let mut inner = self.lock();
        let Some(left) = inner.wanted.get_mut(key) else { return };
        *left -= 1;
        if *left == 0 {
            inner.wanted.remove(key);
            if let Some(model) = inner.models.remove(key) {
                inner.bytes -= bytes(&model);
            }
        }
    }
}
