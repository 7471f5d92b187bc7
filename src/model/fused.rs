//! Operations that are faster on CPU than libtorch's own. They use our own kernels in one pass over
//! memory, or faer's matrix product: libtorch's float32 product is MKL's, which runs at half speed
//! on AMD processors. Elsewhere (CUDA, float64) they are composed of libtorch's operations. The
//! tests compare the kernels with these.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use tch::{Device, Kind, Tensor};

use super::kernels::{self, Bf16, Element, Images};
use super::native::{no_grad, scope, slice, slice_mut, with_gradient, Plain};

/// Whether the CPU kernels support a tensor.
fn on_cpu(x: &Tensor, kinds: &[Kind]) -> bool {
    x.device() == Device::Cpu && kinds.contains(&x.kind())
}

/// 2×2 max-pooling (stride 2), then bias, then ReLU: `x` [B, C, H, W], `bias` of C in float32 → [B,
/// C, H/2, W/2], of `x`'s kind.
pub fn pool_bias_relu(x: &Tensor, bias: &Tensor) -> Tensor {
    match x.kind() {
        Kind::Float if x.device() == Device::Cpu && x.numel() > 0 => scope(c"pool_bias_relu", || pool_with::<f32>(x, bias)),
        Kind::BFloat16 if x.device() == Device::Cpu && x.numel() > 0 => scope(c"pool_bias_relu", || pool_with::<Bf16>(x, bias)),
        kind => (x.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false) + bias.to_kind(kind).reshape([1, -1, 1, 1])).relu(),
    }
}

fn pool_with<T: Element + Plain + 'static>(x: &Tensor, bias: &Tensor) -> Tensor {
    let size = x.size();
    assert_eq!(bias.size(), [size[1]], "a bias for each channel");
    let shape = Images { count: size[0] as usize, channels: size[1] as usize, height: size[2] as usize, width: size[3] as usize };
    let small = shape.pooled();
    let options = (x.kind(), Device::Cpu);
    let [n, h, w, c] = [small.count, small.height, small.width, small.channels].map(|n| n as i64);
    let (out, which) = no_grad(|| {
        // Channels innermost: a channels-last tensor is not copied.
        let (pixels, bias) = (x.permute([0, 2, 3, 1]).contiguous(), bias.contiguous());
        let mut out = Tensor::empty([n, h, w, c], options);
        let mut which = vec![0u8; small.floats()];
        kernels::pool_bias_relu::<T>(slice(&pixels), shape, slice(&bias), slice_mut(&mut out), &mut which);
        (out.permute([0, 3, 1, 2]), which)
    });
    with_gradient(c"pool_bias_relu", &[x, bias], out, move |gradient| {
        let gradient = gradient.permute([0, 2, 3, 1]).contiguous();
        let mut of_x = Tensor::empty([shape.count, shape.height, shape.width, shape.channels].map(|n| n as i64), options);
        let mut of_bias = vec![0f32; shape.channels];
        kernels::pool_bias_relu_backward::<T>(slice(&gradient), &which, shape, slice_mut(&mut of_x), &mut of_bias);
        vec![Some(of_x.permute([0, 3, 1, 2])), Some(Tensor::from_slice(&of_bias))]
    })
}

/// Affine map, with ReLU if `relu` is set: `x` [K, B, I], `weight` [K, O, I], `bias` [K, O] → [K,
/// B, O], of `x`'s kind.
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor, relu: bool) -> Tensor {
    let kind = x.kind();
    if on_cpu(x, &[Kind::Float, Kind::BFloat16]) && weight.kind() == Kind::Float && x.numel() > 0 {
        return scope(c"linear", || match kind {
            Kind::Float => linear_with_faer(x, weight, bias, relu),
            _ => linear_in_bf16(x, weight, bias, relu),
        });
    }
    let y = bias.to_kind(kind).unsqueeze(1).baddbmm(x, &weight.to_kind(kind).transpose(1, 2), 1.0, 1.0);
    if relu {
        y.relu()
    } else {
        y
    }
}

/// In bfloat16 with libtorch's products (oneDNN's). Weights are rounded once, for both directions;
/// bias and its gradient are in float32.
fn linear_in_bf16(x: &Tensor, weight: &Tensor, bias: &Tensor, relu: bool) -> Tensor {
    let (size, outputs) = (x.size(), weight.size()[1]);
    assert!(weight.size() == [size[0], outputs, size[2]] && bias.size() == [size[0], outputs], "weights and biases of other sizes");
    let (k, o) = (size[0] as usize, outputs as usize);
    // Of one replica, a product of matrices has less overhead than that of batches.
    let product = move |a: &Tensor, b: &Tensor| if k == 1 { a.get(0).mm(&b.get(0)).unsqueeze(0) } else { a.bmm(b) };
    let (x_kept, weight_kept, y) = no_grad(|| {
        let (x, weight, bias) = (x.detach(), weight.detach().to_kind(Kind::BFloat16), bias.detach().contiguous());
        let mut y = product(&x, &weight.transpose(1, 2)).contiguous();
        let (each, biases) = (y.numel() / k, slice::<f32>(&bias));
        for (y, bias) in slice_mut::<Bf16>(&mut y).chunks_exact_mut(each).zip(biases.chunks_exact(o)) {
            kernels::bias_relu(y, bias, relu);
        }
        (x, weight, y)
    });
    let (wants_x, y_kept) = (x.requires_grad(), y.shallow_clone());
    with_gradient(c"linear", &[x, weight, bias], y, move |gradient| {
        let mut gradient = own(gradient);
        let mut of_bias = Tensor::zeros([k as i64, outputs], (Kind::Float, Device::Cpu));
        let each = gradient.numel() / k;
        let gradients = slice_mut::<Bf16>(&mut gradient).chunks_exact_mut(each).zip(slice::<Bf16>(&y_kept).chunks_exact(each));
        for ((g, y), of_bias) in gradients.zip(slice_mut::<f32>(&mut of_bias).chunks_exact_mut(o)) {
            kernels::bias_relu_backward(g, y, of_bias, relu);
        }
        let of_x = wants_x.then(|| product(&gradient, &weight_kept));
        let of_weight = product(&gradient.transpose(1, 2), &x_kept).to_kind(Kind::Float);
        vec![of_x, Some(of_weight), Some(of_bias)]
    })
}

fn linear_with_faer(x: &Tensor, weight: &Tensor, bias: &Tensor, relu: bool) -> Tensor {
    let (size, outputs) = (x.size(), weight.size()[1]);
    assert!(weight.size() == [size[0], outputs, size[2]] && bias.size() == [size[0], outputs], "weights and biases of other sizes");
    let [k, b, i, o] = [size[0], size[1], size[2], outputs].map(|n| n as usize);
    let options = (Kind::Float, Device::Cpu);
    let (x_kept, weight_kept, y) = no_grad(|| {
        let (x, weight, bias) = (x.detach().contiguous(), weight.detach().contiguous(), bias.contiguous());
        let mut y = Tensor::empty([k as i64, b as i64, o as i64], options);
        let (xs, ws, bs, ys) = (slice::<f32>(&x), slice::<f32>(&weight), slice::<f32>(&bias), slice_mut::<f32>(&mut y));
        for r in 0..k {
            let y = &mut ys[r * b * o..(r + 1) * b * o];
            let product = (rows(&xs[r * b * i..], b, i), rows(&ws[r * o * i..], o, i).transpose());
            matmul(rows_mut(y, b, o), Accum::Replace, product.0, product.1, 1.0, Par::Seq);
            kernels::bias_relu(y, &bs[r * o..(r + 1) * o], relu);
        }
        (x, weight, y)
    });
    let wants_x = x.requires_grad();
    let y_kept = y.shallow_clone();
    with_gradient(c"linear", &[x, weight, bias], y, move |gradient| {
        let mut gradient = own(gradient);
        let mut of_x = Tensor::empty(if wants_x { [k as i64, b as i64, i as i64] } else { [0; 3] }, options);
        let mut of_weight = Tensor::empty([k as i64, o as i64, i as i64], options);
        let mut of_bias = Tensor::empty([k as i64, o as i64], options);
        // The tensors written to are new. θ does not change before its gradient has been computed.
        let (xs, ws, ys) = (slice::<f32>(&x_kept), slice::<f32>(&weight_kept), slice::<f32>(&y_kept));
        let (gs, dxs) = (slice_mut::<f32>(&mut gradient), slice_mut::<f32>(&mut of_x));
        let (dws, dbs) = (slice_mut::<f32>(&mut of_weight), slice_mut::<f32>(&mut of_bias));
        dbs.fill(0.0);
        for r in 0..k {
            let g = &mut gs[r * b * o..(r + 1) * b * o];
            kernels::bias_relu_backward(g, &ys[r * b * o..(r + 1) * b * o], &mut dbs[r * o..(r + 1) * o], relu);
            let x = rows(&xs[r * b * i..], b, i);
            matmul(rows_mut(&mut dws[r * o * i..(r + 1) * o * i], o, i), Accum::Replace, rows(g, b, o).transpose(), x, 1.0, Par::Seq);
            if wants_x {
                let weight = rows(&ws[r * o * i..], o, i);
                matmul(rows_mut(&mut dxs[r * b * i..(r + 1) * b * i], b, i), Accum::Replace, rows(g, b, o), weight, 1.0, Par::Seq);
            }
        }
        vec![wants_x.then_some(of_x), Some(of_weight), Some(of_bias)]
    })
}

/// A contiguous tensor that may be written to.
fn own(tensor: Tensor) -> Tensor {
    let contiguous = tensor.contiguous();
    if contiguous.data_ptr() == tensor.data_ptr() {
        contiguous.copy()
    } else {
        contiguous
    }
}

fn rows(values: &[f32], rows: usize, columns: usize) -> MatRef<'_, f32> {
    MatRef::from_row_major_slice(&values[..rows * columns], rows, columns)
}

fn rows_mut(values: &mut [f32], rows: usize, columns: usize) -> MatMut<'_, f32> {
    MatMut::from_row_major_slice_mut(values, rows, columns)
}

/// Cross-entropy of each image in nats, [K, B], from logits [K, B, classes] and outputs [K, B].
/// With `smoothing` ε, the target is 1 − ε on the output plus ε spread evenly over all classes.
pub fn cross_entropy(logits: &Tensor, outputs: &Tensor, smoothing: f64) -> Tensor {
    if !on_cpu(logits, &[Kind::Float]) || logits.numel() == 0 {
        let log = logits.log_softmax(-1, logits.kind());
        let right = log.gather(2, &outputs.unsqueeze(-1), false).squeeze_dim(-1);
        return match smoothing {
            0.0 => -right,
            e => -(right * (1.0 - e) + log.mean_dim([-1i64].as_slice(), false, log.kind()) * e),
        };
    }
    scope(c"cross_entropy", || cross_entropy_in_one_pass(logits, outputs, smoothing as f32))
}

fn cross_entropy_in_one_pass(logits: &Tensor, outputs: &Tensor, smoothing: f32) -> Tensor {
    let size = outputs.size();
    assert_eq!(logits.size()[..logits.dim() - 1], size, "an output for each row of logits");
    let options = (Kind::Float, Device::Cpu);
    let outputs = outputs.contiguous();
    let (mut softmax, loss) = no_grad(|| {
        let rows = logits.detach().contiguous();
        let (mut softmax, mut loss) = (Tensor::empty(rows.size(), options), Tensor::empty(&size, options));
        kernels::cross_entropy(slice(&rows), slice(&outputs), smoothing, slice_mut(&mut softmax), slice_mut(&mut loss));
        (softmax, loss)
    });
    with_gradient(c"cross_entropy", &[logits], loss, move |gradient| {
        let gradient = gradient.contiguous();
        let each = slice::<f32>(&gradient);
        kernels::cross_entropy_backward(slice_mut(&mut softmax), slice(&outputs), smoothing, |row| each[row]);
        vec![Some(softmax)]
    })
}

/// The squared error of each example's one output, [K, B], from outputs [K, B, 1] and responses
/// [K, B].
pub fn response_error(outputs: &Tensor, responses: &Tensor) -> Tensor {
    (outputs.squeeze_dim(-1).to_kind(responses.kind()) - responses).square()
}

/// Half the squared distance of each image's outputs from the one-hot vector of its class, [K, B].
pub fn squared_error(outputs: &Tensor, classes: &Tensor) -> Tensor {
    let wanted = classes.one_hot(outputs.size()[2]).to_kind(outputs.kind());
    (outputs - wanted).square().sum_dim_intlist([2i64].as_slice(), false, outputs.kind()) * 0.5
}
