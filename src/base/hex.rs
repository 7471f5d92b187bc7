//! Bytes as hexadecimal text.

use std::fmt::Write;

/// Two hexadecimal digits for each byte.
pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    let bytes = bytes.as_ref();
    let mut text = String::with_capacity(2 * bytes.len());
    bytes.iter().for_each(|byte| _ = write!(text, "{byte:02x}")); // writing to a String cannot fail
    text
}
