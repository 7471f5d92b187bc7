//! Helpers that every other module may use. They import nothing else from the crate.

pub mod catch_panic;
pub mod hex;
pub mod interval;
pub mod numbers;
pub mod stderr;
pub mod stream;
pub mod threads;
pub mod usage;
