//! Whether a device lives: what the driver said of it, and how to ask.
//!
//! `wgpu` tells that a device is lost to one callback only. On an application's own device that callback is the application's, and
//! every call that fails because of the loss fails without a word. So the device is asked: a buffer is wished for by the host, and the wish is
//! taken back. A lost device refuses such a wish at once.

#[cfg(not(target_arch = "wasm32"))]
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// What went wrong outside of any call of ours.
#[derive(Debug, Default)]
pub(super) struct Failure {
    /// The device is lost, for good.
    pub(super) lost: Option<String>,
    /// Something else, which the next call reports, once.
    pub(super) error: Option<wgpu::Error>,
}

/// What is known of the life of a device.
#[derive(Debug)]
pub(super) struct Life {
    /// What the driver said outside of any call of ours; only for a device of our own.
    failure: Arc<Mutex<Failure>>,
    /// The buffer that is wished for. A browser answers no wish at once, and has none.
    pulse: OnceLock<Mutex<wgpu::Buffer>>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Life {
    /// That of a device to which the driver says what goes wrong.
    pub(super) fn new(failure: Arc<Mutex<Failure>>) -> Self {
        Self {
            failure,
            pulse: OnceLock::new(),
        }
    }

    /// Takes the buffer that is wished for from now on, which the host may write.
    pub(super) fn begin(&self, pulse: Option<wgpu::Buffer>) {
        if let Some(pulse) = pulse {
            self.pulse.get_or_init(|| Mutex::new(pulse));
        }
    }

    /// Why the device is known to be lost. Nobody is asked.
    pub(super) fn known_loss(&self) -> Option<String> {
        lock(&self.failure).lost.clone()
    }

    /// Why the device is lost, after asking.
    pub(super) fn loss(&self, device: &wgpu::Device) -> Option<String> {
        if let Some(known) = self.known_loss() {
            return Some(known);
        }
        if self.has_pulse(device) {
            return None;
        }
        let mut failure = lock(&self.failure);
        Some(
            failure
                .lost
                .get_or_insert_with(|| "the device is lost or destroyed".to_owned())
                .clone(),
        )
    }

    /// What was said besides a loss, once.
    pub(super) fn take_error(&self) -> Option<wgpu::Error> {
        lock(&self.failure).error.take()
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn has_pulse(&self, device: &wgpu::Device) -> bool {
        let Some(pulse) = self.pulse.get() else { return true };
        // two wishes at the same time would be a mistake
        let pulse = lock(pulse);
        let is_refused = Arc::new(AtomicBool::new(false));
        let note = Arc::clone(&is_refused);
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        pulse.slice(..).map_async(wgpu::MapMode::Write, move |answer| {
            note.store(answer.is_err(), Ordering::Relaxed);
        });
        let is_refused = is_refused.load(Ordering::Relaxed); // taking the wish back is an error too
        pulse.unmap();
        drop(scope.pop());
        !is_refused
    }

    #[cfg(target_arch = "wasm32")]
    fn has_pulse(&self, _device: &wgpu::Device) -> bool {
        self.pulse.get().is_none()
    }
}
