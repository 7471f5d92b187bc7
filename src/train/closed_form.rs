//! Ridge regression of the one-hot classes on frozen features: the theory's estimator as a target
//! method, without optimiser steps.

use ndarray::{Array1, Array2};
use tch::{Device, Kind, Tensor};

use super::evaluate::{evaluate, features, EvaluationLoss};
use super::pack::{EpochReport, Pack, Start, Trained, TrainingHistory};
use crate::model::{no_grad, read_back, upload, Role};
use crate::theory::ridge::{centre, Reduction};
use crate::theory::TheoryError;

impl Pack<'_> {
    /// Solves for the head that minimises ½·mean‖y − ŷ‖² + (λ/2)·‖W‖² over the training images,
    /// with an intercept that is not penalised. In the theory's units this is the ridge estimate
    /// for n·λ, where n is the number of training images. λ = 0 is the ridgeless solution.
    ///
    /// # Errors
    /// Features that are not finite.
    pub fn solve(&self, start: Start, lambdas: &[f64]) -> Result<Trained, TheoryError> {
        let layout = &self.architecture.layout;
        let (mut theta, buffers, k) = (start.theta, start.buffers, lambdas.len());
        let backbone: i64 = layout.parameters.iter().filter(|p| p.role == Role::Backbone).map(|p| p.count()).sum();
        let task = self.task(theta.kind());
        let rows = self.rows(|replica| &replica.train);
        let (features, outputs) = features((self.architecture, &theta, &buffers), &task, self.pool, &rows);
        let classes = layout.parameters.last().map_or(0, |bias| bias.count()) as usize;
        for (row, &lambda) in lambdas.iter().enumerate() {
            let training_labels = self.replicas[row].training_labels.clone();
            let own = |t: &Tensor| t.get(row as i64).to_device(Device::Cpu);
            let outputs = training_labels.unwrap_or_else(|| read_back(&own(&outputs)));
            let head = head(&own(&features), &outputs, classes, lambda)?;
            let head = upload(&head, theta.device()).to_kind(theta.kind());
            no_grad(|| theta.get(row as i64).narrow(0, backbone, head.numel() as i64).copy_(&head));
        }
        let of = |rows: &Tensor| evaluate((self.architecture, &theta, &buffers), EvaluationLoss::SquaredError, &task, self.pool, rows);
        let (train, validation) = (of(&rows), of(&self.rows(|replica| &replica.monitor)));
        let report = |row: usize| EpochReport {
            epoch: 1,
            train_loss: train.loss[row],
            validation_loss: validation.loss[row],
            validation_score: validation.score[row],
            distance: 0.0,
        };
        let histories = (0..k).map(|row| TrainingHistory::of_one(report(row))).collect();
        theta = theta.detach();
        Ok(Trained::new(theta, buffers, histories))
    }
}

/// Weights [classes × features], followed by the intercepts.
fn head(features: &Tensor, outputs: &[i64], classes: usize, lambda: f64) -> Result<Vec<f64>, TheoryError> {
    let (n, p) = (features.size()[0] as usize, features.size()[1] as usize);
    let values: Vec<f64> = read_back(&features.to_kind(Kind::Double).reshape([-1]));
    let mut x = Array2::from_shape_fn((n, p), |(i, j)| values[i * p + j]);
    let mut y = Array2::from_shape_fn((n, classes), |(i, c)| f64::from(u8::from(outputs[i] == c as i64)));
    let (x_mean, y_mean) = (centre(&mut x), centre(&mut y));
    let reduction = Reduction::new(x.view())?;
    let weights: Vec<Array1<f64>> = y.columns().into_iter().map(|y| reduction.ridge(y, n as f64 * lambda)).collect();
    let intercepts = weights.iter().zip(&y_mean).map(|(w, mean)| mean - x_mean.dot(w));
    Ok(weights.iter().flatten().copied().chain(intercepts).collect())
}
