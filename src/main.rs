//! Parses the command line, runs the subcommand, prints the error chain with its hint, and returns
//! the exit code.

use std::process::ExitCode;

// The linker takes `hypot` in its newest version, of glibc 2.35, which clusters do not have yet.
// It is the only function newer than 2.34, and its first version, which has the same values, is
// everywhere (build.rs wraps the calls).
#[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"))]
std::arch::global_asm!(
    ".symver transfergrid_hypot, hypot@GLIBC_2.2.5",
    ".globl __wrap_hypot",
    "__wrap_hypot:",
    "jmp transfergrid_hypot@PLT",
);

fn main() -> ExitCode {
    keep_memory();
    take_errors();
    match transfergrid::base::catch_panic::catch_panic(transfergrid::cli::run).and_then(|outcome| outcome) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            transfergrid::base::stderr::print_error(&format!("error: {error:#}"));
            ExitCode::from(transfergrid::cli::exit_code(&error))
        }
    }
}

/// Turns a write beyond the file-size limit (`ulimit -f`, a quota) into an error of that write
/// instead of a termination of the program.
fn take_errors() {
    // SAFETY: called before any other thread exists. Ignoring a signal runs none of this program's
    // code.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

/// Keeps freed buffers in the process. libtorch allocates and frees megabytes at every step, and
/// glibc would return each buffer to the kernel, which halves the speed of training on CPU. Each
/// thread has an arena of its own, glibc's default: with one for all, workers wait for each other
/// (docs/performance.md).
#[cfg(target_env = "gnu")]
fn keep_memory() {
    // SAFETY: called before any other thread exists.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
        libc::mallopt(libc::M_TOP_PAD, 64 << 20);
    }
}

#[cfg(not(target_env = "gnu"))]
fn keep_memory() {}
