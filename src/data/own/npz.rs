//! NumPy archives of images or features.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use half::f16;
use py_literal::Value as PyValue;

use super::{label_by_name, Found, Part, Picture, Values};
use crate::data::DataError;

/// A longer array is refused.
const MOST_BYTES: u64 = 1 << 38;

/// An array as it is stored.
struct Array {
    shape: Vec<usize>,
    values: Numbers,
}

enum Numbers {
    Bytes(Vec<u8>),
    Floats(Vec<f64>),
    Words(Vec<String>),
}

/// The names of the images and the labels: of training, test and validation examples, or of all
/// examples.
const PARTED: [[&str; 2]; 3] = [["x_train", "y_train"], ["x_test", "y_test"], ["x_val", "y_val"]];
const WHOLE: [&str; 2] = ["x", "y"];

pub fn read(path: &Path) -> Result<Found, DataError> {
    let wrong = |what: String, hint: &str| DataError::new(format!("{}: {what}", path.display()), hint);
    let file = File::open(path).map_err(|error| DataError::read(path, &error))?;
    let mut archive =
        zip::ZipArchive::new(file).map_err(|error| wrong(format!("is no .npz archive: {error}"), "save it with numpy.savez"))?;
    let names: Vec<String> = archive.file_names().map(|name| name.trim_end_matches(".npy").to_string()).collect();
    let find = |wanted: &str| names.iter().find(|name| name.eq_ignore_ascii_case(wanted)).cloned();
    let mut notes: Vec<String> = vec![];
    let mut array = |name: &str| -> Result<Array, DataError> {
        let broken =
            |error: String| wrong(format!("`{name}`: {error}"), "save it anew with numpy.savez, as numbers, or words of a fixed length");
        let entry = archive.by_name(&format!("{name}.npy")).map_err(|error| broken(error.to_string()))?;
        let mut bytes = vec![];
        entry.take(MOST_BYTES).read_to_end(&mut bytes).map_err(|error| broken(error.to_string()))?;
        parse(&bytes).map_err(broken)
    };
    let is_there = |name: &str| names.iter().any(|own| own.eq_ignore_ascii_case(name));
    for (one, other) in PARTED.into_iter().flat_map(|[x, y]| [(x, y), (y, x)]) {
        if is_there(one) && !is_there(other) {
            return Err(wrong(
                format!("it has `{one}` but no `{other}`; its arrays are {}", names.join(", ")),
                "each array of examples needs its labels",
            ));
        }
    }
    let both = |pair: [&str; 2]| {
        let [x, y] = pair.map(find);
        x.zip(y).map(|(x, y)| [x, y])
    };
    let [train, test, validation] = PARTED.map(both);
    let (parts, more): (Vec<[String; 2]>, Option<[String; 2]>) = match (train, test, validation, both(WHOLE)) {
        (Some(train), Some(test), validation, _) => (vec![train, test], validation),
        (Some(train), None, Some(validation), _) => {
            notes.push("x_val and y_val are the test part: there is no x_test".to_string());
            (vec![train, validation], None)
        }
        (Some(train), None, None, _) => (vec![train], None),
        (None, None, None, Some(whole)) => (vec![whole], None),
        (None, None, None, None) => {
            let there = names.join(", ");
            return Err(wrong(format!("it has the arrays {there}"), "it needs x_train, y_train, x_test and y_test, or x and y"));
        }
        (None, ..) => {
            return Err(wrong(
                format!("it has a test or validation part and no training part; its arrays are {}", names.join(", ")),
                "name the training part x_train and y_train",
            ));
        }
    };
    if more.is_some() {
        notes.push("x_val joins x_train: validation examples are drawn from the training part".to_string());
    }
    let (mut values, mut labels) = (vec![], vec![]);
    for [x, y] in parts.iter().chain(&more) {
        let (images, of) = (array(x)?, array(y)?);
        let n = images.shape.first().copied().unwrap_or(0);
        let names =
            label_names(&of).map_err(|what| wrong(format!("`{y}`: {what}"), "labels are whole numbers or words, one for each example"))?;
        if names.len() != n {
            return Err(wrong(format!("`{x}` has {n} examples, `{y}` has {} labels", names.len()), "each example needs a label"));
        }
        values.push(
            examples(images)
                .map_err(|what| wrong(format!("`{x}`: {what}"), "images are [N, H, W], [N, H, W, C] or [N, C, H, W], features [N, F]"))?,
        );
        labels.push(names);
    }
    let views: Vec<&[String]> = labels.iter().map(Vec::as_slice).collect();
    let (classes, labels) = label_by_name(&views).map_err(|what| wrong(what, "is the right array the labels?"))?;
    let mut all = labels.into_iter().zip(values).map(|(labels, values)| Part::new(labels, values));
    let mut train = all.next().ok_or_else(|| wrong("it is empty".into(), "save it anew"))?;
    let test = all.next();
    if let Some(more) = all.next() {
        train.join(more).map_err(|what| wrong(format!("x_train and x_val: {what}"), "both need the same kind of examples"))?;
    }
    Ok(Found { classes, train, test, notes })
}

/// An array in the .npy format. Its header is compared with the bytes that are there.
fn parse(bytes: &[u8]) -> Result<Array, String> {
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or("is no NumPy array")?;
    let (length, start) = match rest {
        [1, _, a, b, ..] => (usize::from(u16::from_le_bytes([*a, *b])), 4),
        [2 | 3, _, a, b, c, d, ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, 6),
        _ => return Err("has a header of an unknown version".into()),
    };
    let header = rest.get(start..start + length).ok_or("is truncated in its header")?;
    let data = &rest[start + length..];
    let header: PyValue = std::str::from_utf8(header).ok().and_then(|text| text.trim().parse().ok()).ok_or("has a damaged header")?;
    let PyValue::Dict(entries) = header else { return Err("has a damaged header".into()) };
    let get = |wanted: &str| entries.iter().find_map(|(key, value)| matches!(key, PyValue::String(key) if key == wanted).then_some(value));
    let Some(PyValue::String(kind)) = get("descr") else { return Err("has elements of several fields".into()) };
    if matches!(get("fortran_order"), Some(PyValue::Boolean(true))) {
        return Err("is in Fortran order: save numpy.ascontiguousarray of it".into());
    }
    let Some(PyValue::Tuple(sizes)) = get("shape") else { return Err("has a damaged header".into()) };
    let shape: Vec<usize> =
        sizes.iter().filter_map(|size| if let PyValue::Integer(n) = size { n.to_string().parse().ok() } else { None }).collect();
    let n = shape.iter().try_fold(1usize, |n, size| n.checked_mul(*size)).filter(|_| shape.len() == sizes.len());
    let n = n.ok_or("gives an impossible shape")?;
    let (order, code) = kind.split_at(kind.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(0));
    let (letter, size) = code.split_at(1.min(code.len()));
    if letter == "O" {
        return Err("holds Python objects, which are not read: they would run code".into());
    }
    let size: usize = size.parse().map_err(|_| format!("has elements of the type {kind}"))?;
    let bytes_of_one = if letter == "U" { 4 * size } else { size };
    if n.checked_mul(bytes_of_one) != Some(data.len()) {
        return Err(format!("has {} bytes, its header promises {n} elements of {bytes_of_one}", data.len()));
    }
    let is_big = order == ">";
    let numbers = |of: fn([u8; 8]) -> f64| -> Vec<f64> {
        let one = |element: &[u8]| {
            // Each element as its own bytes, lowest first, and zeros.
            let mut own = [0; 8];
            own[..element.len()].copy_from_slice(element);
            if is_big {
                own[..element.len()].reverse();
            }
            of(own)
        };
        data.chunks_exact(bytes_of_one.max(1)).map(one).collect()
    };
    let values = match (letter, size) {
        ("u", 1) | ("b", 1) => Numbers::Bytes(data.to_vec()),
        ("i", 1) => Numbers::Floats(numbers(|b| f64::from(b[0] as i8))),
        ("u", 2) | ("u", 4) | ("u", 8) => Numbers::Floats(numbers(|b| u64::from_le_bytes(b) as f64)),
        ("i", 2) => Numbers::Floats(numbers(|b| f64::from(i16::from_le_bytes([b[0], b[1]])))),
        ("i", 4) => Numbers::Floats(numbers(|b| f64::from(i32::from_le_bytes([b[0], b[1], b[2], b[3]])))),
        ("i", 8) => Numbers::Floats(numbers(|b| i64::from_le_bytes(b) as f64)),
        ("f", 2) => Numbers::Floats(numbers(|b| f16::from_le_bytes([b[0], b[1]]).to_f64())),
        ("f", 4) => Numbers::Floats(numbers(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]])))),
        ("f", 8) => Numbers::Floats(numbers(f64::from_le_bytes)),
        ("U", _) => {
            let letter = |c: &[u8]| {
                let code = [c[0], c[1], c[2], c[3]];
                char::from_u32(if is_big { u32::from_be_bytes(code) } else { u32::from_le_bytes(code) }).unwrap_or('\u{fffd}')
            };
            let word = |element: &[u8]| element.chunks_exact(4).map(letter).collect::<String>().trim_end_matches('\0').to_string();
            Numbers::Words(data.chunks_exact(bytes_of_one.max(1)).map(word).collect())
        }
        ("S", _) => {
            let word = |element: &[u8]| String::from_utf8_lossy(element).trim_end_matches('\0').to_string();
            Numbers::Words(data.chunks_exact(bytes_of_one.max(1)).map(word).collect())
        }
        _ => return Err(format!("has elements of the type {kind}")),
    };
    Ok(Array { shape, values })
}

fn label_names(array: &Array) -> Result<Vec<String>, String> {
    if !matches!(array.shape.as_slice(), [_] | [_, 1]) {
        return Err(format!("has the shape {:?}, labels have one number for each example", array.shape));
    }
    match &array.values {
        Numbers::Bytes(all) => Ok(all.iter().map(u8::to_string).collect()),
        Numbers::Words(all) => Ok(all.clone()),
        Numbers::Floats(all) => match all.iter().find(|value| value.fract() != 0.0 || value.abs() > 1e15) {
            Some(value) => Err(format!("{value} is no label")),
            None => Ok(all.iter().map(|value| (*value as i64).to_string()).collect()),
        },
    }
}

/// Images [N, H, W], [N, H, W, C] or [N, C, H, W] as bytes or numbers in [0, 1], or features
/// [N, F].
fn examples(Array { shape, values }: Array) -> Result<Values, String> {
    if let [_, width] = shape[..] {
        let values: Vec<f64> = match values {
            Numbers::Bytes(all) => all.into_iter().map(f64::from).collect(),
            Numbers::Floats(all) => all,
            Numbers::Words(_) => return Err("holds words".into()),
        };
        if width == 0 {
            return Err("has no features".into());
        }
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(format!("feature {} of example {} is {}", at % width, at / width, values[at]));
        }
        let values = super::single(&values, width, |column| format!("feature {column}"))?;
        return Ok(Values::Features { width, values });
    }
    let (height, width, channels, is_planes) = match shape[..] {
        [_, height, width] => (height, width, 1, false),
        [_, height, width, channels @ (1 | 3)] => (height, width, channels, false),
        [_, channels @ (1 | 3), height, width] => (height, width, channels, true),
        _ => return Err(format!("has the shape {shape:?}")),
    };
    let bytes = match values {
        Numbers::Bytes(all) => all,
        Numbers::Words(_) => return Err("holds words".into()),
        Numbers::Floats(all) => {
            if let Some(value) = all.iter().find(|value| !(0.0..=255.0).contains(*value)) {
                return Err(format!("holds {value}; images are bytes, or numbers from 0 to 1"));
            }
            let largest = all.iter().copied().fold(0.0, f64::max);
            if largest > 1.0 && all.iter().any(|value| value.fract() != 0.0) {
                return Err("holds numbers above 1 that are not whole; images are bytes, or numbers from 0 to 1".into());
            }
            let unit = if largest > 1.0 { 1.0 } else { 255.0 };
            all.into_iter().map(|value| (unit * value).round() as u8).collect()
        }
    };
    let size = height * width * channels;
    if size == 0 {
        return Err(format!("has the shape {shape:?}: no pixels"));
    }
    let picture = |pixels: &[u8]| {
        let plane = height * width;
        let pixels = match is_planes && channels > 1 {
            true => (0..size).map(|i| pixels[(i % channels) * plane + i / channels]).collect(),
            false => pixels.to_vec(),
        };
        Picture { height, width, channels, pixels: Vec::into(pixels) }
    };
    Ok(Values::Pictures(bytes.chunks_exact(size).map(picture).collect()))
}
