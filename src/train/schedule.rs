//! The learning rate over a phase.

use crate::config::network::{Phase, ScheduleKind};

/// Learning rate of step `step` (from 0) if an epoch has `steps_per_epoch` steps.
///
/// Warm-up: lr·(step + 1)/w over the first w steps. Cosine: lr·(1 + cos πt)/2, where t is the
/// fraction of the steps after warm-up that are over. Step: lr·factor^⌊epoch/every⌋, where the
/// epoch (from 0) includes warm-up.
pub fn learning_rate(phase: &Phase, step: usize, steps_per_epoch: usize) -> f64 {
    let warmup = (phase.schedule.warmup * steps_per_epoch as f64).round() as usize;
    if step < warmup {
        return phase.lr * (step + 1) as f64 / warmup as f64;
    }
    let total = phase.epochs * steps_per_epoch;
    match phase.schedule.kind {
        ScheduleKind::Constant => phase.lr,
        ScheduleKind::Cosine => {
            let t = (step - warmup) as f64 / (total - warmup).max(1) as f64;
            phase.lr * 0.5 * (1.0 + (std::f64::consts::PI * t).cos())
        }
        ScheduleKind::Step => {
            let epoch = step / steps_per_epoch.max(1);
            phase.lr * phase.schedule.factor.powi((epoch / phase.schedule.every) as i32)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::network::{Class, Schedule};

    fn phase(kind: ScheduleKind, warmup: f64) -> Phase {
        let classes = vec![Class::Label(0), Class::Label(1)];
        Phase { batch_size: 1, schedule: Schedule { kind, warmup, every: 4, factor: 0.5 }, ..Phase::new(classes, 10, 0.4) }
    }

    #[test]
    fn histories() {
        let at = |kind, warmup, step| learning_rate(&phase(kind, warmup), step, 5);
        assert_eq!(at(ScheduleKind::Constant, 0.0, 49), 0.4);
        assert_eq!(at(ScheduleKind::Step, 0.0, 19), 0.4);
        assert_eq!(at(ScheduleKind::Step, 0.0, 20), 0.2);
        assert_eq!(at(ScheduleKind::Step, 0.0, 49), 0.1);
        assert_eq!(at(ScheduleKind::Cosine, 0.0, 0), 0.4);
        assert!((at(ScheduleKind::Cosine, 0.0, 25) - 0.2).abs() < 1e-12);
        assert!(at(ScheduleKind::Cosine, 0.0, 49) > 0.0);
        assert!((at(ScheduleKind::Constant, 2.0, 0) - 0.04).abs() < 1e-12);
        assert_eq!(at(ScheduleKind::Constant, 2.0, 9), 0.4);
        assert_eq!(at(ScheduleKind::Cosine, 2.0, 10), 0.4);
    }
}
