//! The networks of a plan's stages, as they are trained on a device.

use std::collections::HashSet;
use std::sync::PoisonError;

use anyhow::{bail, Result};
use tch::Device;

use super::TorchEngine;
use crate::base::usage::usage;
use crate::config::network::WeightsFile;
use crate::config::Network;
use crate::data::weights::{content, Content};
use crate::model::{Architecture, Strategy};
use crate::plan::{Plan, Stage};

/// The network of a study for a number of classes.
pub fn load(settings: &Network, classes: usize, device: Device) -> Result<Architecture> {
    let bytes = |file: &WeightsFile| match &*content(file)? {
        Content::Module(bytes) => Ok(bytes.clone()),
        Content::Weights(_) => bail!("{} is no TorchScript module", file.0),
    };
    Architecture::load(&settings.model, settings.input(), classes, device, bytes)
}

/// Fails if a TorchScript module cannot be used, before anything is trained.
pub fn check_modules(plan: &Plan, device: Device) -> Result<()> {
    let mut seen = HashSet::new();
    for stage in &plan.stages {
        let Some((file, head)) = stage.settings.model.module() else { continue };
        let classes = stage.phase().labels(stage.data()).len();
        if seen.insert((file.clone(), head.to_string(), stage.settings.input(), classes)) {
            load(&stage.settings, classes, device)
                .map_err(|error| usage(format!("{error:#}"), "docs/networks.md says what a module needs"))?;
        }
    }
    Ok(())
}

impl TorchEngine {
    /// A network with the fastest strategies for `k` replicas.
    pub(super) fn architecture(&self, stage: &Stage, device: Device, k: usize) -> Result<Architecture> {
        let (settings, phase) = (&stage.settings, stage.phase());
        let mut architecture = load(settings, phase.labels(stage.data()).len(), device)?;
        // On CPU separate convolutions are as fast as any other strategy. They also give each
        // replica the same bits as when it is trained alone.
        if self.without_cudnn.lock().unwrap_or_else(PoisonError::into_inner).contains(&stage.shape) {
            architecture.strategies.fill(Strategy::Unfolded);
        } else if device != Device::Cpu && k > 1 {
            let precision = stage.settings.precision;
            architecture.strategies = self.calibration.strategies(&architecture.convolutions(), k, phase.batch_size, precision, device);
        }
        Ok(architecture)
    }
}
