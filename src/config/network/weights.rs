//! Files of trained weights, known by their content.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The path of a file of weights, or of a TorchScript module.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct WeightsFile(pub String);

/// What is known of a file of weights before its tensors are used.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct WeightsInfo {
    /// SHA-256, in hex, of the names, sizes and values, whatever the format.
    pub digest: String,
    pub tensors: Vec<TensorInfo>,
    /// A TorchScript module. Its tensors are not listed; the digest is that of its bytes.
    #[serde(default)]
    pub is_module: bool,
}

/// A tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorInfo {
    pub name: String,
    pub size: Vec<i64>,
    /// Whether all its values are finite.
    pub is_finite: bool,
}

/// Reads a file and says what is in it, or what is wrong with it and what to do.
pub type WeightsReader = fn(&WeightsFile) -> Result<WeightsInfo, (String, String)>;

/// The reader of files. This module is below the one that reads them, so the program hands the
/// reader over when it starts.
static READER: OnceLock<WeightsReader> = OnceLock::new();

/// What is known of the files so far, for the whole process. A study has few, so entries are kept.
static KNOWN: Mutex<Option<HashMap<WeightsFile, &'static WeightsInfo>>> = Mutex::new(None);

/// Sets the reader of files. Later calls change nothing.
pub fn read_weights_with(reader: WeightsReader) {
    let _ = READER.set(reader);
}

fn known<T>(use_it: impl FnOnce(&mut HashMap<WeightsFile, &'static WeightsInfo>) -> T) -> T {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    use_it(known.get_or_insert_with(HashMap::new))
}

impl WeightsFile {
    /// Makes known what an earlier run found in the file, so that results can be shown without it.
    /// What this process has read itself is kept. Returns the digest that is known now.
    pub fn remember(&self, info: WeightsInfo) -> String {
        known(|all| all.entry(self.clone()).or_insert_with(|| Box::leak(Box::new(info))).digest.clone())
    }

    /// Reads the file, if this has not been done yet.
    ///
    /// # Errors
    /// What is wrong with it, and a hint.
    pub fn find_out(&self) -> Result<&'static WeightsInfo, (String, String)> {
        if let Some(info) = known(|all| all.get(self).copied()) {
            return Ok(info);
        }
        let read = READER.get().ok_or_else(|| (format!("{} cannot be read here", self.0), "leave it out".to_string()))?;
        let info: &'static WeightsInfo = Box::leak(Box::new(read(self)?));
        Ok(known(|all| *all.entry(self.clone()).or_insert(info)))
    }

    /// What is known of the file. A study's files are read when the study is loaded.
    pub fn info(&self) -> &'static WeightsInfo {
        static UNREAD: OnceLock<WeightsInfo> = OnceLock::new();
        self.find_out().unwrap_or_else(|_| UNREAD.get_or_init(WeightsInfo::default))
    }
}
