//! The points of a study: its combinations of axis values, each with its seeds and draws.

use std::collections::HashSet;

use serde_json::Value as Json;
use serde_yaml::Value;

use super::layers::Layer;
use super::settle::{Grid, Settle};
use super::{from_tree, Network, Path, Study, StudyError};

/// One combination of axis values.
#[derive(Debug, Clone)]
pub struct Point {
    /// (key path, value) for every axis of the study.
    pub axes: Vec<(String, Value)>,
    pub network: Network,
    pub seeds: Vec<u64>,
    pub draws: usize,
}

impl Study {
    /// All points of a network study, in the order of its axes; the last axis varies fastest.
    ///
    /// # Errors
    /// A value of a grid is not allowed.
    pub fn points(&self) -> Result<Vec<Point>, StudyError> {
        if self.grids.is_empty() {
            let point = |at: Vec<usize>| {
                let axes = self.axes.iter().zip(&at).map(|(axis, &i)| (axis.path.clone(), axis.values[i].clone())).collect();
                let network = self.cell(&at)?;
                Ok(Point { axes, seeds: self.seeds.clone(), draws: network.target.draws.unwrap_or(1), network })
            };
            return self.combinations().into_iter().map(point).collect();
        }
        let mut points = vec![];
        for at in self.other_combinations() {
            let wanted = self.other_values(&at);
            let grids = self.grids.iter().filter(|grid| grid.at == wanted);
            for (grid, &lambda0, &lambda1) in
                grids.flat_map(|g| g.lambda0.iter().flat_map(move |a| g.lambda1.iter().map(move |b| (g, a, b))))
            {
                let mut tree = self.tree_at(&at);
                let changed = [(self.regularizer.axis.as_str(), lambda0), ("lambda1", lambda1)];
                for (path, value) in changed {
                    Path::parse(path).set(&mut tree, self.axis_value(path, value));
                }
                let network: Network = from_tree(&tree).map_err(|error| self.blame(error, None))?;
                super::check::cell(&network).map_err(|error| self.blame(error, None))?;
                let value = |axis: &super::Axis, i: usize| match changed.iter().find(|(path, _)| *path == axis.path) {
                    Some((path, value)) => self.axis_value(path, *value),
                    None => axis.values[i].clone(),
                };
                let axes = self.axes.iter().zip(&at).map(|(axis, &i)| (axis.path.clone(), value(axis, i))).collect();
                points.push(Point { axes, network, seeds: grid.seeds.clone(), draws: grid.draws });
            }
        }
        Ok(points)
    }

    /// Refuses flags that would have no effect: `grids` has the λ₀, λ₁, seeds and draws.
    pub(super) fn check_overrides_of_grids(&self) -> Result<(), StudyError> {
        let is_flag = |layer: &&Layer| layer.text.is_none();
        let sets = |path: &str| self.layers.0.iter().filter(is_flag).find(|layer| Path::parse(path).get(&layer.tree).is_some());
        if self.grids.is_empty() || sets("grids").is_some() {
            return Ok(());
        }
        match ["seeds", "lambda1", "target.draws", self.regularizer.axis.as_str()].into_iter().find_map(sets) {
            None => Ok(()),
            Some(layer) => {
                Err(StudyError::new(&layer.origin, "", "it has no effect on a study with `grids`, which name λ₀, λ₁, seeds and draws")
                    .hint("add --set 'grids=[]' to run the study's own ones, or change `grids` in the file"))
            }
        }
    }

    /// Checks the grids: one for each combination of the other axes, none of them empty.
    pub(super) fn check_grids(&self) -> Result<(), StudyError> {
        if self.grids.is_empty() {
            return Ok(());
        }
        let wanted: Vec<Vec<Json>> = self.other_combinations().iter().map(|at| self.other_values(at)).collect();
        let fits = wanted.len() == self.grids.len() && wanted.iter().all(|at| self.grids.iter().any(|grid| grid.at == *at));
        if !fits {
            return Err(self
                .error_at("grids", "it has not one grid for each combination of the other axes")
                .hint("`sweep --until settled` writes it: leave it out to run the study as it is written"));
        }
        for (i, grid) in self.grids.iter().enumerate() {
            let distinct = |n: usize, of: usize| n == of && n > 0;
            let seeds: HashSet<u64> = grid.seeds.iter().copied().collect();
            let is_sound = grid.draws > 0
                && distinct(seeds.len(), grid.seeds.len())
                && [&grid.lambda0, &grid.lambda1]
                    .iter()
                    .all(|list| !list.is_empty() && list.iter().all(|l| list.iter().filter(|m| *m == l).count() == 1));
            if !is_sound {
                return Err(self.error_at(&format!("grids[{i}]"), "needs draws ≥ 1, and λ₀, λ₁ and seeds without repetition"));
            }
        }
        Ok(())
    }

    /// The combinations of the axes other than λ₀ and λ₁, with those at their first value.
    pub fn other_combinations(&self) -> Vec<Vec<usize>> {
        let is_lambda = |axis: usize| self.axes[axis].path == self.regularizer.axis || self.axes[axis].path == "lambda1";
        self.combinations().into_iter().filter(|at| at.iter().enumerate().all(|(axis, &i)| i == 0 || !is_lambda(axis))).collect()
    }

    /// The values of the axes other than λ₀ and λ₁.
    pub fn other_values(&self, at: &[usize]) -> Vec<Json> {
        let others = self.axes.iter().zip(at).filter(|(axis, _)| axis.path != self.regularizer.axis && axis.path != "lambda1");
        others.map(|(axis, &i)| serde_json::to_value(&axis.values[i]).unwrap_or(Json::Null)).collect()
    }

    /// Of some axes with their values, those other than λ₀ and λ₁.
    pub fn values_of(&self, axes: &[(String, Value)]) -> Vec<Json> {
        let others = axes.iter().filter(|(path, _)| *path != self.regularizer.axis && path != "lambda1");
        others.map(|(_, value)| serde_json::to_value(value).unwrap_or(Json::Null)).collect()
    }

    /// The values of an axis of numbers; of a setting that is no axis, its only value.
    pub fn numbers(&self, path: &str) -> Vec<f64> {
        match self.axes.iter().find(|axis| axis.path == path) {
            Some(axis) => axis.values.iter().filter_map(Value::as_f64).collect(),
            None => Path::parse(path).get(&self.settings).and_then(Value::as_f64).into_iter().collect(),
        }
    }

    /// Whether every value of an axis is a whole number by its nature (as epochs are).
    pub fn is_whole(&self, path: &str) -> bool {
        !path.starts_with("lambda") && self.axes.iter().any(|axis| axis.path == path && axis.values.iter().all(|v| v.is_u64()))
    }

    /// A number as a value of an axis, as the study writes it if it has it.
    fn axis_value(&self, path: &str, number: f64) -> Value {
        let axis = self.axes.iter().find(|axis| axis.path == path);
        let own = axis.and_then(|axis| axis.values.iter().find(|value| value.as_f64() == Some(number)));
        match own {
            Some(value) => value.clone(),
            None if self.is_whole(path) => Value::from(number as u64),
            None => Value::from(number),
        }
    }

    /// The same study with these grids, one for each combination of its other axes.
    pub fn with_grids(&self, grids: Vec<Grid>) -> Study {
        Study { grids, ..self.clone() }
    }

    /// The same study with these seeds.
    pub fn with_seeds(&self, seeds: Vec<u64>) -> Study {
        Study { seeds, ..self.clone() }
    }

    /// The same study without a limit of time.
    pub fn without_budget(&self) -> Study {
        Study { settle: Settle { budget: None, ..self.settle.clone() }, ..self.clone() }
    }

    /// All seeds of its points.
    pub fn all_seeds(&self) -> Vec<u64> {
        let mut seen = HashSet::new();
        let of_grids = self.grids.iter().flat_map(|grid| &grid.seeds);
        let all: Vec<u64> = if self.grids.is_empty() { self.seeds.clone() } else { of_grids.copied().collect() };
        all.into_iter().filter(|seed| seen.insert(*seed)).collect()
    }
}
