//! A set as arrays of the shape that the network gets.

use std::collections::HashMap;

use ndarray::Array2;

use super::fit;
use super::part::{Part, Values};
use crate::base::threads;
use crate::data::words::count;
use crate::data::{Content, Examples};

/// The parts as arrays, with images of the shape.
pub fn examples(parts: [Part; 2], shape: [usize; 3]) -> (Examples, Examples) {
    let width: usize = shape.iter().product();
    let groups = numbered(&parts[0].groups);
    let mut labels = parts.each_ref().map(|part| part.labels.clone());
    if let [Values::Texts(_), Values::Texts(_)] = parts.each_ref().map(|part| &part.values) {
        let texts = parts.map(|part| if let Values::Texts(all) = part.values { all } else { vec![] });
        let [train, test] = count(texts, false);
        let [of_train, of_test] = labels;
        let documents = |corpus, labels, groups| Examples { content: Content::Documents(corpus), labels, groups };
        return (documents(train, of_train, groups), documents(test, of_test, vec![]));
    }
    let mut of = |at: usize, values: Values| {
        let labels = std::mem::take(&mut labels[at]);
        match values {
            Values::Features { width, values } => {
                // The readers hand over whole rows.
                let values = Array2::from_shape_vec((labels.len(), width), values).unwrap_or_default();
                Examples { content: Content::Features(values), labels, groups: vec![] }
            }
            Values::Pictures(all) => {
                let fitted = threads::map(all.len(), |i| fit::picture(&all[i], shape));
                Examples::images(fitted.concat(), labels, width)
            }
            Values::Texts(_) => Examples::images(vec![], vec![], width),
        }
    };
    let [train, test] = parts.map(|part| part.values);
    let train = of(0, train);
    (Examples { groups, ..train }, of(1, test))
}

/// A number for each name, by its first appearance.
fn numbered(names: &[String]) -> Vec<u32> {
    let mut known: HashMap<&String, u32> = HashMap::new();
    names
        .iter()
        .map(|name| {
            let next = known.len() as u32;
            *known.entry(name).or_insert(next)
        })
        .collect()
}
