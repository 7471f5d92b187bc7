//! Gradient clipping by norm.

use tch::{Kind, Tensor};

/// Gradients of K replicas, each scaled down to a norm of at most `most`: g·min(1, most/(‖g‖ +
/// 10⁻⁶)), with ‖g‖ over all parameters of the replica, as `torch.nn.utils.clip_grad_norm_` does.
/// Each gradient is [K, …].
pub fn clip(gradients: Vec<Tensor>, most: f64) -> Vec<Tensor> {
    let Some(first) = gradients.first() else { return gradients };
    let (k, kind) = (first.size()[0], first.kind());
    let squares = |g: &Tensor| g.reshape([k, -1]).square().sum_dim_intlist([1i64].as_slice(), false, Kind::Double);
    let norm = gradients.iter().map(squares).reduce(|sum, more| sum + more).map(|sum| sum.sqrt());
    let Some(norm) = norm else { return gradients };
    let scale = ((norm + 1e-6).reciprocal() * most).clamp_max(1.0).to_kind(kind);
    let scaled = |g: Tensor| {
        let mut size = vec![1; g.dim()];
        size[0] = k;
        g * scale.reshape(size)
    };
    gradients.into_iter().map(scaled).collect()
}
