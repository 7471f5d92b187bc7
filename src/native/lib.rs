//! The C++ beside `model/`: a package of its own, so that it is compiled only when it changes. Its
//! functions are declared in `model/native.rs` and `model/script.rs`.

// Links libtorch.
pub use torch_sys;
