//! The user's own data: what the readers find is split, described and made into examples.

mod contact_sheet;
mod documents;
mod fit;
mod folders;
mod idx_folder;
mod images;
mod npz;
mod parquet_images;
mod table_rows;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ndarray::Array2;
use sha2::{Digest, Sha256};

use super::words::count;
use super::{Content, DataError, Examples};
use crate::base::hex::hex;
use crate::config::network::{ClassInfo, DataName, DataPlace, DatasetInfo};

pub use contact_sheet::contact_sheet;
pub use fit::fit;

/// Without a test part, an example is held out for testing if its content says so: one in this
/// many.
const HELD_OUT: u8 = 5;

/// The most classes of a set, and the most examples of a part.
const MOST_CLASSES: usize = 10_000;

/// An image as it was read: height, width, and 1 or 3 channels, which are the last dimension.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub pixels: Vec<u8>,
}

/// Examples of one kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    Pictures(Vec<Picture>),
    /// Rows of equally many features.
    Features {
        width: usize,
        values: Vec<f32>,
    },
    Texts(Vec<String>),
}

/// Examples with their labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    pub labels: Vec<u16>,
    pub values: Values,
}

/// What a reader found, in its own order.
#[derive(Debug)]
pub struct Found {
    pub classes: Vec<String>,
    pub train: Part,
    /// None: a share of `train` is held out.
    pub test: Option<Part>,
    /// What a reader of the description should know, such as files that were left out.
    pub notes: Vec<String>,
}

/// A set that has been read, split and described.
#[derive(Debug)]
pub struct OwnSet {
    pub info: DatasetInfo,
    pub train: Part,
    pub test: Part,
    pub notes: Vec<String>,
}

/// Sets that were read to be described, until they are loaded.
static READ: Mutex<Option<HashMap<DataPlace, Arc<OwnSet>>>> = Mutex::new(None);

fn kept<T>(use_it: impl FnOnce(&mut HashMap<DataPlace, Arc<OwnSet>>) -> T) -> T {
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    use_it(read.get_or_insert_with(HashMap::new))
}

/// Reads a place and describes it.
///
/// # Errors
/// What is wrong with the data, and a hint.
pub fn describe(place: &DataPlace) -> Result<Arc<OwnSet>, DataError> {
    if let Some(known) = kept(|all| all.get(place).cloned()) {
        return Ok(known);
    }
    let set = Arc::new(read_now(place)?);
    kept(|all| all.insert(place.clone(), set.clone()));
    Ok(set)
}

/// Reads, splits and describes a place, and keeps nothing.
pub fn read_now(place: &DataPlace) -> Result<OwnSet, DataError> {
    split(place, read(place)?)
}

/// For [`crate::config::network::read_places_with`].
pub fn info(place: &DataPlace) -> Result<DatasetInfo, (String, String)> {
    describe(place).map(|set| set.info.clone()).map_err(|error| (error.what, error.hint))
}

/// Training and test examples for inputs of a shape.
pub fn load(place: &DataPlace, info: &DatasetInfo, shape: [usize; 3]) -> Result<(Examples, Examples), DataError> {
    let set = describe(place)?;
    kept(|all| all.remove(place));
    if set.info.digest != info.digest {
        return Err(DataError::new(
            format!("the data at {place} have changed: {} now, {} before", set.info.in_short(), info.in_short()),
            "run the sweep from the study's own file: stages of the changed data are trained anew",
        ));
    }
    match Arc::try_unwrap(set) {
        Ok(set) => Ok(examples([set.train, set.test], shape)),
        Err(shared) => Ok(examples([shared.train.clone(), shared.test.clone()], shape)),
    }
}

fn read(place: &DataPlace) -> Result<Found, DataError> {
    let given = place.given();
    let (key, path) = given.first().copied().unwrap_or(("images", ""));
    let root = find(key, path)?;
    let found = match key {
        "images" => images::read(&root)?,
        "documents" => documents::read(&root)?,
        "npz" => npz::read(&root)?,
        "parquet" => parquet_images::read(&root, place.label.as_deref())?,
        "idx" => idx_folder::read(&root)?,
        _ => table_rows::read(&root, place)?,
    };
    let of_tables = place.one_hot || place.impute.is_some() || place.decimal.is_some() || !place.drop.is_empty();
    if of_tables && key != "table" {
        return Err(DataError::new(format!("{place}: `drop`, `one_hot`, `impute` and `decimal` belong to `table`"), "leave them out"));
    }
    if place.label.is_some() && !["table", "parquet"].contains(&key) {
        return Err(DataError::new(format!("{place}: `label` names a column"), "it belongs to `table` and `parquet`; leave it out"));
    }
    Ok(found)
}

/// A place as it is written, or below one of the folders that are searched for data.
fn find(key: &str, path: &str) -> Result<PathBuf, DataError> {
    if path.trim().is_empty() {
        return Err(DataError::new(format!("{key}: no path is given"), "name the file or folder"));
    }
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let written = match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    };
    let roots = super::search_path(None).0;
    let candidates = [written.clone()].into_iter().chain(roots.iter().map(|root| root.join(&written)));
    candidates.into_iter().find(|path| path.exists()).ok_or_else(|| {
        let places: Vec<String> = roots.iter().map(|root| root.display().to_string()).collect();
        DataError::new(
            format!("{key}: {} is not there, neither from here nor in {}", written.display(), places.join(", ")),
            "a path is relative to the folder in which you run the command",
        )
    })
}

/// Classes in the order of their names; of their numbers if all are numbers in their usual form.
/// (`1` and `01` are two names of one number.)
fn sorted_classes(mut names: Vec<String>) -> Vec<String> {
    let number = |name: &String| name.parse::<i64>().ok().filter(|n| n.to_string() == *name);
    match names.iter().all(|name| number(name).is_some()) {
        true => names.sort_by_key(number),
        false => names.sort(),
    }
    names.dedup();
    names
}

/// Labels of examples that are given by the names of their classes, and all classes.
fn label_by_name(parts: &[&[String]]) -> Result<(Vec<String>, Vec<Vec<u16>>), String> {
    let distinct: HashSet<&String> = parts.iter().copied().flatten().collect();
    if distinct.len() > MOST_CLASSES {
        return Err(format!("{} different labels are more than the {MOST_CLASSES} allowed: is it a column of numbers?", distinct.len()));
    }
    let classes = sorted_classes(distinct.into_iter().cloned().collect());
    let index: HashMap<&String, u16> = classes.iter().zip(0..).collect();
    let labels = parts.iter().map(|names| names.iter().map(|name| index[name]).collect()).collect();
    Ok((classes.clone(), labels))
}

impl Part {
    fn len(&self) -> usize {
        self.labels.len()
    }

    /// SHA-256 of each example's content, without its label.
    fn contents(&self) -> Vec<[u8; 32]> {
        crate::base::threads::map(self.len(), |i| {
            let mut hasher = Sha256::new();
            match &self.values {
                Values::Pictures(all) => {
                    let Picture { height, width, channels, pixels } = &all[i];
                    hasher.update(format!("{height} {width} {channels}\n"));
                    hasher.update(pixels);
                }
                Values::Features { width, values } => {
                    hasher.update(format!("{width}\n"));
                    values[i * width..(i + 1) * width].iter().for_each(|value| hasher.update(value.to_le_bytes()));
                }
                Values::Texts(all) => hasher.update(all[i].as_bytes()),
            }
            hasher.finalize().into()
        })
    }

    /// The examples for which `is_second` is false, and the others, each in their order.
    fn parted(self, is_second: &[bool]) -> [Part; 2] {
        let values = match self.values {
            Values::Pictures(all) => parted(all, is_second).map(Values::Pictures),
            Values::Texts(all) => parted(all, is_second).map(Values::Texts),
            Values::Features { width, values } => {
                let of = |wanted: bool| {
                    let rows = values.chunks_exact(width.max(1)).zip(is_second).filter(|(_, second)| **second == wanted);
                    Values::Features { width, values: rows.flat_map(|(row, _)| row.iter().copied()).collect() }
                };
                [of(false), of(true)]
            }
        };
        let [first, second] = values;
        let [of_first, of_second] = parted(self.labels, is_second);
        [Part { labels: of_first, values: first }, Part { labels: of_second, values: second }]
    }

    /// What the examples are, for a message: images, or the number of features.
    fn kind(&self) -> String {
        match &self.values {
            Values::Pictures(_) => "images".into(),
            Values::Features { width, .. } => format!("rows of {width} features"),
            Values::Texts(_) => "documents".into(),
        }
    }
}

fn parted<T>(all: Vec<T>, is_second: &[bool]) -> [Vec<T>; 2] {
    let mut parts = [vec![], vec![]];
    all.into_iter().zip(is_second).for_each(|(one, second)| parts[usize::from(*second)].push(one));
    parts
}

/// Features in single precision, as a network gets them.
///
/// # Errors
/// A column that single precision cannot hold. `name` is that of a column.
fn single(values: &[f64], width: usize, name: impl Fn(usize) -> String) -> Result<Vec<f32>, String> {
    for column in 0..width {
        let own = values.iter().skip(column).step_by(width.max(1));
        let (low, high) = own.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)));
        let largest = low.abs().max(high.abs());
        if low <= high && largest > f64::from(f32::MAX) {
            return Err(format!("{} reaches {largest:e}, beyond single precision", name(column)));
        }
        if high > low && (high - low) < 1e-4 * largest {
            return Err(format!("{} lies between {low} and {high}: single precision cannot tell its values apart", name(column)));
        }
    }
    Ok(values.iter().map(|value| *value as f32).collect())
}

/// Splits what was found, gives all images the channels of the set, and describes the result.
pub fn split(place: &DataPlace, found: Found) -> Result<OwnSet, DataError> {
    let Found { classes, mut train, mut test, mut notes } = found;
    let wrong = |what: String, hint: &str| DataError::new(format!("{place}: {what}"), hint);
    if classes.len() < 2 {
        let names = classes.first().map_or("no class".to_string(), |one| format!("one class, `{one}`"));
        return Err(wrong(format!("{names}, where at least two are needed"), "a folder of images has a folder for each class"));
    }
    if classes.len() > MOST_CLASSES {
        return Err(wrong(format!("{} classes are more than the {MOST_CLASSES} allowed", classes.len()), "is the right column the label?"));
    }
    if let Some(test) = &test {
        if train.kind() != test.kind() {
            return Err(wrong(
                format!("the training part has {}, the test part {}", train.kind(), test.kind()),
                "both need the same kind of examples",
            ));
        }
    }
    let mut parts: Vec<&mut Part> = std::iter::once(&mut train).chain(test.as_mut()).collect();
    let channels = parts.iter().map(|part| part.channels()).max().unwrap_or(1);
    parts.iter_mut().for_each(|part| part.give_channels(channels));
    let whole = train.contents();
    let (train, test, contents, mut of_test) = match test {
        Some(test) => {
            let of_test = test.contents();
            (train, test, whole, of_test)
        }
        None => {
            let is_test = held_out(&train.labels, &whole, classes.len());
            let [contents, of_test] = parted(whole, &is_test);
            let [train, test] = train.parted(&is_test);
            notes.push(format!("there is no test part: {} examples, about one in {HELD_OUT}, are held out by their content", test.len()));
            (train, test, contents, of_test)
        }
    };
    let known: HashSet<&[u8; 32]> = contents.iter().collect();
    let twice = of_test.iter().filter(|content| known.contains(content)).count();
    let test = match (twice, place.drop_duplicates) {
        (0, _) => test,
        (_, true) => {
            notes.push(format!("{twice} test examples are among the training examples and are left out"));
            let is_known: Vec<bool> = of_test.iter().map(|content| known.contains(content)).collect();
            [of_test, _] = parted(of_test, &is_known);
            let [kept, _] = test.parted(&is_known);
            kept
        }
        (_, false) => {
            notes.push(format!("{twice} test examples are among the training examples; `drop_duplicates: true` leaves them out"));
            test
        }
    };
    let within = contents.len() - known.len();
    if within > 0 {
        notes.push(format!("{within} training examples have the content of another one"));
    }
    let count = |part: &Part, label: usize| part.labels.iter().filter(|own| usize::from(**own) == label).count();
    let of = |(label, name): (usize, &String)| ClassInfo { name: name.clone(), training: count(&train, label), test: count(&test, label) };
    let counted: Vec<ClassInfo> = classes.iter().enumerate().map(of).collect();
    for class in &counted {
        let (missing, hint) = match (class.training, class.test) {
            (0, _) => ("training", "each class needs some; remove the class, or add examples"),
            (_, 0) if classes.len() > 100 => {
                ("test", "each class needs some; is the right column the label, and is it one of classes, not of numbers?")
            }
            (_, 0) => ("test", "each class needs some for the results; add examples, or give a test part"),
            _ => continue,
        };
        return Err(wrong(format!("class `{}` has no {missing} example", class.name), hint));
    }
    let mut hasher = Sha256::new();
    for (part, contents) in [(&train, &contents), (&test, &of_test)] {
        hasher.update(format!("{} examples\n", part.len()));
        for (label, content) in part.labels.iter().zip(contents) {
            hasher.update(label.to_le_bytes());
            hasher.update(content);
        }
    }
    let digest = hex(hasher.finalize());
    let info = match published(&digest) {
        Some(name) => name.info().clone(),
        None => DatasetInfo { name: "own".into(), digest, classes: counted, ..shapes([&train, &test]) },
    };
    Ok(OwnSet { info, train, test, notes })
}

/// Which examples are held out for testing: by content, so that an example stays where it is when
/// others are added. A class of which none or all would be gives, or keeps, one of them.
fn held_out(labels: &[u16], contents: &[[u8; 32]], classes: usize) -> Vec<bool> {
    let mut is_test: Vec<bool> = contents.iter().map(|content| content[0] % HELD_OUT == 0).collect();
    let mut of_class: Vec<Vec<usize>> = vec![vec![]; classes];
    labels.iter().enumerate().for_each(|(i, label)| of_class[usize::from(*label)].push(i));
    for own in of_class.iter().filter(|own| own.len() > 1) {
        let by_content = |i: &&usize| contents[**i];
        let tested = own.iter().filter(|i| is_test[**i]).count();
        let (at, value) = match tested {
            0 => (own.iter().min_by_key(by_content), true),
            n if n == own.len() => (own.iter().max_by_key(by_content), false),
            _ => continue,
        };
        at.into_iter().for_each(|at| is_test[*at] = value);
    }
    is_test
}

/// Digests of the published sets, by which they are recognised whatever the reader.
const PUBLISHED: [(&str, DataName); 3] = [
    ("b9fb95b16bfa9c13351a9457c2c41c13d62ea78396203568c84b809b3e50a072", DataName::Mnist),
    ("71e4c65a66e4bd6323dc422deb234a85c7ab4e9b27ed400a583ed6d6dec279f0", DataName::Cifar10),
    ("83927478669bc1faada63e0f763f5dba27b89e12556b73f2c6cdecf84538eb2a", DataName::Cifar100),
];

fn published(digest: &str) -> Option<DataName> {
    PUBLISHED.iter().find(|(known, _)| *known == digest).map(|(_, name)| *name)
}

/// What the examples are: the shape of all images, or the smallest and the largest size, or the
/// number of features.
fn shapes(parts: [&Part; 2]) -> DatasetInfo {
    if let Values::Features { width, .. } = &parts[0].values {
        return DatasetInfo { image_shape: Some([1, 1, *width]), channels: *width, is_features: true, ..DatasetInfo::default() };
    }
    let pictures = parts.iter().flat_map(|part| match &part.values {
        Values::Pictures(all) => all.as_slice(),
        _ => &[],
    });
    let shapes: HashSet<[usize; 3]> = pictures.map(|p| [p.height, p.width, p.channels]).collect();
    let mut sizes: Vec<[usize; 2]> = shapes.iter().map(|[height, width, _]| [*height, *width]).collect();
    sizes.sort_by_key(|[height, width]| (height * width, *height));
    DatasetInfo {
        image_shape: shapes.iter().next().filter(|_| shapes.len() == 1).copied(),
        sizes: sizes.first().zip(sizes.last()).filter(|_| shapes.len() > 1).map(|(smallest, largest)| [*smallest, *largest]),
        channels: shapes.iter().next().map_or(0, |[.., channels]| *channels),
        ..DatasetInfo::default()
    }
}

impl Part {
    /// Channels of the images; 1 for other examples.
    fn channels(&self) -> usize {
        match &self.values {
            Values::Pictures(all) => all.iter().map(|picture| picture.channels).max().unwrap_or(1),
            _ => 1,
        }
    }

    /// Gives grey images three equal channels, where the set has colours.
    fn give_channels(&mut self, channels: usize) {
        if let Values::Pictures(all) = &mut self.values {
            for picture in all.iter_mut().filter(|picture| picture.channels < channels) {
                picture.pixels = picture.pixels.iter().flat_map(|&value| [value; 3]).collect();
                picture.channels = 3;
            }
        }
    }
}

/// The parts as arrays, with images of the shape.
fn examples(parts: [Part; 2], shape: [usize; 3]) -> (Examples, Examples) {
    let width: usize = shape.iter().product();
    let mut labels = parts.each_ref().map(|part| part.labels.clone());
    if let [Values::Texts(_), Values::Texts(_)] = parts.each_ref().map(|part| &part.values) {
        let texts = parts.map(|part| if let Values::Texts(all) = part.values { all } else { vec![] });
        let [train, test] = count(texts, false);
        let [of_train, of_test] = labels;
        let documents = |corpus, labels| Examples { content: Content::Documents(corpus), labels };
        return (documents(train, of_train), documents(test, of_test));
    }
    let mut of = |at: usize, values: Values| {
        let labels = std::mem::take(&mut labels[at]);
        match values {
            Values::Features { width, values } => {
                // The readers hand over whole rows.
                let values = Array2::from_shape_vec((labels.len(), width), values).unwrap_or_default();
                Examples { content: Content::Features(values), labels }
            }
            Values::Pictures(all) => {
                let fitted = crate::base::threads::map(all.len(), |i| fit::picture(&all[i], shape));
                Examples::images(fitted.concat(), labels, width)
            }
            Values::Texts(_) => Examples::images(vec![], vec![], width),
        }
    };
    let [train, test] = parts.map(|part| part.values);
    (of(0, train), of(1, test))
}

/// Several files that cannot be read, in one message.
fn broken(root: &Path, all: &[(PathBuf, String)]) -> DataError {
    const SHOWN: usize = 10;
    let lines: Vec<String> = all.iter().take(SHOWN).map(|(path, what)| format!("  {}: {what}", path.display())).collect();
    let more = if all.len() > SHOWN { format!("\n  … and {} more", all.len() - SHOWN) } else { String::new() };
    let files = if all.len() == 1 { "1 file cannot".to_string() } else { format!("{} files cannot", all.len()) };
    DataError::new(
        format!("{}: {files} be read as images\n{}{more}", root.display(), lines.join("\n")),
        "replace them, or move them out of the folder",
    )
}
