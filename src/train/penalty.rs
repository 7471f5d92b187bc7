//! The penalty of K replicas: how strongly it pulls each weight, and to what.

use tch::{Device, Kind, Tensor};

use crate::config::network::PenaltyRules;
use crate::model::{no_grad, read_back, upload, Layout, Role};

/// The penalty Σⱼ dⱼ(α|θⱼ − aⱼ| + (1 − α)/2·(θⱼ − aⱼ)²) of each replica. The optimiser applies it.
#[derive(Debug)]
pub struct Penalty {
    /// d, [K, P]: λ of the replica on the weights that the rules penalise, β on a fresh head, 0
    /// elsewhere.
    pub strength: Tensor,
    /// a, [K, P]; none for zero.
    pub center: Option<Tensor>,
    /// Some strength is not 0.
    is_active: bool,
}

impl Penalty {
    pub fn new(strength: Tensor, center: Option<Tensor>) -> Penalty {
        let is_active = strength.abs().max().double_value(&[]) > 0.0;
        Penalty { strength: strength.contiguous(), center: center.map(|center| center.contiguous()), is_active }
    }

    /// λ for each replica on all that the rules penalise, pulling to zero: source and from-scratch
    /// stages.
    pub fn to_zero(layout: &Layout, rules: &PenaltyRules, lambdas: &[f64], like: &Tensor) -> Penalty {
        Penalty::new(Penalty::on_all(layout, rules, lambdas, like), None)
    }

    fn on_all(layout: &Layout, rules: &PenaltyRules, lambdas: &[f64], like: &Tensor) -> Tensor {
        where_masked(lambdas, &layout.mask(like.kind(), like.device(), |p| Layout::penalised(rules, p)))
    }

    /// λ on the backbone and β on the head, or λ on both without `beta`, pulling to `center` (zero
    /// where none). A head under `beta` has to be zero in `center`.
    pub fn to_source(
        layout: &Layout,
        rules: &PenaltyRules,
        lambdas: &[f64],
        beta: Option<f64>,
        center: Option<Tensor>,
        like: &Tensor,
    ) -> Penalty {
        let Some(beta) = beta else {
            return Penalty::new(Penalty::on_all(layout, rules, lambdas, like), center);
        };
        let of = |role| layout.mask(like.kind(), like.device(), move |p| p.role == role && Layout::penalised(rules, p));
        Penalty::new(where_masked(lambdas, &of(Role::Backbone)) + of(Role::Head) * beta, center)
    }

    /// λ on the head alone, pulling to `center` (zero where none): the backbone is frozen.
    pub fn on_head(layout: &Layout, rules: &PenaltyRules, lambdas: &[f64], center: Option<Tensor>, like: &Tensor) -> Penalty {
        let mask = layout.mask(like.kind(), like.device(), |p| p.role == Role::Head && Layout::penalised(rules, p));
        Penalty::new(where_masked(lambdas, &mask), center)
    }

    /// Whether it pulls anything at all.
    pub fn is_active(&self) -> bool {
        self.is_active
    }

    /// θ − a.
    pub fn distance(&self, theta: &Tensor) -> Tensor {
        match &self.center {
            Some(center) => theta - center,
            None => theta.shallow_clone(),
        }
    }

    /// θ ← a + u, in place.
    pub fn put(&self, theta: &mut Tensor, u: Tensor) {
        theta.copy_(&match &self.center {
            Some(center) => center + u,
            None => u,
        });
    }

    /// ‖(θ − a) ∘ mask‖ of each replica.
    pub fn distance_norm(&self, theta: &Tensor, mask: &Tensor) -> Vec<f64> {
        no_grad(|| {
            let squares = (self.distance(theta) * mask).square().sum_dim_intlist([1i64].as_slice(), false, Kind::Double);
            let distances = squares.sqrt().to_device(Device::Cpu); // here a device error shows in its own words
            read_back(&distances)
        })
    }

    /// Keeps these replicas (rows) only.
    pub fn keep_only(&mut self, rows: &Tensor) {
        self.strength = self.strength.index_select(0, rows);
        self.center = self.center.as_ref().map(|center| center.index_select(0, rows));
    }
}

/// λ of each replica, [K, P], where the mask is 1. λ may be infinite, and infinity times 0 is NaN:
/// choose, do not multiply.
fn where_masked(lambdas: &[f64], mask: &Tensor) -> Tensor {
    let column = upload(lambdas, mask.device()).to_kind(mask.kind()).unsqueeze(1);
    column.where_self(&mask.eq(1.0), &mask.zeros_like())
}
