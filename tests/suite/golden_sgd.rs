//! The optimiser step equals PyTorch's SGD: 50 steps in float64 against golden numbers, which
//! tests/golden/sgd.py computed. `doctor --cuda` runs the same on a GPU.
#![cfg(feature = "torch")]

use tch::Device;
use transfergrid::run::engine::golden_sgd;

#[test]
fn fifty_steps_equal_pytorchs() {
    let golden = include_str!("../../src/run/engine/torch/proof/sgd.json");
    assert!(golden.starts_with("{\"torch\": \"2.11"));
    let (cases, worst) = golden_sgd(Device::Cpu, 1.0).unwrap();
    assert_eq!(cases, 20);
    assert!(worst <= 1e-6, "{worst}");
    assert!(golden_sgd(Device::Cpu, 1.001).unwrap().1 > 1e-6, "another learning rate is noticed");
}
