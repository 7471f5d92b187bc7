//! The loops that take most of the training time on CPU, besides matrix products and convolutions.
//! Each is one pass over memory where libtorch makes several. They work on slices, without tensors.
//! They are also compiled for AVX2 and AVX-512, and the version is chosen at run time. No loop
//! contracts or reorders a sum, so all versions give the same bits on every x86 machine.

use multiversion::multiversion;

/// A float as stored in memory: float32, or its upper 16 bits.
pub trait Element: Copy + Default + Send + Sync {
    fn get(self) -> f32;
    /// Rounded to nearest, ties to even.
    fn of(value: f32) -> Self;
}

impl Element for f32 {
    #[inline(always)]
    fn get(self) -> f32 {
        self
    }

    #[inline(always)]
    fn of(value: f32) -> f32 {
        value
    }
}

/// bfloat16.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Bf16(pub u16);

impl Element for Bf16 {
    #[inline(always)]
    fn get(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }

    #[inline(always)]
    fn of(value: f32) -> Bf16 {
        let bits = value.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        // The rounding addition could overflow a NaN to zero.
        Bf16(if value.is_nan() { 0x7fc0 } else { rounded as u16 })
    }
}

/// Images of `height` × `width` pixels with `channels` floats each, channels innermost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Images {
    pub count: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}

impl Images {
    pub fn floats(&self) -> usize {
        self.count * self.height * self.width * self.channels
    }

    /// The size after 2×2 pooling.
    pub fn pooled(&self) -> Images {
        Images { height: self.height / 2, width: self.width / 2, ..*self }
    }
}

/// Value of `which` if the output is 0 because of ReLU: none of the four pixels gets a gradient.
const CUT: u8 = 4;

/// 2×2 max-pooling, bias and ReLU in one pass. `which` says from which of the four pixels each
/// output comes. NaN is propagated.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub fn pool_bias_relu<T: Element>(x: &[T], shape: Images, bias: &[f32], out: &mut [T], which: &mut [u8]) {
    let (c, row) = (shape.channels, shape.width * shape.channels);
    let small = shape.pooled();
    let lines = small.count * small.height;
    for line in 0..lines {
        let (image, y) = (line / small.height, line % small.height);
        let top = (image * shape.height + 2 * y) * row;
        for column in 0..small.width {
            let at = top + 2 * column * c;
            let to = (line * small.width + column) * c;
            pool_pixel(&x[at..at + 2 * c], &x[at + row..at + row + 2 * c], bias, &mut out[to..to + c], &mut which[to..to + c]);
        }
    }
}

/// Computes one output pixel. It is a separate function because the compiler only assumes of
/// function arguments that they do not overlap.
#[inline(always)]
fn pool_pixel<T: Element>(upper: &[T], lower: &[T], bias: &[f32], out: &mut [T], which: &mut [u8]) {
    let c = out.len();
    let (a, b) = upper.split_at(c);
    let (d, e) = lower.split_at(c);
    let (b, d, e, bias, which) = (&b[..c], &d[..c], &e[..c], &bias[..c], &mut which[..c]);
    for i in 0..c {
        let (a, b, d, e) = (a[i].get(), b[i].get(), d[i].get(), e[i].get());
        let (ab, at_ab) = if (b > a) | b.is_nan() { (b, 1u32) } else { (a, 0u32) };
        let (abd, at_abd) = if (d > ab) | d.is_nan() { (d, 2u32) } else { (ab, at_ab) };
        let (best, place) = if (e > abd) | e.is_nan() { (e, 3u32) } else { (abd, at_abd) };
        let sum = best + bias[i];
        let cut = sum <= 0.0;
        out[i] = T::of(if cut { 0.0 } else { sum });
        which[i] = if cut { CUT as u32 } else { place } as u8;
    }
}

/// The gradients of [`pool_bias_relu`]. That of `x` is written in full; that of the bias is added
/// to `of_bias`.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub fn pool_bias_relu_backward<T: Element>(gradient: &[T], which: &[u8], shape: Images, of_x: &mut [T], of_bias: &mut [f32]) {
    let (c, row) = (shape.channels, shape.width * shape.channels);
    let small = shape.pooled();
    if shape.height % 2 == 1 || shape.width % 2 == 1 {
        of_x.fill(T::default()); // the last row and column are in no window
    }
    for line in 0..small.count * small.height {
        let (image, y) = (line / small.height, line % small.height);
        let top = (image * shape.height + 2 * y) * row;
        let (upper, lower) = of_x[top..top + 2 * row].split_at_mut(row);
        for column in 0..small.width {
            let from = (line * small.width + column) * c;
            let window = 2 * column * c..(2 * column + 2) * c;
            let (upper, lower) = (&mut upper[window.clone()], &mut lower[window]);
            pool_pixel_backward(&gradient[from..from + c], &which[from..from + c], upper, lower, of_bias);
        }
    }
}

#[inline(always)]
fn pool_pixel_backward<T: Element>(gradient: &[T], which: &[u8], upper: &mut [T], lower: &mut [T], of_bias: &mut [f32]) {
    let c = gradient.len();
    let (a, b) = upper.split_at_mut(c);
    let (d, e) = lower.split_at_mut(c);
    let (which, b, d, e, of_bias) = (&which[..c], &mut b[..c], &mut d[..c], &mut e[..c], &mut of_bias[..c]);
    let zero = T::default();
    for i in 0..c {
        let (place, value) = (u32::from(which[i]), gradient[i]);
        a[i] = if place == 0 { value } else { zero };
        b[i] = if place == 1 { value } else { zero };
        d[i] = if place == 2 { value } else { zero };
        e[i] = if place == 3 { value } else { zero };
        of_bias[i] += if place == u32::from(CUT) { 0.0 } else { value.get() };
    }
}

/// Adds the bias to each row of `y`, with ReLU if `relu` is set. NaN is propagated.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub fn bias_relu<T: Element>(y: &mut [T], bias: &[f32], relu: bool) {
    for row in y.chunks_exact_mut(bias.len()) {
        for (value, bias) in row.iter_mut().zip(bias) {
            let sum = value.get() + bias;
            *value = T::of(if relu & (sum <= 0.0) { 0.0 } else { sum });
        }
    }
}

/// The gradients of [`bias_relu`], whose result is `y`. `gradient` is replaced by the gradient of
/// its input; the bias's gradient is added to `of_bias`.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub fn bias_relu_backward<T: Element>(gradient: &mut [T], y: &[T], of_bias: &mut [f32], relu: bool) {
    let n = of_bias.len();
    for (row, y) in gradient.chunks_exact_mut(n).zip(y.chunks_exact(n)) {
        for ((value, y), sum) in row.iter_mut().zip(y).zip(of_bias.iter_mut()) {
            *value = if relu & (y.get() <= 0.0) { T::default() } else { *value };
            *sum += value.get();
        }
    }
}

/// Cross-entropy of each row of logits, in nats, with label smoothing ε. The probabilities are
/// written to `softmax`.
pub fn cross_entropy(logits: &[f32], outputs: &[i64], smoothing: f32, softmax: &mut [f32], loss: &mut [f32]) {
    let classes = logits.len() / outputs.len().max(1);
    for (((row, p), &output), loss) in logits.chunks_exact(classes).zip(softmax.chunks_exact_mut(classes)).zip(outputs).zip(loss.iter_mut())
    {
        // A NaN anywhere makes the sum NaN, and so the loss.
        let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut sum = 0.0;
        for (p, x) in p.iter_mut().zip(row) {
            *p = (x - most).exp();
            sum += *p;
        }
        p.iter_mut().for_each(|p| *p /= sum);
        let right = row[output as usize] - most;
        *loss = sum.ln()
            - match smoothing {
                0.0 => right,
                e => (1.0 - e) * right + e / classes as f32 * row.iter().map(|x| x - most).sum::<f32>(),
            };
    }
}

/// The gradient of [`cross_entropy`]: (softmax − target) times the gradient of each row's loss. It
/// replaces the softmax.
pub fn cross_entropy_backward(softmax: &mut [f32], outputs: &[i64], smoothing: f32, gradient: impl Fn(usize) -> f32) {
    let classes = softmax.len() / outputs.len().max(1);
    for (i, (p, &output)) in softmax.chunks_exact_mut(classes).zip(outputs).enumerate() {
        p[output as usize] -= 1.0 - smoothing;
        if smoothing > 0.0 {
            p.iter_mut().for_each(|p| *p -= smoothing / classes as f32);
        }
        let factor = gradient(i);
        p.iter_mut().for_each(|p| *p *= factor);
    }
}

/// Converts one line of an image's bytes to floats: scale·byte + shift, with one scale and shift
/// for each byte of the line.
#[derive(Debug, Clone)]
pub struct Normalise {
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl Normalise {
    /// Repeats each channel's scale and shift over a line.
    pub fn new(scale: &[f32], shift: &[f32], width: usize) -> Normalise {
        Normalise { scale: scale.repeat(width), shift: shift.repeat(width) }
    }

    #[inline(always)]
    fn apply<T: Element>(&self, pixels: &[u8], out: &mut [T]) {
        let n = out.len();
        let (pixels, scale, shift) = (&pixels[..n], &self.scale[..n], &self.shift[..n]);
        for i in 0..n {
            out[i] = T::of(f32::from(pixels[i]) * scale[i] + shift[i]);
        }
    }
}

/// Gathers images without augmentation.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub fn gather<T: Element>(pixels: &[u8], rows: &[i64], image: Images, normalise: &Normalise, out: &mut [T]) {
    let (size, line) = (image.floats(), image.width * image.channels);
    for (row, out) in rows.iter().zip(out.chunks_exact_mut(size)) {
        let from = *row as usize * size;
        for (pixels, out) in pixels[from..from + size].chunks_exact(line).zip(out.chunks_exact_mut(line)) {
            normalise.apply(pixels, out);
        }
    }
}

/// Gathers images mirrored and shifted. `draws` holds, for each image, flip (0 or 1) and the shifts
/// of the visible window, down and right. Pixels outside the image become 0, which is the mean.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub fn gather_augmented<T: Element>(pixels: &[u8], rows: &[i64], draws: &[i64], image: Images, normalise: &Normalise, out: &mut [T]) {
    let (size, line, c) = (image.floats(), image.width * image.channels, image.channels);
    let mut mirrored = vec![0; line];
    for ((row, draw), out) in rows.iter().zip(draws.chunks_exact(3)).zip(out.chunks_exact_mut(size)) {
        let from = *row as usize * size;
        for (y, out) in out.chunks_exact_mut(line).enumerate() {
            out.fill(T::default());
            let from_y = y as i64 + draw[1];
            if from_y < 0 || from_y >= image.height as i64 {
                continue;
            }
            let mut source = &pixels[from + from_y as usize * line..][..line];
            if draw[0] == 1 {
                mirrored.chunks_exact_mut(c).zip(source.chunks_exact(c).rev()).for_each(|(to, from)| to.copy_from_slice(from));
                source = &mirrored;
            }
            let kept = line.saturating_sub(draw[2].unsigned_abs() as usize * c);
            match draw[2] < 0 {
                true => normalise.apply(&source[..kept], &mut out[line - kept..]),
                false => normalise.apply(&source[line - kept..], &mut out[..kept]),
            }
        }
    }
}
