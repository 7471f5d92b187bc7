//! Work on several threads, on as many as the system gives: fewer, or none beside the caller's, is
//! slower and nothing else.
//!
//! rayon's global pool is not used: it panics where a thread is refused, and every later use of it
//! panics too.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::OnceLock;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Threads that were asked for; 0: as many as there are cores.
static WANTED: AtomicUsize = AtomicUsize::new(0);

/// Asks for so many threads. Counts only before the first use.
pub fn limit(threads: usize) {
    WANTED.store(threads, Ordering::Relaxed);
}

/// Threads that work at a time.
pub fn count() -> usize {
    pool().map_or(1, ThreadPool::current_num_threads)
}

/// `f` of 0 … n − 1, in that order.
pub fn map<T: Send>(n: usize, f: impl Fn(usize) -> T + Sync + Send) -> Vec<T> {
    match pool() {
        Some(pool) => pool.install(|| (0..n).into_par_iter().map(f).collect()),
        None => (0..n).map(f).collect(),
    }
}

/// None where one thread is all there is: the caller's own.
fn pool() -> Option<&'static ThreadPool> {
    static POOL: OnceLock<Option<ThreadPool>> = OnceLock::new();
    let build = |threads: usize| ThreadPoolBuilder::new().num_threads(threads).build().ok();
    let first = || {
        let wanted = WANTED.load(Ordering::Relaxed);
        if wanted == 1 {
            return None;
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // rayon's own default heeds RAYON_NUM_THREADS. A refused thread is not asked for again.
        build(wanted)
            .or_else(|| (2..if wanted == 0 { cores } else { wanted }).rev().find_map(build))
            .filter(|pool| pool.current_num_threads() > 1)
    };
    POOL.get_or_init(first).as_ref()
}
