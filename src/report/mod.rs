//! From records to the answer: where the source-optimal and the transfer-optimal λ₀ lie, how far apart, how sure that is, and
//! what using the wrong one costs. Validation chooses, test reports.
//!
//! Records are laid out (`collect`), answered (`answer`, `cells`, `compromise`, with `stats`) and gathered (`section`); that is put into words
//! (`statement`), tables (`results`, `summary`, `latex`, `comparison`), figures (`figure`, `drawing`) and a page (`page`), and written (`write`).

mod answer;
mod cells;
mod collect;
mod comparison;
mod compromise;
mod drawing;
mod edges;
mod figure;
mod latex;
mod link;
mod page;
mod results;
pub mod ridge;
mod scores;
mod section;
mod statement;
mod stats;
mod summary;
mod table;
mod write;

pub use answer::{Answer, Bound, Verdict};
pub use cells::{against_scratch, rows, AgainstScratch, CellRow};
pub use collect::{Cell, Group, Guess, Most};
pub use comparison::{first_sentence, tell_apart, Entry, Setting};
pub use compromise::{compromise, Choice, Compromise};
pub use edges::Edge;
pub use figure::heat_map_rgb;
pub use latex::latex;
pub use link::{link, real};
pub use section::{Report, Section};
pub use statement::statement;
pub use stats::{mean, percentile, Interval};
pub use summary::summary;
pub use write::{write, write_comparison, Place};
