//! Folders of image files.

use std::io::{BufRead, Read, Seek};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use image::{DynamicImage, ImageDecoder, ImageReader};

use super::cache::{Cache, Spool};
use super::folders::{below, groups, list, ClassFiles, Parts};
use super::{broken, sorted_classes, split, Found, OwnSet, Part, Picture, Values};
use crate::base::numbers::{bytes, duration};
use crate::base::stderr::print_error;
use crate::base::threads;
use crate::config::network::DataPlace;
use crate::data::DataError;

/// An image with more pixels is refused before it is unpacked.
const MOST_PIXELS: u64 = 100_000_000;

/// A file that claims to unpack to more bytes than this for each of its own is refused: deflate
/// reaches 1,032.
const MOST_EXPANSION: u64 = 5_000;

/// More files than this are announced before they are read, and are decoded once for all runs.
const MANY: usize = 5_000;

/// Bytes of images that are decoded between two writes to a spool, about.
const AT_ONCE: usize = 256_000_000;

/// A file with at most this many bytes is read at once.
const SMALL: u64 = 1 << 20;

/// After so many images it is said how long all take.
const SAMPLE: usize = 256;

/// Time between two messages about progress.
const TELL: Duration = Duration::from_secs(5);

pub fn is_image(name: &str) -> bool {
    [".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"].iter().any(|ending| name.ends_with(ending))
}

/// Reads the images below a folder. A large set that was read before, and has not changed since, is
/// taken from the cache.
pub fn read(place: &DataPlace, root: &Path) -> Result<OwnSet, DataError> {
    let parts = list(root, is_image)?;
    let files: Vec<&PathBuf> = parts.train.iter().chain(parts.test.iter().flatten()).flat_map(|(_, files)| files).collect();
    let n = files.len();
    if n == 0 {
        return Err(DataError::new(
            format!("{}: no images in the folders below it", root.display()),
            "it needs a folder for each class, with PNG, JPEG, WebP, BMP, GIF or TIFF files",
        ));
    }
    let group = place.group.as_deref();
    let cache = (n > MANY).then(Cache::of_user).flatten();
    let stamp = cache.as_ref().map_or(Ok(String::new()), |_| Cache::stamp(place, &files))?;
    if let Some(known) = cache.as_ref().and_then(|cache| cache.find(&stamp)) {
        return Ok(known);
    }
    if n > MANY {
        print_error(&format!("reading {n} images in {}", root.display()));
    }
    let Some(cache) = cache else { return split(place, decoded(root, parts, group, |_| Ok(None))?) };
    let started = Instant::now();
    let set = split(place, decoded(root, parts, group, |part| Ok(cache.spool_or_warn(&format!("{stamp}.{part}"))))?)?;
    if !cache.keep(&stamp, &set)? {
        return Ok(set);
    }
    let (seconds, folder) = (started.elapsed().as_secs_f64(), cache.folder().display());
    print_error(&format!("read in {seconds:.0} s; later starts take the decoded images from {folder} (`transfergrid data cache`)"));
    Ok(set)
}

/// Decodes all images, into memory or into a spool for each part.
fn decoded(
    root: &Path,
    parts: Parts,
    group: Option<&str>,
    spool: impl Fn(&str) -> Result<Option<Spool>, DataError>,
) -> Result<Found, DataError> {
    let all = parts.train.iter().chain(parts.test.iter().flatten()).map(|(name, _)| name.clone()).collect();
    let classes = sorted_classes(all);
    let part = |of: &ClassFiles, name: &str| -> Result<Part, DataError> {
        let mut ordered: Vec<(u16, &PathBuf)> = vec![];
        for (label, class) in classes.iter().enumerate() {
            let own = of.iter().filter(|(name, _)| name == class).flat_map(|(_, files)| files);
            ordered.extend(own.map(|path| (label as u16, path)));
        }
        let files: Vec<&PathBuf> = ordered.iter().map(|(_, path)| *path).collect();
        let groups = groups(root, parts.depth, &files, group)?;
        let pictures = pictures(root, &files, spool(name)?)?;
        Ok(Part {
            groups,
            names: below(root, &files),
            ..Part::new(ordered.iter().map(|(label, _)| *label).collect(), Values::Pictures(pictures))
        })
    };
    let train = part(&parts.train, "train")?;
    Ok(Found { train, test: parts.test.as_ref().map(|test| part(test, "test")).transpose()?, notes: parts.notes, classes })
}

/// Decodes files on all cores, so many at a time that few are in memory where they go to a spool.
fn pictures(root: &Path, files: &[&PathBuf], mut spool: Option<Spool>) -> Result<Vec<Picture>, DataError> {
    let mut places: Vec<(Range<usize>, [usize; 3])> = vec![];
    let (mut all, mut failed) = (vec![], vec![]);
    let started = Instant::now();
    let mut told: Option<Instant> = None;
    let mut next = threads::count() * 16;
    let mut done = 0;
    while done < files.len() {
        let some = &files[done..(done + next).min(files.len())];
        let each = started.elapsed().as_secs_f64() / done as f64;
        match told {
            Some(last) if last.elapsed() > TELL => {
                told = Some(Instant::now());
                let left = duration(each * (files.len() - done) as f64);
                print_error(&format!("{done} of {} images are decoded, about {left} more", files.len()));
            }
            // The first ones tell how long all take.
            None if done >= SAMPLE && files.len() > MANY => {
                told = Some(Instant::now());
                let size = |range: &Range<usize>| range.end as f64 / done as f64 * files.len() as f64;
                let disk = places.last().map_or(String::new(), |(range, _)| format!(" and {} of disk", bytes(size(range))));
                print_error(&format!("decoding {} images takes about {}{disk}", files.len(), duration(each * files.len() as f64)));
            }
            _ => {}
        }
        for (read, path) in threads::map(some.len(), |i| picture_of_file(some[i])).into_iter().zip(some) {
            match (read, &mut spool) {
                (Err(what), _) => failed.push(((*path).clone(), what)),
                (Ok(picture), None) => all.push(picture),
                (Ok(Picture { height, width, channels, pixels }), Some(spool)) => {
                    let at = spool.write(&pixels)?;
                    places.push((at..at + pixels.len(), [height, width, channels]));
                }
            }
        }
        done += some.len();
        let size = places.last().map_or(0, |(range, _)| range.end / places.len());
        next = (AT_ONCE / size.max(1)).clamp(16, 4096);
    }
    if !failed.is_empty() {
        return Err(broken(root, &failed));
    }
    if let Some(spool) = spool {
        let whole = spool.finish()?;
        let of = |(range, [height, width, channels]): (Range<usize>, [usize; 3])| {
            Some(Picture { height, width, channels, pixels: whole.part(range)? })
        };
        all.extend(places.into_iter().filter_map(of));
    }
    Ok(all)
}

fn picture_of_file(path: &Path) -> Result<Picture, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let length = file.metadata().map_err(|error| error.to_string())?.len();
    if length <= SMALL {
        let mut bytes = Vec::with_capacity(length as usize);
        // It may have grown since.
        file.take(SMALL + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        return picture_of_bytes(&bytes);
    }
    let reader = ImageReader::new(std::io::BufReader::new(file)).with_guessed_format().map_err(|error| error.to_string())?;
    picture(reader, length)
}

/// An image in memory, for example in a cell of a table.
pub fn picture_of_bytes(bytes: &[u8]) -> Result<Picture, String> {
    let reader = ImageReader::new(std::io::Cursor::new(bytes)).with_guessed_format().map_err(|error| error.to_string())?;
    picture(reader, bytes.len() as u64)
}

/// Decodes an image: the first frame, turned as its EXIF data say, without transparency, with 8
/// bits a channel, grey or colour as it is stored.
fn picture<R: BufRead + Seek>(reader: ImageReader<R>, length: u64) -> Result<Picture, String> {
    let mut decoder = reader.into_decoder().map_err(|error| error.to_string())?;
    let (width, height) = decoder.dimensions();
    if decoder.total_bytes() > MOST_EXPANSION * length + (1 << 20) {
        return Err(format!("{width}×{height} pixels cannot be in {length} bytes"));
    }
    if u64::from(width) * u64::from(height) > MOST_PIXELS {
        return Err(format!("{width}×{height} are more than the {MOST_PIXELS} pixels allowed"));
    }
    let turn = decoder.orientation().map_err(|error| error.to_string())?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(|error| error.to_string())?;
    image.apply_orientation(turn);
    let (height, width) = (image.height() as usize, image.width() as usize);
    if height == 0 || width == 0 {
        return Err("it has no pixels".into());
    }
    Ok(match image.color().has_color() {
        true => Picture { height, width, channels: 3, pixels: image.into_rgb8().into_raw().into() },
        false => Picture { height, width, channels: 1, pixels: image.into_luma8().into_raw().into() },
    })
}
