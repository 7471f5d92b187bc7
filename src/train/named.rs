//! One model's parameters and running statistics by name: the form in which source models are
//! stored on disk and passed between stages.

use tch::Tensor;

use crate::model::{Architecture, Buffers, Layout};

/// Combines the named parameters and running statistics of K models into θ [K, P] and buffers. None
/// if a name is missing or a size does not match.
pub fn assemble(architecture: &Architecture, models: &[Vec<(String, Tensor)>]) -> Option<(Tensor, Buffers)> {
    let find = |model: &[(String, Tensor)], name: &str, count: i64| {
        model.iter().find(|(n, t)| n == name && t.numel() as i64 == count).map(|(_, t)| t.reshape([-1]))
    };
    let mut rows = vec![];
    for model in models {
        let parts: Option<Vec<Tensor>> = architecture.layout.parameters.iter().map(|p| find(model, &p.name, p.count())).collect();
        rows.push(Tensor::cat(&parts?, 0));
    }
    let theta = Tensor::stack(&rows, 0);
    let like = architecture.fresh_buffers(1, theta.kind(), theta.device());
    let mut buffers = vec![];
    for (i, (mean, _)) in like.0.iter().enumerate() {
        let join = |part: &str| {
            let parts: Option<Vec<Tensor>> =
                models.iter().map(|model| find(model, &format!("norm{}.running_{part}", i + 1), mean.numel() as i64)).collect();
            Some(Tensor::cat(&parts?, 0))
        };
        buffers.push((join("mean")?, join("var")?));
    }
    Some((theta, Buffers(buffers)))
}

/// The reverse of [`assemble`]: the parameters and running statistics of replica k by name.
pub fn disassemble(layout: &Layout, theta: &Tensor, buffers: &Buffers, k: usize) -> Vec<(String, Tensor)> {
    let row = theta.detach().narrow(0, k as i64, 1);
    let named = layout.views(&row).into_iter().zip(&layout.parameters).map(|(view, p)| (p.name.clone(), view.get(0).copy()));
    let mut all: Vec<(String, Tensor)> = named.collect();
    let replicas = theta.size()[0];
    for (i, (mean, var)) in buffers.0.iter().enumerate() {
        let c = mean.size()[0] / replicas;
        let own = |t: &Tensor| t.narrow(0, k as i64 * c, c).copy();
        all.push((format!("norm{}.running_mean", i + 1), own(mean)));
        all.push((format!("norm{}.running_var", i + 1), own(var)));
    }
    all
}
