//! What GPUs the system offers, and opening one.

use std::sync::{Arc, Mutex};

use super::gpu::{Failure, Gpu, lock, name};
use crate::error::{Error, Result};

/// The optional features that are used where they are, each with a path without.
const USED_FEATURES: wgpu::Features = wgpu::Features::IMMEDIATES.union(wgpu::Features::TIMESTAMP_QUERY);

/// A GPU that the system offers, not yet opened.
#[derive(Clone, Debug)]
pub(crate) struct Adapter {
    adapter: wgpu::Adapter,
}

impl Adapter {
    /// Every adapter of the system, the fastest kind first.
    pub(crate) async fn all() -> Vec<Self> {
        if wgpu::Instance::enabled_backend_features().is_empty() {
            return Vec::new(); // wgpu would panic
        }
        let backends =
            wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12 | wgpu::Backends::BROWSER_WEBGPU;
        let descriptor = wgpu::InstanceDescriptor {
            backends: wgpu::Backends::from_env().unwrap_or(backends),
            ..wgpu::InstanceDescriptor::new_without_display_handle_from_env()
        };
        let instance = wgpu::Instance::new(descriptor);
        let mut adapters: Vec<Self> = instance
            .enumerate_adapters(backends)
            .await
            .into_iter()
            .map(|adapter| Self { adapter })
            .collect();
        adapters.sort_by_key(Self::rank);
        adapters
    }

    fn rank(&self) -> u8 {
        match self.adapter.get_info().device_type {
            wgpu::DeviceType::DiscreteGpu => 0,
            wgpu::DeviceType::IntegratedGpu => 1,
            wgpu::DeviceType::VirtualGpu => 2,
            wgpu::DeviceType::Other => 3,
            wgpu::DeviceType::Cpu => 4,
        }
    }

    /// Whether it is a GPU, and not a program that plays one on the CPU. A browser tells no kind but of those.
    pub(crate) fn is_real(&self) -> bool {
        let info = self.adapter.get_info();
        self.rank() <= 2 || info.device_type != wgpu::DeviceType::Cpu && info.backend == wgpu::Backend::BrowserWebGpu
    }

    pub(crate) fn name(&self) -> String {
        name(&self.adapter.get_info())
    }

    /// Opens the adapter with all the limits that it has, and of the optional features those that are used where they are.
    pub(crate) async fn open(&self) -> Result<Gpu> {
        let info = self.adapter.get_info();
        let failed = |message: String| Error::Gpu {
            doing: "opening the device",
            adapter: name(&info),
            message,
        };
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("cellstate"),
            required_limits: self.adapter.limits(),
            required_features: self.adapter.features() & USED_FEATURES,
            ..Default::default()
        };
        let (device, queue) = self
            .adapter
            .request_device(&descriptor)
            .await
            .map_err(|error| failed(error.to_string()))?;
        let failure: Arc<Mutex<Failure>> = Arc::default();
        // without a handler of our own wgpu panics on what no error scope catches
        let uncaptured = Arc::clone(&failure);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            lock(&uncaptured).message = Some(error.to_string());
        }));
        let lost = Arc::clone(&failure);
        device.set_device_lost_callback(move |reason, message| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                lock(&lost).lost = Some(format!("device lost: {message}"));
            }
        });
        Gpu::new(&self.adapter, device, queue, failure)
    }
}
