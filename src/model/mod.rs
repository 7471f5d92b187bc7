//! Networks in which every parameter has a leading replica dimension: K models of one architecture
//! in one graph. A single model is K = 1.
//!
//! All parameters of a pack are one tensor θ of shape [K, P]. So the optimiser step is a handful of
//! operations for any architecture. [`Layout`] says which of the P columns belong to which
//! parameter.

mod architecture;
mod fused;
pub mod kernels;
mod layers;
mod layout;
mod native;
mod script;

pub use crate::plan::Role;
pub use architecture::{Architecture, Buffers, Masks};
pub use fused::{cross_entropy, linear, pool_bias_relu, response_error, squared_error};
pub use layers::{convolution, Mode, Strategy};
pub use layout::{Init, Layout, Parameter, ParameterKind};
pub use native::{
    allow_tf32, forget_transfers, no_grad, profile, read_back, release_memory, scope, times_transferred, upload, Plain, Profiled,
};
pub(crate) use native::{slice, slice_mut};
