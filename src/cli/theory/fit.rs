//! `theory fit`: chooses λ₀ and λ₁ for a user's own source and target tables.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use ndarray::{Array1, Array2};
use ndarray_npy::NpzWriter;
use serde_json::{json, Value as Json};

use super::finite;
use crate::base::interval::Interval;
use crate::base::numbers::{number, rounded, significant};
use crate::base::usage::usage;
use crate::cli::print;
use crate::config::{cut, nearest};
use crate::data::table::{read_all, InputTable, TableOptions, Wanted};
use crate::store::{program, write_atomic};
use crate::theory::alignment::Alignment;
use crate::theory::fit::{fit, is_constant, mismatches, Doubt, Fit, FitData, Mismatch, Options, SPREAD};

const EXAMPLES: &str = "\
Examples:
  transfergrid theory fit --source women.csv --target men.csv --response progression
  transfergrid theory fit --source a.npz --target b.npz --response y --out results --json
  transfergrid theory fit --source a.parquet --target b.parquet --response y1,y2 --drop id,date

Tables: CSV with a header (also ; and tabs), Parquet, .npz with an array X and one for each response, or a 2-D .npy, whose columns are
numbered from 0. Both tables need the same features. λ₀ and λ₁ are chosen for the target by its exact leave-one-out error, λ_S for
the source by its own. Scales of features come from the source alone. Writes coefficients.npz and fit.json.";

/// Choose λ₀ and λ₁ for your own source and target data, and say whether transfer helps
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct FitArgs {
    /// The source table
    #[arg(long, value_name = "FILE")]
    source: PathBuf,
    /// The target table
    #[arg(long, value_name = "FILE")]
    target: PathBuf,
    /// Column (or .npz array) to predict; several separated by commas
    #[arg(long, value_name = "COLUMN", value_delimiter = ',', required = true)]
    response: Vec<String>,
    /// Use only these columns
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    features: Vec<String>,
    /// Leave these columns out
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    drop: Vec<String>,
    /// Leave out columns that are constant in the source
    #[arg(long)]
    drop_constant: bool,
    /// Make a column of 0 and 1 for each word of a column of words
    #[arg(long)]
    one_hot: bool,
    /// Put the mean of its column in the source in place of a missing feature, and add a column of
    /// 0 and 1 that says where
    #[arg(long, value_name = "HOW", value_parser = ["mean"])]
    impute: Option<String>,
    /// Numbers of text files have decimal commas; columns are separated by semicolons or tabs
    #[arg(long, value_name = "SIGN", value_parser = [",", "."], default_value = ".", hide_default_value = true)]
    decimal: String,
    /// Keep the features in their own units
    #[arg(long, alias = "no-standardise")]
    no_standardize: bool,
    /// Fit without an intercept: the data go through the origin
    #[arg(long)]
    no_intercept: bool,
    /// Folder for coefficients.npz and fit.json
    #[arg(long, default_value = "logs/fit", value_name = "FOLDER")]
    out: PathBuf,
    /// Print the summary as JSON instead of text
    #[arg(long)]
    json: bool,
}

/// A table split into features and responses.
struct SplitTable {
    features: Vec<String>,
    responses: Vec<String>,
    x: Array2<f64>,
    y: Array2<f64>,
}

impl FitArgs {
    pub fn run(self) -> Result<u8> {
        // Only .npz tables can have responses with several columns: y[0], y[1], …
        let part_of = |name: &str, response: &String| {
            let index = name.strip_prefix(response.as_str()).and_then(|rest| rest.strip_prefix('[')?.strip_suffix(']'));
            index.is_some_and(|index| index.parse::<usize>().is_ok())
        };
        let is_response = |name: &str| self.response.iter().any(|r| r == name || part_of(name, r));
        let named = |name: &str| is_response(name) || self.features.iter().any(|f| f == name);
        let wanted = |name: &str| {
            let dropped = self.drop.iter().any(|d| d == name);
            is_response(name) || (!dropped && (self.features.is_empty() || self.features.iter().any(|f| f == name)))
        };
        self.refuse_twice()?;
        let options = TableOptions { decimal_comma: self.decimal == ",", one_hot: self.one_hot, impute_mean: self.impute.is_some() };
        let is_feature = |name: &str| !is_response(name);
        let asked = Wanted { responses: &self.response, named: &named, columns: &wanted, features: &is_feature };
        let mut tables = read_all(&[&self.source, &self.target], &asked, &options)?;
        let (target, source) = (tables.remove(1), tables.remove(0));
        if let Some(name) = self.drop.iter().find(|name| !source.left_out.contains(name) && !target.left_out.contains(name)) {
            return Err(missing(&source, "column", name, "--drop: "));
        }
        let mut first = self.split(&source, None)?;
        let mut notes: Vec<String> = source.notes.iter().chain(&target.notes).cloned().collect();
        if self.drop_constant || self.one_hot || self.impute.is_some() {
            // Of columns that were encoded, words that the source does not have are left out.
            let is_encoded = |name: &String| (self.one_hot && name.contains('=')) || name.ends_with(" is missing");
            let may_go = |j: usize| self.drop_constant || is_encoded(&first.features[j]);
            let varies: Vec<usize> = (0..first.x.ncols()).filter(|&j| !(may_go(j) && is_constant(first.x.column(j)))).collect();
            let dropped: Vec<String> = (0..first.x.ncols()).filter(|j| !varies.contains(j)).map(|j| first.features[j].clone()).collect();
            if !dropped.is_empty() {
                notes.push(format!("constant in the source and left out: {}", shorten(&dropped)));
            }
            first.x = first.x.select(ndarray::Axis(1), &varies);
            first.features = varies.iter().map(|&j| first.features[j].clone()).collect();
        }
        if first.features.is_empty() {
            let what = format!("{}: no feature column is left besides the response", source.file);
            return Err(usage(what, "it needs at least one feature that varies; see --features, --drop and --drop-constant"));
        }
        let second = self.split(&target, Some((&source, &first.features)))?;
        for (split, table) in [(&first, &source), (&second, &target)] {
            if split.x.nrows() < 3 {
                return Err(usage(format!("{}: {} rows are too few for leave-one-out", table.file, split.x.nrows()), "give at least 3"));
            }
            if let Some(k) = (0..split.y.ncols()).find(|&k| is_constant(split.y.column(k))) {
                let what = format!("{}: the response `{}` is constant", table.file, cut(&split.responses[k]));
                return Err(usage(what, "there is nothing to learn from it"));
            }
        }
        if let Some(j) = (0..first.x.ncols()).find(|&j| is_constant(first.x.column(j))) {
            return Err(usage(
                format!("{}: column `{}` is constant", source.file, cut(&first.features[j])),
                "leave it out with --drop, or all such columns with --drop-constant",
            ));
        }
        if (0..second.x.ncols()).all(|j| is_constant(second.x.column(j))) {
            return Err(usage(format!("{}: every feature is constant", target.file), "a target needs at least one feature that varies"));
        }
        let (of_source, of_target) =
            (FitData { x: first.x.clone(), y: first.y.clone() }, FitData { x: second.x.clone(), y: second.y.clone() });
        if let Some(Mismatch::Spread { column, factor }) =
            mismatches(&of_source, &of_target).into_iter().find(|m| m.is_extreme(first.features.len()))
        {
            let what = format!(
                "{}: column `{}` is spread {factor:.1e} times as widely as in {}",
                target.file,
                cut(&first.features[column]),
                source.file
            );
            return Err(usage(what, "give it the same units in both tables, or leave it out with --drop"));
        }
        let options = Options { standardise: !self.no_standardize, intercept: !self.no_intercept };
        let found = fit(&of_source, &of_target, options)?;
        notes.extend(warnings(&found, &first, &source, &target));
        let verdict = verdict(&found, &source, &target);
        let summary = self.summary(&first, &second, &found, &verdict, &notes);
        let json = format!("{summary:#}\n");
        write_atomic(&self.out.join("coefficients.npz"), &coefficients(&found)?)?;
        write_atomic(&self.out.join("fit.json"), json.as_bytes())?;
        if self.json {
            print(&json);
        } else {
            print(&self.words(&first, &second, &found, &verdict, &notes));
        }
        Ok(0)
    }

    fn refuse_twice(&self) -> Result<()> {
        for (flag, names) in [("--response", &self.response), ("--features", &self.features), ("--drop", &self.drop)] {
            if let Some((_, twice)) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
                return Err(usage(format!("{flag} names `{}` twice", cut(twice)), "give each column once"));
            }
        }
        match self.features.iter().find(|name| self.drop.contains(name)) {
            Some(both) => Err(usage(format!("`{}` is in both --features and --drop", cut(both)), "leave it out of one of them")),
            None => Ok(()),
        }
    }

    /// Splits a table. The features have the order of the source table. `like` holds the source
    /// table and its features.
    fn split(&self, table: &InputTable, like: Option<(&InputTable, &[String])>) -> Result<SplitTable> {
        let column = |name: &str, what: &str| table.columns.iter().position(|c| c == name).ok_or_else(|| missing(table, what, name, ""));
        // A response of an .npz table may have several columns: y[0], y[1], …
        let mut responses = vec![];
        for name in &self.response {
            let several: Vec<usize> = (0..table.columns.len())
                .filter(|&i| table.columns[i].strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('[') && rest.ends_with(']')))
                .collect();
            match table.columns.iter().any(|c| c == name) || several.is_empty() || name == "X" {
                true => responses.push(column(name, "column")?),
                false => responses.extend(several),
            }
        }
        let features: Vec<String> = match (like, self.features.is_empty()) {
            (Some((source, features)), _) => {
                if let Some(lacks) = features.iter().find(|f| !table.columns.contains(f)) {
                    return Err(usage(
                        format!("{}: column `{}` of {} is missing", table.file, cut(lacks), source.file),
                        "source and target need the same features; --features or --drop choose them",
                    ));
                }
                let is_extra =
                    |(i, c): &(usize, &String)| !source.columns.contains(c) && !responses.contains(i) && self.features.is_empty();
                if let Some((_, extra)) = table.columns.iter().enumerate().find(is_extra) {
                    return Err(usage(
                        format!("{}: column `{}` is not in {}", table.file, cut(extra), source.file),
                        "source and target need the same features; --features or --drop choose them",
                    ));
                }
                features.to_vec()
            }
            (None, false) => {
                // The columns that a column of words, or one with gaps, has become.
                let of = |name: &String| -> Vec<String> {
                    let is_part = |column: &&String| {
                        let rest = column.strip_prefix(name.as_str());
                        rest.is_some_and(|rest| rest.is_empty() || (self.one_hot && rest.starts_with('=')) || rest == " is missing")
                    };
                    let parts: Vec<String> = table.columns.iter().filter(is_part).cloned().collect();
                    if parts.is_empty() {
                        vec![name.clone()]
                    } else {
                        parts
                    }
                };
                self.features.iter().flat_map(of).collect()
            }
            (None, true) => {
                let kept = table.columns.iter().enumerate().filter(|(i, _)| !responses.contains(i));
                kept.map(|(_, c)| c.clone()).collect()
            }
        };
        let mut columns = vec![];
        for name in &features {
            let at = column(name, "feature")?;
            if responses.contains(&at) {
                return Err(usage(format!("`{}` is both a feature and the response", cut(name)), "leave it out of --features"));
            }
            columns.push(at);
        }
        let pick = |columns: &[usize]| table.values.select(ndarray::Axis(1), columns);
        let names = responses.iter().map(|&at| table.columns[at].clone()).collect();
        Ok(SplitTable { x: pick(&columns), y: pick(&responses), features, responses: names })
    }

    fn summary(&self, source: &SplitTable, target: &SplitTable, f: &Fit, verdict: &str, notes: &[String]) -> Json {
        let interval = |e: &Interval| json!({"estimate": finite(e.estimate), "low": e.low(), "high": e.high()});
        let ratio = f.lambda0 / f.lambda_source;
        json!({
            "version": 1,
            "lambda_source": finite(f.lambda_source),
            "lambda0": finite(f.lambda0),
            "lambda1": finite(f.lambda1),
            "lambda_scratch": finite(f.lambda_scratch),
            "lambda1_at_source_optimal": finite(f.lambda1_at_source_optimal),
            "ratio": finite(ratio),
            "limits": penalties(f).into_iter().filter_map(|(name, lambda)| Some((name, limit(name, lambda)?))).collect::<BTreeMap<_, _>>(),
            "verdict": verdict,
            "warnings": notes,
            "rho": {
                "estimate": finite(f.alignment.rho.estimate),
                "low": f.alignment.rho.low(),
                "high": f.alignment.rho.high(),
                "method": f.alignment.method.words(),
            },
            "rho_predictions": f.alignment_of_predictions.map(|a| interval(&a.rho)),
            "transfer_helps": f.doubt.is_none().then_some(f.helps),
            "loo": {"transfer": f.transfer, "scratch": f.scratch, "at_source_optimal": f.at_source_optimal, "source": f.source},
            "gain": interval(&f.gain),
            "gain_share": interval(&f.gain_share),
            "cost_share": interval(&f.cost_share),
            "mismatch_cost": interval(&f.mismatch_cost),
            "standardized": !self.no_standardize,
            "intercept": !self.no_intercept,
            "features": source.features,
            "responses": self.response,
            "source": {"file": self.source.display().to_string(), "rows": source.x.nrows()},
            "target": {"file": self.target.display().to_string(), "rows": target.x.nrows()},
            "program": program(),
        })
    }

    fn words(&self, source: &SplitTable, target: &SplitTable, f: &Fit, verdict: &str, notes: &[String]) -> String {
        let rho = |alignment: &Alignment| {
            let (estimate, (low, high)) = (alignment.rho.estimate, alignment.rho.bounds());
            match estimate.is_finite() && low.is_finite() {
                true => format!("{} (95% interval {} to {})", thousandths(estimate), thousandths(low), thousandths(high)),
                false => "not estimable from these rows".into(),
            }
        };
        let predictions = f.alignment_of_predictions.map_or(String::new(), |a| format!("\nof predictions ρ̂_Σ = {}", rho(&a)));
        let line = |name: &str, lambda: f64, what: &str| {
            let limit = if name == "lambda1" && f.lambda0.is_infinite() { "lambda_scratch" } else { name };
            let limit = self::limit(limit, lambda).map_or(String::new(), |limit| format!(": {limit}"));
            let value = if lambda.is_infinite() { "∞".into() } else { rounded(lambda) };
            let symbol = match name {
                "lambda_source" => "λ_S",
                "lambda0" => "λ₀ ",
                _ => "λ₁ ",
            };
            format!("{symbol} = {value:<12} {what}{limit}\n")
        };
        let ratio = match f.lambda0 / f.lambda_source {
            ratio if ratio.is_finite() => format!("best for the target ({} × λ_S)", rounded(ratio)),
            _ => "best for the target".into(),
        };
        let notes: String = notes.iter().map(|note| format!("warning: {note}\n")).collect();
        let notes = if notes.is_empty() { notes } else { format!("{notes}\n") };
        format!(
            "{verdict}\n\n\
             source  {} rows, target {} rows, {} features{}\n\
             {}{}{}\n\
             leave-one-out mean squared error on the target{}\n  \
             transfer, λ₀ for the target    {}\n  \
             transfer, λ₀ = λ_S             {}  (cost of the source-optimal choice: {}, 95% interval {})\n  \
             from scratch                   {}\n\n\
             alignment ρ̂ = {}; {}{predictions}\n\
             These errors are slightly optimistic, especially with few rows, because the penalties were chosen to minimise them.\n\n{notes}\
             {}\n{}\n",
            source.x.nrows(),
            target.x.nrows(),
            source.features.len(),
            if target.y.ncols() > 1 { format!(", {} responses", target.y.ncols()) } else { String::new() },
            line("lambda_source", f.lambda_source, "best for the source itself"),
            line("lambda0", f.lambda0, &ratio),
            line("lambda1", f.lambda1, "L2-SP on the target"),
            if target.y.ncols() > 1 { ", responses in their own units; the verdict weighs each by its variance" } else { "" },
            rounded(f.transfer),
            rounded(f.at_source_optimal),
            percent(f.cost_share.estimate),
            range(&f.cost_share),
            rounded(f.scratch),
            rho(&f.alignment),
            f.alignment.method.words(),
            self.out.join("coefficients.npz").display(),
            self.out.join("fit.json").display(),
        )
    }
}

fn penalties(f: &Fit) -> [(&'static str, f64); 5] {
    [
        ("lambda_source", f.lambda_source),
        ("lambda0", f.lambda0),
        ("lambda1", f.lambda1),
        ("lambda_scratch", f.lambda_scratch),
        ("lambda1_at_source_optimal", f.lambda1_at_source_optimal),
    ]
}

/// The meaning of a penalty of 0 or ∞.
fn limit(name: &str, lambda: f64) -> Option<&'static str> {
    match (name, lambda) {
        (_, 0.0) => Some("least squares"),
        (_, l) if l.is_finite() => None,
        ("lambda1" | "lambda1_at_source_optimal", _) => Some("use the source as it is"),
        ("lambda0", _) => Some("use no source"),
        _ => Some("predict the mean"),
    }
}

/// The first sentence: whether transfer helps, or why this is undecided.
fn verdict(f: &Fit, source: &InputTable, target: &InputTable) -> String {
    let change = falls(f.gain_share.estimate);
    let n = target.values.nrows();
    match f.doubt {
        Some(Doubt::Exact) => return "No verdict: the target is fitted exactly from scratch, so there is nothing to gain.".into(),
        Some(Doubt::OneRow { of_source, row, without }) => {
            let table = if of_source { source } else { target };
            return format!(
                "No verdict: {} of {} decides the outcome; {}.",
                table.place(row),
                table.file,
                without_it(without, "it", &change)
            );
        }
        Some(Doubt::FewRows { of_source, count, without }) => {
            let table = if of_source { source } else { target };
            return format!("No verdict: {count} rows of {} decide the outcome; {}.", table.file, without_it(without, "them", &change));
        }
        Some(Doubt::BeyondWhole) => {
            return format!(
                "No verdict: {n} target rows are too few to determine the gain; its interval, {}, exceeds the whole error.",
                range(&f.gain_share)
            );
        }
        None => {}
    }
    if f.lambda0.is_infinite() {
        return "Transfer does not help: it is best not to use this source (λ₀ = ∞).".into();
    }
    let gain = format!("the target's leave-one-out error {change} (95% interval {})", range(&f.gain_share));
    match (f.helps, f.gain_share.bounds().0 > 0.0) {
        (true, true) => format!("Transfer helps: {gain}."),
        (true, false) => format!("Transfer probably helps: {gain}, more than one standard error but not two."),
        (false, _) => format!("Transfer does not help beyond noise: {gain}."),
    }
}

/// The gain without some rows, as text.
fn without_it(without: f64, them: &str, change: &str) -> String {
    match without.is_finite() {
        true => format!("without {them} the target's error {}, with {them} the error {change}", falls(without)),
        false => format!("without {them} nothing can be fitted"),
    }
}

/// Warnings about columns whose units or outliers differ between the tables.
fn warnings(f: &Fit, split: &SplitTable, source: &InputTable, target: &InputTable) -> Vec<String> {
    let name = |column: usize| cut(split.features.iter().chain(&split.responses).nth(column).map_or("", |name| name));
    let of = |mismatch: &Mismatch| {
        match *mismatch {
        Mismatch::Spread { column, factor } => format!(
            "column `{}` is spread {} times as widely in the target as in the source (warned of beyond {SPREAD} times either way): check that its units and \
             its missing values are the same",
            name(column),
            rounded(significant(factor, 3))
        ),
        Mismatch::Constant { column } => format!("column `{}` is constant in the target, so its effect cannot be learned there", name(column)),
        Mismatch::Row { column, of_source, row } => {
            let table = if of_source { source } else { target };
            format!("{} of {} alone has nearly all of the spread of column `{}`", table.place(row), table.file, name(column))
        }
    }
    };
    let mut all: Vec<String> = f.mismatched.iter().take(MOST_NAMED).map(of).collect();
    if f.mismatched.len() > MOST_NAMED {
        all.push(format!("{} more columns differ in this way", f.mismatched.len() - MOST_NAMED));
    }
    all
}

/// Largest number of columns with a separate warning.
const MOST_NAMED: usize = 5;

fn percent(share: f64) -> String {
    if share == f64::INFINITY {
        return "∞".into();
    }
    let text = format!("{:.1}%", 100.0 * share);
    if text == "-0.0%" {
        "0.0%".into()
    } else {
        text
    }
}

fn range(share: &Interval) -> String {
    let (low, high) = share.bounds();
    format!("{} to {}", percent(low), percent(high))
}

/// How the error changes if the fraction `share` of it is gained.
fn falls(share: f64) -> String {
    match percent(share.abs()).as_str() {
        "0.0%" => "does not change".into(),
        size if share > 0.0 => format!("falls by {size}"),
        size => format!("rises by {size}"),
    }
}

fn thousandths(value: f64) -> String {
    number((value * 1000.0).round() / 1000.0)
}

/// The error for an unknown column name. Its hint is the most similar name, or all names.
fn missing(table: &InputTable, what: &str, name: &str, flag: &str) -> anyhow::Error {
    let all: Vec<String> = table.columns.iter().chain(&table.left_out).cloned().collect();
    let hint = nearest(name, all.iter().map(String::as_str)).filter(|near| *near != name);
    let hint = hint.map_or_else(|| format!("its columns are {}", shorten(&all)), |near| format!("did you mean `{near}`?"));
    usage(format!("{flag}there is no {what} `{}` in {}", cut(name), table.file), hint)
}

fn shorten(names: &[String]) -> String {
    let cut: Vec<String> = names.iter().take(12).map(|name| cut(name)).collect();
    match names.len() {
        0..=12 => cut.join(", "),
        n => format!("{}, … ({n} in all)", cut.join(", ")),
    }
}

/// An .npz file with coefficients (features × responses) and intercepts in the units of the data.
fn coefficients(f: &Fit) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(vec![]);
    let mut npz = NpzWriter::new(&mut bytes);
    let mut put = |name: &str, b: &Array2<f64>, a: &Array1<f64>| -> Result<()> {
        npz.add_array(format!("beta_{name}"), b).and_then(|()| npz.add_array(format!("intercept_{name}"), a)).context("coefficients.npz")
    };
    put("source", &f.beta_source, &f.intercept_source)?;
    put("transfer", &f.beta_transfer, &f.intercept_transfer)?;
    put("scratch", &f.beta_scratch, &f.intercept_scratch)?;
    npz.finish().context("coefficients.npz")?;
    Ok(bytes.into_inner())
}
