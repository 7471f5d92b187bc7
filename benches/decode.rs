//! Reading a folder of images, beside a plain loop of the `image` crate over all cores, in turns:
//! `cargo run --release --example decode_bench -- FOLDER [ROUNDS]`. Prints a line for each round:
//! seconds of the loop, of one that keeps the images, of reading into memory, of reading into an
//! empty cache, and of a later start that finds the images there.

use std::path::{Path, PathBuf};
use std::time::Instant;

use transfergrid::config::network::DataPlace;
use transfergrid::data::own;

fn files(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        match entry.path() {
            path if path.is_dir() => files(&path, all),
            path => all.push(path),
        }
    }
}

/// Opens and decodes every file; returns what `of` makes of each image.
fn plain<T: Send>(files: &[PathBuf], of: fn(Vec<u8>) -> T) -> Vec<T> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let decode = move |path: &PathBuf| of(image::open(path).expect("an image").into_rgb8().into_raw());
    std::thread::scope(|scope| {
        let parts = files.chunks(files.len().div_ceil(cores)).map(|part| scope.spawn(move || part.iter().map(decode).collect::<Vec<T>>()));
        parts.collect::<Vec<_>>().into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    })
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().expect("decode_bench FOLDER [ROUNDS]");
    let rounds: usize = arguments.next().map_or(5, |text| text.parse().expect("a number of rounds"));
    let mut all = vec![];
    files(Path::new(&folder), &mut all);
    let place = DataPlace { images: Some(folder), ..DataPlace::default() };
    let cache = std::env::temp_dir().join(format!("decode-bench-{}", std::process::id()));
    for round in 0..=rounds {
        let started = Instant::now();
        let bytes: usize = plain(&all, |image| image.len()).iter().sum();
        let loop_s = started.elapsed().as_secs_f64();
        let started = Instant::now();
        let images = plain(&all, |image| image);
        let loop_keeping_s = started.elapsed().as_secs_f64();
        drop(images);
        let read = |cache: &Path| {
            std::env::set_var("TRANSFERGRID_CACHE", cache);
            let started = Instant::now();
            let set = own::read_now(&place).expect("a set of images");
            (started.elapsed().as_secs_f64(), set.info.digest)
        };
        let ((read_s, one), (kept_s, two), (again_s, three)) = (read(Path::new("off")), read(&cache), read(&cache));
        assert!(one == two && two == three, "the same images");
        std::fs::remove_dir_all(&cache).expect("the cache is there");
        // The first round reads the files into the system's cache.
        if round > 0 {
            println!(
                "{{\"files\": {}, \"bytes\": {bytes}, \"loop_s\": {loop_s:.3}, \"loop_keeping_s\": {loop_keeping_s:.3}, \"read_s\": {read_s:.3}, \"kept_s\": {kept_s:.3}, \"again_s\": {again_s:.3}}}",
                all.len()
            );
        }
    }
}
