//! All tests except fuzzing (tests/fuzz.rs), faults (tests/faults.rs) and a real Slurm
//! (tests/slurm.rs). They are one program, so that it is linked only once.

#[path = "../common/mod.rs"]
mod common;

mod bench;
mod coverage;
mod cuda_start;
mod data_cache;
mod data_groups;
mod data_list;
mod derived;
mod draws;
mod fetch;
mod fused;
mod golden_optimisers;
mod kernels;
mod kubernetes;
mod libtorch_script;
mod messages;
mod models;
mod newsgroups;
mod own_data;
mod plain_words;
mod power;
mod pytorch;
mod real_data;
mod regression;
mod regularisers;
mod report;
mod report_folder;
mod rounds;
mod shards;
mod slurm_script;
mod studies;
mod sweep_mock;
mod sweep_torch;
mod tensorboard;
mod theory_cli;
mod theory_equivalents;
mod theory_estimators;
mod theory_fit;
#[cfg(feature = "torch")]
mod tutorial;
mod walls;
mod wrong_inputs;
