//! Shows the rounds of a study in TensorBoard: the run `rounds`, whose step is the round.

use std::io;
use std::path::Path;

use super::events::EventFile;

/// Rewrites the run with these values, as (tag, round, value).
pub fn write_rounds(folder: &Path, values: &[(String, usize, f64)]) -> io::Result<()> {
    let mut file = EventFile::create(&folder.join("rounds"), "rounds")?;
    for (tag, round, value) in values {
        file.scalar(tag, *value, *round)?;
    }
    file.flush()
}
