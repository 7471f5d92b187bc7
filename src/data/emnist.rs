//! The sets of EMNIST, from the archive that its authors publish.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::idx::read_from;
use super::{DataError, Examples};
use crate::config::network::DatasetInfo;

const SIDE: usize = 28;

/// Reads the training and the test images of one set from `gzip.zip`. The files hold images with
/// rows and columns exchanged; here they stand upright, as those of MNIST do.
///
/// # Errors
/// The archive cannot be read, or the set in it has other numbers of images.
pub fn read(archive: &Path, info: &DatasetInfo) -> Result<(Examples, Examples), DataError> {
    Ok((half(archive, info, "train")?, half(archive, info, "test")?))
}

fn half(archive: &Path, info: &DatasetInfo, part: &str) -> Result<Examples, DataError> {
    let counts: Vec<usize> = info.classes.iter().map(|class| if part == "train" { class.training } else { class.test }).collect();
    let n = counts.iter().sum();
    let of = |what: &str| format!("gzip/{}-{part}-{what}-ubyte.gz", info.name);
    let (images, labels_file) = (member(archive, &of("images-idx3"), &[n, SIDE, SIDE])?, of("labels-idx1"));
    let labels = member(archive, &labels_file, &[n])?;
    // The letters are counted from 1.
    let first = labels.iter().copied().min().unwrap_or(0);
    let labels: Vec<u16> = labels.into_iter().map(|label| u16::from(label - first)).collect();
    let mut found = vec![0; counts.len()];
    labels.iter().for_each(|&label| found.get_mut(usize::from(label)).into_iter().for_each(|n| *n += 1));
    if found != counts {
        let what = format!("its classes have {found:?} images, expected {counts:?}");
        return Err(DataError::file(&archive.join(labels_file), what));
    }
    let upright = |image: &[u8]| (0..SIDE * SIDE).map(|i| image[i % SIDE * SIDE + i / SIDE]).collect::<Vec<u8>>();
    let pixels: Vec<u8> = images.chunks_exact(SIDE * SIDE).flat_map(upright).collect();
    Ok(Examples::images(pixels, labels, SIDE * SIDE))
}

fn member(archive: &Path, name: &str, shape: &[usize]) -> Result<Vec<u8>, DataError> {
    let file = File::open(archive).map_err(|error| DataError::read(archive, &error))?;
    let wrong = |error: zip::result::ZipError| match error {
        zip::result::ZipError::Io(error) => DataError::read(archive, &error),
        error => DataError::file(archive, format!("{name} cannot be read from it: {error}")),
    };
    let mut archive_in = zip::ZipArchive::new(file).map_err(wrong)?;
    let entry = archive_in.by_name(name).map_err(wrong)?;
    let length = entry.size();
    Ok(read_from(entry.take(length), length, &archive.join(name), Some(shape))?.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::network::ClassInfo;
    use std::io::Write;

    /// Two letters, labelled 1 and 2; of each two training images and one test image.
    fn archive(path: &Path, labels: [&[u8]; 2]) -> DatasetInfo {
        let class = |name: &str| ClassInfo { name: name.into(), training: 2, test: 1 };
        let mut archive = zip::ZipWriter::new(File::create(path).unwrap());
        let mut add = |name: String, header: &[u8], content: &[u8]| {
            archive.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            let mut packed = flate2::write::GzEncoder::new(&mut archive, flate2::Compression::fast());
            packed.write_all(header).unwrap();
            packed.write_all(content).unwrap();
            packed.finish().unwrap();
        };
        for (part, labels) in ["train", "test"].into_iter().zip(labels) {
            let n = labels.len() as u8;
            // The second row of every stored image is white.
            let image: Vec<u8> = (0..784).map(|i| if i / 28 == 1 { 255 } else { 0 }).collect();
            let header = [0, 0, 8, 3, 0, 0, 0, n, 0, 0, 0, 28, 0, 0, 0, 28];
            add(format!("gzip/letters-{part}-images-idx3-ubyte.gz"), &header, &image.repeat(labels.len()));
            add(format!("gzip/letters-{part}-labels-idx1-ubyte.gz"), &[0, 0, 8, 1, 0, 0, 0, n], labels);
        }
        archive.finish().unwrap();
        DatasetInfo { name: "letters".into(), classes: vec![class("a"), class("b")], ..DatasetInfo::default() }
    }

    #[test]
    fn images_stand_upright_and_classes_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gzip.zip");
        let info = archive(&path, [&[2, 1, 1, 2], &[1, 2]]);
        let (train, test) = read(&path, &info).unwrap();
        assert_eq!((train.labels.as_slice(), test.labels.as_slice()), (&[1, 0, 0, 1][..], &[0, 1][..]));
        let pixels = train.pixels();
        assert!((0..784).all(|i| pixels[i] == if i % 28 == 1 { 255 } else { 0 }), "the second column is white");
        let info = archive(&path, [&[2, 1, 1, 1], &[1, 2]]);
        let error = read(&path, &info).err().unwrap().to_string();
        assert!(error.contains("letters-train-labels") && error.contains("[3, 1] images, expected [2, 2]"), "{error}");
        let other = DatasetInfo { name: "digits".into(), ..info };
        let error = read(&path, &other).err().unwrap().to_string();
        assert!(error.contains("digits-train-images-idx3-ubyte.gz cannot be read from it"), "{error}");
        std::fs::write(&path, "no archive").unwrap();
        assert!(read(&path, &other).is_err());
    }
}
