//! The data sets that a study can use, and the facts about them that are known before they are
//! read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The data sets that a study can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DataName {
    Digits,
    Mnist,
    Cifar10,
    Cifar100,
    Cifar100Coarse,
    Newsgroups,
}

const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
const CIFAR10: [&str; 10] = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// CIFAR-100's superclasses in the order of their labels, each with its classes.
pub const CIFAR100_SUPERCLASSES: [(&str, [&str; 5]); 20] = [
    ("aquatic_mammals", ["beaver", "dolphin", "otter", "seal", "whale"]),
    ("fish", ["aquarium_fish", "flatfish", "ray", "shark", "trout"]),
    ("flowers", ["orchid", "poppy", "rose", "sunflower", "tulip"]),
    ("food_containers", ["bottle", "bowl", "can", "cup", "plate"]),
    ("fruit_and_vegetables", ["apple", "mushroom", "orange", "pear", "sweet_pepper"]),
    ("household_electrical_devices", ["clock", "keyboard", "lamp", "telephone", "television"]),
    ("household_furniture", ["bed", "chair", "couch", "table", "wardrobe"]),
    ("insects", ["bee", "beetle", "butterfly", "caterpillar", "cockroach"]),
    ("large_carnivores", ["bear", "leopard", "lion", "tiger", "wolf"]),
    ("large_man-made_outdoor_things", ["bridge", "castle", "house", "road", "skyscraper"]),
    ("large_natural_outdoor_scenes", ["cloud", "forest", "mountain", "plain", "sea"]),
    ("large_omnivores_and_herbivores", ["camel", "cattle", "chimpanzee", "elephant", "kangaroo"]),
    ("medium_mammals", ["fox", "porcupine", "possum", "raccoon", "skunk"]),
    ("non-insect_invertebrates", ["crab", "lobster", "snail", "spider", "worm"]),
    ("people", ["baby", "boy", "girl", "man", "woman"]),
    ("reptiles", ["crocodile", "dinosaur", "lizard", "snake", "turtle"]),
    ("small_mammals", ["hamster", "mouse", "rabbit", "shrew", "squirrel"]),
    ("trees", ["maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree"]),
    ("vehicles_1", ["bicycle", "bus", "motorcycle", "pickup_truck", "train"]),
    ("vehicles_2", ["lawn_mower", "rocket", "streetcar", "tank", "tractor"]),
];

/// The newsgroups, with the number of documents of each in the training folder and in the test
/// folder of the bydate version.
const NEWSGROUPS: [(&str, usize, usize); 20] = [
    ("alt.atheism", 480, 319),
    ("comp.graphics", 584, 389),
    ("comp.os.ms-windows.misc", 591, 394),
    ("comp.sys.ibm.pc.hardware", 590, 392),
    ("comp.sys.mac.hardware", 578, 385),
    ("comp.windows.x", 593, 395),
    ("misc.forsale", 585, 390),
    ("rec.autos", 594, 396),
    ("rec.motorcycles", 598, 398),
    ("rec.sport.baseball", 597, 397),
    ("rec.sport.hockey", 600, 399),
    ("sci.crypt", 595, 396),
    ("sci.electronics", 591, 393),
    ("sci.med", 594, 396),
    ("sci.space", 593, 394),
    ("soc.religion.christian", 599, 398),
    ("talk.politics.guns", 546, 364),
    ("talk.politics.mideast", 564, 376),
    ("talk.politics.misc", 465, 310),
    ("talk.religion.misc", 377, 251),
];

impl DataName {
    pub const ALL: [DataName; 6] =
        [DataName::Digits, DataName::Mnist, DataName::Cifar10, DataName::Cifar100, DataName::Cifar100Coarse, DataName::Newsgroups];

    /// The name as written in a study.
    pub fn as_str(self) -> &'static str {
        match self {
            DataName::Digits => "digits",
            DataName::Mnist => "mnist",
            DataName::Cifar10 => "cifar10",
            DataName::Cifar100 => "cifar100",
            DataName::Cifar100Coarse => "cifar100-coarse",
            DataName::Newsgroups => "newsgroups",
        }
    }

    /// SHA-256, in hex, of the content that determines examples and labels, whatever the container.
    /// For published files: of the lines `name md5` of the uncompressed files in their order. For
    /// the digits: of the unpacked bytes. For 20 Newsgroups: of all documents (`data/verify.rs`).
    /// `data/verify.rs` compares data with this digest when they are read. So the digest can be
    /// part of a key before anything is read.
    pub fn digest(self) -> &'static str {
        match self {
            DataName::Digits => "50a029aed79f3ef636a82a80089946955f228720d133bd046fe95490a5dc25dc",
            DataName::Mnist => "54fbf60c96875bba5b1a86cee169b1c2774801c4cbb89bf2160b175e66fc7385",
            DataName::Cifar10 => "436dac8e0341f15c8ecc96887006ce6ed851f9418c69da4e0e696da6a2e95a63",
            DataName::Cifar100 | DataName::Cifar100Coarse => "0602fec4d1700c5153f978084f18732e3559c2797e321e5497be429c53eb0817",
            DataName::Newsgroups => "364e2d043043b927138171a5d4487da1a6daf2214033ef90b22fe292e223e786",
        }
    }

    /// Height, width and channels of an image; none for text.
    pub fn image_shape(self) -> Option<[usize; 3]> {
        match self {
            DataName::Digits => Some([8, 8, 1]),
            DataName::Mnist => Some([28, 28, 1]),
            DataName::Cifar10 | DataName::Cifar100 | DataName::Cifar100Coarse => Some([32, 32, 3]),
            DataName::Newsgroups => None,
        }
    }

    pub fn is_text(self) -> bool {
        self.image_shape().is_none()
    }

    /// Images (or documents) of each class in the training file, in the order of their labels.
    pub fn training_images(self) -> Vec<usize> {
        match self {
            DataName::Digits => vec![118, 122, 117, 123, 121, 122, 121, 119, 114, 120],
            DataName::Mnist => vec![5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
            DataName::Cifar10 => vec![5000; 10],
            DataName::Cifar100 => vec![500; 100],
            DataName::Cifar100Coarse => vec![2500; 20],
            DataName::Newsgroups => NEWSGROUPS.iter().map(|group| group.1).collect(),
        }
    }

    /// Images (or documents) of each class in the test file, in the order of their labels.
    pub fn test_images(self) -> Vec<usize> {
        match self {
            DataName::Digits => vec![60; 10],
            DataName::Mnist => vec![980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
            DataName::Cifar10 => vec![1000; 10],
            DataName::Cifar100 => vec![100; 100],
            DataName::Cifar100Coarse => vec![500; 20],
            DataName::Newsgroups => NEWSGROUPS.iter().map(|group| group.2).collect(),
        }
    }

    /// The classes' names, in the order of their labels.
    pub fn class_names(self) -> Vec<&'static str> {
        match self {
            DataName::Digits | DataName::Mnist => DIGITS.to_vec(),
            DataName::Cifar10 => CIFAR10.to_vec(),
            DataName::Cifar100 => {
                let mut all: Vec<&str> = CIFAR100_SUPERCLASSES.iter().flat_map(|(_, classes)| *classes).collect();
                all.sort_unstable(); // the official labels are in this order
                all
            }
            DataName::Cifar100Coarse => CIFAR100_SUPERCLASSES.iter().map(|(name, _)| *name).collect(),
            DataName::Newsgroups => NEWSGROUPS.iter().map(|group| group.0).collect(),
        }
    }

    /// Labels of the classes that a name stands for, ascending. A name is that of a class, that of
    /// a superclass of CIFAR-100, or a pattern with `*`.
    pub fn labels(self, name: &str) -> Vec<usize> {
        let names = self.class_names();
        let members = CIFAR100_SUPERCLASSES.iter().filter(|_| self == DataName::Cifar100).find(|(group, _)| *group == name);
        let wanted = |class: &str| match members {
            Some((_, members)) => members.contains(&class),
            None => matches(name, class),
        };
        (0..names.len()).filter(|&label| wanted(names[label])).collect()
    }
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
    fn names_patterns_and_superclasses() {
        let of = |data: DataName, name: &str| data.labels(name).into_iter().map(|l| data.class_names()[l]).collect::<Vec<_>>();
        assert_eq!(of(DataName::Cifar10, "cat"), ["cat"]);
        assert_eq!(of(DataName::Newsgroups, "rec.sport.*"), ["rec.sport.baseball", "rec.sport.hockey"]);
        assert_eq!(of(DataName::Newsgroups, "*.misc"), ["comp.os.ms-windows.misc", "talk.politics.misc", "talk.religion.misc"]);
        assert_eq!(of(DataName::Newsgroups, "comp.*.ibm.*").len(), 1);
        assert_eq!(of(DataName::Newsgroups, "*").len(), 20);
        assert_eq!(of(DataName::Cifar100, "people"), ["baby", "boy", "girl", "man", "woman"]);
        assert_eq!(of(DataName::Cifar100Coarse, "people"), ["people"]);
        assert!(of(DataName::Cifar10, "people").is_empty() && of(DataName::Newsgroups, "comp").is_empty());
    }

    #[test]
    fn tables_have_a_row_for_each_class() {
        for data in DataName::ALL {
            assert_eq!(data.class_names().len(), data.training_images().len(), "{}", data.as_str());
            assert_eq!(data.class_names().len(), data.class_names().iter().collect::<std::collections::BTreeSet<_>>().len());
        }
        assert_eq!(DataName::Newsgroups.training_images().iter().sum::<usize>(), 11_314);
        assert_eq!(NEWSGROUPS.iter().map(|group| group.2).sum::<usize>(), 7_532);
    }
}
