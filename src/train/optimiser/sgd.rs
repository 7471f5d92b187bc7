//! SGD with momentum, the penalty folded into the step: in libtorch's operations, and on CPU in one
//! pass over memory.

use multiversion::multiversion;
use tch::Tensor;

use super::one_pass::{each_part, fits, Part};
use super::{Optimiser, Step};
use crate::config::network::{PenaltyRules, PenaltyStep, Phase};
use crate::model::{no_grad, scope};
use crate::train::penalty::Penalty;

/// SGD's rule and its velocity.
#[derive(Debug)]
pub struct Sgd {
    momentum: f64,
    nesterov: bool,
    step: PenaltyStep,
    /// α
    l1_ratio: f64,
    /// v, [K, P].
    velocity: Tensor,
}

impl Sgd {
    pub fn new(phase: &Phase, rules: &PenaltyRules, theta: &Tensor) -> Sgd {
        Sgd { momentum: phase.momentum, nesterov: phase.nesterov, step: rules.step, l1_ratio: phase.l1_ratio, velocity: theta.zeros_like() }
    }

    /// The operations of [`Sgd::step`] in one pass over memory.
    fn step_in_one_pass(&mut self, theta: &mut Tensor, gradients: &[Tensor], penalty: &Penalty, lr: f64) {
        let rule = Rule {
            lr: lr as f32,
            momentum: self.momentum as f32,
            nesterov: self.nesterov,
            proximal: self.step == PenaltyStep::Proximal,
            prox_step_size: (lr / (1.0 - self.momentum)) as f32,
            l1_ratio: self.l1_ratio as f32,
        };
        each_part(theta, gradients, [&mut self.velocity], penalty, |part: Part<1>| {
            let [velocity] = part.state;
            step(part.theta, part.gradient, velocity, part.strength, part.center, rule);
        });
    }
}

impl Optimiser for Sgd {
    /// For α = 0. Explicit: g ← ∇ + d(θ − a); v ← μv + g; θ ← θ − lr·v, or θ − lr·(g + μv) for
    /// Nesterov (PyTorch's SGD). Proximal: the same with g = ∇, then θ ← a + (θ − a)/(1 + lr·d/(1 −
    /// μ)), which is a itself for d = ∞. Momentum carries a gradient 1/(1 − μ) times as far. The
    /// penalty does not pass through v, so it needs the same factor to keep its meaning.
    ///
    /// For α > 0 the quadratic part does that with (1 − α)d in place of d. Between the two, the
    /// absolute value's proximal map (soft thresholding) moves θ towards a by lr·αd/(1 − μ) at
    /// most: θ − a ← sign(θ − a)·max(|θ − a| − lr·αd/(1 − μ), 0). Thresholding first and shrinking
    /// after it is the proximal map of both together.
    fn step(&mut self, theta: &mut Tensor, gradients: &[Tensor], penalty: &Penalty, Step { lr, .. }: Step) {
        if fits(theta) {
            return scope(c"sgd", || self.step_in_one_pass(theta, gradients, penalty, lr));
        }
        no_grad(|| {
            let k = theta.size()[0];
            let mut gradient = Tensor::cat(&gradients.iter().map(|part| part.reshape([k, -1])).collect::<Vec<_>>(), 1);
            if penalty.is_active() && self.step == PenaltyStep::Explicit {
                gradient += &penalty.strength * (1.0 - self.l1_ratio) * penalty.distance(theta);
            }
            let direction = if self.momentum == 0.0 {
                gradient
            } else {
                let _ = self.velocity.g_mul_scalar_(self.momentum);
                let _ = self.velocity.g_add_(&gradient);
                match self.nesterov {
                    true => gradient + &self.velocity * self.momentum,
                    false => self.velocity.shallow_clone(),
                }
            };
            let _ = theta.g_sub_(&(direction * lr));
            let prox_step_size = lr / (1.0 - self.momentum);
            if penalty.is_active() && self.l1_ratio > 0.0 {
                let u = penalty.distance(theta);
                penalty.put(theta, u.sign() * (u.abs() - &penalty.strength * (self.l1_ratio * prox_step_size)).clamp_min(0.0));
            }
            if penalty.is_active() && self.step == PenaltyStep::Proximal {
                let u = penalty.distance(theta) / (&penalty.strength * ((1.0 - self.l1_ratio) * prox_step_size) + 1.0);
                penalty.put(theta, u);
            }
        });
    }

    fn state(&self) -> Vec<(&'static str, &Tensor)> {
        vec![("velocity", &self.velocity)]
    }

    fn set_state(&mut self, state: Vec<Tensor>) {
        state.into_iter().for_each(|velocity| self.velocity = velocity);
    }

    fn keep_only(&mut self, rows: &Tensor) {
        self.velocity = self.velocity.index_select(0, rows);
    }
}

/// What one step needs besides the arrays.
#[derive(Debug, Clone, Copy)]
struct Rule {
    lr: f32,
    momentum: f32,
    nesterov: bool,
    /// The quadratic part of the penalty acts through the proximal map after the step; otherwise
    /// through the gradient.
    proximal: bool,
    /// What proximal maps have in place of lr: lr/(1 − momentum).
    prox_step_size: f32,
    /// α: the penalty is `strength` times α|u| + (1 − α)/2·u².
    l1_ratio: f32,
}

/// One step on θ, in place, with its velocity. An empty `strength` is no penalty, an empty `center`
/// is zero. The operations and their order are those of [`Sgd::step`].
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn step(theta: &mut [f32], gradient: &[f32], velocity: &mut [f32], strength: &[f32], center: &[f32], rule: Rule) {
    let n = theta.len();
    match (strength.is_empty(), center.is_empty()) {
        (true, _) => step_loop(theta, gradient, velocity, |_| 0.0, |_| 0.0, rule, false),
        (false, true) => {
            let strength = &strength[..n];
            step_loop(theta, gradient, velocity, |i| strength[i], |_| 0.0, rule, true)
        }
        (false, false) => {
            let (strength, center) = (&strength[..n], &center[..n]);
            step_loop(theta, gradient, velocity, |i| strength[i], |i| center[i], rule, true)
        }
    }
}

#[inline(always)]
fn step_loop(
    theta: &mut [f32],
    gradient: &[f32],
    velocity: &mut [f32],
    strength: impl Fn(usize) -> f32,
    center: impl Fn(usize) -> f32,
    rule: Rule,
    is_penalised: bool,
) {
    let n = theta.len();
    let (gradient, velocity) = (&gradient[..n], &mut velocity[..n]);
    let (lasso, ridge) = (rule.l1_ratio, 1.0 - rule.l1_ratio);
    for i in 0..n {
        let mut g = gradient[i];
        if is_penalised && !rule.proximal {
            g += strength(i) * ridge * (theta[i] - center(i));
        }
        let mut direction = g;
        if rule.momentum != 0.0 {
            let v = velocity[i] * rule.momentum + g;
            velocity[i] = v;
            direction = if rule.nesterov { g + v * rule.momentum } else { v };
        }
        let mut value = theta[i] - direction * rule.lr;
        if is_penalised && lasso > 0.0 {
            let u = value - center(i);
            value = center(i) + u.signum() * (u.abs() - strength(i) * lasso * rule.prox_step_size).max(0.0);
        }
        if is_penalised && rule.proximal {
            value = center(i) + (value - center(i)) / (strength(i) * ridge * rule.prox_step_size + 1.0);
        }
        theta[i] = value;
    }
}
