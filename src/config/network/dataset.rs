//! What is known about a data set before it is read. `published.rs` has those of the published
//! data sets.

use serde::{Deserialize, Serialize};

/// What is known about a data set before it is read. All that settings, plans and reports need;
/// which data set it is, only the readers ask (`data/`).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DatasetInfo {
    /// The name as written in a study.
    pub name: String,
    /// SHA-256, in hex, of the content that determines examples and labels, whatever the container.
    /// For published files: of the lines `name md5` of the uncompressed files in their order. For
    /// the digits: of the unpacked bytes. For 20 Newsgroups: of all documents (`data/verify.rs`).
    /// Data are compared with this digest when they are read, so it can be part of a key before
    /// anything is read.
    pub digest: String,
    /// Height, width and channels of an image. Features are the channels of one pixel. None for
    /// text, and for images of several sizes.
    pub image_shape: Option<[usize; 3]>,
    /// Heights and widths of the smallest and the largest image, if their sizes differ.
    pub sizes: Option<[[usize; 2]; 2]>,
    /// Channels of images, also of those that differ in size.
    pub channels: usize,
    /// Whether the examples are features, not pixels.
    pub is_features: bool,
    /// The classes in the order of their labels.
    pub classes: Vec<ClassInfo>,
    /// Names that stand for several classes, each with the names of its classes.
    pub groups: Vec<(String, Vec<String>)>,
    /// Whether a number is predicted. There is then one class, with all examples.
    #[serde(default)]
    pub is_regression: bool,
    /// Whether examples have groups, which no split separates.
    #[serde(default)]
    pub is_grouped: bool,
    /// The names of the features of a table; empty where they have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// Whether the program contains the data.
    pub built_in: bool,
}

/// A class, with its numbers of images (or documents).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassInfo {
    pub name: String,
    /// In the training file.
    pub training: usize,
    /// In the test file.
    pub test: usize,
}

impl DatasetInfo {
    /// Whether two tasks are of one set: the same examples under the same labels.
    pub fn is_same(&self, other: &DatasetInfo) -> bool {
        std::ptr::eq(self, other) || (self.digest == other.digest && self.name == other.name)
    }

    pub fn is_text(&self) -> bool {
        self.image_shape.is_none() && self.sizes.is_none()
    }

    /// Why a network for the features of this set cannot read those of another: their names differ,
    /// or their order. None if it can, or if one of them has no names.
    pub fn other_columns(&self, other: &DatasetInfo) -> Option<String> {
        let (own, others) = (&self.columns, &other.columns);
        if own.is_empty() || others.is_empty() || own == others {
            return None;
        }
        let beyond = |all: &[String], known: &[String]| -> Vec<String> {
            all.iter().filter(|name| !known.contains(name)).map(|name| format!("`{name}`")).collect()
        };
        let short = |names: Vec<String>| match names.len() {
            0..=5 => names.join(", "),
            n => format!("{}, … ({n})", names[..5].join(", ")),
        };
        let (missing, more) = (beyond(own, others), beyond(others, own));
        let parts = [(missing, "has no"), (more, "has the new")]
            .map(|(names, what)| (!names.is_empty()).then(|| format!("{what} {}", short(names))));
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        Some(match parts.is_empty() {
            false => parts.join(" and "),
            true => {
                let at = own.iter().zip(others).position(|(a, b)| a != b).unwrap_or(0);
                format!("has the columns in another order: column {} is `{}` there and `{}` here", at + 1, others[at], own[at])
            }
        })
    }

    /// `1,200 training and 300 test images of 10 classes, 28×28×1`.
    pub fn in_short(&self) -> String {
        let sum = |of: fn(&ClassInfo) -> usize| self.classes.iter().map(of).sum::<usize>();
        let (what, shape) = match (self.image_shape, self.sizes) {
            (Some([_, _, features]), _) if self.is_features => ("rows", format!(", {features} features")),
            (Some([height, width, channels]), _) => ("images", format!(", {height}×{width}×{channels}")),
            (None, Some([a, b])) => {
                ("images", format!(", {}×{} to {}×{}, {}", a[0], a[1], b[0], b[1], if self.channels == 1 { "grey" } else { "colour" }))
            }
            (None, None) => ("documents", String::new()),
        };
        let predicted = if self.is_regression { "with a number to predict".into() } else { format!("of {} classes", self.classes.len()) };
        format!("{} training and {} test {what} {predicted}{shape}", sum(|c| c.training), sum(|c| c.test))
    }

    /// The classes' names, in the order of their labels.
    pub fn class_names(&self) -> Vec<&str> {
        self.classes.iter().map(|class| class.name.as_str()).collect()
    }

    /// Labels of the classes that a name stands for, ascending. A name is that of a class, that of
    /// a group of classes, or a pattern with `*`.
    pub fn labels(&self, name: &str) -> Vec<usize> {
        let members = self.groups.iter().find(|(group, _)| group == name).map(|(_, members)| members);
        let wanted = |class: &str| match members {
            Some(members) => members.iter().any(|member| member == class),
            None => matches(name, class),
        };
        (0..self.classes.len()).filter(|&label| wanted(&self.classes[label].name)).collect()
    }
}

/// What the first `*` of a pattern stands for in a text that matches it: the shortest such part.
pub fn first_star<'a>(pattern: &str, text: &'a str) -> Option<&'a str> {
    let (start, rest) = pattern.split_once('*')?;
    let left = text.strip_prefix(start)?;
    let ends = left.char_indices().map(|(at, _)| at).chain([left.len()]);
    ends.map(|at| left.split_at(at)).find(|(_, after)| matches(rest, after)).map(|(star, _)| star)
}

/// Whether a text matches the pattern, in which each `*` stands for any characters.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_star_is_the_shortest_part_that_fits() {
        let of = |pattern, text| first_star(pattern, text);
        assert_eq!(of("*_*", "patient7_left_2.png"), Some("patient7"));
        assert_eq!(of("p*-*.png", "p12-3.png"), Some("12"));
        assert_eq!(of("*/*", "köln/a.png"), Some("köln"));
        assert_eq!(of("*.png", "a.b.png"), Some("a.b"));
        assert_eq!((of("*_*", "left.png"), of("left.png", "left.png"), of("x*", "left.png")), (None, None, None));
    }
}
