//! Kept predictions: one Parquet file for each stage, with the columns index, label, predicted and
//! `logit_CLASS`.

use std::fs::File;
use std::path::Path;

use anyhow::{bail, Context, Result};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

const LOGIT: &str = "logit_";

/// The predictions of one stage.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct KeptPredictions {
    pub classes: Vec<String>,
    /// The right class of each example, by position; none for other classes.
    pub labels: Vec<Option<usize>>,
    pub logits: Vec<Vec<f64>>,
}

impl KeptPredictions {
    /// Reads a file. None if it does not exist.
    ///
    /// # Errors
    /// It cannot be read, or was not written by `predict`.
    pub fn read(path: &Path) -> Result<Option<KeptPredictions>> {
        let file = match File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.with_context(|| format!("cannot read {}", path.display()))?,
        };
        KeptPredictions::parse(file).map(Some).with_context(|| format!("{} is no file of predictions", path.display()))
    }

    fn parse(file: File) -> Result<KeptPredictions> {
        let reader = SerializedFileReader::new(file)?;
        let columns = reader.metadata().file_metadata().schema_descr();
        let names = columns.columns().iter().filter_map(|column| Some(column.name().strip_prefix(LOGIT)?.to_string()));
        let mut kept = KeptPredictions { classes: names.collect(), ..KeptPredictions::default() };
        for row in reader.get_row_iter(None)? {
            let (mut label, mut logits) = (None, vec![]);
            for (name, field) in row?.get_column_iter() {
                match field {
                    Field::Str(text) if name == "label" => label = kept.classes.iter().position(|class| class == text),
                    Field::Double(logit) if name.starts_with(LOGIT) => logits.push(*logit),
                    _ => {}
                }
            }
            if logits.len() != kept.classes.len() || logits.len() < 2 {
                bail!("a row has {} logits of {} classes", logits.len(), kept.classes.len());
            }
            kept.labels.push(label);
            kept.logits.push(logits);
        }
        Ok(kept)
    }
}
