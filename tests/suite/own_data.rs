//! The user's own data: every reader, splits, shapes, and what is wrong with them.

use std::path::{Path, PathBuf};

use image::{GrayImage, ImageFormat, RgbImage};

use crate::common::*;

const STUDY: &str = "\
name: NAME
data: PLACE
seeds: 1
lambda0: [0, 1e-2]
lambda1: [0, 1e-1]
model: {kind: mlp, hidden: [8]}
source: {classes: ['0', '1'], per_class: 8, epochs: 2, lr: 0.05}
target: {classes: ['2', '3'], per_class: 4, epochs: 2, lr: 0.05}
scratch: {lambdas: [0]}
";

/// A grey image of a class, another for each number.
fn pixels(class: usize, i: usize, side: usize) -> Vec<u8> {
    (0..side * side).map(|at| ((at * (class + 3) + i * 37 + at * at * i) % 251) as u8).collect()
}

const CLASSES: usize = 4;
const PARTS: [(&str, usize); 2] = [("train", 20), ("test", 5)];

/// Class by class, as a reader of folders has them: (part, class, pixels).
fn examples() -> Vec<(&'static str, usize, Vec<u8>)> {
    let of = |(part, n): (&'static str, usize)| {
        (0..CLASSES).flat_map(move |class| (0..n).map(move |i| (part, class, pixels(class, if part == "train" { i } else { 100 + i }, 8))))
    };
    PARTS.into_iter().flat_map(of).collect()
}

fn folder_of_pngs(root: &Path) {
    for (i, (part, class, pixels)) in examples().into_iter().enumerate() {
        let folder = root.join(part).join(class.to_string());
        std::fs::create_dir_all(&folder).unwrap();
        GrayImage::from_raw(8, 8, pixels).unwrap().save(folder.join(format!("{i:04}.png"))).unwrap();
    }
}

/// An array in the .npy format.
fn npy(kind: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}");
    header.push_str(&" ".repeat(63 - (header.len() + 10) % 64));
    header.push('\n');
    [b"\x93NUMPY\x01\x00".as_slice(), &(header.len() as u16).to_le_bytes(), header.as_bytes(), data].concat()
}

fn npz(path: &Path, arrays: &[(&str, Vec<u8>)]) {
    use std::io::Write;
    let mut archive = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
    for (name, bytes) in arrays {
        archive.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap();
}

/// The examples as four arrays: bytes with whole numbers, or numbers from 0 to 1 with words.
fn archive(path: &Path, as_floats: bool) {
    let of = |part: &str| -> (Vec<u8>, Vec<u8>, usize) {
        let own: Vec<_> = examples().into_iter().filter(|(of, ..)| *of == part).collect();
        let labels: Vec<u8> = match as_floats {
            true => own.iter().flat_map(|(_, class, _)| (b'0' as u32 + *class as u32).to_le_bytes()).collect(),
            false => own.iter().flat_map(|(_, class, _)| (*class as i64).to_le_bytes()).collect(),
        };
        let values: Vec<u8> = match as_floats {
            true => own.iter().flat_map(|(.., pixels)| pixels.iter().flat_map(|&p| (f32::from(p) / 255.0).to_le_bytes())).collect(),
            false => own.iter().flat_map(|(.., pixels)| pixels.clone()).collect(),
        };
        (values, labels, own.len())
    };
    let (x, y, n) = of("train");
    let (x_test, y_test, n_test) = of("test");
    let (of_x, of_y) = if as_floats { ("<f4", "<U1") } else { ("|u1", "<i8") };
    let shape = |n: usize| format!("{n}, 8, 8");
    npz(
        path,
        &[
            ("x_train", npy(of_x, &shape(n), &x)),
            ("y_train", npy(of_y, &format!("{n},"), &y)),
            ("x_test", npy(of_x, &shape(n_test), &x_test)),
            ("y_test", npy(of_y, &format!("{n_test},"), &y_test)),
        ],
    );
}

fn idx(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    for (part, name) in [("train", "train"), ("test", "t10k")] {
        let own: Vec<_> = examples().into_iter().filter(|(of, ..)| *of == part).collect();
        let n = (own.len() as u32).to_be_bytes();
        let images: Vec<u8> = own.iter().flat_map(|(.., pixels)| pixels.clone()).collect();
        let labels: Vec<u8> = own.iter().map(|(_, class, _)| *class as u8).collect();
        let eight = 8u32.to_be_bytes();
        std::fs::write(folder.join(format!("{name}-images-idx3-ubyte")), [&[0, 0, 8, 3], n.as_slice(), &eight, &eight, &images].concat())
            .unwrap();
        std::fs::write(folder.join(format!("{name}-labels-idx1-ubyte")), [&[0, 0, 8, 1], n.as_slice(), &labels].concat()).unwrap();
    }
}

/// Parquet files as Hugging Face writes them: PNG files in `image.bytes`, and names of the classes
/// in the metadata.
fn parquet(folder: &Path) {
    use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::format::KeyValue;
    std::fs::create_dir_all(folder).unwrap();
    let schema = "message m { optional group image { optional binary bytes; optional binary path (UTF8); } required int64 label; }";
    for (part, _) in PARTS {
        let own: Vec<_> = examples().into_iter().filter(|(of, ..)| *of == part).collect();
        let metadata = r#"{"info": {"features": {"label": {"names": ["0", "1", "2", "3"], "_type": "ClassLabel"}}}}"#;
        let about = KeyValue { key: "huggingface".into(), value: Some(metadata.into()) };
        let properties = WriterProperties::builder().set_key_value_metadata(Some(vec![about])).build();
        let file = std::fs::File::create(folder.join(format!("{part}-00000-of-00001.parquet"))).unwrap();
        let schema = std::sync::Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
        let mut writer = SerializedFileWriter::new(file, schema, std::sync::Arc::new(properties)).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let png = |pixels: &Vec<u8>| {
            let mut bytes = std::io::Cursor::new(vec![]);
            GrayImage::from_raw(8, 8, pixels.clone()).unwrap().write_to(&mut bytes, ImageFormat::Png).unwrap();
            ByteArray::from(bytes.into_inner())
        };
        let images: Vec<ByteArray> = own.iter().map(|(.., pixels)| png(pixels)).collect();
        let levels = vec![2i16; own.len()];
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&images, Some(&levels), None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&[], Some(&vec![1i16; own.len()]), None).unwrap();
        column.close().unwrap();
        let labels: Vec<i64> = own.iter().map(|(_, class, _)| *class as i64).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&labels, None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
    }
}

fn read(path: PathBuf) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn described(folder: &Path, place: &str) -> serde_json::Value {
    let done = run(program().current_dir(folder).args(["data", "describe", place, "--json"]));
    assert_eq!(done.code, Some(0), "{place}: {}", done.stderr);
    json(&done.stdout)
}

fn refused(folder: &Path, place: &str) -> String {
    let done = run(program().current_dir(folder).args(["data", "describe", place]));
    assert_eq!(done.code, Some(2), "{place}: {}{}", done.stdout, done.stderr);
    assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
    done.stderr
}

/// The keys of the stages of a kind in results.csv.
fn keys(results: &str, kind: &str) -> Vec<String> {
    let at = results.lines().next().unwrap().split(',').position(|column| column == "stage").unwrap();
    let own = results.lines().skip(1).filter(|line| line.starts_with(kind));
    own.map(|line| line.split(',').nth(at).unwrap().to_string()).collect()
}

/// Sweeps a study and returns its results.csv.
fn results(folder: &Path, name: &str, place: &str, engine: &[&str]) -> String {
    let study = write(folder, &format!("{name}.yaml"), &STUDY.replace("NAME", name).replace("PLACE", place));
    let done = run(program().current_dir(folder).arg("sweep").arg(study).args(["-q", "--out", "logs"]).args(engine));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    read(folder.join("logs").join(name).join("report/results.csv"))
}

fn all_kinds(folder: &Path) -> Vec<&'static str> {
    folder_of_pngs(&folder.join("pngs"));
    archive(&folder.join("a.npz"), false);
    archive(&folder.join("floats.npz"), true);
    idx(&folder.join("idx"));
    parquet(&folder.join("hf"));
    vec!["{images: pngs}", "{npz: a.npz}", "{npz: floats.npz}", "{idx: idx}", "{parquet: hf}"]
}

#[test]
fn the_same_images_give_the_same_results_through_whichever_reader() {
    let folder = tempfile::tempdir().unwrap();
    let places = all_kinds(folder.path());
    let digests: Vec<_> = places.iter().map(|place| described(folder.path(), place)["info"]["digest"].clone()).collect();
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{places:?}: {digests:?}");
    let engine: &[&str] = if cfg!(feature = "torch") { &[] } else { &["--engine", "mock"] };
    let all: Vec<String> = places.iter().enumerate().map(|(i, place)| results(folder.path(), &format!("s{i}"), place, engine)).collect();
    assert!(all[0].lines().count() > 5 && all.iter().all(|one| *one == all[0]), "{}\n{}", all[0], all[1]);
    // Results are shown without the data; a new sweep needs them.
    std::fs::remove_dir_all(folder.path().join("pngs")).unwrap();
    let report = run(program().current_dir(folder.path()).args(["report", "logs/s0"]));
    assert_eq!(report.code, Some(0), "{}", report.stderr);
    let sweep = run(program().current_dir(folder.path()).args(["sweep", "s0.yaml", "--out", "logs"]).args(engine));
    assert!(sweep.code == Some(2) && sweep.stderr.contains("pngs is not there"), "{}", sweep.stderr);
}

#[test]
fn a_set_that_changes_is_noticed_and_trained_anew() {
    let folder = tempfile::tempdir().unwrap();
    folder_of_pngs(&folder.path().join("pngs"));
    let before = results(folder.path(), "s", "{images: pngs}", &["--engine", "mock"]);
    let other = pixels(0, 77, 8);
    GrayImage::from_raw(8, 8, other).unwrap().save(folder.path().join("pngs/train/0/0000.png")).unwrap();
    let done = run(program().current_dir(folder.path()).args(["sweep", "s.yaml", "--out", "logs", "--engine", "mock"]));
    assert!(done.code == Some(0) && done.stderr.contains("have changed since the last sweep"), "{}", done.stderr);
    let after = read(folder.path().join("logs/s/report/results.csv"));
    let (before, after) = (keys(&before, ""), keys(&after, ""));
    assert!(!after.is_empty() && after.iter().all(|key| !before.contains(key)));
}

#[test]
fn without_a_test_part_a_share_is_held_out_by_content() {
    let folder = tempfile::tempdir().unwrap();
    let save = |class: usize, i: usize| {
        let into = folder.path().join("flat").join(class.to_string());
        std::fs::create_dir_all(&into).unwrap();
        GrayImage::from_raw(8, 8, pixels(class, i, 8)).unwrap().save(into.join(format!("{i:03}.png"))).unwrap();
    };
    (0..2).for_each(|class| (0..60).for_each(|i| save(class, i)));
    let first = described(folder.path(), "{images: flat}");
    let count = |of: &serde_json::Value, part: &str| -> u64 {
        of["info"]["classes"].as_array().unwrap().iter().map(|class| class[part].as_u64().unwrap()).sum()
    };
    let test = count(&first, "test");
    assert!(count(&first, "training") + test == 120 && (10..40).contains(&test), "{first}");
    assert!(first["notes"][0].as_str().unwrap().contains("held out by their content"));
    // More examples do not move the others.
    (60..80).for_each(|i| save(0, i));
    let more = described(folder.path(), "{images: flat}");
    assert!(count(&more, "test") >= test && count(&more, "training") >= count(&first, "training"));
    // Copies in both parts are told, and left out on request.
    folder_of_pngs(&folder.path().join("pngs"));
    std::fs::copy(folder.path().join("pngs/train/0/0000.png"), folder.path().join("pngs/test/0/copy.png")).unwrap();
    let both = described(folder.path(), "{images: pngs}");
    assert!(both["notes"][0].as_str().unwrap().contains("1 test examples are among the training examples"), "{both}");
    let apart = described(folder.path(), "{images: pngs, drop_duplicates: true}");
    assert_eq!(count(&both, "test"), count(&apart, "test") + 1);
}

#[test]
fn images_of_any_kind_and_size_are_made_to_fit() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("mixed");
    for (class, side) in [("rød", 10u32), ("blå og grøn", 16)] {
        let into = root.join(class).join("deeper");
        std::fs::create_dir_all(&into).unwrap();
        for i in 0..20u32 {
            let image = RgbImage::from_fn(side + i % 3, side, |x, y| image::Rgb([(x * 20 + i) as u8, (y * 20) as u8, (i * 9) as u8]));
            let format = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::Gif, ImageFormat::Tiff, ImageFormat::WebP]
                [i as usize % 6];
            let ending = format.extensions_str()[0];
            match format {
                ImageFormat::Png => image::DynamicImage::from(image).into_rgba16().save(into.join(format!("{i}.png"))).unwrap(),
                _ => image.save_with_format(into.join(format!("{i}.{ending}")), format).unwrap(),
            }
        }
    }
    std::fs::write(root.join(".DS_Store"), "x").unwrap();
    std::fs::write(root.join("rød/notes.txt"), "x").unwrap();
    let found = described(folder.path(), "{images: mixed}");
    assert_eq!(found["info"]["classes"][1]["name"], "rød");
    assert!(found["info"]["sizes"].is_array() && found["info"]["channels"] == 3, "{found}");
    assert!(found["notes"][0].as_str().unwrap().contains("files of other kinds that are left out: 1"), "{found}");
    let text =
        STUDY.replace("NAME", "mixed").replace("PLACE", "{images: mixed}").replace("'0', '1'", "'*'").replace("'2', '3'", "rød, 'blå*'");
    let text = text.replace("per_class: 8", "per_class: 6").replace("target: {", "target: {disjoint_from_source: true, ");
    let study = write(folder.path(), "mixed.yaml", &text);
    let sweep =
        |more: &[&str]| run(program().current_dir(folder.path()).arg("sweep").arg(&study).args(["-q", "--engine", "mock"]).args(more));
    let refused = sweep(&[]);
    assert!(refused.code == Some(2) && refused.stderr.contains("images of several sizes, from 10×10 to 16×18"), "{}", refused.stderr);
    assert!(refused.stderr.contains("input: {size: 32}"), "{}", refused.stderr);
    assert_eq!(sweep(&["--set", "input.size=12"]).code, Some(0));
    let sheet = folder.path().join("sheet.png");
    let done = run(program().current_dir(folder.path()).args(["data", "describe", "mixed", "--sheet"]).arg(&sheet));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!(image::open(sheet).unwrap().height(), 2 * 68 + 4);
}

#[test]
fn tables_and_documents() {
    let folder = tempfile::tempdir().unwrap();
    let rows: String = (0..80).map(|i| format!("{},{},{}\n", (i * 7) % 13, (i * i) % 17, ["ja", "nein"][i % 2])).collect();
    write(folder.path(), "t.csv", &format!("a,b,kind\n{rows}"));
    let found = described(folder.path(), "{table: t.csv, label: kind}");
    assert_eq!(found["info"]["image_shape"], serde_json::json!([1, 1, 2]));
    assert_eq!(found["info"]["classes"][0]["name"], "ja");
    assert!(refused(folder.path(), "t.csv").contains("what is predicted?"));
    assert!(refused(folder.path(), "{table: t.csv, label: kin}").contains("it has a, b, kind"));
    let text = STUDY
        .replace("NAME", "t")
        .replace("PLACE", "{table: t.csv, label: kind}")
        .replace("'0', '1'", "ja, nein")
        .replace("'2', '3'", "ja, nein");
    let study = write(folder.path(), "t.yaml", &text);
    let engine: &[&str] = if cfg!(feature = "torch") { &[] } else { &["--engine", "mock"] };
    let done = run(program().current_dir(folder.path()).arg("sweep").arg(&study).arg("-q").args(engine));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let done = run(program().arg("plan").arg(&study).current_dir(folder.path()).args(["--set", "source.augment.flip=true"]));
    assert!(done.code == Some(2) && done.stderr.contains("features cannot be mirrored"), "{}", done.stderr);

    // Words, gaps, decimal commas and packed files, which mean the same as what is written out.
    let words: String = (0..80)
        .map(|i| format!("{},{};{};{};{}\n", i % 5, i % 2, ["rot", "blau"][i % 2], if i % 4 == 0 { "" } else { "2" }, i % 3))
        .collect();
    let table = format!("a;farbe;b;y\n{words}");
    let mut packed = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, table.as_bytes()).unwrap();
    std::fs::write(folder.path().join("w.csv.gz"), packed.finish().unwrap()).unwrap();
    std::fs::write(folder.path().join("w.csv.zst"), zstd::encode_all(table.as_bytes(), 1).unwrap()).unwrap();
    let plain: String = (0..80)
        .map(|i| {
            let gap = u8::from(i % 4 == 0);
            format!("{}.{},{},{},2,{gap},{}\n", i % 5, i % 2, u8::from(i % 2 == 1), u8::from(i % 2 == 0), i % 3)
        })
        .collect();
    write(folder.path(), "plain.csv", &format!("a,farbe=blau,farbe=rot,b,b is missing,y\n{plain}"));
    let digest = |place: &str| described(folder.path(), place)["info"]["digest"].clone();
    let options = "label: y, one_hot: true, impute: mean, decimal: ','";
    let wanted = digest("{table: plain.csv, label: y}");
    assert_eq!(digest(&format!("{{table: w.csv.gz, {options}}}")), wanted);
    assert_eq!(digest(&format!("{{table: w.csv.zst, {options}}}")), wanted);
    let words = refused(folder.path(), "{table: w.csv.gz, label: y, decimal: ','}");
    assert!(words.contains("column `farbe`: `rot`, text, where a number is needed") && words.contains("one_hot: true"), "{words}");
    let words = refused(folder.path(), "{table: w.csv.gz, label: y, decimal: ',', one_hot: true}");
    assert!(words.contains("column `b` is missing"), "{words}");
    assert_eq!(described(folder.path(), "{table: w.csv.gz, label: y, decimal: ',', drop: [farbe, b]}")["info"]["channels"], 1);
    assert!(refused(folder.path(), "{npz: a.npz, one_hot: true}").contains("belong to `table`"));
    assert!(refused(folder.path(), "{npz: a.npz, label: y}").contains("it belongs to `table` and `parquet`"));

    for (class, word) in [("sport", "ball"), ("politik", "stemme")] {
        let into = folder.path().join("texts").join(class);
        std::fs::create_dir_all(&into).unwrap();
        (0..40).for_each(|i| std::fs::write(into.join(i.to_string()), format!("{word} og {i} andre ord om {word}")).unwrap());
    }
    let found = described(folder.path(), "{documents: texts}");
    assert!(found["info"]["image_shape"].is_null() && found["info"]["sizes"].is_null(), "{found}");
    let text = text
        .replace("name: t\n", "name: d\n")
        .replace("{table: t.csv, label: kind}", "{documents: texts}")
        .replace("ja, nein", "sport, politik");
    let study = write(folder.path(), "d.yaml", &text);
    let done = run(program().current_dir(folder.path()).arg("sweep").arg(&study).arg("-q").args(engine));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
}

/// Source and target from different sets: of other shapes, other classes, other colours.
#[test]
fn source_and_target_from_different_sets() {
    let folder = tempfile::tempdir().unwrap();
    folder_of_pngs(&folder.path().join("pngs"));
    let study = |target: &str| {
        let text =
            "name: two\ndata: digits\nseeds: 1\nlambda0: [0, 1e-2]\nlambda1: [0]\nalignment: true\nmodel: {kind: mlp, hidden: [8]}\n";
        format!("{text}source: {{classes: [5, 6, 7], per_class: 20, epochs: 1, lr: 0.1}}\ntarget: {{{target}, per_class: 4, epochs: 1, lr: 0.1}}\n")
    };
    let sweep = |name: &str, text: &str| {
        let path = write(folder.path(), &format!("{name}.yaml"), text);
        let engine: &[&str] = if cfg!(feature = "torch") { &[] } else { &["--engine", "mock"] };
        let done = run(program().current_dir(folder.path()).arg("sweep").arg(path).args(["-q", "--out", name]).args(engine));
        (done.code, done.stderr)
    };
    let two = study("data: {images: pngs}, classes: [2, 3]");
    assert_eq!(sweep("two", &two).0, Some(0));
    // The source stages are those of a study of the source alone; its stages and the target's are
    // not those of another target.
    let one = study("classes: [2, 3]");
    assert_eq!(sweep("one", &one).0, Some(0));
    let of = |name: &str, kind: &str| keys(&read(folder.path().join(name).join("two/report/results.csv")), kind);
    assert_eq!((of("one", "source"), of("one", "target").len()), (of("two", "source"), of("two", "target").len()));
    assert!(of("two", "target").iter().all(|key| !of("one", "target").contains(key)));
    // What one set trains on, the other tests: told, and trained nevertheless.
    let (train, test): (Vec<u8>, Vec<u8>) = ((0..80).flat_map(|i| [i; 64]).collect(), (76..84).flat_map(|i| [i; 64]).collect());
    let images = |all: &[u8]| npy("|u1", &format!("{}, 8, 8", all.len() / 64), all);
    let labels = |n: usize| npy("|u1", &format!("{n},"), &(0..n).map(|i| (i % 2) as u8).collect::<Vec<_>>());
    let whole = |name: &str, train: &[u8], test: &[u8]| {
        let arrays = [
            ("x_train", images(train)),
            ("y_train", labels(train.len() / 64)),
            ("x_test", images(test)),
            ("y_test", labels(test.len() / 64)),
        ];
        npz(&folder.path().join(name), &arrays);
    };
    whole("a.npz", &train, &test);
    whole("b.npz", &[test.as_slice(), &[200; 64 * 40], &[201; 64 * 40]].concat(), &train[..64 * 10]);
    let common = study("data: {npz: b.npz}").replace("data: digits", "data: {npz: a.npz}").replace("classes: [5, 6, 7], ", "");
    let told = sweep("common", &common);
    assert_eq!(told.0, Some(0), "{}", told.1);
    let warning = "10 of the 10 test examples of {npz: b.npz} are among the training examples of {npz: a.npz}";
    assert!(!cfg!(feature = "torch") || told.1.contains(warning), "{}", told.1);
    let wrong = sweep("w", &study("data: {images: pngs}, disjoint_from_source: true"));
    assert!(wrong.0 == Some(2) && wrong.1.contains("of different data sets"), "{}", wrong.1);
    let rows: String = (0..40).map(|i| format!("{i},{}\n", i % 2)).collect();
    write(folder.path(), "t.csv", &format!("a,y\n{rows}"));
    let wrong = sweep("w", &study("data: {table: t.csv, label: y}"));
    assert!(wrong.0 == Some(2) && wrong.1.contains("the source has images, the target features"), "{}", wrong.1);
}

/// What looks alike and is not: names of one number, texts of one number, columns of one name,
/// parts and classes.
#[test]
fn what_looks_alike_is_kept_apart_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let save = |path: &str, class: usize, i: usize| {
        std::fs::create_dir_all(at.join(path).parent().unwrap()).unwrap();
        GrayImage::from_raw(8, 8, pixels(class, i, 8)).unwrap().save(at.join(path)).unwrap();
    };
    for (label, class) in ["01", "1", "2"].into_iter().enumerate() {
        (0..6).for_each(|i| save(&format!("c/train/{class}/{i}.png"), label, i));
        (0..2).for_each(|i| save(&format!("c/test/{class}/{i}.png"), label, 50 + i));
    }
    let found = described(at, "{images: c}");
    let names: Vec<&str> = found["info"]["classes"].as_array().unwrap().iter().map(|class| class["name"].as_str().unwrap()).collect();
    assert_eq!((names, &found["info"]["classes"][0]["training"]), (vec!["01", "1", "2"], &serde_json::json!(6)));

    // A class called `train`, parts beside classes, a test part alone, parts with longer names.
    (0..9).for_each(|i| ["d/train", "d/plane"].iter().enumerate().for_each(|(c, class)| save(&format!("{class}/{i}.png"), c, i)));
    assert_eq!(described(at, "{images: d}")["info"]["classes"].as_array().unwrap().len(), 2);
    (0..4).for_each(|i| {
        ["e/train/a", "e/train/b", "e/car", "t/test/a", "t/test/b"].iter().for_each(|of| save(&format!("{of}/{i}.png"), 0, i))
    });
    assert!(refused(at, "{images: e}").contains("`train` beside car: are these parts or classes?"));
    assert!(refused(at, "{images: t}").contains("but no `train`"));
    for part in ["train_images", "test_images"] {
        (0..4).for_each(|i| {
            ["a", "b"].iter().enumerate().for_each(|(c, class)| save(&format!("l/{part}/{class}/{i}.png"), c, i + part.len()))
        });
    }
    assert_eq!(described(at, "{images: l}")["info"]["classes"][1]["test"], 4);

    // Twenty classes of three examples: each has one that is held out.
    (0..20).for_each(|class| (0..3).for_each(|i| save(&format!("many/k{class}/{i}.png"), class, i)));
    let found = described(at, "{images: many}");
    assert!(found["info"]["classes"].as_array().unwrap().iter().all(|class| class["test"].as_u64().unwrap() >= 1), "{found}");

    // A label is the text of its cell; an index of pandas is no feature; columns differ in name.
    let rows: String = (0..60).map(|i| format!("q{i},{},{}\n", i % 7, ["007", "7", "08"][i % 3])).collect();
    write(at, "code.csv", &format!(",a,k\n{rows}"));
    let found = described(at, "{table: code.csv, label: k, one_hot: true}");
    assert_eq!((&found["info"]["channels"], found["info"]["classes"].as_array().unwrap().len()), (&serde_json::json!(1), 3), "{found}");
    write(at, "dup.csv", "w,w,k\np,r,a\nq,s,b\n");
    assert!(refused(at, "{table: dup.csv, label: k, one_hot: true}").contains("two columns are called `w`"));
    let rows: String = (0..60).map(|i| format!("{},{}\n", 1_700_000_000 + i, i % 2)).collect();
    write(at, "time.csv", &format!("t,k\n{rows}"));
    assert!(refused(at, "{table: time.csv, label: k}").contains("single precision cannot tell its values apart"));

    // Arrays: half a test part, parts of different widths.
    let y = || npy("<i8", "2,", &[0i64, 1].map(i64::to_le_bytes).concat());
    let x = |width: usize| npy("|u1", &format!("2, {width}"), &(0..2 * width).map(|i| i as u8).collect::<Vec<u8>>());
    npz(&at.join("w.npz"), &[("x_train", x(3)), ("y_train", y()), ("x_test", x(3)), ("Y_tst", y())]);
    assert!(refused(at, "w.npz").contains("it has `x_test` but no `y_test`"));
    npz(&at.join("w.npz"), &[("x_train", x(3)), ("y_train", y()), ("x_test", x(2)), ("y_test", y())]);
    assert!(refused(at, "w.npz").contains("the training part has rows of 3 features, the test part rows of 2 features"));
}

/// Validation examples of an archive join the training part; without a test part they are it.
#[test]
fn validation_arrays_of_an_archive() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let part = |name: &str, n: usize, first: u8, width: usize| -> [(String, Vec<u8>); 2] {
        let values: Vec<u8> = (0..n * width).map(|i| first + i as u8).collect();
        let labels: Vec<u8> = (0..n).map(|i| (i % 2) as u8).collect();
        [(format!("x_{name}"), npy("|u1", &format!("{n}, {width}"), &values)), (format!("y_{name}"), npy("|u1", &format!("{n},"), &labels))]
    };
    let write_all = |file: &str, parts: Vec<[(String, Vec<u8>); 2]>| {
        let arrays: Vec<(String, Vec<u8>)> = parts.into_iter().flatten().collect();
        let named: Vec<(&str, Vec<u8>)> = arrays.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
        npz(&at.join(file), &named);
    };
    write_all("three.npz", vec![part("train", 8, 0, 2), part("test", 4, 100, 2), part("val", 6, 200, 2)]);
    write_all("two.npz", vec![part("train", 8, 0, 2), part("val", 6, 200, 2)]);
    let counts = |file: &str| {
        let found = described(at, &format!("{{npz: {file}}}"));
        let of = |key: &str| found["info"]["classes"].as_array().unwrap().iter().map(|class| class[key].as_u64().unwrap()).sum::<u64>();
        (of("training"), of("test"), found["notes"].to_string())
    };
    let (training, test, notes) = counts("three.npz");
    assert!((training, test) == (14, 4) && notes.contains("x_val joins x_train"), "{training} {test} {notes}");
    let (training, test, notes) = counts("two.npz");
    assert!((training, test) == (8, 6) && notes.contains("are the test part"), "{training} {test} {notes}");
    write_all("wide.npz", vec![part("train", 8, 0, 2), part("test", 4, 100, 2), part("val", 6, 200, 3)]);
    assert!(refused(at, "wide.npz").contains("x_train and x_val: rows of 2 features and rows of 3 features"));
    write_all("alone.npz", vec![part("val", 6, 200, 3)]);
    assert!(refused(at, "alone.npz").contains("no training part"));
    npz(&at.join("half.npz"), &[("x", vec![]), ("y_val", vec![])]);
    assert!(refused(at, "half.npz").contains("it has `y_val` but no `x_val`"));
}

/// The worked files of docs/data.md are right but for the data, which are not here.
#[test]
fn the_worked_files_are_studies() {
    let text = read(repository().join("docs/data.md"));
    let files = text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).filter(|file| file.contains("name: "));
    let folder = tempfile::tempdir().unwrap();
    let mut tried = 0;
    for file in files {
        let study = write(folder.path(), "study.yaml", file);
        let done = run(program().current_dir(folder.path()).env("HOME", folder.path()).arg("plan").arg(study));
        let names_a_place = file.contains("data: {");
        let is_missing = done.code == Some(2) && done.stderr.contains(" is not there, neither from here");
        assert!(if names_a_place { is_missing } else { done.code == Some(0) }, "{file}\n{}", done.stderr);
        tried += 1;
    }
    assert_eq!(tried, 3);
}

#[test]
fn other_layouts_and_a_folder_of_the_set_itself() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("cifar-10-batches-py")).unwrap();
    let study = STUDY.replace("NAME", "c").replace("PLACE", "cifar10").replace("'0', '1'", "cat, dog").replace("'2', '3'", "ship, truck");
    let study = write(folder.path(), "c.yaml", &study);
    let engine: &[&str] = if cfg!(feature = "torch") { &[] } else { &["--engine", "mock"] };
    let sweep = run(program().current_dir(folder.path()).arg("sweep").arg(&study).arg("--data").arg(folder.path()).args(engine));
    if cfg!(feature = "torch") {
        assert!(sweep.code == Some(2) && sweep.stderr.contains("Python objects and are not read"), "{}", sweep.stderr);
    }
    idx(&folder.path().join("mnist"));
    for data in [folder.path().to_path_buf(), folder.path().join("mnist")] {
        let list = run(program().args(["data", "list", "--data"]).arg(data));
        assert!(
            list.stdout.lines().any(|line| line.starts_with("mnist") && line.contains("/mnist, but not the published files: ")),
            "{}",
            list.stdout
        );
    }
}

#[test]
fn what_cannot_be_read_is_said_once() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    folder_of_pngs(&at.join("pngs"));
    for i in 0..13 {
        std::fs::write(at.join(format!("pngs/train/1/broken{i:02}.png")), "no image").unwrap();
    }
    let words = refused(at, "{images: pngs}");
    assert!(words.contains("13 files cannot be read as images") && words.contains("… and 3 more"), "{words}");
    std::fs::create_dir_all(at.join("one/only")).unwrap();
    GrayImage::new(2, 2).save(at.join("one/only/a.png")).unwrap();
    assert!(refused(at, "{images: one}").contains("one class, `only`"));
    std::fs::create_dir_all(at.join("none")).unwrap();
    assert!(refused(at, "{images: none}").contains("no images in the folders below it"));
    assert!(refused(at, "{images: nowhere}").contains("nowhere is not there"));
    assert!(refused(at, "nowhere").contains("nowhere is not there"));
    assert!(refused(at, "{images: one, npz: two}").contains("several places"));
    // A link that leads out of the folder is not followed.
    std::os::unix::fs::symlink(at.join("pngs/train"), at.join("one/out")).unwrap();
    assert!(refused(at, "{images: one}").contains("one class"));
    // Arrays: objects, a header that promises more than is there, labels that do not fit.
    let y = npy("<i8", "2,", &[0i64, 1].map(i64::to_le_bytes).concat());
    let cases = [
        (npy("|O", "2, 2", &[0; 8]), "Python objects"),
        (npy("|u1", "2, 1000000, 1000000", &[0; 8]), "its header promises"),
        (npy("<f4", "2, 1, 1", &[0.5f32, -3.0].map(f32::to_le_bytes).concat()), "holds -3"),
        (npy("|u1", "3, 2, 2", &[0; 12]), "3 examples"),
        (npy("|u1", "2, 2, 2, 2", &[0; 16]), "has the shape"),
        (b"nothing".to_vec(), "is no NumPy array"),
    ];
    for (x, says) in cases {
        npz(&at.join("w.npz"), &[("x", x), ("y", y.clone())]);
        let words = refused(at, "w.npz");
        assert!(words.contains(says), "{says}: {words}");
    }
    std::fs::write(at.join("w.npz"), "no archive").unwrap();
    assert!(refused(at, "w.npz").contains("is no .npz archive"));
    // A picture that would be too large is refused before it is unpacked.
    let mut bomb = vec![];
    let mut encoder = png::Encoder::new(&mut bomb, 60_000, 60_000);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_chunk(png::chunk::IDAT, &[0x78, 0x9c]).unwrap();
    std::fs::write(at.join("one/only/bomb.png"), bomb).unwrap();
    assert!(refused(at, "{images: one}").contains("60000×60000 pixels cannot be in"));
}
