//! Computes numbers from records: cells, optima, intervals, comparisons and verdicts.
//!
//! This module produces no sentences, files or pixels; `render/` does. A study of networks is
//! analysed by [`analyse`], a ridge study by [`ridge::analyse`]. Choices are made on validation
//! images; results are reported on test images.
//!
//! A study is arranged as λ₀ × λ₁ × seed for each combination of its other axes (`layout`). Each
//! such setting gets an answer (`answer`) and one row per cell (`cells`). `optima` computes the
//! answer; `compare_optima` compares the optima of source and target, located as maxima of smooth
//! curves (`curve_optima`, `profile`, `spline`) or as the best of few λ₀ (`grid_points`).
//! `shared_lambda0` finds one λ₀ for several targets. `comparison` shows several studies side by
//! side.

mod answer;
mod at_ends;
mod cells;
mod compare_optima;
mod comparison;
mod curve_optima;
mod drawn_optima;
mod eligible;
mod grid_end;
mod grid_points;
mod guess;
mod history;
mod layout;
mod limits;
mod metric;
mod next_step;
mod optima;
mod predictions;
mod profile;
mod results;
pub mod ridge;
mod scores;
mod setting;
mod shared_lambda0;
mod spline;
pub mod stats;
mod status;
mod study;
mod table;

pub use answer::{Answer, Answered, Bound, Learned, Method, OptimaComparison, Rules, Unanswered, Verdict, MIN_SEEDS, VANISHED};
pub use cells::{compare_with_scratch, rows, CellRow, ScratchComparison};
pub use comparison::{comparison_table, distinguish_names, SettingSummary, StudyEntry};
pub use grid_end::{has_room_above, Advice, GridEnd, OptimumAtEnd, OptimumKind, Tie};
pub use guess::Guess;
pub use history::{History, Known, RoundRow};
pub use layout::{cells_at, CellResults, Setting};
pub use limits::PenaltyLimits;
pub use metric::{Basis, Metric};
pub use next_step::NextStep;
pub use predictions::{named_stages, Calibration, NamedModel, PairedTest, Predicted, PredictionAnalysis};
pub use results::results;
pub use setting::SettingAnalysis;
pub use shared_lambda0::{shared_lambda0, SharedChoice, SharedLambda0};
pub use status::{IncompleteStage, StageCounts, StageState};
pub use study::{analyse, StudyAnalysis, Training};
pub use table::{ColumnType, Field, Table, SCHEMA_VERSION};
