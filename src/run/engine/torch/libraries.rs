//! libtorch's tree on this machine, and loading its CUDA part. The program links the CPU part
//! alone, so that one binary runs on machines with and without CUDA.

use std::ffi::{c_int, c_void, CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::driver::last_error;

/// The PyTorch version for which tch's bindings were generated.
pub const LIBTORCH_VERSION: &str = "2.11.0";

/// What PyTorch itself loads before libtorch_cuda, in its order (`_preload_cuda_deps` in
/// torch/__init__.py). cublasLt comes before cublas, which would otherwise take a system's one;
/// cuDNN compiles kernels with nvrtc, which no library names among those it needs.
const PRELOADED: [&str; 16] = [
    "libcublasLt",
    "libcublas",
    "libcudnn",
    "libnvrtc",
    "libnvrtc-builtins",
    "libcudart",
    "libcupti",
    "libcufft",
    "libcurand",
    "libnvJitLink",
    "libcusparse",
    "libcusparseLt",
    "libcusolver",
    "libnccl",
    "libnvshmem_host",
    "libcufile",
];

/// The folder of the libtorch_cpu.so that this process has loaded.
pub fn folder() -> Option<PathBuf> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            loaded().into_iter().find(|path| is_library(path, "libtorch_cpu"))?.canonicalize().ok()?.parent().map(Path::to_path_buf)
        })
        .clone()
}

/// The paths of all libraries that this process has loaded.
pub fn loaded() -> Vec<PathBuf> {
    unsafe extern "C" fn see(info: *mut libc::dl_phdr_info, _: usize, all: *mut c_void) -> c_int {
        // SAFETY: the loader passes valid information; `all` is the vector below.
        unsafe {
            let name = CStr::from_ptr((*info).dlpi_name);
            (*all.cast::<Vec<PathBuf>>()).push(PathBuf::from(std::ffi::OsStr::from_bytes(name.to_bytes())));
        }
        0
    }
    let mut all: Vec<PathBuf> = vec![];
    // SAFETY: `see` has the right type, and `all` outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(see), (&raw mut all).cast()) };
    all
}

/// Whether a path is a library of this name: `libcublas` names `libcublas.so.13`, and not
/// `libcublasLt.so`.
fn is_library(path: &Path, name: &str) -> bool {
    path.file_name().is_some_and(|file| file.to_string_lossy().strip_prefix(name).is_some_and(|rest| rest.starts_with(".so")))
}

/// PyTorch's version and the CUDA version that it was built with, from its own files.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// e.g. `2.11.0+cu130`
    pub torch: String,
    /// e.g. (13, 0); none for a build without CUDA.
    pub cuda: Option<(i32, i32)>,
}

pub fn version() -> Option<Version> {
    let tree = folder()?.parent()?.to_path_buf();
    match std::fs::read_to_string(tree.join("version.py")) {
        Ok(text) => {
            let value = |key: &str| text.lines().find(|line| line.starts_with(key))?.split(['\'', '"']).nth(1).map(str::to_string);
            Some(Version { torch: value("__version__")?, cuda: value("cuda").and_then(|cuda| two_numbers(&cuda)) })
        }
        // libtorch's own archive has no Python in it.
        Err(_) => {
            let torch = std::fs::read_to_string(tree.join("build-version")).ok()?.trim().to_string();
            let cuda = torch.split_once("+cu").and_then(|(_, digits)| two_numbers(&format!("{}.{}", digits.get(..2)?, digits.get(2..)?)));
            Some(Version { torch, cuda })
        }
    }
}

fn two_numbers(text: &str) -> Option<(i32, i32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Loads libtorch's CUDA part, with the NVIDIA libraries of the same tree first. This must happen
/// before anything asks whether CUDA is available, since libtorch caches the answer.
///
/// # Errors
/// The loader's message. A CPU-only installation lacks NVIDIA's libraries, or libtorch_cuda itself.
pub fn load_cuda() -> Result<(), String> {
    static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
    let load = || {
        let folder = folder().ok_or("libtorch_cpu.so is not loaded")?;
        for name in PRELOADED {
            if let Some(path) = places(&folder).iter().find_map(|place| find(place, name)) {
                let _ = open(&path, libc::RTLD_NOW); // what is really missing, libtorch_cuda names below
            }
        }
        open(&folder.join("libtorch_cuda.so"), libc::RTLD_NOW | libc::RTLD_GLOBAL)
    };
    LOADED.get_or_init(load).clone()
}

/// Whether libtorch's folder has a CUDA part, complete or not. PyTorch's wheels always have.
pub fn has_cuda_part() -> bool {
    folder().is_some_and(|folder| folder.join("libtorch_cuda.so").exists())
}

/// The folders of a tree that may hold NVIDIA's libraries: those of its wheels, then its own.
fn places(folder: &Path) -> Vec<PathBuf> {
    let wheels = std::fs::read_dir(folder.join("../../nvidia")).ok().into_iter().flatten().flatten();
    let mut places: Vec<PathBuf> = wheels.map(|wheel| wheel.path().join("lib")).collect();
    places.sort();
    places.push(folder.to_path_buf());
    places
}

fn find(place: &Path, name: &str) -> Option<PathBuf> {
    let files = std::fs::read_dir(place).ok()?.flatten().map(|file| file.path());
    files.filter(|path| is_library(path, name)).min()
}

fn open(path: &Path, flags: c_int) -> Result<(), String> {
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
    // SAFETY: the name is NUL-terminated. These libraries register themselves when loaded and are
    // never unloaded.
    match unsafe { libc::dlopen(name.as_ptr(), flags) }.is_null() {
        true => Err(last_error()),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_libraries_are_whole() {
        let is = |path: &str, name| is_library(Path::new(path), name);
        assert!(is("/a/libcublas.so.13", "libcublas") && is("/a/libtorch_cpu.so", "libtorch_cpu"));
        assert!(!is("/a/libcublasLt.so.13", "libcublas") && !is("/a/libnvrtc-builtins.so.13.0", "libnvrtc"));
    }

    #[test]
    fn the_loaded_tree_has_a_version() {
        tch::set_num_threads(1); // links libtorch
        assert!(folder().is_some_and(|folder| folder.join("libtorch_cpu.so").exists()));
        let version = version().unwrap();
        assert!(version.torch.starts_with(LIBTORCH_VERSION), "{version:?}");
    }

    /// Order matters: see `PRELOADED`. Read from PyTorch's own file, where the wheel has it.
    #[test]
    fn preloaded_are_those_of_pytorch_in_its_order() {
        let Some(file) = folder().and_then(|folder| std::fs::read_to_string(folder.join("../__init__.py")).ok()) else {
            eprintln!("LEFT OUT: this libtorch has no torch/__init__.py");
            return;
        };
        let body = file.split("def _preload_cuda_deps").nth(1).unwrap().split("# If error is passed").next().unwrap();
        let names: Vec<&str> = body.split('"').filter(|word| word.starts_with("lib") && word.contains(".so.")).collect();
        let theirs: Vec<&str> = names.iter().map(|name| name.split(".so.").next().unwrap()).collect();
        assert_eq!(theirs, PRELOADED);
    }
}
