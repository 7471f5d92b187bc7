//! Monitoring of a running sweep: TensorBoard event files and a progress line.

mod board;
mod events;
mod progress;
mod ridge_board;
mod rounds_board;

pub use board::{Board, CellRun, Summary, RUN_LIMIT};
pub use progress::{ProgressDisplay, Utilisation};
pub use ridge_board::RidgeBoard;
pub use rounds_board::write_rounds;
