//! Hashes of settings, for keys.

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::base::hex::hex;

/// 80 bits of SHA-256 over the YAML of a value.
pub fn hash(content: &impl Serialize) -> String {
    short(Sha256::new().chain_update(yaml(content)))
}

/// Serialises as YAML, because λ₁ may be infinite and JSON has no infinity.
pub fn yaml(content: &impl Serialize) -> String {
    // Serialising plain structs into memory cannot fail. An empty text would make keys equal, which
    // the tests would detect.
    serde_yaml::to_string(content).unwrap_or_default()
}

/// The first 80 bits, in hex.
pub fn short(hasher: Sha256) -> String {
    hex(&hasher.finalize()[..10])
}
