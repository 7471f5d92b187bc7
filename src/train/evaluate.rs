//! Loss and accuracy of K replicas on images they do not learn from.

use tch::{no_grad, Device, Kind, Tensor};

use super::batches::{Pool, Task};
use crate::model::{cross_entropy, Architecture, Buffers, Mode};

/// Mean cross-entropy (nats) and fraction of right answers, for each replica.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    pub loss: Vec<f64>,
    pub accuracy: Vec<f64>,
}

/// Images in one forward pass, over all replicas: few enough on CPU for activations to stay in cache.
const CHUNK_CPU: i64 = 128;
const CHUNK_CUDA: i64 = 4096;

/// Evaluates on rows [K, N] of a pool.
pub fn evaluate(architecture: &Architecture, theta: &Tensor, buffers: &Buffers, task: &Task, pool: &Pool, rows: &Tensor) -> Evaluation {
    no_grad(|| {
        let (k, n) = (rows.size()[0], rows.size()[1]);
        let parameters = architecture.layout.views(theta);
        let mut loss = Tensor::zeros([k], (Kind::Double, pool.device()));
        let mut right = Tensor::zeros([k], (Kind::Double, pool.device()));
        let chunk = (if pool.device() == Device::Cpu { CHUNK_CPU } else { CHUNK_CUDA } / k).max(16);
        for start in (0..n).step_by(chunk as usize) {
            let (images, outputs) = task.gather(pool, &rows.narrow(1, start, chunk.min(n - start)));
            let logits = architecture.forward(&parameters, &images, buffers, Mode::Evaluate);
            loss += cross_entropy(&logits, &outputs).sum_dim_intlist([1i64].as_slice(), false, Kind::Double);
            right += logits.argmax(-1, false).eq_tensor(&outputs).sum_dim_intlist([1i64].as_slice(), false, Kind::Double);
        }
        let mean = |sum: Tensor| Vec::<f64>::try_from(sum / n as f64).unwrap_or_else(|_| vec![f64::NAN; k as usize]);
        Evaluation { loss: mean(loss), accuracy: mean(right) }
    })
}
