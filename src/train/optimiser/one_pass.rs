//! A step in one pass over memory, on CPU in float32.

use tch::{Device, Kind, Tensor};

use crate::model::{slice, slice_mut};
use crate::train::penalty::Penalty;

/// One parameter of one replica, with N numbers of the optimiser's state for each of its numbers.
pub struct Part<'a, const N: usize> {
    pub theta: &'a mut [f32],
    pub gradient: &'a [f32],
    pub state: [&'a mut [f32]; N],
    /// Empty for no penalty.
    pub strength: &'a [f32],
    /// Empty for zero.
    pub center: &'a [f32],
}

/// Whether a step can be done in one pass.
pub fn fits(theta: &Tensor) -> bool {
    theta.device() == Device::Cpu && theta.kind() == Kind::Float
}

/// Calls `step` for each parameter of each replica. `gradients` are in the order of θ's columns;
/// each tensor of `state` has θ's size.
pub fn each_part<const N: usize>(
    theta: &mut Tensor,
    gradients: &[Tensor],
    state: [&mut Tensor; N],
    penalty: &Penalty,
    mut step: impl FnMut(Part<N>),
) {
    let [k, total] = [theta.size()[0], theta.size()[1]].map(|n| n as usize);
    // θ and the state are written to; nothing else reads them meanwhile.
    let theta = slice_mut::<f32>(theta);
    let mut state = state.map(slice_mut::<f32>);
    assert!(state.iter().all(|values| values.len() == theta.len()), "a state for each parameter");
    let strength = if penalty.is_active() { slice::<f32>(&penalty.strength) } else { &[] };
    let center = penalty.center.as_ref().map_or(&[][..], slice::<f32>);
    let mut first = 0;
    for gradient in gradients {
        let gradient = gradient.contiguous();
        let n = gradient.numel() / k.max(1);
        let gradient = slice::<f32>(&gradient);
        for r in 0..k {
            let own = r * total + first..r * total + first + n;
            let part = |all: &'_ [f32]| if all.is_empty() { 0..0 } else { own.clone() };
            step(Part {
                theta: &mut theta[own.clone()],
                gradient: &gradient[r * n..(r + 1) * n],
                state: state.each_mut().map(|values| &mut values[own.clone()]),
                strength: &strength[part(strength)],
                center: &center[part(center)],
            });
        }
        first += n;
    }
}
