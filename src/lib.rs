//! How strongly should a source model be regularised when the goal is the target task?
//!
//! The modules are listed in the order in which a study passes through them. A module imports only
//! from the modules above it in this list; a test enforces this, see ARCHITECTURE.md.
//!
//! | module | does |
//! |---|---|
//! | [`theory`] | ridge: exact risks, optimal penalties, simulation, fits; imports [`base`] only |
//! | [`config`] | a YAML study as typed, checked settings |
//! | [`plan`] | axes → cells → stages with content keys → packs |
//! | [`data`] | data sets as arrays in memory, class splits, download and verification |
//! | [`store`] | the study's folder: records, checkpoints, lock; only this writes records |
//! | [`track`] | events → TensorBoard and progress |
//! | `model` | replica-batched layers and architectures (feature `torch`) |
//! | `train` | batches, the optimiser step with its penalty, one epoch loop (feature `torch`) |
//! | [`run`] | executes the plan: skips finished stages, runs the others, records results |
//! | [`report`] | records → statistics → tables, figures and the answer |
//! | [`settle`] | which stages the next round of `sweep --until settled` adds |
//! | [`launch`] | scripts and manifests for Slurm and Kubernetes |
//! | [`cli`] | one file per subcommand |
//!
//! `base` and `theory` are packages of their own in the folders of these names, so that they are
//! compiled beside the rest.
//!
//! All of them may use [`base`]: random streams, number formatting, threads, caught panics, usage
//! errors, stderr.

pub use transfergrid_base as base;
pub use transfergrid_theory as theory;

pub mod cli;
pub mod config;
pub mod data;
pub mod launch;
#[cfg(feature = "torch")]
pub mod model;
pub mod plan;
pub mod report;
pub mod run;
pub mod settle;
pub mod store;
pub mod track;
#[cfg(feature = "torch")]
pub mod train;
