//! Documents as word counts, and their TF-IDF features as in scikit-learn.

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::threads;
use crate::config::network::Text;

/// Documents as word counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Corpus {
    /// All words of the training and test documents, in alphabetical order.
    pub words: Arc<Vec<String>>,
    /// For each document, its words as ascending indices into `words`, with their counts.
    pub documents: Vec<Vec<(u32, u32)>>,
}

/// Counts the words of several sets of texts with one common word list. With `strip`, headers,
/// footers and quoted lines are removed.
pub fn count<const N: usize>(texts: [Vec<String>; N], strip: bool) -> [Corpus; N] {
    let tokens = |text: &String| {
        let text = if strip { without_quotes(without_footer(without_header(text))) } else { text.clone() };
        let mut counts: HashMap<String, u32> = HashMap::new();
        words(&text).for_each(|word| *counts.entry(word).or_default() += 1);
        counts
    };
    let counted = texts.map(|texts| threads::map(texts.len(), |i| tokens(&texts[i])));
    let mut all: Vec<String> = counted.iter().flatten().flat_map(HashMap::keys).cloned().collect();
    all.sort_unstable();
    all.dedup();
    let all = Arc::new(all);
    let index: HashMap<&str, u32> = all.iter().zip(0..).map(|(word, i)| (word.as_str(), i)).collect();
    counted.map(|documents| {
        let sparse = |counts: &HashMap<String, u32>| {
            let mut row: Vec<(u32, u32)> = counts.iter().map(|(word, &n)| (index[word.as_str()], n)).collect();
            row.sort_unstable();
            row
        };
        Corpus { words: all.clone(), documents: threads::map(documents.len(), |i| sparse(&documents[i])) }
    })
}

/// The words of a text in lower case. A word is a run of at least two letters, digits or
/// underscores.
fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    let lower = text.to_lowercase();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let all: Vec<String> = lower.split(|c| !is_word(c)).filter(|word| word.chars().nth(1).is_some()).map(str::to_string).collect();
    all.into_iter()
}

/// Whether Python's `str.strip` removes this character.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// The text after the first empty line.
fn without_header(text: &str) -> &str {
    text.split_once("\n\n").map_or("", |(_, body)| body)
}

/// Removes the last line that is empty or consists of dashes, and everything after it. The text is
/// unchanged if there is no such line, or if it is the first one.
fn without_footer(text: &str) -> String {
    let lines: Vec<&str> = text.trim_matches(is_space).split('\n').collect();
    let rule = |line: &&str| line.trim_matches(is_space).trim_matches('-').is_empty();
    match lines.iter().rposition(rule) {
        Some(at) if at > 0 => lines[..at].join("\n"),
        _ => text.to_string(),
    }
}

/// Removes quoted lines and the lines that introduce them.
fn without_quotes(text: String) -> String {
    let introduces = ["writes in", "writes:", "wrote:", "says:", "said:"];
    let starts = ["In article", "Quoted from", "|", ">"];
    let own = |line: &&str| !introduces.iter().any(|words| line.contains(words)) && !starts.iter().any(|start| line.starts_with(start));
    text.split('\n').filter(own).collect::<Vec<_>>().join("\n")
}

/// A vocabulary with its idf values, fitted on some documents.
#[derive(Debug, Clone, PartialEq)]
pub struct Vectoriser {
    /// Column and idf of each word of the corpus. None for words outside the vocabulary.
    columns: Vec<Option<(usize, f64)>>,
    /// Number of words in the vocabulary.
    pub vocabulary: usize,
    /// Number of columns in a row. It is at least `vocabulary`.
    pub features: usize,
}

impl Vectoriser {
    /// Fits on these rows of a corpus. Words must occur in at least `min_df` documents. Of these,
    /// the `features` most frequent are kept; among equally frequent words, the first in
    /// alphabetical order. The columns are in alphabetical order.
    pub fn fit(corpus: &Corpus, rows: &[usize], text: &Text) -> Vectoriser {
        let mut documents = vec![0usize; corpus.words.len()];
        let mut occurrences = vec![0usize; corpus.words.len()];
        for &row in rows {
            for &(word, n) in &corpus.documents[row] {
                documents[word as usize] += 1;
                occurrences[word as usize] += n as usize;
            }
        }
        let mut kept: Vec<usize> = (0..corpus.words.len()).filter(|&word| documents[word] >= text.min_df).collect();
        kept.sort_by_key(|&word| (std::cmp::Reverse(occurrences[word]), word));
        kept.truncate(text.features);
        kept.sort_unstable();
        let mut columns = vec![None; corpus.words.len()];
        for (column, &word) in kept.iter().enumerate() {
            let idf = ((1 + rows.len()) as f64 / (1 + documents[word]) as f64).ln() + 1.0;
            columns[word] = Some((column, idf));
        }
        Vectoriser { columns, vocabulary: kept.len(), features: text.features }
    }

    /// The vocabulary as indices into the corpus's words, in the order of the columns.
    pub fn words(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.columns.len()).filter(|&word| self.columns[word].is_some())
    }

    /// The vocabulary with its idf values, in the order of the columns.
    pub fn terms<'a>(&'a self, corpus: &'a Corpus) -> impl Iterator<Item = (&'a str, f64)> {
        self.columns.iter().zip(corpus.words.iter()).filter_map(|(column, word)| Some((word.as_str(), column.as_ref()?.1)))
    }

    /// The nonzero columns of a document: count times idf, scaled to Euclidean length 1.
    pub fn row(&self, document: &[(u32, u32)]) -> Vec<(usize, f64)> {
        let known = document.iter().filter_map(|&(word, n)| self.columns[word as usize].map(|(column, idf)| (column, f64::from(n) * idf)));
        let mut row: Vec<(usize, f64)> = known.collect();
        let length = row.iter().map(|(_, value)| value * value).sum::<f64>().sqrt();
        row.iter_mut().for_each(|(_, value)| *value /= length);
        row
    }

    /// Rows of a corpus as dense features, one row after another.
    pub fn dense(&self, corpus: &Corpus, rows: &[usize]) -> Vec<f32> {
        let mut out = vec![0.0; rows.len() * self.features];
        out.chunks_mut(self.features.max(1)).zip(rows).for_each(|(out, &row)| {
            self.row(&corpus.documents[row]).into_iter().for_each(|(column, value)| out[column] = value as f32);
        });
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_what_scikit_learn_strips() {
        let text = "From: a\nSubject: b\n\nJoe writes:\n> old\nNew words\n\nMore\n--\nsignature\n";
        let body = without_header(text);
        assert!(body.starts_with("Joe"));
        assert_eq!(without_footer(body), "Joe writes:\n> old\nNew words\n\nMore");
        assert_eq!(without_quotes(without_footer(body)), "New words\n\nMore");
        assert_eq!(without_footer("one line"), "one line");
        assert_eq!(without_header("no empty line"), "");
    }

    #[test]
    fn words_are_in_lower_case_and_of_two_letters_at_least() {
        let all: Vec<String> = words("A cat's DOG_1, x² é éé").collect();
        assert_eq!(all, ["cat", "dog_1", "x²", "éé"]);
    }

    #[test]
    fn features_by_hand() {
        let texts = ["apple apple pear", "pear plum", "plum plum plum fig"].map(String::from).to_vec();
        let [corpus] = count([texts], false);
        assert_eq!(*corpus.words, ["apple", "fig", "pear", "plum"]);
        let text = Text { features: 2, min_df: 1, ..Text::default() };
        // Fitted on the first two documents: pear and apple occur twice, plum once.
        let fitted = Vectoriser::fit(&corpus, &[0, 1], &text);
        assert_eq!(fitted.vocabulary, 2);
        let (apple, pear) = (2.0 * ((3.0f64 / 2.0).ln() + 1.0), (3.0f64 / 3.0).ln() + 1.0);
        let length = apple.hypot(pear);
        let row = fitted.row(&corpus.documents[0]);
        assert_eq!(row.iter().map(|(column, _)| *column).collect::<Vec<_>>(), [0, 1]);
        assert!((row[0].1 - apple / length).abs() < 1e-15 && (row[1].1 - pear / length).abs() < 1e-15);
        assert!(fitted.row(&corpus.documents[2]).is_empty(), "no word of the vocabulary");
        assert_eq!(fitted.dense(&corpus, &[2, 1]), [0.0, 0.0, 0.0, 1.0]);
        assert_eq!(Vectoriser::fit(&corpus, &[0, 1, 2], &Text { min_df: 2, ..Text::default() }).vocabulary, 2);
    }
}
