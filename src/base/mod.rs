//! Helpers that every other module may use: a package of its own, which imports nothing else of
//! transfergrid.

pub mod catch_panic;
pub mod hex;
pub mod interval;
pub mod numbers;
pub mod stderr;
pub mod stream;
pub mod threads;
pub mod usage;
