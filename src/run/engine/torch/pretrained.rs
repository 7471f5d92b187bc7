//! Source models that start from a file of weights.

use anyhow::{bail, ensure, Result};
use tch::Tensor;

use crate::config::network::WeightsFile;
use crate::config::Network;
use crate::data::weights::{content, Content};
use crate::model::{no_grad, upload, Buffers};
use crate::plan::Pretrained;

/// Replaces what the file has in freshly initialised weights [K, P] and running statistics.
pub fn load(settings: &Network, file: &WeightsFile, theta: &Tensor, buffers: &Buffers) -> Result<()> {
    let content = content(file)?;
    let Content::Weights(weights) = &*content else { bail!("{} is a TorchScript module", file.0) };
    let found = Pretrained::of(settings, file).map_err(anyhow::Error::msg)?;
    let k = theta.size()[0];
    let (mut column, mut running) = (0, buffers.0.iter());
    for (tensor, at) in &found.tensors {
        let count = tensor.count();
        let own = if tensor.is_parameter() {
            column += count;
            theta.narrow(1, column - count, count)
        } else {
            running.next().map_or_else(Tensor::new, |own| own.reshape([k, count]))
        };
        let Some(at) = at else { continue };
        let values = tensor.reordered(&weights[*at].values, false);
        ensure!(values.len() as i64 == count && own.size() == [k, count], "`{}` of {} does not fit", tensor.name, file.0);
        no_grad(|| own.shallow_clone().copy_(&upload(&values, theta.device()).unsqueeze(0)));
    }
    Ok(())
}
