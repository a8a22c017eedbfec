//! Whether a device lives: what the driver said of it, and how to ask.
//!
//! `wgpu` tells that a device is lost to one callback only. On an application's own device that callback is the application's, and
//! every call that fails because of the loss fails without a word. So the device is asked by a mistake: to write to a
//! buffer that cannot be written. A device that lives says what is wrong with that, and a lost one is silent.

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
    /// The buffer that cannot be written. A browser answers late, and has none.
    pulse: OnceLock<wgpu::Buffer>,
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

    /// Takes the buffer that cannot be written.
    pub(super) fn begin(&self, pulse: Option<wgpu::Buffer>) {
        if let Some(pulse) = pulse {
            self.pulse.get_or_init(|| pulse);
        }
    }

    /// Why the device is known to be lost. Nobody is asked.
    pub(super) fn known_loss(&self) -> Option<String> {
        lock(&self.failure).lost.clone()
    }

    /// Why the device is lost, after asking.
    pub(super) fn loss(&self, device: &wgpu::Device, queue: &wgpu::Queue) -> Option<String> {
        if let Some(known) = self.known_loss() {
            return Some(known);
        }
        if self.has_pulse(device, queue) {
            return None;
        }
        let mut failure = lock(&self.failure);
        let lost = || "the device is lost or destroyed".to_owned();
        Some(failure.lost.get_or_insert_with(lost).clone())
    }

    /// What was said besides a loss, once.
    pub(super) fn take_error(&self) -> Option<wgpu::Error> {
        lock(&self.failure).error.take()
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn has_pulse(&self, device: &wgpu::Device, queue: &wgpu::Queue) -> bool {
        let Some(pulse) = self.pulse.get() else { return true };
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        drop(queue.write_buffer_with(pulse, 0, wgpu::BufferSize::MIN));
        pollster::block_on(scope.pop()).is_some() // there already
    }

    #[cfg(target_arch = "wasm32")]
    fn has_pulse(&self, _device: &wgpu::Device, _queue: &wgpu::Queue) -> bool {
        self.pulse.get().is_none()
    }
}
