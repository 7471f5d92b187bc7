//! What kept predictions show beyond accuracy: calibration, confusion, and paired tests over
//! images.

use serde::Serialize;
use statrs::distribution::{Binomial, DiscreteCDF};

use super::layout::{cells_at, Setting};
use super::setting::SettingAnalysis;
use super::stats::{mean, mean_interval};
use crate::base::interval::Interval;
use crate::config::Study;
use crate::plan::{Plan, Stage};

/// Bins of equal width over the confidence, as in Guo et al. (2017).
pub const BINS: usize = 15;

/// The predictions of one stage on test images whose class is one of the task.
#[derive(Debug, Clone, PartialEq)]
pub struct Predicted {
    pub classes: Vec<String>,
    /// The right class of each image.
    pub labels: Vec<usize>,
    /// The logits of each image.
    pub logits: Vec<Vec<f64>>,
}

/// A model that an answer names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamedModel {
    /// The target at λ₀*.
    Target,
    /// The target at λ_S*.
    TargetAtSourceOptimum,
    Scratch,
    /// The source at λ_S*.
    Source,
}

impl NamedModel {
    pub const ALL: [NamedModel; 4] = [NamedModel::Target, NamedModel::TargetAtSourceOptimum, NamedModel::Scratch, NamedModel::Source];

    pub fn name(self) -> &'static str {
        match self {
            NamedModel::Target => "target at λ₀*",
            NamedModel::TargetAtSourceOptimum => "target at λ_S*",
            NamedModel::Scratch => "from scratch",
            NamedModel::Source => "source at λ_S*",
        }
    }
}

/// Images of one bin of confidence, of all seeds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Bin {
    pub images: usize,
    /// Mean of the largest probability.
    pub confidence: f64,
    pub accuracy: f64,
}

/// How well a model's probabilities are calibrated, and which classes it confuses.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    pub model: NamedModel,
    pub classes: Vec<String>,
    /// Means over seeds, with their 95% intervals.
    pub accuracy: Interval,
    pub confidence: Interval,
    /// Expected calibration error: Σ over bins of (images/all)·|accuracy − confidence|, of each
    /// seed.
    pub error: Interval,
    pub bins: Vec<Bin>,
    /// Images of all seeds by right class and predicted class.
    pub confusion: Vec<Vec<usize>>,
}

/// McNemar's exact test of one seed: images that one of two models alone has right.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PairedTest {
    pub seed: u64,
    pub only_first: usize,
    pub only_second: usize,
    /// Two-sided.
    pub p: f64,
}

/// What the predictions of a setting show.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictionAnalysis {
    pub models: Vec<Calibration>,
    /// The target at λ₀* against training from scratch.
    pub against_scratch: Vec<PairedTest>,
    /// The target at λ₀* against that at λ_S*. Empty if they are the same.
    pub against_source_optimum: Vec<PairedTest>,
}

/// The stages whose models an answer names: which model, the seed, and the stage in its first draw.
pub fn named_stages<'a>(study: &Study, plan: &'a Plan, analysis: &SettingAnalysis) -> Vec<(NamedModel, u64, &'a Stage)> {
    let Some(answered) = analysis.answer.answered() else { return vec![] };
    let setting: &Setting = &analysis.setting;
    let at = |i: usize, j: usize| cells_at(study, plan, setting, setting.lambda0[i], setting.lambda1[j]);
    let seeds: Vec<u64> = answered.basis.seeds.iter().map(|&seed| setting.seeds[seed]).collect();
    let stage = |index: usize| &plan.stages[index];
    let best = at(answered.transfer.0, answered.transfer.1);
    let at_source = at(answered.source, answered.lambda1_at_source_optimum);
    let scratch = answered.scratch.map(|k| setting.scratch_lambda[k]);
    let mut named = vec![];
    for cell in best.iter().filter(|cell| seeds.contains(&cell.seed)) {
        named.push((NamedModel::Target, cell.seed, stage(cell.targets[0])));
        let twin = cell.scratch.iter().find(|twins| Some(stage(twins[0]).lambda) == scratch);
        named.extend(twin.map(|twins| (NamedModel::Scratch, cell.seed, stage(twins[0]))));
    }
    for cell in at_source.iter().filter(|cell| seeds.contains(&cell.seed)) {
        named.push((NamedModel::TargetAtSourceOptimum, cell.seed, stage(cell.targets[0])));
        named.push((NamedModel::Source, cell.seed, stage(cell.source)));
    }
    named
}

impl PredictionAnalysis {
    /// Analyses predictions of named models, each with its seed. None if there are none.
    pub fn of(all: &[(NamedModel, u64, String, Predicted)]) -> Option<PredictionAnalysis> {
        let of = |model: NamedModel| all.iter().filter(move |(own, ..)| *own == model);
        let is_target = |key: &String| of(NamedModel::Target).any(|(_, _, own, _)| own == key);
        // At λ₀* = λ_S* there is one target, not two.
        let is_twice = of(NamedModel::TargetAtSourceOptimum).all(|(_, _, key, _)| is_target(key));
        let calibration = |model| Calibration::of(model, &of(model).map(|(.., predicted)| predicted).collect::<Vec<_>>());
        let wanted = NamedModel::ALL.into_iter().filter(|model| !is_twice || *model != NamedModel::TargetAtSourceOptimum);
        let models: Vec<Calibration> = wanted.filter_map(calibration).collect();
        let tests = |other: NamedModel| {
            let test = |(_, seed, key, first): &(NamedModel, u64, String, Predicted)| {
                let (.., second) = of(other).find(|(_, own, other_key, _)| own == seed && other_key != key)?;
                PairedTest::of(*seed, first, second)
            };
            of(NamedModel::Target).filter_map(test).collect()
        };
        (!models.is_empty()).then(|| PredictionAnalysis {
            models,
            against_scratch: tests(NamedModel::Scratch),
            against_source_optimum: tests(NamedModel::TargetAtSourceOptimum),
        })
    }
}

/// The predicted class and its probability.
fn decided(logits: &[f64]) -> (usize, f64) {
    let best = (0..logits.len()).fold(0, |best, i| if logits[i] > logits[best] { i } else { best });
    let sum: f64 = logits.iter().map(|logit| (logit - logits[best]).exp()).sum();
    (best, 1.0 / sum)
}

impl Calibration {
    /// Of one model, with the predictions of each seed.
    fn of(model: NamedModel, seeds: &[&Predicted]) -> Option<Calibration> {
        let classes = seeds.first()?.classes.clone();
        let mut confusion = vec![vec![0; classes.len()]; classes.len()];
        let (mut pooled, mut accuracy, mut confidence, mut error) = ([Bin::default(); BINS], vec![], vec![], vec![]);
        for predicted in seeds {
            let mut own = [Bin::default(); BINS];
            for (&label, logits) in predicted.labels.iter().zip(&predicted.logits) {
                let (class, probability) = decided(logits);
                confusion[label][class] += 1;
                let bin = &mut own[((probability * BINS as f64) as usize).min(BINS - 1)];
                bin.images += 1;
                bin.confidence += probability;
                bin.accuracy += f64::from(u8::from(class == label));
            }
            let n = predicted.labels.len().max(1) as f64;
            accuracy.push(own.iter().map(|bin| bin.accuracy).sum::<f64>() / n);
            confidence.push(own.iter().map(|bin| bin.confidence).sum::<f64>() / n);
            error.push(own.iter().map(|bin| (bin.accuracy - bin.confidence).abs()).sum::<f64>() / n);
            for (all, own) in pooled.iter_mut().zip(own) {
                *all = Bin {
                    images: all.images + own.images,
                    confidence: all.confidence + own.confidence,
                    accuracy: all.accuracy + own.accuracy,
                };
            }
        }
        let bins = pooled.into_iter().filter(|bin| bin.images > 0).map(|bin| {
            let n = bin.images as f64;
            Bin { images: bin.images, confidence: bin.confidence / n, accuracy: bin.accuracy / n }
        });
        let of = |values: Vec<f64>| match values.len() {
            1 => Interval { estimate: mean(&values), range: None },
            _ => mean_interval(&values),
        };
        Some(Calibration {
            model,
            classes,
            accuracy: of(accuracy),
            confidence: of(confidence),
            error: of(error),
            bins: bins.collect(),
            confusion,
        })
    }
}

impl PairedTest {
    /// None if the two were not asked about the same images.
    fn of(seed: u64, first: &Predicted, second: &Predicted) -> Option<PairedTest> {
        if first.labels != second.labels {
            return None;
        }
        let right = |predicted: &Predicted, i: usize| decided(&predicted.logits[i]).0 == predicted.labels[i];
        let only = |one: &Predicted, other: &Predicted| (0..one.labels.len()).filter(|&i| right(one, i) && !right(other, i)).count();
        let (only_first, only_second) = (only(first, second), only(second, first));
        Some(PairedTest { seed, only_first, only_second, p: mcnemar(only_first, only_second) })
    }
}

/// The two-sided p of McNemar's exact test: of b + c images that one model alone has right, each is
/// as likely to be of the first as of the second.
fn mcnemar(b: usize, c: usize) -> f64 {
    match Binomial::new(0.5, (b + c) as u64) {
        Ok(law) if b + c > 0 => (2.0 * law.cdf(b.min(c) as u64)).min(1.0),
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predicted(rows: &[(usize, [f64; 2])]) -> Predicted {
        Predicted {
            classes: vec!["cat".into(), "dog".into()],
            labels: rows.iter().map(|(label, _)| *label).collect(),
            logits: rows.iter().map(|(_, logits)| logits.to_vec()).collect(),
        }
    }

    /// Logits whose largest probability is `p`, for class `class`.
    fn logits(class: usize, p: f64) -> [f64; 2] {
        let logit = (p / (1.0 - p)).ln();
        if class == 0 {
            [logit, 0.0]
        } else {
            [0.0, logit]
        }
    }

    #[test]
    fn calibration_by_hand() {
        // Four images at 0.9, of which three are right, and one at 0.6 that is wrong.
        let rows = [(0, logits(0, 0.9)), (0, logits(0, 0.9)), (1, logits(1, 0.9)), (1, logits(0, 0.9)), (0, logits(1, 0.6))];
        let all = [(NamedModel::Target, 3, "a".to_string(), predicted(&rows))];
        let analysis = PredictionAnalysis::of(&all).unwrap();
        let target = &analysis.models[0];
        assert!((target.accuracy.estimate - 0.6).abs() < 1e-12 && target.accuracy.range.is_none());
        assert!((target.error.estimate - (4.0 * 0.15 + 0.6) / 5.0).abs() < 1e-12, "{}", target.error.estimate);
        assert_eq!(target.bins.len(), 2);
        assert!((target.bins[1].accuracy - 0.75).abs() < 1e-12 && (target.bins[1].confidence - 0.9).abs() < 1e-12);
        assert_eq!(target.confusion, [[2, 1], [1, 1]]);
        assert!(analysis.against_scratch.is_empty() && PredictionAnalysis::of(&[]).is_none());
    }

    #[test]
    fn paired_tests_are_exact() {
        let right = |n: usize, wrong: usize| {
            let rows: Vec<(usize, [f64; 2])> = (0..n).map(|i| (0, logits(usize::from(i < wrong), 0.8))).collect();
            predicted(&rows)
        };
        let of = |model, key: &str, predicted| (model, 0, key.to_string(), predicted);
        let all = [of(NamedModel::Target, "a", right(20, 2)), of(NamedModel::Scratch, "b", right(20, 10))];
        let test = PredictionAnalysis::of(&all).unwrap().against_scratch[0];
        assert_eq!((test.only_first, test.only_second), (8, 0));
        assert!((test.p - 2.0 * 0.5f64.powi(8)).abs() < 1e-12);
        assert_eq!(mcnemar(0, 0), 1.0);
        assert_eq!(mcnemar(5, 5), 1.0);
        // The same stage is not compared with itself.
        let same = [of(NamedModel::Target, "a", right(20, 2)), of(NamedModel::TargetAtSourceOptimum, "a", right(20, 2))];
        let once = PredictionAnalysis::of(&same).unwrap();
        assert!(once.against_source_optimum.is_empty() && once.models.len() == 1);
    }
}
