//! Records become numbers: cells, optima, intervals, comparisons and verdicts.
//!
//! Nothing here makes a sentence, a file or a pixel; `render/` does. A study of networks is analysed by
//! [`analyse`], a ridge study by [`ridge::analyse`]. Validation chooses, test reports.
//!
//! A study is laid out as λ₀ × λ₁ × seed for each combination of its other axes (`layout`). Each of
//! these settings gets an answer (`answer`, with `scores`, `stats` and `grid_end`) and a row for each of
//! its cells (`cells`). `shared_lambda0` looks for one λ₀ for several targets, `comparison` puts several
//! studies side by side.

mod answer;
mod cells;
mod comparison;
mod grid_end;
mod guess;
mod layout;
mod limits;
mod metric;
mod results;
pub mod ridge;
mod scores;
mod shared_lambda0;
pub mod stats;
mod status;
mod study;
mod table;

pub use answer::{Answer, Answered, Bound, Learned, OptimaComparison, SmoothedOptima, Unanswered, Verdict, MIN_SEEDS};
pub use cells::{compare_with_scratch, rows, CellRow, ScratchComparison};
pub use comparison::{comparison_table, distinguish_names, SettingSummary, StudyEntry};
pub use grid_end::{has_room_above, Advice, GridEnd, Optimum, OptimumAtEnd, Tie};
pub use guess::Guess;
pub use layout::{CellResults, Setting};
pub use limits::PenaltyLimits;
pub use metric::{Basis, Metric};
pub use results::results;
pub use shared_lambda0::{shared_lambda0, SharedChoice, SharedLambda0};
pub use status::{IncompleteStage, StageCounts, StageState};
pub use study::{analyse, SettingAnalysis, StudyAnalysis, Training};
pub use table::{ColumnType, Field, Table, SCHEMA_VERSION};
