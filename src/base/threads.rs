//! Runs work on several threads, on as many as the system allows. Fewer threads, or the caller's
//! thread alone, only make it slower.
//!
//! rayon's global pool is not used: it panics if the system refuses a thread, and every later use
//! of it panics too.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::OnceLock;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Number of threads requested; 0 means as many as there are cores.
static WANTED: AtomicUsize = AtomicUsize::new(0);

/// Requests this number of threads. Has an effect only before the first use.
pub fn limit(threads: usize) {
    WANTED.store(threads, Ordering::Relaxed);
}

/// Number of threads that work at the same time.
pub fn count() -> usize {
    pool().map_or(1, ThreadPool::current_num_threads)
}

/// The results of `f` for 0 … n − 1, in that order.
pub fn map<T: Send>(n: usize, f: impl Fn(usize) -> T + Sync + Send) -> Vec<T> {
    match pool() {
        Some(pool) => pool.install(|| (0..n).into_par_iter().map(f).collect()),
        None => (0..n).map(f).collect(),
    }
}

/// The thread pool. None if only the caller's thread is used.
fn pool() -> Option<&'static ThreadPool> {
    static POOL: OnceLock<Option<ThreadPool>> = OnceLock::new();
    let build = |threads: usize| ThreadPoolBuilder::new().num_threads(threads).build().ok();
    let first = || {
        let wanted = WANTED.load(Ordering::Relaxed);
        if wanted == 1 {
            return None;
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // rayon's own default respects RAYON_NUM_THREADS. If a thread is refused, smaller pools are
        // tried.
        build(wanted)
            .or_else(|| (2..if wanted == 0 { cores } else { wanted }).rev().find_map(build))
            .filter(|pool| pool.current_num_threads() > 1)
    };
    POOL.get_or_init(first).as_ref()
}
