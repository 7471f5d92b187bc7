//! The optimiser step equals those of PyTorch's SGD, Adam and AdamW: 50 steps in float64 against
//! golden numbers, which tests/golden/optimisers.py computed. `doctor --cuda` runs the same on a
//! GPU.
#![cfg(feature = "torch")]

use tch::Device;
use transfergrid::run::engine::golden_optimisers;

#[test]
fn fifty_steps_equal_pytorchs() {
    let golden = include_str!("../../src/run/engine/torch/proof/optimisers.json");
    assert!(golden.starts_with("{\"torch\": \"2.11"));
    let (cases, worst) = golden_optimisers(Device::Cpu, 1.0).unwrap();
    assert_eq!(cases, 56);
    assert!(worst <= 1e-6, "{worst}");
    assert!(golden_optimisers(Device::Cpu, 1.001).unwrap().1 > 1e-6, "another learning rate is noticed");
}
