//! Networks whose every parameter has a leading replica dimension: K models of one architecture in one graph.
//! A single model is K = 1.
//!
//! All parameters of a pack are one tensor θ of shape [K, P], so that the optimiser step is a handful of operations
//! whatever the architecture; [`Layout`] says which of the P columns are what.

mod architecture;
mod layers;
mod layout;

pub use architecture::{Architecture, Buffers};
pub use layers::Mode;
pub use layout::{Init, Layout, Parameter, Role, Shape};
