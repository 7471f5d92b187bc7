//! A set as arrays of the shape that the network gets.

use std::collections::HashMap;

use ndarray::Array2;

use super::cache::Cache;
use super::fit;
use super::part::{Part, Picture, Values};
use crate::base::threads;
use crate::data::words::count;
use crate::data::{Bytes, Content, DataError, Examples};

/// The parts as arrays, with images of the shape. Where images are files in memory, so are the
/// arrays.
pub fn examples(parts: [Part; 2], shape: [usize; 3], digest: &str) -> Result<(Examples, Examples), DataError> {
    let width: usize = shape.iter().product();
    let groups = numbered(&parts[0].groups);
    let [of_train, of_test] = parts.each_ref().map(|part| part.responses.clone());
    let mut labels = parts.each_ref().map(|part| part.labels.clone());
    if let [Values::Texts(_), Values::Texts(_)] = parts.each_ref().map(|part| &part.values) {
        let texts = parts.map(|part| if let Values::Texts(all) = part.values { all } else { vec![] });
        let [train, test] = count(texts, false);
        let [labels, of_test] = labels;
        let documents = |corpus, labels, groups| Examples { content: Content::Documents(corpus), labels, groups, responses: vec![] };
        return Ok((documents(train, labels, groups), documents(test, of_test, vec![])));
    }
    let mut of = |at: usize, values: Values| -> Result<Examples, DataError> {
        let labels = std::mem::take(&mut labels[at]);
        Ok(match values {
            Values::Features { width, values } => {
                // The readers hand over whole rows.
                let values = Array2::from_shape_vec((labels.len(), width), values).unwrap_or_default();
                Examples { content: Content::Features(values), labels, groups: vec![], responses: vec![] }
            }
            Values::Pictures(all) => {
                // The 1 is of how images are fitted.
                let name = format!("{digest}.1.{}.{}", shape.map(|n| n.to_string()).join("x"), ["train", "test"][at]);
                Examples::images(fitted(&all, shape, &name)?, labels, width)
            }
            Values::Texts(_) => Examples::images(vec![], vec![], width),
        })
    };
    let [train, test] = parts.map(|part| part.values);
    let train = of(0, train)?;
    Ok((Examples { groups, responses: of_train, ..train }, Examples { responses: of_test, ..of(1, test)? }))
}

/// Images of the shape, one after another.
fn fitted(all: &[Picture], shape: [usize; 3], name: &str) -> Result<Bytes, DataError> {
    /// Images that are fitted between two writes.
    const AT_ONCE: usize = 4096;
    let fit = |some: &[Picture]| threads::map(some.len(), |i| fit::picture(&some[i], shape)).concat();
    let is_mapped = all.first().is_some_and(|picture| picture.pixels.place().is_some());
    let Some(cache) = is_mapped.then(Cache::of_user).flatten() else { return Ok(fit(all).into()) };
    if let Some(known) = cache.array(name, all.len() * shape.iter().product::<usize>()) {
        return Ok(known);
    }
    let Some(mut spool) = cache.spool_or_warn(name) else { return Ok(fit(all).into()) };
    for some in all.chunks(AT_ONCE) {
        spool.write(&fit(some))?;
    }
    let array = spool.finish()?;
    cache.shrink();
    Ok(array)
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
