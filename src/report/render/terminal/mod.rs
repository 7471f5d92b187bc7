//! The answer as text for a terminal.

mod glance;
mod screen;
mod statement;

pub use glance::{glance, Commands};
pub use screen::{Screen, Text};
pub use statement::{incomplete, left_out, statement};
