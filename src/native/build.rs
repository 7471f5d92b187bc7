//! Compiles the few lines of C++ for libtorch functions that tch does not expose.

const FILES: [&str; 2] = ["native.cc", "script.cc"];

fn main() {
    // torch-sys has `links = "tch"`. Cargo passes its library folder to direct dependants such as
    // this package.
    println!("cargo:rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    FILES.iter().chain(&["guarded.h"]).for_each(|file| println!("cargo:rerun-if-changed={file}"));
    let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") else { return };
    let include = std::path::Path::new(&lib).join("../include");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .flag("-D_GLIBCXX_USE_CXX11_ABI=1")
        .opt_level(1) // glue code: nearly all of its compile time goes into libtorch's headers
        .warnings(false) // libtorch's headers cause warnings that cannot be fixed here
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .files(FILES)
        .compile("transfergrid_native");
}
