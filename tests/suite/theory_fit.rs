//! `theory fit` as a user runs it: every kind of table, its results, and what it refuses.

use std::path::Path;

use crate::common::*;
use ndarray::{Array1, Array2};
use ndarray_npy::{read_npy, write_npy, NpzReader, NpzWriter};
use rand_distr::{Distribution, StandardNormal};
use serde_json::Value as Json;
use transfergrid::theory::sampler::random;

fn theory(folder: &Path, arguments: &[&str]) -> Done {
    run(program().current_dir(folder).arg("theory").args(arguments))
}

fn ok(folder: &Path, arguments: &[&str]) -> String {
    let done = theory(folder, arguments);
    assert_eq!(done.code, Some(0), "{arguments:?}: {}", done.stderr);
    done.stdout
}

/// A Parquet file with columns of doubles and one column of text.
fn parquet(path: &Path, names: &[&str], columns: &[Vec<f64>]) {
    use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
    let fields: String = names.iter().map(|name| format!("REQUIRED DOUBLE {name};")).collect();
    let schema = parquet::schema::parser::parse_message_type(&format!("message t {{ {fields} REQUIRED BYTE_ARRAY id (UTF8); }}")).unwrap();
    let mut file =
        parquet::file::writer::SerializedFileWriter::new(std::fs::File::create(path).unwrap(), schema.into(), Default::default()).unwrap();
    let mut group = file.next_row_group().unwrap();
    for values in columns {
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<DoubleType>().write_batch(values, None, None).unwrap();
        column.close().unwrap();
    }
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&vec![ByteArray::from("p-7"); columns[0].len()], None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    file.close().unwrap();
}

/// Source and target tables with features a, b, c and response y. The target's function is `rho`
/// times the source's.
fn tables(seed: u64, rho: f64, n0: usize, n1: usize) -> [(Array2<f64>, Array1<f64>); 2] {
    let mut rng = random(seed, 0);
    let w = [1.0, -2.0, 0.5];
    [(n0, 1.0), (n1, rho)].map(|(n, scale)| {
        let x = Array2::from_shape_simple_fn((n, 3), || StandardNormal.sample(&mut rng));
        let noise: Array1<f64> = Array1::from_shape_simple_fn(n, || StandardNormal.sample(&mut rng));
        let y = scale * x.dot(&Array1::from_vec(w.to_vec())) + 3.0 + noise;
        (x, y)
    })
}

fn csv(x: &Array2<f64>, y: &Array1<f64>) -> String {
    let rows = x.rows().into_iter().zip(y).map(|(r, y)| format!("{},{},{y},{}\n", r[0], r[1], r[2]));
    format!("a,b,y,c\n{}", rows.collect::<String>())
}

#[test]
fn a_fit_reads_every_kind_of_table_and_says_the_same() {
    let here = tempfile::tempdir().unwrap();
    let [(x0, y0), (x1, y1)] = tables(1, 0.8, 200, 15);
    for (name, x, y) in [("a", &x0, &y0), ("b", &x1, &y1)] {
        write(here.path(), &format!("{name}.csv"), &csv(x, y));
        let mut npz = NpzWriter::new(std::fs::File::create(here.path().join(format!("{name}.npz"))).unwrap());
        npz.add_array("X", x).unwrap();
        npz.add_array("y", y).unwrap();
        npz.finish().unwrap();
        let columns: Vec<Vec<f64>> = x.columns().into_iter().map(|c| c.to_vec()).chain([y.to_vec()]).collect();
        parquet(&here.path().join(format!("{name}.parquet")), &["a", "b", "c", "y"], &columns);
        let all = ndarray::concatenate![ndarray::Axis(1), x.view(), y.view().insert_axis(ndarray::Axis(1))];
        write_npy(here.path().join(format!("{name}.npy")), &all.mapv(|v| v as f32)).unwrap();
    }
    let fit = |kind: &str, response: &str| -> Json {
        let (a, b) = (format!("a.{kind}"), format!("b.{kind}"));
        let drop: &[&str] = if kind == "parquet" { &["--drop", "id"] } else { &[] };
        let arguments = ["fit", "--source", &a, "--target", &b, "--response", response, "--out", kind, "--json"];
        json(&ok(here.path(), &[&arguments, drop].concat()))
    };
    let first = fit("csv", "y");
    assert_eq!(first["transfer_helps"], true);
    assert!(first["loo"]["transfer"].as_f64().unwrap() < first["loo"]["scratch"].as_f64().unwrap());
    let rho = &first["rho"];
    assert!(rho["low"].as_f64().unwrap() < 0.8 && 0.8 < rho["high"].as_f64().unwrap(), "{rho}");
    for (kind, response, tolerance) in [("npz", "y", 1e-9f64), ("parquet", "y", 1e-9), ("npy", "3", 1e-4)] {
        let other = fit(kind, response);
        for key in ["lambda_source", "lambda0", "lambda1"] {
            // null means λ = ∞, which `limits` explains.
            let lambda = |fit: &Json| fit[key].as_f64().unwrap_or_else(|| if fit["limits"][key].is_string() { 1.0 } else { f64::NAN });
            assert_eq!(first[key].is_null(), other[key].is_null(), "{kind} {key}");
            let (a, b) = (lambda(&first), lambda(&other));
            assert!((a / b - 1.0).abs() < tolerance.max(2e-4), "{kind} {key}: {a} and {b}");
        }
        let (a, b) = (first["loo"]["transfer"].as_f64().unwrap(), other["loo"]["transfer"].as_f64().unwrap());
        assert!((a / b - 1.0).abs() < tolerance, "{kind}: {a} and {b}");
    }
    // The coefficients predict: the residuals on the target are smaller than its noise plus the
    // error of three coefficients.
    let mut npz = NpzReader::new(std::fs::File::open(here.path().join("npz/coefficients.npz")).unwrap()).unwrap();
    let beta: Array2<f64> = npz.by_name("beta_transfer").unwrap();
    let intercept: Array1<f64> = npz.by_name("intercept_transfer").unwrap();
    let residual = &y1 - &(x1.dot(&beta.column(0)) + intercept[0]);
    assert!(residual.dot(&residual) / 15.0 < 1.5, "{residual}");
    assert!(here.path().join("csv/fit.json").is_file());
    let words = ok(here.path(), &["fit", "--source", "a.csv", "--target", "b.csv", "--response", "y"]);
    assert!(words.starts_with("Transfer helps:") && words.contains("λ_S =") && words.contains("alignment ρ̂ ="), "{words}");
    let _: Result<Array2<f64>, _> = read_npy(here.path().join("a.npy"));
}

#[test]
fn several_responses_are_fitted_together() {
    let here = tempfile::tempdir().unwrap();
    let [(x0, y0), (x1, y1)] = tables(2, 1.0, 100, 20);
    for (name, x, y) in [("a", &x0, &y0), ("b", &x1, &y1)] {
        let mut npz = NpzWriter::new(std::fs::File::create(here.path().join(format!("{name}.npz"))).unwrap());
        npz.add_array("X", x).unwrap();
        npz.add_array("y", &ndarray::stack![ndarray::Axis(1), y.view(), (-2.0 * y).view()]).unwrap();
        npz.finish().unwrap();
    }
    let both = json(&ok(here.path(), &["fit", "--source", "a.npz", "--target", "b.npz", "--response", "y", "--json"]));
    assert!((both["rho"]["estimate"].as_f64().unwrap() - 1.0).abs() < 0.3, "{both}");
    let beta: Array2<f64> = NpzReader::new(std::fs::File::open(here.path().join("logs/fit/coefficients.npz")).unwrap())
        .unwrap()
        .by_name("beta_transfer")
        .unwrap();
    assert_eq!(beta.dim(), (3, 2));
    for i in 0..3 {
        assert!((beta[[i, 1]] + 2.0 * beta[[i, 0]]).abs() < 1e-9);
    }
}

/// Fits two tables. Returns the first sentence and everything that is printed.
fn fitted(source: &str, target: &str) -> (String, String) {
    let here = tempfile::tempdir().unwrap();
    write(here.path(), "a.csv", source);
    write(here.path(), "b.csv", target);
    let words = ok(here.path(), &["fit", "--source", "a.csv", "--target", "b.csv", "--response", "y"]);
    (words.lines().next().unwrap().to_string(), words)
}

#[test]
fn a_fit_finds_the_same_optimum_whatever_the_units_of_one_column() {
    let [(x0, y0), (x1, y1)] = tables(5, 0.8, 60, 30);
    let loo = |scale: f64| -> Json {
        let here = tempfile::tempdir().unwrap();
        let mut x = x1.clone();
        x.column_mut(2).mapv_inplace(|v| v * scale);
        write(here.path(), "a.csv", &csv(&x0, &y0));
        write(here.path(), "b.csv", &csv(&x, &y1));
        json(&ok(here.path(), &["fit", "--source", "a.csv", "--target", "b.csv", "--response", "y", "--json"]))
    };
    let scratch = |fit: &Json| fit["loo"]["scratch"].as_f64().unwrap();
    let plain = loo(1.0);
    assert_eq!(plain["warnings"], serde_json::json!([]));
    for scale in [1e4, 1e-4, 1e7] {
        let other = loo(scale);
        // The direction of that column is fitted with or without its penalty: the size of the error
        // does not change.
        assert!((scratch(&other) / scratch(&plain)).ln().abs() < 0.5, "{scale}: {} and {}", scratch(&other), scratch(&plain));
        let warning = other["warnings"][0].as_str().unwrap();
        assert!(warning.starts_with("column `c` is spread"), "{warning}");
    }
}

#[test]
fn one_row_or_an_interval_beyond_the_whole_error_gives_no_verdict() {
    let [(x0, y0), (x1, y1)] = tables(6, 1.0, 60, 30);
    let (healthy, _) = fitted(&csv(&x0, &y0), &csv(&x1, &y1));
    assert!(healthy.starts_with("Transfer"), "{healthy}");
    let mut coded = x1.clone();
    coded[[3, 1]] = -9999.0;
    let (outlier, words) = fitted(&csv(&x0, &y0), &csv(&coded, &y1));
    assert!(outlier.starts_with("No verdict: line 5 of b.csv decides"), "{outlier}");
    assert!(words.contains("warning: column `b` is spread"), "{words}");
    let mut response = y1.clone();
    response[7] = 5000.0;
    let (outlier, _) = fitted(&csv(&x0, &y0), &csv(&x1, &response));
    assert!(outlier.starts_with("No verdict: line 9 of b.csv decides"), "{outlier}");
    // Beyond a file-size limit, a write returns an error.
    let here = tempfile::tempdir().unwrap();
    write(here.path(), "a.csv", &csv(&x0, &y0));
    write(here.path(), "b.csv", &csv(&x1, &y1));
    let fit = format!("ulimit -f 1; exec {} theory fit --source a.csv --target b.csv --response y", env!("CARGO_BIN_EXE_transfergrid"));
    let limited = crate::common::run(std::process::Command::new("bash").args(["-c", &fit]).current_dir(here.path()));
    assert!(limited.code == Some(1) && limited.stderr.contains("cannot write"), "{:?}: {}", limited.code, limited.stderr);

    // Two such rows mask each other if each is checked alone.
    for in_source in [false, true] {
        let (mut source, mut target) = (y0.clone(), y1.clone());
        let coded = if in_source { &mut source } else { &mut target };
        (coded[3], coded[11]) = (-9999.0, -9999.0);
        let (two, words) = fitted(&csv(&x0, &source), &csv(&x1, &target));
        let file = if in_source { "a.csv" } else { "b.csv" };
        assert!(two.starts_with(&format!("No verdict: 2 rows of {file} decide")), "{two}");
        assert!(words.contains("warning: column `y` is spread"), "{words}");
    }
    // Categories that occur only once have no influence, however many there are. An outlier beside
    // them is still found.
    let categories = |text: String| -> String {
        let more = |i: usize| -> String {
            (0..15).map(|j| if i == 0 { format!(",d{j}") } else { format!(",{}", u8::from(i == j + 1)) }).collect()
        };
        text.lines().enumerate().map(|(i, line)| format!("{line}{}\n", more(i))).collect()
    };
    let (sentence, _) = fitted(&categories(csv(&x0, &y0)), &categories(csv(&x1, &y1)));
    assert!(sentence.starts_with("Transfer"), "{sentence}");
    let (sentence, _) = fitted(&categories(csv(&x0, &y0)), &categories(csv(&coded, &y1)));
    assert!(sentence.starts_with("No verdict: line 5 of b.csv decides"), "{sentence}");
    let few = |n: usize| csv(&x1.slice(ndarray::s![..n, ..]).to_owned(), &y1.slice(ndarray::s![..n]).to_owned());
    for n in [3, 4] {
        let (sentence, _) = fitted(&csv(&x0, &y0), &few(n));
        assert!(sentence.starts_with("No verdict") || sentence.starts_with("Transfer does not help"), "{n} rows: {sentence}");
    }
    let exact = csv(&x1, &x1.dot(&Array1::from_vec(vec![1.0, -2.0, 0.5])));
    let (sentence, _) = fitted(&csv(&x0, &y0), &exact);
    assert!(sentence.starts_with("No verdict: the target is fitted exactly"), "{sentence}");
}

#[test]
fn an_index_is_no_feature_in_any_format_and_constants_are_judged_alike() {
    let [(x0, y0), (x1, y1)] = tables(7, 0.8, 40, 20);
    let numbered = |text: &str| -> String {
        text.lines().enumerate().map(|(i, l)| format!("{},{l}\n", if i == 0 { String::new() } else { (i - 1).to_string() })).collect()
    };
    let (plain, _) = fitted(&csv(&x0, &y0), &csv(&x1, &y1));
    let (indexed, words) = fitted(&numbered(&csv(&x0, &y0)), &numbered(&csv(&x1, &y1)));
    assert_eq!(plain, indexed);
    assert!(words.contains("the first column (it has no name) is the index of the rows and is left out"), "{words}");

    // An index with two levels.
    let (twice, _) = fitted(&numbered(&numbered(&csv(&x0, &y0))), &numbered(&numbered(&csv(&x1, &y1))));
    assert_eq!(plain, twice);

    // 0.1 + 0.2 and 0.3: constant up to rounding, for the message and for the flag.
    let rounding = |text: &str| -> String {
        let value = |i: usize| if i.is_multiple_of(2) { "0.30000000000000004" } else { "0.3" };
        text.lines().enumerate().map(|(i, l)| format!("{l},{}\n", if i == 0 { "k" } else { value(i) })).collect()
    };
    let here = tempfile::tempdir().unwrap();
    write(here.path(), "a.csv", &rounding(&csv(&x0, &y0)));
    write(here.path(), "b.csv", &rounding(&csv(&x1, &y1)));
    let arguments = ["fit", "--source", "a.csv", "--target", "b.csv", "--response", "y"];
    let refused = theory(here.path(), &arguments);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("a.csv: column `k` is constant") && refused.stderr.contains("--drop-constant"), "{}", refused.stderr);
    let dropped = ok(here.path(), &[arguments.as_slice(), &["--drop-constant"]].concat());
    assert_eq!(dropped.lines().next().unwrap(), plain);
    assert!(dropped.contains("constant in the source and left out: k"), "{dropped}");
}

/// Words and gaps give the fit of the table in which they are written out as numbers.
#[test]
fn words_and_gaps_are_encoded_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let [(source, of_source), (target, of_target)] = tables(3, 0.8, 60, 30);
    let kind = |i: usize| ["low", "mid", "high"][i % 3];
    let gap = |i: usize| i % 7 == 2;
    // The mean of the source's known values of `a`, for both tables.
    let known: Vec<f64> = (0..source.nrows()).filter(|&i| !gap(i)).map(|i| source[[i, 0]]).collect();
    let mean = known.iter().sum::<f64>() / known.len() as f64;
    for (name, x, y) in [("s", &source, &of_source), ("t", &target, &of_target)] {
        let words: String = (0..x.nrows())
            .map(|i| format!("{},{},{},{}\n", if gap(i) { "NA".into() } else { x[[i, 0]].to_string() }, x[[i, 1]], kind(i), y[i]))
            .collect();
        write(folder.path(), &format!("{name}.csv"), &format!("a,b,kind,y\n{words}"));
        let is = |i: usize, word: &str| u8::from(kind(i) == word);
        let numbers: String = (0..x.nrows())
            .map(|i| {
                let a = if gap(i) { mean } else { x[[i, 0]] };
                let (high, low, mid) = (is(i, "high"), is(i, "low"), is(i, "mid"));
                format!("{a},{},{},{high},{low},{mid},{}\n", u8::from(gap(i)), x[[i, 1]], y[i])
            })
            .collect();
        write(folder.path(), &format!("{name}-plain.csv"), &format!("a,a is missing,b,kind=high,kind=low,kind=mid,y\n{numbers}"));
    }
    let fit = |source: &str, target: &str, more: &[&str]| -> Json {
        let arguments = [&["fit", "--source", source, "--target", target, "--response", "y", "--json"], more].concat();
        let mut json = json(&ok(folder.path(), &arguments));
        // Names of files are not part of the comparison.
        let text = json.to_string().replace("-plain", "");
        json = serde_json::from_str(&text).unwrap();
        json
    };
    let encoded = fit("s.csv", "t.csv", &["--one-hot", "--impute", "mean"]);
    assert_eq!(encoded, fit("s-plain.csv", "t-plain.csv", &[]));
    let chosen = fit("s.csv", "t.csv", &["--one-hot", "--impute", "mean", "--features", "kind,b"]);
    assert_eq!(chosen, fit("s-plain.csv", "t-plain.csv", &["--features", "kind=high,kind=low,kind=mid,b"]));
    let wrong = theory(folder.path(), &["fit", "--source", "s.csv", "--target", "t.csv", "--response", "y", "--one-hot"]);
    assert!(wrong.code == Some(2) && wrong.stderr.contains("column `a` is missing (`NA`)"), "{}", wrong.stderr);
}

#[test]
fn wrong_tables() {
    let [(x0, y0), (x1, y1)] = tables(3, 1.0, 12, 10);
    let (a, b) = (csv(&x0, &y0), csv(&x1, &y1));
    let edit = |text: &str, line: usize, f: &dyn Fn(&str) -> String| -> String {
        text.lines().enumerate().map(|(i, l)| if i == line { f(l) } else { l.to_string() } + "\n").collect()
    };
    let constant = |text: &str| -> String {
        text.lines()
            .enumerate()
            .map(|(i, l)| if i == 0 { l.to_string() } else { format!("7,{}", l.split_once(',').unwrap().1) } + "\n")
            .collect()
    };
    let constant_y = |text: &str| -> String {
        let row = |l: &str| {
            let f: Vec<&str> = l.split(',').collect();
            format!("{},{},7,{}\n", f[0], f[1], f[3])
        };
        text.lines().enumerate().map(|(i, l)| if i == 0 { format!("{l}\n") } else { row(l) }).collect()
    };
    let cases: Vec<(&str, String, String, Vec<&str>)> = vec![
        ("a value that is not a number", edit(&a, 3, &|l| l.replacen(|c: char| c.is_ascii_digit(), "x", 1)), b.clone(), vec![]),
        ("a missing value", a.clone(), edit(&b, 2, &|l| format!(",{}", l.split_once(',').unwrap().1)), vec![]),
        ("a short line", edit(&a, 2, &|l| l.rsplit_once(',').unwrap().0.to_string()), b.clone(), vec![]),
        ("no header", edit(&a, 0, &|_| "1,2,3,4".into()), b.clone(), vec![]),
        ("an empty table", "a,b,y,c\n".into(), b.clone(), vec![]),
        ("an empty file", String::new(), b.clone(), vec![]),
        ("a constant column", constant(&a), b.clone(), vec![]),
        ("features that differ", a.clone(), edit(&b, 0, &|_| "a,b,y,d".into()), vec![]),
        (
            "a feature too many",
            a.clone(),
            b.lines().enumerate().map(|(i, l)| format!("{l},{}\n", if i == 0 { "d" } else { "1" })).collect(),
            vec![],
        ),
        ("two columns of one name", edit(&a, 0, &|_| "a,a,y,c".into()), b.clone(), vec![]),
        ("a response that is not there", a.clone(), b.clone(), vec!["--response", "z"]),
        ("a feature that is not there", a.clone(), b.clone(), vec!["--features", "a,bb"]),
        ("the response as a feature", a.clone(), b.clone(), vec!["--features", "a,y"]),
        ("two rows", a.clone(), b.lines().take(3).map(|l| format!("{l}\n")).collect(), vec![]),
        ("a column to leave out that is not there", a.clone(), b.clone(), vec!["--drop", "cc"]),
        ("a response that is constant", a.clone(), constant_y(&b), vec![]),
        ("a response twice", a.clone(), b.clone(), vec!["--response", "y,y"]),
        ("a number that overflows", a.clone(), edit(&b, 2, &|l| format!("1e200,{}", l.split_once(',').unwrap().1)), vec![]),
        ("nothing left", a.clone(), b.clone(), vec!["--drop", "a,b,c"]),
    ];
    let mut out = String::new();
    for (name, source, target, more) in &cases {
        let here = tempfile::tempdir().unwrap();
        write(here.path(), "a.csv", source);
        write(here.path(), "b.csv", target);
        let mut arguments = vec!["fit", "--source", "a.csv", "--target", "b.csv"];
        if !more.contains(&"--response") {
            arguments.extend(["--response", "y"]);
        }
        arguments.extend(more);
        let done = theory(here.path(), &arguments);
        assert_eq!(done.code, Some(2), "{name}: {}{}", done.stdout, done.stderr);
        assert!(!here.path().join("logs").exists(), "{name}: nothing is written");
        out.push_str(&format!("## {name}\n{}\n", done.stderr));
    }
    let here = tempfile::tempdir().unwrap();
    write(here.path(), "b.csv", &b);
    for source in ["nowhere.csv", ".", "b.xlsx"] {
        if source.ends_with("xlsx") {
            write(here.path(), source, "x");
        }
        let done = theory(here.path(), &["fit", "--source", source, "--target", "b.csv", "--response", "y"]);
        assert_eq!(done.code, Some(2), "{source}");
        out.push_str(&format!("## {source}\n{}\n", done.stderr));
    }
    // Columns that are left out may contain text.
    let with_words =
        |text: &str| -> String { text.lines().enumerate().map(|(i, l)| format!("{},{l}\n", if i == 0 { "id" } else { "p-7" })).collect() };
    write(here.path(), "c.csv", &with_words(&a));
    write(here.path(), "d.csv", &with_words(&b));
    ok(here.path(), &["fit", "--source", "c.csv", "--target", "d.csv", "--response", "y", "--drop", "id"]);
    ok(here.path(), &["fit", "--source", "c.csv", "--target", "d.csv", "--response", "y", "--features", "a,b"]);
    // Constant columns can be left out with a flag.
    write(here.path(), "a.csv", &constant(&a));
    ok(here.path(), &["fit", "--source", "a.csv", "--target", "b.csv", "--response", "y", "--drop-constant"]);
    insta::assert_snapshot!(out);
}
