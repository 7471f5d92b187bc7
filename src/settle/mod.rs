//! `sweep --until settled`: rounds that add what a study still needs, until its question is
//! settled.
//!
//! A round is a study: the same settings with other λ₀, λ₁, seeds and draws
//! ([`crate::config::Grid`]). The first round has the study's own λ₀ and λ₁, at most three of its
//! seeds, and a number of draws chosen by cost ([`first()`]). When all stages of a round have
//! results, [`next()`] decides from them what the next round has, for each combination of the other
//! axes by itself. Both are functions of the study and the records alone: [`replay`] gives the same
//! rounds after every resumption, on every machine and in every shard. Time is used by the budget
//! only.

mod costs;
mod first;
mod history;
mod next;
mod noise;
mod question;
mod rounds;

pub use costs::Costs;
pub use first::first;
pub use history::history;
pub use next::{next, Step};
pub use question::{questions, Question};
pub use rounds::{replay, Outlook, Replay, Round, Rounds};
