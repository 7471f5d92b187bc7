//! Text files with fields separated by commas, semicolons or tabs.

use std::io::Read;
use std::path::Path;

use super::cell::TableCell;
use super::{unreadable, wrong, DataError, Raw};

/// Reads all fields, also of a file that is packed with gzip or zstd. Without a header, columns are
/// numbered from 0. With `decimal_comma`, `1,5` is a number and commas separate nothing. The cells
/// of the columns `words` are kept as they are written.
pub fn read(path: &Path, header: bool, decimal_comma: bool, words: &[&str]) -> Result<Raw, DataError> {
    let bytes = unpacked(path, std::fs::read(path).map_err(|error| unreadable(path, error))?)?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes); // the byte order mark that some editors write
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(wrong(path, "is in UTF-16", "save it as UTF-8"));
    }
    if bytes.starts_with(b"PAR1") {
        return Err(wrong(path, "is a Parquet file", "call it .parquet"));
    }
    let first = bytes.split(|&b| b == b'\n').next().unwrap_or_default();
    let count = |delimiter: u8| first.iter().filter(|&&b| b == delimiter).count();
    let candidates: &[u8] = if decimal_comma { b";\t" } else { b",;\t" };
    let delimiter = candidates.iter().copied().max_by_key(|&d| (count(d), d == b',' || d == b';')).unwrap_or(b',');
    if let Some(line) = blank_line(bytes) {
        return Err(wrong(path, format!("line {line} is empty"), "remove it; a missing value is written NA"));
    }
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).has_headers(header).trim(csv::Trim::All).from_reader(bytes);
    let mut columns: Vec<String> = match header {
        true => reader.headers().map_err(|error| told(path, &error, bytes))?.iter().map(str::to_string).collect(),
        false => vec![],
    };
    if header && columns.len() == 1 && columns[0].contains([' ', '|']) {
        let what = "its first line has no comma, semicolon or tab between columns";
        return Err(wrong(path, what, "separate the columns by one of these"));
    }
    if header && decimal_comma && columns.len() == 1 && columns[0].contains(',') {
        let what = "its first line has no semicolon or tab, which separate the columns where numbers have decimal commas";
        return Err(wrong(path, what, "leave out the decimal comma if commas separate the columns"));
    }
    // pandas names the columns of a data frame without names 0, 1, 2, …
    let numbered = columns.iter().enumerate().all(|(i, name)| name.parse() == Ok(i));
    if header && !columns.is_empty() && !numbered && columns.iter().all(|name| name.parse::<f64>().is_ok_and(f64::is_finite)) {
        return Err(wrong(path, "the first line has numbers where the columns' names should be", "put a header line first"));
    }
    let of_words: Vec<bool> = columns.iter().map(|name| words.contains(&name.as_str())).collect();
    let (mut rows, mut lines) = (vec![], vec![]);
    for record in reader.records() {
        let record = record.map_err(|error| told(path, &error, bytes))?;
        lines.push(record.position().map_or(0, |position| position.line()));
        let cell = |field: &str| match decimal_comma && is_number_with_comma(field) {
            true => TableCell::of_text(&field.replace(',', ".")),
            false => TableCell::of_text(field),
        };
        let written = |field: &str| if field.is_empty() { TableCell::Missing("".into()) } else { TableCell::other(field, "text") };
        let of = |(at, field): (usize, &str)| if of_words.get(at) == Some(&true) { written(field) } else { cell(field) };
        rows.push(record.iter().enumerate().map(of).collect::<Vec<_>>());
    }
    if !header {
        columns = (0..rows.first().map_or(0, Vec::len)).map(|i| i.to_string()).collect();
    }
    // An index that pandas wrote, with one or several levels.
    let unnamed = |name: &&String| name.is_empty() || name.strip_prefix("Unnamed: ").is_some_and(|n| n.parse::<usize>().is_ok());
    let index = if header { (0..columns.iter().take_while(unnamed).count()).collect() } else { vec![] };
    Ok(Raw { columns, rows, lines: Some(lines), index })
}

/// Whether a field is a number with one decimal comma and no point.
fn is_number_with_comma(field: &str) -> bool {
    field.matches(',').count() == 1 && !field.contains('.') && field.replace(',', ".").parse::<f64>().is_ok()
}

/// A text may unpack to this many bytes for each of its own, and to a few more.
const MOST_EXPANSION: u64 = 2_000;

/// The content of a file that may be packed, as its first bytes say.
fn unpacked(path: &Path, bytes: Vec<u8>) -> Result<Vec<u8>, DataError> {
    let most = MOST_EXPANSION * bytes.len() as u64 + (1 << 20);
    let mut out = vec![];
    let read = if bytes.starts_with(b"\x1f\x8b") {
        flate2::read::MultiGzDecoder::new(bytes.as_slice()).take(most).read_to_end(&mut out)
    } else if bytes.starts_with(b"\x28\xb5\x2f\xfd") {
        zstd::stream::read::Decoder::new(bytes.as_slice()).and_then(|decoder| decoder.take(most).read_to_end(&mut out))
    } else {
        return Ok(bytes);
    };
    match read {
        Ok(n) if n as u64 == most => Err(wrong(path, format!("unpacks to more than {most} bytes"), "unpack it first, if that is right")),
        Ok(_) => Ok(out),
        Err(error) => Err(wrong(path, format!("cannot be unpacked: {error}"), "is the file complete?")),
    }
}

/// The number of the first empty line that is followed by a line with content. The csv crate would
/// skip it silently.
fn blank_line(bytes: &[u8]) -> Option<usize> {
    let blank = |line: &[u8]| line.iter().all(u8::is_ascii_whitespace);
    let quoted = bytes.contains(&b'"'); // a quoted field may contain empty lines
    let lines: Vec<&[u8]> = bytes.split(|&b| b == b'\n').collect();
    let last = lines.iter().rposition(|line| !blank(line))?;
    lines[..last].iter().position(|line| blank(line)).filter(|_| !quoted).map(|at| at + 1)
}

fn told(path: &Path, error: &csv::Error, bytes: &[u8]) -> DataError {
    let line = |position: &Option<csv::Position>| position.as_ref().map_or(0, csv::Position::line);
    match error.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let what = format!("line {} has {len} fields, the first line has {expected_len}", line(pos));
            wrong(path, what, "every line needs as many fields as the first")
        }
        csv::ErrorKind::Utf8 { pos, .. } => {
            // For errors in the header, the crate gives no position.
            let at = bytes.split(|&b| b == b'\n').position(|line| std::str::from_utf8(line).is_err()).map_or(line(pos), |at| at as u64 + 1);
            wrong(path, format!("line {at} is not UTF-8"), "save the file as UTF-8")
        }
        _ => wrong(path, error, "is it a text file with columns separated by commas, semicolons or tabs?"),
    }
}
