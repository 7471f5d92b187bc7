//! TF-IDF features of the real 20 Newsgroups compared with scikit-learn's; the numbers are from
//! tests/golden/newsgroups.py. In CI the data are required.

use serde_json::Value as Json;
use transfergrid::config::network::{DataName, FitOn, Text};
use transfergrid::data::{find, search_path, Dataset, Vectoriser};

#[test]
fn features_are_scikit_learns() {
    let roots = search_path(None);
    if find(DataName::Newsgroups, &roots).is_none() {
        assert!(std::env::var_os("CI").is_none(), "20 Newsgroups have to be there in CI: set TRANSFERGRID_DATA");
        eprintln!("LEFT OUT: 20 Newsgroups are not here (set TRANSFERGRID_DATA)");
        return;
    }
    let golden: Json = serde_json::from_str(include_str!("../golden/newsgroups.json")).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 8);
    for strip in [false, true] {
        let files = Dataset::read(DataName::Newsgroups, strip, &roots).unwrap();
        let (train, test) = (files.0.corpus().unwrap(), files.1.corpus().unwrap());
        for case in cases.iter().filter(|case| case["strip"] == strip) {
            let n = |key: &str| case[key].as_u64().unwrap() as usize;
            let text = Text { features: n("features"), min_df: n("min_df"), fit: FitOn::Source, strip };
            let rows: Vec<usize> = (0..train.documents.len()).step_by(n("every")).collect();
            let fitted = Vectoriser::fit(train, &rows, &text);
            assert_eq!(fitted.vocabulary, n("vocabulary"), "{case}");
            let vocabulary: Vec<&str> = fitted.words().map(|word| train.words[word].as_str()).collect();
            for (key, at) in [("first", 0), ("middle", vocabulary.len() / 2), ("last", vocabulary.len() - 1)] {
                assert_eq!(vocabulary[at], case[key].as_str().unwrap());
            }
            let of = |documents: Vec<&Vec<(u32, u32)>>| documents.into_iter().map(|d| fitted.row(d)).collect::<Vec<_>>();
            let (x, z) = (of(rows.iter().map(|&row| &train.documents[row]).collect()), of(test.documents.iter().collect()));
            let nonzeros = |rows: &[Vec<(usize, f64)>]| rows.iter().map(Vec::len).sum::<usize>();
            assert_eq!((nonzeros(&x), nonzeros(&z)), (n("train_nonzeros"), n("test_nonzeros")));
            let sum = |row: &Vec<(usize, f64)>| row.iter().map(|(_, v)| v).sum::<f64>();
            let close = |ours: f64, theirs: &Json| {
                let theirs = theirs.as_f64().unwrap();
                assert!((ours - theirs).abs() <= 1e-9 * theirs.abs().max(1.0), "{ours} and {theirs}");
            };
            close(x.iter().map(sum).sum(), &case["train_sum"]);
            close(z.iter().map(sum).sum(), &case["test_sum"]);
            let length = |row: &&Vec<(usize, f64)>| (row.iter().map(|(_, v)| v * v).sum::<f64>().sqrt() - 1.0).abs() < 1e-9;
            assert_eq!(x.iter().filter(length).count(), n("rows_of_length_1"));
            x.iter().step_by(500).zip(case["row_sums"].as_array().unwrap()).for_each(|(row, theirs)| close(sum(row), theirs));
        }
    }
}
