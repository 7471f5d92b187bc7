//! What a reader found becomes a set: a test part, the classes' counts, the digest.

use std::collections::{BTreeSet, HashMap, HashSet};

use sha2::{Digest, Sha256};

use super::part::{parted, Part, Values};
use super::{Found, OwnSet, MOST_CLASSES};
use crate::base::hex::hex;
use crate::config::network::{ClassInfo, DataName, DataPlace, DatasetInfo};
use crate::data::DataError;

/// Without a test part, an example is held out for testing if its content says so: one in this
/// many.
const HELD_OUT: u8 = 5;

/// Splits what was found, gives all images the channels of the set, and describes the result.
pub fn split(place: &DataPlace, found: Found) -> Result<OwnSet, DataError> {
    let Found { classes, mut train, mut test, mut notes } = found;
    let wrong = |what: String, hint: &str| DataError::new(format!("{place}: {what}"), hint);
    let groups: HashSet<&String> = train.groups.iter().collect();
    if (1..3).contains(&groups.len()) {
        return Err(wrong(
            format!("it has {}", if groups.len() == 1 { "one group".into() } else { format!("{} groups", groups.len()) }),
            "at least three are needed, for training, validation and testing; is it the right column or pattern?",
        ));
    }
    let is_regression = !train.responses.is_empty();
    if classes.len() < 2 && !is_regression {
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
            let is_test = match train.groups.as_slice() {
                [] => held_out(&train.labels, &whole, classes.len()),
                groups => held_out_groups(&train.labels, groups, classes.len()),
            };
            let [contents, of_test] = parted(whole, &is_test);
            let [train, test] = train.parted(&is_test);
            let by = match train.groups.is_empty() {
                true => format!("examples, about one in {HELD_OUT}, are held out by their content"),
                false => format!("examples, those of about one group in {HELD_OUT}, are held out by the groups' names"),
            };
            notes.push(format!("there is no test part: {} {by}", test.len()));
            (train, test, contents, of_test)
        }
    };
    if !train.groups.is_empty() {
        let (own, other): (HashSet<&String>, HashSet<&String>) = (train.groups.iter().collect(), test.groups.iter().collect());
        notes.push(format!("{} groups for training, {} for testing", own.len(), other.len()));
        let both: Vec<&str> = own.intersection(&other).map(|name| name.as_str()).collect();
        if let Some(first) = both.iter().min() {
            return Err(wrong(
                format!("{} groups, such as `{first}`, are in the training and in the test part", both.len()),
                "move each group to one part, or leave the test part out: one is then held out by group",
            ));
        }
    }
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
        let other = in_another_class(&train.labels, &contents);
        let of_which = if other == 0 { String::new() } else { format!("; {other} have that of one in another class") };
        notes.push(format!("{within} training examples have the content of another one{of_which}"));
    }
    let (training, tested) = (train.counts(classes.len()), test.counts(classes.len()));
    let of = |(name, (training, test)): (&String, (usize, usize))| ClassInfo { name: name.clone(), training, test };
    let counted: Vec<ClassInfo> = classes.iter().zip(training.into_iter().zip(tested)).map(of).collect();
    for class in &counted {
        let (missing, hint) = match (class.training, class.test) {
            (0, _) => ("training", "each class needs some; remove the class, or add examples"),
            (_, 0) if classes.len() > 100 => {
                ("test", "each class needs some; is the right column the label, and is it one of classes, not of numbers?")
            }
            (_, 0) => ("test", "each class needs some for the results; add examples, or give a test part"),
            _ => continue,
        };
        return Err(match is_regression {
            true => wrong(format!("there is no {missing} example"), "some rows are needed for training, and some for the results"),
            false => wrong(format!("class `{}` has no {missing} example", class.name), hint),
        });
    }
    if is_regression && test.responses.iter().all(|response| *response == test.responses[0]) {
        return Err(wrong(
            format!("the {} test responses are all equal", test.len()),
            "R² compares errors with their spread: more rows are needed",
        ));
    }
    let mut hasher = Sha256::new();
    for (part, contents) in [(&train, &contents), (&test, &of_test)] {
        hasher.update(format!("{} examples\n", part.len()));
        for (label, content) in part.labels.iter().zip(contents) {
            hasher.update(label.to_le_bytes());
            hasher.update(content);
        }
        // Groups decide which examples validate.
        part.groups.iter().for_each(|group| hasher.update(format!("group {group}\n")));
    }
    let digest = hex(hasher.finalize());
    let info = match published(&digest) {
        Some(name) => name.info().clone(),
        None => DatasetInfo {
            name: "own".into(),
            digest,
            classes: counted,
            is_regression,
            is_grouped: !train.groups.is_empty(),
            columns: train.columns.clone(),
            ..shapes([&train, &test])
        },
    };
    Ok(OwnSet { info, train, test, notes })
}

/// Examples that have the content of an example of another class.
fn in_another_class(labels: &[u16], contents: &[[u8; 32]]) -> usize {
    // The label of each content; none if it has several.
    let mut label_of: HashMap<&[u8; 32], Option<u16>> = HashMap::new();
    for (label, content) in labels.iter().zip(contents) {
        label_of.entry(content).and_modify(|known| *known = known.filter(|known| known == label)).or_insert(Some(*label));
    }
    contents.iter().filter(|content| label_of[content].is_none()).count()
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

/// The same by group: whole groups are held out, by their names. Of a class of which none or all
/// would be, one group moves with all its examples.
fn held_out_groups(labels: &[u16], groups: &[String], classes: usize) -> Vec<bool> {
    let hash = |name: &String| -> [u8; 32] { Sha256::digest(name.as_bytes()).into() };
    let mut of_test: HashMap<&String, bool> = groups.iter().map(|name| (name, hash(name)[0] % HELD_OUT == 0)).collect();
    for class in 0..classes {
        let own: BTreeSet<([u8; 32], &String)> =
            labels.iter().zip(groups).filter(|(label, _)| usize::from(**label) == class).map(|(_, name)| (hash(name), name)).collect();
        let tested = own.iter().filter(|(_, name)| of_test[name]).count();
        let moves = match tested {
            _ if own.len() < 2 => None,
            0 => own.first().map(|(_, name)| (*name, true)),
            n if n == own.len() => own.last().map(|(_, name)| (*name, false)),
            _ => None,
        };
        of_test.extend(moves);
    }
    groups.iter().map(|name| of_test[name]).collect()
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

#[cfg(test)]
mod tests {
    use super::in_another_class;

    #[test]
    fn contents_with_several_labels_are_counted() {
        let content = |of: u8| [of; 32];
        // Content 1 is of class 0 twice; 2 of classes 0 and 1; 3 of 1, 2 and 1.
        let contents = [1, 1, 2, 2, 3, 3, 3, 4].map(content);
        assert_eq!(in_another_class(&[0, 0, 0, 1, 1, 2, 1, 0], &contents), 5);
        assert_eq!(in_another_class(&[0; 8], &contents), 0);
    }
}
