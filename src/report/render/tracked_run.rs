//! A run as trackers know it: what MLflow and Weights & Biases are given.

/// One run: of a cell and draw, or of training from scratch.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackedRun {
    /// The stage's key, from which a tracker's number of the run is made.
    pub key: String,
    /// What is trained: `target`, `scratch`.
    pub kind: String,
    pub name: String,
    /// Settings of the axes: what runs that differ in seed and draw have in common.
    pub group: String,
    pub params: Vec<(String, String)>,
    pub tags: Vec<(String, String)>,
    /// Name, and (step, value) for each step.
    pub metrics: Vec<(String, Vec<(usize, f64)>)>,
    /// Seconds since 1970.
    pub start: f64,
    pub end: f64,
    pub diverged: bool,
}
