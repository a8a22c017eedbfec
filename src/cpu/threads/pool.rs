//! How many threads there are to share the work.

use std::error::Error;
use std::sync::OnceLock;

use rayon::ThreadPoolBuilder;

/// The threads of the pool that the caller is in, else those of rayon's global pool, which starts with the first question.
/// One where that pool cannot start, because the system gives no more threads: then rayon must not be called at all.
pub(crate) fn count() -> usize {
    if cfg!(target_arch = "wasm32") {
        return 1; // where a pool that failed to start would stay so, and rayon without one does all on this thread
    }
    static STARTED: OnceLock<bool> = OnceLock::new();
    if rayon::current_thread_index().is_some() {
        return rayon::current_num_threads();
    }
    let started = STARTED.get_or_init(|| match ThreadPoolBuilder::new().build_global() {
        Ok(()) => true,
        // without a source the program has started the pool itself
        Err(error) => error.source().is_none(),
    });
    if *started { rayon::current_num_threads() } else { 1 }
}
