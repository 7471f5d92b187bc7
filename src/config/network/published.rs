//! The published data sets that a study can name.

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dataset::{ClassInfo, DatasetInfo};

/// The data sets that a study can name. What is known about each is its [`DatasetInfo`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DataName {
    Digits,
    Mnist,
    FashionMnist,
    Kmnist,
    EmnistLetters,
    EmnistBalanced,
    EmnistDigits,
    Cifar10,
    Cifar100,
    Cifar100Coarse,
    Newsgroups,
    SyntheticGrey,
    SyntheticColour,
}

const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
const FASHION: [&str; 10] = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle_boot"];
/// The hiragana of Kuzushiji-MNIST.
const KMNIST: [&str; 10] = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"];
/// Of EMNIST: lower and upper case together.
const LETTERS: [&str; 26] =
    ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t", "u", "v", "w", "x", "y", "z"];
/// Of EMNIST: letters whose cases look alike are one class, in upper case.
const BALANCED: [&str; 47] = [
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L", "M", "N", "O", "P", "Q",
    "R", "S", "T", "U", "V", "W", "X", "Y", "Z", "a", "b", "d", "e", "f", "g", "h", "n", "q", "r", "t",
];
const CIFAR100_DIGEST: &str = "0602fec4d1700c5153f978084f18732e3559c2797e321e5497be429c53eb0817";
const CIFAR10: [&str; 10] = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// CIFAR-100's superclasses in the order of their labels, each with its classes.
const CIFAR100_SUPERCLASSES: [(&str, [&str; 5]); 20] = [
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
    pub const ALL: [DataName; 13] = [
        DataName::Digits,
        DataName::Mnist,
        DataName::FashionMnist,
        DataName::Kmnist,
        DataName::EmnistLetters,
        DataName::EmnistBalanced,
        DataName::EmnistDigits,
        DataName::Cifar10,
        DataName::Cifar100,
        DataName::Cifar100Coarse,
        DataName::Newsgroups,
        DataName::SyntheticGrey,
        DataName::SyntheticColour,
    ];

    /// The name as written in a study.
    pub fn as_str(self) -> &'static str {
        &self.info().name
    }

    /// What is known about the data set.
    pub fn info(self) -> &'static DatasetInfo {
        static INFO: LazyLock<[DatasetInfo; 13]> = LazyLock::new(|| DataName::ALL.map(published));
        &INFO[self as usize]
    }
}

/// What is known of the published data sets without reading them.
fn published(name: DataName) -> DatasetInfo {
    let images = |name: &str, digest: &str, shape: [usize; 3], classes: Vec<ClassInfo>| DatasetInfo {
        name: name.into(),
        digest: digest.into(),
        image_shape: Some(shape),
        channels: shape[2],
        classes,
        ..DatasetInfo::default()
    };
    match name {
        DataName::Digits => DatasetInfo {
            built_in: true,
            ..images(
                "digits",
                "50a029aed79f3ef636a82a80089946955f228720d133bd046fe95490a5dc25dc",
                [8, 8, 1],
                classes(&DIGITS, &[118, 122, 117, 123, 121, 122, 121, 119, 114, 120], &[60; 10]),
            )
        },
        DataName::Mnist => images(
            "mnist",
            "54fbf60c96875bba5b1a86cee169b1c2774801c4cbb89bf2160b175e66fc7385",
            [28, 28, 1],
            classes(
                &DIGITS,
                &[5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
                &[980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
            ),
        ),
        // Digests of the packed files: no checksum of the unpacked ones is published.
        DataName::FashionMnist => images(
            "fashion-mnist",
            "54320f7595b09b47d6d87e7b71c76ecbaff1c9d0fc036cac70d8f0ec4745ee23",
            [28, 28, 1],
            classes(&FASHION, &[6000; 10], &[1000; 10]),
        ),
        DataName::Kmnist => images(
            "kmnist",
            "977ed5b13430997881a2f47cad05bf0561f2367e0bb9f4d2ee2fe842fee9bf0e",
            [28, 28, 1],
            classes(&KMNIST, &[6000; 10], &[1000; 10]),
        ),
        // Digests of the archive's published one, with the name of the set in it.
        DataName::EmnistLetters => images(
            "emnist-letters",
            "2493e04e8a195fc8de0ba4bf3f82695b1c5dd46da4a81f1fa976fbeb3f5bd19e",
            [28, 28, 1],
            classes(&LETTERS, &[4800; 26], &[800; 26]),
        ),
        DataName::EmnistBalanced => images(
            "emnist-balanced",
            "6f31dd527890f1c1128644ffdf285646d423f0c2ff29f1c8df57c02c4b01acfa",
            [28, 28, 1],
            classes(&BALANCED, &[2400; 47], &[400; 47]),
        ),
        DataName::EmnistDigits => images(
            "emnist-digits",
            "b45471f99033df2bb54737b7fded7c984b249b70ead8245204aa502752b3c6d1",
            [28, 28, 1],
            classes(&DIGITS, &[24_000; 10], &[4000; 10]),
        ),
        DataName::Cifar10 => images(
            "cifar10",
            "436dac8e0341f15c8ecc96887006ce6ed851f9418c69da4e0e696da6a2e95a63",
            [32, 32, 3],
            classes(&CIFAR10, &[5000; 10], &[1000; 10]),
        ),
        DataName::Cifar100 => {
            let mut names: Vec<&str> = CIFAR100_SUPERCLASSES.iter().flat_map(|(_, members)| *members).collect();
            names.sort_unstable(); // the official labels are in this order
            let group = |(name, members): &(&str, [&str; 5])| (name.to_string(), members.map(String::from).to_vec());
            DatasetInfo {
                groups: CIFAR100_SUPERCLASSES.iter().map(group).collect(),
                ..images("cifar100", CIFAR100_DIGEST, [32, 32, 3], classes(&names, &[500; 100], &[100; 100]))
            }
        }
        DataName::Cifar100Coarse => images(
            "cifar100-coarse",
            CIFAR100_DIGEST,
            [32, 32, 3],
            classes(&CIFAR100_SUPERCLASSES.map(|(name, _)| name), &[2500; 20], &[500; 20]),
        ),
        DataName::Newsgroups => DatasetInfo {
            name: "newsgroups".into(),
            digest: "364e2d043043b927138171a5d4487da1a6daf2214033ef90b22fe292e223e786".into(),
            classes: classes(&NEWSGROUPS.map(|of| of.0), &NEWSGROUPS.map(|of| of.1), &NEWSGROUPS.map(|of| of.2)),
            ..DatasetInfo::default()
        },
        // Digest: of all training pixels, then all test pixels.
        DataName::SyntheticGrey => DatasetInfo {
            built_in: true,
            ..images(
                "synthetic-grey",
                "264c60cc99a33290f08bcefc87ffa52f18fec8699382b0f7c5d993e278f808f1",
                [28, 28, 1],
                classes(&DIGITS, &[1000; 10], &[200; 10]),
            )
        },
        DataName::SyntheticColour => DatasetInfo {
            built_in: true,
            ..images(
                "synthetic-colour",
                "d7ec64237d0c3a3807c402edd3083c445174b743626b7c5048099d5874cbb58f",
                [32, 32, 3],
                classes(&DIGITS, &[1000; 10], &[200; 10]),
            )
        },
    }
}

fn classes(names: &[&str], training: &[usize], test: &[usize]) -> Vec<ClassInfo> {
    let counts = training.iter().zip(test);
    names.iter().zip(counts).map(|(name, (&training, &test))| ClassInfo { name: name.to_string(), training, test }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_patterns_and_superclasses() {
        let of =
            |data: DataName, name: &str| data.info().labels(name).into_iter().map(|l| data.info().class_names()[l]).collect::<Vec<_>>();
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
    fn classes_have_names_of_their_own() {
        for data in DataName::ALL {
            let names = data.info().class_names();
            assert_eq!(names.len(), names.iter().collect::<std::collections::BTreeSet<_>>().len(), "{}", data.as_str());
        }
        assert_eq!(NEWSGROUPS.iter().map(|group| group.1).sum::<usize>(), 11_314);
        assert_eq!(NEWSGROUPS.iter().map(|group| group.2).sum::<usize>(), 7_532);
    }
}
