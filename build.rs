//! Tells the linker where libtorch lives at run time, and the program which commit it is.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // torch-sys has `links = "tch"`; being its direct dependant we are told its library folder.
    println!("cargo:rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    if let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        // RUNPATH rather than RPATH: LD_LIBRARY_PATH can still point to another installation.
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

/// The few lines of C++ that reach what tch does not.
#[cfg(feature = "torch")]
fn native(lib: &std::path::Path) {
    const FILE: &str = "src/model/native.cc";
    println!("cargo:rerun-if-changed={FILE}");
    let include = lib.join("../include");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .flag("-D_GLIBCXX_USE_CXX11_ABI=1")
        .opt_level(1) // glue; its weight is in libtorch's headers
        .warnings(false) // libtorch's headers are not ours to mend
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .file(FILE)
        .compile("transfergrid_native");
}

/// The commit being built, `-dirty` where the sources differ from it; `unknown` outside a git checkout.
fn commit() -> String {
    if let Ok(given) = std::env::var("TRANSFERGRID_COMMIT") {
        return given; // container builds have no .git
    }
    let git = |args: &[&str]| {
        let out = Command::new("git").args(args).output().ok()?;
        out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_string())
    };
    // A `status` with locks may rewrite the index, and a newer index makes cargo build all over again.
    match git(&["rev-parse", "--short=12", "HEAD"]) {
        None => "unknown".into(),
        Some(hash) => match git(&["--no-optional-locks", "status", "--porcelain", "--", "src", "Cargo.toml", "Cargo.lock", "build.rs"]) {
            Some(changes) if !changes.is_empty() => format!("{hash}-dirty"),
            _ => hash,
        },
    }
}
