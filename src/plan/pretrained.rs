//! Which tensors of a file of weights a model starts from.

use super::tensors::{tensors, ModelTensor, Role};
use crate::config::network::{TensorInfo, WeightsFile, WeightsInfo};
use crate::config::Network;

/// Prefixes that wrappers put before every name of a module.
const PREFIXES: [&str; 5] = ["", "module.", "model.", "_orig_mod.", "backbone."];

/// Names of the last layer in other programs.
const HEADS: [&str; 3] = ["fc", "classifier", "head"];

/// The tensors of a model with their sources in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Pretrained {
    /// Each tensor of the model, with its position in the file; none: fresh.
    pub tensors: Vec<(ModelTensor, Option<usize>)>,
    /// The head of the file, where it has another size than the model's.
    pub unused: Vec<String>,
}

impl Pretrained {
    /// Finds the tensors of a study's source model in its file of weights.
    ///
    /// # Errors
    /// What does not fit: a tensor of the backbone that is missing, of another size or not finite,
    /// or one that the model lacks. Files of other networks may have all that the model needs.
    pub fn of(settings: &Network, file: &WeightsFile) -> Result<Pretrained, String> {
        let classes = settings.source.labels(settings.source_info()).len();
        Pretrained::fit(tensors(&settings.model, settings.input(), classes), file.info(), &file.0)
    }

    fn fit(wanted: Vec<ModelTensor>, info: &WeightsInfo, file: &str) -> Result<Pretrained, String> {
        let find = |name: &str| info.tensors.iter().position(|tensor| tensor.name == name);
        let is_backbone = |tensor: &&ModelTensor| tensor.role == Role::Backbone;
        let is_there =
            |prefix: &&&str| wanted.iter().filter(is_backbone).any(|tensor| find(&format!("{prefix}{}", tensor.pytorch)).is_some());
        let prefix = PREFIXES.iter().find(is_there).copied().unwrap_or_default();
        let mut out = vec![];
        for tensor in wanted {
            let found = names(&tensor, prefix).iter().find_map(|name| find(name));
            let fits = found.is_some_and(|at| info.tensors[at].size == tensor.size);
            let at = match (found, tensor.role) {
                (Some(at), _) if fits && !info.tensors[at].is_finite => {
                    return Err(format!("`{}` of {file} has values that are not finite in float32", info.tensors[at].name))
                }
                (found, _) if fits => found,
                (_, Role::Head) => None,
                (Some(at), Role::Backbone) => {
                    let TensorInfo { name, size, .. } = &info.tensors[at];
                    return Err(format!("`{name}` of {file} is {size:?}, and here {:?}", tensor.size));
                }
                (None, Role::Backbone) => {
                    return Err(format!("{file} has no weights `{}`, which are {:?} here", tensor.pytorch, tensor.size))
                }
            };
            out.push((tensor, at));
        }
        // A head is loaded as a whole or not at all.
        let heads = || out.iter().filter(|(tensor, _)| tensor.role == Role::Head);
        if heads().any(|(_, at)| at.is_none()) {
            out.iter_mut().filter(|(tensor, _)| tensor.role == Role::Head).for_each(|(_, at)| *at = None);
        }
        let is_unused = |at: &usize| !out.iter().any(|(_, used)| *used == Some(*at));
        let heads: Vec<String> =
            out.iter().filter(|(tensor, _)| tensor.role == Role::Head).flat_map(|(tensor, _)| names(tensor, prefix)).collect();
        let unused = (0..info.tensors.len()).filter(is_unused).map(|at| info.tensors[at].name.clone());
        let (unused, others): (Vec<String>, Vec<String>) = unused.partition(|name| heads.contains(name));
        if !others.is_empty() {
            return Err(format!("{file} has weights that this network lacks: {}", some(&others)));
        }
        if out.iter().all(|(_, at)| at.is_none()) {
            return Err(format!("nothing of {file} fits this network"));
        }
        Ok(Pretrained { tensors: out, unused })
    }

    /// Whether the head starts from the file too.
    pub fn has_head(&self) -> bool {
        self.tensors.iter().all(|(tensor, at)| tensor.role == Role::Backbone || at.is_some())
    }

    /// `20 tensors from weights.pt; fresh: fc.weight, fc.bias; not used: aux.weight`
    pub fn in_short(&self, file: &WeightsFile) -> String {
        let list = |what: &str, names: Vec<String>| if names.is_empty() { String::new() } else { format!("; {what}: {}", some(&names)) };
        let loaded = self.tensors.iter().filter(|(_, at)| at.is_some()).count();
        let fresh = self.tensors.iter().filter(|(_, at)| at.is_none()).map(|(tensor, _)| tensor.pytorch.clone()).collect();
        format!("{loaded} tensors from {}{}{}", file.0, list("fresh", fresh), list("not used", self.unused.clone()))
    }
}

/// Names, of which at most four are listed.
fn some(names: &[String]) -> String {
    match names.len() {
        n if n > 4 => format!("{} and {} others", names[..3].join(", "), n - 3),
        _ => names.join(", "),
    }
}

/// The names under which a tensor may be in a file.
fn names(tensor: &ModelTensor, prefix: &str) -> Vec<String> {
    let mut names = vec![format!("{prefix}{}", tensor.pytorch)];
    if tensor.role == Role::Head {
        let suffix = tensor.name.rsplit('.').next().unwrap_or_default();
        names.extend([prefix, ""].into_iter().flat_map(|prefix| HEADS.map(|head| format!("{prefix}{head}.{suffix}"))));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::network::{Model, ModelKind};

    fn wanted() -> Vec<ModelTensor> {
        tensors(&Model { kind: ModelKind::Mlp, hidden: Some(vec![4]), ..Model::default() }, [1, 1, 3], 2)
    }

    fn file(tensors: &[(&str, &[i64])]) -> WeightsInfo {
        let of =
            |(name, size): &(&str, &[i64])| TensorInfo { name: name.to_string(), size: size.to_vec(), is_finite: !name.ends_with("nan") };
        WeightsInfo { tensors: tensors.iter().map(of).collect(), ..WeightsInfo::default() }
    }

    fn fit(tensors: &[(&str, &[i64])]) -> Result<Pretrained, String> {
        Pretrained::fit(wanted(), &file(tensors), "w.pt")
    }

    #[test]
    fn a_head_of_another_size_is_fresh_and_a_backbone_has_to_fit() {
        let whole = fit(&[("hidden1.weight", &[4, 3]), ("hidden1.bias", &[4]), ("fc.weight", &[2, 4]), ("fc.bias", &[2])]).unwrap();
        assert!(whole.has_head() && whole.unused.is_empty());
        let backbone = fit(&[("module.hidden1.weight", &[4, 3]), ("module.hidden1.bias", &[4]), ("module.head.weight", &[9, 4])]).unwrap();
        assert!(!backbone.has_head());
        let text = backbone.in_short(&WeightsFile("w.pt".into()));
        assert_eq!(text, "2 tensors from w.pt; fresh: head.weight, head.bias; not used: module.head.weight");
        let misshapen = fit(&[("hidden1.weight", &[5, 3]), ("hidden1.bias", &[4])]).unwrap_err();
        assert_eq!(misshapen, "`hidden1.weight` of w.pt is [5, 3], and here [4, 3]");
        // A wrapper around the backbone alone, and a network that has more.
        let wrapped =
            fit(&[("backbone.hidden1.weight", &[4, 3]), ("backbone.hidden1.bias", &[4]), ("fc.weight", &[2, 4]), ("fc.bias", &[2])]);
        assert!(wrapped.unwrap().has_head());
        let more = fit(&[("hidden1.weight", &[4, 3]), ("hidden1.bias", &[4]), ("hidden2.weight", &[4, 4])]).unwrap_err();
        assert_eq!(more, "w.pt has weights that this network lacks: hidden2.weight");
        let missing = fit(&[("hidden1.weight", &[4, 3])]).unwrap_err();
        assert_eq!(missing, "w.pt has no weights `hidden1.bias`, which are [4] here");
    }
}
