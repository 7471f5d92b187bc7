//! Parquet files with a column of images and one of labels, as Hugging Face writes them.

use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use serde_json::Value as Json;

use super::images::picture_of_bytes;
use super::{broken, label_by_name, Found, Part, Picture, Values};
use crate::base::threads;
use crate::data::DataError;

/// A part's images and the names of their labels.
#[derive(Default)]
struct Rows {
    pictures: Vec<Picture>,
    labels: Vec<String>,
    groups: Vec<String>,
}

pub fn read(path: &Path, label: Option<&str>, group: Option<&str>) -> Result<Found, DataError> {
    let mut files = vec![];
    match path.is_dir() {
        true => below(path, 0, &mut files)?,
        false => files.push(path.to_path_buf()),
    }
    files.sort();
    if files.is_empty() {
        return Err(DataError::new(format!("{}: no .parquet files in it", path.display()), "name the file, or the folder that has them"));
    }
    let is = |file: &Path, starts: &[&str]| {
        let name = file.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let folder = file.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().to_lowercase();
        starts.iter().any(|start| name.starts_with(start) || folder == *start)
    };
    let has_test = files.iter().any(|file| is(file, &["test"]));
    let (mut train, mut test, mut notes) = (Rows::default(), Rows::default(), vec![]);
    for file in &files {
        // Without a test part, the validation part serves as one.
        let is_test = if has_test { is(file, &["test"]) } else { is(file, &["valid", "val", "dev"]) };
        read_file(file, label, group, if is_test { &mut test } else { &mut train })?;
    }
    if !has_test && !test.labels.is_empty() {
        notes.push("the validation part is the test part: there is no `test`".to_string());
    }
    let (classes, labels) = label_by_name(&[&train.labels, &test.labels]).map_err(|what| DataError::file(path, what))?;
    let [of_train, of_test] = <[Vec<u16>; 2]>::try_from(labels).unwrap_or_default();
    let part = |labels, rows: Rows| Part { groups: rows.groups, ..Part::new(labels, Values::Pictures(rows.pictures)) };
    let test = (!of_test.is_empty()).then(|| part(of_test, test));
    Ok(Found { classes, train: part(of_train, train), test, notes })
}

fn below(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), DataError> {
    for entry in std::fs::read_dir(folder).map_err(|error| DataError::read(folder, &error))? {
        let path = entry.map_err(|error| DataError::read(folder, &error))?.path();
        if path.is_dir() && !path.is_symlink() && depth < 4 {
            below(&path, depth + 1, files)?;
        } else if path.extension().is_some_and(|e| e == "parquet") {
            files.push(path);
        }
    }
    Ok(())
}

fn read_file(path: &Path, label: Option<&str>, group: Option<&str>, rows: &mut Rows) -> Result<(), DataError> {
    let wrong = |what: String| {
        DataError::new(
            format!("{}: {what}", path.display()),
            "images are a column of bytes, or of {bytes, path} as Hugging Face writes them; features are `{table: FILE, label: COLUMN}`",
        )
    };
    let broken_file = |error: parquet::errors::ParquetError| wrong(error.to_string());
    let file = File::open(path).map_err(|error| DataError::read(path, &error))?;
    let reader = SerializedFileReader::new(file).map_err(broken_file)?;
    let about = reader.metadata().file_metadata();
    let columns: Vec<String> = about.schema().get_fields().iter().map(|field| field.name().to_string()).collect();
    let wanted = label.map_or(vec!["label", "labels", "fine_label", "y"], |label| vec![label]);
    let at = wanted.iter().find_map(|name| columns.iter().position(|column| column == name));
    let Some(at) = at else {
        return Err(wrong(format!("no column `{}`; it has {}", wanted.join("` or `"), columns.join(", "))));
    };
    let of_group = match group {
        None => None,
        Some(name) => match columns.iter().position(|column| column == name) {
            None => return Err(wrong(format!("no column `{name}` with the groups; it has {}", columns.join(", ")))),
            at => at,
        },
    };
    let huggingface = about.key_value_metadata().into_iter().flatten().find(|entry| entry.key == "huggingface");
    let names = huggingface.and_then(|entry| entry.value.as_deref()).map(|text| class_names(text, &columns[at])).unwrap_or_default();
    let (mut images, first) = (vec![], rows.pictures.len());
    for row in reader.get_row_iter(None).map_err(broken_file)? {
        let row = row.map_err(broken_file)?;
        let place = || format!("row {}", images.len() + 1);
        let Some(bytes) = row.get_column_iter().find_map(|(_, field)| image_bytes(field)) else {
            return Err(wrong(format!("{} has no image", place())));
        };
        let name = row.get_column_iter().nth(at).and_then(|(_, field)| label_name(field, &names));
        rows.labels.push(name.ok_or_else(|| wrong(format!("{} has no label", place())))?);
        if let Some(at) = of_group {
            let group = row.get_column_iter().nth(at).and_then(|(_, field)| label_name(field, &[]));
            rows.groups.push(group.ok_or_else(|| wrong(format!("{} has no group", place())))?);
        }
        images.push(bytes);
    }
    let read = threads::map(images.len(), |i| picture_of_bytes(&images[i]));
    let failed: Vec<(PathBuf, String)> = read
        .iter()
        .enumerate()
        .filter_map(|(i, one)| Some((PathBuf::from(format!("row {}", i + 1)), one.as_ref().err()?.clone())))
        .collect();
    if !failed.is_empty() {
        return Err(broken(path, &failed));
    }
    rows.pictures.extend(read.into_iter().flatten());
    debug_assert_eq!(rows.pictures.len() - first, images.len());
    Ok(())
}

fn image_bytes(field: &Field) -> Option<Vec<u8>> {
    match field {
        Field::Bytes(bytes) => Some(bytes.data().to_vec()),
        Field::Group(row) => {
            let own = |row: &Row| row.get_column_iter().find_map(|(name, field)| if name == "bytes" { image_bytes(field) } else { None });
            own(row)
        }
        _ => None,
    }
}

fn label_name(field: &Field, names: &[String]) -> Option<String> {
    let number = match field {
        Field::Str(text) => return Some(text.clone()),
        Field::Bool(v) => i64::from(*v),
        Field::Byte(v) => i64::from(*v),
        Field::Short(v) => i64::from(*v),
        Field::Int(v) => i64::from(*v),
        Field::Long(v) => *v,
        Field::UByte(v) => i64::from(*v),
        Field::UShort(v) => i64::from(*v),
        Field::UInt(v) => i64::from(*v),
        _ => return None,
    };
    Some(usize::try_from(number).ok().and_then(|at| names.get(at).cloned()).unwrap_or(number.to_string()))
}

/// The names of a ClassLabel column, from the metadata that `datasets` writes.
fn class_names(metadata: &str, column: &str) -> Vec<String> {
    let json: Json = serde_json::from_str(metadata).unwrap_or(Json::Null);
    let names = &json["info"]["features"][column]["names"];
    names.as_array().into_iter().flatten().filter_map(|name| Some(name.as_str()?.to_string())).collect()
}
