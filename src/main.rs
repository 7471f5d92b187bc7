//! Parse, dispatch, print the error chain with its hint, exit code.

use std::process::ExitCode;

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

/// A file beyond the limit of sizes (`ulimit -f`, a quota) is an error of the write, not the end of
/// the program.
fn take_errors() {
    // SAFETY: called before any other thread exists; ignoring a signal runs no code of ours.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

/// Keeps freed buffers in the process: libtorch allocates and frees megabytes at every step, and glibc would hand each back to
/// the kernel (half the speed of training on CPU). One arena for all threads: the others are made of 64 MB heaps that are
/// unmapped when they empty (another eighth).
#[cfg(target_env = "gnu")]
fn keep_memory() {
    // SAFETY: called before any other thread exists.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
        libc::mallopt(libc::M_TOP_PAD, 64 << 20);
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

#[cfg(not(target_env = "gnu"))]
fn keep_memory() {}
