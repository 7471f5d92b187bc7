//! What one can watch while a sweep runs: TensorBoard's event files and a progress line.

mod board;
mod events;
mod progress;

pub use board::{Board, Summary, RUN_LIMIT};
pub use progress::{complain, Progress};
