//! The table of results: one row per stage that has a record.

use serde_json::Value as Json;

use super::table::{axis_field, column_type, ColumnType, Field, Table};
use crate::config::Study;
use crate::plan::{Plan, StageKind};
use crate::store::{FullRecord, Records};

const METRICS: [&str; 8] = ["train_loss", "val_loss", "val_acc", "test_loss", "test_acc", "weight_norm", "distance", "epochs"];

/// The columns are kind, the axes by their key, seed, stage key, status, metrics and error. Rows
/// are in plan order, sources first. There are no times, hosts or versions, so that the tables of
/// two runs of one study are equal byte for byte. `others` are added after the plan's stages,
/// sorted by kind and key.
pub fn results(study: &Study, plan: &Plan, records: &Records, others: &[FullRecord]) -> Table {
    let mut axes: Vec<(&str, ColumnType)> = vec![("lambda0", ColumnType::Number), ("lambda1", ColumnType::Number)];
    let of_study = study.axes.iter().filter(|axis| !axis.path.starts_with("lambda"));
    axes.extend(of_study.map(|axis| (axis.path.as_str(), column_type(&axis.values))));
    let mut columns: Vec<(&str, ColumnType)> = vec![("kind", ColumnType::Text)];
    columns.extend(&axes);
    columns.extend([("seed", ColumnType::Whole), ("draw", ColumnType::Whole), ("stage", ColumnType::Text), ("status", ColumnType::Text)]);
    let is_regression = plan.is_regression();
    let mut metrics: Vec<&str> = METRICS
        .iter()
        .map(|name| match *name {
            "val_acc" if is_regression => "val_r2",
            "test_acc" if is_regression => "test_r2",
            name => name,
        })
        .collect();
    if study.alignment {
        metrics.extend(["rho", "cosine"]);
    }
    columns.extend(metrics.iter().map(|name| (*name, ColumnType::Number)));
    columns.push(("error", ColumnType::Text));
    let mut table = Table::new(columns.into_iter().map(|(name, kind)| (name.to_string(), kind)).collect());
    for kind in StageKind::ALL {
        for stage in plan.stages.iter().filter(|stage| stage.kind == kind) {
            let Some(record) = records.by_key.get(&stage.key) else { continue };
            let mut row: Vec<Field> = vec![kind.as_str().into()];
            for &(path, column) in &axes {
                row.push(match (path, kind) {
                    ("lambda0", StageKind::Source | StageKind::Target) => stage.settings.lambda0.into(),
                    ("lambda1", StageKind::Target | StageKind::Scratch) => stage.lambda.into(),
                    _ => {
                        let own = stage.axes.iter().find(|(axis, _)| axis == path && !path.starts_with("lambda"));
                        own.map(|(_, value)| axis_field(value, column)).into()
                    }
                });
            }
            row.extend([Field::Whole(stage.seed), draw(kind, stage.draw), stage.key.clone().into(), record.status.as_str().into()]);
            row.extend(metrics.iter().map(|name| Field::from(record.metrics.get(*name).copied())));
            row.push(record.error.clone().into());
            table.push(row);
        }
    }
    for record in others {
        let mut row: Vec<Field> = vec![record.kind.as_str().into()];
        row.extend(axes.iter().map(|&(path, column)| of_record(record, path, column)));
        row.extend([Field::Whole(record.seed), draw(record.kind, record.draw), record.key.clone().into(), record.status.as_str().into()]);
        row.extend(metrics.iter().map(|name| Field::from(record.metrics.get(*name).copied())));
        row.push(record.error.clone().into());
        table.push(row);
    }
    table
}

/// Only the target's images are drawn more than once.
fn draw(kind: StageKind, draw: usize) -> Field {
    match kind {
        StageKind::Target | StageKind::Scratch => Field::Whole(draw as u64),
        StageKind::Source | StageKind::Alignment => Field::None,
    }
}

/// The value of an axis for a stage that is no longer in the study.
fn of_record(record: &FullRecord, path: &str, column: ColumnType) -> Field {
    let setting = || path.split('.').try_fold(&record.settings, |node, key| node.get(key));
    let json = match (path, record.kind) {
        ("lambda0", StageKind::Source | StageKind::Target) | ("lambda1", StageKind::Target) => setting(),
        ("lambda0" | "lambda1", _) => record.axes.get(path),
        // The axes in its own record come first: they hold the values that its stage was run with.
        _ => record.axes.get(path).or_else(setting),
    };
    match json {
        None => Field::None,
        Some(Json::String(text)) if text == "inf" => f64::INFINITY.into(),
        Some(json) => serde_yaml::to_value(json).map_or(Field::None, |value| axis_field(&value, column)),
    }
}
