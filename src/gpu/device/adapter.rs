//! What GPUs the system offers, looked up once for the whole process, and the device that is open on each.
//!
//! The instance, the adapters and the devices opened here are kept to the end of the process and never dropped: some
//! drivers crash or hang when the last thread closes a device while the process exits (gfx-rs/wgpu issue 8365).

use std::mem;
use std::sync::{Arc, Mutex};

use super::gpu::{Gpu, name};
use super::life::{Failure, lock};
use super::matrices;
use super::module::experimental;
use super::turn::finish_in_turn;
use super::wanted::USED_FEATURES;
use crate::error::{Cause, Error, Result};

const BACKENDS: wgpu::Backends = wgpu::Backends::VULKAN
    .union(wgpu::Backends::METAL)
    .union(wgpu::Backends::DX12)
    .union(wgpu::Backends::BROWSER_WEBGPU);

/// A GPU that the system offers.
#[derive(Clone, Debug)]
pub(crate) struct Adapter {
    adapter: wgpu::Adapter,
    /// The device in use is the last one; those before are lost, and some runner still has them.
    opened: Arc<Mutex<Vec<Gpu>>>,
}

/// What the process keeps.
#[derive(Debug)]
struct Kept {
    instance: Option<wgpu::Instance>,
    /// The fastest kind first.
    adapters: Vec<Adapter>,
    /// Adapters that an earlier lookup found and the last one did not.
    gone: Vec<Adapter>,
}

#[cfg(not(target_arch = "wasm32"))]
static KEPT: Mutex<Kept> = Mutex::new(Kept::nothing());

/// Calls `work` with what is kept. `work` asks no driver for anything.
#[cfg(not(target_arch = "wasm32"))]
fn kept<T>(work: impl FnOnce(&mut Kept) -> T) -> T {
    work(&mut lock(&KEPT))
}

/// In a browser nothing of wgpu may be in a static, and there is one thread.
#[cfg(target_arch = "wasm32")]
fn kept<T>(work: impl FnOnce(&mut Kept) -> T) -> T {
    thread_local! {
        static KEPT: Mutex<Kept> = const { Mutex::new(Kept::nothing()) };
    }
    KEPT.with(|kept| work(&mut lock(kept)))
}

impl Kept {
    const fn nothing() -> Self {
        Self {
            instance: None,
            adapters: Vec::new(),
            gone: Vec::new(),
        }
    }

    /// The one instance of the process.
    fn instance(&mut self) -> wgpu::Instance {
        let make = || {
            wgpu::Instance::new(wgpu::InstanceDescriptor {
                backends: wgpu::Backends::from_env().unwrap_or(BACKENDS),
                ..wgpu::InstanceDescriptor::new_without_display_handle_from_env()
            })
        };
        self.instance.get_or_insert_with(make).clone()
    }

    /// Puts what a lookup has found in the place of what was known. An adapter that was known keeps the devices that are open
    /// on it; of two that cannot be told apart the first found takes those of the first known.
    fn renew(&mut self, found: Vec<wgpu::Adapter>) -> Vec<Adapter> {
        let mut known = mem::take(&mut self.adapters);
        known.append(&mut self.gone);
        for adapter in found {
            let info = adapter.get_info();
            let same = known.iter().position(|known| known.adapter.get_info() == info);
            let opened = same.map(|place| known.remove(place).opened).unwrap_or_default();
            self.adapters.push(Adapter { adapter, opened });
        }
        self.adapters.sort_by_key(Adapter::rank);
        self.gone = known;
        self.adapters.clone()
    }
}

impl Adapter {
    /// Every adapter of the system, the fastest kind first, as the last lookup has found them. Only while there is none the
    /// system is asked again.
    pub(crate) async fn all() -> Vec<Self> {
        Self::look(false).await
    }

    /// As [`Adapter::all`], after a new lookup.
    pub(crate) async fn all_now() -> Vec<Self> {
        Self::look(true).await
    }

    async fn look(again: bool) -> Vec<Self> {
        if wgpu::Instance::enabled_backend_features().is_empty() {
            return Vec::new(); // wgpu would panic
        }
        let known = || Some(kept(|kept| kept.adapters.clone())).filter(|known| !again && !known.is_empty());
        if let Some(known) = known() {
            return known;
        }
        finish_in_turn(async {
            // another thread may have had the turn before
            if let Some(known) = known() {
                return known;
            }
            let instance = kept(Kept::instance);
            let found = instance.enumerate_adapters(BACKENDS).await;
            kept(|kept| kept.renew(found))
        })
        .await
    }

    fn rank(&self) -> u8 {
        rank(self.adapter.get_info().device_type)
    }

    /// Whether it is a GPU, and not a program that plays one on the CPU.
    pub(crate) fn is_real(&self) -> bool {
        let info = self.adapter.get_info();
        is_real(info.device_type, info.backend)
    }

    pub(crate) fn name(&self) -> String {
        name(&self.adapter.get_info())
    }

    /// The device that is open on the adapter, the same for everybody; opened if there is none or if it is lost, with all the
    /// limits that the adapter has, and of the optional features those that are used where they are.
    pub(crate) async fn open(&self) -> Result<Gpu> {
        if let Some(gpu) = self.opened().filter(|gpu| !gpu.is_lost()) {
            return Ok(gpu);
        }
        finish_in_turn(async {
            // another thread may have had the turn before
            match self.opened() {
                Some(gpu) => Ok(gpu),
                None => Ok(self.keep(self.request_all().await?)),
            }
        })
        .await
    }

    /// The device that is open, unless it is known to be lost.
    fn opened(&self) -> Option<Gpu> {
        let opened = lock(&self.opened);
        opened.last().filter(|gpu| gpu.life().known_loss().is_none()).cloned()
    }

    /// Keeps a device that was just opened, in turn; what is lost and used no more is closed.
    fn keep(&self, gpu: Gpu) -> Gpu {
        // in a browser another task may have been quicker
        if let Some(other) = self.opened() {
            return other;
        }
        let mut opened = lock(&self.opened);
        let (used, unused): (Vec<Gpu>, Vec<Gpu>) = opened.drain(..).partition(Gpu::is_used);
        opened.extend(used);
        opened.push(gpu.clone());
        drop(opened);
        drop(unused); // may call back, so without a lock
        gpu
    }

    /// Opens a device with all limits, and of the optional features those that are used where they are, in turn. No setting of a
    /// model is known yet, so cooperative matrices are among them; a driver that has second thoughts is asked again without.
    async fn request_all(&self) -> Result<Gpu> {
        let features = self.adapter.features() & USED_FEATURES;
        if matrices::are_offered(&self.adapter) {
            let opened = self.request(self.adapter.limits(), features | matrices::FEATURES).await;
            if opened.is_ok() {
                return opened;
            }
        }
        self.request(self.adapter.limits(), features).await
    }

    /// Opens a device, in turn.
    async fn request(&self, limits: wgpu::Limits, features: wgpu::Features) -> Result<Gpu> {
        let info = self.adapter.get_info();
        let failed = |error: wgpu::RequestDeviceError| Error::Gpu {
            doing: "opening the device",
            adapter: name(&info),
            message: error.to_string(),
            cause: Cause::of_driver(error),
        };
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("cellstate"),
            required_limits: limits,
            required_features: features,
            experimental_features: experimental(features),
            ..Default::default()
        };
        let (device, queue) = self.adapter.request_device(&descriptor).await.map_err(failed)?;
        let failure: Arc<Mutex<Failure>> = Arc::default();
        // without a handler of our own wgpu panics on what no error scope catches
        let uncaptured = Arc::clone(&failure);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            lock(&uncaptured).error = Some(error);
        }));
        let lost = Arc::clone(&failure);
        device.set_device_lost_callback(move |reason, message| {
            lock(&lost).lost = Some(match reason {
                wgpu::DeviceLostReason::Destroyed => "device destroyed".to_owned(),
                _ => format!("device lost: {message}"),
            });
        });
        Gpu::new(&self.adapter, device, queue, failure)
    }

    /// A device that nobody else has, never closed either.
    #[cfg(test)]
    pub(crate) async fn open_another(&self) -> Result<Gpu> {
        let gpu = finish_in_turn(self.request_all()).await?;
        mem::forget(gpu.clone());
        Ok(gpu)
    }

    /// The same with these limits and features.
    #[cfg(test)]
    pub(crate) async fn open_with(&self, limits: wgpu::Limits, features: wgpu::Features) -> Result<Gpu> {
        let gpu = finish_in_turn(self.request(limits, features)).await?;
        mem::forget(gpu.clone());
        Ok(gpu)
    }

    #[cfg(test)]
    pub(crate) fn features(&self) -> wgpu::Features {
        self.adapter.features()
    }
}

/// The better kinds of adapter first.
fn rank(device_type: wgpu::DeviceType) -> u8 {
    match device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}

/// A browser tells no kind but of those that are played.
fn is_real(device_type: wgpu::DeviceType, backend: wgpu::Backend) -> bool {
    rank(device_type) <= 2 || device_type != wgpu::DeviceType::Cpu && backend == wgpu::Backend::BrowserWebGpu
}

#[cfg(test)]
mod tests {
    use wgpu::{Backend, DeviceType};

    use super::is_real;

    /// Software adapters call themselves `Cpu` in a browser too, so no test there meets a real one.
    #[test]
    fn what_plays_a_gpu_is_none() {
        assert!(is_real(DeviceType::DiscreteGpu, Backend::Vulkan));
        assert!(is_real(DeviceType::IntegratedGpu, Backend::Metal));
        assert!(is_real(DeviceType::Other, Backend::BrowserWebGpu));
        assert!(!is_real(DeviceType::Cpu, Backend::BrowserWebGpu));
        assert!(!is_real(DeviceType::Cpu, Backend::Vulkan));
        assert!(!is_real(DeviceType::Other, Backend::Gl));
    }
}
