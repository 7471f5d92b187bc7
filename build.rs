//! Sets the run-time search path of libtorch in the program, and embeds the commit being built.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // torch-sys has `links = "tch"`. Cargo passes its library folder to direct dependants such as
    // this crate.
    println!("cargo:rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    if let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        // RUNPATH instead of RPATH, so that LD_LIBRARY_PATH can still select another installation.
        println!("cargo:rustc-link-arg=-Wl,--enable-new-dtags,-rpath,{lib}");
        println!("cargo:rustc-env=TRANSFERGRID_LIBTORCH_LIB={lib}");
        #[cfg(feature = "torch")]
        native(std::path::Path::new(&lib));
    }

    println!("cargo:rerun-if-changed=.git/HEAD");
    println!("cargo:rerun-if-changed=.git/index");
    println!("cargo:rerun-if-env-changed=TRANSFERGRID_COMMIT");
    println!("cargo:rustc-env=TRANSFERGRID_COMMIT={}", commit());
}

/// Compiles the few lines of C++ for libtorch functions that tch does not expose.
#[cfg(feature = "torch")]
fn native(lib: &std::path::Path) {
    const FILE: &str = "src/model/native.cc";
    println!("cargo:rerun-if-changed={FILE}");
    let include = lib.join("../include");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .flag("-D_GLIBCXX_USE_CXX11_ABI=1")
        .opt_level(1) // glue code: nearly all of its compile time goes into libtorch's headers
        .warnings(false) // libtorch's headers cause warnings that cannot be fixed here
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .file(FILE)
        .compile("transfergrid_native");
}

/// The commit being built, with `-dirty` if the sources differ from it; `unknown` outside a git
/// checkout.
fn commit() -> String {
    if let Ok(given) = std::env::var("TRANSFERGRID_COMMIT") {
        return given; // container builds have no .git
    }
    let git = |args: &[&str]| {
        let out = Command::new("git").args(args).output().ok()?;
        out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_string())
    };
    // `--no-optional-locks`: otherwise `status` may rewrite the index, and a newer index makes
    // cargo rebuild.
    match git(&["rev-parse", "--short=12", "HEAD"]) {
        None => "unknown".into(),
        Some(hash) => match git(&["--no-optional-locks", "status", "--porcelain", "--", "src", "Cargo.toml", "Cargo.lock", "build.rs"]) {
            Some(changes) if !changes.is_empty() => format!("{hash}-dirty"),
            _ => hash,
        },
    }
}
