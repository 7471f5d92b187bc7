//! Groups a study's records into curves along one axis.

use serde_yaml::Value;

use crate::config::Study;
use crate::plan::Case;
use crate::store::ridge_record::{AtLambda1, Risk};
use crate::store::RidgeRecord;

/// Axis values by key.
pub type Axes = Vec<(String, Value)>;

/// All records of a study, in the order of its cases.
pub struct CaseRecords<'a> {
    pub study: &'a Study,
    pub cases: Vec<(&'a Case, &'a RidgeRecord)>,
}

/// Records that differ in one axis only, in ascending order of it.
pub struct RecordCurve<'a> {
    /// The other axes and their values.
    pub axes: Axes,
    pub items: Vec<(f64, &'a RidgeRecord)>,
}

impl RecordCurve<'_> {
    /// Whether all covariances of all records are the identity.
    pub fn is_isotropic(&self) -> bool {
        self.items.iter().all(|(_, record)| is_isotropic(record))
    }

    /// The curve's axes except `path`.
    pub fn axes_without(&self, path: &str) -> Axes {
        self.axes.iter().filter(|(known, _)| known != path).cloned().collect()
    }
}

impl<'a> CaseRecords<'a> {
    pub fn new(study: &'a Study, cases: &'a [Case], records: &[&'a RidgeRecord]) -> CaseRecords<'a> {
        let of = |case: &Case| records.iter().find(|record| record.key == case.key).copied();
        CaseRecords { study, cases: cases.iter().filter_map(|case| Some((case, of(case)?))).collect() }
    }

    /// Curves along the axis `x`. Axes that are zipped with `x` are redundant and left out.
    pub fn curves(&self, x: &str) -> Vec<RecordCurve<'a>> {
        let mut curves: Vec<RecordCurve<'a>> = vec![];
        for (case, record) in &self.cases {
            let Some(value) = case.number(x) else { continue };
            let axes: Axes = case.axes.iter().filter(|(path, _)| path != x && !self.study.zipped(path, x)).cloned().collect();
            match curves.iter_mut().find(|curve| curve.axes == axes) {
                Some(curve) => curve.items.push((value, record)),
                None => curves.push(RecordCurve { axes, items: vec![(value, record)] }),
            }
        }
        curves.iter_mut().for_each(|curve| curve.items.sort_by(|a, b| a.0.total_cmp(&b.0)));
        curves
    }
}

/// Whether all covariances of a record are the identity.
pub fn is_isotropic(record: &RidgeRecord) -> bool {
    record.settings["source"]["covariance"] == "identity" && has_isotropic_targets(record)
}

/// Whether all target covariances of a record are the identity.
pub fn has_isotropic_targets(record: &RidgeRecord) -> bool {
    let own = record.settings["targets"].as_array().into_iter().flatten().map(|target| &target["covariance"]);
    record.settings["target"]["covariance"] == "identity" && own.into_iter().all(|c| c.is_null() || c == "identity")
}

/// The first target at its first λ₁.
pub fn first_target(record: &RidgeRecord) -> &AtLambda1 {
    &record.targets[0].at[0]
}

/// R_S − R_TL for the first target at the study's smallest λ₀ and λ₁.
pub fn first_gain(record: &RidgeRecord) -> &Risk {
    &first_target(record).gain[0]
}

/// All x at which the piecewise linear curve through the points (x, y) crosses a level, in
/// ascending order.
pub fn crossings(points: &[(f64, f64)], level: f64) -> Vec<f64> {
    let mut out: Vec<f64> = vec![];
    for pair in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        let (a, b) = (y0 - level, y1 - level);
        if a == 0.0 {
            out.push(x0);
        } else if a * b < 0.0 {
            out.push(x0 + (x1 - x0) * a / (a - b));
        }
    }
    out.extend(points.last().filter(|p| p.1 == level).map(|p| p.0));
    out
}
