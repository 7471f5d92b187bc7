//! `theory fit`: λ₀ and λ₁ for a user's own source and target tables.

use std::io::Cursor;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use ndarray::{Array1, Array2};
use ndarray_npy::NpzWriter;
use serde_json::{json, Value as Json};

use super::finite;
use crate::cli::print;
use crate::config::{nearest, rounded};
use crate::data::table::{read, Table};
use crate::run::usage;
use crate::store::{program, write_atomic};
use crate::theory::estimate::Estimate;
use crate::theory::fit::{fit, Data, Fit, Options};

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
    /// The source's table
    #[arg(long, value_name = "FILE")]
    source: PathBuf,
    /// The target's table
    #[arg(long, value_name = "FILE")]
    target: PathBuf,
    /// Column (or .npz array) to predict; several separated by commas
    #[arg(long, value_name = "COLUMN", value_delimiter = ',', required = true)]
    response: Vec<String>,
    /// Use these columns only
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    features: Vec<String>,
    /// Leave these columns out
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    drop: Vec<String>,
    /// Leave out columns that are constant in the source
    #[arg(long)]
    drop_constant: bool,
    /// Take the features in their own units
    #[arg(long, alias = "no-standardise")]
    no_standardize: bool,
    /// No intercept: the data go through the origin
    #[arg(long)]
    no_intercept: bool,
    /// Write coefficients.npz and fit.json here
    #[arg(long, default_value = "logs/fit", value_name = "FOLDER")]
    out: PathBuf,
    /// Print the summary as JSON instead of words
    #[arg(long)]
    json: bool,
}

/// A table split into features and responses.
struct Split {
    features: Vec<String>,
    x: Array2<f64>,
    y: Array2<f64>,
}

impl FitArgs {
    pub fn run(self) -> Result<u8> {
        if let Some(twice) = self.response.iter().enumerate().find(|(i, r)| self.response[..*i].contains(r)) {
            return Err(usage(format!("--response names `{}` twice", twice.1), "give each response once"));
        }
        // Only an .npz has responses of several columns: y[0], y[1], …
        let part_of = |name: &str, response: &String| {
            let index = name.strip_prefix(response.as_str()).and_then(|rest| rest.strip_prefix('[')?.strip_suffix(']'));
            index.is_some_and(|index| index.parse::<usize>().is_ok())
        };
        let wanted = |name: &str| {
            let is_response = self.response.iter().any(|r| r == name || part_of(name, r));
            let dropped = self.drop.iter().any(|d| d == name);
            is_response || (!dropped && (self.features.is_empty() || self.features.iter().any(|f| f == name)))
        };
        let (source, target) = (read(&self.source, &self.response, wanted)?, read(&self.target, &self.response, wanted)?);
        if let Some(name) = self.drop.iter().find(|name| !source.left_out.contains(name) && !target.left_out.contains(name)) {
            let hint = nearest(name, source.columns.iter().map(String::as_str))
                .map_or_else(|| format!("its columns are {}", shorten(&source.columns)), |near| format!("did you mean `{near}`?"));
            return Err(usage(format!("--drop: there is no column `{name}` in {}", source.file), hint));
        }
        let mut first = self.split(&source, None)?;
        if self.drop_constant {
            let varies: Vec<usize> = (0..first.x.ncols()).filter(|&j| !constant(&first.x, j)).collect();
            first.x = first.x.select(ndarray::Axis(1), &varies);
            first.features = varies.iter().map(|&j| first.features[j].clone()).collect();
        }
        if first.features.is_empty() {
            return Err(usage(format!("{}: no features are left", source.file), "see --features, --drop and --drop-constant"));
        }
        let second = self.split(&target, Some((&source.file, &first.features)))?;
        for (split, table) in [(&first, &source), (&second, &target)] {
            if let Some(k) = (0..split.y.ncols()).find(|&k| split.x.nrows() >= 3 && constant(&split.y, k)) {
                let name = self.response.get(k).unwrap_or(&self.response[0]);
                return Err(usage(format!("{}: the response `{name}` is constant", table.file), "there is nothing to learn from it"));
            }
            if split.x.nrows() < 3 {
                return Err(usage(format!("{}: {} rows are too few to leave one out", table.file, split.x.nrows()), "give at least 3"));
            }
        }
        if !self.no_intercept || !self.no_standardize {
            for (split, table) in [(&first, &source), (&second, &target)] {
                if let Some(j) = (0..split.x.ncols()).find(|&j| constant(&split.x, j)) {
                    // In the target a constant feature only goes into the intercept.
                    if std::ptr::eq(table, &source) || (self.no_intercept && !self.no_standardize) {
                        return Err(usage(
                            format!("{}: column `{}` is constant", table.file, split.features[j]),
                            "leave it out with --drop, or all such columns with --drop-constant",
                        ));
                    }
                }
            }
        }
        let options = Options { standardise: !self.no_standardize, intercept: !self.no_intercept };
        let found = fit(&Data { x: first.x.clone(), y: first.y.clone() }, &Data { x: second.x.clone(), y: second.y.clone() }, options)?;
        let summary = self.summary(&first, &second, &found);
        let json = format!("{summary:#}\n");
        write_atomic(&self.out.join("coefficients.npz"), &coefficients(&found)?)?;
        write_atomic(&self.out.join("fit.json"), json.as_bytes())?;
        if self.json {
            print(&json);
        } else {
            print(&self.words(&first, &second, &found));
        }
        Ok(0)
    }

    /// Features in the order of the source's table.
    fn split(&self, table: &Table, like: Option<(&str, &[String])>) -> Result<Split> {
        let column = |name: &str, what: &str| {
            table.columns.iter().position(|c| c == name).ok_or_else(|| {
                let near = nearest(name, table.columns.iter().map(String::as_str));
                let hint =
                    near.map_or_else(|| format!("its columns are {}", shorten(&table.columns)), |near| format!("did you mean `{near}`?"));
                usage(format!("{}: there is no {what} `{name}`", table.file), hint)
            })
        };
        // A response of an .npz may have several columns: y[0], y[1], …
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
            (Some((file, features)), _) => {
                if let Some(missing) = features.iter().find(|f| !table.columns.contains(f)) {
                    return Err(usage(
                        format!("{}: column `{missing}` of {file} is missing", table.file),
                        "source and target need the same features; --features or --drop choose them",
                    ));
                }
                let extra = table.columns.iter().enumerate().find(|(i, c)| {
                    !features.contains(c)
                        && !responses.contains(i)
                        && !self.drop.contains(c)
                        && self.features.is_empty()
                        && !self.drop_constant
                });
                if let Some((_, extra)) = extra {
                    return Err(usage(
                        format!("{}: column `{extra}` is not in {file}", table.file),
                        "source and target need the same features; --features or --drop choose them",
                    ));
                }
                features.to_vec()
            }
            (None, false) => self.features.clone(),
            (None, true) => {
                let kept = table.columns.iter().enumerate().filter(|(i, _)| !responses.contains(i));
                kept.map(|(_, c)| c.clone()).collect()
            }
        };
        let mut columns = vec![];
        for name in &features {
            let at = column(name, "feature")?;
            if responses.contains(&at) {
                return Err(usage(format!("`{name}` is both a feature and the response"), "leave it out of --features"));
            }
            columns.push(at);
        }
        let pick = |columns: &[usize]| table.values.select(ndarray::Axis(1), columns);
        Ok(Split { x: pick(&columns), y: pick(&responses), features })
    }

    fn summary(&self, source: &Split, target: &Split, f: &Fit) -> Json {
        let interval = |e: &Estimate| json!({"estimate": finite(e.estimate), "low": finite(e.low), "high": finite(e.high)});
        let ratio = f.lambda0 / f.lambda_source;
        json!({
            "version": 1,
            "lambda_source": f.lambda_source,
            "lambda0": f.lambda0,
            "lambda1": f.lambda1,
            "lambda_scratch": f.lambda_scratch,
            "lambda1_at_source_optimal": f.lambda1_at_source_optimal,
            "ratio": finite(ratio),
            "at_edge": f.at_edge,
            "rho": {
                "estimate": finite(f.alignment.rho.estimate),
                "low": finite(f.alignment.rho.low),
                "high": finite(f.alignment.rho.high),
                "method": f.alignment.method.words(),
            },
            "rho_predictions": f.alignment_of_predictions.map(|a| interval(&a.rho)),
            "transfer_helps": f.helps,
            "loo": {"transfer": f.transfer, "scratch": f.scratch, "at_source_optimal": f.at_source_optimal, "source": f.source},
            "gain": interval(&f.gain),
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

    fn words(&self, source: &Split, target: &Split, f: &Fit) -> String {
        let percent = |v: f64| format!("{:.1}%", 100.0 * v);
        let range = |e: &Estimate, scale: f64| format!("{} to {}", percent(e.low / scale), percent(e.high / scale));
        let gain = format!("{} (95% interval {})", percent(f.gain.estimate / f.scratch), range(&f.gain, f.scratch));
        let first = match (f.helps, f.gain.low > 0.0) {
            (true, true) => format!("Transfer helps: the target's leave-one-out error falls by {gain}."),
            (true, false) => {
                format!(
                    "Transfer probably helps: the target's leave-one-out error falls by {gain}, more than one standard error but not two."
                )
            }
            (false, _) => format!("Transfer does not help beyond noise: the target's leave-one-out error falls by {gain}."),
        };
        let rho = &f.alignment.rho;
        let bound = |v: f64| if v.is_finite() { rounded((v * 1000.0).round() / 1000.0) } else { "?".into() };
        let predictions = f.alignment_of_predictions.map_or(String::new(), |a| {
            let rho = a.rho;
            format!("\nof predictions ρ̂_Σ = {} (95% interval {} to {})", bound(rho.estimate), bound(rho.low), bound(rho.high))
        });
        let edge = match f.at_edge.is_empty() {
            true => String::new(),
            false => format!("\nat the end of the searched range (12 decades): {}", f.at_edge.join(", ")),
        };
        format!(
            "{first}\n\n\
             source  {} rows, target {} rows, {} features{}\n\
             λ_S = {:<12} best for the source itself\n\
             λ₀  = {:<12} best for the target ({} × λ_S)\n\
             λ₁  = {:<12} L2-SP on the target\n\n\
             leave-one-out mean squared error on the target\n  \
             transfer, λ₀ for the target    {}\n  \
             transfer, λ₀ = λ_S             {}  (cost of the source-optimal choice: {}, 95% interval {})\n  \
             from scratch                   {}\n\n\
             alignment ρ̂ = {} (95% interval {} to {}); {}{predictions}{edge}\n\
             The errors are of penalties chosen by these very errors: a little optimistic, most of all for few rows.\n\n\
             {}\n{}\n",
            source.x.nrows(),
            target.x.nrows(),
            source.features.len(),
            if target.y.ncols() > 1 { format!(", {} responses", target.y.ncols()) } else { String::new() },
            rounded(f.lambda_source),
            rounded(f.lambda0),
            rounded(f.lambda0 / f.lambda_source),
            rounded(f.lambda1),
            rounded(f.transfer),
            rounded(f.at_source_optimal),
            percent(f.mismatch_cost.estimate / f.transfer),
            range(&f.mismatch_cost, f.transfer),
            rounded(f.scratch),
            bound(rho.estimate),
            bound(rho.low),
            bound(rho.high),
            f.alignment.method.words(),
            self.out.join("coefficients.npz").display(),
            self.out.join("fit.json").display(),
        )
    }
}

fn constant(x: &Array2<f64>, column: usize) -> bool {
    let c = x.column(column);
    c.iter().all(|v| *v == c[0])
}

fn shorten(names: &[String]) -> String {
    match names.len() {
        0..=12 => names.join(", "),
        n => format!("{}, … ({n} in all)", names[..12].join(", ")),
    }
}

/// An .npz with coefficients (features × responses) and intercepts in the data's own units.
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
