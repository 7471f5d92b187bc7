//! Adam and AdamW, the penalty part of the step: in libtorch's operations, and on CPU in one pass
//! over memory.

use multiversion::multiversion;
use tch::Tensor;

use super::one_pass::{each_part, fits, Part};
use super::{Optimiser, Step};
use crate::config::network::{OptimiserKind, PenaltyRules, PenaltyStep, Phase};
use crate::model::{no_grad, scope};
use crate::train::penalty::Penalty;

/// Where the penalty enters Adam's step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decay {
    /// Into the gradient, and so into both moments: PyTorch's Adam.
    Coupled,
    /// θ ← θ − lr·d(θ − a) before the step: PyTorch's AdamW.
    Decoupled,
    /// θ ← a + (θ − a)/(1 + lr·d) after the step.
    Proximal,
}

/// Adam's rule and its moments.
#[derive(Debug)]
pub struct Adam {
    betas: [f64; 2],
    epsilon: f64,
    decay: Decay,
    /// m and v: decayed means of the gradient and of its square, [K, P].
    moments: [Tensor; 2],
}

impl Adam {
    pub fn new(phase: &Phase, rules: &PenaltyRules, theta: &Tensor) -> Adam {
        let decay = match (phase.optimiser, rules.step) {
            (OptimiserKind::Adamw, PenaltyStep::Proximal) => Decay::Proximal,
            (OptimiserKind::Adamw, PenaltyStep::Explicit) => Decay::Decoupled,
            _ => Decay::Coupled,
        };
        Adam { betas: phase.betas, epsilon: phase.epsilon, decay, moments: [theta.zeros_like(), theta.zeros_like()] }
    }

    /// 1 − β₁ᵗ and √(1 − β₂ᵗ), which correct the moments for their start at zero.
    fn corrections(&self, step: usize) -> [f64; 2] {
        let [first, second] = self.betas.map(|beta| 1.0 - beta.powi(step as i32));
        [first, second.sqrt()]
    }

    /// The operations of [`Adam::step`] in one pass over memory.
    fn step_in_one_pass(&mut self, theta: &mut Tensor, gradients: &[Tensor], penalty: &Penalty, at: Step) {
        let [first, second] = self.corrections(at.number);
        let rule = Rule {
            lr: at.lr as f32,
            step_size: (at.lr / first) as f32,
            root: second as f32,
            beta2: self.betas[1] as f32,
            rest: self.betas.map(|beta| (1.0 - beta) as f32),
            epsilon: self.epsilon as f32,
            decay: self.decay,
        };
        let [m, v] = &mut self.moments;
        each_part(theta, gradients, [m, v], penalty, |part: Part<2>| {
            let [m, v] = part.state;
            step(part.theta, part.gradient, m, v, part.strength, part.center, rule);
        });
    }
}

impl Optimiser for Adam {
    /// With g = ∇, or for Adam g = ∇ + d(θ − a): m ← β₁m + (1 − β₁)g; v ← β₂v + (1 − β₂)g²; θ ← θ −
    /// lr·m̂/(√v̂ + ε), with m̂ = m/(1 − β₁ᵗ) and v̂ = v/(1 − β₂ᵗ). The penalty of AdamW passes
    /// through neither moment: before the step θ ← θ − lr·d(θ − a) (Loshchilov and Hutter, 2019),
    /// or, with the proximal step, after it θ ← a + (θ − a)/(1 + lr·d), which is a itself for d = ∞
    /// (Zhuang et al., 2022).
    fn step(&mut self, theta: &mut Tensor, gradients: &[Tensor], penalty: &Penalty, at: Step) {
        if fits(theta) {
            return scope(c"adam", || self.step_in_one_pass(theta, gradients, penalty, at));
        }
        no_grad(|| {
            let k = theta.size()[0];
            let mut gradient = Tensor::cat(&gradients.iter().map(|part| part.reshape([k, -1])).collect::<Vec<_>>(), 1);
            match self.decay {
                Decay::Coupled if penalty.is_active() => gradient += &penalty.strength * penalty.distance(theta),
                Decay::Decoupled if penalty.is_active() => {
                    let _ = theta.g_sub_(&(&penalty.strength * at.lr * penalty.distance(theta)));
                }
                _ => {}
            }
            let ([beta1, beta2], [first, second]) = (self.betas, self.corrections(at.number));
            let [m, v] = &mut self.moments;
            let _ = m.lerp_(&gradient, 1.0 - beta1);
            let _ = v.g_mul_scalar_(beta2);
            let _ = v.g_add_(&(gradient.square() * (1.0 - beta2)));
            let _ = theta.g_sub_(&(&*m / (v.sqrt() / second + self.epsilon) * (at.lr / first)));
            if self.decay == Decay::Proximal && penalty.is_active() {
                let u = penalty.distance(theta) / (&penalty.strength * at.lr + 1.0);
                penalty.put(theta, u);
            }
        });
    }

    fn state(&self) -> Vec<(&'static str, &Tensor)> {
        vec![("first_moment", &self.moments[0]), ("second_moment", &self.moments[1])]
    }

    fn set_state(&mut self, state: Vec<Tensor>) {
        self.moments.iter_mut().zip(state).for_each(|(own, restored)| *own = restored);
    }

    fn keep_only(&mut self, rows: &Tensor) {
        self.moments.iter_mut().for_each(|moment| *moment = moment.index_select(0, rows));
    }
}

/// What one step needs besides the arrays.
#[derive(Debug, Clone, Copy)]
struct Rule {
    lr: f32,
    /// lr/(1 − β₁ᵗ)
    step_size: f32,
    /// √(1 − β₂ᵗ)
    root: f32,
    /// β₂
    beta2: f32,
    /// 1 − β₁ and 1 − β₂.
    rest: [f32; 2],
    epsilon: f32,
    decay: Decay,
}

/// One step on θ, in place, with its moments. An empty `strength` is no penalty, an empty `center`
/// is zero. The operations and their order are those of [`Adam::step`].
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn step(theta: &mut [f32], gradient: &[f32], m: &mut [f32], v: &mut [f32], strength: &[f32], center: &[f32], rule: Rule) {
    let n = theta.len();
    match (strength.is_empty(), center.is_empty()) {
        (true, _) => step_loop(theta, gradient, [m, v], |_| 0.0, |_| 0.0, rule),
        (false, true) => {
            let strength = &strength[..n];
            step_loop(theta, gradient, [m, v], |i| strength[i], |_| 0.0, rule)
        }
        (false, false) => {
            let (strength, center) = (&strength[..n], &center[..n]);
            step_loop(theta, gradient, [m, v], |i| strength[i], |i| center[i], rule)
        }
    }
}

#[inline(always)]
fn step_loop(
    theta: &mut [f32],
    gradient: &[f32],
    moments: [&mut [f32]; 2],
    strength: impl Fn(usize) -> f32,
    center: impl Fn(usize) -> f32,
    rule: Rule,
) {
    let n = theta.len();
    let [m, v] = moments;
    let (gradient, m, v) = (&gradient[..n], &mut m[..n], &mut v[..n]);
    for i in 0..n {
        let (mut g, mut value) = (gradient[i], theta[i]);
        match rule.decay {
            Decay::Coupled => g += strength(i) * (value - center(i)),
            Decay::Decoupled => value -= strength(i) * rule.lr * (value - center(i)),
            Decay::Proximal => {}
        }
        // As libtorch's `lerp`: exact at both ends.
        m[i] = if rule.rest[0] < 0.5 { m[i] + (g - m[i]) * rule.rest[0] } else { g - (g - m[i]) * (1.0 - rule.rest[0]) };
        v[i] = v[i] * rule.beta2 + g * g * rule.rest[1];
        value -= m[i] / (v[i].sqrt() / rule.root + rule.epsilon) * rule.step_size;
        if rule.decay == Decay::Proximal {
            value = center(i) + (value - center(i)) / (strength(i) * rule.lr + 1.0);
        }
        theta[i] = value;
    }
}
