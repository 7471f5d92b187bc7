//! The content of one cell of a table.

/// A cell of a table in any format.
pub enum TableCell {
    Number(f64),
    /// An empty cell, or a word for a missing value.
    Missing(Box<str>),
    Other(Box<Other>),
}

/// A cell that is not a number: its text, a description of it, and a hint.
pub struct Other {
    pub text: String,
    pub what: &'static str,
    pub hint: &'static str,
}

/// Words that pandas reads as missing values.
const MISSING: [&str; 19] = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None",
    "n/a", "nan", "null",
];

const DROP: &str = "leave such columns out with --drop, or encode them as numbers";

impl TableCell {
    pub fn truth(value: bool) -> TableCell {
        TableCell::Number(f64::from(u8::from(value)))
    }

    pub fn other(text: impl Into<String>, what: &'static str) -> TableCell {
        TableCell::Other(Box::new(Other { text: text.into(), what, hint: DROP }))
    }

    /// Parses a field of a text file.
    pub fn of_text(field: &str) -> TableCell {
        if MISSING.iter().any(|word| word.eq_ignore_ascii_case(field)) {
            return TableCell::Missing(field.into());
        }
        if let Ok(number) = field.parse() {
            return TableCell::Number(number);
        }
        match field.to_ascii_lowercase().as_str() {
            "true" => return TableCell::truth(true),
            "false" => return TableCell::truth(false),
            _ => {}
        }
        let (what, hint) = describe(field);
        TableCell::Other(Box::new(Other { text: field.into(), what, hint }))
    }
}

fn describe(field: &str) -> (&'static str, &'static str) {
    let is_number = |text: &str| text.parse::<f64>().is_ok();
    let digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    let date = field.splitn(3, ['-', '/']).collect::<Vec<_>>();
    if field.strip_suffix('%').is_some_and(|rest| is_number(rest.trim())) {
        ("a percentage", "write it as a number")
    } else if field.matches(',').count() == 1 && !field.contains('.') && is_number(&field.replace(',', ".")) {
        ("a number with a decimal comma", "write decimal points")
    } else if field.contains(',') && is_number(&field.replace(',', "")) {
        ("a number with commas between thousands", "write it without them")
    } else if date.len() == 3 && digits(date[0]) && digits(date[1]) && date[2].starts_with(|c: char| c.is_ascii_digit()) {
        ("a date", DROP)
    } else {
        ("text", DROP)
    }
}
