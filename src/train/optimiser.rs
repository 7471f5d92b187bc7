//! SGD with the penalty folded into the step, for K replicas at once.

use tch::{Device, Kind, Tensor};

use crate::config::network::{PenaltyRules, PenaltyStep, Phase};
use crate::model::kernels::{sgd, Sgd};
use crate::model::{no_grad, scope, slice, slice_mut, Layout, Role};

/// What the penalty Σⱼ dⱼ(α|θⱼ − aⱼ| + (1 − α)/2·(θⱼ − aⱼ)²) of each replica pulls with (d, [K, P]) and to (a, [K, P]).
#[derive(Debug)]
pub struct Penalty {
    /// d: λ of the replica on what the rules let it act on, β on a fresh head, 0 elsewhere.
    pub decay: Tensor,
    /// a; none for zero.
    pub point: Option<Tensor>,
}

impl Penalty {
    /// λ for each replica on all that the rules penalise, pulling to zero: source and from-scratch stages.
    pub fn to_zero(layout: &Layout, rules: &PenaltyRules, lambdas: &[f64], like: &Tensor) -> Penalty {
        let mask = layout.mask(like.kind(), like.device(), |p| Layout::penalised(rules, p));
        Penalty { decay: where_masked(lambdas, &mask), point: None }
    }

    /// λ on the backbone, β on the head, pulling to `point` (zero where none). A head under `beta` has to be zero in `point`.
    pub fn to_source(
        layout: &Layout,
        rules: &PenaltyRules,
        lambdas: &[f64],
        beta: Option<f64>,
        point: Option<Tensor>,
        like: &Tensor,
    ) -> Penalty {
        let Some(beta) = beta else {
            return Penalty { point, ..Penalty::to_zero(layout, rules, lambdas, like) };
        };
        let of = |role| layout.mask(like.kind(), like.device(), move |p| p.role == role && Layout::penalised(rules, p));
        Penalty { decay: where_masked(lambdas, &of(Role::Backbone)) + of(Role::Head) * beta, point }
    }

    /// λ on the head alone, pulling to zero: the backbone is frozen.
    pub fn on_head(layout: &Layout, rules: &PenaltyRules, lambdas: &[f64], point: Option<Tensor>, like: &Tensor) -> Penalty {
        let mask = layout.mask(like.kind(), like.device(), |p| p.role == Role::Head && Layout::penalised(rules, p));
        Penalty { decay: where_masked(lambdas, &mask), point }
    }

    /// θ − a.
    fn distance(&self, theta: &Tensor) -> Tensor {
        match &self.point {
            Some(point) => theta - point,
            None => theta.shallow_clone(),
        }
    }
}

/// λ of each replica, [K, P], where the mask is 1. λ may be infinite, and infinity times 0 is NaN: choose, do not multiply.
fn where_masked(lambdas: &[f64], mask: &Tensor) -> Tensor {
    let column = Tensor::from_slice(lambdas).to_kind(mask.kind()).to_device(mask.device()).unsqueeze(1);
    column.where_self(&mask.eq(1.0), &mask.zeros_like())
}

/// The optimiser's rule and its memory.
#[derive(Debug)]
pub struct Optimiser {
    momentum: f64,
    nesterov: bool,
    step: PenaltyStep,
    /// α
    l1_ratio: f64,
    anchor: Penalty,
    penalised: bool,
    /// v, [K, P].
    pub velocity: Tensor,
}

impl Optimiser {
    pub fn new(phase: &Phase, rules: &PenaltyRules, anchor: Penalty, theta: &Tensor) -> Optimiser {
        let penalised = anchor.decay.abs().max().double_value(&[]) > 0.0;
        let anchor = Penalty { decay: anchor.decay.contiguous(), point: anchor.point.map(|point| point.contiguous()) };
        Optimiser {
            momentum: phase.momentum,
            nesterov: phase.nesterov,
            step: rules.step,
            l1_ratio: phase.l1_ratio,
            anchor,
            penalised,
            velocity: theta.zeros_like(),
        }
    }

    /// One step on θ, in place.
    ///
    /// For α = 0. Explicit: g ← ∇ + d(θ − a); v ← μv + g; θ ← θ − lr·v, or θ − lr·(g + μv) for Nesterov (PyTorch's SGD).
    /// Proximal: the same with g = ∇, then θ ← a + (θ − a)/(1 + lr·d/(1 − μ)), which is a itself for d = ∞. Momentum carries a
    /// gradient 1/(1 − μ) times as far; the penalty, which does not pass through v, needs the same factor to keep its meaning.
    ///
    /// For α > 0 the quadratic part does that with (1 − α)d in place of d, and between the two the absolute value's proximal map (soft thresholding)
    /// moves θ towards a by lr·αd/(1 − μ) at most: θ − a ← sign(θ − a)·max(|θ − a| − lr·αd/(1 − μ), 0). Thresholding first and shrinking
    /// after it is the proximal map of both together.
    ///
    /// `gradients` are θ's, in columns: each [K, …], together [K, P].
    pub fn step(&mut self, theta: &mut Tensor, gradients: &[Tensor], lr: f64) {
        if theta.device() == Device::Cpu && theta.kind() == Kind::Float {
            return scope(c"sgd", || self.step_in_one_pass(theta, gradients, lr));
        }
        no_grad(|| {
            let k = theta.size()[0];
            let mut gradient = Tensor::cat(&gradients.iter().map(|part| part.reshape([k, -1])).collect::<Vec<_>>(), 1);
            if self.penalised && self.step == PenaltyStep::Explicit {
                gradient += &self.anchor.decay * (1.0 - self.l1_ratio) * self.anchor.distance(theta);
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
            let put = |theta: &mut Tensor, u: Tensor| {
                theta.copy_(&match &self.anchor.point {
                    Some(point) => point + u,
                    None => u,
                })
            };
            if self.penalised && self.l1_ratio > 0.0 {
                let u = self.anchor.distance(theta);
                put(theta, u.sign() * (u.abs() - &self.anchor.decay * (self.l1_ratio * prox_step_size)).clamp_min(0.0));
            }
            if self.penalised && self.step == PenaltyStep::Proximal {
                let u = self.anchor.distance(theta) / (&self.anchor.decay * ((1.0 - self.l1_ratio) * prox_step_size) + 1.0);
                put(theta, u);
            }
        });
    }

    /// Shrinks to these rows of θ.
    pub fn keep_only(&mut self, rows: &Tensor) {
        let select = |t: &Tensor| t.index_select(0, rows);
        self.anchor = Penalty { decay: select(&self.anchor.decay), point: self.anchor.point.as_ref().map(select) };
        self.velocity = select(&self.velocity);
    }

    /// The same operations in one pass over memory.
    fn step_in_one_pass(&mut self, theta: &mut Tensor, gradients: &[Tensor], lr: f64) {
        let rule = Sgd {
            lr: lr as f32,
            momentum: self.momentum as f32,
            nesterov: self.nesterov,
            proximal: self.step == PenaltyStep::Proximal,
            prox_step_size: (lr / (1.0 - self.momentum)) as f32,
            l1_ratio: self.l1_ratio as f32,
        };
        let [k, total] = [theta.size()[0], theta.size()[1]].map(|n| n as usize);
        // θ and v are written to; nothing else reads them meanwhile.
        let (theta, velocity) = (slice_mut::<f32>(theta), slice_mut::<f32>(&mut self.velocity));
        assert_eq!(theta.len(), velocity.len(), "a velocity for each parameter");
        let decay = if self.penalised { slice::<f32>(&self.anchor.decay) } else { &[] };
        let point = self.anchor.point.as_ref().map_or(&[][..], slice::<f32>);
        let mut first = 0;
        for gradient in gradients {
            let gradient = gradient.contiguous();
            let n = gradient.numel() / k.max(1);
            let gradient = slice::<f32>(&gradient);
            for r in 0..k {
                let own = r * total + first..r * total + first + n;
                let part = |all: &'_ [f32]| if all.is_empty() { 0..0 } else { own.clone() };
                let (decay, point) = (&decay[part(decay)], &point[part(point)]);
                sgd(&mut theta[own.clone()], &gradient[r * n..(r + 1) * n], &mut velocity[own.clone()], decay, point, rule);
            }
            first += n;
        }
    }

    /// ‖(θ − a) ∘ mask‖ of each replica.
    pub fn distance(&self, theta: &Tensor, mask: &Tensor) -> Vec<f64> {
        no_grad(|| {
            let squares = (self.anchor.distance(theta) * mask).square().sum_dim_intlist([1i64].as_slice(), false, Kind::Double);
            let distances = squares.sqrt().to_device(Device::Cpu); // here an error of the device's shows in its own words
            Vec::<f64>::try_from(distances).unwrap_or_default()
        })
    }
}
