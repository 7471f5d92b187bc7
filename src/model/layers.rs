//! Layers over K replicas at once. Images are [B, K·C, H, W] in channels-last memory, features [K, B, F].

use tch::Tensor;

/// Whether BatchNorm uses (and updates its running statistics from) the batch, or uses the running statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Train,
    Evaluate,
}

pub const NORM_EPS: f64 = 1e-5;
/// Weight of the newest batch in BatchNorm's running statistics.
const NORM_MOMENTUM: f64 = 0.1;

/// 3×3 convolution, stride 1, zero padding 1: `x` [B, K·I, H, W], `weight` [K, O, I, 3, 3], `bias` [K, O] → [B, K·O, H, W].
pub fn convolution(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    let size = weight.size();
    let (k, o, i) = (size[0], size[1], size[2]);
    x.conv2d(&weight.reshape([k * o, i, 3, 3]), bias.map(|bias| bias.reshape([k * o])), [1, 1], [1, 1], [1, 1], k)
}

/// `x` [B, K·O, H, W] + `bias` [K, O].
pub fn add_bias(x: &Tensor, bias: &Tensor) -> Tensor {
    x + bias.reshape([1, -1, 1, 1])
}

/// 2×2 max-pooling, stride 2.
pub fn pool(x: &Tensor) -> Tensor {
    x.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false)
}

/// Affine map: `x` [K, B, I], `weight` [K, O, I], `bias` [K, O] → [K, B, O].
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
    bias.unsqueeze(1).baddbmm(x, &weight.transpose(1, 2), 1.0, 1.0)
}

/// BatchNorm over channels that belong to one replica each: `x` [B, K·C, …], `scale` and `shift` [K, C], running statistics [K·C].
pub fn batch_norm(x: &Tensor, scale: &Tensor, shift: &Tensor, running: &(Tensor, Tensor), mode: Mode) -> Tensor {
    let training = mode == Mode::Train;
    x.batch_norm(
        Some(scale.reshape([-1])),
        Some(shift.reshape([-1])),
        Some(running.0.shallow_clone()),
        Some(running.1.shallow_clone()),
        training,
        NORM_MOMENTUM,
        NORM_EPS,
        true,
    )
}

/// GroupNorm with `groups` groups in each replica: `x` [B, K·C, …], `scale` and `shift` [K, C].
pub fn group_norm(x: &Tensor, scale: &Tensor, shift: &Tensor, groups: i64) -> Tensor {
    let k = scale.size()[0];
    x.group_norm(k * groups, Some(scale.reshape([-1])), Some(shift.reshape([-1])), NORM_EPS, true)
}

/// [B, K·F] → [K, B, F].
pub fn split_replicas(x: &Tensor, k: i64) -> Tensor {
    let size = x.size();
    x.reshape([size[0], k, size[1] / k]).transpose(0, 1)
}

/// [K, B, F] → [B, K·F].
pub fn join_replicas(x: &Tensor) -> Tensor {
    let size = x.size();
    x.transpose(0, 1).reshape([size[1], size[0] * size[2]])
}
