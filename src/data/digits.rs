//! The 8×8 digits (UCI, in scikit-learn's version), embedded in the program; see data/README.md.

use std::io::Read;

use super::Examples;

const PACKED: &[u8] = include_bytes!("../../data/digits.bin.gz");
const TEST_PER_CLASS: usize = 60;

/// The unpacked data: a label and 64 pixels for each image.
pub fn unpacked() -> Vec<u8> {
    let mut bytes = vec![];
    flate2::read::GzDecoder::new(PACKED).read_to_end(&mut bytes).expect("the embedded digits are a gzip file; a test reads them");
    bytes
}

/// Training and test images. The test set is the last 60 images of each class in file order.
pub fn read() -> (Examples, Examples) {
    let bytes = unpacked();
    let mut left = [0usize; 10];
    bytes.chunks_exact(65).for_each(|record| left[record[0] as usize] += 1);
    let mut halves = [(vec![], vec![]), (vec![], vec![])];
    for record in bytes.chunks_exact(65) {
        let label = record[0];
        let (pixels, labels) = &mut halves[usize::from(left[label as usize] <= TEST_PER_CLASS)];
        pixels.extend_from_slice(&record[1..]);
        labels.push(u16::from(label));
        left[label as usize] -= 1;
    }
    let [train, test] = halves.map(|(pixels, labels)| Examples::images(pixels, labels, 64));
    (train, test)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::network::DataName;

    #[test]
    fn counts_and_levels() {
        let (train, test) = read();
        assert_eq!((train.len(), test.len()), (1197, 600));
        for (label, class) in DataName::Digits.info().classes.iter().enumerate() {
            assert_eq!(train.labels.iter().filter(|&&l| l as usize == label).count(), class.training, "class {label}");
            assert_eq!(test.labels.iter().filter(|&&l| l as usize == label).count(), TEST_PER_CLASS);
        }
        assert!(train.pixels().iter().all(|p| p % 15 == 0 && *p <= 240));
    }
}
