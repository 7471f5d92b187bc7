//! Sets the run-time search path of libtorch in the program, and embeds the commit being built.

use std::process::Command;

/// What the program is made of.
const SOURCES: [&str; 6] = ["src", "python", "experiments", "Cargo.toml", "Cargo.lock", "build.rs"];

/// Minor versions of Python 3 for which PyTorch 2.11 exists.
const PYTHONS: std::ops::RangeInclusive<u32> = 10..=14;

fn main() {
    // torch-sys has `links = "tch"`. Cargo passes its library folder to direct dependants such as
    // this crate.
    println!("cargo:rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    println!("cargo:rerun-if-env-changed=TRANSFERGRID_WHEEL");
    if let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        // RUNPATH instead of RPATH, so that LD_LIBRARY_PATH can still select another installation.
        // A wheel is for other machines, so it does not name this one's folder.
        if std::env::var_os("TRANSFERGRID_WHEEL").is_none() {
            println!("cargo:rustc-link-arg=-Wl,--enable-new-dtags,-rpath,{lib}");
        }
        // Where that folder does not exist: the PyTorch of the environment into whose bin/ the
        // program was installed.
        for minor in PYTHONS {
            println!("cargo:rustc-link-arg=-Wl,--enable-new-dtags,-rpath,$ORIGIN/../lib/python3.{minor}/site-packages/torch/lib");
        }
    }

    // `main.rs` says why.
    let target = |name: &str| std::env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    if [target("ARCH"), target("OS"), target("ENV")] == ["x86_64", "linux", "gnu"] {
        println!("cargo:rustc-link-arg-bins=-Wl,--wrap=hypot");
    }

    // The commit changes with HEAD or with the branch that HEAD names, `-dirty` with the sources.
    // Not the index: `git status` and `git add` write it, and the whole crate would be compiled
    // again.
    for name in ["HEAD".to_string(), git(&["symbolic-ref", "-q", "HEAD"]).unwrap_or_default(), "packed-refs".into()] {
        let path = git(&["rev-parse", "--git-path", &name]).filter(|path| !name.is_empty() && std::path::Path::new(path).exists());
        path.into_iter().for_each(|path| println!("cargo:rerun-if-changed={path}"));
    }
    for source in SOURCES {
        println!("cargo:rerun-if-changed={source}");
    }
    println!("cargo:rerun-if-env-changed=TRANSFERGRID_COMMIT");
    println!("cargo:rustc-env=TRANSFERGRID_COMMIT={}", commit());
}

/// The commit being built, with `-dirty` if the sources differ from it; `unknown` outside a git
/// checkout.
fn commit() -> String {
    if let Ok(given) = std::env::var("TRANSFERGRID_COMMIT") {
        return given; // container builds have no .git
    }
    match git(&["rev-parse", "--short=12", "HEAD"]) {
        None => "unknown".into(),
        Some(hash) => match git(&[&["--no-optional-locks", "status", "--porcelain", "--"], &SOURCES[..]].concat()) {
            Some(changes) if !changes.is_empty() => format!("{hash}-dirty"),
            _ => hash,
        },
    }
}

/// What git prints. None if it fails.
fn git(args: &[&str]) -> Option<String> {
    let out = Command::new("git").args(args).output().ok()?;
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_string())
}
