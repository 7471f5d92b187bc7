//! One model's parameters and running statistics by name: the form in which source models are
//! stored on disk and passed between stages.

use tch::Tensor;

use crate::model::{Architecture, Buffers};

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
    let names = architecture.buffer_names();
    let join = |(like, name): (&Tensor, &String)| {
        let parts: Option<Vec<Tensor>> = models.iter().map(|model| find(model, name, like.numel() as i64)).collect();
        Some(Tensor::cat(&parts?, 0))
    };
    let buffers: Option<Vec<Tensor>> = like.0.iter().zip(&names).map(join).collect();
    Some((theta, Buffers(buffers?)))
}

/// The reverse of [`assemble`]: the parameters and running statistics of replica k by name.
pub fn disassemble(architecture: &Architecture, theta: &Tensor, buffers: &Buffers, k: usize) -> Vec<(String, Tensor)> {
    let (row, layout) = (theta.detach().narrow(0, k as i64, 1), &architecture.layout);
    let named = layout.views(&row).into_iter().zip(&layout.parameters).map(|(view, p)| (p.name.clone(), view.get(0).copy()));
    let replicas = theta.size()[0];
    let own = |(name, buffer): (String, &Tensor)| {
        let c = buffer.size()[0] / replicas;
        (name, buffer.narrow(0, k as i64 * c, c).copy())
    };
    named.chain(architecture.buffer_names().into_iter().zip(&buffers.0).map(own)).collect()
}
