//! Layers over K replicas at once. Images are [B, K·C, H, W] in channels-last memory, features [K,
//! B, F].

use serde::{Deserialize, Serialize};
use tch::Tensor;

/// BatchNorm's mode. `Train` uses the batch's statistics and updates the running statistics;
/// `Evaluate` uses the running statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Train,
    Evaluate,
}

pub const NORM_EPS: f64 = 1e-5;
/// Weight of the newest batch in BatchNorm's running statistics.
const NORM_MOMENTUM: f64 = 0.1;

/// How K replicas' convolutions are computed. All strategies give the same result up to rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// One convolution with K groups, in channels-last memory.
    Grouped,
    /// The same in channels-first memory, for which cuDNN has other kernels. The copies to and fro
    /// are part of it.
    #[serde(rename = "grouped-nchw")]
    GroupedNchw,
    /// The windows are laid out as rows, followed by one batched matrix product: without cuDNN.
    Unfolded,
    /// One convolution per replica. On CPU only this strategy is used: no other is faster, and each
    /// replica gets the same bits as when it is trained alone.
    Alone,
}

impl Strategy {
    pub const ALL: [Strategy; 4] = [Strategy::Grouped, Strategy::GroupedNchw, Strategy::Unfolded, Strategy::Alone];

    pub fn as_str(self) -> &'static str {
        match self {
            Strategy::Grouped => "grouped",
            Strategy::GroupedNchw => "grouped-nchw",
            Strategy::Unfolded => "unfolded",
            Strategy::Alone => "alone",
        }
    }
}

/// Square convolution with zero padding of half the kernel: `x` [B, K·I, H, W], `weight` [K, O, I,
/// k, k] → [B, K·O, H/stride, W/stride].
pub fn convolution(x: &Tensor, weight: &Tensor, stride: i64, strategy: Strategy) -> Tensor {
    let size = weight.size();
    let (k, o, i, side, kind) = (size[0], size[1], size[2], size[3], x.kind());
    let weight = weight.to_kind(kind);
    let padding = side / 2;
    let plain =
        |x: &Tensor, weight: Tensor, groups: i64| x.conv2d(&weight, None::<Tensor>, [stride, stride], [padding, padding], [1, 1], groups);
    match strategy {
        // One replica takes the plain convolution, unless cuDNN is to be left out.
        Strategy::Grouped | Strategy::GroupedNchw | Strategy::Alone if k == 1 => plain(x, weight.reshape([o, i, side, side]), 1),
        Strategy::Grouped => plain(x, weight.reshape([k * o, i, side, side]), k),
        Strategy::GroupedNchw => {
            let y = plain(&x.contiguous(), weight.reshape([k * o, i, side, side]).contiguous(), k);
            y.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
        }
        Strategy::Alone => {
            let each = apart(x, k).permute([0, 1, 4, 2, 3]); // [K, B, I, H, W], each replica in channels-last memory
            let each = (0..k).map(|r| plain(&each.get(r), weight.get(r), 1).permute([0, 2, 3, 1]));
            together(&Tensor::stack(&each.collect::<Vec<_>>(), 0))
        }
        Strategy::Unfolded => {
            let x = apart(x, k); // [K, B, H, W, I]
            let (b, h, w) = (x.size()[1], x.size()[2], x.size()[3]);
            let [high, wide] = [h, w].map(|n| (n - 1) / stride + 1);
            let padded = x.constant_pad_nd([0, 0, padding, padding, padding, padding]);
            let window = |at: i64| {
                let rows = padded.slice(2, at / side, at / side + h, stride);
                rows.slice(3, at % side, at % side + w, stride)
            };
            let windows: Vec<Tensor> = (0..side * side).map(window).collect();
            let rows = Tensor::stack(&windows, 4).reshape([k, b * high * wide, side * side * i]);
            let weight = weight.permute([0, 3, 4, 2, 1]).reshape([k, side * side * i, o]);
            together(&rows.bmm(&weight).reshape([k, b, high, wide, o]))
        }
    }
}

/// A shortcut without parameters: takes every `stride`-th pixel and pads each replica with zero
/// channels to `channels`. [B, K·C, H, W] → [B, K·channels, H/stride, W/stride].
pub fn subsample(x: &Tensor, k: i64, stride: i64, channels: i64) -> Tensor {
    let own = x.size()[1] / k;
    if stride == 1 && own == channels {
        return x.shallow_clone();
    }
    let size = x.size();
    let x = x.slice(2, 0, size[2], stride).slice(3, 0, size[3], stride);
    let size = x.size();
    let wide = x.reshape([size[0], k, own, size[2], size[3]]).constant_pad_nd([0, 0, 0, 0, 0, channels - own]);
    wide.reshape([size[0], k * channels, size[2], size[3]])
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

/// BatchNorm, where each channel belongs to one replica: `x` [B, K·C, …], `scale` and `shift` [K,
/// C], running mean and variance, each [K·C].
pub fn batch_norm(x: &Tensor, scale: &Tensor, shift: &Tensor, running: &[Tensor], mode: Mode) -> Tensor {
    let training = mode == Mode::Train;
    let y = x.to_kind(scale.kind()).batch_norm(
        Some(scale.reshape([-1])),
        Some(shift.reshape([-1])),
        Some(running[0].shallow_clone()),
        Some(running[1].shallow_clone()),
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

/// LayerNorm over the last dimension of `x` [K, …, F], `scale` and `shift` [K, F].
pub fn layer_norm(x: &Tensor, scale: &Tensor, shift: &Tensor) -> Tensor {
    let (size, dim) = (scale.size(), x.dim());
    let own = |t: &Tensor| {
        let mut shape = vec![1; dim];
        (shape[0], shape[dim - 1]) = (size[0], size[1]);
        t.reshape(shape)
    };
    let y = x.to_kind(scale.kind()).layer_norm([size[1]], None::<Tensor>, None::<Tensor>, NORM_EPS, false);
    (y * own(scale) + own(shift)).to_kind(x.kind())
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
