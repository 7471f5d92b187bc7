//! How strongly should a source model be regularised when the goal is the target task?
//!
//! The modules in the order of the walk; imports go down this list only (a test keeps it so, see ARCHITECTURE.md):
//!
//! | module | does |
//! |---|---|
//! | [`theory`] | ridge regression: exact risks, optimal penalties, simulation, fits; imports nothing else of the crate but [`base`] |
//! | [`config`] | a YAML study as typed, checked settings |
//! | [`plan`] | axes → cells → stages with content keys → packs |
//! | [`data`] | data sets as arrays in memory, class splits, download and verification |
//! | [`store`] | the study's folder: records, checkpoints, lock; the only module that writes records |
//! | [`track`] | events → TensorBoard and progress |
//! | `model` | replica-batched layers and architectures (feature `torch`) |
//! | `train` | batches, the optimiser step with its penalty, one epoch loop (feature `torch`) |
//! | [`run`] | walks the plan: skip what is done, execute, record |
//! | [`report`] | records → statistics → tables, figures and the answer |
//! | [`launch`] | what Slurm and Kubernetes are told |
//! | [`cli`] | one file per subcommand |
//!
//! [`base`] stands below all of them: random streams, number formatting, threads, caught panics, usage errors, stderr.

pub mod base;
pub mod cli;
pub mod config;
pub mod data;
pub mod launch;
#[cfg(feature = "torch")]
pub mod model;
pub mod plan;
pub mod report;
pub mod run;
pub mod store;
pub mod theory;
pub mod track;
#[cfg(feature = "torch")]
pub mod train;
