//! Loss and accuracy (or R²) of K replicas on images that they are not trained on.

use tch::{Device, Kind, Tensor};

use super::batches::BatchSource;
use super::pool::DeviceDataset;
use crate::model::{cross_entropy, no_grad, read_back, response_error, squared_error, upload, Architecture, Buffers, Mode};

/// The loss of a task.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum EvaluationLoss {
    /// Cross-entropy in nats, with this label smoothing of the class (0 for none).
    CrossEntropy { smoothing: f64 },
    /// Half the squared distance to the one-hot class, for ridge on frozen features.
    SquaredError,
    /// Squared error of the one output, for tasks that predict a number.
    Response,
}

/// Mean loss of each replica, and its accuracy as a fraction; where a number is predicted, R²: 1 −
/// the squared error over the variance of these examples' responses.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    pub loss: Vec<f64>,
    pub score: Vec<f64>,
}

/// Images in one forward pass, of all replicas together. On CPU the number is small enough for
/// activations to stay in cache.
const CHUNK_CPU: i64 = 128;
const CHUNK_CUDA: i64 = 4096;

/// Architecture, θ and running statistics of K models.
pub type Models<'a> = (&'a Architecture, &'a Tensor, &'a Buffers);

/// The inputs of the heads of K models for rows [K, N] of a pool, [K, N, features], and the rows'
/// outputs, [K, N].
pub fn features(models: Models, task: &BatchSource, pool: &DeviceDataset, rows: &Tensor) -> (Tensor, Tensor) {
    let (architecture, theta, buffers) = models;
    no_grad(|| {
        let parameters = architecture.views(theta);
        let parts = pool.batches(rows, chunk(pool, rows.size()[0])).map(|(pool, rows)| {
            let (inputs, outputs) = task.gather(&pool, &rows);
            (architecture.features(&parameters, &inputs, buffers), outputs)
        });
        let (features, outputs): (Vec<Tensor>, Vec<Tensor>) = parts.unzip();
        (Tensor::cat(&features, 1), Tensor::cat(&outputs, 1))
    })
}

/// The outputs of one model for some rows of a pool, one list for each row.
pub fn outputs(models: Models, task: &BatchSource, pool: &DeviceDataset, rows: &[usize]) -> Vec<Vec<f32>> {
    let (architecture, theta, buffers) = models;
    no_grad(|| {
        let parameters = architecture.views(theta);
        let rows: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
        let chunks = pool.batches(&upload(&rows, pool.device()).unsqueeze(0), chunk(pool, 1)).flat_map(|(pool, rows)| {
            let (inputs, _) = task.gather(&pool, &rows);
            let outputs = architecture.forward(&parameters, &inputs, buffers, Mode::Evaluate, None).to_kind(Kind::Float).get(0);
            let width = outputs.size()[1] as usize;
            read_back::<f32>(&outputs.reshape([-1])).chunks(width).map(<[f32]>::to_vec).collect::<Vec<_>>()
        });
        chunks.collect()
    })
}

/// Images of each of `k` replicas in one forward pass.
fn chunk(pool: &DeviceDataset, k: i64) -> i64 {
    (if pool.device() == Device::Cpu { CHUNK_CPU } else { CHUNK_CUDA } / k).max(16)
}

/// Evaluates on rows [K, N] of a pool.
pub fn evaluate(models: Models, objective: EvaluationLoss, task: &BatchSource, pool: &DeviceDataset, rows: &Tensor) -> Evaluation {
    let (architecture, theta, buffers) = models;
    no_grad(|| {
        let (k, n) = (rows.size()[0], rows.size()[1]);
        let parameters = architecture.views(theta);
        let mut loss = Tensor::zeros([k], (Kind::Double, pool.device()));
        let mut right = Tensor::zeros([k], (Kind::Double, pool.device()));
        let mut responses = vec![];
        for (pool, rows) in pool.batches(rows, chunk(pool, k)) {
            let (images, outputs) = task.gather(&pool, &rows);
            let logits = architecture.forward(&parameters, &images, buffers, Mode::Evaluate, None);
            let each = match objective {
                EvaluationLoss::CrossEntropy { smoothing } => cross_entropy(&logits, &outputs, smoothing),
                EvaluationLoss::SquaredError => squared_error(&logits, &outputs),
                EvaluationLoss::Response => response_error(&logits, &outputs),
            };
            let total = |of: &Tensor| of.sum_dim_intlist([1i64].as_slice(), false, Kind::Double);
            loss += total(&each);
            if objective == EvaluationLoss::Response {
                responses.push(outputs.to_kind(Kind::Double));
            } else {
                right += total(&logits.argmax(-1, false).eq_tensor(&outputs));
            }
        }
        let mean = |sum: Tensor| read_back::<f64>(&(sum / n as f64));
        let score = match objective {
            EvaluationLoss::Response => {
                let all = Tensor::cat(&responses, 1);
                let spread = (&all - all.mean_dim([1i64].as_slice(), true, None::<Kind>)).square();
                read_back::<f64>(&(1.0f64 - &loss / spread.sum_dim_intlist([1i64].as_slice(), false, None::<Kind>)))
            }
            _ => mean(right),
        };
        Evaluation { loss: mean(loss), score }
    })
}
