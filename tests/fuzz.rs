//! Readers with mutated input: each returns an error message or a result, never panics, and never
//! uses disproportionate memory.
//!
//! Each test starts from valid files and applies mutations from proptest. The seed of a round is
//! its number, so that a run can be repeated. TRANSFERGRID_FUZZ_SECONDS is the duration (default
//! 3). Inputs that once failed are kept in `SAVED`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use transfergrid::config::network::DataPlace;
use transfergrid::config::{Overrides, Study, StudyKind};
use transfergrid::data;
use transfergrid::plan::Plan;
use transfergrid::store::{Checkpoint, Folder, Records};

thread_local! {
    /// Bytes that this thread has allocated and not freed since the count was set to 0, and their
    /// maximum.
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// An allocator that counts the bytes of each thread.
struct Counting;

// SAFETY: forwards every call to the system's allocator. The counters are plain thread-locals
// without destructors.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.with(|live| live.replace(live.get() + layout.size() as isize)) + layout.size() as isize;
        PEAK.with(|peak| peak.set(peak.get().max(live)));
        System.alloc(layout)
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.with(|live| live.set(live.get() - layout.size() as isize));
        System.dealloc(at, layout)
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The peak memory of `read` in bytes.
fn peak_of(read: impl FnOnce()) -> usize {
    LIVE.with(|live| live.set(0));
    PEAK.with(|peak| peak.set(0));
    read();
    PEAK.with(Cell::get).max(0) as usize
}

#[derive(Debug, Clone)]
enum Mutation {
    Flip(usize, u8),
    Cut(usize),
    Remove(usize, usize),
    /// Copies a part of the file to another position.
    Copy(usize, usize, usize),
    Insert(usize, Vec<u8>),
    /// Inserts a word that has a meaning for the reader.
    Word(usize, usize),
}

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let at = any::<usize>;
    let one = prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Flip(at, byte)),
        1 => at().prop_map(Mutation::Cut),
        2 => (at(), 1..64usize).prop_map(|(at, n)| Mutation::Remove(at, n)),
        2 => (at(), 1..256usize, at()).prop_map(|(from, n, to)| Mutation::Copy(from, n, to)),
        2 => (at(), prop::collection::vec(any::<u8>(), 1..16)).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        3 => (at(), at()).prop_map(|(at, word)| Mutation::Word(at, word)),
    ];
    prop::collection::vec(one, 1..8)
}

fn mutate(seed: &[u8], mutations: &[Mutation], words: &[&str]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for mutation in mutations {
        let n = bytes.len().max(1);
        match mutation {
            Mutation::Flip(at, byte) if !bytes.is_empty() => bytes[at % n] ^= byte,
            Mutation::Cut(at) => bytes.truncate(at % n),
            Mutation::Remove(at, count) if !bytes.is_empty() => _ = bytes.drain(at % n..(at % n + count).min(n)),
            Mutation::Copy(from, count, to) if !bytes.is_empty() => {
                let part = bytes[from % n..(from % n + count).min(n)].to_vec();
                bytes.splice(to % n..to % n, part);
            }
            Mutation::Insert(at, new) => _ = bytes.splice((at % n).min(bytes.len())..(at % n).min(bytes.len()), new.iter().copied()),
            Mutation::Word(at, word) => {
                let at = (at % n).min(bytes.len());
                bytes.splice(at..at, words[word % words.len()].bytes());
            }
            _ => {}
        }
    }
    bytes
}

/// Runs rounds of 64 cases each for the requested time.
fn fuzz(seeds: &[Vec<u8>], words: &[&str], most: usize, read: impl Fn(&[u8])) {
    let seconds = std::env::var("TRANSFERGRID_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let (start, mut cases) = (Instant::now(), 0);
    for round in 0u64.. {
        if start.elapsed() > Duration::from_secs(seconds) {
            println!("{cases} cases in {seconds} s");
            return;
        }
        let mut key = [0; 32];
        key[..8].copy_from_slice(&round.to_le_bytes());
        let config = Config { cases: 64, failure_persistence: None, ..Config::default() };
        let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &key));
        let drawn = runner.run(&(0..seeds.len(), mutations()), |(seed, mutations)| {
            let bytes = mutate(&seeds[seed], &mutations, words);
            let peak = peak_of(|| read(&bytes));
            prop_assert!(
                peak <= most + 64 * bytes.len(),
                "{peak} bytes of memory for {} of input: {:?}",
                bytes.len(),
                String::from_utf8_lossy(&bytes)
            );
            Ok(())
        });
        drawn.unwrap_or_else(|error| panic!("round {round}: {error}"));
        cases += 64;
    }
}

/// A file in memory that is rewritten for each case.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        let memory = Path::new("/dev/shm");
        Place(if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap())
    }

    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

/// Studies that once made the reader panic, hang or use too much memory.
const SAVED: [&str; 4] = [
    "name: a\ndata: digits\nseeds: 18446744073709551615\nlambda0: 0\nlambda1: 0\n",
    "name: a\ndata: digits\nlambda0: {log: {from: 1, to: 2, points: 9000000000000000000}}\nlambda1: 0\n",
    "a: &a [*a]\n",
    "name: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
];

fn read_study(place: &Place, bytes: &[u8]) {
    let path = place.put("study.yaml", bytes);
    if let Ok(study) = Study::load(&path, &Overrides::default()) {
        let _ = study.to_yaml();
        // A study may describe a very large plan. It is enough that the plan is refused or counted.
        let combinations: f64 = study.axes.iter().map(|axis| axis.values.len() as f64).product::<f64>() * study.seeds.len() as f64;
        if study.kind == StudyKind::Network && combinations < 200.0 {
            let _ = Plan::new(&study);
        }
    }
}

#[test]
fn studies() {
    let place = Place::new();
    for text in SAVED {
        let peak = peak_of(|| read_study(&place, text.as_bytes()));
        assert!(peak < 64 << 20, "{peak} bytes for {text}");
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments");
    let seeds: Vec<Vec<u8>> = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect();
    assert!(seeds.len() > 10);
    let words = [
        "lambda0: ",
        "lambda1: ",
        "seeds: ",
        "[",
        "]",
        "{",
        "}",
        ": ",
        "\n",
        "\n  ",
        "- ",
        "!!",
        "&a ",
        "*a",
        "<<: ",
        ".inf",
        ".nan",
        "-1",
        "1e400",
        "0",
        "99999999999999999999",
        "null",
        "{log: {from: 1e-5, to: 1, points: 3}}",
        "kind: ridge",
        "extends: ",
        "presets:",
        "zip: ",
        "\u{feff}",
        "\t",
        "'",
        "\"",
        "|",
    ];
    fuzz(&seeds, &words, 64 << 20, |bytes| read_study(&place, bytes));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn idx() {
    let place = Place::new();
    let mut plain = vec![0, 0, 8, 3];
    [4u32, 5, 6].iter().for_each(|n| plain.extend(n.to_be_bytes()));
    plain.extend((0..120).map(|i| i as u8));
    let packed = gzip(&plain);
    let words = ["\u{0}\u{0}\u{8}\u{3}", "\u{7f}\u{7f}\u{7f}\u{7f}", "\u{0}\u{0}\u{0}\u{4}"];
    fuzz(&[plain, packed], &words, 1 << 20, |bytes| {
        for name in ["a-idx3-ubyte", "a-idx3-ubyte.gz"] {
            let path = place.put(name, bytes);
            if let Ok(read) = data::read_idx(&path, &[4, 5, 6]) {
                assert_eq!(read.len(), 120);
            }
        }
    });
}

#[test]
fn cifar() {
    let place = Place::new();
    // An archive with short batches, and a complete batch whose labels are mutated.
    let mut archive = tar::Builder::new(vec![]);
    for name in ["data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"] {
        let mut header = tar::Header::new_gnu();
        header.set_size(3073);
        header.set_cksum();
        archive.append_data(&mut header, format!("cifar-10-batches-bin/{name}"), &[3u8; 3073][..]).unwrap();
    }
    let plain = archive.into_inner().unwrap();
    let packed = gzip(&plain);
    fuzz(&[packed, plain.clone()], &["ustar", "data_batch_3.bin", "../", "\u{0}\u{0}\u{0}"], 1 << 20, |bytes| {
        // Compressed again after the mutation, so that the checksum is valid and the mutation
        // reaches the archive's reader.
        for packed in [bytes.to_vec(), gzip(bytes)] {
            let path = place.put("cifar-10-binary.tar.gz", &packed);
            assert!(data::read_cifar10(&path).is_err(), "three short batches are no data set");
            assert!(data::read_cifar100(&path, false).is_err());
        }
    });
    let folder = place.0.path().join("whole");
    std::fs::create_dir(&folder).unwrap();
    let batch = vec![7u8; 10_000 * 3073];
    for name in ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"] {
        std::fs::write(folder.join(name), &batch).unwrap();
    }
    assert!(data::read_cifar10(&folder).is_ok());
    for (at, byte) in [(0, 10), (3073 * 9_999, 255)] {
        let mut bytes = batch.clone();
        bytes[at] = byte;
        std::fs::write(folder.join("data_batch_3.bin"), &bytes).unwrap();
        assert!(data::read_cifar10(&folder).unwrap_err().to_string().contains("is not a class of CIFAR-10"));
    }
}

#[test]
fn tables() {
    let place = Place::new();
    let header = |text: &str| -> Vec<u8> {
        let mut padded = text.as_bytes().to_vec();
        while !(10 + padded.len() + 1).is_multiple_of(64) {
            padded.push(b' ');
        }
        padded.push(b'\n');
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((padded.len() as u16).to_le_bytes());
        bytes.extend(padded);
        bytes
    };
    let array = |descriptor: &str, size: usize| -> Vec<u8> {
        let mut bytes = header(&format!("{{'descr': '{descriptor}', 'fortran_order': False, 'shape': (3, 4), }}"));
        bytes.extend(vec![1u8; 12 * size]);
        bytes
    };
    let seeds = [array("<f8", 8), array("<f4", 4), array("|u1", 1), b"a,b\n1,2\n3,4\n".to_vec()];
    let words = [
        "'shape': (99999999999, 99999999999)",
        "(18446744073709551615,)",
        "True",
        "<f8",
        ">f8",
        "|O",
        "<c16",
        "(",
        ")",
        ",",
        "'",
        "\u{93}NUMPY",
        "nan",
        "1e400",
    ];
    // Found by ten minutes of this test: a header that claims a length of 16 MB.
    let mut long = b"\x93NUMPY\x03\x00\x00\x00\x00\x01".to_vec();
    long.extend(b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }\n");
    let path = place.put("a.npy", &long);
    assert!(peak_of(|| assert!(data::table::matrix(&path).unwrap_err().what.contains("its header would end at byte 16777228"))) < 1 << 20);
    fuzz(&seeds, &words, 4 << 20, |bytes| {
        for name in ["a.npy", "a.npz", "a.csv"] {
            let path = place.put(name, bytes);
            let _ = data::table::read(&path, &[], |_| false, |_| true);
            let _ = data::table::matrix(&path);
        }
    });
}

/// Images of all kinds, arrays, IDX files and Parquet files with images, as the user's own data.
#[test]
fn own_data() {
    let place = Place::new();
    let root = place.0.path();
    let picture = image::RgbImage::from_fn(6, 5, |x, y| image::Rgb([(x * 40) as u8, (y * 50) as u8, 7]));
    let formats = ["png", "jpg", "bmp", "gif", "tiff", "webp"];
    let encoded = |ending: &str| -> Vec<u8> {
        let path = root.join(format!("seed.{ending}"));
        picture.save(&path).unwrap();
        std::fs::read(path).unwrap()
    };
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(vec![]));
    for (name, descriptor, shape, data) in [("x", "|u1", "2, 2, 2", vec![5u8; 8]), ("y", "|u1", "2,", vec![0u8, 1])] {
        let text = format!("{{'descr': '{descriptor}', 'fortran_order': False, 'shape': ({shape}), }}\n");
        let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        archive.start_file(format!("{name}.npy"), stored).unwrap();
        let start = [b"\x93NUMPY\x01\x00".as_slice(), &(text.len() as u16).to_le_bytes(), text.as_bytes(), &data].concat();
        archive.write_all(&start).unwrap();
    }
    let npz = archive.finish().unwrap().into_inner();
    let idx = [[0u8, 0, 8, 3].as_slice(), &[0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2], &[9; 8]].concat();
    let seeds: Vec<Vec<u8>> = formats.iter().map(|ending| encoded(ending)).chain([npz, idx]).collect();
    formats.iter().for_each(|ending| std::fs::remove_file(root.join(format!("seed.{ending}"))).unwrap());
    for class in ["a", "b"] {
        std::fs::create_dir_all(root.join("images").join(class)).unwrap();
        std::fs::write(root.join("images").join(class).join("0.png"), &seeds[0]).unwrap();
    }
    std::fs::create_dir_all(root.join("idx")).unwrap();
    let labels = [[0u8, 0, 8, 1].as_slice(), &[0, 0, 0, 2], &[0, 1]].concat();
    for name in ["train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"] {
        std::fs::write(root.join("idx").join(name), &labels).unwrap();
    }
    let at = |path: &str| Some(root.join(path).display().to_string());
    let places = [
        DataPlace { images: at("images"), ..DataPlace::default() },
        DataPlace { npz: at("a.npz"), ..DataPlace::default() },
        DataPlace { idx: at("idx"), ..DataPlace::default() },
        DataPlace { parquet: at("a.parquet"), ..DataPlace::default() },
    ];
    let words = ["IHDR", "IDAT", "\u{7f}\u{7f}\u{7f}\u{7f}", "'shape': (99999999999,)", "<U9", "|O", "<f8", "PAR1", "\u{0}\u{0}\u{8}\u{3}"];
    fuzz(&seeds, &words, 16 << 20, |bytes| {
        for name in ["images/a/0.png", "a.npz", "idx/train-images-idx3-ubyte", "idx/t10k-images-idx3-ubyte", "a.parquet"] {
            std::fs::write(root.join(name), bytes).unwrap();
        }
        for place in &places {
            let _ = data::own::read_now(place);
        }
    });
}

#[test]
fn records_and_checkpoints() {
    let place = Place::new();
    let folder = Folder(place.0.path().join("study"));
    folder.create().unwrap();
    let record = r#"{"version":1,"kind":"source","key":"00112233445566778899","source":null,"seed":0,"axes":{"lambda0":0.1},"status":"done","metrics":{"val_acc":0.5},"error":null,"history":[],"settings":{},"seconds":1.0,"pack":1,"device":"cpu","host":"h","engine":"mock","program":"p","commit":"c","finished":1.0}"#;
    let path = place.0.path().join("a.safetensors");
    Checkpoint { arrays: vec![], text: "{}".into() }.write(&path).unwrap();
    let checkpoint = std::fs::read(&path).unwrap();
    let lines = format!("{record}\n{record}\n");
    fuzz(&[lines.into_bytes(), checkpoint], &["\n", "{", "}", "\"", "null", "1e999", "[", "version"], 4 << 20, |bytes| {
        std::fs::write(folder.records().join("main.jsonl"), bytes).unwrap();
        let _ = Records::read(&folder);
        std::fs::write(&path, bytes).unwrap();
        let _ = Checkpoint::read(&path);
        let _ = Checkpoint::text(&path);
    });
}

/// The pickle of `{"w": a tensor of 2 × 2, "n": a counter}`, as `torch.save` writes it.
fn pickle() -> Vec<u8> {
    let text = |text: &str| [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let tensor = |key: &str, storage: &str, size: &[u8], stride: &[u8]| {
        let storage =
            [b"(".to_vec(), text("storage"), format!("ctorch\n{storage}\n").into_bytes(), text(key), text("cpu"), b"K\x04tQ".to_vec()];
        let head = b"ctorch._utils\n_rebuild_tensor_v2\n(".to_vec();
        [
            vec![head],
            storage.to_vec(),
            vec![b"K\x00".to_vec(), size.to_vec(), stride.to_vec(), b"\x89ccollections\nOrderedDict\n)RtR".to_vec()],
        ]
        .concat()
        .concat()
    };
    let weight = tensor("0", "FloatStorage", b"K\x02K\x02\x86", b"K\x02K\x01\x86");
    let counter = tensor("1", "LongStorage", b")", b")");
    [b"\x80\x02}q\x00(".to_vec(), text("w"), weight, text("n"), counter, b"u.".to_vec()].concat()
}

/// A file of `torch.save` with this pickle.
fn torch_file(pickle: &[u8]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(vec![]));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let ones = 1f32.to_le_bytes().repeat(4);
    for (name, bytes) in [("data.pkl", pickle), ("byteorder", &b"little"[..]), ("data/0", &ones[..]), ("data/1", &[0; 8][..])] {
        archive.start_file(format!("archive/{name}"), stored).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

#[test]
fn weights() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.pt");
    let read = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        data::weights::read_file(&path)
    };
    let data::weights::Content::Weights(tensors) = read(&torch_file(&pickle())).unwrap() else { panic!("a state dict") };
    assert_eq!(tensors.len(), 1, "the counter is no weight");
    assert_eq!((tensors[0].name.as_str(), tensors[0].size.as_slice(), tensors[0].values.as_slice()), ("w", &[2, 2][..], &[1.0; 4][..]));
    let words = ["h\x00", "q\x00", "(", "t", "}", "]", "a", "u.", "cos\nsystem\n", "R", "b", "Q", "K\u{7f}", "J\u{7f}\u{7f}\u{7f}\u{7f}"];
    fuzz(&[pickle()], &words, 1 << 20, |bytes| drop(read(&torch_file(bytes))));
    let checkpoint = Checkpoint { arrays: vec![], text: "\"architecture\"".into() };
    checkpoint.write(&folder.path().join("s.safetensors")).unwrap();
    let other = std::fs::read(folder.path().join("s.safetensors")).unwrap();
    fuzz(&[torch_file(&pickle()), other], &["archive/", "PK\x03\x04", "F32", "[0,16]"], 1 << 20, |bytes| drop(read(bytes)));
}
