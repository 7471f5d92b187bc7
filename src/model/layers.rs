//! Layers over K replicas at once. Images are [B, K·C, H, W] in channels-last memory, features [K, B, F].

use serde::{Deserialize, Serialize};
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

/// How K replicas' convolutions are computed; all give the same up to rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// One convolution with K groups.
    Grouped,
    /// The windows laid out as rows, then one batched matrix product.
    Unfolded,
    /// A convolution for each replica. On CPU the only one in use: as fast as any, and each replica gets the bits that it gets alone.
    Alone,
}

impl Strategy {
    pub const ALL: [Strategy; 3] = [Strategy::Grouped, Strategy::Unfolded, Strategy::Alone];

    pub fn as_str(self) -> &'static str {
        match self {
            Strategy::Grouped => "grouped",
            Strategy::Unfolded => "unfolded",
            Strategy::Alone => "alone",
        }
    }
}

/// 3×3 convolution, stride 1, zero padding 1: `x` [B, K·I, H, W], `weight` [K, O, I, 3, 3], `bias` [K, O] → [B, K·O, H, W].
pub fn convolution(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, strategy: Strategy) -> Tensor {
    let size = weight.size();
    let (k, o, i, kind) = (size[0], size[1], size[2], x.kind());
    let weight = weight.to_kind(kind);
    let plain = |x: &Tensor, weight: Tensor, groups: i64| x.conv2d(&weight, None::<Tensor>, [1, 1], [1, 1], [1, 1], groups);
    let y = match strategy {
        _ if k == 1 => plain(x, weight.reshape([o, i, 3, 3]), 1),
        Strategy::Grouped => plain(x, weight.reshape([k * o, i, 3, 3]), k),
        Strategy::Alone => {
            let each = apart(x, k).permute([0, 1, 4, 2, 3]); // [K, B, I, H, W], each replica in channels-last memory
            let each = (0..k).map(|r| plain(&each.get(r), weight.get(r), 1).permute([0, 2, 3, 1]));
            together(&Tensor::stack(&each.collect::<Vec<_>>(), 0))
        }
        Strategy::Unfolded => {
            let x = apart(x, k); // [K, B, H, W, I]
            let (b, h, w) = (x.size()[1], x.size()[2], x.size()[3]);
            let wide = x.constant_pad_nd([0, 0, 1, 1, 1, 1]);
            let windows: Vec<Tensor> = (0..9).map(|at| wide.narrow(2, at / 3, h).narrow(3, at % 3, w)).collect();
            let rows = Tensor::stack(&windows, 4).reshape([k, b * h * w, 9 * i]);
            let weight = weight.permute([0, 3, 4, 2, 1]).reshape([k, 9 * i, o]);
            together(&rows.bmm(&weight).reshape([k, b, h, w, o]))
        }
    };
    match bias {
        Some(bias) => y + bias.to_kind(kind).reshape([1, k * o, 1, 1]),
        None => y,
    }
}

/// [B, K·C, H, W] in channels-last memory → [K, B, H, W, C].
fn apart(x: &Tensor, k: i64) -> Tensor {
    let size = x.size();
    x.permute([0, 2, 3, 1]).reshape([size[0], size[2], size[3], k, size[1] / k]).permute([3, 0, 1, 2, 4]).contiguous()
}

/// The reverse of [`apart`].
fn together(x: &Tensor) -> Tensor {
    let size = x.size();
    x.permute([1, 2, 3, 0, 4]).reshape([size[1], size[2], size[3], size[0] * size[4]]).permute([0, 3, 1, 2])
}

/// 2×2 max-pooling, stride 2.
pub fn pool(x: &Tensor) -> Tensor {
    x.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false)
}

/// BatchNorm over channels that belong to one replica each: `x` [B, K·C, …], `scale` and `shift` [K, C], running statistics [K·C].
pub fn batch_norm(x: &Tensor, scale: &Tensor, shift: &Tensor, running: &(Tensor, Tensor), mode: Mode) -> Tensor {
    let training = mode == Mode::Train;
    let y = x.to_kind(scale.kind()).batch_norm(
        Some(scale.reshape([-1])),
        Some(shift.reshape([-1])),
        Some(running.0.shallow_clone()),
        Some(running.1.shallow_clone()),
        training,
        NORM_MOMENTUM,
        NORM_EPS,
        true,
    );
    y.to_kind(x.kind())
}

/// GroupNorm with `groups` groups in each replica: `x` [B, K·C, …], `scale` and `shift` [K, C].
pub fn group_norm(x: &Tensor, scale: &Tensor, shift: &Tensor, groups: i64) -> Tensor {
    let k = scale.size()[0];
    let y = x.to_kind(scale.kind()).group_norm(k * groups, Some(scale.reshape([-1])), Some(shift.reshape([-1])), NORM_EPS, true);
    y.to_kind(x.kind())
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
