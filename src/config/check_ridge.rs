//! Checks of a ridge study that its types cannot express.

use super::check::{setting_error, SettingError};
use super::ridge::{CovarianceKind, CovarianceSpec, Ridge, SamplerName};
use crate::base::numbers::number;

/// For larger p, the eigenvectors of a full covariance take minutes and gigabytes.
const MOST_FULL: usize = 4000;

/// Checks one cell.
pub fn cell(cell: &Ridge) -> Result<(), SettingError> {
    if !(1..=100_000).contains(&cell.p) {
        return Err(setting_error("p", format!("a dimension is a whole number from 1 to 100000, not {}", cell.p)));
    }
    match (cell.n0, cell.gamma) {
        (None, None) => return Err(setting_error("n0", "give `n0` (rows of the source) or `gamma` (p/n₀)")),
        (Some(_), Some(_)) => return Err(setting_error("gamma", "give `n0` or `gamma`, not both")),
        (Some(0), None) => return Err(setting_error("n0", "must be at least 1")),
        (None, Some(gamma)) if !(gamma > 0.0 && gamma.is_finite()) => {
            return Err(setting_error("gamma", format!("γ = p/n₀ is a finite number above 0, not {}", number(gamma))))
        }
        (None, Some(_)) if cell.rows() == 0 => return Err(setting_error("gamma", "p/γ rounds to no rows at all")),
        _ => {}
    }
    if cell.rows() > 100_000_000 {
        return Err(setting_error(if cell.n0.is_some() { "n0" } else { "gamma" }, format!("{} rows are more than 1e8", cell.rows())));
    }
    size("rho", cell.rho)?;
    not_negative("orthogonal", cell.orthogonal)?;
    size("orthogonal", cell.orthogonal)?;
    for (name, task) in [("source", &cell.source), ("target", &cell.target)] {
        noise(&format!("{name}.noise"), task.noise)?;
        covariance(&format!("{name}.covariance"), &task.covariance, cell.p)?;
    }
    rows("n1", cell.n1)?;
    penalty("lambda0", cell.lambda0, false)?;
    penalty("lambda1", cell.lambda1, true)?;
    ridgeless("lambda0", cell.lambda0, cell.p, cell.rows(), "n₀")?;
    ridgeless("lambda1", cell.lambda1, cell.p, cell.n1, "n₁")?;
    if !(2..=10_000_000).contains(&cell.draws) {
        return Err(setting_error("draws", format!("a whole number from 2 to 1e7, not {}", cell.draws)));
    }
    let isotropic = |c: &CovarianceSpec| c.kind == CovarianceKind::Identity;
    let mut all = [&cell.source.covariance, &cell.target.covariance]
        .into_iter()
        .chain(cell.targets.iter().flatten().filter_map(|t| t.covariance.as_ref()));
    if cell.sampler == SamplerName::Chi && !all.all(isotropic) {
        return Err(setting_error("sampler", "the chi model is for identity covariances").hint("use `auto`, `rao-blackwell` or `direct`"));
    }
    if let Some(targets) = &cell.targets {
        if targets.is_empty() {
            return Err(setting_error("targets", "the list is empty").hint("give at least one target, or null"));
        }
        for (i, target) in targets.iter().enumerate() {
            let at = |setting_error: SettingError| SettingError {
                path: super::Path::parse("targets").index(i).join(&setting_error.path),
                ..setting_error
            };
            let check = || -> Result<(), SettingError> {
                if target.name.trim().is_empty() || targets[..i].iter().any(|other| other.name == target.name) {
                    return Err(setting_error("name", "each target needs a name of its own"));
                }
                if !(target.weight > 0.0 && target.weight.is_finite()) {
                    return Err(setting_error("weight", format!("must be a finite number above 0, not {}", number(target.weight))));
                }
                target.rho.map_or(Ok(()), |v| size("rho", v))?;
                target.orthogonal.map_or(Ok(()), |v| not_negative("orthogonal", v).and_then(|()| size("orthogonal", v)))?;
                target.noise.map_or(Ok(()), |v| noise("noise", v))?;
                target.n1.map_or(Ok(()), |n| rows("n1", n))?;
                target.lambda1.map_or(Ok(()), |v| penalty("lambda1", v, true))?;
                target.covariance.as_ref().map_or(Ok(()), |c| covariance("covariance", c, cell.p))?;
                ridgeless("lambda1", target.lambda1.unwrap_or(cell.lambda1), cell.p, target.n1.unwrap_or(cell.n1), "n₁")
            };
            check().map_err(at)?;
        }
    }
    Ok(())
}

/// Rejects values whose squares could overflow, beyond 1e100.
fn size(path: &str, value: f64) -> Result<(), SettingError> {
    match (-1e100..=1e100).contains(&value) {
        true => Ok(()),
        false => Err(setting_error(path, format!("must be a number from -1e100 to 1e100, not {}", number(value)))),
    }
}

fn finite(path: &str, value: f64) -> Result<(), SettingError> {
    match value.is_finite() {
        true => Ok(()),
        false => Err(setting_error(path, format!("must be a finite number, not {}", number(value)))),
    }
}

fn not_negative(path: &str, value: f64) -> Result<(), SettingError> {
    match value >= 0.0 && value.is_finite() {
        true => Ok(()),
        false => Err(setting_error(path, format!("must be a finite number ≥ 0, not {}", number(value)))),
    }
}

fn noise(path: &str, value: f64) -> Result<(), SettingError> {
    match (0.0..=1e9).contains(&value) {
        true => Ok(()),
        false => Err(setting_error(path, format!("a noise variance is a number from 0 to 1e9, not {}", number(value)))),
    }
}

fn rows(path: &str, n: usize) -> Result<(), SettingError> {
    match (1..=100_000_000).contains(&n) {
        true => Ok(()),
        false => Err(setting_error(path, format!("must be a whole number from 1 to 1e8, not {n}"))),
    }
}

fn penalty(path: &str, value: f64, may_be_infinite: bool) -> Result<(), SettingError> {
    // Beyond 1e100 squares overflow.
    if (0.0..=1e100).contains(&value) || (value == f64::INFINITY && may_be_infinite) {
        return Ok(());
    }
    let error = setting_error(path, format!("a penalty is a number from 0 to 1e100, not {}", number(value)));
    Err(match value < 0.0 {
        true => error.hint("`transfergrid theory optimum STUDY --allow-negative` finds optimal penalties below 0"),
        false => error,
    })
}

fn ridgeless(path: &str, lambda: f64, p: usize, n: usize, name: &str) -> Result<(), SettingError> {
    if lambda == 0.0 && p.abs_diff(n) <= 1 {
        return Err(setting_error(path, format!("λ = 0 with p = {p} and {name} = {n} has infinite expected risk (|p − {name}| ≤ 1)"))
            .hint("use a λ above 0, or other numbers of rows"));
    }
    Ok(())
}

fn covariance(path: &str, spec: &CovarianceSpec, p: usize) -> Result<(), SettingError> {
    match &spec.kind {
        CovarianceKind::Identity => Ok(()),
        CovarianceKind::Power(a) => finite(path, *a),
        CovarianceKind::Ar1(r) if r.abs() >= 1.0 || r.is_nan() => {
            Err(setting_error(path, format!("`ar1` is a correlation between −1 and 1, not {}", number(*r))))
        }
        CovarianceKind::Spiked { count, .. } if *count == 0 || *count > p => {
            Err(setting_error(path, format!("{count} spikes do not fit into p = {p} dimensions")))
        }
        CovarianceKind::Spiked { strength, .. } if !(*strength > 0.0 && strength.is_finite()) => {
            Err(setting_error(path, format!("`strength` must be a finite number above 0, not {}", number(*strength))))
        }
        CovarianceKind::Ar1(_) | CovarianceKind::File(_) if p > MOST_FULL => {
            Err(setting_error(path, format!("a full covariance of p = {p} is more than the {MOST_FULL} allowed"))
                .hint("`power` and `spiked` are diagonal and have no such limit"))
        }
        _ => Ok(()),
    }
}
