//! Where training starts: a pack's initial weights, and the point that λ pulls them to.

use anyhow::{Context, Result};
use tch::{Device, Kind, Tensor};

use super::networks::load;
use super::sources::NamedTensors;
use super::{pretrained, task_name, to_tensor, TorchEngine};
use crate::config::network::{HeadRule, ModuleStart, SourceCenter, TransferMethod};
use crate::model::{Architecture, Role};
use crate::plan::{Pretrained, Stage, StageKind};
use crate::run::engine::{Job, PackContext};
use crate::train::{assemble, Penalty, Start};

impl TorchEngine {
    pub(super) fn start(&self, device: Device, job: &Job, link: &dyn PackContext, architecture: &Architecture) -> Result<Start> {
        let first = &job.stages[0];
        let (settings, layout) = (&first.settings, &architecture.layout);
        let seeds: Vec<u64> = job.stages.iter().map(Stage::stream_seed).collect();
        let lambdas: Vec<f64> = job.stages.iter().map(|stage| stage.lambda).collect();
        let fresh = layout.initial(&seeds, task_name(first.kind), Kind::Float, device);
        let buffers = architecture.fresh_buffers(seeds.len() as i64, Kind::Float, device);
        if first.kind != StageKind::Target {
            let mut center = None;
            if first.kind == StageKind::Source && settings.model.start == ModuleStart::File {
                architecture.put_stored(&fresh, &buffers);
            }
            if let Some(file) = settings.source.init.as_ref().filter(|_| first.kind == StageKind::Source) {
                pretrained::load(settings, file, &fresh, &buffers)?;
                let head = layout.mask(Kind::Float, device, |p| p.role == Role::Head);
                let has_head = Pretrained::of(settings, file).is_ok_and(|found| found.has_head());
                center = (settings.penalty.source_center == SourceCenter::Init).then(|| {
                    if has_head {
                        fresh.copy()
                    } else {
                        &fresh * (-head + 1.0)
                    }
                });
            }
            let penalty = Penalty::to_source(layout, &settings.penalty, &lambdas, None, center, &fresh);
            return Ok(Start { theta: fresh, buffers, penalty });
        }
        let models: Vec<NamedTensors> = job
            .sources
            .iter()
            .map(|source| self.source(source.as_deref().context("a target stage starts from a source model")?, device, link))
            .collect::<Result<_>>()?;
        let keep = settings.transfer.head == HeadRule::Keep;
        let source = load(settings, settings.source.labels(settings.source_info()).len(), device)?;
        let (mut theta, buffers) = assemble(&source, &models).context("the source model on disk is of another architecture")?;
        let head = layout.mask(Kind::Float, device, |p| p.role == Role::Head);
        if !keep {
            // The head's parameters come last in both architectures. The result is the source's
            // backbone, then the target's own head.
            let backbone: i64 = layout.parameters.iter().filter(|p| p.role == Role::Backbone).map(|p| p.count()).sum();
            theta = Tensor::cat(&[theta.narrow(1, 0, backbone), fresh.narrow(1, backbone, layout.total() - backbone)], 1);
        }
        let point = match settings.transfer.method {
            TransferMethod::Finetune => None,
            TransferMethod::L2sp if keep => Some(theta.copy()),
            TransferMethod::L2sp | TransferMethod::Probe | TransferMethod::Ridge => Some(&theta * (-head + 1.0)),
        };
        let beta = (!keep).then_some(settings.transfer.beta);
        let penalty = match settings.transfer.method.is_frozen() {
            true => Penalty::on_head(layout, &settings.penalty, &lambdas, point, &theta),
            false => Penalty::to_source(layout, &settings.penalty, &lambdas, beta, point, &theta),
        };
        Ok(Start { theta, buffers, penalty })
    }

    /// A finished source's model, from memory or else from disk.
    fn source(&self, key: &str, device: Device, link: &dyn PackContext) -> Result<NamedTensors> {
        if let Some(model) = self.sources.get(key, device) {
            return Ok(model);
        }
        Ok(link.model(key)?.iter().map(|array| (array.name.clone(), to_tensor(array).to_device(device))).collect())
    }
}
