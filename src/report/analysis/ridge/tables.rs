//! The tables of a ridge study. `results` has one row per λ₀, λ₁ and target; `optima` has one row
//! per case, λ₁ and target.

use super::curves::CaseRecords;
use crate::base::interval::Interval;
use crate::report::analysis::table::{axis_field, column_type, ColumnType, Field, Table};
use crate::store::ridge_record::Risk;

/// Names and types of a table's columns.
#[derive(Default)]
struct Columns(Vec<(String, ColumnType)>);

impl Columns {
    /// The axes other than λ₀ and λ₁.
    fn axes(view: &CaseRecords) -> Columns {
        let axes = view.study.axes.iter().filter(|a| a.path != "lambda0" && a.path != "lambda1");
        Columns(axes.map(|a| (a.path.clone(), column_type(&a.values))).collect())
    }

    fn add(&mut self, kind: ColumnType, names: &[&str]) {
        self.0.extend(names.iter().map(|name| (name.to_string(), kind)));
    }

    /// Adds a column `<name><end>` for each end.
    fn numbers(&mut self, name: &str, ends: &[&str]) {
        self.0.extend(ends.iter().map(|end| (format!("{name}{end}"), ColumnType::Number)));
    }
}

fn axis_fields(case: &crate::plan::Case, columns: &[(String, ColumnType)]) -> Vec<Field> {
    case.axes
        .iter()
        .map(|(path, value)| {
            let kind = columns.iter().find(|(name, _)| name == path).map_or(ColumnType::Text, |(_, kind)| *kind);
            axis_field(value, kind)
        })
        .collect()
}

fn three(risk: &Risk) -> [Field; 3] {
    [risk.predicted, risk.simulated, risk.error].map(Field::from)
}

fn interval(i: Option<&Interval>) -> [Field; 3] {
    let pick = |f: fn(&Interval) -> Option<f64>| Field::from(i.and_then(f));
    [pick(|i| Some(i.estimate).filter(|v| v.is_finite())), pick(Interval::low), pick(Interval::high)]
}

/// Predicted and simulated risks. There are no times, hosts or versions, so that the tables of two
/// runs of one study are equal byte for byte.
pub fn results(view: &CaseRecords) -> Table {
    let mut columns = Columns::axes(view);
    columns.0.insert(0, ("kind".into(), ColumnType::Text));
    columns.add(ColumnType::Text, &["target"]);
    columns.add(ColumnType::Number, &["lambda0", "lambda1"]);
    columns.add(ColumnType::Text, &["case"]);
    columns.add(ColumnType::Number, &["tau0", "tau1"]);
    for name in ["source_risk", "transfer_risk", "scratch_risk", "gain"] {
        columns.numbers(name, &["_predicted", "_simulated", "_error"]);
    }
    let mut table = Table::new(columns.0.clone());
    for (case, record) in &view.cases {
        for target in &record.targets {
            for (l, j) in cells(case, target.at.len()) {
                let at = &target.at[j];
                let mut row: Vec<Field> = vec!["ridge".into()];
                row.extend(axis_fields(case, &columns.0));
                row.push(target.name.clone().into());
                row.extend([Field::from(record.lambda0[l]), at.lambda1.into(), record.key.clone().into()]);
                row.extend([record.tau0[l], at.tau1].map(Field::from));
                for risk in [&record.source[l], &at.transfer[l], &at.scratch, &at.gain[l]] {
                    row.extend(three(risk));
                }
                table.push(row);
            }
        }
    }
    table
}

/// The cells that the study contains. A target with its own λ₁ has a single λ₁.
fn cells(case: &crate::plan::Case, lambda1: usize) -> Vec<(usize, usize)> {
    if lambda1 == case.lambda1.len() {
        return case.cells.clone();
    }
    let mut rows: Vec<(usize, usize)> = case.cells.iter().map(|c| (c.0, 0)).collect();
    rows.dedup();
    rows
}

/// Optimal penalties, predicted and simulated, and the cost of the wrong one.
pub fn optima(view: &CaseRecords) -> Table {
    let mut columns = Columns::axes(view);
    columns.add(ColumnType::Text, &["target"]);
    columns.add(ColumnType::Number, &["lambda1"]);
    for name in ["lambda_source", "lambda_transfer"] {
        columns.numbers(name, &["_predicted"]);
        columns.0.push((format!("{name}_edge"), ColumnType::Text));
        columns.numbers(name, &["_simulated", "_low", "_high"]);
    }
    for name in ["ratio", "cost"] {
        columns.numbers(name, &["_predicted", "_simulated", "_low", "_high"]);
    }
    columns.add(ColumnType::Number, &["crossing_rho", "gain_at_lambda_source", "gain_at_lambda_transfer"]);
    columns.add(ColumnType::Text, &["other_minima"]);
    let mut table = Table::new(columns.0.clone());
    for (case, record) in &view.cases {
        for target in &record.targets {
            for at in &target.at {
                let mut row = axis_fields(case, &columns.0);
                row.extend([target.name.clone().into(), Field::from(at.lambda1)]);
                for o in [&record.source_optimum, &at.optimum] {
                    row.extend([Field::from(o.predicted), o.edge.clone().into()]);
                    row.extend(interval(o.simulated.as_ref()));
                }
                for (predicted, simulated) in [(at.ratio, &at.simulated_ratio), (at.cost, &at.simulated_cost)] {
                    row.push(predicted.into());
                    row.extend(interval(simulated.as_ref()));
                }
                row.extend([at.crossing.into(), Field::from(at.gain_at_source_optimal), at.gain_at_transfer_optimal.into()]);
                let others: Vec<String> = at.optimum.others.iter().map(|l| format!("{l}")).collect();
                row.push((!others.is_empty()).then(|| others.join(" ")).into());
                table.push(row);
            }
        }
    }
    table
}
