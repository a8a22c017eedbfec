//! What a driver does not bear from two threads at the same time is done in turn.
//!
//! NVIDIA's driver crashes or hangs where one thread makes an instance, opens a device or closes one while another thread
//! does, or makes a pipeline (gfx-rs/wgpu issues 5930, 8365 and 10234). So the process has one turn for all of them.

use std::cell::Cell;
use std::sync::{Mutex, PoisonError};

static TURN: Mutex<()> = Mutex::new(());

thread_local! {
    /// Whether this thread has the turn already: then it does not wait for itself.
    static HAS_TURN: Cell<bool> = const { Cell::new(false) };
}

/// Gives the turn back, after a panic too.
struct Leave;

impl Drop for Leave {
    fn drop(&mut self) {
        HAS_TURN.set(false);
    }
}

/// Does `work` while no other thread is in here.
///
/// Whoever waits for the turn holds no lock that is taken within: the turn comes first.
pub(crate) fn in_turn<T>(work: impl FnOnce() -> T) -> T {
    if HAS_TURN.get() {
        return work();
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    HAS_TURN.set(true);
    let _leave = Leave;
    work()
}

/// Finishes what `work` asks of wgpu while no other thread is in here.
///
/// Natively the driver does all of it within the first poll, so nobody who has the turn waits for another task.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) async fn finish_in_turn<T>(work: impl Future<Output = T>) -> T {
    in_turn(|| pollster::block_on(work))
}

/// A browser answers later and has no other thread; another task may be in here meanwhile.
#[cfg(target_arch = "wasm32")]
pub(crate) async fn finish_in_turn<T>(work: impl Future<Output = T>) -> T {
    work.await
}

#[cfg(test)]
#[allow(clippy::panic, reason = "tests fail by panicking")]
mod tests {
    use std::panic::catch_unwind;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn only_one_thread_has_the_turn() {
        let inside = AtomicUsize::new(0);
        let enter = || {
            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
            thread::yield_now();
            assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
        };
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..200).for_each(|_| in_turn(enter)));
            }
        });
    }

    #[test]
    fn who_has_the_turn_does_not_wait_for_itself() {
        assert_eq!(in_turn(|| in_turn(|| 3) + in_turn(|| 4)), 7);
        assert!(!HAS_TURN.get());
    }

    #[test]
    fn a_panic_gives_the_turn_back() {
        assert!(catch_unwind(|| in_turn(|| panic!("on purpose"))).is_err());
        assert!(!HAS_TURN.get());
        assert!(thread::scope(|scope| scope.spawn(|| in_turn(|| true)).join()).is_ok_and(|entered| entered));
    }
}
